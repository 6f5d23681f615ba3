//! The operator's own credentials: for objects that name none, and for no project but those that their Namespace is
//! granted by its annotation. The operator runs in a namespace of its own, apart from its tenants'.

use atlas_integration_stage::samples::{self, datadog, merge};
use atlas_sim::{Exchange, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::helm::documents;
use crate::world::{Operator, World, condition, message, rules, until};

const PUBLIC: &str = "platform";
const PRIVATE: &str = "8f0d7c52-canaryPRIVATE-platform";
const ROTATED: &str = "8f0d7c52-canaryPRIVATE-rotated";
const LONG: &[&str] = &["--resync-interval", "1h"];

/// How the operator may look at its tenants.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    /// All namespaces: Namespaces are watched.
    Cluster,
    /// Only those of the tenants: a Namespace is read when it matters, the operator's own Secret has a watch apart.
    Listed,
}

/// A tenant's world, and the one in which the operator runs.
struct Platform {
    home: World,
    tenant: World,
    scope: Scope,
    selector: String,
}

impl Platform {
    async fn new(name: &str, scope: Scope) -> Platform {
        let name = format!("{name}-{scope:?}").to_lowercase();
        let tenant = World::with_datadog_key(&name).await;
        tenant.project.allow_key(PUBLIC, PRIVATE);
        // The operator's own key is the only one that opens the project.
        tenant.project.revoke_key(crate::world::PUBLIC_KEY);
        let home = World::new(&format!("{name}-home")).await;
        home.secret("own-key", &[("publicApiKey", PUBLIC), ("privateApiKey", PRIVATE)]).await;
        let selector = format!("tenant={}", tenant.namespace);
        Platform { home, tenant, scope, selector }
    }

    /// Starts the operator with its own credentials. `--operator-namespace` is left to what the kubeconfig says.
    async fn operator(&self, flags: &[&str]) -> Operator {
        self.operator_without_credentials(&[&["--credentials-secret", "own-key"], flags].concat()).await
    }

    async fn operator_without_credentials(&self, flags: &[&str]) -> Operator {
        Operator::start_elsewhere(&self.home, &self.scope(), flags).await
    }

    /// The same as [`Platform::operator`] with what rules the test gave it.
    async fn operator_with_rules_as_they_are(&self) -> Operator {
        let shared = self.home.shared;
        let flags = [&self.scope()[..], &["--credentials-secret", "own-key"]].concat();
        let operator =
            Operator::start_as(&shared.plane, self.home.account(), &shared.sim.url(), &flags).await;
        operator.until_ready().await;
        operator
    }

    /// The flags that say what is watched.
    fn scope(&self) -> [&str; 2] {
        match self.scope {
            Scope::Cluster => ["--selector", &self.selector],
            Scope::Listed => ["--watch-namespace", &self.tenant.namespace],
        }
    }

    /// With listed namespaces a grant is seen at the next resync.
    fn resync(&self) -> &'static [&'static str] {
        match self.scope {
            Scope::Cluster => LONG,
            Scope::Listed => &["--resync-interval", "1s"],
        }
    }

    /// An object that names no credentials.
    fn object(&self, world: &World, change: &Value) -> Value {
        let mut object = world.manifest("x", &datadog(change.clone()));
        merge(&mut object["spec"], &json!({"credentialsSecretRef": null}));
        object["metadata"]["labels"] = json!({"tenant": self.tenant.namespace});
        object
    }

    async fn create(&self) {
        self.tenant.create(&self.object(&self.tenant, &json!({}))).await;
    }

    fn project_id(&self) -> &str {
        self.tenant.project.id()
    }

    /// No message says where the operator's own Secret is.
    fn assert_discreet(&self, object: &Value) {
        let text = object.to_string();
        assert!(!text.contains(&self.home.namespace) && !text.contains("own-key"), "{text}");
    }
}

