//! Whose integration it is when objects come from elsewhere: restored by a backup tool, copied to another cluster,
//! replaced, wound back with etcd, or applied anew from Git. What is in Atlas is touched with a claim of this very
//! object or with consent, and not otherwise.

use std::sync::LazyLock;
use std::time::Duration;

use atlas_sim::{Effect, Fault, Operation};
use control_plane::Options;
use rstest::rstest;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::proxy::{self, Proxy, Request};
use crate::samples::{self, datadog};
use crate::world::{Shared, World, condition, new_project_id, own, start, until};

const CLAIM: &str = "atlas-integrations.dev/claim";

fn stored(world: &World, field: &str) -> Value {
    world.project.stored_type("DATADOG").map(|stored| stored[field].clone()).unwrap_or_default()
}

/// The writes that reached Atlas, by method.
fn writes(world: &World) -> Vec<String> {
    world.project.exchanges().iter().filter(|e| e.is_write()).map(|e| e.method.clone()).collect()
}

/// What a backup tool creates from a saved object: without what the API server gives, and with or without what it
/// may leave out.
fn saved(object: &Value, finalizers: bool, annotations: bool) -> Value {
    let mut saved = object.clone();
    saved.as_object_mut().unwrap().remove("status");
    let metadata = saved["metadata"].as_object_mut().unwrap();
    for given in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
        metadata.remove(given);
    }
    if !finalizers {
        metadata.remove("finalizers");
    }
    if !annotations {
        metadata.remove("annotations");
    }
    saved
}

impl World {
    /// Takes an object out of the cluster as no operator sees it: its finalizer goes by hand.
    async fn lose(&self, name: &str) {
        self.patch("AtlasIntegration", name, &json!({"metadata": {"finalizers": null}})).await;
        self.delete("AtlasIntegration", name).await;
        self.until_gone(name).await;
    }
}

