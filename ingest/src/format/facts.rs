//! Who, what, on what, from where: the facts of an event whose envelope is known and whose meaning is not. From them follow
//! the class and the fields, in the same way for every envelope.
//!
//! | facts | OCSF |
//! |---|---|
//! | words of a logon or logoff, and an account | Authentication 3002.1, .2 |
//! | a command | Process Activity 1007.1 |
//! | a URL and a method | HTTP Activity 4002 |
//! | a person and what was done | API Activity 6003 by the verb, `api.operation` what was done |
//! | where from and where to | Network Activity 4001.6, refused .5 |
//! | else | Base Event, `message` |

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use smallvec::SmallVec;

use serde_json::json;

use crate::address::is_address;
use crate::builder::{EventBuilder, address, is_ipv4};
use crate::class::{self, Class};
use crate::command_line;
use crate::format::{Input, draft, http};
use crate::mask::mask;
use crate::seek;

type Text<'a> = Cow<'a, str>;

/// The facts; empty where nothing was said.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    /// What was done, in the source's words.
    pub action: Text<'a>,
    /// What kind of thing that is, in the source's words.
    pub category: Text<'a>,
    /// Who did it.
    pub user: Text<'a>,
    pub user_uid: Text<'a>,
    /// On whom, or as whom.
    pub target_user: Text<'a>,
    /// Where the person sits: an address or a name.
    pub source: Text<'a>,
    pub source_host: Text<'a>,
    pub source_port: Option<u16>,
    /// Where it happened.
    pub target: Text<'a>,
    pub target_host: Text<'a>,
    pub target_port: Option<u16>,
    /// The machine that tells.
    pub device: Text<'a>,
    /// Went it well; `None`: it does not say.
    pub success: Option<bool>,
    /// Somebody's rule forbade it.
    pub blocked: bool,
    pub code: Text<'a>,
    pub reason: Text<'a>,
    pub message: Text<'a>,
    pub url: Text<'a>,
    pub method: Text<'a>,
    pub status: Option<i32>,
    pub user_agent: Text<'a>,
    /// Bytes that went out.
    pub sent: Option<i64>,
    pub file: Text<'a>,
    pub process: Text<'a>,
    pub pid: Option<i32>,
    pub command: Text<'a>,
    /// The service that was used.
    pub service: Text<'a>,
    pub session: Text<'a>,
}

/// In letters of either size, with `_` as good as a blank.
static LOGON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    words(&[
        "logon",
        "login",
        "log in",
        "log-in",
        "logged in",
        "signin",
        "sign in",
        "sign-in",
        "sign on",
        "authenticat",
        "登录",
        "登陆",
    ])
});
static LOGOFF: LazyLock<AhoCorasick> = LazyLock::new(|| {
    words(&[
        "logoff",
        "logout",
        "log out",
        "logged out",
        "signout",
        "sign out",
        "登出",
        "注销",
    ])
});

fn words(words: &[&str]) -> AhoCorasick {
    let both = words.iter().flat_map(|w| [(*w).to_owned(), w.replace(' ', "_")]);
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(both)
        .expect("a dozen words are no large automaton")
}

