//! Syslog over UDP: one datagram is one record.
//!
//! Who reads the socket never waits for the disk: what is read goes into a queue of [`QUEUE_BYTES`]. When that is
//! full the kernel's buffer fills, and what the kernel then drops it counts (`docket_udp_dropped_total`).

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use ingest::source::framing::Frame;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::held::{Budget, Held, RECORD_COST_BYTES};
use super::syslog::Listener;
use crate::spine::Incoming;

/// Bytes that wait to be kept.
const QUEUE_BYTES: usize = 32 << 20;
/// Datagrams that wait to be kept.
const QUEUE_DATAGRAMS: usize = 16_384;
/// Datagrams that share one fsync.
const DATAGRAMS_MAX: usize = 2048;
/// How often the kernel is asked what it dropped.
const LOOK: Duration = Duration::from_secs(1);

type Queued = (Incoming, Held);

/// Binds a UDP port and serves it until the server stops.
///
/// # Errors
/// The port cannot be had.
pub async fn listen(listener: Listener, address: SocketAddr) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let socket = UdpSocket::bind(address)
        .await
        .with_context(|| format!("syslog/udp on {address}"))?;
    tracing::info!(address = %socket.local_addr()?, protocol = "udp", source = %listener.source, "Listening for syslog.");
    let (queue, waiting) = mpsc::channel(QUEUE_DATAGRAMS);
    let keeper = tokio::spawn(keep(listener.clone(), waiting));
    Ok(tokio::spawn(async move {
        read(listener, socket, queue).await;
        let _ = keeper.await;
    }))
}

async fn read(listener: Listener, socket: UdpSocket, queue: mpsc::Sender<Queued>) {
    let mut buffer = vec![0; 65_536];
    let room = Budget::new(QUEUE_BYTES);
    let mut look = tokio::time::interval(LOOK);
    let mut dropped = 0;
    let inode = inode(&socket);
    let mut stop = listener.stop.clone();
    loop {
        let got = tokio::select! {
            biased;
            _ = stop.wait_for(|s| *s) => break,
            _ = look.tick() => {
                count_dropped(&listener, inode, &mut dropped);
                continue;
            }
            got = socket.recv_from(&mut buffer) => got,
        };
        match got {
            Ok((n, peer)) => {
                let Some(record) = record(&listener, &buffer[..n], peer) else {
                    continue;
                };
                let mut held = room.share();
                let cost = n + RECORD_COST_BYTES;
                // The keeper takes from the queue until it is closed, so there will be room.
                if held.grow_within(cost, Duration::MAX).await.is_err() || queue.send((record, held)).await.is_err() {
                    break;
                }
            }
            Err(error) => tracing::debug!(%error, "Datagram not received."),
        }
    }
    // What the kernel holds is drained, as far as there is room; a shipper that goes on sending does not keep us.
    for _ in 0..QUEUE_DATAGRAMS {
        let Ok((n, peer)) = socket.try_recv_from(&mut buffer) else {
            break;
        };
        let Some(record) = record(&listener, &buffer[..n], peer) else {
            continue;
        };
        let mut held = room.share();
        if held.grow(n + RECORD_COST_BYTES).is_err() || queue.try_send((record, held)).is_err() {
            lost(&listener, 1);
            break;
        }
    }
    count_dropped(&listener, inode, &mut dropped);
}

fn record(listener: &Listener, datagram: &[u8], peer: SocketAddr) -> Option<Incoming> {
    metrics::counter!("docket_udp_datagrams_total").increment(1);
    // JumpServer ends each datagram with one NUL byte.
    let payload = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    let frame = Frame {
        payload: Bytes::copy_from_slice(payload),
        truncated: None,
    };
    (!payload.is_empty()).then(|| listener.incoming(frame, &peer.ip().to_string().into()))
}

async fn keep(listener: Listener, mut waiting: mpsc::Receiver<Queued>) {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, DATAGRAMS_MAX).await > 0 {
        let (records, _held): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        while let Err(error) = listener.gate.keep(records.clone()).await {
            tracing::warn!(%error, "Datagrams not kept, trying again.");
            if *listener.stop.borrow() {
                tracing::error!(%error, count = records.len(), "Datagrams lost.");
                lost(&listener, records.len());
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn lost(listener: &Listener, datagrams: usize) {
    metrics::counter!("docket_udp_lost_total").increment(datagrams as u64);
    listener.losses.count(&listener.source, "udp_lost", datagrams as u64);
}

/// The socket's number in `/proc/net/udp`.
fn inode(socket: &UdpSocket) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Shows what the kernel dropped since the socket was bound; `known` of them were shown before.
fn count_dropped(listener: &Listener, inode: Option<u64>, known: &mut u64) {
    let Some(inode) = inode else { return };
    let dropped = ["/proc/net/udp", "/proc/net/udp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| drops(line, inode))
    });
    if let Some(dropped) = dropped {
        let source = listener.source.to_string();
        metrics::counter!("docket_udp_dropped_total", "source" => source, "socket" => inode.to_string())
            .absolute(dropped);
        listener
            .losses
            .count(&listener.source, "udp_dropped", dropped.saturating_sub(*known));
        *known = dropped;
    }
}

/// The last column of our socket's line. Source: `udp4_format_sock` in Linux `net/ipv4/udp.c`.
fn drops(line: &str, inode: u64) -> Option<u64> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    (columns.get(9)?.parse() == Ok(inode)).then(|| columns.last()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_table_is_read() {
        let line = "  417: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 15";
        assert_eq!(super::drops(line, 4711), Some(15));
        assert_eq!(super::drops(line, 4712), None);
        assert_eq!(super::drops("  sl  local_address rem_address", 1), None);
    }
}
