//! Runs the engine: waits until this process leads, starts the watches and the workers, and stops them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::credentials::Credentials;
use super::election::{Campaign, Lead};
use super::follow::Watches;
use super::index::{Index, ProjectKey};
use super::pass::pass;
use super::queue::Queue;
use super::shared::{Readiness, Settings, Shared, State, Telemetry};
use super::standing::Standing;
use super::store::Store;
use super::turn::{ProjectMemory, Turn};
use crate::atlas;
use crate::cluster::{Events, Namespaces, Secrets, Writer};
use crate::domain::{MemoryKey, ProjectId};

/// How long running passes may take to end once the engine stops.
const STOP_LIMIT: Duration = Duration::from_secs(25);
const JANITOR_EVERY: Duration = Duration::from_secs(60);

/// The engine.
pub struct Engine {
    shared: Arc<Shared>,
    client: kube::Client,
    state: Arc<State>,
}

impl Engine {
    /// Creates an engine. It does nothing before [`Engine::run`] is called.
    pub fn new(
        client: kube::Client,
        atlas: atlas::Client,
        writer: Writer,
        events: Events,
        telemetry: Arc<dyn Telemetry>,
        key: MemoryKey,
        settings: Settings,
    ) -> Engine {
        let own = settings.credentials_secret.clone();
        let index = Arc::new(Mutex::new(Index::new(own.clone())));
        let queue = Arc::new(Queue::new(settings.concurrency));
        let (secrets, namespaces) = (Secrets::new(client.clone()), Namespaces::new(client.clone()));
        let shared = Shared {
            lead: Arc::new(Lead::new(settings.election.is_some())),
            store: Store::new(writer, Arc::clone(&index), Arc::clone(&queue)),
            credentials: Credentials::new(
                (Arc::clone(&index), Arc::clone(&queue)),
                secrets,
                namespaces,
                own,
                key,
            ),
            standing: Standing::default(),
            settings,
            index,
            queue,
            atlas,
            events,
            telemetry,
            started: Instant::now(),
        };
        Engine { shared: Arc::new(shared), client, state: Arc::default() }
    }

    /// Returns the state for the readiness probe. The process is ready while it stands by, and while it acts, once its
    /// first lists are complete.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Runs until `stop` resolves. After that no pass begins, but running passes may end. With leader election, the
    /// process first stands by until it becomes the leader.
    ///
    /// # Errors
    /// Fails if the process loses leadership, or if the watches end, since an operator without watches must not
    /// continue.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let mut stop = std::pin::pin!(stop);
        let Some(election) = self.shared.settings.election.clone() else {
            return self.act(stop, Instant::now(), std::future::pending()).await.0;
        };
        let state = Arc::clone(&self.state);
        let standing_by = move || state.set(Readiness::StandingBy);
        let mut campaign = Campaign::begin(election, Arc::clone(&self.shared.lead), standing_by);
        let not_before = tokio::select! {
            won = campaign.won() => won?,
            () = &mut stop => {
                campaign.release(false).await;
                return Ok(());
            }
        };
        let (result, idle) = self.act(stop, not_before, campaign.lost()).await;
        // If a pass has not ended, its call may still reach Atlas, so this process keeps the Lease and lets it expire.
        // If our own takeover wait is not over, the next leader has to wait too.
        if idle && self.shared.leads() {
            campaign.release(Instant::now() >= not_before).await;
        }
        result
    }

    /// Follows the watches and runs passes until `stop` resolves, the watches end, or `lost` resolves to the reason why
    /// leadership was lost. No pass begins before `not_before`. The second value returned says whether all passes have
    /// ended.
    async fn act(
        &self,
        stop: impl Future<Output = ()>,
        not_before: Instant,
        lost: impl Future<Output = String>,
    ) -> (Result<(), String>, bool) {
        let mut lost = std::pin::pin!(lost);
        let mut following = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        let (client, state) = (self.client.clone(), Arc::clone(&self.state));
        shared.telemetry.leader(true);
        // As a standby the process was ready. As the leader it is ready only once its first lists are complete.
        state.set(Readiness::Listing);
        following.spawn(async move { follow(shared, client, state, not_before).await });
        let result = tokio::select! {
            () = stop => Ok(()),
            why = &mut lost => {
                tracing::error!(%why, "lost leadership");
                Err(format!("leadership was lost ({why}); a restart stands by again"))
            }
            _ = following.join_next() => {
                Err("the watches ended, which they never should; the log says why".to_owned())
            }
        };
        tracing::info!("stopping: passes under way may end, none begins");
        self.state.set(Readiness::Stopping);
        self.shared.queue.close();
        let idle = tokio::time::timeout(STOP_LIMIT, self.shared.queue.idle());
        let idle = if result.is_ok() {
            // Running passes may write only while this process leads, so the Lease is renewed until they have ended.
            let mut idle = std::pin::pin!(idle);
            tokio::select! { idle = &mut idle => idle, _ = lost => idle.await }
        } else {
            idle.await
        };
        if idle.is_err() {
            tracing::warn!("some passes did not end in time; what they began is taken up at the next start");
        }
        self.shared.telemetry.leader(false);
        following.shutdown().await;
        (result, idle.is_ok())
    }
}

