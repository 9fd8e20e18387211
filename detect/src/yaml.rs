//! YAML with positions: the documents of a file as nodes that know where they are written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::sigma::Number;
use crate::{Place, PolicyError, Problem};

/// Bytes of one policy file that we read.
const FILE_BYTES_MAX: usize = 8 << 20;
/// Levels of nesting in a document; what walks a node may recurse.
const DEPTH_MAX: usize = 40;
/// Nodes of one document, those that aliases repeat counted each time.
const NODES_MAX: usize = 400_000;

/// One document of a file.
pub(crate) struct Document<'t> {
    /// Its text, without the `---` lines and the blank ends.
    pub text: &'t str,
    /// Lines of the file before `text`.
    pub line_offset: u32,
}

/// The documents of a file, in order; those without content are left out.
///
/// `---` at the start of a line parts documents wherever it stands (YAML 1.2, 9.1.2), so that a broken
/// document does not take its neighbours with it.
pub(crate) fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let (mut at, mut line) = (0, 0);
    for l in text.split_inclusive('\n') {
        let bare = l.trim_end();
        let parts = bare == "---" || bare.starts_with("--- ") || bare == "...";
        if parts {
            push(text, start, at, start_line, &mut out);
            // What stands behind `--- ` belongs to the document.
            let content = bare.starts_with("--- ") && !bare[4..].trim_start().starts_with('#');
            start = at + if content { 4 } else { l.len() };
            start_line = if content { line } else { line + 1 };
        }
        at += l.len();
        line += 1;
    }
    push(text, start, text.len(), start_line, &mut out);
    out
}

fn push<'t>(text: &'t str, start: usize, end: usize, line: u32, out: &mut Vec<Document<'t>>) {
    let document = &text[start..end];
    if document
        .lines()
        .any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#') && !l.starts_with('%'))
    {
        // Blank lines before it are kept out of the text and so out of the version.
        let skipped: usize = document
            .split_inclusive('\n')
            .take_while(|l| l.trim().is_empty())
            .map(str::len)
            .sum();
        let lines = document[..skipped].matches('\n').count() as u32;
        out.push(Document {
            text: document[skipped..].trim_end(),
            line_offset: line + lines,
        });
    }
}

