//! The operator that is measured, and what its own metrics and the kernel say of it.

use std::fs;
use std::ops::Deref;
use std::time::{Duration, Instant};

use atlas_integration_stage::{Launch, Operator as Process};

use crate::Failed;
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(1_800);
const POLL: Duration = Duration::from_millis(20);

/// A running operator; dropping it kills it.
pub struct Operator(Process);

impl Deref for Operator {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl Operator {
    /// Starts it cluster-wide and waits until its first lists are complete.
    pub async fn start(stage: &Stage) -> Result<Operator, Failed> {
        let log = stage.plane.dir().join("operator.log");
        let url = stage.sim.url();
        let levels = "warn,atlas_integration_operator::cli=info";
        let flags = ["--atlas-url", &url, "--log-level", levels, "--resync-interval", "1h"];
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
