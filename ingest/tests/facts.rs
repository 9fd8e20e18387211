//! Every `fixtures/<format>/<case>.facts` against the events of `<case>.log`: who, on whom, from where, on what, with what result and
//! when, written by hand from the format's documentation and the line, never from our output. See `fixtures/README.md`.

#![allow(clippy::unwrap_used)] // a test may panic

mod cases;

use std::fmt::Write as _;
use std::fs;

use cases::Case;
use model::Millis;
use serde_json::Value;

/// The columns of a table, in order; `also` may be left out.
const COLUMNS: [&str; 9] = ["line", "class", "who", "whom", "from", "on", "result", "time", "also"];

/// A line of a table: its cells, ditto marks resolved.
struct Row {
    cells: Vec<String>,
}

impl Row {
    fn cell(&self, column: &str) -> &str {
        let at = COLUMNS.iter().position(|c| *c == column).unwrap();
        self.cells.get(at).map_or("", String::as_str)
    }
}

fn table(text: &str) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    for (n, line) in lines {
        // `\|` is a bar in a cell.
        let line = line.replace("\\|", "\u{1}");
        let mut cells: Vec<String> = line.split('|').map(|c| c.trim().replace('\u{1}', "|")).collect();
        if cells.len() < COLUMNS.len() - 1 || cells.len() > COLUMNS.len() {
            return Err(format!("{}: {} cells of {}", n + 1, cells.len(), COLUMNS.len()));
        }
        if cells[0] == "line" {
            if cells.iter().zip(COLUMNS).any(|(c, want)| c != want) {
                return Err(format!("{}: the columns are {COLUMNS:?}", n + 1));
            }
            continue;
        }
        for (i, cell) in cells.iter_mut().enumerate() {
            if cell == "\"" {
                let above = rows.last().and_then(|r| r.cells.get(i));
                *cell = above.ok_or(format!("{}: nothing above", n + 1))?.clone();
            }
        }
        rows.push(Row { cells });
    }
    Ok(rows)
}

/// The values at a dotted path, through lists.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(|v| at(v, path)).collect(),
        Value::Object(object) if !path.is_empty() => {
            // Names in `unmapped` may hold dots.
            if let Some(found) = object.get(path) {
                return at(found, "");
            }
            match path.split_once('.') {
                Some((head, rest)) => object.get(head).map_or(Vec::new(), |v| at(v, rest)),
                None => Vec::new(),
            }
        }
        other if path.is_empty() => vec![other],
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The first of the paths that has a value.
fn first(event: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|p| at(event, p).first().map(|v| text(v)))
}

const WHO: &[&str] = &["actor.user.name", "actor.user.uid", "actor.invoked_by"];
const WHOM: &[&str] = &["user.name", "user.uid", "process.user.name", "process.user.uid"];
const FROM: &[&str] = &[
    "src_endpoint.ip",
    "src_endpoint.hostname",
    "src_endpoint.svc_name",
    "src_endpoint.domain",
    "src_endpoint.name",
    "unmapped.src_endpoint",
    "unmapped.remote_addr",
    "unmapped.client",
];
/// Where it happened, and on what.
const ON: &[&str] = &[
    "api.operation",
    "api.service.name",
    "app.name",
    "command",
    "database.name",
    "device.hostname",
    "device.ip",
    "device.name",
    "dst_endpoint.domain",
    "dst_endpoint.hostname",
    "dst_endpoint.ip",
    "dst_endpoint.name",
    "dst_endpoint.svc_name",
    "entity.name",
    "entity.type",
    "entity.uid",
    "file.name",
    "file.path",
    "file_result.path",
    "group.name",
    "http_request.http_method",
    "http_request.url.hostname",
    "http_request.url.path",
    "job.name",
    "log_name",
    "module.name",
    "policy.name",
    "privileges",
    "process.cmd_line",
    "process.file.path",
    "process.name",
    "query_info.query_string",
    "resource.name",
    "resource.uid",
    "resources.name",
    "resources.uid",
    "resources.type",
    "script.script_content.value",
    "service.name",
    "share",
    "table.name",
    "web_resources.name",
    "web_resources.type",
    "web_resources.uid",
    "win_service.name",
];

/// The items of a cell; `\;` is a semicolon in one.
fn items(cell: &str) -> impl Iterator<Item = String> {
    cell.split(" ; ").map(|i| i.replace("\\;", ";"))
}

