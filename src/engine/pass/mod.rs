//! One pass over one project: observe (a LIST for each credential), decide (which object owns each place in Atlas, that
//! is each type of integration in the project), and act (one object after another).

mod look;
mod owners;
mod share;

use std::collections::HashSet;

use tokio::time::Instant;

use look::{Look, Views};
use owners::{Holder, Owners, described, entry};
use share::Share;

use super::index::Record;
use super::object::{Blocked, View, step};
use super::shared::Shared;
use super::turn::{Outcome, Turn};
use crate::atlas::Listing;
use crate::core::plan::Owner;
use crate::domain::{ProjectId, SecretsSince};

/// Runs one pass. Afterwards `turn` holds when the next one is due.
pub(super) async fn pass(shared: &Shared, turn: &mut Turn) {
    let mut records = shared.index.lock().of_project(turn.key());
    if records.is_empty() {
        turn.outlast_pauses();
    } else if shared.leads() {
        match turn.key().clone() {
            Some(project) => pass_over_project(shared, turn, &project, &mut records).await,
            None => pass_over_unreadable(shared, turn, &mut records).await,
        }
    }
    turn.memory.keep_only(records.iter().map(|record| record.uid.as_str()));
}

/// The objects whose spec can't be read. Leadership is not checked between them, since each step checks it itself.
async fn pass_over_unreadable(shared: &Shared, turn: &mut Turn, records: &mut [Record]) {
    turn.look_again(Instant::now() + shared.settings.resync_interval);
    let open = sort(turn, records);
    let mut steps = Share::default();
    let mut round = Vec::new();
    for record in &records[..open] {
        let outcome = if steps.is_over(shared) {
            Outcome::Late
        } else {
            steps.spend(step(shared, turn, record, None, None)).await;
            Outcome::Done
        };
        round.push((record, None, outcome));
    }
    end_round(turn, open, &round);
}

/// The objects of a project. Each credential's objects have their steps right after their own LIST, where nothing that the
/// other LISTs may show can change what they need: so nobody waits for LISTs under the credentials of others. All other
/// objects follow once every LIST was made.
async fn pass_over_project(shared: &Shared, turn: &mut Turn, project: &ProjectId, records: &mut [Record]) {
    let open = sort(turn, records);
    let records = &*records;
    let mut look = Look::begin(shared, turn, project, (records, open)).await;
    turn.look_again(shared.next_resync(project, Instant::now()));
    let mut acts = Acts { records, owners: Owners::default(), steps: Share::default(), reached: Vec::new() };
    while let Some(seen) = look.next(shared, turn, project).await {
        acts.decided(shared, turn, &look.views, seen).await;
    }
    acts.all(shared, turn, &look.views, open).await;
    look.end(shared, turn);
    end_round(turn, open, &acts.reached);
}

/// The steps of a pass.
struct Acts<'a> {
    records: &'a [Record],
    owners: Owners<'a>,
    steps: Share,
    /// The objects that the pass has reached, with what each saw in its place, and what became of it.
    reached: Vec<(&'a Record, Option<bool>, Outcome)>,
}

impl<'a> Acts<'a> {
    /// Takes those of the objects whose place is decided already, as long as there is time.
    async fn decided(&mut self, shared: &Shared, turn: &mut Turn, views: &Views, seen: Vec<&'a Record>) {
        for record in seen {
            let is_decided = self.owners.decide(shared, turn, (self.records, views), record.kind());
            if is_decided && !self.steps.is_over(shared) {
                self.take(shared, turn, views, record).await;
            }
        }
    }

    /// Takes all objects that the pass has seen and not taken yet.
    async fn all(&mut self, shared: &Shared, turn: &mut Turn, views: &Views, open: usize) {
        let taken: HashSet<&str> = self.reached.iter().map(|(record, ..)| record.uid.as_str()).collect();
        let left: Vec<&Record> = self.records[..open]
            .iter()
            .filter(|record| !taken.contains(record.uid.as_str()) && views.contains_key(&record.key))
            .collect();
        for record in left {
            self.owners.decide(shared, turn, (self.records, views), record.kind());
            self.take(shared, turn, views, record).await;
        }
    }

    /// Takes one object.
    async fn take(&mut self, shared: &Shared, turn: &mut Turn, views: &Views, record: &'a Record) {
        let Some(view) = views.get(&record.key) else { return };
        if matches!(view, Some(View::Blocked(Blocked::Held))) {
            self.reached.push((record, None, Outcome::Done));
            return;
        }
        let outcome = match need(shared, record, view.as_ref(), &self.owners) {
            Need::Nothing => {
                if let Some(memory) = turn.memory.known_mut(&record.uid) {
                    memory.rests();
                }
                Outcome::Done
            }
            Need::Others => Outcome::Undecided,
            Need::Step(_) if self.steps.is_over(shared) => Outcome::Late,
            Need::Step(owner) => {
                self.steps.spend(step(shared, turn, record, view.as_ref(), owner.as_ref())).await;
                Outcome::Done
            }
        };
        self.reached.push((record, entry(turn, record, views).flatten(), outcome));
    }
}

/// What an object needs in a pass.
enum Need {
    /// Nothing.
    Nothing,
    /// A look at other objects, which this pass has not reached.
    Others,
    /// A step. The value describes the object that owns its place, if that is another one.
    Step(Option<Owner>),
}

fn need(shared: &Shared, record: &Record, view: Option<&View>, owners: &Owners<'_>) -> Need {
    let sees = matches!(view, Some(View::Seen(_)));
    let owner = match record.kind().and_then(|kind| owners.of(kind)) {
        Some(Holder::Undecided) if sees => return Need::Others,
        // An object that does not see Atlas may lose the place only to one that would win whatever it saw.
        Some(Holder::Owner(owner)) if owner.uid != record.uid && (sees || owner.applied) => {
            Some(described(owner, record))
        }
        _ => None,
    };
    match view {
        Some(View::Seen(seen)) if owner.is_none() && is_quiet(shared, record, &seen.listing) => Need::Nothing,
        _ => Need::Step(owner),
    }
}

/// Sorts the objects that still need a turn in the round before the others, and returns how many they are. Of those, the
/// ones that had no turn for the longest time come first; then those that wait for the longest time for the end of a
/// pause; then the oldest.
fn sort(turn: &Turn, records: &mut [Record]) -> usize {
    let round = &turn.memory.round;
    records.sort_by_cached_key(|record| {
        let since = turn.memory.known(&record.uid).and_then(|memory| memory.waiting_since);
        let waits = (round.had_turn(&record.uid), since.unwrap_or_else(|| turn.begun()));
        (!round.is_open(&record.uid), waits, record.created, record.key.clone())
    });
    records.partition_point(|record| round.is_open(&record.uid))
}

/// Ends the part of a round in which a pass over the first `open` records reached some of them: with what each saw in its
/// place, and with what became of it.
fn end_round(turn: &mut Turn, open: usize, reached: &[(&Record, Option<bool>, Outcome)]) {
    let done = reached.iter().filter(|(.., outcome)| *outcome == Outcome::Done).count();
    if done < open {
        let begun = turn.begun();
        for (record, entry, outcome) in reached {
            turn.memory.round.reached(&record.uid, *entry, begun, *outcome);
        }
    }
    turn.end_round(done == open);
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
