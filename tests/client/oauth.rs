//! Service accounts: how tokens are had, shared, renewed and replaced, and what happens when there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_integration_operator::atlas::Session;
use atlas_integration_operator::domain::{Failure, FailureKind, ProjectId};
use atlas_sim::{Api, Authentication, Effect, Exchange, Fault};
use futures::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{World, account, client_within, opsgenie, told, world};

const CLIENT_SECRET: &str = "mdb_sa_sk_canary-client-secret";

/// A world with a service account, and its session.
async fn service_account() -> (World, Arc<Session>) {
    let world = world().await;
    world.project.allow_service_account("mdb_sa_id_1", CLIENT_SECRET);
    let session = world.client.session(&account(CLIENT_SECRET));
    (world, session)
}

/// A fault of the token endpoint.
fn at_token_endpoint(effect: Effect) -> Fault {
    let mut fault = Fault::new(effect).over(Api::OAuth);
    fault.when.authentication = Authentication::Any;
    fault
}

fn answer(status: u16, body: &str) -> Effect {
    Effect::Answer { status, content_type: Some("application/json".into()), body: body.into() }
}

impl World {
    /// The requests for a token, those that a fault answered too.
    fn token_requests(&self) -> Vec<Exchange> {
        let strays = self.sim.stray_exchanges();
        strays.into_iter().filter(|exchange| exchange.path == "/api/oauth/token").collect()
    }

    async fn list_as(&self, session: &Session) -> Result<usize, Failure> {
        self.client.list(session, &self.id, false).await.map(|listing| listing.len())
    }
}

/// One token for many calls at once, and none for the calls after.
#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_all_calls() {
    let (world, session) = service_account().await;
    world.project.settings(|settings| settings.latency = Duration::from_millis(50));
    for listing in join_all((0..20).map(|_| world.list_as(&session))).await {
        listing.unwrap();
    }
    let counters = world.sim.counters();
    assert_eq!((counters.token_requests, world.project.exchanges().len()), (1, 20));
    assert!(world.project.exchanges().iter().all(|exchange| exchange.status == 200));
}

/// A token is renewed before its end, and replaced once when it was revoked.
#[tokio::test]
async fn tokens_are_renewed_and_replaced() {
    let (world, session) = service_account().await;
    // Long enough to leave a second between renewal and end, slow enough to stay within the rate limit.
    let short = |settings: &mut atlas_sim::Settings| {
        settings.token_lifetime = Duration::from_secs(5);
        settings.latency = Duration::from_millis(50);
    };
    world.project.settings(short);
    world.sim.settings(short);
    let list = || world.list_as(&session);
    list().await.unwrap();
    let begun = Instant::now();
    while world.sim.counters().token_requests < 2 {
        list().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "never renewed");
    }
    let refused = |exchange: &Exchange| exchange.status == 401;
    assert_eq!(world.project.count(refused), 0, "renewed before its end");
    world.project.expire_tokens("mdb_sa_id_1");
    list().await.unwrap();
    assert_eq!(world.project.count(refused), 1, "replaced once");
}

/// The endpoint's limit, in every form in which it comes.
#[rstest]
#[case::atlas(Effect::RateLimited { retry_after: Some(9) }, 9)]
#[case::atlas_without_a_time(Effect::RateLimited { retry_after: None }, 60)]
#[case::oauth(answer(429, r#"{"error": "rate_limited", "error_description": "slow down"}"#), 60)]
#[case::too_many_tokens(
    answer(403, r#"{"error": "access_denied", "error_description": "Too many tokens."}"#),
    60
)]
#[case::a_proxy(Effect::Answer { status: 429, content_type: None, body: "slow down".into() }, 60)]
#[tokio::test]
async fn a_limited_endpoint_is_left_alone(#[case] effect: Effect, #[case] seconds: u64) {
    let (world, session) = service_account().await;
    // It would give a token the next time; nobody asks.
    world.project.fault(at_token_endpoint(effect));
    let first = world.client.create(&session, &world.id, &opsgenie()).await.unwrap_err();
    assert_eq!((first.kind, first.outcome_unknown), (FailureKind::RateLimited, false), "{first:?}");
    assert_eq!(first.retry_after, Some(Duration::from_secs(seconds)));

    let other = world.sim.project("222222222222222222222222");
    other.allow_service_account("mdb_sa_id_1", CLIENT_SECRET);
    let other = ProjectId::parse(other.id()).unwrap();
    let second = world.client.list(&session, &other, false).await.unwrap_err();
    assert_eq!((second.kind, told(&second)), (first.kind, told(&first)), "all projects of the account");
    assert!(
        second.retry_after < first.retry_after && second.retry_after > Some(Duration::ZERO),
        "{second:?}"
    );
    assert_eq!(world.token_requests().len(), 1, "one request in all");
}

