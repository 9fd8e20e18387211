//! The table of targets.

use std::fmt;
use std::panic::RefUnwindSafe;

use crate::{authored, evidence, follow, format, framing, join, request, text};

/// Something that reads hostile bytes, and its promises.
pub struct Target {
    /// Its name: `format-okta`, `framing`.
    pub name: String,
    /// Bytes of an input that are worth trying; libFuzzer's `-max_len`.
    pub bytes_max: usize,
    /// Reads an input; panics where a promise is broken.
    pub run: Box<dyn Fn(&[u8]) + Send + Sync + RefUnwindSafe>,
}

impl Target {
    pub(crate) fn new(
        name: impl Into<String>,
        bytes_max: usize,
        run: impl Fn(&[u8]) + Send + Sync + RefUnwindSafe + 'static,
    ) -> Target {
        Target {
            name: name.into(),
            bytes_max,
            run: Box::new(run),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Every target, what strangers write first.
#[must_use]
pub fn targets() -> Vec<Target> {
    let mut all = format::targets();
    all.extend(framing::targets());
    all.extend(request::targets());
    all.extend(follow::targets());
    all.extend(join::targets());
    all.extend(text::targets());
    all.extend(authored::targets());
    all.extend(evidence::targets());
    all
}

/// The target of that name.
#[must_use]
pub fn named(name: &str) -> Option<Target> {
    targets().into_iter().find(|t| t.name == name)
}
