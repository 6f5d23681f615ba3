//! One pass over one project: observe (a LIST for each credential), decide (which object owns which place in Atlas),
//! and act (one object after another).

mod look;
mod owners;

use std::collections::HashMap;

use tokio::time::Instant;

use look::{Views, look};
use owners::{described, owners};

use super::index::Record;
use super::object::{View, step};
use super::shared::Shared;
use super::turn::Turn;
use crate::atlas::Listing;
use crate::domain::{IntegrationType, ProjectId, SecretsSince};

/// Runs a pass. The turn then says when the next one is due.
pub(super) async fn pass(shared: &Shared, turn: &mut Turn) {
    let mut records = shared.index.lock().of_project(turn.key());
    if !records.is_empty() && shared.leads() {
        match turn.key().clone() {
            Some(project) => over_project(shared, turn, &project, &mut records).await,
            None => over_unreadable(shared, turn, &records).await,
        }
    }
    turn.project.keep_only(records.iter().map(|record| record.uid.as_str()));
}

/// The objects whose spec can't be read. Each step asks whether it may write.
async fn over_unreadable(shared: &Shared, turn: &mut Turn, records: &[Record]) {
    turn.look_again(Instant::now() + shared.settings.resync_interval);
    for record in records {
        step(shared, turn, record, None, None).await;
    }
}

async fn over_project(shared: &Shared, turn: &mut Turn, project: &ProjectId, records: &mut [Record]) {
    let begun = Instant::now();
    in_waiting_order(turn, records);
    let views = look(shared, turn, project, records).await;
    turn.look_again(shared.next_resync(project, Instant::now()));
    let owners = owners(shared, turn, records, &views);
    let mut busy = Vec::new();
    for record in &*records {
        match stand(shared, turn, record, &views, &owners) {
            Stand::Quiet => {
                if let Some(memory) = turn.project.known_mut(&record.uid) {
                    memory.rests();
                }
            }
            Stand::Waits => busy.push(record),
            Stand::Due { view, owner } => {
                busy.push(record);
                step(shared, turn, record, view, owner.as_deref()).await;
            }
        }
    }
    keep_turns(shared, turn, &busy, begun, &views);
}

/// How an object stands in a pass.
enum Stand<'a> {
    /// It needs nothing.
    Quiet,
    /// It waits until the project's pause is over.
    Waits,
    /// It is taken; `owner` describes another object that owns its place.
    Due { view: Option<&'a View>, owner: Option<String> },
}

fn stand<'a>(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    views: &'a Views,
    owners: &HashMap<IntegrationType, &Record>,
) -> Stand<'a> {
    let view = views.get(&record.key);
    let owner = record.kind().and_then(|kind| owners.get(&kind)).filter(|owner| owner.uid != record.uid);
    let owner = owner.map(|owner| described(owner, record));
    let Some(View::Seen(seen)) = view else { return Stand::Due { view, owner } };
    if owner.is_none() && is_quiet(shared, record, &seen.listing) {
        return Stand::Quiet;
    }
    if turn.paused(&shared.atlas).is_some() { Stand::Waits } else { Stand::Due { view, owner } }
}

/// Objects that an earlier pass left waiting come first, longest wait first; then the rest, oldest first.
fn in_waiting_order(turn: &Turn, records: &mut [Record]) {
    let now = Instant::now();
    records.sort_by_cached_key(|record| {
        let since = turn.project.known(&record.uid).and_then(|memory| memory.waiting_since);
        (since.unwrap_or(now), record.created, record.key.clone())
    });
}

/// At the end of a pass that began at `begun`: while the project is paused, the objects that were not quiet keep their
/// turn.
fn keep_turns(shared: &Shared, turn: &mut Turn, busy: &[&Record], begun: Instant, views: &Views) {
    if turn.paused(&shared.atlas).is_none() {
        for record in busy {
            if let Some(memory) = turn.project.known_mut(&record.uid) {
                memory.waiting_since = None;
            }
        }
        turn.project.unlimited();
        return;
    }
    for record in busy {
        turn.object(&record.uid).waiting_since.get_or_insert(begun);
    }
    if busy.iter().any(|record| matches!(views.get(&record.key), Some(View::Seen(_)))) {
        // The next pass is due at once: it says that they wait, without a call.
        turn.look_again_now();
    }
}

/// Whether nothing is to be done: the object owes nothing, Atlas shows what it showed, the Secrets are the same.
fn is_quiet(shared: &Shared, record: &Record, listing: &Listing) -> bool {
    let Some(quiet) = &record.quiet else { return false };
    let entry = record.kind().and_then(|kind| listing.get(&kind));
    !record.sync_unknown
        && entry.is_some_and(|entry| entry.digest() == quiet.echo)
        && shared.index.lock().secrets_since(record, quiet.secrets) == SecretsSince::Same
}
