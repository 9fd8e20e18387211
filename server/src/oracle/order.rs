//! Hits in the order of a field, and the same by sorting all of them.

use search::{By, Request, SortValue};

use super::World;
use super::ask::Rng;
use super::scan::Doc;

/// Compares a page from the beginning and one from some place in the midst; `expected` are the request's hits.
pub fn check(world: &World, request: &Request, expected: &[&Doc], text: &str, rng: &mut Rng) {
    let field = [
        "user", "actor", "host", "session", "product", "label", "bytes", "severity",
    ][rng.below(8)];
    let descending = rng.chance(50);
    let value = |doc: &Doc| {
        let of: Vec<SortValue> = match field {
            "bytes" | "severity" => doc
                .numbers(field)
                .iter()
                .map(|n| SortValue::Number(i128::from(*n)))
                .collect(),
            _ => doc.grouped(field).into_iter().map(SortValue::Text).collect(),
        };
        if descending {
            of.into_iter().max()
        } else {
            of.into_iter().min()
        }
    };
    let mut all: Vec<(Option<SortValue>, &Doc)> = expected.iter().map(|d| (value(d), *d)).collect();
    all.sort_by(|(a, x), (b, y)| {
        let values = match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            _ => a.is_none().cmp(&b.is_none()),
        };
        values.then((x.index, x.number).cmp(&(y.index, y.number)))
    });
    let from = rng.below(all.len() + 1);
    let after = from.checked_sub(1).map(|at| search::Standing {
        value: all[at].0.clone(),
        index: all[at].1.index,
        event: all[at].1.number,
    });
    for (from, after) in [(0, None), (from, after)] {
        let by = By::new(field, descending, after).expect("it can be sorted by");
        let answer = world.searcher.search_by(request, &by, world).expect("an answer");
        let got: Vec<(Option<SortValue>, &str)> = answer
            .hits
            .iter()
            .map(|(hit, place)| (place.value.clone(), hit.uid.as_str()))
            .collect();
        let wanted: Vec<(Option<SortValue>, &str)> = all[from..]
            .iter()
            .take(request.limit)
            .map(|(v, d)| (v.clone(), d.uid.as_str()))
            .collect();
        assert_eq!(got, wanted, "{text} by {field}, descending: {descending}, from {from}");
        assert_eq!(answer.total, all.len() as u64, "{text} by {field}");
        assert_eq!(
            answer.next.is_some(),
            all.len() - from > request.limit,
            "{text} by {field}"
        );
    }
}
