//! The XML of one Windows event: elements, attributes, text; no DTD, no outside entity. Linear, bounded.

use std::borrow::Cow;

use model::{Arena, Map, Value};

use super::Entry;
use crate::seek;

/// Levels of elements.
const DEPTH_MAX: usize = 32;
/// Values of event data.
const DATA_MAX: usize = 1_024;

/// Reads an event; nothing where it has no id.
pub(super) fn entry<'a>(arena: &'a Arena, text: &str) -> Option<Entry<'a>> {
    let mut entry = Entry::default();
    let mut path: Vec<&str> = Vec::new();
    let mut attributes: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut content = String::new();
    let mut unnamed = 0;
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find('<') {
        content.push_str(&unescape(&rest[..at]));
        rest = &rest[at + 1..];
        if let Some(data) = rest.strip_prefix("![CDATA[") {
            let (data, after) = seek::split_once(data, "]]>").unwrap_or((data, ""));
            content.push_str(data);
            rest = after;
            continue;
        }
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = seek::split_once(comment, "-->").map_or("", |(_, after)| after);
            continue;
        }
        let end = tag_end(rest);
        let tag = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or("");
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            found |= take(arena, &mut entry, &path, &attributes, content.trim(), &mut unnamed);
            path.pop();
            attributes.clear();
            content.clear();
            continue;
        }
        let is_empty = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let (name, given) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        // `ns:EventID`
        path.push(name.rsplit(':').next().unwrap_or(name));
        if path.len() > DEPTH_MAX {
            return None;
        }
        attributes = read_attributes(given);
        content.clear();
        if is_empty {
            found |= take(arena, &mut entry, &path, &attributes, "", &mut unnamed);
            path.pop();
            attributes.clear();
        } else {
            // What stands in attributes is known before the element's end.
            from_attributes(arena, &mut entry, &path, &attributes);
        }
    }
    found.then_some(entry)
}

/// Where a tag ends: the first `>` outside of quotes.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn read_attributes(mut text: &str) -> Vec<(&str, Cow<'_, str>)> {
    let mut all = Vec::new();
    while let Some((name, rest)) = seek::cut(text, b'=') {
        let rest = rest.trim_start();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            break;
        };
        let (value, after) = rest[1..].split_once(quote).unwrap_or((&rest[1..], ""));
        all.push((seek::trim(name), unescape(value)));
        text = after;
        if all.len() >= 32 {
            break;
        }
    }
    all
}

fn from_attributes<'a>(arena: &'a Arena, entry: &mut Entry<'a>, path: &[&str], attributes: &[(&str, Cow<'_, str>)]) {
    let get = |name: &str| attributes.iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_string());
    match path {
        ["Event", "System", "Provider"] | ["Events", "Event", "System", "Provider"] => {
            entry.provider = get("Name").unwrap_or_default();
        }
        [.., "System", "TimeCreated"] => entry.time = get("SystemTime").map(|t| Value::String(arena.text(&t))),
        [.., "System", "Security"] => entry.user_sid = get("UserID"),
        _ => {}
    }
}

/// Takes an element that ends; says whether it was the event's id.
fn take<'a>(
    arena: &'a Arena,
    entry: &mut Entry<'a>,
    path: &[&str],
    attributes: &[(&str, Cow<'_, str>)],
    text: &str,
    unnamed: &mut usize,
) -> bool {
    from_attributes(arena, entry, path, attributes);
    match path {
        [.., "System", name] => match *name {
            "EventID" => {
                if let Ok(id) = text.parse() {
                    entry.id = id;
                    return true;
                }
            }
            "Channel" => entry.channel = text.to_owned(),
            "Computer" => entry.computer = text.to_owned(),
            "EventRecordID" => entry.record = Some(text.to_owned()),
            "Keywords" => entry.keywords = Some(text.to_owned()),
            _ => {}
        },
        [.., "EventData", "Data"] => {
            let name = match attributes.iter().find(|(k, _)| *k == "Name") {
                Some((_, name)) => name.to_string(),
                None => {
                    *unnamed += 1;
                    format!("param{unnamed}")
                }
            };
            put(arena, &mut entry.data, &name, text);
        }
        [.., "RenderingInfo", "Message"] => entry.message = Some(text.to_owned()),
        path if path.contains(&"UserData") => {
            if let Some(name) = path.last() {
                put(arena, &mut entry.data, name, text);
            }
        }
        _ => {}
    }
    false
}

fn put<'a>(arena: &'a Arena, data: &mut Map<'a>, name: &str, text: &str) {
    if !text.is_empty() && data.len() < DATA_MAX {
        data.or_insert(arena.text(name), arena.text(text));
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !seek::has(text, b'&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        let known = end.and_then(|end| {
            let c = match &rest[1..end] {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                number => {
                    let number = number.strip_prefix('#')?;
                    let code = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                        None => number.parse().ok()?,
                    };
                    char::from_u32(code)?
                }
            };
            Some((c, end))
        });
        match known {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_are_read_by_name_and_user_data_too() {
        let arena = Arena::new();
        let e = entry(
            &arena,
            "<?xml version='1.0'?><Event xmlns='x'><System><Provider Name='P' Guid='{1}'/><EventID Qualifiers=''>4688</EventID>\
             <TimeCreated SystemTime=\"2026-03-02T14:06:33.1234567Z\"/><Channel>Security</Channel><Computer>W1.corp</Computer>\
             <Security UserID='S-1'/></System><EventData><Data Name='CommandLine'>cmd /c &quot;a &gt; b&quot; &#x41; &bad;</Data>\
             <Data>x</Data></EventData><UserData><LogFileCleared><SubjectUserName>li</SubjectUserName></LogFileCleared></UserData></Event>",
        )
        .expect("an event");
        assert_eq!(
            (e.id, &*e.channel, &*e.provider, &*e.computer),
            (4688, "Security", "P", "W1.corp")
        );
        assert_eq!(e.time, Some("2026-03-02T14:06:33.1234567Z".into()));
        assert_eq!(*e.data.get("CommandLine").expect("a value"), "cmd /c \"a > b\" A &bad;");
        assert_eq!(*e.data.get("param1").expect("a value"), "x");
        assert_eq!(*e.data.get("SubjectUserName").expect("a value"), "li");
        assert!(entry(&arena, "<Event></Event>").is_none());
        assert!(entry(&arena, &"<a>".repeat(1000)).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(</?[a-zA-Z]{0,3}|[ -~é]|&#?x?[0-9a-f]{0,5};|>|/>|'|\"){0,40}") {
            let arena = Arena::new();
            let _ = entry(&arena, &format!("<Event><System><EventID>1</EventID>{text}"));
            let _ = (entry(&arena, &text), unescape(&text));
        }
    }
}
