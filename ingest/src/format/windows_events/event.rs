//! The event of an entry.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use model::{Event, Map, Millis, Object, Value};

mod identity;
mod machine;

use super::Entry;
use crate::builder::{EventBuilder, address};
use crate::class::Class;
use crate::fields::{Fields, scalar};
use crate::format::{Input, host};
use crate::seek;
use crate::time_text;

/// Characters of a value that was cut: ETW's bound of 31,839, or all of 32 K.
const VALUE_CHARS: usize = 31_839;

pub(super) fn event<'a>(input: &Input<'a>, entry: &Entry<'a>) -> Event<'a> {
    let data = entry.data.build(input.arena);
    let maker = Maker { input, entry, data };
    let mut b = maker.build();
    for (name, value) in data {
        b.unmapped(name, value);
        // `EvtRender` and ETW hold 64 KB: strings end before 32 K characters of two bytes.
        if value
            .as_str()
            .is_some_and(|v| v.len() >= VALUE_CHARS && v.chars().count() >= VALUE_CHARS)
        {
            b.label("data.maybe_truncated");
        }
    }
    b.finish()
}

struct Maker<'a, 'i> {
    input: &'i Input<'a>,
    entry: &'i Entry<'a>,
    data: Object<'a>,
}

#[derive(Clone, Copy, PartialEq)]
enum Channel {
    Security,
    System,
    PowerShell,
    Terminal,
    Other,
}