/// Restored in whatever completeness: it is another object. It asks for consent, and what it carries along is no
/// claim: deleted before that, it deletes nothing.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn restored_by_a_backup_tool(
    #[values(false, true)] status: bool,
    #[values(false, true)] finalizers: bool,
    #[values(false, true)] annotations: bool,
) {
    let name = format!("restored-{}{}{}", u8::from(status), u8::from(finalizers), u8::from(annotations));
    let world = World::with_datadog_key(&name).await;
    let operator = world.operator(&[]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    let original = world.until_ready("x", "True", "Synced").await;
    let id = stored(&world, "id");
    operator.stop().await;
    let restore = async || {
        world.create(&saved(&original, finalizers, annotations)).await;
        if status {
            world.status("x", &original["status"]).await;
        }
    };
    // Deleted before any operator saw it.
    world.lose("x").await;
    restore().await;
    world.delete("AtlasIntegration", "x").await;
    let _operator = world.operator(&[]).await;
    world.until_gone("x").await;
    // Seen, refused, deleted.
    restore().await;
    let object = world.until_ready("x", "False", "AlreadyExists").await;
    assert!(object["metadata"]["finalizers"].is_null(), "it holds nothing: {object:#}");
    assert!(object["status"]["applied"].is_null(), "{object:#}");
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert_eq!((writes(&world), stored(&world, "id")), (vec!["POST".to_owned()], id));
    // With consent it takes over.
    restore().await;
    world.until_ready("x", "False", "AlreadyExists").await;
    world.patch("AtlasIntegration", "x", &json!({"spec": {"adoptionPolicy": "Adopt"}})).await;
    let object = world.until_ready("x", "True", "Synced").await;
    assert_eq!(object["status"]["applied"]["uid"], object["metadata"]["uid"]);
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert_eq!(writes(&world), ["POST", "PUT", "DELETE"]);
    assert!(world.project.stored().is_empty());
}

/// Restored where Atlas has nothing any more: it is created, whatever the status says of it.
#[tokio::test(flavor = "multi_thread")]
async fn restored_after_atlas_lost_it_too() {
    let world = World::with_datadog_key("restored-absent").await;
    let operator = world.operator(&[]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    let original = world.until_ready("x", "True", "Synced").await;
    operator.stop().await;
    world.lose("x").await;
    world.project.remove_by_other("DATADOG");
    world.create(&saved(&original, true, true)).await;
    world.status("x", &original["status"]).await;
    let _operator = world.operator(&[]).await;
    until("the integration created", || world.project.stored_type("DATADOG")).await;
    world
        .until("x", "its own", |object| object["status"]["applied"]["uid"] == object["metadata"]["uid"])
        .await;
    assert_eq!(writes(&world), ["POST", "POST"]);
}

/// Copied to a second cluster with claim, finalizer and status; then the copy is deleted there. Its operator may be
/// down meanwhile.
#[rstest]
#[case::seen_first("seen", true)]
#[case::deleted_unseen("unseen", false)]
#[tokio::test(flavor = "multi_thread")]
async fn copied_to_a_second_cluster(#[case] name: &str, #[case] seen: bool) {
    let first = World::with_datadog_key(&format!("first-{name}")).await;
    let second = World::with_project(&format!("second-{name}"), first.project.id()).await;
    second.secret("keys", &[("api", "22222222222222222222222222220002")]).await;
    let _operator = first.operator(&[]).await;
    first.create(&first.integration("x", &datadog(json!({})))).await;
    let original = first.until_ready("x", "True", "Synced").await;
    let before = first.project.stored_type("DATADOG");

    let mut copy = saved(&original, true, true);
    assert!(copy["metadata"]["annotations"][CLAIM].is_string());
    copy["metadata"]["namespace"] = second.namespace.clone().into();
    second.create(&copy).await;
    second.status("x", &original["status"]).await;
    let mut there = None;
    if seen {
        there = Some(second.operator(&[]).await);
        second.until_ready("x", "False", "AlreadyExists").await;
    }
    second.delete("AtlasIntegration", "x").await;
    if !seen {
        there = Some(second.operator(&[]).await);
    }
    second.until_gone("x").await;
    assert_eq!(first.project.stored_type("DATADOG"), before);
    assert_eq!(writes(&first), ["POST"], "the original's own");
    assert_eq!(
        first.get("AtlasIntegration", "x").await.unwrap()["metadata"]["resourceVersion"],
        original["metadata"]["resourceVersion"],
        "nothing happened to the original"
    );
    drop(there);
}

/// Finalizer and claim are dropped by `kubectl replace` with the manifest, or by hand: they are put back without
/// consent, nothing is written to Atlas for it, and deletion deletes.
#[rstest]
#[case::by_kubectl_replace("replace")]
#[case::finalizer_by_hand("finalizer")]
#[case::claim_by_hand("claim")]
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_finalizer_is_put_back(#[case] what: &str) {
    let world = World::with_datadog_key(&format!("dropped-{what}")).await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let manifest = world.integration("x", &datadog(json!({})));
    world.create(&manifest).await;
    let before = world.until_ready("x", "True", "Synced").await;
    let change = match what {
        "replace" => {
            let text = manifest.to_string();
            tokio::task::block_in_place(|| {
                world.shared.plane.kubectl_stdin(&["replace", "-f", "-"], &text).unwrap()
            });
            None
        }
        "finalizer" => Some(json!({"metadata": {"finalizers": null}})),
        _ => Some(json!({"metadata": {"annotations": {CLAIM: null}}})),
    };
    if let Some(change) = change {
        world.patch("AtlasIntegration", "x", &change).await;
    }
    let claimed = |object: &Value| {
        object["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
            && object["metadata"]["finalizers"][0].is_string()
            && object["metadata"]["annotations"][CLAIM].is_string()
    };
    world.until("x", "claimed again", claimed).await;
    assert_eq!(writes(&world), ["POST"]);
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// The claim is dropped while the POST is under way: the answer proves whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_dropped_while_it_is_used() {
    let world = World::with_datadog_key("dropped-post").await;
    let _operator = world.operator(&["--atlas-timeout", "10s"]).await;
    let slow = Effect::Slow { delay: Duration::from_secs(3) };
    world.project.fault(Fault::new(slow).at(Operation::Create));
    world.create(&world.integration("x", &datadog(json!({})))).await;
    until("the POST at Atlas", || (world.project.count(|e| e.faulted) == 1).then_some(())).await;
    let change = json!({"metadata": {"finalizers": null, "annotations": {CLAIM: null}}});
    world.patch("AtlasIntegration", "x", &change).await;
    let object = world.until_ready("x", "True", "Synced").await;
    assert!(object["metadata"]["finalizers"][0].is_string(), "{object:#}");
    assert_eq!(writes(&world), ["POST", "PUT"]);
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// Dropped by hand while a deletion waits: the object is gone at once, the integration stays, and belongs to nobody
/// until somebody consents.
#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_dropped_while_deleting_leaves_the_integration() {
    let world = World::with_datadog_key("dropped-deleting").await;
    let _operator = world.operator(&[]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "True", "Synced").await;
    world.project.fault(Fault::new(Effect::Unavailable { retry_after: None }).at(Operation::Delete).always());
    world.delete("AtlasIntegration", "x").await;
    world.until_ready("x", "False", "AtlasUnavailable").await;
    let before = world.project.stored_type("DATADOG");
    world.patch("AtlasIntegration", "x", &json!({"metadata": {"finalizers": null}})).await;
    world.until_gone("x").await;
    world.project.clear_faults();
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "False", "AlreadyExists").await;
    assert_eq!(world.project.stored_type("DATADOG"), before);
}

/// Created again under its name while the answer to the last write of the object before it is on its way: that takes
/// nothing from the new one, of which the watch told already.
#[tokio::test(flavor = "multi_thread")]
async fn created_again_before_the_release_is_answered() {
    let world = World::with_datadog_key("again").await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, &["--resync-interval", "1h"]).await;
    world.synced().await;
    // The release is the one write to the object itself that is left.
    let release = |request: &Request| request.method == "PATCH" && request.path.ends_with("/x");
    proxy.fault(release, 0, 1, proxy::Fault::Slow(Duration::from_secs(3)));
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    world.create(&world.integration("x", &datadog(json!({"datadog": {"region": "EU"}})))).await;
    world.until_ready("x", "True", "Synced").await;
    assert_eq!(writes(&world), ["POST", "DELETE", "POST"]);
    assert_eq!(stored(&world, "region"), "EU");
}

/// The whole cluster is lost and rebuilt from Git: new objects with new uids, and Atlas full of old entries. Each
/// asks for consent, then takes its own over; nothing is ever deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_rebuilt_from_git() {
    let world = World::new("rebuilt").await;
    let operator = world.operator(&[]).await;
    let samples = samples::all();
    for sample in &samples {
        sample.create(&world, &json!({})).await;
    }
    for sample in &samples {
        world.until_ready(&sample.name(), "True", "Synced").await;
    }
    operator.kill();
    let before = world.project.stored();
    for sample in &samples {
        world.lose(&sample.name()).await;
    }
    let _operator = world.operator(&[]).await;
    for sample in &samples {
        sample.create(&world, &json!({})).await;
    }
    for sample in &samples {
        world.until_ready(&sample.name(), "False", "AlreadyExists").await;
    }
    assert_eq!(world.project.stored(), before);
    for sample in &samples {
        let adopt = json!({"spec": {"adoptionPolicy": "Adopt"}});
        world.patch("AtlasIntegration", &sample.name(), &adopt).await;
    }
    for sample in &samples {
        world.until_ready(&sample.name(), "True", "Synced").await;
    }
    let count = |method: &str| writes(&world).iter().filter(|found| *found == method).count();
    assert_eq!((count("POST"), count("PUT"), count("DELETE")), (samples.len(), samples.len(), 0));
    assert_eq!(world.project.stored().len(), samples.len());
}

