//! The operator's process, and what the kernel and its own metrics say of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failed;
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(1_800);
const POLL: Duration = Duration::from_millis(20);

/// A running operator; dropping it kills it.
pub struct Operator {
    child: Child,
    log: PathBuf,
    address: String,
    started: Instant,
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

impl Operator {
    /// Starts it cluster-wide and waits until its first lists are complete.
    pub async fn start(stage: &Stage) -> Result<Operator, Failed> {
        let binary = std::env::current_exe()?.with_file_name("atlas-integration-operator");
        let log = stage.plane.dir().join("operator.log");
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("KUBECONFIG", &stage.kubeconfig)
            .args(["run", "--atlas-url", &stage.sim.url(), "--insecure-atlas-url", "--bind", "127.0.0.1:0"])
            .args(["--log-level", "warn,atlas_integration_operator::cli=info", "--resync-interval", "1h"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = control_plane::spawn_tied(command)?;
        let mut operator = Operator { child, log, address: String::new(), started: Instant::now() };
        operator.until("ready", |operator| operator.is_ready()).await?;
        Ok(operator)
    }

    fn is_ready(&mut self) -> bool {
        if self.address.is_empty() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            self.address = lines
                .filter_map(|line| line["address"].as_str().map(str::to_owned))
                .next()
                .unwrap_or_default();
        }
        !self.address.is_empty()
            && self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Since its start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The sum of a metric over its labels that contain `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits for a condition.
    pub async fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&mut Operator) -> bool,
    ) -> Result<(), Failed> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(format!("the operator ended ({status}):\n{log}").into());
            }
            if holds(self) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("not {what} after {LIMIT:?}").into())
    }

    /// Waits until it rests: no CPU worth the name in a second.
    pub async fn until_idle(&mut self) -> Result<(), Failed> {
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

    /// Its memory, by the kernel.
    pub fn memory(&self) -> Result<Memory, Failed> {
        let text = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        match (field("VmRSS:"), field("VmHWM:")) {
            (Some(now), Some(peak)) => Ok(Memory { now, peak }),
            _ => Err("the kernel says nothing of its memory".into()),
        }
    }

    /// User and system time since its start.
    pub fn cpu_seconds(&self) -> Result<f64, Failed> {
        let text = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("stat"))?;
        // The name, in parentheses, may have spaces; user and system time are the 14th and 15th field (proc_pid_stat(5)).
        let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: f64 =
            rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
