use super::*;
use serde_json::json;

const SCHEMA: Schema = Schema {
    table: "t",
    about: "",
    key: &["id"],
    unique: true,
    columns: &[
        Column::new("id", Kind::Text).must(),
        Column::new("count", Kind::Number),
        Column::new("on", Kind::Bool),
        Column::new("at", Kind::Moment),
        Column::new("nets", Kind::Network).list(),
        Column::new("state", Kind::OneOf(&["active", "disabled"])),
        Column::new("zone", Kind::Mostly(&["office", "prod"])),
        Column::new(
            "steps",
            Kind::Object(&[Column::new("by", Kind::Text).must(), Column::new("at", Kind::Moment)]),
        )
        .list(),
    ],
    spans: &[("at", "end")],
};

fn told(rows: Value) -> Vec<String> {
    let rows: Vec<Arc<Value>> = rows.as_array().unwrap().iter().cloned().map(Arc::new).collect();
    let found = SCHEMA.check(&rows, &TimeZone::UTC);
    let line = |p: &Problem| {
        let hint = if p.hint { "hint " } else { "" };
        format!("{hint}{} {} `{}` {}", p.row, p.column, p.given, p.allowed)
    };
    found.iter().map(line).collect()
}

#[test]
fn what_is_right_says_nothing() {
    let rows = json!([
        {"id": "a", "count": 1, "on": true, "at": "2026-01-01", "nets": ["10.0.0.0/8", "::1"], "state": "Active", "steps": [{"by": "x", "at": 5}]},
        {"id": "b", "count": "1.5", "on": "false", "at": 1, "nets": "10.1.1.1", "zone": "prod", "steps": {"by": "x"}, "note": "…"},
        {"id": "c", "valid_to": "2026-01-01"}, {"id": "C", "valid_from": "2026-01-01"}, {"id": "d", "at": "", "nets": null},
    ]);
    assert_eq!(told(rows), Vec::<String>::new());
}

#[test]
fn each_kind_of_fault_is_told_with_its_place() {
    for (row, want) in [
        (json!({}), "0 id `` is missing; each row has to have it"),
        (json!({"id": ""}), "0 id `` is missing; each row has to have it"),
        (json!({"id": [1]}), "0 id `[1]` is one value, not a list"),
        (
            json!({"id": {"a": 1}}),
            "0 id `{\"a\":1}` is one value, neither an object nor a list",
        ),
        (json!({"id": 1, "count": "many"}), "0 count `many` is a number"),
        (json!({"id": 1, "on": "yes"}), "0 on `yes` is true or false"),
        (
            json!({"id": 1, "at": "soon"}),
            "0 at `soon` is a time: RFC 3339 with an offset (2026-03-02T18:00:00+08:00), a date, or epoch milliseconds",
        ),
        (
            json!({"id": 1, "nets": ["10.0.0.0/33"]}),
            "0 nets[0] `10.0.0.0/33` is an address or a CIDR (10.8.0.0/16)",
        ),
        (
            json!({"id": 1, "nets": "::1; ::2"}),
            "0 nets `::1; ::2` is a list: [\"::1\",\"::2\"]",
        ),
        (
            json!({"id": 1, "state": "actve"}),
            "0 state `actve` is one of active, disabled; is it active?",
        ),
        (
            json!({"id": 1, "zone": "moon"}),
            "hint 0 zone `moon` is one of office, prod",
        ),
        (
            json!({"id": 1, "steps": ["x"]}),
            "0 steps[0] `x` is an object with by, at",
        ),
        (
            json!({"id": 1, "steps": [{"at": 1}]}),
            "0 steps[0].by `` is missing; each row has to have it",
        ),
        (json!({"id": 1, "at": 9, "end": 9}), "0 end `9` is after `at` (9)"),
        (
            json!({"id": 1, "valid_from": 9, "valid_to": 8}),
            "0 valid_to `8` is after `valid_from` (9)",
        ),
        (
            json!({"id": 1, "stat": 1}),
            "hint 0 stat `` no policy of ours reads this column; is it `state`?",
        ),
    ] {
        assert!(
            told(json!([row])).contains(&want.to_owned()),
            "{row}: {:?}",
            told(json!([row]))
        );
    }
}

#[test]
fn rows_of_one_key_may_not_be_valid_together() {
    let rows = json!([
        {"id": "a", "valid_to": "2026-02-01"}, {"id": "b"}, {"id": "A", "valid_from": "2026-01-31"},
    ]);
    let want =
        "2 id `A` row 1 has the same key and is valid at the same time; end it (`valid_to`), or remove one of them";
    assert_eq!(told(rows), [want]);
}

#[test]
fn a_row_is_kept_as_its_columns_are() {
    let row = json!({"id": "1", "count": "12", "on": "TRUE", "nets": "::1", "state": "", "steps": {"by": "x", "at": ""}, "own": "7", "at": null});
    let want = json!({"id": "1", "count": 12, "on": true, "nets": ["::1"], "steps": [{"by": "x"}], "own": "7"});
    assert_eq!(SCHEMA.tidy(&row), want);
    assert_eq!(SCHEMA.tidy(&want), want);
    let approvals = crate::reference::schema("approvals").unwrap();
    let row = json!({"scope.assets": "web-1", "scope.fields": ["name"], "row_limit": "many"});
    let want = json!({"scope": {"assets": ["web-1"], "fields": ["name"]}, "row_limit": "many"});
    assert_eq!(approvals.tidy(&row), want);
}

#[test]
fn of_a_million_faults_some_are_told() {
    let rows = Value::Array((0..1000).map(|_| json!({})).collect());
    assert_eq!(told(rows).len(), PROBLEMS_MAX);
}

#[test]
fn a_word_is_near_by_two_letters() {
    let words = ["active", "disabled", "l1"];
    let near = |given| nearest(given, words.into_iter());
    assert_eq!(near("Actve"), Some("active"));
    assert_eq!(near("disable"), Some("disabled"));
    assert_eq!(near("l2"), None);
    assert_eq!(near("gone"), None);
    assert_eq!(near(""), None);
}
