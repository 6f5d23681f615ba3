//! Taking servers away from under their clients, and giving them back with the same address and the same
//! data.
//!
//! For tests of what the operator does when the API is gone or silent. Stop ends in order (open watches are
//! closed), kill does not, pause leaves connections open and unanswered.

use std::time::Duration;

use rustix::process::Signal;

use crate::process::Server;
use crate::{ControlPlane, Error, plane};

/// How long a server may take to end in order; normally it is two or three seconds.
const STOP: Duration = Duration::from_secs(10);

impl ControlPlane {
    /// Stops kube-apiserver in order (killing it after ten seconds).
    pub fn stop_apiserver(&self) -> Result<(), Error> {
        stop(&mut self.servers().apiserver, STOP)
    }

    /// Ends kube-apiserver at once, as a crash would.
    pub fn kill_apiserver(&self) -> Result<(), Error> {
        stop(&mut self.servers().apiserver, Duration::ZERO)
    }

    /// Starts kube-apiserver again and waits until it is ready, which needs etcd.
    pub fn start_apiserver(&self) -> Result<(), Error> {
        self.servers().apiserver.start()?;
        self.wait_ready()
    }

    /// Freezes kube-apiserver: connections stay open and are not answered.
    pub fn pause_apiserver(&self) -> Result<(), Error> {
        self.servers().apiserver.signal(Signal::STOP, "paused")
    }

    /// Lets a paused kube-apiserver go on.
    pub fn resume_apiserver(&self) -> Result<(), Error> {
        self.servers().apiserver.signal(Signal::CONT, "resumed")
    }

    /// Stops etcd in order (killing it after ten seconds). kube-apiserver then answers with errors.
    pub fn stop_etcd(&self) -> Result<(), Error> {
        stop(&mut self.servers().etcd, STOP)
    }

    /// Ends etcd at once. What was acknowledged is kept: the system still has what was written.
    pub fn kill_etcd(&self) -> Result<(), Error> {
        stop(&mut self.servers().etcd, Duration::ZERO)
    }

    /// Starts etcd again and waits until it listens; see [`wait_ready`](Self::wait_ready) for kube-apiserver.
    pub fn start_etcd(&self) -> Result<(), Error> {
        plane::start_etcd(&mut self.servers().etcd, self.dir())
    }

    /// Freezes etcd: requests to kube-apiserver run into their time limits.
    pub fn pause_etcd(&self) -> Result<(), Error> {
        self.servers().etcd.signal(Signal::STOP, "paused")
    }

    /// Lets a paused etcd go on.
    pub fn resume_etcd(&self) -> Result<(), Error> {
        self.servers().etcd.signal(Signal::CONT, "resumed")
    }
}

fn stop(server: &mut Server, grace: Duration) -> Result<(), Error> {
    if !server.is_started() {
        return Err(server.state_error("stopped", "stopped again"));
    }
    server.stop(grace);
    Ok(())
}