/// Granted, withdrawn and granted again, with nobody touching the object: what is not granted costs Atlas no call.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_granted_projects(#[values(Scope::Cluster, Scope::Listed)] scope: Scope) {
    let platform = Platform::new("granted", scope).await;
    let world = &platform.tenant;
    let operator = platform.operator(platform.resync()).await;
    platform.create().await;
    let x = world.object("x");
    let object = x.reaches("False", "ProjectNotAllowed").await;
    let said = message(&object);
    assert!(
        said.contains("atlas-integrations.dev/project-ids") && said.contains(platform.project_id()),
        "{said}"
    );
    platform.assert_discreet(&object);
    // Others' projects, and what is no id, grant nothing.
    let upper = platform.project_id().to_uppercase();
    world.grant(Some(&format!("{} {upper} * {}0", platform.home.project.id(), platform.project_id()))).await;
    let edit = |region: &str| json!({"datadog": {"region": region}});
    x.change(&edit("EU")).await.reaches("False", "ProjectNotAllowed").await;
    assert_eq!(world.project.exchanges().len(), 0, "not even a LIST");

    world.grant(Some(&format!("{},\n{}", platform.home.project.id(), platform.project_id()))).await;
    x.synced().await;
    let others = world.project.count(|e| e.credential.as_deref().is_some_and(|key| key != PUBLIC));
    assert_eq!(others, 0, "all calls are the operator's own");

    world.grant(None).await;
    let object = x.reaches("False", "ProjectNotAllowed").await;
    assert!(!object["status"]["applied"].is_null(), "what is ours stays ours: {object:#}");
    let (calls, stored) = (world.project.exchanges().len(), world.project.stored());
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    x.change(&edit("US3")).await.reaches("False", "ProjectNotAllowed").await;
    assert_eq!(world.project.exchanges().len(), calls, "withdrawn: no call");
    assert_eq!(world.project.stored(), stored, "withdrawing deletes nothing");

    world.grant(Some(platform.project_id())).await;
    x.synced().await;
    let now = world.project.stored_type("DATADOG").unwrap();
    assert_eq!(
        (now["region"].as_str(), now["apiKey"].as_str()),
        (Some("US3"), Some("fedcba9876543210fedcba9876540009"))
    );
    assert!(!operator.logs().contains("canaryPRIVATE"));
}

/// Nothing that depends on the operator's own credentials is stored where a tenant reads it, so that no tenant can check
/// guesses at them. The price: after a restart a touched Secret costs one write.
#[tokio::test(flavor = "multi_thread")]
async fn no_fingerprint_under_the_operators_own_credentials() {
    let platform = Platform::new("no-print", Scope::Cluster).await;
    let world = &platform.tenant;
    let operator = platform.operator(LONG).await;
    world.grant(Some(platform.project_id())).await;
    platform.create().await;
    let x = world.object("x");
    let object = x.synced().await;
    assert!(object["status"]["applied"]["attempt"].is_string(), "{object:#}");
    assert!(object["status"]["applied"]["fingerprint"].is_null(), "{object:#}");
    let touch = async |label: &str| {
        world.patch("Secret", "keys", &json!({"metadata": {"labels": {"team": label}}})).await;
        x.recorded("keys").await
    };
    touch("a").await;
    assert_eq!(world.atlas_writes(), ["POST"], "the process knows the value");
    operator.stop().await;
    let _operator = platform.operator(LONG).await;
    let object = touch("b").await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
    assert!(object["status"]["applied"]["fingerprint"].is_null(), "{object:#}");
}

/// Deleting needs the grant as well; without it the object waits, and says what to do.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn deletion_of_what_is_not_granted_any_more(
    #[values(Scope::Cluster, Scope::Listed)] scope: Scope,
    #[values("grant", "retain")] way: &str,
) {
    let platform = Platform::new(&format!("ungranted-{way}"), scope).await;
    let world = &platform.tenant;
    let _operator = platform.operator(platform.resync()).await;
    world.grant(Some(platform.project_id())).await;
    platform.create().await;
    let x = world.object("x");
    x.synced().await;
    world.grant(None).await;
    x.reaches("False", "ProjectNotAllowed").await;
    let calls = world.project.exchanges().len();
    x.begin_deletion().await;
    let waits = |object: &Value| message(object).starts_with("deletion waits");
    let object = x.until("waiting", waits).await;
    assert_eq!(condition(&object, "Ready")["reason"], "ProjectNotAllowed");
    let said = message(&object);
    assert!(said.contains("no longer granted the project") && said.contains("kubectl patch"), "{said}");
    if way == "grant" {
        assert_eq!(world.project.exchanges().len(), calls, "no call");
        world.grant(Some(platform.project_id())).await;
        x.gone().await;
        assert!(world.project.stored().is_empty(), "no orphan");
    } else {
        x.change(&json!({"deletionPolicy": "Retain"})).await;
        x.gone().await;
        assert_eq!(world.project.exchanges().len(), calls, "no call");
        assert_eq!(world.project.stored().len(), 1);
    }
}

