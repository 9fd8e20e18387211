//! Reads reference tables from a folder: one file a table, named after it, JSON or CSV.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use detect::reference::Tables;

use crate::exit::{CONFIGURATION, failure};

/// Bytes of one table at most.
pub const TABLE_BYTES_MAX: u64 = 256 << 20;

/// Loads every `*.json` and `*.csv` of a folder; no folder, no tables.
///
/// # Errors
/// The operator's (exit 3): a file cannot be read or is not a table; says which and why.
pub fn load(dir: Option<&Path>) -> anyhow::Result<Tables> {
    load_with(dir, None)
}

/// Loads a folder's tables, one of them of other bytes than its file's.
///
/// # Errors
/// As [`load`].
pub fn load_with(dir: Option<&Path>, instead: Option<(&str, &[u8])>) -> anyhow::Result<Tables> {
    let mut tables = Tables::default();
    let Some(dir) = dir else { return Ok(tables) };
    let wrong = |e: String| failure(CONFIGURATION, format!("reference tables: {e}"));
    for path in files(dir).map_err(|e| wrong(format!("{e:#}")))? {
        let name = table_of(&path);
        if instead.is_some_and(|(other, _)| other == name) {
            continue;
        }
        let bytes = read(&path).map_err(|e| wrong(format!("{e:#}")))?;
        tables
            .load(name, &bytes)
            .map_err(|e| wrong(format!("{}: {e}", path.display())))?;
    }
    if let Some((name, bytes)) = instead {
        tables.load(name, bytes).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(tables)
}

/// The files of the tables in a folder, in the order in which they are read.
///
/// # Errors
/// The folder cannot be read.
pub fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json" || e == "csv"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// The table that a file holds.
pub fn table_of(path: &Path) -> &str {
    path.file_stem().and_then(|s| s.to_str()).unwrap_or_default()
}

/// The bytes of a table's file.
///
/// # Errors
/// It cannot be read, or is larger than a table may be; says which file.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let size = path.metadata().with_context(|| shown.to_string())?.len();
    anyhow::ensure!(
        size <= TABLE_BYTES_MAX,
        "{shown} has {size} bytes, at most {TABLE_BYTES_MAX}"
    );
    std::fs::read(path).with_context(|| shown.to_string())
}

/// The table of the sources that the configuration names: of those that the register does not name, some policy may say
/// that they never sent anything.
const CONFIGURED: &str = "docket_sources";

/// A source that the configuration names, and by which of its sections.
pub type Configured = (String, &'static str);

/// Adds the table of the configured sources (`source`, `transport`, `registered`; with `lives`, where a server runs by the machine's clock, Docket's own acts among them), unless the operator gives one.
///
/// # Errors
/// Never, as far as anybody knows: the table is Docket's own.
pub fn add_configured(tables: &mut Tables, configured: &[Configured], lives: bool) -> anyhow::Result<()> {
    if tables.get(CONFIGURED).is_some() {
        return Ok(());
    }
    let register = tables.get("source_register").map(|t| t.rows()).unwrap_or_default();
    let registered = |source: &str| {
        register
            .iter()
            .any(|row| row["source"].as_str().is_some_and(|s| s.eq_ignore_ascii_case(source)))
    };
    // Docket itself, so that policies about its own running can tell whether it runs.
    let own = serde_json::json!({"source": "docket", "transport": "own", "registered": true});
    let rows: Vec<_> = configured
        .iter()
        .map(|(source, transport)| {
            serde_json::json!({"source": source, "transport": transport, "registered": registered(source)})
        })
        .chain(lives.then_some(own))
        .collect();
    tables.load(CONFIGURED, &serde_json::to_vec(&rows)?)?;
    Ok(())
}

/// Each table's version, by name, for the ledger.
pub fn versions(tables: &Tables) -> BTreeMap<String, String> {
    tables
        .iter()
        .map(|t| (t.name().to_owned(), t.version().to_owned()))
        .collect()
}
