//! HTTP digest in every way a server may handle it: what 100 calls cost, one after another and at once.

use std::sync::Arc;

use atlas_integration_operator::domain::ProjectId;
use atlas_sim::{Algorithm, AtlasSim, Challenges, Effect, Fault, NonceCounts, Settings};
use rstest::rstest;

use crate::{PRIVATE, World, client, credential, errors_page, world};

fn one_use(settings: &mut Settings) {
    settings.nonce_max_uses = Some(1);
}

fn strict(settings: &mut Settings) {
    settings.nonce_counts = NonceCounts::Strict;
}

fn two_algorithms(settings: &mut Settings, challenges: Challenges) {
    settings.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    settings.challenges = challenges;
}

fn others_first(settings: &mut Settings, challenges: Challenges) {
    settings.other_challenges = vec![
        "Basic realm=\"for people, mostly\"".to_owned(),
        "Digest realm=\"MMS Public API\", nonce=\"0\", algorithm=SHA-9, qop=\"auth\"".to_owned(),
    ];
    settings.challenges = challenges;
}

/// Requests for 100 calls, one after another.
#[rstest]
#[case::md5(|_: &mut Settings| {}, 101)]
#[case::sha256(|s: &mut Settings| s.algorithms = vec![Algorithm::Sha256], 101)]
#[case::strict(strict, 101)]
#[case::unchecked(|s: &mut Settings| s.nonce_counts = NonceCounts::Unchecked, 101)]
#[case::two_algorithms(|s: &mut Settings| two_algorithms(s, Challenges::SeparateHeaders), 101)]
#[case::two_algorithms_in_one_header(|s: &mut Settings| two_algorithms(s, Challenges::OneHeader), 101)]
#[case::others_first(|s: &mut Settings| others_first(s, Challenges::SeparateHeaders), 101)]
#[case::others_first_in_one_header(|s: &mut Settings| others_first(s, Challenges::OneHeader), 101)]
#[case::ten_uses(|s: &mut Settings| s.nonce_max_uses = Some(10), 110)]
#[case::two_uses(|s: &mut Settings| s.nonce_max_uses = Some(2), 150)]
#[case::one_use(one_use, 200)]
#[tokio::test]
async fn requests_for_a_hundred_calls(#[case] behaviour: fn(&mut Settings), #[case] expected: usize) {
    let world = world().await;
    world.project.settings(behaviour);
    assert_eq!(after_a_hundred_calls(&world).await, expected);
    assert!(errors_page().contains(&format!(" | {expected} |\n")), "docs/errors.md has no such row");
}

/// A nonce that goes stale costs one request more, once.
#[tokio::test]
async fn a_stale_nonce_costs_one_request() {
    let world = world().await;
    for passed in [20, 40, 60] {
        world.project.fault(Fault::new(Effect::StaleNonce).after(passed));
    }
    assert_eq!(after_a_hundred_calls(&world).await, 104);
}

async fn after_a_hundred_calls(world: &World) -> usize {
    for _ in 0..100 {
        world.list().await.unwrap();
    }
    world.project.exchanges().len()
}

/// Parallel calls under one key, each for a project of its own, so that its requests can be told from the others':
/// none fails and none costs more than two requests, even where the order of counts matters.
#[rstest]
#[case::md5(|_: &mut Settings| {}, 100)]
#[case::strict(strict, 200)]
#[case::two_uses(|s: &mut Settings| s.nonce_max_uses = Some(2), 200)]
#[case::one_use(one_use, 200)]
#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls(#[case] behaviour: fn(&mut Settings), #[case] at_most: usize) {
    let sim = AtlasSim::start().await.unwrap();
    sim.settings(behaviour);
    let client = Arc::new(client(&sim.url()));
    let session = client.session(&credential(PRIVATE));
    let projects: Vec<_> = (0..100).map(|n| sim.project(&format!("{n:024x}"))).collect();
    for project in &projects {
        project.allow_key("public", PRIVATE);
    }
    // The first round meets the server, the second one knows it.
    for round in ["first", "second"] {
        let calls = projects.iter().map(|project| {
            project.clear_exchanges();
            let (client, session) = (Arc::clone(&client), Arc::clone(&session));
            let id = ProjectId::parse(project.id()).unwrap();
            tokio::spawn(async move { client.list(&session, &id, false).await })
        });
        for outcome in futures::future::join_all(calls.collect::<Vec<_>>()).await {
            outcome.unwrap().unwrap();
        }
        let requests: Vec<usize> = projects.iter().map(|project| project.exchanges().len()).collect();
        assert!(requests.iter().all(|count| *count <= 2), "{round}: {requests:?}");
        let total: usize = requests.iter().sum();
        assert!(round == "first" || total <= at_most, "{total} requests");
    }
}

/// A 401 that Atlas gives to a good key, for a project of another organisation, is no reason to meet the server anew.
#[tokio::test]
async fn a_refusal_keeps_the_challenge() {
    let world = world().await;
    world.list().await.unwrap();
    let foreign = world.sim.project("222222222222222222222222");
    let id = ProjectId::parse(foreign.id()).unwrap();
    world.client.list(&world.session, &id, false).await.unwrap_err();
    world.list().await.unwrap();
    assert_eq!((foreign.exchanges().len(), world.project.exchanges().len()), (1, 3));
}

/// First contact by a write: it takes a request more, and that one has no body.
#[tokio::test]
async fn no_body_goes_out_without_credentials() {
    let world = world().await;
    world.create().await.unwrap();
    let exchanges = world.project.exchanges();
    let sent: Vec<(u16, bool)> = exchanges.iter().map(|e| (e.status, e.body.is_some())).collect();
    assert_eq!(sent, [(401, false), (200, true)]);
}
