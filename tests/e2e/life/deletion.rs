//! Deletion in every circumstance: the integration goes with its object, or the object says what it waits for and what
//! to run; and nothing is deleted in Atlas that should stay.

use std::sync::LazyLock;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Operation};
use control_plane::Options;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{
    Object, Operator, PRIVATE_KEY, PUBLIC_KEY, Shared, World, condition, message, new_project_id, own, rules,
    start, until,
};

const LET_GO: &str = "kubectl patch atlasintegration ";

/// DELETEs that Atlas carried out.
fn deleted(world: &World) -> usize {
    world.project.count(|e| e.is_write() && e.method == "DELETE" && e.status == 204)
}

/// Waits until a deletion waits for this reason; returns its message, checked for what every such message has.
async fn until_waiting(object: &Object<'_>, reason: &str) -> String {
    let waiting = |object: &Value| {
        condition(object, "Ready")["reason"] == reason && message(object).starts_with("deletion waits")
    };
    let message = message(&object.until(&format!("waiting for {reason}"), waiting).await);
    assert!(message.starts_with("deletion waits: ") && message.contains(LET_GO), "{message}");
    message
}

impl World {
    /// Runs the command that a message gives, as a shell would.
    fn run_what_it_says(&self, message: &str) {
        let begin = message.find(LET_GO).unwrap() + "kubectl ".len();
        let end = begin + message[begin..].find("}}'").unwrap() + "}}'".len();
        let args: Vec<&str> =
            message[begin..end].split_whitespace().map(|word| word.trim_matches('\'')).collect();
        self.shared.kubectl(&args);
    }
}

/// Deletions that can't go on say what to put right. Of two, one is let go by the command in its message; the other
/// goes on once the cause has gone.
#[rstest]
#[case::list_fails(
    "list-fails",
    Operation::List,
    Effect::ServerError,
    "AtlasUnavailable",
    "the operator looks again automatically"
)]
#[case::delete_fails("fails", Operation::Delete, Effect::Unavailable { retry_after: None }, "AtlasUnavailable", "the deletion may have taken effect")]
#[case::unauthorized(
    "401",
    Operation::List,
    Effect::Unauthorized,
    "Unauthorized",
    "check publicApiKey and privateApiKey in that Secret"
)]
#[case::read_only(
    "role",
    Operation::Delete,
    Effect::error(401, "USER_UNAUTHORIZED", "no"),
    "Unauthorized",
    "the role Project Owner"
)]
#[case::forbidden(
    "403",
    Operation::List,
    Effect::error(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", "IP address 10.0.0.1 is not allowed"),
    "Forbidden",
    "access list"
)]
#[case::list_limited("list-429", Operation::List, Effect::RateLimitedTokenBucket { retry_after: Some(1) }, "RateLimited", "limits the rate of requests")]
#[case::delete_limited("429", Operation::Delete, Effect::RateLimited { retry_after: Some(1) }, "RateLimited", "limits the rate of requests")]
#[case::not_atlas(
    "proxy",
    Operation::Delete,
    Effect::foreign_not_found(),
    "AtlasUnavailable",
    "proxies in between"
)]
#[case::long_words(
    "words",
    Operation::Delete,
    Effect::error(400, "UNEXPECTED_ERROR", LONG),
    "Rejected",
    "remove in Atlas what still uses the integration"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_deletion_says_what_to_do(
    #[case] name: &str,
    #[case] at: Operation,
    #[case] effect: Effect,
    #[case] reason: &str,
    #[case] remedy: &str,
) {
    let world = World::with_datadog_key(&format!("blocked-{name}")).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let microsoft_teams = world.sample("MICROSOFT_TEAMS").await.in_sync().await;
    world.project.fault(Fault::new(effect).at(at).always());
    if at == Operation::List {
        // A pass that listed before the fault would still delete.
        world.until_faulted(1).await;
    }
    for object in [&x, &microsoft_teams] {
        object.begin_deletion().await;
    }
    let message = until_waiting(&microsoft_teams, reason).await;
    assert!(message.contains(remedy) && message.chars().count() <= 2_048, "{message}");
    world.run_what_it_says(&message);
    microsoft_teams.gone().await;
    until_waiting(&x, reason).await;
    assert_eq!((world.project.stored().len(), deleted(&world)), (2, 0), "nothing is deleted meanwhile");
    world.project.clear_faults();
    x.gone().await;
    assert_eq!(world.project.stored_type("DATADOG"), None);
    assert!(world.project.stored_type("MICROSOFT_TEAMS").is_some(), "left in Atlas, as asked");
}

