//! Finds many literals in text: a filter over every few bytes of it, and a table of those that pass.
//!
//! Each literal is known by one window of it, of which the filter tells in a step that does not wait for the one before,
//! as an automaton's steps do; and it is made in no time, where an automaton for a few events is not.

use foldhash::{HashMap, HashMapExt as _};

/// Words of the filter of few windows, and of many.
const WORDS_FEW: usize = 64;
const WORDS_MANY: usize = 1024;
/// Windows up to which they are few: one text in fifty passes.
const FEW_MAX: usize = 80;
/// Spreads windows over a filter.
const SPREAD: u32 = 0x9e37_79b1;

/// Literals of at least `N` bytes, by one window of `N` bytes each.
#[derive(Debug)]
pub(super) struct Grams<const N: usize> {
    filter: Filter,
    /// By window: the literals that are known by it, as a range of `places`.
    windows: HashMap<u32, (u32, u32)>,
    /// Literals, and where in them their window begins.
    places: Vec<Place>,
}

/// A literal, and where in it the window begins by which it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub literal: u32,
    pub before: u32,
}

#[derive(Debug)]
enum Filter {
    Few(Box<[u64; WORDS_FEW]>),
    Many(Box<[u64; WORDS_MANY]>),
}

/// A window as a number.
#[inline]
fn window(bytes: &[u8]) -> u32 {
    match *bytes {
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        [a, b] => u32::from(u16::from_le_bytes([a, b])),
        _ => bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)),
    }
}

/// The bit of a window in a filter of `WORDS` words.
#[inline]
fn bit<const WORDS: usize>(window: u32) -> (usize, u32) {
    let hash = window.wrapping_mul(SPREAD) >> (32 - (WORDS * 64).trailing_zeros());
    (hash as usize / 64 % WORDS, hash % 64)
}

/// How common a byte is thought to be in the text of logs.
fn commonness(byte: u8) -> u32 {
    match byte {
        b'e' | b'a' | b'o' | b't' | b'i' | b'n' | b'r' | b's' | b' ' | b'/' | b'\\' | b'.' => 8,
        b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'h' | b'0'..=b'9' | b'-' | b'_' | b':' | b'=' => 6,
        b'b' | b'f' | b'g' | b'w' | b'y' | b'v' | b'x' | b'k' | b'%' | b'&' | b',' | b'"' => 4,
        _ => 2,
    }
}

impl<const N: usize> Grams<N> {
    /// Knows each literal by the window that is thought rarest, and is fewest others'. `literals` gives those of `N` bytes or
    /// more; `None` where there are none.
    pub fn new<'l>(literals: impl Iterator<Item = (u32, &'l [u8])>) -> Option<Grams<N>> {
        let mut by_window: HashMap<u32, Vec<Place>> = HashMap::new();
        let mut order: Vec<u32> = Vec::new();
        for (literal, bytes) in literals {
            let windows = (0..).zip(bytes.windows(N));
            let best = windows.min_by_key(|(before, w)| {
                let shared = by_window.get(&window(w)).map_or(0, Vec::len) as u32;
                (w.iter().map(|b| commonness(*b)).sum::<u32>() + 4 * shared, *before)
            });
            let Some((before, best)) = best else { continue };
            let known = by_window.entry(window(best)).or_default();
            if known.is_empty() {
                order.push(window(best));
            }
            known.push(Place { literal, before });
        }
        if order.is_empty() {
            return None;
        }
        let mut grams = Grams {
            filter: if order.len() <= FEW_MAX {
                Filter::Few(Box::new([0; WORDS_FEW]))
            } else {
                Filter::Many(Box::new([0; WORDS_MANY]))
            },
            windows: HashMap::with_capacity(order.len()),
            places: Vec::new(),
        };
        for window in order {
            match &mut grams.filter {
                Filter::Few(words) => set::<WORDS_FEW>(words, window),
                Filter::Many(words) => set::<WORDS_MANY>(words, window),
            }
            let from = grams.places.len() as u32;
            grams.places.extend(by_window.remove(&window).into_iter().flatten());
            grams.windows.insert(window, (from, grams.places.len() as u32));
        }
        Some(grams)
    }

    /// The literals that are known by the window at the start of `bytes`.
    #[inline]
    fn known(&self, bytes: &[u8]) -> &[Place] {
        let range = bytes.get(..N).and_then(|bytes| self.windows.get(&window(bytes)));
        range.map_or(&[], |(from, to)| &self.places[*from as usize..*to as usize])
    }

    /// Calls `each` with every place of the text where a window of a literal may stand, from first to last.
    #[inline]
    fn scan(&self, text: &[u8], mut each: impl FnMut(usize)) {
        match &self.filter {
            Filter::Few(words) => scan::<N, WORDS_FEW>(words, text, &mut each),
            Filter::Many(words) => scan::<N, WORDS_MANY>(words, text, &mut each),
        }
    }
}

/// Bytes of the windows by which long literals are known, and short ones.
pub(super) const LONG: usize = 4;
pub(super) const SHORT: usize = 2;

