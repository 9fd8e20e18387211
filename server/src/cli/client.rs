//! Talks to a server: by the socket in its data folder, by URL, or, when none runs, by opening the
//! folder for the length of the command, so that the act is recorded either way.

use anyhow::Context as _;
use rand::RngCore as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Target;
use super::output::{inert, width};
use super::patience::{self, Telling};
use crate::exit::{NOT_AUTHORISED, UNREACHABLE, USAGE, failure};
use crate::listen::socket_path;
use crate::reading::Reading;

/// A connection to a server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    own: Option<Reading>,
    telling: Telling,
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
                telling: Telling::new(target.progress),
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
            telling: Telling::new(target.progress),
        })
    }

    /// `GET` with query parameters.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.call(Method::GET, path, query, None).await
    }

    /// A question, which may take long: says how far it is, and stops it where the answer is not waited for.
    ///
    /// # Errors
    /// See [`Client::call`]; interrupted (130).
    pub async fn ask(&self, path: &str, query: &[(&str, String)], body: Option<Value>) -> anyhow::Result<Value> {
        let id = name_of_question();
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let answer = self.call_as(method, path, query, body, Some(&id));
        patience::wait(self, &id, self.telling, String::new, answer).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// `PUT` of JSON.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    /// `PUT` of bytes as they are, with query parameters.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn put_bytes(&self, path: &str, query: &[(&str, String)], body: Vec<u8>) -> anyhow::Result<Value> {
        let mut request = self.http.put(format!("{}{path}", self.base)).query(query).body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await;
        let answer = answer.map_err(|e| failure(UNREACHABLE, format!("the server does not answer: {e}")))?;
        if answer.status().is_success() {
            return answer.json().await.context("the server's answer is not JSON");
        }
        refused(answer, None).await
    }

    /// `DELETE`
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// How whoever waits is told how far it is.
    pub fn telling(&self) -> Telling {
        self.telling
    }

    /// Whether this talks to a server that runs, and not to files.
    pub fn is_running_server(&self) -> bool {
        self.own.is_none()
    }

    /// A stream of server-sent events.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn events(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Events> {
        let asked = query.iter().find(|(name, _)| *name == "q").map(|(_, q)| q.clone());
        let answer = self.send(Method::GET, path, query, None, None).await?;
        if answer.status().is_success() {
            return Ok(Events {
                answer,
                read: Vec::new(),
            });
        }
        refused(answer, asked).await
    }

    /// A body of any size, as it comes, in answer to a question with a name.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn stream(&self, path: &str, question: &str) -> anyhow::Result<reqwest::Response> {
        let answer = self.send(Method::GET, path, &[], None, Some(question)).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        refused(answer, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
        question: Option<&str>,
    ) -> anyhow::Result<reqwest::Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(question) = question {
            request = request.header(crate::questions::HEADER, question);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await;
        answer.map_err(|e| failure(UNREACHABLE, format!("the server does not answer: {e}")))
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
        self.call_as(method, path, query, body, None).await
    }

    /// As [`Client::call`], of a question with a name.
    async fn call_as(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
        question: Option<&str>,
    ) -> anyhow::Result<Value> {
        let in_body = body.as_ref().and_then(|b| b["q"].as_str());
        let asked = query.iter().find(|(name, _)| *name == "q").map(|(_, q)| q.clone());
        let asked = asked.or_else(|| in_body.map(str::to_owned));
        let answer = self.send(method, path, query, body, question).await?;
        if answer.status().is_success() {
            return answer.json().await.context("the server's answer is not JSON");
        }
        refused(answer, asked).await
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

/// A name for a question that may take long.
pub fn name_of_question() -> String {
    let mut random = [0u8; 12];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

/// What the server says is wrong.
async fn refused<T>(answer: reqwest::Response, asked: Option<String>) -> anyhow::Result<T> {
    let status = answer.status();
    let body: Value = answer.json().await.context("the server's answer is not JSON")?;
    let mut message = body["error"].as_str().unwrap_or("no reason given").to_owned();
    if let (Some(at), Some(q)) = (body["at"].as_u64(), asked) {
        message.push_str(&pointed(&q, usize::try_from(at).unwrap_or(0)));
    }
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failure(NOT_AUTHORISED, message),
        s if s.is_client_error() => failure(USAGE, message),
        _ => failure(UNREACHABLE, message),
    })
}

/// Server-sent events, as they come.
pub struct Events {
    answer: reqwest::Response,
    read: Vec<u8>,
}

/// Bytes of one event.
const EVENT_BYTES_MAX: usize = 256 << 20;

impl Events {
    /// The next event and its data; `None` at the end of the stream.
    ///
    /// # Errors
    /// The connection broke, or what came is no event.
    pub async fn next(&mut self) -> anyhow::Result<Option<(String, Value)>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|w| w == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let block = String::from_utf8_lossy(&block);
                let field = |name: &str| {
                    let lines = block
                        .lines()
                        .filter_map(|l| l.strip_prefix(name))
                        .map(|v| v.strip_prefix(' ').unwrap_or(v));
                    lines.collect::<Vec<_>>().join("\n")
                };
                let data = field("data:");
                if data.is_empty() {
                    continue;
                }
                let value = serde_json::from_str(&data).context("the server's event is not JSON")?;
                return Ok(Some((field("event:"), value)));
            }
            anyhow::ensure!(
                self.read.len() < EVENT_BYTES_MAX,
                "an event of more than {EVENT_BYTES_MAX} bytes"
            );
            match self.answer.chunk().await.context("the connection broke")? {
                Some(bytes) => self.read.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// The query, with a mark below the byte where it is wrong.
fn pointed(query: &str, at: usize) -> String {
    let before = query.get(..at).unwrap_or(query);
    format!("\n  {}\n  {}^", inert(query), " ".repeat(width(&inert(before))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_place_is_pointed_at() {
        assert_eq!(pointed("user:a AND usr:b", 11), "\n  user:a AND usr:b\n             ^");
        assert_eq!(pointed("审计 usr:x", 7), "\n  审计 usr:x\n       ^");
        assert_eq!(pointed("a", 99), "\n  a\n   ^");
    }
}
