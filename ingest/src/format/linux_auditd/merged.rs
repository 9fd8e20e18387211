//! The lines of one event as one thing.

use std::cell::OnceCell;

use model::value::int_text;
use model::{Map, Value};

use super::record::{EventId, Record, hex, is_set};
use super::syscall;
use crate::keep::Keep;
use crate::seek;

/// Bytes of a process's title that the kernel writes.
const TITLE_BYTES_MAX: usize = 128;

/// Arguments that are taken of one command.
const ARGUMENTS_MAX: usize = 4096;
/// Bytes of a command line.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// The lines of one event; never none.
pub(super) struct Merged<'a> {
    pub records: Vec<Record<'a>>,
    /// Which of them says what the event is about.
    main: usize,
    arguments: OnceCell<Option<(Vec<String>, bool)>>,
}

/// A file that a system call named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PathItem<'r> {
    pub name: &'r str,
    /// `NORMAL`, `CREATE`, `DELETE`, `PARENT`, or empty.
    pub nametype: &'r str,
    pub is_folder: bool,
}

/// An internet address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Socket {
    pub ip: String,
    pub port: u16,
}

impl<'a> Merged<'a> {
    pub(super) fn new(records: Vec<Record<'a>>) -> Merged<'a> {
        let main = (0..).zip(&records).min_by_key(|(_, r)| rank(&r.kind));
        Merged {
            main: main.map_or(0, |(n, _)| n),
            records,
            arguments: OnceCell::new(),
        }
    }

    pub(super) fn id(&self) -> &EventId {
        &self.records[0].id
    }

    /// The record that says what the event is about.
    pub(super) fn main(&self) -> &Record<'a> {
        &self.records[self.main]
    }

