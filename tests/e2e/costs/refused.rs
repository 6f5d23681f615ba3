//! Credentials that Atlas refuses: how often they are tried, who waits for what comes of it, and who does not.

use std::time::{Duration, Instant};

use atlas_integration_stage::samples::{self, merge};
use atlas_sim::{Api, Effect, Exchange, Fault, Operation, Project};
use serde_json::{Value, json};

use crate::world::history::History;
use crate::world::{Object, PRIVATE_KEY, World, condition, new_project_id, rules, until_found, until_true};

/// A namespace whose objects are in many projects of one organisation, under one credential.
struct Fleet {
    world: World,
    projects: Vec<Project>,
    /// The public key or the client id, which no other test has.
    name: String,
}

impl Fleet {
    /// So many projects. No object is there yet, and no credential is good.
    async fn new(name: &str, projects: usize) -> Fleet {
        let world = World::with_datadog_key(name).await;
        let name = format!("of-{}", world.namespace);
        let mut all = vec![world.project.clone()];
        all.extend((1..projects).map(|_| world.shared.sim.project(&new_project_id())));
        all.iter().for_each(|project| project.set_org(&name));
        Fleet { world, projects: all, name }
    }

    /// The same with an API key in the Secret `atlas`.
    async fn with_key(name: &str, projects: usize) -> Fleet {
        let fleet = Fleet::new(name, projects).await;
        fleet.allow_key();
        let values = [("publicApiKey", fleet.name.as_str()), ("privateApiKey", PRIVATE_KEY)];
        fleet.world.secret("atlas", &values).await;
        fleet
    }

    fn allow_key(&self) {
        self.projects.iter().for_each(|project| project.allow_key(&self.name, PRIVATE_KEY));
    }

    fn revoke_key(&self) {
        self.projects[0].revoke_key(&self.name);
    }

    /// Creates the object of each project. `extra` is merged into its spec.
    async fn create(&self, extra: &Value) {
        for (n, project) in self.projects.iter().enumerate() {
            let mut spec = samples::of("DATADOG").spec;
            merge(&mut spec, &json!({"projectId": project.id()}));
            merge(&mut spec, extra);
            self.world.integration(&format!("x-{n}"), &spec).await;
        }
    }

    fn object(&self, n: usize) -> Object<'_> {
        self.world.object(&format!("x-{n}"))
    }

    /// Waits until all objects have this reason, and returns their versions.
    async fn all(&self, reason: &str) -> Vec<Value> {
        until_found(&format!("{reason} of all objects"), || async {
            let objects = self.world.list("AtlasIntegration").await;
            let has = |object: &Value| condition(object, "Ready")["reason"] == reason;
            let versions = objects.iter().map(|object| object["metadata"]["resourceVersion"].clone());
            objects.iter().all(has).then(|| versions.collect())
        })
        .await
    }

    /// Makes every object ask for a look.
    async fn request(&self, value: &str) {
        for n in 0..self.projects.len() {
            self.object(n).annotate("reconcile-requested-at", value).await;
        }
    }

    /// What was asked of Atlas for all these projects since a moment, in order.
    fn calls_since(&self, moment: Instant) -> Vec<(Exchange, &str)> {
        let of = |project: &'_ Project| {
            let exchanges = project.exchanges().into_iter().filter(move |call| call.at > moment);
            exchanges.collect::<Vec<_>>()
        };
        let mut calls: Vec<(Exchange, &str)> = self
            .projects
            .iter()
            .flat_map(|project| of(project).into_iter().map(|call| (call, project.id())))
            .collect();
        calls.sort_by_key(|(call, _)| call.sequence);
        calls
    }
}

