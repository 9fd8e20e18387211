//! Rule collections: documents of one file that share content (`action: global`, `reset`, `repeat`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::report::unknown;
use crate::yaml::{Key, Kind, Node, count};
use crate::{Place, PolicyError, Problem};

/// Nodes that merging may make of one file; a short document can repeat a long one.
const NODES_MAX: usize = 2_000_000;

const ACTIONS: &[&str] = &["global", "reset", "repeat"];

/// The documents of one file, merged one after the other.
#[derive(Default)]
pub(crate) struct Collection {
    /// What goes into each document that follows, with the text that its version is made of.
    global: Option<(Node, String)>,
    /// The document before, which `repeat` takes up.
    before: Option<(Node, String)>,
    nodes: usize,
    /// How many documents have taken each id.
    ids: BTreeMap<String, u32>,
    names: BTreeSet<String>,
}

impl Collection {
    /// The next document as it stands after merging; `None` where it only changes those that follow.
    ///
    /// What is global goes over what a document says itself, as in pySigma, but for `id` and `name`; maps are merged
    /// key by key. The second document that takes over an id is `<id>#2`, and has no name unless it gives one.
    pub fn merge(&mut self, node: Node, text: &str, file: &Arc<str>) -> Result<Option<(Node, String)>, PolicyError> {
        let Some(at) = node.get("action").cloned() else {
            let mut merged = node;
            let mut whole = text.to_owned();
            if let Some((global, global_text)) = &self.global {
                let own = [take(&mut merged, "id"), take(&mut merged, "name")];
                self.nodes += merge(&mut merged, global);
                own.into_iter()
                    .flatten()
                    .for_each(|(key, value)| put(&mut merged, key, value));
                whole = format!("{global_text}\n---\n{text}");
            }
            self.check(&merged.place(file))?;
            self.before = Some((merged.clone(), whole.clone()));
            return Ok(Some((self.named(merged), whole)));
        };
        let wrong = |problem| PolicyError {
            place: at.place(file),
            problem,
        };
        let mut own = node;
        take(&mut own, "action");
        match at.scalar().as_deref() {
            Some("global") => {
                match &mut self.global {
                    // Several are added up.
                    Some((global, global_text)) => {
                        self.nodes += merge(global, &own);
                        global_text.push_str("\n---\n");
                        global_text.push_str(text);
                    }
                    none => *none = Some((own, text.to_owned())),
                }
                self.check(&at.place(file))?;
                Ok(None)
            }
            Some("reset") => {
                self.global = None;
                Ok(None)
            }
            Some("repeat") => {
                let Some((before, before_text)) = self.before.take() else {
                    let reason = "there is no document before it to repeat".to_owned();
                    let key = "action".to_owned();
                    return Err(wrong(Problem::Value { key, reason }));
                };
                let (mut merged, whole) = (before, format!("{before_text}\n---\n{text}"));
                self.nodes += merge(&mut merged, &own) + count(&merged);
                // Messages name the document at hand, not the one that it repeats.
                (merged.line, merged.column) = (own.line, own.column);
                self.check(&at.place(file))?;
                self.before = Some((merged.clone(), whole.clone()));
                Ok(Some((self.named(merged), whole)))
            }
            Some(other) => Err(wrong(unknown("action", other, ACTIONS))),
            None => Err(wrong(Problem::Shape {
                key: "action".to_owned(),
                given: at.describe(),
                allowed: "`global`, `reset` or `repeat`".to_owned(),
            })),
        }
    }

    /// The document under an id and a name of its own.
    fn named(&mut self, mut node: Node) -> Node {
        if let Some(id) = node.get("id").and_then(|n| Some(n.scalar()?.into_owned())) {
            let times = self.ids.entry(id.clone()).or_default();
            *times += 1;
            if *times > 1
                && let Some((key, mut value)) = take(&mut node, "id")
            {
                value.kind = Kind::Text(format!("{id}#{times}"));
                put(&mut node, key, value);
            }
        }
        if let Some(name) = node.get("name").and_then(|n| Some(n.scalar()?.into_owned()))
            && !self.names.insert(name)
        {
            take(&mut node, "name");
        }
        node
    }

    fn check(&self, place: &Place) -> Result<(), PolicyError> {
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(PolicyError {
            place: place.clone(),
            problem: Problem::TooMuch {
                what: "nodes made by `action` in one file",
                given: self.nodes,
                limit: NODES_MAX,
            },
        })
    }
}

fn take(node: &mut Node, key: &str) -> Option<(Key, Node)> {
    let Kind::Map(items) = &mut node.kind else { return None };
    let at = items.iter().position(|(k, _)| k.text == key)?;
    Some(items.remove(at))
}

fn put(node: &mut Node, key: Key, value: Node) {
    take(node, &key.text);
    if let Kind::Map(items) = &mut node.kind {
        items.push((key, value));
    }
}

/// Puts `from` over `into`; says how many nodes were copied.
fn merge(into: &mut Node, from: &Node) -> usize {
    let (Kind::Map(items), Kind::Map(more)) = (&mut into.kind, &from.kind) else {
        *into = from.clone();
        return count(from);
    };
    let mut copied = 0;
    for (key, value) in more {
        match items.iter_mut().find(|(k, _)| k.text == key.text) {
            Some((_, old)) => copied += merge(old, value),
            None => {
                copied += count(value);
                items.push((key.clone(), value.clone()));
            }
        }
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::super::load_text;

    /// Id, and whether each event of `f` = the letter matches: told by the version and the fields.
    fn ids(text: &str) -> (Vec<String>, Vec<String>) {
        let loaded = load_text(text);
        (
            loaded.policies.all().iter().map(|p| p.reference.id.clone()).collect(),
            loaded
                .errors
                .iter()
                .filter(|e| !e.is_lint())
                .map(ToString::to_string)
                .collect(),
        )
    }

    #[test]
    fn global_content_goes_into_what_follows_until_it_is_reset() {
        let text = "action: global\ntitle: t\nid: one\nlogsource: {product: p}\ndetection: {condition: s}\n\
                    ---\ndetection: {s: {f: a}}\n---\ndetection: {s: {f: b}}\n---\naction: repeat\ndetection: {s: {f: c}}\n\
                    ---\nid: own\ndetection: {s: {f: d}}\n---\naction: reset\n---\ndetection: {s: {f: e}, condition: s}\n";
        let (ids, errors) = ids(text);
        assert_eq!(ids, ["one", "one#2", "one#3", "own"]);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("policy.yml:19:1: `title` is missing"), "{errors:?}");
    }

    #[test]
    fn a_broken_action_is_reported_and_the_others_load() {
        let rule = "title: t\nlogsource: {product: p}\ndetection: {s: {f: a}, condition: s}\n";
        let (ids, errors) = ids(&format!("action: repeat\n---\naction: gobal\n---\n{rule}"));
        assert_eq!(ids, ["t"]);
        assert!(errors[0].contains("no document before it"), "{errors:?}");
        assert!(errors[1].contains("did you mean `global`?"), "{errors:?}");
        // Short documents that repeat a long one.
        let long: String = (0..2000).map(|i| format!("        - v{i}\n")).collect();
        let text =
            format!("title: t\nlogsource: {{product: p}}\ndetection:\n    condition: s\n    s:\n      f:\n{long}");
        let bomb = text + &"---\naction: repeat\n".repeat(5000);
        let loaded = load_text(&bomb);
        assert!(
            loaded
                .errors
                .iter()
                .any(|e| e.to_string().contains("nodes made by `action`"))
        );
    }
}
