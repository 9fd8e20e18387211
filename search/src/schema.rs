//! The fields of the index, and the columns of a batch that fill them.
//!
//! Keywords are indexed whole and folded ([`crate::keyword`]), and all but ids of their own kept as they are in a column for
//! grouping. Text is indexed by [`crate::tokenizer`]; only `raw`, the largest, without places. What is looked up is in
//! [`crate::words`], columns are Tantivy's. Nothing is stored: a hit leads to the ledger.

use model::{Field as Column, Wanted};
use tantivy::schema::{Field, IpAddrOptions, NumericOptions, Schema, TextOptions};

use crate::query::field::Kind;
use crate::words::Plugin;

/// The version of fields and tokens; an index written with another one is rebuilt.
pub const SCHEMA_VERSION: u32 = 4;

/// Keyword fields and the OCSF paths whose values they hold.
pub const KEYWORDS: &[(&str, &[&str])] = &[
    ("user", &["user.name"]),
    ("user_uid", &["user.uid"]),
    ("actor", &["actor.user.name"]),
    ("actor_uid", &["actor.user.uid"]),
    ("account", &["unmapped.account"]),
    ("src", &["src_endpoint.ip", "src_endpoint.hostname"]),
    ("dst", &["dst_endpoint.ip", "device.ip"]),
    (
        "host",
        &[
            "device.hostname",
            "dst_endpoint.hostname",
            "device.name",
            "dst_endpoint.name",
        ],
    ),
    (
        "session",
        &["actor.session.uid", "session.uid", "metadata.correlation_uid"],
    ),
    ("source", &["docket.source"]),
    ("system", &["docket.system"]),
    ("product", &["metadata.product.name"]),
    ("service", &["service.name"]),
    ("ticket", &["unmapped.ticket_id"]),
    ("object_type", &["web_resources.type"]),
    ("object", &["web_resources.uid", "web_resources.name"]),
    ("file", &["file.path", "file.name"]),
    ("label", &["metadata.labels"]),
    ("log", &["metadata.log_name"]),
    ("method", &["http_request.http_method"]),
    ("original", &["metadata.original_event_uid"]),
];

/// Keyword fields of which nearly every event has a value of its own: no column is kept of them, and who groups by one reads
/// the ledger.
pub const WITHOUT_COLUMN: &[&str] = &["original"];

/// Address fields (for CIDR) and the paths of their values.
pub const ADDRESSES: &[(&str, &[&str])] = &[
    ("src_addr", &["src_endpoint.ip"]),
    ("dst_addr", &["dst_endpoint.ip", "device.ip"]),
];

/// Text fields with positions, and the paths of their values.
pub const TEXTS: &[(&str, &[&str])] = &[
    (
        "cmd",
        &[
            "process.cmd_line",
            "query_info.query_string",
            "script.script_content.value",
        ],
    ),
    (
        "url",
        &[
            "url.url_string",
            "http_request.url.url_string",
            "http_request.url.path",
            "http_request.url.query_string",
        ],
    ),
    ("msg", &["message", "status_detail"]),
];

/// Text fields whose texts are kept in a column too: a piece of one is looked for there.
pub const TEXT_COLUMNS: &[&str] = &["cmd", "url"];
/// Bytes of a text that is kept so; an event with a longer one keeps none.
pub const TEXT_COLUMN_BYTES_MAX: usize = 4096;

/// The path of the whole line.
pub const RAW_PATH: &str = "raw_data";

/// The OCSF paths that a text field is made of.
#[must_use]
pub fn text_paths(field: &str) -> &'static [&'static str] {
    match TEXTS.iter().find(|(name, _)| *name == field) {
        Some((_, paths)) => paths,
        None if field == "raw" => &[RAW_PATH],
        None => &[],
    }
}

/// The OCSF paths that a field's values come from; none for those that Docket makes itself.
#[must_use]
pub fn paths_of(field: &str) -> Vec<&'static str> {
    let Some(spec) = crate::query::field::find(field) else {
        return Vec::new();
    };
    let names: Vec<&str> = match &spec.kind {
        Kind::Keyword(names) | Kind::Text(names) => names.to_vec(),
        Kind::Address(name, _) | Kind::Number(name) => vec![name],
        Kind::Class => return vec!["class_name"],
        Kind::Severity => return vec!["severity_id"],
        Kind::Record => return vec!["metadata.uid"],
        Kind::Time(_) | Kind::Person => return Vec::new(),
    };
    let numbers = NUMBERS.iter().map(|(name, paths, _)| (name, paths));
    let tables = KEYWORDS
        .iter()
        .chain(TEXTS)
        .map(|(name, paths)| (name, paths))
        .chain(numbers);
    let mut out: Vec<&str> = tables
        .filter(|(name, _)| names.contains(name))
        .flat_map(|(_, p)| *p)
        .copied()
        .collect();
    if names.contains(&"raw") {
        out.push(RAW_PATH);
    }
    if names.contains(&"status") {
        out.push("status");
    }
    out
}

/// Number fields, the paths of their values, and whether single values are looked up often.
pub const NUMBERS: &[(&str, &[&str], bool)] = &[
    ("class", &[], true),
    ("activity", &["activity_id"], true),
    ("severity", &["severity_id"], true),
    ("code", &["http_response.code"], true),
    (
        "bytes",
        &["traffic.bytes", "http_response.length", "file.size", "unmapped.bytes"],
        false,
    ),
    ("rows", &["unmapped.rows"], false),
    ("port", &["dst_endpoint.port", "src_endpoint.port"], false),
];

