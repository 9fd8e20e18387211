//! Which topics and which of their partitions a process reads.

use regex::Regex;

/// The topics of the configuration: names, and patterns that begin with `^`.
#[derive(Clone, Debug)]
pub struct TopicSelection {
    names: Vec<String>,
    patterns: Vec<Regex>,
}

/// The operator's: the configuration names no topics that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No topic at all.
    #[error("no topics are named; give names, or patterns that begin with `^` such as `^audit\\.`")]
    Empty,
    /// Not a regular expression.
    #[error("`{given}` is not a regular expression: {reason}")]
    Pattern {
        /// What was given.
        given: String,
        /// Why not.
        reason: String,
    },
    /// Not a name that Kafka allows.
    #[error("`{given}` cannot be a topic: Kafka allows letters, digits, `.`, `_` and `-`; a pattern begins with `^`")]
    Name {
        /// What was given.
        given: String,
    },
    /// A name that Docket gives to records of its own.
    #[error("`{given}` is kept for Docket's own records; name the topic otherwise")]
    Reserved {
        /// What was given.
        given: String,
    },
}

impl TopicSelection {
    /// Checks what the configuration says.
    ///
    /// # Errors
    /// The operator's: see [`SelectionError`].
    pub fn new<S: AsRef<str>>(topics: impl IntoIterator<Item = S>) -> Result<TopicSelection, SelectionError> {
        let mut selection = TopicSelection {
            names: Vec::new(),
            patterns: Vec::new(),
        };
        for given in topics {
            let given = given.as_ref();
            if given.starts_with('^') {
                let pattern = Regex::new(given).map_err(|e| SelectionError::Pattern {
                    given: given.to_owned(),
                    reason: e.to_string(),
                })?;
                selection.patterns.push(pattern);
                continue;
            }
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if given.is_empty() || given.len() > 249 || !given.chars().all(legal) {
                return Err(SelectionError::Name {
                    given: given.to_owned(),
                });
            }
            if reserved(given) {
                return Err(SelectionError::Reserved {
                    given: given.to_owned(),
                });
            }
            selection.names.push(given.to_owned());
        }
        if selection.names.is_empty() && selection.patterns.is_empty() {
            return Err(SelectionError::Empty);
        }
        Ok(selection)
    }

    /// Whether a topic of the broker is read. Patterns match no internal topic (`__…`).
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let by_pattern = || !topic.starts_with("__") && self.patterns.iter().any(|p| p.is_match(topic));
        !reserved(topic) && (self.names.iter().any(|n| n == topic) || by_pattern())
    }

    /// The topics that are named outright.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Record ids of Docket's own acts and of embedded sources begin so.
fn reserved(topic: &str) -> bool {
    topic == model::TOPIC_DOCKET || topic.starts_with("local.")
}

/// Which partitions a process reads: process `process` (from 0) of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    process: u32,
    of: u32,
}

impl Share {
    /// All partitions.
    pub const ALL: Share = Share { process: 0, of: 1 };

    /// Process `process` (from 0) of `of`; `None` where there is no such process.
    #[must_use]
    pub fn new(process: u32, of: u32) -> Option<Share> {
        (process < of).then_some(Share { process, of })
    }

    /// Whether a partition is read here. Every process of the same `of` agrees, now and after an upgrade.
    #[must_use]
    pub fn holds(&self, topic: &str, partition: i32) -> bool {
        // FNV-1a, so that topics of one partition do not all fall to process 0.
        let hash = topic
            .bytes()
            .fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        hash.wrapping_add(partition.unsigned_abs()) % self.of == self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        let selection = TopicSelection::new(["web", "__internal", "^audit\\.(linux|web)$"]).expect("legal");
        for (topic, read) in [
            ("web", true),
            ("web2", false),
            ("audit.linux", true),
            ("audit.linux2", false),
            ("__internal", true),
            ("__consumer_offsets", false),
        ] {
            assert_eq!(selection.matches(topic), read, "{topic}");
        }
        let all = TopicSelection::new(["^"]).expect("legal");
        for topic in ["docket", "local.web", "__consumer_offsets"] {
            assert!(!all.matches(topic), "{topic}");
        }
    }

    #[test]
    fn a_wrong_topic_is_named() {
        let long = "x".repeat(250);
        for wrong in ["", "a/b", "a@2", "docket", "local.web", "^(", long.as_str()] {
            let error = TopicSelection::new([wrong]).expect_err(wrong).to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
        assert_eq!(TopicSelection::new([""; 0]).expect_err("none"), SelectionError::Empty);
    }

    #[test]
    fn every_partition_is_read_by_one_process() {
        for of in 1..5 {
            for topic in ["audit.linux", "web"] {
                for partition in 0..12 {
                    let readers = (0..of).filter(|p| Share::new(*p, of).expect("a share").holds(topic, partition));
                    assert_eq!(readers.count(), 1);
                }
            }
        }
        assert_eq!(Share::new(2, 2), None);
    }
}
