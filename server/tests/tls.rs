//! Syslog and HTTP over TLS, client certificates, and what the configuration says when it is wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use harness::pki::certificates;
use harness::{Server, await_some, connect, exchange, free_port, get, run};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A client that trusts `ca.pem` and shows the certificate of this name, if any.
fn client(dir: &Path, shown: Option<&str>, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let chain = |file: String| -> Vec<CertificateDer<'static>> {
        let found = CertificateDer::pem_file_iter(dir.join(file)).unwrap();
        found.map(Result::unwrap).collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add(chain("ca.pem".into()).remove(0)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
            builder
                .with_client_auth_cert(chain(format!("{name}.pem")), key)
                .unwrap()
        }
    };
    let name = ServerName::try_from("docket.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, connect(address).unwrap())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn syslog_over_tls_names_its_peer() {
    let (mutual, open) = (free_port(), free_port());
    let mut server = Server::new(&format!(
        "[[syslog]]\nlisten = \"127.0.0.1:{mutual}\"\nprotocol = \"tls\"\nsource = \"bastion\"\n\
         tls = {{cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\"}}\n\
         [[syslog]]\nlisten = \"127.0.0.1:{open}\"\nprotocol = \"tls\"\nsource = \"any\"\n\
         tls = {{cert = \"server.pem\", key = \"server.key\"}}\n"
    ));
    let dir = server.dir.path().to_owned();
    let names: &[(&str, &[&str])] = &[
        ("server", &["docket.example"]),
        ("bastion-1", &["b1.example"]),
        ("only-cn", &[]),
    ];
    certificates(&dir, "ca", names);
    certificates(&dir, "other-ca", &[("stranger", &["b1.example"])]);
    server.start();

    // Octet counting, as RFC 5425 has it; a message with a line end in it stays one.
    let messages: Vec<String> = (0..200)
        .map(|i| format!("<13>1 - h a - - - line {i}\nand its second half"))
        .collect();
    let counted: String = messages.iter().map(|m| format!("{} {m}", m.len())).collect();
    for (shown, port) in [(Some("bastion-1"), mutual), (Some("only-cn"), mutual), (None, open)] {
        let mut stream = client(&dir, shown, local(port));
        stream.write_all(counted.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        // The server closes when it has kept all that came.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    let kept = server.records("bastion");
    assert_eq!(kept.len(), 400);
    let peers: Vec<&str> = kept.iter().map(|r| r.peer.as_deref().unwrap()).collect();
    assert_eq!((peers[0], peers[399]), ("b1.example", "only-cn"));
    for (record, message) in kept.iter().zip(messages.iter().cycle()) {
        assert_eq!(record.payload, message.as_bytes());
    }
    assert_eq!(server.records("any")[0].peer.as_deref(), Some("127.0.0.1"));

    // Who shows no certificate, or another authority's, is not heard.
    for shown in [None, Some("stranger")] {
        let mut stream = client(&dir, shown, local(mutual));
        let _ = stream.write_all(counted.as_bytes()).and_then(|()| stream.flush());
        assert!(stream.read(&mut [0; 1]).is_err(), "{shown:?}");
    }
    let mut plain = connect(local(mutual)).unwrap();
    plain.write_all(counted.as_bytes()).unwrap();
    let _ = plain.read_to_end(&mut Vec::new());
    assert_eq!(server.records("bastion").len(), 400);
    let metrics = get(server.http, "/metrics", None).unwrap().1;
    assert!(metrics.contains("docket_tls_refused_total 3"), "{metrics}");

    // What was received before a graceful stop is kept, though the shipper has not closed.
    let mut stream = client(&dir, None, local(open));
    stream.write_all(counted.as_bytes()).unwrap();
    stream.flush().unwrap();
    await_some("the server to have read", || {
        (server.records("any").len() > 200).then_some(())
    });
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.records("any").len(), 400);
}

#[test]
fn the_api_speaks_tls() {
    let mut server = Server::new("");
    let dir = server.dir.path().to_owned();
    certificates(&dir, "ca", &[("server", &["docket.example"])]);
    let config = dir.join("docket.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "tls = {cert = \"server.pem\", key = \"server.key\"}\n").unwrap();
    server.spawn();
    await_some("the server to be ready over TLS", || {
        TcpStream::connect(server.http).ok()?;
        let answer = exchange(client(&dir, None, server.http), "GET", "/readyz", &[], b"")?;
        (answer.status == 200).then_some(())
    });
    let bearer = format!("Bearer {}", server.token("shipper", "s"));
    let headers = [("Authorization", &*bearer)];
    let answer = exchange(
        client(&dir, None, server.http),
        "POST",
        "/api/v1/ingest/app",
        &headers,
        b"a line",
    )
    .unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"accepted\":1}"));
    assert_eq!(server.records("app")[0].payload, "a line");
    // One that says nothing does not keep the others waiting.
    let _silent: Vec<_> = (0..20).map(|_| connect(server.http).unwrap()).collect();
    let answer = exchange(client(&dir, None, server.http), "GET", "/healthz", &[], b"").unwrap();
    assert_eq!(answer.status, 200);
    let plain = exchange(connect(server.http).unwrap(), "GET", "/healthz", &[], b"");
    assert!(plain.is_none_or(|a| a.status != 200));
}

