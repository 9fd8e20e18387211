//! One request of a web server, whichever format told it: HTTP Activity 4002.

use std::borrow::Cow;
use std::net::IpAddr;

use model::{Object, Value};
use smallvec::SmallVec;

use crate::builder::{EventBuilder, address};
use crate::class;
use crate::format::{Input, host};
use crate::keep::Keep;
use crate::mask::mask;
use crate::seek;
use crate::time_text::ParsedTime;

/// What a log tells of a request.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    /// Who made the server: `nginx`, `Apache`.
    pub product: &'static str,
    pub time_text: Cow<'a, str>,
    pub time: Option<ParsedTime>,
    pub peer: Cow<'a, str>,
    pub forwarded_for: Cow<'a, str>,
    pub user: Cow<'a, str>,
    pub method: Cow<'a, str>,
    /// The path with its query, or whatever was asked for.
    pub target: Cow<'a, str>,
    /// Where the log tells it apart from the target.
    pub query: Cow<'a, str>,
    /// `HTTP/1.1`
    pub protocol: Cow<'a, str>,
    /// The request line where it could not be read.
    pub malformed: Cow<'a, str>,
    pub status: Option<u16>,
    pub bytes: Option<i64>,
    pub duration_ms: Option<i64>,
    pub user_agent: Cow<'a, str>,
    pub referrer: Cow<'a, str>,
    /// The name that was asked for.
    pub host: Cow<'a, str>,
    pub scheme: Cow<'a, str>,
    pub uid: Cow<'a, str>,
    /// The machine that logs, where a syslog header names it.
    pub device: Option<&'a str>,
}

/// The methods that OCSF knows, at the number of their activity in HTTP Activity (4002) less one.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH",
];

fn known(method: &str) -> Option<usize> {
    METHODS.iter().position(|known| known.eq_ignore_ascii_case(method))
}

/// The activity of HTTP Activity (4002) that a method is: 0 without one, 99 for one that OCSF does not know.
pub(crate) fn activity(method: &str) -> u8 {
    match known(method) {
        Some(at) => at as u8 + 1,
        None if method.is_empty() => 0,
        None => 99,
    }
}

/// The method, where OCSF knows it; any other under its own name in `unmapped`.
pub(crate) fn set_method(b: &mut EventBuilder<'_>, method: &str) {
    match known(method) {
        Some(at) => b.set("http_request.http_method", METHODS[at]),
        None => b.unmapped("http_method", method),
    };
}

