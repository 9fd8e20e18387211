//! Lines that were cut before they came to us, as far as the bytes tell.
//!
//! What a format knows of its own source's bounds it labels itself (`cmd.truncated`, `user.maybe_truncated`,
//! `statement_truncated`, …); here is what any line may have been through on its way. All labels hold `truncated`, so
//! that `label:*truncated*` finds them.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use memchr::memmem;

/// A line is just as long as senders and relays let syslog messages be: it may have been cut there.
pub const LINE: &str = "line.maybe_truncated";
/// A text in it says of itself that it was cut.
pub const TEXT: &str = "text.truncated";

/// Lengths at which syslog messages are cut. 1024: RFC 3164, section 4.1. 2048: RFC 5424, section 6.1, and older syslogd.
/// 8192: `$MaxMessageSize` of rsyslog and of its imuxsock, syslog-ng's `log-msg-size()` up to version 3. 16384: Docker's
/// log drivers. 49152: journald's `LineMax`. 65507: what a UDP datagram holds over IPv4. 65536: syslog-ng's default now.
const LENGTHS: &[usize] = &[1024, 2048, 8192, 16_384, 49_152, 65_507, 65_536];

/// What programs write where they cut: CloudTrail and Okta, Kubernetes' and Go's loggers, pgaudit, Windows' renderers.
const MARKS: &[&[u8]] = &[
    b"[truncated",
    b"[TRUNCATED",
    b"<truncated",
    b"(truncated)",
    b"...truncated",
    b"\"omitted\":true,\"originalSize\"",
];

/// Parts of all marks, looked for in one pass.
static HINTS: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new(["runcated", "RUNCATED", "\"originalSize\""]));

/// The labels of a record's bytes.
pub(crate) fn labels(payload: &[u8]) -> impl Iterator<Item = &'static str> {
    let line = payload.first() == Some(&b'<') && LENGTHS.iter().any(|n| reaches(payload, *n));
    // Most records have no such word at all. Where there is no such search, all marks are looked for.
    let text = HINTS.as_ref().is_none_or(|hints| hints.find(payload).is_some())
        && MARKS.iter().any(|mark| memmem::find(payload, mark).is_some());
    [line.then_some(LINE), text.then_some(TEXT)].into_iter().flatten()
}

/// As long as that, less the one byte that ended the line or the string. A character that did not fit whole was left
/// out by some.
fn reaches(payload: &[u8], length: usize) -> bool {
    let n = payload.len();
    n == length || n + 1 == length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_on_the_way_is_told() {
        let line = |n: usize| format!("<86>{}", "x".repeat(n - 4)).into_bytes();
        let cases: &[(Vec<u8>, &[&str])] = &[
            (line(1022), &[]),
            (line(1023), &[LINE]),
            (line(1024), &[LINE]),
            (line(1025), &[]),
            (line(2048), &[LINE]),
            (line(8191), &[LINE]),
            (line(65_507), &[LINE]),
            // Of other texts no relay takes that length.
            (vec![b'x'; 1024], &[]),
            (b"".to_vec(), &[]),
            (br#"{"userAgent": "aws-cli/2.15 [truncated]"}"#.to_vec(), &[TEXT]),
            (
                br#"{"requestParameters":{"omitted":true,"originalSize":107518,"reason":"too large"}}"#.to_vec(),
                &[TEXT],
            ),
            (
                br#"{"cmd": "TRUNCATE t; select 'truncated'", "originalSize": 5}"#.to_vec(),
                &[],
            ),
        ];
        for (payload, expected) in cases {
            let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]);
            assert_eq!(
                labels(payload).collect::<Vec<_>>(),
                *expected,
                "{} bytes: {shown}",
                payload.len()
            );
        }
    }
}
