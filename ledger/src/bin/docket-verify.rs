//! Verifies a Docket ledger, offline and without Docket: it shares nothing with the server but the crate `ledger`.

use std::fmt::Display;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use ledger::{Checkpoint, Error, ProofBundle, Reader, VerifierKey};
use model::{Coordinate, LedgerIndex, RawRecord};

const HELP: &str = "\
Verifies a Docket ledger, offline, beside a running server or a copy of its folder.

Usage:
  docket-verify ledger DIR [--vkey KEY]
      Everything: each record, checksum, frame, tile, root and signed checkpoint; reports missing offsets.
  docket-verify record DIR RECORD [--vkey KEY]
      One record, by id (TOPIC/PARTITION/OFFSET) or by index, under the last checkpoint.
  docket-verify consistency DIR OLD NEW [--vkey KEY]
      That the ledger at NEW begins with the ledger at OLD. Each is the size of a checkpoint of the ledger, or a
      file that holds a checkpoint, such as one that a witness kept.
  docket-verify export DIR [--vkey KEY]
      An export (`docket export`): every file against its manifest, and the manifest against the ledger's record of it.
  docket-verify proof FILE [--vkey KEY]
      A single record's proof (JSON), without the ledger; `-` is standard input.

  --vkey KEY   the verifier key `name+hash+base64`, or a file that holds it. Without it the key that the ledger
               (or the proof) names itself is used, which finds damage, but not a ledger that was made anew:
               compare the key shown with the one that you were given.

Exit codes: 0 all holds, 2 usage, or the file or record is not there, 6 integrity failure.

Examples:
  docket-verify ledger /var/lib/docket/ledger --vkey ledger.vkey
  docket-verify record /var/lib/docket/ledger audit.linux/0/17
  docket-verify consistency /var/lib/docket/ledger witness/2026-03-02.note 1048576
  docket-verify export case-17 --vkey ledger.vkey
  docket-verify proof evidence.json --vkey docket.example.org+1c2d3e4f+AbCd...
";

/// Why it was not shown that all holds.
enum Stop {
    /// The caller's: a wrong command, or a file or record that is not there.
    Usage(String),
    /// The evidence does not hold.
    Integrity(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        if error.is_integrity() {
            Stop::Integrity(error.to_string())
        } else {
            Stop::Usage(error.to_string())
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage(why)) => {
            eprintln!("docket-verify: {why}");
            ExitCode::from(2)
        }
        Err(Stop::Integrity(why)) => {
            eprintln!("docket-verify: NOT VERIFIED: {why}");
            ExitCode::from(6)
        }
    }
}

fn run(args: &[String]) -> Result<(), Stop> {
    if args.is_empty() || args.iter().any(|a| a == "--help" || a == "-h") {
        say(HELP.trim_end());
        return if args.is_empty() {
            Err(usage("no command given"))
        } else {
            Ok(())
        };
    }
    let (mut words, mut vkey) = (Vec::new(), None);
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--vkey" => vkey = Some(args.next().ok_or_else(|| usage("`--vkey` needs a key or a file"))?),
            other if other.starts_with("--vkey=") => vkey = other.strip_prefix("--vkey="),
            other if other.starts_with("--") => return Err(usage(format!("there is no option `{other}`"))),
            word => words.push(word),
        }
    }
    match words[..] {
        ["ledger", dir] => verify_ledger(Path::new(dir), vkey),
        ["record", dir, record] => verify_record(Path::new(dir), record, vkey),
        ["consistency", dir, old, new] => verify_consistency(Path::new(dir), old, new, vkey),
        ["proof", file] => verify_proof(file, vkey),
        ["export", dir] => verify_export(Path::new(dir), vkey),
        _ => Err(usage(format!(
            "`{}` is not a command with its arguments",
            words.join(" ")
        ))),
    }
}

fn verify_export(dir: &Path, vkey: Option<&str>) -> Result<(), Stop> {
    let path = dir.join("manifest.proof.json");
    let proof = fs::read(&path).map_err(|e| usage(format!("{}: {e}", path.display())))?;
    let bundle: ProofBundle =
        serde_json::from_slice(&proof).map_err(|e| Stop::Integrity(format!("{}: {e}", path.display())))?;
    let key = key(vkey, &bundle.vkey)?;
    let export = ledger::verify_export(dir, &key).map_err(Stop::Integrity)?;
    say(format_args!("key          {key}"));
    for line in export.told() {
        say(line);
    }
    say("verified     every file is the manifest's, and the ledger tells of this manifest");
    Ok(())
}

