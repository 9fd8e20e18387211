//! Sources that fall silent, on the real server and by its ticks alone: the built-in policy, with cadences of seconds.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Server, await_some, request, rows};
use serde_json::Value;

/// The policy as it is shipped, in a hurry.
fn policy() -> String {
    let path = format!(
        "{}/../policies/log-auditing/la-09-source-silent.yml",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut text = fs::read_to_string(path).unwrap();
    for (shipped, hurried) in [
        (
            "learn: {warm_up: 3d, at_least: 15m, at_most: 7d}",
            "learn: {warm_up: 4s, at_least: 3s, at_most: 5s}",
        ),
        ("grace: 60s", "grace: 2s"),
        ("never: 24h", "never: 3s"),
        ("  kind: compliance", "  wait: 1s\n  kind: compliance"),
    ] {
        assert!(text.contains(shipped), "the policy has changed: {shipped}");
        text = text.replace(shipped, hurried);
    }
    text
}

fn ship(server: &Server, token: &str, source: &str) {
    let line = format!(
        r#"{{"time": "{}", "system": "crm", "user": "eve", "action": "view"}}"#,
        model::Millis(now())
    );
    let path = format!("/api/v1/ingest/{source}");
    let (status, body) = request(server.http, "POST", &path, Some(token), &[], line.as_bytes()).unwrap();
    assert_eq!(status, 200, "{body}");
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The alerts about a source, newest first: status, when it was silent for too long, message.
fn alerts(server: &Server, source: &str) -> Vec<(String, i64, String)> {
    let all = rows(&["alert", "list", "--data", &server.data(), "--output", "ndjson"]);
    let about = all
        .into_iter()
        .filter(|a| text(&a["finding"]["message"]).starts_with(&format!("{source} ")));
    about
        .map(|a| {
            let finding = &a["finding"];
            (
                text(&a["status"]),
                finding["time"].as_i64().unwrap(),
                text(&finding["message"]),
            )
        })
        .collect()
}

fn state(server: &Server, source: &str) -> Value {
    let all = rows(&["source", "list", "--data", &server.data(), "--output", "ndjson"]);
    all.into_iter().find(|s| s["source"] == source).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn silence_is_told_once_ends_when_the_source_returns_and_is_not_dockets_own_absence() {
    let port = harness::free_port();
    let mut server = Server::new(&format!(
        "policies = [\"policies\"]\nreference = \"reference\"\n\
         [[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocol = \"tcp\"\nsource = \"nobody\"\n"
    ));
    let dir = server.dir.path();
    fs::create_dir(dir.join("policies")).unwrap();
    fs::write(dir.join("policies/la-09.yml"), policy()).unwrap();
    fs::create_dir(dir.join("reference")).unwrap();
    fs::write(
        dir.join("reference/source_register.json"),
        r#"[{"source": "declared", "max_silence_s": 3}]"#,
    )
    .unwrap();
    server.start();
    let token = server.token("shipper", "test");
    // For longer than the cadence is learned; `habitual` is in no register.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(6) {
        ship(&server, &token, "declared");
        ship(&server, &token, "habitual");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert!(alerts(&server, "declared").is_empty() && alerts(&server, "habitual").is_empty());
    let speaking = state(&server, "habitual");
    assert_eq!(
        (&speaking["state"], &speaking["cadence"], &speaking["cadence_s"]),
        (&"speaking".into(), &"learned".into(), &3.into())
    );
    assert_eq!(state(&server, "nobody")["state"], "never seen");

    // Nothing is sent any more: by ticks alone both fall silent, and one never spoke.
    let told = |source: &str| {
        await_some(&format!("the silence of {source}"), || {
            alerts(&server, source).into_iter().find(|a| a.0 == "new")
        })
    };
    let declared = told("declared");
    assert!(
        declared.2.contains("it may be silent for 3 s (declared)"),
        "{}",
        declared.2
    );
    let habitual = told("habitual");
    assert!(
        habitual.2.contains("it may be silent for 3 s (learned)"),
        "{}",
        habitual.2
    );
    assert!(told("nobody").2.contains("is configured, and has never sent anything"));
    let silent = state(&server, "declared");
    assert_eq!(
        (&silent["state"], &silent["cadence"]),
        (&"silent".into(), &"declared".into())
    );
    assert_eq!(silent["silent_since"], silent["last_received"]);

    // It returns: the finding is resolved, and says for how long it was silent.
    ship(&server, &token, "declared");
    let resolved = await_some("the finding to be resolved", || {
        alerts(&server, "declared").into_iter().find(|a| a.0 == "resolved")
    });
    assert!(resolved.2.contains("; it sent again at "), "{}", resolved.2);

    // Docket itself is away for longer than the source may be silent: its clock begins anew.
    server.kill();
    let down = Instant::now();
    await_some("the source's cadence to go by", || {
        (down.elapsed() > Duration::from_secs(6)).then_some(())
    });
    let started = now();
    server.start();
    let again = await_some("the second silence", || {
        alerts(&server, "declared").into_iter().find(|a| a.0 == "new")
    });
    assert!(
        again.1 >= started + 5_000,
        "told as of {}, started at {started}: cadence and grace are 5 s",
        again.1
    );
    // What was told before the kill stands, and is told once.
    assert_eq!(alerts(&server, "habitual").len(), 1);
    assert_eq!(alerts(&server, "declared").len(), 2);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}
