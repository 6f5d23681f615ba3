//! Watches that freeze, break, lose events, are too old or are not allowed: what was missed is found, Atlas ends with
//! what the objects want, and is written no more often than if all had been seen at once.
//!
//! Elsewhere: a restarted API server that has forgotten what a stopped operator missed (`security/threats.rs`, t16), stored
//! objects that can't be decoded among good ones (`security/threats.rs`, t01), a watch of Namespaces that is not allowed
//! (`security/own_credentials.rs`), lists of a restored etcd (`src/engine/index/tests.rs`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use atlas_integration_stage::samples::{self, Sample, datadog, merge};
use atlas_sim::Exchange;
use hyper::Method;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::proxy::{Fault, Proxy, Request, Side};
use crate::world::rules::{self, SECRETS_WATCHED};
use crate::world::{
    Operator, Shared, World, condition, new_project_id, own, start, until, until_found, until_true,
};

const LONG: &[&str] = &["--resync-interval", "1h"];

const TOO_OLD: Fault = Fault::Answer { status: 410, retry_after: None };

/// The writes of a project so far, method and type, in the order of both.
fn writes_by_type(world: &World) -> Vec<String> {
    let mut writes: Vec<String> = world
        .project
        .exchanges()
        .into_iter()
        .filter(Exchange::is_write)
        .map(|e| {
            let kind = e.integration_type.or_else(|| Some(e.body?["type"].as_str()?.to_owned()));
            format!("{} {}", e.method, kind.unwrap_or_default())
        })
        .collect();
    writes.sort();
    writes
}

/// What Atlas must store of a sample, with what a test changed; what Atlas adds of its own is left out.
fn assert_stored(world: &World, sample: &Sample, change: &Value) {
    let stored = world.project.stored_type(sample.kind).unwrap();
    let mut expected = stored.clone();
    merge(&mut expected, &sample.stored);
    merge(&mut expected, change);
    assert_eq!(stored, expected);
}

/// Whether a request lists what is watched.
fn is_list(request: &Request) -> bool {
    let watched = ["/atlasintegrations", "/secrets"];
    let listed = request.side == Side::Cluster && request.method == Method::GET && !request.is_watch();
    listed && watched.iter().any(|path| request.path.ends_with(path))
}

/// Ends the watches and has the next two told that their versions are too old, so that each begins with a list.
fn list_anew(proxy: &Proxy) {
    proxy.fault(Request::is_watch, 0, 2, TOO_OLD);
    proxy.cut_watches();
}

/// An operator behind a proxy with three objects in sync, to be changed while it sees nothing.
struct Stage {
    world: World,
    proxy: Proxy,
    operator: Operator,
}

impl Stage {
    async fn new(name: &str) -> Stage {
        let world = World::new(&format!("watch-{name}")).await;
        let proxy = Proxy::start(&world).await;
        // Of a Secret's change, too, nothing but its watch may tell.
        let operator = proxy.operator(&world, &[LONG, &[SECRETS_WATCHED]].concat()).await;
        for kind in ["DATADOG", "OPS_GENIE", "PAGER_DUTY"] {
            world.sample(kind).await;
        }
        let stage = Stage { world, proxy, operator };
        for name in ["datadog", "ops-genie", "pager-duty"] {
            stage.world.object(name).synced().await;
        }
        stage
    }

    /// One object is edited, the Secret of one is rotated, one is deleted, one is new.
    async fn change(&self) {
        let world = &self.world;
        let (edited, rotated) = (samples::of("DATADOG"), samples::of("OPS_GENIE"));
        world.object("datadog").change(&edited.edit.0).await;
        let (key, value, _) = rotated.rotation;
        world.secret("keys-ops-genie", &[(key, value)]).await;
        world.object("pager-duty").begin_deletion().await;
        world.sample("WEBHOOK").await;
    }

    /// All four changes are in Atlas, by one write each.
    async fn until_caught_up(&self) {
        let world = &self.world;
        world.object("pager-duty").gone().await;
        let (edited, rotated) = (samples::of("DATADOG"), samples::of("OPS_GENIE"));
        until("the rotated key in Atlas", || {
            world.project.stored_type("OPS_GENIE").filter(|stored| stored["apiKey"] == rotated.rotation.1)
        })
        .await;
        for name in ["datadog", "ops-genie", "webhook"] {
            world.object(name).synced().await;
        }
        assert_stored(world, &edited, &edited.edit.1);
        assert_stored(world, &rotated, &json!({"apiKey": rotated.rotation.1}));
        assert_stored(world, &samples::of("WEBHOOK"), &json!({}));
        assert_eq!(world.project.stored().len(), 3, "no orphan");
        let once = ["POST DATADOG", "POST OPS_GENIE", "POST PAGER_DUTY"];
        let then = ["DELETE PAGER_DUTY", "POST WEBHOOK", "PUT DATADOG", "PUT OPS_GENIE"];
        let mut expected = [&once[..], &then].concat();
        expected.sort_unstable();
        assert_eq!(writes_by_type(world), expected);
    }

