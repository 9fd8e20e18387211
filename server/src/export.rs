//! Exports, part by part. A job is one file in `exports/` of the data folder: what is exported, up to which ledger position,
//! and of each part that was made its rows and its hash; so it goes on after any interruption, and a part that is made
//! again has the same bytes.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use model::{LedgerIndex, Millis};
use rand::RngCore as _;
use search::export::{Encoder, Format, Row};
use search::{Request, Sort};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::{ApiError, records, search as api_search};
use crate::app::App;
use crate::asking::{self, LedgerText, refusal};
use crate::kept::write_whole;
use crate::pseudonyms::Pseudonyms;

/// Rows of a part where nothing is said.
const PART_ROWS: u64 = 100_000;
/// Rows of a part at most.
const PART_ROWS_MAX: u64 = 1_000_000;
/// Rows that are looked for at once: each look counts all that match.
const PAGE: usize = 10_000;
/// How long a finished export can be fetched again, and how long an unfinished one can be gone on with, since it was begun.
const FINISHED_KEPT: Duration = Duration::from_secs(7 * 86_400);
const UNFINISHED_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Bytes that gather before they are sent.
const PIECE_BYTES: usize = 256 << 10;
/// Characters of the name of a case.
const CASE_MAX: usize = 200;

/// What is to be exported.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The query; empty exports everything.
    #[serde(default)]
    pub q: String,
    /// From this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How rows are written.
    pub format: Format,
    /// What is hidden besides secrets.
    #[serde(default)]
    pub mask: Mask,
    /// The case that it is made for (LA-13); without one it proves nothing to anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Rows of a part, 1 to 1 000 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_rows: Option<u64>,
}

/// What is hidden. Secrets always are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// Nothing more.
    #[default]
    Secrets,
    /// Who it was: names, ids, addresses of people are replaced, each by the same word throughout the export; the raw
    /// line is left out.
    Personal,
}

impl Asked {
    /// Refuses what is out of bounds.
    pub fn check(&self) -> Result<(), ApiError> {
        if self
            .case
            .as_deref()
            .is_some_and(|c| c.trim().is_empty() || c.chars().count() > CASE_MAX)
        {
            return Err(ApiError::bad_request(format!("case: give 1 to {CASE_MAX} characters")));
        }
        match self.part_rows.unwrap_or(PART_ROWS) {
            1..=PART_ROWS_MAX => Ok(()),
            n => Err(ApiError::bad_request(format!(
                "part_rows {n}: give 1 to {PART_ROWS_MAX}"
            ))),
        }
    }
}

/// A part that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// The name of its file.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// The place of its last row; the next part begins after it.
    pub last: Option<String>,
    /// Whether no row follows.
    pub is_last: bool,
}

/// An export.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What is exported.
    pub asked: Asked,
    /// From when on, resolved.
    pub from: Option<Millis>,
    /// Before when, resolved.
    pub to: Option<Millis>,
    /// Records of leaves below this one.
    pub up_to: LedgerIndex,
    /// What was durable when it was asked for.
    pub durable: LedgerIndex,
    /// Who exports.
    pub by: String,
    /// Since when.
    pub at: Millis,
    /// What pseudonyms are made with.
    salt: String,
    /// What was made.
    pub parts: Vec<Part>,
    /// Events of the time range that were looked through.
    pub in_range: u64,
    /// The manifest, once it is whole.
    pub manifest: Option<String>,
    /// The leaf that tells of the manifest.
    pub act: Option<LedgerIndex>,
}

impl Job {
    /// A new one.
    pub fn new(
        asked: &Asked,
        request: &Request,
        up_to: LedgerIndex,
        durable: LedgerIndex,
        by: &str,
        at: Millis,
    ) -> Job {
        let mut random = [0u8; 24];
        rand::rng().fill_bytes(&mut random);
        Job {
            id: hex::encode(&random[..8]),
            asked: asked.clone(),
            from: request.from,
            to: request.to,
            up_to,
            durable,
            by: by.to_owned(),
            at,
            salt: hex::encode(&random[8..]),
            parts: Vec::new(),
            in_range: 0,
            manifest: None,
            act: None,
        }
    }

