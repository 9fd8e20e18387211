//! Who was refused what: an act `access.refuse` (LA-10), at most one a minute for each caller and path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use model::Millis;
use serde_json::json;

use super::Peer;
use crate::app::{App, lock};
use crate::auth::Caller;

const MINUTE_MS: i64 = 60_000;
/// Callers and paths that are remembered; when there are more, all are forgotten.
const REMEMBERED_MAX: usize = 1_000;
/// Characters of a path that are told.
const PATH_MAX: usize = 200;

/// When whom was told of last.
#[derive(Clone)]
pub struct Refusals {
    app: App,
    told: Arc<Mutex<HashMap<(String, String), Millis>>>,
}

impl Refusals {
    /// Nobody was refused yet.
    pub fn new(app: App) -> Refusals {
        Refusals {
            app,
            told: Arc::default(),
        }
    }

    /// Whether this one is told.
    fn is_new(&self, who: &str, path: &str, now: Millis) -> bool {
        let mut told = lock(&self.told);
        let key = (who.to_owned(), path.to_owned());
        if told.get(&key).is_some_and(|at| now - *at < MINUTE_MS) {
            return false;
        }
        if told.len() >= REMEMBERED_MAX {
            told.clear();
        }
        told.insert(key, now);
        true
    }
}

/// Records a request that was refused for want of a right.
pub async fn record(State(refusals): State<Refusals>, request: Request, next: Next) -> Response {
    let app = &refusals.app;
    let caller = match crate::auth::token_of(request.headers()) {
        Some(token) => app.tokens.caller(&token),
        None => match request.extensions().get::<ConnectInfo<Peer>>() {
            Some(ConnectInfo(Peer::Unix { uid })) => Some(Caller::Local { uid: *uid }),
            _ => None,
        },
    };
    let method = request.method().to_string();
    let path: String = request.uri().path().chars().take(PATH_MAX).collect();
    let ip = match request.extensions().get::<ConnectInfo<Peer>>() {
        Some(ConnectInfo(Peer::Tcp(at))) => Some(at.ip().to_string()),
        _ => None,
    };
    let response = next.run(request).await;
    if let (StatusCode::FORBIDDEN, Some(caller)) = (response.status(), caller)
        && refusals.is_new(&caller.name(), &path, app.clock.now())
    {
        let reason = "the role has no right to it";
        let detail = json!({"success": false, "reason": reason, "method": method, "path": path, "ip": ip});
        if let Err(error) = app.spine.act("access.refuse", &caller, detail).await {
            tracing::warn!(%error, "Refusal not recorded.");
        }
    }
    response
}