/// More of Atlas's words than a message takes.
const LONG: &str = {
    const BYTES: [u8; 3_000] = [b'a'; 3_000];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// Alert configurations use the webhook: Atlas refuses until they do no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_in_use() {
    let world = World::new("in-use").await;
    let _operator = world.operator(&[]).await;
    let webhook = world.sample("WEBHOOK").await.in_sync().await;
    world.project.settings(|settings| settings.webhook_notifications_present = true);
    webhook.begin_deletion().await;
    let message = until_waiting(&webhook, "Rejected").await;
    assert!(message.contains("alert configurations"), "{message}");
    world.project.settings(|settings| settings.webhook_notifications_present = false);
    webhook.gone().await;
    assert!(world.project.stored().is_empty());
}

/// The policy changes while a deletion waits: the object goes at once and the integration stays. A pause that Atlas
/// asked for, here of an hour, does not hold it up.
#[rstest]
#[case::retain("retain", json!({"deletionPolicy": "Retain"}))]
#[case::observe("observe", json!({"managementPolicy": "Observe"}))]
#[case::suspended("suspend", json!({"suspend": true}))]
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_changes_while_it_waits(#[case] name: &str, #[case] change: Value) {
    let world = World::with_datadog_key(&format!("waits-{name}")).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let limit = Effect::RateLimitedTokenBucket { retry_after: Some(3_600) };
    world.project.fault(Fault::new(limit).at(Operation::Delete));
    x.begin_deletion().await;
    until_waiting(&x, "RateLimited").await;
    x.change(&change).await;
    x.gone().await;
    assert!(world.project.stored_type("DATADOG").is_some());
    assert_eq!(
        world.project.count(|e| e.method == "DELETE" && e.authenticated),
        1,
        "the one that was limited"
    );
}

/// The project is gone, and the integration with it.
#[rstest]
#[case::seen_by_list("list", true)]
#[case::seen_by_delete("delete", false)]
#[tokio::test(flavor = "multi_thread")]
async fn the_project_is_gone(#[case] name: &str, #[case] by_list: bool) {
    let world = World::with_datadog_key(&format!("project-gone-{name}")).await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    if by_list {
        assert!(world.shared.sim.remove_project(world.project.id()));
    } else {
        let gone = Effect::error(404, "GROUP_NOT_FOUND", "No group with this ID exists");
        world.project.fault(Fault::new(gone).at(Operation::Delete));
    }
    x.delete().await;
}

/// Somebody deleted the integration in Atlas before.
#[tokio::test(flavor = "multi_thread")]
async fn the_integration_is_gone() {
    let world = World::with_datadog_key("gone").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.remove_by_other("DATADOG");
    x.delete().await;
    assert!(world.project.stored().is_empty());
}

/// The credentials Secret goes first, as it does when a namespace is deleted: the last good key serves the deletion.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_credentials_secret() {
    let world = World::with_datadog_key("no-credentials").await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.delete("Secret", "atlas").await;
    x.reaches("False", "SecretNotFound").await;
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// After a restart nobody remembers a key: the deletion waits for the Secret, or for Retain.
#[rstest]
#[case::restored("restored", true)]
#[case::let_go("let-go", false)]
#[tokio::test(flavor = "multi_thread")]
async fn without_the_credentials_secret_after_a_restart(#[case] name: &str, #[case] restored: bool) {
    let world = World::with_datadog_key(&format!("secret-{name}")).await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    operator.stop().await;
    world.delete("Secret", "atlas").await;
    x.begin_deletion().await;
    let _operator = world.operator(&[]).await;
    let message = until_waiting(&x, "SecretNotFound").await;
    assert!(message.contains("Secret atlas does not exist"), "{message}");
    if restored {
        world.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    } else {
        world.run_what_it_says(&message);
    }
    x.gone().await;
    assert_eq!(world.project.stored().is_empty(), restored);
}