/// The columns that the index needs of a batch.
#[must_use]
pub fn wanted() -> Wanted {
    let keywords = KEYWORDS
        .iter()
        .chain(ADDRESSES)
        .chain(TEXTS)
        .flat_map(|(_, paths)| *paths);
    let numbers = NUMBERS.iter().flat_map(|(_, paths, _)| *paths);
    let others = [RAW_PATH, "status_id", "status", "unmapped"];
    keywords
        .chain(numbers)
        .chain(&others)
        .map(|path| Column::ocsf(path))
        .collect()
}

/// How the text of a field becomes terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// One term: the text, which is folded already.
    Folded,
    /// One term: the text, folded.
    Whole,
    /// Its words.
    Words,
    /// Its words, and where they stand.
    Placed,
}

/// The number of a field in [`crate::words`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordField(pub(crate) u8);

/// The handles of the fields.
#[derive(Clone, Debug)]
pub struct Fields {
    /// The schema of the columns.
    pub schema: Schema,
    /// Event time, ms.
    pub time: Field,
    /// When it was received, ms.
    pub received: Field,
    /// When it was indexed, ms.
    pub processed: Field,
    /// The leaf; of an event of several records the first one's.
    pub index: Field,
    /// The leaves of the others, in order.
    pub parts: Field,
    /// Which event of the record, from 0.
    pub event: Field,
    /// `<topic>/<partition>` of the record id.
    pub partition: Field,
    /// The offset of the record id.
    pub offset: Field,
    /// `success`, `failure`, …
    pub status: Field,
    /// As [`KEYWORDS`], those that have a column.
    pub keywords: Vec<Option<Field>>,
    /// As [`TEXTS`], those that have a column.
    pub text_columns: Vec<Option<Field>>,
    /// As [`ADDRESSES`].
    pub addresses: Vec<Field>,
    /// As [`NUMBERS`].
    pub numbers: Vec<Field>,
    /// What is looked up by words: name and spelling, by number.
    words: Vec<(&'static str, Spelling)>,
}

impl Fields {
    /// The fields, in the order that the index on disk has them.
    #[must_use]
    pub fn new() -> Fields {
        let mut builder = Schema::builder();
        let fast = || NumericOptions::default().set_fast();
        let text = || TextOptions::default().set_fast("raw");
        let has_column = |name: &str| !WITHOUT_COLUMN.contains(&name);
        let mut words = vec![
            ("partition", Spelling::Whole),
            ("status", Spelling::Whole),
            ("unmapped", Spelling::Whole),
            ("has", Spelling::Folded),
            ("raw", Spelling::Words),
        ];
        words.extend(KEYWORDS.iter().map(|(name, _)| (*name, Spelling::Whole)));
        words.extend(TEXTS.iter().map(|(name, _)| (*name, Spelling::Placed)));
        let often = NUMBERS.iter().filter(|(_, _, often)| *often);
        words.extend(often.map(|(name, ..)| (*name, Spelling::Folded)));
        Fields {
            time: builder.add_i64_field("time", fast()),
            received: builder.add_i64_field("received", fast()),
            processed: builder.add_i64_field("processed", fast()),
            index: builder.add_u64_field("index", fast()),
            parts: builder.add_u64_field("parts", fast()),
            event: builder.add_u64_field("event", fast()),
            partition: builder.add_text_field("partition", text()),
            offset: builder.add_i64_field("offset", fast()),
            status: builder.add_text_field("status", text()),
            keywords: {
                // Carries nothing: it is the version of what is looked up by words.
                builder.add_custom_field("texts", "docket_texts_1", serde_json::Value::Null);
                KEYWORDS
                    .iter()
                    .map(|(n, _)| has_column(n).then(|| builder.add_text_field(n, text())))
                    .collect()
            },
            text_columns: TEXTS
                .iter()
                .map(|(n, _)| TEXT_COLUMNS.contains(n).then(|| builder.add_text_field(n, text())))
                .collect(),
            addresses: ADDRESSES
                .iter()
                .map(|(n, _)| builder.add_ip_addr_field(n, IpAddrOptions::default().set_fast()))
                .collect(),
            numbers: NUMBERS.iter().map(|(n, ..)| builder.add_u64_field(n, fast())).collect(),
            words,
            schema: builder.build(),
        }
    }

    /// The handle of a column by its name in the index.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Field> {
        self.schema.get_field(name).ok()
    }

    /// The number of what is looked up by words.
    pub(crate) fn word(&self, name: &str) -> Option<WordField> {
        let at = self.words.iter().position(|(known, _)| *known == name)?;
        u8::try_from(at).ok().map(WordField)
    }

    /// What makes [`crate::words`] in an index of these fields.
    pub(crate) fn plugin(&self) -> Plugin {
        Plugin {
            spellings: self.words.iter().map(|(_, spelling)| *spelling).collect(),
        }
    }
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_stored() {
        for (_, entry) in Fields::new().schema.fields() {
            assert!(!entry.is_stored(), "{}", entry.name());
        }
    }

    #[test]
    fn the_raw_line_and_the_source_fields_are_wanted() {
        let wanted = wanted();
        for path in [
            "raw_data",
            "unmapped",
            "docket.source",
            "process.cmd_line",
            "metadata.labels",
        ] {
            assert!(wanted.contains(&Column::ocsf(path)), "{path}");
        }
    }
}