    /// Notes the kinds and names in the events that come by from now on, and keeps them back where `drop` says so.
    fn note_events(&self, drop: bool) -> Arc<Mutex<BTreeSet<String>>> {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = Arc::clone(&seen);
        self.proxy.drop_events(move |event| {
            let object = &event["object"];
            let Some(name) = object["metadata"]["name"].as_str() else { return false };
            let kind = object["kind"].as_str().unwrap_or_default();
            noted.lock().unwrap().insert(format!("{kind} {name}"));
            drop
        });
        seen
    }

    /// The watches work: an edit made now is in Atlas without any other cause.
    async fn assert_watches(&self) {
        let body = json!({"webhook": {"bodyTemplate": "{\"seen\": true}"}});
        self.world.object("webhook").change(&body).await;
        until("an edit that a watch told", || {
            let stored = self.world.project.stored_type("WEBHOOK")?;
            (stored["bodyTemplate"] == "{\"seen\": true}").then_some(())
        })
        .await;
    }
}

/// Nothing flows, and nobody is told: the operator learns nothing meanwhile, and all of it with the thaw.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_watches_catch_up_with_the_thaw() {
    let stage = Stage::new("frozen").await;
    let before = writes_by_type(&stage.world);
    let seen = stage.note_events(false);
    stage.proxy.freeze_watches(true);
    stage.change().await;
    // Each watch holds its first event back.
    until_true("an event of both kinds at the proxy", || seen.lock().unwrap().len() >= 2).await;
    assert_eq!(writes_by_type(&stage.world), before);
    stage.proxy.freeze_watches(false);
    stage.until_caught_up().await;
    assert!(!stage.operator.logs().contains("watch of AtlasIntegration objects"), "no watch failed");
}

/// A watch that breaks off is taken up from the last version that it brought, without another list.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_watch_goes_on_from_its_last_version() {
    let stage = Stage::new("cut").await;
    let lists = stage.proxy.count(is_list);
    let watches = stage.proxy.count(Request::is_watch);
    stage.proxy.freeze_watches(true);
    stage.change().await;
    stage.proxy.cut_watches();
    until_true("new watches", || stage.proxy.count(Request::is_watch) >= watches + 2).await;
    stage.proxy.freeze_watches(false);
    stage.until_caught_up().await;
    assert_eq!(stage.proxy.count(is_list), lists);
    stage.assert_watches().await;
}

/// Every watch is told that its version is too old, by the answer's status or by an event: each time a list takes its
/// place, later and later, and shows what changed.
#[rstest]
#[case::status("410", TOO_OLD)]
#[case::event("410-event", Fault::ErrorEvent(410))]
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_too_old_lists_anew(#[case] name: &str, #[case] fault: Fault) {
    let stage = Stage::new(name).await;
    let on = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&on);
    stage.proxy.fault(move |r| r.is_watch() && still.load(Ordering::Relaxed), 0, usize::MAX, fault);
    stage.proxy.cut_watches();
    // Each watch was refused, so its list is over: only another one can show the changes.
    stage.proxy.until_hit(2).await;
    stage.change().await;
    stage.until_caught_up().await;
    // While a list serves, and no watch does, each further list comes later: a second, four, sixteen.
    let refused = || {
        let hits = stage.proxy.hits().into_iter();
        hits.filter(|r| r.path.ends_with("/atlasintegrations")).map(|r| r.at).collect::<Vec<_>>()
    };
    until_true("the fourth refusal", || refused().len() >= 4).await;
    let waits: Vec<_> = refused().windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[2] > 2 * waits[0], "{waits:?}");
    // No cache may answer a list: it could be older than what is known.
    assert_eq!(stage.proxy.count(|r| is_list(r) && r.query.contains("resourceVersion")), 0);
    on.store(false, Ordering::Relaxed);
    stage.assert_watches().await;
}

/// Events that the API server never sends: nothing tells the operator, and the next list does.
#[tokio::test(flavor = "multi_thread")]
async fn lost_events_are_found_by_the_next_list() {
    let stage = Stage::new("lost").await;
    let before = writes_by_type(&stage.world);
    let seen = stage.note_events(true);
    stage.change().await;
    let missed = ["datadog", "pager-duty", "webhook", "keys-ops-genie", "keys-webhook"];
    until("all events at the proxy", || {
        let seen = seen.lock().unwrap();
        missed.iter().all(|name| seen.iter().any(|event| event.ends_with(&format!(" {name}")))).then_some(())
    })
    .await;
    assert_eq!(writes_by_type(&stage.world), before);
    stage.proxy.drop_events(|_| false);
    list_anew(&stage.proxy);
    stage.until_caught_up().await;
    stage.assert_watches().await;
}

