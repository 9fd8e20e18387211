//! IBM's Log Event Extended Format, 1.0 (`LEEF:1.0|Vendor|Product|Version|EventID|` and tab-separated `key=value`) and 2.0, whose
//! sixth field names the delimiter (`^`, `x5E`, `0x5E`; none: tab); with or without a syslog header before it.
//!
//! Mapped as CEF ([`crate::format::cef`]): `usrName` (or `accountName`) did it, `src` or `identSrc` where from, `dst` where, `sev` 1 to 10 the
//! severity, `action` or `policy`'s word the result. Keys without a home stand in `unmapped` under their own names.
//!
//! Native fields: the keys as they came, and the header's as `deviceVendor`, `deviceProduct`, `deviceVersion`, `eventId`. Log source: product
//! the vendor's name and service the product's, in lower case. `docket.system` is the product's name in lower case unless configured.

use std::borrow::Cow;

use model::{Event, Map};

use crate::builder::EventBuilder;
use crate::fields::Fields;
use crate::format::cef::{named, split_header};
use crate::format::draft::{self, Names};
use crate::format::facts::{self, Facts};
use crate::format::{Format, Input, Match, Quarantine};
use crate::seek;
use crate::syslog;

/// Log Event Extended Format.
pub static FORMAT: Format = Format {
    name: "leef",
    aliases: &["qradar"],
    matches,
    normalize,
};

/// Keys of one event.
const KEYS_MAX: usize = 512;

fn matches(input: &Input<'_>) -> Option<Match> {
    let (header, _) = split_header(input.text, "LEEF:")?;
    Some(Match {
        score: if header.is_empty() { 98 } else { 92 },
        reason: "`LEEF:1.0|`",
    })
}

/// The delimiter that the sixth field of LEEF 2.0 names.
fn delimiter(field: &str) -> Option<char> {
    let field = field.trim();
    let hex = field
        .strip_prefix("0x")
        .or_else(|| field.strip_prefix('x'))
        .filter(|h| !h.is_empty());
    match hex {
        Some(hex) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
        None if field.is_empty() => Some('\t'),
        None => {
            let mut chars = field.chars();
            let only = chars.next();
            only.filter(|_| chars.next().is_none())
        }
    }
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let text = input.text;
    let (header, body) = split_header(text, "LEEF:").ok_or(Quarantine("leef_no_mark"))?;
    let mut parts = body.splitn(6, '|');
    let mut next = || parts.next().map(str::trim);
    let (Some(level), Some(vendor), Some(product), Some(version), Some(id)) = (next(), next(), next(), next(), next())
    else {
        return Err(Quarantine("leef_header_incomplete"));
    };
    let rest = parts.next().unwrap_or_default();
    // Some senders of 2.0 leave the field out.
    let (by, rest) = match seek::cut(rest, b'|') {
        Some((field, after)) if level.starts_with('2') && !seek::has(field, b'=') => match delimiter(field) {
            Some(by) => (by, after),
            None => return Err(Quarantine("leef_delimiter_unknown")),
        },
        _ => ('\t', rest),
    };
    let mut native = Map::new();
    for pair in rest.split(by).take(KEYS_MAX) {
        if let Some((key, value)) = seek::cut(pair, b'=')
            && !seek::trim(key).is_empty()
        {
            native.insert(seek::trim(key), seek::trim(value));
        }
    }
    let own = native.build(input.arena);
    let fields = Fields(own);
    let envelope = syslog::parse(header);
    let host = envelope.host.clone().unwrap_or_default();
    let facts = facts(fields, id, &host);
    let (class, activity) = facts.class();
    let product_name = if product.is_empty() { "unknown" } else { product };
    let mut b = EventBuilder::new(input, class, activity, vendor, product_name);
    let lower = product_name.to_lowercase();
    b.logsource(&vendor.to_lowercase(), "", &lower).system(&lower);
    b.metadata("product.version", version).metadata("event_code", id);
    if !fields.text("devTime").is_some_and(|t| named(&mut b, input, &t))
        && let Some(time) = envelope.time(input.record.received_at, &input.settings.time_zone)
    {
        b.time(time.time);
        for label in time.labels() {
            b.label(label);
        }
    }
    // Where no service is named, one logs on to the product itself.
    if class.uid == 3002 {
        b.set("service.name", product_name);
    }
    facts.fill(&mut b, input);
    if let Some(severity) = fields.int("sev") {
        match severity {
            1..=3 => drop(b.severity(2)),
            4..=6 => drop(b.severity(3)),
            7..=8 => drop(b.severity(4)),
            9..=10 => drop(b.severity(5)),
            _ => {}
        }
    }
    draft::keep_rest(&mut b, own, &READ);
    for (key, value) in [
        ("deviceVendor", vendor),
        ("deviceProduct", product),
        ("deviceVersion", version),
        ("eventId", id),
    ] {
        native.or_insert(key, value);
    }
    b.native(native);
    Ok(vec![b.finish()])
}

static READ: Names = Names::new(&["devTime", "src", "srcPort", "dst", "dstPort", "usrName", "msg", "url"]);

fn facts<'a>(fields: Fields<'a>, id: &'a str, host: &'a str) -> Facts<'a> {
    let of = |keys: &[&str]| fields.first(keys).unwrap_or_default();
    let word = of(&["action", "outcome", "result", "status"]);
    let (success, blocked) = facts::outcome(&word);
    Facts {
        action: Cow::Borrowed(id),
        category: of(&["cat"]),
        user: of(&["usrName", "accountName", "identUserName"]),
        source: of(&["src", "identSrc"]),
        source_host: of(&["identHostName"]),
        source_port: draft::port(fields, "srcPort"),
        target: of(&["dst"]),
        target_host: of(&["dstHostName", "resource"]),
        target_port: draft::port(fields, "dstPort"),
        device: Cow::Borrowed(host),
        success: success.or_else(|| facts::told_by(id)),
        blocked,
        code: word,
        reason: of(&["reason", "policy"]),
        message: of(&["msg", "message"]),
        url: of(&["url"]),
        method: of(&["method", "requestMethod"]),
        user_agent: of(&["userAgent"]),
        sent: fields.int("srcBytes"),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_a_character_or_its_number() {
        for (field, want) in [
            ("^", Some('^')),
            ("x5E", Some('^')),
            ("0x5e", Some('^')),
            ("", Some('\t')),
            ("x", Some('x')),
            ("ab", None),
            ("0xD800", None),
        ] {
            assert_eq!(delimiter(field), want, "{field}");
        }
    }
}
