//! kcat, producing what it reads.

use std::process::Stdio;

use crate::harness::installed::Running;
use crate::world::{Entry, Pipe, Way};

pub const KCAT: Way = Way {
    name: "kcat",
    entry: Entry::Kafka,
    start: |site, source| {
        let mut command = site.installed.command("usr/bin/kcat");
        command.args([
            "-P",
            "-b",
            &site.broker,
            "-t",
            &format!("audit.{source}"),
            "-X",
            "acks=all",
        ]);
        command.stdin(Stdio::piped());
        Pipe::start(Running::start(source, &site.folder(source), &mut command))
    },
};
