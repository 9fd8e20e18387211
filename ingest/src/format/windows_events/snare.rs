//! The Snare agent's line: `MSWinEventLog` and tab-separated fields, the last but one of them the event's message on one line.
//!
//! ```text
//! MSWinEventLog CRITICALITY LOG COUNTER TIME ID SOURCE USER SIDTYPE KIND COMPUTER CATEGORY DATA MESSAGE [CHECKSUM]
//! ```
//!
//! The event data's own names are not there; they follow from the message's captions, by the section that a caption stands in:
//! `Account Name` below `New Logon` is `TargetUserName`.

use model::{Arena, Map};

use super::Entry;
use crate::seek;

const MARK: &str = "MSWinEventLog";
/// Values of one message.
const VALUES_MAX: usize = 64;

/// Whether the line is one of Snare's.
pub(super) fn is_line(text: &str) -> bool {
    fields(text).is_some()
}

fn fields(text: &str) -> Option<Vec<&str>> {
    // JSON and XML hold no tab before it.
    let (head, rest) = seek::cut(text, b'\t')?;
    if !head.ends_with(MARK) {
        return None;
    }
    let fields: Vec<&str> = rest.splitn(15, '\t').collect();
    (fields.len() >= 13 && fields[4].trim().parse::<u32>().is_ok()).then_some(fields)
}

/// The entry of a line.
pub(super) fn entry<'a>(arena: &'a Arena, text: &'a str) -> Option<Entry<'a>> {
    let fields = fields(text)?;
    let text = |n: usize| fields.get(n).map_or("", |f| f.trim());
    let message = text(12);
    let mut data = captions(arena, message);
    if !matches!(text(6), "" | "N/A") {
        data.or_insert("User", text(6));
    }
    Some(Entry {
        id: text(4).parse().ok()?,
        channel: text(1).to_owned(),
        provider: text(5).to_owned(),
        computer: text(9).to_owned(),
        time: Some(text(3).into()),
        keywords: Some(text(8).to_owned()),
        message: Some(message.to_owned()),
        data,
        ..Entry::default()
    })
}

/// Sections of a message, and whose account they tell.
const SECTIONS: &[(&str, &str)] = &[
    ("Subject", "Subject"),
    ("New Logon", "Target"),
    ("Account For Which Logon Failed", "Target"),
    ("Account Whose Credentials Were Used", "Target"),
    ("Target Account", "Target"),
    ("New Account", "Target"),
    ("Account That Was Locked Out", "Target"),
    ("Group", "Target"),
    ("New Group", "Target"),
    ("Member", "Member"),
    ("Network Information", ""),
    ("Process Information", ""),
    ("Failure Information", ""),
    ("Detailed Authentication Information", ""),
    ("Logon Information", ""),
    ("Privileges", ""),
    ("Target Server", ""),
    ("Service Information", ""),
    ("Task Information", ""),
    ("Object", ""),
];

/// Captions whose names do not hang on the section.
const NAMES: &[(&str, &str)] = &[
    ("Logon Type", "LogonType"),
    ("Failure Reason", "FailureReason"),
    ("Status", "Status"),
    ("Sub Status", "SubStatus"),
    ("Caller Process Name", "ProcessName"),
    ("Process Name", "ProcessName"),
    ("New Process Name", "NewProcessName"),
    ("New Process ID", "NewProcessId"),
    ("Creator Process ID", "ProcessId"),
    ("Creator Process Name", "ParentProcessName"),
    ("Process Command Line", "CommandLine"),
    ("Workstation Name", "WorkstationName"),
    ("Source Network Address", "IpAddress"),
    ("Network Address", "IpAddress"),
    ("Source Port", "IpPort"),
    ("Port", "IpPort"),
    ("Logon Process", "LogonProcessName"),
    ("Authentication Package", "AuthenticationPackageName"),
    ("Target Server Name", "TargetServerName"),
    ("Privileges", "PrivilegeList"),
    ("Service Name", "ServiceName"),
    ("Service File Name", "ServiceFileName"),
    ("Task Name", "TaskName"),
    ("Object Type", "ObjectType"),
    ("Object Name", "ObjectName"),
];

/// `Section:  Caption:  value  Caption:  value  Section: …`, two blanks or more between all of them.
fn captions<'a>(arena: &'a Arena, message: &'a str) -> Map<'a> {
    let mut data = Map::new();
    let mut whose = "";
    let mut caption: Option<&str> = None;
    let mut sections = 0;
    for part in message.split("  ").map(str::trim).filter(|p| !p.is_empty()) {
        if let Some(name) = part.strip_suffix(':') {
            if let Some((_, section)) = SECTIONS.iter().find(|(s, _)| *s == name) {
                whose = section;
                sections += 1;
            }
            caption = Some(name);
            continue;
        }
        let Some(name) = caption.take() else { continue };
        let known = match name {
            // Messages without sections tell of the subject, or of the one account there is.
            "Security ID" if whose == "Member" => "MemberSid".to_owned(),
            "Account Name" if whose == "Member" => "MemberName".to_owned(),
            "Group Name" => "TargetUserName".to_owned(),
            "Security ID" if !whose.is_empty() => format!("{whose}UserSid"),
            "Account Name" if !whose.is_empty() => format!("{whose}UserName"),
            "Account Domain" | "Group Domain" if !whose.is_empty() => format!("{whose}DomainName"),
            "Logon ID" if !whose.is_empty() => format!("{whose}LogonId"),
            _ => match NAMES.iter().find(|(c, _)| *c == name) {
                Some((_, to)) => (*to).to_owned(),
                None => continue,
            },
        };
        if data.len() < VALUES_MAX {
            data.or_insert(arena.text(&known), part);
        }
    }
    // Of a logoff the subject is who logs off.
    if sections == 1 && !data.contains_key("TargetUserName") && data.contains_key("LogonType") {
        for name in ["UserName", "UserSid", "DomainName", "LogonId"] {
            if let Some(value) = data.shift_remove(&format!("Subject{name}")) {
                data.insert(arena.format(format_args!("Target{name}")), value);
            }
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_named_by_their_section() {
        let message = "An account failed to log on.  Subject:  Security ID:  S-1-0-0  Account Name:  -  Logon ID:  0x0  Logon Type:  3  \
            Account For Which Logon Failed:  Security ID:  S-1-0-0  Account Name:  oracle  Account Domain:  CORP  Failure Information:  \
            Failure Reason:  Unknown user name or bad password.  Status:  0xC000006D  Sub Status:  0xC0000064  Network Information:  \
            Workstation Name:  KALI  Source Network Address:  203.0.113.7  Source Port:  0";
        let arena = Arena::new();
        let data = captions(&arena, message);
        for (name, want) in [
            ("SubjectUserName", "-"),
            ("TargetUserName", "oracle"),
            ("TargetDomainName", "CORP"),
            ("LogonType", "3"),
            ("SubStatus", "0xC0000064"),
            ("IpAddress", "203.0.113.7"),
            ("WorkstationName", "KALI"),
        ] {
            assert_eq!(data.get(name).and_then(model::Value::as_str), Some(want), "{name}");
        }
    }

    #[test]
    fn other_lines_are_not_snares() {
        for text in ["", "MSWinEventLog", "MSWinEventLog\t1\tSecurity\tx", "a\tb"] {
            assert!(!is_line(text), "{text}");
        }
    }
}
