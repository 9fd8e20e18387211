//! What indexing and searching cost, beside ClickHouse: `benches/search/compare.py` runs this and `chdb` over the same records.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use benches::stages::{self, Folders};
use benches::{flat, input, usage};
use clap::{Parser, Subcommand};
use ingest::Normalizer;
use ledger::Reader;
use model::{Batch, Field, LedgerIndex, Millis};
use search::{Agg, Query, RawText, Request, Searcher, Sort};
use serde_json::{Map, Value, json};

/// Makes records, indexes them, asks the index; each prints one JSON object
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Records into a ledger, and their values as `rows.ndjson` for another database; picks what will be asked
    Make {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long, default_value_t = 2_000_000)]
        records: usize,
        /// Records a second of event time
        #[arg(long, default_value_t = 4)]
        pace: u64,
    },
    /// The ledger into the index, as the server does that is behind
    Index {
        #[arg(long)]
        dir: PathBuf,
        /// Events of a generation; those of fewer make splits of fewer records
        #[arg(long, default_value_t = search::Budgets::STANDARD.split_docs)]
        split_docs: u64,
        /// Not the ledger, but `rows.ndjson`, which the other database is given; into an index of its own, of which the
        /// questions' hits are counted
        #[arg(long)]
        rows: bool,
    },
    /// The questions of `questions.json`
    Ask {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long, default_value_t = 21)]
        rounds: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let out = match Args::parse().command {
        Command::Make { dir, records, pace } => make(&dir, records, pace)?,
        Command::Index { dir, split_docs, rows } => index(&dir, split_docs, rows)?,
        Command::Ask { dir, rounds } => ask(&dir, rounds)?,
    };
    println!("{out}");
    Ok(())
}

/// Columns of the other database and the paths of their values; the first that has one counts.
const COLUMNS: &[(&str, &[&str])] = &[
    ("source", &["docket.source"]),
    ("user", &["user.name"]),
    ("actor", &["actor.user.name"]),
    ("src", &["src_endpoint.ip", "src_endpoint.hostname"]),
    ("host", &["device.hostname", "dst_endpoint.hostname", "device.name"]),
    (
        "session",
        &["actor.session.uid", "session.uid", "metadata.correlation_uid"],
    ),
    ("status", &["status_id"]),
    ("method", &["http_request.http_method"]),
    ("code", &["http_response.code"]),
    ("cmd", &["process.cmd_line", "query_info.query_string"]),
    (
        "url",
        &["url.url_string", "http_request.url.url_string", "http_request.url.path"],
    ),
    ("msg", &["message", "status_detail"]),
    ("raw", &["raw_data"]),
];

fn make(dir: &std::path::Path, records: usize, pace: u64) -> anyhow::Result<Value> {
    std::fs::create_dir_all(dir)?;
    let folders = Folders::below(dir);
    let bytes = input::write_input(&folders.input, records, pace)?;
    let cpu = usage::process();
    stages::write_ledger(&folders)?;
    let cpu = usage::process() - cpu;
    std::fs::remove_file(&folders.input)?;
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(dir.join("rows.ndjson"))?);
    let columns: Vec<(&str, Vec<Field>)> = COLUMNS
        .iter()
        .map(|(name, paths)| (*name, paths.iter().map(|p| Field::ocsf(p)).collect()))
        .collect();
    let (mut events, mut picks) = (0u64, Picks::default());
    stages::replay(&folders.ledger, |batches| {
        for batch in batches {
            for row in 0..batch.rows.len() {
                let values = row_of(batch, row, &columns);
                picks.see(events, &values);
                serde_json::to_writer(&mut file, &values)?;
                file.write_all(b"\n")?;
                events += 1;
            }
        }
        Ok(())
    })?;
    file.flush()?;
    std::fs::write(dir.join("questions.json"), picks.questions()?.to_string())?;
    Ok(json!({
        "records": records,
        "events": events,
        "raw_bytes": bytes,
        "ledger_bytes": usage::bytes_of(&folders.ledger)?,
        "ledger_cpu_s": cpu.as_secs_f64(),
    }))
}

