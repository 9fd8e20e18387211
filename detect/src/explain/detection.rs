//! Detections, items and conditions of a Sigma rule.

use model::{Batch, Namespace};

use super::{Explained, SHOWN_MAX, shown};
use crate::engine::Mask;
use crate::plain::{self, BatchRow};
use crate::policy::EventField;
use crate::sigma::{Compare, Detection, DetectionSet, End, Expr, Item, Match, Rule, TimePart};

/// The event that is explained.
#[derive(Clone, Copy)]
struct Row<'b> {
    batch: &'b Batch,
    row: usize,
    namespace: Namespace,
    mask: Mask,
}

impl Row<'_> {
    fn values(&self, field: &str) -> Vec<&str> {
        EventField::new(self.namespace, field).all(self.batch, self.row)
    }
}

/// The log source, the detections and the filters of a rule.
pub(crate) fn rule(rule: &Rule, batch: &Batch, row: usize, mask: Mask) -> Vec<Explained> {
    let event = Row {
        batch,
        row,
        namespace: rule.namespace(),
        mask,
    };
    let mut parts = vec![logsource(rule, batch)];
    parts.push(set("condition", &rule.detection, event));
    parts.extend(rule.filters.iter().map(|f| set("filter", f, event)));
    let holds = plain::is_match(rule, &BatchRow { batch, row });
    debug_assert_eq!(parts[1..].iter().all(|p| p.holds == Some(true)), holds);
    parts
}

fn logsource(rule: &Rule, batch: &Batch) -> Explained {
    let labels = |source: &model::LogSource| {
        let named = [
            ("product", &source.product),
            ("category", &source.category),
            ("service", &source.service),
        ];
        let given = named
            .iter()
            .filter_map(|(n, l)| Some(format!("{n}: {}", l.as_deref()?)));
        given.collect::<Vec<_>>().join(", ")
    };
    let what = format!("logsource {{{}}}", labels(&rule.logsource));
    let because = match rule.namespace() {
        Namespace::Ocsf => match crate::sigma::ocsf_class_name(batch.class_uid) {
            Some(name) => format!("the event is of class {} ({name})", batch.class_uid),
            None => format!("the event is of class {}", batch.class_uid),
        },
        Namespace::Native => match labels(&batch.logsource) {
            none if none.is_empty() => "the event has no labels; a label that is missing fits".to_owned(),
            given => format!("the event has {{{given}}}"),
        },
    };
    Explained::new(what, rule.is_for(&batch.logsource, batch.class_uid)).because(because)
}

fn set(what: &str, set: &DetectionSet, event: Row<'_>) -> Explained {
    let parts: Vec<Explained> = set
        .detections
        .iter()
        .map(|(name, d)| detection(name, d, event))
        .collect();
    let holds = expr(&set.condition, &parts);
    let names: Vec<&str> = set.detections.iter().map(|(name, _)| &**name).collect();
    Explained::new(format!("{what}: {}", written(&set.condition, &names, false)), holds).of(parts)
}

fn expr(e: &Expr, parts: &[Explained]) -> bool {
    let of = |i: usize| parts[i].holds == Some(true);
    match e {
        Expr::Detection(i) => of(*i),
        Expr::All(es) => es.iter().all(|e| expr(e, parts)),
        Expr::Any(es) => es.iter().any(|e| expr(e, parts)),
        Expr::Not(inner) => !expr(inner, parts),
        Expr::AtLeast(n, which) => which.iter().filter(|i| of(**i)).count() >= *n as usize,
    }
}

fn written(e: &Expr, names: &[&str], inner: bool) -> String {
    let many = |es: &[Expr], word: &str| {
        let texts: Vec<String> = es.iter().map(|e| written(e, names, true)).collect();
        match texts.len() {
            1 => texts.concat(),
            _ if inner => format!("({})", texts.join(word)),
            _ => texts.join(word),
        }
    };
    match e {
        Expr::Detection(i) => names[*i].to_owned(),
        Expr::All(es) => many(es, " and "),
        Expr::Any(es) => many(es, " or "),
        Expr::Not(inner) => format!("not {}", written(inner, names, true)),
        Expr::AtLeast(n, which) => {
            let of: Vec<&str> = which.iter().map(|i| names[*i]).collect();
            format!("{n} of ({})", of.join(", "))
        }
    }
}

