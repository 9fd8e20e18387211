//! curl, a hundred lines a request, with its own retries.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::await_some;
use crate::world::{Entry, Shipper, Site, Way};

pub const NDJSON: Way = Way {
    name: "curl-ndjson",
    entry: Entry::Http,
    start: |site, source| Curl::boxed(site, source, ndjson),
};
pub const BULK: Way = Way {
    name: "curl-bulk",
    entry: Entry::Http,
    start: |site, source| Curl::boxed(site, source, bulk),
};
pub const HEC: Way = Way {
    name: "curl-hec",
    entry: Entry::Http,
    start: |site, source| Curl::boxed(site, source, hec),
};

struct Curl {
    url: String,
    token: String,
    source: String,
    file: PathBuf,
    batches: usize,
    ship: fn(&Curl, &[String]),
}

impl Curl {
    fn boxed(site: &Site, source: &str, ship: fn(&Curl, &[String])) -> Box<dyn Shipper> {
        Box::new(Curl {
            url: format!("http://{}", site.http),
            token: site.token(source),
            source: source.to_owned(),
            file: site.folder(source).join("batch"),
            batches: 0,
            ship,
        })
    }

    /// POSTs with curl, which tries again as long as nobody answers; returns the answer.
    fn post(&self, path: &str, headers: &[String], body: &str) -> Value {
        std::fs::write(&self.file, body).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"])
            .args(["--retry", "60", "--retry-delay", "1", "--retry-all-errors"])
            .arg("--data-binary")
            .arg(format!("@{}", self.file.display()))
            .args(["-H", "Content-Type: application/x-ndjson"]);
        for header in headers {
            curl.args(["-H", header]);
        }
        let done = curl.arg(format!("{}{path}", self.url)).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        // What curl was told before it tried again comes first.
        let last = said.rfind("}{").map_or(0, |at| at + 1);
        serde_json::from_str(&said[last..]).unwrap_or_else(|e| panic!("{e}: {said}"))
    }

    fn batch(&self) -> String {
        format!("X-Docket-Batch: {}-{}", self.source, self.batches)
    }
}

impl Shipper for Curl {
    fn offer(&mut self, lines: &[String]) {
        (self.ship)(self, lines);
        self.batches += 1;
    }

    fn finish(&mut self) {}
}

fn ndjson(curl: &Curl, lines: &[String]) {
    let body: String = lines.iter().map(|l| json!({"message": l}).to_string() + "\n").collect();
    let headers = [format!("Authorization: Bearer {}", curl.token), curl.batch()];
    let answer = curl.post(&format!("/api/v1/ingest/{}", curl.source), &headers, &body);
    assert_eq!(answer["accepted"], lines.len());
}

fn bulk(curl: &Curl, lines: &[String]) {
    let item = |(place, line): (usize, &String)| {
        let id = format!("{}-{place}", curl.batches);
        format!("{}\n{}\n", json!({"create": {"_id": id}}), json!({"message": line}))
    };
    let body: String = lines.iter().enumerate().map(item).collect();
    let headers = [format!("Authorization: Bearer {}", curl.token)];
    let answer = curl.post(&format!("/{}/_bulk", curl.source), &headers, &body);
    let created = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["create"]["status"] == 201);
    assert_eq!((&answer["errors"], created.count()), (&json!(false), lines.len()));
}

/// As Splunk's forwarders do: what is not acknowledged is sent again.
fn hec(curl: &Curl, lines: &[String]) {
    let body: String = lines.iter().map(|l| json!({"event": l}).to_string()).collect();
    let headers = [
        format!("Authorization: Splunk {}", curl.token),
        "X-Splunk-Request-Channel: 8d3b0a0e-6a3c-4bd7-9c7e-2d0f4a8f6a11".to_owned(),
        curl.batch(),
    ];
    await_some("an ack", || {
        let id = curl.post("/services/collector/event", &headers, &body)["ackId"]
            .as_u64()
            .unwrap();
        let acks = curl.post("/services/collector/ack", &headers, &json!({"acks": [id]}).to_string());
        (acks["acks"][id.to_string()] == true).then_some(())
    });
}
