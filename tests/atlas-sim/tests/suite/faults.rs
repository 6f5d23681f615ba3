//! Every fault that can be scripted, seen from a client.

use std::time::{Duration, Instant};

use atlas_sim::{Api, Authentication, Effect, Fault, Operation, Project};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Answer, Client, fresh, sample};

const MOMENT: Duration = Duration::from_millis(300);

/// Gives up after a moment, as a client with a time limit does.
async fn gives_up(client: &Client, method: Method, kind: &str) -> bool {
    let body = sample(kind);
    let body = [Method::POST, Method::PUT].contains(&method).then_some(&body);
    timeout(MOMENT, client.try_send(method, &format!("/{kind}"), body)).await.is_err()
}

#[rstest]
#[case(Effect::RateLimitedTokenBucket { retry_after: Some(3) }, 429, "RATE_LIMITED_TOKEN_BUCKET", "3")]
#[case(Effect::RateLimitedTokenBucket { retry_after: None }, 429, "RATE_LIMITED_TOKEN_BUCKET", "")]
#[case(Effect::RateLimited { retry_after: Some(60) }, 429, "RATE_LIMITED", "60")]
#[case(Effect::RateLimited { retry_after: None }, 429, "RATE_LIMITED", "")]
#[case(Effect::ServerError, 500, "UNEXPECTED_ERROR", "")]
#[case(Effect::Unavailable { retry_after: Some(5) }, 503, "SERVICE_UNAVAILABLE", "5")]
#[case(Effect::Unavailable { retry_after: None }, 503, "SERVICE_UNAVAILABLE", "")]
#[case(Effect::Maintenance, 405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", "")]
#[case(Effect::Suspended, 402, "ACCOUNT_SUSPENDED", "")]
#[case(Effect::error(403, "ACCESS_FORBIDDEN", "no"), 403, "ACCESS_FORBIDDEN", "")]
#[tokio::test]
async fn errors_by_script(
    #[case] effect: Effect,
    #[case] status: u16,
    #[case] code: &str,
    #[case] retry_after: &str,
) {
    for api in [Api::V1, Api::V2] {
        let (project, _, _) = fresh();
        let client = Client::new(&project, api);
        project.fault(Fault::new(effect.clone()).on("POST"));
        assert_eq!(client.list().await.status, 200, "GET is not hit");
        let answer = client.post(&sample("OPS_GENIE")).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert_eq!(answer.header("retry-after"), retry_after);
        assert!(project.stored().is_empty(), "nothing is applied");
        assert_eq!(client.post(&sample("OPS_GENIE")).await.status, 200, "once");
        let faulted =
            project.count(|exchange| exchange.faulted && exchange.error_code.as_deref() == Some(code));
        assert_eq!(faulted, 1);
    }
}

#[tokio::test]
async fn the_texts_of_both_forms_of_429_are_the_documented_ones() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::RateLimitedTokenBucket { retry_after: Some(3) }));
    project.fault(Fault::new(Effect::RateLimited { retry_after: None }));
    let path = v2.path("");
    let answer = v2.list().await.json();
    let detail = format!(
        "Rate limit exceeded for {path}. Please retry after 3 seconds. Request capacity: 1200. Refill rate: 500 per 60 seconds."
    );
    assert_eq!(
        (&answer["detail"], &answer["parameters"]),
        (&json!(detail), &json!([path, 3, 1200, 500, 60]))
    );
    let answer = v2.list().await.json();
    let detail = format!("Resource {path} is limited to 100 requests every 1 minutes.");
    assert_eq!((&answer["detail"], &answer["parameters"]), (&json!(detail), &json!([path, 100, 1])));
}

