//! The rows of `docs/security.md` that no other test shows in full. Each is named by its row.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Api, AtlasSim, Authentication, Effect, Exchange, Fault, Operation};
use control_plane::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{
    Operator, Shared, World, condition, leaves, message, new_project_id, own, rules, start, until_found,
    until_true,
};

const LONG: &[&str] = &["--resync-interval", "1h"];

/// Objects that were stored before any rule of today's CRD: crafted names in every reference, crafted ids and types, a
/// spec that is no object, secrets in place of references. No path of theirs is ever asked for, neither of the API
/// server nor of Atlas; each says what is wrong with it; and the good ones beside them are served.
#[tokio::test(flavor = "multi_thread")]
async fn t01_t09_t22_objects_stored_before_the_rules() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    let shared = own(&PLANE).await;
    let world = World::on(shared, "before", &new_project_id()).await;
    let victim = World::on(shared, "victim", &new_project_id()).await;
    victim.secret("keys", &[("api", "canary-of-another-namespace-0001")]).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    world.secret("more", &samples::of("OPS_GENIE").secrets).await;
    let crd = "atlasintegrations.atlas-integrations.dev";
    let rules: Value = serde_json::from_str(&shared.kubectl(&["get", "crd", crd, "-o", "json"])).unwrap();
    let today = rules["spec"]["versions"][0].clone();
    let serve = |version: &Value| {
        let patch = json!([{"op": "replace", "path": "/spec/versions/0", "value": version}]).to_string();
        shared.kubectl(&["patch", "crd", crd, "--type=json", "-p", &patch]);
    };
    let mut before = today.clone();
    let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
    before["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "properties": {"spec": anything, "status": anything}});
    before.as_object_mut().unwrap().remove("selectableFields");
    serve(&before);

    let victims = format!("../../{}/secrets/keys", victim.namespace);
    let good = world.manifest("bad", &datadog(json!({})));
    let named = |pointer: &str, name: &str| {
        let mut object = good.clone();
        *object.pointer_mut(pointer).unwrap() = name.into();
        object
    };
    let mut objects = Vec::new();
    for name in [
        victims.as_str(),
        &victims.replace('/', "%2F"),
        &format!("{}/keys", victim.namespace),
        "..",
        "",
        "keys?x",
    ] {
        for pointer in ["/spec/datadog/apiKeySecretRef/name", "/spec/credentialsSecretRef/name"] {
            objects.push(named(pointer, name));
        }
    }
    let project = victim.project.id();
    for id in [&format!("../groups/{project}"), &format!("{project}?x="), &format!("{project}\n"), ""] {
        objects.push(named("/spec/projectId", id));
    }
    for kind in ["../../groups", "DATADOG/../OPS_GENIE", "datadog", ""] {
        objects.push(named("/spec/type", kind));
    }
    objects.push(named("/spec/datadog/apiKeySecretRef", "canary-key-in-place-of-a-reference"));
    let readable = objects.len();
    // Of these the API server itself can make nothing, so it takes no status for them either.
    for spec in [
        "canary-text-in-place-of-a-spec".into(),
        json!([1, {"a": null}]),
        json!({}),
        json!({"projectId": 7, "type": ["canary-type"], "credentialsSecretRef": {"name": "Canary_name"}}),
    ] {
        let mut object = good.clone();
        object["spec"] = spec;
        objects.push(object);
    }
    // The schema takes a moment to be served everywhere.
    until_found("the old schema", || async {
        let mut probe = objects.last().unwrap().clone();
        probe["metadata"]["name"] = "probe".into();
        world.try_create(&probe).await.ok()
    })
    .await;
    for (number, object) in objects.iter_mut().enumerate() {
        object["metadata"]["name"] = format!("bad-{number}").into();
        world.create(object).await;
    }
    serve(&today);
    until_found("today's schema", || async { world.try_create(&named("/spec/type", "nope")).await.err() })
        .await;

    let operator = world.operator(&[]).await;
    world.datadog("good-1").await;
    let spec = json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": {"name": "more", "key": "api"}}});
    world.integration("good-2", &spec).await;
    for name in ["good-1", "good-2"] {
        world.object(name).synced().await;
    }
    for number in 0..readable {
        let object = world.object(&format!("bad-{number}")).says("Ready", "InvalidSpec").await;
        let said = message(&object);
        assert!(!said.contains("canary") && !said.contains(char::is_control), "{said:?}");
    }
    for number in readable..objects.len() {
        let name = format!("{}/bad-{number}", world.namespace);
        until_true("a word in the log", || operator.logs().contains(&name)).await;
    }
    assert!(
        !operator.logs().to_lowercase().contains("canary"),
        "what stands in place of a reference may be a key"
    );
    println!("{} objects that the rules of today refuse", objects.len());

    let secrets: BTreeSet<(String, String)> = world
        .requests()
        .into_iter()
        .filter(|event| event.resource == "secrets" && event.verb == "get")
        .map(|event| (event.namespace, event.name))
        .collect();
    let own = |name: &str| (world.namespace.clone(), name.to_owned());
    assert_eq!(secrets, BTreeSet::from([own("atlas"), own("keys"), own("more")]));
    for event in world.requests() {
        let elsewhere =
            event.uri.contains(&victim.namespace) || event.uri.contains("..") || event.uri.contains('%');
        let query = event.uri.contains('?') && event.resource.is_empty();
        assert!(!elsewhere && !query, "{}", event.uri);
    }
    assert_eq!(victim.project.exchanges().len(), 0);
    assert_eq!(shared.sim.stray_exchanges().len(), 0, "no path beside the integrations of a project");
    assert_eq!(world.project.stored().len(), 2);
    // They can be deleted, too.
    for number in 0..objects.len() {
        world.object(&format!("bad-{number}")).begin_deletion().await;
    }
    for number in 0..objects.len() {
        world.object(&format!("bad-{number}")).gone().await;
    }
}

