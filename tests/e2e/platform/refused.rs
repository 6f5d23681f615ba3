//! What the cluster does not let the operator do: writes that an admission policy refuses, and namespaces that it may
//! not list. Whoever meets it is told, nobody else notices, and it ends when it is allowed.

use atlas_integration_stage::samples::datadog;
use jiff::{SignedDuration, Timestamp};
use kube::api::DeleteParams;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, World, condition, message, rules, until, until_found, until_true};

impl World {
    /// Lets an admission policy refuse what the operator updates of these resources, and waits until it does. Returns
    /// the name of the policy.
    async fn forbid(&self, resources: &[&str]) -> String {
        self.forbid_unless(resources, "false").await
    }

    /// The same for updates for which this expression is false.
    async fn forbid_unless(&self, resources: &[&str], allowed: &str) -> String {
        let name = format!("deny-{}", self.namespace);
        let version = "admissionregistration.k8s.io/v1";
        let of_operator = format!(
            "request.namespace == '{}' && request.userInfo.username == '{}'",
            self.namespace,
            self.operator_user()
        );
        self.create(&json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name}, "spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": ["atlas-integrations.dev"],
                    "apiVersions": ["*"], "operations": ["UPDATE"], "resources": resources}]},
                "matchConditions": [{"name": "of-the-operator", "expression": of_operator}],
                "validations": [{"expression": allowed, "message": "no robots here"}]}}))
            .await;
        self.create(&json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}))
            .await;
        // As the operator would, without a change.
        if self.object("probe").find().await.is_none() {
            self.integration("probe", &datadog(json!({"suspend": true}))).await;
        }
        let user = self.operator_user();
        let dry_run = ["--overwrite", "--dry-run=server", "--as", &user, "-n", &self.namespace];
        let annotate = [&["annotate", "atlasintegration", "probe", "a=b"], &dry_run[..]].concat();
        let refuses = |error: &control_plane::Error| error.to_string().contains("no robots here");
        until("the policy", || self.shared.try_kubectl(&annotate).err().filter(refuses)).await;
        name
    }

    /// Takes that policy back.
    async fn allow(&self, policy: &str) {
        for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
            self.api(kind, None).delete(policy, &DeleteParams::default()).await.unwrap();
        }
    }
}

/// The operator may write nothing into an object. It is seen nowhere but in an Event, once for all retries.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_tells_what_the_status_can_not() {
    let world = World::with_datadog_key("refused-all").await;
    let operator = world.operator(&[]).await;
    let policy = world.forbid(&["atlasintegrations", "atlasintegrations/status"]).await;
    let x = world.datadog("x").await;
    let told = async || {
        let events = world.list("Event").await.into_iter();
        let of_x = |event: &Value| event["reason"] == "WriteRefused" && event["regarding"]["name"] == "x";
        Some(events.filter(of_x).collect::<Vec<_>>()).filter(|events| !events.is_empty())
    };
    let events = until_found("an Event", told).await;
    let note = events[0]["note"].as_str().unwrap();
    for part in ["does not let the operator store", &policy, "no robots here", "retries automatically"] {
        assert!(note.contains(part), "{part}: {note}");
    }
    assert_eq!(events[0]["type"], "Warning");
    let x_itself = format!("{}/x", world.namespace);
    let refused = |line: &&str| line.contains("a call to the API server failed") && line.contains(&x_itself);
    until_true("more refusals", || operator.logs().lines().filter(refused).count() >= 4).await;
    assert_eq!(until_found("the Event", told).await.len(), 1, "once for each cause");
    assert_eq!(x.get().await["status"]["observedGeneration"], -1, "as if nobody had seen it");
    assert!(world.atlas_writes().is_empty());
    world.allow(&policy).await;
    x.synced().await;
    assert_eq!(world.atlas_writes(), ["POST"]);
}

/// Only the claim is refused: the status says so.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_that_the_claim_is_refused() {
    let world = World::with_datadog_key("refused-claim").await;
    let _operator = world.operator(&[]).await;
    let policy = world.forbid(&["atlasintegrations"]).await;
    let x = world.datadog("x").await;
    let object = x.reaches("False", "WriteRefused").await;
    let told = message(&object);
    for part in ["store its claim", &policy, "no robots here", "retries automatically"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    assert!(world.atlas_writes().is_empty());
    world.allow(&policy).await;
    x.synced().await;
    // It may not let the object go either, and says that too.
    let policy = world.forbid(&["atlasintegrations"]).await;
    x.begin_deletion().await;
    let object = x.deletion_waits().await;
    assert!(message(&object).contains("store this object without its claim"), "{object:#}");
    world.allow(&policy).await;
    x.gone().await;
    assert_eq!(world.atlas_writes(), ["POST", "DELETE"], "it is deleted once");
}

