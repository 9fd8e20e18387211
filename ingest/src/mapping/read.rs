//! Reads a mapping file: TOML, every word checked, every problem told with its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::words::{self, nearest};
use super::{Act, Action, FILE_BYTES_MAX, Mapping, Outcome, Problem, Rule, TimeForm, Used};
use crate::format::web_audit;

type Node<'d> = Spanned<DeValue<'d>>;

pub(super) fn mapping(text: &str) -> Result<Mapping, Vec<Problem>> {
    let mut reader = Reader {
        text,
        problems: Vec::new(),
        used: Used::default(),
    };
    if text.len() > FILE_BYTES_MAX {
        reader.problem(0..0, format!("{} bytes, at most {FILE_BYTES_MAX}", text.len()), None);
        return Err(reader.problems);
    }
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            reader.problem(
                error.span().unwrap_or(0..0),
                format!("not TOML: {}", error.message()),
                None,
            );
            return Err(reader.problems);
        }
    };
    let mapping = reader.document(document.get_ref(), document.span());
    if reader.problems.is_empty() {
        return Ok(mapping);
    }
    reader.problems.sort_by_key(|p| (p.line, p.column));
    Err(reader.problems)
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    used: Used,
}

impl Reader<'_> {
    fn problem(&mut self, at: Range<usize>, message: String, nearest: Option<String>) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.problems.push(Problem {
            line,
            column,
            message,
            nearest,
        });
    }

    fn unknown(&mut self, at: Range<usize>, what: &str, given: &str, allowed: &[&str]) {
        let message = format!("{what} `{given}` is not known; there are: {}", allowed.join(", "));
        self.problem(at, message, nearest(given, allowed.iter().copied()));
    }

    fn document(&mut self, document: &DeTable<'_>, whole: Range<usize>) -> Mapping {
        let mut mapping = Mapping {
            name: "".into(),
            vendor: "".into(),
            system: None,
            zone: None,
            hash: String::new(),
            time: None,
            action: Action::default(),
            outcome: Outcome::default(),
            fields: Vec::new(),
            used: Used::default(),
        };
        let (mut named, mut acted) = (false, false);
        for (key, node) in document {
            let (word, at) = (&**key.get_ref(), key.span());
            match word {
                "name" | "vendor" | "system" | "zone" | "description" => {
                    let Some(text) = self.text(node, word) else { continue };
                    match word {
                        "name" => {
                            named = true;
                            mapping.name = text;
                        }
                        "vendor" => mapping.vendor = text,
                        "system" => mapping.system = Some(text),
                        "zone" => match TimeZone::get(&text) {
                            Ok(zone) => mapping.zone = Some(zone),
                            Err(_) => {
                                let message =
                                    format!("zone `{text}` is not known; give an IANA name such as Asia/Shanghai");
                                self.problem(node.span(), message, None);
                            }
                        },
                        _ => {}
                    }
                }
                section if words::sections().contains(&section) => {
                    let DeValue::Table(table) = node.get_ref() else {
                        self.problem(at, format!("`{section}` is a section: write `[{section}]`"), None);
                        continue;
                    };
                    acted |= section == "action";
                    self.section(&mut mapping, section, table, &at);
                }
                _ => {
                    let mut allowed = words::TOP.to_vec();
                    allowed.extend(words::sections());
                    self.unknown(at, "setting or section", word, &allowed);
                }
            }
        }
        if !named {
            let at = whole.start..whole.start;
            self.problem(
                at,
                "there is no `name`: the system's name, such as `name = \"petty-cash\"`".into(),
                None,
            );
        }
        if !acted {
            let at = whole.start..whole.start;
            self.problem(
                at,
                "there is no `[action]`: which field says what was done, and what its values mean".into(),
                None,
            );
        }
        mapping.used = std::mem::take(&mut self.used);
        mapping
    }

    fn section(&mut self, mapping: &mut Mapping, section: &str, table: &DeTable<'_>, at: &Range<usize>) {
        let allowed = words::keys(section);
        for (key, node) in table {
            let word = &**key.get_ref();
            if !allowed.contains(&word) {
                self.unknown(key.span(), &format!("`{section}` has no key"), word, &allowed);
                continue;
            }
            if let Some((_, _, path)) = words::FIELDS.iter().find(|(s, k, _)| *s == section && *k == word)
                && let Some(rule) = self.rule(node, &format!("{section}.{word}"))
            {
                mapping.fields.push((path, rule));
            }
        }
        match section {
            "time" => self.time(mapping, table, at),
            "action" => self.action(mapping, table, at),
            "result" => self.result(mapping, table),
            _ => {}
        }
    }

    fn time(&mut self, mapping: &mut Mapping, table: &DeTable<'_>, at: &Range<usize>) {
        let Some(from) = table.get("from") else {
            return self.problem(
                at.clone(),
                "`time` needs `from`: the field that is the time".into(),
                None,
            );
        };
        let from = self.paths(from, "time.from");
        let mut form = TimeForm::Auto;
        if let Some(node) = table.get("form")
            && let Some(text) = self.text(node, "time.form")
        {
            match TimeForm::named(&text) {
                Some(found) => form = found,
                None => {
                    let message = format!(
                        "time.form `{text}` is not known; there are: {}, or a pattern such as \"%d.%m.%Y %H:%M:%S\"",
                        words::FORMS.join(", ")
                    );
                    self.problem(node.span(), message, nearest(&text, words::FORMS.iter().copied()));
                }
            }
        }
        let rule = Rule {
            from,
            ..Rule::default()
        };
        mapping.time = Some((rule, form));
    }

    fn action(&mut self, mapping: &mut Mapping, table: &DeTable<'_>, at: &Range<usize>) {
        let mut action = Action::default();
        if let Some(node) = table.get("from") {
            action.from = self.paths(node, "action.from");
        }
        if let Some(node) = table.get("default")
            && let Some(text) = self.text(node, "action.default")
        {
            action.default = self.act(&text, node.span());
        }
        if let Some(node) = table.get("values") {
            let DeValue::Table(values) = node.get_ref() else {
                return self.problem(node.span(), "action.values is a table: `[action.values]`".into(), None);
            };
            for (value, node) in values {
                if let Some(text) = self.text(node, "the meaning of an action")
                    && let Some(act) = self.act(&text, node.span())
                {
                    action.values.insert(value.get_ref().trim().to_owned(), act);
                }
            }
        }
        if action.from.is_empty() && action.default.is_none() {
            self.problem(
                at.clone(),
                "`action` needs `from`, the field that says what was done, or a `default`".into(),
                None,
            );
        }
        mapping.action = action;
    }

    /// A word of the contract, or a class and an activity: `3001.9`.
    fn act(&mut self, text: &str, at: Range<usize>) -> Option<Act> {
        let text = text.trim();
        if let Some((class, activity)) = text.split_once('.')
            && let (Ok(class), Ok(activity)) = (class.parse::<u32>(), activity.parse::<u8>())
        {
            let Some(known) = words::CLASSES.iter().copied().find(|c| c.uid == class) else {
                let classes: Vec<String> = words::CLASSES
                    .iter()
                    .map(|c| format!("{} ({})", c.uid, c.name))
                    .collect();
                self.problem(at, format!("class {class} is none of: {}", classes.join(", ")), None);
                return None;
            };
            if !known.activities.iter().any(|(id, _)| *id == activity) {
                let activities: Vec<String> = known
                    .activities
                    .iter()
                    .map(|(id, name)| format!("{class}.{id} {name}"))
                    .collect();
                self.problem(at, format!("{text} is none of: {}", activities.join(", ")), None);
                return None;
            }
            return Some(Act {
                word: known.activity_name(activity).to_lowercase().replace(' ', "_").into(),
                class: Some((known, activity)),
            });
        }
        let words = web_audit::action_words();
        if !words.contains(&text) {
            let message = format!(
                "action `{text}` is not known; there are: {}; or a class and activity such as 3001.9",
                words.join(", ")
            );
            self.problem(at, message, nearest(text, words.iter().copied()));
            return None;
        }
        Some(Act {
            word: text.into(),
            class: None,
        })
    }

    fn result(&mut self, mapping: &mut Mapping, table: &DeTable<'_>) {
        let mut outcome = Outcome::default();
        if let Some(node) = table.get("from") {
            outcome.from = self.paths(node, "result.from");
        }
        for word in words::OUTCOMES {
            let Some(node) = table.get(*word) else { continue };
            for (value, at) in self.scalars(node, &format!("result.{word}")) {
                if let Some(other) = outcome.values.insert(value.trim().to_owned(), word) {
                    self.problem(at, format!("`{value}` is both {other} and {word}"), None);
                }
            }
        }
        if let Some(node) = table.get("missing")
            && let Some(text) = self.text(node, "result.missing")
        {
            match words::OUTCOMES.iter().find(|o| **o == &*text) {
                Some(word) => outcome.missing = Some(word),
                None => self.unknown(node.span(), "result", &text, words::OUTCOMES),
            }
        }
        mapping.outcome = outcome;
    }

    /// `"path"`, `["path", "other"]`, `{ constant = "x" }`, `{ from = "path", values = { A = "L3" }, default = "L1" }`.
    fn rule(&mut self, node: &Node<'_>, what: &str) -> Option<Rule> {
        let DeValue::Table(table) = node.get_ref() else {
            let from = self.paths(node, what);
            return (!from.is_empty()).then(|| Rule {
                from,
                ..Rule::default()
            });
        };
        let mut rule = Rule::default();
        for (key, node) in table {
            match &**key.get_ref() {
                "from" => rule.from = self.paths(node, what),
                "constant" => {
                    let constant = plain(node.get_ref());
                    if constant.is_none() {
                        self.problem(
                            node.span(),
                            format!("{what}: a constant is a text, a number or a boolean"),
                            None,
                        );
                    }
                    rule.constant = constant;
                }
                "default" => rule.default = self.text(node, what).map(|t| (*t).to_owned()),
                "values" => rule.values = self.renamings(node, what),
                word => self.unknown(key.span(), &format!("{what}: the word"), word, words::RULE),
            }
        }
        if rule.from.is_empty() && rule.constant.is_none() {
            self.problem(node.span(), format!("{what} needs `from` or `constant`"), None);
            return None;
        }
        let allowed = match what {
            "data.level" => words::LEVELS,
            "data.personal" => words::PERSONAL,
            _ => return Some(rule),
        };
        let constant = rule.constant.as_ref().and_then(Value::as_str);
        let given = rule
            .values
            .values()
            .map(String::as_str)
            .chain(rule.default.as_deref())
            .chain(constant);
        for word in given
            .filter(|w| !allowed.contains(w))
            .map(str::to_owned)
            .collect::<Vec<_>>()
        {
            self.unknown(node.span(), what, &word, allowed);
        }
        Some(rule)
    }

    fn renamings(&mut self, node: &Node<'_>, what: &str) -> BTreeMap<String, String> {
        let DeValue::Table(table) = node.get_ref() else {
            self.problem(
                node.span(),
                format!("{what}: `values` is a table of value and meaning"),
                None,
            );
            return BTreeMap::new();
        };
        let pairs = table.iter().filter_map(|(value, node)| {
            let text = self.text(node, what)?;
            Some((value.get_ref().trim().to_owned(), (*text).to_owned()))
        });
        pairs.collect()
    }

    fn text(&mut self, node: &Node<'_>, what: &str) -> Option<Arc<str>> {
        match node.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Some(text.trim().into()),
            _ => {
                self.problem(node.span(), format!("{what} is a text in quotes, and not empty"), None);
                None
            }
        }
    }

    /// Fields, in order of preference; noted as used.
    fn paths(&mut self, node: &Node<'_>, what: &str) -> Vec<Box<str>> {
        let nodes = match node.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut paths: Vec<Box<str>> = Vec::new();
        for node in nodes {
            if let Some(path) = self.text(node, what) {
                self.used.add(&path);
                paths.push((*path).into());
            }
        }
        if paths.is_empty() && matches!(node.get_ref(), DeValue::Array(_)) {
            self.problem(node.span(), format!("{what} names no field"), None);
        }
        paths
    }

    fn scalars(&mut self, node: &Node<'_>, what: &str) -> Vec<(String, Range<usize>)> {
        let nodes = match node.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut found = Vec::new();
        for node in nodes {
            match plain(node.get_ref()) {
                Some(Value::String(text)) => found.push((text, node.span())),
                Some(other) => found.push((other.to_string(), node.span())),
                None => self.problem(
                    node.span(),
                    format!("{what} is a list of texts, numbers or booleans"),
                    None,
                ),
            }
        }
        found
    }
}

fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some((&**text).into()),
        DeValue::Integer(number) => number.to_string().parse::<i64>().ok().map(Value::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok().map(Value::from),
        DeValue::Boolean(boolean) => Some((*boolean).into()),
        _ => None,
    }
}
