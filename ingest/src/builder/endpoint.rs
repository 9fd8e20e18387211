//! Addresses and names of an event's endpoints.

use super::{EventBuilder, address, is_ipv4};
use crate::seek;

impl EventBuilder<'_> {
    /// Puts an address at `path` in canonical form (IPv4-mapped IPv6 as IPv4). What is none goes to `unmapped`
    /// under the path, with the label `ip_invalid`; with a port (`1.2.3.4:55`, `[::1]:55`) the port goes to the
    /// sibling `port`. Says whether an address was there.
    pub fn ip(&mut self, path: &'static str, text: &str) -> bool {
        match path.strip_suffix(".ip") {
            Some(object) => self.ip_in(object, text),
            None => self.address(path, "", text),
        }
    }

    /// [`EventBuilder::ip`] at `ip` of the object at `object`.
    pub fn ip_in(&mut self, object: &'static str, text: &str) -> bool {
        self.address(object, "ip", text)
    }

    fn address(&mut self, object: &'static str, field: &'static str, text: &str) -> bool {
        let text = seek::trim(text);
        if text.is_empty() || text == "-" {
            return false;
        }
        if is_ipv4(text) {
            self.set_in(object, field, text);
            return true;
        }
        let (address, port) = address(text);
        match address {
            Some(ip) => {
                self.set_in(object, field, ip);
                if let Some(port) = port
                    && !field.is_empty()
                {
                    self.set_in(object, "port", port);
                }
                true
            }
            None if field.is_empty() => {
                self.unmapped(object, text);
                self.label("ip_invalid");
                false
            }
            None => {
                self.unmapped(&format!("{object}.{field}"), text);
                self.label("ip_invalid");
                false
            }
        }
    }

    /// Puts an address or else a host name into the endpoint at `object` (`src_endpoint`, `device`).
    pub fn host(&mut self, object: &'static str, text: &str) -> &mut Self {
        let text = seek::trim(text);
        if text.is_empty() || text == "-" {
            return self;
        }
        if is_ipv4(text) {
            return self.set_in(object, "ip", text);
        }
        if memchr::memchr2(b':', b'[', text.as_bytes()).is_none() {
            return self.set_in(object, "hostname", text);
        }
        match address(text) {
            (Some(ip), port) => {
                self.set_in(object, "ip", ip);
                match port {
                    // OCSF's device has no port.
                    Some(port) if object == "device" => self.unmapped("device.port", port),
                    Some(port) => self.set_in(object, "port", port),
                    None => self,
                }
            }
            (None, _) => self.set_in(object, "hostname", text),
        }
    }
}
