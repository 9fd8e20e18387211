//! `logsource`, `detection` and `condition`.

use std::sync::Arc;

use model::LogSource;

use super::{Ast, Detection, DetectionSet, Expr, Pattern, Placeholders, modifier, nearest_class, parse_condition};
use crate::Problem;
use crate::report::{Report, nearest};
use crate::sigma::ocsf_class_uid;
use crate::yaml::{Key, Kind, Node};

/// Keys beside the detections of a set.
const NO_DETECTIONS: &[&str] = &["condition", "timeframe", "rules"];

/// Reads `logsource`.
pub(crate) fn logsource(report: &mut Report, node: &Node) -> LogSource {
    if node.map().is_none() {
        report.shape(node, "logsource", "a map of product, category, service");
        return LogSource::default();
    }
    let mut label = |key: &str| {
        let text = node.get(key).and_then(|n| report.text(n, key)).unwrap_or_default();
        text.trim().to_owned()
    };
    let (product, category, service) = (label("product"), label("category"), label("service"));
    if product.is_empty() && category.is_empty() && service.is_empty() {
        let why = "a log source has at least one of product, category, service".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: "product".to_owned(),
                why,
            },
        );
    }
    for (key, _) in node.map().unwrap_or_default() {
        if !["product", "category", "service", "definition"].contains(&key.text.as_str())
            && let Some(nearest) = nearest(&key.text, ["product", "category", "service", "definition"].into_iter())
        {
            report.at_key(
                key,
                Problem::UnknownSigmaKey {
                    given: key.text.clone(),
                    nearest,
                },
            );
        }
    }
    if product.eq_ignore_ascii_case("ocsf") {
        if !category.is_empty()
            && ocsf_class_uid(&category).is_none()
            && let Some(at) = node.get("category")
        {
            let nearest = nearest_class(&category);
            report.at(
                at,
                Problem::Unknown {
                    what: "OCSF class".to_owned(),
                    given: category.clone(),
                    nearest,
                },
            );
        }
        if let Some(at) = node.get("service") {
            report.at(
                at,
                Problem::Lint("`service` says nothing with `product: ocsf`".to_owned()),
            );
        }
    }
    LogSource::new(&product, &category, &service)
}

/// Reads a map of detections and their condition: `detection`, or a filter's `filter`.
pub(crate) fn detection_set(
    report: &mut Report,
    node: &Node,
    key: &str,
    placeholders: &Placeholders,
) -> Option<DetectionSet> {
    let Some(items) = node.map() else {
        report.shape(node, key, "a map of named detections and a condition");
        return None;
    };
    let mut detections: Vec<(Arc<str>, Detection)> = Vec::new();
    let mut names: Vec<&Key> = Vec::new();
    let mut fine = true;
    for (name, node) in items.iter().filter(|(k, _)| !NO_DETECTIONS.contains(&k.text.as_str())) {
        match detection(report, &name.text, node, placeholders) {
            Some(d) => {
                detections.push((name.text.as_str().into(), d));
                names.push(name);
            }
            None => fine = false,
        }
    }
    let Some(condition) = node.get("condition") else {
        let why = "it says when the detections make a match".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: format!("{key}.condition"),
                why,
            },
        );
        return None;
    };
    if !fine {
        return None;
    }
    if node.get("timeframe").is_some() {
        let lint = "`timeframe` was Sigma 1's and does nothing here; a correlation has a `timespan`";
        report.at(node, Problem::Lint(lint.to_owned()));
    }
    if detections.is_empty() {
        let why = "a condition without detections matches nothing".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: format!("{key}.selection"),
                why,
            },
        );
        return None;
    }
    let mut used = vec![false; detections.len()];
    let mut any = Vec::new();
    for c in condition.one_or_many() {
        let text = report.text(c, "condition")?;
        let wrong = |reason| Problem::Condition {
            given: text.clone(),
            reason,
        };
        match parse_condition(&text) {
            Ok(ast) => match resolve(&ast, &detections, &mut used) {
                Ok(e) => any.push(e),
                Err(problem) => {
                    report.at(c, problem);
                    return None;
                }
            },
            Err(reason) => {
                report.at(c, wrong(reason));
                return None;
            }
        }
    }
    for (name, _) in names
        .iter()
        .zip(&used)
        .filter(|(n, used)| !**used && !n.text.starts_with('_'))
    {
        report.at_key(
            name,
            Problem::UnusedDetection {
                name: name.text.clone(),
            },
        );
    }
    let condition = match any.len() {
        0 => {
            report.shape(condition, "condition", "text");
            return None;
        }
        1 => any.swap_remove(0),
        _ => Expr::Any(any),
    };
    Some(DetectionSet { detections, condition })
}