impl Request<'_> {
    /// An event in the making; the caller may add to it.
    pub(crate) fn event<'i>(&self, input: &Input<'i>) -> EventBuilder<'i> {
        let activity = activity(&self.method);
        let name = if activity == 99 { &*self.method } else { "" };
        let vendor = if self.product == "Apache" { "Apache" } else { "F5" };
        let mut b = EventBuilder::new(input, &class::HTTP_ACTIVITY, activity, vendor, self.product);
        b.set("activity_name", name);
        match self.time {
            Some(time) => {
                b.time(time.time).original_time(&self.time_text, time.offset_minutes);
                time.labels().for_each(|l| {
                    b.label(l);
                });
            }
            None if !self.time_text.is_empty() => {
                b.time(input.record.received_at)
                    .original_time(&self.time_text, None)
                    .label("time.invalid");
            }
            None => {}
        }
        self.endpoints(&mut b, input);
        b.set("actor.user.name", &*self.user);
        self.url(&mut b);
        set_method(&mut b, &self.method);
        b.set("http_request.uid", &*self.uid);
        b.set("http_request.user_agent", &*self.user_agent)
            .set("http_request.referrer", mask(&self.referrer));
        b.set(
            "http_request.version",
            self.protocol.strip_prefix("HTTP/").unwrap_or(&self.protocol),
        );
        if let Some(status) = self.status {
            b.set("http_response.code", status)
                .set("status_code", status.to_string());
            b.success(status < 400);
            b.set_some("http_response.length", self.bytes);
            b.set_some("http_response.latency", self.duration_ms);
        } else {
            // The class wants a request or a response.
            b.set("http_request.length", 0).label("http.status_missing");
            b.set_some("unmapped.bytes", self.bytes);
        }
        b.set_some("duration", self.duration_ms);
        if !self.malformed.is_empty() {
            b.label("http.request_malformed")
                .unmapped("request", mask(&self.malformed));
        }
        if let Some(device) = self.device {
            host::machine(&mut b, device);
        }
        b.native(self.native(input.keep()));
        let product = if self.product == "Apache" { "apache" } else { "nginx" };
        b.logsource(product, "webserver", product);
        b
    }

    fn endpoints(&self, b: &mut EventBuilder<'_>, input: &Input<'_>) {
        let peer = address(&self.peer).0;
        let hops: Vec<IpAddr> = self
            .forwarded_for
            .split(',')
            .take(64)
            .filter_map(|hop| address(hop.trim()).0)
            .collect();
        let trusted = |ip: IpAddr| input.settings.trusted_proxies.iter().any(|range| within(ip, range));
        // Only what a trusted proxy adds is believed: the right-most hop that is no proxy of ours.
        let origin = peer.filter(|p| trusted(*p)).and_then(|_| {
            hops.iter()
                .rev()
                .copied()
                .find(|hop| !trusted(*hop))
                .or_else(|| hops.first().copied())
        });
        if let Some(origin) = origin {
            b.set("src_endpoint.ip", origin.to_string());
            b.ip("src_endpoint.proxy_endpoint.ip", &self.peer);
        } else if peer.is_some() {
            b.ip("src_endpoint.ip", &self.peer);
        } else if self.peer.starts_with("unix:") {
            b.set("src_endpoint.name", &*self.peer);
        } else {
            b.host("src_endpoint", &self.peer);
        }
        b.set("http_request.x_forwarded_for", hops);
        let (host, port) = split_port(&self.host);
        b.host("dst_endpoint", host);
        if !host.is_empty() {
            b.set_some("dst_endpoint.port", port);
        }
    }

    fn url(&self, b: &mut EventBuilder<'_>) {
        if self.target.is_empty() {
            return;
        }
        let whole = match self.query.is_empty() || seek::has(&self.target, b'?') {
            true => Cow::Borrowed(&*self.target),
            false => Cow::Owned(format!("{}?{}", self.target, self.query)),
        };
        let whole = mask(&whole);
        // `http://host/path` is asked of proxies; its host is the client's word.
        let path = match seek::split_once(&whole, "://") {
            Some((scheme, rest)) if !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric()) => {
                rest.find('/').map_or("", |at| &rest[at..])
            }
            _ => &whole,
        };
        let (path, query) = seek::cut(path, b'?').unwrap_or((path, ""));
        b.set("http_request.url.path", path)
            .set("http_request.url.query_string", query);
        b.set("http_request.url.url_string", &*whole);
        b.set("http_request.url.scheme", &*self.scheme);
        b.set("http_request.url.hostname", split_port(&self.host).0);
    }

    /// Sigma's names for web servers (W3C extended log format). Nothing is masked here: rules look for attacks in it.
    fn native<'i>(&self, keep: Keep<'i>) -> Object<'i> {
        if !keep.arena.wants_native() {
            return Object::default();
        }
        let (stem, query) = seek::cut(&self.target, b'?').unwrap_or((&self.target, &self.query));
        let status = self.status.map(|s| s.to_string()).unwrap_or_default();
        let bytes = self.bytes.map(|s| s.to_string()).unwrap_or_default();
        let mut native: SmallVec<[(&str, Value<'i>); 16]> = SmallVec::new();
        for (name, value) in [
            ("c-ip", &*self.peer),
            ("cs-username", &self.user),
            ("cs-method", &self.method),
            ("cs-uri", &self.target),
            ("cs-uri-stem", stem),
            ("cs-uri-query", query),
            ("cs-version", &self.protocol),
            ("cs-host", &self.host),
            ("cs-user-agent", &self.user_agent),
            ("c-useragent", &self.user_agent),
            ("cs-referer", &self.referrer),
            ("sc-status", &status),
            ("sc-bytes", &bytes),
            ("request", &self.malformed),
        ] {
            if !value.is_empty() && keep.arena.wants_native_of(name) {
                native.push((name, Value::String(keep.text(value))));
            }
        }
        keep.arena.object(&native)
    }
}

/// `host:8080`, `[::1]:80` as host and port.
pub(crate) fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !seek::has(name, b':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

/// Whether an address is, or lies within, `10.0.0.1` or `10.0.0.0/8`.
pub(super) fn within(ip: IpAddr, range: &str) -> bool {
    let (net, bits) = seek::cut(range, b'/').unwrap_or((range, ""));
    let Ok(net) = net.trim().parse::<IpAddr>() else {
        return false;
    };
    let most: u32 = if net.is_ipv4() { 32 } else { 128 };
    let bits = if bits.is_empty() {
        Some(most)
    } else {
        bits.trim().parse().ok().filter(|b| *b <= most)
    };
    let Some(bits) = bits else { return false };
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let differing = (number(ip) ^ number(net)).checked_shr(128 - bits).unwrap_or(0);
    ip.is_ipv4() == net.is_ipv4() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_within_its_ranges() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("an address");
        for (a, range, expected) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.4", "10.1.2.3", false),
            ("10.1.2.4", "0.0.0.0/0", true),
            ("::1", "0.0.0.0/0", false),
            ("fe80::1", "fe80::/10", true),
            ("fe80::1", "::1", false),
            ("10.1.2.3", "10.0.0.0/99", false),
            ("10.1.2.3", "nonsense", false),
        ] {
            assert_eq!(within(ip(a), range), expected, "{a} {range}");
        }
    }

    #[test]
    fn a_methods_activity_is_the_number_that_ocsf_gives_it() {
        for (uid, name) in class::HTTP_ACTIVITY
            .activities
            .iter()
            .filter(|(uid, _)| (1..99).contains(uid))
        {
            assert_eq!(activity(&name.to_ascii_uppercase()), *uid);
            assert_eq!(activity(name), *uid);
        }
        assert_eq!((activity(""), activity("PROPFIND")), (0, 99));
    }
}