    pub(super) fn of(&self, kind: &str) -> Option<&Record<'a>> {
        self.records.iter().find(|r| r.kind == kind)
    }

    /// A field of the main record, or else of any.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let own = self.main().get(name);
        if own.is_some() || self.records.len() == 1 {
            return own;
        }
        self.records.iter().find_map(|r| r.get(name))
    }

    /// A field that auditd translated, of any record.
    pub(super) fn translated(&self, name: &str) -> Option<&str> {
        self.records.iter().find_map(|r| r.translated(name))
    }

    /// The system call's name; its number where we know no name.
    pub(super) fn syscall(&self) -> Option<&str> {
        let call = self.of("SYSCALL")?;
        if let Some(name) = call.translated("SYSCALL") {
            return Some(name);
        }
        let number = call.get("syscall")?;
        Some(syscall::name(call.get("arch").unwrap_or(""), number).unwrap_or(number))
    }

    /// The arguments of the program, and whether all are there.
    pub(super) fn arguments(&self) -> Option<&(Vec<String>, bool)> {
        self.arguments.get_or_init(|| self.read_arguments()).as_ref()
    }

    fn read_arguments(&self) -> Option<(Vec<String>, bool)> {
        let mut arguments: Vec<(u32, u32, String)> = Vec::new();
        let mut count = None;
        for record in self.records.iter().filter(|r| r.kind == "EXECVE") {
            count = count.or_else(|| record.get("argc").and_then(|c| c.parse::<usize>().ok()));
            for (key, value) in record.fields.iter() {
                let Some((index, part)) = argument_index(key) else {
                    continue;
                };
                if arguments.len() < ARGUMENTS_MAX {
                    arguments.push((index, part, value.to_string()));
                }
            }
        }
        if arguments.is_empty() {
            return None;
        }
        arguments.sort_by_key(|(index, part, _)| (*index, *part));
        let mut joined: Vec<String> = Vec::new();
        let mut last = None;
        for (index, _, value) in arguments {
            match joined.last_mut() {
                Some(argument) if last == Some(index) => argument.push_str(&value),
                _ => joined.push(value),
            }
            last = Some(index);
        }
        let whole = count.is_none_or(|c| c <= joined.len());
        Some((joined, whole))
    }

    /// The arguments that the process shows, from PROCTITLE; cut by the kernel at 128 bytes.
    pub(super) fn title(&self) -> Option<Vec<String>> {
        let title = self.of("PROCTITLE")?.get("proctitle")?;
        Some(
            title
                .trim_end_matches('\0')
                .split('\0')
                .take(ARGUMENTS_MAX)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// The kernel cut it: source: `MAX_PROCTITLE_AUDIT_LEN` of `kernel/auditsc.c`.
    pub(super) fn title_is_cut(&self) -> bool {
        let title = self.of("PROCTITLE").and_then(|r| r.get("proctitle"));
        title.is_some_and(|t| t.len() >= TITLE_BYTES_MAX)
    }

    /// The files, in order of `item`.
    pub(super) fn paths(&self) -> Vec<PathItem<'_>> {
        let mut items: Vec<(u32, PathItem<'_>)> = self
            .records
            .iter()
            .filter(|r| r.kind == "PATH")
            .filter_map(|r| {
                let mode = r.get("mode").unwrap_or("");
                let item = PathItem {
                    name: r.get("name")?,
                    nametype: r.get("nametype").or_else(|| r.get("objtype")).unwrap_or(""),
                    is_folder: mode.trim_start_matches('0').starts_with("40") && mode.len() >= 5,
                };
                Some((r.get("item").and_then(|i| i.parse().ok()).unwrap_or(0), item))
            })
            .collect();
        items.sort_by_key(|(item, _)| *item);
        items.into_iter().map(|(_, item)| item).collect()
    }

    /// Whether something is missing that another line says should be there.
    pub(super) fn is_partial(&self) -> bool {
        let call = self.of("SYSCALL");
        let details = ["EXECVE", "PATH", "CWD", "PROCTITLE", "SOCKADDR"];
        if call.is_none() {
            return self.records.iter().any(|r| details.contains(&&*r.kind));
        }
        let paths = self.records.iter().filter(|r| r.kind == "PATH").count();
        let items = call.and_then(|c| c.get("items")?.parse::<usize>().ok()).unwrap_or(0);
        paths < items
            || self.arguments().is_some_and(|(_, whole)| !*whole)
            || matches!(self.syscall(), Some("execve" | "execveat")) && self.of("EXECVE").is_none()
    }

    /// The address of the other side, of an internet socket.
    pub(super) fn socket(&self) -> Option<Socket> {
        socket(&hex(self.of("SOCKADDR")?.get("saddr")?)?)
    }

    /// The source's own fields.
    pub(super) fn native<'k>(&self, keep: Keep<'k>) -> Map<'k> {
        let mut native = Map::new();
        if !keep.arena.wants_native() {
            return native;
        }
        let mut kinds: Vec<&str> = Vec::new();
        for record in &self.records {
            if record.kind != "EOE" && !kinds.contains(&&*record.kind) {
                kinds.push(&record.kind);
            }
        }
        put_all(keep, &mut native, "type", kinds);
        let has_arguments = self.of("EXECVE").is_some();
        let arguments = self.arguments().map_or(&[][..], |(arguments, _)| arguments);
        for (n, argument) in (0..).zip(arguments) {
            let name = keep.arena.concat(&["a", int_text(n, &mut [0; 20])]);
            if keep.arena.wants_native_of(name) {
                native.insert(name, keep.arena.text(argument));
            }
        }
        let main: *const Record<'_> = self.main();
        // The main record's fields win.
        let order = self
            .records
            .iter()
            .filter(|r| std::ptr::eq(*r, main))
            .chain(self.records.iter().filter(|r| !std::ptr::eq(*r, main)));
        for record in order {
            for (key, value) in record.fields.iter() {
                if !keep.arena.wants_native_of(key) {
                    continue;
                }
                let skip = has_arguments && argument_index(key).is_some()
                    || record.kind == "PATH" && matches!(&**key, "name" | "nametype" | "objtype");
                if skip || key.ends_with("_len") {
                    continue;
                }
                // Several keys of rules are parted by this byte.
                let value = value.replace('\0', " ");
                match value.contains('\u{1}') {
                    true => put_all(keep, &mut native, key, value.split('\u{1}').collect()),
                    false => put_all(keep, &mut native, key, vec![&value]),
                }
            }
            for (key, value) in record.enriched.iter() {
                put_all(keep, &mut native, key, vec![value]);
            }
        }
        let paths = self.paths();
        put_all(keep, &mut native, "name", paths.iter().map(|p| p.name).collect());
        put_all(
            keep,
            &mut native,
            "nametype",
            paths.iter().map(|p| p.nametype).collect(),
        );
        if let Some(call) = self.syscall() {
            put_all(keep, &mut native, "SYSCALL", vec![call]);
        }
        native
    }
}

