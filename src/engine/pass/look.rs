//! Observe: what each object of a project sees of Atlas.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::share::Share;
use crate::atlas::{Listing, Session};
use crate::core::pacing;
use crate::domain::{Failure, Fingerprint, IntegrationType, ObjectKey, ProjectId, Prospect};
use crate::engine::credentials::Unreadable;
use crate::engine::index::Record;
use crate::engine::jitter::random;
use crate::engine::object::{Blocked, Seen, View};
use crate::engine::shared::Shared;
use crate::engine::standing::{Leave, Place};
use crate::engine::turn::{ListKey, Turn};

/// What each object sees that the pass has reached; `None` for an object that needs no look at Atlas.
pub(super) type Views = HashMap<ObjectKey, Option<View>>;

/// The objects that share a LIST.
struct Group<'a> {
    key: ListKey,
    session: Arc<Session>,
    /// By their place in the line.
    records: BTreeMap<usize, &'a Record>,
    namespaces: Vec<Arc<str>>,
    /// A stamp of all by which somebody asks for the LIST.
    state: u64,
}

impl Group<'_> {
    /// Whether one of the objects has a write that Atlas confirmed. Status says so, which no tenant can write.
    fn is_proven(&self) -> bool {
        self.records.values().any(|record| record.applied)
    }

    /// Whether none of the objects owed anything when it was last looked at.
    fn is_quiet(&self) -> bool {
        self.records.values().all(|record| record.quiet.is_some())
    }
}

/// The look of a pass at Atlas: one LIST after another, one for each credential, as far as there is time. If a LIST failed,
/// the turn looks again; that pass makes only the LISTs that failed, unless something else has changed or is due by then.
pub(super) struct Look<'a> {
    groups: Vec<Group<'a>>,
    /// The next group to list.
    next: usize,
    /// Whether only failed LISTs are to be repeated.
    retries_only: bool,
    proven: Share,
    unproven: Share,
    /// What was seen so far.
    pub views: Views,
}

impl<'a> Look<'a> {
    /// Reads the credentials of the first `open` records, as far as there is time.
    pub async fn begin(
        shared: &Shared,
        turn: &mut Turn,
        project: &ProjectId,
        (records, open): (&'a [Record], usize),
    ) -> Look<'a> {
        // Of the same moment as the records: what changes from here on is for the next pass.
        let stamps = shared.index.lock().stamps(records);
        let mut views = Views::new();
        let mut groups = groups(shared, project, (&records[..open], &stamps), &mut views).await;
        let reached = views.len() + groups.iter().map(|group| group.records.len()).sum::<usize>();
        if turn.memory.round.is_blank() && reached == open {
            turn.memory.keep_lists(|key| groups.iter().any(|group| group.key == *key));
        }
        let retries_only = turn.retries_only(combined(&stamps));
        if retries_only {
            // If one of them succeeds now, the others are listed as well.
            groups.sort_by_key(|group| turn.memory.failed_list(&group.key).is_none());
        } else {
            take_turns(&mut groups);
        }
        let (proven, unproven) = (Share::default(), Share::of_unproven());
        Look { groups, next: 0, retries_only, proven, unproven, views }
    }

