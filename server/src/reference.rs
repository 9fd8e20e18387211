//! Reads reference tables from a folder: one file a table, named after it, JSON or CSV.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use detect::reference::Tables;

use crate::exit::{CONFIGURATION, failure};

/// Bytes of one table at most.
const TABLE_BYTES_MAX: u64 = 256 << 20;

/// Loads every `*.json` and `*.csv` of a folder; no folder, no tables.
///
/// # Errors
/// The operator's (exit 3): a file cannot be read or is not a table; says which and why.
pub fn load(dir: Option<&Path>) -> anyhow::Result<Tables> {
    let mut tables = Tables::default();
    let Some(dir) = dir else { return Ok(tables) };
    let wrong = |e: String| failure(CONFIGURATION, format!("reference tables: {e}"));
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())
        .map_err(|e| wrong(format!("{e:#}")))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json" || e == "csv"))
        .collect();
    paths.sort();
    for path in paths {
        let shown = path.display();
        let size = path.metadata().map_err(|e| wrong(format!("{shown}: {e}")))?.len();
        if size > TABLE_BYTES_MAX {
            return Err(wrong(format!("{shown} has {size} bytes, at most {TABLE_BYTES_MAX}")));
        }
        let bytes = std::fs::read(&path).map_err(|e| wrong(format!("{shown}: {e}")))?;
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        tables.load(name, &bytes).map_err(|e| wrong(format!("{shown}: {e}")))?;
    }
    Ok(tables)
}

/// Each table's version, by name, for the ledger.
pub fn versions(tables: &Tables) -> BTreeMap<String, String> {
    tables
        .iter()
        .map(|t| (t.name().to_owned(), t.version().to_owned()))
        .collect()
}
