//! Timelines: what a person did, what happened at a host, by an address or in a session, in order, with the sessions that
//! it belongs to put together across bastion, target and web system.
//!
//! A host sees the account that was used on it alone. What an account did there between 5 s before a bastion's session to that
//! host and account began and 60 s after it ended belongs to the session; where two sessions overlap so, both are named.

use std::collections::BTreeMap;

use model::Millis;
use search::{Agg, Found, Query, RawText as _, Request, Within};
use serde_json::{Value, json};

use crate::api::ApiError;
use crate::app::App;
use crate::asking::{self, LedgerText, refusal};

/// Sessions that are put together for one timeline, those with the most records first.
pub const SESSIONS_MAX: usize = 200;
/// How much earlier than its session's start a logon on the target may be told, ms.
const BEFORE_MS: i64 = 5_000;
/// How much later than its end events on the target may be, ms.
const AFTER_MS: i64 = 60_000;
/// How long after its start a logon on the target explains a session, ms.
const LOGON_MS: i64 = 60_000;
/// Acts that tell of gaps, of one timeline.
const ACTS_MAX: usize = 200;

const OPENING: &str = "((class:(4007 OR 4005) activity:1) OR (class:3002 activity:1))";
const CLOSING: &str = "((class:(4007 OR 4005) activity:2) OR (class:3002 activity:2))";

/// Whose timeline it is.
pub enum Subject {
    /// What their accounts did, and what was done in their sessions.
    Person(String),
    /// What happened there.
    Host(String),
    /// What came from an address or a network or went to it, and was done in sessions from there.
    Address(String),
    /// What happened in it, on the target too.
    Session(String),
}

/// A session, put together.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Its records, whatever the time range.
    pub records: u64,
    /// The first and the last of them.
    pub first: Option<Millis>,
    /// See `first`.
    pub last: Option<Millis>,
    /// When it was opened, where a record says so.
    pub opened: Option<Millis>,
    /// When it was closed, where a record says so.
    pub closed: Option<Millis>,
    /// Which sources told of it.
    pub sources: Vec<String>,
    /// Who acted in it.
    pub actors: Vec<String>,
    /// Where.
    pub hosts: Vec<String>,
    /// As which account of the target.
    pub accounts: Vec<String>,
    /// Commands that the bastion counted.
    pub counted: Option<u64>,
    /// Commands that are in the record.
    pub commands: u64,
}

/// A timeline's conditions, and what is known beside the records themselves.
pub struct Timeline {
    /// What finds its records.
    pub query: Query,
    /// Sessions, by their first record.
    pub sessions: Vec<Session>,
    /// How many sessions there are in all.
    pub sessions_total: u64,
    /// What is missing, or may be.
    pub gaps: Vec<Value>,
}

impl Subject {
    fn query(&self, app: &App) -> Result<Query, ApiError> {
        match self {
            Subject::Person(person) => asking::query(app, &format!("person:{}", quoted(person))),
            Subject::Session(id) => asking::query(app, &format!("session:{}", quoted(id))),
            Subject::Address(address) => asking::query(app, &format!("src:{address} OR dst:{address}")),
            Subject::Host(host) => Ok(at_host(app, host)?),
        }
    }
}

impl Timeline {
    /// Finds the sessions of the range, and what is missing. `also` narrows the records, not the sessions.
    ///
    /// # Errors
    /// The asker's, the ledger's, or the disk's.
    pub fn of(
        app: &App,
        subject: &Subject,
        range: &Request,
        also: Query,
        text: &LedgerText,
    ) -> Result<Timeline, ApiError> {
        let direct = subject.query(app)?;
        let ranged = |query: Query| Request { query, ..range.clone() };
        let by_session = vec![terms("session", SESSIONS_MAX, Vec::new())];
        let found = counted(app, &ranged(direct.clone()), &by_session, text)?;
        let (ids, sessions_total) = match found.first() {
            Some(Found::Terms { buckets, distinct, .. }) => {
                (buckets.iter().map(|b| b.key.clone()).collect(), *distinct)
            }
            _ => (Vec::new(), 0),
        };
        let sessions = sessions(app, ids, text)?;
        let mut all = vec![direct];
        // Of a host everything is there already.
        if !matches!(subject, Subject::Host(_)) {
            for session in &sessions {
                all.push(asking::query(app, &format!("session:{}", quoted(&session.id)))?);
                all.extend(session.on_target(app)?);
            }
        }
        Ok(Timeline {
            query: Query::any(all).and(also),
            gaps: gaps(app, range, &sessions, text)?,
            sessions,
            sessions_total,
        })
    }

