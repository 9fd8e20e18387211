//! Texts and numbers as JSON writes them, eight bytes at a time.

/// Writes a whole number in digits.
pub(crate) fn write_int(n: i64, out: &mut String) {
    let mut digits = [0; 20];
    out.push_str(int_text(n, &mut digits));
}

/// The numbers from 00 to 99.
static PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[n * 2] = b'0' + (n / 10) as u8;
        pairs[n * 2 + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// A whole number in digits, in the buffer that is given.
#[must_use]
pub fn int_text(n: i64, digits: &mut [u8; 20]) -> &str {
    let mut rest = n.unsigned_abs();
    let mut at = digits.len();
    while rest >= 10 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest > 0 || n == 0 {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    if n < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    str::from_utf8(&digits[at..]).unwrap_or_default()
}

/// Writes a text between quotes, escaped where it must be.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        at += plain_len(&bytes[at..]);
        let Some(&byte) = bytes.get(at) else { break };
        out.push_str(&text[from..at]);
        at += 1;
        from = at;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

pub(super) const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGHS: u64 = 0x8080_8080_8080_8080;

/// How many bytes stand before the first quote, backslash or control character; all of them where there is none.
#[must_use]
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut rest = bytes;
    // Eight at once. A borrow makes a byte look found only above one that is.
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = after;
    }
    at + rest
        .iter()
        .position(|b| matches!(b, b'"' | b'\\' | 0..0x20))
        .unwrap_or(rest.len())
}

/// Whether two texts are equal. Most are short, and a call of the library's costs more than to look at them.
#[must_use]
#[inline]
pub fn is_same(there: &str, text: &str) -> bool {
    let (a, b) = (there.as_bytes(), text.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        (Some(first), Some(other)) if a.len() <= 16 => first == other && a.last_chunk::<8>() == b.last_chunk::<8>(),
        (Some(first), Some(other)) => first == other && a == b,
        _ => match (a.first_chunk::<4>(), b.first_chunk::<4>()) {
            (Some(first), Some(other)) => first == other && a.last_chunk::<4>() == b.last_chunk::<4>(),
            _ => a.iter().zip(b).all(|(a, b)| a == b),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_written_as_serde_json_writes_it(text in "[\\x00-\\x40\\\\a-c\u{7f}-\u{100}中]{0,40}") {
            let mut ours = String::new();
            write_text(&text, &mut ours);
            prop_assert_eq!(ours, serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn plain_bytes_are_counted(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x60u8..0x80], 0..40)) {
            let plain = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), plain);
        }

        #[test]
        fn whole_numbers_are_written(n in any::<i64>()) {
            let mut out = String::new();
            write_int(n, &mut out);
            prop_assert_eq!(out, n.to_string());
        }
    }
}
