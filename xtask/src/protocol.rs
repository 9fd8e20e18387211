//! As much of Kafka's protocol as it takes to ask a broker whether it is ready.
//!
//! Written here because `rdkafka` stays in `ingest`, and building it to start a broker would take minutes.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// The largest answer that we read: a broker's metadata without topics is a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const METADATA: i16 = 3;
const METADATA_VERSION: i16 = 4;

/// Asks the broker at `address` (`host:port`) for the cluster's live brokers and returns their number.
///
/// # Errors
/// Nobody listens, what listens is not a Kafka broker, or it does not answer within `timeout`.
pub fn live_brokers(address: &str, timeout: Duration) -> Result<usize> {
    let at = address
        .to_socket_addrs()
        .with_context(|| format!("`{address}` is not an address; it looks like 127.0.0.1:9092"))?
        .next()
        .with_context(|| format!("`{address}` has no address"))?;
    let mut stream =
        TcpStream::connect_timeout(&at, timeout).with_context(|| format!("nobody listens at {address}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(&metadata_request())?;

    let mut length = [0; 4];
    stream
        .read_exact(&mut length)
        .context("the broker closed the connection")?;
    let length = u32::from_be_bytes(length) as usize;
    ensure!(
        length <= ANSWER_BYTES_MAX,
        "{address} answers {length} bytes: not a plain-text Kafka listener"
    );
    let mut answer = vec![0; length];
    stream
        .read_exact(&mut answer)
        .context("the broker's answer is cut short")?;
    count_brokers(&answer)
}

/// Metadata v4 for no topic, creating none. Source: Kafka protocol guide, "Metadata".
fn metadata_request() -> Vec<u8> {
    let client = b"docket-xtask";
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(METADATA_VERSION.to_be_bytes());
    body.extend(7_i32.to_be_bytes()); // correlation id
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(0_i32.to_be_bytes()); // topics: an empty array, none
    body.push(0); // allow_auto_topic_creation
    let mut request = (body.len() as u32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// The answer: correlation id, throttle time, then the array of brokers.
fn count_brokers(answer: &[u8]) -> Result<usize> {
    let int = |at: usize| -> Option<i32> { Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?)) };
    match (int(0), int(8)) {
        (Some(7), Some(brokers)) => Ok(usize::try_from(brokers).unwrap_or(0)),
        _ => bail!("not an answer of a Kafka broker"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_noise() {
        let answer = [&7_i32.to_be_bytes()[..], &0_i32.to_be_bytes(), &1_i32.to_be_bytes()].concat();
        assert_eq!(count_brokers(&answer).expect("an answer"), 1);
        for noise in [&b""[..], b"HTTP/1.1 400 Bad Request", &answer[..11]] {
            assert!(count_brokers(noise).is_err(), "{noise:?}");
        }
    }

    #[test]
    fn nobody_at_home_is_an_error() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("its number")
            .port();
        assert!(live_brokers(&format!("127.0.0.1:{port}"), Duration::from_secs(1)).is_err());
    }
}
