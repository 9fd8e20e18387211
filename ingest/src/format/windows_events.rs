//! Windows events, above all of the Security log, in five dialects: XML (`wevtutil`, WEF, `<Event>`), flattened JSON
//! (NXLog, Logstash: `EventID` and `Channel` at the top), Winlogbeat (`winlog.event_data`), EVTX dumped as JSON
//! (`Event.System`), Snare's tab-separated syslog line.
//!
//! | id | OCSF |
//! |---|---|
//! | 4624, 4625, 4648, 4776 | Authentication 3002.1 (4648 with an account switch); 4634, 4647 3002.2; 4768 .3, 4769 .4, 4770 .5, 4771 .6; 4800, 4801 .99 |
//! | 4672 | Authorize Session 3003.1 |
//! | 4720 4722 4723 4724 4725 4726 4740 4767; 4738 4781 | Account Change 3001.1 .2 .3 .4 .5 .6 .9 .12; .99 |
//! | 4727 … 4764 | Group Management 3006.6, .5, .3, .4, .99 |
//! | 4688, 4689 | Process Activity 1007.1, .2 |
//! | 4656 4663 4660 4658 4670 of files | File System Activity 1001 by the access mask |
//! | 5140, 5145 | SMB Activity 4006.2, Network File Activity 4010.14 |
//! | 4697, System 7045 | Windows Service Activity 201004.1 |
//! | 4698 … 4702 | Scheduled Job Activity 1006.1 .3 .4 .5 .2 |
//! | 1102, System 104; 4719; 1100 | Event Log Activity 1008.1; .10 or .99; .7 |
//! | 4704 4717 4703, 4705 4718 | User Access 3005.1, .2 |
//! | 4739 4713 4907 4902 4912 | Entity Management 3004.3 |
//! | 4778, 4779, 21, 23, 24, 25, 1149 of terminal services | RDP Activity 4005 |
//! | 5156, 5157 | Network Activity 4001.1, .5 |
//! | 4104, 4103 of PowerShell | Script Activity 1009.1 |
//! | other | Base Event; the fields in `unmapped` |
//!
//! Machine accounts (`NAME$`), SYSTEM, DWM-*, UMFD-* are `type_id` 3 System. Log source: product `windows`, service by channel
//! (`security`, `system`, `powershell`, …), category `process_creation` for 4688, `ps_script`, … as SigmaHQ has them. Native
//! fields are the event data by their own names with `EventID`, `Channel`, `Provider_Name`, `Computer`; 4688 has `Image`, `CommandLine`,
//! `ParentImage`, `User` beside them. `docket.system` is `host:<computer>`: the name before the first dot, as written
//! in the asset register.
//!
//! NXLog's `EventTime` has no zone: it is taken from `@timestamp`, which is when the collector had it.

use std::borrow::Cow;

use crate::seek;
use model::{Arena, Event, Map, Object, Value};

use crate::fields::{Fields, scalar};
use crate::format::{Format, Input, Match, Quarantine};

mod classes;
mod event;
mod snare;
mod xml;

/// Windows events.
pub static FORMAT: Format = Format {
    name: "windows_events",
    aliases: &["windows", "windows_security", "windows_eventlog", "winlogbeat", "nxlog"],
    matches,
    normalize,
};

/// A Windows event, of whichever dialect.
#[derive(Clone, Debug, Default)]
struct Entry<'a> {
    id: u32,
    channel: String,
    provider: String,
    computer: String,
    /// The time, and the collector's where the first has no zone.
    time: Option<Value<'a>>,
    collected: Option<Value<'a>>,
    record: Option<String>,
    /// Who the event log says wrote it.
    user_sid: Option<String>,
    keywords: Option<String>,
    message: Option<String>,
    /// The event data, by their own names.
    data: Map<'a>,
}

fn matches(input: &Input<'_>) -> Option<Match> {
    let text = seek::trim_start(input.text);
    // Its priority looks like a tag.
    if snare::is_line(text) {
        return Some(Match {
            score: 92,
            reason: "Snare's MSWinEventLog",
        });
    }
    if text.starts_with('<') {
        let is_event = seek::contains(text, "<EventID") && seek::contains(text, "<System>");
        return is_event.then_some(Match {
            score: 95,
            reason: "the XML of a Windows event",
        });
    }
    if !text.starts_with('{') {
        return None;
    }
    let f = Fields(input.object().ok()?);
    let reason = if f.value("winlog.event_id").is_some() {
        "winlog.event_id"
    } else if f.object("Event.System").is_some() {
        "Event.System"
    } else if f.int("EventID").is_some() && f.value("Channel").is_some() {
        "EventID and Channel"
    } else {
        return None;
    };
    Some(Match { score: 92, reason })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let text = seek::trim_start(input.text);
    if let Some(entry) = snare::entry(input.arena, text) {
        return Ok(vec![event::event(input, &entry)]);
    }
    if text.starts_with('<') {
        let entry = xml::entry(input.arena, text).ok_or(Quarantine("windows_xml"))?;
        return Ok(vec![event::event(input, &entry)]);
    }
    let object = input.take_object()?;
    let f = Fields(object);
    let entry = if f.object("winlog").is_some() {
        winlogbeat(f)
    } else if f.object("Event").is_some() {
        dumped(input.arena, f)
    } else {
        flat(object)
    };
    let entry = entry.ok_or(Quarantine("windows_event_id"))?;
    Ok(vec![event::event(input, &entry)])
}

fn owned(text: Option<Cow<'_, str>>) -> String {
    text.map(Cow::into_owned).unwrap_or_default()
}

fn id(f: Fields<'_>, names: &[&str]) -> Option<u32> {
    names.iter().find_map(|n| u32::try_from(f.int(n)?).ok())
}

