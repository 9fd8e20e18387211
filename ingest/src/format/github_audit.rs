//! GitHub's audit log (organization or enterprise; API, streaming or a file).
//!
//! | action | OCSF |
//! |---|---|
//! | `org.sso_response`, `user.login`, `user.failed_login`, operation type `authentication` | Authentication 3002.1 |
//! | `user.logout` | 3002.2 |
//! | `two_factor_authentication.*`, `user.*` about the account | Account Change 3001 |
//! | `team.add_member`, `org.add_member`, `business.add_…`, and `…remove…` | Group Management 3006.3, .4: `group` is the organization or team |
//! | `org.update_member`, `repo.add_member`, `repo.update_member`, `repo.remove_member` and other roles | User Access 3005.1, .2 |
//! | `git.clone`, `git.fetch`, `repo.download_zip` | File Hosting 6006.2; `git.push` 6006.1: `file` is the repository |
//! | any other `category.verb` | Entity Management 3004 by its verb; `entity.type` the category |
//!
//! `actor.user.{name,uid}` (`user` on sign-ins), `user.{name,uid}` on whom, `src_endpoint.{ip,location.country}`,
//! `http_request.user_agent`, `metadata.tenant_uid` the organization, `metadata.event_code` the action, `actor.user.credential_uid`
//! the hashed token, `unmapped.{org,repo,visibility,…}` all else under its own name.
//!
//! Native fields: the record's own. Log source: product github, service audit. `docket.system` is `github`. Webhook deliveries,
//! which have no `category.verb`, are not of the audit log: plain JSON.

use std::borrow::Cow;

use model::{Event, Value};
use serde_json::json;

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::draft::{self, Names};
use crate::format::{Format, Input, Match, Quarantine};
use crate::seek;

/// GitHub audit.
pub static FORMAT: Format = Format {
    name: "github_audit",
    aliases: &["github"],
    matches,
    normalize,
};

/// The first words of GitHub's actions, so far as they tell it from others' logs.
const CATEGORIES: &[&str] = &[
    "account",
    "billing",
    "business",
    "codespaces",
    "dependabot_alerts",
    "enterprise",
    "environment",
    "git",
    "hook",
    "integration",
    "integration_installation",
    "ip_allow_list",
    "issue",
    "members_can_create_pages",
    "migration",
    "oauth_access",
    "oauth_application",
    "oauth_authorization",
    "org",
    "org_credential_authorization",
    "org_secret_scanning_custom_pattern",
    "packages",
    "personal_access_token",
    "private_repository_forking",
    "project",
    "protected_branch",
    "public_key",
    "pull_request",
    "repo",
    "repository_ruleset",
    "repository_secret_scanning",
    "repository_vulnerability_alert",
    "role",
    "secret_scanning",
    "ssh_certificate_authority",
    "staff",
    "team",
    "two_factor_authentication",
    "user",
    "workflows",
];

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let fields = Fields(object);
    let action = fields.value("action")?.as_str()?;
    let (category, _) = seek::cut(action, b'.')?;
    let has = |name: &str| object.contains_key(name);
    let known = CATEGORIES.contains(&category);
    if has("_document_id") && has("actor") {
        return Some(Match {
            score: 92,
            reason: "the keys action, actor and _document_id",
        });
    }
    let placed = has("org") || has("org_id") || has("repo") || has("repository") || has("business");
    // A web system's audit event says when and on what in other words.
    let foreign = has("event_id") || has("system");
    (known
        && !foreign
        && (placed || has("created_at") || has("@timestamp"))
        && !fields.value("actor").is_some_and(Value::is_object))
    .then_some(Match {
        score: 88,
        reason: "an action of GitHub's, and its organization or repository",
    })
}

fn kind(action: &str, operation: &str) -> (&'static Class, u8) {
    let account = |activity| (&class::ACCOUNT_CHANGE, activity);
    match action {
        "org.sso_response" | "business.sso_response" | "user.login" | "user.failed_login" => {
            (&class::AUTHENTICATION, 1)
        }
        "user.logout" => (&class::AUTHENTICATION, 2),
        "two_factor_authentication.enabled" | "two_factor_authentication.add_factor" => account(10),
        "two_factor_authentication.disabled"
        | "two_factor_authentication.remove_factor"
        | "two_factor_authentication.recovery_codes_regenerated" => account(11),
        "user.create" => account(1),
        "user.change_password" => account(3),
        "user.forgot_password" | "user.reset_password" => account(4),
        "user.suspend" => account(5),
        "user.unsuspend" => account(2),
        "user.delete" => account(6),
        "org.add_member"
        | "team.add_member"
        | "business.add_admin"
        | "business.add_organization_member"
        | "org.add_outside_collaborator" => (&class::GROUP_MANAGEMENT, 3),
        "org.remove_member"
        | "team.remove_member"
        | "business.remove_admin"
        | "business.remove_member"
        | "org.remove_outside_collaborator" => (&class::GROUP_MANAGEMENT, 4),
        "team.create" => (&class::GROUP_MANAGEMENT, 6),
        "team.destroy" => (&class::GROUP_MANAGEMENT, 5),
        "org.update_member" | "repo.add_member" | "repo.update_member" | "team.promote_maintainer" => {
            (&class::USER_ACCESS, 1)
        }
        "repo.remove_member" | "team.demote_maintainer" => (&class::USER_ACCESS, 2),
        "git.clone" | "git.fetch" | "repo.download_zip" => (&class::FILE_HOSTING, 2),
        "git.push" => (&class::FILE_HOSTING, 1),
        _ if operation == "authentication" => (&class::AUTHENTICATION, 1),
        _ => (&class::ENTITY_MANAGEMENT, verb(action, operation)),
    }
}