#[rstest]
#[case(Effect::Reset)]
#[case(Effect::Close)]
#[tokio::test]
async fn connections_are_cut_before_an_answer(#[case] effect: Effect) {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(effect).at(Operation::Create));
    let error = v2.try_send(Method::POST, "/DATADOG", Some(&sample("DATADOG"))).await.unwrap_err();
    assert!(error.contains("error sending request"), "{error}");
    assert!(project.stored().is_empty());
    let cut = project.exchanges().into_iter().rfind(|exchange| exchange.method == "POST").unwrap();
    assert_eq!((cut.status, cut.authenticated, cut.faulted), (0, true, true));
    assert_eq!(v2.list().await.status, 200, "the next connection works");
}

/// The socket of a LIST without credentials that meets a fault.
async fn asked_without_credentials(project: &Project, client: &Client, effect: Effect) -> TcpStream {
    let mut fault = Fault::new(effect);
    fault.when.authentication = Authentication::Missing;
    project.fault(fault);
    let address = client.root.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", client.path(""));
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Only a reader of the socket itself can tell RST from FIN.
#[tokio::test]
async fn a_reset_is_a_reset_and_a_close_is_a_close() {
    let (project, _, v2) = fresh();
    for (effect, wanted) in
        [(Effect::Reset, Err(std::io::ErrorKind::ConnectionReset)), (Effect::Close, Ok(0))]
    {
        let read = asked_without_credentials(&project, &v2, effect)
            .await
            .read(&mut [0; 100])
            .await
            .map_err(|error| error.kind());
        assert_eq!(read, wanted);
    }
}

#[tokio::test]
async fn answers_are_slow_or_never_come() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::Slow { delay: MOMENT }));
    let begun = Instant::now();
    assert_eq!(v2.post(&sample("DATADOG")).await.status, 200);
    assert!(begun.elapsed() >= MOMENT);
    project.fault(Fault::new(Effect::Hold));
    assert!(gives_up(&v2, Method::POST, "SLACK").await);
    assert!(project.stored_type("SLACK").is_none());
}

/// A slow answer that nobody waits for leaves nothing behind.
#[tokio::test]
async fn a_slow_request_dies_with_its_client() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::Slow { delay: 2 * MOMENT }));
    assert!(gives_up(&v2, Method::POST, "DATADOG").await);
    tokio::time::sleep(2 * MOMENT).await;
    assert!(project.stored().is_empty());
}

#[tokio::test]
async fn writes_are_applied_though_the_answer_is_lost() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::AppliedThenCut).times(2));
    assert!(v2.try_send(Method::POST, "/DATADOG", Some(&sample("DATADOG"))).await.is_err());
    let created = project.stored_type("DATADOG").unwrap();
    assert!(
        v2.try_send(Method::PUT, "/DATADOG", Some(&json!({"type": "DATADOG", "apiKey": "ee"})))
            .await
            .is_err()
    );
    let updated = project.stored_type("DATADOG").unwrap();
    assert_eq!(updated["apiKey"], "ee");
    assert_ne!(updated["id"], created["id"]);
    assert_eq!(
        v2.post(&sample("SLACK")).await.status,
        200,
        "only three requests are hit, of which this was none"
    )
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_conflicts_with_itself() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::AppliedThenHeld).on("POST"));
    assert!(gives_up(&v2, Method::POST, "DATADOG").await);
    assert_eq!(v2.post(&sample("DATADOG")).await.code(), "INTEGRATION_ALREADY_CONFIGURED");
    project.fault(Fault::new(Effect::AppliedThenCut).on("DELETE"));
    assert!(v2.try_send(Method::DELETE, "/DATADOG", None).await.is_err());
    assert_eq!(v2.delete("DATADOG").await.code(), "INTEGRATION_NOT_CONFIGURED");
}

#[tokio::test]
async fn a_write_lands_after_its_client_has_gone() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::AppliedLate { delay: 2 * MOMENT }));
    assert!(gives_up(&v2, Method::POST, "DATADOG").await);
    assert!(project.stored().is_empty());
    tokio::time::sleep(2 * MOMENT).await;
    assert_eq!(project.stored().len(), 1);
}