/// A map (all items hold), a list of maps or keywords (one holds), or a keyword.
fn detection(report: &mut Report, name: &str, node: &Node, placeholders: &Placeholders) -> Option<Detection> {
    let keyword = |node: &Node| Key {
        text: String::new(),
        line: node.line,
        column: node.column,
    };
    match &node.kind {
        Kind::Map(items) if !items.is_empty() => {
            let read: Vec<Option<Detection>> = items
                .iter()
                .map(|(k, v)| modifier::item(report, k, v, placeholders).map(Detection::Item))
                .collect();
            let mut all = read.into_iter().collect::<Option<Vec<_>>>()?;
            Some(if all.len() == 1 {
                all.swap_remove(0)
            } else {
                Detection::All(all)
            })
        }
        Kind::List(items) if !items.is_empty() => {
            if items.iter().all(|n| n.scalar().is_some()) {
                return modifier::item(report, &keyword(node), node, placeholders).map(Detection::Item);
            }
            let read: Vec<Option<Detection>> = items
                .iter()
                .map(|n| match &n.kind {
                    Kind::List(_) => {
                        report.shape(n, name, "a map or a keyword");
                        None
                    }
                    _ => detection(report, name, n, placeholders),
                })
                .collect();
            Some(Detection::Any(read.into_iter().collect::<Option<Vec<_>>>()?))
        }
        Kind::Text(_) | Kind::Number(..) | Kind::Bool(_) => {
            modifier::item(report, &keyword(node), node, placeholders).map(Detection::Item)
        }
        _ => {
            report.shape(node, name, "a map, a list of maps, or keywords, and not empty");
            None
        }
    }
}

fn resolve(ast: &Ast, detections: &[(Arc<str>, Detection)], used: &mut [bool]) -> Result<Expr, Problem> {
    let dangling = |given: &str| Problem::Dangling {
        what: "detection",
        given: given.to_owned(),
        nearest: nearest(given, detections.iter().map(|(n, _)| &**n)),
    };
    let mut many = |asts: &[Ast]| {
        asts.iter()
            .map(|a| resolve(a, detections, used))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match ast {
        Ast::All(asts) => Expr::All(many(asts)?),
        Ast::Any(asts) => Expr::Any(many(asts)?),
        Ast::Not(inner) => Expr::Not(Box::new(resolve(inner, detections, used)?)),
        Ast::Name(name) => {
            let index = detections
                .iter()
                .position(|(n, _)| **n == **name)
                .ok_or_else(|| dangling(name))?;
            used[index] = true;
            Expr::Detection(index)
        }
        Ast::Of(quantity, pattern) => {
            let them = pattern.eq_ignore_ascii_case("them");
            let glob = Pattern::parse(pattern);
            let named = |name: &str| {
                if them {
                    !name.starts_with('_')
                } else {
                    glob.is_match(name, true)
                }
            };
            let which: Vec<usize> = (0..detections.len()).filter(|i| named(&detections[*i].0)).collect();
            if which.is_empty() {
                return Err(dangling(pattern));
            }
            which.iter().for_each(|i| used[*i] = true);
            match quantity {
                None => Expr::All(which.into_iter().map(Expr::Detection).collect()),
                Some(1) => Expr::Any(which.into_iter().map(Expr::Detection).collect()),
                Some(n) => Expr::AtLeast(*n, which),
            }
        }
    })
}