impl Facts<'_> {
    /// The class and activity that fit.
    pub(crate) fn class(&self) -> (&'static Class, u8) {
        let words: SmallVec<[u8; 256]> = [&*self.action, " ", &*self.category]
            .iter()
            .flat_map(|t| t.bytes())
            .collect();
        let any = |list: &AhoCorasick| list.is_match(&*words);
        let account = !self.user.is_empty() || !self.target_user.is_empty();
        if account && any(&LOGOFF) {
            (&class::AUTHENTICATION, 2)
        } else if account && any(&LOGON) {
            (&class::AUTHENTICATION, 1)
        } else if !self.command.is_empty() {
            (&class::PROCESS_ACTIVITY, 1)
        } else if !self.url.is_empty() && !self.method.is_empty() {
            (&class::HTTP_ACTIVITY, http::activity(&self.method))
        } else if !self.user.is_empty() && !self.action.is_empty() {
            (&class::API_ACTIVITY, verb(&self.action))
        } else if has_endpoint(&self.source, &self.source_host) && has_endpoint(&self.target, &self.target_host) {
            (&class::NETWORK_ACTIVITY, if self.blocked { 5 } else { 6 })
        } else {
            (&class::BASE_EVENT, 0)
        }
    }

    /// Fills an event of [`Facts::class`]. What the class has no place for goes to `unmapped`.
    pub(crate) fn fill(&self, b: &mut EventBuilder<'_>, input: &Input<'_>) {
        if !self.message.is_empty() {
            b.set("message", &*mask(&self.message));
        }
        if self.blocked {
            b.control(2, 2);
        }
        if let Some(success) = self.success {
            b.success(success);
        }
        b.set("status_code", &*self.code).set("status_detail", &*self.reason);
        let class = b.class_uid();
        let endpoints = class >= 3000;
        self.endpoint(
            b,
            "src_endpoint",
            &self.source,
            &self.source_host,
            self.source_port,
            endpoints,
        );
        let to = if matches!(class, 0 | 1007) { "" } else { "dst_endpoint" };
        if to.is_empty() {
            let at = if self.target_host.is_empty() {
                &self.device
            } else {
                &self.target_host
            };
            self.endpoint(b, "device", &self.target, at, None, true);
        } else {
            self.endpoint(b, to, &self.target, &self.target_host, self.target_port, true);
            if !self.device.is_empty() {
                self.endpoint(b, "device", "", &self.device, None, true);
            }
        }
        if b.has("device") {
            b.set("device.type_id", 0);
        }
        let who = match class {
            3002 => "user",
            0 => "unmapped",
            _ => "actor.user",
        };
        match class {
            3002 if !self.target_user.is_empty() && self.target_user != self.user => {
                b.set("user.name", &*self.target_user)
                    .set("actor.user.name", &*self.user);
            }
            0 => {
                b.unmapped("user", &*self.user).unmapped("user_uid", &*self.user_uid);
            }
            _ => {
                b.set_in(who, "name", &*self.user).set_in(who, "uid", &*self.user_uid);
            }
        }
        if class != 3002 {
            b.unmapped("account", &*self.target_user);
        }
        if class != 0 {
            b.set("actor.session.uid", &*self.session);
        }
        b.metadata("correlation_uid", &*self.session);
        self.request(b, class);
        match class {
            1007 => {
                b.commands(command_line::simple_commands(&self.command));
                b.set("process.cmd_line", &*self.command)
                    .set("process.name", &*self.process);
                b.set_some("process.pid", self.pid);
                b.set("process.user.name", &*self.target_user);
                if self.pid.is_none() {
                    b.set("process.uid", input.record.coordinate.to_string());
                }
            }
            3002 => {
                b.set("service.name", &*self.service);
            }
            6003 => {
                b.set("api.operation", &*self.action)
                    .set("api.service.name", &*self.service);
                if !self.file.is_empty() {
                    b.set("resources", json!([{"name": &*self.file, "type": "file"}]));
                }
            }
            _ => {}
        }
        if !matches!(class, 6003) {
            b.unmapped("action", &*self.action).unmapped("file", &*self.file);
        }
        draft::complete(b);
        if b.class_uid() == 6003 && b.activity() == 99 {
            b.set("activity_name", &*self.action);
        }
    }

    fn endpoint(
        &self,
        b: &mut EventBuilder<'_>,
        path: &'static str,
        at: &str,
        host: &str,
        port: Option<u16>,
        has_place: bool,
    ) {
        if !has_place {
            b.unmapped(path, at).unmapped(&format!("{path}.hostname"), host);
            return;
        }
        if is_ipv4(at) {
            b.set_in(path, "ip", at);
        } else if let (Some(ip), port) = address(at) {
            b.set_in(path, "ip", ip);
            if path != "device" {
                b.set_some_in(path, "port", port);
            }
        } else if !at.is_empty() && at != "-" {
            b.set_in(path, "hostname", at);
        }
        if is_address(host) {
            if !b.has_in(path, "ip") {
                b.ip_in(path, host);
            }
        } else if !host.is_empty() && host != "-" {
            b.set_in(path, "hostname", host);
        }
        if b.has(path) && path != "device" {
            b.set_some_in(path, "port", port);
        }
    }

    fn request(&self, b: &mut EventBuilder<'_>, class: u32) {
        let asked = !self.url.is_empty() || !self.user_agent.is_empty();
        if !matches!(class, 3002 | 4002 | 6003) {
            b.unmapped("url", mask(&self.url).into_owned())
                .unmapped("user_agent", &*self.user_agent);
            return;
        }
        if !asked {
            return;
        }
        if !self.url.is_empty() {
            let url = mask(&self.url);
            let path = match seek::split_once(&url, "://") {
                Some((scheme, rest)) => {
                    let at = rest.find(['/', '?']).unwrap_or(rest.len());
                    // Who is named before the host is no part of it.
                    let host = rest[..at].rsplit('@').next().unwrap_or_default();
                    b.set("http_request.url.scheme", scheme)
                        .set("http_request.url.hostname", http::split_port(host).0);
                    if at == rest.len() { "/" } else { &rest[at..] }
                }
                None => &*url,
            };
            let (path, query) = seek::cut(path, b'?').unwrap_or((path, ""));
            b.set("http_request.url.url_string", &*url)
                .set("http_request.url.path", path)
                .set("http_request.url.query_string", query);
        }
        http::set_method(b, &self.method);
        b.set("http_request.user_agent", &*self.user_agent);
        if class == 4002
            && let Some(sent) = self.sent
        {
            b.set("traffic.bytes_out", sent);
        }
        if class == 4002
            && let Some(code) = self.status
        {
            b.set("http_response.code", code);
        }
    }
}

