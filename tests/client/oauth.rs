//! Service accounts: how tokens are had, shared, renewed and replaced, and what happens when there is none.

use std::time::Duration;

use atlas_integration_operator::domain::FailureKind;
use atlas_sim::{Effect, Fault};
use rstest::rstest;

use crate::{account, opsgenie, world};

const CLIENT_SECRET: &str = "mdb_sa_sk_canary-client-secret";

/// One token for many calls at once, and none for the calls after.
#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_all_calls() {
    let world = world().await;
    world.project.allow_service_account("mdb_sa_id_1", CLIENT_SECRET);
    world.project.settings(|settings| settings.latency = Duration::from_millis(50));
    let session = world.client.session(&account(CLIENT_SECRET));
    let calls = (0..20).map(|_| world.client.list(&session, &world.id, false));
    for listing in futures::future::join_all(calls).await {
        listing.unwrap();
    }
    let counters = world.sim.counters();
    assert_eq!((counters.token_requests, world.project.exchanges().len()), (1, 20));
    assert!(world.project.exchanges().iter().all(|exchange| exchange.status == 200));
}

/// A token is renewed before its end, and replaced once when it was revoked.
#[tokio::test]
async fn tokens_are_renewed_and_replaced() {
    let world = world().await;
    world.project.allow_service_account("mdb_sa_id_1", CLIENT_SECRET);
    // Long enough to leave a second between renewal and end, slow enough to stay within the rate limit.
    let short = |settings: &mut atlas_sim::Settings| {
        settings.token_lifetime = Duration::from_secs(5);
        settings.latency = Duration::from_millis(50);
    };
    world.project.settings(short);
    world.sim.settings(short);
    let session = world.client.session(&account(CLIENT_SECRET));
    let list = || world.client.list(&session, &world.id, false);
    list().await.unwrap();
    let begun = std::time::Instant::now();
    while world.sim.counters().token_requests < 2 {
        list().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "never renewed");
    }
    let refused = |exchange: &atlas_sim::Exchange| exchange.status == 401;
    assert_eq!(world.project.count(refused), 0, "renewed before its end");
    world.project.expire_tokens("mdb_sa_id_1");
    list().await.unwrap();
    assert_eq!(world.project.count(refused), 1, "replaced once");
}

/// Every way in which a token can't be had says so, and leaves nothing in doubt: the call was never sent.
#[rstest]
#[case::wrong_secret("mdb_sa_sk_wrong", None, FailureKind::Unauthorized)]
#[case::limited(CLIENT_SECRET, Some(Effect::RateLimited { retry_after: Some(9) }), FailureKind::RateLimited)]
#[case::down(CLIENT_SECRET, Some(Effect::ServerError), FailureKind::Unavailable)]
#[case::cut(CLIENT_SECRET, Some(Effect::Close), FailureKind::Unavailable)]
#[case::html(CLIENT_SECRET, Some(Effect::html()), FailureKind::Unavailable)]
#[case::not_there(CLIENT_SECRET, Some(Effect::foreign_not_found()), FailureKind::Unavailable)]
#[tokio::test]
async fn no_token(#[case] client_secret: &str, #[case] effect: Option<Effect>, #[case] kind: FailureKind) {
    let world = world().await;
    world.project.allow_service_account("mdb_sa_id_1", CLIENT_SECRET);
    if let Some(effect) = effect {
        let mut fault = Fault::new(effect).over(atlas_sim::Api::OAuth).always();
        fault.when.authentication = atlas_sim::Authentication::Any;
        world.project.fault(fault);
    }
    let session = world.client.session(&account(client_secret));
    let failure = world.client.create(&session, &world.id, &opsgenie()).await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (kind, false), "{failure:?}");
    assert!(failure.message.contains("token") || kind == FailureKind::RateLimited, "{}", failure.message);
    assert!(!failure.message.contains(client_secret), "{}", failure.message);
    assert_eq!(world.project.count(atlas_sim::Exchange::is_write), 0);
}
