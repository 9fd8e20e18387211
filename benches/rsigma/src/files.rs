//! What the whole processes are run on, as files: events, and rules in folders.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use detect::policy::SourceFile;

use crate::{sets, traffic};

/// Events of a correlation's bench: failures at one host's door within an hour.
const FAILURES: usize = 200_000;
/// Users of whom an address tries each, and groups of which each has its failures.
const USERS: usize = 17_000;
const GROUPS: usize = 10_000;

/// Writes them into a folder.
pub fn write(folder: &Path, count: usize) -> anyhow::Result<()> {
    let put = |name: &str, text: &[u8]| -> anyhow::Result<()> {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        Ok(fs::write(path, text)?)
    };
    put("events.ndjson", &traffic::lines(count)?)?;
    let all = crate::archive::rules(env!("CARGO_MANIFEST_DIR"), 3).ok_or_else(|| anyhow::anyhow!("no rules, no bench"))?;
    let sets = sets()?.into_iter().map(|(name, files)| (name.replace(',', ""), files));
    for (name, files) in sets.chain([("3757".to_owned(), all)]) {
        for SourceFile { name: file, text } in &files {
            put(&format!("rules-{name}/{file}"), text.as_bytes())?;
        }
    }
    let spray = |i: usize| (format!("user{}", i % USERS), "10.9.9.9".to_owned());
    let many = |i: usize| (format!("user{}", i % GROUPS), format!("10.0.0.{}", i % 7));
    put("spray.ndjson", failures(spray).as_bytes())?;
    put("many.ndjson", failures(many).as_bytes())?;
    for (name, kind, by, condition) in [
        ("value_count-below", "value_count", "src_ip", format!("field: user, gte: {}", USERS + 1)),
        ("value_count-fires", "value_count", "src_ip", format!("field: user, gte: {USERS}")),
        ("event_count-below", "event_count", "user", "gte: 100".to_owned()),
        ("event_count-fires", "event_count", "user", "gte: 20".to_owned()),
    ] {
        let rule = format!(
            "title: Failure\nid: 5f6ee5a5-0c6a-4cbe-8b2c-0a1c3f0b3f10\nlevel: low\n\
             logsource: {{product: linux, service: sshd}}\ndetection: {{selection: {{event: failure}}, condition: selection}}\n---\n\
             title: Failures\nid: 0a0cc4a1-6f4e-4c62-9a07-1a3a6b1d3c11\nlevel: high\n\
             correlation: {{type: {kind}, rules: [5f6ee5a5-0c6a-4cbe-8b2c-0a1c3f0b3f10], group-by: [{by}], timespan: 1h, condition: {{{condition}}}}}\n"
        );
        put(&format!("{name}/rule.yml"), rule.as_bytes())?;
    }
    Ok(())
}

/// Failures, 15 ms apart: all within an hour.
fn failures(of: impl Fn(usize) -> (String, String)) -> String {
    let mut out = String::new();
    for i in 0..FAILURES {
        let (user, address) = of(i);
        let at = format!("2026-05-04T10:{:02}:{:02}.{:03}Z", i / 4000 % 60, i * 15 / 1000 % 60, i * 15 % 1000);
        let _ = writeln!(
            out,
            "{{\"timestamp\":\"{at}\",\"product\":\"linux\",\"service\":\"sshd\",\"event\":\"failure\",\"host\":\"bastion-1\",\"user\":\"{user}\",\
             \"src_ip\":\"{address}\",\"port\":{},\"message\":\"Failed password for {user} from {address} port {} ssh2\"}}",
            1024 + i % 60_000,
            1024 + i % 60_000
        );
    }
    out
}
