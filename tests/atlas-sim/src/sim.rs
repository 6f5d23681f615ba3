//! The simulator's handle.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::exchange::{Counters, Exchange};
use crate::fault::Fault;
use crate::project::Project;
use crate::server::Server;
use crate::settings::Settings;

/// A running simulator. Dropping it stops the server; handles of projects stay readable.
pub struct AtlasSim {
    server: Server,
}

impl AtlasSim {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start() -> io::Result<Self> {
        Self::start_blocking(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts on this address, which must be a loopback address.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        Self::start_blocking(address)
    }

    /// Starts on this address, for callers without a runtime.
    pub fn start_blocking(address: SocketAddr) -> io::Result<Self> {
        Server::start(address).map(|server| Self { server })
    }

    /// The base URL, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.shared.address)
    }

    /// The project of this id; an empty one of its own organisation if it is new.
    pub fn project(&self, project_id: &str) -> Project {
        Project::new(Arc::clone(&self.server.shared), project_id)
    }

    /// The ids of all projects.
    pub fn projects(&self) -> Vec<String> {
        self.server.shared.lock().projects.keys().cloned().collect()
    }

    /// Removes a project with all that is in it: from now on it answers `GROUP_NOT_FOUND`.
    /// A handle of it creates it anew when it is used.
    pub fn remove_project(&self, project_id: &str) -> bool {
        self.server.shared.lock().projects.remove(project_id).is_some()
    }

    /// Changes the global switches, which hold for projects without switches of their own.
    /// The closure must not call the simulator.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.server.shared.lock().settings);
    }

    /// Adds a scripted fault for requests to any project.
    pub fn fault(&self, fault: Fault) {
        self.server.shared.lock().faults.push(fault);
    }

    /// Removes the faults for any project.
    pub fn clear_faults(&self) {
        self.server.shared.lock().faults.clear();
    }

    /// Counters of the whole simulator.
    pub fn counters(&self) -> Counters {
        self.server.shared.lock().counters.clone()
    }

    /// Requests that name no existing project: OAuth, unknown projects, other paths. The last 10,000.
    pub fn stray_exchanges(&self) -> Vec<Exchange> {
        self.server.shared.lock().strays.copies()
    }
}
