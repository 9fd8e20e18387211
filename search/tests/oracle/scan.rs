//! The plain scan: no index, no tokens, no columns.

use serde_json::Value;

use super::support::Placed;

pub fn values(p: &Placed, paths: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for path in paths {
        let mut parts = path.split('.');
        let mut value = parts.next().and_then(|p0| p.event.ocsf.get(p0));
        for part in parts {
            value = value.and_then(|v| v.get(part));
        }
        match value {
            None | Some(Value::Null) => {}
            Some(Value::String(s)) => out.push(s.clone()),
            Some(other) => out.push(other.to_string()),
        }
    }
    out
}

pub fn plain(text: &str) -> Vec<char> {
    let narrow = |c: char| match u32::from(c) {
        n @ 0xFF01..=0xFF5E => char::from_u32(n - 0xFF01 + 0x21).unwrap(),
        _ => c,
    };
    text.chars().map(narrow).flat_map(char::to_lowercase).collect()
}

pub fn like(pattern: &str, value: &str) -> bool {
    fn go(p: &[char], v: &[char]) -> bool {
        match (p.first(), v.first()) {
            (None, None) => true,
            (Some('*'), _) => go(&p[1..], v) || (!v.is_empty() && go(p, &v[1..])),
            (Some('?'), Some(_)) => go(&p[1..], &v[1..]),
            (Some(a), Some(b)) => a == b && go(&p[1..], &v[1..]),
            _ => false,
        }
    }
    go(&plain(pattern), &plain(value))
}

/// A word, or a character of Chinese or Japanese.
#[derive(Debug)]
pub struct Unit {
    text: String,
    pub alone: bool,
    /// Follows the one before it at once.
    glued: bool,
}

pub fn units(text: &str) -> Vec<Unit> {
    let mut out: Vec<Unit> = Vec::new();
    let mut before = ' ';
    for c in plain(text) {
        let alone = ('\u{3041}'..='\u{9fff}').contains(&c);
        if alone {
            let glued = ('\u{3041}'..='\u{9fff}').contains(&before);
            out.push(Unit {
                text: c.into(),
                alone,
                glued,
            });
        } else if c.is_alphanumeric() || c == '*' {
            let joins = (before.is_alphanumeric() || before == '*') && !('\u{3041}'..='\u{9fff}').contains(&before);
            match out.last_mut() {
                Some(last) if joins => last.text.push(c),
                _ => out.push(Unit {
                    text: c.into(),
                    alone,
                    glued: false,
                }),
            }
        }
        before = c;
    }
    out
}

/// Whether the text holds the words in a row; with `wild`, `*` has its meaning.
pub fn holds(text: &str, words: &str, wild: bool) -> bool {
    let text = units(&text.replace('*', " "));
    if wild && words.contains('*') {
        // Beside Chinese a `*` divides.
        let mut spaced = String::new();
        let chars: Vec<char> = words.chars().collect();
        let mut parts = Vec::new();
        for (i, c) in chars.iter().enumerate() {
            let han = |i: Option<usize>| {
                i.and_then(|i| chars.get(i))
                    .is_some_and(|c| ('\u{3041}'..='\u{9fff}').contains(c))
            };
            if *c == '*' && (han(i.checked_sub(1)) || han(Some(i + 1))) {
                parts.push(std::mem::take(&mut spaced));
            } else {
                spaced.push(*c);
            }
        }
        parts.push(spaced);
        return parts.iter().all(|part| in_a_row(&text, &units(part), true));
    }
    in_a_row(&text, &units(&words.replace('*', " ")), false)
}

fn in_a_row(text: &[Unit], words: &[Unit], wild: bool) -> bool {
    let fits = |word: &Unit, unit: &Unit| {
        let same = if wild {
            like(&word.text, &unit.text)
        } else {
            word.text == unit.text
        };
        same && (!word.glued || unit.glued)
    };
    words.is_empty()
        || (0..text.len()).any(|at| {
            text.len() - at >= words.len()
                && words.iter().zip(&text[at..]).enumerate().all(|(i, (w, u))| {
                    // The first of a row may follow anything.
                    if i == 0 {
                        fits(
                            &Unit {
                                text: w.text.clone(),
                                alone: w.alone,
                                glued: false,
                            },
                            u,
                        )
                    } else {
                        fits(w, u)
                    }
                })
        })
}

pub fn within(net: &str, address: &str) -> bool {
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    let (base, prefix) = net
        .split_once('/')
        .unwrap_or((net, if net.contains(':') { "128" } else { "32" }));
    let prefix: u32 = prefix.parse().unwrap();
    match (base.parse().unwrap(), address) {
        (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        _ => false,
    }
}
