//! Which files are followed: a path whose parts may hold `*`, `?` and `[a-z]`; `**` is any folders between.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Files that one pattern may name; more are not followed, and said so.
pub(super) const FILES_MAX: usize = 10_000;
/// Folders that `**` goes down.
const DEPTH_MAX: usize = 16;

/// A pattern as checked.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Goes on from here: the root, a folder, a file.
    Plain(PathBuf),
    Wild(Vec<char>),
    Folders,
}

/// The pattern is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path `{given}`: give an absolute path, such as /var/log/app/*.log")]
pub struct PatternError {
    /// What was given.
    pub given: String,
}

/// What a pattern names now.
#[derive(Debug, Default)]
pub struct Named {
    /// Files and what else is no folder, in order of path, each once.
    pub paths: BTreeSet<PathBuf>,
    /// Folders that could not be read, and why.
    pub troubles: Vec<(PathBuf, io::Error)>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The operator's: the path is not absolute.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let path = Path::new(text);
        if !path.is_absolute() {
            return Err(PatternError { given: text.to_owned() });
        }
        let mut parts = Vec::new();
        for component in path.components() {
            let name = component.as_os_str().to_string_lossy();
            match component {
                Component::Normal(_) if name == "**" => parts.push(Part::Folders),
                Component::Normal(_) if name.contains(['*', '?', '[']) => {
                    parts.push(Part::Wild(name.chars().collect()));
                }
                _ => match parts.last_mut() {
                    Some(Part::Plain(path)) => path.push(component),
                    _ => parts.push(Part::Plain(PathBuf::from(component.as_os_str()))),
                },
            }
        }
        Ok(Pattern {
            text: text.to_owned(),
            parts,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it names now. A folder at its end stands for the files in it; names that begin with a dot have to be
    /// named.
    #[must_use]
    pub fn expand(&self) -> Named {
        let mut named = Named::default();
        walk(Path::new(""), &self.parts, DEPTH_MAX, &mut named);
        named
    }
}

fn walk(at: &Path, parts: &[Part], depth: usize, named: &mut Named) {
    if named.paths.len() >= FILES_MAX {
        return;
    }
    let Some((part, rest)) = parts.split_first() else {
        return end(at, named);
    };
    match part {
        Part::Plain(path) => {
            let next = at.join(path);
            if rest.is_empty() || next.is_dir() {
                walk(&next, rest, depth, named);
            } else if let Err(error) = next.metadata()
                && error.kind() != io::ErrorKind::NotFound
            {
                named.troubles.push((next, error));
            }
        }
        Part::Wild(pattern) => {
            for name in names(at, named) {
                let next = at.join(&name);
                if fits(pattern, &name.to_string_lossy()) && (rest.is_empty() || next.is_dir()) {
                    walk(&next, rest, depth, named);
                }
            }
        }
        Part::Folders => {
            walk(at, rest, depth, named);
            if depth == 0 {
                return;
            }
            for name in names(at, named) {
                let next = at.join(&name);
                // A link to a folder is not followed here: it may lead back.
                let folder = next.symlink_metadata().is_ok_and(|m| m.is_dir());
                if folder && !name.to_string_lossy().starts_with('.') {
                    walk(&next, parts, depth - 1, named);
                }
            }
        }
    }
}

fn end(at: &Path, named: &mut Named) {
    if !at.is_dir() {
        // What is not there yet is no trouble; it is looked for again.
        if at.symlink_metadata().is_ok() {
            named.paths.insert(at.to_owned());
        }
        return;
    }
    for name in names(at, named) {
        let next = at.join(&name);
        if named.paths.len() < FILES_MAX && !name.to_string_lossy().starts_with('.') && !next.is_dir() {
            named.paths.insert(next);
        }
    }
}

/// The names in a folder, in order.
fn names(at: &Path, named: &mut Named) -> BTreeSet<std::ffi::OsString> {
    match std::fs::read_dir(at) {
        Ok(entries) => entries.filter_map(|e| Some(e.ok()?.file_name())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => BTreeSet::new(),
        Err(error) => {
            named.troubles.push((at.to_owned(), error));
            BTreeSet::new()
        }
    }
}

/// Whether a name fits a pattern. Goes back to the last `*` only, so it takes at most pattern times name steps.
fn fits(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            Some('[') => {
                if let Some((holds, next)) = class(&pattern[p..], name[n]) {
                    if holds {
                        (p, n) = (p + next, n + 1);
                        continue;
                    }
                } else if name[n] == '[' {
                    (p, n) = (p + 1, n + 1);
                    continue;
                }
            }
            Some(c) if *c == name[n] => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            _ => {}
        }
        match star {
            Some((at, from)) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a character is of the class `[…]` that the pattern begins with, and the class's length; `None` where it is
/// not closed.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let inner = &pattern[1..];
    let not = matches!(inner.first(), Some('!' | '^'));
    let inner = &inner[usize::from(not)..];
    let end = inner.iter().skip(1).position(|c| *c == ']')? + 1;
    let mut set = &inner[..end];
    let mut holds = false;
    while let Some((first, rest)) = set.split_first() {
        set = match rest {
            ['-', last, rest @ ..] => {
                holds |= (*first..=*last).contains(&c);
                rest
            }
            _ => {
                holds |= *first == c;
                rest
            }
        };
    }
    Some((holds != not, 1 + usize::from(not) + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, holds) in [
            ("*.log", "a.log", true),
            ("*.log", ".log", false),
            (".*", ".log", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("?.log", "é.log", true),
            ("app[0-9].log", "app7.log", true),
            ("app[!0-9].log", "app7.log", false),
            ("app[!0-9].log", "appx.log", true),
            ("a[", "a[", true),
            ("[]]", "]", true),
            ("*", "", true),
        ] {
            let pattern: Vec<char> = pattern.chars().collect();
            assert_eq!(fits(&pattern, name), holds, "{pattern:?} {name}");
        }
        let stars: Vec<char> = "*a".repeat(200).chars().collect();
        assert!(!fits(&stars, &"a".repeat(199)));
    }

    #[test]
    fn a_pattern_names_files_in_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a.log", "b.txt", "x/c.log", "x/y/d.log", "x/.hidden.log"] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), "").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("x/loop")).unwrap();
        let check = |pattern: &str| {
            let pattern = Pattern::parse(&format!("{}/{pattern}", root.display())).unwrap();
            let named = pattern.expand();
            assert!(named.troubles.is_empty(), "{:?}", named.troubles);
            let short = |p: &PathBuf| p.strip_prefix(root).unwrap().display().to_string();
            named.paths.iter().map(short).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(check("*.log"), "a.log");
        assert_eq!(check("a.log"), "a.log");
        assert_eq!(check("gone.log"), "");
        assert_eq!(check("gone/a.log"), "");
        assert_eq!(check(""), "a.log b.txt");
        assert_eq!(check("x"), "x/c.log");
        assert_eq!(check("*/*.log"), "x/c.log");
        assert_eq!(check("**/*.log"), "a.log x/c.log x/y/d.log");
        assert!(Pattern::parse("relative/*.log").is_err());
    }
}
