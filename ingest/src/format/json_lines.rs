//! Any JSON object a line (`--format json`): its fields are native, for rules written for that source.
//!
//! Event time from the first of `timestamp`, `@timestamp`, `time`, `eventTime`, `ts` that is one; where none is, the
//! event is still judged, at its time of receipt. `product`, `category` and `service` (or the same below `logsource`) are
//! its log source. Becomes a Base Event: the fields in `unmapped`. Never deduplicated.

use crate::builder::EventBuilder;
use crate::class;
use crate::fields::Fields;
use crate::format::{Format, Input, Match, Quarantine};
use crate::seek;
use model::{Event, Labels};

/// Any JSON object a line.
pub static FORMAT: Format = Format {
    name: "json",
    aliases: &["ndjson"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    (seek::trim_start(input.text).starts_with('{') && input.object().is_ok()).then_some(Match {
        score: 1,
        reason: "a JSON object of no known source",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let keep = input.keep();
    let label = |name: &str| {
        let nested = format!("logsource.{name}");
        fields
            .first(&[name, &nested])
            .filter(|l| l.len() <= 128)
            .map(|l| keep.text(&l))
    };
    let logsource = Labels {
        product: label("product"),
        category: label("category"),
        service: label("service"),
    };
    let product = logsource.product.unwrap_or(&input.record.source);
    let product = if product.is_empty() { "unknown" } else { product };
    let mut b = EventBuilder::new(input, &class::BASE_EVENT, 0, "", product);
    for name in ["timestamp", "@timestamp", "time", "eventTime", "ts"] {
        if fields.value(name).is_some_and(|v| b.time_of(input, v)) {
            break;
        }
    }
    for (name, value) in &object {
        b.unmapped(name, *value);
    }
    b.set_logsource(logsource);
    b.native(object);
    Ok(vec![b.finish()])
}
