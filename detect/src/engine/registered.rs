//! Hosts by the name under which they are registered, in all that is kept of events: a host's own log calls it `web-1.shop.example`, the
//! bastion `web-1`, and joins, keys and counts mean the same one. So is the identity provider `sso` where the account register calls it that.
//! Rules judge events as they came.

use std::borrow::Cow;

use foldhash::{HashMap, HashMapExt as _};
use model::{Batch, Column, Field};

use super::Detector;
use crate::reference::Hosts;

/// Fields that name a host, and what stands before its name there.
const FIELDS: [(&str, &str); 4] = [
    ("device.hostname", ""),
    ("dst_endpoint.hostname", ""),
    ("src_endpoint.hostname", ""),
    ("docket.system", "host:"),
];

/// The identity provider's product, as its format names the system.
const PROVIDER: &str = "okta";

impl Detector {
    /// The batches with registered names.
    pub(super) fn registered<'b>(&self, batches: &'b [Batch]) -> Cow<'b, [Batch]> {
        let hosts = self.tables.hosts();
        let mut out = Cow::Borrowed(batches);
        if self.tables.single_sign_on() {
            let system = Field::ocsf("docket.system");
            for (n, batch) in batches.iter().enumerate() {
                let Some(column) = batch.column(&system) else { continue };
                let mut provider = false;
                (0..batch.rows.len()).for_each(|row| column.for_each(row, |text| provider |= text == PROVIDER));
                if provider {
                    out.to_mut()[n].replace(&system, |text| (text == PROVIDER).then_some("sso"));
                }
            }
        }
        if hosts.is_empty() {
            return out;
        }
        let fields = FIELDS.map(|(path, prefix)| (Field::ocsf(path), prefix));
        for (n, batch) in batches.iter().enumerate() {
            for (field, prefix) in &fields {
                let Some(column) = batch.column(field) else { continue };
                let known = registered(hosts, column, prefix, batch.rows.len());
                if known.values().any(Option::is_some) {
                    out.to_mut()[n].replace(field, |text| known.get(text)?.as_deref());
                }
            }
        }
        out
    }
}

/// The registered names of what a column has, for those that have another one.
fn registered<'c>(hosts: &Hosts, column: &'c Column, prefix: &str, rows: usize) -> HashMap<&'c str, Option<String>> {
    // A batch has few hosts.
    let mut known: HashMap<&str, Option<String>> = HashMap::new();
    for row in 0..rows {
        column.for_each(row, |text| {
            known.entry(text).or_insert_with(|| {
                let name = hosts.registered(text.strip_prefix(prefix)?)?;
                Some(format!("{prefix}{name}"))
            });
        });
    }
    known
}