fn verb(action: &str, operation: &str) -> u8 {
    let word = seek::cut(action, b'.').map_or(action, |(_, w)| w);
    let starts = |words: &[&str]| words.iter().any(|w| word.starts_with(w));
    match operation {
        "create" => 1,
        "access" => 2,
        "modify" => 3,
        "remove" => 4,
        "transfer" => 5,
        "restore" => 13,
        _ if starts(&["create", "add", "invite", "grant", "request"]) => 1,
        _ if starts(&["destroy", "delete", "remove", "revoke", "cancel", "dismiss"]) => 4,
        _ if starts(&["transfer"]) => 5,
        _ if starts(&["enable", "unarchive"]) => 8,
        _ if starts(&["disable", "archive"]) => 9,
        _ if starts(&[
            "update",
            "change",
            "set",
            "rename",
            "access",
            "edit",
            "policy_override",
            "config",
        ]) =>
        {
            3
        }
        _ => 99,
    }
}

static READ: Names = Names::new(&[
    "@timestamp",
    "created_at",
    "_document_id",
    "actor",
    "actor_id",
    "actor_ip",
    "user_agent",
    "user_id",
]);

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let Some(action) = fields.text("action") else {
        return Err(Quarantine("github_no_action"));
    };
    let operation = fields.text("operation_type").unwrap_or_default();
    let (class, activity) = kind(&action, &operation);
    let mut b = EventBuilder::new(input, class, activity, "GitHub", "GitHub");
    b.logsource("github", "", "audit").system("github");
    if activity == 99 {
        b.set("activity_name", &*action);
    }
    b.original_uid(&fields.text("_document_id").unwrap_or_default());
    b.metadata("event_code", &*action);
    let times = ["@timestamp", "created_at"];
    draft::utc(&mut b, input, times.iter().find_map(|n| fields.value(n)));
    let org = draft::texts(fields.value("org")).into_iter().next();
    b.set_some("metadata.tenant_uid", org.clone());
    draft::source(&mut b, fields.text("actor_ip"));
    let country = fields.text("actor_location.country_code");
    b.set_some("src_endpoint.location.country", country.as_deref());
    b.set_some("http_request.user_agent", fields.text("user_agent").as_deref());
    let failed =
        seek::contains(&action, "failed") || fields.first(&["error", "failure_reason", "failure_type"]).is_some();
    b.success(!failed);
    b.set_some(
        "status_detail",
        fields.first(&["error", "failure_reason", "failure_type"]).as_deref(),
    );

    let repo = fields.first(&["repo", "repository"]);
    let repo = repo.or_else(|| draft::texts(fields.value("repo")).into_iter().next().map(Cow::Owned));
    let on = |b: &mut EventBuilder<'_>| {
        b.set_some("user.name", fields.text("user").as_deref());
        b.set_some("user.uid", fields.text("user_id").as_deref());
    };
    match class.uid {
        3002 => {
            actor(&mut b, fields, "user");
            b.word("service.name", "GitHub").set("is_remote", true);
            if seek::contains(&action, "sso") {
                b.set("auth_protocol_id", 5).word("auth_protocol", "SAML");
            }
        }
        3001 => {
            actor(&mut b, fields, "actor.user");
            on(&mut b);
            if !b.has("user") {
                actor(&mut b, fields, "user");
            }
        }
        3005 => {
            actor(&mut b, fields, "actor.user");
            on(&mut b);
            let role = fields.first(&["permission", "new_repo_permission", "role", "new_role"]);
            b.set("privileges", json!([role.as_deref().unwrap_or("unknown")]));
            if let Some(repo) = &repo {
                b.set("resource", json!({"name": &**repo, "type": "repository"}));
            }
        }
        3006 => {
            actor(&mut b, fields, "actor.user");
            on(&mut b);
            let group = fields
                .first(&["team", "business"])
                .or(org.as_deref().map(Cow::Borrowed));
            b.set_some("group.name", group.as_deref());
        }
        6006 => {
            actor(&mut b, fields, "actor.user");
            let name = repo.as_deref().unwrap_or("unknown");
            b.set("file.name", name)
                .set("file.type_id", 2)
                .word("dst_endpoint.svc_name", "GitHub");
        }
        _ => {
            actor(&mut b, fields, "actor.user");
            let category = action.split('.').next().unwrap_or_default();
            b.set("entity.type", category);
            let name = fields.first(&[
                "name",
                "hook_url",
                "branch",
                "ruleset_name",
                "key",
                "title",
                "external_id",
            ]);
            let name = name.as_deref().or(repo.as_deref()).or(org.as_deref());
            b.set_some("entity.name", name);
        }
    }
    draft::keep_rest(&mut b, object, &READ);
    draft::complete(&mut b);
    b.native(object);
    Ok(vec![b.finish()])
}

fn actor<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    let name = fields.first(&["actor", "external_identity_nameid", "external_identity_username"]);
    b.set_some_in(path, "name", name.as_deref());
    b.set_some_in(path, "uid", fields.text("actor_id").as_deref());
    b.set_some_in(
        path,
        "email_addr",
        fields
            .text("external_identity_nameid")
            .filter(|n| is_mail(n))
            .as_deref(),
    );
    b.set_some_in(path, "credential_uid", fields.text("hashed_token").as_deref());
    if b.has(path) {
        let bot = fields.bool("actor_is_bot") == Some(true);
        b.set_in(path, "type_id", if bot { 4 } else { 1 });
    }
}

fn is_mail(text: &str) -> bool {
    seek::cut(text, b'@').is_some_and(|(name, host)| {
        !name.is_empty() && seek::has(host, b'.') && text.is_ascii() && !seek::has(text, b' ')
    })
}
