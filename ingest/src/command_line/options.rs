//! The options of a command's words, without knowing the program but for what takes a value.

/// The words after the options and after `skip` more words.
pub(super) fn after_options<'w, 'a>(words: &'w [&'a str], short: &str, long: &[&str], skip: usize) -> &'w [&'a str] {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if *word == "--" {
            at += 1;
            break;
        }
        if !word.starts_with('-') || word.len() == 1 {
            break;
        }
        at += 1;
        at += usize::from(takes_next(word, short, long));
    }
    words.get(at + skip..).unwrap_or(&[])
}

/// Whether an option's value is the next word.
fn takes_next(option: &str, short: &str, long: &[&str]) -> bool {
    if long.contains(&option) {
        return true;
    }
    if option.starts_with("--") {
        return false;
    }
    // In `-nu root` the last letter takes the value; in `-uroot` the value is there.
    option[1..]
        .find(|c| short.contains(c))
        .is_some_and(|i| i + 2 == option.len())
}

/// Whether one of the options before the first other word is that short or long one.
pub(super) fn option<'a>(words: &[&'a str], short: &str, long: &[&str]) -> Option<&'a str> {
    let options = words.iter().skip(1).take_while(|w| w.starts_with('-') && **w != "--");
    options
        .copied()
        .find(|w| long.contains(w) || !w.starts_with("--") && w[1..].contains(|c| short.contains(c)))
}

/// The values of options, wherever they stand: `-c X`, `-cX`, `--command X`, `--command=X`.
pub(super) fn values<'a>(words: &[&'a str], short: &str, long: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let word = words[i];
        if let Some(name) = long.iter().find(|l| word.starts_with(**l)) {
            match word[name.len()..].strip_prefix('=') {
                Some(value) => found.push(value),
                None if word.len() == name.len() => {
                    i += 1;
                    found.extend(words.get(i));
                }
                None => {}
            }
        } else if word.starts_with('-') && !word.starts_with("--") {
            // `-e X`, `-eX`, and a cluster that ends in it (`-tAc X`, `-sNe X`).
            if let Some(letter) = word[1..].chars().next()
                && short.contains(letter)
                && word.len() > 2
            {
                found.push(&word[2..]);
            } else if word.len() > 1 && word.ends_with(|c| short.contains(c)) && is_cluster(word) {
                i += 1;
                found.extend(words.get(i));
            }
        }
        i += 1;
    }
    found
}

/// Options without a value before the last letter: `-tAc`, but not the `-pace` of a password.
fn is_cluster(word: &str) -> bool {
    let letters = &word[1..word.len() - 1];
    letters.bytes().all(|b| b"tAqXxwWa1EsNBfrvnCl".contains(&b))
}
