//! The lines that are shipped, and how they are found again in what arrived.

use std::collections::BTreeMap;

use serde_json::Value;

/// How many each shipper delivers.
pub const COUNT: usize = 10_000;
const BEGINNING: &str = "audit record ";

/// A line: nothing in it may be changed on the way.
pub fn line(n: usize) -> String {
    format!(
        "{BEGINNING}{n:05} by u{}: rm -rf \"/srv/{}\" \\ 100% 审计 <b> end-{n:05}",
        n % 17,
        n % 101
    )
}

/// Which line a record is. What shippers put around it is passed over, what they did to it is not.
pub fn number(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).unwrap();
    let within = match serde_json::from_str::<Value>(text) {
        Ok(json) => found(&json).unwrap_or_else(|| panic!("no line in {text}")),
        Err(_) => text.to_owned(),
    };
    let from = within.find(BEGINNING).unwrap_or_else(|| panic!("no line in {text}"));
    // syslog-ng counts the line's end in.
    let said = within[from..].strip_suffix('\n').unwrap_or(&within[from..]);
    let n = said[BEGINNING.len()..][..5].parse().unwrap();
    assert_eq!(said, line(n), "not as it was sent: {text}");
    n
}

fn found(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => text.contains(BEGINNING).then(|| text.clone()),
        Value::Array(items) => items.iter().find_map(found),
        Value::Object(items) => items.values().find_map(found),
        _ => None,
    }
}

/// How often each line of a source is in the ledger.
#[derive(Debug, Default, Clone)]
pub struct Arrived(pub BTreeMap<usize, usize>);

impl Arrived {
    /// Records.
    pub fn received(&self) -> u64 {
        self.0.values().sum::<usize>() as u64
    }

    /// Records of lines that had come before.
    pub fn repeated(&self) -> u64 {
        self.received() - self.0.len() as u64
    }

    /// Whether all lines before this one are there.
    pub fn up_to(&self, end: usize) -> bool {
        self.0.range(..end).count() == end
    }
}