/// NXLog and Logstash.
fn flat<'a>(object: Object<'a>) -> Option<Entry<'a>> {
    /// What the collector and the event log add; all else is event data.
    const SYSTEM: &[&str] = &[
        "EventID",
        "Channel",
        "Hostname",
        "SourceName",
        "ProviderGuid",
        "Level",
        "Keywords",
        "TimeCreated",
        "@timestamp",
        "@version",
        "EventTime",
        "EventReceivedTime",
        "Message",
        "Task",
        "Version",
        "ThreadID",
        "ExecutionProcessID",
        "SourceModuleName",
        "SourceModuleType",
        "SeverityValue",
        "Severity",
        "tags",
        "host",
        "port",
        "Opcode",
        "OpcodeValue",
        "EventType",
        "Category",
        "RecordNumber",
        "ActivityID",
        "RelatedActivityID",
    ];
    let f = Fields(object);
    let times = ["TimeCreated", "EventTime", "@timestamp"];
    let data = object
        .iter()
        .filter(|(k, _)| !SYSTEM.contains(k))
        .filter_map(|(k, v)| Some((k, text_of(v)?)))
        .collect();
    Some(Entry {
        id: id(f, &["EventID"])?,
        channel: owned(f.text("Channel")),
        provider: owned(f.first(&["SourceName", "ProviderName", "Provider_Name"])),
        computer: owned(f.first(&["Hostname", "Computer", "ComputerName"])),
        time: times.iter().find_map(|n| f.value(n)).cloned(),
        collected: f.value("@timestamp").cloned(),
        record: f.text("RecordNumber").map(Cow::into_owned),
        user_sid: f.text("UserID").map(Cow::into_owned),
        keywords: f.first(&["EventType", "Keywords"]).map(Cow::into_owned),
        message: f.text("Message").map(Cow::into_owned),
        data,
    })
}

fn winlogbeat<'a>(f: Fields<'a>) -> Option<Entry<'a>> {
    let mut data = Map::new();
    for name in ["winlog.event_data", "winlog.user_data"] {
        if let Some(fields) = f.object(name) {
            data.extend(fields.0.iter().filter_map(|(k, v)| Some((k, text_of(v)?))));
        }
    }
    Some(Entry {
        id: id(f, &["winlog.event_id", "event.code"])?,
        channel: owned(f.text("winlog.channel")),
        provider: owned(f.first(&["winlog.provider_name", "event.provider"])),
        computer: owned(f.first(&["winlog.computer_name", "host.hostname", "host.name"])),
        time: ["winlog.time_created", "@timestamp"]
            .iter()
            .find_map(|n| f.value(n))
            .cloned(),
        collected: None,
        record: f.text("winlog.record_id").map(Cow::into_owned),
        user_sid: f.text("winlog.user.identifier").map(Cow::into_owned),
        keywords: f
            .text("event.outcome")
            .or_else(|| {
                f.value("winlog.keywords")
                    .and_then(Value::as_array)
                    .and_then(|k| scalar(k.first()?))
            })
            .map(Cow::into_owned),
        message: f.text("message").map(Cow::into_owned),
        data,
    })
}

/// `Event.System` and `Event.EventData`; a value may be an object with `#text`.
fn dumped<'a>(arena: &'a Arena, f: Fields<'a>) -> Option<Entry<'a>> {
    let system = f.object("Event.System")?;
    let text = |name: &str| system.value(name).and_then(text_of);
    let plain = |name: &str| text(name).and_then(|v| scalar(&v).map(Cow::into_owned));
    let mut data = Map::new();
    if let Some(fields) = f.object("Event.EventData") {
        for (name, value) in fields.0 {
            match (name, value) {
                // A list of what has no names, or of objects that have them.
                ("Data", Value::Array(items)) => {
                    for (n, item) in items.iter().enumerate() {
                        let named = item.get("@Name").or_else(|| item.get("#attributes")?.get("Name"));
                        let name = named
                            .and_then(Value::as_str)
                            .unwrap_or_else(|| arena.format(format_args!("param{}", n + 1)));
                        data.extend(text_of(item).map(|v| (name, v)));
                    }
                }
                ("#attributes", _) => {}
                _ => data.extend(text_of(value).map(|v| (name, v))),
            }
        }
    }
    if let Some(Value::Object(kinds)) = f.value("Event.UserData") {
        for fields in kinds.values().filter_map(Value::as_object) {
            data.extend(
                fields
                    .iter()
                    .filter(|(k, _)| !k.starts_with(['#', '@']))
                    .filter_map(|(k, v)| Some((k, text_of(v)?))),
            );
        }
    }
    let first = |names: &[&str]| names.iter().find_map(|n| system.value(n)).cloned();
    Some(Entry {
        id: plain("EventID")?.trim().parse().ok()?,
        channel: plain("Channel").unwrap_or_default(),
        provider: owned(system.first(&[
            "Provider.#attributes.Name",
            "Provider.@Name",
            "Provider.Name",
            "Provider_Name",
        ])),
        computer: plain("Computer").unwrap_or_default(),
        time: first(&[
            "TimeCreated.#attributes.SystemTime",
            "TimeCreated.@SystemTime",
            "TimeCreated.SystemTime",
            "TimeCreated_SystemTime",
        ]),
        collected: None,
        record: plain("EventRecordID"),
        user_sid: system
            .first(&["Security.#attributes.UserID", "Security.@UserID", "Security.UserID"])
            .map(Cow::into_owned),
        keywords: plain("Keywords"),
        message: None,
        data,
    })
}

/// A scalar, or what an object has as its text.
fn text_of<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Null => None,
        Value::Object(fields) => text_of(fields.get("#text").or_else(|| fields.get("$t"))?),
        Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => None,
        other => Some(*other),
    }
}