#[tokio::test]
async fn bodies_are_broken() {
    let (project, _, v2) = fresh();
    let v2 = v2.unchecked();
    project.fault(Fault::new(Effect::TruncatedBody { keep: 20 }));
    let error = v2.try_send(Method::GET, "", None).await.unwrap_err();
    assert!(error.contains("body"), "{error}");
    project.fault(Fault::new(Effect::not_json()));
    let answer = v2.list().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert!(serde_json::from_str::<Value>(&answer.text).is_err());
    project.fault(Fault::new(Effect::html()));
    assert!(v2.list().await.header("content-type").starts_with("text/html"));
    project.fault(Fault::new(Effect::ContentType { value: "text/plain".to_owned() }));
    let answer = v2.list().await;
    assert_eq!((answer.header("content-type"), answer.types().len()), ("text/plain", 0));
}

/// What arrives of a truncated answer is the beginning of the real one.
#[tokio::test]
async fn a_truncated_answer_begins_well() {
    let (project, _, v2) = fresh();
    let mut socket = asked_without_credentials(&project, &v2, Effect::TruncatedBody { keep: 10 }).await;
    let mut text = String::new();
    let _ = socket.read_to_string(&mut text).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Content-Length: 142"), "{head}");
    assert_eq!(body, "{\n  \"error\"".get(..10).unwrap());
}

#[tokio::test]
async fn a_body_goes_on_and_on() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::Oversized { bytes: 5_000_000 }));
    let answer = v2.unchecked().list().await;
    assert!(answer.text.len() > 5_000_000);
    assert_eq!((answer.status, answer.header("content-length")), (200, ""));
    assert_eq!(answer.json()["results"], json!([]), "it is good JSON, if one reads it all");
}

#[rstest]
#[case(301)]
#[case(302)]
#[case(307)]
#[case(308)]
#[tokio::test]
async fn redirects_lead_elsewhere(#[case] status: u16) {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::redirect(status, "http://127.0.0.1:1/elsewhere")));
    let answer = v2.unchecked().list().await;
    assert_eq!((answer.status, answer.header("location")), (status, "http://127.0.0.1:1/elsewhere"));
}

#[tokio::test]
async fn a_404_may_come_from_somebody_else() {
    let (project, _, v2) = fresh();
    v2.post(&sample("DATADOG")).await;
    project.fault(Fault::new(Effect::foreign_not_found()));
    let answer = v2.unchecked().delete("DATADOG").await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("x-error-code")), (404, "", ""));
    assert_eq!(project.stored().len(), 1);
}

#[tokio::test]
async fn a_fresh_entry_is_not_seen_at_once() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::DelayedVisibility { time: Duration::ZERO, reads: 2 }).on("POST"));
    let answer = v2.post(&sample("DATADOG")).await;
    assert_eq!(answer.types(), ["DATADOG"], "its own answer shows it");
    assert!(v2.list().await.types().is_empty());
    assert_eq!(v2.post(&sample("DATADOG")).await.code(), "INTEGRATION_ALREADY_CONFIGURED");
    assert_eq!(v2.get("DATADOG").await.code(), "INTEGRATION_NOT_CONFIGURED");
    assert_eq!(v2.list().await.types(), ["DATADOG"]);
    project.fault(Fault::new(Effect::DelayedVisibility { time: MOMENT, reads: 0 }).on("PUT"));
    v2.put(&sample("DATADOG")).await;
    assert!(v2.list().await.types().is_empty());
    assert!(v2.post(&sample("SLACK")).await.types().iter().all(|kind| kind != "DATADOG"));
    tokio::time::sleep(MOMENT).await;
    assert_eq!(v2.list().await.types(), ["DATADOG", "SLACK"]);
}

