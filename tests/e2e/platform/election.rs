//! Several replicas, one of which acts: whoever holds the Lease.

use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Operation};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::proxy::{self, At, Proxy, Request, Side};
use crate::world::{Operator, World, rules, until_found, until_true};

const LEASE: &str = "atlas-integration-operator";
const DURATION: SignedDuration = SignedDuration::from_secs(6);
const ATLAS_LIMIT: SignedDuration = SignedDuration::from_secs(2);
/// Short enough to wait for their end, long enough for a busy machine.
const TIMES: [&str; 8] = [
    "--leader-election-lease-duration=6s",
    "--leader-election-renew-deadline=4s",
    "--leader-election-retry-period=300ms",
    "--atlas-timeout",
    "2s",
    "--leader-elect",
    "--log-level",
    "debug",
];

impl World {
    /// Starts a replica and waits until it is ready.
    async fn replica(&self) -> Operator {
        self.operator(&TIMES).await
    }

    /// Creates the Lease as somebody left it.
    async fn leave_lease(&self, spec: &Value) {
        let metadata = json!({"name": LEASE, "namespace": self.namespace});
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": spec});
        self.create(&lease).await;
    }

    async fn lease(&self) -> Value {
        self.get("Lease", LEASE).await.unwrap()["spec"].clone()
    }

    /// Waits until the Lease is this one's.
    async fn until_led_by(&self, operator: &Operator) -> Value {
        let name = format!("{}_", operator.instance());
        until_found("another leader", || async {
            let lease = self.get("Lease", LEASE).await?["spec"].clone();
            lease["holderIdentity"].as_str()?.starts_with(&name).then_some(lease)
        })
        .await
    }

    async fn move_to(&self, region: &str) {
        self.object("x").change(&json!({"datadog": {"region": region}})).await;
    }

    /// Waits until the object and Atlas say so.
    async fn until_in(&self, region: &str) {
        self.object("x").synced().await;
        assert_eq!(self.stored_datadog("region"), region);
        assert_eq!(self.project.stored().len(), 1);
    }

    /// When each call came, from the `from`th on.
    fn calls_from(&self, from: usize) -> Vec<Timestamp> {
        self.project.exchanges()[from..].iter().map(|e| Timestamp::try_from(e.time).unwrap()).collect()
    }
}

fn time(lease: &Value, field: &str) -> Timestamp {
    lease[field].as_str().unwrap().parse().unwrap()
}

/// How many writes it sent to Atlas.
async fn writes_of(operator: &Operator) -> usize {
    let mut count = 0;
    for operation in ["POST", "PUT", "DELETE"] {
        count += operator
            .metric(&format!("atlas_integration_atlas_requests_total{{operation=\"{operation}\""))
            .await;
    }
    usize::try_from(count).unwrap()
}

async fn leads(operator: &Operator) -> bool {
    operator.metric("atlas_integration_leader").await == 1
}

