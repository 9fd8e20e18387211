//! TLS of the listeners, by rustls.
//!
//! Where `client_ca` is set a client must show a certificate of that authority (mTLS), and its name is the peer of the
//! records: the first DNS name of its subject alternative names, else its common name, else its SHA-256.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::server::TlsStream;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once; more connections wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 128;
/// Bytes of a client's name that are kept.
const NAME_BYTES_MAX: usize = 200;

/// `tls = {cert, key, client_ca}`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// PEM file with the server's certificate, and those between it and the root.
    pub cert: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// PEM file with the authorities whose clients may connect; absent: anybody may.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// What a TLS listener needs, read and checked; it can be read again. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<TlsAcceptor>>,
    from: Arc<Origin>,
}

/// Where it was read from.
struct Origin {
    file: TlsFile,
    base: PathBuf,
    alpn: Vec<Vec<u8>>,
}

/// Files that were read again and are as they should be.
pub struct Fresh {
    acceptor: TlsAcceptor,
    /// The certificate's path.
    pub cert: PathBuf,
    /// The SHA-256 of the server's own certificate, in hex.
    pub sha256: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl TlsFile {
    /// Reads the files; relative paths are taken from `base`. `alpn` names the protocols spoken inside.
    ///
    /// # Errors
    /// The operator's: says which file, and what it should hold.
    pub fn read(&self, base: &Path, alpn: &[&str]) -> anyhow::Result<Tls> {
        let from = Origin {
            file: self.clone(),
            base: base.to_owned(),
            alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect(),
        };
        Ok(Tls {
            current: Arc::new(RwLock::new(from.read()?.acceptor)),
            from: Arc::new(from),
        })
    }
}

impl Origin {
    fn read(&self) -> anyhow::Result<Fresh> {
        let (file, base) = (&self.file, &self.base);
        let cert = certificates(&base.join(&file.cert), "tls cert")?;
        let sha256 = cert
            .first()
            .map(|c| hex::encode(sha2::Sha256::digest(c)))
            .unwrap_or_default();
        let key_path = base.join(&file.key);
        let key = PrivateKeyDer::from_pem_file(&key_path).map_err(|e| {
            anyhow::anyhow!(
                "tls key {}: {e}; give a PEM file with one private key",
                key_path.display()
            )
        })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &file.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let path = base.join(path);
                let mut roots = RootCertStore::empty();
                for authority in certificates(&path, "tls client_ca")? {
                    roots
                        .add(authority)
                        .with_context(|| format!("tls client_ca {}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(cert, key).map_err(|e| {
            anyhow::anyhow!(
                "tls cert {} with key {}: {e}; give a certificate and its own key",
                file.cert.display(),
                file.key.display()
            )
        })?;
        if self.alpn.is_empty() {
            // Syslog shippers never read. What we would send them lies in their socket, hides our end of the
            // connection from those who look whether something has come (rsyslog), and makes the kernel answer their
            // close with a reset, which destroys what we have not read yet.
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Fresh {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            cert: base.join(&file.cert),
            sha256,
        })
    }
}

fn certificates(path: &Path, what: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong =
        |e: &dyn fmt::Display| anyhow::anyhow!("{what} {}: {e}; give a PEM file with certificates", path.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(&e))?;
    if certificates.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    Ok(certificates)
}

impl Tls {
    /// Reads the files again, as they were named; nothing changes yet.
    ///
    /// # Errors
    /// The operator's: says which file, and what it should hold.
    pub fn read_again(&self) -> anyhow::Result<Fresh> {
        self.from.read()
    }

    /// Uses what was read again, for connections from now on.
    pub fn renew(&self, fresh: Fresh) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh.acceptor;
    }

    /// Shakes hands, and tells the client's name where it showed a certificate.
    ///
    /// # Errors
    /// The client's: what it said is not TLS, or its certificate is not of our authority; or it took too long.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<(TlsStream<S>, Option<String>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream))
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let shown = stream.get_ref().1.peer_certificates();
        let name = shown.and_then(|c| c.first()).map(|c| name(c));
        Ok((stream, name))
    }
}

/// The name of a certificate that was verified.
fn name(der: &[u8]) -> String {
    let mut name = x509_cert::Certificate::from_der(der)
        .ok()
        .and_then(|c| dns_name(&c).or_else(|| common_name(&c)))
        .filter(|n| !n.is_empty())
        .unwrap_or_else(|| format!("sha256:{}", hex::encode(sha2::Sha256::digest(der))));
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}

fn dns_name(certificate: &x509_cert::Certificate) -> Option<String> {
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|n| match n {
        GeneralName::DnsName(name) => Some(name.to_string()),
        _ => None,
    })
}

fn common_name(certificate: &x509_cert::Certificate) -> Option<String> {
    /// `id-at-commonName`. Source: RFC 5280, appendix A.1.
    const COMMON_NAME: &str = "2.5.4.3";
    let parts = certificate.tbs_certificate.subject.0.iter().flat_map(|r| r.0.iter());
    let mut names = parts.filter(|p| p.oid.to_string() == COMMON_NAME);
    let value = &names.next()?.value;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            std::str::from_utf8(value.value()).ok().map(str::to_owned)
        }
        _ => None,
    }
}

/// A TCP listener that hands out connections whose handshake is done.
pub struct TlsListener {
    tcp: TcpListener,
    tls: Tls,
    shaking: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    /// Speaks TLS on what `tcp` accepts.
    pub fn new(tcp: TcpListener, tls: Tls) -> TlsListener {
        TlsListener {
            tcp,
            tls,
            shaking: JoinSet::new(),
        }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsStream<TcpStream>, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.shaking.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = self.tcp.accept(), if self.shaking.len() < HANDSHAKES_MAX => match accepted {
                    Ok((stream, address)) => {
                        let tls = self.tls.clone();
                        self.shaking.spawn(async move {
                            match tls.accept(stream).await {
                                Ok((stream, _)) => Some((stream, address)),
                                Err(error) => {
                                    refused(&error, address);
                                    None
                                }
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "Connection not accepted.");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Tells the operator of a handshake that failed.
pub fn refused(error: &std::io::Error, peer: SocketAddr) {
    metrics::counter!("docket_tls_refused_total").increment(1);
    tracing::warn!(%error, %peer, "TLS handshake failed.");
}
