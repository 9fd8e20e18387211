//! Debian's syslog-ng, reading a file.

use std::path::Path;

use crate::harness::installed::Running;
use crate::world::{Entry, Shipper, Site, Tail, Way};

pub const TLS: Way = Way {
    name: "syslog-ng-tls",
    entry: Entry::MutualTls,
    start: |site, source| {
        let pki = site.pki.display();
        let destination = format!(
            "syslog(\"localhost\" port({}) transport(\"tls\")\n\
             tls(ca-file(\"{pki}/ca.pem\") cert-file(\"{pki}/host.pem\") key-file(\"{pki}/host.key\"))\n\
             disk-buffer(reliable(yes) disk-buf-size(16777216) dir(\"{}\")));",
            site.port(source),
            site.folder(source).display()
        );
        start(site, source, &destination)
    },
};
pub const KAFKA: Way = Way {
    name: "syslog-ng-kafka",
    entry: Entry::Kafka,
    start: |site, source| {
        let destination = format!(
            "kafka-c(bootstrap-servers(\"{}\") topic(\"audit.{source}\") config(acks(\"all\"))\n\
             message(\"$(format-json --scope rfc5424)\"));",
            site.broker
        );
        start(site, source, &destination)
    },
};

fn start(site: &Site, source: &str, destination: &str) -> Box<dyn Shipper> {
    let dir = site.folder(source);
    let (log, config) = (dir.join("in.log"), dir.join("syslog-ng.conf"));
    std::fs::write(&log, "").unwrap();
    let shown = |p: &Path| p.display().to_string();
    let text = format!(
        "@version: 3.35\n\
         options {{ time-reopen(1); stats-freq(0); }};\n\
         source in {{ file(\"{}\" follow-freq(0.1) flags(no-parse)); }};\n\
         destination out {{ {destination} }};\n\
         log {{ source(in); destination(out); flags(flow-control); }};\n",
        shown(&log)
    );
    std::fs::write(&config, text).unwrap();
    let modules = site.installed.folder_of("usr/lib/syslog-ng", "libaffile.so");
    let mut command = site.installed.command("usr/sbin/syslog-ng");
    command
        .args(["-F", "--no-caps", "--stderr", "-f", &shown(&config)])
        .args(["-R", &shown(&dir.join("persist")), "-p", &shown(&dir.join("pid"))])
        .args(["-c", &shown(&dir.join("ctl")), "--module-path", &shown(&modules)]);
    Tail::start(Running::start(source, &dir, &mut command), &log)
}
