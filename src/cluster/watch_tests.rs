//! A watch against an API server of a few lines, under a clock that moves by itself when nothing else happens.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// How the API server answers a request.
enum Answer {
    Status(u16),
    /// A page that shows the Secret of this name, and the token of the next one.
    Page(&'static str, Option<&'static str>),
    /// A page that shows it, if no more than so many objects are asked for.
    PageOf(u32, &'static str),
    /// Changes, after which the watch stays open, or ends.
    Changes(Vec<Value>, bool),
}

/// The requests that came, in words, and when.
type Requests = Arc<Mutex<Vec<(String, Duration)>>>;

fn secret(name: &str, version: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version}})
}

fn change(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// A parameter of a request.
fn parameter<'a>(request: &'a Request<Body>, name: &str) -> Option<&'a str> {
    let mut pairs = request.uri().query().unwrap_or_default().split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The words for a request: "list", "page TOKEN" or "watch VERSION".
fn in_words(request: &Request<Body>) -> String {
    match (parameter(request, "watch"), parameter(request, "continue")) {
        (Some(_), _) => format!("watch {}", parameter(request, "resourceVersion").unwrap_or_default()),
        (None, Some(token)) => format!("page {token}"),
        (None, None) => "list".to_owned(),
    }
}

/// A watch of Secrets at an API server that answers request number `n` (from 0) by `answer(n, words)`.
fn watched(
    mut answer: impl FnMut(usize, &str) -> Answer + Send + 'static,
) -> (Requests, Stream<(ObjectKey, SecretIdentity)>) {
    let requests = Requests::default();
    let (log, begun) = (Arc::clone(&requests), Instant::now());
    let service = tower::service_fn(move |request: Request<Body>| {
        let words = in_words(&request);
        let mut log = log.lock();
        let limit = parameter(&request, "limit").and_then(|limit| limit.parse().ok());
        let answer = match answer(log.len(), &words) {
            Answer::PageOf(most, _) if limit > Some(most) => Answer::Status(504),
            Answer::PageOf(_, name) => Answer::Page(name, None),
            answer => answer,
        };
        log.push((words, begun.elapsed()));
        let (code, lines, ends) = match answer {
            Answer::Status(code) => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no",
                    "reason": "None", "code": code});
                (code, vec![status], true)
            }
            Answer::Page(name, token) => {
                let metadata = json!({"resourceVersion": "5", "continue": token});
                let page = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                    "metadata": metadata, "items": [secret(name, "4")]});
                (200, vec![page], true)
            }
            Answer::Changes(changes, ends) => (200, changes, ends),
            Answer::PageOf(..) => unreachable!("it is replaced above"),
        };
        let lines =
            lines.into_iter().map(|line| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{line}\n")))));
        let open = if ends { stream::empty().boxed() } else { stream::pending().boxed() };
        let mut response =
            Response::new(StreamBody::new(stream::iter(lines.collect::<Vec<_>>()).chain(open)));
        *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let api = Api::<Metadata<Secret>>::all(Client::new(service, "ns"));
    (requests, watch(7, api, &Pages::default(), &Which::default(), secret_item))
}

/// Follows the watch for so many seconds. Returns what it told, in words.
async fn told(events: &mut Stream<(ObjectKey, SecretIdentity)>, seconds: u64) -> Vec<String> {
    let mut told = Vec::new();
    let until = Instant::now() + Duration::from_secs(seconds);
    while let Ok(Some(event)) = tokio::time::timeout_at(until, events.next()).await {
        told.push(match event {
            WatchEvent::ListBegins { list: 7 } => "begins".to_owned(),
            WatchEvent::Present { list: 7, item } => format!("{} {}", item.0.name, item.1.resource_version),
            WatchEvent::Deleted { key } => format!("without {}", key.name),
            WatchEvent::ListComplete { list: 7 } => "complete".to_owned(),
            WatchEvent::Works { list: 7 } => "works".to_owned(),
            WatchEvent::Failed { list: 7, message, .. } => message,
            _ => panic!("an event of another watch"),
        });
    }
    told
}

fn words(requests: &Requests) -> Vec<String> {
    requests.lock().iter().map(|(words, _)| words.clone()).collect()
}

/// An API server that sheds load, forbids watches, or forgets each version at once, must not be asked more and more.
#[rstest]
#[case::sheds_load(429, false)]
#[case::forbids(403, false)]
#[case::forgets(410, false)]
#[case::fails(500, false)]
#[case::sheds_load_of_lists(429, true)]
#[case::forbids_lists(403, true)]
#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_is_asked_less_and_less(#[case] code: u16, #[case] lists: bool) {
    let (requests, mut events) = watched(move |_, words| match words {
        "list" if !lists => Answer::Page("a", None),
        _ => Answer::Status(code),
    });
    told(&mut events, 120).await;
    let times: Vec<Duration> = requests.lock().iter().map(|(_, at)| *at).collect();
    assert!((5..=12).contains(&times.len()), "{:?}", requests.lock());
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longest = waits.iter().max().copied().unwrap_or_default();
    assert!(longest >= Duration::from_secs(15), "{waits:?}");
    let listed = requests.lock().iter().filter(|(words, _)| words == "list").count();
    assert!(lists || code == 410 || listed == 1, "only a version that is too old costs lists");
}

