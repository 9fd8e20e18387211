//! Programs of other people that the tests run: shippers unpacked by `cargo xtask shippers`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::await_some;

/// The folder with rsyslog, syslog-ng, kcat and the OpenTelemetry SDK.
#[derive(Clone)]
pub struct Installed {
    root: PathBuf,
}

impl Installed {
    /// The shippers; without them the test says that it is skipped.
    pub fn find() -> Option<Installed> {
        let root = std::env::var_os("DOCKET_SHIPPERS").filter(|r| !r.is_empty());
        if let Some(root) = root {
            return Some(Installed { root: root.into() });
        }
        assert!(
            std::env::var_os("DOCKET_SHIPPERS_REQUIRED").is_none(),
            "DOCKET_SHIPPERS names no folder with rsyslog, syslog-ng, kcat and the OpenTelemetry SDK: \
             `cargo xtask shippers` fetches them and says what it lacks"
        );
        println!("skipped: DOCKET_SHIPPERS names no folder (`cargo xtask shippers` makes one, `cargo xtask test` too)");
        None
    }

    /// A program of the folder, with the libraries that came with it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join(program));
        let libraries: Vec<PathBuf> = ["usr/lib", "lib"]
            .iter()
            .flat_map(|l| folders(&self.root.join(l)))
            .collect();
        command
            .env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap())
            .stdin(Stdio::null());
        command
    }

    /// The one folder below `under` that holds `file`.
    pub fn folder_of(&self, under: &str, file: &str) -> PathBuf {
        let under = self.root.join(under);
        let found = folders(&under)
            .into_iter()
            .flat_map(|f| [f.clone(), f.join("rsyslog")])
            .find(|f| f.join(file).exists());
        found.unwrap_or_else(|| panic!("no {file} below {}", under.display()))
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let entries = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    entries.collect()
}

/// A process that ends with the test.
pub struct Running {
    pub name: String,
    pub child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it says goes to `<name>.out` in the folder.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Running {
        let log = dir.join(format!("{name}.out"));
        let out = std::fs::File::create(&log).unwrap();
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn();
        let child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let name = name.to_owned();
        Running { name, child, log }
    }

    /// What it said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(asked.unwrap().success());
        self.ended();
    }

    /// Waits for its end; returns whether it was content.
    pub fn ended(&mut self) -> bool {
        let what = format!("{} to end", self.name);
        await_some(&what, || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.name, self.said());
        }
    }
}
