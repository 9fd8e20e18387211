//! Which policies, tables and settings a command judges with: as the server's configuration has them, or as given.

use std::path::PathBuf;

use detect::policy::Loaded;
use detect::reference::Tables;
use ingest::Settings;

use crate::config::{Config, PolicySource, settings_of};
use crate::{policies, reference};

/// What is judged with.
#[derive(clap::Args, Debug)]
pub struct SiteArgs {
    /// The server's configuration: its sources, reference tables, policies and data folder, where the other options
    /// do not say otherwise
    #[arg(long, value_name = "FILE", env = "DOCKET_CONFIG")]
    config: Option<PathBuf>,
    /// Policy file or folder; several are allowed (default: the configuration's, else those in the binary)
    #[arg(long, value_name = "FILE|DIR")]
    policies: Vec<PathBuf>,
    /// Folder of reference tables, one JSON or CSV file a table
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
}

/// The same, read.
pub struct Site {
    /// Where the policies are.
    pub sources: Vec<PolicySource>,
    /// The reference tables.
    pub tables: Tables,
    /// What is known of the sources of records.
    pub settings: Settings,
    /// The configuration's data folder.
    pub data: Option<PathBuf>,
}

impl SiteArgs {
    /// Whether nobody says where the policies are.
    pub fn is_default(&self) -> bool {
        self.config.is_none() && self.policies.is_empty()
    }

    /// Reads it.
    ///
    /// # Errors
    /// The configuration or a table is wrong (3).
    pub fn read(&self) -> anyhow::Result<Site> {
        let config = self.config.as_deref().map(Config::read).transpose()?;
        let own = config.as_ref().and_then(|c| c.reference.clone());
        let mut tables = reference::load(self.reference.as_deref().or(own.as_deref()))?;
        let mut sources: Vec<_> = self.policies.iter().cloned().map(PolicySource::Path).collect();
        if sources.is_empty() {
            sources = config
                .as_ref()
                .map_or_else(|| vec![PolicySource::BuiltIn], |c| c.policies.clone());
        }
        if let Some(config) = &config {
            reference::add_configured(&mut tables, &config.named_sources(), true)?;
        }
        let settings = match &config {
            Some(config) => config.ingest_settings(&tables)?,
            None => settings_of(&tables),
        };
        Ok(Site {
            sources,
            tables,
            settings,
            data: config.map(|c| c.data_dir),
        })
    }
}

impl Site {
    /// The policies; what is wrong with them is told on standard error.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        load(&self.sources, &self.tables)
    }
}

/// Policies of these places; what is wrong with them is told on standard error.
///
/// # Errors
/// A file cannot be read.
pub fn load(sources: &[PolicySource], tables: &Tables) -> anyhow::Result<Loaded> {
    for source in sources {
        if let PolicySource::Path(path) = source
            && !path.exists()
        {
            let message = format!("{} does not exist; give a policy file or folder", path.display());
            return Err(crate::exit::failure(crate::exit::USAGE, message));
        }
    }
    let loaded = policies::load(sources, tables)?;
    for error in loaded.errors.iter().filter(|e| !e.is_lint()) {
        eprintln!("{error}");
    }
    Ok(loaded)
}
