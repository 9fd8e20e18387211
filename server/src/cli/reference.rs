//! `docket reference`

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use detect::reference::{Tables, difference, schema};
use serde_json::{Value, json};

use super::client::Client;
use super::output::{OutputArg, inert, write};
use super::{Target, block_on};
use crate::exit::{FOUND, USAGE, failure};
use crate::reference::{TABLE_BYTES_MAX, files, read, table_of};
use crate::registers::{Checked, check};

/// Reference tables: who works here, whose which account is, what was approved
#[derive(clap::Subcommand)]
#[command(
    after_help = "A table is JSON (an array of rows, or a row a line), CSV, or the records of a Kafka topic as `kcat -C -J` prints \
    them (of each key the last value counts).\n\nExamples:\n  \
    docket reference validate policies/reference-example\n  \
    docket reference import hr_roster.csv --reason 'monthly export of HR'\n  \
    kcat -C -J -e -q -b broker:9092 -t registers.accounts | docket reference import - --table account_registry\n  \
    docket reference diff hr_roster.csv\n  docket reference list"
)]
pub enum Command {
    /// Put a table in place of the one that the server holds: checked, recorded, and whole or not at all
    Import {
        /// The table; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Which table it is (default: the file's name without its ending)
        #[arg(long)]
        table: Option<String>,
        /// Why; it is recorded with the import
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// Say what is wrong with tables, with file, line, row and column; exit code 2 when something is
    Validate {
        /// Files of tables, or folders of them, whose tables may refer to one another
        #[arg(value_name = "FILE|DIR", required = true)]
        paths: Vec<PathBuf>,
        /// Which table it is, of a single file (default: the file's name without its ending)
        #[arg(long)]
        table: Option<String>,
    },
    /// Say which rows differ between the server's table and a file, or between two files; exit code 1 when some do
    Diff {
        /// The old file, where two are given; else the new one, and the server's is the old
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The new file
        #[arg(value_name = "NEW")]
        new: Option<PathBuf>,
        /// Which table it is (default: the file's name without its ending)
        #[arg(long)]
        table: Option<String>,
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
    /// List the server's tables: version, rows, age, and what is stale
    List {
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Import {
            file,
            table,
            reason,
            target,
        } => import(&file, table, &reason, &target),
        Command::Validate { paths, table } => validate(&paths, table.as_deref()),
        Command::Diff {
            file,
            new,
            table,
            output,
            target,
        } => diff(&file, new.as_deref(), table, output, &target),
        Command::List { output, target } => list(output, &target),
    }
}

fn bytes_of(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return read(file).map_err(|e| failure(USAGE, format!("{e:#}")));
    }
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(TABLE_BYTES_MAX + 1);
    input.read_to_end(&mut bytes).context("standard input")?;
    Ok(bytes)
}

fn name_of(file: &Path, table: Option<String>) -> anyhow::Result<String> {
    match table {
        Some(table) => Ok(table),
        None if file.as_os_str() == "-" => Err(failure(USAGE, "standard input has no name; give --table")),
        None => Ok(table_of(file).to_owned()),
    }
}

/// Checks a table and tells what is wrong with it on standard error.
fn looked_at(file: &Path, table: &str, bytes: &[u8], others: &Tables) -> anyhow::Result<Checked> {
    let shown = file.display();
    let checked = check(table, bytes, others).map_err(|e| failure(USAGE, format!("{shown}: {e}")))?;
    for problem in &checked.problems {
        eprintln!("{shown}: {}", inert(&checked.line(table, problem)));
    }
    Ok(checked)
}

fn right(file: &Path, table: &str, bytes: &[u8]) -> anyhow::Result<Checked> {
    let checked = looked_at(file, table, bytes, &Tables::default())?;
    let wrong = checked.problems.iter().filter(|p| !p.hint).count();
    if wrong > 0 {
        let why = format!("{}: {wrong} errors; nothing was changed", file.display());
        return Err(failure(USAGE, why));
    }
    Ok(checked)
}

fn import(file: &Path, table: Option<String>, reason: &str, target: &Target) -> anyhow::Result<ExitCode> {
    let table = name_of(file, table)?;
    let bytes = bytes_of(file)?;
    right(file, &table, &bytes)?;
    block_on(async {
        let client = Client::connect(target).await?;
        let query = [("reason", reason.to_owned())];
        let done = client
            .put_bytes(&format!("/api/v1/reference/{table}"), &query, bytes)
            .await;
        client.close().await?;
        let done = done?;
        let before = done["version_before"].as_str().unwrap_or("none");
        println!(
            "{table}: {} rows, version {} (before: {before}); {} added, {} removed, {} changed",
            done["rows"],
            done["version"].as_str().unwrap_or_default(),
            done["added"],
            done["removed"],
            done["changed"]
        );
        Ok(ExitCode::SUCCESS)
    })
}

fn validate(paths: &[PathBuf], table: Option<&str>) -> anyhow::Result<ExitCode> {
    let (mut tables, mut wrong, mut hints) = (0, 0, 0);
    for path in paths {
        let (all, own) = if path.is_dir() {
            (files(path).map_err(|e| failure(USAGE, format!("{e:#}")))?, None)
        } else {
            (vec![path.clone()], table)
        };
        anyhow::ensure!(
            !all.is_empty(),
            failure(USAGE, format!("{}: no *.json or *.csv", path.display()))
        );
        // What the tables of a folder refer to in one another; a broken one is told below.
        let mut others = Tables::default();
        for file in all.iter().filter(|_| path.is_dir()) {
            if let Ok(bytes) = read(file) {
                let _ = others.load(table_of(file), &bytes);
            }
        }
        for file in &all {
            tables += 1;
            let name = own.unwrap_or_else(|| table_of(file));
            match looked_at(file, name, &bytes_of(file)?, &others) {
                Ok(checked) => {
                    let grave = checked.problems.iter().filter(|p| !p.hint).count();
                    wrong += grave;
                    hints += checked.problems.len() - grave;
                    if schema(name).is_none() {
                        hints += 1;
                        eprintln!(
                            "{}: hint: `{name}` has no schema; only its form was checked",
                            file.display()
                        );
                    }
                }
                Err(error) => {
                    wrong += 1;
                    eprintln!("{}", inert(&format!("{error:#}")));
                }
            }
        }
    }
    writeln!(std::io::stdout(), "{tables} tables, {wrong} errors, {hints} hints")?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    })
}

