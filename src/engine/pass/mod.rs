//! One pass over one project: observe (a LIST for each credential), decide (which object owns each place in Atlas, that
//! is each type of integration in the project), and act (one object after another).

mod look;
mod owners;

use std::collections::HashMap;

use tokio::time::Instant;

use look::{Views, check_pause, look};
use owners::{described, owners};

use super::index::Record;
use super::object::{Blocked, View, step};
use super::shared::Shared;
use super::turn::Turn;
use crate::atlas::Listing;
use crate::core::plan::Owner;
use crate::domain::{IntegrationType, ProjectId, SecretsSince};

/// Runs one pass. Afterwards `turn` holds when the next one is due.
pub(super) async fn pass(shared: &Shared, turn: &mut Turn) {
    let mut records = shared.index.lock().of_project(turn.key());
    if records.is_empty() {
        turn.outlast_pause();
    } else if shared.leads() {
        match turn.key().clone() {
            Some(project) => pass_over_project(shared, turn, &project, &mut records).await,
            None => pass_over_unreadable(shared, turn, &records).await,
        }
    }
    turn.memory.keep_only(records.iter().map(|record| record.uid.as_str()));
}

/// The objects whose spec can't be read. Leadership is not checked between them, since each step checks it itself.
async fn pass_over_unreadable(shared: &Shared, turn: &mut Turn, records: &[Record]) {
    turn.look_again(Instant::now() + shared.settings.resync_interval);
    for record in records {
        step(shared, turn, record, None, None).await;
    }
}

/// The objects of a project.
async fn pass_over_project(shared: &Shared, turn: &mut Turn, project: &ProjectId, records: &mut [Record]) {
    let begun = Instant::now();
    sort_by_wait(turn, records);
    let views = look(shared, turn, project, records).await;
    turn.look_again(shared.next_resync(project, Instant::now()));
    let owners = owners(shared, turn, records, &views);
    let mut not_quiet = Vec::new();
    let mut owed_waits = false;
    for record in &*records {
        match need(shared, turn, record, &views, &owners) {
            Need::Nothing => {
                if let Some(memory) = turn.memory.known_mut(&record.uid) {
                    memory.rests();
                }
            }
            Need::Pause => {
                owed_waits = true;
                not_quiet.push(record);
            }
            Need::Step { view, owner } => {
                // The pause may have begun before the LIST that this object needs.
                owed_waits |=
                    record.quiet.is_none() && matches!(view, Some(View::Blocked(Blocked::Failure(..))));
                not_quiet.push(record);
                step(shared, turn, record, view, owner.as_ref()).await;
            }
        }
    }
    note_waiting(shared, turn, &not_quiet, begun, &views);
    if check_pause(shared, turn).is_some() {
        turn.pass_paused(owed_waits);
    }
}

/// What an object needs in a pass.
enum Need<'a> {
    /// Nothing.
    Nothing,
    /// The end of the project's pause.
    Pause,
    /// A step, now. `owner` describes the object that owns its place, if that is another one.
    Step { view: Option<&'a View>, owner: Option<Owner> },
}

fn need<'a>(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    views: &'a Views,
    owners: &HashMap<IntegrationType, &Record>,
) -> Need<'a> {
    let view = views.get(&record.key);
    let owner = record.kind().and_then(|kind| owners.get(&kind)).filter(|owner| owner.uid != record.uid);
    let owner = owner.map(|owner| described(owner, record));
    let Some(View::Seen(seen)) = view else { return Need::Step { view, owner } };
    if owner.is_none() && is_quiet(shared, record, &seen.listing) {
        return Need::Nothing;
    }
    if check_pause(shared, turn).is_some() { Need::Pause } else { Need::Step { view, owner } }
}

/// Objects that an earlier pass left waiting come first, longest wait first; then the rest, oldest first.
fn sort_by_wait(turn: &Turn, records: &mut [Record]) {
    let now = Instant::now();
    records.sort_by_cached_key(|record| {
        let since = turn.memory.known(&record.uid).and_then(|memory| memory.waiting_since);
        (since.unwrap_or(now), record.created, record.key.clone())
    });
}

/// Ends a pass. If the project is paused, remembers that the objects that were not quiet have waited since `begun`, so
/// that the next pass takes them first. If not, forgets their waits.
fn note_waiting(shared: &Shared, turn: &mut Turn, not_quiet: &[&Record], begun: Instant, views: &Views) {
    if check_pause(shared, turn).is_none() {
        for record in not_quiet {
            if let Some(memory) = turn.memory.known_mut(&record.uid) {
                memory.waiting_since = None;
            }
        }
        turn.memory.reset_limited();
        return;
    }
    for record in not_quiet {
        turn.object(&record.uid).waiting_since.get_or_insert(begun);
    }
    if not_quiet.iter().any(|record| matches!(views.get(&record.key), Some(View::Seen(_)))) {
        // The next pass makes no call, and stores in these objects that they wait for the end of the pause.
        turn.look_again_now();
    }
}

/// Whether an object needs nothing: no write is owed, Atlas shows the same entry as last time, its Secrets have not
/// changed, and InSync reports neither an outage nor a repair that waits, which a step would now take back.
fn is_quiet(shared: &Shared, record: &Record, listing: &Listing) -> bool {
    let Some(quiet) = &record.quiet else { return false };
    let entry = record.kind().and_then(|kind| listing.get(&kind));
    !record.sync_unknown
        && !record.overwritten
        && entry.is_some_and(|entry| entry.digest() == quiet.echo)
        && shared.index.lock().secrets_since(record, quiet.secrets) == SecretsSince::Same
}