#[test]
fn certificates_are_renewed_while_the_server_runs() {
    let port = free_port();
    let mut server = Server::new(&format!(
        "[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocol = \"tls\"\nsource = \"s\"\n\
         tls = {{cert = \"server.pem\", key = \"server.key\"}}\n"
    ));
    let dir = server.dir.path().to_owned();
    certificates(&dir, "ca", &[("server", &["docket.example"])]);
    server.start();
    let said = |server: &Server, what: &str| {
        let hangup = std::process::Command::new("kill")
            .args(["-HUP", &server.pid().to_string()])
            .status();
        assert!(hangup.unwrap().success());
        await_some(what, || server.log().contains(what).then_some(()));
    };
    let ship = |text: &str| {
        let mut stream = client(&dir, None, local(port));
        let sent = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
        stream.conn.send_close_notify();
        let _ = stream.flush();
        let _ = stream.read(&mut [0; 1]);
        sent.is_ok()
    };
    let mut early = client(&dir, None, local(port));
    early.write_all(b"<13>early\n").unwrap();
    // A client that trusts the new authority alone comes through only once the server shows its certificate.
    let old_ca = std::fs::read(dir.join("ca.pem")).unwrap();
    certificates(&dir, "ca", &[("server", &["docket.example"])]);
    assert!(!ship("<13>too early\n"));
    said(&server, "Certificates loaded.");
    assert!(ship("<13>new\n"));
    // Half-written files change nothing.
    std::fs::write(dir.join("server.key"), "").unwrap();
    said(&server, "Certificates not loaded");
    assert!(ship("<13>still new\n"));
    std::fs::write(dir.join("ca.pem"), old_ca).unwrap();
    assert!(!ship("<13>old\n"));
    // Who was connected stays.
    early.write_all(b"<13>late\n").unwrap();
    early.flush().unwrap();
    await_some("the old connection's line", || {
        let kept = server.records("s");
        kept.iter().any(|r| r.payload == "<13>late").then_some(())
    });
    let mut texts: Vec<String> = server
        .records("s")
        .iter()
        .map(|r| String::from_utf8_lossy(&r.payload).into_owned())
        .collect();
    texts.sort();
    assert_eq!(texts, ["<13>early", "<13>late", "<13>new", "<13>still new"]);
}

#[test]
fn every_datagram_is_kept_or_counted() {
    let port = free_port();
    let mut server = Server::new(&format!(
        "[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocol = \"udp\"\nsource = \"udp\"\n"
    ));
    server.start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    const SENT: u64 = 30_000;
    for i in 0..SENT {
        socket
            .send_to(format!("<13>datagram {i}").as_bytes(), local(port))
            .unwrap();
    }
    let value = |metrics: &str, name: &str| -> u64 {
        let lines = metrics.lines().filter(|l| l.starts_with(name));
        lines
            .map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    let (received, dropped) = await_some("every datagram to be accounted for", || {
        let metrics = get(server.http, "/metrics", None)?.1;
        let counts = (
            value(&metrics, "docket_udp_datagrams_total"),
            value(&metrics, "docket_udp_dropped_total"),
        );
        (counts.0 + counts.1 == SENT).then_some(counts)
    });
    println!("{received} received, {dropped} dropped by the kernel");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.records("udp").len() as u64, received);
}

#[test]
fn a_wrong_configuration_says_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), "ca", &[("server", &["docket.example"]), ("other", &[])]);
    std::fs::write(dir.path().join("empty.pem"), "").unwrap();
    let syslog = |rest: &str| format!("[[syslog]]\nlisten = \"127.0.0.1:6514\"\nsource = \"s\"\n{rest}\n");
    let cases = [
        (syslog("protocol = \"dtls\""), "give `tcp`, `tls` or `udp`"),
        (syslog("protocol = \"tls\""), "without files"),
        (
            syslog("protocol = \"udp\"\ntls = {cert = \"server.pem\", key = \"server.key\"}"),
            "give protocol = \"tls\"",
        ),
        (
            syslog("protocol = \"tls\"\ntls = {cert = \"none.pem\", key = \"server.key\"}"),
            "none.pem",
        ),
        (
            syslog("protocol = \"tls\"\ntls = {cert = \"empty.pem\", key = \"server.key\"}"),
            "there is no certificate in it",
        ),
        (
            syslog("protocol = \"tls\"\ntls = {cert = \"server.pem\", key = \"server.pem\"}"),
            "one private key",
        ),
        (
            syslog("protocol = \"tls\"\ntls = {cert = \"server.pem\", key = \"other.key\"}"),
            "its own key",
        ),
        (
            "[http]\ntls = {cert = \"server.pem\", key = \"server.key\"}".into(),
            "without listen",
        ),
        ("[otlp]\ngrpc = \"here\"".into(), "127.0.0.1:4317"),
        (
            "[otlp]\ntls = {cert = \"server.pem\", key = \"server.key\"}".into(),
            "without grpc",
        ),
        ("[otlp]\nsource = \"docket\"".into(), "reserved"),
        ("[hec]\nsource = \"a b\"".into(), "A-Z a-z 0-9"),
        ("[bulk]\nversion = \"8\"".into(), "three numbers"),
        ("[bulk.sources]\n\"a*b\" = \"x\"".into(), "one `*` at the end"),
        ("[bulk.sources]\n\"a*\" = \"docket\"".into(), "reserved"),
        ("[limits]\nheld_bytes = 1000".into(), "268435456"),
    ];
    let path = dir.path().join("docket.toml");
    for (toml, allowed) in cases {
        std::fs::write(&path, &toml).unwrap();
        let checked = run(&["config", "check", "--config", &path.display().to_string()]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(3), "{toml}: {said}");
        assert!(said.contains(allowed), "{toml}: {said}");
    }
    let right =
        syslog("protocol = \"tls\"\ntls = {cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\"}");
    std::fs::write(&path, right).unwrap();
    let checked = run(&["config", "check", "--config", &path.display().to_string()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
