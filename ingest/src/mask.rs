//! Secrets and personal numbers, masked in every derived copy of a text (index, finding, notification, answer).
//!
//! The ledger keeps the bytes; what leaves it for other eyes goes through [`mask`], or through [`event`] where it is a whole event. One
//! pass of an automaton over anchors (`password`, `://`, `AKIA`, …) finds where to look, so a line without any costs one scan.

mod event;
mod numbers;
mod rule;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

pub use event::{event, hide, is_secret_name};

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// How often a text is looked through; what is masked once rarely shows another secret. Where the last of them still shows one, all
/// that follows it is masked from then on, and where that shows as many again, all there is: a text made to do so says nothing
/// that is worth more than a secret.
const PASSES_MAX: usize = 8;

/// The text with its secrets replaced by [`MASK`]; identity and bank card numbers keep their first six and last
/// four digits. Masking a masked text changes nothing.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    // No number that is looked for has fewer digits than 15.
    if text.len() < 15 && says_nothing(text) {
        return Cow::Borrowed(text);
    }
    passes(text, &mut |text, spans| {
        rule::secrets(text, spans);
        numbers::numbers(text, spans);
    })
}

/// As [`mask`], but numbers stay: for what is looked up and counted whole (users, objects, keys of groups).
#[must_use]
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    if text.len() < 16 && says_nothing(text) {
        return Cow::Borrowed(text);
    }
    passes(text, &mut rule::secrets)
}

/// No rule finds a secret in less than a name, a sign and a value, or a token of 16 characters.
fn says_nothing(text: &str) -> bool {
    !text
        .bytes()
        .any(|b| matches!(b, b' ' | b'=' | b':' | b'/' | b'%' | 0x80..))
}

/// The secrets in a text, without numbers.
pub fn secrets_of(text: &str, found: &mut Vec<String>) {
    passes(text, &mut |text, spans| {
        rule::secrets(text, spans);
        // A shell's quotes around it are not its own, and elsewhere it stands without them.
        let bare = |span: &Range<usize>| Some(text.get(span.clone())?.trim_matches(['\'', '"', '\\']).to_owned());
        found.extend(spans.iter().filter_map(bare));
    });
}

/// Whether the text holds the whole number of an identity or a bank card, its check digit right.
#[must_use]
pub fn holds_number(text: &str) -> bool {
    numbers::holds(text)
}

/// Whether [`mask`] would change the text.
#[must_use]
pub fn holds_secret(text: &str) -> bool {
    matches!(mask(text), Cow::Owned(_))
}

/// Masks what `find` finds.
fn passes<'t>(text: &'t str, find: &mut dyn FnMut(&str, &mut Vec<Range<usize>>)) -> Cow<'t, str> {
    let mut masked = Cow::Borrowed(text);
    // A secret may have stood in the way of another: what a rule looks at ends somewhere.
    for pass in 1..=2 * PASSES_MAX {
        let mut spans = Vec::new();
        find(&masked, &mut spans);
        if pass >= PASSES_MAX
            && let Some(first) = spans.iter().map(|s| s.start).min()
        {
            spans.clear();
            spans.push(if pass < 2 * PASSES_MAX { first } else { 0 }..masked.len());
        }
        let Cow::Owned(again) = without(&masked, spans) else {
            break;
        };
        masked = Cow::Owned(again);
    }
    masked
}

fn without(text: &str, mut spans: Vec<Range<usize>>) -> Cow<'_, str> {
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_by_key(|s: &Range<usize>| s.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        if span.start < at {
            // Two rules met in one place: what either masks is masked.
            at = at.max(span.end);
            continue;
        }
        out.push_str(&text[at..span.start]);
        if !out.ends_with(MASK) {
            out.push_str(MASK);
        }
        at = span.end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}
