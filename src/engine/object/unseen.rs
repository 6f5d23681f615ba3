//! Objects for which Atlas is not read, since they need no look at it, or could not be.

use std::sync::Arc;

use tokio::time::Instant;

use super::planned::{Sight, planned};
use super::say::{self, Echo, release};
use super::told;
use super::view::Blocked;
use crate::atlas::Session;
use crate::cluster::{Stored, WriteError};
use crate::core::conditions::{InSync, Verdict};
use crate::core::deletion::deletion_lacks;
use crate::core::plan::{Owner, Plan, deletion_without_atlas};
use crate::core::quiet::{are_secrets_applied, is_applied};
use crate::domain::{ConditionType, FailureKind, Message, Prospect, Reason, SecretsSince, Stake};
use crate::engine::credentials::Unreadable;
use crate::engine::index::Record;
use crate::engine::shared::Shared;
use crate::engine::turn::{Grounds, Turn};

/// After so many resync intervals without a LIST, the status of an object in sync reports that Atlas was not read.
const MISSED: u32 = 3;

/// Deletions that need no call to Atlas, suspended objects, and specs that can't be read.
pub(super) async fn without_atlas(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
) -> Result<(), WriteError> {
    if still_says(shared, turn, record).await {
        return Ok(());
    }
    let stored = shared.read(record).await?;
    if let Some(plan) = deletion_without_atlas(&stored.object, false) {
        if let Plan::Release { note } = plan {
            release(shared, turn, &stored, &note).await?;
        }
        return Ok(());
    }
    let mut failed = None;
    let (verdict, grounds) = match &stored.object.spec {
        Err(why) => {
            (Verdict::new(Reason::InvalidSpec, format!("{why}; correct the object")), Grounds::Object)
        }
        // What its Secrets hold matters only for settings that Atlas has confirmed.
        Ok(spec) if spec.suspend && is_applied(&stored.object, spec) => {
            let applied = stored.object.applied_secrets();
            let since = shared.credentials.since(record, applied).await.unwrap_or_else(|why| {
                failed = Some(why);
                SecretsSince::Unknown
            });
            let is_confirmed = are_secrets_applied(&stored.object, since);
            (suspended(is_confirmed), Grounds::Suspended { applied, since })
        }
        Ok(spec) if spec.suspend => (suspended(false), Grounds::Object),
        // It changed since the index saw it; the watch brings it again.
        Ok(_) => return Err(WriteError::Moved),
    };
    say::say_on(shared, turn, &stored, verdict, Echo::Keep, Some(grounds)).await?;
    // That the object is suspended is said even if its Secrets can't be read now.
    failed.map_or(Ok(()), |why| Err(WriteError::Server(why)))
}

/// Whether the object's status already says what follows from its spec and its Secrets, neither of which has changed.
async fn still_says(shared: &Shared, turn: &mut Turn, record: &Record) -> bool {
    let said = turn.memory.known(&record.uid).and_then(|memory| memory.said.as_deref());
    let said = said.filter(|said| !record.deleting && said.version == record.resource_version);
    let grounds = match said.and_then(|said| said.grounds.as_ref()) {
        Some(&Grounds::Suspended { applied, .. }) => {
            let Ok(since) = shared.credentials.since(record, applied).await else { return false };
            Grounds::Suspended { applied, since }
        }
        _ => Grounds::Object,
    };
    say::still_holds(shared, turn, record, &grounds)
}

