//! Events made of rules: what a rule asks for, and near misses of it.
//!
//! Deterministic: the same rules, seed and count give the same events.

use detect::policy::Policies;
use detect::sigma::{Compare, DASHES, Detection, End, Expr, Match, Number, Part, Pattern, Rule};
use model::LogSource;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value, json};

/// An event of a log source, in the source's own fields; the labels are among them.
pub struct Generated {
    pub logsource: LogSource,
    pub fields: Map<String, Value>,
}

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }

    pub fn text(&mut self, of: &[&'static str]) -> &'static str {
        of[self.roll(of.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }
}

/// `count` events, each made of one of the rules of `policies` (or of two), in turn.
pub fn events(policies: &Policies, seed: u64, count: usize) -> Vec<Generated> {
    let rules: Vec<&Rule> = policies.all().iter().filter_map(|p| Some(&*p.rule()?.sigma)).collect();
    let mut dice = Dice(seed);
    (0..count)
        .map(|n| {
            // Each rule comes as often as any other.
            let rule = rules[n.wrapping_mul(7919) % rules.len()];
            event(rule, &rules, &mut dice)
        })
        .collect()
}

fn event(rule: &Rule, rules: &[&Rule], dice: &mut Dice) -> Generated {
    let mut fields = Map::new();
    satisfy(rule, &mut fields, dice);
    if dice.one_in(6) {
        let other = *dice.pick(rules);
        if other.logsource == rule.logsource || dice.one_in(4) {
            satisfy(other, &mut fields, dice);
        }
    }
    if dice.one_in(2) {
        spoil(&mut fields, dice);
    }
    let mut logsource = rule.logsource.clone();
    // A label that is missing skips no rule, and neither does one that no rule names.
    match dice.roll(12) {
        0 => logsource.category = None,
        1 => logsource.service = None,
        2 => logsource = LogSource::default(),
        3 if logsource.service.is_none() => logsource.service = Some("other".into()),
        _ => {}
    }
    for (name, label) in [
        ("product", &logsource.product),
        ("category", &logsource.category),
        ("service", &logsource.service),
    ] {
        match label {
            Some(label) => fields.insert(name.to_owned(), Value::from(&**label)),
            None => fields.remove(name),
        };
    }
    Generated { logsource, fields }
}

/// Gives the event what the rule's condition asks for, filters mostly left out.
fn satisfy(rule: &Rule, fields: &mut Map<String, Value>, dice: &mut Dice) {
    let set = &rule.detection;
    let mut wanted = Vec::new();
    want(&set.condition, &mut wanted, dice);
    for i in wanted {
        detection(&set.detections[i].1, fields, dice);
    }
}

/// Detections that make the condition hold.
fn want(e: &Expr, out: &mut Vec<usize>, dice: &mut Dice) {
    match e {
        Expr::Detection(i) => out.push(*i),
        Expr::All(es) => es.iter().for_each(|e| want(e, out, dice)),
        Expr::Any(es) => want(dice.pick(es), out, dice),
        Expr::AtLeast(n, which) => {
            let from = dice.roll(which.len());
            out.extend((0..*n as usize).map(|i| which[(from + i) % which.len()]));
        }
        // A filter now and then, so that some are filtered.
        Expr::Not(inner) => {
            if dice.one_in(8) {
                want(inner, out, dice);
            }
        }
    }
}

fn detection(d: &Detection, fields: &mut Map<String, Value>, dice: &mut Dice) {
    match d {
        Detection::All(ds) => ds.iter().for_each(|d| detection(d, fields, dice)),
        Detection::Any(ds) => detection(dice.pick(ds), fields, dice),
        Detection::Item(item) => {
            if item.negated {
                return;
            }
            let name = item
                .field
                .as_deref()
                .unwrap_or("message")
                .trim_end_matches(model::EXISTS);
            let groups: Vec<&Vec<Match>> = match item.all {
                true => item.groups.iter().collect(),
                false => vec![dice.pick(&item.groups)],
            };
            let values: Vec<Option<Value>> = groups
                .into_iter()
                .filter(|g| !g.is_empty())
                .map(|g| value(dice.pick(g), fields, dice))
                .collect();
            let found = match values.as_slice() {
                [] => return,
                // What has to contain several texts contains them one behind the other.
                [Some(Value::String(_)), _, ..] => {
                    let texts: Vec<&str> = values.iter().flatten().filter_map(Value::as_str).collect();
                    Value::from(texts.join(dice.text(&["", " ", "\n", " x "])))
                }
                [Some(first), ..] => first.clone(),
                [None, ..] => {
                    // Null: the field is missing, null, or (a near miss) empty.
                    match dice.roll(4) {
                        0 => Value::Null,
                        1 => Value::from(""),
                        _ => {
                            remove(fields, name);
                            return;
                        }
                    }
                }
            };
            let found = match (&found, fields.get(name)) {
                // Another item asked for something of the same field.
                (Value::String(new), Some(Value::String(old))) if dice.one_in(2) => {
                    Value::from(format!("{old}{}{new}", dice.text(&["", " ", "\t"])))
                }
                _ => found,
            };
            insert(fields, name, found, dice);
        }
    }
}

fn remove(fields: &mut Map<String, Value>, name: &str) {
    fields.remove(name);
    if let Some((head, _)) = name.split_once('.') {
        fields.remove(head);
    }
}

/// A dotted name as objects, or as it is.
fn insert(fields: &mut Map<String, Value>, name: &str, value: Value, dice: &mut Dice) {
    let value = match dice.roll(20) {
        0 => json!(["another", value]),
        _ => value,
    };
    match name.split_once('.') {
        Some((head, rest)) if !fields.contains_key(name) && !dice.one_in(8) => {
            let inner = fields.entry(head).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value, dice);
            }
        }
        _ => {
            fields.insert(name.to_owned(), value);
        }
    }
}

/// A value that matches; `None`: no value.
fn value(m: &Match, fields: &Map<String, Value>, dice: &mut Dice) -> Option<Value> {
    Some(match m {
        Match::Pattern { pattern, cased } => Value::from(text(pattern, *cased, dice)),
        Match::Number(n) => number(*n, dice),
        Match::Bool(b) => match dice.roll(3) {
            0 => json!(b.to_string()),
            _ => json!(b),
        },
        Match::Null => return None,
        Match::Exists(expected) => return expected.then(|| json!("there")),
        Match::Regex(regex) => {
            let mut out = String::new();
            if let Ok(hir) = regex_syntax::parse(regex.as_str()) {
                sample(&hir, &mut out, dice, 0);
            }
            Value::from(format!(
                "{}{out}{}",
                dice.text(&["", "", "x "]),
                dice.text(&["", "", " y"])
            ))
        }
        Match::Cidr(net) => {
            let hosts = net.hosts().take(300).collect::<Vec<_>>();
            json!(dice.pick(&hosts).to_string())
        }
        Match::Compare(compare, n) => {
            let Number::Int(i) = n else {
                return Some(json!(n.to_string()));
            };
            let off = match compare {
                Compare::Lt | Compare::Lte => -1,
                Compare::Gt | Compare::Gte => 1,
                _ => 0,
            };
            json!((i + off * dice.roll(3) as i128) as i64)
        }
        Match::FieldRef { field, end, .. } => {
            let other = fields
                .get(&**field)
                .and_then(Value::as_str)
                .unwrap_or("same")
                .to_owned();
            match end {
                End::Whole => json!(other),
                End::Contains => json!(format!("x{other}y")),
                End::Starts => json!(format!("{other}y")),
                End::Ends => json!(format!("x{other}")),
            }
        }
        Match::TimePart { .. } => json!("2026-03-02T22:30:00Z"),
    })
}

fn number(n: Number, dice: &mut Dice) -> Value {
    match (n, dice.roll(4)) {
        (Number::Int(i), 0..=2) if i64::try_from(i).is_ok() => json!(i as i64),
        _ => json!(n.to_string()),
    }
}

/// Text that a pattern matches.
fn text(pattern: &Pattern, cased: bool, dice: &mut Dice) -> String {
    let mut out = String::new();
    for part in pattern.parts() {
        match part {
            Part::Literal(literal) => match dice.roll(if cased { 1 } else { 6 }) {
                1 => out.push_str(&literal.to_uppercase()),
                2 => out.push_str(&literal.to_lowercase()),
                _ => out.push_str(literal),
            },
            Part::Any => {
                out.push_str(dice.text(&["", "", "x", " ", "C:\\Users\\li\\", "a\nb", "--flag value ", "日本"]))
            }
            Part::One => out.push_str(dice.text(&["z", "0", "é", "."])),
            Part::Dash => out.push(*dice.pick(&DASHES)),
        }
    }
    out
}

/// Text that an expression matches, assertions left aside.
fn sample(hir: &Hir, out: &mut String, dice: &mut Dice, depth: usize) {
    if depth > 50 || out.len() > 2000 {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(l) => out.push_str(&String::from_utf8_lossy(&l.0)),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges: Vec<_> = class.ranges().iter().take(8).collect();
            if let Some(range) = (!ranges.is_empty()).then(|| *dice.pick(&ranges)) {
                let span = (range.end() as u32 - range.start() as u32).min(40) as usize + 1;
                out.push(char::from_u32(range.start() as u32 + dice.roll(span) as u32).unwrap_or('x'));
            }
        }
        HirKind::Class(Class::Bytes(_)) => out.push('x'),
        HirKind::Repetition(r) => {
            let times = r.min + dice.roll(3).min(r.max.unwrap_or(3).saturating_sub(r.min) as usize) as u32;
            (0..times.min(64)).for_each(|_| sample(&r.sub, out, dice, depth + 1));
        }
        HirKind::Capture(c) => sample(&c.sub, out, dice, depth + 1),
        HirKind::Concat(hirs) => hirs.iter().for_each(|h| sample(h, out, dice, depth + 1)),
        HirKind::Alternation(hirs) => sample(dice.pick(hirs), out, dice, depth + 1),
    }
}

