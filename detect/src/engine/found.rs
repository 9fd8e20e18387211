//! What joins found, as the state has it.

use std::sync::Arc;

use model::{Coordinate, ReferenceRow};
use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Reader, Writer};
use super::texts::Texts;
use crate::reference::{Aliases, Found};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FoundRow {
    aliases: Aliases,
    rows: Vec<Arc<ReferenceRow>>,
    records: Vec<Coordinate>,
    negative: bool,
}

impl Bytes for FoundRow {
    fn take(from: &mut Reader<'_>) -> Option<FoundRow> {
        let negative = from.bool()?;
        let (aliases, rows, records) = from.json()?.unwrap_or_default();
        Some(FoundRow {
            aliases,
            rows,
            records,
            negative,
        })
    }
}

/// Writes what joins found as a [`FoundRow`] is written.
pub(super) fn put(found: &Found, texts: &Texts, to: &mut Writer) {
    to.bool(found.negative);
    if found.aliases.is_empty() && found.rows.is_empty() && found.records.is_empty() {
        to.text("");
    } else {
        texts.found(found, to);
    }
}

impl FoundRow {
    pub fn write(found: &Found) -> FoundRow {
        FoundRow {
            aliases: found.aliases.clone(),
            rows: found.rows.clone(),
            records: found.records.clone(),
            negative: found.negative,
        }
    }

    pub fn read(self) -> Arc<Found> {
        Arc::new(Found {
            aliases: self.aliases,
            rows: self.rows,
            records: self.records,
            negative: self.negative,
        })
    }
}