/// What says most of an event is about comes first.
fn rank(kind: &str) -> u8 {
    match kind {
        "SYSCALL" => 1,
        "EXECVE" => 2,
        "PATH" => 3,
        "CWD" | "PROCTITLE" | "SOCKADDR" | "FD_PAIR" | "OBJ_PID" | "BPRM_FCAPS" | "CAPSET" | "MMAP" | "IPC"
        | "SOCKETCALL" | "EOE" | "PARENT_INFO" | "CONTAINER_INFO" => 4,
        // AVC, CONFIG_CHANGE, … beside their SYSCALL.
        _ => 0,
    }
}

/// Puts one value as text, several as a list; what is there stays.
fn put_all<'k>(keep: Keep<'k>, native: &mut Map<'k>, name: &str, values: Vec<&str>) {
    if !keep.arena.wants_native_of(name) || native.contains_key(name) || values.is_empty() {
        return;
    }
    let value = match values.as_slice() {
        [one] => Value::String(keep.text(one)),
        several => keep.arena.list_of(several.iter().map(|v| Value::String(keep.text(v)))),
    };
    native.insert(keep.text(name), value);
}

/// `a3` → (3, 0), `a3[1]` → (3, 1); nothing of `a3_len`.
fn argument_index(key: &str) -> Option<(u32, u32)> {
    let rest = key.strip_prefix('a')?;
    match seek::cut(rest, b'[') {
        None => Some((rest.parse().ok()?, 0)),
        Some((index, part)) => Some((index.parse().ok()?, part.strip_suffix(']')?.parse().ok()?)),
    }
}

/// `sockaddr` as the kernel has it: family in the machine's order, the port in the network's.
fn socket(bytes: &[u8]) -> Option<Socket> {
    let family = match bytes {
        [2, 0, ..] | [0, 2, ..] => 2,
        [10, 0, ..] | [0, 10, ..] => 10,
        _ => return None,
    };
    let port = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
    let ip = if family == 2 {
        let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        std::net::IpAddr::from(octets)
    } else {
        let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
        std::net::IpAddr::from(octets).to_canonical()
    };
    Some(Socket {
        ip: ip.to_string(),
        port,
    })
}

/// The arguments as a shell would have to be given them.
pub(super) fn command_line(arguments: &[String]) -> String {
    let mut line = String::new();
    for (n, argument) in arguments.iter().enumerate() {
        if n > 0 {
            line.push(' ');
        }
        let plain =
            !argument.is_empty() && !argument.contains(|c: char| c.is_whitespace() || "'\"\\$`;|&<>()#*?".contains(c));
        // A program's name is no argument; whatever it is, it stays readable.
        match plain {
            true => line.push_str(argument),
            false => line.extend(["'", &argument.replace('\'', "'\\''"), "'"]),
        }
        if line.len() > COMMAND_BYTES_MAX {
            break;
        }
    }
    line
}

/// A number that stands for a user, a session or a process; none where it says nothing.
pub(super) fn number(text: Option<&str>) -> Option<i32> {
    text.filter(|t| is_set(t))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_put_together_and_many_lines_joined() {
        let lines = [
            r#"type=EXECVE msg=audit(1.000:1): argc=4 a0="sh" a1_len=8 a1[0]="ab cd" a1[1]="ef""#,
            r#"type=EXECVE msg=audit(1.000:1): a2=726D202D7266202F a3="x'y""#,
        ];
        let records: Vec<_> = lines.iter().map(|l| Record::parse(l).expect("a record")).collect();
        let merged = Merged::new(records);
        let (arguments, whole) = merged.arguments().expect("arguments");
        assert_eq!(arguments.as_slice(), ["sh", "ab cdef", "rm -rf /", "x'y"]);
        assert!(whole);
        assert_eq!(command_line(&arguments), r"sh 'ab cdef' 'rm -rf /' 'x'\''y'");
    }

    #[test]
    fn an_address_is_read_from_its_bytes() {
        let read = |text| socket(&hex(text).expect("hex"));
        let want = |ip: &str, port| Some(Socket { ip: ip.into(), port });
        assert_eq!(read("02000050A9FEA9FE0000000000000000"), want("169.254.169.254", 80));
        assert_eq!(
            read("0A0001BB0000000020010DB800000000000000000000000100000000"),
            want("2001:db8::1", 443)
        );
        assert_eq!(read("01007075626C6963"), None);
        assert_eq!(read("0200"), None);
    }
}
