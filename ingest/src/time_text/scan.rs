//! Reads the pieces that times are written in.

use super::civil::{Clock, Zone};

/// A text, and how far it was read.
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    /// In bytes.
    pub(super) at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    pub(super) fn must(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    pub(super) fn word(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word).then(|| self.at += word.len())
    }

    pub(super) fn spaces(&mut self) {
        while self.eat(b' ') {}
    }

    /// One space at least, `most` at most.
    pub(super) fn some_spaces(&mut self, most: usize) -> Option<()> {
        let mut n = 0;
        while n < most && self.eat(b' ') {
            n += 1;
        }
        (n > 0).then_some(())
    }

    /// `least` to `most` digits that no further digit follows where `most` is 1 or 2 and fewer were wanted.
    pub(super) fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let mut n = 0;
        let mut length = 0;
        while length < most
            && let Some(digit @ b'0'..=b'9') = self.peek()
        {
            n = n * 10 + u32::from(digit - b'0');
            self.at += 1;
            length += 1;
        }
        (length >= least).then_some(n)
    }

    pub(super) fn month(&mut self) -> Option<u32> {
        const NAMES: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
        let name = self.text.as_bytes().get(self.at..self.at + 3)?;
        let at = NAMES.chunks(3).position(|m| m.eq_ignore_ascii_case(name))?;
        self.at += 3;
        // A full name (`September`) goes on with letters.
        while self.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
            self.at += 1;
        }
        Some(at as u32 + 1)
    }

    pub(super) fn weekday(&mut self) -> bool {
        const NAMES: &[u8; 21] = b"montuewedthufrisatsun";
        let found = self
            .text
            .as_bytes()
            .get(self.at..self.at + 3)
            .is_some_and(|name| NAMES.chunks(3).any(|d| d.eq_ignore_ascii_case(name)));
        if found {
            self.at += 3;
            while self.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
                self.at += 1;
            }
        }
        found
    }

    /// `HH:MM[:SS[.fff]]`
    pub(super) fn clock(&mut self) -> Option<Clock> {
        let hour = self.number(1, 2)?;
        self.must(b':')?;
        let minute = self.number(2, 2)?;
        let second = if self.eat(b':') { self.number(2, 2)? } else { 0 };
        Some(Clock {
            hour,
            minute,
            second,
            millis: self.fraction(),
        })
    }

    /// A fraction of a second in milliseconds; further digits are read and cut off.
    pub(super) fn fraction(&mut self) -> u32 {
        if !matches!(self.peek(), Some(b'.' | b',')) || !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return 0;
        }
        self.at += 1;
        let digits = self.rest();
        let end = digits.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
        self.at += end;
        millis_of(&digits[..end]) as u32
    }

    /// `Z`, `UTC`, `GMT`, `±HH`, `±HHMM`, `±HH:MM`, an IANA name, or nothing. `None`: what follows is no zone.
    pub(super) fn zone(&mut self) -> Option<Zone> {
        self.spaces();
        let Some(first) = self.peek() else {
            return Some(Zone::Open);
        };
        if matches!(first, b'+' | b'-') {
            self.at += 1;
            let hours = self.number(2, 2)?;
            let _ = self.eat(b':');
            let minutes = self.number(2, 2).unwrap_or(0);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) as i32;
            return Some(Zone::Offset(if first == b'-' { -offset } else { offset }));
        }
        let name = self.rest();
        let end = name
            .bytes()
            .position(|b| matches!(b, b' ' | b']'))
            .unwrap_or(name.len());
        let name = &name[..end];
        self.at += end;
        if ["z", "utc", "gmt", "ut"].iter().any(|z| name.eq_ignore_ascii_case(z)) {
            return Some(Zone::Offset(0));
        }
        let mut kept = [0; 40];
        kept.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let is_iana = name.contains('/') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
        is_iana.then_some(Zone::Named(kept, name.len() as u8))
    }
}

/// The first three digits of a fraction, as milliseconds.
pub(super) fn millis_of(fraction: &str) -> i64 {
    let mut ms = 0;
    for i in 0..3 {
        ms = ms * 10 + i64::from(fraction.as_bytes().get(i).map_or(0, |b| b - b'0'));
    }
    ms
}
