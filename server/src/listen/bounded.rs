//! So many connections at once, none of them idle for ever.
//!
//! Whoever comes when all are taken is answered 503 with `Retry-After` and closed, so that a shipper keeps what it has
//! and comes again, and does not wait in the kernel's queue without knowing why.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long a new connection may say nothing.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(30);
/// How long one may rest between requests, or with an answer that nobody reads.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// How long a refusal may take.
const REFUSAL_MAX: Duration = Duration::from_secs(1);
/// Refusals at once; more are closed without a word.
const REFUSALS_MAX: usize = 64;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: application/json\r\nContent-Length: 70\r\n\r\n\
    {\"error\":\"as many connections as are allowed ([limits] connections)\"}\n";

/// Room for connections, shared by the listeners. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots {
    taken: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Slots {
    /// Room for so many.
    pub fn new(connections: usize) -> Slots {
        Slots {
            taken: Arc::new(Semaphore::new(connections)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        }
    }
}

/// A listener that hands out as many connections as there is room for.
pub struct Bounded<L> {
    listener: L,
    slots: Slots,
}

impl<L> Bounded<L> {
    /// Takes connections of `listener` while there are `slots`.
    pub fn new(listener: L, slots: Slots) -> Bounded<L> {
        Bounded { listener, slots }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Connection<L::Io>, L::Addr) {
        loop {
            let (io, address) = self.listener.accept().await;
            let Ok(slot) = self.slots.taken.clone().try_acquire_owned() else {
                metrics::counter!("docket_http_connections_refused_total").increment(1);
                if let Ok(refusing) = self.slots.refusals.clone().try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL_MAX, refuse(io)).await;
                        drop(refusing);
                    });
                }
                continue;
            };
            return (Connection::new(io, slot), address);
        }
    }

    fn local_addr(&self) -> std::io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// Answers before the request is read, and reads what comes: a close with something unread would take the answer away.
async fn refuse(mut io: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    io.write_all(REFUSAL).await?;
    io.shutdown().await?;
    while io.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// A connection that has a slot, and gives it back after a while without a byte in either direction.
pub struct Connection<T> {
    io: T,
    rest: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl<T> Connection<T> {
    fn new(io: T, slot: OwnedSemaphorePermit) -> Connection<T> {
        metrics::gauge!("docket_http_connections").increment(1);
        Connection {
            io,
            rest: Box::pin(tokio::time::sleep(FIRST_BYTE_MAX)),
            _slot: slot,
        }
    }

    /// What became of a read or a write: progress, or none for too long.
    fn after<R>(&mut self, done: Poll<std::io::Result<R>>, context: &mut Context<'_>) -> Poll<std::io::Result<R>> {
        if done.is_ready() {
            self.rest.as_mut().reset(Instant::now() + IDLE_MAX);
            return done;
        }
        match self.rest.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(std::io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        metrics::gauge!("docket_http_connections").decrement(1);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_read(context, buffer);
        self.after(done, context)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write(context, bytes);
        self.after(done, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.after(done, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_flush(context);
        if done.is_ready() {
            return done;
        }
        self.after(done, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