/// Redirects of every call and of the token endpoint: nothing arrives where they point to.
#[tokio::test(flavor = "multi_thread")]
async fn t03_no_redirect_is_followed() {
    let world = World::with_datadog_key("redirects").await;
    let elsewhere = AtlasSim::start().await.unwrap();
    elsewhere.project(world.project.id()).allow_key(crate::world::PUBLIC_KEY, crate::world::PRIVATE_KEY);
    let account = format!("mdb_sa_id_{}", world.project.id());
    world.project.allow_service_account(&account, "mdb_sa_sk_canary-redirects");
    world.secret("account", &[("clientId", &account), ("clientSecret", "mdb_sa_sk_canary-redirects")]).await;
    let _operator = world.operator(&[]).await;
    let count = |status: u16| {
        let strays = world.shared.sim.stray_exchanges();
        let tokens =
            strays.iter().filter(|e| e.credential.as_deref() == Some(&account) && e.status == status);
        world.project.count(|e| e.status == status) + tokens.count()
    };
    let mut fired = 0;
    for status in [301, 302, 303, 307, 308] {
        for operation in [Some(Operation::List), Some(Operation::Create), Some(Operation::Delete), None] {
            world.project.clear_faults();
            let name = format!(
                "x-{status}-{}",
                operation.map_or("token".to_owned(), |o| format!("{o:?}").to_lowercase())
            );
            let path = operation.map_or("/api/oauth/token".to_owned(), |_| {
                format!("/api/atlas/v2/groups/{}/integrations", world.project.id())
            });
            let redirect = Effect::redirect(status, &format!("{}{path}", elsewhere.url()));
            let mut fault = match operation {
                Some(operation) => Fault::new(redirect).at(operation).times(1),
                None => Fault::new(redirect).over(Api::OAuth).times(1),
            };
            if operation.is_none() {
                fault.when.authentication = Authentication::Any;
                // A new secret is a new session, which has no token yet.
                let secret = format!("mdb_sa_sk_canary-redirects-{status}");
                world.project.allow_service_account(&account, &secret);
                world.secret("account", &[("clientId", &account), ("clientSecret", &secret)]).await;
            }
            let credentials = if operation.is_none() { "account" } else { "atlas" };
            if operation == Some(Operation::Delete) {
                world.datadog(&name).await;
                world.object(&name).synced().await;
                world.project.fault(fault);
                world.object(&name).begin_deletion().await;
            } else {
                world.project.fault(fault);
                let spec = datadog(json!({"credentialsSecretRef": {"name": credentials}}));
                world.integration(&name, &spec).await;
                world.object(&name).synced().await;
                world.object(&name).begin_deletion().await;
            }
            world.object(&name).gone().await;
            fired += 1;
        }
        assert_eq!(count(status), 4, "{status} was answered to each of the calls");
    }
    let there = elsewhere.project(world.project.id()).exchanges().len() + elsewhere.stray_exchanges().len();
    assert_eq!(there, 0, "{fired} redirects, no request arrives there");
    println!("{fired} redirects");
}

