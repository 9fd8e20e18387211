//! Flat rows of JSON into batches, by the shortest way: what another database is given to insert, given to the index.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arrow_array::StringArray;
use ingest::json_columns::{JsonBatches, JsonColumns, Needs};
use model::{Batch, Column, Field, LedgerIndex, LogSource, Millis, Row, Uids, Wanted};

/// Rows that are handed on together, as in the server.
const GROUP_ROWS: usize = 2048;
/// What is read of each row besides its columns, in this order.
const BESIDES: [&str; 3] = ["time", "class", "source"];
const SOURCE: &str = "docket.source";
/// Where the rows say they are from.
const TOPIC: &str = "bench.rows";

/// Hands the rows of a file to `each`, some at a time. `columns` are names of values in the rows, with the OCSF paths that they
/// are given; `time` (ms), `class` and `source` are of every row.
///
/// # Errors
/// The disk's, those of `each`, and of rows that are not flat.
pub fn read(
    path: &Path,
    columns: &[(&str, &str)],
    mut each: impl FnMut(&[Batch]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut flat = Flat::new(columns)?;
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).with_context(|| path.display().to_string())?);
    let (mut line, mut waiting) = (String::new(), 0);
    loop {
        line.clear();
        let is_end = file.read_line(&mut line)? == 0;
        if !is_end {
            flat.push(line.trim_end())?;
            waiting += 1;
        }
        if waiting == GROUP_ROWS || is_end {
            each(&flat.finish()?)?;
            waiting = 0;
        }
        if is_end {
            return Ok(());
        }
    }
}

struct Flat {
    wanted: Wanted,
    /// Where the columns stand, by the paths that they are given.
    places: Arc<HashMap<Field, usize>>,
    batches: JsonBatches,
    sources: HashMap<String, Arc<str>>,
    next: u64,
}

impl Flat {
    fn new(columns: &[(&str, &str)]) -> anyhow::Result<Flat> {
        let own = columns.iter().filter(|(name, _)| !BESIDES.contains(name));
        let paths: HashMap<Field, Field> = own
            .map(|(name, path)| (Field::native(name), Field::ocsf(path)))
            .collect();
        let wanted: Wanted = paths.keys().cloned().collect();
        let mut places: HashMap<Field, usize> = wanted.iter().map(|name| paths[name].clone()).zip(0..).collect();
        places.insert(Field::ocsf(SOURCE), wanted.len());
        let columns = JsonColumns::new(&wanted, &BESIDES).context("no name is so deep")?;
        Ok(Flat {
            batches: JsonBatches::new(columns),
            wanted,
            places: Arc::new(places),
            sources: HashMap::new(),
            next: 0,
        })
    }

    fn push(&mut self, line: &str) -> anyhow::Result<()> {
        let shown = || line.chars().take(200).collect::<String>();
        let odd = |_| anyhow::anyhow!("not a flat row: {}", shown());
        let read = self.batches.read(line).map_err(odd)?;
        let (mut time, mut source) = (None, None);
        for (of, value) in self.batches.besides(read) {
            match of {
                0 => time = value.parse().ok(),
                2 => source = Some(value),
                _ => {}
            }
        }
        let (time, source) = (time.map(Millis).with_context(shown)?, source.with_context(shown)?);
        let source = match self.sources.get(source) {
            Some(known) => known.clone(),
            None => self.sources.entry(source.to_owned()).or_insert(source.into()).clone(),
        };
        let row = Row {
            index: LedgerIndex(self.next),
            time,
            received_at: time,
        };
        self.next += 1;
        let wanted = &self.wanted;
        let needs = |columns: &JsonColumns, _: &LogSource| -> Needs { columns.needs(wanted) };
        // The class stands where a label does, so that each has batches of its own.
        self.batches
            .add(read, &source, [Some(1), None, None], row, |_| {}, needs)
            .map_err(odd)
    }

    fn finish(&mut self) -> anyhow::Result<Vec<Batch>> {
        let batches = self.batches.finish();
        batches.into_iter().map(|batch| self.named(batch)).collect()
    }

    /// The same columns by their OCSF paths.
    fn named(&self, batch: Batch) -> anyhow::Result<Batch> {
        let class = batch
            .logsource
            .product
            .as_deref()
            .context("a row without a class")?
            .parse()?;
        let mut columns: Vec<Option<Column>> = (0..self.wanted.len()).map(|at| batch.column_at(at).cloned()).collect();
        let source = StringArray::from(vec![&*batch.source]);
        columns.push(Some(Column::Same(source, 0..batch.rows.len())));
        let mut uids = Uids::default();
        for row in &batch.rows {
            uids.push_record(TOPIC, 0, i64::try_from(row.index.0)?);
        }
        let (source, rows) = (batch.source, batch.rows);
        Ok(Batch::with_columns(
            &source,
            LogSource::default(),
            class,
            rows,
            uids,
            &self.places,
            columns,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_batches_of_one_class_and_source() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("rows.ndjson");
        let rows = [
            r#"{"time":5,"class":3002,"source":"a","user":"li \"na\"","raw":"x"}"#,
            r#"{"time":6,"class":3002,"source":"b","raw":"y"}"#,
            r#"{"time":7,"class":3002,"source":"a","raw":"z","host":"h"}"#,
            r#"{"time":8,"class":1007,"source":"a","raw":"w"}"#,
        ];
        std::fs::write(&file, rows.join("\n"))?;
        let columns = [
            ("source", "docket.source"),
            ("user", "user.name"),
            ("raw", "raw_data"),
            ("host", "device.hostname"),
        ];
        let mut seen = Vec::new();
        read(&file, &columns, |batches| {
            for batch in batches {
                for (row, place) in batch.rows.iter().enumerate() {
                    let value = |path| batch.ocsf(path, row).unwrap_or("-").to_owned();
                    let values = ["docket.source", "user.name", "raw_data", "device.hostname"]
                        .map(value)
                        .join(" ");
                    seen.push(format!(
                        "{} {} {} {values}",
                        batch.uid(row),
                        place.time.0,
                        batch.class_uid
                    ));
                }
            }
            Ok(())
        })?;
        assert_eq!(
            seen,
            [
                "bench.rows/0/0 5 3002 a li \"na\" x -",
                "bench.rows/0/2 7 3002 a - z h",
                "bench.rows/0/1 6 3002 b - y -",
                "bench.rows/0/3 8 1007 a - w -",
            ]
        );
        std::fs::write(&file, r#"{"time":5,"class":3002,"raw":"x"}"#)?;
        assert!(read(&file, &columns, |_| Ok(())).is_err());
        Ok(())
    }
}