impl<'a> Maker<'a, '_> {
    /// A value of the event data that says something.
    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        Fields(self.data)
            .text(name)
            .filter(|v| !matches!(&**v, "-" | "S-1-0-0" | "0x0" | "{00000000-0000-0000-0000-000000000000}"))
    }

    fn channel(&self) -> Channel {
        let name = self.entry.channel.to_ascii_lowercase();
        match name.as_str() {
            // Events of the Security log are known by their numbers alone where a collector left out the channel.
            "security" | "" => Channel::Security,
            "system" => Channel::System,
            _ if seek::contains(&name, "powershell") => Channel::PowerShell,
            _ if seek::contains(&name, "terminalservices") => Channel::Terminal,
            _ => Channel::Other,
        }
    }

    fn build(&self) -> EventBuilder<'a> {
        match (self.channel(), self.entry.id) {
            (Channel::Security, id) => self.security(id),
            (Channel::System, 7045) => self.service(),
            (Channel::System, 104) => self.log(1),
            (Channel::PowerShell, 4104 | 4103) => self.script(),
            (Channel::Terminal, 25) => self.desktop(8),
            (Channel::Terminal, 21 | 1149) => self.desktop(3),
            (Channel::Terminal, 23 | 24) => self.desktop(7),
            _ => self.other(),
        }
    }

    fn security(&self, id: u32) -> EventBuilder<'a> {
        match id {
            4624 | 4625 | 4648 | 4776 => self.logon(1),
            4634 | 4647 => self.logon(2),
            4768 => self.logon(3),
            4769 => self.logon(4),
            4770 => self.logon(5),
            4771 => self.logon(6),
            4800 | 4801 => {
                let mut b = self.logon(99);
                b.set("activity_name", if id == 4800 { "Lock" } else { "Unlock" });
                b
            }
            4672 => self.privileges(),
            4720 => self.account(1, ""),
            4722 => self.account(2, ""),
            4723 => self.account(3, ""),
            4724 => self.account(4, ""),
            4725 => self.account(5, ""),
            4726 => self.account(6, ""),
            4738 => self.account(99, "Change"),
            4740 => self.account(9, ""),
            4767 => self.account(12, ""),
            4781 => self.account(99, "Rename"),
            4727 | 4731 | 4754 | 4744 | 4749 | 4759 => self.group(6, ""),
            4730 | 4734 | 4758 | 4748 | 4753 | 4763 => self.group(5, ""),
            4728 | 4732 | 4756 | 4746 | 4751 | 4761 => self.group(3, ""),
            4729 | 4733 | 4757 | 4747 | 4752 | 4762 => self.group(4, ""),
            4735 | 4737 | 4755 | 4764 => self.group(99, "Change"),
            4688 => self.process(1),
            4689 => self.process(2),
            4656 | 4658 | 4660 | 4663 | 4670 if self.is_file() => self.file(id),
            5140 => self.share(),
            5145 => self.shared_file(),
            4697 => self.service(),
            4698 => self.task(1),
            4699 => self.task(3),
            4700 => self.task(4),
            4701 => self.task(5),
            4702 => self.task(2),
            1102 => self.log(1),
            1100 => self.log(7),
            4719 => self.audit_policy(),
            4703 | 4704 | 4717 => self.right(1),
            4705 | 4718 => self.right(2),
            4713 | 4739 | 4902 | 4907 | 4912 => self.policy(),
            4778 => self.desktop(8),
            4779 => self.desktop(7),
            5156 => self.connection(1),
            5157 => self.connection(5),
            _ => self.other(),
        }
    }

    fn event(&self, class: &'static Class, activity: u8) -> EventBuilder<'a> {
        let e = self.entry;
        let product = if e.provider.is_empty() { "Windows" } else { &e.provider };
        let mut b = EventBuilder::new(self.input, class, activity, "Microsoft", product);
        self.time(&mut b);
        b.metadata("log_name", e.channel.as_str())
            .metadata("log_provider", e.provider.as_str())
            .metadata("event_code", e.id.to_string());
        let computer = e.computer.trim();
        host::device(&mut b, Some(computer));
        if let Some((name, domain)) = seek::cut(computer, b'.')
            && address(computer).0.is_none()
        {
            b.set("device.domain", domain).system_of("host:", name);
        }
        if let Some(record) = e.record.as_deref().filter(|r| !r.trim().is_empty()) {
            let uid = b.arena().concat(&[computer, "/", &e.channel, "/", record]);
            b.metadata("original_event_uid", Value::String(uid));
            b.set_some("metadata.sequence", record.trim().parse::<i32>().ok());
        }
        if let Some(message) = e.message.as_deref().and_then(|m| m.lines().next()) {
            b.set("message", seek::trim(message));
        }
        let (category, service) = self.logsource();
        b.logsource("windows", category, &service);
        b.native(self.native());
        b
    }

    /// `EventTime` has no zone: it is as far from the collector's time as the zone is, but for a few minutes.
    fn time(&self, b: &mut EventBuilder<'a>) {
        let e = self.entry;
        let Some(time) = &e.time else { return };
        if !b.time_of(self.input, time) {
            if let Some(collected) = &e.collected {
                b.time_of(self.input, collected);
            }
            return;
        }
        const QUARTER_MS: i64 = 15 * 60_000;
        const DELAY_MS_MAX: i64 = 5 * 60_000;
        let read =
            |value: &Value<'_>| time_text::parse_any(&scalar(value)?, self.input.record.received_at, &TimeZone::UTC);
        let (Some(local), Some(collected)) = (read(time), e.collected.as_ref().and_then(read)) else {
            return;
        };
        if !local.flags.zone_assumed || collected.flags.zone_assumed {
            return;
        }
        // The collector is later, never earlier.
        let apart = collected.time - local.time;
        let zone = (apart + 30_000).div_euclid(QUARTER_MS) * QUARTER_MS;
        if apart - zone <= DELAY_MS_MAX && zone.abs() <= 14 * 3_600_000 {
            b.time(Millis(local.time.0 + zone)).label("time.zone_inferred");
        }
    }

    fn logsource(&self) -> (&'static str, String) {
        let channel = self.entry.channel.to_ascii_lowercase();
        let id = self.entry.id;
        let name = channel.strip_prefix("microsoft-windows-").unwrap_or(&channel);
        let name = name.strip_suffix("/operational").unwrap_or(name);
        let service = match name {
            "windows powershell" => "powershell-classic",
            "windows defender" => "windefend",
            "windows firewall with advanced security/firewall" => "firewall-as",
            "bits-client" => "bits-client",
            "applocker/exe and dll" | "applocker/msi and script" => "applocker",
            "codeintegrity" => "codeintegrity-operational",
            "" => "security",
            other => other,
        };
        let category = match (service, id) {
            ("security", 4688) | ("sysmon", 1) => "process_creation",
            ("security", 4689) | ("sysmon", 5) => "process_termination",
            ("security", 5156) | ("sysmon", 3) => "network_connection",
            ("sysmon", 7) => "image_load",
            ("sysmon", 11) => "file_event",
            ("sysmon", 12..=14) => "registry_event",
            ("sysmon", 22) => "dns_query",
            ("powershell", 4104) => "ps_script",
            ("powershell", 4103) => "ps_module",
            ("powershell-classic", 400) => "ps_classic_start",
            ("powershell-classic", 600) => "ps_classic_provider_start",
            _ => "log",
        };
        (category, service.replace([' ', '/'], "-"))
    }

    fn native(&self) -> Map<'a> {
        let keep = self.input.keep();
        if !keep.arena.wants_native() {
            return Map::new();
        }
        let e = self.entry;
        let mut native = e.data.clone();
        native.insert("EventID", e.id);
        for (name, value) in [
            ("Channel", &e.channel),
            ("Provider_Name", &e.provider),
            ("Computer", &e.computer),
        ] {
            if !value.is_empty() {
                native.insert(name, keep.text(value));
            }
        }
        if let Some(message) = &e.message {
            native.insert("Message", keep.text(message));
        }
        if e.id == 4688 && self.channel() == Channel::Security {
            let user = match (self.get("SubjectDomainName"), self.get("SubjectUserName")) {
                (Some(domain), Some(user)) => Some(format!("{domain}\\{user}")),
                (_, user) => user.map(Cow::into_owned),
            };
            for (name, value) in [
                ("Image", self.get("NewProcessName").map(Cow::into_owned)),
                ("ParentImage", self.get("ParentProcessName").map(Cow::into_owned)),
                ("User", user),
                ("LogonId", self.get("SubjectLogonId").map(Cow::into_owned)),
                ("IntegrityLevel", self.get("MandatoryLabel").map(Cow::into_owned)),
            ] {
                if let Some(value) = value {
                    native.insert(name, keep.text(&value));
                }
            }
        }
        native
    }

    /// An account of the event data: `Subject` or `Target`.
    fn user(&self, b: &mut EventBuilder<'a>, path: &'static str, who: &str) {
        let name = self.get(&format!("{who}UserName"));
        let sid = self
            .get(&format!("{who}UserSid"))
            .or_else(|| self.get(&format!("{who}Sid")));
        if name.is_none() && sid.is_none() {
            return;
        }
        if let Some(name) = name.as_deref() {
            b.set_in(path, "name", name);
            let (id, kind) = if is_machine(name, sid.as_deref()) {
                (3, "System")
            } else {
                (1, "User")
            };
            b.set_in(path, "type_id", id).set_in(path, "type", kind);
        }
        b.set_some_in(path, "uid", sid.as_deref());
        b.set_some_in(path, "domain", self.get(&format!("{who}DomainName")).as_deref());
    }

    fn actor(&self, b: &mut EventBuilder<'a>) {
        self.user(b, "actor.user", "Subject");
        b.set_some("actor.session.uid", self.get("SubjectLogonId").as_deref());
        self.process_at(b, "actor.process", "ProcessId", "ProcessName");
    }

    /// The class demands one.
    fn some_actor(&self, b: &mut EventBuilder<'a>) {
        self.actor(b);
        if !b.has("actor") {
            b.word("actor.user.name", "-");
        }
    }

    fn target(&self, b: &mut EventBuilder<'a>) {
        self.user(b, "user", "Target");
        if !b.has("user") {
            b.word("user.name", "-");
        }
    }

    fn process_at(&self, b: &mut EventBuilder<'a>, path: &'static str, id: &str, name: &str) {
        let pid = self.get(id).and_then(|p| number(&p));
        // The record's own process is told by the record where it has no number; another's is not.
        if pid.is_none() && path != "process" {
            return;
        }
        if let Some(pid) = pid {
            b.set_in(path, "pid", pid);
        }
        if let Some(image) = self.get(name) {
            b.set_in(path, "name", host::file_name(&image));
            let file = match path {
                "process" => "process.file",
                "actor.process" => "actor.process.file",
                _ => "process.parent_process.file",
            };
            host::file(b, file, &image, false);
        }
    }

    fn source(&self, b: &mut EventBuilder<'a>, ip: &str, port: &str, name: &str) {
        let named = self.get(name);
        if let Some(ip) = self.get(ip) {
            // `::1`, `LOCAL`, `\\10.0.0.9`
            b.host("src_endpoint", ip.trim_start_matches('\\'));
            b.set_some("src_endpoint.name", named.as_deref());
        } else if let Some(name) = &named {
            b.set("src_endpoint.hostname", name.trim_start_matches('\\'));
        }
        if b.has("src_endpoint")
            && let Some(port) = self.get(port).and_then(|p| p.parse::<u16>().ok()).filter(|p| *p > 0)
        {
            b.set("src_endpoint.port", port);
        }
    }

    /// Whether the event log marked it as a failure.
    fn failed(&self) -> bool {
        self.entry.keywords.as_deref().is_some_and(|k| {
            let k = k.to_ascii_lowercase();
            seek::contains(&k, "failure") || k == "0x8010000000000000" || k == "-9218868437227405312"
        })
    }

    fn outcome(&self, b: &mut EventBuilder<'a>) {
        b.success(!self.failed());
    }
}