/// The peers of every socket that the process has at this moment, as `address:port`. It is not dumpable, so only root
/// sees its sockets.
fn peers(operator: &Operator) -> BTreeSet<String> {
    let Ok(files) = std::fs::read_dir(operator.proc("fd")) else { return BTreeSet::new() };
    let inode = |link: std::path::PathBuf| {
        Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
    };
    let inodes: BTreeSet<String> =
        files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok().and_then(inode)).collect();
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(operator.proc(&format!("net/{table}"))).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(peer), Some(inode)) = (fields.get(1), fields.get(2), fields.get(9)) else {
                continue;
            };
            let port = |address: &str| {
                let (_, port) = address.rsplit_once(':').unwrap();
                u16::from_str_radix(port, 16).unwrap()
            };
            // Without a peer it listens, and with its own port it was connected to.
            let own = operator.address().port();
            if inodes.contains(*inode) && port(peer) != 0 && port(local) != own {
                found.insert(format!("{table} {} {}", peer.rsplit_once(':').unwrap().0, port(peer)));
            }
        }
    }
    found
}

/// URLs of users point to a listener of this test's, from all types that have one, through creation, edits, refusals
/// and deletion: nothing connects to it, and the process has no connection but to the API server and to Atlas.
#[tokio::test(flavor = "multi_thread")]
async fn t04_urls_of_users_are_never_fetched() {
    let world = World::new("ssrf").await;
    let bait = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = bait.local_addr().unwrap();
    static CAUGHT: AtomicUsize = AtomicUsize::new(0);
    tokio::spawn(async move {
        while let Ok((_connection, _)) = bait.accept().await {
            CAUGHT.fetch_add(1, Ordering::Relaxed);
        }
    });
    drop(TcpStream::connect(address).await.unwrap());
    until_true("the listener at work", || CAUGHT.load(Ordering::Relaxed) == 1).await;
    let url = format!("http://{address}/latest/meta-data?token=x");
    world.secret("urls", &[("url", &url), ("other", &format!("http://user@{address}/"))]).await;
    let operator = world.operator(&[]).await;
    let running = AtomicBool::new(true);
    let looking = async {
        let (mut seen, mut looks) = (BTreeSet::new(), 0);
        while running.load(Ordering::Relaxed) {
            seen.extend(peers(&operator));
            looks += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        (seen, looks)
    };
    let url = |key: &str| json!({"name": "urls", "key": key});
    let living = async {
        let specs = [
            (
                "hook",
                json!({"type": "WEBHOOK", "webhook": {"urlSecretRef": url("url"), "bodyTemplate": format!("{{{{{address}}}}}")}}),
            ),
            (
                "teams",
                json!({"type": "MICROSOFT_TEAMS", "microsoftTeams": {"webhookUrlSecretRef": url("url")}}),
            ),
            ("prom", {
                let mut spec = samples::of("PROMETHEUS").spec;
                spec["prometheus"]["passwordSecretRef"] = url("url");
                spec
            }),
        ];
        world.project.fault(Fault::new(Effect::EchoBody).of_type("WEBHOOK").at(Operation::Create));
        for (name, spec) in &specs {
            world.integration(name, spec).await;
        }
        let hook = world.object("hook");
        hook.reaches("False", "Rejected").await;
        for name in ["teams", "prom"] {
            world.object(name).synced().await;
        }
        hook.change(&json!({"webhook": {"urlSecretRef": url("other")}})).await.synced().await;
        assert!(
            world.project.stored_type("WEBHOOK").unwrap()["url"]
                .as_str()
                .unwrap()
                .contains(&address.to_string())
        );
        for (name, _) in &specs {
            world.object(name).begin_deletion().await;
        }
        for (name, _) in &specs {
            world.object(name).gone().await;
        }
        running.store(false, Ordering::Relaxed);
    };
    let ((seen, looks), ()) = tokio::join!(looking, living);
    assert_eq!(CAUGHT.load(Ordering::Relaxed), 1, "only the test's own connection");
    let port = |url: &str| url.rsplit_once(':').unwrap().1.trim_end_matches('/').to_owned();
    if !rustix::process::geteuid().is_root() {
        println!("its sockets: only root sees them");
        return;
    }
    let expected = [port(world.shared.plane.server()), port(&world.shared.sim.url())];
    let expected: BTreeSet<String> = expected.iter().map(|port| format!("tcp 0100007F {port}")).collect();
    assert_eq!(seen, expected, "the API server and Atlas, in {looks} looks");
    println!("{looks} looks at its sockets: {seen:?}");
}

/// Every value in the object, by its path, those in the JSON of our annotations too.
fn texts(path: &str, value: &Value) -> Vec<(String, String)> {
    let text = |(path, leaf): (String, &Value)| match leaf {
        Value::Object(_) | Value::Array(_) => vec![],
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner) if inner.is_object() => texts(&path, &inner),
            _ => vec![(path, text.clone())],
        },
        other => vec![(path, other.to_string())],
    };
    leaves(path, value).into_iter().flat_map(text).collect()
}

