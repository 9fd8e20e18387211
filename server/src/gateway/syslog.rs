//! Syslog over TCP and UDP (RFC 5424 and 3164; framings of RFC 6587).
//!
//! TCP reads on only when what was read is durable, so a slow disk slows the shipper. Syslog has no
//! acknowledgement: what lies in the socket buffers when the process is killed is lost, as is any datagram
//! that comes while nobody listens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use ingest::source::framing::{Decoder, Frame};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};

use super::Gate;
use crate::clock::Clock;
use crate::spine::Incoming;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
/// Bytes read from a connection at once.
const READ_BYTES: usize = 64 << 10;
/// Datagrams that share one fsync.
const DATAGRAMS_MAX: usize = 512;

/// What a listener needs.
#[derive(Clone)]
pub struct Listener {
    /// The source of its records.
    pub source: Arc<str>,
    /// Where they go.
    pub gate: Gate,
    /// When they were received.
    pub clock: Clock,
    /// Bytes of one record that are kept.
    pub record_bytes_max: usize,
    /// Turns true when the server stops.
    pub stop: watch::Receiver<bool>,
}

impl Listener {
    /// Binds a TCP port and serves it until the server stops; connections then drain what was received.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn tcp(self, address: SocketAddr) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("syslog/tcp on {address}"))?;
        tracing::info!(address = %listener.local_addr()?, source = %self.source, "Listening for syslog over TCP.");
        Ok(tokio::spawn(self.accept(listener)))
    }

    async fn accept(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|s| *s) => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    let listener = self.clone();
                    connections.spawn(async move {
                        listener.connection(stream, peer).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "Connection not accepted.");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }

    async fn connection(mut self, mut stream: TcpStream, peer: SocketAddr) {
        let mut decoder = Decoder::new(self.record_bytes_max);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = tokio::select! {
                biased;
                read = stream.read(&mut buffer) => read,
                _ = self.stop.wait_for(|s| *s) => Ok(0),
            };
            let (mut frames, end) = match read {
                Ok(0) => (Vec::new(), None),
                Ok(n) => match decoder.push(&buffer[..n]) {
                    Ok(frames) => (frames, Some(())),
                    Err(error) => {
                        tracing::warn!(%error, %peer, "Connection closed: framing broken.");
                        metrics::counter!("docket_syslog_framing_errors_total").increment(1);
                        (Vec::new(), None)
                    }
                },
                Err(error) => {
                    tracing::debug!(%error, %peer, "Connection lost.");
                    (Vec::new(), None)
                }
            };
            if end.is_none() {
                frames.extend(decoder.finish());
                if let Some(broken) = decoder.broken() {
                    tracing::warn!(%broken, %peer, "The last message of a connection was cut short.");
                }
            }
            let records: Vec<_> = frames.into_iter().map(|f| self.incoming(f, peer)).collect();
            // The shipper has no other way to hear "not now": keep trying before reading on.
            while let Err(error) = self.gate.keep(records.clone()).await {
                tracing::warn!(%error, %peer, "Records not kept, trying again.");
                tokio::time::sleep(Duration::from_secs(1)).await;
                if *self.stop.borrow() {
                    return;
                }
            }
            if end.is_none() {
                return;
            }
        }
    }

    /// Binds a UDP port and serves it until the server stops. One datagram is one record.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn udp(self, address: SocketAddr) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let socket = UdpSocket::bind(address)
            .await
            .with_context(|| format!("syslog/udp on {address}"))?;
        tracing::info!(address = %socket.local_addr()?, source = %self.source, "Listening for syslog over UDP.");
        Ok(tokio::spawn(self.datagrams(socket)))
    }

    async fn datagrams(mut self, socket: UdpSocket) {
        let mut buffer = vec![0; 65_536];
        loop {
            let first = tokio::select! {
                first = socket.recv_from(&mut buffer) => first,
                _ = self.stop.wait_for(|s| *s) => return,
            };
            let mut records = Vec::new();
            let mut next = first;
            while let Ok((n, peer)) = next {
                // JumpServer ends each datagram with one NUL byte.
                let payload = buffer[..n].strip_suffix(b"\0").unwrap_or(&buffer[..n]);
                if !payload.is_empty() {
                    records.push(self.incoming(
                        Frame {
                            payload: Bytes::copy_from_slice(payload),
                            truncated: None,
                        },
                        peer,
                    ));
                }
                if records.len() >= DATAGRAMS_MAX {
                    break;
                }
                next = socket.try_recv_from(&mut buffer);
            }
            let count = records.len() as u64;
            metrics::counter!("docket_udp_datagrams_total").increment(count);
            if let Err(error) = self.gate.keep(records).await {
                tracing::error!(%error, count, "Datagrams lost.");
                metrics::counter!("docket_udp_lost_total").increment(count);
            }
        }
    }

    fn incoming(&self, frame: Frame, peer: SocketAddr) -> Incoming {
        Incoming {
            source: self.source.clone(),
            peer: Some(peer.ip().to_string().into()),
            payload: frame.payload,
            truncated: frame.truncated,
            received_at: self.clock.now(),
            headers: Vec::new(),
        }
    }
}
