//! Rows of an export in four formats, written piece by piece: what was written is taken away, so that any number of rows
//! takes the memory of a few.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::Millis;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rows that a column format gathers before it writes them.
const GROUP_ROWS: usize = 2_000;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header; a cell that a spreadsheet would run has an apostrophe in front.
    Csv,
    /// Apache Parquet, zstd.
    Parquet,
    /// Arrow IPC, the file format.
    Arrow,
}

impl Format {
    /// What a file's name ends in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }
}

/// A row: an event, and where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its uid.
    pub record: String,
    /// The leaf of its (first) record.
    pub ledger_index: u64,
    /// The Merkle leaf hash of that record, hexadecimal: with it the row's record is found, and proven, in the ledger.
    pub leaf_sha256: String,
    /// The source's id.
    pub source: String,
    /// When it happened.
    pub time: Millis,
    /// When it was received.
    pub received_at: Millis,
    /// The event, as it may be shown.
    pub event: Value,
}

/// Text columns made of the event, and the first of these paths that has a value.
const TEXTS: &[(&str, &[&str])] = &[
    ("class_name", &["/class_name"]),
    ("activity_name", &["/activity_name"]),
    ("severity", &["/severity"]),
    ("status", &["/status"]),
    ("actor", &["/actor/user/name"]),
    ("user", &["/user/name"]),
    ("account", &["/unmapped/account"]),
    ("src", &["/src_endpoint/ip", "/src_endpoint/hostname"]),
    (
        "host",
        &[
            "/device/hostname",
            "/dst_endpoint/hostname",
            "/device/name",
            "/dst_endpoint/ip",
            "/device/ip",
        ],
    ),
    (
        "session",
        &["/actor/session/uid", "/session/uid", "/metadata/correlation_uid"],
    ),
    ("product", &["/metadata/product/name"]),
    (
        "cmd",
        &[
            "/process/cmd_line",
            "/query_info/query_string",
            "/script/script_content/value",
        ],
    ),
    (
        "url",
        &[
            "/http_request/url/url_string",
            "/url/url_string",
            "/http_request/url/path",
        ],
    ),
    (
        "object",
        &["/web_resources/0/name", "/web_resources/0/uid", "/file/path"],
    ),
    ("message", &["/message", "/status_detail"]),
    ("raw", &["/raw_data"]),
];

/// The names of the columns, in order.
pub fn columns() -> Vec<&'static str> {
    let first = [
        "record",
        "ledger_index",
        "leaf_sha256",
        "source",
        "time",
        "received_at",
        "class_uid",
    ];
    first
        .into_iter()
        .chain(TEXTS.iter().map(|(name, _)| *name))
        .chain(["event"])
        .collect()
}

/// Writes rows of one file.
pub struct Encoder {
    out: Shared,
    inner: Inner,
    waiting: Vec<Row>,
}

enum Inner {
    Ndjson,
    Csv,
    Parquet(Box<ArrowWriter<Shared>>, SchemaRef),
    Arrow(Box<FileWriter<Shared>>, SchemaRef),
}