/// A secret goes from one value to another and back, both with one redacted form. Whatever the object then says as it
/// did with the first value, and did not with the second, follows the value: it would be an oracle for guesses.
#[tokio::test(flavor = "multi_thread")]
async fn t06_nothing_stored_follows_a_secrets_value() {
    let world = World::new("oracle").await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    let mut looked_at = 0;
    for sample in samples::all() {
        let x = world.sample_with(sample.kind, &json!({"deletionPolicy": "Retain"})).await;
        let mut states = Vec::new();
        for turn in 0..3 {
            // Other beginnings, the same four characters at the end, and for URLs the same host.
            let values: Vec<(&str, String)> = sample
                .secrets
                .iter()
                .map(|(key, value)| {
                    let other = value.replacen("canary", "finches", 1).replacen("01234567", "76543210", 1);
                    let other = other.replacen("fedcba98", "89abcdef", 1);
                    assert_ne!(*value, other);
                    (*key, if turn == 1 { other } else { (*value).to_owned() })
                })
                .collect();
            let pairs: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
            world.secret(&format!("keys-{}", x.name()), &pairs).await;
            let secret = world.get("Secret", &format!("keys-{}", x.name())).await.unwrap();
            let version = secret["metadata"]["resourceVersion"].clone();
            let object = x
                .until("applied", |object| {
                    let applied =
                        object["status"]["applied"]["secrets"].as_array().cloned().unwrap_or_default();
                    condition(object, "Ready")["status"] == "True"
                        && applied.iter().any(|secret| secret["resourceVersion"] == version)
                })
                .await;
            states.push(texts("", &object));
        }
        let [first, second, third] = states.try_into().unwrap();
        let of = |state: &[(String, String)], path: &str| {
            state.iter().find(|(other, _)| other == path).map(|(_, value)| value.clone())
        };
        let print = "/status/applied/fingerprint";
        assert!(of(&first, print).is_some() && of(&first, print) != of(&third, print), "{}", x.name());
        for (path, value) in &first {
            looked_at += 1;
            let follows =
                of(&third, path).as_ref() == Some(value) && of(&second, path).as_ref() != Some(value);
            assert!(!follows, "{}: {path} is {value} with one value, and otherwise with another", x.name());
        }
        x.delete().await;
    }
    println!("{looked_at} fields of {} objects", samples::all().len());
}

