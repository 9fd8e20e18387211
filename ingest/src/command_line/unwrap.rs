//! What the programs that run other programs run.

use super::options::{after_options, option, values};
use super::script::{container_command, script_of, shell_script};
use super::{COMMANDS_MAX, DEPTH_MAX, OUT_BYTES_MAX, lex, sql, windows};
use crate::seek;

/// Programs that run the rest of their words.
struct Wrapper {
    name: &'static str,
    /// Short options that take a value.
    short: &'static str,
    /// Long options that take a value, as their next word.
    long: &'static [&'static str],
    /// Words before the program: `timeout 10 program`.
    skip: usize,
}

const fn wrapper(name: &'static str, short: &'static str, long: &'static [&'static str], skip: usize) -> Wrapper {
    Wrapper {
        name,
        short,
        long,
        skip,
    }
}

const WRAPPERS: &[Wrapper] = &[
    wrapper(
        "sudo",
        "ughpCDRTUrtac",
        &["--user", "--group", "--host", "--prompt", "--chdir", "--chroot"],
        0,
    ),
    wrapper("doas", "uC", &[], 0),
    wrapper("pkexec", "", &["--user"], 0),
    wrapper("env", "uC", &["--unset", "--chdir"], 0),
    wrapper("nohup", "", &[], 0),
    wrapper("setsid", "", &[], 0),
    wrapper("time", "fo", &["--format", "--output"], 0),
    wrapper("nice", "n", &["--adjustment"], 0),
    wrapper("ionice", "cnpPu", &["--class", "--classdata"], 0),
    wrapper("chrt", "TPD", &[], 1),
    wrapper("taskset", "", &[], 1),
    wrapper("timeout", "sk", &["--signal", "--kill-after"], 1),
    wrapper("stdbuf", "ioe", &["--input", "--output", "--error"], 0),
    wrapper("unbuffer", "", &[], 0),
    wrapper(
        "xargs",
        "InPLdaEs",
        &["--max-args", "--max-procs", "--replace", "--delimiter", "--arg-file"],
        0,
    ),
    wrapper("command", "", &[], 0),
    wrapper("builtin", "", &[], 0),
    wrapper("exec", "a", &[], 0),
    wrapper("busybox", "", &[], 0),
    wrapper("toybox", "", &[], 0),
    wrapper("chroot", "", &["--userspec", "--groups"], 1),
    wrapper("flock", "wEo", &["--timeout", "--wait"], 1),
    wrapper("unshare", "SGR", &[], 0),
    wrapper("nsenter", "tSG", &["--target"], 0),
    wrapper("runuser", "ugG", &["--user", "--group"], 0),
    wrapper("setpriv", "", &["--reuid", "--regid", "--groups"], 0),
    wrapper(
        "systemd-run",
        "pMuH",
        &["--unit", "--property", "--uid", "--gid", "--slice", "--machine"],
        0,
    ),
    wrapper("strace", "eopsuPE", &[], 0),
    wrapper("ltrace", "eopsu", &[], 0),
];

const SHELLS: &[&str] = &[
    "sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "csh", "tcsh", "rbash", "mksh",
];

/// Words that begin a compound command; what follows them is a command.
const RESERVED: &[&str] = &["if", "then", "else", "elif", "do", "while", "until", "!", "{", "coproc"];
/// Words that end one.
const CLOSING: &[&str] = &["fi", "done", "esac", "}"];

/// SQL clients: short options and long options whose value is SQL, and whether a bare second word is.
const CLIENTS: &[(&str, &str, &[&str])] = &[
    ("psql", "c", &["--command"]),
    ("mysql", "e", &["--execute"]),
    ("mariadb", "e", &["--execute"]),
    ("sqlcmd", "Qq", &["--query"]),
    ("clickhouse-client", "q", &["--query"]),
    ("mongosh", "", &["--eval"]),
    ("mongo", "", &["--eval"]),
    ("hive", "e", &[]),
    ("beeline", "e", &[]),
    ("spark-sql", "e", &[]),
    ("impala-shell", "q", &["--query"]),
    ("trino", "", &["--execute"]),
    ("presto", "", &["--execute"]),
    ("sqlplus", "", &[]),
    ("obclient", "e", &["--execute"]),
    ("gsql", "c", &["--command"]),
];

