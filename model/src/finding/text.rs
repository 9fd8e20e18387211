//! Findings as OCSF 1.8.0 in JSON text: what [`Finding::as_ocsf`] says, written in one go, for those who write many.

use serde::Serialize;

use super::{Finding, FindingKind};
use crate::value::{write_int, write_text};
use crate::{Coordinate, OCSF_VERSION};

impl Finding {
    /// Writes the finding behind `out`, byte for byte as serde writes [`Finding::as_ocsf`].
    pub fn write_ocsf(&self, out: &mut String) {
        let (activity, class_uid) = self.activity_and_class();
        named(out, "{\"activity_id\":", activity as i64);
        named(out, ",\"category_uid\":2,\"class_uid\":", class_uid as i64);
        named(out, ",\"type_uid\":", (class_uid * 100 + activity) as i64);
        named(out, ",\"time\":", self.time.0);
        named(out, ",\"severity_id\":", i64::from(self.severity.id()));
        text(out, ",\"severity\":", self.severity.name());
        named(out, ",\"status_id\":", i64::from(self.status.id()));
        text(out, ",\"message\":", &self.message);
        let actor = self.actor();
        if let Some(actor) = &actor {
            out.push_str(",\"actor\":");
            out.push_str(&json(actor));
        }
        if !self.context.assets.is_empty() {
            out.push_str(",\"resources\":");
            out.push_str(&json(&self.resources()));
        }
        self.write_metadata(out, actor.is_some());
        self.write_info(out);
        if self.kind == FindingKind::Compliance {
            let control = self.clauses.first().map_or("", String::as_str);
            text(out, ",\"compliance\":{\"control\":", control);
            out.push_str(",\"standards\":[\"Docket specifications\"],\"status_id\":3}");
        }
        if !self.rows.is_empty() || !self.context.looked_for.is_empty() {
            out.push_str(",\"enrichments\":");
            out.push_str(&json(&self.enrichments()));
        }
        out.push('}');
    }

    fn write_metadata(&self, out: &mut String, actor: bool) {
        text(out, ",\"metadata\":{\"version\":", OCSF_VERSION);
        text(out, ",\"uid\":", &self.uid);
        out.push_str(",\"product\":{\"name\":\"Docket\",\"vendor_name\":\"Docket\"}");
        if !self.labels.is_empty() {
            out.push_str(",\"labels\":");
            let mut before = "[";
            for label in &self.labels {
                text(out, before, label);
                before = ",";
            }
            out.push(']');
        }
        out.push_str(if actor { ",\"profiles\":[\"host\"]}" } else { "}" });
    }

    fn write_info(&self, out: &mut String) {
        text(out, ",\"finding_info\":{\"uid\":", &self.uid);
        text(out, ",\"title\":", &self.policy.title);
        text(out, ",\"desc\":", &self.description());
        named(out, ",\"first_seen_time\":", self.first_seen.0);
        named(out, ",\"last_seen_time\":", self.last_seen.0);
        text(out, ",\"analytic\":{\"uid\":", &self.policy.id);
        text(out, ",\"name\":", &self.policy.title);
        text(out, ",\"version\":", &self.policy.version);
        out.push_str(",\"type_id\":1},\"tags\":[");
        let mut before = "{\"name\":";
        for (name, value) in self.all_tags() {
            text(out, before, name);
            text(out, ",\"value\":", value);
            out.push('}');
            before = ",{\"name\":";
        }
        out.push(']');
        if !self.evidence.is_empty() {
            write_evidence(&self.evidence, out);
            named(out, ",\"related_events_count\":", self.evidence.len() as i64);
        }
        out.push('}');
    }
}

fn named(out: &mut String, name: &str, number: i64) {
    out.push_str(name);
    write_int(number, out);
}

fn text(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    write_text(value, out);
}

/// Nothing here refuses to be written: the keys of all maps are texts.
fn json(what: &impl Serialize) -> String {
    serde_json::to_string(what).unwrap_or_default()
}

