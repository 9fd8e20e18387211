//! What stands around a finding: the person of the roster, the assets and their owners, the session, and the permission that was looked
//! for. It is told from the reference tables as they are, and decides nothing.

use std::sync::{Arc, LazyLock};

use model::{Asset, Context, LookedFor, Millis, Namespace, Person, ReferenceRow};
use serde_json::Value as Json;

use super::Detector;
use crate::explain;
use crate::policy::{Body, EventField, Expect, Lookup, Policy};
use crate::reference::{Scope, Table, resolve_moment, scalar, value_at};
use crate::sigma::lower;

/// Tables that permit something.
const PERMISSIONS: [&str; 2] = ["approvals", "change_calendar"];
/// Assets that one finding tells of.
const ASSETS_MAX: usize = 10;
/// The alias under which policies find the bastion session of what a host tells.
const SESSION: &str = "session";

/// What is read of events for it: names of hosts, then sessions.
static FIELDS: LazyLock<[EventField; 5]> = LazyLock::new(|| {
    [
        "device.hostname",
        "dst_endpoint.hostname",
        "actor.session.uid",
        "session.uid",
        "docket.system",
    ]
    .map(|path| EventField::new(Namespace::Ocsf, path))
});

/// The fields that the events of a policy that reports are kept with.
pub(super) fn fields() -> &'static [EventField] {
    &*FIELDS
}

impl Detector {
    /// The context of a finding with the given person and reference rows; and the rows that tell of it and are not among those.
    pub(super) fn context(
        &self,
        policy: &Policy,
        scope: &Scope<'_>,
        (person, group): (Option<&str>, &[(String, String)]),
        rows: &[ReferenceRow],
        at: Millis,
    ) -> (Context, Vec<Arc<ReferenceRow>>) {
        let mut cited = Vec::new();
        let roster = person.and_then(|person| self.row_of("hr_roster", "employee_id", person, at));
        cited.extend(roster.iter().cloned());
        let known: Vec<&Json> = rows
            .iter()
            .filter(|r| r.table == "asset_register")
            .map(|r| &r.row)
            .collect();
        let mut assets: Vec<Asset> = Vec::new();
        for row in known {
            self.add_asset(row, at, &mut assets);
        }
        if assets.is_empty() {
            for name in hosts(scope, group) {
                if let Some(row) = self.row_of("asset_register", "names", &name, at) {
                    self.add_asset(&row.row, at, &mut assets);
                    cited.push(row);
                }
            }
        }
        let context = Context {
            person: roster.and_then(|row| {
                Some(Person {
                    name: text(&row.row, "name")?,
                    dept: text(&row.row, "dept"),
                    job_role: text(&row.row, "job_role"),
                })
            }),
            assets,
            session: session(scope),
            looked_for: self.looked_for(policy, scope, at),
        };
        (context, cited)
    }

    /// The row of a table that has a value in a column, valid at `at`; else one that was valid or will be.
    fn row_of(&self, table: &str, column: &str, value: &str, at: Millis) -> Option<Arc<ReferenceRow>> {
        let table = self.tables.get(table)?;
        let columns = [Arc::from(column)];
        let mut values = [vec![lower(value)]];
        self.tables.widen(table.name(), &columns, &mut values);
        let (equal, matching) = table.index(&columns).rows(&values);
        let rows = if equal.is_empty() { matching } else { equal };
        let valid = rows.iter().find(|row| table.valid(**row, at));
        Some(table.cite(*valid.or(rows.last())?))
    }

    fn add_asset(&self, row: &Json, at: Millis, to: &mut Vec<Asset>) {
        let name = text(row, "names");
        let Some(uid) = text(row, "asset_id").or_else(|| name.clone()) else {
            return;
        };
        if to.len() == ASSETS_MAX || to.iter().any(|a| a.uid == uid) {
            return;
        }
        let owner = text(row, "system_owner");
        let kind: Vec<String> = ["env", "kind"].iter().filter_map(|column| text(row, column)).collect();
        let of_owner = owner
            .as_ref()
            .and_then(|o| self.row_of("hr_roster", "employee_id", o, at));
        to.push(Asset {
            name: name.unwrap_or_else(|| uid.clone()),
            uid,
            kind: kind.join(" "),
            owner_name: of_owner.and_then(|row| text(&row.row, "name")),
            owner,
        });
    }

    /// The permissions that a policy looks for, and which came nearest.
    fn looked_for(&self, policy: &Policy, scope: &Scope<'_>, at: Millis) -> Vec<LookedFor> {
        let lookups: &[Lookup] = match &policy.body {
            Body::Rule(rule) => &rule.lookups,
            _ => &[],
        };
        let none = lookups
            .iter()
            .filter(|l| l.expect == Expect::None && l.event_table.is_none());
        let of_permission = none.filter(|l| PERMISSIONS.contains(&&*l.table));
        let nearest = |lookup: &Lookup, table: &Table| {
            let at = match &lookup.at {
                _ if lookup.ever => None,
                Some(at) => resolve_moment(at, scope),
                None => Some(scope.event.map_or(at, |e| e.time())),
            };
            explain::nearest(lookup, table, at, scope, self.mask)
        };
        let mut all: Vec<LookedFor> = Vec::new();
        for looked in of_permission.filter_map(|l| Some(nearest(l, self.tables.get(&l.table)?))) {
            // Of several questions to one table those that nothing comes near say no more than one.
            if !all
                .iter()
                .any(|a| a.table == looked.table && (looked.nearest.is_none() || *a == looked))
            {
                all.push(looked);
            }
        }
        all
    }
}

/// Names by which the hosts of a finding are called: by its event, else by its group.
fn hosts(scope: &Scope<'_>, group: &[(String, String)]) -> Vec<String> {
    let [device, target, .., system] = fields() else {
        return Vec::new();
    };
    let host = |system: &str| system.strip_prefix("host:").map(str::to_owned);
    let mut names = Vec::new();
    if let Some(event) = scope.event {
        let named = [device, target].into_iter().flat_map(|field| event.values(field));
        names.extend(named.map(ToString::to_string));
        names.extend(
            event
                .values(system)
                .iter()
                .map(|s| host(s).unwrap_or_else(|| s.to_string())),
        );
    }
    if names.is_empty() {
        for (field, value) in group {
            names.extend(
                field
                    .ends_with("hostname")
                    .then(|| value.clone())
                    .or_else(|| host(value)),
            );
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The session that a policy found, else the event's own.
fn session(scope: &Scope<'_>) -> Option<String> {
    let found = scope.aliases.get(SESSION).and_then(|row| text(row, "uid"));
    let own = || {
        let [_, _, of_actor, own, _] = fields() else {
            return None;
        };
        let event = scope.event?;
        let mut values = [of_actor, own].into_iter().flat_map(|field| event.values(field));
        values.find(|v| !v.is_empty()).map(ToString::to_string)
    };
    found.or_else(own)
}

/// The first value of a column that is not empty.
fn text(row: &Json, column: &str) -> Option<String> {
    let value = value_at(row, column)?;
    let first = match value {
        Json::Array(list) => list.first()?,
        one => one,
    };
    Some(scalar(first).into_owned()).filter(|text| !text.is_empty() && !first.is_null())
}