/// Follows the watches, and starts the workers once the first lists are complete. No pass begins before `not_before`.
async fn follow(shared: Arc<Shared>, client: kube::Client, state: Arc<State>, not_before: Instant) {
    let mut watches = Watches::begin(client, &shared.settings);
    let (mut workers, mut janitors, mut others) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut begun = false;
    loop {
        tokio::select! {
            next = watches.next(&shared) => if next.is_none() { return },
            Some(ended) = workers.join_next() => {
                // A worker ends when the queue is closed or when its pass panics. A panic must cost only that one pass,
                // so a new worker replaces the old one.
                if ended.is_err() {
                    tracing::error!("a pass panicked; its project is looked at again at the next resync or change");
                    workers.spawn(work(Arc::clone(&shared), not_before));
                }
            }
            Some(Err(_)) = janitors.join_next() => {
                tracing::error!("the removal of what is no longer needed panicked; it is tried again in a minute");
                janitors.spawn(janitor(Arc::clone(&shared), JANITOR_EVERY));
            }
        }
        if !begun && watches.are_listed() {
            begun = true;
            let projects = shared.index.lock().projects();
            tracing::info!(places = projects.len(), "first lists complete");
            state.set(Readiness::Acting);
            begin_with(&shared, projects, not_before);
            for _ in 0..shared.queue.most_turns() {
                workers.spawn(work(Arc::clone(&shared), not_before));
            }
            janitors.spawn(janitor(Arc::clone(&shared), Duration::ZERO));
            let own = Arc::clone(&shared);
            others.spawn(async move { own.credentials.check_own().await });
            others.spawn(call_on(Arc::clone(&shared)));
        }
    }
}

/// Makes all projects due after the first lists: at once where something is owed, the others one after another, since
/// nothing but a look at Atlas is due there.
fn begin_with(shared: &Shared, projects: Vec<(ProjectKey, Arc<str>, bool)>, not_before: Instant) {
    let from = not_before.max(Instant::now());
    let mut quiet = Vec::new();
    for (project, home, owes) in projects {
        if owes {
            shared.queue.plan(home, project, from);
        } else {
            quiet.push((home, project));
        }
    }
    shared.spread(quiet, from);
}

/// A worker: takes turns from the queue and runs a pass for each, until the queue is closed.
async fn work(shared: Arc<Shared>, not_before: Instant) {
    tokio::time::sleep_until(not_before).await;
    while let Some(turn) = shared.queue.next().await {
        let begun = Instant::now();
        let mut held = Held { shared: &shared, turn };
        pass(&shared, &mut held.turn).await;
        shared.telemetry.pass(begun.elapsed().as_secs_f64());
    }
}

/// Holds a turn during its pass. It gives the turn back to the queue when it is dropped, even if the pass has panicked.
struct Held<'a> {
    shared: &'a Shared,
    turn: Turn,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let blank = Turn::new(self.turn.key().clone(), ProjectMemory::default());
        let mut turn = std::mem::replace(&mut self.turn, blank);
        if std::thread::panicking() {
            turn.look_again_only(Instant::now() + self.shared.settings.resync_interval);
        }
        let home = self.shared.index.lock().home(turn.key()).unwrap_or_default();
        self.shared.queue.done(turn, home);
    }
}

/// Has refused credentials tried, each in its time and by one project: see [`Standing`].
async fn call_on(shared: Arc<Shared>) {
    loop {
        let exists = |project: &ProjectId| shared.index.lock().home(&Some(project.clone())).is_some();
        let projects = shared.standing.called_on(exists).await;
        shared.make_due(None, projects.into_iter().map(Some).collect());
    }
}

/// Forgets credentials and Secrets to which no object refers any more, and reports the sizes of index and queue; first
/// after the time `wait`.
async fn janitor(shared: Arc<Shared>, wait: Duration) {
    tokio::time::sleep(wait).await;
    loop {
        shared.store.forget_old();
        let (fingerprints, (objects, projects)) = {
            let mut index = shared.index.lock();
            index.forget_unused();
            let fingerprints: HashSet<_> = shared.credentials.retain(|key| index.secrets.is_referred_to(key));
            (fingerprints, index.size())
        };
        shared.atlas.retain_sessions(&fingerprints);
        shared.standing.retain(&fingerprints);
        shared.telemetry.size(objects, projects, shared.queue.waiting());
        tokio::time::sleep(JANITOR_EVERY).await;
    }
}
