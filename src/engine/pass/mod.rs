//! One pass over one project: list once per credential, find who owns which place, then take one object after
//! another.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::credentials::{Unreadable, lock};
use super::index::{Place, Record};
use super::run::Shared;
use super::step;
use crate::atlas::{Listing, Session};
use crate::core::conflict::{Candidate, Stance, competes, winner};
use crate::core::pacing;
use crate::domain::{Failure, FailureKind, Fingerprint, IntegrationType, ObjectKey, ProjectId};

/// What this process remembers of a project.
#[derive(Default)]
pub(super) struct ProjectMemory {
    /// LISTs that failed in a row.
    failures: u32,
    /// Passes in a row in which Atlas limited a call.
    limited: u32,
    /// No call before this.
    pause: Option<Box<Pause>>,
}

/// A time without calls to a project.
#[derive(Clone)]
struct Pause {
    until: Instant,
    /// What an object says that waits for its end.
    failure: Failure,
}

/// What an object sees of Atlas: a session and a complete LIST, or what keeps it from that.
#[derive(Clone)]
pub(super) enum View {
    Seen { session: Arc<Session>, listing: Arc<Listing>, listed_at: Timestamp },
    Blocked(Blocked),
}

/// Why Atlas could not be read for an object.
#[derive(Clone)]
pub(super) enum Blocked {
    /// The credentials: their Secret, or whose they are.
    Secret(Unreadable),
    /// The LIST.
    Failure(Failure),
}

/// Runs a pass; answers when the next one is due without any other cause.
pub(super) async fn pass(shared: &Shared, place: &Place) -> Option<Instant> {
    let mut records = lock(&shared.index).place(place);
    if records.is_empty() || !shared.leads() {
        return None;
    }
    let Some(project) = place else {
        let mut next = Instant::now() + shared.settings.resync_interval;
        for record in &records {
            // Each step asks whether it may.
            next = step::step(shared, record, None, None).await.map_or(next, |again| next.min(again));
        }
        return Some(next);
    };
    in_waiting_order(shared, &mut records);
    let begun = Instant::now();
    let (views, retry) = look(shared, project, &records).await;
    let owners = owners(shared, &records, &views);
    let mut next = shared.next_resync(project, Instant::now());
    next = retry.map_or(next, |retry| next.min(retry));
    let mut busy = Vec::new();
    for record in &records {
        let view = views.get(&record.key);
        let owner = record
            .spec
            .as_ref()
            .and_then(|spec| owners.get(&spec.kind))
            .filter(|owner| owner.uid != record.uid);
        let owner = owner.map(|owner| described(owner, record));
        if let Some(View::Seen { listing, .. }) = view
            && owner.is_none()
            && is_quiet(shared, record, listing)
        {
            shared.known_memory(&record.uid, |memory| {
                memory.unread_since = None;
                memory.failures = 0;
                memory.waiting_since = None;
            });
            continue;
        }
        busy.push(record);
        if matches!(view, Some(View::Seen { .. })) && paused(shared, project).is_some() {
            continue;
        }
        let again = step::step(shared, record, view, owner.as_deref()).await;
        next = again.map_or(next, |again| next.min(again));
    }
    let seen = |record: &&Record| matches!(views.get(&record.key), Some(View::Seen { .. }));
    match paused(shared, project) {
        Some(pause) => {
            // Whoever waits keeps its turn.
            for record in &busy {
                shared.memory(&record.uid, |memory| *memory.waiting_since.get_or_insert(begun));
            }
            if busy.iter().any(seen) {
                // The next pass is due at once: it says that they wait, without a call.
                shared.queue.add(place.clone(), Instant::now());
                next = pause.until;
            }
        }
        None => {
            for record in busy {
                shared.known_memory(&record.uid, |memory| memory.waiting_since = None);
            }
            if let Some(memory) = lock(&shared.projects).get_mut(project) {
                memory.limited = 0;
            }
        }
    }
    Some(next)
}

/// Those first whom an earlier pass left waiting, the longest first; then the older objects.
fn in_waiting_order(shared: &Shared, records: &mut [Record]) {
    let now = Instant::now();
    records.sort_by_cached_key(|record| {
        let since = shared.known_memory(&record.uid, |memory| memory.waiting_since).flatten();
        (since.unwrap_or(now), record.created, record.key.clone())
    });
}