const LOGON_TYPES: &[(u8, &str)] = &[
    (2, "Interactive"),
    (3, "Network"),
    (4, "Batch"),
    (5, "OS Service"),
    (7, "Unlock"),
    (8, "Network Cleartext"),
    (9, "New Credentials"),
    (10, "Remote Interactive"),
    (11, "Cached Interactive"),
    (12, "Cached Remote Interactive"),
    (13, "Cached Unlock"),
];

/// Accounts of machines and of the system itself.
fn is_machine(name: &str, sid: Option<&str>) -> bool {
    name.ends_with('$')
        || name.starts_with("DWM-")
        || name.starts_with("UMFD-")
        || matches!(name, "SYSTEM" | "LOCAL SERVICE" | "NETWORK SERVICE" | "ANONYMOUS LOGON")
        || matches!(sid, Some("S-1-5-18" | "S-1-5-19" | "S-1-5-20"))
}

/// A decimal number, or a hexadecimal one with `0x`.
fn number(text: &str) -> Option<i32> {
    let text = seek::trim(text);
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i32::try_from(u32::from_str_radix(hex, 16).ok()?).ok(),
        None => text.parse().ok(),
    }
}

fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or("")
        .split_whitespace()
        .take(256)
        .map(str::to_owned)
        .collect()
}

/// What a code of a refused logon means.
fn reason(id: u32, code: &str) -> Option<&'static str> {
    let code = number_u32(code)?;
    if matches!(id, 4768..=4771) {
        return Some(match code {
            0x6 => "no such user",
            0x7 => "no such service",
            0xC => "policy does not allow it",
            0x12 => "account disabled, expired or locked",
            0x17 => "password expired",
            0x18 => "bad password",
            0x25 => "clocks differ",
            _ => return None,
        });
    }
    Some(match code {
        0xC000_006A => "bad password",
        0xC000_0064 => "no such user",
        0xC000_006D => "bad user name or password",
        0xC000_0234 => "account locked",
        0xC000_0072 => "account disabled",
        0xC000_006F => "outside of the allowed hours",
        0xC000_0070 => "workstation not allowed",
        0xC000_0071 => "password expired",
        0xC000_0193 => "account expired",
        0xC000_0133 => "clocks differ",
        0xC000_015B => "logon type not granted",
        0xC000_0224 => "password must change",
        _ => return None,
    })
}

fn number_u32(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    u32::from_str_radix(hex, 16).ok()
}
