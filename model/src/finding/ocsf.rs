//! Findings as OCSF 1.8.0, written straight from what they are.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};
use serde_json::Value;

use super::{Asset, Finding, FindingKind, FindingStatus, LookedFor, ReferenceRow};
use crate::{Coordinate, OCSF_VERSION};

#[derive(Serialize)]
struct Ocsf<'f> {
    activity_id: u64,
    category_uid: u64,
    class_uid: u64,
    type_uid: u64,
    time: i64,
    severity_id: u8,
    severity: &'static str,
    status_id: u8,
    message: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'f>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'f>>,
    metadata: Metadata<'f>,
    finding_info: Info<'f>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compliance: Option<Compliance<'f>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enrichments: Vec<Enrichment<'f>>,
}

#[derive(Serialize)]
pub(super) struct Actor<'f> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'f>>,
}

#[derive(Serialize)]
struct Session<'f> {
    uid: &'f str,
}

#[derive(Serialize)]
struct User<'f> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_name: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Org<'f>>,
}

#[derive(Serialize)]
struct Org<'f> {
    name: &'f str,
}

/// OCSF `resource_details`.
#[derive(Serialize)]
pub(super) struct Resource<'f> {
    name: &'f str,
    #[serde(rename = "type")]
    kind: &'f str,
    uid: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<User<'f>>,
}

#[derive(Serialize)]
struct Metadata<'f> {
    version: &'static str,
    uid: &'f str,
    product: Product,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    labels: &'f [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<[&'static str; 1]>,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
}

#[derive(Serialize)]
struct Compliance<'f> {
    control: &'f str,
    standards: [&'static str; 1],
    status_id: u8,
}

#[derive(Serialize)]
pub(super) struct Enrichment<'f> {
    name: &'f str,
    value: &'f str,
    #[serde(rename = "type")]
    kind: &'static str,
    data: Data<'f>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'f> {
    Row(&'f Value),
    LookedFor(&'f LookedFor),
}

#[derive(Serialize)]
struct Info<'f> {
    uid: &'f str,
    title: &'f str,
    desc: Cow<'f, str>,
    first_seen_time: i64,
    last_seen_time: i64,
    analytic: Analytic<'f>,
    tags: Tags<'f>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_events: Option<Related<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_events_count: Option<usize>,
}

#[derive(Serialize)]
struct Analytic<'f> {
    uid: &'f str,
    name: &'f str,
    version: &'f str,
    type_id: u8,
}

/// Clauses, controls, Sigma's tags and the group, each by its kind.
struct Tags<'f>(&'f Finding);

#[derive(Serialize)]
struct Tag<'f> {
    name: &'f str,
    value: &'f str,
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.all_tags().map(|(name, value)| Tag { name, value }))
    }
}

impl Finding {
    /// Clauses, controls, Sigma's tags and the group, each by its kind.
    pub(super) fn all_tags(&self) -> impl Iterator<Item = (&str, &String)> {
        let Finding {
            clauses,
            controls,
            tags,
            group,
            ..
        } = self;
        let clauses = clauses.iter().map(|value| ("clause", value));
        let controls = controls
            .iter()
            .flat_map(|(framework, of)| of.iter().map(move |value| (framework.as_str(), value)));
        let tags = tags.iter().map(|value| ("sigma", value));
        let group = group.iter().map(|(name, value)| (name.as_str(), value));
        clauses.chain(controls).chain(tags).chain(group)
    }
}

/// The evidence.
struct Related<'f>(&'f [Coordinate]);

#[derive(Serialize)]
struct Event<'e> {
    uid: &'e str,
}

impl Serialize for Related<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut events = to.serialize_seq(Some(self.0.len()))?;
        let mut uid = String::new();
        for id in self.0 {
            uid.clear();
            id.push_to(&mut uid);
            events.serialize_element(&Event { uid: &uid })?;
        }
        events.end()
    }
}

impl Finding {
    /// What OCSF calls `activity_id` and `class_uid`.
    pub(super) fn activity_and_class(&self) -> (u64, u64) {
        let class_uid = match self.kind {
            // What opens an incident is a detection; see `to_incident`.
            FindingKind::Detection | FindingKind::Incident => 2004,
            FindingKind::Compliance => 2003,
        };
        // 1 Create, 3 Close (a finding that was refuted).
        let activity = if self.status == FindingStatus::Resolved { 3 } else { 1 };
        (activity, class_uid)
    }