/// Of two or three one acts. The others are ready, send nothing to Atlas, and write no object.
#[rstest]
#[case::of_two("two", 2)]
#[case::of_three("three", 3)]
#[tokio::test(flavor = "multi_thread")]
async fn only_one_replica_acts(#[case] name: &str, #[case] count: usize) {
    let world = World::with_datadog_key(&format!("lead-{name}")).await;
    // All at once: one of them creates the Lease.
    let replicas = futures::future::join_all((0..count).map(|_| world.replica())).await;
    world.datadog("x").await.in_sync().await;
    world.move_to("EU").await;
    world.until_in("EU").await;
    let mut leaders = 0;
    for replica in &replicas {
        assert!(replica.get("/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
        let calls = replica.metric("atlas_integration_atlas_requests_total").await;
        let writes = replica.metric("atlas_integration_api_writes_total").await;
        if leads(replica).await {
            leaders += 1;
            world.until_led_by(replica).await;
            assert_eq!(writes_of(replica).await, world.atlas_writes().len());
        } else {
            assert_eq!((calls, writes), (0, 0), "a standby does nothing");
            assert!(replica.logs().contains("standing by"));
        }
    }
    assert_eq!(leaders, 1);
    assert_eq!(world.lease().await["leaseTransitions"], 0);
}

/// Killed, the leader can't hand over: the next one waits for the end of its Lease, and for calls that it may have
/// sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_followed() {
    let world = World::with_datadog_key("lead-killed").await;
    let old = world.replica().await;
    let new = world.replica().await;
    world.datadog("x").await.in_sync().await;
    old.kill();
    let last = world.lease().await;
    let calls = world.project.exchanges().len();
    world.move_to("EU").await;
    let taken = world.until_led_by(&new).await;
    world.until_in("EU").await;
    assert!(time(&taken, "acquireTime") >= time(&last, "renewTime") + DURATION, "{last} {taken}");
    assert_eq!(taken["leaseTransitions"], 1);
    let first = world.calls_from(calls)[0];
    assert!(first >= time(&last, "renewTime") + DURATION + ATLAS_LIMIT, "{last} {first}");
    assert!(leads(&new).await);
}

/// On SIGTERM the Lease is handed over, however long it would have been good for, and nothing else is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_hands_over() {
    let world = World::with_datadog_key("lead-stopped").await;
    let long = [
        "--leader-elect",
        "--leader-election-lease-duration=10m",
        "--leader-election-renew-deadline=5m",
        "--leader-election-retry-period=300ms",
        "--atlas-timeout",
        "2m",
    ];
    let old = world.operator(&long).await;
    let new = world.operator(&long).await;
    world.datadog("x").await.in_sync().await;
    let held = world.lease().await;
    assert_eq!(held["leaseDurationSeconds"], 600);
    let (code, logs) = old.stop().await;
    assert_eq!(code, Some(0));
    assert!(logs.contains("gave leadership up"), "{logs}");
    let calls = world.project.exchanges().len();
    world.move_to("EU").await;
    let taken = world.until_led_by(&new).await;
    world.until_in("EU").await;
    assert!(time(&taken, "acquireTime") < time(&held, "renewTime") + SignedDuration::from_secs(600));
    assert!(world.calls_from(calls)[0] < time(&taken, "acquireTime") + SignedDuration::from_secs(120));

    // A standby ends as quietly; a replica that comes later finds the Lease given up.
    let standby = world.operator(&long).await;
    assert_eq!(standby.stop().await.0, Some(0));
    world.until_led_by(&new).await;
    assert_eq!(new.stop().await.0, Some(0));
    assert_eq!(world.lease().await["holderIdentity"], "");
}

/// Who is stopped while it still waits for a former leader's calls must not say that all is over: the next one waits
/// in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_former_leader_is_handed_on() {
    let world = World::with_datadog_key("lead-handed-on").await;
    world.leave_lease(&json!({"holderIdentity": "ghost", "leaseDurationSeconds": 1})).await;
    let patient: Vec<&str> = TIMES.iter().map(|flag| if *flag == "2s" { "2m" } else { flag }).collect();
    let operator = world.operator(&patient).await;
    world.until_led_by(&operator).await;
    assert_eq!(operator.stop().await.0, Some(0));
    let lease = world.lease().await;
    assert_eq!((&lease["holderIdentity"], &lease["leaseDurationSeconds"]), (&json!(""), &json!(6)));

    let next = world.replica().await;
    let taken = world.until_led_by(&next).await;
    world.datadog("x").await.in_sync().await;
    assert!(world.calls_from(0)[0] > time(&lease, "renewTime") + ATLAS_LIMIT, "{taken}");
}

/// Stopped while its LIST is on its way and continued when another leads: the term of that LIST is over, so nothing
/// comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_plans_nothing() {
    let world = World::with_datadog_key("lead-still").await;
    let old = world.operator(&[&TIMES[..], &["--resync-interval", "1h"]].concat()).await;
    let new = world.operator(&[&TIMES[..], &["--resync-interval", "1h"]].concat()).await;
    let slow = Effect::Slow { delay: Duration::from_secs(1) };
    world.project.fault(Fault::new(slow).at(Operation::List));
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    old.pause();
    world.until_led_by(&new).await;
    x.synced().await;
    ends_without_a_write(&world, old, &new).await;
    world.until_in("US5").await;
}

/// Stopped when its fence is stored and before it hears of that: the write that the fence was for must not be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_at_its_fence_sends_nothing() {
    let world = World::with_datadog_key("lead-fence").await;
    let proxy = Proxy::start(&world).await;
    // So long a time limit that the fence is still good when it wakes up.
    let patient: Vec<&str> = TIMES.iter().map(|flag| if *flag == "2s" { "2m" } else { flag }).collect();
    let old = proxy.operator(&world, &patient).await;
    let new = world.replica().await;
    let x = world.datadog("x").await.in_sync().await;
    let attempt = |object: &Value| object["status"]["attempt"]["id"].clone();
    let before = x.get().await;
    // The answer to its fence takes a while, which is when it is caught.
    let fence = |request: &Request| request.method == "PATCH" && request.path.ends_with("/status");
    proxy.fault(fence, 0, 1, proxy::Fault::Slow(Duration::from_millis(800)));
    world.move_to("EU").await;
    x.until("fenced", |object| attempt(object) != attempt(&before)).await;
    old.pause();
    assert_eq!(world.atlas_writes().len(), 1, "the PUT is not sent yet");
    world.until_led_by(&new).await;
    x.synced().await;
    ends_without_a_write(&world, old, &new).await;
    world.until_in("EU").await;
}

