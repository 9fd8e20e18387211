//! What the operator says about sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mapping::Mapping;

/// The settings of every source.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// By source id (`RawRecord::source`).
    pub sources: BTreeMap<Arc<str>, SourceSettings>,
    /// For a source that has none of its own.
    pub default: SourceSettings,
}

impl Settings {
    /// The settings of a source.
    #[must_use]
    pub fn of(&self, source: &str) -> &SourceSettings {
        self.sources.get(source).unwrap_or(&self.default)
    }
}

/// What is known of one source.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// The name of its format ([`crate::format::by_name`]); without one it is told from the topic or the bytes.
    pub format: Option<Arc<str>>,
    /// The zone of times that name none.
    pub time_zone: jiff::tz::TimeZone,
    /// The encoding of its text where it is not UTF-8, as WHATWG names it (`gbk`). Tried only on bytes that are
    /// not UTF-8.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// The account register's system of its accounts, where the format does not say (`docket.system`).
    pub system: Option<Arc<str>>,
    /// Proxies whose `X-Forwarded-For` is believed, as addresses or CIDRs (`10.0.0.0/8`).
    pub trusted_proxies: Vec<String>,
    /// What its fields mean, where its format is `mapped`.
    pub mapping: Option<Arc<Mapping>>,
}

impl SourceSettings {
    /// Takes a mapping over: its zone and system, and the format where none is named.
    pub fn use_mapping(&mut self, mapping: Arc<Mapping>) {
        if let Some(zone) = &mapping.zone {
            self.time_zone = zone.clone();
        }
        if self.system.is_none() {
            self.system.clone_from(&mapping.system);
        }
        self.format.get_or_insert_with(|| "mapped".into());
        self.mapping = Some(mapping);
    }
}

impl Default for SourceSettings {
    /// Nothing known: the format detected, times without a zone read as Asia/Shanghai (UTC+8 where the zone
    /// database lacks it), which is JumpServer's default and the operator's.
    fn default() -> SourceSettings {
        SourceSettings {
            format: None,
            time_zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(8)),
            encoding: None,
            system: None,
            trusted_proxies: Vec::new(),
            mapping: None,
        }
    }
}
