//! systemd's journal export format (`journalctl -o export`), parted into entries.
//!
//! A field is `NAME=value` and LF; or, where its value holds bytes that are no text, `NAME`, LF, its length in 8 bytes
//! (little-endian), the value, LF. An empty line ends an entry. Lengths are followed, so that what a program wrote never
//! ends an entry or begins another.

use bytes::Bytes;

/// Media type of the format.
pub const MEDIA_TYPE: &str = "application/vnd.fdo.journal";
/// Bytes of a field's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a value; the journal itself writes at most 768 MiB. What claims more is no field.
pub const VALUE_BYTES_MAX: u64 = 768 << 20;

/// Whether the format begins so.
#[must_use]
pub fn is_begin(bytes: &[u8]) -> bool {
    bytes.starts_with(b"__CURSOR=") || bytes.starts_with(b"__REALTIME_TIMESTAMP=")
}

/// The name of a field whose value's length follows, with its LF; nothing where the line is anything else. At least
/// [`NAME_BYTES_MAX`] + 1 bytes are looked at where they are there.
#[must_use]
pub fn binary_name(bytes: &[u8]) -> Option<usize> {
    let name = bytes
        .iter()
        .take(NAME_BYTES_MAX)
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_')
        .count();
    (name > 0 && bytes.get(name) == Some(&b'\n')).then_some(name + 1)
}

/// The length of a value, from its 8 bytes; nothing where no value is so long.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(length).ok().filter(|_| length <= VALUE_BYTES_MAX)
}

/// The entries of a body, without the empty lines between them; the last one may lack its end. Blanks alone are none, as in
/// a file.
pub fn entries(body: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut at = 0;
    let all = std::iter::from_fn(move || {
        while body.get(at) == Some(&b'\n') {
            at += 1;
        }
        let start = at;
        while at < body.len() && body[at] != b'\n' {
            let rest = &body[at..];
            let value = binary_name(rest).and_then(|head| Some(head + 8 + length(&rest[head..])?));
            let field = match value {
                // The LF behind the value.
                Some(end) => end.saturating_add(1),
                None => memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1),
            };
            at += field.min(rest.len());
        }
        (at > start).then(|| body.slice(start..at))
    });
    all.filter(|entry| !entry.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_no_entry() {
        let body = Bytes::from_static(b"__CURSOR=a\nA=\n\n \n\n__CURSOR=b\n \n");
        let got: Vec<Bytes> = entries(&body).collect();
        assert_eq!(got, [&b"__CURSOR=a\nA=\n"[..], b"__CURSOR=b\n \n"]);
    }

    #[test]
    fn a_value_with_lines_in_it_ends_no_entry() {
        let forged = b"x\n\n__CURSOR=forged\n";
        let mut body = b"__CURSOR=a\nMESSAGE\n".to_vec();
        body.extend((forged.len() as u64).to_le_bytes());
        body.extend(forged);
        body.extend(b"\nPRIORITY=6\n\n\n__CURSOR=b\nMESSAGE=y\n");
        let body = Bytes::from(body);
        let got: Vec<Bytes> = entries(&body).collect();
        assert_eq!(got.len(), 2);
        assert!(got[0].ends_with(b"PRIORITY=6\n"), "{:?}", got[0]);
        assert_eq!(&got[1][..], b"__CURSOR=b\nMESSAGE=y\n");
    }

    #[test]
    fn what_claims_too_much_is_a_line() {
        for body in ["HELLO\nWORLDWORLD\n\nB=1\n", "hello\n\nB=1\n", "A\n\x01\0\0"] {
            let body = Bytes::from_static(body.as_bytes());
            let got: Vec<Bytes> = entries(&body).collect();
            let ends = body.windows(2).filter(|w| w == b"\n\n").count();
            assert_eq!(got.len(), ends + 1, "{body:?}: {got:?}");
        }
    }
}
