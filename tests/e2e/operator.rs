//! The operator's process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use control_plane::ControlPlane;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rules;
use crate::world::{LIMIT, World, until};

/// A running operator; dropping it kills it.
pub struct Operator {
    child: Child,
    log: PathBuf,
    address: String,
}

impl Operator {
    /// Starts one that watches the world's namespace, with a resync of a second unless `flags` say otherwise, and
    /// waits until it is ready.
    pub async fn start(world: &World, flags: &[&str]) -> Operator {
        let mut operator = Operator::start_unready(world, flags).await;
        operator.until_ready().await;
        operator
    }

    /// Starts one without waiting for it to be ready.
    pub async fn start_unready(world: &World, flags: &[&str]) -> Operator {
        Operator::start_on(&world.shared.plane, &world.namespace, &world.shared.sim.url(), flags).await
    }

    /// Starts one on any control plane, as the ServiceAccount `operator` of the namespace that it watches, with the
    /// rules for that.
    pub async fn start_on(plane: &ControlPlane, namespace: &str, atlas: &str, flags: &[&str]) -> Operator {
        let watch = [&["--watch-namespace", namespace], flags].concat();
        rules::install(plane, (namespace, "operator"), &watch).await;
        Operator::start_as(plane, (namespace, "operator"), atlas, &watch).await
    }

    /// Starts one that runs in the world's namespace and watches what `scope` says, with the rules for that, and waits
    /// until it is ready.
    pub async fn start_elsewhere(world: &World, scope: &[&str], flags: &[&str]) -> Operator {
        let (plane, atlas) = (&world.shared.plane, world.shared.sim.url());
        let flags = [scope, flags].concat();
        rules::install(plane, world.account(), &flags).await;
        let mut operator = Operator::start_as(plane, world.account(), &atlas, &flags).await;
        operator.until_ready().await;
        operator
    }

    /// Starts one as any ServiceAccount (namespace and name), with the scope that `flags` give it, and with what rules
    /// the account has.
    pub async fn start_as(
        plane: &ControlPlane,
        account: (&str, &str),
        atlas: &str,
        flags: &[&str],
    ) -> Operator {
        Operator::start_within(plane, account, atlas, flags, &[]).await
    }

    /// The same with further variables in its environment.
    pub async fn start_within(
        plane: &ControlPlane,
        (namespace, name): (&str, &str),
        atlas: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Operator {
        let kubeconfig =
            tokio::task::block_in_place(|| plane.kubeconfig_for_service_account(namespace, name)).unwrap();
        Operator::start_by(plane, &kubeconfig, atlas, flags, environment).await
    }

    /// Starts one by a kubeconfig of any kind.
    pub async fn start_by(
        plane: &ControlPlane,
        kubeconfig: &Path,
        atlas: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Operator {
        let log = plane.dir().join(format!("operator-{}.log", uid()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_atlas-integration-operator"));
        command.env_clear().env("KUBECONFIG", kubeconfig).env("RUST_BACKTRACE", "full").arg("run").args([
            "--insecure-atlas-url",
            "--bind",
            "127.0.0.1:0",
        ]);
        command.envs(environment.iter().copied());
        let defaults = [
            ("--atlas-url", atlas),
            ("--resync-interval", "1s"),
            ("--log-level", "trace"),
            // What is in doubt after a lost answer stays so for twice as long.
            ("--atlas-timeout", "6s"),
        ];
        for (flag, value) in defaults {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command
            .args(flags)
            .args(rules::flags_of_mode(flags))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let child = control_plane::spawn_tied(command).unwrap();
        let mut operator = Operator { child, log, address: String::new() };
        operator.address = until("the operator's address in its log", || operator.find_address()).await;
        operator
    }

    fn find_address(&mut self) -> Option<String> {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the operator ended ({status}):\n{}", self.logs());
        }
        let logs = self.logs();
        let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["address"].as_str().map(str::to_owned)).next()
    }

    /// Waits for /readyz.
    pub async fn until_ready(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if self.get("/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the operator is not ready after {LIMIT:?}:\n{}", self.logs());
    }

    /// A GET of the operator's own port, with head and body; `None` when it does not answer.
    pub async fn get(&self, path: &str) -> Option<String> {
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The value of a metric, summed over its labels: of all samples that begin like this.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").await.unwrap();
        let samples = metrics.lines().filter(|line| line.starts_with(name));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// How it names itself where it has no pod's name.
    pub fn instance(&self) -> String {
        format!("pid-{}", self.child.id())
    }

    /// Where its own port is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A file of its in `/proc`.
    pub fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// The most memory that it ever had, in KiB, by the kernel.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// All that it logged.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGSTOP: it keeps its connections and its views, and does nothing, as a process that the system forgot.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT: it goes on with what it knew.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGKILL; answers all that it logged.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.logs()
    }

    /// SIGTERM; waits for the end and answers the exit code and the logs.
    pub async fn stop(self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        self.ended().await
    }

    /// Waits for the end and answers the exit code and the logs.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = until("the operator's end", || self.child.try_wait().unwrap()).await;
        (status.code(), self.logs())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let logs = self.logs();
            let lines: Vec<&str> = logs.lines().collect();
            eprintln!(
                "last lines of the operator's log:\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

fn uid() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