/// The end of an object that nobody tells of (somebody took its finalizer off): until the next list it keeps its place
/// from others, and Atlas is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_went_unseen_keeps_its_place() {
    let world = World::with_datadog_key("watch-ghost").await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, LONG).await;
    let x = world.datadog("x").await.in_sync().await;
    proxy.drop_events(|event| event["object"]["metadata"]["name"] == "x");
    x.patch(&json!({"metadata": {"finalizers": null}})).await;
    x.delete().await;
    let heir = datadog(json!({"datadog": {"region": "EU"}, "adoptionPolicy": "Adopt"}));
    let y = world.integration("y", &heir).await;
    y.reaches("False", "Conflict").await;
    assert_eq!(writes_by_type(&world), ["POST DATADOG"]);
    proxy.drop_events(|_| false);
    list_anew(&proxy);
    y.synced().await;
    assert_stored(&world, &samples::of("DATADOG"), &json!({"region": "EU"}));
    assert_eq!(writes_by_type(&world), ["POST DATADOG", "PUT DATADOG"]);
}

/// Gives the world's operator its rules, with these verbs on Secrets.
async fn allow_secrets(world: &World, verbs: &[&str]) {
    let flags = ["--watch-namespace", &world.namespace, SECRETS_WATCHED];
    let rules = rules::with_verbs(rules::of(world.account(), &flags), "secrets", verbs);
    rules::apply(&world.shared.plane, world.account(), &rules).await;
}

/// Secrets may be read and not watched: whatever becomes of one is noticed at the next resync. Once they may be
/// watched, a Secret that does not change is not read any more.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_unwatched() {
    let world = World::new("watch-forbidden").await;
    allow_secrets(&world, &["get"]).await;
    // What it does when the watch that it wants is refused.
    let operator = world.operator_with_rules_as_they_are(&[SECRETS_WATCHED]).await.ready().await;
    assert!(operator.logs().contains("watch of Secrets"), "refused: {}", operator.logs());
    let key = |number: u32| format!("fedcba9876543210fedcba987654{number:04}");
    let x = world.object("x");
    let until_key = async |number: u32| {
        until("the key in Atlas", || {
            world.project.stored_type("DATADOG").filter(|stored| stored["apiKey"] == key(number))
        })
        .await;
        x.synced().await;
    };
    world.datadog("x").await;
    x.reaches("False", "SecretNotFound").await;
    world.secret("keys", &[("api", &key(1))]).await;
    until_key(1).await;
    world.secret("keys", &[("api", &key(2))]).await;
    until_key(2).await;
    world.delete("Secret", "keys").await;
    x.reaches("False", "SecretNotFound").await;
    // The same key in a new Secret is nothing to write.
    world.secret("keys", &[("api", &key(2))]).await;
    until_key(2).await;
    assert_eq!(writes_by_type(&world), ["POST DATADOG", "PUT DATADOG"]);

    allow_secrets(&world, &["get", "list", "watch"]).await;
    let reads = || world.requests().iter().filter(|r| r.resource == "secrets" && r.verb == "get").count();
    let watched =
        || world.requests().iter().any(|r| r.resource == "secrets" && r.verb == "watch" && r.code == 200);
    until_true("a watch of Secrets", watched).await;
    let lists = || world.project.count(|e| e.method == "GET" && e.status == 200);
    let after = async |more: usize| {
        let before = lists();
        until_true("further LISTs", || lists() >= before + more).await;
    };
    // The pass that was under way.
    after(2).await;
    let before = reads();
    after(3).await;
    assert_eq!(reads(), before, "the watch tells that nothing changed");
    world.secret("keys", &[("api", &key(3))]).await;
    until_key(3).await;
    assert_eq!(writes_by_type(&world), ["POST DATADOG", "PUT DATADOG", "PUT DATADOG"]);
    x.delete().await;
    assert!(world.project.stored().is_empty());
}

/// Secrets are not watched, and the operator loses the right to read them. What a suspended object has said of its
/// Secret stays.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_suspended_object_may_not_be_read() {
    let world = World::with_datadog_key("suspended-forbidden").await;
    allow_secrets(&world, &["get"]).await;
    let _operator = world.operator_with_rules_as_they_are(&[SECRETS_WATCHED]).await.ready().await;
    let x = world.datadog("x").await.in_sync().await;
    x.change(&json!({"suspend": true})).await.says("Suspended", "True").await;
    x.reaches("True", "Synced").await;
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    x.reaches("False", "Suspended").await;
    // A verb that the operator does not use.
    allow_secrets(&world, &["delete"]).await;
    let refused = || {
        let requests = world.requests();
        requests.iter().filter(|r| r.resource == "secrets" && r.verb == "get" && r.code == 403).count()
    };
    until_true("two refused reads", || refused() >= 2).await;
    x.reaches("False", "Suspended").await;
    allow_secrets(&world, &["get"]).await;
    x.change(&json!({"suspend": false})).await.synced().await;
    assert_eq!(writes_by_type(&world), ["POST DATADOG", "PUT DATADOG"]);
}

