//! What a program is told to run: the script of a shell, of `eval`, of a container.

use super::options::{after_options, option, values};
use crate::seek;

/// The script of programs that take one as a value or as the rest of their words.
pub(super) fn script_of(name: &str, words: &[&str]) -> Option<String> {
    let first = |short, long: &[&str]| values(&words[1..], short, long).first().map(|s| (*s).to_owned());
    match name {
        "eval" => Some(words[1..].join(" ")).filter(|s| !s.is_empty()),
        "watch" => Some(after_options(&words[1..], "n", &["--interval"], 0).join(" ")).filter(|s| !s.is_empty()),
        "env" => option(words, "S", &["--split-string"]).and_then(|_| first("S", &["--split-string"])),
        "su" | "script" | "flock" => first("c", &["--command"]),
        // `runuser -u x -- program -c y` is a wrapper; `runuser - x -c '…'` is as `su`.
        "runuser" if words.contains(&"-u") || words.contains(&"--") => None,
        "runuser" => first("c", &["--command", "--session-command"]),
        _ => None,
    }
}

/// The script after `-c` of a shell. Where it is one word and more follow, the quotes were lost on the way (sudo
/// before 1.9 logs so), and all of them are the script; a shell would take them for its parameters.
pub(super) fn shell_script(words: &[&str]) -> Option<String> {
    let mut at = 1;
    let mut given = false;
    while let Some(word) = words.get(at) {
        if *word == "--" {
            at += 1;
            break;
        }
        if !word.starts_with(['-', '+']) || word.len() == 1 {
            break;
        }
        if !word.starts_with("--") {
            given |= word.starts_with('-') && seek::has(word, b'c');
            at += usize::from(word.ends_with(['o', 'O']));
        } else if matches!(*word, "--rcfile" | "--init-file") {
            at += 1;
        }
        at += 1;
    }
    let script = words.get(at).filter(|_| given)?;
    let is_whole = script.contains(|c: char| c.is_whitespace() || c == '$');
    Some(if is_whole {
        (*script).to_owned()
    } else {
        words[at..].join(" ")
    })
}

/// What `kubectl exec`, `docker exec` and `docker run` run in a container.
pub(super) fn container_command<'w, 'a>(words: &'w [&'a str]) -> Option<&'w [&'a str]> {
    let global = [
        "-n",
        "--namespace",
        "--context",
        "--kubeconfig",
        "-s",
        "--server",
        "-H",
        "--host",
        "--cluster",
    ];
    let mut at = 1;
    while let Some(word) = words.get(at)
        && word.starts_with('-')
    {
        at += 1 + usize::from(global.contains(word));
    }
    if !matches!(*words.get(at)?, "exec" | "run" | "debug") {
        return None;
    }
    let rest = &words[at + 1..];
    if let Some(dashes) = rest.iter().position(|w| *w == "--") {
        return Some(&rest[dashes + 1..]).filter(|w| !w.is_empty());
    }
    let long = [
        "--env",
        "--user",
        "--workdir",
        "--name",
        "--volume",
        "--namespace",
        "--container",
        "--network",
        "--entrypoint",
        "--mount",
        "--publish",
        "--hostname",
        "--context",
    ];
    Some(after_options(rest, "euwvpnch", &long, 1)).filter(|w| !w.is_empty())
}