    /// Makes the next LIST for which there is time. Returns the objects that it is for, whose view is known now; `None` if
    /// there is none.
    pub async fn next(
        &mut self,
        shared: &Shared,
        turn: &mut Turn,
        project: &ProjectId,
    ) -> Option<Vec<&'a Record>> {
        loop {
            let group = self.groups.get(self.next)?;
            self.next += 1;
            let share = if group.is_proven() { &mut self.proven } else { &mut self.unproven };
            let listed = match turn.check_pause(&shared.atlas, &group.session) {
                Some(pause) => Some(Err(turn.memory.told(&group.key, pause.failure))),
                // The term has ended, and no step gets past its read.
                None if !shared.leads() => return None,
                None if share.is_over(shared) => continue,
                None if self.retries_only && turn.memory.failed_list(&group.key).is_none() => None,
                None => share.spend(list(shared, turn, project, group)).await,
            };
            let view = match listed {
                Some(Ok((listing, listed_at))) => {
                    self.retries_only = false;
                    View::Seen(Seen {
                        session: Arc::clone(&group.session),
                        listing: Arc::new(listing),
                        listed_at,
                    })
                }
                Some(Err(failure)) => View::Blocked(Blocked::Failure(failure, Arc::clone(&group.session))),
                None => View::Blocked(Blocked::Held),
            };
            self.views.extend(group.records.values().map(|record| (record.key.clone(), Some(view.clone()))));
            return Some(group.records.values().copied().collect());
        }
    }

    /// The pass ends. Its turn looks again at the end of each pause.
    pub fn end(self, shared: &Shared, turn: &mut Turn) {
        let waits = |turn: &Turn, record: &Record| {
            turn.memory.known(&record.uid).is_some_and(|memory| memory.waiting_since.is_some())
        };
        // A credential may have two LISTs.
        let mut credentials: HashMap<Fingerprint, (Arc<Session>, bool)> = HashMap::new();
        for Group { session, records, .. } in self.groups {
            let (_, owed_waits) = credentials.entry(session.credential()).or_insert((session, false));
            *owed_waits |= records.values().any(|record| waits(turn, record));
        }
        for (credential, (session, owed_waits)) in credentials {
            match turn.check_pause(&shared.atlas, &session) {
                Some(pause) => {
                    turn.look_again(pause.until);
                    turn.memory.limits(credential).passed_in_pause(owed_waits);
                }
                None => turn.memory.limits(credential).passed(),
            }
        }
    }
}

/// One stamp for several, whatever their order.
fn combined(stamps: &[u64]) -> u64 {
    stamps.iter().fold(0, |all, stamp| all.wrapping_add(*stamp))
}