/// The API server does not answer for the Secret of an object that is being suspended: the status says at once that it is
/// suspended, and later what became of the Secret.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_suspended_object_can_not_be_read() {
    let world = World::with_datadog_key("suspended-unread").await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, &["--watch-secrets=false", "--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    let of_secret = |r: &Request| r.side == Side::Cluster && r.path.ends_with("/secrets/keys");
    proxy.fault(of_secret, 0, 4, Fault::Answer { status: 500, retry_after: None });
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    let object = x.change(&json!({"suspend": true})).await.says("Suspended", "True").await;
    assert_eq!(condition(&object, "Ready")["reason"], "Synced", "as far as anybody knows");
    x.reaches("False", "Suspended").await;
    assert!(proxy.hits().len() == 4, "{:?}", proxy.hits());
}

/// Does what the API server may not take now until it takes it.
async fn insist<T>(what: &str, act: impl AsyncFn() -> Result<T, kube::Error>) {
    until_found(what, async || match act().await {
        Ok(_) => Some(()),
        // Taken, and the answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => Some(()),
        Err(_) => None,
    })
    .await;
}

/// API server and etcd crash and come back, one after the other, while three projects' objects of all types are
/// created and edited.
#[tokio::test(flavor = "multi_thread")]
async fn servers_restarted_under_load() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start(control_plane::Options::default()));
    let shared = own(&PLANE).await;
    let mut worlds = Vec::new();
    for name in ["load-a", "load-b", "load-c"] {
        let world = World::on(shared, name, &new_project_id()).await;
        for sample in samples::all() {
            world.secret(&format!("keys-{}", sample.name()), &sample.secrets).await;
        }
        worlds.push(world);
    }
    let scope: Vec<&str> =
        worlds.iter().flat_map(|world| ["--watch-namespace", world.namespace.as_str()]).collect();
    let operator = Operator::start_elsewhere(&worlds[0], &scope, LONG).await;
    let load = async |world: &World| {
        for sample in samples::all() {
            let name = sample.name();
            let spec = sample.spec.to_string().replace("\"keys\"", &format!("\"keys-{name}\""));
            let object = world.manifest(&name, &serde_json::from_str(&spec).unwrap());
            insist("an object created", async || world.try_create(&object).await).await;
        }
        for sample in samples::all() {
            let edit = sample.edit.0.to_string().replace("\"keys\"", &format!("\"keys-{}\"", sample.name()));
            let edit = json!({"spec": serde_json::from_str::<Value>(&edit).unwrap()});
            let api = world.api("AtlasIntegration", Some(&world.namespace));
            let (params, patch) = (PatchParams::default(), Patch::Merge(&edit));
            insist("an object edited", async || api.patch(&sample.name(), &params, &patch).await).await;
        }
    };
    let restarts = tokio::task::spawn_blocking(move || {
        let plane = &shared.plane;
        for _ in 0..2 {
            plane.kill_apiserver().unwrap();
            plane.start_apiserver().unwrap();
            plane.kill_etcd().unwrap();
            plane.start_etcd().unwrap();
            plane.wait_ready().unwrap();
        }
    });
    let loads = futures::future::join_all(worlds.iter().map(load));
    let (restarted, _) = tokio::join!(restarts, loads);
    restarted.unwrap();
    assert!(operator.logs().contains("watch of AtlasIntegration objects"), "watches failed");
    for world in &worlds {
        for sample in samples::all() {
            world.object(&sample.name()).synced().await;
            assert_stored(world, &sample, &sample.edit.1);
        }
        assert_eq!(world.project.stored().len(), 10);
        let all = writes_by_type(world);
        for sample in samples::all() {
            let count =
                |method: &str| all.iter().filter(|w| **w == format!("{method} {}", sample.kind)).count();
            assert_eq!(count("POST"), 1, "{all:?}");
            assert!(count("PUT") <= 1, "{all:?}");
        }
    }
    for world in &worlds {
        for sample in samples::all() {
            world.object(&sample.name()).begin_deletion().await;
        }
        for sample in samples::all() {
            world.object(&sample.name()).gone().await;
        }
        assert!(world.project.stored().is_empty(), "no orphan");
    }
}
