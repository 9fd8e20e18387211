//! Numbers that name a person or an account: identity cards and bank cards.

use std::ops::Range;

/// Digits that a number of interest has at least.
const DIGITS_MIN: usize = 15;

/// Identity card numbers (GB 11643, with checksum) and bank card numbers (ISO 7812, Luhn): of each what lies between its first six digits and
/// its last four.
pub(super) fn numbers(text: &str, spans: &mut Vec<Range<usize>>) {
    in_runs(text.as_bytes(), &mut |span| spans.push(span));
}

/// Whether the text holds a number that [`numbers`] finds.
pub(super) fn holds(text: &str) -> bool {
    let mut found = false;
    in_runs(text.as_bytes(), &mut |_| found = true);
    found
}

/// Numbers in runs of digits, blanks and hyphens.
fn in_runs(bytes: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let of_number = |b: u8| b.is_ascii_digit() || is_separator(b);
    let mut at = 0;
    // A run of 15 such bytes covers every 15th place, so only those are looked at.
    while let Some(b) = bytes.get(at + DIGITS_MIN - 1) {
        let probe = at + DIGITS_MIN - 1;
        if !of_number(*b) {
            at = probe + 1;
            continue;
        }
        let before = bytes[at..probe].iter().rposition(|b| !of_number(*b));
        let start = before.map_or(at, |n| at + n + 1);
        let after = bytes[probe..].iter().position(|b| !of_number(*b));
        at = after.map_or(bytes.len(), |n| probe + n);
        if at - start >= DIGITS_MIN {
            in_one_run(bytes, start..at, found);
            in_groups(bytes, start..at, found);
        }
    }
}

/// Numbers whose digits follow one another.
fn in_one_run(bytes: &[u8], run: Range<usize>, found: &mut dyn FnMut(Range<usize>)) {
    let mut at = run.start;
    while let Some(b) = bytes[..run.end].get(at + DIGITS_MIN - 1) {
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
            found(start + 6..start + length - 4);
        }
    }
}

/// Bytes of a card's number as it is printed: four groups of four digits, a blank or a hyphen between them.
const GROUPED: usize = 19;

fn is_separator(b: u8) -> bool {
    b == b' ' || b == b'-'
}

/// Bank card numbers of 16 digits in groups of four.
fn in_groups(bytes: &[u8], run: Range<usize>, found: &mut dyn FnMut(Range<usize>)) {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let mut from = run.start;
    // The first of a number's separators stands in its fifth place.
    while let Some(n) = memchr::memchr2(b' ', b'-', bytes.get(from..run.end).unwrap_or_default()) {
        let first = from + n;
        from = first + 1;
        let Some(start) = first.checked_sub(4).filter(|start| *start >= run.start) else {
            continue;
        };
        if start + GROUPED > run.end {
            return;
        }
        let number = &bytes[start..start + GROUPED];
        let fits = number.iter().enumerate().all(|(at, b)| match at % 5 {
            4 => is_separator(*b) && *b == number[4],
            _ => b.is_ascii_digit(),
        });
        let before = start.checked_sub(1).map(|at| bytes[at]);
        let after = bytes.get(start + GROUPED).copied();
        let stands_alone = !before.is_some_and(|b| word(b) || b == b'.') && !after.is_some_and(word);
        if !fits || !stands_alone {
            continue;
        }
        let mut digits = [0; 16];
        let of_groups = number.iter().filter(|b| b.is_ascii_digit());
        digits.iter_mut().zip(of_groups).for_each(|(to, digit)| *to = *digit);
        if is_bank_card(&digits) {
            // Six digits and a separator; four digits.
            found(start + 7..start + GROUPED - 4);
            from = start + GROUPED;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_found_wherever_they_stand(text in "([a-z_. -]{0,24}(4111[ -]1111[ -]1111[ -]1111|4111111111111111|[0-9]{0,20})){0,6}[a-z. -]{0,20}") {
            let bytes = text.as_bytes();
            let (mut some, mut all) = (Vec::new(), Vec::new());
            in_runs(bytes, &mut |span| some.push(span));
            // As if every byte were worth a look.
            in_one_run(bytes, 0..bytes.len(), &mut |span| all.push(span));
            in_groups(bytes, 0..bytes.len(), &mut |span| all.push(span));
            some.sort_by_key(|span| span.start);
            all.sort_by_key(|span| span.start);
            prop_assert_eq!(some, all, "{}", text);
        }
    }
}
