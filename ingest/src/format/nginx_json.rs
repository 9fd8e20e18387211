//! To be written.

use model::Event;

use crate::format::{Format, Input, Match, Quarantine};

/// To be written.
pub static FORMAT: Format = Format {
    name: "nginx_json",
    aliases: &["nginx"],
    matches,
    normalize,
};

fn matches(_: &Input<'_>) -> Option<Match> {
    None
}

fn normalize(_: &mut Input<'_>) -> Result<Vec<Event>, Quarantine> {
    Err(Quarantine("unknown_format"))
}
