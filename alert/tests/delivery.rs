//! The webhook and its courier against a real HTTP server on the loopback address.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alert::channels::webhook::{Settings, Webhook, signature};
use alert::{Channel, Courier, DeliveryState, Outcome, Retry, Store};
use model::Millis;
use support::{finding, id};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

const NOW: Millis = Millis(1_780_000_000_000);

/// A request as it came.
#[derive(Debug, Clone)]
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            l.split_once(": ")
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v)
        })
    }
}

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    Text(String),
    /// Never answers.
    Silence,
    /// Answers without an end.
    Endless,
}

fn status(line: &str) -> Answer {
    Answer::Text(format!(
        "HTTP/1.1 {line}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhm"
    ))
}

/// A server that gives the answers in turn, then 204 for ever.
async fn serve(answers: Vec<Answer>) -> (String, mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=geheim", listener.local_addr().unwrap());
    let (send, receive) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (send, answers) = (send.clone(), answers.clone());
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let request = loop {
                    let mut part = [0; 4096];
                    let n = stream.read(&mut part).await.unwrap_or(0);
                    if n == 0 {
                        return;
                    }
                    bytes.extend_from_slice(&part[..n]);
                    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                        continue;
                    };
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    let request = Request {
                        head,
                        body: bytes[end + 4..].to_vec(),
                    };
                    let length: usize = request.header("content-length").unwrap().parse().unwrap();
                    if request.body.len() >= length {
                        break request;
                    }
                };
                let _ = send.send(request);
                let answer = answers.lock().unwrap().pop_front();
                match answer.unwrap_or_else(|| Answer::Text("HTTP/1.1 204 No Content\r\n\r\n".into())) {
                    Answer::Text(text) => {
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                    Answer::Silence => std::future::pending().await,
                    Answer::Endless => {
                        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                    }
                }
            });
        }
    });
    (url, receive)
}

fn webhook(url: &str, timeout_ms: u64) -> Webhook {
    let mut settings = Settings::new("hook", url);
    settings.secret = Some("s3cret".into());
    settings.timeout = Duration::from_millis(timeout_ms);
    settings.link_base = Some("https://docket.example/".into());
    Webhook::new(settings).unwrap()
}

fn raised(n: u32) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path().join(alert::FILE_NAME))
        .unwrap()
        .with_channels(["hook"]);
    let findings: Vec<_> = (1..=n).map(finding).collect();
    store.commit(&[], &findings, NOW).unwrap();
    (dir, store)
}

#[tokio::test]
async fn the_post_carries_finding_link_key_and_signature() {
    let (url, mut requests) = serve(vec![]).await;
    let (_dir, store) = raised(1);
    let notice = store.due("hook", NOW, 1).unwrap().remove(0);
    assert_eq!(webhook(&url, 10_000).send(&notice).await, Outcome::Delivered);
    let request = requests.recv().await.unwrap();
    assert!(
        request.head.starts_with("POST /hook?token=geheim HTTP/1.1"),
        "{}",
        request.head
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("idempotency-key"), Some(notice.key.as_str()));
    assert_eq!(
        request.header("x-docket-signature"),
        Some(signature(b"s3cret", &request.body).as_str())
    );
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["link"], format!("https://docket.example/alerts/{}", id(1)));
    assert_eq!(
        body["summary"],
        "[High] AU-10 Logon past the bastion: wu.di logged on to 库-01 from 10.9.9.9"
    );
    assert_eq!(body["finding"], finding(1).to_ocsf());
}

/// RFC 4231, test case 2.
#[test]
fn the_signature_is_hmac_sha256() {
    let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(signature(b"Jefe", b"what do ya want for nothing?"), expected);
}

#[tokio::test]
async fn an_answer_is_judged() {
    let again = |error: &str, after_ms| Outcome::Retry {
        error: error.into(),
        after_ms,
    };
    let never = |error: &str| Outcome::Refused { error: error.into() };
    let retry_after = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let cases = [
        (status("200 OK"), Outcome::Delivered),
        (status("202 Accepted"), Outcome::Delivered),
        (status("400 Bad Request"), never("400 Bad Request: hm")),
        (status("401 Unauthorized"), never("401 Unauthorized: hm")),
        (status("404 Not Found"), never("404 Not Found: hm")),
        (status("408 Request Timeout"), again("408 Request Timeout: hm", None)),
        (
            Answer::Text(retry_after.into()),
            again("429 Too Many Requests: ", Some(7_000)),
        ),
        (
            status("500 Internal Server Error"),
            again("500 Internal Server Error: hm", None),
        ),
        (
            status("503 Service Unavailable"),
            again("503 Service Unavailable: hm", None),
        ),
        (Answer::Text(redirect.into()), never("302 Found: ")),
        (Answer::Endless, never(&format!("400 Bad Request: {}", "x".repeat(200)))),
    ];
    let (_dir, store) = raised(1);
    let notice = store.due("hook", NOW, 1).unwrap().remove(0);
    for (answer, expected) in cases {
        let (url, _requests) = serve(vec![answer]).await;
        assert_eq!(webhook(&url, 10_000).send(&notice).await, expected);
    }
}

