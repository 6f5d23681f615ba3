//! Starting where something is not there yet, and what the operator's own port says meanwhile.

use std::process::{Command, Output};

use atlas_integration_operator::cluster::check_selector;
use control_plane::{ControlPlane, Options};
use kube::api::ListParams;
use rstest::rstest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Operator, World, rules, until};

/// Without its kind the operator waits and says so; it is alive, not ready, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_kind() {
    let plane =
        tokio::task::spawn_blocking(|| ControlPlane::start(Options::default())).await.unwrap().unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let kubectl = |args: &[&str]| tokio::task::block_in_place(|| plane.kubectl(args)).unwrap();
    kubectl(&["create", "namespace", "early"]);
    kubectl(&["create", "serviceaccount", "operator", "--namespace", "early"]);
    let operator = Operator::start_on(&plane, "early", "http://127.0.0.1:9", &[]).await;
    until("the missing kind in the log", || {
        operator.logs().contains("the kind is not installed").then_some(())
    })
    .await;
    let probe = operator.get("/readyz").await.unwrap();
    assert!(probe.starts_with("HTTP/1.1 503") && probe.contains("waiting for the first lists"), "{probe}");
    assert!(operator.get("/livez").await.unwrap().starts_with("HTTP/1.1 200"));
    kubectl(&["apply", "-f", &format!("{root}/crds/atlasintegrations.yaml")]);
    operator.until_ready().await;
    let (code, _) = operator.stop().await;
    assert_eq!(code, Some(0));
}

/// The port answers what it should and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_probes() {
    let world = World::new("probes").await;
    let operator = world.operator(&[]).await;
    let metrics = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    assert!(metrics.contains("atlas_integration_build_info{version="), "{metrics}");
    assert!(operator.get("/elsewhere").await.unwrap().starts_with("HTTP/1.1 404"));
}

/// Starts the program where there is no cluster, and waits for its end.
fn run(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas-integration-operator"));
    command.arg("run").args(flags).env_clear().env("KUBECONFIG", "/nonexistent");
    command.envs(variables.iter().copied()).output().unwrap()
}

/// What it can't use is refused at once, by the name of the flag or variable, and without what may be a password.
#[rstest]
#[case::level(&["--log-level", "verbose"], &[], "'--log-level <FILTER>'")]
#[case::level_of_a_variable(
    &[],
    &[("ATLAS_INTEGRATION_LOG_LEVEL", "warning")],
    "The value is that of the variable ATLAS_INTEGRATION_LOG_LEVEL."
)]
#[case::a_flag_over_a_variable(
    &["--log-level=loud"],
    &[("ATLAS_INTEGRATION_LOG_LEVEL", "info")],
    "there is no level \"loud\""
)]
#[case::selector(&["--selector", "a==b==c"], &[], "'--selector <LABELS>'")]
#[case::selector_of_nothing(&["--selector="], &[], "leave it out")]
#[case::namespaces(&["--watch-namespace", "{payments,search}"], &[], "'--watch-namespace <NS>'")]
#[case::namespaces_of_nothing(
    &[],
    &[("ATLAS_INTEGRATION_WATCH_NAMESPACE", "")],
    "ATLAS_INTEGRATION_WATCH_NAMESPACE is set and empty"
)]
#[case::namespaces_of_a_variable(
    &[],
    &[("ATLAS_INTEGRATION_WATCH_NAMESPACE", "payments,")],
    "The value is that of the variable ATLAS_INTEGRATION_WATCH_NAMESPACE."
)]
#[case::a_switch_of_nothing(
    &[],
    &[("ATLAS_INTEGRATION_LEADER_ELECT", "")],
    "ATLAS_INTEGRATION_LEADER_ELECT is set and empty"
)]
#[case::a_switch(&[], &[("ATLAS_INTEGRATION_LEADER_ELECT", "on please")], "ATLAS_INTEGRATION_LEADER_ELECT")]
#[case::path(&["--atlas-url", "https://cloud.mongodb.com/api/atlas/v2"], &[], "without a path")]
#[case::http(&["--atlas-url", "http://cloud.mongodb.com"], &[], "--insecure-atlas-url")]
#[case::bind(&["--bind", "localhost:8080"], &[], "'--bind <ADDR>'")]
#[case::duration(&[], &[("ATLAS_INTEGRATION_RESYNC_INTERVAL", "600")], "ATLAS_INTEGRATION_RESYNC_INTERVAL")]
#[case::proxy(&[], &[("HTTPS_PROXY", "http://u:p^a{1}canary@proxy:3128")], "HTTPS_PROXY is no proxy")]
#[case::proxy_in_lower_case(&[], &[("https_proxy", "socks5://u:canary@proxy:1080")], "https_proxy is no proxy")]
#[case::socks(&[], &[("ALL_PROXY", "socks5h://canary:1080")], "SOCKS proxies are not supported")]
#[case::proxy_for_http(&[], &[("HTTP_PROXY", "http://u:can/ary@proxy:3128")], "HTTP_PROXY is no proxy")]
#[case::no_proxy(&[], &[("NO_PROXY", "localhost,https://canary.com")], "NO_PROXY can't be used: entry 2")]
#[case::bundle_of_nothing(&[], &[("SSL_CERT_FILE", "")], "SSL_CERT_FILE is set and empty")]
fn what_can_not_be_used_is_refused(
    #[case] flags: &[&str],
    #[case] variables: &[(&str, &str)],
    #[case] said: &str,
) {
    let output = run(flags, variables);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{text}");
    assert!(text.contains(said), "{text}");
    assert!(!text.contains("canary") && !text.contains("can/ary"), "{text}");
    assert!(!text.contains("/nonexistent"), "it went on: {text}");
}

