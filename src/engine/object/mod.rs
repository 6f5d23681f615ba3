//! One object within a pass: read it, plan, carry the plan out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::credentials::{Unreadable, lock};
use super::index::Record;
use super::memory::Memory;
use super::pass::{self, Blocked, View};
use super::run::Shared;
use super::{say, write};
use crate::atlas::Session;
use crate::cluster::{EventKind, Stored, WriteError};
use crate::core::conditions::{InSync, Verdict};
use crate::core::deletion::deletion_waits;
use crate::core::outcome;
use crate::core::pacing;
use crate::core::plan::{IN_DOUBT, Input, Plan, deletion_without_atlas, plan};
use crate::core::quiet::is_applied;
use crate::domain::{ConditionStatus, ConditionType, FailureKind, Prospect, Reason, Redacted, Spec};

/// Steps of one object in one pass: claim put back, release, write. More would be a loop.
const MAX_STEPS: usize = 4;
/// An object that moved under our hands is planned anew after this.
const MOVED: Duration = Duration::from_millis(200);
/// Resync intervals without a LIST after which an object in sync says so.
const MISSED: u32 = 3;
/// How often a release that lost a race is tried again, after a DELETE that must not be repeated.
const RELEASE_TRIES: usize = 3;

/// Takes one object; answers when to look at it again without any other cause.
pub(super) async fn step(
    shared: &Shared,
    record: &Record,
    view: Option<&View>,
    owner: Option<&str>,
) -> Option<Instant> {
    let result = match view {
        Some(View::Blocked(blocked)) => self::blocked(shared, record, blocked).await,
        Some(View::Seen { session, listing, listed_at }) => {
            let entry = record.spec.as_ref().and_then(|spec| listing.get(&spec.kind));
            seen(shared, record, session, (entry, *listed_at), owner).await
        }
        None => without_atlas(shared, record).await,
    };
    match result {
        Ok(next) => next,
        // Gone, or another object of the same name, which has a record of its own.
        Err(WriteError::Gone) => {
            let mut index = lock(&shared.index);
            let same = index.place(&record.project).iter().any(|now| now.uid == record.uid);
            (same && index.remove(&record.key).is_some()).then(Instant::now)
        }
        Err(WriteError::Moved) => Some(Instant::now() + MOVED),
        Err(WriteError::Server(why)) => {
            tracing::warn!(object = %record.key, %why, "the API server did not take a write; trying again");
            let failures = shared.memory(&record.uid, |memory| {
                memory.failures = memory.failures.saturating_add(1);
                memory.failures
            });
            Some(Instant::now() + pacing::backoff(failures, pass::random()))
        }
    }
}

/// Reads the object as it is now; the index learns of it. What this read is ahead of, the watch will not tell
/// again: so whatever it makes due is queued, this pass's own place too, for the view may be an older one's.
async fn read(shared: &Shared, record: &Record) -> Result<Stored, WriteError> {
    let stored = shared.writer.get(&record.key).await?.ok_or(WriteError::Gone)?;
    refresh(shared, &stored);
    // What was listed belongs to the term in which it was: a plan must not outlive it.
    if stored.object.uid == record.uid && shared.leads() { Ok(stored) } else { Err(WriteError::Moved) }
}

/// Tells the index of a fresh read, and queues what that makes due.
pub(super) fn refresh(shared: &Shared, stored: &Stored) {
    let due = lock(&shared.index).refresh(&stored.object);
    for place in due {
        shared.queue.add(place, Instant::now());
    }
}

/// Deletions that need no Atlas, suspended objects, and specs that can't be read.
async fn without_atlas(shared: &Shared, record: &Record) -> Result<Option<Instant>, WriteError> {
    let stored = read(shared, record).await?;
    if let Some(plan) = deletion_without_atlas(&stored.object, false) {
        if let Plan::Release { note } = plan {
            release(shared, &stored, &note).await?;
        }
        return Ok(None);
    }
    let verdict = match &stored.object.spec {
        Err(why) => Verdict::new(Reason::InvalidSpec, format!("{why}; correct the object")),
        Ok(spec) if spec.suspend => suspended(shared, record, &stored, spec),
        // It changed since the index saw it; the watch brings it again.
        Ok(_) => return Ok(Some(Instant::now() + MOVED)),
    };
    say::say(shared, &stored, verdict, None).await.map(|(_, again)| again)
}

