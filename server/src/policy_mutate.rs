//! `docket policy test --mutate`: takes away one condition of a policy at a time, and sees whether a test notices.
//!
//! A condition is: an item of a detection (a field and what it must be), one of several alternatives of a detection, a join that decides
//! (it then decides nothing), an item of a join's or a raise's `where`, `calendar`, `first_seen` and `rare`, `wait` for an
//! absence to be satisfied. What is left must still load; a policy that does not is no mutant. Nor is one that cannot find anything
//! else: a join is not made to decide nothing where a later one that decides has none without its row.

use std::collections::BTreeSet;

use detect::policy::SourceFile;
use serde_norway::{Mapping, Value};

/// A policy file with one condition less.
#[derive(Debug)]
pub struct Mutant {
    /// Which document of the file, by its name or title.
    pub policy: String,
    /// What was taken away, as a path within the document.
    pub what: String,
    /// The whole file.
    pub text: String,
    /// The policy as it was.
    pub document: Value,
    /// Where in it something was taken away.
    pub at: Path,
}

/// Where something stands in a document.
pub type Path = Vec<Step>;

/// A step down a document.
#[derive(Clone, Debug)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Item(usize),
}

/// What is done there.
#[derive(Clone, Debug)]
enum Change {
    Remove(Path),
    Set(Path, Value),
}

/// Every mutant of a policy file; none where it is no YAML.
pub fn mutants(text: &str) -> Vec<Mutant> {
    let parts: Vec<&str> = text.split("\n---\n").collect();
    let mut out = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let Ok(document) = serde_norway::from_str::<Value>(part) else {
            continue;
        };
        for change in changes(&document) {
            let mut mutated = document.clone();
            let (path, done) = match &change {
                Change::Remove(path) => (path, remove(&mut mutated, path)),
                Change::Set(path, value) => (path, set(&mut mutated, path, value.clone())),
            };
            let Ok(changed) = serde_norway::to_string(&mutated) else {
                continue;
            };
            if !done {
                continue;
            }
            let mut all: Vec<&str> = parts.clone();
            all[n] = &changed;
            let name = ["name", "title"].iter().find_map(|key| document.get(*key)?.as_str());
            out.push(Mutant {
                policy: name.unwrap_or("?").to_owned(),
                what: shown(path),
                text: all.join("\n---\n"),
                document: document.clone(),
                at: path.clone(),
            });
        }
    }
    out
}

/// What stands at a path of a document.
pub fn at<'v>(document: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(document, |at, step| match step {
        Step::Key(key) => at.get(key.as_str()),
        Step::Item(n) => at.get(*n),
    })
}

/// Of all files, those that the policies of one need: whose rules and tables they name, and so on; all of them where it
/// judges findings.
pub fn needed(files: &[SourceFile], own: usize) -> Vec<usize> {
    if files[own].text.contains("category: finding") {
        return (0..files.len()).collect();
    }
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map(str::to_owned)
            .collect()
    };
    let names = |text: &str| -> Vec<String> {
        let names = text
            .lines()
            .filter_map(|l| l.strip_prefix("name: ").or(l.strip_prefix("id: ")));
        names.map(|name| name.trim().to_owned()).collect()
    };
    let all: Vec<(Vec<String>, BTreeSet<String>)> = files.iter().map(|f| (names(&f.text), words(&f.text))).collect();
    let mut chosen = BTreeSet::from([own]);
    let mut open = vec![own];
    while let Some(one) = open.pop() {
        for (n, (names, _)) in all.iter().enumerate() {
            if names.iter().any(|name| all[one].1.contains(name)) && chosen.insert(n) {
                open.push(n);
            }
        }
    }
    chosen.into_iter().collect()
}

fn shown(path: &Path) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Key(key) if out.is_empty() => out.push_str(key),
            Step::Key(key) => out.push_str(&format!(".{key}")),
            Step::Item(n) => out.push_str(&format!("[{n}]")),
        }
    }
    out
}

