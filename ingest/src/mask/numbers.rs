//! Numbers that name a person or an account: identity cards and bank cards.

use std::ops::Range;

/// Digits that a number of interest has at least.
const DIGITS_MIN: usize = 15;

/// Identity card numbers (GB 11643, with checksum) and bank card numbers (ISO 7812, Luhn).
pub(super) fn numbers(text: &str, spans: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    // A run of 15 digits covers every 15th place, so only those are looked at.
    while let Some(b) = bytes.get(at + DIGITS_MIN - 1) {
        let probe = at + DIGITS_MIN - 1;
        if !b.is_ascii_digit() {
            at = probe + 1;
            continue;
        }
        let start = at
            + bytes[at..probe]
                .iter()
                .rposition(|b| !b.is_ascii_digit())
                .map_or(0, |n| n + 1);
        let mut end = probe + 1;
        while bytes.get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
        at = end;
        let before = start.checked_sub(1).map(|i| bytes[i]);
        if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            continue;
        }
        let run = &bytes[start..end];
        let check = bytes.get(end).copied();
        let id_card = match run.len() {
            17 if matches!(check, Some(b'X' | b'x')) => is_id_card(run, b'X'),
            18 => is_id_card(&run[..17], run[17]),
            _ => false,
        };
        let length = if id_card { 18 } else { run.len() };
        let after = bytes.get(start + length);
        if after.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
            continue;
        }
        if id_card || is_bank_card(run) {
            spans.push(start + 6..start + length - 4);
        }
    }
}

fn is_id_card(digits: &[u8], check: u8) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(d, w)| u32::from(d - b'0') * w).sum();
    let two = |i: usize| (digits[i] - b'0') * 10 + (digits[i + 1] - b'0');
    let born = matches!(two(6), 18..=20) && matches!(two(10), 1..=12) && matches!(two(12), 1..=31);
    born && digits[0] != b'0' && b"10X98765432"[(sum % 11) as usize] == check
}

fn is_bank_card(digits: &[u8]) -> bool {
    let known = match digits.len() {
        15 => digits.starts_with(b"34") || digits.starts_with(b"37"),
        16..=19 => {
            matches!(digits[0], b'4')
                || [
                    &b"62"[..],
                    b"51",
                    b"52",
                    b"53",
                    b"54",
                    b"55",
                    b"22",
                    b"35",
                    b"60",
                    b"65",
                    b"95588",
                    b"90",
                ]
                .iter()
                .any(|prefix| digits.starts_with(prefix))
        }
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let d = u32::from(d - b'0');
            if i % 2 == 0 {
                d
            } else {
                d * 2 - if d > 4 { 9 } else { 0 }
            }
        })
        .sum();
    known && sum.is_multiple_of(10)
}
