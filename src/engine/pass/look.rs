//! Observe: what each object of a project sees of Atlas.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::time::Instant;

use super::share::Share;
use crate::atlas::{Listing, Session};
use crate::core::pacing;
use crate::domain::{Failure, Fingerprint, IntegrationType, ObjectKey, ProjectId};
use crate::engine::credentials::Unreadable;
use crate::engine::index::Record;
use crate::engine::jitter::random;
use crate::engine::object::{Blocked, Seen, View};
use crate::engine::shared::Shared;
use crate::engine::turn::{Pause, Turn};

/// What each object sees that the pass has reached; `None` for an object that needs no look at Atlas.
pub(super) type Views = HashMap<ObjectKey, Option<View>>;

/// LISTs by credential, those for FLOWDOCK separately where only version 1.0 shows it.
type Listings = HashMap<(Fingerprint, bool), Result<Arc<Listing>, Failure>>;

/// Lists the project once for each credential, as far as there is time. If a LIST failed, the turn looks again.
pub(super) async fn look(shared: &Shared, turn: &mut Turn, project: &ProjectId, records: &[Record]) -> Views {
    let mut listings = Listings::new();
    let mut views = Views::new();
    let mut outage: Option<Failure> = None;
    let (mut reading, mut listing) = (Share::default(), Share::default());
    let listed_at = Instant::now();
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
        if let Entry::Vacant(place) = listings.entry(key) {
            let listed = match check_pause(shared, turn) {
                Some(pause) => Err(pause.failure),
                // The term has ended, and no step gets past its read.
                None if !shared.leads() => break,
                // Objects whose LIST was made already still get their view.
                None if listing.is_over(shared) => continue,
                None => {
                    let listed = listing.spend(shared.atlas.list(&session, project, key.1)).await;
                    if let Err(failure) = &listed {
                        turn.pause_if_asked(failure);
                        outage.get_or_insert_with(|| failure.clone());
                    }
                    listed.map(Arc::new)
                }
            };
            place.insert(listed);
        }
        let view = match listings.get(&key) {
            Some(Ok(listing)) => View::Seen(Seen { session, listing: Arc::clone(listing), listed_at }),
            Some(Err(failure)) => View::Blocked(Blocked::Failure(failure.clone(), session.form())),
            None => continue,
        };
        views.insert(record.key.clone(), Some(view));
    }
    listed(shared, turn, project, outage, listings.values().any(Result::is_ok));
    views
}

/// The pause of the project, if it is paused now; see [`Turn::check_pause`].
pub(super) fn check_pause(shared: &Shared, turn: &mut Turn) -> Option<Pause> {
    turn.check_pause(|project| shared.atlas.take_budget(project))
}

type Found = (Arc<Session>, (Fingerprint, bool));

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

/// Notes how the LISTs went. The status of an object in sync does not show an outage at first, so the log says it: once
/// when the outage begins, once when it ends.
fn listed(shared: &Shared, turn: &mut Turn, project: &ProjectId, outage: Option<Failure>, read: bool) {
    let pause = check_pause(shared, turn);
    let (before, failures) = turn.memory.listed(outage.is_some(), read);
    match (&outage, before) {
        (Some(failure), 0) => tracing::warn!(%project, "{}", failure.summary()),
        (None, 1..) if read => tracing::info!(%project, "Atlas can be read again"),
        _ => {}
    }
    if let Some(pause) = pause {
        turn.look_again(pause.until);
    } else if let Some(failure) = outage {
        let backoff = pacing::backoff(failures, random());
        turn.look_again(Instant::now() + backoff.max(failure.retry_after.unwrap_or_default()));
    }
}
