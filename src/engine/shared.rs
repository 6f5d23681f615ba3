//! What every pass may use.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::credentials::Credentials;
use super::election::{ElectionSettings, Lead};
use super::index::{Index, ProjectKey, Record};
use super::queue::Queue;
use super::standing::Standing;
use super::store::Store;
use crate::atlas;
use crate::cluster::{Defaults, Events, Scope, Stored, WriteError};
use crate::core::conditions::Patience;
use crate::core::pacing;
use crate::domain::{IntegrationType, ObjectKey, ProjectId, Reason};

/// The most projects that one change makes due before all routine.
const FEW: usize = 16;

/// How the engine behaves.
#[derive(Clone)]
pub struct Settings {
    /// The namespaces whose objects it keeps.
    pub scope: Scope,
    /// Whether Secrets are watched; otherwise they are read in each pass.
    pub watch_secrets: bool,
    /// The Secret with the operator's own credentials, for objects that name none.
    pub credentials_secret: Option<ObjectKey>,
    /// Label selector for objects.
    pub selector: Option<String>,
    /// The policies of a spec that leaves them unset.
    pub defaults: Defaults,
    /// The time between two looks at Atlas without any other cause.
    pub resync_interval: Duration,
    /// How long a cause may last before the object is Stalled.
    pub patience: Patience,
    /// How many passes run at a time. A few more may run, each for a namespace of which none runs.
    pub concurrency: usize,
    /// Atlas's address, for `status.prometheusDiscoveryUrl`.
    pub atlas_url: url::Url,
    /// How one of several replicas is elected to act; `None` if there is only this one.
    pub election: Option<ElectionSettings>,
}

/// How far the process is, for the readiness probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Leader election: nothing is known of the Lease yet.
    #[default]
    BeforeLease,
    /// Another process is the leader.
    StandingBy,
    /// It acts, but has not listed everything yet.
    Listing,
    /// It acts.
    Acting,
    /// It ends.
    Stopping,
}

/// What the probes are told. The engine's thread writes it, and the thread of the probes reads it.
#[derive(Debug)]
pub struct State {
    readiness: Mutex<Readiness>,
    beat: Mutex<Instant>,
}

impl Default for State {
    fn default() -> State {
        State { readiness: Mutex::default(), beat: Mutex::new(Instant::now()) }
    }
}

impl State {
    /// How far the process is now.
    pub fn get(&self) -> Readiness {
        *self.readiness.lock()
    }

    /// Notes how far it is.
    pub fn set(&self, readiness: Readiness) {
        *self.readiness.lock() = readiness;
    }

    /// Notes that the engine's thread still takes turns. Whoever runs the engine calls it there, again and again.
    pub fn beat(&self) {
        *self.beat.lock() = Instant::now();
    }

    /// How long ago the engine's thread last did.
    pub fn silence(&self) -> Duration {
        self.beat.lock().elapsed()
    }
}

/// What the engine reports for metrics.
pub trait Telemetry: Send + Sync {
    /// A pass has ended.
    fn pass(&self, seconds: f64);
    /// Drift was found.
    fn drift(&self, kind: IntegrationType);
    /// An object's Ready condition changed.
    fn transition(&self, reason: Reason);
    /// How many objects and places there are, and how many places wait.
    fn size(&self, objects: usize, places: usize, waiting: usize);
    /// Whether this process is the one that acts.
    fn leader(&self, leads: bool);
    /// How many watched namespaces there are whose objects may not be listed.
    fn unlisted(&self, namespaces: usize);
}

/// What every pass may use.
pub(super) struct Shared {
    pub settings: Settings,
    pub index: Arc<Mutex<Index>>,
    pub queue: Arc<Queue>,
    pub store: Store,
    pub credentials: Credentials,
    pub standing: Standing,
    pub atlas: atlas::Client,
    pub events: Events,
    pub telemetry: Arc<dyn Telemetry>,
    pub started: Instant,
    pub lead: Arc<Lead>,
}

impl Shared {
    /// Whether this process may begin a write now. Once it may not, it never may again, and ends.
    pub fn leads(&self) -> bool {
        self.lead.may_write(Instant::now())
    }

    /// Reads an object for the plan of a pass; see [`Store::newest`].
    ///
    /// # Errors
    /// [`WriteError::Gone`] if it does not exist any more, [`WriteError::Moved`] if another object has its name or this
    /// process does not lead any more: a LIST belongs to the term in which it was made, and a plan must not outlive it.
    pub async fn read(&self, record: &Record) -> Result<Stored, WriteError> {
        let stored = self.store.newest(&record.key).await?.ok_or(WriteError::Gone)?;
        if stored.object.uid == record.uid && self.leads() { Ok(stored) } else { Err(WriteError::Moved) }
    }

    /// Makes projects due because an object, a Secret or a grant changed in the namespace `by`. Where one change concerns
    /// many projects, or where nobody in particular asked (`None`), they are looked at as a matter of routine.
    pub fn make_due(&self, by: Option<&Arc<str>>, projects: Vec<ProjectKey>) {
        match by {
            Some(by) if projects.len() <= FEW => self.queue.ask(by, projects),
            _ => {
                let index = self.index.lock();
                let homes =
                    projects.into_iter().map(|project| (index.home(&project).unwrap_or_default(), project));
                let homes: Vec<_> = homes.collect();
                drop(index);
                self.spread(homes, Instant::now());
            }
        }
    }

    /// Makes projects due one after another, from the time `from` on, as a matter of routine.
    pub fn spread(&self, projects: Vec<(Arc<str>, ProjectKey)>, from: Instant) {
        let count = projects.len();
        for (nth, (home, project)) in projects.into_iter().enumerate() {
            let at = from + pacing::spread(nth, count, self.settings.resync_interval);
            self.queue.plan(home, project, at);
        }
    }

    /// When a project's next resync is: each project has its own offset in every interval.
    pub fn next_resync(&self, project: &ProjectId, now: Instant) -> Instant {
        let interval = self.settings.resync_interval;
        let first = self.started + pacing::resync_offset(&project.to_string(), interval);
        let passed = now.saturating_duration_since(first).as_nanos() / interval.as_nanos().max(1);
        let turns = u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1;
        if now < first { first } else { first + interval.saturating_mul(turns) }
    }
}