fn with(path: &Path, step: Step) -> Path {
    let mut longer = path.clone();
    longer.push(step);
    longer
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn changes(document: &Value) -> Vec<Change> {
    let mut out = Vec::new();
    if let Some(detection) = document.get("detection").and_then(Value::as_mapping) {
        for (name, value) in detection {
            if let Some(name) = name.as_str().filter(|n| *n != "condition" && *n != "timeframe") {
                items(&vec![key("detection"), key(name)], value, true, &mut out);
            }
        }
    }
    let docket = document.get("docket");
    let of = |name: &str| docket.and_then(|d| d.get(name));
    for name in ["calendar", "first_seen", "rare"] {
        if of(name).is_some() {
            out.push(Change::Remove(vec![key("docket"), key(name)]));
        }
    }
    let lookups = one_or_many(of("lookup"), &vec![key("docket"), key("lookup")]);
    for (n, (path, lookup)) in lookups.iter().enumerate() {
        let decided_later = lookups[n + 1..].iter().any(|(_, later)| needs(later, lookup));
        if expects(lookup) != "any" && !decided_later {
            out.push(Change::Set(with(path, key("expect")), Value::String("any".to_owned())));
        }
        if let Some(conditions) = lookup.get("where") {
            items(&with(path, key("where")), conditions, false, &mut out);
        }
    }
    let absence = vec![key("docket"), key("absence"), key("each")];
    let each = of("absence").and_then(|a| a.get("each"));
    for (path, lookup) in one_or_many(each, &absence) {
        if let Some(conditions) = lookup.get("where") {
            items(&with(&path, key("where")), conditions, false, &mut out);
        }
    }
    for (path, raise) in one_or_many(of("severity"), &vec![key("docket"), key("severity")]) {
        if raise.get("when").is_some() {
            out.push(Change::Remove(path));
        }
    }
    out
}

fn expects(lookup: &Value) -> &str {
    lookup.get("expect").and_then(Value::as_str).unwrap_or("some")
}

/// Whether a later join decides, and cannot find a row without the row that an earlier one has to find: its key is a column of that
/// row (without a key it is not judged, and the rule does not fire), or it asks for a row that compares with one (with no value nothing
/// does). What the rule finds is the same whether the earlier one decides or not. (What it counts as a gap is not: the earlier one says
/// that such an event is none of the rule's business.)
fn needs(later: &Value, earlier: &Value) -> bool {
    let Some(alias) = earlier.get("as").and_then(Value::as_str) else {
        return false;
    };
    let column = format!("${alias}.");
    let compares = |part: &str| {
        let mut items = later.get(part).and_then(Value::as_mapping).into_iter().flatten();
        items.any(|(name, value)| {
            // What has no value is within everything.
            let within = name.as_str().is_none_or(|n| n.ends_with("|within"));
            !within && value.as_str().is_some_and(|v| v.starts_with(&column))
        })
    };
    let later = expects(later);
    expects(earlier) == "some" && (later != "any" && compares("key") || later == "some" && compares("where"))
}

/// A value that is one map, or a list of them, with their places.
fn one_or_many<'v>(value: Option<&'v Value>, at: &Path) -> Vec<(Path, &'v Value)> {
    match value {
        Some(Value::Sequence(all)) => {
            let all = all.iter().enumerate();
            all.map(|(n, v)| (with(at, Step::Item(n)), v)).collect()
        }
        Some(value) => vec![(at.clone(), value)],
        None => Vec::new(),
    }
}

/// The items of a map of conditions, or the alternatives of a list of maps. The last item of a detection is put in place of
/// by one that always holds.
fn items(path: &Path, value: &Value, detection: bool, out: &mut Vec<Change>) {
    match value {
        Value::Mapping(map) if detection && map.len() == 1 => {
            let always: Mapping = [(Value::from("docket.source|exists"), Value::Bool(true))]
                .into_iter()
                .collect();
            out.push(Change::Set(path.clone(), Value::Mapping(always)));
        }
        Value::Mapping(map) => {
            for name in map.keys().filter_map(Value::as_str) {
                out.push(Change::Remove(with(path, key(name))));
            }
        }
        Value::Sequence(all) if all.len() > 1 && all.iter().all(Value::is_mapping) => {
            out.extend((0..all.len()).map(|n| Change::Remove(with(path, Step::Item(n)))));
        }
        _ => {}
    }
}