/// Collects commands, up to the bounds.
#[derive(Default)]
pub(super) struct Reader {
    pub out: Vec<String>,
    /// The host is known to be a Windows one.
    is_windows: bool,
    /// Bytes of them.
    bytes: usize,
    /// One was left out for its bytes; what comes behind it is left out too.
    over: bool,
}

impl Reader {
    pub(super) fn of_windows() -> Reader {
        Reader {
            is_windows: true,
            ..Reader::default()
        }
    }

    /// The commands of a script.
    pub(super) fn script(&mut self, text: &str, depth: usize) {
        if depth >= DEPTH_MAX || self.is_full() {
            return;
        }
        let mut said: Option<String> = None;
        for mut simple in lex::simple(text, COMMANDS_MAX - self.out.len(), self.is_windows) {
            let before = self.out.len();
            // `echo … | psql`: what the one says, the other reads.
            if simple.piped
                && let Some(said) = said.take()
            {
                simple.input.push(said);
            }
            let words: Vec<&str> = simple.words.iter().map(String::as_str).collect();
            said = said_of(&words);
            self.command(&words, &simple.input, depth);
            if !simple.files.is_empty() {
                // What a wrapper writes, its last command writes.
                if self.out.len() > before {
                    self.append(&simple.files);
                } else {
                    self.push(&simple.files);
                }
            }
            for nested in &simple.nested {
                self.script(nested, depth + 1);
            }
        }
    }

