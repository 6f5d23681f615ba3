//! What a neighbour on the node, or a variable that was meant for something else, does to the process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use atlas_integration_stage::{Launch, Operator as Process};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control_plane::spawn_tied;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::platform::start::proxy_before;
use crate::world::{Operator, World, rules, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_atlas-integration-operator");

/// Starts an operator whose API server nobody answers for, and waits until it runs.
async fn start_alone(folder: &Path, program: &Path, cluster: &serde_json::Value) -> Process {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {"token": "x"}}]});
    let kubeconfig = folder.join("kubeconfig");
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let launch = Launch {
        binary: program,
        kubeconfig: &kubeconfig,
        log: &folder.join("log"),
        flags: &["--atlas-url", "http://127.0.0.1:9"],
        environment: &[("HTTPS_PROXY", "http://user:canary@127.0.0.1:9")],
    };
    let operator = Process::start(&launch).unwrap();
    until("the operator's address in its log", || operator.address().unwrap()).await;
    operator
}

/// The variables of proxies are for the way to Atlas. With one that leads nowhere the lists complete, an object becomes
/// ready, and no connection to the API server is tried through it.
#[tokio::test(flavor = "multi_thread")]
async fn a12_a_proxy_variable_does_not_take_the_api_servers_traffic() {
    let world = World::with_datadog_key("proxied").await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let https = format!("http://{}", nowhere.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        while nowhere.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let atlas = world.shared.sim.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (port, heard) = proxy_before(atlas).await;
    let http = format!("http://127.0.0.1:{port}");
    let flags = ["--watch-namespace", &world.namespace];
    rules::install(&world.shared.plane, world.account(), &flags).await;
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let environment = [(name, &*https), ("HTTP_PROXY", &*http)];
        let url = "http://atlas.example";
        let operator =
            Operator::start_within(&world.shared.plane, world.account(), url, &flags, &environment).await;
        operator.until_ready().await;
        let object = world.datadog("x").await.synced().await;
        assert_eq!(object["status"]["conditions"].as_array().map(Vec::is_empty), Some(false));
        world.object("x").begin_deletion().await;
        world.object("x").gone().await;
        let heard: Vec<String> = std::mem::take(&mut *heard.lock().unwrap());
        assert!(!heard.is_empty(), "the calls to Atlas go through the proxy that is for them");
        assert!(heard.iter().all(|head| head.contains(" http://atlas.example/api/atlas/")), "{heard:#?}");
        assert_eq!(came.load(Ordering::Relaxed), 0, "connections to the proxy of {name}");
    }
}

/// A proxy that the kubeconfig itself names was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a12_the_proxy_of_a_kubeconfig_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://us%40er:canary@{}", proxy.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(None));
    let first = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            *first.lock().unwrap() = Some(String::from_utf8_lossy(&head[..length]).into_owned());
        }
    });
    let cluster = json!({"server": "https://api.example.com:6443", "proxy-url": url});
    let _operator = start_alone(folder.path(), Path::new(PROGRAM), &cluster).await;
    let head = until("a request to the proxy", || asked.lock().unwrap().clone()).await;
    assert!(head.starts_with("CONNECT api.example.com:6443 "), "{head}");
    let authorization = format!("authorization: basic {}", STANDARD.encode("us@er:canary")).to_lowercase();
    assert!(head.to_lowercase().contains(&authorization), "{head}");
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("canary"), "{log}");
}

/// Without the capabilities of root, as the pod and its neighbours run, and with them where the tests have none anyway.
fn without_capabilities(program: &str) -> String {
    let root = rustix::process::geteuid().is_root();
    if root { format!("setpriv --bounding-set=-all --inh-caps=-all {program}") } else { program.to_owned() }
}

/// Opens a file of a process in `/proc`, as another process of the same user does it.
fn open(pid: i32, file: &str) -> Output {
    let command = without_capabilities(&format!("sh -c ': < /proc/{pid}/{file}'"));
    Command::new("sh").args(["-c", &command]).env("LC_ALL", "C").output().unwrap()
}

/// A neighbour of the same user reads neither memory nor environment, and no core file is written, whatever the limit
/// was that the process came with.
#[tokio::test(flavor = "multi_thread")]
async fn a12_no_other_process_reads_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("operator");
    let program = without_capabilities(PROGRAM);
    fs::write(&script, format!("#!/bin/sh\nulimit -c \"$(ulimit -H -c)\"\nexec {program} \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let operator = start_alone(folder.path(), &script, &json!({"server": "https://127.0.0.1:9"})).await;

    // Another program that is started alike is open to its neighbours.
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {}", without_capabilities("sleep 600"))]).stdin(Stdio::null());
    let mut other = spawn_tied(command).unwrap();
    let pid = i32::try_from(other.id()).unwrap();
    until("the other program", || {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        (name == "sleep\n").then_some(())
    })
    .await;
    for file in ["environ", "maps", "auxv"] {
        let opened = open(pid, file);
        assert!(opened.status.success(), "{file}: {}", String::from_utf8_lossy(&opened.stderr));
    }
    other.kill().unwrap();
    other.wait().unwrap();

    for file in ["environ", "maps", "auxv", "mem"] {
        let opened = open(operator.id(), file);
        let said = String::from_utf8_lossy(&opened.stderr).into_owned();
        assert!(!opened.status.success() && said.contains("denied"), "{file}: {said}");
    }
    let limits = fs::read_to_string(operator.proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let core: Vec<&str> = core.split_whitespace().skip(4).collect();
    assert_eq!(core[..2], ["0", "0"], "{limits}");
}
