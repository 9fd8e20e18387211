//! Tantivy alone: an index of the same values in a plain schema of stock parts, as the measure of our own.
//!
//! Text is indexed by the stock tokenizer (`raw_data` without positions, as ours), keywords whole and as columns,
//! addresses and numbers as such, the source's remaining fields as a JSON field. No position is kept, no secret masked,
//! no document looked up before it is added. Documents are made before the time is taken.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use model::{Batch, Field as Column};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, IpAddrOptions, JsonObjectOptions, STRING, Schema, TEXT, TextFieldIndexing,
    TextOptions,
};
use tantivy::{Index, IndexWriter, TantivyDocument};

use crate::usage;

/// Paths that are text.
const TEXTS: [&str; 9] = [
    "process.cmd_line",
    "query_info.query_string",
    "script.script_content",
    "url.url_string",
    "http_request.url.url_string",
    "http_request.url.path",
    "http_request.url.query_string",
    "message",
    "status_detail",
];
/// Paths that are numbers.
const NUMBERS: [&str; 10] = [
    "activity_id",
    "severity_id",
    "http_response.code",
    "traffic.bytes",
    "http_response.length",
    "file.size",
    "unmapped.bytes",
    "unmapped.rows",
    "dst_endpoint.port",
    "src_endpoint.port",
];

/// Bytes of the arena, as ours.
const HEAP_BYTES: usize = 64 << 20;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Keyword,
    Number,
    Address,
    Json,
}

/// What a run did.
#[derive(Debug)]
pub struct Outcome {
    /// Documents indexed.
    pub documents: u64,
    /// Processor time of adding, indexing, merging.
    pub used: Duration,
    /// From the first document to the end of the last merge, without making the documents.
    pub wall: Duration,
    /// Peak resident memory, MiB.
    pub peak_mib: f64,
}

/// Indexes what a ledger holds, and commits after as many documents as our index did.
///
/// # Errors
/// The disk's.
pub fn run(ledger: &Path, dir: &Path, commits: &[u64]) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(dir)?;
    let mut builder = Schema::builder();
    let time = builder.add_i64_field("time", FAST | INDEXED);
    let position = builder.add_u64_field("index", FAST);
    let class = builder.add_u64_field("class", FAST | INDEXED);
    let fields: Vec<(Column, Field, Kind)> = search::wanted()
        .into_iter()
        .map(|column| {
            let (field, kind) = field(&mut builder, &column.path);
            (column, field, kind)
        })
        .collect();
    let index = Index::create_in_dir(dir, builder.build())?;
    let mut writer: IndexWriter<TantivyDocument> = index.writer_with_num_threads(1, HEAP_BYTES)?;

    let mut commits = commits.iter().copied().peekable();
    let (mut documents, mut making, mut making_wall) = (0, Duration::ZERO, Duration::ZERO);
    let (start, process) = (Instant::now(), usage::process());
    let (mut made_at, mut made_from) = (Instant::now(), usage::thread());
    crate::stages::replay(ledger, |batches| {
        let made: Vec<TantivyDocument> = batches
            .iter()
            .flat_map(|batch| (0..batch.rows.len()).map(move |row| (batch, row)))
            .map(|(batch, row)| {
                let mut doc = document(&fields, batch, row);
                doc.add_i64(time, batch.rows[row].time.0);
                doc.add_u64(position, batch.rows[row].index.0);
                doc.add_u64(class, u64::from(batch.class_uid));
                doc
            })
            .collect();
        making += usage::thread() - made_from;
        making_wall += made_at.elapsed();
        documents += made.len() as u64;
        for doc in made {
            writer.add_document(doc)?;
        }
        if commits.next_if(|at| *at <= documents).is_some() {
            writer.commit()?;
        }
        (made_at, made_from) = (Instant::now(), usage::thread());
        Ok(())
    })?;
    writer.commit()?;
    writer.wait_merging_threads()?;
    Ok(Outcome {
        documents,
        used: (usage::process() - process).saturating_sub(making),
        wall: start.elapsed().saturating_sub(making_wall),
        peak_mib: usage::peak_mib("self")?,
    })
}

fn field(builder: &mut tantivy::schema::SchemaBuilder, path: &str) -> (Field, Kind) {
    let name = path.replace('.', "_");
    let indexing = |tokenizer| {
        TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false)
    };
    if path == "raw_data" {
        let options = TextOptions::default().set_indexing_options(indexing("default"));
        return (builder.add_text_field(&name, options), Kind::Text);
    }
    if path == "unmapped" {
        let options = JsonObjectOptions::default().set_indexing_options(indexing("raw"));
        return (builder.add_json_field(&name, options), Kind::Json);
    }
    if TEXTS.contains(&path) {
        return (builder.add_text_field(&name, TEXT), Kind::Text);
    }
    if NUMBERS.contains(&path) {
        return (builder.add_u64_field(&name, FAST | INDEXED), Kind::Number);
    }
    if path.ends_with(".ip") {
        let options = IpAddrOptions::default().set_fast().set_indexed();
        return (builder.add_ip_addr_field(&name, options), Kind::Address);
    }
    (builder.add_text_field(&name, STRING | FAST), Kind::Keyword)
}

fn document(fields: &[(Column, Field, Kind)], batch: &Batch, row: usize) -> TantivyDocument {
    let mut doc = TantivyDocument::default();
    for (column, field, kind) in fields {
        let Some(column) = batch.column(column) else { continue };
        column.for_each(row, |value| match kind {
            Kind::Text | Kind::Keyword => doc.add_text(*field, value),
            Kind::Number => {
                if let Ok(n) = value.parse() {
                    doc.add_u64(*field, n);
                }
            }
            Kind::Address => {
                if let Some(address) = address(value) {
                    doc.add_ip_addr(*field, address);
                }
            }
            Kind::Json => {
                if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(value) {
                    let object = object.into_iter().map(|(k, v)| (k, v.into())).collect();
                    doc.add_object(*field, object);
                }
            }
        });
    }
    doc
}

fn address(text: &str) -> Option<Ipv6Addr> {
    match text.parse().ok()? {
        IpAddr::V4(v4) => Some(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => Some(v6),
    }
}
