//! Debian's rsyslog, reading a file.

use std::path::Path;

use crate::harness::installed::Running;
use crate::world::{Entry, Shipper, Site, Tail, Way};

pub const TCP: Way = Way {
    name: "rsyslog-tcp",
    entry: Entry::Tcp,
    start: |site, source| start(site, source, &omfwd(site.port(source), "")),
};
pub const GNUTLS: Way = Way {
    name: "rsyslog-gnutls",
    entry: Entry::MutualTls,
    start: |site, source| start(site, source, &omfwd(site.port(source), "gtls")),
};
pub const OPENSSL: Way = Way {
    name: "rsyslog-openssl",
    entry: Entry::Tls,
    start: |site, source| start(site, source, &omfwd(site.port(source), "ossl")),
};
pub const OMKAFKA: Way = Way {
    name: "rsyslog-omkafka",
    entry: Entry::Kafka,
    start: |site, source| {
        let action = format!(
            "module(load=\"omkafka\")\n\
             action(type=\"omkafka\" broker=[\"{}\"] topic=\"audit.{source}\" confParam=[\"acks=all\"]\n\
             template=\"RSYSLOG_SyslogProtocol23Format\" queue.type=\"LinkedList\" queue.size=\"100000\" queue.filename=\"docket-kafka\"\n\
             resubmitOnFailure=\"on\" keepFailedMessages=\"on\" failedMsgFile=\"failed\"\n\
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n",
            site.broker
        );
        start(site, source, &action)
    },
};
pub const OMELASTICSEARCH: Way = Way {
    name: "rsyslog-omelasticsearch",
    entry: Entry::Http,
    start: |site, source| {
        // `uuid` is made once for a message: sent again, it is the same.
        let action = format!(
            "module(load=\"omelasticsearch\")\n\
             template(name=\"docket\" type=\"list\") {{\n\
             constant(value=\"{{\\\"message\\\":\\\"\") property(name=\"msg\" format=\"json\") constant(value=\"\\\"}}\") }}\n\
             template(name=\"id\" type=\"string\" string=\"%uuid%\")\n\
             action(type=\"omelasticsearch\" server=\"127.0.0.1\" serverport=\"{}\" uid=\"docket\" pwd=\"{}\"\n\
             searchIndex=\"{source}\" searchType=\"\" bulkmode=\"on\" template=\"docket\" bulkid=\"id\" dynbulkid=\"on\"\n\
             queue.type=\"LinkedList\" queue.size=\"100000\" queue.filename=\"docket-es\"\n\
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n",
            site.http.port(),
            site.token(source)
        );
        start(site, source, &action)
    },
};

// A queue that never spills to disk: where it does, rsyslog 8.2302 makes a second connection, and loses lines of its own
// when that ends (a few with gtls, hundreds with ossl), whoever listens.
fn omfwd(port: u16, driver: &str) -> String {
    let tls = match driver {
        "" => String::new(),
        driver => format!(
            "StreamDriver=\"{driver}\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" \
             StreamDriverPermittedPeers=\"docket.example\" TCP_Framing=\"octet-counted\"\n"
        ),
    };
    format!(
        "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" {tls}\
         template=\"RSYSLOG_SyslogProtocol23Format\" queue.type=\"LinkedList\" queue.filename=\"docket\" queue.size=\"100000\"\n\
         queue.saveOnShutdown=\"on\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n"
    )
}

fn start(site: &Site, source: &str, action: &str) -> Box<dyn Shipper> {
    let dir = site.folder(source);
    let (log, config) = (dir.join("in.log"), dir.join("rsyslog.conf"));
    std::fs::write(&log, "").unwrap();
    let shown = |p: &Path| p.display().to_string();
    let pki = shown(&site.pki);
    let text = format!(
        "global(workDirectory=\"{}\" DefaultNetstreamDriverCAFile=\"{pki}/ca.pem\"\n\
         DefaultNetstreamDriverCertFile=\"{pki}/host.pem\" DefaultNetstreamDriverKeyFile=\"{pki}/host.key\"\n\
         processInternalMessages=\"on\")\n\
         if $programname startswith 'rsyslogd' then {{ action(type=\"omfile\" file=\"{}\") stop }}\n\
         module(load=\"imfile\")\n\
         input(type=\"imfile\" File=\"{}\" Tag=\"app:\")\n{action}",
        shown(&dir),
        shown(&dir.join("rsyslog.own")),
        shown(&log)
    );
    std::fs::write(&config, text).unwrap();
    let modules = site.installed.folder_of("usr/lib", "imfile.so");
    let mut command = site.installed.command("usr/sbin/rsyslogd");
    command.args(["-n", "-iNONE", "-f", &shown(&config), "-M", &shown(&modules)]);
    Tail::start(Running::start(source, &dir, &mut command), &log)
}
