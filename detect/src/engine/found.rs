//! What joins found, as the state has it.

use std::sync::Arc;

use model::{Coordinate, ReferenceRow};
use serde::{Deserialize, Serialize};

use crate::reference::{Aliases, Found};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FoundRow {
    aliases: Aliases,
    rows: Vec<ReferenceRow>,
    records: Vec<Coordinate>,
    negative: bool,
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
