//! What varies in life, varied in lines that are repeated: times of day, ids, counters, addresses, and the people of a pool.

/// A small generator of numbers: the same in each run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as usize % n.max(1)
    }
}

/// People and addresses.
const PEOPLE: usize = 2_000;
const ADDRESSES: usize = 5_000;

/// Names of JSON's members whose text is a person.
const PERSONS: &[&[u8]] = &[
    b"user",
    b"username",
    b"userName",
    b"user_name",
    b"actor",
    b"login",
    b"displayName",
    b"alternateId",
    b"author_name",
];

/// The line with other times of day, ids (hexadecimal ones of eight digits or more, and numbers of four or more), addresses and
/// persons. Its dates, words and small numbers stay.
pub(super) fn vary(line: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len() + 16);
    let mut at = 0;
    while at < line.len() {
        let before = at.checked_sub(1).map(|n| line[n]);
        let starts = before.is_none_or(|b| !b.is_ascii_alphanumeric());
        if (starts || before == Some(b'T')) && is_time(&line[at..]) {
            let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
            out.extend(format!("{hour:02}:{minute:02}:{second:02}").bytes());
            at += 8;
            continue;
        }
        if starts
            && line[at].is_ascii_digit()
            && let Some(length) = address(&line[at..])
        {
            let address = random.below(ADDRESSES);
            let first = line[at..].split(|b| *b == b'.').next().unwrap_or_default();
            out.extend_from_slice(first);
            out.extend(
                format!(
                    ".{}.{}.{}",
                    16 + address / 2500,
                    1 + address / 250 % 10,
                    1 + address % 250
                )
                .bytes(),
            );
            at += length;
            continue;
        }
        if starts && line[at].is_ascii_hexdigit() {
            let is_id = |b: &u8| b.is_ascii_hexdigit() || *b == b'-';
            let length = line[at..].iter().take_while(|b| is_id(b)).count();
            let run = &line[at..at + length];
            let ends = line.get(at + length).is_none_or(|b| !b.is_ascii_alphanumeric());
            let digits = run.iter().take_while(|b| b.is_ascii_digit()).count();
            let is_date = run.get(4) == Some(&b'-') && run.get(7) == Some(&b'-') && digits == 4;
            if ends && length >= 8 && digits < length && !is_date && run.iter().any(u8::is_ascii_digit) {
                out.extend(run.iter().map(|b| match b {
                    b'0'..=b'9' => b'0' + random.below(10) as u8,
                    b'a'..=b'f' => b'a' + random.below(6) as u8,
                    b'A'..=b'F' => b'A' + random.below(6) as u8,
                    other => *other,
                }));
                at += length;
                continue;
            }
            if digits >= 4 && !is_date && line.get(at + digits).is_none_or(|b| !b.is_ascii_alphanumeric()) {
                // Of an epoch only the last hours.
                let same = if digits >= 10 { digits - (digits - 10) - 5 } else { 1 };
                out.extend_from_slice(&line[at..at + same]);
                out.extend((same..digits).map(|_| b'0' + random.below(10) as u8));
                at += digits;
                continue;
            }
            if is_date {
                out.extend_from_slice(&run[..length.min(10)]);
                at += length.min(10);
                continue;
            }
        }
        if line[at] == b'"'
            && let Some(length) = person(&line[at..])
        {
            out.extend_from_slice(&line[at..at + length]);
            out.extend(format!("{}", random.below(PEOPLE)).bytes());
            at += length;
            continue;
        }
        out.push(line[at]);
        at += 1;
    }
    out
}

/// How long an IPv4 address is.
fn address(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let is_octet = |p: &[u8]| !p.is_empty() && p.len() <= 3;
    let parts: Vec<_> = rest[..length].split(|b| *b == b'.').collect();
    (parts.len() == 4 && parts.into_iter().all(is_octet)).then_some(length)
}

/// `14:06:33`
fn is_time(rest: &[u8]) -> bool {
    rest.len() >= 8
        && rest[..8].iter().enumerate().all(|(n, b)| match n {
            2 | 5 => *b == b':',
            _ => b.is_ascii_digit(),
        })
}

/// How long `"user":"alice` is, where this begins so and the name is a plain one.
fn person(rest: &[u8]) -> Option<usize> {
    let name = PERSONS
        .iter()
        .find(|name| rest[1..].starts_with(name) && rest.get(name.len() + 1) == Some(&b'"'))?;
    let mut at = name.len() + 2;
    let skip = |at: &mut usize, byte: u8| {
        while rest.get(*at) == Some(&b' ') {
            *at += 1;
        }
        let there = rest.get(*at) == Some(&byte);
        *at += usize::from(there);
        there
    };
    if !skip(&mut at, b':') || !skip(&mut at, b'"') {
        return None;
    }
    let plain = |b: &u8| b.is_ascii_lowercase();
    let length = rest[at..].iter().take_while(|b| plain(b)).count();
    let ends = matches!(rest.get(at + length), Some(b'"' | b'@'));
    (length >= 3 && ends).then_some(at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_in_life_varies_and_the_rest_stays() {
        let line = br#"{"user":"alice","ip":"10.1.2.3","id":"9f8e7d6c-aa11","at":"2026-03-02T14:06:33Z","n":51022,"code":200,"verb":"create"}"#;
        let mut random = Random::new(1);
        let varied = vary(line, &mut random);
        assert_ne!(varied, vary(line, &mut random), "another one each time");
        assert_eq!(varied, vary(line, &mut Random::new(1)), "and the same in each run");
        let (was, is): (serde_json::Value, serde_json::Value) = (
            serde_json::from_slice(line).unwrap(),
            serde_json::from_slice(&varied).unwrap(),
        );
        for name in ["user", "ip", "id", "at", "n"] {
            assert_ne!(is[name], was[name], "{name}");
        }
        for name in ["code", "verb"] {
            assert_eq!(is[name], was[name], "{name}");
        }
        assert!(is["at"].as_str().unwrap().starts_with("2026-03-02T"));
        assert!(is["ip"].as_str().unwrap().parse::<std::net::Ipv4Addr>().is_ok());
    }
}
