//! The independent schema checker beside the checkout, run over events; and the shared data. Where they are absent, the tests
//! say so in a line and pass.

#![allow(dead_code)] // each test takes what it needs

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::PlainEvent;
use serde_json::Value;
use tempfile::NamedTempFile;

/// A file or folder beside the checkout.
pub fn shared(what: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: ../shared/{what} is not there");
    None
}

/// Events that go through the checker in one run.
pub struct Checker {
    file: NamedTempFile,
    /// Where each event is from, for the complaint.
    from: Vec<String>,
}

impl Checker {
    /// None so far.
    pub fn new() -> Checker {
        Checker {
            file: NamedTempFile::new().unwrap(),
            from: Vec::new(),
        }
    }

    /// Adds an event, and where it is from.
    pub fn add(&mut self, from: &str, event: &Value) {
        writeln!(self.file, "{}", serde_json::to_string(event).unwrap()).unwrap();
        self.from.push(from.to_owned());
    }

    /// How many events were added.
    pub fn len(&self) -> usize {
        self.from.len()
    }

    /// Adds the events of a file and checks them.
    pub fn check<'e>(what: &str, events: impl IntoIterator<Item = &'e PlainEvent>) -> bool {
        let mut checker = Checker::new();
        for event in events {
            checker.add(&event.uid, &Value::Object(event.ocsf.clone()));
        }
        checker.finish(what)
    }

    /// Panics where the checker finds an error; true where it found none, false where there is no checker.
    pub fn finish(mut self, what: &str) -> bool {
        let errors = self.errors();
        let Some(errors) = errors else { return false };
        println!("{what}: {} events, {} with errors", self.from.len(), errors.len());
        let shown: Vec<&str> = errors
            .iter()
            .take(10)
            .map(|(_, complaint)| complaint.as_str())
            .collect();
        assert!(
            errors.is_empty(),
            "{what}: {} of {}\n{}",
            errors.len(),
            self.from.len(),
            shown.join("\n")
        );
        true
    }

    /// The events with errors: their place from 0, and the checker's complaint. `None`: there is no checker.
    pub fn errors(&mut self) -> Option<Vec<(usize, String)>> {
        let checker = shared("ocsf/validate.py")?;
        self.file.flush().unwrap();
        let run = Command::new("python3")
            .arg(checker)
            .arg("--only-bad")
            .arg(self.file.path())
            .output();
        let Ok(run) = run else {
            println!("skipped: no python3");
            return None;
        };
        let summary = String::from_utf8_lossy(&run.stderr);
        assert!(
            summary.contains(&format!("{}", self.from.len())),
            "the checker saw other events: {summary}"
        );
        let mut errors = Vec::new();
        for complaint in String::from_utf8_lossy(&run.stdout).lines() {
            let at = place(complaint);
            let from = at.and_then(|n| self.from.get(n)).map_or("?", String::as_str);
            errors.push((at.unwrap_or(usize::MAX), format!("{from}: {complaint}")));
        }
        assert_eq!(run.status.success(), errors.is_empty(), "{summary}");
        Some(errors)
    }
}

/// The line that a complaint is about, from 0.
fn place(complaint: &str) -> Option<usize> {
    let value: Value = serde_json::from_str(complaint).ok()?;
    usize::try_from(value.get("line")?.as_u64()?).ok()?.checked_sub(1)
}