/// What others can put before the operator, at once: Secrets of a mebibyte that it reads, many Secrets that it never
/// needs, pages of lists with more bytes than its memory limit, LISTs without an end and of a hundred mebibytes. Its
/// memory stays within the limit of `deploy/base/deployment.yaml`, and it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn t10_large_secrets_and_endless_answers_stay_bounded() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    const LARGE: usize = 24;
    const FOREIGN: usize = 1_000;
    /// A page may have so many Secrets with the largest annotations.
    const NOTED: usize = 300;
    let shared = own(&PLANE).await;
    let world = World::on(shared, "large", &new_project_id()).await;
    let huge = World::on(shared, "huge", &new_project_id()).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let megabyte = "x".repeat((1 << 20) - 16_000);
    let annotation = "y".repeat(250 << 10);
    for number in 0..LARGE {
        huge.secret(
            &format!("large-{number}"),
            &[("api", "canary-opsgenie-key-0001"), ("ballast", &megabyte)],
        )
        .await;
    }
    futures::future::join_all((0..8).map(|part| {
        let (huge, annotation) = (&huge, &annotation);
        async move {
            for number in (part..NOTED).step_by(8) {
                huge.create(
                    &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": huge.namespace,
                    "name": format!("noted-{number}"), "annotations": {"note": annotation}}}),
                )
                .await;
            }
            for number in (part..FOREIGN).step_by(8) {
                huge.secret(&format!("foreign-{number}"), &[("a", "b")]).await;
            }
        }
    }))
    .await;
    let flags = ["--watch-namespace", &huge.namespace];
    let operator = world.operator(&flags).await;
    let x = world.datadog("x").await.in_sync().await;
    let quiet = operator.memory().unwrap().peak;

    // As large as is taken, and always with a next one.
    let page = json!({"results": [], "links": [{"rel": "next", "href": "x"}], "pad": "z".repeat(900_000)});
    // Each in a project of its own, so that they are read side by side.
    let projects: Vec<_> = (0..LARGE).map(|_| shared.sim.project(&new_project_id())).collect();
    for (number, project) in projects.iter().enumerate() {
        project.allow_key(crate::world::PUBLIC_KEY, crate::world::PRIVATE_KEY);
        match number % 3 {
            1 => {
                project.fault(Fault::new(Effect::Oversized { bytes: 100 << 20 }).at(Operation::List).times(3))
            }
            2 => project.fault(
                Fault::new(Effect::ReplaceAnswer { value: page.clone() }).at(Operation::List).times(30),
            ),
            _ => {}
        }
        let reference = json!({"name": format!("large-{number}"), "key": "api"});
        let mut object = huge.manifest(
            &format!("x-{number}"),
            &json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": reference}}),
        );
        object["spec"]["projectId"] = project.id().into();
        huge.create(&object).await;
    }
    for number in 0..LARGE {
        huge.object(&format!("x-{number}")).synced().await;
    }
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    let limit = include_str!("../../../deploy/base/deployment.yaml");
    let (_, limit) = limit.split_once("limits: {memory: ").unwrap();
    let limit: u64 = limit.split_once("Mi}").unwrap().0.parse().unwrap();
    let peak = operator.memory().unwrap().peak;
    println!("peak {quiet} KiB before, {peak} KiB after; the limit is {limit} MiB");
    assert!(peak < limit << 10, "{peak} KiB are more than {limit} MiB");
    // Bounded: far less than was put before it.
    assert!(
        peak - quiet < 48 << 10,
        "{} KiB more for {LARGE} MiB of Secrets and answers without an end",
        peak - quiet
    );
}

/// One tenant edits its object a hundred times a second. Another's edit reaches Atlas while at most a few passes over the
/// first one's project are made, however many edits there are.
#[tokio::test(flavor = "multi_thread")]
async fn t11_one_tenants_edits_do_not_hold_up_others() {
    const EDITS: u32 = 5;
    let world = World::with_datadog_key("busy").await;
    let calm = World::with_datadog_key("calm").await;
    let _operator = world
        .operator(
            &[
                &["--watch-namespace", calm.namespace.as_str(), "--concurrency", "1"],
                LONG,
                &["--log-level", "info"],
            ]
            .concat(),
        )
        .await;
    let x = world.object("x");
    for world in [&world, &calm] {
        world.datadog("x").await;
        x.synced().await;
    }
    let running = AtomicBool::new(true);
    let edits = AtomicUsize::new(0);
    let busy = || world.project.exchanges().len();
    let editing = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while running.load(Ordering::Relaxed) {
            ticks.tick().await;
            let number = edits.fetch_add(1, Ordering::Relaxed);
            let region = if number.is_multiple_of(2) { "EU" } else { "US3" };
            x.change(&json!({"datadog": {"region": region}})).await;
        }
    };
    let other = async {
        let mut most = 0;
        for edit in 0..EDITS {
            // In the midst of it.
            let from = edits.load(Ordering::Relaxed);
            until_true("further edits", || edits.load(Ordering::Relaxed) >= from + 50).await;
            let before = busy();
            let region = ["EU", "US3"][edit as usize % 2];
            calm.object("x").change(&json!({"datadog": {"region": region}})).await;
            calm.until_stored("region", region).await;
            most = most.max(busy() - before);
        }
        running.store(false, Ordering::Relaxed);
        most
    };
    let begun = Instant::now();
    let ((), most) = tokio::join!(editing, other);
    let (seconds, edits) = (begun.elapsed().as_secs() as usize + 2, edits.load(Ordering::Relaxed));
    // A pass is a LIST and a PUT. A second lies between two passes of a project, so the other's edit met few of them.
    assert!(most <= 8, "{most} calls for the busy tenant while the other's edit waited");
    let writes = world.project.count(Exchange::is_write);
    assert!(
        writes <= seconds + 1 && writes * 4 < edits,
        "{edits} edits, {writes} writes in {seconds} seconds"
    );
    println!("{edits} edits, {writes} writes; at most {most} calls of it while another's edit waited");
    x.synced().await;
}

