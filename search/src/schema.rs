//! The fields of the index, and the columns of a batch that fill them.
//!
//! Keywords are indexed whole and folded ([`crate::keyword`]), and kept as they are in a column for grouping.
//! Text is indexed by [`crate::tokenizer`]; only `raw`, the largest, without positions. Nothing is stored:
//! a hit leads to the ledger.

use model::{Field as Column, Wanted};
use tantivy::schema::{
    Field, INDEXED, IndexRecordOption, IpAddrOptions, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};

use crate::keyword::Whole;
use crate::tokenizer::Words;

/// The version of fields and tokens; an index written with another one is rebuilt.
pub const SCHEMA_VERSION: u32 = 3;

/// Name of the tokenizer of text fields.
const WORDS: &str = "docket_words_1";
/// Name of the tokenizer of keyword fields.
const WHOLE: &str = "docket_whole_1";

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

/// The handles of the fields.
#[derive(Clone, Debug)]
pub struct Fields {
    /// The schema.
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
    /// The whole line.
    pub raw: Field,
    /// Flattened source fields, see [`crate::unmapped`].
    pub unmapped: Field,
    /// Names of the text fields that an event has.
    pub has: Field,
    /// As [`KEYWORDS`].
    pub keywords: Vec<Field>,
    /// As [`ADDRESSES`].
    pub addresses: Vec<Field>,
    /// As [`TEXTS`].
    pub texts: Vec<Field>,
    /// As [`NUMBERS`].
    pub numbers: Vec<Field>,
}

impl Fields {
    /// The fields, in the order that the index on disk has them.
    #[must_use]
    pub fn new() -> Fields {
        let mut builder = Schema::builder();
        let fast = || NumericOptions::default().set_fast();
        let indexing = |tokenizer, option| {
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_fieldnorms(false)
                .set_index_option(option)
        };
        let whole = || TextOptions::default().set_indexing_options(indexing(WHOLE, IndexRecordOption::Basic));
        let words = |option| TextOptions::default().set_indexing_options(indexing(WORDS, option));
        Fields {
            time: builder.add_i64_field("time", fast()),
            received: builder.add_i64_field("received", fast()),
            processed: builder.add_i64_field("processed", fast()),
            index: builder.add_u64_field("index", fast()),
            parts: builder.add_u64_field("parts", fast()),
            event: builder.add_u64_field("event", fast()),
            partition: builder.add_text_field("partition", whole().set_fast("raw")),
            offset: builder.add_i64_field("offset", fast()),
            status: builder.add_text_field("status", whole().set_fast("raw")),
            raw: builder.add_text_field("raw", words(IndexRecordOption::Basic)),
            unmapped: builder.add_text_field("unmapped", whole()),
            has: builder.add_text_field("has", whole()),
            keywords: KEYWORDS
                .iter()
                .map(|(n, _)| builder.add_text_field(n, whole().set_fast("raw")))
                .collect(),
            addresses: ADDRESSES
                .iter()
                .map(|(n, _)| builder.add_ip_addr_field(n, IpAddrOptions::default().set_fast()))
                .collect(),
            texts: TEXTS
                .iter()
                .map(|(n, _)| builder.add_text_field(n, words(IndexRecordOption::WithFreqsAndPositions)))
                .collect(),
            numbers: NUMBERS
                .iter()
                .map(|(n, _, often)| builder.add_u64_field(n, if *often { fast() | INDEXED } else { fast() }))
                .collect(),
            schema: builder.build(),
        }
    }

    /// The handle of a field by its name in the index.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Field> {
        self.schema.get_field(name).ok()
    }
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::new()
    }
}

/// The tokenizers that the schema names.
#[must_use]
pub fn tokenizers() -> TokenizerManager {
    // Tantivy looks up `default` even for fields that are no text.
    let manager = TokenizerManager::default();
    manager.register(WORDS, TextAnalyzer::from(Words));
    manager.register(WHOLE, TextAnalyzer::from(Whole));
    manager
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