fn verify_ledger(dir: &Path, vkey: Option<&str>) -> Result<(), Stop> {
    let reader = Reader::open(dir)?;
    let key = key(vkey, &reader.vkey()?)?;
    let progress = std::io::stderr().is_terminal();
    let mut shown = 0;
    let report = ledger::fsck(dir, &key, &mut |p| {
        if progress && p.leaves >= shown + 100_000 {
            shown = p.leaves;
            eprint!("\r{} of {} records", p.leaves, p.total);
        }
    })?;
    if progress && shown > 0 {
        eprintln!();
    }
    say(format_args!("ledger       {}", key.name()));
    say(format_args!(
        "records      {} ({} bytes)",
        report.leaves, report.leaf_bytes
    ));
    say(format_args!(
        "frames       {} in {} segments, {} full tiles",
        report.frames, report.segments, report.tiles
    ));
    say(format_args!("tail         {} records", report.tail_leaves));
    say(format_args!("root         {}", hex::encode(report.root)));
    say(format_args!("checkpoints  {}, all signed by {key}", report.checkpoints));
    match &report.last_checkpoint {
        Some(last) => {
            let time = last.time.map(|t| format!(", signed {t}")).unwrap_or_default();
            say(format_args!(
                "covered      {} records by the last checkpoint{time}",
                last.size
            ));
        }
        None => say("covered      nothing: there is no checkpoint yet"),
    }
    say(format_args!(
        "partitions   {}, {} gaps",
        report.partitions, report.gaps_total
    ));
    for gap in &report.gaps {
        let (topic, partition, last) = (gap.topic.escape_debug(), gap.partition, gap.to - 1);
        say(format_args!(
            "  gap        {topic}/{partition}: offsets {} to {last}, before record {}",
            gap.from, gap.index
        ));
    }
    match report.failure {
        Some(failure) => Err(Stop::Integrity(failure.to_string())),
        None => {
            say("verified");
            Ok(())
        }
    }
}

fn verify_record(dir: &Path, record: &str, vkey: Option<&str>) -> Result<(), Stop> {
    let reader = Reader::open(dir)?;
    let key = key(vkey, &reader.vkey()?)?;
    let index = match record.parse() {
        Ok(index) => LedgerIndex(index),
        Err(_) => {
            let id: Coordinate = record.parse().map_err(|e| usage(format!("{e}, or an index")))?;
            reader
                .find(&id)?
                .ok_or_else(|| Stop::Usage(format!("the ledger holds no record {id}")))?
        }
    };
    show(&reader.proof_bundle(index)?, &key)
}

fn verify_consistency(dir: &Path, old: &str, new: &str, vkey: Option<&str>) -> Result<(), Stop> {
    let reader = Reader::open(dir)?;
    let key = key(vkey, &reader.vkey()?)?;
    let (old, new) = (checkpoint(&reader, old, &key)?, checkpoint(&reader, new, &key)?);
    let proof = reader.consistency_proof(LedgerIndex(old.size), LedgerIndex(new.size))?;
    if !ledger::verify_consistency(old.size, &old.root, new.size, &new.root, &proof) {
        let what = "the ledger at the second checkpoint does not begin with the ledger at the first";
        return Err(Stop::Integrity(what.to_owned()));
    }
    for (name, c) in [("old", &old), ("new", &new)] {
        let time = c.time.map(|t| format!(", signed {t}")).unwrap_or_default();
        say(format_args!(
            "{name}       {} records, root {}{time}",
            c.size,
            hex::encode(c.root)
        ));
    }
    say(format_args!("signed by {key}"));
    say(format_args!("proof     {} hashes", proof.len()));
    say("verified: the new ledger begins with the old one");
    Ok(())
}

