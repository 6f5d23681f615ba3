//! The operator as the tests start it: with rules of its own, and flags that let a test go quickly.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use atlas_integration_stage::{Launch, Operator as Process};
use control_plane::ControlPlane;
use rustix::process::Signal;

use crate::world::{LIMIT, World, log, rules, until};

/// A running operator; dropping it kills it.
pub struct Operator(Process, LogFormat);

#[derive(PartialEq)]
enum LogFormat {
    Json,
    Text,
}

impl Deref for Operator {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl Operator {
    /// Starts one that watches the world's namespace, with a resync of a second unless `flags` say otherwise, and
    /// waits until it is ready.
    pub async fn start(world: &World, flags: &[&str]) -> Operator {
        let (plane, atlas) = (&world.shared.plane, world.shared.sim.url());
        Operator::start_on(plane, &world.namespace, &atlas, flags).await.ready().await
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
        Operator::start_as(plane, world.account(), &atlas, &flags).await.ready().await
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
        let defaults = [
            ("--atlas-url", atlas),
            ("--resync-interval", "1s"),
            ("--log-level", "trace"),
            // What is in doubt after a lost answer stays so for twice as long.
            ("--atlas-timeout", "6s"),
        ];
        let defaults = defaults.into_iter().filter(|(flag, _)| !flags.contains(flag));
        let defaults: Vec<&str> = defaults.flat_map(|(flag, value)| [flag, value]).collect();
        let launch = Launch {
            binary: Path::new(env!("CARGO_BIN_EXE_atlas-integration-operator")),
            kubeconfig,
            log: &log,
            flags: &[&defaults, flags, rules::flags_of_mode(flags)].concat(),
            environment: &[&[("RUST_BACKTRACE", "full")], environment].concat(),
        };
        let text = launch.flags.iter().any(|flag| *flag == "text" || *flag == "--log-format=text");
        let format = if text { LogFormat::Text } else { LogFormat::Json };
        let operator = Operator(Process::start(&launch).unwrap(), format);
        until("the operator's address in its log", || operator.0.address().unwrap()).await;
        operator
    }

    /// The same operator once it is ready.
    pub async fn ready(self) -> Operator {
        self.until_ready().await;
        self
    }

    /// Waits for /readyz.
    pub async fn until_ready(&self) {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if tokio::task::block_in_place(|| self.is_ready()).unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the operator is not ready after {LIMIT:?}:\n{}", self.logs());
    }

    /// A GET of the operator's own port, with head and body; `None` when it does not answer.
    pub async fn get(&self, path: &str) -> Option<String> {
        let (address, path) = (self.address(), path.to_owned());
        tokio::task::spawn_blocking(move || atlas_integration_stage::get(address, &path).ok()).await.unwrap()
    }

    /// The value of a metric, summed over its labels: of all samples that begin like this.
    pub async fn metric(&self, beginning: &str) -> u64 {
        tokio::task::block_in_place(|| self.0.metric(beginning, "")).unwrap() as u64
    }

    /// How it names itself where it has no pod's name.
    pub fn instance(&self) -> String {
        format!("pid-{}", self.id())
    }

    /// Where its own port is.
    pub fn address(&self) -> SocketAddr {
        self.0.address().unwrap().unwrap()
    }

    /// SIGSTOP: it keeps its connections and its views, and does nothing, as a process that the system forgot.
    pub fn pause(&self) {
        self.signal(Signal::STOP).unwrap();
    }

    /// SIGCONT: it goes on with what it knew.
    pub fn resume(&self) {
        self.signal(Signal::CONT).unwrap();
    }

    /// SIGKILL; returns all that it logged.
    pub fn kill(self) -> String {
        self.0.kill();
        self.logs()
    }

    /// SIGTERM; waits for the end and returns the exit code and the logs.
    pub async fn stop(self) -> (Option<i32>, String) {
        // It may have ended already: then its exit code tells.
        let _ = self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for the end and returns the exit code and the logs.
    pub async fn ended(self) -> (Option<i32>, String) {
        let status = until("the operator's end", || self.status().unwrap()).await;
        (status.code(), self.logs())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.kill();
            eprintln!("last lines of the operator's log:\n{}", self.last_logs(40));
        } else if self.1 == LogFormat::Json {
            self.0.kill();
            let problems = log::problems(&self.logs());
            assert!(problems.is_empty(), "the log: {problems:#?}");
        }
    }
}

fn uid() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
