//! Saved searches: `GET /api/v1/saved`, `GET`, `PUT` and `DELETE /api/v1/saved/{name}`. They lie in `saved.json` of the data
//! folder; each change is an act in the ledger.

use std::collections::BTreeMap;
use std::path::{Path as File, PathBuf};
use std::sync::Mutex;

use axum::Json;
use axum::extract::{Path, State};
use model::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::{App, lock};
use crate::asking;
use crate::auth::Right;
use crate::kept::{self, write_whole};

/// Searches that are kept.
const SAVED_MAX: usize = 1000;

/// A search that was given a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    /// The query.
    pub q: String,
    /// From this time on, as it is written (`7d` is seven days before it is run).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub note: String,
    /// Who saved it.
    #[serde(default)]
    pub by: String,
    /// When.
    #[serde(default)]
    pub at: Millis,
}

/// The saved searches of a data folder.
#[derive(Debug)]
pub struct Searches {
    path: PathBuf,
    by_name: Mutex<BTreeMap<String, Saved>>,
}

impl Searches {
    /// Reads them; without a file there are none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn open(data: &File) -> anyhow::Result<Searches> {
        let path = data.join("saved.json");
        let by_name: BTreeMap<_, _> = kept::read(&path, "restore or remove it")?.unwrap_or_default();
        Ok(Searches {
            path,
            by_name: Mutex::new(by_name),
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Saved>)) -> anyhow::Result<()> {
        let mut all = lock(&self.by_name);
        let mut new = all.clone();
        change(&mut new);
        write_whole(&self.path, &serde_json::to_vec_pretty(&new)?)?;
        *all = new;
        Ok(())
    }

    fn get(&self, name: &str) -> Option<Saved> {
        lock(&self.by_name).get(name).cloned()
    }
}

/// All of them.
pub async fn list(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let all = lock(&app.saved.by_name).clone();
    let shown = |(name, saved): (String, Saved)| {
        let mut row = json!(saved);
        row["name"] = name.into();
        row["at"] = saved.at.to_string().into();
        row
    };
    Ok(Json(json!({"saved": all.into_iter().map(shown).collect::<Vec<_>>()})))
}

/// One.
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    app.saved
        .get(&name)
        .map(|s| Json(json!(s)))
        .ok_or_else(|| missing(&name))
}

/// Saves one, in place of one of that name.
pub async fn put(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
    Json(mut saved): Json<Saved>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let fine = !name.is_empty()
        && name.chars().count() <= 64
        && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
    if !fine {
        return Err(ApiError::bad_request(
            "a search's name is 1 to 64 letters, digits and . _ -".into(),
        ));
    }
    // What cannot be run is not kept.
    asking::request(&app, &saved.q, saved.from.as_deref(), saved.to.as_deref())?;
    saved.by = caller.name();
    saved.at = app.clock.now();
    if lock(&app.saved.by_name).len() >= SAVED_MAX && app.saved.get(&name).is_none() {
        return Err(ApiError::bad_request(format!(
            "{SAVED_MAX} searches are saved; remove one first"
        )));
    }
    let detail = json!({"name": name, "q": saved.q, "from": saved.from, "to": saved.to, "note": saved.note});
    app.spine.act("saved_search.update", &caller, detail).await?;
    let kept = saved.clone();
    app.saved
        .change(|all| drop(all.insert(name, kept)))
        .map_err(ApiError::internal)?;
    Ok(Json(json!(saved)))
}

/// Removes one.
pub async fn delete(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    let saved = app.saved.get(&name).ok_or_else(|| missing(&name))?;
    app.spine
        .act("saved_search.delete", &caller, json!({"name": name, "q": saved.q}))
        .await?;
    app.saved
        .change(|all| drop(all.remove(&name)))
        .map_err(ApiError::internal)?;
    Ok(Json(json!({"removed": name})))
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!(
        "no search is saved as `{}`",
        name.chars().take(64).collect::<String>()
    ))
}
