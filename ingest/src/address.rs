//! Network addresses as logs write them.

use std::net::{IpAddr, Ipv4Addr};

/// An address, perhaps with a port: `1.2.3.4`, `1.2.3.4:55`, `::1`, `[::1]:55`, `fe80::1%eth0` (the zone is cut off),
/// `::ffff:1.2.3.4` (IPv4). Nothing else is one: no octal, no short forms, no names.
#[must_use]
pub fn address(text: &str) -> (Option<IpAddr>, Option<u16>) {
    // Nothing but hexadecimal digits, dots, brackets and zones begins like an address.
    if !matches!(
        text.as_bytes().first(),
        Some(b':' | b'[' | b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
    ) {
        return (None, None);
    }
    if memchr::memchr(b':', text.as_bytes()).is_none() && !text.starts_with('[') {
        let is_v4 = is_ipv4(text).then(|| text.parse::<Ipv4Addr>().ok()).flatten();
        return (is_v4.map(IpAddr::V4), None);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return (Some(ip.to_canonical()), None);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return (Some(socket.ip().to_canonical()), Some(socket.port()));
    }
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let inner = inner
        .split_once('%')
        .map_or(inner, |(ip, _)| if ip.contains(':') { ip } else { inner });
    (inner.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()), None)
}

/// Whether a text is an [`address`].
#[must_use]
pub(crate) fn is_address(text: &str) -> bool {
    is_ipv4(text) || address(text).0.is_some()
}

/// Whether a text is an IPv4 address; what is read so is written so.
#[must_use]
pub fn is_ipv4(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(7..=15).contains(&bytes.len()) || !bytes[0].is_ascii_digit() {
        return false;
    }
    let (mut parts, mut number, mut digits) = (1, 0_u32, 0);
    for byte in bytes {
        match byte {
            b'0'..=b'9' => {
                // No octal: `01` is none.
                if digits > 0 && number == 0 {
                    return false;
                }
                number = number * 10 + u32::from(byte - b'0');
                digits += 1;
                if number > 255 {
                    return false;
                }
            }
            b'.' if digits > 0 => {
                parts += 1;
                (number, digits) = (0, 0);
            }
            _ => return false,
        }
    }
    parts == 4 && digits > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ipv4_is_what_the_library_reads(text in "[0-9.]{0,16}|([0-9]{1,3}\\.){3}[0-9]{1,3}|[0-9a.: ]{0,16}") {
            prop_assert_eq!(is_address(&text), address(&text).0.is_some());
            prop_assert_eq!(is_ipv4(&text), text.parse::<Ipv4Addr>().is_ok(), "{}", text);
            if let Ok(ip) = text.parse::<Ipv4Addr>() {
                prop_assert_eq!(ip.to_string(), text);
            }
        }
    }
}