    /// The statements of a SQL text.
    pub(super) fn sql(&mut self, text: &str) {
        for mut statement in sql::statements(text) {
            // A line already, and nothing stands around it.
            let is_line = memchr::memchr2(b'\n', b'\r', statement.as_bytes()).is_none();
            if !is_line {
                self.push(&format!("sql: {statement}"));
                continue;
            }
            statement.insert_str(0, "sql: ");
            if !self.is_full() && self.has_room(statement.len()) {
                self.out.push(statement);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.over || self.out.len() >= COMMANDS_MAX
    }

    /// Whether so many more bytes may be held.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.over = self.over || self.bytes + bytes > OUT_BYTES_MAX;
        if !self.over {
            self.bytes += bytes;
        }
        !self.over
    }

    fn append(&mut self, files: &str) {
        let files = one_line(files);
        if self.has_room(files.len())
            && let Some(last) = self.out.last_mut()
        {
            last.push_str(&files);
        }
    }

    fn push(&mut self, command: &str) {
        let command = one_line(command);
        let command = command.trim();
        if !command.is_empty() && !self.is_full() && self.has_room(command.len()) {
            self.out.push(command.to_owned());
        }
    }

    /// Gives a command as it is.
    fn itself(&mut self, words: &[&str]) {
        let Some((program, arguments)) = words.split_first() else {
            return;
        };
        let length = words.iter().map(|w| w.len() + 1).sum();
        let mut text = String::with_capacity(length);
        text.push_str(if is_assignment(program) {
            program
        } else {
            basename(program)
        });
        for argument in arguments {
            text.push(' ');
            text.push_str(argument);
        }
        self.push(&text);
    }

    fn command(&mut self, words: &[&str], input: &[String], depth: usize) {
        let mut words = words;
        loop {
            let Some(&first) = words.first() else { return };
            if RESERVED.contains(&first) || is_function_head(first) {
                words = &words[1..];
                continue;
            }
            if CLOSING.contains(&first) {
                return self.command_after_closing(&words[1..]);
            }
            let assignments = words.iter().take_while(|w| is_assignment(w)).count();
            if assignments == words.len() {
                return self.itself(words);
            }
            words = &words[assignments..];
            let name = basename(words[0]);
            if name == "sudo" && option(words, "e", &["--edit"]).is_some() {
                let files = after_options(&words[1..], "ug", &[], 0);
                let mut edit = vec!["sudoedit"];
                edit.extend(files);
                return self.itself(&edit);
            }
            if matches!(name, "command" | "time") && words.get(1).is_some_and(|w| matches!(*w, "-v" | "-V")) {
                return self.itself(words);
            }
            if matches!(name, "env" | "flock" | "runuser" | "script" | "watch" | "su" | "eval")
                && let Some(script) = script_of(name, words)
            {
                return self.script(&script, depth + 1);
            }
            let Some(wrapper) = WRAPPERS.iter().find(|w| w.name == name) else {
                break;
            };
            let mut inner = after_options(&words[1..], wrapper.short, wrapper.long, wrapper.skip);
            // `sudo A=b program`, `env A=b program`.
            inner = &inner[inner.iter().take_while(|w| is_assignment(w)).count()..];
            if inner.is_empty() {
                return self.itself(words);
            }
            words = inner;
        }
        self.program(words, input, depth);
    }

    /// `fi`, `done` … may be followed by redirections only; anything else is kept as text.
    fn command_after_closing(&mut self, words: &[&str]) {
        self.itself(words);
    }

    /// A program that is no wrapper.
    fn program(&mut self, words: &[&str], input: &[String], depth: usize) {
        let name = basename(words[0]);
        if SHELLS.contains(&name) {
            if let Some(script) = shell_script(words) {
                self.script(&script, depth + 1);
            } else {
                self.itself(words);
            }
            for body in input {
                self.script(body, depth + 1);
            }
            return;
        }
        if let Some(script) = windows::script(name, words) {
            return self.script(&script, depth + 1);
        }
        self.itself(words);
        if depth + 1 >= DEPTH_MAX || self.is_full() {
            return;
        }
        match name {
            "ssh" => {
                let remote = after_options(&words[1..], "BbcDEeFIiJLlmOopQRSWw", &[], 1);
                self.script(&remote.join(" "), depth + 1);
            }
            "kubectl" | "oc" | "docker" | "podman" | "nerdctl" | "crictl" => {
                if let Some(inner) = container_command(words) {
                    self.command(inner, &[], depth + 1);
                }
            }
            "find" => self.find(words, depth),
            "sqlite3" => {
                if let Some(text) = after_options(&words[1..], "", &["-cmd", "-separator"], 1).first() {
                    self.sql(text);
                }
            }
            _ => {
                if let Some((_, short, long)) = CLIENTS.iter().find(|(client, ..)| *client == name) {
                    for text in values(&words[1..], short, long) {
                        self.sql(text);
                    }
                    for body in input {
                        self.sql(body);
                    }
                }
            }
        }
    }

    /// What `find` runs, with the folder that it looks through for what it finds there.
    fn find(&mut self, words: &[&str], depth: usize) {
        let folder = words.get(1).copied().filter(|w| !w.starts_with(['-', '(', '!']));
        let mut rest = words;
        while let Some(at) = rest
            .iter()
            .position(|w| matches!(*w, "-exec" | "-execdir" | "-ok" | "-okdir"))
        {
            rest = &rest[at + 1..];
            let end = rest.iter().position(|w| matches!(*w, ";" | "+")).unwrap_or(rest.len());
            let placed = |w: &&'_ str| folder.filter(|_| *w == "{}").unwrap_or(w).to_owned();
            let run: Vec<String> = rest[..end].iter().map(placed).collect();
            let run: Vec<&str> = run.iter().map(String::as_str).collect();
            self.command(&run, &[], depth + 1);
            rest = &rest[end..];
            if self.is_full() || depth + 1 >= DEPTH_MAX {
                return;
            }
        }
    }
}

/// What `echo` and `printf` say.
fn said_of(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    if !matches!(basename(program), "echo" | "printf") {
        return None;
    }
    let options = arguments
        .iter()
        .take_while(|w| matches!(**w, "-n" | "-e" | "-ne" | "-en" | "-E"));
    let said = &arguments[options.count()..];
    Some(said.join(" ")).filter(|said| !said.is_empty())
}

/// Newlines and other blanks inside arguments become spaces: an element is one line.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        text.replace(['\n', '\r'], " ").into()
    } else {
        text.into()
    }
}

fn basename(program: &str) -> &str {
    match program.rsplit('/').next() {
        Some(name) if !name.is_empty() => windows::program(name),
        _ => program,
    }
}

fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = seek::cut(word, b'=') else {
        return false;
    };
    let name = name.strip_suffix('+').unwrap_or(name);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `f()`, `f(){`
fn is_function_head(word: &str) -> bool {
    word.len() > 2 && (word.ends_with("()") || word.ends_with("(){")) && !seek::has(word, b'.')
}
