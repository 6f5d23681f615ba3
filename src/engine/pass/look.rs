//! Observe: what each object of a project sees of Atlas.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::share::Share;
use crate::atlas::{Listing, Session};
use crate::core::pacing;
use crate::domain::{Failure, IntegrationType, ObjectKey, ProjectId, Prospect};
use crate::engine::credentials::Unreadable;
use crate::engine::index::Record;
use crate::engine::jitter::random;
use crate::engine::object::{Blocked, Seen, View};
use crate::engine::shared::Shared;
use crate::engine::standing::{Leave, Place};
use crate::engine::turn::{ListKey, Pause, Turn};

/// What each object sees that the pass has reached; `None` for an object that needs no look at Atlas.
pub(super) type Views = HashMap<ObjectKey, Option<View>>;

/// The objects that share a LIST.
struct Group<'a> {
    key: ListKey,
    session: Arc<Session>,
    records: Vec<&'a Record>,
    namespaces: Vec<Arc<str>>,
}

/// Lists the project once for each credential, as far as there is time. If a LIST failed, the turn looks again; that pass
/// makes only the LISTs that failed, unless something else has changed or is due by then.
pub(super) async fn look(shared: &Shared, turn: &mut Turn, project: &ProjectId, records: &[Record]) -> Views {
    let mut views = Views::new();
    // Of the same moment as the records: what changes from here on is for the next pass.
    let state = shared.index.lock().stamp(turn.key());
    let mut groups = groups(shared, project, records, &mut views).await;
    let reached = views.len() + groups.iter().map(|group| group.records.len()).sum::<usize>();
    if turn.memory.round.is_blank() && reached == records.len() {
        turn.memory.keep_lists(|key| groups.iter().any(|group| group.key == *key));
    }
    if turn.memory.round.is_blank() {
        // What failed comes first: if it succeeds now, the others are listed as well. Within a round everybody keeps the
        // place in the line.
        groups.sort_by_key(|group| turn.memory.failed_list(&group.key).is_none());
    }
    let mut retries_only = turn.retries_only(state);
    let mut listing = Share::default();
    let listed_at = Instant::now();
    for group in groups {
        let listed = match check_pause(shared, turn) {
            Some(pause) => Some(Err(turn.memory.told(&group.key, pause.failure))),
            // The term has ended, and no step gets past its read.
            None if !shared.leads() => break,
            None if listing.is_over(shared) => break,
            None if retries_only && turn.memory.failed_list(&group.key).is_none() => None,
            None => listing.spend(list(shared, turn, project, (&group, state))).await,
        };
        let view = match listed {
            Some(Ok(listing)) => {
                retries_only = false;
                let listing = Arc::new(listing);
                View::Seen(Seen { session: Arc::clone(&group.session), listing, listed_at })
            }
            Some(Err(failure)) => View::Blocked(Blocked::Failure(failure, group.session.form())),
            None => View::Blocked(Blocked::Held),
        };
        views.extend(group.records.into_iter().map(|record| (record.key.clone(), Some(view.clone()))));
    }
    if let Some(pause) = check_pause(shared, turn) {
        turn.look_again(pause.until);
    }
    views
}

/// The pause of the project, if it is paused now; see [`Turn::check_pause`].
pub(super) fn check_pause(shared: &Shared, turn: &mut Turn) -> Option<Pause> {
    turn.check_pause(|project| shared.atlas.take_budget(project))
}

/// Finds the LIST that shows each object's type, as far as there is time to read credentials. Objects that need no LIST, or
/// whose credentials can't be read, get their view.
async fn groups<'a>(
    shared: &Shared,
    project: &ProjectId,
    records: &'a [Record],
    views: &mut Views,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: HashMap<ListKey, usize> = HashMap::new();
    let mut reading = Share::default();
    for record in records {
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
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { key, session, records: Vec::new(), namespaces: Vec::new() });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.records.push(record);
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
    let credential = shared.credentials.get(namespace, &spec.credentials, project, record.deleting).await;
    Some(credential.map(|credential| {
        let flowdock = spec.kind == IntegrationType::Flowdock && !shared.atlas.same_listing(spec.kind);
        (shared.atlas.session(&credential), (credential.fingerprint, flowdock))
    }))
}

/// Makes a LIST, unless it has to wait: then its failure stands. `None` if nothing is known yet. Where the project's state
/// is another one than at the last failure, somebody asks for the LIST now.
async fn list(
    shared: &Shared,
    turn: &mut Turn,
    project: &ProjectId,
    (group, state): (&Group<'_>, u64),
) -> Option<Result<Listing, Failure>> {
    let (credential, flowdock) = group.key;
    let place = Place { project, namespaces: &group.namespaces };
    let known = turn.memory.failed_list(&group.key);
    let requested = known.is_some_and(|known| known.state != state);
    let tried = match shared.standing.ask(credential, place, requested) {
        Leave::Call => {
            let waits = known.filter(|known| !requested && Instant::now() < known.retry_at);
            if let Some((at, failure)) = waits.map(|known| (known.retry_at, known.failure.clone())) {
                turn.retry_lists_at(at);
                return Some(Err(failure));
            }
            false
        }
        Leave::Try => true,
        Leave::Wait(failure) => return Some(Err(turn.memory.list_waits(group.key, failure, state))),
        Leave::Hold => {
            turn.holds();
            return None;
        }
    };
    let listing = shared.atlas.list(&group.session, project, flowdock).await;
    let due = match &listing {
        Ok(_) => {
            if turn.memory.list_succeeded(&group.key) {
                tracing::info!(%project, "Atlas can be read again");
            }
            shared.standing.succeeded(credential)
        }
        Err(failure) => {
            turn.pause_if_asked(failure);
            shared.standing.failed(credential, place, tried, failure)
        }
    };
    shared.make_due(None, due.into_iter().map(Some).collect());
    Some(listing.map_err(|failure| failed(shared, turn, project, (group, state), (failure, tried))))
}

/// Notes that a LIST failed, and when it may be repeated. Returns what its objects report. The status of an object in
/// sync does not show an outage at first, so the log says it: once when it begins, once when it ends.
fn failed(
    shared: &Shared,
    turn: &mut Turn,
    project: &ProjectId,
    (group, state): (&Group<'_>, u64),
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
    let retry_at = match check_pause(shared, turn) {
        Some(pause) => pause.until,
        None => wait
            .map_or(resync, |wait| resync.min(now + wait))
            .max(now + failure.retry_after.unwrap_or_default()),
    };
    if !tried {
        turn.retry_lists_at(retry_at);
    }
    turn.memory.list_failed(group.key, failure, state, (failures, retry_at))
}