#[tokio::test]
async fn no_answer_is_tried_again_and_names_no_secret() {
    let (_dir, store) = raised(1);
    let notice = store.due("hook", NOW, 1).unwrap().remove(0);
    let (url, _requests) = serve(vec![Answer::Silence]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [url, format!("http://{closed}/geheim")] {
        match webhook(&url, 200).send(&notice).await {
            Outcome::Retry { error, .. } => assert!(!error.contains("geheim"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    let shown = format!("{:?}", webhook("http://127.0.0.1:1/geheim", 1));
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_url_that_cannot_be_posted_to_is_refused() {
    for url in ["", "hook", "ftp://example.org/x", "file:///etc/passwd"] {
        assert!(Webhook::new(Settings::new("hook", url)).is_err(), "{url}");
    }
}

/// Runs a courier on a clock that this test moves, until `done`.
async fn run(store: Store, channel: Arc<dyn Channel>, path: &std::path::Path, done: impl Fn(&Store) -> bool) {
    let clock = Arc::new(AtomicI64::new(NOW.0));
    let ticking = clock.clone();
    // Each look at the clock is a second later: waits pass without waiting.
    let clock = move || Millis(ticking.fetch_add(1_000, Ordering::SeqCst));
    let (wake, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (woken, stopped) = (wake.clone(), stop.clone());
    let courier = Courier::new(store, channel, Retry::default());
    let task = tokio::spawn(courier.run(clock, woken, async move { stopped.notified().await }));
    let store = Store::open(path).unwrap();
    while !done(&store) {
        wake.notify_one();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.notify_one();
    task.await.unwrap();
}

#[tokio::test]
async fn a_courier_tries_until_it_is_delivered_with_the_same_key_and_body() {
    let (url, mut requests) = serve(vec![status("500 No"), status("503 No"), status("429 No")]).await;
    let (dir, store) = raised(1);
    let path = dir.path().join(alert::FILE_NAME);
    let delivered = |s: &Store| s.show(&id(1)).unwrap().deliveries[0].state == DeliveryState::Delivered;
    run(store, Arc::new(webhook(&url, 10_000)), &path, delivered).await;
    let detail = Store::open(&path).unwrap().show(&id(1)).unwrap();
    assert_eq!(
        (detail.deliveries[0].attempts, detail.deliveries[0].error.as_deref()),
        (4, None)
    );
    let mut seen = Vec::new();
    while let Ok(r) = requests.try_recv() {
        seen.push((r.header("idempotency-key").unwrap().to_owned(), r.body));
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|s| *s == seen[0]));
}

#[tokio::test]
async fn a_courier_delivers_many_once_each_and_keeps_what_was_refused() {
    let (url, mut requests) = serve(vec![status("410 Gone")]).await;
    let (dir, store) = raised(50);
    let path = dir.path().join(alert::FILE_NAME);
    let settled = |s: &Store| s.deliveries(DeliveryState::Pending, 1).unwrap().is_empty();
    run(store, Arc::new(webhook(&url, 10_000)), &path, settled).await;
    let store = Store::open(&path).unwrap();
    let refused = store.deliveries(DeliveryState::Refused, 99).unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].error.as_deref(), Some("410 Gone: hm"));
    assert_eq!(store.deliveries(DeliveryState::Delivered, 99).unwrap().len(), 49);
    let mut keys = Vec::new();
    while let Ok(r) = requests.try_recv() {
        keys.push(r.header("idempotency-key").unwrap().to_owned());
    }
    keys.sort();
    let expected: Vec<String> = (1..=50).map(|n| format!("{}:hook:raised", id(n))).collect();
    assert_eq!(keys, expected);
}

/// A channel that panics once must cost neither the courier nor the notification.
#[tokio::test]
async fn a_channel_that_panics_is_tried_again() {
    #[derive(Debug)]
    struct Fragile(AtomicI64);
    impl Channel for Fragile {
        fn name(&self) -> &str {
            "hook"
        }
        fn send<'a>(&'a self, _: &'a alert::Notice) -> alert::Sending<'a> {
            Box::pin(async {
                assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
                Outcome::Delivered
            })
        }
    }
    let (dir, store) = raised(1);
    let path = dir.path().join(alert::FILE_NAME);
    let delivered = |s: &Store| !s.deliveries(DeliveryState::Delivered, 1).unwrap().is_empty();
    run(store, Arc::new(Fragile(AtomicI64::new(0))), &path, delivered).await;
}
