//! Which columns the cells of an event fill, worked out once for all events of an outline.

use super::Reads;
use crate::{Event, Outline};

/// A cell whose value goes to a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Which of the event's cells.
    pub cell: u16,
    /// Which column; with [`IS_THERE`] one that tells that there is a value; or [`WALK`].
    pub column: u16,
}

/// The cell fills columns of what stands below or around it.
pub(super) const WALK: u16 = u16::MAX;
/// Marks a column that only tells that there is a value.
pub(super) const IS_THERE: u16 = 1 << 15;

/// What the cells of each outline fill; those that fill nothing are left out.
#[derive(Debug, Default)]
pub(super) struct Programs {
    generation: u64,
    /// By outline.
    programs: Vec<Option<Box<[Step]>>>,
}

impl Programs {
    /// Makes sure that the event's outline, where it has one, has its steps.
    #[inline]
    pub fn learn(&mut self, event: &Event<'_>, reads: &[Reads], exists: &[bool]) {
        let generation = event.arena.outlines.borrow().generation;
        let known = matches!(self.programs.get(event.outline.index()), Some(Some(_)));
        if event.outline != Outline::NONE && (!known || self.generation != generation) {
            self.learn_new(event, reads, exists, generation);
        }
    }

    #[cold]
    fn learn_new(&mut self, event: &Event<'_>, reads: &[Reads], exists: &[bool], generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.programs.clear();
        }
        // More cells than can be counted: the event is walked.
        if u16::try_from(event.cells.len()).is_err() {
            return;
        }
        let at = event.outline.index();
        if self.programs.len() <= at {
            self.programs.resize_with(at + 1, || None);
        }
        let mut steps = Vec::new();
        for (cell, there) in (0_u16..).zip(event.cells) {
            let mut step = |column: u16| steps.push(Step { cell, column });
            let number = |column: &usize| {
                let mark = if exists.get(*column) == Some(&true) {
                    IS_THERE
                } else {
                    0
                };
                let small = u16::try_from(*column).ok().filter(|n| *n < IS_THERE - 1);
                small.map(|n| n | mark)
            };
            match reads.get(there.path.index()) {
                None | Some(Reads::Nothing) => {}
                Some(Reads::Itself(column)) => step(number(column).unwrap_or(WALK)),
                Some(Reads::Several(reads)) => {
                    let plain = reads.inside.is_empty() && reads.around.is_empty();
                    let numbers: Option<Vec<u16>> = reads.itself.iter().map(number).collect();
                    match numbers.filter(|_| plain) {
                        Some(numbers) => numbers.into_iter().for_each(step),
                        None => step(WALK),
                    }
                }
            }
        }
        self.programs[at] = Some(steps.into());
    }

    /// The steps of an event's outline, where it has one and is known.
    #[inline]
    pub fn of(&self, event: &Event<'_>) -> Option<&[Step]> {
        self.programs.get(event.outline.index())?.as_deref()
    }
}
