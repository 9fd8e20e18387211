//! The test's own program, run again as the process that dies.

use std::path::Path;
use std::process::{Command, ExitStatus};

/// The folder in which a child works; without it the test is the parent.
const CHILD: &str = "DOCKET_CRASH_CHILD";

/// A folder in memory, where there is one: a process that dies leaves its writes to the system whatever the disk does.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.unwrap()
}

/// Runs the test of that name as a child in `folder`, to die where `failpoints` says.
pub fn run(test: &str, folder: &Path, failpoints: &str) -> ExitStatus {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, folder)
        .env("FAILPOINTS", failpoints)
        .output()
        .unwrap();
    ended.status
}

/// Does the child's work where this is one; returns whether it is.
pub fn works(work: impl FnOnce(&Path)) -> bool {
    let Some(folder) = std::env::var_os(CHILD) else {
        return false;
    };
    let _scenario = fail::FailScenario::setup();
    // As `kill -9`: nothing is unwound, nothing flushed.
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    work(Path::new(&folder));
    true
}