/// Makes a hit a near miss: one value loses, gains or changes a character, or goes.
fn spoil(fields: &mut Map<String, Value>, dice: &mut Dice) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let Some(name) = (!names.is_empty()).then(|| dice.pick(&names)) else {
        return;
    };
    let Some(value) = fields.get_mut(name) else { return };
    match value {
        Value::Object(inner) => spoil(inner, dice),
        Value::String(s) => {
            let chars: Vec<char> = s.chars().collect();
            let at = dice.roll(chars.len());
            let (before, after) = (
                chars[..at].iter().collect::<String>(),
                chars.get(at + 1..).unwrap_or_default(),
            );
            let after: String = after.iter().collect();
            let here: String = chars.get(at).map(char::to_string).unwrap_or_default();
            match dice.roll(8) {
                0 => *s = before + &after,
                1 => *s = format!("{before}x{after}"),
                2 => *s = format!("{before}{here}\n{after}"),
                3 => *s = format!("{s} "),
                4 => *s = format!("x{s}"),
                5 => s.clear(),
                6 => *value = Value::Null,
                _ => *s = before,
            }
        }
        Value::Number(n) => {
            let n = n.as_i64().unwrap_or_default();
            *value = match dice.roll(4) {
                0 => json!(n + 1),
                1 => json!(n.to_string() + "0"),
                2 => json!(format!("{n}.0")),
                _ => json!(n as f64 + 0.5),
            };
        }
        _ => {
            fields.remove(name);
        }
    }
}
