//! `password_change_log`: a bastion user's password was changed, by the user or by another.

use super::{person, source_address, split, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::Input;

pub(super) fn class(fields: Fields<'_>) -> (&'static Class, u8) {
    let name = |field: &str| fields.text(field).map(|t| split(&t).1.to_owned());
    let own = name("user").is_some() && name("user") == name("change_by");
    (&class::ACCOUNT_CHANGE, if own { 3 } else { 4 })
}

pub(super) fn build<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    time(b, input, fields, &["datetime"]);
    match fields.text("user") {
        Some(user) => person(b, "user", &user),
        None => drop(b.word("user.name", "unknown")),
    }
    if let Some(by) = fields.text("change_by") {
        person(b, "actor.user", &by);
    }
    source_address(b, fields.text("remote_addr").as_deref());
    // The record is written after the change.
    b.success(true);
}
