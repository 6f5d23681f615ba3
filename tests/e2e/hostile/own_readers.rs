//! Attacks by whoever reaches the operator's port.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Operator, World};

/// A connection on which this was said, as far as the operator took it.
async fn say(operator: &Operator, said: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(operator.address()).await.unwrap();
    let _ = client.write_all(said).await;
    client
}

/// What the port answers to these bytes if nothing more will be said; it may also close the connection.
async fn told_at_last(operator: &Operator, said: &[u8]) -> String {
    let mut client = say(operator, said).await;
    let _ = client.shutdown().await;
    answer(client).await
}

/// What comes on a connection until its end.
async fn answer(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), client.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection does not end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The probes are answered, and an edit arrives.
async fn goes_on(world: &World, operator: &Operator) {
    for probe in ["/livez", "/readyz"] {
        assert!(operator.get(probe).await.unwrap_or_default().starts_with("HTTP/1.1 200"), "{probe}");
    }
    world.object("x").change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
}

/// Methods and paths that are none of the three: nothing is changed, told or followed.
#[tokio::test(flavor = "multi_thread")]
async fn o47_other_methods_and_paths() {
    let world = World::with_datadog_key("own-methods").await;
    let operator = world.operator(&[]).await;
    world.datadog("x").await.in_sync().await;
    for (method, path) in [
        ("POST", "/metrics"),
        ("DELETE", "/livez"),
        ("TRACE", "/metrics"),
        ("OPTIONS", "*"),
        ("CONNECT", "127.0.0.1:443"),
        ("GET", "/../../etc/passwd"),
        ("GET", "/metrics/../livez"),
        ("GET", "//metrics"),
        ("GET", "/%6detrics"),
        ("GET", "/debug/pprof/heap"),
        ("GET", "/quitquitquit"),
        ("PROPFIND", "/"),
        ("GET", "http://127.0.0.1:1/metrics/x"),
    ] {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nX-Secret: canary\r\nConnection: close\r\n\r\n");
        let answer = answer(say(&operator, request.as_bytes()).await).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{method} {path}: {answer}");
        assert!(!answer.contains("canary"), "TRACE repeats nothing: {answer}");
    }
    goes_on(&world, &operator).await;
}

/// Other protocols, and bytes that are none.
#[tokio::test(flavor = "multi_thread")]
async fn o48_other_protocols() {
    let world = World::with_datadog_key("own-protocols").await;
    let operator = world.operator(&[]).await;
    world.datadog("x").await.in_sync().await;
    let client_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    for said in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        &client_hello,
        &[0; 10_000],
        &[0xff; 10_000],
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics\r\n",
        b"\r\n\r\n\r\n",
        b"GET /metrics HTTP/1.1\nHost: x\n\n",
        b"GET /\xf0\x9f\x98\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost : x\r\nX\0: y\r\n\r\n",
    ] {
        let answer = told_at_last(&operator, said).await;
        let known = ["HTTP/1.1 400", "HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.0 "];
        assert!(answer.is_empty() || known.iter().any(|begin| answer.starts_with(begin)), "{answer:?}");
    }
    goes_on(&world, &operator).await;
}

/// Two requests that a proxy would take for one, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn o49_requests_within_requests() {
    let world = World::with_datadog_key("own-smuggling").await;
    let operator = world.operator(&[]).await;
    world.datadog("x").await.in_sync().await;
    let inner = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Content-Length: 5\r\nContent-Length: 50".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 99999999999999999999999".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{inner}");
        let answer = told_at_last(&operator, request.as_bytes()).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(
            answers <= 1 || !answer.contains("HTTP/1.1 200 OK\r\ncontent-type: text/plain"),
            "{headers}: {answer}"
        );
    }
    goes_on(&world, &operator).await;
}

/// Bodies of megabytes on requests that have none: nothing of them is kept.
#[tokio::test(flavor = "multi_thread")]
async fn o50_bodies_that_nobody_reads() {
    let world = World::with_datadog_key("own-bodies").await;
    let operator = world.operator(&[]).await;
    world.datadog("x").await.in_sync().await;
    let before = operator.memory().unwrap().peak;
    let body = vec![b'x'; 8 << 20];
    let head = format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let said = [head.as_bytes(), &body].concat();
    let expecting = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        1u64 << 40
    );
    futures::future::join_all((0..16).map(|number| {
        let said = if number % 2 == 0 { &said[..] } else { expecting.as_bytes() };
        told_at_last(&operator, said)
    }))
    .await;
    let more = operator.memory().unwrap().peak - before;
    assert!(more < 16 << 10, "{more} KiB more for 64 MiB of bodies");
    goes_on(&world, &operator).await;
}
