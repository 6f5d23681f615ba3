//! The engine's life: first lists, workers, janitor, graceful stop.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::credentials::{Credentials, lock};
use super::election::{Candidate, ElectionSettings, Lead};
use super::index::{Index, Place};
use super::memory::Memory;
use super::pass::{self, ProjectMemory};
use super::queue::Queue;
use crate::atlas;
use crate::cluster::{
    Defaults, Events, Grant, Namespaces, Scope, SecretIdentity, Secrets, Stored, WatchEvent, Writer,
    watch_namespaces, watch_objects, watch_secrets,
};
use crate::core::pacing;
use crate::domain::{IntegrationType, MemoryKey, ObjectKey, ProjectId, Reason};

/// How long passes that are under way may take to end after the signal to stop.
const STOP_LIMIT: Duration = Duration::from_secs(25);
const JANITOR_EVERY: Duration = Duration::from_secs(60);

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces.
    pub scope: Scope,
    /// Whether Secrets are watched; otherwise they are read in each pass.
    pub watch_secrets: bool,
    /// The Secret with the operator's own credentials, for objects that name none.
    pub credentials_secret: Option<ObjectKey>,
    /// Label selector for objects.
    pub selector: Option<String>,
    /// Policies where a spec has none.
    pub defaults: Defaults,
    /// Time between two looks at Atlas without any other cause.
    pub resync_interval: Duration,
    /// How long an outside cause may last before the object is Stalled.
    pub stall_after: Duration,
    /// Passes at a time.
    pub concurrency: usize,
    /// Atlas's address, for `status.prometheusDiscoveryUrl`.
    pub atlas_url: url::Url,
    /// How the one of several replicas that acts is found; `None`: there is but this one.
    pub election: Option<ElectionSettings>,
}

/// What the engine tells whoever counts.
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
}

/// What all passes share.
pub(super) struct Shared {
    pub settings: Settings,
    pub index: Mutex<Index>,
    pub queue: Queue<Place>,
    pub writer: Writer,
    pub credentials: Credentials,
    pub atlas: atlas::Client,
    pub events: Events,
    pub telemetry: Arc<dyn Telemetry>,
    /// By uid.
    pub memories: Mutex<HashMap<String, Box<Memory>>>,
    pub projects: Mutex<HashMap<ProjectId, ProjectMemory>>,
    pub started: Instant,
    pub lead: Lead,
}

impl Shared {
    /// Whether this process may begin a write now. When it may not any more it never will, and ends.
    pub fn leads(&self) -> bool {
        self.lead.may_write(Instant::now())
    }

    /// Works on an object's memory, which is kept while there is something in it.
    pub fn memory<R>(&self, uid: &str, f: impl FnOnce(&mut Memory) -> R) -> R {
        let mut memories = lock(&self.memories);
        let mut memory = memories.remove(uid).unwrap_or_default();
        let result = f(&mut memory);
        if *memory != Memory::default() {
            memories.insert(uid.to_owned(), memory);
        }
        result
    }

    /// The same where there is one already.
    pub fn known_memory<R>(&self, uid: &str, f: impl FnOnce(&mut Memory) -> R) -> Option<R> {
        lock(&self.memories).get_mut(uid).map(|memory| f(memory))
    }

    /// When a project's next resync is: its own place in every interval.
    pub fn next_resync(&self, project: &ProjectId, now: Instant) -> Instant {
        let interval = self.settings.resync_interval;
        let first = self.started + pacing::resync_offset(project.as_str(), interval);
        let passed = now.saturating_duration_since(first).as_nanos() / interval.as_nanos().max(1);
        let turns = u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1;
        if now < first { first } else { first + interval.saturating_mul(turns) }
    }
}

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
        let (secrets, namespaces) = (Secrets::new(client.clone()), Namespaces::new(client.clone()));
        let lead = Lead::new(settings.election.is_some());
        let shared = Shared {
            settings,
            lead,
            index: Mutex::new(Index::new(own.clone())),
            queue: Queue::new(),
            writer,
            credentials: Credentials::new(secrets, namespaces, own, key),
            atlas,
            events,
            telemetry,
            memories: Mutex::default(),
            projects: Mutex::default(),
            started: Instant::now(),
        };
        Engine { shared: Arc::new(shared), client, ready: Arc::default() }
    }

    /// Set while it stands by, or once the first lists are complete.
    pub fn ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ready)
    }

    /// Runs until `stop` resolves; then no pass begins, and those under way may end. Where leaders are elected it
    /// first stands by until it is one.
    ///
    /// # Errors
    /// When leadership was lost, or the watches ended: a deaf operator must not go on.
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
        // From here on it is ready when it acts.
        self.ready.store(false, Ordering::Relaxed);
        let (result, idle) = self.act(stop, not_before, candidate.renew(lead)).await;
        // What did not end may still reach Atlas: then the next leader has to wait until the Lease is over. What this
        // one waited for itself, the next one must.
        if idle && self.shared.leads() {
            candidate.release(Instant::now() >= not_before).await;
        }
        result
    }

    /// Acts, but not before `not_before`, until told to stop or until `lost` says why it must. Also answers whether
    /// all passes ended.
    async fn act(
        &self,
        stop: impl Future<Output = ()>,
        not_before: Instant,
        lost: impl Future<Output = String>,
    ) -> (Result<(), String>, bool) {
        let mut lost = std::pin::pin!(lost);
        let mut watches = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        let (client, ready) = (self.client.clone(), Arc::clone(&self.ready));
        shared.telemetry.leader(true);
        watches.spawn(async move { follow(shared, client, ready, not_before).await });
        let result = tokio::select! {
            () = stop => Ok(()),
            why = &mut lost => {
                tracing::error!(%why, "lost leadership");
                Err(format!("leadership was lost ({why}); a restart stands by again"))
            }
            _ = watches.join_next() => Err("the watches ended, which they never should; the log says why".to_owned()),
        };
        tracing::info!("stopping: passes under way may end, none begins");
        self.ready.store(false, Ordering::Relaxed);
        self.shared.queue.close();
        let idle = async {
            while self.shared.queue.depth().1 > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let idle = tokio::time::timeout(STOP_LIMIT, idle);
        let idle = if result.is_ok() {
            // What ends must still be led.
            let mut idle = std::pin::pin!(idle);
            tokio::select! { idle = &mut idle => idle, _ = lost => idle.await }
        } else {
            idle.await
        };
        if idle.is_err() {
            tracing::warn!("some passes did not end in time; what they began is taken up at the next start");
        }
        self.shared.telemetry.leader(false);
        watches.shutdown().await;
        (result, idle.is_ok())
    }
}

