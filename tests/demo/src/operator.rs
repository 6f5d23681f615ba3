//! The operator of the demo: the binary beside the demo's own, with the rights of its ServiceAccount.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atlas_integration_stage::{Launch, Operator as Process};

use crate::error::Error;
use crate::patience::Patience;

/// How long it may take to be ready.
const LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How much of the log is shown when something fails.
const LAST_LINES: usize = 25;

/// A running operator; dropping it ends it.
#[derive(Debug)]
pub struct Operator {
    process: Arc<Process>,
    address: SocketAddr,
}

impl Operator {
    /// Starts it and waits until it is ready.
    pub fn start(
        binary: &Path,
        kubeconfig: &Path,
        atlas_url: &str,
        log: &Path,
        patience: &Patience,
    ) -> Result<Operator, Error> {
        let flags = ["--atlas-url", atlas_url, "--resync-interval", "2s", "--log-format", "text"];
        // The log is a file.
        let environment = &[("NO_COLOR", "1")];
        let launch = Launch { binary, kubeconfig, log, flags: &flags, environment };
        let process = Arc::new(Process::start(&launch)?);
        patience.watch_operator(&process);
        let ready = || Ok(if process.is_ready()? { process.address()? } else { None });
        let address = patience.until("the operator to be ready", LIMIT, ready);
        let address = address.map_err(|error| explained(&process, error))?;
        Ok(Operator { process, address })
    }

    /// Adds what it logged last to an error.
    pub fn explain(&self, error: Error) -> Error {
        explained(&self.process, error)
    }

    /// `/metrics`, `/livez` and `/readyz` are served here.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// All that it has logged.
    pub fn log_text(&self) -> String {
        self.process.logs()
    }
}

fn explained(process: &Process, error: Error) -> Error {
    Error::Story { error: Box::new(error), log: process.last_logs(LAST_LINES) }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.process.end(GRACE);
    }
}