/// A key that was revoked is tried now and then, by one project after another. The others wait for what comes of it, and
/// nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_tried_by_one_project_at_a_time() {
    let fleet = Fleet::with_key("refused-key", 40).await;
    let good = World::with_datadog_key("refused-key-good").await;
    let flags = ["--watch-namespace", &good.namespace, "--resync-interval", "3s", "--stall-after", "1h"];
    let _operator = fleet.world.operator(&flags).await;
    let y = good.datadog("y").await.in_sync().await;
    fleet.create(&json!({})).await;
    fleet.all("Synced").await;

    fleet.revoke_key();
    let told = fleet.all("Unauthorized").await;
    for n in [0, 7, 39] {
        let said = crate::world::message(&fleet.object(n).get().await);
        assert!(said.contains(&format!("LIST of project {}", fleet.projects[n].id())), "{said}");
    }
    let settled = Instant::now();
    // A digest call that is refused is a pair of requests.
    until_true("three tries", || fleet.calls_since(settled).len() >= 6).await;
    y.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    let calls = fleet.calls_since(settled);
    let mut tries: Vec<(&Exchange, &str)> = Vec::new();
    for (call, project) in &calls {
        if tries.last().is_none_or(|(_, before)| before != project) {
            tries.push((call, project));
        }
    }
    assert!(calls.len() <= 2 * tries.len(), "{calls:#?}");
    for pair in tries.windows(2) {
        assert!(pair[1].0.at - pair[0].0.at > Duration::from_secs(2), "they grow apart: {tries:#?}");
    }
    let mut each: Vec<&str> = tries.iter().map(|(_, project)| *project).collect();
    each.sort_unstable();
    each.dedup();
    assert_eq!(each.len(), tries.len(), "each project has its turn");
    assert_eq!(fleet.all("Unauthorized").await, told, "no object was written again");

    // The same key is good again, and somebody says so.
    fleet.allow_key();
    fleet.object(20).annotate("reconcile-requested-at", "now").await;
    fleet.all("Synced").await;
}

/// Another key in the Secret is used at once, by all that wait.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_taken_up_at_once() {
    let fleet = Fleet::with_key("refused-rotated", 6).await;
    let _operator = fleet.world.operator(&["--resync-interval", rules::rare_resync()]).await;
    fleet.create(&json!({})).await;
    fleet.all("Synced").await;
    fleet.revoke_key();
    fleet.request("1").await;
    fleet.all("Unauthorized").await;
    let other = format!("{}-other", fleet.name);
    fleet.projects.iter().for_each(|project| project.allow_key(&other, PRIVATE_KEY));
    fleet.world.secret("atlas", &[("publicApiKey", &other), ("privateApiKey", PRIVATE_KEY)]).await;
    fleet.all("Synced").await;
    let by_the_old_one = fleet.calls_since(Instant::now());
    assert!(by_the_old_one.iter().all(|(call, _)| call.credential.as_deref() != Some(&*fleet.name)));
}

/// Some projects answer 401 whatever the key. Three of them do not take the key from the other objects of their namespace,
/// and no number of them takes it from those of another namespace.
#[tokio::test(flavor = "multi_thread")]
async fn projects_that_refuse_a_good_key_keep_nobody_waiting() {
    let fleet = Fleet::with_key("refused-alone", 8).await;
    let other = Fleet::new("refused-alone-other", 1).await;
    other.projects[0].allow_key(&fleet.name, PRIVATE_KEY);
    let values = [("publicApiKey", fleet.name.as_str()), ("privateApiKey", PRIVATE_KEY)];
    other.world.secret("atlas", &values).await;
    let _operator = fleet.world.operator(&["--watch-namespace", &other.world.namespace]).await;
    other.create(&json!({})).await;
    other.all("Synced").await;
    fleet.create(&json!({})).await;
    fleet.all("Synced").await;
    let elsewhere = other.object(0);
    let history = History::of(&elsewhere).await;
    let beside = History::of(&fleet.object(7)).await;
    let refuse = async |refused: std::ops::Range<usize>, good: &[Object<'_>], regions: [&str; 3]| {
        for n in refused.clone() {
            fleet.projects[n].fault(Fault::new(Effect::Unauthorized).always());
        }
        for n in refused.clone() {
            fleet.object(n).reaches("False", "Unauthorized").await;
        }
        for region in regions {
            for n in refused.clone() {
                fleet.object(n).annotate("reconcile-requested-at", region).await;
            }
            for object in good {
                object.change(&json!({"datadog": {"region": region}})).await.synced().await;
            }
        }
    };
    let never_refused = async |history: &History<'_>| {
        for version in history.so_far().await {
            assert_ne!(condition(&version, "Ready")["reason"], "Unauthorized", "{version:#}");
        }
    };
    refuse(0..3, &[elsewhere.clone(), fleet.object(7)], ["EU", "US3", "US5"]).await;
    never_refused(&beside).await;
    refuse(3..7, std::slice::from_ref(&elsewhere), ["AP1", "US", "EU"]).await;
    never_refused(&history).await;
}

