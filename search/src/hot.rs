//! A Tantivy index of ours in a folder of its own: a generation of the hot index, contiguous in ledger order, or a split.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::store::Compressor;
use tantivy::{Index, IndexReader, IndexSettings, ReloadPolicy, TantivyError};

use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::schema::Fields;
use crate::split::fresh;

/// The index, open.
#[derive(Clone)]
pub(crate) struct Hot {
    pub(crate) dir: PathBuf,
    pub(crate) index: Index,
    pub(crate) fields: Fields,
}

impl Hot {
    /// Makes an empty one in `dir`; what lay there goes.
    pub(crate) fn create(dir: &Path) -> Result<Hot> {
        let fields = Fields::new();
        // Tantivy's store of documents stays empty.
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = Index::builder()
            .schema(fields.schema.clone())
            .settings(settings)
            .register_plugin(Arc::new(fields.plugin()))
            .open_or_create(fresh(dir)?)?;
        Ok(Hot {
            dir: dir.to_owned(),
            index,
            fields,
        })
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
        index.register_plugin(Arc::new(fields.plugin()));
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

    /// Whether anything was ever committed.
    pub(crate) fn has_commits(&self) -> bool {
        self.index
            .load_metas()
            .map_or(true, |m| m.payload.is_some() || !m.segments.is_empty())
    }

    /// Events of the last commit.
    pub(crate) fn events(&self) -> Result<u64> {
        let metas = self.index.load_metas().map_err(|e| self.rebuild(e.to_string()))?;
        Ok(metas.segments.iter().map(|s| u64::from(s.num_docs())).sum())
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

    /// Reads every byte.
    pub(crate) fn check(&self) -> Result<()> {
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