    /// Whether every part was made.
    pub fn is_whole(&self) -> bool {
        self.parts.last().is_some_and(|p| p.is_last)
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|p| p.rows).sum()
    }

    /// An export is its owner's alone.
    pub fn demand(&self, caller: &str) -> Result<(), ApiError> {
        if self.by == caller {
            return Ok(());
        }
        let message = format!("export {} is {}'s; make one of your own", self.id, self.by);
        Err(ApiError::new(StatusCode::FORBIDDEN, message))
    }

    /// As its owner sees it.
    pub fn shown(&self) -> Value {
        json!({
            "id": self.id, "export": self.asked, "from": self.from.map(|t| t.to_string()),
            "to": self.to.map(|t| t.to_string()), "up_to": self.up_to, "waiting": self.durable.0.saturating_sub(self.up_to.0),
            "by": self.by, "at": self.at.to_string(), "rows": self.rows(), "parts": self.parts, "whole": self.is_whole(),
            "in_range": self.in_range,
        })
    }

    /// What the export is, for ever. Its checkpoint covers every exported record.
    pub fn manifest(&self, app: &App) -> Result<String, ApiError> {
        let checkpoint = app.reader.last_checkpoint().map_err(ApiError::internal)?;
        let Some(checkpoint) = checkpoint.filter(|c| c.size >= self.up_to.0) else {
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no checkpoint covers the exported records yet; ask again".to_owned(),
            ));
        };
        let manifest = json!({
            "docket_export": 1,
            "id": self.id,
            "by": self.by,
            "begun_at": self.at.to_string(),
            "finished_at": app.clock.now().to_string(),
            "docket": env!("CARGO_PKG_VERSION"),
            "query": {"q": self.asked.q, "from": self.from.map(|t| t.to_string()), "to": self.to.map(|t| t.to_string()),
                "order": "time, ledger index, event"},
            "format": self.asked.format,
            "mask": self.asked.mask,
            "columns": search::export::columns(),
            "rows": self.rows(),
            "searched": {"in_range": self.in_range, "up_to": self.up_to,
                "waiting": self.durable.0.saturating_sub(self.up_to.0)},
            "ledger": {"from": 0, "up_to": self.up_to, "root": base64::prelude::BASE64_STANDARD.encode(checkpoint.root),
                "size": checkpoint.size, "checkpoint": checkpoint.note,
                "vkey": app.reader.vkey().map_err(ApiError::internal)?},
            "parts": self.parts,
        });
        Ok(format!("{manifest:#}\n"))
    }

    fn request(&self, app: &App) -> Result<Request, ApiError> {
        let up_to = asking::query(app, &format!("index:<{}", self.up_to))?;
        Ok(Request {
            from: self.from,
            to: self.to,
            sort: Sort::Oldest,
            limit: PAGE,
            ..Request::new(asking::query_at(app, &self.asked.q, self.at)?.and(up_to))
        })
    }
}

/// The jobs of a data folder.
pub struct Jobs(pub PathBuf);