/// The pause of a project, if it has one now; it begins one when the last answer left little of the project's rate.
fn paused(shared: &Shared, project: &ProjectId) -> Option<Box<Pause>> {
    let now = Instant::now();
    let mut projects = lock(&shared.projects);
    let memory = projects.entry(project.clone()).or_default();
    memory.pause = memory.pause.take().filter(|pause| pause.until > now);
    let budget = shared.atlas.take_budget(project);
    if memory.pause.is_none()
        && let Some(wait) = budget.and_then(|budget| pacing::reserve_wait(budget.limit, budget.remaining))
    {
        let message = "the project's rate of requests is nearly used up, and the rest is left to people; the \
                       operator goes on by itself";
        tracing::info!(%project, seconds = wait.as_secs(), "{message}");
        let failure = Failure::known(FailureKind::RateLimited, message);
        memory.pause = Some(Box::new(Pause { until: now + wait, failure }));
    }
    memory.pause.clone()
}

/// Notes Atlas's wish to be left alone, for the whole project: a 429, or whatever else says `Retry-After`. That an
/// account gets no token is its own affair: it must not hold up others who name the project.
pub(super) fn pause(shared: &Shared, project: &ProjectId, failure: &Failure) {
    if failure.without_call {
        return;
    }
    let mut projects = lock(&shared.projects);
    let memory = projects.entry(project.clone()).or_default();
    let wait = match (failure.retry_after, failure.kind) {
        (Some(wait), _) => wait,
        // Without a word of Atlas on how long: some seconds at first, more when it goes on.
        (None, FailureKind::RateLimited) => pacing::backoff(memory.limited.saturating_add(4), random()),
        (None, _) => return,
    };
    memory.limited = memory.limited.saturating_add(1);
    memory.pause = Some(Box::new(Pause { until: Instant::now() + wait, failure: failure.clone() }));
    tracing::info!(%project, seconds = wait.as_secs(), "no call to the project for a while: {}", failure.message);
}

/// Uniform; for jitter only.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, which is no reason to fail.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    u32::from_ne_bytes(bytes)
}

/// Lists the project once per credential, FLOWDOCK apart where only version 1.0 shows it. Also answers when to
/// try again if that failed.
async fn look(
    shared: &Shared,
    project: &ProjectId,
    records: &[Record],
) -> (HashMap<ObjectKey, View>, Option<Instant>) {
    let mut listings: HashMap<(Fingerprint, bool), Result<Arc<Listing>, Failure>> = HashMap::new();
    let mut views = HashMap::new();
    let mut outage: Option<Failure> = None;
    let listed_at = Timestamp::now();
    for record in records {
        let Some(spec) = &record.spec else { continue };
        if record.leaves_alone || (spec.suspend && !record.deleting) {
            continue;
        }
        let (namespace, deleting) = (&record.key.namespace, record.deleting);
        let credential =
            shared.credentials.get(&shared.index, namespace, &spec.credentials, project, deleting);
        let credential = match credential.await {
            Ok(credential) => credential,
            Err(unreadable) => {
                views.insert(record.key.clone(), View::Blocked(Blocked::Secret(unreadable)));
                continue;
            }
        };
        let session = shared.atlas.session(&credential);
        let flowdock = spec.kind == IntegrationType::Flowdock && !shared.atlas.same_listing(spec.kind);
        let key = (credential.fingerprint, flowdock);
        if let std::collections::hash_map::Entry::Vacant(place) = listings.entry(key) {
            let listing = match paused(shared, project) {
                Some(pause) => Err(pause.failure),
                // The term ended, and no step gets past its read.
                None if !shared.leads() => break,
                None => {
                    let listing = shared.atlas.list(&session, project, flowdock).await;
                    if let Err(failure) = &listing {
                        pause(shared, project, failure);
                        outage.get_or_insert_with(|| failure.clone());
                    }
                    listing.map(Arc::new)
                }
            };
            place.insert(listing);
        }
        let view = match listings.get(&key) {
            Some(Ok(listing)) => View::Seen { session, listing: Arc::clone(listing), listed_at },
            Some(Err(failure)) => View::Blocked(Blocked::Failure(failure.clone())),
            None => continue,
        };
        views.insert(record.key.clone(), view);
    }
    let pause = paused(shared, project);
    let mut projects = lock(&shared.projects);
    let memory = projects.entry(project.clone()).or_default();
    let read = listings.values().any(Result::is_ok);
    // An outage of objects in sync shows in no status at first, so it is said here: once when it begins, once
    // when it ends.
    match (&outage, memory.failures) {
        (Some(failure), 0) => tracing::warn!(%project, "{}", failure.message),
        (None, 1..) if read => tracing::info!(%project, "Atlas can be read again"),
        _ => {}
    }
    if outage.is_some() {
        memory.failures = memory.failures.saturating_add(1);
    } else if read {
        memory.failures = 0;
    }
    let retry = match (pause, outage) {
        (Some(pause), _) => Some(pause.until),
        (None, Some(failure)) => {
            let backoff = pacing::backoff(memory.failures, random());
            Some(Instant::now() + backoff.max(failure.retry_after.unwrap_or_default()))
        }
        (None, None) => None,
    };
    (views, retry)
}

