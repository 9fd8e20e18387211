//! What the joins of rules said of events before, by what they read of them: most events have the same values there as another
//! that just came, and joins of reference tables rest on nothing else. Of an event's time it is known between which moments it
//! changes nothing ([`Spanned`]).

use std::sync::Arc;

use foldhash::HashMap;
use model::Millis;
use smallvec::SmallVec;

use super::seen::Seen;
use crate::policy::PolicyIndex;
use crate::reference::{Found, Gap, Spanned, Verdict};

/// What is remembered of all rules together; beyond it all is forgotten.
const KNOWN_MAX: usize = 65_536;
/// Bytes of values by which something is remembered.
const NAME_MAX: usize = 512;
/// Spans of time that are remembered for the same values.
const SPANS_MAX: usize = 8;
/// After so many events, more than most have people, it is looked whether a rule's were known.
const TRIAL: u32 = 4_096;
/// For so many events nothing is remembered of a rule whose events have other values each time.
const REST: u32 = 65_536;

/// What a chain of joins says of an event.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// All hold.
    Fires(Arc<Found>),
    /// One does not.
    DoesNotFire,
    /// One cannot be judged.
    NotJudged(Gap),
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Said {
        match verdict {
            Verdict::Fires(found) => Said::Fires(Arc::new(found)),
            Verdict::DoesNotFire => Said::DoesNotFire,
            Verdict::NotJudged(gap) => Said::NotJudged(gap),
        }
    }
}

/// What was said before, as long as the tables are the same.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// By the rule's number.
    rules: Vec<OfRule>,
    known: usize,
    /// Room for the values of an event.
    name: Vec<u8>,
}

#[derive(Debug, Default)]
struct OfRule {
    known: HashMap<Box<[u8]>, SmallVec<[Known; 1]>>,
    asked: u32,
    met: u32,
    /// So many events are not looked for.
    rests: u32,
}

#[derive(Debug)]
struct Known {
    from: Millis,
    until: Millis,
    said: Said,
}

impl Memo {
    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Memo::default();
    }

    /// What the joins of a rule say of an event, which `judge` finds where it is not known.
    pub fn said(
        &mut self,
        rule: PolicyIndex,
        seen: &Seen<'_>,
        time: Millis,
        judge: impl FnOnce(&dyn crate::reference::EventValues) -> Verdict,
    ) -> Said {
        let at = rule.0 as usize;
        if self.rules.len() <= at {
            self.rules.resize_with(at + 1, OfRule::default);
        }
        let of = &mut self.rules[at];
        if of.rests > 0 {
            of.rests -= 1;
            return judge(seen).into();
        }
        self.name.clear();
        seen.name_joined(&mut self.name);
        of.asked += 1;
        if let Some(known) = of.known.get(self.name.as_slice())
            && let Some(known) = known.iter().find(|k| k.from <= time && time < k.until)
        {
            of.met += 1;
            return known.said.clone();
        }
        if of.asked >= TRIAL {
            if of.met < of.asked / 8 {
                of.rests = REST;
                self.known -= of.known.values().map(SmallVec::len).sum::<usize>();
                of.known.clear();
            }
            (of.asked, of.met) = (0, 0);
        }
        let spanned = Spanned::new(seen);
        let said: Said = judge(&spanned).into();
        if let Some((from, until)) = spanned.span().filter(|_| self.name.len() <= NAME_MAX) {
            if self.known >= KNOWN_MAX {
                self.rules.iter_mut().for_each(|of| of.known.clear());
                self.known = 0;
            }
            let spans = self.rules[at].known.entry(self.name.as_slice().into()).or_default();
            if spans.len() >= SPANS_MAX {
                spans.remove(0);
                self.known -= 1;
            }
            let said = said.clone();
            spans.push(Known { from, until, said });
            self.known += 1;
        }
        said
    }
}