fn diff(
    file: &Path,
    new: Option<&Path>,
    table: Option<String>,
    output: OutputArg,
    target: &Target,
) -> anyhow::Result<ExitCode> {
    let table = name_of(new.unwrap_or(file), table)?;
    let first = right(file, &table, &bytes_of(file)?)?.rows;
    let (old, new) = match new {
        Some(new) => (first, right(new, &table, &bytes_of(new)?)?.rows),
        None => (held(&table, target)?, first),
    };
    let found = difference(schema(&table), &old, &new);
    let key = |row: &Value| match schema(&table) {
        Some(schema) => schema.key_of(row),
        None => row.to_string(),
    };
    let mut rows = Vec::new();
    for row in &found.removed {
        rows.push(json!({"change": "removed", "key": key(row), "old": row}));
    }
    for row in &found.added {
        rows.push(json!({"change": "added", "key": key(row), "new": row}));
    }
    for (old, new) in &found.changed {
        rows.push(json!({"change": "changed", "key": key(new), "columns": columns(old, new)}));
    }
    write(
        output.get(),
        &rows,
        &[
            ("CHANGE", |r| r["change"].as_str().unwrap_or_default().to_owned()),
            ("ROW", |r| r["key"].as_str().unwrap_or_default().to_owned()),
            ("COLUMNS", |r| {
                let columns = r["columns"].as_object().into_iter().flatten();
                let told = columns.map(|(name, v)| format!("{name}: {} -> {}", v["old"], v["new"]));
                told.collect::<Vec<_>>().join("; ")
            }),
        ],
    )?;
    eprintln!(
        "{table}: {} added, {} removed, {} changed",
        found.added.len(),
        found.removed.len(),
        found.changed.len()
    );
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

/// The columns of two rows that differ.
fn columns(old: &Value, new: &Value) -> Value {
    let names = |row: &Value| {
        row.as_object()
            .into_iter()
            .flatten()
            .map(|(n, _)| n.clone())
            .collect::<Vec<_>>()
    };
    let mut all = names(old);
    all.extend(names(new));
    all.sort();
    all.dedup();
    let differ = all.into_iter().filter(|name| old[name] != new[name]);
    let told = differ.map(|name| (name.clone(), json!({"old": old[&name], "new": new[&name]})));
    Value::Object(told.collect())
}

/// The rows that the server holds; of a table that it does not have, none.
fn held(table: &str, target: &Target) -> anyhow::Result<Vec<Value>> {
    block_on(async {
        let client = Client::connect(target).await?;
        let held = async {
            let all = client.get("/api/v1/reference", &[]).await?;
            let known = all["tables"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|t| t["table"] == table);
            if !known {
                return Ok(Value::Null);
            }
            client.get(&format!("/api/v1/reference/{table}"), &[]).await
        }
        .await;
        client.close().await?;
        let rows = held?["rows"].as_array().cloned().unwrap_or_default();
        Ok(match schema(table) {
            Some(schema) => rows.iter().map(|row| schema.tidy(row)).collect(),
            None => rows,
        })
    })
}

fn list(output: OutputArg, target: &Target) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(target).await?;
        let listed = client.get("/api/v1/reference", &[]).await;
        client.close().await?;
        let listed = listed?;
        let rows = listed["tables"].as_array().cloned().unwrap_or_default();
        fn text(row: &Value, name: &str) -> String {
            match &row[name] {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        }
        write(
            output.get(),
            &rows,
            &[
                ("TABLE", |r| text(r, "table")),
                ("VERSION", |r| text(r, "version")),
                ("ROWS", |r| text(r, "rows")),
                ("VALID NOW", |r| text(r, "valid")),
                ("WRITTEN", |r| text(r, "written")),
                ("AGE", |r| match r["age_s"].as_i64() {
                    None => "-".to_owned(),
                    Some(s) if s < 7200 => format!("{} min", s / 60),
                    Some(s) if s < 172_800 => format!("{} h", s / 3600),
                    Some(s) => format!("{} d", s / 86_400),
                }),
                ("STALE", |r| text(r, "stale")),
            ],
        )?;
        Ok(ExitCode::SUCCESS)
    })
}
