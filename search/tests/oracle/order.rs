//! Hits in the order of a field, page by page, and the same by sorting all of them.

use search::{By, RawText, Request, Searcher, SortValue, Standing};

use super::scan::values;
use super::support::{Placed, Rng};

/// Fields, their paths, and whether their values are numbers.
const FIELDS: &[(&str, &[&str], bool)] = &[
    ("user", &["user.name", "actor.user.name"], false),
    ("actor", &["actor.user.name"], false),
    (
        "host",
        &[
            "device.hostname",
            "dst_endpoint.hostname",
            "device.name",
            "dst_endpoint.name",
        ],
        false,
    ),
    ("label", &["metadata.labels"], false),
    (
        "bytes",
        &["traffic.bytes", "http_response.length", "file.size", "unmapped.bytes"],
        true,
    ),
    ("severity", &["severity_id"], true),
];

/// `all` are the request's hits.
pub fn check(
    searcher: &Searcher,
    request: &Request,
    all: &[&str],
    placed: &[Placed],
    rng: &mut Rng,
    text: &dyn RawText,
) {
    let (field, paths, numbers) = FIELDS[rng.below(FIELDS.len())];
    let descending = rng.chance(50);
    let of = |uid: &str| placed.iter().find(|p| &*p.event.uid == uid).unwrap();
    let value = |p: &Placed| {
        // A list is read as its JSON.
        let items = |v: String| serde_json::from_str::<Vec<String>>(&v).unwrap_or_else(|_| vec![v]);
        let found = values(p, paths).into_iter().flat_map(items).filter(|v| !v.is_empty());
        let of: Vec<SortValue> = match numbers {
            true => found.filter_map(|v| v.parse().ok().map(SortValue::Number)).collect(),
            false => found.map(SortValue::Text).collect(),
        };
        if descending {
            of.into_iter().max()
        } else {
            of.into_iter().min()
        }
    };
    let mut expected: Vec<(Option<SortValue>, u64, String)> = all
        .iter()
        .map(|uid| (value(of(uid)), of(uid).index.0, (*uid).to_owned()))
        .collect();
    expected.sort_by(|(a, i, x), (b, j, y)| {
        let values = match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            _ => a.is_none().cmp(&b.is_none()),
        };
        // The events of a record are numbered behind `#`.
        values.then(i.cmp(j)).then(x.len().cmp(&y.len())).then(x.cmp(y))
    });
    let request = Request {
        limit: 1 + rng.below(90),
        ..request.clone()
    };
    let mut after: Option<Standing> = None;
    let mut got = Vec::new();
    loop {
        let by = By::new(field, descending, after.take()).unwrap();
        let answer = searcher.search_by(&request, &by, text).unwrap();
        assert_eq!(answer.total, all.len() as u64);
        got.extend(
            answer
                .hits
                .iter()
                .map(|(hit, place)| (place.value.clone(), hit.index.0, hit.uid.clone())),
        );
        match answer.next {
            Some(next) => after = Some(next.to_string().parse().unwrap()),
            None => break,
        }
        assert_eq!(answer.hits.len(), request.limit);
    }
    assert_eq!(got, expected, "by {field}, descending: {descending}");
}