/// A write times out and lands later, and meanwhile the object lives on, is edited, or is deleted.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_write_lands_late(
    #[values(Operation::Create, Operation::Update)] operation: Operation,
    #[values("lives", "edited", "deleted")] then: &str,
) {
    let method = if operation == Operation::Create { "post" } else { "put" };
    let world = World::with_datadog_key(&format!("late-{method}-{then}")).await;
    let _operator = world.operator(&[]).await;
    let late = Fault::new(Effect::AppliedLate { delay: Duration::from_secs(8) }).at(operation);
    if operation == Operation::Create {
        world.project.fault(late);
        world.create(&world.integration("x", &datadog(json!({"datadog": {"region": "EU"}})))).await;
    } else {
        world.create(&world.integration("x", &datadog(json!({})))).await;
        world.until_ready("x", "True", "Synced").await;
        world.project.fault(late);
        world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    }
    until("the write", || (world.project.count(|e| e.faulted) == 1).then_some(())).await;
    match then {
        "deleted" => {
            world.delete("AtlasIntegration", "x").await;
            world.until_gone("x").await;
            assert!(world.project.stored().is_empty(), "no orphan");
        }
        "edited" => {
            world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "US3"}}})).await;
            world.until_ready("x", "True", "Synced").await;
            assert_eq!(stored(&world, "region"), "US3");
        }
        _ => {
            world.until_ready("x", "False", "AtlasUnavailable").await;
            world.until_ready("x", "True", "Synced").await;
            assert_eq!(stored(&world, "region"), "EU");
        }
    }
    assert!(world.project.stored().len() <= 1);
}

/// A control plane for tests that stop its servers, one test at a time.
async fn stoppable() -> (&'static Shared, tokio::sync::MutexGuard<'static, ()>) {
    static OWN: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    (own(&OWN).await, ONE.lock().await)
}