/// Continues the old leader, which ends by itself, and sends no write any more.
async fn ends_without_a_write(world: &World, old: Operator, new: &Operator) {
    let by_others = world.atlas_writes().len() - writes_of(new).await;
    old.resume();
    let (code, logs) = old.ended().await;
    assert_eq!(code, Some(1), "{logs}");
    assert!(logs.contains("lost leadership"), "{logs}");
    assert_eq!(world.atlas_writes().len() - writes_of(new).await, by_others, "{logs}");
    assert!(leads(new).await);
}

/// Only the leader loses the API server, without being told: it stops in time, ends, and another takes over.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_the_api_server_stops_in_time() {
    let world = World::with_datadog_key("lead-cut").await;
    let proxy = Proxy::start(&world).await;
    // Without that watch its last pass hangs in a read of a Secret, and the process outlasts its term.
    let old = proxy.operator(&world, &[&TIMES[..], &[rules::SECRETS_WATCHED]].concat()).await;
    let new = world.replica().await;
    world.datadog("x").await.in_sync().await;
    proxy.freeze_watches(true);
    proxy.fault(|request| request.side == Side::Cluster, 0, usize::MAX, proxy::Fault::Silence(At::Before));
    let (code, logs) = old.ended().await;
    assert_eq!(code, Some(1));
    assert!(logs.contains("lost leadership") && logs.contains("did not answer within"), "{logs}");
    let calls = world.project.exchanges().len();
    assert!(!leads(&new).await, "the old one ended first");
    let last = world.lease().await;
    world.move_to("EU").await;
    let taken = world.until_led_by(&new).await;
    world.until_in("EU").await;
    assert!(time(&taken, "acquireTime") >= time(&last, "renewTime") + DURATION);
    // It looked at Atlas every second, and no more when its term was over.
    let end = time(&last, "renewTime") + DURATION;
    assert!(world.calls_from(0)[..calls].iter().all(|call| *call < end));
    assert!(world.calls_from(calls)[0] >= end + ATLAS_LIMIT);
}

/// What somebody does to the Lease.
#[rstest]
#[case::deleted("deleted", None, "the Lease was deleted")]
#[case::given_away("given", Some("somebody"), "the Lease is held by somebody")]
// The other one may have it before the old one looks.
#[case::wiped_out("wiped", Some(""), "lost leadership")]
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_others_change(#[case] name: &str, #[case] holder: Option<&str>, #[case] said: &str) {
    let world = World::with_datadog_key(&format!("lead-{name}")).await;
    let old = world.replica().await;
    let new = world.replica().await;
    world.datadog("x").await.in_sync().await;
    match holder {
        None => world.delete("Lease", LEASE).await,
        Some(holder) => {
            world.patch("Lease", LEASE, &json!({"spec": {"holderIdentity": holder}})).await;
        }
    }
    world.move_to("EU").await;
    let (code, logs) = old.ended().await;
    assert_eq!(code, Some(1));
    assert!(logs.contains(said), "{logs}");
    world.until_led_by(&new).await;
    world.until_in("EU").await;
    // Whatever it was, two never wrote at a time: nothing was written twice.
    assert_eq!(world.atlas_writes().len(), 2);
}

/// Labels and the like don't end a term.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_others_touch_stays() {
    let world = World::with_datadog_key("lead-touched").await;
    let leader = world.replica().await;
    let before = world.lease().await;
    for value in ["a", "b", "c"] {
        world.patch("Lease", LEASE, &json!({"metadata": {"labels": {"team": value}}})).await;
        let touched = world.lease().await;
        until_found("a renewal", || async {
            (world.lease().await["renewTime"] != touched["renewTime"]).then_some(())
        })
        .await;
    }
    let after = world.get("Lease", LEASE).await.unwrap();
    assert_eq!(after["spec"]["holderIdentity"], before["holderIdentity"]);
    assert_eq!(after["spec"]["acquireTime"], before["acquireTime"]);
    assert_eq!(after["metadata"]["labels"]["team"], "c", "and they are left alone");
    assert!(leads(&leader).await);
}

/// What a Lease may hold that no leader wrote.
#[rstest]
#[case::nothing("nothing", json!({}))]
#[case::no_times("no-times", json!({"holderIdentity": "ghost"}))]
#[case::the_future("future", json!({"holderIdentity": "ghost", "leaseDurationSeconds": 1,
    "acquireTime": "9999-12-31T23:59:59.999999Z", "renewTime": "9999-12-31T23:59:59.999999Z"}))]