fn write_evidence(evidence: &[Coordinate], out: &mut String) {
    out.push_str(",\"related_events\":[");
    // Most records of one finding are of one partition, which is written but once.
    let mut head = String::new();
    let mut of: Option<&Coordinate> = None;
    for (n, id) in evidence.iter().enumerate() {
        if of.is_none_or(|of| of.topic != id.topic || of.partition != id.partition) {
            head.clear();
            write_text(&id.topic, &mut head);
            head.pop();
            head.push('/');
            write_int(i64::from(id.partition), &mut head);
            head.push('/');
            of = Some(id);
        }
        out.push_str(if n == 0 { "{\"uid\":" } else { ",{\"uid\":" });
        out.push_str(&head);
        write_int(id.offset, out);
        out.push_str("\"}");
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{Asset, Context, FindingStatus, LookedFor, Person, PolicyRef, ReferenceRow, Severity};
    use super::*;
    use crate::Millis;

    fn texts(n: usize) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a\"\\\\\n\u{1}日/]{0,3}", 0..=n)
    }

    fn around_it(words: &[String]) -> Context {
        let word = || words.first().cloned();
        Context {
            person: word().map(|name| Person {
                name,
                dept: words.get(1).cloned(),
                job_role: word(),
            }),
            assets: words
                .iter()
                .map(|w| Asset {
                    uid: w.clone(),
                    name: w.clone(),
                    kind: w.clone(),
                    owner: word(),
                    owner_name: words.get(1).cloned(),
                })
                .collect(),
            session: words.get(1).cloned(),
            looked_for: vec![LookedFor {
                table: "t".into(),
                nearest: word(),
                lacks: words.to_vec(),
            }],
        }
    }

    proptest! {
        #[test]
        fn it_is_written_as_serde_writes_it(
            words in prop::collection::vec("[a\"\\\\\n\u{1}日/]{0,3}", 7..=7),
            lists in (texts(2), texts(2), texts(2), texts(2), texts(2)),
            evidence in prop::collection::vec(("[a\"日]{1,2}", 0i32..3, any::<i64>()), 0..6),
            times in (any::<i64>(), any::<i64>(), any::<i64>()),
            (kind, status, severity) in (0..3usize, 0..3usize, 0..5usize),
            (account, person, row, around) in any::<(bool, bool, bool, bool)>(),
        ) {
            let [uid, id, title, version, message, who, whose] = words.try_into().unwrap();
            let (clauses, tags, controls, group, labels) = lists;
            let finding = Finding {
                uid,
                policy: PolicyRef { id, title, version },
                kind: [FindingKind::Detection, FindingKind::Compliance, FindingKind::Incident][kind],
                severity: [
                    Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical,
                ][severity],
                status: [FindingStatus::New, FindingStatus::Suppressed, FindingStatus::Resolved][status],
                clauses,
                controls: BTreeMap::from([("iso".to_owned(), controls.clone()), ("pci".to_owned(), controls)]),
                tags,
                time: Millis(times.0),
                first_seen: Millis(times.1),
                last_seen: Millis(times.2),
                account: account.then_some(who),
                person: person.then_some(whose),
                group: group.into_iter().map(|value| (value.clone(), value)).collect(),
                evidence: evidence.into_iter().map(|(topic, p, offset)| Coordinate::new(topic, p, offset)).collect(),
                message,
                rows: row
                    .then(|| ReferenceRow { table: "t\"".into(), version: "v".into(), row: json!({"k": [1, "\n"]}) })
                    .into_iter()
                    .collect(),
                context: around.then(|| around_it(&labels)).unwrap_or_default(),
                labels,
            };
            let mut out = "before ".to_owned();
            finding.write_ocsf(&mut out);
            prop_assert_eq!(out, format!("before {}", serde_json::to_string(&finding.as_ocsf()).unwrap()));
        }
    }
}