    /// Which sessions an event belongs to: by its own id, or by host, account and time.
    pub fn sessions_of(&self, app: &App, event: &Value, at: Millis) -> Vec<usize> {
        let mut ids = Vec::new();
        for path in ["actor.session.uid", "session.uid", "metadata.correlation_uid"] {
            asking::at_path(event, path, &mut ids);
        }
        // What a bastion tells is of the session that it names.
        let mut of_bastion = Vec::new();
        asking::at_path(event, "unmapped.account", &mut of_bastion);
        let (mut hosts, mut accounts) = (Vec::new(), Vec::new());
        for path in [
            "device.hostname",
            "dst_endpoint.hostname",
            "device.name",
            "device.ip",
            "dst_endpoint.ip",
        ] {
            asking::at_path(event, path, &mut hosts);
        }
        for path in ["actor.user.name", "user.name"] {
            asking::at_path(event, path, &mut accounts);
        }
        let tables = app.tables();
        (0..self.sessions.len())
            .filter(|n| {
                let session = &self.sessions[*n];
                if ids.iter().any(|id| id.eq_ignore_ascii_case(&session.id)) {
                    return true;
                }
                if !of_bastion.is_empty() {
                    return false;
                }
                let Some((from, to)) = session.window() else {
                    return false;
                };
                let calls: Vec<String> = session.hosts.iter().flat_map(|h| tables.hosts().calls(h)).collect();
                at >= from
                    && at <= to
                    && accounts
                        .iter()
                        .any(|a| session.accounts.iter().any(|s| s.eq_ignore_ascii_case(a)))
                    && hosts.iter().any(|h| calls.iter().any(|c| c.eq_ignore_ascii_case(h)))
            })
            .collect()
    }
}

impl Session {
    /// When the target may tell of it. Only a bastion's session names an account of a target.
    fn window(&self) -> Option<(Millis, Millis)> {
        if self.accounts.is_empty() || self.hosts.is_empty() {
            return None;
        }
        let from = self.opened.or(self.first)?;
        let to = self.closed.or(self.last)?;
        // Of a session that never closed the logon at least.
        let last = if self.closed.is_some() {
            to + AFTER_MS
        } else {
            (to + AFTER_MS).max(from + LOGON_MS)
        };
        Some((from + -BEFORE_MS, last))
    }

    fn on_target(&self, app: &App) -> Result<Option<Query>, ApiError> {
        let Some((from, to)) = self.window() else {
            return Ok(None);
        };
        let hosts = self
            .hosts
            .iter()
            .map(|h| at_host(app, h))
            .collect::<Result<Vec<_>, _>>()?;
        let accounts: Vec<String> = self.accounts.iter().map(|a| quoted(a)).collect();
        let rest = format!(
            "user:({}) NOT exists:account time:[{} TO {}]",
            accounts.join(" OR "),
            from.0,
            to.0
        );
        Ok(Some(Query::any(hosts).and(asking::query(app, &rest)?)))
    }

    /// As it is shown.
    pub fn shown(&self, number: usize) -> Value {
        let time = |t: Option<Millis>| t.map(|t| t.to_string());
        let mut marks = Vec::new();
        if self.window().is_some() {
            if self.opened.is_none() {
                marks.push("no record of its opening".to_owned());
            }
            if self.closed.is_none() {
                marks.push("no record of its end".to_owned());
            }
        }
        if let Some(counted) = self.counted.filter(|n| *n > self.commands) {
            marks.push(format!(
                "the bastion counted {counted} commands, {} are in the record",
                self.commands
            ));
        }
        json!({
            "number": number, "session": self.id, "records": self.records, "first": time(self.first),
            "last": time(self.last), "opened": time(self.opened), "closed": time(self.closed), "sources": self.sources,
            "actors": self.actors, "hosts": self.hosts, "accounts": self.accounts, "commands": self.commands,
            "commands_counted": self.counted, "marks": marks,
        })
    }
}