/// The time that the endpoint asks for is kept to, and then calls go on.
#[tokio::test]
async fn a_limited_endpoint_is_asked_again_in_time() {
    let (world, session) = service_account().await;
    world.project.fault(at_token_endpoint(Effect::RateLimited { retry_after: Some(2) }));
    let begun = Instant::now();
    while world.list_as(&session).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let requests = world.token_requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(2));
}

/// Whoever waits for a request of another call shares what comes of it.
#[rstest]
#[case::limited(Effect::RateLimited { retry_after: None }, FailureKind::RateLimited)]
#[case::down(Effect::ServerError, FailureKind::Unavailable)]
#[case::cut(Effect::Close, FailureKind::Unavailable)]
#[tokio::test]
async fn parallel_calls_share_a_failure(#[case] effect: Effect, #[case] kind: FailureKind) {
    let (world, session) = service_account().await;
    world.project.settings(|settings| settings.latency = Duration::from_millis(200));
    world.project.fault(at_token_endpoint(effect).always());
    for outcome in join_all((0..20).map(|_| world.list_as(&session))).await {
        assert_eq!(outcome.unwrap_err().kind, kind);
    }
    assert_eq!(world.token_requests().len(), 1);
}

/// A token that is only due for renewal serves on while the endpoint gives no other.
#[tokio::test]
async fn a_failed_renewal_costs_nothing() {
    let (world, session) = service_account().await;
    world.project.settings(|settings| settings.token_lifetime = Duration::from_secs(5));
    world.list_as(&session).await.unwrap();
    world.project.fault(at_token_endpoint(Effect::ServerError).always());
    let begun = Instant::now();
    while world.token_requests().len() < 2 {
        world.list_as(&session).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "never renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.list_as(&session).await.unwrap();
    assert_eq!(world.token_requests().len(), 2, "not asked at each call");
}

/// A token answer without a sensible lifetime is good for the documented one.
#[rstest]
#[case::missing(Value::Null)]
#[case::zero(json!(0))]
#[case::negative(json!(-1))]
#[case::text(json!("3600"))]
#[case::huge(json!(u64::MAX))]
#[case::beyond_a_number(json!(1e300))]
#[tokio::test]
async fn lifetimes(#[case] said: Value) {
    let (world, session) = service_account().await;
    world.project.settings(|settings| settings.token_expires_in = Some(said));
    for _ in 0..5 {
        world.list_as(&session).await.unwrap();
    }
    assert_eq!(world.token_requests().len(), 1);
}

/// A 401 for another reason than the token does not cost one: not one that names its reason, and not one that a fresh
/// token meets as well.
#[tokio::test]
async fn good_tokens_are_not_replaced() {
    let (world, session) = service_account().await;
    let foreign = world.sim.project("222222222222222222222222");
    let foreign = ProjectId::parse(foreign.id()).unwrap();
    for _ in 0..5 {
        let failure = world.client.list(&session, &foreign, false).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorized);
    }
    assert_eq!(world.token_requests().len(), 1);
    world.project.fault(Fault::new(Effect::Unauthorized).always());
    for _ in 0..5 {
        assert_eq!(world.list_as(&session).await.unwrap_err().kind, FailureKind::Unauthorized);
    }
    assert_eq!(world.token_requests().len(), 2, "replaced once, in vain");
    world.project.clear_faults();
    assert_eq!(world.list_as(&session).await, Ok(0));
}

