//! Values of the state as bytes: what there is a row of for each event is written without names.
//!
//! Whole numbers are LEB128, signed ones zigzag; texts and lists have their length before them.

use std::sync::Arc;

use model::Millis;

/// Writes.
#[derive(Debug, Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    pub fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)) as u64);
    }

    pub fn time(&mut self, time: Millis) {
        self.signed(time.0);
    }

    pub fn bool(&mut self, b: bool) {
        self.0.push(u8::from(b));
    }

    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    /// Rows and the like, which few events have: as JSON; nothing where it is as by default.
    pub fn json<T: serde::Serialize>(&mut self, value: Option<&T>) {
        match value {
            None => self.text(""),
            // The engine's own types: maps have text keys, and nothing refuses to be written.
            Some(value) => self.sized(|to| {
                serde_json::to_writer(to, value).expect("the engine's state is always JSON");
            }),
        }
    }

    /// What `put` puts, as a text: its length stands before it.
    pub fn sized(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        put(&mut self.0);
        let end = self.0.len();
        self.number((end - start) as u64);
        let before = self.0.len() - end;
        self.0[start..].rotate_right(before);
    }
}

/// Reads; `None` where the bytes are none of ours.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub fn time(&mut self) -> Option<Millis> {
        self.signed().map(Millis)
    }

    pub fn bool(&mut self) -> Option<bool> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte != 0)
    }

    /// How many of something follow; each takes a byte at least.
    pub fn count(&mut self) -> Option<usize> {
        let n = usize::try_from(self.number()?).ok()?;
        (n <= self.0.len()).then_some(n)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let n = self.count()?;
        let (text, rest) = self.0.split_at(n);
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    pub fn shared(&mut self) -> Option<Arc<str>> {
        self.text().map(Arc::from)
    }

    /// `Some(None)`: as by default.
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Option<Option<T>> {
        match self.text()? {
            "" => Some(None),
            text => serde_json::from_str(text).ok().map(Some),
        }
    }
}

/// What is written so.
pub(super) trait Put {
    fn put(&self, to: &mut Writer);
}

/// What is read so.
pub(super) trait Bytes: Sized {
    fn take(from: &mut Reader<'_>) -> Option<Self>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(n in any::<u64>(), i in any::<i64>(), text in ".*", b in any::<bool>()) {
            let mut writer = Writer::default();
            writer.number(n);
            writer.signed(i);
            writer.text(&text);
            writer.bool(b);
            writer.json(Some(&vec![i]));
            writer.json::<Vec<i64>>(None);
            let mut reader = Reader(&writer.0);
            prop_assert_eq!(reader.number(), Some(n));
            prop_assert_eq!(reader.signed(), Some(i));
            prop_assert_eq!(reader.text(), Some(text.as_str()));
            prop_assert_eq!(reader.bool(), Some(b));
            prop_assert_eq!(reader.json::<Vec<i64>>(), Some(Some(vec![i])));
            prop_assert_eq!(reader.json::<Vec<i64>>(), Some(None));
            prop_assert!(reader.0.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader(&bytes);
            while reader.number().and_then(|_| reader.text().map(str::len)).is_some() {}
        }
    }
}