fn at_host(app: &App, host: &str) -> Result<Query, ApiError> {
    let calls = app.tables().hosts().calls(host);
    let one = |call: &String| match call.contains('*') {
        // A name with any domain.
        true => format!("host:{}", escaped(call)),
        false => format!("host:{0} OR dst:{0}", quoted(call)),
    };
    asking::query(app, &calls.iter().map(one).collect::<Vec<_>>().join(" OR "))
}

/// A value within quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value whose `*` keeps its meaning.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if !c.is_alphanumeric() && !matches!(c, '*' | '.' | '-' | '_') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn terms(field: &str, size: usize, within: Vec<Agg>) -> Agg {
    Agg::Terms {
        field: field.to_owned(),
        size,
        within,
    }
}

fn counted(app: &App, request: &Request, aggs: &[Agg], text: &LedgerText) -> Result<Vec<Found>, ApiError> {
    Ok(app.searcher.aggregate(request, aggs, text).map_err(refusal)?.found)
}

/// The sessions of these ids, whatever the time range.
fn sessions(app: &App, ids: Vec<String>, text: &LedgerText) -> Result<Vec<Session>, ApiError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_id: BTreeMap<String, Session> = BTreeMap::new();
    for chunk in ids.chunks(100) {
        let of = chunk.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(" OR ");
        let of = asking::query(app, &format!("session:({of})"))?;
        let stats = |field: &str| Agg::Stats {
            field: field.to_owned(),
        };
        let some = |field: &str| terms(field, 5, Vec::new());
        let whole = [
            stats("time"),
            some("source"),
            some("actor"),
            some("host"),
            some("account"),
        ];
        let mut ask = |condition: &str, within: &[Agg], take: &mut dyn FnMut(&mut Session, &Within<String>)| {
            let request = Request::new(of.clone().and(asking::query(app, condition)?));
            let found = counted(app, &request, &[terms("session", usize::MAX, within.to_vec())], text)?;
            if let Some(Found::Terms { buckets, .. }) = found.first() {
                for bucket in buckets.iter().filter(|b| chunk.contains(&b.key)) {
                    let session = by_id.entry(bucket.key.clone()).or_insert_with(|| Session {
                        id: bucket.key.clone(),
                        ..Session::default()
                    });
                    take(session, bucket);
                }
            }
            Ok::<_, ApiError>(())
        };
        ask("", &whole, &mut |s, b| {
            s.records = b.count;
            (s.first, s.last) = (least(&b.found), greatest(&b.found));
            s.sources = keys(b.found.get(1));
            s.actors = keys(b.found.get(2));
            s.hosts = keys(b.found.get(3));
            s.accounts = keys(b.found.get(4));
        })?;
        ask(OPENING, &[stats("time")], &mut |s, b| s.opened = least(&b.found))?;
        ask(CLOSING, &[stats("time")], &mut |s, b| s.closed = greatest(&b.found))?;
        ask(
            &format!("{CLOSING} exists:account"),
            &[stats("unmapped.command_amount")],
            &mut |s, b| {
                if let Some(Found::Stats(stats)) = b.found.first() {
                    s.counted = stats.max.map(|n| n as u64);
                }
            },
        )?;
        ask("class:(1007 OR 6005)", &[], &mut |s, b| s.commands = b.count)?;
    }
    let mut sessions: Vec<Session> = by_id.into_values().collect();
    sessions.sort_by(|a, b| (a.first, &a.id).cmp(&(b.first, &b.id)));
    Ok(sessions)
}

fn least(found: &[Found]) -> Option<Millis> {
    stats(found).and_then(|s| s.min).map(|n| Millis(n as i64))
}