fn parent<'v>(value: &'v mut Value, path: &Path) -> Option<&'v mut Value> {
    let mut at = value;
    for step in &path[..path.len().checked_sub(1)?] {
        at = match step {
            Step::Key(key) => at.get_mut(key.as_str())?,
            Step::Item(n) => at.get_mut(*n)?,
        };
    }
    Some(at)
}

fn remove(value: &mut Value, path: &Path) -> bool {
    match (parent(value, path), path.last()) {
        (Some(Value::Mapping(map)), Some(Step::Key(key))) => map.remove(key.as_str()).is_some(),
        (Some(Value::Sequence(all)), Some(Step::Item(n))) if *n < all.len() => {
            all.remove(*n);
            true
        }
        _ => false,
    }
}

fn set(value: &mut Value, path: &Path, new: Value) -> bool {
    match (parent(value, path), path.last()) {
        (Some(Value::Mapping(map)), Some(Step::Key(key))) => {
            map.insert(Value::from(key.as_str()), new);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_that_keys_a_later_one_that_decides_is_decided_there() {
        let expects = |second: &str| -> Vec<String> {
            let text = format!(
                "title: T\nname: t\ndocket:\n  lookup:\n    - {{table: t1, as: one}}\n    - {{table: t2, {second}}}\n"
            );
            mutants(&text)
                .into_iter()
                .map(|m| m.what)
                .filter(|what| what.ends_with(".expect"))
                .collect()
        };
        let (first, both) = ("docket.lookup[0].expect", "docket.lookup[1].expect");
        assert_eq!(expects("key: {a: $one.k}"), [both]);
        assert_eq!(expects("key: {a: $one.k}, expect: none"), [both]);
        assert_eq!(expects("key: {a: $one.k}, expect: any"), [first]);
        assert_eq!(expects("key: {a: $event.k}"), [first, both]);
        assert_eq!(expects("key: {a: $oneness.k}"), [first, both]);
        assert_eq!(expects("where: {a|lte: $one.k}"), [both]);
        assert_eq!(expects("where: {a|lte: $one.k}, expect: none"), [first, both]);
        assert_eq!(expects("where: {a|within: $one.k}"), [first, both]);
        assert_eq!(expects("where: {any: [{a: $one.k}]}"), [first, both]);
        assert!(mutants("title: T\ndocket:\n  lookup:\n    - {table: t1, as: one, expect: none}\n    - {table: t2, key: {a: $one.k}}\n")
            .iter()
            .any(|m| m.what == first));
    }

    #[test]
    fn each_condition_is_taken_away_once() {
        let text = "title: T\nname: t\nlogsource: {product: ocsf}\ndetection:\n  a: {x: 1, y: 2}\n  b: {z: 3}\n  c: [{p: 1}, {q: 2}]\n  condition: a and b and not c\ndocket:\n  calendar: outside\n  lookup:\n    - {table: t1, as: one, where: {m: 1}}\n    - {table: t2, expect: any}\n  severity:\n    - {level: high, when: {\"$one.k\": 1}}\n---\ntitle: second\ndetection: {a: {x: 1}, condition: a}\n";
        let what: Vec<String> = mutants(text)
            .into_iter()
            .map(|m| format!("{} {}", m.policy, m.what))
            .collect();
        assert_eq!(
            what,
            [
                "t detection.a.x",
                "t detection.a.y",
                "t detection.b",
                "t detection.c[0]",
                "t detection.c[1]",
                "t docket.calendar",
                "t docket.lookup[0].expect",
                "t docket.lookup[0].where.m",
                "t docket.severity[0]",
                "second detection.a",
            ]
        );
        let mutants = mutants(text);
        let first: Value = serde_norway::from_str(mutants[0].text.split("\n---\n").next().unwrap()).unwrap();
        assert_eq!(
            first["detection"]["a"],
            serde_norway::from_str::<Value>("{y: 2}").unwrap()
        );
        assert!(mutants.iter().all(|m| m.text.contains("title: second")));
    }
}
