//! The traces that broke plausible earlier rules, one test each, by their numbers in `docs/architecture.md`.
//!
//! "Old leader" and "new leader" are two operators on one namespace, A and B. A has so long a time limit
//! (`--atlas-timeout 2m`) that what it began is still its own when it wakes up; B has so short a one that it takes
//! over after seconds.

use std::time::Duration;

use atlas_integration_stage::samples::{self, datadog, foreign};
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::rules::SECRETS_WATCHED;
use crate::world::{Operator, World, condition, until, until_true};

/// Keys that look alike once they are masked.
const ONE: &str = "fedcba9876543210fedcba9876540001";
const TWO: &str = "00000000000000000000000000000001";
const THREE: &str = "11111111111111111111111111110001";

fn region(region: &str) -> Value {
    json!({"datadog": {"region": region}})
}

impl World {
    /// The operator that keeps what it began for long. It must see a rotation at once, and look at nothing else.
    async fn old_leader(&self, flags: &[&str]) -> Operator {
        let patient = ["--atlas-timeout", "2m", "--resync-interval", "1h", SECRETS_WATCHED];
        self.operator(&[&patient, flags].concat()).await
    }

    /// The operator that takes over after seconds.
    async fn new_leader(&self, flags: &[&str]) -> Operator {
        self.operator(&[&["--atlas-timeout", "2s"], flags].concat()).await
    }
}

/// A creates and sleeps before it hears of it; B takes over and writes an edit; A wakes up to its own success. It
/// must not take back B's proof, or the integration would be nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn trace_1_an_old_leader_hears_of_its_post_late() {
    let world = World::with_datadog_key("trace-1").await;
    let a = world.old_leader(&[]).await;
    let slow = Effect::Slow { delay: Duration::from_secs(2) };
    world.project.fault(Fault::new(slow).at(Operation::Create));
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    a.pause();
    until("the POST's effect", || world.project.stored_type("DATADOG")).await;
    let b = world.new_leader(&[]).await;
    x.change(&region("EU")).await;
    let of_b = x.synced().await["status"]["attempt"]["id"].clone();
    assert_eq!(world.stored_datadog("region"), "EU");
    b.stop().await;

    a.resume();
    let object = x
        .until("owed a write", |object| {
            object["status"]["applied"]["config"].is_null() && object["status"]["attempt"]["id"] != of_b
        })
        .await;
    assert_eq!(object["status"]["applied"]["uid"], object["metadata"]["uid"], "still ours");
    assert_eq!(condition(&object, "Ready")["status"], "False", "which write landed last, nobody knows");
    a.kill();
    let _c = world.new_leader(&[]).await;
    x.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    assert!(world.notes("AlreadyExists").await.is_empty(), "it was never taken for somebody else's");
}

/// A's PUT of an old key lands after B's of the new one, and no id tells. Ready must not say that all is well while
/// Atlas holds the old key.
#[tokio::test(flavor = "multi_thread")]
async fn trace_1b_an_old_leaders_put_lands_last() {
    let world = World::with_datadog_key("trace-1b").await;
    let a = world.old_leader(&["--atlas-api", "v1.0"]).await;
    let x = world.datadog("x").await.in_sync().await;
    // The second PUT is B's and goes through.
    let slow = Effect::Slow { delay: Duration::from_secs(12) };
    world.project.fault(Fault::new(slow).at(Operation::Update));
    world.secret("keys", &[("api", TWO)]).await;
    world.until_faulted(1).await;
    let b = world.new_leader(&["--atlas-api", "v1.0"]).await;
    world.secret("keys", &[("api", THREE)]).await;
    world.until_stored("apiKey", THREE).await;
    x.synced().await;
    b.stop().await;
    world.until_stored("apiKey", TWO).await;
    x.says("Ready", "False").await;
    a.kill();
    let _c = world.new_leader(&["--atlas-api", "v1.0"]).await;
    x.synced().await;
    assert_eq!(world.stored_datadog("apiKey"), THREE);
}

