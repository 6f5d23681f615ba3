//! Everything the simulator knows, behind one lock: projects, credentials, nonces, tokens, logs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::auth::{Accounts, Keys, Nonces, Tokens};
use crate::exchange::{Changes, Counters, Exchange, Log};
use crate::fault::Queue;
use crate::limits::{Bucket, PerMinute};
use crate::settings::Settings;
use crate::store::Store;

/// The state and the address it is served on.
pub struct Shared {
    state: Mutex<State>,
    pub address: SocketAddr,
}

impl Shared {
    pub fn new(address: SocketAddr) -> Self {
        Self { state: Mutex::default(), address }
    }

    /// The state. A panic in a test's closure must not take the other tests along, hence poison is ignored.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state.
#[derive(Default)]
pub struct State {
    pub settings: Settings,
    pub projects: BTreeMap<String, ProjectState>,
    pub keys: Keys,
    pub accounts: Accounts,
    pub tokens: Tokens,
    pub nonces: Nonces,
    pub counters: Counters,
    pub faults: Queue,
    /// Exchanges that name no project that exists.
    pub strays: Log,
    pub sequence: u64,
}

/// One project.
pub struct ProjectState {
    /// The organisation; by default one of its own.
    pub org: String,
    pub store: Store,
    /// Own switches, once they have been touched.
    pub settings: Option<Settings>,
    pub faults: Queue,
    pub log: Log,
    pub changes: Changes,
    pub bucket: Bucket,
    pub legacy: PerMinute,
}

impl ProjectState {
    fn new(id: &str) -> Self {
        Self {
            org: format!("org-of-{id}"),
            store: Store::default(),
            settings: None,
            faults: Queue::default(),
            log: Log::default(),
            changes: Changes::default(),
            bucket: Bucket::default(),
            legacy: PerMinute::default(),
        }
    }
}

impl State {
    /// The project; an empty one if it is new.
    pub fn project(&mut self, id: &str) -> &mut ProjectState {
        self.projects.entry(id.to_owned()).or_insert_with(|| ProjectState::new(id))
    }

    /// Does something to the store of a project that exists, and notes what became of one type.
    pub fn noting<T>(
        &mut self,
        project: &str,
        kind: &str,
        by: Option<u64>,
        work: impl FnOnce(&mut State) -> T,
    ) -> T {
        let plain = |state: &State| state.projects.get(project).and_then(|found| found.store.plain(kind));
        let before = plain(self);
        let done = work(self);
        let after = plain(self);
        if let Some(found) = self.projects.get_mut(project) {
            found.changes.note(by, kind, before, after);
        }
        done
    }

    /// The switches that are in force for a project, or for none.
    pub fn settings_of(&self, project: Option<&str>) -> &Settings {
        let own = project.and_then(|id| self.projects.get(id)).and_then(|project| project.settings.as_ref());
        own.unwrap_or(&self.settings)
    }

    /// The log that an exchange about this project belongs to.
    pub fn log_of(&mut self, project: Option<&str>) -> &mut Log {
        match project.and_then(|id| self.projects.get_mut(id)) {
            Some(project) => &mut project.log,
            None => &mut self.strays,
        }
    }

    /// Notes an exchange that has begun, and gives its number.
    pub fn begin(&mut self, project: Option<&str>, exchange: impl FnOnce(u64) -> Exchange) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        self.counters.requests += 1;
        self.log_of(project).push(exchange(sequence));
        sequence
    }
}
