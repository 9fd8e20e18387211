//! The ledger's one writer: a thread that appends in groups and acknowledges what is durable.
//!
//! Everybody who has a record to keep (gateway, Kafka consumer, Docket itself) sends it here and waits for
//! the answer, which comes after the fsync of the group that the record is in. Requests that come within
//! [`GROUP_MS`] or [`GROUP_BYTES`] share one fsync.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use ledger::Ledger;
use model::{Coordinate, LedgerIndex, Millis, RawRecord, TOPIC_DOCKET, Truncation};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::auth::{Caller, Role};
use crate::clock::Clock;

/// How long the first request of a group waits for company.
const GROUP_MS: u64 = 5;
/// Bytes of payload that end a group.
const GROUP_BYTES: usize = 1 << 20;
/// Requests that may wait; more make the sender wait, and so the shipper.
const QUEUE_REQUESTS: usize = 256;
/// What a new ledger calls itself where the configuration gives no name.
const ORIGIN: &str = "docket.local/ledger";
/// How often a checkpoint is signed while records come.
const CHECKPOINT_MS: u128 = 1000;

/// A record that has no coordinate yet.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The source's id.
    pub source: Arc<str>,
    /// Who sent it.
    pub peer: Option<Arc<str>>,
    /// The bytes.
    pub payload: Bytes,
    /// What was cut off.
    pub truncated: Option<Truncation>,
    /// When it was received.
    pub received_at: Millis,
    /// Headers to keep.
    pub headers: Vec<(String, Bytes)>,
}

/// What is to be appended.
#[derive(Debug)]
pub enum Append {
    /// Records that Kafka has numbered.
    Numbered(Vec<RawRecord>),
    /// Records of embedded sources: numbered here, topic `local.<source>`.
    Local(Vec<Incoming>),
    /// An act of Docket's own: topic `docket`.
    Act(Value),
}

/// The record could not be kept; nothing was acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The disk said no.
    #[error("the ledger cannot be written: {0}")]
    Ledger(String),
    /// Kafka did not take it.
    #[error("Kafka did not take the record: {0}")]
    Kafka(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

struct Request {
    append: Append,
    ack: oneshot::Sender<Result<std::ops::Range<LedgerIndex>, Refused>>,
}

/// A handle to the writer thread.
#[derive(Clone)]
pub struct Spine {
    requests: mpsc::Sender<Request>,
    durable: watch::Receiver<LedgerIndex>,
    clock: Clock,
}

/// What the ledger held when it was opened.
pub struct Opened {
    /// The handle.
    pub spine: Spine,
    /// The writer thread; ends when every handle is gone.
    pub thread: std::thread::JoinHandle<anyhow::Result<()>>,
    /// Reads beside the writer.
    pub reader: Arc<ledger::Reader>,
    /// Kafka's next offset by topic and partition.
    pub positions: BTreeMap<(Arc<str>, i32), i64>,
    /// The greatest `received_at`: engine time.
    pub engine_time: Option<Millis>,
    /// The ledger's size.
    pub size: LedgerIndex,
}

impl Spine {
    /// Opens the ledger and starts its writer.
    ///
    /// # Errors
    /// The ledger's: another process holds it, or its content is not what was written (exit 6).
    pub fn open(dir: &Path, origin: Option<&str>, clock: Clock) -> anyhow::Result<Opened> {
        let kept = kept_origin(dir);
        let origin = origin.or(kept.as_deref()).unwrap_or(ORIGIN);
        let ledger = Ledger::open(dir, origin).with_context(|| format!("ledger in {}", dir.display()))?;
        let positions = ledger
            .positions()
            .into_iter()
            .map(|(topic, partition, next)| ((topic, partition), next))
            .collect();
        let reader = Arc::new(ledger.reader());
        let engine_time = ledger.greatest_received_at();
        let size = ledger.durable();
        let (durable_tx, durable) = watch::channel(size);
        let (requests, queue) = mpsc::channel(QUEUE_REQUESTS);
        let writer = Writer {
            ledger,
            queue,
            durable: durable_tx,
            clock: clock.clone(),
            checkpoint: Instant::now(),
        };
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || runtime.block_on(writer.run()))
            .context("starting the ledger's thread")?;
        Ok(Opened {
            spine: Spine {
                requests,
                durable,
                clock,
            },
            thread,
            reader,
            positions,
            engine_time,
            size,
        })
    }

    /// Appends, and returns when it is durable.
    ///
    /// # Errors
    /// [`Refused`]: nothing was kept; the sender should try again.
    pub async fn append(&self, append: Append) -> Result<std::ops::Range<LedgerIndex>, Refused> {
        let (ack, done) = oneshot::channel();
        self.requests
            .send(Request { append, ack })
            .await
            .map_err(|_| Refused::Stopping)?;
        done.await.map_err(|_| Refused::Stopping)?
    }

    /// Records an act of Docket's own or of a caller. An act that cannot be recorded must not be done.
    ///
    /// # Errors
    /// [`Refused`]: it was not recorded.
    pub async fn act(&self, act: &str, actor: impl Into<Actor>, detail: Value) -> Result<(), Refused> {
        let now = self.clock.now();
        let value = serde_json::json!({"act": act, "time": now.0, "actor": actor.into(), "detail": detail});
        self.append(Append::Act(value)).await.map(|_| ())
    }

    /// What is durable: leaves below this index.
    pub fn durable(&self) -> watch::Receiver<LedgerIndex> {
        self.durable.clone()
    }
}

