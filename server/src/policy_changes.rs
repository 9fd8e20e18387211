//! Which policies changed since Docket ran last, for the ledger (LA-12): acts `policy.create`, `policy.change`, `policy.delete`.
//!
//! `policies.json` in the data folder holds what was recorded last. It is written behind the acts: a server that is
//! killed between tells the same change twice, never not at all.

use std::collections::BTreeMap;
use std::path::Path;

use detect::policy::Policies;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kept;
use crate::spine::Spine;

const FILE: &str = "policies.json";
/// What can be done when it is damaged.
const ADVICE: &str = "remove it, and the next change is told against what runs then";
/// Changes that are told one by one; of more the number is told.
const TOLD_MAX: usize = 500;

/// A policy as it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    version: String,
    name: String,
    level: String,
}

/// The policies as they run, by id.
type Set = BTreeMap<String, Known>;

fn set(policies: &Policies) -> Set {
    let all = policies.all().iter();
    all.map(|p| {
        let name = p.name.as_deref().unwrap_or(&p.reference.title).to_owned();
        let level = p.level.map_or("none", |l| l.name()).to_lowercase();
        let version = p.reference.version.clone();
        (p.reference.id.clone(), Known { version, name, level })
    })
    .collect()
}

/// What changed from one set to another, as acts with their details.
fn changes(before: &Set, now: &Set) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    for (id, known) in now {
        match before.get(id) {
            None => out.push((
                "policy.create",
                json!({"policy": known.name, "uid": id, "version": known.version, "level": known.level}),
            )),
            Some(old) if old != known => out.push((
                "policy.change",
                json!({
                    "policy": known.name, "uid": id, "version": known.version, "version_before": old.version,
                    "level": known.level, "level_before": old.level,
                }),
            )),
            Some(_) => {}
        }
    }
    for (id, old) in before.iter().filter(|(id, _)| !now.contains_key(*id)) {
        let detail = json!({"policy": old.name, "uid": id, "version_before": old.version, "level_before": old.level});
        out.push(("policy.delete", detail));
    }
    let left = out.len().saturating_sub(TOLD_MAX);
    if left > 0 {
        out.truncate(TOLD_MAX);
        out.push(("policy.change", json!({"policy": format!("{left} more")})));
    }
    out
}

/// Records what changed since the last time; the first time nothing has.
///
/// # Errors
/// The file is damaged, or cannot be written, or the acts cannot be recorded.
pub async fn record(policies: &Policies, data_dir: &Path, spine: &Spine) -> anyhow::Result<()> {
    let (path, now) = (data_dir.join(FILE), set(policies));
    let before: Option<Set> = kept::read(&path, ADVICE)?;
    if before.as_ref() == Some(&now) {
        return Ok(());
    }
    for (act, detail) in before.iter().flat_map(|before| changes(before, &now)) {
        spine.act(act, "docket", detail).await?;
    }
    kept::write_whole(&path, &serde_json::to_vec(&now)?)
}

/// The versions of the policies that were recorded last, by id; none before the first time.
///
/// # Errors
/// The file is damaged.
pub fn versions(data_dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let set: Set = kept::read(&data_dir.join(FILE), ADVICE)?.unwrap_or_default();
    Ok(set.into_iter().map(|(id, known)| (id, known.version)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(version: &str, level: &str) -> Known {
        let name = "n".to_owned();
        let (version, level) = (version.to_owned(), level.to_owned());
        Known { version, name, level }
    }

    #[test]
    fn each_change_is_an_act() {
        let set = |all: &[(&str, &str, &str)]| -> Set {
            all.iter().map(|(id, v, l)| ((*id).to_owned(), known(v, l))).collect()
        };
        let before = set(&[("a", "1", "high"), ("b", "1", "high"), ("c", "1", "low")]);
        let now = set(&[("a", "1", "high"), ("b", "2", "low"), ("d", "1", "high")]);
        let acts: Vec<_> = changes(&before, &now)
            .into_iter()
            .map(|(act, d)| (act, d["uid"].as_str().unwrap().to_owned()))
            .collect();
        let told = |act, id: &str| (act, id.to_owned());
        assert_eq!(
            acts,
            [
                told("policy.change", "b"),
                told("policy.create", "d"),
                told("policy.delete", "c")
            ]
        );
        assert!(changes(&now, &now).is_empty());
        let many: Set = (0..600).map(|n| (format!("p{n}"), known("1", "low"))).collect();
        let acts = changes(&Set::new(), &many);
        assert_eq!(acts.len(), TOLD_MAX + 1);
        assert_eq!(acts[TOLD_MAX].1["policy"], "100 more");
    }
}