/// What never reached Atlas goes at once.
#[tokio::test(flavor = "multi_thread")]
async fn deletion_of_what_was_never_granted() {
    let platform = Platform::new("never", Scope::Cluster).await;
    let world = &platform.tenant;
    let _operator = platform.operator(LONG).await;
    platform.create().await;
    let x = world.object("x");
    x.reaches("False", "ProjectNotAllowed").await;
    x.delete().await;
    assert_eq!(world.project.exchanges().len(), 0);
}

/// A Namespace that is being deleted still has its annotation.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn deletion_with_the_namespace(#[values(Scope::Cluster, Scope::Listed)] scope: Scope) {
    let platform = Platform::new("terminating", scope).await;
    let world = &platform.tenant;
    let _operator = platform.operator(LONG).await;
    world.grant(Some(platform.project_id())).await;
    platform.create().await;
    let x = world.object("x");
    x.synced().await;
    let delete = ["delete", "namespace", &world.namespace, "--wait=false"];
    tokio::task::block_in_place(|| world.shared.plane.kubectl(&delete)).unwrap();
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// A rotation of the operator's own key is seen at once, and writes nothing.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rotation(#[values(Scope::Cluster, Scope::Listed)] scope: Scope) {
    let platform = Platform::new("rotation", scope).await;
    let world = &platform.tenant;
    let operator = platform.operator(&["--resync-interval", rules::rare_resync()]).await;
    world.grant(Some(platform.project_id())).await;
    platform.create().await;
    let x = world.object("x");
    let before = x.synced().await;
    let (calls, writes) = (world.project.exchanges().len(), world.project.count(Exchange::is_write));
    world.project.allow_key(PUBLIC, ROTATED);
    platform.home.secret("own-key", &[("publicApiKey", PUBLIC), ("privateApiKey", ROTATED)]).await;
    until("a LIST with the rotated key", || {
        let exchanges = world.project.exchanges();
        exchanges[calls..]
            .iter()
            .any(|e| e.operation == Some(Operation::List) && e.status == 200)
            .then_some(())
    })
    .await;
    // Another cause for a pass shows that the first one left all as it was.
    x.annotate("reconcile-requested-at", "1").await;
    let after = x.until("looked at", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    assert_eq!(world.project.count(Exchange::is_write), writes);
    assert_eq!(after["status"]["applied"], before["status"]["applied"]);
    assert_eq!(
        condition(&after, "Ready")["lastTransitionTime"],
        condition(&before, "Ready")["lastTransitionTime"]
    );
    assert!(!operator.logs().contains("canaryPRIVATE"));
}