/// However many projects use a service account that was revoked, Atlas is asked for a token once in half a minute at
/// most.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_account_costs_a_token_request_now_and_then() {
    let fleet = Fleet::new("refused-account", 20).await;
    let (id, secret) = (format!("mdb_sa_id_{}", fleet.name), "mdb_sa_sk_canary-client-secret");
    fleet.projects.iter().for_each(|project| project.allow_service_account(&id, secret));
    fleet.world.secret("account", &[("clientId", &id), ("clientSecret", secret)]).await;
    let _operator = fleet.world.operator(&["--stall-after", "1h"]).await;
    fleet.create(&json!({"credentialsSecretRef": {"name": "account"}})).await;
    fleet.all("Synced").await;
    let asked = || -> Vec<Instant> {
        let strays = fleet.world.shared.sim.stray_exchanges();
        let own =
            strays.iter().filter(|call| call.api == Api::OAuth && call.credential.as_deref() == Some(&*id));
        own.map(|call| call.at).collect()
    };
    let before = asked().len();
    fleet.projects[0].revoke_service_account(&id);
    fleet.all("Unauthorized").await;
    until_true("another request for a token", || asked().len() >= before + 2).await;
    let refused = asked().split_off(before);
    assert!(refused[1] - refused[0] >= Duration::from_secs(29), "{refused:?}");
    fleet.projects.iter().for_each(|project| project.allow_service_account(&id, secret));
    fleet.object(3).annotate("reconcile-requested-at", "now").await;
    fleet.all("Synced").await;
}

/// Whether a key is good again, an outage does not tell.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_does_not_take_a_refusal_back() {
    let world = World::with_datadog_key("refused-outage").await;
    let _operator = world.operator(&["--stall-after", "1s"]).await;
    world.project.fault(Fault::new(Effect::Unauthorized).always());
    let x = world.datadog("x").await;
    x.reaches("False", "Unauthorized").await;
    x.says("Stalled", "Unauthorized").await;
    let history = History::of(&x).await;
    for effect in [
        Effect::RateLimited { retry_after: Some(1) },
        Effect::Unavailable { retry_after: None },
        Effect::Close,
    ] {
        let faulted = world.project.count(|call| call.faulted);
        world.project.clear_faults();
        world.project.fault(Fault::new(effect).at(Operation::List).always());
        world.until_faulted(faulted + 2).await;
        x.change(&json!({"datadog": {"region": "EU"}})).await;
        x.annotate("reconcile-requested-at", &faulted.to_string()).await;
        world.until_faulted(faulted + 3).await;
    }
    for version in history.so_far().await {
        assert_eq!(condition(&version, "Ready")["reason"], "Unauthorized", "{version:#}");
        assert_eq!(condition(&version, "Stalled")["status"], "True", "{version:#}");
    }
    world.project.clear_faults();
    x.synced().await;
}

/// A key that keeps failing in a project does not have the project listed more often with the other keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_costs_no_list_with_a_good_one() {
    let world = World::with_datadog_key("refused-beside").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.secret("bad", &[("publicApiKey", "nobody"), ("privateApiKey", PRIVATE_KEY)]).await;
    let mut spec = samples::of("DATADOG").spec;
    merge(&mut spec, &json!({"credentialsSecretRef": {"name": "bad"}, "managementPolicy": "Observe"}));
    let bad = world.integration("bad", &spec).await;
    bad.reaches("False", "Unauthorized").await;
    let refused = || world.project.count(|call| call.credential.as_deref() == Some("nobody"));
    // The first pass made its Secret known, so the first retry looks at everything. By the second one that is over.
    let before = refused();
    until_true("two retries", || refused() >= before + 2).await;
    let (looks, before) = (world.looks(), refused());
    until_true("two more", || refused() >= before + 2).await;
    assert_eq!(world.looks(), looks, "the good key is left alone");
    // What is asked for is done, and keeps the bad key waiting no longer.
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    bad.annotate("reconcile-requested-at", "now").await;
    let before = refused();
    until_true("another try", || refused() > before).await;
}
