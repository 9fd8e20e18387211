//! The body of a Splunk event request: `{"event": …, "time": …, …}` objects, one after the other or in an array.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{BodyError, Few, RECORDS_MAX, TOO_MANY};
use super::held::{Held, RECORD_COST_BYTES};

/// An event out of its envelope.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The record.
    pub payload: Bytes,
    /// What the envelope says beside it, as a JSON object; absent where it says nothing.
    pub envelope: Option<Bytes>,
    /// The index that it names.
    pub index: Option<String>,
}

/// An event that cannot be taken; nothing of the request is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which event, from 0.
    pub number: usize,
    /// In Splunk's words.
    pub text: String,
    /// Splunk's code.
    pub code: u32,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    host: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    sourcetype: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
}

/// Takes the events out of a body.
///
/// # Errors
/// [`BodyError`]: too many, or no room. Inside: [`Fault`].
pub fn events(body: &Bytes, held: &mut Held) -> Result<Result<Vec<Event>, Fault>, BodyError> {
    let mut events = Vec::new();
    let values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    for value in values {
        let Ok(value) = value else {
            return Ok(Err(fault(events.len(), "Invalid data format", 6)));
        };
        let one = [value];
        let array: Few<'_>;
        let values: &[&RawValue] = if value.get().starts_with('[') {
            let Ok(elements) = serde_json::from_str(value.get()) else {
                return Ok(Err(fault(events.len(), "Invalid data format", 6)));
            };
            array = elements;
            if array.more {
                return Err(TOO_MANY);
            }
            &array.values
        } else {
            &one
        };
        for value in values {
            if events.len() >= RECORDS_MAX {
                return Err(TOO_MANY);
            }
            match event(value.get(), body) {
                Ok(event) => {
                    // A text is written anew, without its escapes; the envelope is written anew, too.
                    held.grow(RECORD_COST_BYTES + value.get().len())?;
                    events.push(event);
                }
                Err((text, code)) => return Ok(Err(fault(events.len(), text, code))),
            }
        }
    }
    Ok(Ok(events))
}

fn event(text: &str, body: &Bytes) -> Result<Event, (&'static str, u32)> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| ("Invalid data format", 6))?;
    let event = envelope.event.ok_or(("Event field is required", 12))?.get();
    if event == "\"\"" {
        return Err(("Event field cannot be blank", 13));
    }
    // A text with half a surrogate pair is not text: it is kept as it stands.
    let payload = match serde_json::from_str::<String>(event) {
        Ok(text) => Bytes::from(text),
        Err(_) => body.slice_ref(event.as_bytes()),
    };
    let index = envelope.index.and_then(|i| serde_json::from_str(i.get()).ok());
    let beside = [
        ("time", envelope.time),
        ("host", envelope.host),
        ("source", envelope.source),
        ("sourcetype", envelope.sourcetype),
        ("index", envelope.index),
        ("fields", envelope.fields),
    ];
    let mut written = String::new();
    for (name, value) in beside {
        if let Some(value) = value {
            written.push(if written.is_empty() { '{' } else { ',' });
            written.push_str(&format!("\"{name}\":{}", value.get()));
        }
    }
    let envelope = (!written.is_empty()).then(|| Bytes::from(written + "}"));
    Ok(Event {
        payload,
        envelope,
        index,
    })
}

fn fault(number: usize, text: &str, code: u32) -> Fault {
    Fault {
        number,
        text: text.to_owned(),
        code,
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::Budget;
    use super::*;

    fn check(body: &str) -> Result<Vec<String>, (usize, u32)> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let text = |b: &Bytes| String::from_utf8_lossy(b).into_owned();
        let shown = |e: Event| {
            let envelope = e.envelope.as_ref().map(text).unwrap_or_default();
            format!("{} | {envelope} | {}", text(&e.payload), e.index.unwrap_or_default())
        };
        let events = events(&body, &mut Budget::new(1 << 20).share()).unwrap();
        events
            .map(|events| events.into_iter().map(shown).collect())
            .map_err(|f| (f.number, f.code))
    }

    #[test]
    fn events_come_out_of_their_envelopes() {
        assert_eq!(
            check(
                r#"{"event":"a \"b\"\n","time":1700000000.123,"index":"i"}{"event": {"x": 1e400}, "fields":{"k":"v"},"host":"h"}
                [{"event":7},{"event":"\ud800"}]"#
            )
            .unwrap(),
            [
                "a \"b\"\n | {\"time\":1700000000.123,\"index\":\"i\"} | i",
                "{\"x\": 1e400} | {\"host\":\"h\",\"fields\":{\"k\":\"v\"}} | ",
                "7 |  | ",
                "\"\\ud800\" |  | ",
            ]
        );
        assert_eq!(check(" ").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_event_is_told_by_its_number() {
        assert_eq!(check(r#"{"event":1}{"time":1}"#), Err((1, 12)));
        assert_eq!(check(r#"{"event":""}"#), Err((0, 13)));
        assert_eq!(check(r#"{"event":1}{"event":"#), Err((1, 6)));
        assert_eq!(check("[1]"), Err((0, 6)));
        assert_eq!(check(&"[".repeat(100_000)), Err((0, 6)));
    }
}
