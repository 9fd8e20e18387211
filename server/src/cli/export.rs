//! `docket export`

use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::{Client, name_of_question};
use super::patience;
use super::range::Range;
use super::{Target, block_on};
use crate::exit::{CANCELLED, INTEGRITY, USAGE, failure};

/// Export what a query finds, of any size, with a manifest that proves it
///
/// Files of some 100,000 rows each go into a folder, with `manifest.json` (query, who, when, rows, hashes, ledger
/// position, checkpoint) and the proof that the ledger tells of just this manifest. Interrupted, the same command goes on.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket export 'person:E1001' --from 2026-03-01 --to 2026-04-01 --format parquet --case INC-17 --out case-17\n  \
    docket export --from 24h --format csv --mask personal --out yesterday\n  \
    docket-verify export case-17 --vkey ledger.vkey          # anywhere, without Docket\n  \
    duckdb -c \"select actor, count(*) from 'case-17/*.parquet' group by 1\"")]
pub struct Args {
    /// Which records; as for `docket search`
    #[arg(default_value = "")]
    query: String,
    /// The folder to write; one that holds an unfinished export is gone on with
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How rows are written
    #[arg(long, value_parser = ["ndjson", "csv", "parquet", "arrow"], default_value = "ndjson")]
    format: String,
    #[command(flatten)]
    range: Range,
    /// `personal`: who it was is replaced by pseudonyms, too (secrets always are hidden)
    #[arg(long, value_parser = ["secrets", "personal"], default_value = "secrets")]
    mask: String,
    /// Rows of a file
    #[arg(long, value_name = "N")]
    part_rows: Option<u64>,
    /// The case that it is made for; an export without one is a finding
    #[arg(long)]
    case: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Where an unfinished export's id is kept.
const STATE: &str = "export.json";

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let done = export(&client, &args).await;
        client.close().await?;
        done
    })
}

async fn export(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    if args.out.join("manifest.proof.json").exists() {
        let what = format!("{} holds a finished export; give another --out", args.out.display());
        return Err(failure(USAGE, what));
    }
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let mut asked = json!({"q": args.query, "from": args.range.from, "to": args.range.to, "format": args.format, "mask": args.mask,
        "part_rows": args.part_rows});
    if let Some(case) = &args.case {
        asked["case"] = json!(case);
    }
    let state = args.out.join(STATE);
    let mut job = match std::fs::read(&state) {
        Ok(bytes) => {
            let kept: Value =
                serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", state.display()))?;
            if kept["asked"] != asked {
                let what = format!(
                    "{} holds an unfinished export of something else; give another --out",
                    args.out.display()
                );
                return Err(failure(USAGE, what));
            }
            let id = kept["id"].as_str().unwrap_or_default().to_owned();
            let job = client.get(&format!("/api/v1/exports/{id}"), &[]).await?;
            eprintln!(
                "going on with export {id}: {} rows in {} files so far",
                job["rows"],
                list(&job).len()
            );
            job
        }
        Err(_) => {
            let job = client.post("/api/v1/exports", asked.clone()).await?;
            write(&state, json!({"id": job["id"], "asked": asked}).to_string().as_bytes())?;
            job
        }
    };
    let id = job["id"].as_str().unwrap_or_default().to_owned();
    let mut number = 0;
    while number < list(&job).len() || job["whole"] != true {
        if list(&job).get(number).is_none_or(|part| !is_there(&args.out, part)) {
            let (question, bytes) = (name_of_question(), Cell::new(0));
            let also = || format!("file {number}: {} MiB, ", bytes.get() >> 20);
            let fetched = fetch(client, args, (&id, number), &question, &bytes);
            let fetched = patience::wait(client, &question, client.telling(), also, fetched).await;
            fetched.map_err(|error| match crate::exit::code(&error) {
                // What is whole stays.
                CANCELLED => {
                    let (rows, files) = (&job["rows"], list(&job).len());
                    let so_far = format!("{error:#}; {rows} rows in {files} files so far; the same command goes on");
                    failure(CANCELLED, so_far)
                }
                _ => error,
            })?;
            job = client.get(&format!("/api/v1/exports/{id}"), &[]).await?;
            let part = list(&job).get(number).cloned().unwrap_or_default();
            let name = part["file"].as_str().unwrap_or_default().to_owned();
            std::fs::rename(args.out.join("part.new"), args.out.join(&name)).with_context(|| name.clone())?;
            if !is_there(&args.out, &part) {
                return Err(failure(
                    INTEGRITY,
                    format!("{name} is not what the server wrote; run the same command again"),
                ));
            }
        }
        number += 1;
    }
    let end = client.post(&format!("/api/v1/exports/{id}/finish"), json!({})).await?;
    let manifest = end["manifest"].as_str().unwrap_or_default();
    write(&args.out.join("manifest.json"), manifest.as_bytes())?;
    write(
        &args.out.join("manifest.proof.json"),
        format!("{:#}\n", end["proof"]).as_bytes(),
    )?;
    let _ = std::fs::remove_file(&state);
    println!("{} rows in {number} files: {}", job["rows"], args.out.display());
    let waiting = job["waiting"].as_u64().unwrap_or(0);
    eprintln!(
        "searched {} events, every record below ledger position {}; {}",
        job["in_range"],
        job["up_to"],
        match waiting {
            0 => "nothing was left out".to_owned(),
            n => format!("NOT SEARCHED: the {n} newest records, which were not indexed yet"),
        }
    );
    eprintln!("check it anywhere: docket-verify export {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes a part to `part.new`.
async fn fetch(
    client: &Client,
    args: &Args,
    (id, number): (&str, usize),
    question: &str,
    bytes: &Cell<usize>,
) -> anyhow::Result<()> {
    let path = format!("/api/v1/exports/{id}/parts/{number}");
    let mut answer = client.stream(&path, question).await?;
    let path = args.out.join("part.new");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    while let Some(piece) = answer
        .chunk()
        .await
        .context("interrupted; run the same command again to go on")?
    {
        file.write_all(&piece)?;
        bytes.set(bytes.get() + piece.len());
    }
    file.sync_all()?;
    Ok(())
}

fn list(job: &Value) -> &[Value] {
    job["parts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether the file of a part lies there as it was written.
fn is_there(dir: &Path, part: &Value) -> bool {
    let hash = || {
        let mut file = File::open(dir.join(part["file"].as_str()?)).ok()?;
        let mut hash = Sha256::new();
        std::io::copy(&mut file, &mut hash).ok()?;
        Some(hex::encode(hash.finalize()))
    };
    part["sha256"].is_string() && hash().as_deref() == part["sha256"].as_str()
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).with_context(|| new.display().to_string())?;
    std::fs::rename(&new, path).with_context(|| path.display().to_string())
}
