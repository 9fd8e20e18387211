//! What this process and others used: processor time and memory.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Clock ticks a second in `/proc/<pid>/stat`: 100 on every Linux that we know.
const TICKS: f64 = 100.0;

fn since_start(at: Timespec) -> Duration {
    Duration::new(at.tv_sec.unsigned_abs(), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// Processor time of the calling thread.
pub fn thread() -> Duration {
    since_start(clock_gettime(ClockId::ThreadCPUTime))
}

/// Processor time of this process, ended threads included.
pub fn process() -> Duration {
    since_start(clock_gettime(ClockId::ProcessCPUTime))
}

/// Adds the processor time that `f` takes on this thread to `sum`.
pub fn timed<T>(sum: &mut Duration, f: impl FnOnce() -> T) -> T {
    let before = thread();
    let out = f();
    *sum += thread().saturating_sub(before);
    out
}

/// Processor time of another process, ended threads included; in steps of 10 ms.
///
/// # Errors
/// It is not there.
pub fn of_process(pid: u32) -> anyhow::Result<Duration> {
    stat(Path::new(&format!("/proc/{pid}")))
}

/// Processor time of the threads of another process that live, by name; in steps of 10 ms.
///
/// # Errors
/// The process is not there.
pub fn of_threads(pid: u32) -> anyhow::Result<Vec<(String, Duration)>> {
    let mut all: Vec<(String, Duration)> = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        // A thread may have ended in between.
        let (Ok(name), Ok(used)) = (std::fs::read_to_string(path.join("comm")), stat(&path)) else {
            continue;
        };
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        match all.iter_mut().find(|(n, _)| *n == name) {
            Some((_, sum)) => *sum += used,
            None => all.push((name, used)),
        }
    }
    all.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
    Ok(all)
}

fn stat(dir: &Path) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(dir.join("stat"))?;
    // The name, in brackets, may hold anything.
    let rest = text.rsplit_once(") ").context("stat without a name")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok(Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS))
}

/// Peak resident memory of a process (`self` or a number), in MiB.
///
/// # Errors
/// It is not there.
pub fn peak_mib(process: &str) -> anyhow::Result<f64> {
    status_mib(process, "VmHWM")
}

/// A line of `/proc/PROCESS/status` that is of kB (`VmRSS`, `RssAnon`), in MiB.
///
/// # Errors
/// It is not there.
pub fn status_mib(process: &str, name: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let mut lines = text.lines();
    let value = lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    let kib: f64 = value.context(name.to_owned())?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Forgets the peak of a process (`self` or a number) so far.
///
/// # Errors
/// The kernel's.
pub fn forget_peak(process: &str) -> anyhow::Result<()> {
    let path = format!("/proc/{process}/clear_refs");
    std::fs::write(&path, "5").context(path)
}

/// Bytes of the files below a folder.
///
/// # Errors
/// The disk's.
pub fn bytes_of(path: &Path) -> anyhow::Result<u64> {
    if !path.is_dir() {
        return Ok(path.metadata().map_or(0, |m| m.len()));
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        sum += bytes_of(&entry?.path())?;
    }
    Ok(sum)
}

/// The machine and how busy it was, in one line.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, v)| v.trim()).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: f64 = value(&read("/proc/meminfo"), "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{cores} cores ({}), {:.0} GiB, load before the start {}",
        value(&read("/proc/cpuinfo"), "model name"),
        kib / 1024.0 / 1024.0,
        load.join(" ")
    )
}
