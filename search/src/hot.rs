//! The hot index: one Tantivy index, contiguous in ledger order, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};

use tantivy::directory::MmapDirectory;
use tantivy::{Index, IndexReader, ReloadPolicy, TantivyError};

use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::schema::{Fields, tokenizers};

/// The hot index, open.
#[derive(Clone)]
pub(crate) struct Hot {
    pub(crate) dir: PathBuf,
    pub(crate) index: Index,
    pub(crate) fields: Fields,
}

impl Hot {
    /// Opens the index in `dir`, which is made where it is missing. Checks every byte of it.
    pub(crate) fn open_or_create(dir: &Path) -> Result<Hot> {
        fs::create_dir_all(dir).map_err(|source| Error::Io {
            path: dir.to_owned(),
            source,
        })?;
        match Hot::is_empty(dir)? {
            false => {
                let hot = Hot::open(dir)?;
                hot.check()?;
                Ok(hot)
            }
            true => {
                let fields = Fields::new();
                let directory = MmapDirectory::open(dir).map_err(TantivyError::from)?;
                let index = Index::builder()
                    .schema(fields.schema.clone())
                    .tokenizers(tokenizers())
                    .open_or_create(directory)?;
                Ok(Hot {
                    dir: dir.to_owned(),
                    index,
                    fields,
                })
            }
        }
    }

    /// Opens the index in `dir`, which must be there.
    pub(crate) fn open(dir: &Path) -> Result<Hot> {
        let rebuild = |reason: String| Error::Rebuild {
            dir: dir.to_owned(),
            reason,
        };
        let mut index = Index::open_in_dir(dir).map_err(|e| rebuild(e.to_string()))?;
        let fields = Fields::new();
        if index.schema() != fields.schema {
            return Err(rebuild("its fields are not those of this program".into()));
        }
        index.set_tokenizers(tokenizers());
        Ok(Hot {
            dir: dir.to_owned(),
            index,
            fields,
        })
    }

    /// What the last commit says; nothing committed yet is the ledger's beginning.
    pub(crate) fn payload(&self) -> Result<Payload> {
        let metas = self.index.load_metas().map_err(|e| self.rebuild(e.to_string()))?;
        match metas.payload {
            // The index was made, then the process ended before its first commit.
            None if metas.segments.is_empty() => Ok(Payload::new()),
            text => Payload::parse(text.as_deref()).map_err(|reason| self.rebuild(reason)),
        }
    }

    pub(crate) fn reader(&self) -> Result<IndexReader> {
        let reader = self
            .index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into();
        reader.map_err(|e: TantivyError| self.rebuild(e.to_string()))
    }

    pub(crate) fn rebuild(&self, reason: String) -> Error {
        Error::Rebuild {
            dir: self.dir.clone(),
            reason,
        }
    }

    /// Nothing but hidden files: never used, or ended before `meta.json` was written.
    fn is_empty(dir: &Path) -> Result<bool> {
        let io = |source| Error::Io {
            path: dir.to_owned(),
            source,
        };
        for entry in fs::read_dir(dir).map_err(io)? {
            if !entry.map_err(io)?.file_name().to_string_lossy().starts_with('.') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        let damaged = self
            .index
            .validate_checksum()
            .map_err(|e| self.rebuild(e.to_string()))?;
        let mut damaged: Vec<_> = damaged.iter().map(|p| p.display().to_string()).collect();
        damaged.sort();
        match damaged.first() {
            None => Ok(()),
            Some(first) => Err(self.rebuild(format!("{first} is damaged, {} files in all", damaged.len()))),
        }
    }
}
