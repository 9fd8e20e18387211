//! A POST of JSON to a URL.
//!
//! Body: `{"alert", "kind", "idempotency_key", "severity", "clauses", "summary", "link", "raised_at", "finding"}`, the
//! finding as OCSF. Headers: `Idempotency-Key` (the receiver drops what it has seen: after a crash between the POST and
//! its record here, the same POST comes again), and with a secret `X-Docket-Signature: sha256=<hex>`, the HMAC-SHA256
//! of the body. 2xx is delivered; 408, 429, 5xx, and no answer are tried again; all else, redirects too, is refused.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, Mac};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Proxy, Response, StatusCode, Url, redirect};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Channel, Notice, Outcome, Sending};

/// Bytes of an answer that are read; only the start of it is ever shown.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Characters of an answer that go into the error.
const ANSWER_CHARS_SHOWN: usize = 200;

/// How to reach the receiver.
#[derive(Clone)]
pub struct Settings {
    /// The channel's name.
    pub name: String,
    /// `http` or `https`.
    pub url: String,
    /// Signs the body, where given.
    pub secret: Option<String>,
    /// How long an attempt may take, answer included.
    pub timeout: Duration,
    /// Docket's own address as a reader's browser reaches it; an alert's page is `<it>/alerts/<id>`.
    pub link_base: Option<String>,
    /// A proxy's URL. The environment's proxies are not used: alerts go where the configuration says.
    pub proxy: Option<String>,
}

impl Settings {
    /// A receiver at a URL, with nothing else set and 10 s for an attempt.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Settings {
        let timeout = Duration::from_secs(10);
        Settings {
            name: name.into(),
            url: url.into(),
            secret: None,
            timeout,
            link_base: None,
            proxy: None,
        }
    }
}

impl fmt::Debug for Settings {
    /// Neither the secret nor the URL's path and query, which are secrets too where chat systems give them out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Url::parse(&self.url).ok().and_then(|u| u.host_str().map(str::to_owned));
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("host", &host)
            .finish_non_exhaustive()
    }
}

/// The settings cannot work: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not a URL that can be posted to.
    #[error("webhook `{name}`: its url is not an http or https URL")]
    Url {
        /// The channel.
        name: String,
    },
    /// The client, TLS or the proxy cannot be set up.
    #[error("webhook `{name}`: {source}")]
    Client {
        /// The channel.
        name: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// The channel.
#[derive(Clone, Debug)]
pub struct Webhook {
    settings: Settings,
    url: Url,
    client: Client,
}

impl Webhook {
    /// A channel from its settings.
    ///
    /// # Errors
    /// The operator's: the URL or the proxy cannot be used.
    pub fn new(settings: Settings) -> Result<Webhook, SettingsError> {
        let name = || settings.name.clone();
        let url = Url::parse(&settings.url)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        let url = url.ok_or_else(|| SettingsError::Url { name: name() })?;
        let client = |source| SettingsError::Client { name: name(), source };
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(5)))
            .user_agent(concat!("docket/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(Proxy::all(proxy).map_err(client)?);
        }
        let client = builder.build().map_err(client)?;
        Ok(Webhook { settings, url, client })
    }

    /// What is posted for a notice.
    #[must_use]
    pub fn body(&self, notice: &Notice) -> Vec<u8> {
        let finding = &notice.finding;
        let base = self.settings.link_base.as_deref().map(|b| b.trim_end_matches('/'));
        let mut body: Value = json!({
            "alert": finding.uid,
            "kind": notice.kind,
            "idempotency_key": notice.key,
            "severity": finding.severity.name(),
            "clauses": finding.clauses,
            "summary": notice.summary(),
            "link": base.map(|b| format!("{b}/alerts/{}", finding.uid)),
            "raised_at": notice.created_at.to_string(),
            "finding": finding.to_ocsf(),
        });
        if let Some(incident) = finding.to_incident() {
            body["incident"] = incident;
        }
        body.to_string().into_bytes()
    }

    async fn post(&self, notice: &Notice) -> Outcome {
        let body = self.body(notice);
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &notice.key);
        if let Some(secret) = &self.settings.secret {
            request = request.header("X-Docket-Signature", signature(secret.as_bytes(), &body));
        }
        match request.body(body).send().await {
            // The URL is left out: it may hold a token.
            Err(error) => Outcome::Retry {
                error: whole(&error.without_url()),
                after_ms: None,
            },
            Ok(response) => judge(response).await,
        }
    }
}

impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn send<'a>(&'a self, notice: &'a Notice) -> Sending<'a> {
        Box::pin(self.post(notice))
    }
}

/// The value of `X-Docket-Signature`.
#[must_use]
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

async fn judge(mut response: Response) -> Outcome {
    let status = response.status();
    let after_ms = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.trim().parse::<u32>().ok());
    let after_ms = after_ms.map(|s| i64::from(s) * 1_000);
    if status.is_success() {
        return Outcome::Delivered;
    }
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - answer.len())]),
            // What was read so far is enough to say what is wrong.
            Ok(None) | Err(_) => break,
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let answer: String = answer
        .chars()
        .filter(|c| !c.is_control())
        .take(ANSWER_CHARS_SHOWN)
        .collect();
    let error = format!("{status}: {answer}");
    let again =
        status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if again {
        Outcome::Retry { error, after_ms }
    } else {
        Outcome::Refused { error }
    }
}

/// An error with its causes; `reqwest` alone says only "error sending request".
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