/// The API server is away when Atlas confirms a DELETE, and others create the integration before it is back: that is
/// not deleted along with the finalizer.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_deletion_is_not_repeated() {
    let (shared, _one) = stoppable().await;
    let world = World::on(shared, "confirmed", &new_project_id()).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let mut operator = Operator::start_on(&shared.plane, &world.namespace, &shared.sim.url(), &[]).await;
    operator.until_ready().await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "True", "Synced").await;
    let slow = Effect::Slow { delay: Duration::from_secs(4) };
    world.project.fault(Fault::new(slow).at(Operation::Delete));
    world.delete("AtlasIntegration", "x").await;
    until("the DELETE", || (world.project.count(|e| e.faulted) == 1).then_some(())).await;
    tokio::task::block_in_place(|| shared.plane.kill_apiserver()).unwrap();
    until("its effect", || world.project.stored().is_empty().then_some(())).await;
    world.project.replace_by_other(samples::of("DATADOG").stored);
    tokio::task::block_in_place(|| shared.plane.start_apiserver()).unwrap();
    world.until_gone("x").await;
    assert!(world.project.stored_type("DATADOG").is_some(), "somebody else's");
}

/// etcd is restored to an older state: an edit, a rotation and a deletion are undone, a creation is forgotten. All
/// that the operator knew is of a future that never was, and it may live on through it.
#[rstest]
#[case::operator_lives_on("lives", false)]
#[case::operator_is_restarted("restarted", true)]
#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_restored_to_an_older_state(#[case] name: &str, #[case] restarted: bool) {
    let (shared, _one) = stoppable().await;
    let plane = &shared.plane;
    let world = World::on(shared, &format!("etcd-{name}"), &new_project_id()).await;
    for sample in samples::all() {
        world.secret(&format!("keys-{}", sample.name()), &sample.secrets).await;
    }
    let made = async |kind: &str| samples::of(kind).create(&world, &json!({})).await;
    let servers = |folder: &dyn Fn(&std::path::Path)| {
        tokio::task::block_in_place(|| {
            plane.stop_apiserver().unwrap();
            plane.stop_etcd().unwrap();
            folder(plane.dir());
            plane.start_etcd().unwrap();
            plane.start_apiserver().unwrap();
        });
    };
    let run = |program: &str, args: &[&std::path::Path], flag: &str| {
        let status = std::process::Command::new(program).arg(flag).args(args).status().unwrap();
        assert!(status.success());
    };
    let flags = ["--resync-interval", "2s"];
    let mut operator = Operator::start_on(plane, &world.namespace, &shared.sim.url(), &flags).await;
    operator.until_ready().await;
    for kind in ["DATADOG", "PAGER_DUTY", "OPS_GENIE"] {
        let name = made(kind).await;
        world.until_ready(&name, "True", "Synced").await;
    }
    // The backup.
    servers(&|dir| run("cp", &[&dir.join("etcd"), &dir.join("etcd-saved")], "-r"));

    world.patch("AtlasIntegration", "datadog", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    world.until_ready("datadog", "True", "Synced").await;
    world.secret("keys-pager-duty", &[("service", "0123456789abcdef0123456789abc777")]).await;
    let key = |world: &World| world.project.stored_type("PAGER_DUTY").map(|s| s["serviceKey"].clone());
    until("the rotated key", || key(&world).filter(|key| key == "0123456789abcdef0123456789abc777")).await;
    world.until_ready("pager-duty", "True", "Synced").await;
    world.delete("AtlasIntegration", "ops-genie").await;
    world.until_gone("ops-genie").await;
    let victor_ops = made("VICTOR_OPS").await;
    world.until_ready(&victor_ops, "True", "Synced").await;
    assert_eq!(stored(&world, "region"), "EU");

    servers(&|dir| {
        run("rm", &[&dir.join("etcd")], "-r");
        run("mv", &[&dir.join("etcd-saved"), &dir.join("etcd")], "-f");
    });
    if restarted {
        operator.kill();
        operator = Operator::start_on(plane, &world.namespace, &shared.sim.url(), &flags).await;
    }
    until("the old region", || (stored(&world, "region") == "US5").then_some(())).await;
    until("the old key", || key(&world).filter(|key| key == "0123456789abcdef0123456789abc001")).await;
    until("what was deleted since", || world.project.stored_type("OPS_GENIE")).await;
    for name in ["datadog", "pager-duty", "ops-genie"] {
        let object = world.until_ready(name, "True", "Synced").await;
        assert_eq!(condition(&object, "InSync")["status"], "True");
    }
    // What was created since is in Atlas, and nobody's: another uid asks for consent.
    let before = world.project.stored_type("VICTOR_OPS");
    let again = made("VICTOR_OPS").await;
    world.until_ready(&again, "False", "AlreadyExists").await;
    assert_eq!(world.project.stored_type("VICTOR_OPS"), before);
    // And all is quiet again: the objects are as they are known.
    let quiet = world.project.exchanges().len();
    until("two more LISTs", || (world.project.exchanges().len() >= quiet + 2).then_some(())).await;
    assert!(world.project.exchanges()[quiet..].iter().all(|e| e.method == "GET"));
    drop(operator);
}
