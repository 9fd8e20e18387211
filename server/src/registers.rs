//! The folder of reference tables as people change it: a table is put in place whole, or not at all, and the change is an act of its
//! own in the ledger (`reference.import`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use detect::reference::{Difference, PROBLEMS_MAX, Problem, Tables, difference, nearest, schema};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Caller;
use crate::kept::write_whole;
use crate::reference::{self, TABLE_BYTES_MAX};
use crate::serve::Reloader;

/// Letters of a table's name.
const NAME_MAX: usize = 64;
/// Keys of rows that the act names, of each kind.
const KEYS_TOLD: usize = 20;

/// See the module.
pub struct Registers {
    dir: Option<PathBuf>,
    age_ms_max: Option<i64>,
    turn: Arc<tokio::sync::Mutex<()>>,
    reloader: OnceLock<Reloader>,
}

/// Why a table was not put in place.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The table's author has to mend it.
    #[error("{}", told(.0))]
    Wrong(Vec<String>),
    /// The operator has to do something first.
    #[error("{0}")]
    NotHere(String),
    /// The act cannot be recorded.
    #[error("refused, because it cannot be recorded: {0}")]
    NotRecorded(String),
    /// Our fault, or the disk's.
    #[error("{0}")]
    Failed(String),
}

fn told(problems: &[String]) -> String {
    let more = problems.len().saturating_sub(10);
    let shown = problems.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    if more > 0 {
        format!("{shown}\nand {more} more")
    } else {
        shown
    }
}

/// Rows of a table as they are kept, and what is wrong with them.
pub struct Checked {
    /// The rows, tidied by the table's schema.
    pub rows: Vec<Value>,
    /// The line in which each begins, from 1.
    pub lines: Vec<usize>,
    /// What is wrong, and hints; in the order of rows.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// A problem as it is told: where, what, what is allowed.
    pub fn line(&self, table: &str, problem: &Problem) -> String {
        let line = self.lines.get(problem.row).copied().unwrap_or(0);
        let key = match (schema(table), self.rows.get(problem.row)) {
            (Some(schema), Some(row)) if row.is_object() => {
                format!(" ({} {})", schema.key.join(" "), schema.key_of(row))
            }
            _ => String::new(),
        };
        let kind = if problem.hint { "hint: " } else { "" };
        let given = if problem.given.is_empty() {
            String::new()
        } else {
            format!(" `{}`", problem.given)
        };
        format!(
            "line {line}, row {}{key}, column `{}`: {kind}{}{}{}",
            problem.row + 1,
            problem.column,
            given.trim_start(),
            if given.is_empty() { "" } else { " " },
            problem.allowed
        )
    }

    /// Whether nothing but hints was found.
    pub fn is_right(&self) -> bool {
        self.problems.iter().all(|p| p.hint)
    }

    /// The table as it is kept in its file: a row a line.
    pub fn document(&self) -> Vec<u8> {
        let rows: Vec<String> = self.rows.iter().map(Value::to_string).collect();
        if rows.is_empty() {
            return b"[]\n".to_vec();
        }
        format!("[\n{}\n]\n", rows.join(",\n")).into_bytes()
    }
}

/// Reads and checks a table. With `others`, what it refers to there is looked for.
///
/// # Errors
/// The author's: it is no table at all; says why.
pub fn check(table: &str, bytes: &[u8], others: &Tables) -> Result<Checked, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if table.is_empty() || table.len() > NAME_MAX || !table.chars().all(is_name) {
        return Err(format!(
            "`{table}` is no name of a table: at most {NAME_MAX} of a-z, 0-9 and _; tables are called {}",
            names().join(", ")
        ));
    }
    let known = schema(table);
    if let (None, Some(near)) = (known, nearest(table, names().into_iter())) {
        return Err(format!("no policy of ours reads a table `{table}`; is it `{near}`?"));
    }
    let given = detect::reference::read(bytes).map_err(|e| e.to_string())?;
    let rows: Vec<Value> = given
        .rows
        .into_iter()
        .map(|row| known.map_or_else(|| row.clone(), |s| s.tidy(&row)))
        .collect();
    let mut checked = Checked {
        lines: given.lines,
        problems: Vec::new(),
        rows,
    };
    if let Some(row) = checked.rows.iter().position(|r| !r.is_object()) {
        let given = checked.rows[row].to_string().chars().take(80).collect();
        checked.problems.push(Problem {
            row,
            column: "-".to_owned(),
            given,
            allowed: "a row is an object: {\"column\": value, …}".to_owned(),
            hint: false,
        });
        return Ok(checked);
    }
    if let Some(schema) = known {
        let rows: Vec<Arc<Value>> = checked.rows.iter().cloned().map(Arc::new).collect();
        checked.problems = schema.check(&rows, others.zone());
        checked.problems.extend(schema.unresolved(&rows, others));
        checked.problems.sort_by_key(|p| p.row);
        checked.problems.truncate(PROBLEMS_MAX);
    }
    // What the engine itself cannot read: validity of tables without a schema, a calendar without hours.
    if checked.is_right() {
        let mut alone = others.clone();
        alone
            .load(table, &checked.document())
            .map_err(|e| e.fault.to_string())?;
    }
    Ok(checked)
}

fn names() -> Vec<&'static str> {
    detect::reference::SCHEMAS.iter().map(|s| s.table).collect()
}