#[tokio::test(start_paused = true)]
async fn a_refused_page_is_asked_for_again_and_the_list_goes_on() {
    let (requests, mut events) = watched(|n, words| match (n, words) {
        (1, _) => Answer::Status(429),
        (_, "list") => Answer::Page("a", Some("next")),
        (_, "page next") => Answer::Page("b", None),
        _ => Answer::Changes(Vec::new(), false),
    });
    let refused = "the API server refused: no (429)";
    assert_eq!(told(&mut events, 60).await, ["begins", "a 4", refused, "b 4", "complete", "works"]);
    assert_eq!(words(&requests), ["list", "page next", "page next", "watch 5"]);
}

/// A page's token lasts some minutes.
#[tokio::test(start_paused = true)]
async fn a_list_whose_token_is_too_old_begins_again() {
    let (requests, mut events) = watched(|n, words| match (n, words) {
        (1, _) => Answer::Status(410),
        (_, "list") => Answer::Page("a", Some("next")),
        (_, "page next") => Answer::Page("b", None),
        _ => Answer::Changes(Vec::new(), false),
    });
    let refused = "the API server refused: no (410)";
    assert_eq!(
        told(&mut events, 60).await,
        ["begins", "a 4", refused, "begins", "a 4", "b 4", "complete", "works"]
    );
    assert_eq!(words(&requests), ["list", "page next", "list", "page next", "watch 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_it_ended_and_where_it_was_refused() {
    let (requests, mut events) = watched(|n, words| match (n, words) {
        (_, "list") => Answer::Page("a", None),
        (1, _) => Answer::Changes(vec![change("ADDED", &secret("b", "6"))], true),
        (2, _) => Answer::Changes(
            vec![change("DELETED", &secret("a", "7")), change("BOOKMARK", &secret("x", "8"))],
            true,
        ),
        (3, _) => Answer::Status(503),
        _ => Answer::Changes(vec![change("MODIFIED", &secret("b", "9"))], false),
    });
    let refused = "the API server refused: no (503)";
    assert_eq!(
        told(&mut events, 60).await,
        ["begins", "a 4", "complete", "works", "b 6", "works", "without a", refused, "works", "b 9"]
    );
    assert_eq!(words(&requests), ["list", "watch 5", "watch 6", "watch 8", "watch 8"]);
}

/// Between two of its tries somebody may have restored the API server, which would bring nothing from a later version.
#[tokio::test(start_paused = true)]
async fn after_a_long_refusal_a_list_comes_first() {
    let (requests, mut events) = watched(|n, words| match (n, words) {
        (_, "list") => Answer::Page("a", None),
        (2..=5, _) => Answer::Status(429),
        (1, _) => Answer::Changes(vec![change("ADDED", &secret("b", "6"))], true),
        _ => Answer::Changes(Vec::new(), false),
    });
    let told = told(&mut events, 120).await;
    assert_eq!(told[told.len() - 4..], ["begins", "a 4", "complete", "works"]);
    let again = ["watch 6"; 5];
    assert_eq!(words(&requests), [&["list", "watch 5"], &again[..], &["list", "watch 5"]].concat());
}

/// Whoever reads each Secret, because no watch tells of them, must learn that it is watched now.
#[tokio::test(start_paused = true)]
async fn a_watch_that_was_forbidden_begins_with_a_list() {
    let (requests, mut events) = watched(|n, words| match (n, words) {
        (_, "list") => Answer::Page("a", None),
        (1, _) => Answer::Status(403),
        _ => Answer::Changes(Vec::new(), false),
    });
    told(&mut events, 60).await;
    assert_eq!(words(&requests), ["list", "watch 5", "watch 5", "list", "watch 5"]);
}

/// Its connection is dead, or hangs; meanwhile the API server may have been restored.
#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_replaced_by_a_list() {
    let (requests, mut events) = watched(|_, words| match words {
        "list" => Answer::Page("a", None),
        _ => Answer::Changes(Vec::new(), false),
    });
    told(&mut events, 400).await;
    assert_eq!(words(&requests), ["list", "watch 5", "list", "watch 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_without_a_version_is_told_and_a_list_follows() {
    let (requests, mut events) = watched(|n, words| match (n, words) {
        (_, "list") => Answer::Page("a", None),
        (1, _) => Answer::Changes(vec![change("DELETED", &json!({"metadata": {"name": "a"}}))], false),
        _ => Answer::Changes(Vec::new(), false),
    });
    let told = told(&mut events, 60).await;
    assert_eq!(told[4..6], ["without a", "the API server sent no resourceVersion"]);
    assert_eq!(words(&requests), ["list", "watch 5", "list", "watch 5"]);
}

/// An API server that can't make a page in time answers with an error, or not at all. It is asked for a smaller one.
#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_asked_for_with_fewer_objects() {
    let (requests, mut events) = watched(|_, words| match words {
        "list" => Answer::PageOf(40, "a"),
        _ => Answer::Changes(Vec::new(), false),
    });
    let told = told(&mut events, 60).await;
    assert_eq!(told.last().map(String::as_str), Some("works"), "{told:?}");
    assert_eq!(words(&requests), ["list", "list", "list", "watch 5"]);
}
