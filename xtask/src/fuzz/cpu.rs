//! How long a process had a CPU, as Linux tells it in `/proc`: what counts on a machine that others use, too.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Ticks of a second in `/proc`, on every platform that Linux tells a process of (`USER_HZ`).
const TICKS: u64 = 100;
/// How often is looked, in milliseconds.
const LOOK_MS: u64 = 500;

/// Whether the system says how long a process had a CPU.
pub fn is_told() -> bool {
    of(std::process::id()).is_some()
}

/// Waits for libFuzzer's process, and asks it to end when it had a CPU that long. How it ended, and the seconds of CPU it was last
/// seen with.
pub fn wait(child: &mut Child, seconds: u64) -> Result<(ExitStatus, Option<u64>)> {
    let mut had = None;
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, had));
        }
        had = of(child.id()).or(had);
        if !asked && had >= Some(seconds) {
            // libFuzzer ends after the input it is at, with its figures, and with 0.
            let pid = child.id().to_string();
            let told = Command::new("kill").args(["-USR1", &pid]).status().context("kill")?;
            ensure!(told.success(), "the fuzzer cannot be told to end");
            asked = true;
        }
        sleep(Duration::from_millis(LOOK_MS));
    }
}

/// Seconds of CPU, its own and the system's for it.
fn of(pid: u32) -> Option<u64> {
    seconds(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `utime` and `stime` of proc_pid_stat(5). The name before them may hold anything, blanks and parentheses, too.
fn seconds(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    // The first field after the name is the third.
    let mut ticks = after.split_ascii_whitespace().skip(11).map(|n| n.parse::<u64>().ok());
    Some((ticks.next()?? + ticks.next()??) / TICKS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn seconds_are_read_whatever_the_process_is_called() {
        let rest = "S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 5 1000 50";
        for name in ["docket-fuzz", "a) b (c"] {
            assert_eq!(super::seconds(&format!("42 ({name}) {rest}")), Some(3), "{name}");
        }
        assert_eq!(super::seconds("42 (a) S 1"), None);
    }
}
