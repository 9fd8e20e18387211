//! `login_log`: a logon to the bastion itself. `mfa` says whether the *user has* MFA switched on (`user.has_mfa`), not whether
//! it was asked now.

use super::{choice, choice_text, is_true, keep, person, source_address, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::Input;

pub(super) fn class(_: Fields<'_>) -> (&'static Class, u8) {
    (&class::AUTHENTICATION, 1)
}

pub(super) fn build<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    time(b, input, fields, &["datetime"]);
    let success = choice(fields, "status").is_some_and(is_true);
    b.success(success);
    match fields.text("username") {
        Some(username) if success => person(b, "user", &username),
        // What somebody typed is not taken apart: `admin(li.na)` names nobody else.
        Some(typed) => drop(b.set("user.name", &*typed)),
        None => drop(b.word("user.name", "unknown")),
    }
    // 2, which every failure carries, is unknown.
    match choice_text(fields, "mfa").as_deref() {
        Some("1") => drop(b.set("user.has_mfa", true)),
        Some("0") => drop(b.set("user.has_mfa", false)),
        _ => {}
    }
    if let Some(kind) = choice_text(fields, "type") {
        if kind == "T" {
            b.set("logon_type_id", 10).word("logon_type", "Remote Interactive");
        }
        b.unmapped("login_type", &*kind);
    }
    b.set("is_remote", true).word("service.name", "JumpServer");
    source_address(b, fields.text("ip").as_deref());
    b.set_some("src_endpoint.location.city", fields.text("city").as_deref());
    b.set_some("http_request.user_agent", fields.text("user_agent").as_deref());
    b.set_some("status_detail", fields.text("reason").as_deref());
    b.set_some("message", fields.text("reason_display").as_deref());
    if let Some(backend) = fields.text("backend") {
        let (id, name) = match &*backend {
            "LDAP" => (12, "LDAP"),
            "SAML2" => (5, "SAML"),
            "OIDC" => (4, "OpenID"),
            "Radius" => (10, "RADIUS"),
            other => (99, other),
        };
        b.set("auth_protocol_id", id)
            .set("auth_protocol", name)
            .unmapped("auth_backend", &*backend);
    }
    keep(b, fields, &["backend_display"]);
}