impl Jobs {
    /// Stores a job.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, job: &Job) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        write_whole(&self.0.join(format!("{}.json", job.id)), &serde_json::to_vec(job)?)
    }

    /// Forgets those that were begun too long ago; what they exported is in the ledger's acts. A file that is no job stays.
    ///
    /// # Errors
    /// The disk's.
    pub fn expire(&self, now: Millis) -> anyhow::Result<()> {
        let files = match std::fs::read_dir(&self.0) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        for file in files {
            let path = file?.path();
            let Some(job) = std::fs::read(&path)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Job>(&bytes).ok())
            else {
                continue;
            };
            let kept = if job.act.is_some() {
                FINISHED_KEPT
            } else {
                UNFINISHED_KEPT
            };
            if now.0.saturating_sub(job.at.0) > kept.as_millis() as i64 {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Reads a job.
    ///
    /// # Errors
    /// There is none of that id, or it cannot be read.
    pub fn load(&self, id: &str) -> Result<Job, ApiError> {
        let is_id = id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes = std::fs::read(self.0.join(format!("{id}.json"))).ok().filter(|_| is_id);
        let shown: String = id.chars().take(40).collect();
        let bytes = bytes.ok_or_else(|| ApiError::not_found(format!("there is no export `{shown}`")))?;
        serde_json::from_slice(&bytes).map_err(ApiError::internal)
    }
}

/// Makes part `number`, hands its bytes to `send` (`false`: nobody takes them), and stores what it is.
///
/// # Errors
/// The ledger's or the disk's; nobody waits for the part any more.
pub fn write_part(
    app: &App,
    mut job: Job,
    number: usize,
    text: &LedgerText,
    mut send: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), ApiError> {
    let mut request = job.request(app)?;
    let before = number
        .checked_sub(1)
        .and_then(|n| job.parts.get(n))
        .and_then(|p| p.last.clone());
    request.after = before.as_deref().map(str::parse).transpose().map_err(refusal)?;
    let mut names = Pseudonyms::new(&job.salt);
    let mut encoder = Encoder::new(job.asked.format).map_err(ApiError::internal)?;
    let (mut hash, mut bytes, mut rows, mut piece) = (Sha256::new(), 0u64, 0u64, Vec::new());
    let mut out = |more: Vec<u8>, piece: &mut Vec<u8>, end: bool| {
        hash.update(&more);
        bytes += more.len() as u64;
        piece.extend(more);
        (piece.len() < PIECE_BYTES && !end) || send(std::mem::take(piece))
    };
    let most = job.asked.part_rows.unwrap_or(PART_ROWS);
    let mut is_last = false;
    while rows < most && !is_last {
        request.limit = PAGE.min(usize::try_from(most - rows).unwrap_or(PAGE));
        let answer = app.searcher.search(&request, text).map_err(refusal)?;
        job.in_range = job.in_range.max(answer.searched.in_range);
        for hit in &answer.hits {
            text.question().demand_asker()?;
            text.question().read();
            let mut row = row(app, hit)?;
            if job.asked.mask == Mask::Personal {
                names.hide(&mut row.event);
            }
            encoder.push(row).map_err(ApiError::internal)?;
            if !out(encoder.take(), &mut piece, false) {
                return Ok(());
            }
            rows += 1;
        }
        request.after = answer.hits.last().map(|h| h.cursor).or(request.after);
        is_last = answer.next.is_none();
    }
    let rest = encoder.finish().map_err(ApiError::internal)?;
    if !out(rest, &mut piece, true) {
        return Ok(());
    }
    let part = Part {
        file: format!("part-{number:05}.{}", job.asked.format.extension()),
        rows,
        bytes,
        sha256: hex::encode(hash.finalize()),
        last: request.after.map(|c| c.to_string()),
        is_last,
    };
    match job.parts.get(number) {
        // Made before: it must be the same.
        Some(known) if known.sha256 == part.sha256 => Ok(()),
        Some(_) => Err(ApiError::internal(
            "an event of the export was put in another's place meanwhile; begin anew",
        )),
        None => {
            job.parts.push(part);
            Jobs(app.exports.clone()).save(&job).map_err(ApiError::internal)
        }
    }
}

fn row(app: &App, hit: &search::Hit) -> Result<Row, ApiError> {
    let mut event = records::event(app, &hit.leaves, &hit.uid).map_err(api_search::unreadable)?;
    records::set_processed(&mut event, hit.processed);
    let entry = app.reader.entry(hit.index).map_err(api_search::unreadable)?;
    let leaf = app.reader.leaf_bytes(hit.index).map_err(api_search::unreadable)?;
    Ok(Row {
        record: hit.uid.clone(),
        ledger_index: hit.index.0,
        leaf_sha256: hex::encode(ledger::leaf_hash(&leaf)),
        source: entry.record.source.to_string(),
        time: hit.time,
        received_at: entry.record.received_at,
        event,
    })
}

/// SHA-256, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn old_jobs_are_forgotten_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs(dir.path().join("exports"));
        jobs.expire(Millis(0)).unwrap();
        let asked: Asked = serde_json::from_str(r#"{"format": "csv"}"#).unwrap();
        let request = Request::new(search::Query::all());
        let day = |n: i64| Millis(n * 86_400_000);
        let mut ids = Vec::new();
        for (begun, is_finished) in [(0, true), (0, false), (20, true), (28, true), (20, false)] {
            let mut job = Job::new(&asked, &request, LedgerIndex(1), LedgerIndex(1), "a", day(begun));
            job.act = is_finished.then_some(LedgerIndex(5));
            jobs.save(&job).unwrap();
            ids.push(job.id);
        }
        std::fs::write(jobs.0.join("note.txt"), "mine").unwrap();
        jobs.expire(day(31)).unwrap();
        let left: Vec<bool> = ids.iter().map(|id| jobs.load(id).is_ok()).collect();
        assert_eq!(left, [false, false, false, true, true]);
        assert!(jobs.0.join("note.txt").exists());
    }
}