/// Who keeps each type's place.
fn owners<'a>(
    shared: &Shared,
    records: &'a [Record],
    views: &HashMap<ObjectKey, View>,
) -> HashMap<IntegrationType, &'a Record> {
    let mut owners = HashMap::new();
    for kind in IntegrationType::ALL {
        let rivals: Vec<&Record> = records
            .iter()
            .filter(|record| record.spec.as_ref().is_some_and(|spec| spec.kind == kind))
            .collect();
        let candidates: Vec<Candidate<'_>> =
            rivals.iter().map(|record| candidate(shared, record, kind, views)).collect();
        let uid = winner(&candidates);
        if let Some(owner) = rivals.into_iter().find(|record| Some(record.uid.as_str()) == uid) {
            owners.insert(kind, owner);
        }
    }
    owners
}

fn candidate<'a>(
    shared: &Shared,
    record: &'a Record,
    kind: IntegrationType,
    views: &HashMap<ObjectKey, View>,
) -> Candidate<'a> {
    let entry = match views.get(&record.key) {
        Some(View::Seen { listing, .. }) => Some(listing.contains_key(&kind)),
        _ => None,
    };
    let competes = record.spec.as_ref().is_some_and(|spec| {
        competes(&Stance {
            management: spec.management,
            adoption: spec.adoption,
            idle: spec.suspend || record.deleting,
            leaves_alone: record.leaves_alone,
            applied: record.applied,
            claimed: record.claimed,
            refused: is_refused(shared, record),
            entry,
        })
    });
    Candidate {
        applied: record.applied,
        claimed: record.claimed,
        created: record.created,
        uid: &record.uid,
        competes,
    }
}

/// Whether Atlas refused the write of an object for good, and it and its Secrets, as far as they are watched, are the
/// same since. Where they are not, the object's own pass reads them and writes what is new.
fn is_refused(shared: &Shared, record: &Record) -> bool {
    let refused = shared.known_memory(&record.uid, |memory| {
        let refused = memory.refused.as_ref().filter(|refused| refused.retry_at.is_none())?;
        (refused.generation == record.generation).then_some(refused.signature.secrets)
    });
    refused.flatten().is_some_and(|secrets| !secrets_changed(shared, record, secrets))
}

/// The owner, as another object's message may name it: never across namespaces.
fn described(owner: &Record, to: &Record) -> String {
    if owner.key.namespace == to.key.namespace {
        format!("AtlasIntegration {}", owner.key.name)
    } else {
        "an AtlasIntegration of another namespace".to_owned()
    }
}

/// Whether nothing is to be done: the object owes nothing, Atlas shows what it showed, the Secrets are the same.
fn is_quiet(shared: &Shared, record: &Record, listing: &Listing) -> bool {
    let Some(quiet) = &record.quiet else { return false };
    let entry = record.spec.as_ref().and_then(|spec| listing.get(&spec.kind));
    !record.sync_unknown
        && entry.is_some_and(|entry| entry.digest() == quiet.echo)
        && seen_to_change(shared, record, quiet.secrets) == Some(false)
}

/// Whether an object that could not be looked at is in sync as far as the cluster shows.
pub(super) fn owes_nothing(shared: &Shared, record: &Record) -> bool {
    record.quiet.as_ref().is_some_and(|quiet| !secrets_changed(shared, record, quiet.secrets))
}

/// Whether the Secrets of an object's settings are known to be in another state than `states`, a digest.
pub(super) fn secrets_changed(shared: &Shared, record: &Record, states: [u8; 16]) -> bool {
    seen_to_change(shared, record, states) == Some(true)
}

/// The same, and `None` where it is not known.
fn seen_to_change(shared: &Shared, record: &Record, states: [u8; 16]) -> Option<bool> {
    lock(&shared.index).secrets_changed(&record.key.namespace, &record.secrets, states)
}