/// The verdict on a suspended object: whether Atlas has confirmed what spec and Secrets ask for.
fn suspended(is_confirmed: bool) -> Verdict {
    let (reason, message) = if is_confirmed {
        (Reason::Synced, "the object is suspended; Atlas has confirmed the settings that the spec asks for")
    } else {
        (
            Reason::Suspended,
            "the object is suspended, and Atlas has not confirmed its settings and Secrets as they are now; set \
             spec.suspend to false to continue",
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
    owner: Option<&Owner>,
) -> Result<(), WriteError> {
    let (reason, message, gone) = match blocked {
        Blocked::Held => return Ok(()),
        Blocked::Secret(Unreadable::Server(why)) => return Err(WriteError::Server(why.clone())),
        Blocked::Secret(Unreadable::Problem(problem)) => {
            let (reason, said) = (problem.reason, &problem.message);
            let message = match record.deleting {
                true => deletion_lacks(&record.key, reason, said),
                false => Message::from(said.as_str()),
            };
            (reason, message, false)
        }
        Blocked::Failure(failure, session) => {
            // An object without a spec has no view of Atlas.
            let Some(spec) = &record.spec else { return Err(WriteError::Moved) };
            let stake = match record {
                Record { deleting: true, .. } => Stake::Deletion,
                Record { applied: true, .. } | Record { claimed: true, .. } => Stake::Integration,
                _ => Stake::Nothing,
            };
            let case = told::case(shared, &spec.credentials, session.form(), stake);
            let message = match stake {
                Stake::Deletion => told::waits(&case, &record.key, failure),
                Stake::Integration | Stake::Nothing => case.message(failure),
            };
            (failure.reason(), message, failure.kind == FailureKind::ProjectNotFound)
        }
    };
    let passing = reason.prospect() == Prospect::Passing;
    let waits = |turn: &mut Turn| {
        if let Blocked::Failure(_, session) = blocked {
            turn.waits(&record.uid, session.credential());
        }
    };
    let mut verdict = Verdict::new(reason, message);
    if record.deleting {
        if passing {
            waits(turn);
        }
        return blocked_deletion(shared, turn, record, verdict, (gone, owner)).await;
    }
    if passing {
        if owes_nothing(shared, record).await {
            return unread(shared, turn, record, verdict.message.text()).await;
        }
        match last_word(shared, turn, record, owner) {
            Some(stands) => verdict = stands,
            None => waits(turn),
        }
    }
    if say::already_said(shared, turn, record, &verdict) {
        return Ok(());
    }
    let stored = shared.read(record).await?;
    say::say(shared, turn, &stored, verdict, Echo::Keep).await
}

/// If the credential of this session is paused in the project: notes that the object waits with the call that it needs,
/// and stores that. Returns whether the call must not be made now.
pub(super) async fn paused(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    session: &Arc<Session>,
) -> Result<bool, WriteError> {
    let Some(pause) = turn.check_pause(&shared.atlas, session) else { return Ok(false) };
    let blocked_by = Blocked::Failure(pause.failure, Arc::clone(session));
    blocked(shared, turn, record, &blocked_by, None).await?;
    Ok(true)
}

/// The object is being deleted. It is released if it has nothing to delete in Atlas: because the project is `gone`, or
/// because another object owns the place. Otherwise it waits.
async fn blocked_deletion(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    verdict: Verdict,
    (gone, owner): (bool, Option<&Owner>),
) -> Result<(), WriteError> {
    let stored = shared.read(record).await?;
    let note = if shared.store.crd_terminating().await? {
        Some("the kind itself is being removed; the integration stays in Atlas".to_owned())
    } else if gone {
        Some("the Atlas project is gone, and the integration with it".to_owned())
    } else {
        loss(shared, turn, &stored, owner)
    };
    let Some(note) = note else { return say::say(shared, turn, &stored, verdict, Echo::Keep).await };
    release(shared, turn, &stored, &note).await?;
    Ok(())
}

/// Why an object that is being deleted can be released without a LIST, if another object owns its place.
fn loss(shared: &Shared, turn: &mut Turn, stored: &Stored, owner: Option<&Owner>) -> Option<String> {
    let spec = stored.object.spec.as_ref().ok()?;
    owner?;
    let sight = Sight { spec, entry: None, owner, listed_at: Instant::now(), crd_terminating: false };
    match planned(shared, turn, stored, &sight) {
        Plan::Release { note } => Some(note),
        Plan::Wait => {
            turn.look_again(Instant::now() + shared.atlas.landing_limit());
            None
        }
        _ => None,
    }
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

/// Whether an object that could not be looked at is in sync as far as the cluster shows. What the API server fails to
/// tell counts as unchanged.
async fn owes_nothing(shared: &Shared, record: &Record) -> bool {
    let Some(quiet) = &record.quiet else { return false };
    let since = shared.credentials.since(record, quiet.secrets).await;
    since != Ok(SecretsSince::Changed)
}

/// The last word on an object, if an outage does not change it: a refusal, or what keeps the object from the place.
/// Neither the object nor, for a refusal, its Secrets have changed since.
fn last_word(shared: &Shared, turn: &Turn, record: &Record, owner: Option<&Owner>) -> Option<Verdict> {
    let memory = turn.memory.known(&record.uid)?;
    let said = memory.said.as_deref().filter(|said| said.version == record.resource_version)?;
    let stands = match (said.verdict.reason, said.verdict.reason.prospect()) {
        (Reason::Conflict, _) => owner.is_some(),
        (Reason::AlreadyExists | Reason::IntegrationNotFound, _) => true,
        (_, Prospect::Final) => memory.refused.as_ref().is_none_or(|refused| {
            let secrets = refused.signature.secrets;
            shared.index.lock().secrets_since(record, secrets) != SecretsSince::Changed
        }),
        _ => false,
    };
    stands.then(|| said.verdict.clone())
}
