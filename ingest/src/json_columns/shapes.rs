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
    quoted: Box<str>,
    /// What it leads to among the entries.
    pub entry: Option<u32>,
    pub state: StateId,
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
        let next = next.iter().find(|n| line.starts_with(n.quoted.as_bytes()))?;
        Some((next, next.quoted.len()))
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
            quoted: format!("{key}\"").into(),
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