/// What differs, as numbers and keys.
pub fn counted(table: &str, difference: &Difference<'_>) -> Value {
    let keys = |rows: Vec<&Value>| -> Vec<String> {
        let named = rows.into_iter().take(KEYS_TOLD);
        named.filter_map(|row| Some(schema(table)?.key_of(row))).collect()
    };
    json!({
        "added": difference.added.len(), "removed": difference.removed.len(), "changed": difference.changed.len(),
        "keys_added": keys(difference.added.clone()), "keys_removed": keys(difference.removed.clone()),
        "keys_changed": keys(difference.changed.iter().map(|c| c.1).collect()),
    })
}

impl Registers {
    /// Tables of a folder; without one none can be put in place.
    pub fn new(dir: Option<PathBuf>, age_ms_max: Option<i64>) -> Registers {
        Registers {
            dir,
            age_ms_max,
            turn: Arc::default(),
            reloader: OnceLock::new(),
        }
    }

    /// What is held while tables are being changed.
    pub fn turn(&self) -> Arc<tokio::sync::Mutex<()>> {
        self.turn.clone()
    }

    /// How tables come into use, where a server runs.
    pub fn put_in_place_by(&self, reloader: Reloader) {
        // Set once, at the start.
        let _ = self.reloader.set(reloader);
    }

    /// The folder, and how old its files may be, milliseconds.
    pub fn folder(&self) -> Option<(&Path, Option<i64>)> {
        Some((self.dir.as_deref()?, self.age_ms_max))
    }

    /// Checks a table, records the import, puts the table in its file's place and into use.
    ///
    /// # Errors
    /// See [`Refusal`]; the old table stays, but where `Failed` says otherwise.
    pub async fn import(
        &self,
        app: &App,
        caller: &Caller,
        table: &str,
        bytes: Vec<u8>,
        reason: &str,
    ) -> Result<Value, Refusal> {
        let Some(dir) = self.dir.clone() else {
            let why = "the server has no folder of reference tables; name one in its configuration (reference = \"…\") and start it";
            return Err(Refusal::NotHere(why.to_owned()));
        };
        let _turn = self.turn.lock().await;
        let (name, held) = (table.to_owned(), app.tables());
        let looked = tokio::task::spawn_blocking(move || prepared(&dir, &name, &bytes, &held));
        let Prepared { detail, document, dir } = looked.await.map_err(|e| Refusal::Failed(e.to_string()))??;
        let mut act = detail.clone();
        if !reason.is_empty() {
            act["reason_given"] = reason.into();
        }
        let recorded = app.spine.act("reference.import", caller, act).await;
        recorded.map_err(|e| Refusal::NotRecorded(e.to_string()))?;
        let name = table.to_owned();
        let put = move || -> anyhow::Result<()> {
            write_whole(&dir.join(format!("{name}.json")), &document)?;
            // JSON is read after CSV: from the line above on the new table is the one that counts.
            match std::fs::remove_file(dir.join(format!("{name}.csv"))) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
                _ => Ok(()),
            }
        };
        let put = tokio::task::spawn_blocking(put).await;
        put.map_err(|e| Refusal::Failed(e.to_string()))?
            .map_err(|e| Refusal::Failed(format!("{table} was not written: {e:#}")))?;
        if let Some(reloader) = self.reloader.get() {
            let used = reloader.reload_in_turn().await;
            used.map_err(|e| Refusal::Failed(format!("{table} is in its file, and not in use: {e:#}")))?;
        }
        Ok(detail)
    }
}

struct Prepared {
    detail: Value,
    document: Vec<u8>,
    dir: PathBuf,
}

fn prepared(dir: &Path, table: &str, bytes: &[u8], held: &Tables) -> Result<Prepared, Refusal> {
    if bytes.len() as u64 > TABLE_BYTES_MAX {
        let why = format!("{} bytes, at most {TABLE_BYTES_MAX}", bytes.len());
        return Err(Refusal::Wrong(vec![why]));
    }
    let checked = check(table, bytes, held).map_err(|e| Refusal::Wrong(vec![format!("{table}: {e}")]))?;
    if !checked.is_right() {
        let grave = checked.problems.iter().filter(|p| !p.hint);
        let lines = grave.map(|p| format!("{table}: {}", checked.line(table, p)));
        return Err(Refusal::Wrong(lines.collect()));
    }
    let document = checked.document();
    // With it in its place all tables have to load, or the next start would not.
    let all =
        reference::load_with(Some(dir), Some((table, &document))).map_err(|e| Refusal::NotHere(format!("{e:#}")))?;
    let (old, new) = (held.get(table), all.get(table));
    let old_rows: Vec<Value> = old
        .map(|t| t.given().iter().map(|r| Value::clone(r)).collect())
        .unwrap_or_default();
    let old_rows: Vec<Value> = match schema(table) {
        Some(schema) => old_rows.iter().map(|r| schema.tidy(r)).collect(),
        None => old_rows,
    };
    let difference = difference(schema(table), &old_rows, &checked.rows);
    let mut detail = json!({
        "table": table, "version": new.map(|t| t.version()), "version_before": old.map(|t| t.version()),
        "rows": checked.rows.len(), "rows_before": old.map(|t| t.given().len()), "has_changed": !difference.is_empty(),
    });
    if let (Value::Object(detail), Value::Object(counts)) = (&mut detail, counted(table, &difference)) {
        detail.extend(counts);
    }
    Ok(Prepared {
        detail,
        document,
        dir: dir.to_owned(),
    })
}