fn suspended(shared: &Shared, record: &Record, stored: &Stored, spec: &Spec) -> Verdict {
    let changed = pass::secrets_changed(shared, record, stored.object.applied_secrets());
    let (reason, message) = if is_applied(&stored.object, spec, changed) {
        (Reason::Synced, "suspended; what was last applied is what the spec asks for")
    } else {
        (
            Reason::Suspended,
            "suspended before what the spec asks for reached Atlas; set spec.suspend to false to go on",
        )
    };
    let unknown = InSync::Unknown("suspended: Atlas is not looked at".to_owned());
    Verdict { suspended: true, ..Verdict::new(reason, message).with_sync(unknown) }
}

/// Atlas could not be read for this object.
async fn blocked(shared: &Shared, record: &Record, blocked: &Blocked) -> Result<Option<Instant>, WriteError> {
    let (reason, message, gone) = match blocked {
        Blocked::Secret(Unreadable::Server(why)) => return Err(WriteError::Server(why.clone())),
        Blocked::Secret(Unreadable::Problem(problem)) => (problem.reason, problem.message.clone(), false),
        Blocked::Failure(failure) => {
            (failure.reason(), failure.message.clone(), failure.kind == FailureKind::ProjectNotFound)
        }
    };
    if record.deleting {
        let stored = read(shared, record).await?;
        if shared.writer.crd_terminating().await? {
            release(shared, &stored, "the kind itself is being removed; the integration stays in Atlas")
                .await?;
            return Ok(None);
        }
        if gone {
            release(shared, &stored, "the Atlas project is gone, and the integration with it").await?;
            return Ok(None);
        }
        let verdict = Verdict::new(reason, deletion_waits(&stored.object.key, reason, &message));
        return say::say(shared, &stored, verdict, None).await.map(|(_, again)| again);
    }
    if reason.prospect() == Prospect::Passing && pass::owes_nothing(shared, record) {
        let now = Instant::now();
        let since = shared.memory(&record.uid, |memory| *memory.unread_since.get_or_insert(now));
        let missed = now.duration_since(since) >= shared.settings.resync_interval.saturating_mul(MISSED);
        if !missed || record.sync_unknown {
            return Ok(None);
        }
        let stored = read(shared, record).await?;
        let Some(ready) = stored.object.status.condition(ConditionType::Ready) else { return Ok(None) };
        let kept = Reason::parse(&ready.reason).unwrap_or(Reason::Synced);
        let verdict = Verdict::new(kept, ready.message.clone()).with_sync(InSync::Unknown(message));
        return say::say(shared, &stored, verdict, None).await.map(|(_, again)| again);
    }
    if reason.prospect() == Prospect::Passing && refusal_stands(shared, record) {
        return Ok(None);
    }
    let verdict = Verdict::new(reason, message);
    if let Some(again) = say::already_said(shared, record, &verdict) {
        return Ok(again);
    }
    let stored = read(shared, record).await?;
    say::say(shared, &stored, verdict, None).await.map(|(_, again)| again)
}

/// Whether the last word was a refusal that an outage does not change: neither the object nor the Secrets that were
/// refused are others since.
fn refusal_stands(shared: &Shared, record: &Record) -> bool {
    let refused = shared.memory(&record.uid, |memory| {
        let (version, said) = memory.said.as_deref()?;
        let stands = said.reason.prospect() == Prospect::Final && *version == record.resource_version;
        stands.then(|| memory.refused.as_ref().map(|refused| refused.signature.secrets))
    });
    let same = |secrets| !pass::secrets_changed(shared, record, secrets);
    refused.is_some_and(|secrets| secrets.is_none_or(same))
}

