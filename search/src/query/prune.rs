//! Whether a part of the index can hold a match at all, by what is known of it without opening it.

use super::ast::{Leaf, Node, Target, Test};
use super::field::Kind;
use crate::keyword::{folded, glob};

/// What is known of a part.
pub(crate) struct Known<'a> {
    /// The times of its events lie between these.
    pub(crate) times: (i64, i64),
    /// The sources of its events; `None`: not known.
    pub(crate) sources: Option<&'a [String]>,
}

/// `false`: no event of the part matches.
pub(crate) fn may_match(node: &Node, known: &Known<'_>) -> bool {
    match node {
        Node::And(items) => items.iter().all(|n| may_match(n, known)),
        Node::Or(items) => items.iter().any(|n| may_match(n, known)),
        // Of what is not there, nothing is known to be all.
        Node::Not(_) => true,
        Node::Leaf(leaf) => leaf_may(leaf, known),
    }
}

fn leaf_may(leaf: &Leaf, known: &Known<'_>) -> bool {
    let Target::Field(spec) = &leaf.target else { return true };
    match (&spec.kind, &leaf.test) {
        (Kind::Time("time"), Test::Time(first, last)) => *first <= known.times.1 && *last >= known.times.0,
        (Kind::Keyword(["source"]), test) => known.sources.is_none_or(|sources| {
            sources.iter().any(|source| match test {
                Test::Is(value) => folded(source) == *value,
                Test::Like(pattern) => glob(pattern, &folded(source)),
                _ => true,
            })
        }),
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::query::Query;
    use model::Millis;

    #[test]
    fn a_part_is_passed_over_only_where_nothing_can_match() {
        let sources = ["JumpServer".to_owned(), "nginx".to_owned()];
        let known = Known {
            times: (1_772_000_001_000, 1_772_000_002_000),
            sources: Some(&sources),
        };
        for (query, expected) in [
            ("source:jumpserver", true),
            ("source:linux", false),
            ("source:jump*", true),
            ("source:lin*", false),
            ("source:(linux OR nginx)", true),
            ("source:linux OR user:a", true),
            ("source:linux user:a", false),
            ("NOT source:linux", true),
            ("NOT source:nginx", true),
            ("exists:source", true),
            ("time:>=1772000002001", false),
            ("time:[1772000001500 TO 1772000001600]", true),
            ("time:<1772000001000 OR source:nginx", true),
            ("received:>1772000005000", true),
            ("user:a", true),
            ("", true),
        ] {
            let query_read = Query::parse(query, Some(Millis(0))).unwrap();
            assert_eq!(may_match(&query_read.root, &known), expected, "{query}");
        }
        let unknown = Known { sources: None, ..known };
        assert!(may_match(&Query::parse("source:linux", None).unwrap().root, &unknown));
    }
}