fn has_endpoint(at: &str, host: &str) -> bool {
    [at, host].iter().any(|t| !t.is_empty() && *t != "-")
}

/// The activity of API Activity in the words of an action.
fn verb(action: &str) -> u8 {
    let lower = action.to_lowercase();
    let any = |words: &[&str]| {
        lower
            .split(|c: char| !c.is_alphanumeric())
            .any(|w| words.iter().any(|v| w.starts_with(v)))
    };
    if any(&["creat", "add", "insert", "upload", "import", "grant"]) {
        1
    } else if any(&["delet", "remov", "drop", "destroy", "revok"]) {
        4
    } else if any(&[
        "updat", "modif", "chang", "edit", "set", "renam", "enabl", "disabl", "reset",
    ]) {
        3
    } else if any(&[
        "read", "view", "get", "list", "query", "search", "export", "download", "access", "checkout",
    ]) {
        2
    } else {
        99
    }
}

/// What an event's name says of the result: `Login Failed`, `logon_success`.
pub(crate) fn told_by(name: &str) -> Option<bool> {
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    words.find_map(|word| match word {
        "success" | "successful" | "succeeded" => Some(true),
        "failure" | "failed" | "unsuccessful" => Some(false),
        _ => None,
    })
}

/// What a word says of the result.
pub(crate) fn outcome(word: &str) -> (Option<bool>, bool) {
    if word.is_empty() {
        return (None, false);
    }
    let lower = seek::trim(word).to_lowercase();
    let starts = |words: &[&str]| words.iter().any(|w| lower.starts_with(w));
    if starts(&[
        "block",
        "deny",
        "denied",
        "drop",
        "reject",
        "refus",
        "prevent",
        "quarantin",
        "forbid",
    ]) {
        (Some(false), true)
    } else if starts(&[
        "succe", "allow", "permit", "accept", "pass", "ok", "true", "grant", "成功",
    ]) {
        (Some(true), false)
    } else if starts(&["fail", "error", "unsucc", "false", "invalid", "失败"]) {
        (Some(false), false)
    } else {
        (None, false)
    }
}