/// Feeds the index; starts the workers once the first lists are complete. Secrets are listed after objects, so
/// that only those are remembered which an object refers to. No pass begins before `not_before`.
async fn follow(shared: Arc<Shared>, client: kube::Client, ready: Arc<AtomicBool>, not_before: Instant) {
    let settings = &shared.settings;
    let mut objects =
        watch_objects(&client, &settings.scope, settings.selector.as_deref(), settings.defaults);
    let mut open: HashSet<usize> = (0..settings.scope.lists()).collect();
    while !open.is_empty() {
        let Some(event) = objects.next().await else { return };
        if let WatchEvent::ListComplete { list } = &event {
            open.remove(list);
        }
        on_object(&shared, event);
    }
    let apart = secret_apart(settings);
    let mut secrets = futures::stream::pending().boxed();
    let mut open = HashSet::new();
    if settings.watch_secrets {
        secrets = watch_secrets(&client, &settings.scope, apart);
        open.extend(0..settings.scope.lists() + usize::from(apart.is_some()));
    } else {
        lock(&shared.index).secrets_unwatched(0);
    }
    let grants_watched = settings.credentials_secret.is_some() && settings.scope == Scope::All;
    // Roles can't allow a watch of Namespaces, so with listed namespaces each is read when it matters.
    let mut namespaces =
        if grants_watched { watch_namespaces(&client) } else { futures::stream::pending().boxed() };
    let mut grants_open = grants_watched;
    while !open.is_empty() || grants_open {
        // What may not be watched is read when it is needed instead.
        tokio::select! {
            Some(event) = objects.next() => on_object(&shared, event),
            Some(event) = secrets.next() => {
                if let WatchEvent::ListComplete { list } | WatchEvent::Failed { list, forbidden: true, .. } = &event {
                    open.remove(list);
                }
                on_secret(&shared, event);
            }
            Some(event) = namespaces.next() => {
                if let WatchEvent::ListComplete { .. } | WatchEvent::Failed { forbidden: true, .. } = &event {
                    grants_open = false;
                }
                on_namespace(&shared, event);
            }
            else => return,
        }
    }
    let places = lock(&shared.index).places();
    tracing::info!(places = places.len(), "first lists complete");
    ready.store(true, Ordering::Relaxed);
    let now = Instant::now();
    for place in places {
        shared.queue.add(place, now);
    }
    let mut workers = JoinSet::new();
    for _ in 0..settings.concurrency {
        workers.spawn(work(Arc::clone(&shared), not_before));
    }
    workers.spawn(janitor(Arc::clone(&shared)));
    loop {
        tokio::select! {
            Some(event) = objects.next() => on_object(&shared, event),
            Some(event) = secrets.next() => on_secret(&shared, event),
            Some(event) = namespaces.next() => on_namespace(&shared, event),
            Some(ended) = workers.join_next() => {
                // A worker ends when the queue is closed, or by a panic, which costs its one pass and no more.
                if ended.is_err() {
                    tracing::error!("a pass panicked; its project is looked at again at the next resync or change");
                    workers.spawn(work(Arc::clone(&shared), not_before));
                }
            }
            else => return,
        }
    }
}