    /// The finding as OCSF 1.8.0, to be written: Detection Finding 2004 or Compliance Finding 2003.
    #[must_use]
    pub fn as_ocsf(&self) -> impl Serialize {
        let (activity, class_uid) = self.activity_and_class();
        let actor = self.actor();
        Ocsf {
            activity_id: activity,
            category_uid: 2,
            class_uid,
            type_uid: class_uid * 100 + activity,
            time: self.time.0,
            severity_id: self.severity.id(),
            severity: self.severity.name(),
            status_id: self.status.id(),
            message: &self.message,
            metadata: Metadata {
                version: OCSF_VERSION,
                uid: &self.uid,
                product: Product {
                    name: "Docket",
                    vendor_name: "Docket",
                },
                labels: &self.labels,
                profiles: actor.is_some().then_some(["host"]),
            },
            actor,
            resources: self.resources(),
            finding_info: self.info(),
            compliance: (self.kind == FindingKind::Compliance).then(|| Compliance {
                control: self.clauses.first().map_or("", String::as_str),
                standards: ["Docket specifications"],
                status_id: 3,
            }),
            enrichments: self.enrichments(),
        }
    }

    /// What OCSF calls `actor`; `None` of nobody.
    pub(super) fn actor(&self) -> Option<Actor<'_>> {
        let person = self.context.person.as_ref();
        let user = User {
            name: self.account.as_deref(),
            uid: self.person.as_deref(),
            full_name: person.map(|p| p.name.as_str()),
            org: person.and_then(|p| p.dept.as_deref()).map(|name| Org { name }),
        };
        let user = (user.name.is_some() || user.uid.is_some()).then_some(user);
        let session = self.context.session.as_deref().map(|uid| Session { uid });
        (user.is_some() || session.is_some()).then_some(Actor { session, user })
    }

    /// What OCSF calls `resources`.
    pub(super) fn resources(&self) -> Vec<Resource<'_>> {
        self.context.assets.iter().map(resource).collect()
    }

    /// What OCSF calls `enrichments`.
    pub(super) fn enrichments(&self) -> Vec<Enrichment<'_>> {
        let rows = self.rows.iter().map(enrichment);
        rows.chain(self.context.looked_for.iter().map(looked_for)).collect()
    }

    /// As [`Finding::as_ocsf`], as a value.
    #[must_use]
    pub fn to_ocsf(&self) -> Value {
        value(&self.as_ocsf())
    }

    /// What OCSF calls `finding_info`.
    pub(super) fn info_value(&self) -> Value {
        value(&self.info())
    }

    fn info(&self) -> Info<'_> {
        let some = !self.evidence.is_empty();
        Info {
            uid: &self.uid,
            title: &self.policy.title,
            desc: self.description(),
            first_seen_time: self.first_seen.0,
            last_seen_time: self.last_seen.0,
            analytic: Analytic {
                uid: &self.policy.id,
                name: &self.policy.title,
                version: &self.policy.version,
                type_id: 1,
            },
            tags: Tags(self),
            related_events: some.then_some(Related(&self.evidence)),
            related_events_count: some.then_some(self.evidence.len()),
        }
    }
}

fn enrichment(row: &ReferenceRow) -> Enrichment<'_> {
    Enrichment {
        name: &row.table,
        value: &row.version,
        kind: "reference",
        data: Data::Row(&row.row),
    }
}

fn resource(asset: &Asset) -> Resource<'_> {
    let Asset {
        uid,
        name,
        kind,
        owner,
        owner_name,
    } = asset;
    let owner = owner.as_deref().map(|uid| User {
        name: None,
        uid: Some(uid),
        full_name: owner_name.as_deref(),
        org: None,
    });
    Resource { name, kind, uid, owner }
}

fn looked_for(looked: &LookedFor) -> Enrichment<'_> {
    Enrichment {
        name: &looked.table,
        value: looked.nearest.as_deref().unwrap_or("none"),
        kind: "looked_for",
        data: Data::LookedFor(looked),
    }
}

/// Nothing here refuses to be written: the keys of all maps are texts.
fn value(what: &impl Serialize) -> Value {
    serde_json::to_value(what).unwrap_or_default()
}
