//! `has`: elements of a list that satisfy maps, each its own where the policy asks for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::Aliases;
use super::cell::{each_value, scalar};
use super::condition::holds_for;
use super::scope::Scope;
use crate::policy::{Apart, Has};
use crate::sigma::lower;

/// Elements that are tried in all for one list; a hostile list does not hold everything up. Beyond it, the test does
/// not hold.
const TRIES_MAX: usize = 100_000;

/// Whether `elements` satisfy the maps.
pub(super) fn has(has: &Has, elements: &[&Json], scope: &Scope<'_>) -> bool {
    if has.apart == Apart::No && has.wanted.iter().all(|w| w.alias.is_none()) {
        let holds = |w: &crate::policy::Wanted| elements.iter().any(|e| holds_for(&w.condition, Some(e), scope));
        return has.wanted.iter().all(holds);
    }
    let mut search = Search {
        has,
        elements,
        taken: Vec::new(),
        cells: BTreeSet::new(),
        tries: 0,
    };
    search.find(scope)
}

struct Search<'a> {
    has: &'a Has,
    elements: &'a [&'a Json],
    /// The element of each map so far.
    taken: Vec<usize>,
    /// The cells of the column by which elements have to differ.
    cells: BTreeSet<String>,
    tries: usize,
}

impl Search<'_> {
    /// Finds an element for the next map, and for those behind it. As deep as there are maps, which is bounded.
    fn find(&mut self, scope: &Scope<'_>) -> bool {
        let Some(wanted) = self.has.wanted.get(self.taken.len()) else {
            return true;
        };
        for (n, element) in self.elements.iter().enumerate() {
            self.tries += 1;
            if self.tries > TRIES_MAX {
                return false;
            }
            if self.has.apart != Apart::No && self.taken.contains(&n) {
                continue;
            }
            let mut own = BTreeSet::new();
            if let Apart::Column(column) = &self.has.apart {
                each_value(element, column, &mut |v| {
                    own.insert(lower(&scalar(v)));
                });
                // Who is not named cannot be told from the others.
                if own.is_empty() || !own.is_disjoint(&self.cells) {
                    continue;
                }
            }
            if !holds_for(&wanted.condition, Some(element), scope) {
                continue;
            }
            self.taken.push(n);
            self.cells.extend(own.iter().cloned());
            let found = match &wanted.alias {
                None => self.find(scope),
                Some(alias) => {
                    let mut aliases: Aliases = scope.aliases.clone();
                    aliases.insert(alias.clone(), Arc::new((*element).clone()));
                    self.find(&Scope {
                        aliases: &aliases,
                        ..*scope
                    })
                }
            };
            if found {
                return true;
            }
            self.taken.pop();
            self.cells.retain(|cell| !own.contains(cell));
        }
        false
    }
}
