//! The operator that is measured, and what its own metrics and the kernel say of it.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Deref;
use std::time::{Duration, Instant};

use atlas_integration_stage::{Launch, Operator as Process};

use crate::Failed;
use crate::stage::Stage;

/// How long anything is waited for.
pub const LIMIT: Duration = Duration::from_secs(3 * 3_600);
const POLL: Duration = Duration::from_millis(20);

/// Its user, to the API server.
pub const USER: &str = "system:serviceaccount:atlas-integration-operator:atlas-integration-operator";

/// A running operator; dropping it kills it.
pub struct Operator(Process);

impl Deref for Operator {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl Operator {
    /// Starts it with further flags and waits until its first lists are complete. Without flags it is cluster-wide. Its
    /// resyncs are so rare that they are no part of what is measured, of a hundred thousand projects either.
    pub async fn start(stage: &Stage, flags: &[&str]) -> Result<Operator, Failed> {
        Operator::start_with_resyncs(stage, &[&["--resync-interval", "24h"], flags].concat()).await
    }

    /// The same with resyncs as often as they are by default.
    pub async fn start_with_resyncs(stage: &Stage, flags: &[&str]) -> Result<Operator, Failed> {
        let log = stage.plane.dir().join("operator.log");
        let url = stage.sim.url();
        let levels = "warn,atlas_integration_operator::cli=info";
        let own = ["--atlas-url", &url, "--log-level", levels];
        let flags = [&own, flags].concat();
        let launch = Launch {
            binary: &Process::binary()?,
            kubeconfig: &stage.kubeconfig,
            log: &log,
            flags: &flags,
            environment: &[],
        };
        let operator = Operator(Process::start(&launch)?);
        operator.until("ready", |operator| operator.is_ready().unwrap_or_default()).await?;
        Ok(operator)
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Operator) -> bool) -> Result<(), Failed> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if let Some(status) = self.status()? {
                return Err(format!("the operator ended ({status}):\n{}", self.logs()).into());
            }
            if holds(self) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("not {what} after {LIMIT:?}").into())
    }

    /// Waits until it rests: no CPU worth the name in a second.
    pub async fn until_idle(&self) -> Result<(), Failed> {
        let mut last = self.cpu_seconds()?;
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.cpu_seconds()?;
            if now - last < 0.05 {
                return Ok(());
            }
            last = now;
        }
    }

    /// User and system time since its start.
    pub fn cpu_seconds(&self) -> Result<f64, Failed> {
        let text = fs::read_to_string(self.proc("stat"))?;
        // The name, in parentheses, may have spaces; user and system time are the 14th and 15th field (proc_pid_stat(5)).
        let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: f64 =
            rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

/// A metric's sum; 0 while the operator does not answer.
pub fn total(operator: &Operator, metric: &str, labels: &str) -> f64 {
    operator.metric(metric, labels).unwrap_or_default()
}

/// How often an object of this operator came to have this reason in Ready.
pub fn became(operator: &Operator, reason: &str) -> f64 {
    total(operator, "atlas_integration_transitions_total", &format!("reason=\"{reason}\""))
}

/// Restarts the API server, which ends all watches, and waits until the operator watches objects and Secrets of
/// `scopes` namespaces (1 if it watches all) again, and rests.
pub async fn restart_api_server(stage: &Stage, operator: &Operator, scopes: usize) -> Result<(), Failed> {
    stage.plane.stop_apiserver()?;
    let mut position = stage.plane.audit_position()?;
    stage.plane.start_apiserver()?;
    let mut watched = BTreeSet::new();
    let begun = Instant::now();
    while watched.len() < 2 * scopes {
        if begun.elapsed() > LIMIT {
            return Err(format!("{} of {} watches after {LIMIT:?}", watched.len(), 2 * scopes).into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (events, end) = stage.plane.audit_since(position)?;
        position = end;
        let opened = events.into_iter().filter(|event| {
            event.user == USER
                && event.verb == "watch"
                && event.stage == "ResponseStarted"
                && event.code == 200
        });
        let of_scope = opened.filter(|event| matches!(&*event.resource, "atlasintegrations" | "secrets"));
        watched.extend(of_scope.map(|event| (event.resource, event.namespace)));
    }
    operator.until_idle().await
}
