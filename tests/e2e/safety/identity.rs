//! Whose integration it is when objects come from elsewhere: restored by a backup tool, copied to another cluster,
//! replaced, wound back with etcd, or applied anew from Git. What is in Atlas is touched with a claim of this very
//! object or with consent, and not otherwise.

use std::sync::LazyLock;
use std::time::Duration;

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Effect, Fault, Operation};
use control_plane::Options;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::proxy::{self, Proxy, Request};
use crate::world::{Operator, Shared, World, condition, new_project_id, own, start, until, until_true};

const CLAIM: &str = "atlas-integrations.dev/claim";

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
        self.object(name).patch(&json!({"metadata": {"finalizers": null}})).await;
        self.object(name).begin_deletion().await;
        self.object(name).gone().await;
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
    let x = world.datadog("x").await;
    let original = x.synced().await;
    let id = world.stored_datadog("id");
    operator.stop().await;
    let restore = async || {
        world.create(&saved(&original, finalizers, annotations)).await;
        if status {
            x.set_status(&original["status"]).await;
        }
    };
    // Deleted before any operator saw it.
    world.lose("x").await;
    restore().await;
    x.begin_deletion().await;
    let _operator = world.operator(&[]).await;
    x.gone().await;
    // Seen, refused, deleted.
    restore().await;
    let object = x.reaches("False", "AlreadyExists").await;
    assert!(object["metadata"]["finalizers"].is_null(), "it holds nothing: {object:#}");
    assert!(object["status"]["applied"].is_null(), "{object:#}");
    x.delete().await;
    assert_eq!((world.atlas_writes(), world.stored_datadog("id")), (vec!["POST".to_owned()], id));
    // With consent it takes over.
    restore().await;
    x.reaches("False", "AlreadyExists").await;
    let object = x.change(&json!({"adoptionPolicy": "Adopt"})).await.synced().await;
    assert_eq!(object["status"]["applied"]["uid"], object["metadata"]["uid"]);
    x.delete().await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT", "DELETE"]);
    assert!(world.project.stored().is_empty());
}

/// Restored where Atlas has nothing any more: it is created, whatever the status says of it.
#[tokio::test(flavor = "multi_thread")]
async fn restored_after_atlas_lost_it_too() {
    let world = World::with_datadog_key("restored-absent").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    let original = x.synced().await;
    operator.stop().await;
    world.lose("x").await;
    world.project.remove_by_other("DATADOG");
    world.create(&saved(&original, true, true)).await;
    x.set_status(&original["status"]).await;
    let _operator = world.operator(&[]).await;
    until("the integration created", || world.project.stored_type("DATADOG")).await;
    x.until("its own", |object| object["status"]["applied"]["uid"] == object["metadata"]["uid"]).await;
    assert_eq!(world.atlas_writes(), ["POST", "POST"]);
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
    let x_of_first = first.datadog("x").await;
    let original = x_of_first.synced().await;
    let before = first.project.stored_type("DATADOG");

    let mut copy = saved(&original, true, true);
    assert!(copy["metadata"]["annotations"][CLAIM].is_string());
    copy["metadata"]["namespace"] = second.namespace.clone().into();
    second.create(&copy).await;
    let x_of_second = second.object("x");
    x_of_second.set_status(&original["status"]).await;
    let mut there = None;
    if seen {
        there = Some(second.operator(&[]).await);
        x_of_second.reaches("False", "AlreadyExists").await;
    }
    x_of_second.begin_deletion().await;
    if !seen {
        there = Some(second.operator(&[]).await);
    }
    x_of_second.gone().await;
    assert_eq!(first.project.stored_type("DATADOG"), before);
    assert_eq!(first.atlas_writes(), ["POST"], "the original's own");
    assert_eq!(
        x_of_first.get().await["metadata"]["resourceVersion"],
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
    let manifest = world.manifest("x", &datadog(json!({})));
    world.create(&manifest).await;
    let x = world.object("x");
    let before = x.synced().await;
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
        x.patch(&change).await;
    }
    let claimed = |object: &Value| {
        object["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
            && object["metadata"]["finalizers"][0].is_string()
            && object["metadata"]["annotations"][CLAIM].is_string()
    };
    x.until("claimed again", claimed).await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// The claim is dropped while the POST is under way: the answer proves whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_dropped_while_it_is_used() {
    let world = World::with_datadog_key("dropped-post").await;
    let _operator = world.operator(&["--atlas-timeout", "10s"]).await;
    let slow = Effect::Slow { delay: Duration::from_secs(3) };
    world.project.fault(Fault::new(slow).at(Operation::Create));
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    let change = json!({"metadata": {"finalizers": null, "annotations": {CLAIM: null}}});
    let object = x.patch(&change).await.synced().await;
    assert!(object["metadata"]["finalizers"][0].is_string(), "{object:#}");
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// Dropped by hand while a deletion waits: the object is gone at once, the integration stays, and belongs to nobody
/// until somebody consents.
#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_dropped_while_deleting_leaves_the_integration() {
    let world = World::with_datadog_key("dropped-deleting").await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Fault::new(Effect::Unavailable { retry_after: None }).at(Operation::Delete).always());
    x.begin_deletion().await;
    x.reaches("False", "AtlasUnavailable").await;
    let before = world.project.stored_type("DATADOG");
    x.patch(&json!({"metadata": {"finalizers": null}})).await;
    x.gone().await;
    world.project.clear_faults();
    world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    assert_eq!(world.project.stored_type("DATADOG"), before);
}

