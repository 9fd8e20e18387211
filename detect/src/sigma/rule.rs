//! A rule's detections and condition.

use std::sync::Arc;

use model::{LogSource, Namespace};

use super::{Match, ocsf_class_uid};
use crate::Place;

/// Product and category of findings as events.
pub const FINDINGS: (&str, &str) = ("docket", "finding");

fn is_finding(source: &LogSource) -> bool {
    let is = |label: &Option<Arc<str>>, word: &str| label.as_deref().is_some_and(|l| l.eq_ignore_ascii_case(word));
    is(&source.product, FINDINGS.0) && is(&source.category, FINDINGS.1)
}

/// A Sigma rule over single events.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which events it is for. A label it lacks matches every event.
    pub logsource: LogSource,
    /// Its detections and condition.
    pub detection: DetectionSet,
    /// Of the filters for this rule, each has to hold too.
    pub filters: Vec<Arc<DetectionSet>>,
}

impl Rule {
    /// Which names its fields are: OCSF paths with `product: ocsf`, else the source's own.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        match &self.logsource.product {
            Some(p) if p.eq_ignore_ascii_case("ocsf") => Namespace::Ocsf,
            _ => Namespace::Native,
        }
    }

    /// The OCSF class that `product: ocsf` with a category reads.
    #[must_use]
    pub fn class_uid(&self) -> Option<u32> {
        if self.namespace() == Namespace::Native {
            return None;
        }
        self.logsource.category.as_deref().and_then(ocsf_class_uid)
    }

    /// Whether it is for findings: `product: docket`, `category: finding`.
    #[must_use]
    pub fn reads_findings(&self) -> bool {
        is_finding(&self.logsource)
    }

    /// Whether it is for events of a log source and class. A label that the event lacks matches: a missing label
    /// never skips a rule.
    #[must_use]
    pub fn is_for(&self, event: &LogSource, class_uid: u32) -> bool {
        if self.reads_findings() != is_finding(event) {
            return false;
        }
        if self.namespace() == Namespace::Ocsf {
            return match (&self.logsource.category, self.class_uid()) {
                (Some(_), class) => class == Some(class_uid),
                (None, _) => true,
            };
        }
        let fits = |rule: &Option<Arc<str>>, event: &Option<Arc<str>>| match (rule, event) {
            (Some(r), Some(e)) => r.eq_ignore_ascii_case(e),
            _ => true,
        };
        let (r, e) = (&self.logsource, event);
        fits(&r.product, &e.product) && fits(&r.category, &e.category) && fits(&r.service, &e.service)
    }

    /// Calls `each` with the name of every field that it reads; `*` for keywords.
    pub fn for_each_field<'a>(&'a self, mut each: impl FnMut(&'a str)) {
        for set in std::iter::once(&self.detection).chain(self.filters.iter().map(|f| &**f)) {
            for (_, detection) in &set.detections {
                detection.for_each_item(&mut |item| {
                    each(item.field());
                    for m in item.groups.iter().flatten() {
                        if let Match::FieldRef { field, .. } = m {
                            each(field);
                        }
                    }
                });
            }
        }
    }
}

/// Named detections, and the condition over them.
#[derive(Clone, Debug)]
pub struct DetectionSet {
    /// By name, in the order written.
    pub detections: Vec<(Arc<str>, Detection)>,
    /// When it holds.
    pub condition: Expr,
}

/// A boolean expression over detections; numbers are indexes into [`DetectionSet::detections`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// The detection holds.
    Detection(usize),
    /// All hold.
    All(Vec<Expr>),
    /// One holds.
    Any(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// So many of the detections hold.
    AtLeast(u32, Vec<usize>),
}

/// What one detection asks for.
#[derive(Clone, Debug)]
pub enum Detection {
    /// A map: all hold.
    All(Vec<Detection>),
    /// A list: one holds.
    Any(Vec<Detection>),
    /// `field|modifiers: values`, or keywords.
    Item(Item),
}

impl Detection {
    /// Calls `each` with every item in it.
    pub fn for_each_item<'a>(&'a self, each: &mut dyn FnMut(&'a Item)) {
        match self {
            Detection::All(ds) | Detection::Any(ds) => ds.iter().for_each(|d| d.for_each_item(each)),
            Detection::Item(item) => each(item),
        }
    }
}

/// `field|modifiers: values`.
#[derive(Clone, Debug)]
pub struct Item {
    /// The field; `None`: keywords, which are looked for in every value of the event.
    pub field: Option<Arc<str>>,
    /// For each value as written, the ways in which it matches (`base64offset` makes three of one).
    pub groups: Vec<Vec<Match>>,
    /// `|all`: every value has to match, each on some value of the field. Otherwise one of them.
    pub all: bool,
    /// `|neq`: the opposite.
    pub negated: bool,
    /// Where it is written.
    pub place: Place,
}

impl Item {
    /// The field's name; `*` for keywords.
    #[must_use]
    pub fn field(&self) -> &str {
        self.field.as_deref().unwrap_or("*")
    }
}
