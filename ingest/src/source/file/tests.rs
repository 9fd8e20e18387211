//! Real files, rotated in every way, followed with and without restarts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

struct Case {
    dir: tempfile::TempDir,
    pattern: &'static str,
    settings: Settings,
    follower: Follower,
    /// The positions as they were stored at some time.
    stored: Vec<Position>,
    /// Records kept since, and all of them.
    since: Vec<Line>,
    lines: Vec<String>,
}

impl Case {
    fn new(pattern: &'static str) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            record_bytes_max: 64,
            rotated_wait_ms: 0,
            packed_wait_ms: 0,
        };
        let follower = Case::follower(dir.path(), pattern, settings, vec![]);
        Case {
            dir,
            pattern,
            settings,
            follower,
            stored: vec![],
            since: vec![],
            lines: vec![],
        }
    }

    fn follower(dir: &Path, pattern: &str, settings: Settings, positions: Vec<Position>) -> Follower {
        let pattern = Pattern::parse(&dir.join(pattern).display().to_string()).unwrap();
        let watch = Watch {
            pattern,
            source: "app".into(),
        };
        Follower::new(vec![watch], settings, positions)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Reads a part of what there is; everything handed out is durable.
    fn step(&mut self, budget: usize) -> usize {
        let lines = self.follower.read(budget, now());
        if self.follower.take_news() {
            self.stored = self.follower.positions();
            self.since.clear();
        }
        for line in &lines {
            self.lines.push(String::from_utf8(line.payload.to_vec()).unwrap());
        }
        let count = lines.len();
        self.since.extend(lines);
        self.follower.acknowledge();
        count
    }

    fn drain(&mut self) -> Vec<String> {
        // A truncation is found by reading, its copy by the look after it.
        for _ in 0..4 {
            self.follower.scan(now());
            while self.step(1 << 20) > 0 {}
        }
        std::mem::take(&mut self.lines)
    }

    /// The process dies: what it knew is in the positions that were stored last, and in the ledger.
    fn restart(&mut self) {
        let mut positions = self.stored.clone();
        for line in &self.since {
            let record = model::RawRecord {
                coordinate: model::Coordinate::new("local.app", 0, 0),
                received_at: now(),
                source: line.source.clone(),
                peer: None,
                key: None,
                headers: line.headers.clone(),
                payload: line.payload.clone(),
                truncated: None,
            };
            catch_up(&mut positions, Position::of_record(&record).unwrap());
        }
        self.follower = Case::follower(self.dir.path(), self.pattern, self.settings, positions);
    }

    fn gzip(&self, name: &str) {
        let bytes = fs::read(self.path(name)).unwrap();
        let file = fs::File::create(self.path(&format!("{name}.gz"))).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(self.path(name)).unwrap();
    }
}

#[test]
fn lines_are_read_once_they_are_complete() {
    let mut case = Case::new("*.log");
    case.append("a.log", "one\r\n\n  \ntw");
    assert_eq!(case.drain(), ["one"]);
    case.append("a.log", "o\nthree");
    assert_eq!(case.drain(), ["two"]);
    case.restart();
    case.append("a.log", "\n");
    case.append("b.log", "other\n");
    let mut lines = case.drain();
    lines.sort();
    assert_eq!(lines, ["other", "three"]);
}

#[test]
fn a_long_line_keeps_its_first_part_and_its_hash() {
    let mut case = Case::new("a.log");
    let long = "x".repeat(200_000);
    case.append("a.log", &format!("{long}\r\nafter\n"));
    case.follower.scan(now());
    let lines = case.follower.read(1 << 20, now());
    assert_eq!(lines.len(), 2);
    let cut = lines[0].truncated.as_ref().unwrap();
    assert_eq!((lines[0].payload.len(), cut.bytes), (64, 200_000));
    assert_eq!(cut.sha256[..], <sha2::Sha256 as sha2::Digest>::digest(&long)[..]);
    assert_eq!(&lines[1].payload[..], b"after");
}