fn verify_proof(file: &str, vkey: Option<&str>) -> Result<(), Stop> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => fs::read_to_string(file),
    };
    let text = text.map_err(|e| Stop::Usage(format!("{file}: {e}")))?;
    let bundle: ProofBundle =
        serde_json::from_str(&text).map_err(|e| Stop::Usage(format!("{file} is not a record's proof: {e}")))?;
    let key = key(vkey, &bundle.vkey)?;
    show(&bundle, &key)
}

/// Checks a record's proof and shows both.
fn show(bundle: &ProofBundle, key: &VerifierKey) -> Result<(), Stop> {
    let (record, checkpoint) = bundle.verify(key).map_err(Stop::Integrity)?;
    let RawRecord {
        coordinate,
        received_at,
        source,
        peer,
        payload,
        truncated,
        ..
    } = &record;
    say(format_args!("record       {}", coordinate.to_string().escape_debug()));
    say(format_args!("index        {}", bundle.index));
    say(format_args!("received at  {received_at}"));
    say(format_args!("source       {}", source.escape_debug()));
    if let Some(peer) = peer {
        say(format_args!("peer         {}", peer.escape_debug()));
    }
    if let Some(t) = truncated {
        say(format_args!(
            "truncated    from {} bytes, SHA-256 {}",
            t.bytes,
            hex::encode(t.sha256)
        ));
    }
    // The payload is hostile: nothing of it reaches the terminal unescaped.
    let text: String = String::from_utf8_lossy(payload).chars().take(400).collect();
    let more = if text.len() < payload.len() { " ..." } else { "" };
    say(format_args!(
        "payload      {} bytes: {}{more}",
        payload.len(),
        text.escape_debug()
    ));
    let time = checkpoint.time.map(|t| format!(", signed {t}")).unwrap_or_default();
    say(format_args!(
        "checkpoint   {} records, root {}{time}",
        checkpoint.size,
        hex::encode(checkpoint.root)
    ));
    say(format_args!("signed by    {key}"));
    say(format_args!("proof        {} hashes", bundle.proof.len()));
    say("verified: the record is in the ledger that was signed");
    Ok(())
}

/// The key that was given, or else the one that the evidence names itself.
fn key(given: Option<&str>, named: &str) -> Result<VerifierKey, Stop> {
    let Some(given) = given else {
        eprintln!(
            "docket-verify: no --vkey: using the key that the ledger names itself, {}",
            named.escape_debug()
        );
        return VerifierKey::parse(named).map_err(|e| Stop::Integrity(e.to_string()));
    };
    let text = match fs::read_to_string(given) {
        Ok(text) => text,
        Err(_) if given.contains('+') => given.to_owned(),
        Err(e) => return Err(usage(format!("{given}: {e}"))),
    };
    VerifierKey::parse(&text).map_err(|e| usage(e.to_string()))
}

/// The ledger's checkpoint of a size, or the one in a file; signed by the key.
fn checkpoint(reader: &Reader, given: &str, key: &VerifierKey) -> Result<Checkpoint, Stop> {
    let note = match given.parse::<u64>() {
        Ok(size) => {
            let mut below = None;
            let mut found = None;
            for checkpoint in reader.checkpoints()? {
                let checkpoint = checkpoint?;
                if checkpoint.size >= size {
                    found = Some(checkpoint);
                    break;
                }
                below = Some(checkpoint.size);
            }
            match found {
                Some(c) if c.size == size => c.note,
                found => {
                    let near: Vec<String> = below
                        .into_iter()
                        .chain(found.map(|c| c.size))
                        .map(|n| n.to_string())
                        .collect();
                    let near = if near.is_empty() {
                        "none".to_owned()
                    } else {
                        near.join(" and ")
                    };
                    return Err(usage(format!(
                        "no checkpoint signs {size} records; the nearest: {near}"
                    )));
                }
            }
        }
        Err(_) => fs::read_to_string(given).map_err(|e| usage(format!("{given}: {e}")))?,
    };
    Checkpoint::verify(&note, key).map_err(|what| Stop::Integrity(format!("checkpoint {given}: {what}")))
}

fn usage(why: impl Display) -> Stop {
    Stop::Usage(format!("{why} (see docket-verify --help)"))
}

/// Prints a line. A reader that went away (`| head`) is no error.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
