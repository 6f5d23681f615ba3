//! Faults of transport, and answers that are not Atlas's: each becomes one class, says what to do, and says whether a
//! write may have taken effect all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_integration_operator::atlas::{Client, Options, VersionChoice};
use atlas_integration_operator::domain::{FailureKind, IntegrationType, ProjectId};
use atlas_sim::{AtlasSim, Effect, Fault, Operation};
use rstest::rstest;
use serde_json::json;
use url::Url;

use crate::{
    KEY, PRIVATE, PROJECT, client, client_through, client_within, credential, opsgenie, told, world,
};

/// A page of a proxy.
fn foreign(status: u16) -> Effect {
    let body = "<html><title>Proxy</title></html>".to_owned();
    Effect::Answer { status, content_type: Some("text/html".to_owned()), body }
}

#[rstest]
#[case::rate_limited(Effect::RateLimitedTokenBucket { retry_after: Some(7) }, FailureKind::RateLimited, false)]
#[case::rate_limited_v1(Effect::RateLimited { retry_after: None }, FailureKind::RateLimited, false)]
#[case::server_error(Effect::ServerError, FailureKind::Unavailable, true)]
#[case::unavailable(Effect::Unavailable { retry_after: Some(3) }, FailureKind::Unavailable, true)]
#[case::maintenance(Effect::Maintenance, FailureKind::Unavailable, false)]
#[case::suspended(Effect::Suspended, FailureKind::Forbidden, false)]
#[case::echo(Effect::EchoBody, FailureKind::Rejected, false)]
#[case::unauthorized(Effect::Unauthorized, FailureKind::Unauthorized, false)]
#[case::reset(Effect::Reset, FailureKind::Unavailable, true)]
#[case::closed(Effect::Close, FailureKind::Unavailable, true)]
#[case::applied_then_cut(Effect::AppliedThenCut, FailureKind::Unavailable, true)]
#[case::truncated(Effect::TruncatedBody { keep: 20 }, FailureKind::Unavailable, true)]
#[case::html(Effect::html(), FailureKind::Unavailable, true)]
#[case::not_json(Effect::not_json(), FailureKind::Unavailable, true)]
#[case::foreign_404(Effect::foreign_not_found(), FailureKind::NotServed, false)]
#[case::redirect(Effect::redirect(307, "http://127.0.0.1:9/"), FailureKind::Unavailable, false)]
#[case::oversized(Effect::Oversized { bytes: 100 << 20 }, FailureKind::Unavailable, true)]
#[case::foreign_401(foreign(401), FailureKind::Unavailable, false)]
#[case::foreign_403(foreign(403), FailureKind::Unavailable, false)]
#[case::foreign_407(foreign(407), FailureKind::Unavailable, false)]
#[case::foreign_413(foreign(413), FailureKind::Unavailable, false)]
#[case::foreign_429(foreign(429), FailureKind::RateLimited, false)]
#[case::foreign_502(foreign(502), FailureKind::Unavailable, true)]
#[case::foreign_503(foreign(503), FailureKind::Unavailable, true)]
#[case::foreign_504(foreign(504), FailureKind::Unavailable, true)]
#[case::without_a_page(Effect::ReplaceAnswer { value: json!({"ok": true}) }, FailureKind::Unavailable, true)]
#[case::empty(Effect::Answer { status: 204, content_type: None, body: String::new() }, FailureKind::Unavailable, true)]
#[tokio::test]
async fn faults_of_a_write(#[case] effect: Effect, #[case] kind: FailureKind, #[case] unknown: bool) {
    let world = world().await;
    assert_eq!(world.list().await, Ok(0));
    world.project.fault(Fault::new(effect.clone()).at(Operation::Create).always());
    let failure = world.create().await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (kind, unknown), "{failure:?}");
    for hidden in [KEY, PRIVATE] {
        assert!(!told(&failure).contains(hidden), "{}", told(&failure));
    }
    assert!(told(&failure).chars().count() < 1_200 && !told(&failure).contains(char::is_control));
    if let Effect::RateLimitedTokenBucket { retry_after } | Effect::Unavailable { retry_after } = effect {
        assert_eq!(failure.retry_after, retry_after.map(Duration::from_secs));
    }
}

#[rstest]
#[tokio::test]
async fn redirects_are_not_followed(#[values(301, 302, 303, 307, 308)] status: u16) {
    let world = world().await;
    let elsewhere = AtlasSim::start().await.unwrap();
    let target = elsewhere.project(PROJECT);
    target.allow_key("public", PRIVATE);
    let location = format!("{}/api/atlas/v2/groups/{PROJECT}/integrations", elsewhere.url());
    world.project.fault(Fault::new(Effect::redirect(status, &location)).always());
    assert_eq!(world.list().await.unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(target.exchanges().len(), 0, "no request arrives there");
}

#[tokio::test]
async fn nobody_listens() {
    let sim = AtlasSim::start().await.unwrap();
    let url = sim.url();
    drop(sim);
    let client = client(&url);
    let session = client.session(&credential(PRIVATE));
    let id = ProjectId::parse(PROJECT).unwrap();
    let failure = client.create(&session, &id, &opsgenie()).await.unwrap_err();
    assert!(!failure.outcome_unknown, "nothing was sent");
    assert!(told(&failure).starts_with("Atlas can't be reached for POST OPS_GENIE"), "{}", told(&failure));
    assert!(told(&failure).contains("can't connect") && !told(&failure).contains("may have taken effect"));
}

/// Whoever answers without TLS where TLS is expected is not trusted, and nothing was sent.
#[tokio::test]
async fn tls_fails() {
    let sim = AtlasSim::start().await.unwrap();
    let client = client(&sim.url().replace("http://", "https://"));
    let session = client.session(&credential(PRIVATE));
    let id = ProjectId::parse(PROJECT).unwrap();
    let failure = client.create(&session, &id, &opsgenie()).await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (FailureKind::Unavailable, false), "{failure:?}");
    assert!(told(&failure).contains("TLS failed") && told(&failure).contains("SSL_CERT_FILE"), "{failure:?}");
}