#[tokio::test]
async fn results_are_odd() {
    let (project, _, v2) = fresh();
    let v2 = v2.unchecked();
    v2.post(&sample("DATADOG")).await;
    project.fault(Fault::new(Effect::NullInResults));
    assert_eq!(v2.list().await.types(), ["null", "DATADOG", "null"]);
    project.fault(Fault::new(Effect::UnknownType));
    assert_eq!(v2.put(&sample("DATADOG")).await.types(), ["S3_LOG_EXPORT", "DATADOG"]);
    project.fault(Fault::new(Effect::UnknownFields).times(2));
    assert_eq!(v2.list().await.entry("DATADOG")["aFutureField"], "text");
    assert_eq!(v2.get("DATADOG").await.json()["aFutureFlag"], true);
    project.fault(Fault::new(Effect::MissingIds));
    assert_eq!(v2.list().await.entry("DATADOG").get("id"), None);
    project.fault(Fault::new(Effect::ReplaceAnswer { value: json!({"totalCount": 3}) }));
    assert_eq!(v2.list().await.json(), json!({"totalCount": 3}));
    assert_eq!(v2.list().await.types(), ["DATADOG"], "nothing of it stays");
}

#[tokio::test]
async fn ids_roll_without_any_other_change() {
    let (project, _, v2) = fresh();
    v2.post(&sample("DATADOG")).await;
    let before = v2.list().await.entry("DATADOG");
    project.fault(Fault::new(Effect::RollIds));
    let mut after = v2.list().await.entry("DATADOG");
    assert_ne!(after["id"], before["id"]);
    after["id"] = before["id"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn an_error_repeats_what_was_sent() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::EchoBody));
    let answer = v2.post(&sample("WEBHOOK")).await;
    assert_eq!(answer.status, 400);
    let body = sample("WEBHOOK");
    for field in ["secret", "url"] {
        let secret = body[field].as_str().unwrap();
        assert!(answer.json()["detail"].as_str().unwrap().contains(secret), "{}", answer.text);
    }
}

#[tokio::test]
async fn good_credentials_are_refused_by_script() {
    let (project, _, v2) = fresh();
    project.fault(Fault::new(Effect::Unauthorized));
    let answer = v2.list().await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").ends_with("stale=false"));
    project.fault(Fault::new(Effect::StaleNonce));
    let answer = v2.list().await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").ends_with("stale=true"));
    assert_eq!(v2.list().await.status, 200);
}

#[tokio::test]
async fn faults_choose_their_requests() {
    let (project, v1, v2) = fresh();
    project.allow_key("other", "private");
    project.fault(Fault::new(Effect::ServerError).over(Api::V2).of_type("SLACK").always());
    assert_eq!((v2.list().await.status, v1.get("SLACK").await.status), (200, 404));
    assert_eq!((v2.get("SLACK").await.status, v2.get("SLACK").await.status), (500, 500));
    project.clear_faults();
    assert_eq!(v2.get("SLACK").await.status, 404);
    project.fault(Fault::new(Effect::ServerError).at(Operation::List).after(1));
    assert_eq!(v2.get("SLACK").await.status, 404);
    assert_eq!((v2.list().await.status, v2.list().await.status, v2.list().await.status), (200, 500, 200));
    let mut fault = Fault::new(Effect::ServerError);
    fault.when.credential = Some("other".to_owned());
    project.fault(fault);
    assert_eq!(project.faults().len(), 1);
    assert_eq!((v2.list().await.status, v2.with_key("other", "private").list().await.status), (200, 500));
    let mut fault = Fault::new(Effect::Unavailable { retry_after: None });
    fault.when.authentication = Authentication::Missing;
    project.fault(fault);
    let first = Answer::of(v2.request(Method::GET, "", None).send().await.unwrap()).await.unwrap();
    assert_eq!(first.status, 503, "the challenge itself fails");
}

/// Faults of one project do not reach another.
#[tokio::test]
async fn faults_stay_in_their_project() {
    let ((first, _, v2_of_first), (_, _, v2_of_second)) = (fresh(), fresh());
    first.fault(Fault::new(Effect::ServerError).always());
    assert_eq!((v2_of_first.list().await.status, v2_of_second.list().await.status), (500, 200));
}