/// Deleted while the operator is down: the finalizer waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_operator_is_down() {
    let world = World::with_datadog_key("down").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    operator.kill();
    x.begin_deletion().await;
    assert!(x.find().await.is_some());
    let _operator = world.operator(&[]).await;
    x.gone().await;
    assert!(world.project.stored().is_empty());
}

/// Killed between DELETE and the finalizer: the next life finds it gone and lets the object go.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_deletion() {
    let world = World::with_datadog_key("kill-delete").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Fault::new(Effect::AppliedThenHeld).at(Operation::Delete));
    x.begin_deletion().await;
    world.until_faulted(1).await;
    operator.kill();
    let _operator = world.operator(&[]).await;
    x.gone().await;
    assert!(world.project.stored().is_empty());
}

/// What never wrote holds nothing: it goes at once, whatever is broken, and no DELETE is sent.
#[rstest]
#[case::no_key("no-key", json!({"credentialsSecretRef": {"name": "typo"}}), None, "SecretNotFound")]
#[case::atlas_down("list", json!({}), Some((Operation::List, Effect::ServerError)), "AtlasUnavailable")]
#[case::refused("post", json!({}), Some((Operation::Create, Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no"))), "Rejected")]
#[tokio::test(flavor = "multi_thread")]
async fn before_it_ever_wrote(
    #[case] name: &str,
    #[case] extra: Value,
    #[case] fault: Option<(Operation, Effect)>,
    #[case] reason: &str,
) {
    let world = World::with_datadog_key(&format!("never-{name}")).await;
    if let Some((at, effect)) = fault {
        world.project.fault(Fault::new(effect).at(at).always());
    }
    let _operator = world.operator(&[]).await;
    let mut spec = samples::of("DATADOG").spec;
    samples::merge(&mut spec, &extra);
    let x = world.integration("x", &spec).await;
    x.reaches("False", reason).await;
    x.begin_deletion().await;
    assert!(x.find().await.is_none(), "it held no finalizer");
    assert_eq!(world.project.count(|e| e.is_write() && e.method == "DELETE"), 0);
}

/// The loser of a conflict goes at once, even while Atlas is down, and touches nothing of the winner's.
#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_conflict() {
    let world = World::with_datadog_key("loser").await;
    let _operator = world.operator(&[]).await;
    world.datadog("x").await.in_sync().await;
    let loser = world.datadog("loser").await;
    loser.reaches("False", "Conflict").await;
    world.project.fault(Fault::new(Effect::ServerError).always());
    loser.delete().await;
    world.project.clear_faults();
    assert_eq!(deleted(&world), 0);
    assert!(world.project.stored_type("DATADOG").is_some());
}

/// The kind itself is removed with objects in it, which deletes them all: they are released, and nothing is deleted
/// in Atlas.
#[tokio::test(flavor = "multi_thread")]
async fn the_kind_is_removed() {
    static OWN: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    let shared = own(&OWN).await;
    let world = World::on(shared, "crd", &new_project_id()).await;
    // With Roles alone it can't see that the kind goes, and deletes by each object's policy (docs/deletion.md).
    rules::install(&shared.plane, world.account(), &[]).await;
    let _operator = world.operator_with_rules_as_they_are(&[]).await.ready().await;
    let samples = samples::all();
    for sample in &samples {
        world.sample(sample.kind).await;
    }
    for sample in &samples {
        world.object(&sample.name()).synced().await;
    }
    let before = world.project.stored();
    world.shared.kubectl(&["delete", "crd", "atlasintegrations.atlas-integrations.dev", "--timeout", "90s"]);
    assert_eq!(world.project.stored(), before);
    assert_eq!(world.project.count(|e| e.method == "DELETE"), 0);
}

/// A control plane with the real controllers, which delete namespaces.
static NAMESPACES: LazyLock<Shared> =
    LazyLock::new(|| start(Options { controller_manager: true, ..Options::default() }));

impl World {
    /// Deletes the whole namespace while Atlas is in maintenance, so that the operator comes to its part only after
    /// the controller has taken `last` away.
    async fn delete_namespace_until_gone(&self, last: &[&str]) {
        self.project.settings(|settings| settings.maintenance = true);
        self.shared.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
        for what in last {
            self.shared.kubectl(&["wait", "--for=delete", what, "-n", &self.namespace, "--timeout", "90s"]);
        }
        self.project.settings(|settings| settings.maintenance = false);
    }

