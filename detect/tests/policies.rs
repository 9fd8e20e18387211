//! The `docket:` extension as `docs/policies.md` has it: what loads, and what is said of what does not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use detect::policy::{Body, CorrelationCondition, CorrelationKind, Expect, Opens, SourceFile, load, load_text};
use model::{Field, FindingKind, Severity};
use proptest::prelude::*;

/// The page's own examples, whole.
const PAGE: &str = r#"
title: Bastion sessions
name: sessions
logsource: {product: ocsf, category: ssh_activity}
detection:
  open: {activity_id: 1, metadata.product.name: JumpServer}
  condition: open
docket:
  table:
    key: [uid]
    columns: {uid: $event.metadata.correlation_uid, address: $event.dst_endpoint.ip, account: $event.unmapped.account}
    keep: 24h
---
title: A logon without a session
name: logon
id: 7a4b2c1e-0000-4000-8000-000000000001
level: high
logsource: {product: ocsf, category: authentication}
detection:
  s: {activity_id: 1}
  condition: s
docket:
  clauses: [AU-10]
  controls: {iso: ["8.2"], nist: ["AC-17(3)"]}
  lookup:
    - {table: account_registry, as: account, key: {system: $event.docket.system, account: $event.user.name}, expect: any}
    - table: sessions
      key: {account: $event.user.name}
      where: {time|lte: $event.time + 5s, time|gte: $event.time - 60s, any: [{address: "10.*"}, {address|covers: 10.0.0.1}]}
      expect: none
      claim: one
    - table: approvals
      where:
        approvals|has: [{capacity: supervisor, decision: approved, "at|lt": $event.time}]
        "$event.unmapped.rows|gt": 500
      expect: none
      at: $event.time - 1d
  calendar: outside
  actor: [$event.actor.user.name, $event.user.name]
  person: $account.owner_employee_id
  dedup: {by: [$event.user.name], window: 1h}
  severity:
    - {level: critical, when: {"$event.user.name": [root, $account.account], "$event.time|gt": "2026-01-01"}}
  message: "{event.user.name} logged on {{so}} from {event.src_endpoint.ip|nowhere} as {account.owner_employee_id}"
  wait: 30s
---
title: Failed logons
name: failed
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 2}, condition: s}
level: low
---
title: Many failed logons
name: many
level: medium
correlation:
  type: event_count
  rules: failed
  group-by: [user]
  timespan: 10m
  condition: {gte: 5}
  aliases: {user: {failed: user.name}}
docket: {clauses: [AU-08], message: "{count} failed logons of {event.user.name}"}
---
title: A leaver's account was not disabled within an hour
name: leaver
level: high
docket:
  absence:
    each:
      - {table: hr_roster, as: leaver, where: {end_at|exists: true}}
      - {table: account_registry, as: account, key: {owner_employee_id: $leaver.employee_id}, where: {state: active}}
    from: $leaver.end_at - 7d
    by: $leaver.end_at + 1h
    expect: disabled
    match: {docket.system: $account.system, user.name: $account.account}
  clauses: [AU-04]
  dedup: {by: [$leaver.employee_id], window: 24h}
---
title: An account was disabled
name: disabled
logsource: {product: ocsf, category: account_change}
detection: {s: {activity_id: [5, 6, 9]}, condition: s}
"#;