/// Once the log has its format, what ends the process is a line of it.
#[rstest]
#[case::no_cluster(&[], &[], "no cluster to connect to")]
#[case::a_proxy(&[], &[("HTTPS_PROXY", "what?")], "HTTPS_PROXY")]
#[case::flags_that_do_not_fit(&["--leader-election-renew-deadline=1h"], &[], "must be longer")]
fn what_ends_the_process_is_a_line_of_the_log(
    #[case] flags: &[&str],
    #[case] variables: &[(&str, &str)],
    #[case] said: &str,
) {
    for format in ["json", "text"] {
        let output = run(&[flags, &["--log-format", format]].concat(), variables);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let last = text.lines().last().unwrap();
        assert_eq!(serde_json::from_str::<Value>(last).is_ok(), format == "json", "{text}");
        assert!(last.contains("ERROR") && last.contains(said), "{text}");
    }
    let output = run(&[flags, &["--log-level", "off"]].concat(), variables);
    assert!(String::from_utf8(output.stderr).unwrap().contains(said), "even with the log off");
}

/// A selector is refused exactly where the API server would refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn selectors_are_judged_as_by_the_api_server() {
    let world = World::new("selectors").await;
    let api = world.api("AtlasIntegration", Some(&world.namespace));
    let long = format!("a={}", "x".repeat(64));
    let selectors = [
        "a",
        "!a",
        "a=b",
        "a==b",
        "a!=b",
        "a=",
        "a==",
        "a!=",
        "a in (b)",
        "a in (b,c)",
        "a notin (b, c)",
        "a in (b,)",
        "a in (,)",
        "a in (in)",
        "in",
        "in in (in)",
        "a>1",
        "a < 5",
        "a=b,c=d",
        " a = b , !c ",
        "a,b,!c",
        "app.kubernetes.io/name=x",
        "a=b-c_d.e",
        "A=B",
        "1=2",
        "a=true",
        "a in(b)",
        "x/y in (z),w",
        "a==b==c",
        "a=b=c",
        "a=b,",
        ",a=b",
        "a=b,,c=d",
        "a b",
        "a=b c=d",
        "a in",
        "a in b",
        "a in ()",
        "a in (b",
        "a in b)",
        "a in (b c)",
        "a in (b,!c)",
        "a notin",
        "!",
        "!a=b",
        "!!a",
        "=b",
        "a=!b",
        "a>",
        "a>b",
        "a>1.5",
        "a=>1",
        "a=-b",
        "a=b-",
        "a/b/c",
        "/a",
        "a/",
        "-a",
        "a-",
        "A/b",
        "a=b/c",
        "a=b:c",
        "a=\"b\"",
        "a='b'",
        "{a=b}",
        "a;b",
        "a&b",
        "a=b||c=d",
        "ä=b",
        "a=ä",
        "()",
        "a()",
        "a,in (b)",
        "team=payments and env=prod",
        "*",
        "a=*",
        "a=~b",
        &long,
    ];
    let mut differ = Vec::new();
    for selector in selectors {
        let listed = api.list(&ListParams::default().labels(selector)).await;
        let served = match &listed {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 400 => false,
            Err(error) => panic!("{selector}: {error}"),
        };
        let judged = check_selector(selector);
        if judged.is_ok() != served {
            differ.push(format!("{selector}: {judged:?}, but the API server: {served}"));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// The entry of the log with this message.
async fn entry(operator: &Operator, message: &str) -> Value {
    until(&format!("{message} in the log"), || {
        let logs = operator.logs();
        let mut entries = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.find(|entry| entry["message"].as_str().is_some_and(|found| found.contains(message)))
    })
    .await
}

/// A proxy that forwards every request on a connection to one address, and tells the first lines that came.
pub async fn proxy_before(target: String) -> (u16, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let all = std::sync::Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (target, heard) = (target.clone(), std::sync::Arc::clone(&heard));
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap();
                heard.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
                let mut atlas = TcpStream::connect(target).await.unwrap();
                atlas.write_all(&head[..length]).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut atlas).await;
            });
        }
    });
    (port, all)
}