/// An account that was deleted, tokens and all, is refused like a wrong one.
#[tokio::test]
async fn a_revoked_account() {
    let (world, session) = service_account().await;
    world.list_as(&session).await.unwrap();
    world.project.revoke_service_account("mdb_sa_id_1");
    let failure = world.list_as(&session).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized, "{failure:?}");
    assert!(told(&failure).contains("invalid_client"), "{}", told(&failure));
}

/// Lets so much time pass for the client. The simulator runs on a clock of its own.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// How often a refused account is asked about depends on the time alone, and not on how many calls need a token.
#[tokio::test]
async fn a_refused_account_costs_one_request_in_each_pause() {
    let (world, _) = service_account().await;
    let session = world.client.session(&account("mdb_sa_sk_wrong"));
    let many = async || {
        for outcome in join_all((0..20).map(|_| world.list_as(&session))).await {
            let failure = outcome.unwrap_err();
            assert_eq!(
                (failure.kind, failure.without_call),
                (FailureKind::Unauthorized, true),
                "{failure:?}"
            );
            assert!(failure.retry_after.is_some_and(|wait| wait <= Duration::from_secs(30)), "{failure:?}");
        }
    };
    for requests in 1..=5 {
        many().await;
        pass(Duration::from_secs(20)).await;
        many().await;
        assert_eq!(world.sim.counters().token_requests, requests);
        pass(Duration::from_secs(10)).await;
    }
    world.project.allow_service_account("mdb_sa_id_1", "mdb_sa_sk_wrong");
    assert_eq!(world.list_as(&session).await, Ok(0), "the account is good again after the pause");
}

/// An endpoint that is down is asked once a second, however many calls need a token.
#[tokio::test]
async fn an_endpoint_that_is_down_costs_one_request_a_second() {
    let (world, session) = service_account().await;
    world.project.fault(at_token_endpoint(Effect::ServerError).always());
    for requests in 1..=3 {
        for _ in 0..5 {
            assert_eq!(world.list_as(&session).await.unwrap_err().kind, FailureKind::Unavailable);
        }
        assert_eq!(world.token_requests().len(), requests);
        pass(Duration::from_secs(1)).await;
    }
    world.project.clear_faults();
    assert_eq!(world.list_as(&session).await, Ok(0));
}

/// A token endpoint that never answers leaves no write in doubt.
#[tokio::test]
async fn a_silent_endpoint_leaves_nothing_in_doubt() {
    let (world, _) = service_account().await;
    world.project.fault(at_token_endpoint(Effect::Hold).always());
    let client = client_within(&world.sim.url(), Duration::from_secs(1));
    let session = client.session(&account(CLIENT_SECRET));
    let failure = client.create(&session, &world.id, &opsgenie()).await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (FailureKind::Unavailable, false), "{failure:?}");
}

/// Every way in which a token can't be had says so, and leaves nothing in doubt: the call was never sent.
#[rstest]
#[case::wrong_secret("mdb_sa_sk_wrong", None, FailureKind::Unauthorized)]
#[case::refused(
    CLIENT_SECRET,
    Some(answer(400, r#"{"error": "invalid_client"}"#)),
    FailureKind::Unauthorized
)]
#[case::limited(CLIENT_SECRET, Some(Effect::RateLimited { retry_after: Some(9) }), FailureKind::RateLimited)]
#[case::down(CLIENT_SECRET, Some(Effect::ServerError), FailureKind::Unavailable)]
#[case::cut(CLIENT_SECRET, Some(Effect::Close), FailureKind::Unavailable)]
#[case::html(CLIENT_SECRET, Some(Effect::html()), FailureKind::Unavailable)]
#[case::not_there(CLIENT_SECRET, Some(Effect::foreign_not_found()), FailureKind::Unavailable)]
#[case::redirect(CLIENT_SECRET, Some(Effect::redirect(307, "http://127.0.0.1:9/")), FailureKind::Unavailable)]
#[case::oversized(CLIENT_SECRET, Some(Effect::Oversized { bytes: 100 << 20 }), FailureKind::Unavailable)]
#[case::no_token(CLIENT_SECRET, Some(answer(200, r#"{"expires_in": 3600}"#)), FailureKind::Unavailable)]
#[case::empty_token(CLIENT_SECRET, Some(answer(200, r#"{"access_token": ""}"#)), FailureKind::Unavailable)]
#[case::broken_token(
    CLIENT_SECRET,
    Some(answer(200, r#"{"access_token": "a\nb"}"#)),
    FailureKind::Unavailable
)]
#[case::number(CLIENT_SECRET, Some(answer(200, r#"{"access_token": 7}"#)), FailureKind::Unavailable)]
#[case::list(CLIENT_SECRET, Some(answer(200, "[]")), FailureKind::Unavailable)]
#[case::nothing(CLIENT_SECRET, Some(answer(204, "")), FailureKind::Unavailable)]
#[tokio::test]
async fn no_token(#[case] client_secret: &str, #[case] effect: Option<Effect>, #[case] kind: FailureKind) {
    let (world, _) = service_account().await;
    if let Some(effect) = effect {
        world.project.fault(at_token_endpoint(effect).always());
    }
    let session = world.client.session(&account(client_secret));
    let failure = world.client.create(&session, &world.id, &opsgenie()).await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (kind, false), "{failure:?}");
    assert!(told(&failure).contains("token"), "{}", told(&failure));
    assert!(!told(&failure).contains(client_secret), "{}", told(&failure));
    assert_eq!(world.project.count(Exchange::is_write), 0);
}