/// A call ends in time, whatever the server does.
#[rstest]
#[case::no_answer(Effect::Hold)]
#[case::slow(Effect::Slow { delay: Duration::from_secs(60) })]
#[case::applied_and_no_answer(Effect::AppliedThenHeld)]
#[tokio::test]
async fn time_is_limited(#[case] effect: Effect) {
    let world = world().await;
    let client = client_within(&world.sim.url(), Duration::from_secs(1));
    world.project.fault(Fault::new(effect).at(Operation::Create));
    let begun = Instant::now();
    let failure = client.create(&world.session, &world.id, &opsgenie()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((failure.kind, failure.outcome_unknown), (FailureKind::Unavailable, true), "{failure:?}");
    let says = "Atlas gave no answer to POST OPS_GENIE of project 5d791c84ff7a2522cc4f9aa1: no answer within the time \
                limit; the write may have taken effect; the operator waits until it can't take effect any more, at \
                most 30s, then looks and continues";
    assert_eq!(told(&failure), says);
}

/// What counts is the body: Atlas itself names different types for answers and errors.
#[tokio::test]
async fn another_content_type_is_no_fault() {
    let world = world().await;
    world.project.fault(Fault::new(Effect::ContentType { value: "text/plain".into() }).times(2));
    world.create().await.unwrap();
    assert_eq!(world.list().await, Ok(1));
}

/// Whatever says that something is gone is an answer of Atlas, and whatever says that it was deleted.
#[tokio::test]
async fn gone_is_an_answer_of_atlas_and_nothing_else() {
    let world = world().await;
    let delete = || world.client.delete(&world.session, &world.id, IntegrationType::OpsGenie);
    assert_eq!(delete().await.unwrap_err().kind, FailureKind::Gone);
    world.project.fault(Fault::new(Effect::foreign_not_found()).at(Operation::Delete));
    assert_eq!(delete().await.unwrap_err().kind, FailureKind::NotServed);
    world.create().await.unwrap();
    assert_eq!(delete().await, Ok(()));
    let nowhere = ProjectId::parse("111111111111111111111111").unwrap();
    let failure = world.client.list(&world.session, &nowhere, false).await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::ProjectNotFound | FailureKind::Unauthorized), "{failure:?}");
}

/// A 200 that is not Atlas's is no deletion: the integration would be left behind.
#[rstest]
#[case::html(Effect::html())]
#[case::json(Effect::Answer { status: 200, content_type: None, body: "{}".into() })]
#[tokio::test]
async fn a_deletion_has_no_body(#[case] effect: Effect) {
    let world = world().await;
    world.create().await.unwrap();
    world.project.fault(Fault::new(effect).at(Operation::Delete));
    let failure =
        world.client.delete(&world.session, &world.id, IntegrationType::OpsGenie).await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (FailureKind::Unavailable, true), "{failure:?}");
    assert_eq!(world.list().await, Ok(1));
}

/// A URL that is none of a proxy is an error, without the password in it: otherwise Atlas would be called directly.
#[rstest]
#[case::socks("socks5://user:canary@127.0.0.1:1")]
#[case::a_file("file:///canary")]
fn a_proxy_that_can_not_be_used(#[case] proxy: &str) {
    let options = Options {
        url: Url::parse("https://atlas.example").unwrap(),
        version: VersionChoice::Auto,
        time_limit: Duration::from_secs(15),
        proxy: Some(Url::parse(proxy).unwrap()),
    };
    let refused = Client::new(options, Arc::new(|_, _| {})).err().unwrap().to_string();
    assert!(refused.contains("the proxy's URL can't be used") && !refused.contains("canary"), "{refused}");
}

/// A proxy is asked for a tunnel to an Atlas behind TLS, and gets user and password as they were before they were
/// escaped.
#[rstest]
#[case::none("", None)]
#[case::plain("user:secret@", Some("dXNlcjpzZWNyZXQ="))]
#[case::escaped("us%40er:p%40ss%3A%2F%5E%25@", Some("dXNAZXI6cEBzczovXiU="))]
#[case::user_alone("user@", Some("dXNlcjo="))]
#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel(#[case] user: &str, #[case] expected: Option<&str>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let client = client_through(&format!("http://{user}127.0.0.1:{port}"), "https://atlas.example");
    let session = client.session(&credential(PRIVATE));
    let project = ProjectId::parse(PROJECT).unwrap();
    let failure = client.list(&session, &project, false).await.unwrap_err();
    let head = proxy.await.unwrap();
    assert!(head.starts_with("CONNECT atlas.example:443 HTTP/1.1"), "{head}");
    let sent = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim_start_matches("Basic "))
    });
    assert_eq!(sent, expected, "{head}");
    assert!(!told(&failure).contains("secret"), "{failure:?}");
}