/// Atlas has confirmed a write, and the API server refuses the status that says so. The write is not repeated, since that
/// would only give the integration another id: the operator tries to store the status until it may.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_write_is_not_repeated() {
    let world = World::with_datadog_key("refused-status").await;
    let operator = world.operator(&["--atlas-timeout", "2s"]).await;
    let x = world.datadog("x").await.in_sync().await;
    let same = "object.metadata.name != 'probe' && object.status.applied == oldObject.status.applied";
    let policy = world.forbid_unless(&["atlasintegrations", "atlasintegrations/status"], same).await;
    x.change(&json!({"datadog": {"region": "EU"}})).await.reaches("False", "WriteRefused").await;
    let x_itself = format!("{}/x", world.namespace);
    let refused = |line: &&str| line.contains("a call to the API server failed") && line.contains(&x_itself);
    until_true("more refusals", || operator.logs().lines().filter(refused).count() >= 4).await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
    world.allow(&policy).await;
    x.synced().await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
    // Another write does not wait for the status of the last one.
    let policy = world.forbid_unless(&["atlasintegrations", "atlasintegrations/status"], same).await;
    x.change(&json!({"datadog": {"region": "US3"}})).await.reaches("False", "WriteRefused").await;
    x.change(&json!({"datadog": {"region": "US5"}})).await;
    world.until_stored("region", "US5").await;
    world.allow(&policy).await;
    x.synced().await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT", "PUT", "PUT"]);
}

/// Of two namespaces the operator may list one. The objects of that one are served as if the other did not exist, also
/// after a restart and with leader election. The other is served once it is allowed, without a restart.
#[rstest]
#[case::alone("alone", &[])]
#[case::elected("elected", &["--leader-elect"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_may_not_be_listed(#[case] name: &str, #[case] flags: &[&str]) {
    let a = World::with_datadog_key(&format!("listed-{name}")).await;
    let b = World::with_datadog_key(&format!("unlisted-{name}")).await;
    let (plane, atlas) = (&a.shared.plane, a.shared.sim.url());
    let scope = ["--watch-namespace", &a.namespace, "--watch-namespace", &b.namespace];
    let flags = [&scope, flags].concat();
    let (of_b, others): (Vec<Value>, Vec<Value>) = rules::with_roles(a.account(), &flags)
        .into_iter()
        .partition(|rule| rule["metadata"]["namespace"] == b.namespace);
    assert!(!of_b.is_empty());
    rules::apply(plane, a.account(), &others).await;
    let start = async || Operator::start_as(plane, a.account(), &atlas, &flags).await.ready().await;
    let operator = start().await;
    let x = a.datadog("x").await.in_sync().await;
    let y = b.datadog("y").await;
    assert_eq!(operator.metric("atlas_integration_namespaces_unlisted").await, 1);
    // It also starts so where there is something to do, and a Secret of the listed namespace is watched.
    operator.stop().await;
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    let restarted = Timestamp::now();
    let operator = start().await;
    x.synced().await;
    a.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    a.until_stored("apiKey", "fedcba9876543210fedcba9876540009").await;
    assert_eq!(b.project.exchanges().len(), 0, "nobody looked at the other namespace");
    let refused = || -> Vec<Timestamp> {
        let lists = a.requests().into_iter().filter(|r| r.resource == "atlasintegrations" && r.code == 403);
        lists.map(|r| r.received.parse().unwrap()).filter(|at| *at > restarted).collect()
    };
    let tries = until("further refusals", || Some(refused()).filter(|tries| tries.len() > 4)).await;
    // Twice as long each time, from four fifths of a second on.
    assert!(tries[4].duration_since(tries[0]) >= SignedDuration::from_secs(10), "{tries:?}");
    let logs = operator.logs();
    let told = logs.lines().filter(|line| line.contains("WARN") && line.contains(&b.namespace));
    assert_eq!(told.filter(|line| line.contains("AtlasIntegration objects")).count(), 1, "{logs}");

    rules::apply(plane, a.account(), &of_b).await;
    y.synced().await;
    assert_eq!(operator.metric("atlas_integration_namespaces_unlisted").await, 0);
    b.secret("keys", &[("api", "fedcba9876543210fedcba9876540008")]).await;
    b.until_stored("apiKey", "fedcba9876543210fedcba9876540008").await;
    x.change(&json!({"datadog": {"region": "US3"}})).await.synced().await;
}

/// The objects of a namespace may not be listed when the operator starts, while its Secrets may, so these are listed
/// first and none is remembered. A suspended object whose Secret changed meanwhile says all the same that a write is due.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_listed_before_its_suspended_object() {
    let world = World::with_datadog_key("listed-first").await;
    let other = World::new("listed-beside").await;
    let flags = ["--watch-namespace", &other.namespace, "--watch-namespace", &world.namespace];
    let (plane, atlas) = (&world.shared.plane, world.shared.sim.url());
    let (allowed, others): (Vec<Value>, Vec<Value>) = rules::with_roles(world.account(), &flags)
        .into_iter()
        .partition(|rule| rule["metadata"]["namespace"] == world.namespace);
    let refused = rules::with_verbs(allowed.clone(), "atlasintegrations", &["get", "patch"]);
    let start = async || Operator::start_as(plane, world.account(), &atlas, &flags).await.ready().await;
    for rules in [&others, &allowed] {
        rules::apply(plane, world.account(), rules).await;
    }
    let operator = start().await;
    let x = world.datadog("x").await.in_sync().await;
    x.change(&json!({"suspend": true})).await.says("Suspended", "True").await;
    x.reaches("True", "Synced").await;
    operator.stop().await;
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    rules::apply(plane, world.account(), &refused).await;
    let operator = start().await;
    assert_eq!(operator.metric("atlas_integration_namespaces_unlisted").await, 1);

    rules::apply(plane, world.account(), &allowed).await;
    x.reaches("False", "Suspended").await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    x.change(&json!({"suspend": false})).await.synced().await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
}
