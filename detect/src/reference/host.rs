//! Which host is meant: by one of its names, by a name with its domain or without, or by an address.
//!
//! Sources call one machine `web-1`, `web-1.shop.example` and `10.0.0.7`; the asset register has it once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::Table;
use super::cell::{each_value, scalar};
use crate::policy::Lookup;
use crate::sigma::lower;

/// What a system of `account_registry` that is a host begins with.
const HOST: &str = "host:";

/// The hosts of `asset_register`, as they may be called.
#[derive(Debug, Default)]
pub struct Hosts {
    /// Registered names of each asset, in lower case.
    names: Vec<Vec<String>>,
    /// Assets by name and by address.
    called: HashMap<String, BTreeSet<usize>>,
    /// Assets by the first label of their names with a domain.
    labelled: HashMap<String, BTreeSet<usize>>,
}

impl Hosts {
    /// The hosts of a register. Rows of one `asset_id` (versions of it) are one asset.
    #[must_use]
    pub fn new(register: &Table) -> Hosts {
        let mut hosts = Hosts::default();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        for (n, row) in register.rows().iter().enumerate() {
            let cells = |column: &str| {
                let mut cells = Vec::new();
                each_value(row, column, &mut |v| cells.push(lower(scalar(v).trim())));
                cells.retain(|c| !c.is_empty());
                cells
            };
            let id = cells("asset_id").pop().unwrap_or_else(|| format!("#{n}"));
            let asset = *by_id.entry(id).or_insert_with(|| {
                hosts.names.push(Vec::new());
                hosts.names.len() - 1
            });
            for name in cells("names") {
                hosts.called.entry(called(&name)).or_default().insert(asset);
                if let Some(label) = label(&name) {
                    hosts.labelled.entry(label.to_owned()).or_default().insert(asset);
                }
                if !hosts.names[asset].contains(&name) {
                    hosts.names[asset].push(name);
                }
            }
            for address in cells("addresses") {
                hosts.called.entry(called(&address)).or_default().insert(asset);
            }
        }
        hosts
    }

    /// The registered names of the one asset that is called so: exactly, else by its name without or with the domain.
    /// None where there is no such asset, or where several may be meant.
    #[must_use]
    pub fn names_of(&self, text: &str) -> &[String] {
        let name = called(&lower(text.trim()));
        let exact = self.called.get(&name);
        let asset = exact.or_else(|| match label(&name) {
            Some(label) => self.called.get(label),
            None => self.labelled.get(&name),
        });
        match asset.map(|a| a.iter().collect::<Vec<_>>()).as_deref() {
            Some([one]) => &self.names[**one],
            _ => &[],
        }
    }

    /// Whether no host is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name under which the host is registered that is called so otherwise; none where the text is a registered name itself, or no
    /// one host is meant.
    #[must_use]
    pub fn registered(&self, text: &str) -> Option<&str> {
        let names = self.names_of(text);
        let is_own = names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(text) || *name == lower(text));
        names.first().filter(|_| !is_own).map(String::as_str)
    }

    /// Every text by which the host registered under `name` may be called, `name` first; `*` stands for any text.
    #[must_use]
    pub fn calls(&self, name: &str) -> Vec<String> {
        let name = lower(name);
        let mut calls = vec![name.clone()];
        if name.contains('*') {
            return calls;
        }
        let mut more: Vec<String> = Vec::new();
        for key in self.called.keys().chain(self.labelled.keys()) {
            if self.names_of(key).contains(&name) {
                more.push(key.clone());
                // With any domain, too.
                if !key.contains(['.', ':']) {
                    more.push(format!("{key}.*"));
                }
            }
        }
        more.sort_unstable();
        more.dedup();
        more.retain(|m| *m != name);
        calls.extend(more);
        calls
    }

    /// Adds to the values of a key by which a host may be called the names under which it is registered:
    /// `asset_register.names`, and `host:…` of any `system`.
    pub(crate) fn widen(&self, table: &str, columns: &[Arc<str>], values: &mut [Vec<String>]) {
        if self.names.is_empty() {
            return;
        }
        for (column, values) in columns.iter().zip(values) {
            self.widen_column(table, column, values);
        }
    }

    /// As [`Hosts::widen`], of the key of a lookup.
    pub(crate) fn widen_key(&self, lookup: &Lookup, values: &mut [Vec<String>]) {
        if !self.names.is_empty() {
            for ((column, _), values) in lookup.key.iter().zip(values) {
                self.widen_column(&lookup.table, column, values);
            }
        }
    }

    fn widen_column(&self, table: &str, column: &str, values: &mut Vec<String>) {
        let prefix = match column {
            "names" if table == "asset_register" => "",
            "system" => HOST,
            _ => return,
        };
        let mut more: Vec<String> = Vec::new();
        for host in values.iter().filter_map(|v| v.strip_prefix(prefix)) {
            more.extend(self.names_of(host).iter().map(|name| format!("{prefix}{name}")));
        }
        more.retain(|m| !values.contains(m));
        values.extend(more);
    }
}

/// A name without the dot that ends it, an address in its shortest form.
fn called(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => name.to_owned(),
    }
}

/// The first label of a name with a domain.
fn label(name: &str) -> Option<&str> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    name.split_once('.').map(|(label, _)| label).filter(|l| !l.is_empty())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_host_is_found_by_name_domain_and_address() {
        let register = br#"[
            {"asset_id": "A1", "names": ["web-1", "shop"], "addresses": ["10.0.0.7", "fd00::7"]},
            {"asset_id": "A2", "names": ["db-1.shop.example"], "addresses": ["10.0.0.8"]},
            {"asset_id": "A3", "names": ["db-1.test.example"], "addresses": ["10.0.0.9"]},
            {"asset_id": "A4", "names": ["mail.example"]},
            {"asset_id": "A1", "names": ["web-1"], "valid_from": "2026-01-01T00:00:00Z"}]"#;
        let hosts = Hosts::new(&Table::parse("asset_register", register, &TimeZone::UTC).unwrap());
        for (text, want) in [
            ("WEB-1", &["web-1", "shop"][..]),
            ("web-1.shop.example.", &["web-1", "shop"]),
            ("10.0.0.7", &["web-1", "shop"]),
            ("::ffff:10.0.0.7", &["web-1", "shop"]),
            ("FD00:0::7", &["web-1", "shop"]),
            ("db-1.shop.example", &["db-1.shop.example"]),
            // Two may be meant.
            ("db-1", &[]),
            // Another domain's is not ours.
            ("db-1.elsewhere.example", &[]),
            ("mail", &["mail.example"]),
            ("10.0.0.1", &[]),
            ("", &[]),
        ] {
            assert_eq!(hosts.names_of(text), want, "{text}");
        }
        for (text, want) in [
            ("web-1.shop.example", Some("web-1")),
            ("10.0.0.7", Some("web-1")),
            ("shop", None),
            ("WEB-1", None),
            ("db-1", None),
            ("mail", Some("mail.example")),
        ] {
            assert_eq!(hosts.registered(text), want, "{text}");
        }
        let mut values = vec![
            vec!["host:web-1.shop.example".to_owned(), "crm".to_owned()],
            vec!["root".to_owned()],
        ];
        hosts.widen("account_registry", &["system".into(), "account".into()], &mut values);
        assert_eq!(values[0], ["host:web-1.shop.example", "crm", "host:web-1", "host:shop"]);
        assert_eq!(values[1], ["root"]);
    }
}