/// Created again under its name while the answer to the last write of the object before it is on its way: that takes
/// nothing from the new one, of which the watch told already.
#[tokio::test(flavor = "multi_thread")]
async fn created_again_before_the_release_is_answered() {
    let world = World::with_datadog_key("again").await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, &["--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    // The release is the one write to the object itself that is left.
    let release = |request: &Request| request.method == "PATCH" && request.path.ends_with("/x");
    proxy.fault(release, 0, 1, proxy::Fault::Slow(Duration::from_secs(3)));
    x.delete().await;
    world.integration("x", &datadog(json!({"datadog": {"region": "EU"}}))).await;
    x.synced().await;
    assert_eq!(world.atlas_writes(), ["POST", "DELETE", "POST"]);
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// The whole cluster is lost and rebuilt from Git: new objects with new uids, and Atlas full of old entries. Each
/// asks for consent, then takes its own over; nothing is ever deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_rebuilt_from_git() {
    let world = World::new("rebuilt").await;
    let operator = world.operator(&[]).await;
    let samples = samples::all();
    for sample in &samples {
        world.sample(sample.kind).await;
    }
    for sample in &samples {
        world.object(&sample.name()).synced().await;
    }
    operator.kill();
    let before = world.project.stored();
    for sample in &samples {
        world.lose(&sample.name()).await;
    }
    let _operator = world.operator(&[]).await;
    for sample in &samples {
        world.sample(sample.kind).await;
    }
    for sample in &samples {
        world.object(&sample.name()).reaches("False", "AlreadyExists").await;
    }
    assert_eq!(world.project.stored(), before);
    for sample in &samples {
        world.object(&sample.name()).change(&json!({"adoptionPolicy": "Adopt"})).await;
    }
    for sample in &samples {
        world.object(&sample.name()).synced().await;
    }
    let count = |method: &str| world.atlas_writes().iter().filter(|found| *found == method).count();
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
    let x = world.object("x");
    if operation == Operation::Create {
        world.project.fault(late);
        world.integration("x", &datadog(json!({"datadog": {"region": "EU"}}))).await;
    } else {
        world.datadog("x").await;
        x.synced().await;
        world.project.fault(late);
        x.change(&json!({"datadog": {"region": "EU"}})).await;
    }
    world.until_faulted(1).await;
    match then {
        "deleted" => {
            x.delete().await;
            assert!(world.project.stored().is_empty(), "no orphan");
        }
        "edited" => {
            x.change(&json!({"datadog": {"region": "US3"}})).await.synced().await;
            assert_eq!(world.stored_datadog("region"), "US3");
        }
        _ => {
            x.reaches("False", "AtlasUnavailable").await;
            x.synced().await;
            assert_eq!(world.stored_datadog("region"), "EU");
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
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let slow = Effect::Slow { delay: Duration::from_secs(4) };
    world.project.fault(Fault::new(slow).at(Operation::Delete));
    x.begin_deletion().await;
    world.until_faulted(1).await;
    tokio::task::block_in_place(|| shared.plane.kill_apiserver()).unwrap();
    until_true("its effect", || world.project.stored().is_empty()).await;
    world.project.replace_by_other(samples::of("DATADOG").stored);
    tokio::task::block_in_place(|| shared.plane.start_apiserver()).unwrap();
    x.gone().await;
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
    let made = async |kind: &str| world.sample(kind).await;
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
    let mut operator = world.operator(&flags).await;
    for kind in ["DATADOG", "PAGER_DUTY", "OPS_GENIE"] {
        made(kind).await.synced().await;
    }
    // The backup.
    servers(&|dir| run("cp", &[&dir.join("etcd"), &dir.join("etcd-saved")], "-r"));
    let datadog = world.object("datadog");

    datadog.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    world.secret("keys-pager-duty", &[("service", "0123456789abcdef0123456789abc777")]).await;
    let key = |world: &World| world.project.stored_type("PAGER_DUTY").map(|s| s["serviceKey"].clone());
    until("the rotated key", || key(&world).filter(|key| key == "0123456789abcdef0123456789abc777")).await;
    world.object("pager-duty").synced().await;
    let ops_genie = world.object("ops-genie");
    ops_genie.delete().await;
    made("VICTOR_OPS").await.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");

    servers(&|dir| {
        run("rm", &[&dir.join("etcd")], "-r");
        run("mv", &[&dir.join("etcd-saved"), &dir.join("etcd")], "-f");
    });
    if restarted {
        operator.kill();
        operator = Operator::start_on(plane, &world.namespace, &shared.sim.url(), &flags).await;
    }
    world.until_stored("region", "US5").await;
    until("the old key", || key(&world).filter(|key| key == "0123456789abcdef0123456789abc001")).await;
    until("what was deleted since", || world.project.stored_type("OPS_GENIE")).await;
    for name in ["datadog", "pager-duty", "ops-genie"] {
        let object = world.object(name).synced().await;
        assert_eq!(condition(&object, "InSync")["status"], "True");
    }
    // What was created since is in Atlas, and nobody's: another uid asks for consent.
    let before = world.project.stored_type("VICTOR_OPS");
    made("VICTOR_OPS").await.reaches("False", "AlreadyExists").await;
    assert_eq!(world.project.stored_type("VICTOR_OPS"), before);
    // And all is quiet again: the objects are as they are known.
    let quiet = world.project.exchanges().len();
    until_true("two more LISTs", || world.project.exchanges().len() >= quiet + 2).await;
    assert!(world.project.exchanges()[quiet..].iter().all(|e| e.method == "GET"));
    drop(operator);
}