/// Sorts the groups so that those with a confirmed write come first: a place has one of them, so they are few. After them
/// the namespaces take turns, so that a tenant who names a project under many credentials leaves the others their place in
/// the line.
fn take_turns(groups: &mut [Group<'_>]) {
    let mut turns: HashMap<Arc<str>, usize> = HashMap::new();
    groups.sort_by_cached_key(|group| {
        if group.is_proven() {
            return 0;
        }
        let home = group.records.values().next().map(|record| Arc::clone(&record.key.namespace));
        let turn = turns.entry(home.unwrap_or_default()).or_default();
        *turn += 1;
        *turn
    });
}

/// Finds the LIST that shows each object's type, as far as there is time to read credentials: at first for objects with a
/// write that Atlas confirmed, for which see [`take_turns`]. Objects that need no LIST, or whose credentials can't be read,
/// get their view.
async fn groups<'a>(
    shared: &Shared,
    project: &ProjectId,
    (records, stamps): (&'a [Record], &[u64]),
    views: &mut Views,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut found_at: HashMap<ListKey, usize> = HashMap::new();
    let mut reading = Share::default();
    let line = records.iter().zip(stamps).enumerate();
    let (proven, others): (Vec<_>, Vec<_>) = line.partition(|(_, (record, _))| record.applied);
    for (place, (record, stamp)) in proven.into_iter().chain(others) {
        if reading.is_over(shared) {
            break;
        }
        let (session, key) = match reading.spend(session(shared, project, record)).await {
            Some(Ok(found)) => found,
            Some(Err(unreadable)) => {
                views.insert(record.key.clone(), Some(View::Blocked(Blocked::Secret(unreadable))));
                continue;
            }
            None => {
                views.insert(record.key.clone(), None);
                continue;
            }
        };
        let group = *found_at.entry(key).or_insert_with(|| {
            groups.push(Group { key, session, records: BTreeMap::new(), namespaces: Vec::new(), state: 0 });
            groups.len() - 1
        });
        let group = &mut groups[group];
        group.records.insert(place, record);
        group.state = combined(&[group.state, *stamp]);
        if !group.namespaces.contains(&record.key.namespace) {
            group.namespaces.push(Arc::clone(&record.key.namespace));
        }
    }
    groups
}

type Found = (Arc<Session>, ListKey);

/// The session for an object, and the LIST that shows its type; `None` if it needs no look at Atlas.
async fn session(shared: &Shared, project: &ProjectId, record: &Record) -> Option<Result<Found, Unreadable>> {
    let spec = record.spec.as_ref()?;
    if record.leaves_alone || (spec.suspend && !record.deleting) {
        return None;
    }
    let namespace = &record.key.namespace;
    let for_deletion = record.deleting && record.applied;
    let credential = shared.credentials.get(namespace, &spec.credentials, project, for_deletion).await;
    Some(credential.map(|credential| {
        let flowdock = spec.kind == IntegrationType::Flowdock && !shared.atlas.same_listing(spec.kind);
        (shared.atlas.session(&credential), (credential.fingerprint, flowdock))
    }))
}

/// Makes a LIST, and returns when it was begun as well, unless it has to wait: then its failure stands. `None` if nothing is
/// known yet. Where the state of the group is another one than at the last failure, somebody asks for the LIST now.
async fn list(
    shared: &Shared,
    turn: &mut Turn,
    project: &ProjectId,
    group: &Group<'_>,
) -> Option<Result<(Listing, Instant), Failure>> {
    let (credential, flowdock) = group.key;
    let place = Place { project, namespaces: &group.namespaces };
    let known = turn.memory.failed_list(&group.key);
    let requested = known.is_some_and(|known| known.state != group.state);
    let apart = || pacing::reports_apart(shared.index.lock().size().1, shared.settings.resync_interval);
    let reports_apart = group.is_quiet().then_some(apart);
    let tried = match shared.standing.ask(credential, place, requested, reports_apart) {
        Leave::Call => {
            let waits = known.filter(|known| !requested && Instant::now() < known.retry_at);
            if let Some((at, failure)) = waits.map(|known| (known.retry_at, known.failure.clone())) {
                turn.retry_lists_at(at);
                return Some(Err(failure));
            }
            false
        }
        Leave::Try => true,
        Leave::Wait(failure) => return Some(Err(turn.memory.list_waits(group.key, failure, group.state))),
        Leave::Hold => {
            turn.holds();
            return None;
        }
        Leave::Later(at) => {
            turn.holds();
            turn.look_again(at);
            return None;
        }
    };
    let listed_at = Instant::now();
    let listing = shared.atlas.list(&group.session, project, flowdock).await;
    let due = match &listing {
        Ok(_) => {
            if turn.memory.list_succeeded(&group.key) {
                tracing::info!(%project, "Atlas can be read again");
            }
            shared.standing.succeeded(credential)
        }
        Err(failure) => {
            turn.pause_if_asked(credential, failure);
            shared.standing.failed(credential, place, tried, failure)
        }
    };
    shared.make_due(None, due.into_iter().map(Some).collect());
    match listing {
        Ok(listing) => Some(Ok((listing, listed_at))),
        Err(failure) => Some(Err(failed(shared, turn, project, group, (failure, tried)))),
    }
}

/// Notes that a LIST failed, and when it may be repeated. Returns what its objects report. The status of an object in
/// sync does not show an outage at first, so the log says it: once when it begins, once when it ends.
fn failed(
    shared: &Shared,
    turn: &mut Turn,
    project: &ProjectId,
    group: &Group<'_>,
    (failure, tried): (Failure, bool),
) -> Failure {
    if turn.memory.failed_list(&group.key).is_none() {
        tracing::warn!(%project, "{}", failure.summary());
    }
    let now = Instant::now();
    let failures = turn.memory.list_failures(&group.key, &failure, tried);
    let wait = if failure.reason().prospect() == Prospect::Passing {
        Some(pacing::backoff(failures.max(1), random()))
    } else {
        // Somebody has to act. In the end such a project is looked at as often as one in order, and not more often.
        pacing::backoff_below(shared.settings.resync_interval, failures, random())
    };
    let resync = shared.next_resync(project, now);
    let retry_at = match turn.check_pause(&shared.atlas, &group.session) {
        Some(pause) => pause.until,
        None => wait
            .map_or(resync, |wait| resync.min(now + wait))
            .max(now + failure.retry_after.unwrap_or_default()),
    };
    if !tried {
        turn.retry_lists_at(retry_at);
    }
    turn.memory.list_failed(group.key, failure, group.state, (failures, retry_at))
}
