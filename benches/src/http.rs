//! Just enough HTTP for the measurements: a client that keeps its connection, and a receiver of webhooks.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn connect(address: SocketAddr) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// GETs JSON; with the status.
    ///
    /// # Errors
    /// The connection's, or the answer is no JSON.
    pub fn get(&mut self, path: &str, token: Option<&str>) -> anyhow::Result<(u16, Value)> {
        let token = token.map_or(String::new(), |t| format!("Authorization: Bearer {t}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: docket\r\n{token}\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        let (first, body) = message(&mut self.stream)?.context("the connection was closed")?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        Ok((status.context("no status")?, serde_json::from_slice(&body)?))
    }
}

/// A POST as it came.
pub struct Received {
    /// When the last byte of it was read.
    pub at: Instant,
    /// Its body.
    pub body: Vec<u8>,
}

/// Answers each POST with 200.
pub struct Webhook {
    /// Where it listens.
    pub address: SocketAddr,
    /// What came.
    pub received: Receiver<Received>,
}

impl Webhook {
    /// Starts to listen.
    ///
    /// # Errors
    /// The machine's.
    pub fn start() -> anyhow::Result<Webhook> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (tell, received) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                std::thread::spawn(move || serve(stream, &tell));
            }
        });
        Ok(Webhook { address, received })
    }
}

fn serve(stream: TcpStream, tell: &Sender<Received>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some((_, body)) = message(&mut stream)? {
        tell.send(Received {
            at: Instant::now(),
            body,
        })?;
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// The first line and the body of the next message; `None` at the connection's end.
fn message(stream: &mut impl BufRead) -> anyhow::Result<Option<(String, Vec<u8>)>> {
    let (mut first, mut length, mut chunked) = (String::new(), 0, false);
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse()?,
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if !chunked {
        stream.take(length).read_to_end(&mut body)?;
        return Ok(Some((first, body)));
    }
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim_end(), 16)?;
        stream.take(size).read_to_end(&mut body)?;
        line.clear();
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(Some((first, body)));
        }
    }
}
