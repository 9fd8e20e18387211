//! Keys in the order in which they came before: the next one is likely one of those that came next then.
//!
//! A key that is told so is neither looked for its end nor looked up; and no key stands twice on a way that was learned,
//! so that this need not be asked again.

/// Places that are learned: keys may be of the lines' own making.
const STATES_MAX: usize = 4096;
/// Keys after one place, and bytes of a key.
const NEXT_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 128;

/// A place between the keys of an object.
pub(super) type StateId = u32;

/// The orders of keys that were seen.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    states: Vec<State>,
    /// Where an object begins, by the node that is wanted of it (from 1; 0 where nothing is).
    begin: Vec<Option<StateId>>,
}

/// What came before, and what came next.
#[derive(Debug)]
struct State {
    before: Option<StateId>,
    /// The key that leads here.
    key: Box<str>,
    /// A wanted key with a dot is among those before.
    dotted: bool,
    /// A dotted key and its first part are, too: which of them counts is a question of their order.
    is_odd: bool,
    next: Vec<Next>,
}

/// A key that came next.
#[derive(Clone, Debug)]
pub(super) struct Next {
    /// The key and its closing quote.
    quoted: Quoted,
    /// What it leads to among the entries.
    pub entry: Option<u32>,
    pub state: StateId,
}

/// A key and its closing quote, with its first eight bytes and its last eight as numbers: most keys are compared by these alone.
#[derive(Clone, Debug)]
struct Quoted {
    text: Box<str>,
    first: u64,
    /// Of a shorter one, the bytes that count.
    mask: u64,
    last: u64,
}

impl Quoted {
    fn new(key: &str) -> Quoted {
        let text = format!("{key}\"");
        let bytes = text.as_bytes();
        let mut first = [0; 8];
        let n = bytes.len().min(8);
        first[..n].copy_from_slice(&bytes[..n]);
        Quoted {
            first: u64::from_le_bytes(first),
            mask: u64::MAX >> (64 - 8 * n),
            last: bytes.last_chunk().map_or(0, |last| u64::from_le_bytes(*last)),
            text: text.into(),
        }
    }

    /// Whether a line starts with it.
    #[inline]
    fn starts(&self, line: &[u8]) -> bool {
        let n = self.text.len();
        let Some(first) = line.first_chunk() else {
            return line.starts_with(self.text.as_bytes());
        };
        if (u64::from_le_bytes(*first) ^ self.first) & self.mask != 0 {
            return false;
        }
        match line.get(..n).and_then(<[u8]>::last_chunk) {
            Some(last) if n <= 16 => u64::from_le_bytes(*last) == self.last,
            Some(_) => line.starts_with(self.text.as_bytes()),
            // Eight bytes are not there, but all that count.
            None => n < 8,
        }
    }
}

/// Why a key is not learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlearned {
    /// It stands twice.
    Twice,
    /// There is no room for it.
    Full,
}

impl Shapes {
    /// Where an object begins of which `node` is wanted.
    pub fn begin(&mut self, node: Option<usize>) -> StateId {
        let place = node.map_or(0, |n| n + 1);
        if self.begin.len() <= place {
            self.begin.resize(place + 1, None);
        }
        let state = self.states.len() as StateId;
        let begin = *self.begin[place].get_or_insert(state);
        if begin == state {
            self.states.push(State {
                before: None,
                key: Box::default(),
                dotted: false,
                is_odd: false,
                next: Vec::new(),
            });
        }
        begin
    }

    /// The key that stands at the start of `line`, where it came next before; and its bytes with the closing quote.
    #[inline]
    pub fn next(&self, state: StateId, line: &[u8]) -> Option<(&Next, usize)> {
        let next = &self.states[state as usize].next;
        let next = next.iter().find(|n| n.quoted.starts(line))?;
        Some((next, next.quoted.text.len()))
    }

    /// Whether what is wanted of an object with these keys is a question of their order.
    pub fn is_odd(&self, state: StateId) -> bool {
        self.states[state as usize].is_odd
    }

    /// Learns what came next.
    pub fn learn(&mut self, state: StateId, key: &str, entry: Option<u32>) -> Result<Next, Unlearned> {
        let mut before = Vec::new();
        let mut at = Some(state);
        while let Some(id) = at {
            let state = &self.states[id as usize];
            if state.before.is_some() {
                before.push(&*state.key);
            }
            at = state.before;
        }
        if before.contains(&key) {
            return Err(Unlearned::Twice);
        }
        let from = &self.states[state as usize];
        if self.states.len() >= STATES_MAX || from.next.len() >= NEXT_MAX || key.len() > KEY_BYTES_MAX {
            return Err(Unlearned::Full);
        }
        let dotted = from.dotted || (entry.is_some() && key.contains('.'));
        before.push(key);
        let clash = |key: &&str| key.match_indices('.').any(|(dot, _)| before.contains(&&key[..dot]));
        let is_odd = dotted && before.iter().any(clash);
        let id = self.states.len() as StateId;
        let next = Next {
            quoted: Quoted::new(key),
            entry,
            state: id,
        };
        self.states.push(State {
            before: Some(state),
            key: key.into(),
            dotted,
            is_odd,
            next: Vec::new(),
        });
        self.states[state as usize].next.push(next.clone());
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_stands_at_the_start_or_does_not(key in "[ab]{0,20}", line in "[ab\"]{0,24}", cut in 0..30_usize) {
            let quoted = Quoted::new(&key);
            for line in [line.clone(), format!("{key}\"{line}"), format!("{key}\"").chars().take(cut).collect()] {
                prop_assert_eq!(quoted.starts(line.as_bytes()), line.starts_with(&*quoted.text), "{}", line);
            }
        }
    }
}