/// The operator is stopped, the API server is restarted and forgets what happened meanwhile, so the watches end with 410
/// or a cut: what was missed is found all the same.
#[tokio::test(flavor = "multi_thread")]
async fn t16_what_a_cut_watch_missed_is_found() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    let shared = own(&PLANE).await;
    let world = World::on(shared, "cut", &new_project_id()).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let operator = world.operator(LONG).await;
    world.secret("more", &samples::of("OPS_GENIE").secrets).await;
    let spec = json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": {"name": "more", "key": "api"}}});
    let gone = world.integration("gone", &spec).await;
    world.datadog("x").await;
    for name in ["gone", "x"] {
        world.object(name).synced().await;
    }
    operator.pause();
    gone.begin_deletion().await;
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540077")]).await;
    let new = world.integration("new", &samples::of("PAGER_DUTY").spec).await;
    for number in 0..20 {
        world.secret(&format!("noise-{number}"), &[("a", "b")]).await;
    }
    tokio::task::block_in_place(|| {
        shared.plane.kill_apiserver().unwrap();
        shared.plane.start_apiserver().unwrap();
    });
    operator.resume();
    world.until_stored("apiKey", "fedcba9876543210fedcba9876540077").await;
    gone.gone().await;
    world
        .secret(
            "keys",
            &[("api", "fedcba9876543210fedcba9876540077"), ("service", "0123456789abcdef0123456789abc001")],
        )
        .await;
    new.synced().await;
    assert_eq!(world.project.stored().len(), 2);
    assert!(operator.logs().contains("watch"), "it says that a watch failed");
}

/// Clients that take nothing, say half or say nothing, as many as the port serves at a time: the operator goes on, and
/// its probes are answered while they hold on. Only the oldest, one for each further connection, have to go for that.
#[tokio::test(flavor = "multi_thread")]
async fn t19_slow_clients_hold_nothing_up() {
    const SERVED: usize = 64;
    let world = World::with_datadog_key("slow-clients").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let mut clients = Vec::new();
    for number in 0..SERVED {
        let mut client = TcpStream::connect(operator.address()).await.unwrap();
        let said = match number {
            // Answers that nobody reads fill the buffers.
            0..3 => "GET /metrics HTTP/1.1\r\nHost: operator\r\n\r\n".repeat(100),
            _ if number % 2 == 0 => "GET /metrics HTTP/1.1\r\nHost: ope".to_owned(),
            _ => String::new(),
        };
        client.write_all(said.as_bytes()).await.unwrap();
        clients.push(client);
    }
    for probe in ["/livez", "/readyz", "/metrics"] {
        let answer = operator.get(probe).await.unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.1 200"), "{probe}: {answer:?}");
    }
    let held = clients.iter_mut().skip(3).map(|client| async {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(50), client.read(&mut byte)).await.is_err()
    });
    let held = futures::future::join_all(held).await.into_iter().filter(|held| *held).count();
    assert_eq!(held, SERVED - 3, "those that were there before are there still");
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
}

/// The series of a scrape without their values.
async fn series(operator: &Operator) -> BTreeSet<String> {
    let text = operator.get("/metrics").await.unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let name = |line: &str| line.rsplit_once(' ').map(|(name, _)| name.to_owned());
    body.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect()
}

/// A scrape has as many series for sixty objects in sixty projects as for one.
#[tokio::test(flavor = "multi_thread")]
async fn t19_a_scrape_does_not_grow_with_the_cluster() {
    let world = World::with_datadog_key("scrape").await;
    let operator = world.operator(LONG).await;
    let create = async |number: usize| {
        let project = world.shared.sim.project(&new_project_id());
        project.allow_key(crate::world::PUBLIC_KEY, crate::world::PRIVATE_KEY);
        let name = format!("canary-name-{number}");
        let mut object = world.manifest(&name, &datadog(json!({})));
        object["spec"]["projectId"] = project.id().into();
        world.create(&object).await;
        (name, project)
    };
    let (name, _) = create(0).await;
    world.object(&name).synced().await;
    let one = series(&operator).await;
    let mut all = Vec::new();
    for number in 1..60 {
        all.push(create(number).await);
    }
    for (name, _) in &all {
        world.object(name).synced().await;
    }
    let sixty = series(&operator).await;
    assert_eq!(one, sixty);
    for hidden in ["canary-name", world.namespace.as_str(), all[0].1.id()] {
        assert!(sixty.iter().all(|series| !series.contains(hidden)), "{hidden}");
    }
    println!("{} series for 1 and for 60 objects", sixty.len());
}
