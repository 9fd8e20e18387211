//! Reference tables, policies and certificates, read anew while the server runs.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, RwLock};

use anyhow::Context as _;
use detect::reference::Tables;
use serde_json::json;

use crate::app::lock;
use crate::config::PolicySource;
use crate::gateway::tls::Tls;
use crate::policies::{self, Site};
use crate::spine::Spine;
use crate::{policy_changes, reference};

/// Reads reference tables, policies and certificates anew while the server runs.
pub struct Reloader {
    pub(super) tls: Vec<Tls>,
    pub(super) dir: Option<PathBuf>,
    pub(super) configured: Vec<reference::Configured>,
    pub(super) lives: bool,
    pub(super) policies: Vec<PolicySource>,
    pub(super) data_dir: PathBuf,
    pub(super) spine: Spine,
    pub(super) sites: Sender<Site>,
    pub(super) tables: Arc<RwLock<Arc<Tables>>>,
    /// Of the policies that run.
    pub(super) version: Arc<Mutex<String>>,
    /// Held while the tables are being changed.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Reloader {
    /// Records what is loaded, and hands it to the line, which uses it from its next group on, tables and policies
    /// together. Policies of which one is broken are not taken: those that run stay, with the new tables.
    ///
    /// # Errors
    /// A table is wrong, or the act cannot be recorded: the old ones stay.
    pub async fn reload(&self) -> anyhow::Result<()> {
        let _turn = self.turn.lock().await;
        self.reload_in_turn().await
    }

    /// As [`Reloader::reload`], for whoever holds the turn.
    pub(crate) async fn reload_in_turn(&self) -> anyhow::Result<()> {
        let (dir, sources) = (self.dir.clone(), self.policies.clone());
        let (configured, lives) = (self.configured.clone(), self.lives);
        let read = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut tables = reference::load(dir.as_deref())?;
            reference::add_configured(&mut tables, &configured, lives)?;
            let loaded = policies::load(&sources, &tables);
            Ok((tables, loaded))
        });
        let (tables, loaded) = read.await??;
        let compiled = match loaded {
            Ok(loaded) if loaded.errors.iter().all(detect::PolicyError::is_lint) => {
                let compiled = policies::compile(&loaded);
                let running = lock(&self.version).clone();
                Some(compiled).filter(|c| c.version != running)
            }
            Ok(loaded) => {
                let broken = loaded.errors.iter().filter(|e| !e.is_lint()).count();
                tracing::error!(broken, "Policies not loaded; those that run stay.");
                let reason = format!("{broken} policies do not read; those that ran before stay");
                let detail = json!({"part": "policies", "reason": reason});
                self.spine.act("logging.fails", "docket", detail).await?;
                None
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "Policies not read; those that run stay.");
                None
            }
        };
        self.spine
            .act("reference.load", "docket", json!(reference::versions(&tables)))
            .await?;
        if let Some(compiled) = &compiled {
            let policies = compiled.policies.all().len();
            self.spine
                .act(
                    "policy.load",
                    "docket",
                    json!({"version": compiled.version, "policies": policies}),
                )
                .await?;
            policy_changes::record(&compiled.policies, &self.data_dir, &self.spine).await?;
            lock(&self.version).clone_from(&compiled.version);
        }
        *self.tables.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(tables.clone());
        let site = Site {
            tables,
            policies: compiled,
        };
        self.sites.send(site).context("the line has ended")
    }

    /// Reads the listeners' certificates and keys, records which, and uses them for connections from then on.
    ///
    /// # Errors
    /// A file is wrong, or the act cannot be recorded: all of the old ones stay.
    pub async fn renew_certificates(&self) -> anyhow::Result<()> {
        let tls = self.tls.clone();
        let read = move || tls.iter().map(Tls::read_again).collect::<anyhow::Result<Vec<_>>>();
        let fresh = tokio::task::spawn_blocking(read).await??;
        let loaded = fresh.iter().map(|f| json!({"file": f.cert, "sha256": f.sha256}));
        let loaded: Vec<_> = loaded.collect();
        if loaded.is_empty() {
            return Ok(());
        }
        self.spine.act("certificate.load", "docket", json!(loaded)).await?;
        for (tls, fresh) in self.tls.iter().zip(fresh) {
            tls.renew(fresh);
        }
        Ok(())
    }
}