/// What was written and not yet taken.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    /// A file of this format.
    ///
    /// # Errors
    /// None but of memory: nothing else is written to.
    pub fn new(format: Format) -> io::Result<Encoder> {
        let mut out = Shared::default();
        let inner = match format {
            Format::Ndjson => Inner::Ndjson,
            Format::Csv => {
                writeln!(out, "{}", columns().join(","))?;
                Inner::Csv
            }
            Format::Parquet => {
                let level = ZstdLevel::try_new(3).map_err(io::Error::other)?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .build();
                let schema = schema();
                let writer = ArrowWriter::try_new(out.clone(), schema.clone(), Some(properties));
                Inner::Parquet(Box::new(writer.map_err(io::Error::other)?), schema)
            }
            Format::Arrow => {
                let schema = schema();
                let writer = FileWriter::try_new(out.clone(), &schema).map_err(io::Error::other)?;
                Inner::Arrow(Box::new(writer), schema)
            }
        };
        Ok(Encoder {
            out,
            inner,
            waiting: Vec::new(),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A row that cannot be written, which is a bug.
    pub fn push(&mut self, row: Row) -> io::Result<()> {
        match &mut self.inner {
            Inner::Ndjson => writeln!(self.out, "{}", line(&row)),
            Inner::Csv => {
                let texts = TEXTS
                    .iter()
                    .map(|(_, paths)| first(&row.event, paths).unwrap_or_default());
                let class = row.event["class_uid"].as_u64().unwrap_or(0).to_string();
                let (time, received) = (row.time.to_string(), row.received_at.to_string());
                let index = row.ledger_index.to_string();
                let head = [row.record, index, row.leaf_sha256, row.source, time, received, class];
                let cells: Vec<String> = head
                    .into_iter()
                    .chain(texts)
                    .chain([row.event.to_string()])
                    .map(|c| cell(&c))
                    .collect();
                write!(self.out, "{}\r\n", cells.join(","))
            }
            Inner::Parquet(..) | Inner::Arrow(..) => {
                self.waiting.push(row);
                if self.waiting.len() >= GROUP_ROWS {
                    self.group()
                } else {
                    Ok(())
                }
            }
        }
    }

    /// What was written since it was last taken.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.out.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the file; returns what was not taken.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.group()?;
        let Encoder { out, inner, .. } = self;
        match inner {
            Inner::Ndjson | Inner::Csv => {}
            Inner::Parquet(writer, _) => drop(writer.close().map_err(io::Error::other)?),
            Inner::Arrow(mut writer, _) => writer.finish().map_err(io::Error::other)?,
        }
        Ok(std::mem::take(
            &mut *out.0.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Writes the rows that wait as one group.
    fn group(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        match &mut self.inner {
            Inner::Parquet(writer, schema) => {
                writer.write(&batch(schema, &rows)?).map_err(io::Error::other)?;
                writer.flush().map_err(io::Error::other)
            }
            Inner::Arrow(writer, schema) => writer.write(&batch(schema, &rows)?).map_err(io::Error::other),
            Inner::Ndjson | Inner::Csv => Ok(()),
        }
    }
}

/// A row as a line of JSON.
fn line(row: &Row) -> Value {
    serde_json::json!({
        "record": row.record, "ledger_index": row.ledger_index, "leaf_sha256": row.leaf_sha256, "source": row.source,
        "time": row.time.to_string(), "received_at": row.received_at.to_string(), "event": row.event,
    })
}

/// A CSV cell (RFC 4180); what a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let armed = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let text = if armed { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

fn first(event: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| match event.pointer(path)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    })
}

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let fields = columns().into_iter().map(|name| match name {
        "ledger_index" => Field::new(name, DataType::UInt64, false),
        "class_uid" => Field::new(name, DataType::UInt32, false),
        "time" | "received_at" => Field::new(name, time(), false),
        "record" | "leaf_sha256" | "source" | "event" => Field::new(name, DataType::Utf8, false),
        _ => Field::new(name, DataType::Utf8, true),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, rows: &[Row]) -> io::Result<RecordBatch> {
    let text = |of: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let time = |of: &dyn Fn(&Row) -> i64| {
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(of));
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    let class = |row: &Row| u32::try_from(row.event["class_uid"].as_u64().unwrap_or(0)).unwrap_or(0);
    let mut arrays: Vec<ArrayRef> = vec![
        text(&|r| Some(r.record.clone())),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.ledger_index))),
        text(&|r| Some(r.leaf_sha256.clone())),
        text(&|r| Some(r.source.clone())),
        time(&|r| r.time.0),
        time(&|r| r.received_at.0),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(class))),
    ];
    arrays.extend(TEXTS.iter().map(|(_, paths)| text(&|r| first(&r.event, paths))));
    arrays.push(text(&|r| Some(r.event.to_string())));
    RecordBatch::try_new(schema.clone(), arrays).map_err(io::Error::other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray as _;
    use serde_json::json;

    fn row(n: u64) -> Row {
        Row {
            record: format!("t/0/{n}"),
            ledger_index: n,
            leaf_sha256: format!("{n:064x}"),
            source: "crm".into(),
            time: Millis(n as i64),
            received_at: Millis(5),
            event: json!({"class_uid": 3002, "user": {"name": "=cmd|' /C calc'!A0"}, "message": "审计, \"日志\"\nx"}),
        }
    }

    fn written(format: Format, rows: u64) -> Vec<u8> {
        let mut encoder = Encoder::new(format).unwrap();
        let mut bytes = Vec::new();
        for n in 0..rows {
            encoder.push(row(n)).unwrap();
            bytes.extend(encoder.take());
        }
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    #[test]
    fn every_format_reads_back() {
        let rows = GROUP_ROWS as u64 * 2 + 17;
        let lines = String::from_utf8(written(Format::Ndjson, rows)).unwrap();
        assert_eq!(lines.lines().count() as u64, rows);
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last, line(&row(rows - 1)));

        let bytes = bytes::Bytes::from(written(Format::Parquet, rows));
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        check(&batches, rows);

        let bytes = io::Cursor::new(written(Format::Arrow, rows));
        let reader = arrow_ipc::reader::FileReader::try_new(bytes, None).unwrap();
        check(&reader.map(Result::unwrap).collect::<Vec<_>>(), rows);
    }

    fn check(batches: &[RecordBatch], rows: u64) {
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64, rows);
        let names: Vec<String> = batches[0].schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, columns());
        let message = batches[0].column_by_name("message").unwrap().as_string::<i32>();
        assert_eq!(message.value(0), "审计, \"日志\"\nx");
    }

    #[test]
    fn a_csv_cell_is_no_formula() {
        let text = String::from_utf8(written(Format::Csv, 1)).unwrap();
        assert!(
            text.starts_with("record,ledger_index,leaf_sha256,source,time,"),
            "{text}"
        );
        assert!(text.contains(",'=cmd|' /C calc'!A0,"), "{text}");
        assert!(text.contains("\"审计, \"\"日志\"\"\nx\""), "{text}");
        for armed in ["=1", "+1", "-1", "@x", "\tx", "＝1"] {
            assert!(cell(armed).starts_with('\''), "{armed}");
        }
    }

    #[test]
    fn what_was_written_does_not_gather() {
        let mut encoder = Encoder::new(Format::Parquet).unwrap();
        let mut most = 0;
        for n in 0..GROUP_ROWS as u64 * 5 {
            encoder.push(row(n)).unwrap();
            most = most.max(encoder.take().len());
            assert!(encoder.waiting.len() < GROUP_ROWS);
        }
        assert!(most > 0);
    }
}
