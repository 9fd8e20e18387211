//! What Django itself writes through the same handler: `Not Found: /x`, `"GET /x HTTP/1.1" 200 17`.

use crate::builder::EventBuilder;
use crate::class;
use crate::format::{Input, http};
use crate::seek;
use model::Event;

/// Django's words for a status, as it logs them.
const PHRASES: &[(&str, u16)] = &[
    ("Bad Request: ", 400),
    ("Unauthorized: ", 401),
    ("Forbidden: ", 403),
    ("Not Found: ", 404),
    ("Internal Server Error: ", 500),
];

/// The event of a line that is no audit record.
pub(super) fn event<'a>(input: &Input<'a>, body: &str) -> Event<'a> {
    let request = phrase(body).or_else(|| quoted(body));
    let class = if request.is_some() {
        &class::HTTP_ACTIVITY
    } else {
        &class::BASE_EVENT
    };
    let activity = request.as_ref().map_or(0, |r| http::activity(r.method));
    let mut b = EventBuilder::new(input, class, activity, "FIT2CLOUD", "JumpServer");
    b.logsource("jumpserver", "", "django").system("jumpserver");
    b.set("message", body);
    if let Some(request) = request {
        let (path, query) = seek::cut(request.target, b'?').unwrap_or((request.target, ""));
        http::set_method(&mut b, request.method);
        if activity == 99 {
            b.set("activity_name", request.method);
        }
        // A target without a path is no URL of ours, and is told as it stands.
        if path.is_empty() {
            b.set("http_request.url.url_string", request.target);
        }
        b.set("http_request.url.path", path)
            .set("http_request.url.query_string", query);
        b.set("http_response.code", request.code).success(request.code < 400);
    }
    b.time(input.record.received_at).label("time.missing");
    b.finish()
}

struct Request<'a> {
    method: &'a str,
    target: &'a str,
    code: u16,
}

fn phrase(body: &str) -> Option<Request<'_>> {
    let (phrase, code) = PHRASES.iter().find(|(p, _)| body.starts_with(p))?;
    let target = body[phrase.len()..].split_whitespace().next()?;
    Some(Request {
        method: "",
        target,
        code: *code,
    })
}

/// `"GET /x HTTP/1.1" 200 17`, perhaps with a time in brackets before it.
fn quoted(body: &str) -> Option<Request<'_>> {
    let (before, rest) = seek::cut(body, b'"')?;
    if !(before.is_empty() || before.ends_with(' ')) || before.len() > 64 {
        return None;
    }
    let (request, rest) = seek::split_once(rest, "\" ")?;
    let mut parts = request.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let code = rest
        .split_whitespace()
        .next()?
        .parse()
        .ok()
        .filter(|c| (100..600).contains(c))?;
    (!method.is_empty() && !target.is_empty()).then_some(Request { method, target, code })
}
