//! `GET /api/v1/tail`: what comes in, as it becomes searchable, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `hit` | a hit, as `/api/v1/search` shows it; its `id` is its ledger index |
//! | `searched` | `{"up_to": …}`: every record below this ledger position was looked at; at least once in [`BEAT`] |
//! | `error` | `{"error": …}`; the stream ends |

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use model::LedgerIndex;
use search::{Request, Sort};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::search::{PAGE_MAX, shown};
use super::{ApiError, Authenticated};
use crate::app::App;
use crate::asking::{self, LedgerText, refusal};
use crate::pseudonyms::Eyes;
use crate::questions::Asking;

/// How often somebody looks for more.
const LOOK: Duration = Duration::from_millis(250);
/// How often the reader is told at least that there is nothing.
const BEAT: Duration = Duration::from_secs(5);
/// Events that may wait for a slow reader; then nothing is looked for until there is room.
const QUEUE: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// The query; empty finds everything.
    q: String,
    /// From this ledger position on; default: what comes from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

/// Answers with a stream. That somebody looks is recorded first.
pub async fn tail(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    asking: Asking,
    Query(asked): Query<Asked>,
) -> Result<Sse<ReceiverStream<Result<Event, Infallible>>>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    let query = asking::query(&app, &asked.q)?;
    // A query that the index cannot answer is refused now, not in the stream.
    let (text, waiting) = LedgerText::new(&app, &asking, &caller.name(), "tail", json!(asked))?;
    let trial = Request {
        limit: 1,
        query: query.clone().and(asking::query(&app, "index:0")?),
        ..Request::new(search::Query::all())
    };
    app.searcher.search(&trial, &text).map_err(refusal)?;
    app.spine.act("tail", &caller, json!(asked)).await?;
    let (events, stream) = mpsc::channel(QUEUE);
    let since = asked.since.unwrap_or_else(|| searchable(&app));
    tokio::spawn(async move {
        let _waiting = waiting;
        let mut tail = Tail {
            app,
            query,
            next: since,
            events,
            eyes,
        };
        if let Err(error) = tail.run(text).await {
            let told = Event::default()
                .event("error")
                .data(json!({"error": error.message()}).to_string());
            let _ = tail.events.send(Ok(told)).await;
        }
    });
    Ok(Sse::new(ReceiverStream::new(stream)))
}

fn searchable(app: &App) -> u64 {
    app.searchable.load(std::sync::atomic::Ordering::Relaxed)
}

struct Tail {
    app: App,
    query: search::Query,
    /// Leaves below were looked at.
    next: u64,
    events: mpsc::Sender<Result<Event, Infallible>>,
    eyes: Eyes,
}

impl Tail {
    /// Until the reader has gone or the server stops.
    async fn run(&mut self, text: LedgerText) -> Result<(), ApiError> {
        let text = std::sync::Arc::new(text);
        let mut told = tokio::time::Instant::now();
        let mut greeted = false;
        loop {
            text.question().demand_asker()?;
            let up_to = searchable(&self.app);
            if up_to > self.next || !greeted || told.elapsed() >= BEAT {
                if up_to > self.next && !self.hits(up_to, &text).await? {
                    return Ok(());
                }
                self.next = self.next.max(up_to);
                let beat = Event::default()
                    .event("searched")
                    .data(json!({"up_to": self.next}).to_string());
                if self.events.send(Ok(beat)).await.is_err() {
                    return Ok(());
                }
                (told, greeted) = (tokio::time::Instant::now(), true);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.events.closed() => return Ok(()),
            }
            if !self.app.ready.load(std::sync::atomic::Ordering::Relaxed) && greeted {
                return Ok(());
            }
        }
    }

    /// Sends what lies between; `false` where nobody reads any more.
    async fn hits(&self, up_to: u64, text: &std::sync::Arc<LedgerText>) -> Result<bool, ApiError> {
        let range = format!("index:[{} TO {}}}", self.next, up_to);
        let mut request = Request {
            sort: Sort::Oldest,
            limit: PAGE_MAX,
            ..Request::new(self.query.clone().and(asking::query(&self.app, &range)?))
        };
        loop {
            let (app, asked, text, eyes) = (self.app.clone(), request.clone(), text.clone(), self.eyes.clone());
            let page = tokio::task::spawn_blocking(move || {
                let answer = app.searcher.search(&asked, &*text).map_err(refusal)?;
                let hits = answer.hits.iter().map(|h| Ok((h.index, shown(&app, h, &text, &eyes)?)));
                Ok::<_, ApiError>((
                    hits.collect::<Result<Vec<(LedgerIndex, Value)>, ApiError>>()?,
                    answer.next,
                ))
            });
            let (hits, next) = page.await.map_err(ApiError::internal)??;
            for (index, hit) in hits {
                let event = Event::default()
                    .event("hit")
                    .id(index.0.to_string())
                    .data(hit.to_string());
                if self.events.send(Ok(event)).await.is_err() {
                    return Ok(false);
                }
            }
            match next {
                Some(next) => request.after = Some(next),
                None => return Ok(true),
            }
        }
    }
}