/// A node, with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, with its text.
    Number(Number, String),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in order of writing; no key stands twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Its text.
    pub text: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Node {
    /// Where it is.
    pub fn place(&self, file: &Arc<str>) -> Place {
        Place {
            file: file.clone(),
            line: self.line,
            column: self.column,
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.iter().find(|(k, _)| k.text == key).map(|(_, v)| v)
    }

    /// The items of a mapping.
    pub fn map(&self) -> Option<&[(Key, Node)]> {
        match &self.kind {
            Kind::Map(items) => Some(items),
            _ => None,
        }
    }

    /// A scalar as it is written; null is none.
    pub fn scalar(&self) -> Option<Cow<'_, str>> {
        match &self.kind {
            Kind::Text(text) | Kind::Number(_, text) => Some(Cow::Borrowed(text)),
            Kind::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// A list's items, or the node itself as the only one; of null, nothing.
    pub fn one_or_many(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// For messages: what it is.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "null".to_owned(),
            Kind::Bool(b) => b.to_string(),
            Kind::Number(_, text) => text.clone(),
            Kind::Text(text) if text.chars().count() <= 60 => format!("`{text}`"),
            Kind::Text(text) => format!("`{}…`", text.chars().take(60).collect::<String>()),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

/// Reads one document.
pub(crate) fn parse(document: &Document<'_>, file: &Arc<str>) -> Result<Node, PolicyError> {
    if document.text.len() > FILE_BYTES_MAX {
        let problem = Problem::TooMuch {
            what: "bytes in one document",
            given: document.text.len(),
            limit: FILE_BYTES_MAX,
        };
        let place = Place {
            file: file.clone(),
            line: document.line_offset + 1,
            column: 1,
        };
        return Err(PolicyError { place, problem });
    }
    let mut reader = Reader {
        file,
        line_offset: document.line_offset,
        stack: vec![],
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    for event in Parser::new_from_str(document.text) {
        match event {
            Ok((event, span)) => reader.event(event, span)?,
            Err(e) => {
                let place = reader.place(e.marker().line(), e.marker().col());
                return Err(PolicyError {
                    place,
                    problem: Problem::Yaml(e.info().to_owned()),
                });
            }
        }
    }
    reader
        .root
        .take()
        .ok_or_else(|| reader.error(1, 0, Problem::Yaml("the document is empty".to_owned())))
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// Of a mapping: the key whose value comes next.
    key: Option<Key>,
}

struct Reader<'f> {
    file: &'f Arc<str>,
    line_offset: u32,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Reader<'_> {
    fn place(&self, line: usize, column: usize) -> Place {
        let line = u32::try_from(line)
            .unwrap_or(u32::MAX)
            .max(1)
            .saturating_add(self.line_offset);
        Place {
            file: self.file.clone(),
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    fn error(&self, line: usize, column: usize, problem: Problem) -> PolicyError {
        PolicyError {
            place: self.place(line, column),
            problem,
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), PolicyError> {
        let (line, column) = (span.start.line(), span.start.col());
        let at = self.place(line, column);
        let node = |kind| Node {
            line: at.line,
            column: at.column,
            kind,
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let forced = tag.is_some_and(|t| t.suffix == "str");
                let kind = if style == ScalarStyle::Plain && !forced {
                    plain(&text)
                } else {
                    Kind::Text(text.into_owned())
                };
                self.put(node(kind), anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(node(Kind::List(Vec::new())), anchor),
            Event::MappingStart(anchor, _) => self.open(node(Kind::Map(Vec::new())), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.stack.pop() else { return Ok(()) };
                self.put(open.node, open.anchor, 1)
            }
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((aliased, size)) => {
                    if self.stack.len() + depth(&aliased) > DEPTH_MAX {
                        return Err(self.too_deep(line, column));
                    }
                    self.put(aliased, 0, size)
                }
                None => Err(self.error(line, column, Problem::Yaml("an alias without an anchor".to_owned()))),
            },
            _ => Ok(()),
        }
    }

    fn too_deep(&self, line: usize, column: usize) -> PolicyError {
        let problem = Problem::TooMuch {
            what: "levels of nesting",
            given: DEPTH_MAX + 1,
            limit: DEPTH_MAX,
        };
        self.error(line, column, problem)
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), PolicyError> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.too_deep((node.line - self.line_offset) as usize, node.column as usize - 1));
        }
        self.stack.push(Open {
            node,
            anchor,
            key: None,
        });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), PolicyError> {
        let place = Place {
            file: self.file.clone(),
            line: node.line,
            column: node.column,
        };
        let fail = |problem| {
            Err(PolicyError {
                place: place.clone(),
                problem,
            })
        };
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return fail(Problem::TooMuch {
                what: "nodes in one document",
                given: self.nodes,
                limit: NODES_MAX,
            });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), count(&node)));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut open.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(items) => match open.key.take() {
                Some(key) => items.push((key, node)),
                None => {
                    let text = match (&node.kind, node.scalar()) {
                        (_, Some(text)) => text.into_owned(),
                        (Kind::Null, _) => String::new(),
                        _ => return fail(Problem::Yaml("a key has to be text".to_owned())),
                    };
                    if let Some((first, _)) = items.iter().find(|(k, _)| k.text == text) {
                        let first = Place {
                            file: self.file.clone(),
                            line: first.line,
                            column: first.column,
                        };
                        return fail(Problem::Duplicate {
                            what: "the key",
                            given: text,
                            first,
                        });
                    }
                    open.key = Some(Key {
                        text,
                        line: node.line,
                        column: node.column,
                    });
                }
            },
            _ => {}
        }
        Ok(())
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(items) => 1 + items.iter().map(|(_, v)| depth(v)).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many nodes there are in a node, keys and itself counted.
pub(crate) fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Map(items) => 1 + items.iter().map(|(_, v)| 1 + count(v)).sum::<usize>(),
        _ => 1,
    }
}

/// A plain scalar by the core schema of YAML 1.2.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    let radix = |prefix: &str, radix| {
        i128::from_str_radix(text.strip_prefix(prefix)?, radix)
            .ok()
            .map(Number::Int)
    };
    match Number::parse(text)
        .or_else(|| radix("0x", 16))
        .or_else(|| radix("0o", 8))
    {
        Some(number) => Kind::Number(number, text.to_owned()),
        None => Kind::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_parted_and_keep_their_lines() {
        let text = "---\n\na: 1\n---\n# only a comment\n---\nb: ]\n--- # three\nc: 3\n";
        let file = Arc::from("f.yml");
        let docs = documents(text);
        let read: Vec<_> = docs.iter().map(|d| (d.text, parse(d, &file))).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].1.as_ref().unwrap().line, 3);
        assert_eq!(read[1].1.as_ref().unwrap_err().place.line, 7, "{:?}", read[1].1);
        assert_eq!(read[2].1.as_ref().unwrap().get("c").unwrap().line, 9);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let file: Arc<str> = "f.yml".into();
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let refs = format!("*a{},", i - 1).repeat(10);
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        let deep = "[".repeat(100_000);
        let deep_block: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        for text in [
            bomb.as_str(),
            deep.as_str(),
            deep_block.as_str(),
            "a: 1\na: 2",
            "? [a]\n: b",
            "*x",
            "a: \"\\q\"",
        ] {
            for d in documents(text) {
                assert!(parse(&d, &file).is_err(), "{}", &text[..text.len().min(40)]);
            }
        }
    }
}
