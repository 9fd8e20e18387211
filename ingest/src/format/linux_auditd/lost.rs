//! What the kernel and auditd say when records of the audit log are lost: `audit: backlog limit exceeded`, `audit_lost=17`. An Event
//! Log Activity 1008.99 that failed: what should have been recorded was not.

use model::Event;

use crate::class;
use crate::format::linux_auth::line::Line;
use crate::seek;

/// How the sentences begin, after the kernel's clock.
const SENTENCES: &[&str] = &[
    "audit: backlog limit exceeded",
    "audit: audit_lost=",
    "audit: audit_backlog=",
    "audit: rate limit exceeded",
    "audit: out of memory in audit_log_start",
    "audit: no memory in audit_log_start",
    "audit: kauditd hold queue overflow",
    "audit: kauditd retry queue overflow",
    "dispatch error reporting limit reached",
    "queue to plugins is full",
    "queue is full - dropping event",
];

/// The sentence within a line's message.
fn sentence(message: &str) -> Option<&str> {
    let message = seek::trim(message);
    // `[ 8123.411052] audit: …`
    let text = match message.strip_prefix('[').and_then(|m| seek::cut(m, b']')) {
        Some((clock, rest)) if clock.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'.')) => {
            seek::trim(rest)
        }
        _ => message,
    };
    SENTENCES.iter().any(|s| text.starts_with(s)).then_some(text)
}

/// Whether a whole line may be one: a quick no.
pub(super) fn may_be(text: &str) -> bool {
    SENTENCES.iter().any(|s| text.contains(s))
}

/// The event of such a line of the kernel, auditd or its dispatcher.
pub(crate) fn event<'a>(line: &Line<'_, 'a>) -> Option<Event<'a>> {
    matches!(line.program, "kernel" | "auditd" | "audispd" | "audisp-remote").then_some(())?;
    let text = sentence(line.message)?;
    let mut b = line.event(&class::EVENT_LOG_ACTIVITY, 99);
    b.word("activity_name", "Records Lost").success(false);
    b.word("log_name", "audit").word("log_provider", "auditd");
    b.set("status_detail", text);
    for (key, value) in text.split_ascii_whitespace().filter_map(|w| seek::cut(w, b'=')) {
        b.unmapped(key, value);
    }
    Some(b.finish())
}
