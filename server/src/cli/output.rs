//! Data on standard output: tables for people, JSON and CSV for programs. Log content is hostile: control
//! characters are shown escaped, and CSV cells that a spreadsheet would run are disarmed.

use std::io::{IsTerminal as _, Write};

use serde_json::Value;

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Columns, for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated, with a header.
    Csv,
}

/// `--output`
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct OutputArg {
    /// How data is written (default: table on a terminal, else ndjson)
    #[arg(long, value_enum)]
    output: Option<Output>,
}

impl OutputArg {
    /// What was asked for, or what suits standard output.
    pub fn get(self) -> Output {
        let fitting = || {
            if std::io::stdout().is_terminal() {
                Output::Table
            } else {
                Output::Ndjson
            }
        };
        self.output.unwrap_or_else(fitting)
    }
}

/// A column: its heading, and how a row's cell is made.
pub type Columns<'a> = &'a [(&'a str, fn(&Value) -> String)];

/// Writes rows.
///
/// # Errors
/// Standard output's.
pub fn write(output: Output, rows: &[Value], columns: Columns<'_>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(rows)?),
        Output::Ndjson => rows.iter().try_for_each(|r| writeln!(out, "{r}")),
        Output::Csv => csv(&mut out, rows, columns),
        Output::Table => table(&mut out, rows, columns),
    }
}

/// Writes objects, a column for each of these names.
///
/// # Errors
/// Standard output's.
pub fn write_named(output: Output, names: &[String], rows: &[Value]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let lines = rows
        .iter()
        .map(|row| names.iter().map(|n| text(&row[n.as_str()])).collect());
    match output {
        Output::Csv => {
            for line in std::iter::once(names.to_vec()).chain(lines) {
                writeln!(out, "{}", line.iter().map(|c| cell(c)).collect::<Vec<_>>().join(","))?;
            }
            Ok(())
        }
        Output::Table => {
            let head: Vec<String> = names.iter().map(|n| n.to_uppercase()).collect();
            let cells = lines.map(|line: Vec<String>| line.iter().map(|c| inert(c)).collect());
            aligned(&mut out, std::iter::once(head).chain(cells).collect())
        }
        _ => rows.iter().try_for_each(|r| writeln!(out, "{r}")),
    }
}

fn csv(out: &mut impl Write, rows: &[Value], columns: Columns<'_>) -> std::io::Result<()> {
    let head: Vec<String> = columns.iter().map(|(name, _)| cell(&name.to_lowercase())).collect();
    writeln!(out, "{}", head.join(","))?;
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|(_, make)| cell(&make(row))).collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

/// A CSV cell (RFC 4180); what a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let armed = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if armed { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn table(out: &mut impl Write, rows: &[Value], columns: Columns<'_>) -> std::io::Result<()> {
    let head: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut lines = vec![head];
    lines.extend(
        rows.iter()
            .map(|r| columns.iter().map(|(_, make)| inert(&make(r))).collect::<Vec<_>>()),
    );
    aligned(out, lines)
}

fn aligned(out: &mut impl Write, lines: Vec<Vec<String>>) -> std::io::Result<()> {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|i| lines.iter().map(|l| width(&l[i])).max().unwrap_or(0))
        .collect();
    for line in lines {
        let mut text = String::new();
        for (i, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if i + 1 < columns {
                text.extend(std::iter::repeat_n(' ', widths[i] - width(cell) + 2));
            }
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Columns on a terminal: wide characters (Chinese, Japanese, Korean) take two.
pub fn width(text: &str) -> usize {
    text.chars()
        .map(|c| {
            if ('\u{1100}'..='\u{115f}').contains(&c) || ('\u{2e80}'..='\u{ffe6}').contains(&c) {
                2
            } else {
                1
            }
        })
        .sum()
}

/// Text that a terminal only shows: control characters escaped, bidirectional overrides too.
pub fn inert(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    text.chars().fold(String::new(), |mut out, c| {
        if hidden(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_inert() {
        assert_eq!(inert("\u{1b}[2Jx\u{202e}y"), "\\u{1b}[2Jx\\u{202e}y");
        assert_eq!(cell("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(cell("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(width("张伟 ok"), 7);
    }
}