#[case::for_ever("for-ever", json!({"holderIdentity": "ghost", "leaseDurationSeconds": i32::MAX,
    "leaseTransitions": i32::MAX, "renewTime": "0001-01-01T00:00:00.000000Z"}))]
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_with_garbage(#[case] name: &str, #[case] spec: Value) {
    let world = World::with_datadog_key(&format!("lead-{name}")).await;
    world.leave_lease(&spec).await;
    let operator = world.replica().await;
    let lease = world.until_led_by(&operator).await;
    assert_eq!(lease["leaseDurationSeconds"], 6);
    world.datadog("x").await.in_sync().await;
}

/// What the Role in the operator's own namespace gives is needed, and the log says so.
#[tokio::test(flavor = "multi_thread")]
async fn without_leave_to_use_leases() {
    let world = World::with_datadog_key("lead-refused").await;
    let account = world.account();
    let rules = rules::of(account, &[&["--watch-namespace", &world.namespace], &TIMES[..]].concat());
    let at_home = |object: &Value| {
        object["metadata"]["name"] == world.namespace && object["metadata"]["namespace"].is_string()
    };
    let (of_the_lease, others): (Vec<Value>, Vec<Value>) = rules.into_iter().partition(at_home);
    assert_eq!(of_the_lease.len(), 2);
    rules::apply(&world.shared.plane, account, &others).await;
    let operator = world.operator_with_rules_as_they_are(&TIMES).await;
    let x = world.datadog("x").await;
    let said = format!("not allowed to get Lease {LEASE} in namespace {}", world.namespace);
    until_true("the refusal in the log", || operator.logs().contains(&said)).await;
    assert!(operator.logs().contains("deploy/base/rbac.yaml"));
    assert!(operator.get("/readyz").await.unwrap().starts_with("HTTP/1.1 503"));
    assert!(operator.get("/livez").await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(world.project.exchanges().len(), 0);
    rules::apply(&world.shared.plane, account, &of_the_lease).await;
    operator.until_ready().await;
    x.synced().await;
}

/// Three replicas are replaced one after another, as a Deployment does, while people edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_edits() {
    let world = World::with_datadog_key("lead-rolling").await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(world.replica().await);
    }
    let x = world.datadog("x").await.in_sync().await;
    let teams = samples::of("MICROSOFT_TEAMS");
    world.secret("teams", &teams.secrets).await;
    let teams = teams.with_secret("teams");
    for (round, region) in ["EU", "US5", "US3"].into_iter().enumerate() {
        let fresh = world.replica().await;
        world.move_to("US").await;
        let old = replicas.remove(0);
        let stopping = old.stop();
        let y = world.object("y");
        let editing = async {
            world.move_to(region).await;
            if round == 1 {
                y.begin_deletion().await;
            } else {
                world.integration("y", &teams).await;
            }
        };
        let ((code, logs), ()) = tokio::join!(stopping, editing);
        assert_eq!(code, Some(0), "{logs}");
        replicas.push(fresh);
        if round == 1 {
            y.gone().await;
        } else {
            y.synced().await;
        }
    }
    x.synced().await;
    assert_eq!(world.stored_datadog("region"), "US3");
    assert_eq!(world.project.stored().len(), 2);
    let deletions = world.project.count(|e| e.operation == Some(Operation::Delete) && e.is_write());
    assert_eq!(deletions, 1, "by the one that led");
    for event in world.list("Event").await {
        assert_ne!(event["reason"], "AlreadyExists", "{event:#}");
    }
}

/// What `deploy/` runs is several replicas that elect, of which a new one comes before an old one goes, and the Role
/// names the Lease that they use.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_elects() {
    let plane = &crate::world::shared().await.plane;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/deployment.yaml");
    // Strict: a field that the API server does not know is refused.
    let apply = ["apply", "--dry-run=server", "--validate=strict", "-o", "json", "-f", file];
    let text = tokio::task::block_in_place(|| plane.kubectl(&apply)).unwrap();
    let spec = serde_json::from_str::<Value>(&text).unwrap()["spec"].clone();
    assert!(spec["replicas"].as_u64().unwrap() > 1, "{spec:#}");
    assert_eq!(spec["strategy"]["type"], "RollingUpdate");
    assert_eq!(spec["template"]["spec"]["containers"][0]["args"], json!(["run", "--leader-elect"]));
    let get = ["get", "role", "-n", "atlas-integration-operator", "atlas-integration-operator", "-o", "json"];
    let role = tokio::task::block_in_place(|| plane.kubectl(&get)).unwrap();
    let rules = serde_json::from_str::<Value>(&role).unwrap()["rules"].clone();
    let named = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [LEASE],
        "verbs": ["get", "update"]});
    let created = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]});
    assert_eq!(rules, json!([created, named]));
}
