//! Times at the starts of lines.

use super::civil::{Civil, Clock, Zone};
use super::scan::Scan;
use super::{TEXT_BYTES_MAX, iso};

/// A time at the start of a line, as syslog has it: its text, what it says, and the rest of the line.
#[derive(Clone, Debug)]
pub(crate) struct Leading<'a> {
    pub text: &'a str,
    pub civil: Civil,
    pub rest: &'a str,
}

/// `Mmm dd HH:MM:SS[.fff]` with the liberties that senders take: `*` before it, one space and one digit,
/// a year before or after the clock.
pub(crate) fn leading_bsd(line: &str) -> Option<Leading<'_>> {
    match plain_bsd(line) {
        Some(civil) => Some(Leading {
            text: line.get(..PLAIN_BSD)?,
            civil,
            rest: line.get(PLAIN_BSD..)?,
        }),
        None => any_bsd(line),
    }
}

/// Bytes of `Mmm dd HH:MM:SS`.
const PLAIN_BSD: usize = 15;

/// The form that nearly every sender takes, told by its fixed places: `Mmm dd HH:MM:SS` and a space, behind which no year stands.
fn plain_bsd(line: &str) -> Option<Civil> {
    let line = line.as_bytes();
    let text: &[u8; PLAIN_BSD] = line.first_chunk()?;
    let [m1, m2, m3, b' ', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2] = *text else {
        return None;
    };
    if line.get(PLAIN_BSD) != Some(&b' ') || line.get(PLAIN_BSD + 1..PLAIN_BSD + 3)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let month = match &[m1, m2, m3] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let digit = |b: u8| b.is_ascii_digit().then(|| u32::from(b - b'0'));
    let two = |tens: u8, ones: u8| Some(digit(tens)? * 10 + digit(ones)?);
    Some(Civil {
        year: None,
        month,
        day: if d1 == b' ' { digit(d2)? } else { two(d1, d2)? },
        clock: Clock {
            hour: two(h1, h2)?,
            minute: two(n1, n2)?,
            second: two(s1, s2)?,
            millis: 0,
        },
        zone: Zone::Open,
    })
}

/// The form with all liberties.
fn any_bsd(line: &str) -> Option<Leading<'_>> {
    let mut scan = Scan::new(line);
    let _ = scan.eat(b'*') || scan.eat(b'.');
    let start = scan.at;
    let month = scan.month()?;
    scan.some_spaces(2)?;
    let day = scan.number(1, 2)?;
    scan.some_spaces(2)?;
    let mut year = None;
    let before_year = scan.at;
    if let Some(y) = scan.number(4, 4)
        && scan.some_spaces(1).is_some()
    {
        year = Some(y as i32);
    } else {
        scan.at = before_year;
    }
    let clock = scan.clock()?;
    let mut end = scan.at;
    if year.is_none() {
        // `Mar  1 10:00:00 2026 h a: …`; a host may be called `2026`, but hardly between 1970 and 2099.
        if scan.eat(b' ')
            && let Some(y) = scan.number(4, 4)
            && (1970..2100).contains(&y)
            && scan.peek() == Some(b' ')
        {
            year = Some(y as i32);
            end = scan.at;
        }
    }
    let civil = Civil {
        year,
        month,
        day,
        clock,
        zone: Zone::Open,
    };
    Some(Leading {
        text: line.get(start..end)?,
        civil,
        rest: line.get(end..)?,
    })
}

/// RFC 3339 at the start of a line, up to a space.
pub(crate) fn leading_iso(line: &str) -> Option<Leading<'_>> {
    let end = line
        .bytes()
        .take(TEXT_BYTES_MAX)
        .position(|b| b == b' ')
        .unwrap_or(line.len().min(TEXT_BYTES_MAX));
    let text = line.get(..end)?;
    let mut scan = Scan::new(text);
    let civil = iso(&mut scan)?;
    if !scan.rest().is_empty() || civil.clock == Clock::default() && !text.contains(':') {
        return None;
    }
    Some(Leading {
        text,
        civil,
        rest: &line[end..],
    })
}

/// `YYYY/MM/DD HH:MM:SS` (nginx' error log) at the start of a line.
pub(crate) fn leading_slashed(line: &str) -> Option<Leading<'_>> {
    let mut scan = Scan::new(line);
    let year = Some(scan.number(4, 4)? as i32);
    scan.must(b'/')?;
    let month = scan.number(2, 2)?;
    scan.must(b'/')?;
    let day = scan.number(2, 2)?;
    scan.must(b' ')?;
    let clock = scan.clock()?;
    let civil = Civil {
        year,
        month,
        day,
        clock,
        zone: Zone::Open,
    };
    Some(Leading {
        text: &line[..scan.at],
        civil,
        rest: scan.rest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_plain_form_is_read_like_any(
            line in "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|mar|Foo)[ .][ 0-9]{2} [ 0-9]{2}:[0-9]{2}:[0-9]{2}( |[.] | 20)[0-9a ]{0,6}"
        ) {
            if let Some(civil) = plain_bsd(&line) {
                let any = any_bsd(&line).expect("it is read in full, too");
                prop_assert_eq!(any.civil, civil, "{}", line);
                prop_assert_eq!(any.text.len(), PLAIN_BSD, "{}", line);
            }
        }
    }
}