fn row_of(batch: &Batch, row: usize, columns: &[(&str, Vec<Field>)]) -> Map<String, Value> {
    let mut values = Map::new();
    values.insert("time".into(), batch.rows[row].time.0.into());
    values.insert("class".into(), batch.class_uid.into());
    for (name, paths) in columns {
        let first = paths.iter().find_map(|p| batch.column(p).and_then(|c| c.first(row)));
        if let Some(value) = first {
            values.insert((*name).into(), value.into());
        }
    }
    values
}

/// What is asked, taken of what is there.
#[derive(Default)]
struct Picks {
    last: i64,
    session: String,
    user: String,
    cmd: String,
    url: String,
    word: String,
}

impl Picks {
    fn see(&mut self, number: u64, row: &Map<String, Value>) {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.last = self.last.max(row["time"].as_i64().unwrap_or_default());
        // Somewhere in the midst, and whatever is nearest to it.
        if number < 900_000 && !self.word.is_empty() && !self.cmd.is_empty() && number > 300_000 {
            return;
        }
        if text("source") == "jumpserver" && !text("cmd").is_empty() {
            (self.session, self.cmd, self.user) = (text("session"), text("cmd"), text("actor"));
        }
        if text("url").len() > 12 {
            self.url = text("url");
        }
        let id = text("raw");
        let hex = |w: &&str| w.len() == 32 && w.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(word) = id.split(|c: char| !c.is_ascii_alphanumeric()).find(hex) {
            self.word = word.to_owned();
        }
    }

    /// Name, query, range, what is wanted of it, and the same as SQL.
    fn questions(&self) -> anyhow::Result<Value> {
        let part = |text: &str| -> String {
            let chars: Vec<char> = text.chars().collect();
            chars[chars.len() / 3..].iter().take(9).collect()
        };
        let (cmd, url) = (part(&self.cmd), part(&self.url));
        anyhow::ensure!(
            !self.word.is_empty() && !cmd.is_empty() && !url.is_empty(),
            "nothing to ask for"
        );
        let day = 86_400_000;
        let (from, to) = (self.last - 2 * day, self.last - day);
        let week = self.last - 7 * day;
        let rows = "time, user, actor, host, cmd, url, raw";
        let like = |text: &str| text.replace('\'', "''").replace('%', "\\%").replace('_', "\\_");
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let (session, user, word) = (&self.session, &self.user, &self.word);
        let shown = |name: &str, at_least: u64, q: String, rule: String| {
            let sql = format!("SELECT {rows} FROM t WHERE {rule} ORDER BY time DESC LIMIT 100");
            json!({"name": name, "at_least": at_least, "q": q, "kind": "newest", "where": rule, "sql": sql})
        };
        let within = |mut question: Value, from: Option<i64>, to: Option<i64>| {
            (question["from"], question["to"]) = (json!(from), json!(to));
            question
        };
        let counted = |name: &str, kind: &str, q: &str, rule: String, sql: String| json!({"name": name, "at_least": 1, "q": q, "kind": kind, "where": rule, "sql": sql});
        let by_hour = |rule: &str| {
            format!("SELECT intDiv(time, 3600000) AS h, count() FROM t WHERE {rule} GROUP BY h ORDER BY h")
        };
        let mut in_order = shown(
            "a session, in order",
            5,
            format!("session:{session}"),
            format!("session = '{session}'"),
        );
        in_order["kind"] = "oldest".into();
        in_order["sql"] = format!("SELECT {rows} FROM t WHERE session = '{session}' ORDER BY time LIMIT 1000").into();
        let all = || "1".to_owned();
        let mut newest = shown("newest 100", 1, String::new(), all());
        newest["sql"] = format!("SELECT {rows} FROM t ORDER BY time DESC LIMIT 100").into();
        Ok(json!([
            shown(
                "rare word, and its line",
                100,
                format!("raw:{word}"),
                format!("hasToken(raw, '{word}')")
            ),
            within(
                shown(
                    "a person's day, newest 100",
                    5,
                    format!("user:{user}"),
                    format!("(user = '{user}' OR actor = '{user}') AND time >= {from} AND time < {to}"),
                ),
                Some(from),
                Some(to),
            ),
            in_order,
            shown(
                "failures of a source, newest 100",
                5,
                "status:failure source:linux".into(),
                "status = '2' AND source = 'linux'".into()
            ),
            newest,
            shown(
                "piece of a command, newest 100",
                1,
                format!("cmd:~\"{}\"", escaped(&cmd)),
                format!("cmd ILIKE '%{}%'", like(&cmd))
            ),
            shown(
                "piece of a URL, newest 100",
                1,
                format!("url:~\"{}\"", escaped(&url)),
                format!("url ILIKE '%{}%'", like(&url))
            ),
            shown(
                "pattern in a word of a command",
                1,
                "cmd:*hado*".into(),
                "cmd ILIKE '%hado%'".into()
            ),
            shown(
                "two words of the line, newest 100",
                1,
                "raw:sudo raw:systemctl".into(),
                "hasToken(raw, 'sudo') AND hasToken(raw, 'systemctl')".into(),
            ),
            counted(
                "most frequent accounts",
                "terms",
                "",
                all(),
                "SELECT actor, count() AS n FROM t GROUP BY actor ORDER BY n DESC LIMIT 10".into(),
            ),
            counted(
                "by hour",
                "histogram",
                "",
                all(),
                "SELECT intDiv(time, 3600000) AS h, count() FROM t GROUP BY h ORDER BY h".into()
            ),
            counted(
                "by hour, of one status",
                "histogram",
                "status:success",
                "status = '1'".into(),
                by_hour("status = '1'")
            ),
            within(
                counted(
                    "different accounts of seven days",
                    "cardinality",
                    "",
                    format!("time >= {week}"),
                    format!("SELECT uniqExact(actor) FROM t WHERE time >= {week}"),
                ),
                Some(week),
                None,
            ),
        ]))
    }
}

