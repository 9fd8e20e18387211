//! The gateway before a real Kafka: a shipper is told "kept" when Kafka has it, and the line finds it there.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::io::Write as _;

use harness::{Server, await_some, broker, free_port, request, rows, run};

#[test]
fn what_the_gateway_takes_goes_through_kafka() {
    let Some(broker) = broker() else { return };
    let (app, hosts) = (
        format!("app-{}", std::process::id()),
        format!("hosts-{}", std::process::id()),
    );
    let syslog = free_port();
    let mut server = Server::new(&format!(
        "[[syslog]]\nlisten = \"127.0.0.1:{syslog}\"\nprotocol = \"tcp\"\nsource = \"{hosts}\"\n\
         [kafka]\nbootstrap = \"{broker}\"\ntopics = ['^audit\\.(app|hosts)-{}$']\ngateway = true\ntrust_received_at = true\n",
        std::process::id()
    ));
    server.start();
    let token = server.token("shipper", "collector-1");
    let body: String = (0..500).map(|i| format!("{{\"n\": {i}}}\n")).collect();
    let (status, answer) = request(
        server.http,
        "POST",
        &format!("/api/v1/ingest/{app}"),
        Some(&token),
        &[("X-Docket-Batch", "b1")],
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!((status, answer.as_str()), (200, "{\"accepted\":500}"));
    let mut tcp = std::net::TcpStream::connect(("127.0.0.1", syslog)).unwrap();
    write!(
        tcp,
        "<14>May  4 10:00:00 web-1 app[1]: one\n<14>May  4 10:00:01 web-1 app[1]: two\n"
    )
    .unwrap();
    drop(tcp);

    let data = server.data();
    let received = |source: &str| {
        let sources = rows(&["source", "list", "--output", "ndjson", "--data", &data]);
        sources
            .iter()
            .find(|r| r["source"] == *source)
            .map_or(0, |r| r["received"].as_u64().unwrap())
    };
    await_some("all of it to come back from Kafka", || {
        (received(&app) == 500 && received(&hosts) == 2).then_some(())
    });
    server.settle(502);
    let find = |query: String| rows(&["search", &query, "--all", "--output", "ndjson", "--data", &data]);
    let hits = find(format!("source:{app}"));
    assert_eq!(hits.len(), 500);
    assert!(
        hits[0]["record"]
            .as_str()
            .unwrap()
            .starts_with(&format!("audit.{app}/")),
        "{}",
        hits[0]
    );
    assert_eq!(find(format!("source:{hosts}")).len(), 2);

    // The ledger holds the positions: a second start reads nothing twice.
    server.kill();
    server.start();
    server.settle(502);
    assert_eq!(received(&app), 500);
    // The same batch sent again goes through Kafka, too, and counts once.
    let again = [("X-Docket-Batch", "b1")];
    let path = format!("/api/v1/ingest/{app}");
    request(server.http, "POST", &path, Some(&token), &again, body.as_bytes()).unwrap();
    await_some("the second delivery", || {
        (server.account(&app) == (1000, 500)).then_some(())
    });
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let verified = run(&["verify", "--data", &server.data()]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

#[test]
fn a_broker_that_is_down_is_waited_for() {
    let nobody = free_port();
    let mut server = Server::new(&format!(
        "[kafka]\nbootstrap = \"127.0.0.1:{nobody}\"\ntopics = [\"audit.x\"]\n"
    ));
    server.start();
    let health = await_some("trouble to be told", || {
        let (_, body) = harness::get(server.http, "/readyz", None)?;
        let body: serde_json::Value = serde_json::from_str(&body).ok()?;
        (body["kafka"]["connected"] == false).then_some(body)
    });
    assert_eq!(health["ready"], true);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

/// The acts `source.behind` of the ledger, as their details.
fn told_behind(server: &Server) -> Vec<serde_json::Value> {
    let acts = server.records("docket").into_iter();
    let acts = acts.filter_map(|r| serde_json::from_slice::<serde_json::Value>(&r.payload).ok());
    acts.filter(|a| a["act"] == "source.behind")
        .map(|a| a["detail"].clone())
        .collect()
}

#[test]
fn sources_of_a_broker_that_went_away_are_behind_and_not_silent() {
    let Some(broker) = broker() else { return };
    let app = format!("behind-{}", std::process::id());
    let mut server = Server::new(&format!(
        "[kafka]\nbootstrap = \"{broker}\"\ntopics = ['audit.{app}']\ngateway = true\n"
    ));
    let at = server.dir.path().join("docket.toml");
    let there = std::fs::read_to_string(&at).unwrap();
    server.start();
    let token = server.token("shipper", "collector-1");
    let path = format!("/api/v1/ingest/{app}");
    let send = |server: &Server| {
        let (status, answer) = request(server.http, "POST", &path, Some(&token), &[], b"{\"n\": 1}\n").unwrap();
        assert_eq!((status, answer.as_str()), (200, "{\"accepted\":1}"));
    };
    send(&server);
    await_some("the record to come back from Kafka", || {
        (server.account(&app).0 == 1).then_some(())
    });
    // Read as it comes: nothing is behind.
    assert_eq!(told_behind(&server), [] as [serde_json::Value; 0]);
    server.kill();

    // The broker is nowhere: what waits there nobody knows, and its sources are not to be called silent.
    let away = there.replace(&broker, &format!("127.0.0.1:{}", free_port()));
    std::fs::write(&at, away).unwrap();
    server.start();
    let told = await_some("the sources behind to be told", || told_behind(&server).pop());
    assert_eq!(told["connected"], false, "{told}");
    assert_eq!(told["sources"], serde_json::json!([app]), "{told}");
    server.kill();

    // It is back: what comes is read, and nobody is behind any more.
    std::fs::write(&at, there).unwrap();
    server.start();
    let before = told_behind(&server).len();
    send(&server);
    await_some("the record after that", || (server.account(&app).0 == 2).then_some(()));
    assert_eq!(told_behind(&server).len(), before);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}
