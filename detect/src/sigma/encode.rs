//! Values in other clothes: placeholders, UTF-16, Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::modifier::{Placeholders, Wrong};
use super::{DASHES, Part, Pattern};
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

/// A piece of a value with placeholders.
enum Piece {
    /// As written, `\%` read as `%`.
    Text(String),
    /// The name between two `%`.
    Placeholder(String),
}

/// The value in pieces: `%name%` is a placeholder where the name is letters, digits, `_`, `-`, `.`; `\%` is a plain
/// percent sign, and so is one that begins no placeholder.
fn pieces(raw: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut text = String::new();
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match (c, after.chars().next()) {
            ('\\', Some('%')) => {
                text.push('%');
                rest = &after[1..];
            }
            // Two backslashes are one, which escapes nothing; whoever reads the text unwraps them.
            ('\\', Some('\\')) => {
                text.push_str("\\\\");
                rest = &after[1..];
            }
            ('%', _) => match name(after) {
                Some(name) => {
                    out.push(Piece::Text(std::mem::take(&mut text)));
                    out.push(Piece::Placeholder(name.to_owned()));
                    rest = &after[name.len() + 1..];
                }
                None => {
                    text.push('%');
                    rest = after;
                }
            },
            _ => {
                text.push(c);
                rest = after;
            }
        }
    }
    out.push(Piece::Text(text));
    out
}

/// The placeholder's name that `text` begins with, a `%` behind it.
fn name(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('%')?;
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(fine)).then_some(name)
}

/// A value with each placeholder replaced by each of its values. `text` appends what is written out, `value` a value of
/// a placeholder. A placeholder without values leaves nothing, and is named in `missing`.
pub(super) fn expand<T: Clone + Default>(
    raw: &str,
    placeholders: &Placeholders,
    missing: &mut Vec<String>,
    text: impl Fn(&mut T, &str),
    value: impl Fn(&mut T, &str),
) -> Result<Vec<T>, Wrong> {
    let mut out = vec![T::default()];
    for piece in pieces(raw) {
        let name = match piece {
            Piece::Text(t) => {
                out.iter_mut().for_each(|o| text(o, &t));
                continue;
            }
            Piece::Placeholder(name) => name,
        };
        let values = placeholders.get(&name).map_or(&[][..], Vec::as_slice);
        if values.is_empty() {
            missing.push(name);
            return Ok(Vec::new());
        }
        within_limit("values behind one placeholder", out.len().saturating_mul(values.len()))?;
        out = out
            .iter()
            .flat_map(|o| {
                values.iter().map(|v| {
                    let mut o = o.clone();
                    value(&mut o, v);
                    o
                })
            })
            .collect();
    }
    Ok(out)
}

fn within_limit(what: &'static str, given: usize) -> Result<(), Wrong> {
    if given <= ALTERNATIVES_MAX {
        return Ok(());
    }
    Err(Wrong::Problem(Problem::TooMuch {
        what,
        given,
        limit: ALTERNATIVES_MAX,
    }))
}

/// A pattern with each [`Part::Dash`] written out as each dash.
pub(super) fn dashes(pattern: &Pattern) -> Result<Vec<Pattern>, Wrong> {
    let mut out = vec![Pattern::default()];
    for part in pattern.parts() {
        if *part != Part::Dash {
            out.iter_mut().for_each(|p| p.push(part.clone()));
            continue;
        }
        within_limit("dashes of one value", out.len() * DASHES.len())?;
        out = out
            .iter()
            .flat_map(|p| {
                DASHES.iter().map(|d| {
                    let mut p = p.clone();
                    p.push_char(*d);
                    p
                })
            })
            .collect();
    }
    Ok(out)
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
