//! Text to words, the same for what is indexed and for what is asked.
//!
//! A *word* is a run of letters and digits, folded to lower case, full-width forms to ASCII. A character of a
//! script that is written without spaces (Chinese, Japanese, Korean) is a word of its own; where another one
//! follows at once, the pair is a second token at the same position. So `审计日志` holds the positions 审 计 日 志
//! and the pairs 审计 计日 日志, and any substring of it is a phrase.
//! Everything else separates: `/etc/shadow` is the phrase `etc shadow`, `10.8.1.7` the phrase `10 8 1 7`.

/// Bytes of one word; a longer run is cut into words of at most so many bytes, at successive positions.
pub const WORD_BYTES_MAX: usize = 256;

/// Calls `each` with position and word of every token of `text`, in order of position; at one position the
/// single character comes before the pair.
pub fn tokens(text: &str, mut each: impl FnMut(usize, &str)) {
    walk(text, &mut String::new(), |position, _, _, word| each(position, word));
}

/// As [`tokens`], with the bytes of the text that each stands for.
pub fn each_token(text: &str, mut each: impl FnMut(usize, usize, &str)) {
    walk(text, &mut String::new(), |_, from, to, word| each(from, to, word));
}

/// Whether a (folded) character is a word by itself.
#[must_use]
pub fn stands_alone(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF        // Hangul Jamo
        | 0x2E80..=0x2FDF      // radicals
        | 0x3005..=0x3007      // 々〆〇
        | 0x3021..=0x3029 | 0x3031..=0x3035
        | 0x3041..=0x3096 | 0x309D..=0x309F   // Hiragana
        | 0x30A1..=0x30FA | 0x30FC..=0x30FF   // Katakana
        | 0x3105..=0x312F | 0x3131..=0x318E | 0x31A0..=0x31BF | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF   // Han
        | 0xA960..=0xA97F | 0xAC00..=0xD7FF   // Hangul
        | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9F      // half-width Katakana
        | 0x1AFF0..=0x1B16F | 0x20000..=0x3FFFF)
}

/// Appends the folded form of a character: lower case, full-width ASCII as ASCII.
pub fn fold(c: char, out: &mut String) {
    if c.is_ascii() {
        return out.push(c.to_ascii_lowercase());
    }
    match u32::from(c) {
        0x3000 => out.push(' '),
        // The full-width forms U+FF01..U+FF5E are ASCII `!`..`~` in the same order.
        n @ 0xFF01..=0xFF5E => out.push(char::from((n - 0xFF01) as u8 + b'!').to_ascii_lowercase()),
        _ => out.extend(c.to_lowercase()),
    }
}

/// Full-width forms separate or join as the ASCII characters that they stand for.
fn is_word(c: char) -> bool {
    match u32::from(c) {
        n @ 0xFF01..=0xFF5E => char::from((n - 0xFF01) as u8 + b'!').is_ascii_alphanumeric(),
        _ => c.is_alphanumeric() || stands_alone(c),
    }
}

/// Whether an ASCII character is a part of a word.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut n = 0;
    while n < 128 {
        table[n] = (n as u8).is_ascii_alphanumeric();
        n += 1;
    }
    table
};

/// Calls `each` with position, first byte, end, and word of every token, as [`tokens`]. `buffer` is for words that do not
/// stand in the text as they are indexed.
pub(crate) fn walk(text: &str, buffer: &mut String, mut each: impl FnMut(usize, usize, usize, &str)) {
    let bytes = text.as_bytes();
    let (mut at, mut position) = (0, 0);
    while let Some(&b) = bytes.get(at) {
        if !WORD[usize::from(b)] {
            if b.is_ascii() {
                at += 1;
                continue;
            }
            let Some(c) = text[at..].chars().next() else { return };
            let to = at + c.len_utf8();
            if stands_alone(c) {
                buffer.clear();
                fold(c, buffer);
                each(position, at, to, buffer);
                if let Some(follower) = text[to..].chars().next().filter(|f| stands_alone(*f)) {
                    fold(follower, buffer);
                    each(position, at, to + follower.len_utf8(), buffer);
                }
                position += 1;
                at = to;
                continue;
            }
            if !is_word(c) {
                at = to;
                continue;
            }
        }
        // No farther than it matters: a run may be as long as the text.
        let near = &bytes[at..bytes.len().min(at + WORD_BYTES_MAX + 1)];
        let end = at + near.iter().position(|b| !WORD[usize::from(*b)]).unwrap_or(near.len());
        let is_plain = end - at <= WORD_BYTES_MAX && bytes.get(end).is_none_or(u8::is_ascii);
        let to = if is_plain { end } else { word(text, at, buffer) };
        if !is_plain {
            each(position, at, to, buffer);
        } else if bytes[at..end].iter().any(u8::is_ascii_uppercase) {
            buffer.clear();
            buffer.push_str(&text[at..end]);
            buffer.make_ascii_lowercase();
            each(position, at, end, buffer);
        } else {
            each(position, at, end, &text[at..end]);
        }
        position += 1;
        at = to;
    }
}

/// Reads a word of letters and digits that starts at `from` into `buffer`; returns where it ends.
fn word(text: &str, from: usize, buffer: &mut String) -> usize {
    let (bytes, mut at) = (text.as_bytes(), from);
    buffer.clear();
    while at < bytes.len() && buffer.len() < WORD_BYTES_MAX {
        let b = bytes[at];
        if b.is_ascii() {
            if !b.is_ascii_alphanumeric() {
                break;
            }
            buffer.push(char::from(b.to_ascii_lowercase()));
            at += 1;
            continue;
        }
        let Some(c) = text[at..].chars().next() else { break };
        if !is_word(c) || stands_alone(c) {
            break;
        }
        fold(c, buffer);
        at += c.len_utf8();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        tokens(text, |position, word| out.push(format!("{position}:{word}")));
        assert_eq!(out.join(" "), expected, "{text}");
    }

    #[test]
    fn identifiers_are_phrases_of_their_words() {
        check("crm-web-01 10.8.1.7", "0:crm 1:web 2:01 3:10 4:8 5:1 6:7");
        check("cat /etc/Shadow id=5", "0:cat 1:etc 2:shadow 3:id 4:5");
        check("", "");
        check(" /-… ", "");
    }

    #[test]
    fn unspaced_scripts_give_characters_and_pairs() {
        check("审计日志", "0:审 0:审计 1:计 1:计日 2:日 2:日志 3:志");
        check("用户root登录", "0:用 0:用户 1:户 2:root 3:登 3:登录 4:录");
        check("数 据", "0:数 1:据");
        check(
            "サーバー 한글",
            "0:サ 0:サー 1:ー 1:ーバ 2:バ 2:バー 3:ー 4:한 4:한글 5:글",
        );
    }

    #[test]
    fn full_width_and_upper_case_fold() {
        check("ＡＤｍｉｎ１　ÉCOLE", "0:admin1 1:école");
    }

    #[test]
    fn a_long_run_is_cut() {
        let long = "a".repeat(WORD_BYTES_MAX * 2 + 3);
        let mut lengths = Vec::new();
        tokens(&long, |position, word| lengths.push((position, word.len())));
        assert_eq!(lengths, [(0, WORD_BYTES_MAX), (1, WORD_BYTES_MAX), (2, 3)]);
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_words_at_rising_positions(text in any::<String>()) {
            let mut last = 0;
            tokens(&text, |position, word| {
                assert!(position == last || position == last + 1);
                assert!(!word.is_empty() && word.len() < WORD_BYTES_MAX + 16);
                last = position;
            });
        }
    }
}
