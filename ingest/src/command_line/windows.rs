//! Windows: folders between backslashes, and what `cmd` and PowerShell are told to run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether a backslash after so much of a word is one of a Windows path (`D:\`, `.\`, `%TEMP%\`, `$env:TEMP\`, `HKLM\`), and not the
/// shell's escape.
pub(super) fn is_path_so_far(word: &str) -> bool {
    let bytes = word.as_bytes();
    let drive = matches!(bytes, [letter, b':'] if letter.is_ascii_alphabetic());
    let begins = |start: &str| {
        bytes
            .get(..start.len())
            .is_some_and(|b| b.eq_ignore_ascii_case(start.as_bytes()))
    };
    drive
        || word == "."
        || word == ".."
        || word.ends_with('%')
        || begins("$env:")
        || begins("hk")
        || word.contains('\\')
}

/// The name of a program without its folder and without `.exe`.
pub(super) fn program(name: &str) -> &str {
    let name = name.rsplit('\\').next().filter(|n| !n.is_empty()).unwrap_or(name);
    let stem = name.len().saturating_sub(4);
    match name.get(stem..) {
        Some(end) if stem > 0 && end.eq_ignore_ascii_case(".exe") => &name[..stem],
        _ => name,
    }
}

/// What `cmd /c …` and `powershell -Command …` or `-EncodedCommand …` run.
pub(super) fn script(name: &str, words: &[&str]) -> Option<String> {
    if name.eq_ignore_ascii_case("cmd") {
        let at = words.iter().position(|w| {
            w.get(..2)
                .is_some_and(|w| w.eq_ignore_ascii_case("/c") || w.eq_ignore_ascii_case("/k"))
        })?;
        // `/cdir`: the command may stand right behind.
        let joined = [&words[at][2..]].into_iter().chain(words[at + 1..].iter().copied());
        let text = joined.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        return Some(text).filter(|t| !t.is_empty());
    }
    if name.eq_ignore_ascii_case("powershell") || name.eq_ignore_ascii_case("pwsh") {
        return powershell(&words[1..]);
    }
    None
}

/// Options of PowerShell that take a value. Each may be cut short.
const VALUED: &[&str] = &[
    "executionpolicy",
    "ep",
    "windowstyle",
    "version",
    "inputformat",
    "outputformat",
    "configurationname",
    "psconsolefile",
    "workingdirectory",
];

fn powershell(words: &[&str]) -> Option<String> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let Some(option) = word.strip_prefix(['-', '/']).map(str::to_ascii_lowercase) else {
            return Some(words[at..].join(" "));
        };
        let is = |full: &str| !option.is_empty() && full.starts_with(&option);
        if is("command") {
            return words.get(at + 1..).map(|w| w.join(" ")).filter(|t| !t.is_empty());
        }
        if option == "ec" || option != "ep" && option != "ex" && is("encodedcommand") {
            return words.get(at + 1).and_then(|w| decoded(w));
        }
        if is("file") {
            return None;
        }
        at += 1 + usize::from(VALUED.iter().any(|full| is(full)));
    }
    None
}

/// Base64 of UTF-16.
fn decoded(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).ok()?;
    let units = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let script: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Some(script).filter(|s| !s.trim().is_empty())
}