/// The first line tells what the operator was given, the proxy toward Atlas without its password.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_is_said_at_the_start() {
    let world = World::with_datadog_key("given").await;
    let atlas = world.shared.sim.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (port, heard) = proxy_before(atlas).await;
    let proxy = format!("http://us%40er:p%40ss%3Acanary@127.0.0.1:{port}");
    let flags = ["--watch-namespace", &world.namespace, "--selector", "team in (payments)"];
    rules::install(&world.shared.plane, world.account(), &flags).await;
    let url = "http://atlas.example";
    let environment = [("HTTP_PROXY", &*proxy)];
    let plane = &world.shared.plane;
    let operator = Operator::start_within(plane, world.account(), url, &flags, &environment).await;
    operator.until_ready().await;
    let started = entry(&operator, "started").await;
    assert_eq!(started["proxy"], format!("127.0.0.1:{port}"), "{started}");
    assert_eq!(started["namespaces"], *world.namespace, "{started}");
    assert_eq!(started["selector"], "team in (payments)", "{started}");
    assert_eq!(started["atlas"], "http://atlas.example/", "{started}");
    assert_eq!(started["atlas_api"], "auto", "{started}");
    assert_eq!(started["ca_certificates"], "those of the system", "{started}");
    assert_eq!(started["leader_elect"], false, "{started}");
    let mut object = world.manifest(
        "x",
        &serde_json::json!({"type": "DATADOG", "datadog":
        {"apiKeySecretRef": {"name": "keys", "key": "apiKey"}, "region": "US"}}),
    );
    object["metadata"]["labels"] = serde_json::json!({"team": "payments"});
    world.create(&object).await;
    let request = until("a request through the proxy", || heard.lock().unwrap().first().cloned()).await;
    assert!(request.starts_with("GET http://atlas.example/api/atlas/"), "{request}");
    // us@er:p@ss:canary
    let authorization = "Basic dXNAZXI6cEBzczpjYW5hcnk=";
    assert!(request.to_lowercase().contains("proxy-authorization"), "{request}");
    assert!(request.contains(authorization), "{request}");
    assert!(!operator.logs().contains("canary"), "no password in the log");
}

/// A namespace that is not there, or has nothing, is said once.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_there_is_said() {
    let world = World::new("absent").await;
    rules::install(&world.shared.plane, world.account(), &["--watch-namespace", &world.namespace]).await;
    let absent = format!("no-{}", world.namespace);
    let flags = ["--watch-namespace", &world.namespace, "--watch-namespace", &absent];
    let atlas = world.shared.sim.url();
    let operator = Operator::start_as(&world.shared.plane, world.account(), &atlas, &flags).await;
    let said = entry(&operator, &absent).await;
    assert_eq!(said["namespace"], *absent, "{said}");
}

/// The operator's own Secret is looked for before an object needs it.
#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_of_its_own_are_said() {
    let world = World::new("own-missing").await;
    let scope = ["--watch-namespace", &world.namespace];
    let operator = Operator::start_elsewhere(&world, &scope, &["--credentials-secret", "absent"]).await;
    let said = entry(&operator, "--credentials-secret can't be used").await;
    assert!(said["message"].as_str().unwrap().contains("Secret absent does not exist"), "{said}");
    assert_eq!(said["secret"], format!("{}/absent", world.namespace), "{said}");
}

/// A write that the API server refuses is in the log, with the project, what was refused and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_is_said() {
    let world = World::with_datadog_key("refused-status").await;
    let flags = ["--watch-namespace", &world.namespace];
    let mut rules = rules::of(world.account(), &flags);
    for rules in rules.iter_mut().filter_map(|object| object.get_mut("rules")?.as_array_mut()) {
        rules.retain(|rule| rule["resources"][0] != "atlasintegrations/status");
    }
    rules::apply(&world.shared.plane, world.account(), &rules).await;
    let operator = world.operator_with_rules_as_they_are(&[]).await;
    world.datadog("x").await;
    let said = entry(&operator, "a call to the API server failed").await;
    let message = said["message"].as_str().unwrap();
    assert!(message.contains("the status was not stored: "), "{said}");
    assert!(message.contains("deploy/cluster-finalizers.yaml"), "{said}");
    assert_eq!(said["object"], format!("{}/x", world.namespace), "{said}");
    assert_eq!((&said["project"], &said["type"]), (&world.project.id().into(), &"DATADOG".into()), "{said}");
}

/// `kubectl delete all --all` is what people type to empty a namespace of Pods and Services. It must not delete
/// integrations in Atlas.
#[tokio::test(flavor = "multi_thread")]
async fn the_kind_is_not_in_all() {
    let world = World::with_datadog_key("all").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let name = "atlasintegration.atlas-integrations.dev/x";
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().to_str().unwrap();
    let kubectl = |args: &[&str]| {
        let own = ["--namespace", &*world.namespace, "--cache-dir", folder];
        world.shared.try_kubectl(&[args, &own].concat())
    };
    // A new kind's categories are served a moment later, and kubectl remembers what it was told before.
    until("the category atlas", || {
        let listed = kubectl(&["get", "atlas", "--output", "name"]).ok();
        let _ = std::fs::remove_dir_all(folder);
        listed.filter(|listed| listed.trim() == name)
    })
    .await;
    assert!(!kubectl(&["get", "all", "--output", "name"]).unwrap().contains(name));
    kubectl(&["delete", "all", "--all"]).unwrap();
    assert_eq!(world.project.stored().len(), 1);
    x.synced().await;
    drop(operator);
}
