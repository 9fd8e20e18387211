//! Talks to a server: by the socket in its data folder, by URL, or, when none runs, by opening the
//! folder for the length of the command, so that the act is recorded either way.

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Target;
use crate::exit::{NOT_AUTHORISED, UNREACHABLE, USAGE, failure};
use crate::listen::socket_path;
use crate::reading::Reading;

/// A connection to a server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    own: Option<Reading>,
}

impl Client {
    /// Finds the server.
    ///
    /// # Errors
    /// There is none, and no data folder either (exit 4).
    pub async fn connect(target: &Target) -> anyhow::Result<Client> {
        if let Some(url) = &target.url {
            let http = reqwest::Client::builder().no_proxy().build()?;
            return Ok(Client {
                http,
                base: url.trim_end_matches('/').to_owned(),
                token: target.token.clone(),
                own: None,
            });
        }
        let socket = socket_path(&target.data);
        let running = tokio::net::UnixStream::connect(&socket).await.is_ok();
        let own = if running {
            None
        } else {
            Some(Reading::open(&target.data).await?)
        };
        let http = reqwest::Client::builder().no_proxy().unix_socket(socket).build()?;
        Ok(Client {
            http,
            base: "http://docket".to_owned(),
            token: target.token.clone(),
            own,
        })
    }

    /// `GET` with query parameters.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.call(Method::GET, path, query, None).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// One request.
    ///
    /// # Errors
    /// Unreachable (4), not authorised (5), or refused as wrong (2).
    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request
            .send()
            .await
            .map_err(|e| failure(UNREACHABLE, format!("the server does not answer: {e}")))?;
        let status = answer.status();
        let body: Value = answer.json().await.context("the server's answer is not JSON")?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body["error"].as_str().unwrap_or("no reason given").to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failure(NOT_AUTHORISED, message),
            s if s.is_client_error() => failure(USAGE, message),
            _ => failure(UNREACHABLE, message),
        })
    }

    /// Ends a server that was started for this command.
    ///
    /// # Errors
    /// It could not store what it held.
    pub async fn close(self) -> anyhow::Result<()> {
        let Some(own) = self.own else { return Ok(()) };
        drop(self.http);
        own.close().await
    }
}