    fn until_namespace_gone(&self) {
        let namespace = format!("namespace/{}", self.namespace);
        self.shared.kubectl(&["wait", "--for=delete", &namespace, "--timeout", "120s"]);
    }
}

/// A namespace is deleted as a whole, with its Secrets: the operator deletes the integration with the last good key,
/// and the namespace goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_under_a_cluster_wide_operator() {
    let shared = own(&NAMESPACES).await;
    let world = World::on(shared, "namespace", &new_project_id()).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let account = ("atlas-integration-operator", "atlas-integration-operator");
    // Other tests' objects on this control plane are left alone.
    let flags = ["--selector", "operator=cluster-wide"];
    let _operator = Operator::start_as(&shared.plane, account, &shared.sim.url(), &flags).await.ready().await;
    let mut object = world.manifest("x", &samples::of("DATADOG").spec);
    object["metadata"]["labels"] = json!({"operator": "cluster-wide"});
    world.create(&object).await;
    world.object("x").synced().await;
    world.delete_namespace_until_gone(&["secret/atlas"]).await;
    world.until_namespace_gone();
    assert_eq!((world.project.stored().len(), deleted(&world)), (0, 1));
}

/// The same under an operator that has a Role in the namespace: the controller takes its RoleBinding away before its
/// finalizer is off. With `rbac.clusterFinalizers` the namespace goes all the same; without, it hangs until that is
/// granted, here by `deploy/cluster-finalizers.yaml`.
#[rstest]
#[case::with_the_cluster_role("with", true)]
#[case::without_it("without", false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_under_an_operator_with_a_role(#[case] name: &str, #[case] granted: bool) {
    let shared = own(&NAMESPACES).await;
    let world = World::on(shared, &format!("role-{name}"), &new_project_id()).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let home = format!("{}-operator", world.namespace);
    world.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}})).await;
    world
        .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "operator", "namespace": home}}))
        .await;
    let account = (home.as_str(), "operator");
    let flags = ["--watch-namespace", &world.namespace];
    rules::apply(&shared.plane, account, &rules::with_roles(account, &flags)).await;
    let apply = |text: &str| {
        tokio::task::block_in_place(|| shared.plane.kubectl_stdin(&["apply", "-f", "-"], text)).unwrap();
    };
    // The file as it is, for this test's operator.
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/cluster-finalizers.yaml"));
    let (rules, binding) = file.as_ref().unwrap().split_once("---\n").unwrap();
    let binding = binding
        .replace(
            "  name: atlas-integration-operator-finalizers\nroleRef",
            &format!("  name: {home}\nroleRef"),
        )
        .replace("name: atlas-integration-operator\n", "name: operator\n")
        .replace("namespace: atlas-integration-operator\n", &format!("namespace: {home}\n"));
    let grant = || apply(&format!("{rules}---\n{binding}"));
    if granted {
        grant();
    }
    let _operator = Operator::start_as(&shared.plane, account, &shared.sim.url(), &flags).await.ready().await;
    let x = world.datadog("x").await.in_sync().await;
    world.delete_namespace_until_gone(&[&format!("rolebinding/{home}-objects"), "secret/atlas"]).await;
    if !granted {
        let user = format!("system:serviceaccount:{home}:operator");
        until("the operator refused", || {
            let refused = shared.plane.audit().unwrap().into_iter().any(|event| {
                event.user == user && event.resource == "atlasintegrations" && event.code == 403
            });
            refused.then_some(())
        })
        .await;
        let remains = "--for=condition=NamespaceFinalizersRemaining";
        let namespace = format!("namespace/{}", world.namespace);
        world.shared.kubectl(&["wait", remains, &namespace, "--timeout", "90s"]);
        assert!(x.find().await.is_some(), "it hangs");
        assert_eq!((world.project.stored().len(), deleted(&world)), (1, 0));
        grant();
    }
    world.until_namespace_gone();
    assert_eq!((world.project.stored().len(), deleted(&world)), (0, 1));
}
