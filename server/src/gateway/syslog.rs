//! Syslog over TCP and TLS (RFC 5424 and 3164; framings of RFC 6587 and 5425).
//!
//! A connection is read on only when what was read is durable, so a slow disk slows the shipper. Syslog has no
//! acknowledgement: what lies in the socket buffers when the process is killed is lost.

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use ingest::source::framing::{Decoder, Frame};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::Gate;
use super::held::{Budget, Held};
use super::losses::Losses;
use super::tls::{self, Tls};
use crate::clock::Clock;
use crate::spine::Incoming;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
/// Bytes read from a connection at once.
const READ_BYTES: usize = 64 << 10;
/// How long a connection that still sends is read on after the server was told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long a shipper that has been told of the end may say nothing before it is taken at its word.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// How long a connection waits for room for its record.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the end of a TLS session may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

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
    /// Room for records that have come in part, shared by all connections.
    pub room: Budget,
    /// What did not come in.
    pub losses: Losses,
    /// Turns true when the server stops.
    pub stop: watch::Receiver<bool>,
}

/// A connection that can be ended on our side while the other goes on.
trait Closing: AsyncRead + AsyncWrite + Unpin {
    /// Tells the shipper that we shall close, as TCP does. Over TLS without an alert: what lies unread in the shipper's
    /// socket would hide the end from it, and nothing that we sent could be cut short.
    fn end(&self);
    /// Has the shipper's next write fail, where it took no notice of the end: into a connection that was merely closed
    /// it would write once more, and that would be lost.
    fn reset(&self);
}

impl Closing for TcpStream {
    fn end(&self) {
        // A connection that has ended already is no fault.
        let _ = SockRef::from(self).shutdown(Shutdown::Write);
    }

