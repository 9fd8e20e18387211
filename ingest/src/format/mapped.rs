//! Any system's JSON by a mapping file ([`crate::mapping`]): configured for a source (`mapping = "petty-cash.toml"`), never detected.
//!
//! Becomes what the application audit event becomes ([`crate::format::web_audit`]), with the system's name as product and log
//! source's service (product `webaudit`). Fields that the mapping does not name stand in `unmapped` under their own names, nested
//! as they were. Native fields are the record's own.

use model::Event;

use crate::format::{Format, Input, Match, Quarantine, web_audit};
use crate::seek;

/// A system's JSON, by the source's mapping.
pub static FORMAT: Format = Format {
    name: "mapped",
    aliases: &[],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    let mapping = input.settings.mapping.as_ref()?;
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    mapping.is_of(input.object().ok()?).then_some(Match {
        score: 99,
        reason: "a field that the source's mapping names",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let Some(mapping) = input.settings.mapping.as_ref() else {
        return Err(Quarantine("mapping_missing"));
    };
    let object = input.take_object()?;
    let mapped = mapping.apply(input.arena, object);
    let mut b = web_audit::build(input, mapped.contract, mapped.class);
    b.metadata("product.vendor_name", &*mapping.vendor);
    if let Some(time) = &mapped.original_time {
        b.metadata("original_time", time.as_str());
    }
    mapping.keep_rest(&mut b, object);
    b.native(object);
    Ok(vec![b.finish()])
}