fn index(dir: &std::path::Path, split_docs: u64, is_of_rows: bool) -> anyhow::Result<Value> {
    let mut folders = Folders::below(dir);
    if is_of_rows {
        folders.index = dir.join("index-of-rows");
    }
    if folders.index.exists() {
        std::fs::remove_dir_all(&folders.index)?;
    }
    usage::forget_peak("self")?;
    let (wall, cpu, own) = (Instant::now(), usage::process(), usage::thread());
    let budgets = search::Budgets {
        split_docs,
        ..search::Budgets::STANDARD
    };
    let mut writer = search::IndexWriter::open(&folders.index, budgets, stages::MASK)?;
    let (mut events, mut up_to, mut calls) = (0, LedgerIndex(0), Duration::ZERO);
    let mut committed = Instant::now();
    let take = |batches: &[Batch]| {
        let last = batches.iter().flat_map(|b| &b.rows).map(|r| r.index).max();
        up_to = last.map_or(up_to, LedgerIndex::next);
        usage::timed(&mut calls, || -> anyhow::Result<()> {
            events += writer.add(batches, up_to)?;
            if committed.elapsed() >= stages::COMMIT_EVERY_BEHIND {
                writer.commit()?;
                committed = Instant::now();
            }
            Ok(())
        })
    };
    match is_of_rows {
        true => {
            let columns: Vec<(&str, &str)> = COLUMNS.iter().map(|(name, paths)| (*name, paths[0])).collect();
            flat::read(&dir.join("rows.ndjson"), &columns, take)?;
        }
        false => stages::replay(&folders.ledger, take)?,
    }
    usage::timed(&mut calls, || -> anyhow::Result<()> {
        writer.commit()?;
        writer.settle()?;
        Ok(())
    })?;
    let searcher = writer.searcher();
    let inventory = searcher.inventory();
    writer.close()?;
    let before = usage::thread() - own - calls;
    let total = usage::process() - cpu;
    Ok(json!({
        "cpu_s": total.as_secs_f64(),
        "hits": if is_of_rows { counts(dir, &searcher)? } else { Value::Null },
        "events": events,
        "wall_s": wall.elapsed().as_secs_f64(),
        "read_cpu_s": before.as_secs_f64(),
        "index_cpu_s": (total - before).as_secs_f64(),
        "index_bytes": usage::bytes_of(&folders.index)?,
        "splits": inventory.splits.len(),
        "hot_events": inventory.hot_events,
        "hot_segments": inventory.hot_segments,
        "peak_mib": usage::peak_mib("self")?,
    }))
}

