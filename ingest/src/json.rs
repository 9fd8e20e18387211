//! Reads JSON that somebody may have made to mislead.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::SourceSettings;
use crate::format::Quarantine;

/// An object and what was odd about it.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The object.
    pub object: Map<String, Value>,
    /// Labels: `duplicate_key`, `lone_surrogate`.
    pub flags: Vec<&'static str>,
}

/// A payload as text, and labels of what was found.
#[must_use]
pub fn text<'a>(payload: &'a [u8], _settings: &SourceSettings) -> (Cow<'a, str>, Vec<&'static str>) {
    (String::from_utf8_lossy(payload), vec![])
}

/// Parses one object.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<Parsed, Quarantine> {
    let object = serde_json::from_str(text).map_err(|_| Quarantine("not_json"))?;
    Ok(Parsed { object, flags: vec![] })
}
