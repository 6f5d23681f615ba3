//! Attack 1: whoever may create a Secret, or an object of the kind, fills its metadata with as much as the API server
//! takes. An operator that collects or decodes pages of such objects is killed for want of memory at each start, and
//! so is the standby that takes over.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use control_plane::Options;
use futures::{StreamExt, stream};
use hyper::Method;
use serde_json::{Value, json};

use atlas_integration_operator::api::CLAIM_ANNOTATION;

use crate::world::proxy::{Fault, Proxy, Request};
use crate::world::rules::SECRETS_WATCHED;
use crate::world::{Operator, Shared, World, new_project_id, own, start, until_true};

/// How many KiB more than without attacker the operator may take. One page of the API server has more.
const MORE: u64 = 8 << 10;

/// How many characters make a Secret as large as the API server takes, and an object.
const SECRET: usize = 1_450_000;
const OBJECT: usize = 200_000;

/// Metadata of so many characters, each of which the API server writes as six in JSON, and many entries.
fn metadata(number: usize, characters: usize) -> Value {
    let reference = |name: &str, uid: usize| json!({"apiVersion": "v1", "kind": "C", "name": name, "uid": uid.to_string()});
    let mut references = vec![reference(&"<".repeat(characters), 0)];
    match number % 3 {
        0 => references.extend((1..500).map(|uid| reference("a", uid))),
        1 => {
            return json!({"ownerReferences": references, "annotations": {CLAIM_ANNOTATION: "<".repeat(30_000)}});
        }
        _ => {}
    }
    let finalizers: Vec<String> = (0..200 * (number % 3)).map(|number| format!("others/{number}")).collect();
    json!({"ownerReferences": references, "finalizers": finalizers})
}

/// Creates so many Secrets and as many objects.
async fn attack(world: &World, each: usize) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret"});
    let object = world.manifest(
        "",
        &json!({"type": "PAGER_DUTY",
        "pagerDuty": {"serviceKeySecretRef": {"name": "keys", "key": "service"}}}),
    );
    stream::iter(0..2 * each)
        .for_each_concurrent(4, |number| {
            // An object is stored as JSON, a Secret is not.
            let (kind, characters) = if number < each { (&secret, SECRET) } else { (&object, OBJECT) };
            let mut one = kind.clone();
            async move {
                one["metadata"] = metadata(number, characters);
                one["metadata"]["name"] = format!("hostile-{number}").into();
                one["metadata"]["namespace"] = world.namespace.as_str().into();
                world.create(&one).await;
            }
        })
        .await;
}

/// Waits until the operator has told something to each of the attacker's objects, of which there are so many.
async fn until_told(proxy: &Proxy, each: usize, since: usize) {
    until_true("a status of each object", || {
        let requests = proxy.requests();
        let told = requests[since..].iter().filter(|request| {
            request.method == Method::PATCH
                && request.path.ends_with("/status")
                && request.answer == Some(200)
        });
        let told: BTreeSet<&str> = told.map(|request| &*request.path).collect();
        told.iter().filter(|path| path.contains("/hostile-")).count() >= each
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_megabytes_takes_no_memory() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    let each = std::env::var("HOSTILE_OBJECTS").map_or(6, |text| text.parse().unwrap());
    let world = World::on(own(&PLANE).await, "metadata", &new_project_id()).await;
    let proxy = Proxy::start(&world).await;
    world.secret("keys", &atlas_integration_stage::samples::of("DATADOG").secrets).await;
    let long = ["--resync-interval", "1h", "--log-level", "info"];
    let watching = [&long[..], &[SECRETS_WATCHED]].concat();

    let operator = proxy.operator(&world, &watching).await;
    let x = world.datadog("x").await.in_sync().await;
    let most = operator.memory().unwrap().peak + MORE;
    attack(&world, each).await;
    until_told(&proxy, each, 0).await;
    let mut peaks = Vec::new();
    let mut note = |of: &'static str, operator: &Operator| {
        let memory = operator.memory().unwrap();
        println!("{} KiB at its peak, {} now, {most} allowed: {of}", memory.peak, memory.now);
        peaks.push((of, memory.peak));
    };
    note("told by the watches", &operator);
    drop(operator);

    let operator = proxy.operator(&world, &watching).await;
    note("at a start", &operator);
    let watches = proxy.requests().len();
    proxy.fault(Request::is_watch, 0, 2, Fault::Answer { status: 410, retry_after: None });
    proxy.cut_watches();
    until_true("watches after new lists", || {
        let served = proxy.requests().into_iter().skip(watches);
        served.filter(|request| request.is_watch() && request.answer == Some(200)).count() >= 2
    })
    .await;
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    note("after a 410", &operator);
    drop(operator);

    let without = [&long[..], &["--watch-secrets=false"]].concat();
    let operator = proxy.operator(&world, &without).await;
    x.change(&json!({"datadog": {"region": "US"}})).await.synced().await;
    note("without a watch of Secrets", &operator);
    drop(operator);

    let elected = [&watching[..], &["--leader-elect"]].concat();
    let leader = proxy.operator(&world, &elected).await;
    let standby = proxy.operator(&world, &elected).await;
    leader.kill();
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    note("a standby that took over", &standby);

    assert!(peaks.iter().all(|(_, peak)| *peak < most), "KiB, of {most} allowed: {peaks:?}");
}
