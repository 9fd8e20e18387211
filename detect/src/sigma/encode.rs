//! Values in other clothes: placeholders, UTF-16, Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::modifier::{Placeholders, Wrong};
use super::{Part, Pattern};
use crate::Problem;

/// What one value may expand to.
const ALTERNATIVES_MAX: usize = 10_000;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Encoding {
    Utf16,
    Utf16Le,
    Utf16Be,
    Base64,
    Base64Offset,
}

/// `%name%` replaced by each of its values; `%%` and a single `%` stand for themselves.
pub(super) fn expand(raw: &str, placeholders: &Placeholders, missing: &mut Vec<String>) -> Result<Vec<Pattern>, Wrong> {
    let mut out = vec![Pattern::default()];
    let mut rest = raw;
    loop {
        let (before, name, after) = match rest.split_once('%').and_then(|(b, r)| Some((b, r.split_once('%')?))) {
            Some((before, (name, after))) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                (before, Some(name), after)
            }
            _ => (rest, None, ""),
        };
        let literal = Pattern::parse(before);
        out.iter_mut()
            .for_each(|p| literal.parts().iter().for_each(|part| p.push(part.clone())));
        let Some(name) = name else { return Ok(out) };
        let values = placeholders.get(name).map_or(&[][..], Vec::as_slice);
        if values.is_empty() {
            missing.push(name.to_owned());
            return Ok(Vec::new());
        }
        let given = out.len().saturating_mul(values.len());
        if given > ALTERNATIVES_MAX {
            let what = "values behind one placeholder";
            return Err(Wrong::Problem(Problem::TooMuch {
                what,
                given,
                limit: ALTERNATIVES_MAX,
            }));
        }
        out = out
            .iter()
            .flat_map(|p| {
                values.iter().map(move |v| {
                    let mut p = p.clone();
                    p.push(Part::Literal(v.clone()));
                    p
                })
            })
            .collect();
        rest = after;
    }
}

/// The pattern in each form that the encodings give it.
pub(super) fn encode(encodings: &[Encoding], pattern: &Pattern, out: &mut Vec<Pattern>) -> Result<(), Wrong> {
    let text = pattern.as_literal().ok_or_else(|| {
        let key = pattern.to_string();
        let reason = "a value with a wildcard cannot be encoded; write `\\*` for an asterisk".to_owned();
        Wrong::Problem(Problem::Value { key, reason })
    })?;
    let mut bytes = text.as_bytes().to_vec();
    for encoding in encodings {
        let utf16 = |b: &[u8]| String::from_utf8_lossy(b).encode_utf16().collect::<Vec<u16>>();
        bytes = match encoding {
            Encoding::Utf16Le => utf16(&bytes).iter().flat_map(|u| u.to_le_bytes()).collect(),
            Encoding::Utf16Be => utf16(&bytes).iter().flat_map(|u| u.to_be_bytes()).collect(),
            Encoding::Utf16 => [0xff, 0xfe]
                .into_iter()
                .chain(utf16(&bytes).iter().flat_map(|u| u.to_le_bytes()))
                .collect(),
            Encoding::Base64 => STANDARD.encode(&bytes).into_bytes(),
            Encoding::Base64Offset => {
                // The value at each offset from a multiple of three bytes; what its neighbours decide is cut off.
                for offset in 0..3 {
                    let shifted: Vec<u8> = vec![b' '; offset].into_iter().chain(bytes.iter().copied()).collect();
                    let text = STANDARD.encode(&shifted);
                    let start = [0, 2, 3][offset];
                    let end = text.len() - [0, 3, 2][shifted.len() % 3];
                    if let Some(sure) = text.get(start..end).filter(|t| !t.is_empty()) {
                        out.push(Pattern::literal(sure));
                    }
                }
                return Ok(());
            }
        };
    }
    match String::from_utf8(bytes) {
        Ok(text) => out.push(Pattern::literal(&text)),
        Err(_) => {
            let reason = "is no text after `utf16`; put `base64` or `base64offset` behind it".to_owned();
            return Err(Wrong::Problem(Problem::Value {
                key: text.to_owned(),
                reason,
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64offset_finds_the_text_at_every_offset() {
        for len in 1..8 {
            let secret = &"/bin/bash"[..len];
            let mut patterns = Vec::new();
            assert!(encode(&[Encoding::Base64Offset], &Pattern::literal(secret), &mut patterns).is_ok());
            for before in 0..6 {
                for after in 0..4 {
                    let text = STANDARD.encode(format!("{}{secret}{}", "x".repeat(before), "~".repeat(after)));
                    let found = patterns
                        .iter()
                        .any(|p| text.contains(p.as_literal().expect("a literal")));
                    assert!(
                        found || len < 2,
                        "{secret} behind {before}, before {after}: {text} {patterns:?}"
                    );
                }
            }
        }
    }
}