/// Calls `each` with every place of the text where a window of a literal stands, from first to last, and the literals that
/// are known by it.
#[inline]
pub(super) fn find(
    long: Option<&Grams<LONG>>,
    short: Option<&Grams<SHORT>>,
    text: &[u8],
    mut each: impl FnMut(usize, &[Place]),
) {
    let mut look = |at: usize| {
        let bytes = &text[at..];
        let long = long.map_or(&[][..], |l| l.known(bytes));
        let short = short.map_or(&[][..], |s| s.known(bytes));
        for places in [long, short] {
            if !places.is_empty() {
                each(at, places);
            }
        }
    };
    match (long, short) {
        (Some(l), None) => l.scan(text, look),
        (None, Some(s)) => s.scan(text, look),
        (Some(l), Some(s)) => {
            match (&l.filter, &s.filter) {
                (Filter::Few(l), Filter::Few(s)) => scan_both::<WORDS_FEW, WORDS_FEW>(l, s, text, &mut look),
                (Filter::Few(l), Filter::Many(s)) => scan_both::<WORDS_FEW, WORDS_MANY>(l, s, text, &mut look),
                (Filter::Many(l), Filter::Few(s)) => scan_both::<WORDS_MANY, WORDS_FEW>(l, s, text, &mut look),
                (Filter::Many(l), Filter::Many(s)) => scan_both::<WORDS_MANY, WORDS_MANY>(l, s, text, &mut look),
            }
            // Behind the last long window are short ones.
            let rest = text.len().saturating_sub(LONG - 1);
            s.scan(&text[rest..], |at| look(rest + at));
        }
        (None, None) => {}
    }
}

/// Places that are looked at in one go, whether or not anything stands there: one branch for all of them.
const STEP: usize = 8;
/// The bytes of their windows.
const STEP_BYTES: usize = STEP + LONG - 1;

/// Calls `each` with every place where `has` holds for the window of `N` bytes, which has no more than `LONG`.
#[inline]
fn each_place<const N: usize>(text: &[u8], has: impl Fn(&[u8]) -> u64, each: &mut impl FnMut(usize)) {
    let mut at = 0;
    while let Some(bytes) = text[at..].first_chunk::<STEP_BYTES>() {
        let mut found = 0;
        for n in 0..STEP {
            found |= (has(&bytes[n..n + N]) & 1) << n;
        }
        while found != 0 {
            each(at + found.trailing_zeros() as usize);
            found &= found - 1;
        }
        at += STEP;
    }
    for (n, bytes) in text[at..].windows(N).enumerate() {
        if has(bytes) & 1 != 0 {
            each(at + n);
        }
    }
}

#[inline]
fn scan<const N: usize, const W: usize>(words: &[u64; W], text: &[u8], each: &mut impl FnMut(usize)) {
    let has = |bytes: &[u8]| {
        let (word, bit) = bit::<W>(window(bytes));
        words[word] >> bit
    };
    each_place::<N>(text, has, each);
}

#[inline]
fn scan_both<const L: usize, const S: usize>(
    long: &[u64; L],
    short: &[u64; S],
    text: &[u8],
    each: &mut impl FnMut(usize),
) {
    let has = |bytes: &[u8]| {
        let window = window(bytes);
        let (long_word, long_bit) = bit::<L>(window);
        let (short_word, short_bit) = bit::<S>(window & 0xffff);
        long[long_word] >> long_bit | short[short_word] >> short_bit
    };
    each_place::<LONG>(text, has, each);
}

fn set<const W: usize>(words: &mut [u64; W], window: u32) {
    let (word, bit) = bit::<W>(window);
    words[word] |= 1 << bit;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(literals: &[String], text: &str) -> Vec<(usize, usize)> {
        let known = || (0..).zip(literals.iter().map(|l| l.as_bytes()));
        let long = Grams::new(known().filter(|(_, l)| l.len() >= LONG));
        let short = Grams::new(known().filter(|(_, l)| (SHORT..LONG).contains(&l.len())));
        let mut found = Vec::new();
        find(long.as_ref(), short.as_ref(), text.as_bytes(), |at, places| {
            for place in places {
                let literal = literals[place.literal as usize].as_bytes();
                let from = at.checked_sub(place.before as usize);
                if let Some(from) = from.filter(|f| text.as_bytes()[*f..].starts_with(literal)) {
                    found.push((from, place.literal as usize));
                }
            }
        });
        found.sort_unstable();
        found
    }

    fn plain(literals: &[String], text: &str) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        for from in 0..text.len() {
            let here = literals.iter().enumerate().filter(|(_, l)| l.len() >= SHORT);
            let here = here.filter(|(_, l)| text.as_bytes()[from..].starts_with(l.as_bytes()));
            all.extend(here.map(|(n, _)| (from, n)));
        }
        all
    }

    proptest! {
        #[test]
        fn it_finds_what_stands_there(
            literals in prop::collection::btree_set("[ab/é]{1,6}", 0..200),
            text in "[ab/é]{0,60}",
            least in 0..5_usize,
            most in 2..8_usize,
        ) {
            let literals: Vec<String> = literals.into_iter().filter(|l| (least..most).contains(&l.len())).collect();
            prop_assert_eq!(found(&literals, &text), plain(&literals, &text));
        }
    }
}
