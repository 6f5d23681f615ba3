//! The engine's life: elect a leader, start the watches and the workers, stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::credentials::Credentials;
use super::election::{Candidate, Lead};
use super::follow::Watches;
use super::index::Index;
use super::pass::pass;
use super::queue::Queue;
use super::shared::{Settings, Shared, Telemetry};
use super::store::Store;
use super::turn::{ProjectMemory, Turn};
use crate::atlas;
use crate::cluster::{Events, Namespaces, Secrets, Writer};
use crate::domain::MemoryKey;

/// How long passes that are under way may take to end after the signal to stop.
const STOP_LIMIT: Duration = Duration::from_secs(25);
const JANITOR_EVERY: Duration = Duration::from_secs(60);

/// The engine.
pub struct Engine {
    shared: Arc<Shared>,
    client: kube::Client,
    ready: Arc<AtomicBool>,
}

impl Engine {
    /// Sets an engine up; nothing happens before [`Engine::run`].
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
        let queue = Arc::new(Queue::new());
        let (secrets, namespaces) = (Secrets::new(client.clone()), Namespaces::new(client.clone()));
        let shared = Shared {
            lead: Lead::new(settings.election.is_some()),
            store: Store::new(writer, Arc::clone(&index), Arc::clone(&queue)),
            credentials: Credentials::new(Arc::clone(&index), secrets, namespaces, own, key),
            settings,
            index,
            queue,
            atlas,
            events,
            telemetry,
            started: Instant::now(),
        };
        Engine { shared: Arc::new(shared), client, ready: Arc::default() }
    }

    /// Set while the process stands by, or once its first lists are complete.
    pub fn ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ready)
    }

    /// Runs until `stop` resolves; then no pass begins, and passes that are under way may end. With leader election the
    /// process stands by first, until it is the leader.
    ///
    /// # Errors
    /// When leadership was lost, or the watches ended: an operator that hears nothing must not go on.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let mut stop = std::pin::pin!(stop);
        let Some(election) = self.shared.settings.election.clone() else {
            return self.act(stop, Instant::now(), std::future::pending()).await.0;
        };
        let mut candidate = Candidate::new(self.client.clone(), election);
        let lead = &self.shared.lead;
        let standing_by = || self.ready.store(true, Ordering::Relaxed);
        let elected = tokio::select! {
            not_before = candidate.stand(lead, standing_by) => Some(not_before),
            () = &mut stop => None,
        };
        let Some(not_before) = elected else {
            candidate.release(false).await;
            return Ok(());
        };
        // From here on the process is ready once it acts.
        self.ready.store(false, Ordering::Relaxed);
        let (result, idle) = self.act(stop, not_before, candidate.renew(lead)).await;
        // If a pass did not finish, its call may still reach Atlas: keep the Lease and let it expire. If we are still
        // in our own takeover wait, the next leader has to wait too.
        if idle && self.shared.leads() {
            candidate.release(Instant::now() >= not_before).await;
        }
        result
    }

    /// Acts, but not before `not_before`, until told to stop or until `lost` says why it must. Also returns whether all
    /// passes ended.
    async fn act(
        &self,
        stop: impl Future<Output = ()>,
        not_before: Instant,
        lost: impl Future<Output = String>,
    ) -> (Result<(), String>, bool) {
        let mut lost = std::pin::pin!(lost);
        let mut following = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        let (client, ready) = (self.client.clone(), Arc::clone(&self.ready));
        shared.telemetry.leader(true);
        following.spawn(async move { follow(shared, client, ready, not_before).await });
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
        self.ready.store(false, Ordering::Relaxed);
        self.shared.queue.close();
        let idle = tokio::time::timeout(STOP_LIMIT, self.shared.queue.idle());
        let idle = if result.is_ok() {
            // The passes that end must still be led.
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
async fn follow(shared: Arc<Shared>, client: kube::Client, ready: Arc<AtomicBool>, not_before: Instant) {
    let mut watches = Watches::begin(client, &shared.settings);
    let mut workers = JoinSet::new();
    let mut begun = false;
    loop {
        tokio::select! {
            next = watches.next(&shared) => if next.is_none() { return },
            Some(ended) = workers.join_next() => {
                // A worker ends when the queue is closed, or by a panic, which costs its one pass and no more.
                if ended.is_err() {
                    tracing::error!("a pass panicked; its project is looked at again at the next resync or change");
                    workers.spawn(work(Arc::clone(&shared), not_before));
                }
            }
        }
        if !begun && watches.are_listed() {
            begun = true;
            let projects = shared.index.lock().projects();
            tracing::info!(places = projects.len(), "first lists complete");
            ready.store(true, Ordering::Relaxed);
            shared.queue.add(projects);
            for _ in 0..shared.settings.concurrency {
                workers.spawn(work(Arc::clone(&shared), not_before));
            }
            workers.spawn(janitor(Arc::clone(&shared)));
        }
    }
}

/// Takes turns until the queue is closed.
async fn work(shared: Arc<Shared>, not_before: Instant) {
    tokio::time::sleep_until(not_before).await;
    while let Some(turn) = shared.queue.next().await {
        let begun = Instant::now();
        let mut held = Held { shared: &shared, turn };
        pass(&shared, &mut held.turn).await;
        shared.telemetry.pass(begun.elapsed().as_secs_f64());
    }
}

/// A turn that the queue gets back even if its pass panics.
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
        self.shared.queue.done(turn);
    }
}

/// Forgets credentials and Secrets to which no object refers any more, and reports sizes.
async fn janitor(shared: Arc<Shared>) {
    loop {
        {
            let mut index = shared.index.lock();
            index.secrets.forget_unused();
            let fingerprints: HashSet<_> = shared.credentials.retain(|key| index.secrets.is_referred_to(key));
            shared.atlas.retain_sessions(&fingerprints);
            let (objects, projects) = index.size();
            shared.telemetry.size(objects, projects, shared.queue.waiting());
        }
        tokio::time::sleep(JANITOR_EVERY).await;
    }
}