#[test]
fn what_is_not_acknowledged_is_read_again_after_a_restart() {
    let mut case = Case::new("a.log");
    case.append("a.log", "one\ntwo\n");
    case.follower.scan(now());
    assert_eq!(case.follower.read(1 << 20, now()).len(), 2);
    case.stored = case.follower.positions();
    case.restart();
    assert_eq!(case.drain(), ["one", "two"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_its_last_line_without_one_too() {
    for restart in [false, true] {
        let mut case = Case::new("a.log");
        case.append("a.log", "one\n");
        assert_eq!(case.drain(), ["one"]);
        case.append("a.log", "two\n");
        fs::rename(case.path("a.log"), case.path("a.log.1")).unwrap();
        case.append("a.log", "three\n");
        case.append("a.log.1", "last without an end");
        if restart {
            case.restart();
        }
        let mut lines = case.drain();
        lines.sort();
        assert_eq!(lines, ["last without an end", "three", "two"], "restart {restart}");
    }
}

#[test]
fn a_truncated_file_is_read_on_in_its_copy() {
    for restart in [false, true] {
        for read_before in [false, true] {
            let mut case = Case::new("a.log");
            case.append("a.log", "one\n");
            if read_before {
                assert_eq!(case.drain(), ["one"]);
            } else {
                case.follower.scan(now());
                assert!(case.follower.take_news());
                case.stored = case.follower.positions();
            }
            case.append("a.log", "two\nthree\n");
            fs::copy(case.path("a.log"), case.path("a.log-20260304")).unwrap();
            fs::File::create(case.path("a.log")).unwrap();
            case.append("a.log", "four, which makes it longer than what was read of it\n");
            if restart {
                case.restart();
            }
            let mut lines = case.drain();
            lines.sort();
            let mut expected = vec!["four, which makes it longer than what was read of it", "three", "two"];
            if !read_before {
                expected.insert(1, "one");
            }
            assert_eq!(lines, expected, "restart {restart}, read before {read_before}");
        }
    }
}

#[test]
fn generations_that_nobody_saw_are_read_and_older_ones_are_not() {
    let mut case = Case::new("a.log");
    case.append("a.log.1", "long ago\n");
    let past = SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::open(case.path("a.log.1"))
        .unwrap()
        .set_modified(past)
        .unwrap();
    case.append("a.log", "one\n");
    assert_eq!(case.drain(), ["one"]);
    case.append("a.log", "two\n");
    fs::rename(case.path("a.log.1"), case.path("a.log.4")).unwrap();
    fs::rename(case.path("a.log"), case.path("a.log.3")).unwrap();
    case.append("a.log.2", "three\n");
    case.gzip("a.log.2");
    case.append("a.log.1", "four\n");
    case.append("a.log", "five\n");
    case.append("a.log.json", "another log\n");
    case.restart();
    let mut lines = case.drain();
    lines.sort();
    assert_eq!(lines, ["five", "four", "three", "two"]);
}

#[test]
fn generations_of_a_file_that_was_empty_are_read_too() {
    for restart in [false, true] {
        let mut case = Case::new("a.log");
        case.append("a.log", "");
        case.drain();
        case.drain();
        assert_eq!(case.follower.positions().len(), 1);
        case.append("a.log", "one\n");
        fs::rename(case.path("a.log"), case.path("a.log.2")).unwrap();
        case.append("a.log.1", "two\n");
        case.append("a.log", "three\n");
        if restart {
            case.restart();
        }
        let mut lines = case.drain();
        lines.sort();
        assert_eq!(lines, ["one", "three", "two"], "restart {restart}");
    }
}

#[test]
fn packed_files_are_read_once() {
    let mut case = Case::new("*");
    case.append("a.log", "one\n");
    assert_eq!(case.drain(), ["one"]);
    case.append("a.log", "two\n");
    case.gzip("a.log");
    case.append("old.log", "never seen\nlast");
    case.gzip("old.log");
    case.restart();
    let mut lines = case.drain();
    lines.sort();
    assert_eq!(lines, ["last", "never seen", "two"]);
    case.restart();
    assert!(case.drain().is_empty());
    fs::rename(case.path("a.log.gz"), case.path("a.log.2.gz")).unwrap();
    assert!(case.drain().is_empty());
}

#[test]
fn broken_archives_and_folders_are_told_and_lose_nothing_else() {
    let mut case = Case::new("*");
    fs::write(case.path("a.gz"), b"\x1f\x8b\x08\x00broken").unwrap();
    fs::create_dir(case.path("folder")).unwrap();
    std::os::unix::fs::symlink(case.path("nowhere"), case.path("link")).unwrap();
    case.append("b.log", "fine\n");
    assert_eq!(case.drain(), ["fine"]);
    std::thread::sleep(std::time::Duration::from_millis(2));
    case.follower.scan(now());
    assert_eq!(case.follower.troubles(), 1, "{:?}", case.follower.take_troubles());
    assert_eq!(case.follower.take_troubles().len(), 1);
    case.follower.scan(now());
    assert!(case.follower.take_troubles().is_empty(), "told once");
}

#[test]
fn a_link_is_followed_and_two_names_of_a_file_are_one() {
    let mut case = Case::new("*.log");
    case.append("real-1", "one\n");
    std::os::unix::fs::symlink(case.path("real-1"), case.path("a.log")).unwrap();
    std::os::unix::fs::symlink(case.path("real-1"), case.path("b.log")).unwrap();
    assert_eq!(case.drain(), ["one"]);
    case.append("real-1", "two\n");
    case.append("real-2", "three\n");
    for link in ["a.log", "b.log"] {
        fs::remove_file(case.path(link)).unwrap();
        std::os::unix::fs::symlink(case.path("real-2"), case.path(link)).unwrap();
    }
    let mut lines = case.drain();
    lines.sort();
    assert_eq!(lines, ["three", "two"]);
}

#[test]
fn another_file_with_the_same_inode_and_the_hole_of_a_truncated_one() {
    let mut case = Case::new("a.log");
    case.append("a.log", "one, and more of it\n");
    assert_eq!(case.drain(), ["one, and more of it"]);
    // Written anew in place: the inode stays.
    fs::write(case.path("a.log"), "another file, which is longer than the first\n").unwrap();
    assert_eq!(case.drain(), ["another file, which is longer than the first"]);
    let file = OpenOptions::new().write(true).open(case.path("a.log")).unwrap();
    file.set_len(0).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"behind the hole\n", 100_000).unwrap();
    assert_eq!(case.drain(), ["behind the hole"]);
}

#[test]
fn files_that_begin_alike_are_not_taken_for_copies() {
    let mut case = Case::new("*.log*");
    case.append("a.log", "start\none\n");
    assert_eq!(case.drain(), ["start", "one"]);
    case.append("a2.log", "start\ntwo\n");
    case.append("a.log.err", "start\nthree\n");
    let mut lines = case.drain();
    lines.sort();
    assert_eq!(lines, ["start", "start", "three", "two"]);
}

/// A small generator with a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Whatever the writer, the rotation and the process do, every line is read once.
#[test]
fn every_line_once_whatever_happens() {
    for (seed, pattern) in (0..100).map(|s| (s, ["a.log", "a.log*", "*"][s as usize % 3])) {
        let mut random = Random(seed);
        let mut case = Case::new(pattern);
        case.settings.rotated_wait_ms = 3_600_000;
        let (mut written, mut partial, mut generations) = (0, false, 0);
        let mut trace = Vec::new();
        // What was rotated away before anybody looked is not followed.
        case.append("a.log", "line 0\n");
        written += 1;
        case.follower.scan(now());
        case.step(1);
        for _ in 0..60 {
            let act = random.below(12);
            trace.push(act);
            match act {
                0..=2 => {
                    for _ in 0..1 + random.below(40) {
                        case.append("a.log", &format!("{}line {written}\n", if partial { "\n" } else { "" }));
                        partial = false;
                        written += 1;
                    }
                }
                3 if !partial => {
                    case.append("a.log", &format!("line {written}"));
                    partial = true;
                    written += 1;
                }
                4..=6 => {
                    case.follower.scan(now());
                    case.step(1 + random.below(300) as usize);
                }
                7 => case.follower.scan(now()),
                8 => case.restart(),
                9 | 10 if case.path("a.log").exists() => {
                    if partial {
                        case.append("a.log", "\n");
                        partial = false;
                    }
                    for n in (1..=generations).rev() {
                        for end in ["", ".gz"] {
                            let from = case.path(&format!("a.log.{n}{end}"));
                            if from.exists() {
                                fs::rename(from, case.path(&format!("a.log.{}{end}", n + 1))).unwrap();
                            }
                        }
                    }
                    generations += 1;
                    if act == 9 {
                        fs::rename(case.path("a.log"), case.path("a.log.1")).unwrap();
                    } else {
                        fs::copy(case.path("a.log"), case.path("a.log.1")).unwrap();
                        fs::File::create(case.path("a.log")).unwrap();
                    }
                }
                11 if case.path("a.log.2").exists() => case.gzip("a.log.2"),
                _ => {}
            }
        }
        if partial {
            case.append("a.log", "\n");
        }
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        // What is packed while it is open is read once it is closed: a restart closes it.
        for _ in 0..2 {
            case.restart();
            let lines: Vec<String> = std::mem::take(&mut case.lines)
                .into_iter()
                .chain(case.drain())
                .collect();
            lines.into_iter().for_each(|l| *seen.entry(l).or_default() += 1);
        }
        let missing: Vec<_> = (0..written)
            .filter(|n| !seen.contains_key(&format!("line {n}")))
            .collect();
        let twice: Vec<_> = seen.iter().filter(|(_, n)| **n > 1).collect();
        assert!(
            missing.is_empty() && twice.is_empty(),
            "seed {seed} {pattern}: missing {missing:?}, twice {twice:?}, of {written}; {trace:?}"
        );
    }
}

#[test]
fn what_was_seen_with_half_a_line_is_not_taken_for_another_file() {
    let mut case = Case::new("app.log");
    case.append("app.log", "line 1\nline 2\n");
    assert_eq!(case.drain(), ["line 1", "line 2"]);
    fs::copy(case.path("app.log"), case.path("app.log.1")).unwrap();
    fs::write(case.path("app.log"), "line 3\n").unwrap();
    // A file that is gone held half a line when it was seen; many files begin as it did.
    let mut positions = case.follower.positions();
    let gone = Position {
        inode: u64::MAX,
        offset: 0,
        head: Mark::of(b"line "),
        tail: Mark::default(),
        ..positions[0].clone()
    };
    positions.insert(0, gone);
    (case.stored, case.since) = (positions, Vec::new());
    case.restart();
    assert_eq!(case.drain(), ["line 3"]);
}
