//! What leaves the server for other eyes holds no secrets: the index, findings, notifications, answers. The ledger keeps the bytes.

use std::borrow::Cow;

use ingest::mask::{self, mask};
use model::Finding;
use serde_json::Value;

/// For the index.
pub const INDEX: search::Mask = search::Mask {
    text: mask::mask,
    keyword: mask::mask_secrets,
    is_secret_name: mask::is_secret_name,
    secrets: mask::secrets_of,
    hide: mask::hide,
    instead: mask::MASK,
};

/// Masks what a finding tells. Its id and evidence are no texts of records.
pub fn finding(finding: &mut Finding) {
    let texts = [&mut finding.message]
        .into_iter()
        .chain(&mut finding.account)
        .chain(&mut finding.person)
        .chain(&mut finding.context.session)
        .chain(
            finding
                .context
                .looked_for
                .iter_mut()
                .flat_map(|looked| &mut looked.lacks),
        );
    for text in texts.chain(finding.group.iter_mut().map(|(_, value)| value)) {
        if let Cow::Owned(masked) = mask(text) {
            *text = masked;
        }
    }
    for row in &mut finding.rows {
        // Rows of registers hold people's numbers by right; those made of events may hold what a command held.
        secrets(&mut row.row);
    }
}

fn secrets(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask::mask_secrets(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(secrets),
        Value::Object(fields) => fields.values_mut().for_each(secrets),
        _ => {}
    }
}