/// The operator's own Secret is missing or wrong: the object says no more than that, the log says all, and the object
/// goes on at once when it is mended.
#[rstest]
#[case::missing("missing", None, "SecretNotFound")]
#[case::half("half", Some(vec![("publicApiKey", PUBLIC)]), "SecretKeyMissing")]
#[case::names("names", Some(vec![("publicKey", PUBLIC), ("privateKey", PRIVATE)]), "SecretKeyMissing")]
#[case::spaces("spaces", Some(vec![("publicApiKey", PUBLIC), ("privateApiKey", "8f0d7c52-canaryPRIVATE-platform ")]), "SecretKeyInvalid")]
#[case::wrong("wrong", Some(vec![("publicApiKey", PUBLIC), ("privateApiKey", "not-the-canaryPRIVATE")]), "Unauthorized")]
#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials(
    #[case] name: &str,
    #[case] first: Option<Vec<(&str, &str)>>,
    #[case] reason: &str,
    #[values(Scope::Cluster, Scope::Listed)] scope: Scope,
) {
    let platform = Platform::new(&format!("own-{name}"), scope).await;
    let world = &platform.tenant;
    platform.home.delete("Secret", "own-key").await;
    if let Some(values) = &first {
        platform.home.secret("own-key", values).await;
    }
    let operator = platform.operator(&["--resync-interval", rules::rare_resync()]).await;
    world.grant(Some(platform.project_id())).await;
    platform.create().await;
    let x = world.object("x");
    let object = x.reaches("False", reason).await;
    platform.assert_discreet(&object);
    if reason != "Unauthorized" {
        assert!(message(&object).contains("--credentials-secret"), "{}", message(&object));
        let secret = format!("{}/own-key", platform.home.namespace);
        let cause = match (name, reason) {
            ("names", _) => "needs the keys publicApiKey and privateApiKey (an API key)",
            ("spaces", _) => "key privateApiKey of Secret own-key ends with a space",
            (_, "SecretNotFound") => "create it, and the operator continues automatically\"",
            _ => "Secret own-key has no key privateApiKey; it has: publicApiKey; add the key\"",
        };
        let logs = operator.logs();
        assert!(logs.contains(&secret) && logs.contains(cause) && !logs.contains("canaryPRIVATE"), "{logs}");
        // It was found at the start, and again in the pass.
        assert_eq!(logs.matches("--credentials-secret can't be used").count(), 1, "said once: {logs}");
    }
    platform.home.secret("own-key", &[("publicApiKey", PUBLIC), ("privateApiKey", PRIVATE)]).await;
    x.synced().await;

    // Gone again: the last good key serves the deletion.
    platform.home.delete("Secret", "own-key").await;
    x.reaches("False", "SecretNotFound").await;
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// An operator without credentials of its own says so, and never lets go of what it made with them.
#[tokio::test(flavor = "multi_thread")]
async fn without_own_credentials() {
    let platform = Platform::new("without", Scope::Listed).await;
    let world = &platform.tenant;
    world.grant(Some(platform.project_id())).await;
    let operator = platform.operator_without_credentials(LONG).await;
    platform.create().await;
    let x = world.object("x");
    let object = x.reaches("False", "InvalidSpec").await;
    let said = message(&object);
    assert!(
        said.contains("credentialsSecretRef is missing") && said.contains("--credentials-secret"),
        "{said}"
    );
    assert_eq!(condition(&object, "Stalled")["status"], "True", "nothing goes on by itself");
    assert_eq!(world.project.exchanges().len(), 0);
    operator.stop().await;

    let operator = platform.operator(LONG).await;
    x.synced().await;
    operator.stop().await;

    let operator = platform.operator_without_credentials(LONG).await;
    x.begin_deletion().await;
    x.deletion_waits().await;
    assert_eq!(world.project.stored().len(), 1);
    operator.stop().await;

    let _operator = platform.operator(LONG).await;
    x.gone().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// One tenant is granted the project, another names it all the same: no call, no echo, nothing in Atlas. With a key
/// of its own it needs no grant.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_for_one_namespace(#[values(Scope::Cluster, Scope::Listed)] scope: Scope) {
    let platform = Platform::new("grants", scope).await;
    let world = &platform.tenant;
    let stranger =
        World::with_project(&format!("stranger-{scope:?}").to_lowercase(), platform.project_id()).await;
    stranger.project.revoke_key(crate::world::PUBLIC_KEY);
    stranger.secret("keys", &samples::of("OPS_GENIE").secrets).await;
    stranger.grant(Some(platform.home.project.id())).await;
    world.grant(Some(platform.project_id())).await;
    let watch = ["--watch-namespace", stranger.namespace.as_str()];
    let flags = if scope == Scope::Listed { [LONG, &watch].concat() } else { LONG.to_vec() };
    let _operator = platform.operator(&flags).await;
    platform.create().await;
    world.object("x").synced().await;
    let calls = world.project.exchanges().len();

    // The same integration to look at, and another one to create.
    let mut spying = platform.object(&stranger, &json!({"managementPolicy": "Observe"}));
    spying["metadata"]["name"] = "spying".into();
    stranger.create(&spying).await;
    let mut creating = spying.clone();
    creating["metadata"]["name"] = "creating".into();
    creating["spec"] = samples::of("OPS_GENIE").spec;
    creating["spec"]["projectId"] = platform.project_id().into();
    stranger.create(&creating).await;
    for name in ["spying", "creating"] {
        let object = stranger.object(name).reaches("False", "ProjectNotAllowed").await;
        assert!(object["status"]["integration"].is_null(), "{object:#}");
        assert!(!object["status"].to_string().contains(&world.namespace), "{object:#}");
    }
    // Passes on their account list for the tenant that may, and for nobody else.
    let passes = world.project.exchanges().split_off(calls);
    assert!(passes.iter().all(|e| e.operation == Some(Operation::List)), "{passes:#?}");
    assert_eq!(world.project.stored().len(), 1);

    stranger.project.allow_key("stranger", "8f0d7c52-canaryPRIVATE-stranger");
    stranger
        .secret(
            "atlas",
            &[("publicApiKey", "stranger"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-stranger")],
        )
        .await;
    stranger.object("creating").change(&json!({"credentialsSecretRef": {"name": "atlas"}})).await;
    stranger.object("creating").synced().await;
    stranger.object("spying").reaches("False", "ProjectNotAllowed").await;
    let by = |kind: &str| {
        let exchanges = world.project.exchanges();
        let write =
            exchanges.into_iter().find(|e| e.is_write() && e.integration_type.as_deref() == Some(kind));
        write.and_then(|e| e.credential)
    };
    assert_eq!(by("OPS_GENIE").as_deref(), Some("stranger"));
    assert_eq!(by("DATADOG").as_deref(), Some(PUBLIC));
}

/// May it read Namespaces and not watch them, the operator starts all the same, and reads.
#[tokio::test(flavor = "multi_thread")]
async fn without_leave_to_watch_namespaces() {
    let platform = Platform::new("unwatched", Scope::Cluster).await;
    let (world, account) = (&platform.tenant, platform.home.account());
    let rules = rules::of(account, &["--credentials-secret", "own-key"]);
    let rules = rules::with_verbs(rules, "namespaces", &["get"]);
    rules::apply(&world.shared.plane, account, &rules).await;
    let operator = platform.operator_with_rules_as_they_are().await;
    assert!(operator.logs().contains("watch of Namespaces"), "refused: {}", operator.logs());
    platform.create().await;
    let x = world.object("x");
    x.reaches("False", "ProjectNotAllowed").await;
    world.grant(Some(platform.project_id())).await;
    x.synced().await;
    world.grant(None).await;
    x.reaches("False", "ProjectNotAllowed").await;
}

/// The Roles of docs/tenancy.md, for these namespaces and this operator.
fn documented_roles(tenant: &str, home: &str) -> String {
    let text = include_str!("../../../docs/tenancy.md");
    let (_, section) = text.split_once("\n## One operator for each tenant\n").unwrap();
    let (_, rest) = section.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let account = "name: atlas-integration-operator, namespace: atlas-integration-operator";
    assert_eq!(yaml.matches(account).count(), 2);
    yaml.replace(account, &format!("name: operator, namespace: {home}"))
        .replace("namespace: atlas-integration-operator", &format!("namespace: {home}"))
        .replace("payments", tenant)
        .replace("[atlas]", "[own-key]")
}

/// The least that an operator of listed namespaces needs: Roles in them, and a Role for the one Secret in its own.
#[tokio::test(flavor = "multi_thread")]
async fn with_roles_only() {
    let platform = Platform::new("roles", Scope::Listed).await;
    let world = &platform.tenant;
    let (tenant, home) = (&world.namespace, &platform.home.namespace);
    let plane = &world.shared.plane;
    let roles = documents(&documented_roles(tenant, home));
    rules::apply(plane, platform.home.account(), &roles).await;
    let operator = platform.operator_with_rules_as_they_are().await;
    platform.create().await;
    let x = world.object("x");
    x.reaches("False", "ProjectNotAllowed").await;
    world.grant(Some(platform.project_id())).await;
    x.synced().await;
    let calls = world.project.exchanges().len();
    world.project.allow_key(PUBLIC, ROTATED);
    platform.home.secret("own-key", &[("publicApiKey", PUBLIC), ("privateApiKey", ROTATED)]).await;
    until("a LIST with the rotated key", || {
        let exchanges = world.project.exchanges();
        exchanges[calls..].iter().any(|e| e.status == 401).then_some(())?;
        exchanges.last().filter(|e| e.status == 200).map(|_| ())
    })
    .await;
    x.delete().await;
    assert!(world.project.stored().is_empty());
    assert!(!operator.logs().contains("watch of Secrets"), "every watch is allowed: {}", operator.logs());

    // Not even get on the Namespace: it says so.
    platform.create().await;
    x.synced().await;
    let without = json!([{"op": "remove", "path": "/rules/4"}]).to_string();
    tokio::task::block_in_place(|| {
        plane.kubectl(&[
            "patch",
            "role",
            "atlas-integrations",
            "--namespace",
            tenant,
            "--type=json",
            "-p",
            &without,
        ])
    })
    .unwrap();
    let object = x.reaches("False", "ProjectNotAllowed").await;
    assert!(message(&object).contains("not allowed to read the Namespace"), "{}", message(&object));
}