fn greatest(found: &[Found]) -> Option<Millis> {
    stats(found).and_then(|s| s.max).map(|n| Millis(n as i64))
}

fn stats(found: &[Found]) -> Option<&search::Stats> {
    match found.first() {
        Some(Found::Stats(stats)) => Some(stats),
        _ => None,
    }
}

fn keys(found: Option<&Found>) -> Vec<String> {
    match found {
        Some(Found::Terms { buckets, .. }) => buckets.iter().map(|b| b.key.clone()).collect(),
        _ => Vec::new(),
    }
}

/// What Docket itself tells to be missing in the range: offsets that Kafka no longer had, and times in which it did not run.
fn gaps(app: &App, range: &Request, sessions: &[Session], text: &LedgerText) -> Result<Vec<Value>, ApiError> {
    let told = "source:docket unmapped.act:(gap OR server.start OR server.stop)";
    let request = Request {
        query: asking::query(app, told)?,
        limit: ACTS_MAX,
        sort: search::Sort::Oldest,
        ..range.clone()
    };
    let acts = app.searcher.search(&request, text).map_err(refusal)?;
    let mut gaps = Vec::new();
    let mut stopped: Option<Millis> = None;
    for hit in &acts.hits {
        let one = |path: &str| {
            text.values(path, &hit.leaves, &hit.uid)
                .map(|v| v.into_iter().next().unwrap_or_default())
        };
        let act = one("unmapped.act").map_err(ApiError::internal)?;
        match act.as_str() {
            "gap" => {
                let detail = ["topic", "partition", "from", "to"]
                    .map(|f| one(&format!("unmapped.detail.{f}")).unwrap_or_default());
                gaps.push(
                    json!({"kind": "records_lost", "at": hit.time.to_string(), "record": hit.uid,
                    "topic": detail[0], "partition": detail[1], "from": detail[2], "to": detail[3]}),
                );
            }
            "server.stop" => stopped = Some(hit.time),
            // The first start of all follows nothing.
            _ if hit.index.0 == 0 => {}
            _ => {
                // Without a stop it was killed: since when is not told.
                gaps.push(
                    json!({"kind": "docket_down", "from": stopped.take().map(|t| t.to_string()),
                    "to": hit.time.to_string(), "record": hit.uid}),
                );
            }
        }
    }
    if acts.next.is_some() {
        gaps.push(
            json!({"kind": "more", "what": format!("only the first {ACTS_MAX} acts that tell of gaps are listed")}),
        );
    }
    for (n, session) in sessions.iter().enumerate() {
        let shown = session.shown(n + 1);
        for mark in shown["marks"].as_array().into_iter().flatten() {
            gaps.push(json!({"kind": "session", "session": session.id, "number": n + 1, "what": mark}));
        }
    }
    Ok(gaps)
}

/// What an event says of its own completeness.
pub fn marks(event: &Value) -> Vec<String> {
    let labels = event["metadata"]["labels"].as_array();
    let labels = labels.into_iter().flatten().filter_map(Value::as_str);
    let tells = |l: &&str| {
        ["truncated", "partial", "lost", "join:timeout", "quarantined"]
            .iter()
            .any(|word| l.contains(word))
    };
    labels.filter(tells).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_the_language() {
        assert_eq!(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert_eq!(escaped("web-1.*"), "web-1.*");
        assert_eq!(escaped("a:b (c)"), "a\\:b\\ \\(c\\)");
    }

    #[test]
    fn a_session_says_what_of_it_is_missing() {
        let session = Session {
            accounts: vec!["root".into()],
            hosts: vec!["web-1".into()],
            first: Some(Millis(0)),
            last: Some(Millis(10)),
            counted: Some(3),
            commands: 2,
            ..Session::default()
        };
        let marks = session.shown(1)["marks"].clone();
        assert_eq!(marks.as_array().map(Vec::len), Some(3), "{marks}");
        assert_eq!(session.window(), Some((Millis(-5_000), Millis(60_010))));
        assert_eq!(Session::default().window(), None);
    }
}