/// What is wrong with the event by the row.
fn differences(row: &Row, event: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |what: &str, want: &str, got: String| {
        if want != got {
            wrong.push(format!("{what}: {want:?} by the facts, {got:?} in the event"));
        }
    };
    let number = |path: &str| at(event, path).first().and_then(|v| v.as_i64()).unwrap_or(-1);
    expect(
        "class",
        row.cell("class"),
        format!("{}.{}", number("class_uid"), number("activity_id")),
    );
    for (column, paths) in [("who", WHO), ("whom", WHOM), ("from", FROM)] {
        let got = first(event, paths).unwrap_or_else(|| "-".to_owned());
        expect(column, row.cell(column), got);
    }
    let denied = number("action_id") == 2;
    let result = match number("status_id") {
        -1 if denied => "denied".to_owned(),
        -1 => "-".to_owned(),
        1 if denied => "success, and denied".to_owned(),
        1 => "success".to_owned(),
        2 if denied => "denied".to_owned(),
        2 => "failure".to_owned(),
        _ => first(event, &["status"]).unwrap_or_else(|| "unknown".to_owned()),
    };
    expect("result", row.cell("result"), result);
    let labelled = |label: &str| at(event, "metadata.labels").iter().any(|l| *l == label);
    let time = row.cell("time");
    match Millis::parse(time) {
        Ok(want) => expect("time", &want.0.to_string(), number("time").to_string()),
        // No time in the line: that of receipt.
        Err(_) if time == "-" => {
            let got = labelled("time.missing")
                || labelled("time.unreadable")
                || number("time") == number("metadata.logged_time");
            expect(
                "time",
                "of receipt",
                if got { "of receipt" } else { "another" }.to_owned(),
            );
        }
        Err(_) => expect("time", "RFC 3339, or -", time.to_owned()),
    }
    // `-` is what the schema's demand is met with where the line tells nothing.
    let there: Vec<String> = ON
        .iter()
        .flat_map(|p| at(event, p))
        .map(text)
        .filter(|t| t != "-")
        .collect();
    let message = first(event, &["message"]);
    match row.cell("on") {
        "-" => expect("on", "", there.join(" ; ")),
        on => {
            for want in items(on).filter(|w| !there.contains(w) && message.as_ref() != Some(w)) {
                expect("on", &want, there.join(" ; "));
            }
        }
    }
    for pair in items(row.cell("also")).filter(|p| !p.is_empty()) {
        let (path, want) = pair.split_once('=').unwrap_or((&pair, ""));
        let values: Vec<String> = at(event, path.trim()).into_iter().map(text).collect();
        match want.trim() {
            // Must not be there.
            "-" => expect(path, "", values.join(", ")),
            want if values.iter().any(|v| v == want) => {}
            want => expect(path, want, values.join(", ")),
        }
    }
    wrong
}

fn check(case: &Case, text: &str, out: &mut String) {
    let rows = match table(text) {
        Ok(rows) => rows,
        Err(error) => return writeln!(out, "{}.facts:{error}", case.name()).unwrap(),
    };
    let outcomes = case.events();
    for outcome in &outcomes {
        let event = cases::ocsf(&outcome.event);
        match rows
            .iter()
            .filter(|r| r.cell("line") == outcome.line)
            .collect::<Vec<_>>()[..]
        {
            [row] => {
                for difference in differences(row, &event) {
                    writeln!(out, "{} {}: {difference}", case.name(), outcome.line).unwrap();
                }
            }
            [] => writeln!(out, "{} {}: no facts", case.name(), outcome.line).unwrap(),
            _ => writeln!(out, "{} {}: facts twice", case.name(), outcome.line).unwrap(),
        }
    }
    for row in &rows {
        if !outcomes.iter().any(|o| o.line == row.cell("line")) {
            writeln!(
                out,
                "{} {}: facts of an event that is not there",
                case.name(),
                row.cell("line")
            )
            .unwrap();
        }
    }
}

#[test]
fn every_event_is_as_its_facts_say() {
    let mut wrong = String::new();
    for case in cases::all() {
        match fs::read_to_string(case.beside("facts")) {
            Ok(text) => check(&case, &text, &mut wrong),
            Err(_) => writeln!(wrong, "{}: there is no {0}.facts", case.name()).unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{} lines\n{wrong}", wrong.lines().count());
}

#[test]
fn a_wrong_fact_is_told() {
    let event: Value = serde_json::from_str(
        r#"{"class_uid": 3002, "activity_id": 1, "user": {"name": "li.na"}, "src_endpoint": {"ip": "10.0.0.9"}, "status_id": 2,
            "time": 1772463192000, "device": {"hostname": "a"}, "metadata": {"labels": ["x"]}, "unmapped": {"a.b": [1, 2]}}"#,
    )
    .unwrap();
    let right = "1 | 3002.1 | - | li.na | 10.0.0.9 | a | failure | 2026-03-02T22:53:12+08:00 | unmapped.a.b=2 ; metadata.labels=x";
    let told = |row: &str| differences(&table(row).unwrap()[0], &event).len();
    assert_eq!(told(right), 0);
    for (from, to) in [
        ("3002.1", "3002.2"),
        ("| - ", "| bob "),
        ("li.na", "-"),
        ("10.0.0.9", "10.0.0.8"),
        ("| a ", "| b "),
        ("| a ", "| - "),
        ("failure", "denied"),
        ("failure", "-"),
        ("22:53:12", "22:53:13"),
        ("2026-03-02T22:53:12+08:00", "-"),
        ("=2", "=3"),
        ("labels=x", "labels=-"),
    ] {
        assert_eq!(told(&right.replace(from, to)), 1, "{from} {to}");
    }
}