/// Atlas was read: plan and carry out, until nothing more is to be done in this pass.
async fn seen(
    shared: &Shared,
    record: &Record,
    session: &Session,
    (entry, listed_at): (Option<&Redacted>, Timestamp),
    owner: Option<&str>,
) -> Result<Option<Instant>, WriteError> {
    let mut stored = read(shared, record).await?;
    shared.known_memory(&record.uid, |memory| memory.unread_since = None);
    for _ in 0..MAX_STEPS {
        let object = &stored.object;
        let spec = match &object.spec {
            // Suspended since the index saw it, or no longer readable: the next pass knows.
            Ok(spec) if spec.suspend && !object.deleting => return Ok(Some(Instant::now() + MOVED)),
            Ok(spec) => spec.clone(),
            Err(_) => return Ok(Some(Instant::now() + MOVED)),
        };
        let names: Vec<_> = spec.integration.secret_names().into_iter().map(Arc::from).collect();
        let applied = object.applied_secrets();
        let changed = lock(&shared.index).secrets_changed(&object.key.namespace, &names, applied);
        let crd_terminating = object.deleting && shared.writer.crd_terminating().await?;
        let known = shared.known_memory(&record.uid, |memory| memory.outcome_known).flatten();
        let outcome_known = outcome::is_outcome_known(object, known);
        if !shared.leads() {
            return Ok(None);
        }
        let input = Input {
            object,
            spec: &spec,
            entry,
            // What is not known is read.
            secrets_changed: changed != Some(false),
            owner,
            outcome_known,
            landing_limit: shared.atlas.landing_limit(),
            crd_terminating,
            listed_at,
        };
        let planned = plan(&input);
        tracing::debug!(object = %record.key, plan = ?planned, "planned");
        match planned {
            Plan::Gone => return Ok(None),
            Plan::Settled { reason, message, drift } => {
                let verdict = settled(&stored, reason, message, drift);
                // What is not ours, or not there, is not echoed.
                let shown = matches!(reason, Reason::Synced | Reason::Observed).then_some(entry).flatten();
                return say::say(shared, &stored, verdict, Some(shown)).await.map(|(_, again)| again);
            }
            Plan::Wait { until } => {
                let left = until.duration_until(Timestamp::now()).abs();
                let left = Duration::try_from(left).unwrap_or_default();
                say_in_doubt(shared, &stored).await?;
                return Ok(Some(Instant::now() + left + say::STALL_SLACK));
            }
            Plan::RestoreClaim => {
                stored = write::restore_claim(shared, &stored).await?;
            }
            Plan::Release { note } => {
                stored = release(shared, &stored, &note).await?;
                if stored.object.deleting {
                    return Ok(None);
                }
            }
            Plan::Delete => return delete(shared, &stored, &spec, session).await,
            Plan::Claim { adopted, write } => {
                let job = write::Job { spec: &spec, session, entry, write, claim: Some(adopted), why: None };
                return write::write(shared, &stored, job).await;
            }
            Plan::Write { write, why } => {
                let job = write::Job { spec: &spec, session, entry, write, claim: None, why: Some(why) };
                return write::write(shared, &stored, job).await;
            }
        }
    }
    Ok(Some(Instant::now() + MOVED))
}

/// After a lost answer an object says so already. After a crash in a write, or another process's, it still says how
/// it stood before, which may be over.
async fn say_in_doubt(shared: &Shared, stored: &Stored) -> Result<(), WriteError> {
    let object = &stored.object;
    let said = object.status.condition(ConditionType::Ready).is_some_and(|ready| {
        ready.status == ConditionStatus::False && ready.observed_generation == Some(object.generation)
    });
    if said {
        return Ok(());
    }
    let reason = Reason::AtlasUnavailable;
    let message =
        if object.deleting { deletion_waits(&object.key, reason, IN_DOUBT) } else { IN_DOUBT.to_owned() };
    say::say(shared, stored, Verdict::new(reason, message), None).await.map(|_| ())
}

/// How a settled object stands: equal, or differing for good in what Atlas would not take.
fn settled(stored: &Stored, reason: Reason, message: String, drift: Vec<String>) -> Verdict {
    let kept = stored.object.status.condition(ConditionType::InSync).is_some_and(|condition| {
        condition.reason == "NotAcceptedByAtlas"
            && condition.observed_generation == Some(stored.object.generation)
    });
    let in_sync = match reason {
        Reason::Synced if kept => InSync::Unchanged,
        Reason::Synced | Reason::Observed if drift.is_empty() => InSync::True,
        Reason::Observed => InSync::Drifted(drift),
        _ => InSync::Unknown(format!("{reason}: there is nothing to compare")),
    };
    Verdict::new(reason, message).with_sync(in_sync)
}

