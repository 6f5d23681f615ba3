//! The operator's process: the binary beside the demo's own, with the rights of its ServiceAccount.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::http;
use crate::patience::{POLL, Patience, SharedChild};

const NAME: &str = "atlas-integration-operator";
/// How long it may take to be ready.
const LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How much of the log is shown when something fails.
const LAST_LINES: usize = 25;

/// A running operator; dropping it ends it.
#[derive(Debug)]
pub struct Operator {
    child: SharedChild,
    log: PathBuf,
    address: SocketAddr,
}

impl Operator {
    /// Where the binary is.
    pub fn binary() -> Result<PathBuf, Error> {
        let own = std::env::current_exe().map_err(Error::system("finding the demo's own binary"))?;
        let binary = own.with_file_name(NAME);
        if binary.is_file() {
            return Ok(binary);
        }
        Err(Error::Unexpected(format!(
            "{} is missing: run `make demo`, which builds it, or `cargo build -p {NAME}`",
            binary.display()
        )))
    }

    /// Starts it and waits until it is ready.
    pub fn start(
        kubeconfig: &Path,
        atlas_url: &str,
        log: PathBuf,
        patience: &Patience,
    ) -> Result<Operator, Error> {
        let file = File::create(&log).map_err(Error::system(format!("creating {}", log.display())))?;
        let mut command = Command::new(Operator::binary()?);
        command
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            // The log is a file.
            .env("NO_COLOR", "1")
            .args(["run", "--atlas-url", atlas_url, "--insecure-atlas-url"])
            .args(["--resync-interval", "2s", "--bind", "127.0.0.1:0", "--log-format", "text"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // A group of its own: Ctrl-C goes to the demo alone, which ends it in order.
            .process_group(0);
        let child = control_plane::spawn_tied(command).map_err(Error::system("starting the operator"))?;
        let child = SharedChild::new(child);
        patience.watch_operator(&child);
        let mut operator = Operator { child, log, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        operator.wait_until_ready(patience).map_err(|error| operator.explain(error))?;
        Ok(operator)
    }

    fn wait_until_ready(&mut self, patience: &Patience) -> Result<(), Error> {
        self.address = patience.until("the operator to be ready", LIMIT, || {
            Ok(address_in(&self.log_text()).filter(|address| http::is_ok(*address, "/readyz")))
        })?;
        Ok(())
    }

    /// Adds what it logged last to an error.
    pub fn explain(&self, error: Error) -> Error {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let log = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        Error::Story { error: Box::new(error), log }
    }

    /// `/metrics`, `/livez` and `/readyz` are served here.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All that it has logged.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        // In order, if it can: a write under way is finished.
        if matches!(child.try_wait(), Ok(None)) && kill_process(Pid::from_child(&child), Signal::TERM).is_ok()
        {
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < GRACE {
                thread::sleep(POLL);
            }
        }
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// `… started address=127.0.0.1:40001 …`
fn address_in(log: &str) -> Option<SocketAddr> {
    log.split_whitespace().find_map(|word| word.strip_prefix("address="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_address_is_read_from_the_log() {
        let log = "2026-01-01T00:00:00Z  INFO x: started address=127.0.0.1:4001 version=\"0\"\n";
        assert_eq!(address_in(log).map(|address| address.port()), Some(4001));
        assert_eq!(address_in("nothing yet"), None);
    }
}