/// The reference goes to another Secret, the PUT arrives, its answer does not, and the reference goes back: all that
/// can be seen matches, and Atlas holds the other key.
#[tokio::test(flavor = "multi_thread")]
async fn trace_2_there_and_back_with_a_lost_answer() {
    let world = World::with_datadog_key("trace-2").await;
    world.secret("other", &[("api", TWO)]).await;
    let _operator = world.operator(&["--atlas-api", "v1.0", "--atlas-timeout", "2s"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Fault::new(Effect::AppliedThenCut).at(Operation::Update));
    let reference = |name: &str| json!({"datadog": {"apiKeySecretRef": {"name": name, "key": "api"}}});
    x.change(&reference("other")).await;
    world.until_stored("apiKey", TWO).await;
    x.change(&reference("keys")).await.synced().await;
    assert_eq!(world.stored_datadog("apiKey"), ONE);
}

/// A rotation's PUT never arrives. That the value equals what was sent last proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn trace_3_a_put_that_never_arrived_is_no_write() {
    let world = World::with_datadog_key("trace-3").await;
    let _operator = world.operator(&["--atlas-api", "v1.0", "--atlas-timeout", "2s"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Fault::new(Effect::Close).at(Operation::Update));
    world.secret("keys", &[("api", TWO)]).await;
    x.reaches("False", "AtlasUnavailable").await;
    assert_eq!(world.stored_datadog("apiKey"), ONE);
    x.synced().await;
    assert_eq!(world.stored_datadog("apiKey"), TWO);
}

/// A sent the first key, B the second; A leads again and the first key is back. A remembers having sent it, and that
/// is worth nothing since B's write.
#[tokio::test(flavor = "multi_thread")]
async fn trace_3b_what_was_sent_before_anothers_write_counts_for_nothing() {
    let world = World::with_datadog_key("trace-3b").await;
    let a = world.old_leader(&["--atlas-api", "v1.0"]).await;
    let x = world.datadog("x").await.in_sync().await;
    a.pause();
    let b = world.new_leader(&["--atlas-api", "v1.0"]).await;
    world.secret("keys", &[("api", TWO)]).await;
    world.until_stored("apiKey", TWO).await;
    x.synced().await;
    b.stop().await;
    world.secret("keys", &[("api", ONE)]).await;
    a.resume();
    world.until_stored("apiKey", ONE).await;
    x.synced().await;
}

/// The POST is lost, the object is deleted, an outsider creates something else: that stays.
#[tokio::test(flavor = "multi_thread")]
async fn trace_4_a_lost_claim_deletes_nothing_of_others() {
    let world = World::with_datadog_key("trace-4").await;
    let _operator = world.operator(&["--atlas-timeout", "2s"]).await;
    world.project.fault(Fault::new(Effect::Close).at(Operation::Create));
    let x = world.datadog("x").await;
    x.reaches("False", "AtlasUnavailable").await;
    x.begin_deletion().await;
    world.project.replace_by_other(foreign());
    x.gone().await;
    assert_eq!(world.stored_datadog("apiKey"), foreign()["apiKey"]);
    assert_eq!(world.project.count(|e| e.is_write() && e.method == "DELETE"), 0);
}

/// The POST arrives, the operator is killed, and the object is edited meanwhile: what is there differs from what
/// would be sent today and agrees with what was sent then.
#[tokio::test(flavor = "multi_thread")]
async fn trace_5a_edited_after_a_crash_in_the_post() {
    let world = World::with_datadog_key("trace-5a").await;
    let a = world.old_leader(&[]).await;
    world.project.fault(Fault::new(Effect::AppliedThenHeld).at(Operation::Create));
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    a.kill();
    x.change(&region("EU")).await;
    world.secret("keys", &[("api", "22222222222222222222222222220002")]).await;
    let _b = world.new_leader(&[]).await;
    x.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// Another cluster with the same manifests is faster between LIST and POST: its integration equals ours in all that
/// can be seen, and is not ours.
#[tokio::test(flavor = "multi_thread")]
async fn trace_5b_a_twin_made_before_our_post_is_not_ours() {
    let world = World::with_datadog_key("trace-5b").await;
    let _operator = world.operator(&[]).await;
    world.project.replace_by_other(samples::of("DATADOG").stored);
    let before = world.project.stored_type("DATADOG");
    // LIST does not show it, so that the operator claims and posts.
    let hidden = json!({"results": [], "links": [], "totalCount": 0});
    world.project.fault(Fault::new(Effect::ReplaceAnswer { value: hidden }).at(Operation::List).times(1));
    let x = world.datadog("x").await;
    let object = x.reaches("False", "AlreadyExists").await;
    assert!(object["metadata"]["finalizers"].is_null(), "released");
    let methods = world.atlas_writes();
    assert_eq!(methods, ["POST"], "which Atlas answered with 409");
    x.delete().await;
    assert_eq!(world.project.stored_type("DATADOG"), before);
}

/// The POST never arrives and an outsider creates: a lost answer proves nothing, what was sent decides.
#[tokio::test(flavor = "multi_thread")]
async fn trace_5c_a_lost_answer_proves_nothing() {
    let world = World::with_datadog_key("trace-5c").await;
    let _operator = world.operator(&["--atlas-timeout", "2s"]).await;
    world.project.fault(Fault::new(Effect::Close).at(Operation::Create));
    let x = world.datadog("x").await;
    x.reaches("False", "AtlasUnavailable").await;
    world.project.replace_by_other(foreign());
    let before = world.project.stored_type("DATADOG");
    let object = x.reaches("False", "AlreadyExists").await;
    assert!(object["metadata"]["finalizers"].is_null(), "released");
    assert_eq!(world.project.stored_type("DATADOG"), before);
}

/// Adopt, killed between the claim and the PUT, and back to Refuse: consent was given when it was claimed.
#[tokio::test(flavor = "multi_thread")]
async fn trace_5e_consent_is_recorded() {
    let world = World::with_datadog_key("trace-5e").await;
    world.project.replace_by_other(foreign());
    let a = world.old_leader(&[]).await;
    world.project.fault(Fault::new(Effect::Hold).at(Operation::Update));
    let x = world.integration("x", &datadog(json!({"adoptionPolicy": "Adopt"}))).await;
    world.until_faulted(1).await;
    a.kill();
    x.change(&json!({"adoptionPolicy": "Refuse"})).await;
    let _b = world.new_leader(&[]).await;
    x.synced().await;
    assert_eq!(world.stored_datadog("apiKey"), ONE);
}

/// A holds a LIST from before B's POST and finds the object deleted: what that LIST does not show may be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn trace_6_an_old_leaders_list_shows_nothing_of_a_later_post() {
    let world = World::with_datadog_key("trace-6").await;
    let a = world.old_leader(&[]).await;
    let slow = |seconds| Effect::Slow { delay: Duration::from_secs(seconds) };
    world.project.fault(Fault::new(slow(2)).at(Operation::List));
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    a.pause();
    until("the LIST's answer", || {
        (world.project.count(|e| e.operation == Some(Operation::List) && e.faulted && e.status == 200) == 1)
            .then_some(())
    })
    .await;
    // B's POST is on its way for as long as B waits for it.
    world
        .project
        .fault(Fault::new(Effect::AppliedLate { delay: Duration::from_secs(3) }).at(Operation::Create));
    let _b = world.new_leader(&[]).await;
    world.until_faulted(2).await;
    x.begin_deletion().await;
    a.resume();
    x.gone().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// The same within one operator: by the time an object's turn comes in a long pass, the LIST of that pass is from
/// before the end of the time in which its POST could land. What it does not show may be there.
#[tokio::test(flavor = "multi_thread")]
async fn trace_6_a_list_from_before_a_late_post_landed() {
    let world = World::with_datadog_key("trace-6b").await;
    let teams = samples::of("MICROSOFT_TEAMS");
    world.secret("teams", &teams.secrets).await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let spec = teams.with_secret("teams");
    let a = world.integration("a", &spec).await.in_sync().await;
    // With the operator's limit of 6 s, x's POST may land within 12 s. It does so after 10.
    world
        .project
        .fault(Fault::new(Effect::AppliedLate { delay: Duration::from_secs(10) }).at(Operation::Create));
    let x = world.datadog("x").await;
    x.reaches("False", "AtlasUnavailable").await;
    // At some 7 s a pass begins whose LIST shows nothing of x, and in which a's PUT keeps x waiting beyond 12 s.
    let slow = Effect::Slow { delay: Duration::from_millis(5_500) };
    world.project.fault(Fault::new(slow).at(Operation::Update));
    x.begin_deletion().await;
    let other = json!({"microsoftTeams": {"webhookUrlSecretRef": {"name": "teams", "key": "other"}}});
    a.change(&other).await;
    x.gone().await;
    until_true("a's PUT and x's POST", || world.project.count(|e| e.is_write() && e.faulted) == 2).await;
    assert_eq!(world.project.stored_type("DATADOG"), None, "no orphan");
}

/// The POST times out and lands later; the object is deleted meanwhile. It stays until nothing can land any more,
/// over a restart too.
#[rstest]
#[case::operator_lives_on("lives", false)]
#[case::operator_is_killed("killed", true)]
#[tokio::test(flavor = "multi_thread")]
async fn trace_7_deleted_while_a_post_is_on_its_way(#[case] name: &str, #[case] killed: bool) {
    let world = World::with_datadog_key(&format!("trace-7-{name}")).await;
    let operator = world.operator(&[]).await;
    world
        .project
        .fault(Fault::new(Effect::AppliedLate { delay: Duration::from_secs(8) }).at(Operation::Create));
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    x.begin_deletion().await;
    let _next = if killed {
        operator.kill();
        world.operator(&[]).await
    } else {
        operator
    };
    x.deletion_waits().await;
    x.gone().await;
    assert!(world.project.stored().is_empty(), "no orphan");
    assert_eq!(world.project.count(|e| e.is_write() && e.method == "DELETE" && e.status == 204), 1);
}

/// Another cluster overwrites a secret of which nothing is ever shown: Atlas's new id gives it away.
#[tokio::test(flavor = "multi_thread")]
async fn trace_8_a_hidden_overwrite_is_seen_by_its_id() {
    let world = World::new("trace-8").await;
    let sample = samples::of("PROMETHEUS");
    world.secret("keys", &sample.secrets).await;
    let _operator = world.operator(&[]).await;
    let x = world.integration("x", &sample.spec).await.in_sync().await;
    let mut other = sample.stored.clone();
    other["password"] = "somebody-elses".into();
    world.project.replace_by_other(other);
    until("the password put back", || {
        world.project.stored_type("PROMETHEUS").filter(|s| s["password"] == sample.stored["password"])
    })
    .await;
    x.says("InSync", "True").await;
}

/// Observe releases, and before the status says so the object is managed again and an outsider has written: the old
/// `applied` proves nothing. No luck hits the moment between the two writes of a release, so it is made by hand: the
/// object as an operator leaves it that is killed between them.
#[tokio::test(flavor = "multi_thread")]
async fn trace_9_what_was_released_proves_nothing() {
    let world = World::with_datadog_key("trace-9").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    operator.stop().await;
    let released = json!({"metadata": {"finalizers": null, "annotations": {
        "atlas-integrations.dev/claim": null, "atlas-integrations.dev/released": "2026-11-24T12:00:00Z"}}});
    x.patch(&released).await;
    world.project.replace_by_other(foreign());
    let before = world.project.stored_type("DATADOG");
    let _next = world.operator(&[]).await;
    let object = x.reaches("False", "AlreadyExists").await;
    assert!(object["status"]["applied"].is_null(), "{object:#}");
    assert_eq!(world.project.stored_type("DATADOG"), before);
}

/// A copy with the original's status, told to adopt, in a namespace whose Secret of the same name has another key.
/// The original goes and is retained; the copy claims, and its operator is killed. The original's `applied` equals
/// what the copy wants, and is not the copy's.
#[tokio::test(flavor = "multi_thread")]
async fn trace_10_a_copied_status_confirms_nothing() {
    let first = World::with_datadog_key("trace-10").await;
    let second = World::with_project("trace-10-copy", first.project.id()).await;
    second.secret("keys", &[("api", TWO)]).await;
    let operator = first.operator(&[]).await;
    let x_of_first = first.integration("x", &datadog(json!({"deletionPolicy": "Retain"}))).await;
    let original = x_of_first.synced().await;
    x_of_first.delete().await;
    operator.stop().await;

    let copy = second.manifest("x", &datadog(json!({"adoptionPolicy": "Adopt"})));
    second.create(&copy).await;
    let x_of_second = second.object("x");
    x_of_second.set_status(&original["status"]).await;
    let a = second.old_leader(&[]).await;
    second.project.fault(Fault::new(Effect::Hold).at(Operation::Update));
    second.until_faulted(1).await;
    a.kill();
    let _b = second.new_leader(&[]).await;
    // What the copied status says of Ready is the original's.
    let confirmed = |object: &Value| {
        let (applied, attempt) = (&object["status"]["applied"], &object["status"]["attempt"]);
        applied["uid"] == object["metadata"]["uid"] && applied["attempt"] == attempt["id"]
    };
    x_of_second.until("confirmed as itself", confirmed).await;
    x_of_second.synced().await;
    assert_eq!(second.stored_datadog("apiKey"), TWO);
}

/// The older of two objects may not adopt, the younger may: the older one says why it has nothing, and does not
/// keep the younger one out.
#[tokio::test(flavor = "multi_thread")]
async fn trace_11_what_adoption_refuses_does_not_compete() {
    let world = World::with_datadog_key("trace-11").await;
    world.project.replace_by_other(foreign());
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    world.integration("y", &datadog(json!({"adoptionPolicy": "Adopt"}))).await.in_sync().await;
    assert_eq!(world.stored_datadog("apiKey"), ONE);
    x.reaches("False", "Conflict").await;
}

/// Suspended, then rotated: Ready must not say that all is well, since Atlas does not have the new key.
#[tokio::test(flavor = "multi_thread")]
async fn trace_13_a_rotation_while_suspended_is_owed() {
    let world = World::with_datadog_key("trace-13").await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    x.change(&json!({"suspend": true})).await;
    x.says("Suspended", "True").await;
    world.secret("keys", &[("api", TWO)]).await;
    x.reaches("False", "Suspended").await;
    assert_eq!(world.project.count(|e| Exchange::is_write(e) && e.method == "PUT"), 0);
    x.change(&json!({"suspend": false})).await.synced().await;
    assert_eq!(world.stored_datadog("apiKey"), TWO);
}
