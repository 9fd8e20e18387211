//! When it happened.

use model::{Millis, Value, known};

use super::EventBuilder;
use crate::fields::scalar;
use crate::format::Input;
use crate::keep::ToValue;
use crate::time_text;

impl EventBuilder<'_> {
    /// When it happened; without a call `received_at` is taken, with the label `time.missing`.
    pub fn time(&mut self, time: Millis) -> &mut Self {
        self.parts.time = Some(time);
        self
    }

    /// The record was written long after the event's time, as the source works: that is no fault of a clock.
    pub fn written_later(&mut self) -> &mut Self {
        self.parts.written_later = true;
        self
    }

    /// The time as the source wrote it, and its zone's offset where it had one.
    pub fn original_time(&mut self, text: &str, offset_minutes: Option<i32>) -> &mut Self {
        self.metadata("original_time", text);
        self.set_some("timezone_offset", offset_minutes)
    }

    /// Takes the time from a value as the source wrote it: text in any form that [`time_text`] reads, or an epoch
    /// number (seconds, milli-, micro- or nanoseconds told apart by magnitude), with its original text, offset and
    /// labels. Says whether it was a time; where it was none, the text is kept and the label `time.unreadable` set.
    pub fn time_of(&mut self, input: &Input<'_>, value: &Value<'_>) -> bool {
        let Some(text) = scalar(value).filter(|_| !value.is_boolean()) else {
            return false;
        };
        self.put(known::METADATA_ORIGINAL_TIME, (&*text).to_value(self.parts.keep));
        match time_text::parse_any(&text, self.parts.record.received_at, &input.settings.time_zone) {
            Some(parsed) => {
                self.set_some("timezone_offset", parsed.offset_minutes);
                for label in parsed.labels() {
                    self.label(label);
                }
                self.parts.time = Some(parsed.time);
                true
            }
            None => {
                self.label("time.unreadable");
                false
            }
        }
    }
}
