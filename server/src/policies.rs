//! The policies that the server runs: those in the binary, and the operator's files.

use std::path::Path;
use std::sync::Arc;

use detect::RuleSet;
use detect::engine::{Detector, Spill};
use detect::policy::{Loaded, Policies, SourceFile};
use detect::reference::{Tables, placeholders};
use include_dir::{Dir, include_dir};
use model::{LedgerIndex, StateKey, StateValue};
use sha2::{Digest as _, Sha256};

use crate::accounts;
use crate::config::PolicySource;
use crate::pipeline::joins;
use crate::spill::Segments;

/// `policies/` as it was when the binary was built.
static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../policies");

/// Files of policies, ready to run.
pub fn files(sources: &[PolicySource]) -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for source in sources {
        match source {
            PolicySource::BuiltIn => built_in(&BUILT_IN, &mut files),
            PolicySource::Path(path) => read(path, &mut files)?,
        }
    }
    Ok(files)
}

/// Loads them, placeholders filled from the tables. A broken policy is reported and the others run.
pub fn load(sources: &[PolicySource], tables: &Tables) -> anyhow::Result<Loaded> {
    let files = files(sources)?;
    let loaded = detect::policy::load(&files, &placeholders(tables, &files));
    for error in &loaded.errors {
        tracing::error!(%error, "Policy not loaded.");
    }
    Ok(loaded)
}

fn built_in(dir: &Dir<'_>, files: &mut Vec<SourceFile>) {
    for file in dir.files() {
        let name = file.path().display().to_string();
        if SourceFile::is_policy(&name)
            && let Some(text) = file.contents_utf8()
        {
            files.push(SourceFile::new(&format!("built-in/{name}"), text));
        }
    }
    dir.dirs().for_each(|d| built_in(d, files));
}

fn read(path: &Path, files: &mut Vec<SourceFile>) -> anyhow::Result<()> {
    use anyhow::Context as _;
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)
            .with_context(|| path.display().to_string())?
            .filter_map(|e| Some(e.ok()?.path()))
            .collect();
        entries.sort();
        return entries
            .iter()
            .filter(|p| p.is_dir() || SourceFile::is_policy(&p.to_string_lossy()))
            .try_for_each(|p| read(p, files));
    }
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    files.push(SourceFile::new(
        &path.display().to_string(),
        String::from_utf8_lossy(&text),
    ));
    Ok(())
}

/// What state of correlations may take of memory; what is beyond lies in unnamed files of the data folder.
const MEMORY_BYTES: usize = 512 << 20;

/// Policies that are ready to judge.
#[derive(Clone)]
pub struct Compiled {
    /// As loaded.
    pub policies: Arc<Policies>,
    /// Over columns.
    pub rules: Arc<RuleSet>,
    /// One hash over all of them, for the ledger.
    pub version: String,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What judges from some group on: reference tables, and other policies where they changed.
#[derive(Clone, Debug)]
pub struct Site {
    /// The reference tables.
    pub tables: Tables,
    /// The policies; `None`: those that run.
    pub policies: Option<Compiled>,
}

/// Makes loaded policies ready.
pub fn compile(loaded: &Loaded) -> Compiled {
    let policies = Arc::new(loaded.policies.clone());
    let (rules, errors) = RuleSet::compile(&policies);
    for error in errors {
        tracing::error!(%error, "Policy not compiled.");
    }
    Compiled {
        policies,
        rules: Arc::new(rules),
        version: version(loaded),
    }
}

/// A detector that goes on from `state`; rows of others (duplicates, accounts) are left alone. State beyond what memory
/// it may take lies in `folder`, where one is given.
///
/// # Errors
/// The state is broken.
pub fn detector(
    compiled: Compiled,
    tables: Tables,
    state: Vec<(StateKey, StateValue)>,
    position: LedgerIndex,
    folder: Option<&Path>,
) -> anyhow::Result<Detector> {
    let own = state.into_iter().filter(|(key, _)| {
        !matches!(
            key.first(),
            Some(&accounts::KIND | &ingest::dedup::STATE_KIND | &joins::KIND)
        )
    });
    let spill = folder.map(|folder| (Box::new(Segments::new(folder)) as Box<dyn Spill>, MEMORY_BYTES));
    let Compiled { policies, rules, .. } = compiled;
    Ok(Detector::spilling(policies, rules, tables, own.collect(), position, spill)?.masked(ingest::mask::mask_secrets))
}

/// One hash over all the policies that run, for the ledger.
pub fn version(loaded: &Loaded) -> String {
    let mut all = Sha256::new();
    for policy in loaded.policies.all() {
        all.update(policy.reference.id.as_bytes());
        all.update(policy.reference.version.as_bytes());
    }
    hex::encode(all.finalize())
}