/// How many events fit each question.
fn counts(dir: &std::path::Path, searcher: &Searcher) -> anyhow::Result<Value> {
    let mut out = Vec::new();
    for question in &questions(dir)? {
        let query = Query::parse(question["q"].as_str().unwrap_or_default(), None)?;
        let request = Request {
            from: question["from"].as_i64().map(Millis),
            to: question["to"].as_i64().map(Millis),
            ..Request::new(query)
        };
        let count = Agg::Cardinality { field: "class".into() };
        out.push(searcher.aggregate(&request, &[count], &search::NoText)?.total);
    }
    Ok(json!(out))
}

fn questions(dir: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    Ok(serde_json::from_slice(&std::fs::read(dir.join("questions.json"))?)?)
}

/// The ledger, as the server reads it for an answer.
struct Texts {
    reader: Reader,
    normalizer: Normalizer,
    last: Mutex<Option<(String, Value)>>,
}

type Read<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl RawText for Texts {
    fn raw(&self, leaves: &[LedgerIndex], uid: &str) -> Read<Option<String>> {
        Ok(self.texts("raw", leaves, uid)?.pop())
    }

    fn texts(&self, field: &str, leaves: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        let mut last = self.last.lock().map_err(|_| "poisoned")?;
        if last.as_ref().is_none_or(|(known, _)| known != uid) {
            let entry = self.reader.entry(*leaves.first().ok_or("no leaf")?)?;
            let normalized = self.normalizer.normalize_plain(&entry.record);
            let event = normalized
                .events
                .into_iter()
                .find(|e| *e.uid == *uid)
                .ok_or("no such event")?;
            *last = Some((uid.to_owned(), Value::Object(event.ocsf)));
        }
        let Some((_, event)) = &*last else {
            return Ok(Vec::new());
        };
        let at = |path: &&str| {
            let found = path.split('.').try_fold(event, |v, key| v.get(key));
            found
                .and_then(Value::as_str)
                .map(|t| ingest::mask::mask(t).into_owned())
        };
        Ok(search::text_paths(field).iter().filter_map(at).collect())
    }
}

fn ask(dir: &std::path::Path, rounds: usize) -> anyhow::Result<Value> {
    let folders = Folders::below(dir);
    let searcher = Searcher::open(&folders.index)?;
    let texts = Texts {
        reader: Reader::open(&folders.ledger)?,
        normalizer: Normalizer::default(),
        last: Mutex::new(None),
    };
    let mut out = Vec::new();
    for question in &questions(dir)? {
        let text = |name: &str| question[name].as_str().unwrap_or_default();
        let mut times = Vec::new();
        let mut found = Value::Null;
        for _ in 0..rounds {
            let start = Instant::now();
            let query = Query::parse(text("q"), None)?;
            let request = Request {
                from: question["from"].as_i64().map(Millis),
                to: question["to"].as_i64().map(Millis),
                sort: if text("kind") == "oldest" {
                    Sort::Oldest
                } else {
                    Sort::Newest
                },
                limit: if text("kind") == "oldest" { 1_000 } else { 100 },
                ..Request::new(query)
            };
            let agg = |agg: Agg| searcher.aggregate(&request, &[agg], &texts);
            let field = "actor".to_owned();
            found = match text("kind") {
                "terms" => json!(
                    agg(Agg::Terms {
                        field,
                        size: 10,
                        within: vec![]
                    })?
                    .total
                ),
                "cardinality" => match &agg(Agg::Cardinality { field })?.found[0] {
                    search::Found::Cardinality(n) => json!(n),
                    _ => Value::Null,
                },
                "histogram" => {
                    let field = "time".to_owned();
                    json!(
                        agg(Agg::Histogram {
                            field,
                            interval_ms: 3_600_000,
                            offset_ms: 0,
                            within: vec![]
                        })?
                        .total
                    )
                }
                _ => {
                    let answer = searcher.search(&request, &texts)?;
                    // What is shown of a hit is in the ledger.
                    let mut bytes = 0;
                    for hit in &answer.hits {
                        bytes += texts.reader.entry(hit.index)?.record.payload.len();
                    }
                    anyhow::ensure!(answer.hits.is_empty() || bytes > 0, "hits without bytes");
                    json!(answer.hits.len())
                }
            };
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let p50 = *times.get(times.len() / 2).context("no round")?;
        out.push(json!({"name": question["name"], "found": found, "p50_ms": p50.as_secs_f64() * 1e3}));
    }
    Ok(json!({"questions": out, "open": searcher.inventory().open, "peak_mib": usage::peak_mib("self")?}))
}
