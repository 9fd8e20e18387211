//! What an action was done on: the objects, the account or the privileges that the record names.

use std::borrow::Cow;

use model::{Map, Value};
use serde_json::json;

use crate::builder::EventBuilder;
use crate::fields::{Fields, scalar};

/// Objects of one event that are named one by one.
const IDS_MAX: usize = 100;

/// How a right is called that somebody gets or loses.
const ROLES: &[&str] = &[
    "roles",
    "role",
    "privileges",
    "privilege",
    "permissions",
    "permission",
    "权限",
    "角色",
];

/// What it was done on.
pub(super) struct Target<'a> {
    pub(super) kind: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    ids: Vec<Cow<'a, str>>,
}

impl<'a> Target<'a> {
    pub(super) fn read(fields: Fields<'a>) -> Target<'a> {
        let ids = match fields.value("object.ids") {
            Some(Value::Array(ids)) => ids.iter().take(IDS_MAX).filter_map(scalar).collect(),
            _ => Vec::new(),
        };
        Target {
            kind: fields.first(&["object.type", "object_type", "对象类型"]),
            id: fields.first(&["object.id", "object_id", "对象ID", "对象编号"]),
            // Where the object is a plain text, that is its name.
            name: fields.first(&["object.name", "object_name", "object", "对象"]),
            ids,
        }
    }

    fn label(&self) -> &str {
        self.name
            .as_deref()
            .or(self.id.as_deref())
            .or(self.kind.as_deref())
            .unwrap_or("unknown")
    }

    /// An account that is created, changed or deleted.
    pub(super) fn user(&self, b: &mut EventBuilder<'a>, fields: Fields<'a>) {
        let name = fields
            .first(&["object.account", "target.account"])
            .or(self.id.clone())
            .or(self.name.clone());
        b.set("user.name", name.as_deref().unwrap_or("unknown"));
        b.set_some("user.full_name", self.name.as_deref().filter(|_| self.id.is_some()));
    }

    /// A setting, with what it was before and is after.
    pub(super) fn entity(&self, b: &mut EventBuilder<'a>, fields: Fields<'a>) {
        b.set_some("entity.type", self.kind.as_deref());
        b.set_some("entity.uid", self.id.as_deref());
        b.set("entity.name", self.label());
        b.set_some("entity.data", fields.value("before").cloned());
        if let Some(after) = fields.value("after") {
            b.set("entity_result.name", self.label())
                .set("entity_result.data", *after);
        }
    }

    /// Who gets what: the object is the account and `after` (or `before`, of a revocation) says the role; or the object is the
    /// role, and they say the account.
    pub(super) fn privileges(&self, b: &mut EventBuilder<'a>, fields: Fields<'a>) {
        let account = self.kind.as_deref().is_none_or(|k| {
            matches!(
                k.to_lowercase().as_str(),
                "user" | "account" | "person" | "employee" | "用户" | "账号"
            )
        });
        let within = |part: Fields<'a>, names: &[&str]| {
            names.iter().find_map(|n| match part.value(n)? {
                Value::Array(items) => Some(items.iter().filter_map(scalar).map(Cow::into_owned).collect::<Vec<_>>()),
                plain => Some(vec![scalar(plain)?.into_owned()]),
            })
        };
        let said = |names: &[&str]| {
            let mut parts = ["after", "before", "object", "target"].iter();
            parts.find_map(|part| within(fields.object(part)?, names))
        };
        // Beside the object, where nothing in it says.
        let roles = said(ROLES).or_else(|| within(fields, ROLES));
        let (user, privileges) = if account {
            (self.id.clone().or(self.name.clone()).map(Cow::into_owned), roles)
        } else {
            let users = said(&["account", "user", "username", "users", "用户"]).and_then(|u| u.into_iter().next());
            (
                users,
                roles.or_else(|| Some(vec![self.id.as_deref().unwrap_or(self.label()).to_owned()])),
            )
        };
        b.set("user.name", user.unwrap_or_else(|| "unknown".to_owned()));
        b.set(
            "privileges",
            privileges
                .filter(|p| !p.is_empty())
                .unwrap_or_else(|| vec!["unknown".to_owned()]),
        );
        for part in ["before", "after"] {
            if let Some(value) = fields.value(part) {
                b.unmapped(part, *value);
            }
        }
    }

    /// The objects of the web system that were asked for.
    pub(super) fn resources(&self, b: &mut EventBuilder<'a>, fields: Fields<'a>) {
        let keep = b.keep();
        let text = |t: &str| Value::String(keep.text(t));
        let mut first = Map::new();
        let mut put = |name: &'a str, value: Option<Value<'a>>| value.map(|v| first.insert(name, v));
        put("type", self.kind.as_deref().map(text));
        put("uid", self.id.as_deref().map(text));
        put("name", self.name.as_deref().map(text));
        if self.id.is_none() && self.name.is_none() {
            put("name", Some(text(self.label())));
        }
        let classification = classification(fields);
        if let Some(classification) = &classification {
            put("data_classifications", Some(keep.arena.value(&json!([classification]))));
            b.profile("data_classification");
        }
        put("data", fields.value("before").cloned());
        if let Some(after) = fields.value("after") {
            let mut result = first.clone();
            result.shift_remove("data_classifications");
            result.insert("data", *after);
            b.set("web_resources_result", vec![result]);
        }
        let mut resources = vec![first];
        for id in self.ids.iter().filter(|id| Some(&***id) != self.id.as_deref()) {
            let mut resource = Map::new();
            if let Some(kind) = self.kind.as_deref() {
                resource.insert("type", text(kind));
            }
            resource.insert("uid", text(id));
            resources.push(resource);
        }
        b.set("web_resources", resources);
    }

    /// What has no OCSF home, under stable names.
    pub(super) fn particulars(&self, b: &mut EventBuilder<'a>, fields: Fields<'a>) {
        b.unmapped("object_type", self.kind.as_deref())
            .unmapped("object_id", self.id.as_deref());
        for (name, paths) in [
            ("count", &["object.count", "count"][..]),
            ("level", &["object.level", "level"]),
            ("personal", &["object.personal"]),
            ("fields", &["object.fields", "fields"]),
            ("rows", &["rows", "行数"]),
            ("bytes", &["bytes"]),
            ("masked", &["masked"]),
            ("file_name", &["file.name"]),
            ("file_sha256", &["file.sha256"]),
            ("sign", &["sign"]),
            ("ticket_type", &["ticket.type"]),
        ] {
            if let Some(value) = paths.iter().find_map(|p| fields.value(p)) {
                b.unmapped(name, *value);
            }
        }
        if let Some(id) = fields.first(&["ticket.id", "ticket_id", "ticket", "工单", "工单号"]) {
            b.ticket(&id);
        }
        if let Some(ticket @ Value::Object(_)) = fields.value("ticket") {
            b.unmapped("ticket", *ticket);
        }
    }
}

/// Levels L1 to L4 as OCSF's confidentiality 1 to 4, personal data as its category 1.
fn classification(fields: Fields<'_>) -> Option<serde_json::Value> {
    let level = match fields.text("object.level")?.trim() {
        "L1" => 1,
        "L2" => 2,
        "L3" => 3,
        "L4" => 4,
        _ => 0,
    };
    let personal = matches!(fields.text("object.personal").as_deref(), Some("general" | "sensitive"));
    Some(if personal {
        json!({"category_id": 1, "confidentiality_id": level})
    } else {
        json!({"confidentiality_id": level})
    })
}