fn detection(name: &str, d: &Detection, event: Row<'_>) -> Explained {
    let many = |ds: &[Detection], what: &str| -> Vec<Explained> {
        let named = |(n, d): (usize, &Detection)| detection(&format!("{what} {}", n + 1), d, event);
        ds.iter().enumerate().map(named).collect()
    };
    let holds = |part: &Explained| part.holds == Some(true);
    match d {
        Detection::All(ds) => {
            let parts: Vec<Explained> = ds.iter().map(|d| detection("", d, event)).collect();
            Explained::new(name, parts.iter().all(holds)).of(parts)
        }
        Detection::Any(ds) => {
            let parts = many(ds, "item");
            Explained::new(format!("{name} (one of)"), parts.iter().any(holds)).of(parts)
        }
        Detection::Item(i) if name.is_empty() => item(i, event),
        Detection::Item(i) => {
            let part = item(i, event);
            Explained::new(name, part.holds).of(vec![part])
        }
    }
}

fn item(item: &Item, event: Row<'_>) -> Explained {
    let values = event.values(item.field());
    let matches = |m: &Match, value: &str| match m {
        Match::FieldRef { field, end, cased } => event.values(field).iter().any(|o| end.holds(value, o, *cased)),
        _ => m.is_match(value),
    };
    // Which value of the event one way of a value asked for matches; the empty text where it asks for no value.
    let found = |m: &Match| -> Option<Option<&str>> {
        match m {
            Match::Null => values.is_empty().then_some(None),
            Match::Exists(expected) => (*expected != values.is_empty()).then_some(None),
            _ => values.iter().find(|v| matches(m, v)).map(|v| Some(*v)),
        }
    };
    let groups: Vec<Option<(&Match, Option<&str>)>> = item
        .groups
        .iter()
        .map(|ways| ways.iter().find_map(|m| Some((m, found(m)?))))
        .collect();
    let any = if item.all {
        groups.iter().all(Option::is_some)
    } else {
        groups.iter().any(Option::is_some)
    };
    let field = match &item.field {
        Some(field) => &**field,
        None => "any field",
    };
    let asked: Vec<String> = item.groups.iter().filter_map(|ways| ways.first()).map(asks).collect();
    let few = asked.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>();
    let more = asked.len().saturating_sub(few.len());
    let mut what = format!(
        "{field} {}{}",
        if item.negated { "not " } else { "" },
        few.join(if item.all { " and " } else { " or " })
    );
    if more > 0 {
        what.push_str(&format!(" {} {more} more", if item.all { "and" } else { "or" }));
    }
    let has = || match (&item.field, values.as_slice()) {
        (None, values) => format!("in none of the event's {} values", values.len()),
        (_, []) => "the event has no such value".to_owned(),
        (_, values) => format!("the event has {}", shown(values, event.mask)),
    };
    let hit = groups.iter().flatten().next();
    let because = match (hit, any) {
        (Some((m, Some(value))), true) => format!("{} {}", shown(&[value], event.mask), asks(m)),
        (_, false) if item.all && hit.is_some() => {
            let missing = groups.iter().position(Option::is_none).unwrap_or_default();
            format!("nothing {}; {}", asked.get(missing).map_or("", String::as_str), has())
        }
        _ => has(),
    };
    Explained::new(what, any != item.negated)
        .because(because)
        .at(&item.place)
}

/// What a match asks for, as one would say it.
fn asks(m: &Match) -> String {
    match m {
        Match::Pattern { pattern, cased } => {
            let how = if *cased { " (cased)" } else { "" };
            match pattern.as_literal() {
                Some(_) => format!("is `{pattern}`{how}"),
                None => format!("matches `{pattern}`{how}"),
            }
        }
        Match::Number(n) => format!("is {n}"),
        Match::Bool(b) => format!("is {b}"),
        Match::Null => "has no value".to_owned(),
        Match::Exists(true) => "is there".to_owned(),
        Match::Exists(false) => "is not there".to_owned(),
        Match::Regex(regex) => format!("matches /{regex}/"),
        Match::Cidr(net) => format!("is in {net}"),
        Match::Compare(compare, n) => format!("{} {n}", sign(*compare)),
        Match::FieldRef { field, end, .. } => {
            let how = match end {
                End::Whole => "is",
                End::Contains => "contains",
                End::Starts => "starts with",
                End::Ends => "ends with",
            };
            format!("{how} the field {field}")
        }
        Match::TimePart { part, compare, value } => {
            let part = match part {
                TimePart::Minute => "minute",
                TimePart::Hour => "hour",
                TimePart::Day => "day",
                TimePart::Week => "week",
                TimePart::Month => "month",
                TimePart::Year => "year",
            };
            format!("has a {part} {} {value}", sign(*compare))
        }
    }
}

pub(crate) fn sign(compare: Compare) -> &'static str {
    match compare {
        Compare::Lt => "<",
        Compare::Lte => "<=",
        Compare::Gt => ">",
        Compare::Gte => ">=",
        Compare::Eq => "=",
        Compare::Neq => "!=",
    }
}
