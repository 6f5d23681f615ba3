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

const ELECTION: [&str; 4] = [
    "--leader-elect",
    "--leader-election-lease-duration=6s",
    "--leader-election-renew-deadline=4s",
    "--leader-election-retry-period=300ms",
];

/// Metadata of about a megabyte, or of so many characters, each of which the API server writes as six in JSON.
fn metadata(number: usize, characters: usize) -> Value {
    let reference =
        |uid: usize| json!({"apiVersion": "v1", "kind": "C", "name": "a", "uid": uid.to_string()});
    match number % 3 {
        0 => json!({"ownerReferences": (0..21_000).map(reference).collect::<Vec<_>>()}),
        1 => json!({"finalizers": vec!["a"; 250_000]}),
        _ => {
            let name = "<".repeat(characters);
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "C", "name": name, "uid": "1"}],
                "annotations": {CLAIM_ANNOTATION: "<".repeat(30 << 10)}})
        }
    }
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
            let (kind, characters) = if number < each { (&secret, 1 << 20) } else { (&object, 200 << 10) };
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

fn peak(operator: &Operator) -> u64 {
    operator.memory().unwrap().peak
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_megabytes_takes_no_memory() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    let each = std::env::var("HOSTILE_OBJECTS").map_or(12, |text| text.parse().unwrap());
    let world = World::on(own(&PLANE).await, "metadata", &new_project_id()).await;
    let proxy = Proxy::start(&world).await;
    world.secret("keys", &atlas_integration_stage::samples::of("DATADOG").secrets).await;
    let long = ["--resync-interval", "1h", "--log-level", "info"];
    let watching = [&long[..], &[SECRETS_WATCHED]].concat();

    let operator = proxy.operator(&world, &watching).await;
    let x = world.datadog("x").await.in_sync().await;
    let most = peak(&operator) + MORE;
    println!("{} KiB without attacker", peak(&operator));
    attack(&world, each).await;
    until_told(&proxy, each, 0).await;
    let mut peaks = vec![("told by the watches", peak(&operator), operator.memory().unwrap().now)];
    drop(operator);

    let operator = proxy.operator(&world, &watching).await;
    peaks.push(("at a start", peak(&operator), operator.memory().unwrap().now));
    let watches = proxy.count(Request::is_watch);
    proxy.fault(Request::is_watch, 0, 2, Fault::Answer { status: 410, retry_after: None });
    proxy.cut_watches();
    until_true("watches after new lists", || {
        proxy.count(|request| request.is_watch() && request.answer == Some(200)) >= watches + 2
    })
    .await;
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    peaks.push(("after a 410", peak(&operator), operator.memory().unwrap().now));
    drop(operator);

    let without = [&long[..], &["--watch-secrets=false"]].concat();
    let operator = proxy.operator(&world, &without).await;
    x.change(&json!({"datadog": {"region": "US"}})).await.synced().await;
    peaks.push(("without a watch of Secrets", peak(&operator), operator.memory().unwrap().now));
    drop(operator);

    let elected = [&watching[..], &ELECTION].concat();
    let leader = proxy.operator(&world, &elected).await;
    let standby = proxy.operator(&world, &elected).await;
    leader.kill();
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    peaks.push(("of a standby that took over", peak(&standby), standby.memory().unwrap().now));

    println!("KiB (peak, now), of {most} allowed: {peaks:?}");
    assert!(peaks.iter().all(|(_, peak, _)| *peak < most), "KiB, of {most} allowed: {peaks:?}");
}
