//! The OpenTelemetry SDK for Python with its own exporters; `ship.py` is what an application would do.

use std::path::Path;
use std::process::Stdio;

use crate::harness::installed::Running;
use crate::world::{Entry, Pipe, Shipper, Site, Way};

pub const HTTP: Way = Way {
    name: "opentelemetry-http",
    entry: Entry::Http,
    start: |site, source| start(site, source, "http", &format!("http://{}/v1/logs", site.http)),
};
pub const GRPC: Way = Way {
    name: "opentelemetry-grpc",
    entry: Entry::Http,
    start: |site, source| start(site, source, "grpc", &format!("http://127.0.0.1:{}", site.grpc)),
};

fn start(site: &Site, source: &str, protocol: &str, endpoint: &str) -> Box<dyn Shipper> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_shippers/ship.py");
    let mut command = site.installed.command("otel/bin/python");
    // What the machine has is not what came with the shippers.
    command.env_remove("LD_LIBRARY_PATH");
    command.arg(program).args([protocol, endpoint, &site.token(source)]);
    command.stdin(Stdio::piped());
    Pipe::start(Running::start(source, &site.folder(source), &mut command))
}
