//! One object within a pass: read it, plan, carry the plan out.

mod delete;
mod fence;
mod planned;
mod refused;
mod say;
mod told;
mod unseen;
mod view;
mod write;

pub use fence::{CallResult, Fenced};
pub(super) use view::{Blocked, Seen, View};

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use delete::delete;
use planned::{Sight, planned};
use say::{Echo, release};
use write::{Job, catch_up, write};

use super::index::Record;
use super::jitter::random;
use super::shared::Shared;
use super::turn::{Grounds, Turn};
use crate::cluster::{Stored, WriteError};
use crate::core::conditions::Verdict;
use crate::core::deletion::deletion_waits;
use crate::core::outcome::{self, Claiming};
use crate::core::pacing;
use crate::core::plan::{Owner, Plan, in_doubt_message, unconfirmed_fence};
use crate::domain::{ConditionStatus, ConditionType, Message, Reason, Redacted};

/// Steps of one object in one pass: put the claim back, release, write. More would be a loop.
const MAX_STEPS: usize = 4;
/// An object that changed while a pass worked on it is planned again after this.
const MOVED: Duration = Duration::from_millis(200);

/// Takes one object. `view` is `None` if the object needs no look at Atlas; `owner` describes another object that owns
/// the place, if there is one.
pub(super) async fn step(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    view: Option<&View>,
    owner: Option<&Owner>,
) {
    let waited = turn.memory.known_mut(&record.uid).and_then(|memory| memory.waiting_since.take());
    let result = match view {
        Some(View::Blocked(blocked)) => unseen::blocked(shared, turn, record, blocked, owner).await,
        Some(View::Seen(seen)) => match waits_on(shared, turn, record, (seen, waited)).await {
            Ok(false) => act(shared, turn, record, seen, owner).await,
            waits => waits.map(|_| ()),
        },
        None => unseen::without_atlas(shared, turn, record).await,
    };
    if let Some(memory) = turn.memory.known_mut(&record.uid)
        && (result.is_err() || memory.waiting_since.is_some())
    {
        // It keeps its place among those that wait.
        memory.waiting_since = waited.or(memory.waiting_since);
    }
    match result {
        Ok(()) => {
            if let Some(memory) = turn.memory.known_mut(&record.uid) {
                memory.stepped();
            }
        }
        // It is gone, or another object has its name, and that one has a record of its own.
        Err(WriteError::Gone) => {
            if shared.store.gone(record) {
                turn.look_again_now();
            }
        }
        Err(WriteError::Moved) => turn.owes_at(Instant::now() + MOVED),
        Err(WriteError::Server(why)) => retry(turn, record, &why),
        Err(refused @ WriteError::Refused { .. }) => {
            retry(turn, record, &refused.to_string());
            if let WriteError::Refused { write, why } = refused {
                refused::report(shared, turn, record, write, &why).await;
            }
        }
    }
}

/// Whether an object that needed a call when it was planned last, and has not changed since, still has to wait with it
/// for the end of a pause. Such an object need not be read to tell.
async fn waits_on(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    (seen, waited): (&Seen, Option<Instant>),
) -> Result<bool, WriteError> {
    let said = turn.memory.known(&record.uid).and_then(|memory| memory.said.as_deref());
    let same = waited.is_some() && said.is_some_and(|said| said.version == record.resource_version);
    Ok(same && unseen::paused(shared, turn, record, &seen.session).await?)
}

/// Looks at the object again after a wait, since a call to the API server failed.
fn retry(turn: &mut Turn, record: &Record, why: &str) {
    tracing::warn!(
        object = %record.key,
        project = record.project().as_ref().map(display),
        "type" = record.kind().map(display),
        "a call to the API server failed: {why}; the operator retries automatically"
    );
    let failures = turn.object(&record.uid).fails();
    turn.look_again(Instant::now() + pacing::backoff(failures, random()));
}

/// Atlas was read: plans, and carries the plan out, until nothing more is to be done in this pass.
async fn act(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    seen: &Seen,
    owner: Option<&Owner>,
) -> Result<(), WriteError> {
    let entry = record.kind().and_then(|kind| seen.listing.get(&kind));
    let grounds = Grounds::Place { owner: owner.cloned(), entry: entry.map(Redacted::digest) };
    if say::still_holds(shared, turn, record, &grounds) {
        return Ok(());
    }
    let mut stored = shared.read(record).await?;
    if let Some(memory) = turn.memory.known_mut(&record.uid) {
        memory.unread_since = None;
    }
    if catch_up(shared, turn, record, &stored).await? {
        return Ok(());
    }
    for _ in 0..MAX_STEPS {
        let spec = match &stored.object.spec {
            Ok(spec) if !spec.suspend || stored.object.deleting => spec.clone(),
            // Suspended since the index saw it, or no longer readable: the next pass knows.
            _ => return Err(WriteError::Moved),
        };
        let crd_terminating = stored.object.deleting && shared.store.crd_terminating().await?;
        if !shared.leads() {
            return Ok(());
        }
        let sight = Sight { spec: &spec, entry, owner, listed_at: seen.listed_at, crd_terminating };
        let (claiming, kind, why) = match planned(shared, turn, &stored, &sight) {
            Plan::Gone => return Ok(()),
            Plan::Settled { reason, message, in_sync } => {
                let verdict = Verdict::new(reason, message).with_sync(in_sync);
                // An entry that is not ours is not echoed.
                let ours = matches!(reason, Reason::Synced | Reason::Observed);
                let echo = Echo::of(entry.filter(|_| ours));
                return say::say_on(shared, turn, &stored, verdict, echo, Some(grounds)).await;
            }
            Plan::Wait => return wait(shared, turn, &stored).await,
            Plan::RestoreClaim => {
                let claim = outcome::restored_claim(&stored.object, Timestamp::now());
                stored = shared.store.claim(&stored, &claim).await?;
                continue;
            }
            Plan::Release { note } => {
                stored = release(shared, turn, &stored, &note).await?;
                if stored.object.deleting {
                    return Ok(());
                }
                continue;
            }
            Plan::Delete => return delete(shared, turn, (record, &stored), &spec, &seen.session).await,
            Plan::Claim { adopted, write } => {
                (if adopted { Claiming::ByConsent } else { Claiming::Fresh }, write, None)
            }
            Plan::Write { write, why } => (Claiming::Already, write, Some(why)),
        };
        let job = Job { spec: &spec, session: &seen.session, entry, write: kind, claiming, why };
        return write(shared, turn, (record, &stored), job).await;
    }
    Err(WriteError::Moved)
}

/// Waits until the last write can't land any more. After a lost answer the status reports that already. After a crash
/// during a write, or a write of another process, the status still describes the time before that write.
async fn wait(shared: &Shared, turn: &mut Turn, stored: &Stored) -> Result<(), WriteError> {
    let object = &stored.object;
    let seen_at = turn.sees(&object.uid, unconfirmed_fence(object)).unwrap_or_else(Instant::now);
    let said = object.status.condition(ConditionType::Ready).is_some_and(|ready| {
        ready.status == ConditionStatus::False && ready.observed_generation == Some(object.generation)
    });
    if !said {
        let reason = Reason::AtlasUnavailable;
        let why = in_doubt_message(shared.atlas.landing_limit());
        let message =
            if object.deleting { deletion_waits(&object.key, reason, &why, "") } else { Message::from(why) };
        say::say(shared, turn, stored, Verdict::new(reason, message), Echo::Keep).await?;
    }
    turn.look_again(seen_at + shared.atlas.landing_limit());
    Ok(())
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod answers_tests;
