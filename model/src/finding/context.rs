//! What stands around a finding: who the person is, what it happened to and who owns that, in which session, and what would have
//! allowed it and did not.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// The surroundings, as the reference tables tell them at the time of the finding. What no table knows is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The person of the roster whose employee id is the finding's.
    pub person: Option<Person>,
    /// The assets of the register that the finding is about, in the order in which they were found.
    pub assets: Vec<Asset>,
    /// The session it happened in, by the uid that its own source gives.
    pub session: Option<String>,
    /// Permissions that were looked for.
    pub looked_for: Vec<LookedFor>,
}

/// A person of `hr_roster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// What people call them.
    pub name: String,
    /// The department.
    pub dept: Option<String>,
    /// The post.
    pub job_role: Option<String>,
}

/// An asset of `asset_register`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// `asset_id`.
    pub uid: String,
    /// Its first name.
    pub name: String,
    /// `env` and `kind`: `prod db`.
    pub kind: String,
    /// The employee id of the owner.
    pub owner: Option<String>,
    /// What the roster calls the owner.
    pub owner_name: Option<String>,
}

/// A permission that was looked for, and was not there or did not cover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedFor {
    /// The table: `approvals`, `change_calendar`.
    pub table: String,
    /// The id of the row that comes nearest; `None`: none comes near.
    pub nearest: Option<String>,
    /// Why it does not cover, condition for condition: scope.assets is `web-1`, not `db-1`.
    pub lacks: Vec<String>,
}

impl Context {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Context::default()
    }
}

/// The sentences behind a finding's own: `Person: …. Asset: …. Session: …. Looked for: ….`; nothing of what is not known.
pub(super) struct Sentences<'f> {
    pub context: &'f Context,
    /// The employee id.
    pub person: Option<&'f str>,
}

impl Display for Sentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(person), Some(uid)) = (&self.context.person, self.person) {
            write!(f, " Person: {} ({uid})", person.name)?;
            for word in [&person.job_role, &person.dept].into_iter().flatten() {
                write!(f, ", {word}")?;
            }
            f.write_str(".")?;
        }
        for (n, asset) in self.context.assets.iter().enumerate() {
            f.write_str(if n == 0 { " Asset: " } else { "; " })?;
            write!(f, "{} ({})", asset.name, asset.kind)?;
            match (&asset.owner, &asset.owner_name) {
                (Some(owner), Some(name)) => write!(f, ", owned by {name} ({owner})")?,
                (Some(owner), None) => write!(f, ", owned by {owner}")?,
                (None, _) => f.write_str(", of which no owner is registered")?,
            }
        }
        if !self.context.assets.is_empty() {
            f.write_str(".")?;
        }
        if let Some(session) = &self.context.session {
            write!(f, " Session: {session}.")?;
        }
        for looked in &self.context.looked_for {
            write!(f, " Looked for in {}: ", looked.table)?;
            match &looked.nearest {
                None => f.write_str("nothing comes near.")?,
                Some(nearest) if looked.lacks.is_empty() => {
                    write!(f, "{nearest} comes nearest, and does not cover it.")?
                }
                Some(nearest) => write!(
                    f,
                    "{nearest} comes nearest; it does not cover: {}.",
                    looked.lacks.join("; ")
                )?,
            }
        }
        Ok(())
    }
}
