//! Explanations of records (`docket normalize --explain`, `docket mapping check`), for people and for programs.

use std::io::{self, Write};

use ingest::Normalizer;
use ingest::explain::{Explained, Explanation, Origin, Trace};
use ingest::join::{Assembler, Whole};
use model::{LedgerIndex, Millis, RawRecord};

use super::normalize::Input;
use super::output::{Output, inert};
use crate::offline::Counts;

/// Normalizes and explains every record of the input; records that are one event are put together first.
///
/// # Errors
/// The input's, and standard output's.
pub fn run(input: &Input, normalizer: &Normalizer, output: Output) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut assembler = Assembler::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut show = |record: &RawRecord, whole: Option<&Whole>, counts: &mut Counts| -> anyhow::Result<()> {
        let told = normalizer.explain(record);
        counts.events += told.events.len() as u64;
        counts.quarantined += u64::from(told.quarantined.is_some());
        match output {
            Output::Table => person(&mut out, record, whole, &told)?,
            _ => {
                serde_json::to_writer(&mut out, &told)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    };
    input.records(&mut |record| {
        let index = LedgerIndex(counts.records);
        counts.records += 1;
        for whole in assembler.advance(record.received_at) {
            show(&whole.record, Some(&whole), &mut counts)?;
        }
        match normalizer.piece(&record) {
            Some(piece) => assembler
                .push(index, record, piece)
                .iter()
                .try_for_each(|whole| show(&whole.record, Some(whole), &mut counts)),
            None => show(&record, None, &mut counts),
        }
    })?;
    for whole in assembler.flush() {
        show(&whole.record, Some(&whole), &mut counts)?;
    }
    out.flush()?;
    Ok(counts)
}

/// A value for people: of milliseconds since 1970 also the moment that they are.
fn value(field: &Trace) -> String {
    let is_time = field.path == "time" || field.path.ends_with("_time");
    let moment = field.value.parse().ok().map(Millis).filter(|_| is_time);
    match moment {
        Some(moment) => format!("{} ({moment})", field.value),
        None => inert(&field.value),
    }
}

/// Characters of a record that are shown.
const LINE_MAX: usize = 200;

/// Records of an event that are named.
const LINES_MAX: usize = 8;

fn person(out: &mut impl Write, record: &RawRecord, whole: Option<&Whole>, told: &Explanation) -> io::Result<()> {
    let text = String::from_utf8_lossy(&record.payload);
    let mut line: String = text.chars().take(LINE_MAX).collect();
    if text.chars().nth(LINE_MAX).is_some() {
        line.push('…');
    }
    writeln!(out, "{}  {}", told.record, inert(&line))?;
    if let Some(whole) = whole.filter(|w| w.lines.len() > 1) {
        let names: Vec<String> = whole.lines.iter().take(LINES_MAX).map(|l| l.id.to_string()).collect();
        let more = if whole.lines.len() > LINES_MAX { ", …" } else { "" };
        writeln!(
            out,
            "  joined  {} records: {}{more}",
            whole.lines.len(),
            names.join(", ")
        )?;
    }
    writeln!(out, "  format  {}: {}", told.format, told.reason)?;
    for candidate in &told.candidates {
        let why = candidate
            .lost
            .as_deref()
            .map_or_else(|| "chosen".to_owned(), |lost| format!("not chosen: {lost}"));
        writeln!(
            out,
            "          {:>3} {:<18} {}; {why}",
            candidate.score, candidate.format, candidate.reason
        )?;
    }
    if let Some(why) = &told.quarantined {
        writeln!(out, "  quarantined  {}: {}", why.reason, why.meaning)?;
        writeln!(out, "          {}", why.remedy)?;
    }
    for event in &told.events {
        person_event(out, event)?;
    }
    writeln!(out)
}

fn person_event(out: &mut impl Write, event: &Explained) -> io::Result<()> {
    writeln!(out, "  event   {}  {}", event.uid, event.what)?;
    for labelled in &event.labels {
        writeln!(out, "    label {}: {}", inert(&labelled.label), labelled.meaning)?;
    }
    let wide = event
        .fields
        .iter()
        .map(|f| f.path.chars().count())
        .max()
        .unwrap_or(0)
        .min(44);
    for field in &event.fields {
        let from = match &field.from {
            Origin::Field { name, part: false } => format!("field {}", inert(name)),
            Origin::Field { name, part: true } => format!("part of field {}", inert(name)),
            Origin::Line { column } => format!("the line, column {column}"),
            Origin::Record => "the record".to_owned(),
            Origin::Derived => "follows".to_owned(),
        };
        writeln!(out, "    {:<wide$}  {}  <- {from}", inert(&field.path), value(field))?;
    }
    if !event.only_raw.is_empty() {
        let names: Vec<String> = event.only_raw.iter().map(|n| inert(n)).collect();
        writeln!(out, "    only in the raw text: {}", names.join(", "))?;
    }
    Ok(())
}
