//! The API's listeners: TCP where configured, and the socket `docket.sock` in the data folder.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{Peer, otlp_router, router};
use crate::app::App;
use crate::config::Config;
use crate::gateway::tls::{Tls, TlsListener};

mod bounded;

use bounded::{Bounded, Slots};

/// The socket in a data folder.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("docket.sock")
}

/// Binds and serves.
///
/// # Errors
/// An address or the socket cannot be had.
pub async fn start(config: &Config, app: &App, stop: watch::Receiver<bool>) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    let path = socket_path(&config.data_dir);
    // We hold the ledger's lock: whatever is there is left over.
    let _ = std::fs::remove_file(&path);
    let unix = UnixListener::bind(&path).with_context(|| format!("socket {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    tasks.push(serve(unix, router(app.clone()), stop.clone()));
    let slots = Slots::new(config.connections_max);
    if let Some(address) = config.listen {
        let listening = Listening {
            setting: "[http] listen",
            tls: config.http_tls.clone(),
            router: router(app.clone()),
            slots: slots.clone(),
        };
        tasks.push(listening.bind(address, stop.clone()).await?);
    }
    if let Some((address, tls)) = &config.gateway.grpc {
        let listening = Listening {
            setting: "[otlp] grpc",
            tls: tls.clone(),
            router: otlp_router(app.clone()),
            slots,
        };
        tasks.push(listening.bind(*address, stop).await?);
    }
    Ok(tasks)
}

/// A TCP port that speaks HTTP.
struct Listening {
    setting: &'static str,
    tls: Option<Tls>,
    router: Router,
    slots: Slots,
}

impl Listening {
    async fn bind(self, address: SocketAddr, stop: watch::Receiver<bool>) -> anyhow::Result<JoinHandle<()>> {
        let setting = self.setting;
        let tcp = TcpListener::bind(address)
            .await
            .with_context(|| format!("{setting} {address}"))?;
        tracing::info!(address = %tcp.local_addr()?, setting, tls = self.tls.is_some(), "Listening for HTTP.");
        Ok(match self.tls {
            None => serve(Bounded::new(tcp, self.slots), self.router, stop),
            Some(tls) => serve(Bounded::new(TlsListener::new(tcp, tls), self.slots), self.router, stop),
        })
    }
}

fn serve<L>(listener: L, router: Router, mut stop: watch::Receiver<bool>) -> JoinHandle<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let service = router.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move {
        let stopped = async move {
            let _ = stop.wait_for(|s| *s).await;
        };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "Listener ended.");
        }
    })
}

impl Connected<IncomingStream<'_, Bounded<TcpListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<TcpListener>>) -> Peer {
        Peer::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, Bounded<TlsListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<TlsListener>>) -> Peer {
        Peer::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Peer {
        // Without credentials nobody is root: the highest id is nobody's.
        Peer::Unix {
            uid: stream.io().peer_cred().map_or(u32::MAX, |c| c.uid()),
        }
    }
}