/// Each request is counted under what it asked for, with its own status. A call for which there was no token was not
/// made.
#[tokio::test]
async fn a_refused_account_is_counted_where_it_was_refused() {
    let (world, _) = service_account().await;
    let counted = Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = Arc::clone(&counted);
    let client = crate::counting(&world.sim.url(), move |operation, status| {
        notes.lock().unwrap().push((operation, status));
    });
    let stranger = client.session(&account("mdb_sa_sk_wrong"));
    client.list(&stranger, &world.id, false).await.unwrap_err();
    assert_eq!(*counted.lock().unwrap(), [("TOKEN", 401)]);
    counted.lock().unwrap().clear();
    let session = client.session(&account(CLIENT_SECRET));
    client.list(&session, &world.id, false).await.unwrap();
    assert_eq!(*counted.lock().unwrap(), [("TOKEN", 200), ("LIST", 200)]);
    world.project.expire_tokens("mdb_sa_id_1");
    counted.lock().unwrap().clear();
    client.list(&session, &world.id, false).await.unwrap();
    assert_eq!(
        *counted.lock().unwrap(),
        [("TOKEN", 200), ("LIST", 200)],
        "the call is one, its repetition included"
    );
}

/// The token endpoint repeats the header of the request, and Atlas the token: neither is told, in any spelling.
#[tokio::test]
async fn a_text_that_repeats_what_authenticates() {
    let (world, session) = service_account().await;
    // `printf 'mdb_sa_id_1:mdb_sa_sk_canary-client-secret' | base64`
    let basic = "bWRiX3NhX2lkXzE6bWRiX3NhX3NrX2NhbmFyeS1jbGllbnQtc2VjcmV0";
    let refusal =
        format!(r#"{{"error": "invalid_client", "error_description": "Header was Basic {basic}."}}"#);
    world.project.fault(at_token_endpoint(answer(401, &refusal)));
    let text = told(&world.list_as(&session).await.unwrap_err());
    assert!(text.contains("Header was Basic ****") && !text.contains(&basic[..10]), "{text}");

    let (world, session) = service_account().await;
    let token = "eyJhbGciOiJFUzUxMiJ9.canary-claims.canary-signature";
    let grant = format!(r#"{{"access_token": "{token}", "expires_in": 3600}}"#);
    world.project.fault(at_token_endpoint(answer(200, &grant)));
    for (detail, parts) in [
        (format!("Bearer {token} lacks a role"), "Bearer **** lacks"),
        ("its end canary-signature is old".to_owned(), "its end **** is old"),
        ("its middle CANARY%2Dclaims is old".to_owned(), "its middle **** is old"),
    ] {
        let mut fault = Fault::new(Effect::error(400, "INVALID_ATTRIBUTE", &detail));
        fault.when.authentication = Authentication::Any;
        world.project.fault(fault);
        let text = told(&world.list_as(&session).await.unwrap_err());
        assert!(text.contains(parts), "{text}");
    }
    assert_eq!(world.sim.counters().tokens_issued, 0, "the token was the one that was made up");
}