/// The origin of the ledger in a folder, which it keeps for ever: its verifier key is `<origin>+<hash>+<key>`.
fn kept_origin(dir: &Path) -> Option<String> {
    let vkey = std::fs::read_to_string(dir.join("ledger.vkey")).ok()?;
    Some(vkey.split('+').next()?.to_owned())
}

/// Who did something, as its record says.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Actor {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
}

impl From<&str> for Actor {
    fn from(name: &str) -> Actor {
        let name = name.to_owned();
        Actor { name, role: None }
    }
}

impl From<&String> for Actor {
    fn from(name: &String) -> Actor {
        name.as_str().into()
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Actor {
        let role = match caller {
            Caller::Token { role, .. } => Some(*role),
            Caller::Local { .. } => None,
        };
        let name = caller.name();
        Actor { name, role }
    }
}

struct Writer {
    ledger: Ledger,
    queue: mpsc::Receiver<Request>,
    durable: watch::Sender<LedgerIndex>,
    clock: Clock,
    checkpoint: Instant,
}

impl Writer {
    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let first = tokio::time::timeout(Duration::from_secs(1), self.queue.recv()).await;
            match first {
                Ok(Some(request)) => self.group(request).await?,
                Ok(None) => break,
                Err(_idle) => {}
            }
            if self.checkpoint.elapsed().as_millis() >= CHECKPOINT_MS {
                self.sign()?;
            }
        }
        self.sign()
    }

    /// Appends a request and those that come with it, makes them durable, and answers all.
    async fn group(&mut self, first: Request) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(GROUP_MS);
        let mut bytes = 0;
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            let records = self.number(request.append);
            bytes += records.iter().map(|r| r.payload.len()).sum::<usize>();
            match self.ledger.append(&records) {
                Ok(range) => waiting.push((request.ack, range)),
                Err(error) => {
                    tracing::error!(%error, "Record not kept.");
                    // Nobody waits any more if the shipper has gone; the record was refused all the same.
                    let _ = request.ack.send(Err(Refused::Ledger(error.to_string())));
                }
            }
            next = if bytes >= GROUP_BYTES {
                None
            } else {
                tokio::time::timeout_at(deadline, self.queue.recv())
                    .await
                    .ok()
                    .flatten()
            };
        }
        // After a failed fsync nobody knows what the disk holds: stop, and let the start find out.
        let durable = self.ledger.flush().context("making the ledger durable")?;
        self.durable.send_replace(durable);
        for (ack, range) in waiting {
            let _ = ack.send(Ok(range));
        }
        self.ledger.seal().context("sealing frames")
    }

    fn sign(&mut self) -> anyhow::Result<()> {
        self.checkpoint = Instant::now();
        self.ledger
            .checkpoint(self.clock.now())
            .context("signing a checkpoint")?;
        Ok(())
    }

    /// Gives records without a coordinate theirs.
    fn number(&self, append: Append) -> Vec<RawRecord> {
        match append {
            Append::Numbered(records) => records,
            Append::Local(incoming) => {
                let mut next: BTreeMap<Arc<str>, i64> = BTreeMap::new();
                incoming.into_iter().map(|r| self.local(r, &mut next)).collect()
            }
            Append::Act(value) => vec![self.own(&value)],
        }
    }

    fn local(&self, incoming: Incoming, next: &mut BTreeMap<Arc<str>, i64>) -> RawRecord {
        let topic: Arc<str> = format!("local.{}", incoming.source).into();
        let offset = next
            .entry(topic.clone())
            .or_insert_with(|| self.ledger.next_offset(&topic, 0).unwrap_or(0));
        let coordinate = Coordinate::new(topic, 0, *offset);
        *offset += 1;
        RawRecord {
            coordinate,
            received_at: incoming.received_at,
            source: incoming.source,
            peer: incoming.peer,
            key: None,
            headers: incoming.headers,
            payload: incoming.payload,
            truncated: incoming.truncated,
        }
    }

    fn own(&self, value: &Value) -> RawRecord {
        RawRecord {
            coordinate: Coordinate::new(TOPIC_DOCKET, 0, self.ledger.next_offset(TOPIC_DOCKET, 0).unwrap_or(0)),
            received_at: self.clock.now(),
            source: TOPIC_DOCKET.into(),
            peer: None,
            key: None,
            headers: Vec::new(),
            payload: Bytes::from(value.to_string()),
            truncated: None,
        }
    }
}