#[test]
fn the_pages_examples_load() {
    let loaded = load_text(PAGE);
    assert_eq!(
        loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    let find = |name: &str| loaded.policies.get(loaded.policies.find(name).unwrap());
    let reports: Vec<bool> = loaded.policies.all().iter().map(|p| p.reports).collect();
    // Neither the table, nor what feeds a correlation, nor what has no level.
    assert_eq!(reports, [false, true, false, true, true, false]);

    let logon = find("logon");
    assert_eq!(logon.reference.id, "7a4b2c1e-0000-4000-8000-000000000001");
    assert_eq!(
        (logon.level, logon.kind, logon.wait_ms),
        (Some(Severity::High), FindingKind::Detection, 30_000)
    );
    let rule = logon.rule().unwrap();
    assert_eq!(
        rule.lookups.iter().map(|l| l.expect).collect::<Vec<_>>(),
        [Expect::Any, Expect::None, Expect::None]
    );
    assert_eq!(rule.lookups[1].event_table, loaded.policies.find("sessions"));
    assert_eq!(rule.lookups[1].claim.as_deref().map(<[_]>::len), Some(0));

    let Body::Correlation(many) = &find("many").body else {
        panic!("a correlation")
    };
    assert_eq!((many.kind, many.timespan_ms), (CorrelationKind::EventCount, 600_000));
    assert!(matches!(&many.condition, CorrelationCondition::Compare { compare, .. } if compare.len() == 1));
    assert_eq!(&*many.feeders[0].group_by[0].path, "user.name");
    assert_eq!(find("many").dedup.as_ref().unwrap().window_ms, 600_000);

    let leaver = find("leaver");
    assert_eq!(leaver.kind, FindingKind::Compliance);
    let Body::Absence(absence) = &leaver.body else {
        panic!("an absence")
    };
    assert!(matches!(&absence.opens, Opens::Each(each) if each.len() == 2));
    assert_eq!(absence.expect[0].1, loaded.policies.find("disabled").unwrap());

    let wanted = loaded.policies.wanted();
    for path in [
        "unmapped.rows",
        "src_endpoint.ip",
        "docket.system",
        "metadata.correlation_uid",
        "status_id",
    ] {
        assert!(wanted.contains(&Field::ocsf(path)), "{path}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_the_rest_loads() {
    // `~` stands for the policy's `docket:`; the first column is a part of the message.
    for (docket, said) in [
        (
            "{calender: outside}",
            "6:10: unknown key of docket `calender`; did you mean `calendar`?",
        ),
        (
            "{calendar: outsid}",
            "unknown side of the calendar `outsid`; did you mean `outside`?",
        ),
        ("{absence: {}}", "`absence.each` is missing"),
        (
            "{lookup: [{tabel: x}]}",
            "unknown key of lookup `tabel`; did you mean `table`?",
        ),
        ("{lookup: [{as: x}]}", "`table` is missing"),
        ("{lookup: [{table: t, as: event}]}", "not `event`, `row` or `count`"),
        (
            "{lookup: [{table: t, as: a}, {table: u, as: a}]}",
            "the alias `a` is there already",
        ),
        (
            "{lookup: [{table: t, expect: nothing}]}",
            "unknown expectation `nothing`",
        ),
        (
            "{lookup: [{table: t, key: {a|contains: b}}]}",
            "put tests under `where`",
        ),
        (
            "{lookup: [{table: t, claim: one}]}",
            "only rows of a table kept from events",
        ),
        ("{lookup: [{table: t, where: {a|like: b}}]}", "unknown modifier `like`"),
        (
            "{lookup: [{table: t, where: {a|has|distinct: {b: c}}}]}",
            "it has to be a list of maps, or a column and the list",
        ),
        (
            "{lookup: [{table: t, where: {a|lt: soon}}]}",
            "it has to be a number or a time",
        ),
        (
            "{lookup: [{table: t, where: {a|cidr: 10.0.0.0/99}}]}",
            "it has to be a CIDR",
        ),
        (
            "{lookup: [{table: t, where: {a: $acount.x}}]}",
            "there is no alias of an earlier lookup `acount`",
        ),
        ("{lookup: [{table: t, key: {a: $row.x}}]}", "there is no row here"),
        ("{actor: user.name}", "it has to be a reference"),
        ("{actor: $evnt.user.name}", "did you mean `event`?"),
        ("{dedup: {by: [$event.a]}}", "`dedup.window` is missing"),
        ("{dedup: {by: [$event.a], window: 0s}}", "a duration above 0"),
        ("{dedup: {by: [$event.a], window: 1 hour}}", "a duration above 0"),
        (
            "{severity: [{level: hihg, when: {$event.a: b}}]}",
            "did you mean `high`?",
        ),
        ("{severity: [{level: high}]}", "`severity.when` is missing"),
        (
            "{severity: [{level: high, when: {a: b}}]}",
            "there is no row here; a key has to be a reference",
        ),
        ("{message: \"{count} events\"}", "a reference is `$event.<field>`"),
        ("{message: \"{event.a\"}", "a brace without its partner"),
        ("{kind: complience}", "did you mean `compliance`?"),
        ("{wait: soon}", "it has to be a duration"),
        (
            "{controls: {niste: [x]}}",
            "unknown framework `niste`; did you mean `nist`?",
        ),
        ("{silent: maybe}", "it has to be true or false"),
        ("{table: {columns: {time: $event.a}}}", "every row has `time`"),
        (
            "{table: {key: [uidd], columns: {uid: $event.a}}}",
            "did you mean `uid`?",
        ),
        ("{clauses: [AU-10], actor: $event.a + 1x}", "has to be a duration"),
    ] {
        let text = format!(
            "title: t\nname: one\nlogsource: {{product: ocsf}}\ndetection: {{s: {{a: b}}, condition: s}}\n\
             level: low\ndocket: {docket}\n---\ntitle: u\nname: two\nlogsource: {{product: ocsf}}\n\
             detection: {{s: {{a: b}}, condition: s}}\n"
        );
        let loaded = load_text(&text);
        let said_of = loaded
            .errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        assert!(said_of.contains(said), "{docket}: {said_of}");
        let names: Vec<_> = loaded.policies.all().iter().filter_map(|p| p.name.as_deref()).collect();
        assert_eq!(names, ["two"], "{docket}");
    }
}

#[test]
fn policies_that_need_each_other() {
    let rule = |name: &str, more: &str| {
        format!(
            "title: {name}\nname: {name}\nlogsource: {{product: ocsf}}\ndetection: {{s: {{a: b}}, condition: s}}\n{more}---\n"
        )
    };
    let correlation = |name: &str, rules: &str| {
        format!(
            "title: {name}\nname: {name}\ncorrelation: {{type: event_count, rules: {rules}, timespan: 1m, condition: {{gte: 2}}}}\n---\n"
        )
    };
    for (text, said, left) in [
        (
            correlation("c", "nobody") + &rule("a", ""),
            "there is no rule `nobody`",
            vec!["a"],
        ),
        (
            correlation("c", "logno") + &rule("logon", ""),
            "did you mean `logon`?",
            vec!["logon"],
        ),
        (
            rule("a", "docket: {x: 1}\n") + &correlation("c", "a") + &correlation("d", "c"),
            "it needs `c`, which is broken",
            vec![],
        ),
        (
            correlation("c", "d") + &correlation("d", "c") + &rule("a", ""),
            "it needs `d`, which is broken",
            vec!["a"],
        ),
        (
            rule("a", "") + &rule("a", ""),
            "the name `a` is there already, at policy.yml:1:1",
            vec!["a"],
        ),
        (
            rule("t", "docket: {table: {columns: {uid: $event.uid}}}\n")
                + &rule("a", "docket: {lookup: [{table: t, as: s, where: {uidd: x}}]}\n"),
            "there is no column of that event table `t.uidd`; did you mean `uid`?",
            vec!["t"],
        ),
        (
            rule("t", "docket: {table: {columns: {uid: $event.uid}}}\n")
                + &rule("a", "docket: {lookup: [{table: t, as: s}], actor: $s.account}\n"),
            "there is no column of that event table `t.account`",
            vec!["t"],
        ),
        (
            rule(
                "a",
                "docket: {lookup: [{table: acount_registry, expect: none, as: x}], actor: $x.y}\n",
            ),
            "no table is known as `acount_registry`; did you mean `account_registry`?",
            vec!["a"],
        ),
        (
            rule(
                "a",
                "docket: {lookup: [{table: approvals, expect: none, as: x}], actor: $x.y}\n",
            ),
            "`x` is expected to have no row, so `$x.y` has no value",
            vec!["a"],
        ),
        (
            rule("a", "lvel: high\n"),
            "lint: unknown key `lvel`; did you mean `level`?",
            vec!["a"],
        ),
        (rule("a", "") + "not: [closed\n", "not YAML", vec!["a"]),
        (
            rule("a", "") + "title: f\nlogsource: {product: ocsf}\nfilter: {rules: [b], s: {c: d}, condition: not s}\n",
            "there is no rule `b`",
            vec!["a"],
        ),
        (
            correlation("c", "[a]").replace("gte", "gt3") + &rule("a", ""),
            "unknown key of condition `gt3`",
            vec!["a"],
        ),
        (
            correlation("c", "[a]").replace("event_count", "value_count") + &rule("a", ""),
            "`condition.field` is missing",
            vec!["a"],
        ),
        (
            correlation("c", "[a]").replace("event_count", "events") + &rule("a", ""),
            "unknown correlation type `events`",
            vec!["a"],
        ),
    ] {
        let loaded = load_text(&text);
        let said_of = loaded
            .errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        assert!(said_of.contains(said), "{text}: {said_of}");
        let names: Vec<_> = loaded.policies.all().iter().filter_map(|p| p.name.as_deref()).collect();
        assert_eq!(names, left, "{text}");
    }
}

#[test]
fn a_policys_version_is_that_of_its_own_text() {
    let one = "title: a\nname: a\nlogsource: {product: x}\ndetection: {s: {a: b}, condition: s}";
    let two = one.replace("name: a", "name: b");
    let files = [
        SourceFile::new("b.yml", two.clone()),
        SourceFile::new("a.yml", one),
        SourceFile::new("a.test.yml", "x"),
    ];
    let apart = load(&files, &Default::default());
    let together = load_text(&format!("---\n{one}\n---\n\n{two}\n"));
    assert!(apart.errors.is_empty() && together.errors.is_empty());
    let versions = |loaded: &detect::policy::Loaded| {
        loaded
            .policies
            .all()
            .iter()
            .map(|p| (p.reference.id.clone(), p.reference.version.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(&apart), versions(&together));
    assert_eq!(versions(&apart)[0].0, "a");
    assert_eq!(versions(&apart)[0].1.len(), 12);
}

#[test]
fn a_filter_narrows_the_rules_that_it_names() {
    let loaded = load_text(
        "title: r\nname: r\nlogsource: {product: x}\ndetection: {s: {a: b}, condition: s}\n---\n\
         title: f\nlogsource: {product: x}\nfilter: {rules: [r], known: {user: svc}, condition: not known}\n",
    );
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    let rule = loaded.policies.all()[0].rule().unwrap();
    assert_eq!(rule.sigma.filters.len(), 1);
    assert!(loaded.policies.wanted().contains(&Field::native("user")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever stands in a file, it is read or reported.
    #[test]
    fn loading_never_panics(cut in 0..PAGE.len(), len in 0..40_usize, put in "[ -~\n]{0,12}|\\PC{0,6}") {
        let cut = PAGE.floor_char_boundary(cut);
        let end = PAGE.ceil_char_boundary((cut + len).min(PAGE.len()));
        let text = format!("{}{put}{}", &PAGE[..cut], &PAGE[end..]);
        let loaded = load_text(&text);
        let (set, _) = detect::RuleSet::compile(&loaded.policies);
        prop_assert!(set.len() <= loaded.policies.all().len());
    }
}

/// The repository's own policies, all of them, without so much as a lint.
#[test]
fn every_policy_of_the_repository_loads() {
    fn walk(folder: &std::path::Path, out: &mut Vec<SourceFile>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for path in entries.map(|e| e.unwrap().path()) {
            if path.is_dir() {
                walk(&path, out);
            } else if SourceFile::is_policy(&path.to_string_lossy()) {
                out.push(SourceFile::new(
                    &path.to_string_lossy(),
                    std::fs::read_to_string(&path).unwrap(),
                ));
            }
        }
    }
    let mut files = Vec::new();
    walk(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies"),
        &mut files,
    );
    let loaded = load(&files, &Default::default());
    let (_, errors) = detect::RuleSet::compile(&loaded.policies);
    let said: Vec<String> = loaded.errors.iter().chain(&errors).map(ToString::to_string).collect();
    assert!(said.is_empty(), "{}", said.join("\n"));
}