fn on_object(shared: &Shared, event: WatchEvent<Stored>) {
    let due = match event {
        WatchEvent::ListBegins { list } => {
            lock(&shared.index).list_begins(list);
            Vec::new()
        }
        WatchEvent::Present { list, item } => lock(&shared.index).observe_from(list, &item.object),
        WatchEvent::Deleted { key } => lock(&shared.index).remove(&key).into_iter().collect(),
        WatchEvent::ListComplete { list } => lock(&shared.index).list_complete(list, in_list(shared, list)),
        WatchEvent::Failed { message, .. } => {
            tracing::warn!(%message, "watch of AtlasIntegration objects");
            Vec::new()
        }
    };
    enqueue(shared, due);
}

fn on_secret(shared: &Shared, event: WatchEvent<(ObjectKey, SecretIdentity)>) {
    let due = match event {
        WatchEvent::ListBegins { list } => {
            lock(&shared.index).secret_list_begins(list);
            Vec::new()
        }
        WatchEvent::Present { list, item } => lock(&shared.index).observe_secret_from(list, &item.0, item.1),
        WatchEvent::Deleted { key } => lock(&shared.index).observe_secret(&key, None),
        WatchEvent::ListComplete { list } => {
            lock(&shared.index).secret_list_complete(list, in_list(shared, list))
        }
        WatchEvent::Failed { list, message, forbidden } => {
            tracing::warn!(%message, "watch of Secrets");
            if forbidden {
                lock(&shared.index).secrets_unwatched(list);
            }
            Vec::new()
        }
    };
    enqueue(shared, due);
}

fn on_namespace(shared: &Shared, event: WatchEvent<Grant>) {
    let due = match event {
        WatchEvent::ListBegins { .. } => {
            lock(&shared.index).namespace_list_begins();
            Vec::new()
        }
        WatchEvent::Present { item, .. } => lock(&shared.index).observe_namespace(*item),
        WatchEvent::Deleted { key } => {
            let nothing = Grant { namespace: key.name.to_string(), projects: BTreeSet::new() };
            lock(&shared.index).observe_namespace(nothing)
        }
        WatchEvent::ListComplete { .. } => lock(&shared.index).namespace_list_complete(),
        WatchEvent::Failed { message, forbidden, .. } => {
            tracing::warn!(%message, "watch of Namespaces");
            if forbidden {
                lock(&shared.index).namespaces_unwatched();
            }
            Vec::new()
        }
    };
    enqueue(shared, due);
}

/// The operator's own Secret, where no watch of the scope sees it.
fn secret_apart(settings: &Settings) -> Option<&ObjectKey> {
    settings.credentials_secret.as_ref().filter(|own| !settings.scope.covers(own))
}

/// What the nth list covers; one after those of the scope is that of the operator's own Secret.
fn in_list(shared: &Shared, list: usize) -> impl Fn(&ObjectKey) -> bool {
    let scope = match &shared.settings.scope {
        Scope::Namespaces(names) if list < names.len() => Scope::Namespaces(vec![names[list].clone()]),
        scope => scope.clone(),
    };
    let apart = secret_apart(&shared.settings).filter(|_| list >= shared.settings.scope.lists()).cloned();
    move |key| apart.as_ref().map_or_else(|| scope.covers(key), |apart| apart == key)
}

fn enqueue(shared: &Shared, due: Vec<Place>) {
    let now = Instant::now();
    for place in due {
        shared.queue.add(place, now);
    }
}

async fn work(shared: Arc<Shared>, not_before: Instant) {
    tokio::time::sleep_until(not_before).await;
    while let Some(place) = shared.queue.next().await {
        let begun = Instant::now();
        let mut running = Running { shared: &shared, place, next: None };
        running.next = pass::pass(&shared, &running.place).await;
        shared.telemetry.pass(begun.elapsed().as_secs_f64());
    }
}

/// Tells the queue that a pass has ended, even when it panicked.
struct Running<'a> {
    shared: &'a Shared,
    place: Place,
    next: Option<Instant>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let next = if std::thread::panicking() {
            Some(Instant::now() + self.shared.settings.resync_interval)
        } else {
            self.next
        };
        self.shared.queue.done(self.place.clone(), next);
    }
}

/// Forgets what no object refers to any more, and reports sizes.
async fn janitor(shared: Arc<Shared>) {
    loop {
        {
            let mut index = lock(&shared.index);
            index.forget_unused_secrets();
            let uids: HashSet<&str> = index.records().map(|record| record.uid.as_str()).collect();
            lock(&shared.memories).retain(|uid, _| uids.contains(uid.as_str()));
            let places: HashSet<Place> = index.places().into_iter().collect();
            lock(&shared.projects).retain(|project, _| places.contains(&Some(project.clone())));
            let fingerprints = shared.credentials.retain(|key| index.refers_to_secret(key));
            shared.atlas.retain_sessions(&fingerprints);
            shared.telemetry.size(uids.len(), places.len(), shared.queue.depth().0);
        }
        tokio::time::sleep(JANITOR_EVERY).await;
    }
}