/// Gives the claim up, or lets a deleting object go, without an Atlas call; an Event says why, and who waited for
/// the place is woken.
pub(super) async fn release(shared: &Shared, stored: &Stored, note: &str) -> Result<Stored, WriteError> {
    let object = &stored.object;
    let after = shared.writer.release(stored, Timestamp::now()).await?;
    shared.memory(&object.uid, Memory::released);
    {
        let mut index = lock(&shared.index);
        index.wrote(&after.object);
        if let Ok(spec) = &object.spec {
            let place = Some(spec.project.clone());
            let kind = spec.integration.integration_type();
            let rival = |record: &Record| {
                record.uid != object.uid && record.spec.as_ref().is_some_and(|s| s.kind == kind)
            };
            if index.place(&place).iter().any(rival) {
                shared.queue.add(place, Instant::now());
            }
        }
    }
    shared.events.publish(object, EventKind::Normal, "Released", "Release", note);
    tracing::info!(object = %object.key, "released: {note}");
    Ok(after)
}

/// Fence, DELETE, then the finalizer.
async fn delete(
    shared: &Shared,
    stored: &Stored,
    spec: &Spec,
    session: &Session,
) -> Result<Option<Instant>, WriteError> {
    let object = &stored.object;
    let kind = spec.integration.integration_type();
    let note = format!("the {kind} integration of project {} is deleted in Atlas", spec.project);
    let deleted = shared.memory(&object.uid, |memory| memory.deleted.clone());
    if outcome::is_deleted(object, deleted.as_deref()) {
        // Only the finalizer was left over: the API server failed.
        return release(shared, stored, &note).await.map(|_| None);
    }
    let signature = write::signature(shared, object, spec, None, true);
    if let Some((wait, verdict)) = write::refused(shared, object, &signature) {
        let (_, again) = say::say(shared, stored, verdict, None).await?;
        return Ok([wait, again].into_iter().flatten().min());
    }
    let attempt = outcome::deletion(object, write::attempt_id(object), Timestamp::now());
    let fenced = shared.writer.fence(stored, &attempt).await?;
    lock(&shared.index).wrote(&fenced.object);
    if write::too_late(shared, &attempt) {
        shared.memory(&object.uid, |memory| memory.outcome_known = Some(attempt.time));
        return Ok(Some(Instant::now()));
    }
    lock(&shared.index).confirm(&object.key, &object.uid, None);
    match shared.atlas.delete(session, &spec.project, kind).await {
        Ok(()) => {}
        Err(failure) if outcome::nothing_to_delete(&failure) => {}
        Err(failure) => {
            pass::pause(shared, &spec.project, &failure);
            if !failure.outcome_unknown {
                shared.memory(&object.uid, |memory| memory.outcome_known = Some(attempt.time));
            }
            let reason = failure.reason();
            let verdict = Verdict::new(reason, deletion_waits(&object.key, reason, &failure.message));
            let retry = write::remember_failure(shared, &fenced, signature, &failure, &verdict, false);
            let (_, again) = say::say(shared, &fenced, verdict, None).await?;
            return Ok([retry, again].into_iter().flatten().min());
        }
    }
    shared.memory(&object.uid, |memory| {
        memory.deleted = Some(attempt.id.clone());
        memory.outcome_known = Some(attempt.time);
    });
    // A second DELETE might hit what somebody creates meanwhile, so a lost race is not left to the next pass.
    let mut stored = fenced;
    for _ in 0..RELEASE_TRIES {
        match release(shared, &stored, &note).await {
            Ok(_) => return Ok(None),
            Err(WriteError::Moved) => {}
            Err(error) => return Err(error),
        }
        let now = shared.writer.get(&stored.object.key).await?.ok_or(WriteError::Gone)?;
        if now.object.uid != stored.object.uid {
            return Err(WriteError::Gone);
        }
        stored = now;
    }
    Err(WriteError::Moved)
}