    fn reset(&self) {
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Closing for TlsStream<TcpStream> {
    fn end(&self) {
        self.get_ref().0.end();
    }

    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl Listener {
    /// Binds a TCP port and serves it until the server stops; connections then drain what was received.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn tcp(self, address: SocketAddr, tls: Option<Tls>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let protocol = if tls.is_some() { "tls" } else { "tcp" };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("syslog/{protocol} on {address}"))?;
        tracing::info!(address = %listener.local_addr()?, protocol, source = %self.source, "Listening for syslog.");
        Ok(tokio::spawn(self.accept(listener, tls)))
    }

    async fn accept(self, listener: TcpListener, tls: Option<Tls>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        let mut stop = self.stop.clone();
        let (drain, draining) = watch::channel(false);
        let mut serve = |stream, peer, slot: Option<OwnedSemaphorePermit>| {
            let (mut listener, tls) = (self.clone(), tls.clone());
            listener.stop = draining.clone();
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                listener.serve(stream, peer, tls).await;
                drop(slot);
            });
        };
        loop {
            let slot = tokio::select! {
                Ok(slot) = slots.clone().acquire_owned() => slot,
                _ = stop.wait_for(|s| *s) => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|s| *s) => break,
            };
            match accepted {
                Ok((stream, peer)) => serve(stream, peer, Some(slot)),
                Err(error) => {
                    tracing::warn!(%error, "Connection not accepted.");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        // Who has connected may have sent. Who is told of the end comes again at once, and must find nobody.
        while let Ok((stream, peer)) = now(&listener).await {
            serve(stream, peer, slots.clone().try_acquire_owned().ok());
        }
        drop(listener);
        drain.send_replace(true);
        while connections.join_next().await.is_some() {}
    }

    async fn serve(self, stream: TcpStream, address: SocketAddr, tls: Option<Tls>) {
        let peer = address.ip().to_string();
        let Some(tls) = tls else {
            return self.connection(stream, peer.into()).await;
        };
        match tls.accept(stream).await {
            Ok((stream, name)) => self.connection(stream, name.unwrap_or(peer).into()).await,
            Err(error) => {
                self.losses.count(&self.source, "tls", 1);
                tls::refused(&error, address);
            }
        }
    }

    async fn connection(mut self, mut stream: impl Closing, peer: Arc<str>) {
        let mut decoder = Decoder::new(self.record_bytes_max);
        let mut buffer = vec![0; READ_BYTES];
        let mut held = self.room.share();
        let mut drain_until = None;
        loop {
            if drain_until.is_none() && *self.stop.borrow() {
                // A shipper that looks (syslog-ng, rsyslog) sends no more and closes, and nothing is lost.
                stream.end();
                drain_until = Some(Instant::now() + DRAIN_MAX);
            }
            let read = match drain_until {
                None => tokio::select! {
                    biased;
                    read = stream.read(&mut buffer) => read,
                    _ = self.stop.wait_for(|s| *s) => continue,
                },
                Some(end) => {
                    let patience = end.min(Instant::now() + SILENCE_MAX);
                    let read = tokio::time::timeout_at(patience, stream.read(&mut buffer)).await;
                    read.unwrap_or_else(|_| {
                        stream.reset();
                        Ok(0)
                    })
                }
            };
            let (mut frames, mut end) = match read {
                Ok(0) => (Vec::new(), true),
                Ok(n) => match decoder.push(&buffer[..n]) {
                    Ok(frames) => {
                        let full = self.hold(&mut held, n, frames.is_empty(), &peer).await;
                        (frames, full)
                    }
                    Err(error) => {
                        tracing::warn!(%error, %peer, "Connection closed: framing broken.");
                        metrics::counter!("docket_syslog_framing_errors_total").increment(1);
                        self.losses.count(&self.source, "framing", 1);
                        (Vec::new(), true)
                    }
                },
                Err(error) => {
                    tracing::debug!(%error, %peer, "Connection lost.");
                    (Vec::new(), true)
                }
            };
            if end {
                frames.extend(decoder.finish());
                if let Some(broken) = decoder.broken() {
                    tracing::warn!(%broken, %peer, "The last message of a connection was cut short.");
                }
            }
            let records: Vec<_> = frames.into_iter().map(|f| self.incoming(f, &peer)).collect();
            // The shipper has no other way to hear "not now": keep trying before reading on.
            while let Err(error) = self.gate.keep(records.clone()).await {
                tracing::warn!(%error, %peer, "Records not kept, trying again.");
                tokio::time::sleep(Duration::from_secs(1)).await;
                if *self.stop.borrow() {
                    end = true;
                    break;
                }
            }
            if end {
                break;
            }
        }
        let _ = tokio::time::timeout(CLOSE_MAX, stream.shutdown()).await;
    }

    /// Accounts for what the decoder holds of a record that has not come whole. Returns whether the connection must
    /// end, because so many others hold some that there was no room for it.
    async fn hold(&self, held: &mut Held, read: usize, grows: bool, peer: &str) -> bool {
        if !grows {
            // A record ended within what was read: at most that much is of the next one.
            held.shrink_to(0);
        }
        let more = read.min(self.record_bytes_max.saturating_sub(held.bytes()));
        let full = held.grow_within(more, ROOM_WAIT_MAX).await.is_err();
        if full {
            metrics::counter!("docket_syslog_no_room_total").increment(1);
            self.losses.count(&self.source, "no_room", 1);
            tracing::warn!(
                peer,
                held = held.bytes(),
                "Connection closed: no room for its record; what came of it is kept."
            );
        }
        full
    }

    /// A record of this listener.
    pub fn incoming(&self, frame: Frame, peer: &Arc<str>) -> Incoming {
        Incoming {
            source: self.source.clone(),
            peer: Some(peer.clone()),
            payload: frame.payload,
            truncated: frame.truncated,
            received_at: self.clock.now(),
            headers: Vec::new(),
        }
    }
}

/// A connection that waits to be accepted.
async fn now(listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| match listener.poll_accept(context) {
        Poll::Pending => Poll::Ready(Err(std::io::ErrorKind::WouldBlock.into())),
        ready => ready,
    })
    .await
}
