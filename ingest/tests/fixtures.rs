//! Every `fixtures/<format>/<case>.log` against its `<case>.ocsf.json`: one event a line, in order; all of them pass the schema.
//!
//! `UPDATE_GOLDEN=1` rewrites the goldens; then read the diff. Beside each event's OCSF stand what only Docket has: system,
//! commands, log source. What must be true of an event is in `<case>.facts` (`facts.rs`); see `fixtures/README.md`.

#![allow(clippy::unwrap_used)] // a test may panic

mod cases;
mod schema;

use std::fs;

use cases::Case;
use serde_json::{Map, Value, json};

fn events(case: &Case) -> String {
    let mut out = String::new();
    for outcome in case.events() {
        let event = outcome.event;
        let mut docket = Map::new();
        docket.insert("system".into(), json!(event.system));
        if !event.commands.is_empty() {
            docket.insert("commands".into(), json!(event.commands));
        }
        let l = &event.logsource;
        docket.insert("logsource".into(), json!([l.product, l.category, l.service]));
        out += &serde_json::to_string(&json!({"docket": docket, "ocsf": cases::ocsf(&event)})).unwrap();
        out.push('\n');
    }
    out
}

#[test]
fn every_fixture_gives_its_golden() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let golden = case.beside("ocsf.json");
        let got = events(&case);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &got).unwrap();
            continue;
        }
        let want = fs::read_to_string(&golden).unwrap_or_default();
        for (n, (got, want)) in got.lines().zip(want.lines()).enumerate() {
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
            if parse(got) != parse(want) {
                wrong.push(format!("{} event {n}\n  want {want}\n  got  {got}", case.name()));
            }
        }
        if got.lines().count() != want.lines().count() {
            wrong.push(format!(
                "{}: {} events, golden has {}",
                case.name(),
                got.lines().count(),
                want.lines().count()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 rewrites them", wrong.join("\n"));
}

#[test]
fn every_golden_passes_the_schema() {
    let mut checker = schema::Checker::new();
    for case in cases::all() {
        for outcome in case.events() {
            checker.add(
                &format!("{} {}", case.name(), outcome.line),
                &cases::ocsf(&outcome.event),
            );
        }
    }
    checker.finish("the fixtures");
}
