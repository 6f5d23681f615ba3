//! Objects for which Atlas is not read, since they need no look at it, or could not be.

use tokio::time::Instant;

use super::say::{self, Echo, release};
use super::told;
use super::view::Blocked;
use crate::cluster::{Stored, WriteError};
use crate::core::conditions::{InSync, Verdict};
use crate::core::deletion::deletion_lacks;
use crate::core::plan::{Plan, deletion_without_atlas};
use crate::core::quiet::is_applied;
use crate::domain::{ConditionType, FailureKind, Message, Prospect, Reason, SecretsSince, Spec, Stake};
use crate::engine::credentials::Unreadable;
use crate::engine::index::Record;
use crate::engine::shared::Shared;
use crate::engine::turn::Turn;

/// After so many resync intervals without a LIST, the status of an object in sync reports that Atlas was not read.
const MISSED: u32 = 3;

/// Deletions that need no call to Atlas, suspended objects, and specs that can't be read.
pub(super) async fn without_atlas(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
) -> Result<(), WriteError> {
    let stored = shared.read(record).await?;
    if let Some(plan) = deletion_without_atlas(&stored.object, false) {
        if let Plan::Release { note } = plan {
            release(shared, turn, &stored, &note).await?;
        }
        return Ok(());
    }
    let verdict = match &stored.object.spec {
        Err(why) => Verdict::new(Reason::InvalidSpec, format!("{why}; correct the object")),
        Ok(spec) if spec.suspend => suspended(shared, record, &stored, spec),
        // It changed since the index saw it; the watch brings it again.
        Ok(_) => return Err(WriteError::Moved),
    };
    say::say(shared, turn, &stored, verdict, Echo::Keep).await
}

fn suspended(shared: &Shared, record: &Record, stored: &Stored, spec: &Spec) -> Verdict {
    let secrets = shared.index.lock().secrets_since(record, stored.object.applied_secrets());
    let (reason, message) = if is_applied(&stored.object, spec, secrets) {
        (Reason::Synced, "the object is suspended; Atlas has confirmed the settings that the spec asks for")
    } else {
        (
            Reason::Suspended,
            "the object was suspended before its settings reached Atlas; set spec.suspend to false to continue",
        )
    };
    let unknown = InSync::Unknown("the object is suspended: the operator does not read Atlas".to_owned());
    Verdict { suspended: true, ..Verdict::new(reason, message).with_sync(unknown) }
}

/// Atlas could not be read for this object.
pub(super) async fn blocked(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    blocked: &Blocked,
) -> Result<(), WriteError> {
    let (reason, message, gone) = match blocked {
        Blocked::Secret(Unreadable::Server(why)) => return Err(WriteError::Server(why.clone())),
        Blocked::Secret(Unreadable::Problem(problem)) => {
            let (reason, said) = (problem.reason, &problem.message);
            let message = match record.deleting {
                true => deletion_lacks(&record.key, reason, said),
                false => Message::from(said.as_str()),
            };
            (reason, message, false)
        }
        Blocked::Failure(failure, form) => {
            // An object without a spec has no view of Atlas.
            let Some(spec) = &record.spec else { return Err(WriteError::Moved) };
            let stake = match record {
                Record { deleting: true, .. } => Stake::Deletion,
                Record { applied: true, .. } | Record { claimed: true, .. } => Stake::Integration,
                _ => Stake::Nothing,
            };
            let case = told::case(shared, &spec.credentials, *form, stake);
            let message = match stake {
                Stake::Deletion => told::waits(&case, &record.key, failure),
                Stake::Integration | Stake::Nothing => case.message(failure),
            };
            (failure.reason(), message, failure.kind == FailureKind::ProjectNotFound)
        }
    };
    if record.deleting {
        return blocked_deletion(shared, turn, record, Verdict::new(reason, message), gone).await;
    }
    if reason.prospect() == Prospect::Passing {
        if owes_nothing(shared, record) {
            return unread(shared, turn, record, message.text()).await;
        }
        if refusal_stands(shared, turn, record) {
            return Ok(());
        }
    }
    let verdict = Verdict::new(reason, message);
    if say::already_said(shared, turn, record, &verdict) {
        return Ok(());
    }
    let stored = shared.read(record).await?;
    say::say(shared, turn, &stored, verdict, Echo::Keep).await
}

/// The object is being deleted. It is released if there is nothing to delete in Atlas, and otherwise waits.
async fn blocked_deletion(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    verdict: Verdict,
    gone: bool,
) -> Result<(), WriteError> {
    let stored = shared.read(record).await?;
    let note = if shared.store.crd_terminating().await? {
        "the kind itself is being removed; the integration stays in Atlas"
    } else if gone {
        "the Atlas project is gone, and the integration with it"
    } else {
        return say::say(shared, turn, &stored, verdict, Echo::Keep).await;
    };
    release(shared, turn, &stored, note).await?;
    Ok(())
}

/// The object owes nothing, so its status stays during a short outage. After a longer one InSync becomes Unknown, since
/// Atlas may have changed.
async fn unread(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    message: String,
) -> Result<(), WriteError> {
    let now = Instant::now();
    let since = *turn.object(&record.uid).unread_since.get_or_insert(now);
    let missed = now.duration_since(since) >= shared.settings.resync_interval.saturating_mul(MISSED);
    if !missed || record.sync_unknown {
        return Ok(());
    }
    let stored = shared.read(record).await?;
    let Some(ready) = stored.object.status.condition(ConditionType::Ready) else { return Ok(()) };
    let kept = Reason::parse(&ready.reason).unwrap_or(Reason::Synced);
    let verdict = Verdict::new(kept, ready.message.clone()).with_sync(InSync::Unknown(message));
    say::say(shared, turn, &stored, verdict, Echo::Keep).await
}

/// Whether an object that could not be looked at is in sync as far as the cluster shows.
fn owes_nothing(shared: &Shared, record: &Record) -> bool {
    record.quiet.as_ref().is_some_and(|quiet| {
        shared.index.lock().secrets_since(record, quiet.secrets) != SecretsSince::Changed
    })
}

/// Whether the last word was a refusal that an outage does not change: neither the object nor its Secrets have changed
/// since the refusal.
fn refusal_stands(shared: &Shared, turn: &Turn, record: &Record) -> bool {
    let Some(memory) = turn.memory.known(&record.uid) else { return false };
    let stands = memory.said.as_deref().is_some_and(|(version, said)| {
        said.reason.prospect() == Prospect::Final && *version == record.resource_version
    });
    let secrets = memory.refused.as_ref().map(|refused| refused.signature.secrets);
    stands
        && secrets
            .is_none_or(|secrets| shared.index.lock().secrets_since(record, secrets) != SecretsSince::Changed)
}
