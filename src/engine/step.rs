//! One object within a pass: read it, plan, carry the plan out.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::credentials::lock;
use super::index::Record;
use super::pass::{self, Blocked, View};
use super::run::Shared;
use super::{say, write};
use crate::atlas::{self, Session};
use crate::cluster::{EventKind, Stored, WriteError};
use crate::core::conditions::{InSync, Verdict};
use crate::core::pacing;
use crate::core::plan::{Input, Plan, deletion_without_atlas, plan, synced_message};
use crate::domain::{
    Attempt, ConditionType, FailureKind, ManagementPolicy, Prospect, Reason, Redacted, Spec,
};

/// Steps of one object in one pass: claim put back, release, write. More would be a loop.
const MAX_STEPS: usize = 4;
/// An object that moved under our hands is planned anew after this.
const MOVED: Duration = Duration::from_millis(200);
/// Resyncs in a row without a LIST after which an object in sync says so.
const MISSED: u32 = 3;

/// Takes one object; answers when to look at it again without any other cause.
pub(super) async fn step(
    shared: &Shared,
    record: &Record,
    view: Option<&View>,
    owner: Option<&str>,
) -> Option<Instant> {
    let result = match view {
        Some(View::Blocked(blocked)) => self::blocked(shared, record, blocked).await,
        Some(View::Seen { session, listing }) => {
            let entry = record.spec.as_ref().and_then(|spec| listing.get(&spec.kind));
            seen(shared, record, session, entry, owner).await
        }
        None => without_atlas(shared, record).await,
    };
    match result {
        Ok(next) => next,
        Err(WriteError::Gone) => {
            lock(&shared.index).remove(&record.key);
            None
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
/// again: so if the object has moved to another place since, that place is due.
async fn read(shared: &Shared, record: &Record) -> Result<Stored, WriteError> {
    let stored = shared.writer.get(&record.key).await?.ok_or(WriteError::Gone)?;
    let due = lock(&shared.index).observe(&stored.object);
    for place in due.into_iter().filter(|place| *place != record.project) {
        shared.queue.add(place, Instant::now());
    }
    Ok(stored)
}

/// Deletions that need no Atlas, suspended objects, and specs that can't be read.
async fn without_atlas(shared: &Shared, record: &Record) -> Result<Option<Instant>, WriteError> {
    let stored = read(shared, record).await?;
    if let Some(plan) = deletion_without_atlas(&stored.object, false) {
        if let Plan::Release { note, .. } = plan {
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
    let applied = stored.object.applied();
    let current = applied.is_some_and(|applied| {
        applied.config.as_deref() == Some(spec.integration.config_hash().as_str())
            && stored.object.unconfirmed().is_none()
            && !lock(&shared.index).secrets_changed(&record.key.namespace, &record.secrets, &applied.secrets)
    });
    let (reason, message) = if current {
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
        Blocked::Problem(problem) => (problem.reason, problem.message.clone(), false),
        Blocked::Failure(failure) => {
            (failure.reason(), failure.message.clone(), failure.kind == FailureKind::ProjectNotFound)
        }
    };
    if record.deleting {
        let stored = read(shared, record).await?;
        if gone {
            release(shared, &stored, "the Atlas project is gone, and the integration with it").await?;
            return Ok(None);
        }
        let verdict = Verdict::new(reason, deletion_waits(&message));
        return say::say(shared, &stored, verdict, None).await.map(|(_, again)| again);
    }
    if reason.prospect() == Prospect::Passing && pass::owes_nothing(shared, record) {
        let missed = shared.memory(&record.uid, |memory| {
            memory.missed = memory.missed.saturating_add(1);
            memory.missed
        });
        if missed < MISSED || record.sync_unknown {
            return Ok(None);
        }
        let stored = read(shared, record).await?;
        let Ok(spec) = &stored.object.spec else { return Ok(None) };
        let kept = if record.spec.as_ref().is_some_and(|s| s.management == ManagementPolicy::Observe) {
            Reason::Observed
        } else {
            Reason::Synced
        };
        let verdict = Verdict::new(kept, synced_message(spec)).with_sync(InSync::Unknown(message));
        return say::say(shared, &stored, verdict, None).await.map(|(_, again)| again);
    }
    let verdict = Verdict::new(reason, message);
    if let Some(again) = say::already_said(shared, record, &verdict) {
        return Ok(again);
    }
    let stored = read(shared, record).await?;
    say::say(shared, &stored, verdict, None).await.map(|(_, again)| again)
}

/// What a deletion that can't go on tells a person.
pub(super) fn deletion_waits(why: &str) -> String {
    format!(
        "deletion waits: {why}. To let the object go and leave the integration in Atlas, set spec.deletionPolicy to \
         Retain"
    )
}

/// Atlas was read: plan and carry out, until nothing more is to be done in this pass.
async fn seen(
    shared: &Shared,
    record: &Record,
    session: &Session,
    entry: Option<&Redacted>,
    owner: Option<&str>,
) -> Result<Option<Instant>, WriteError> {
    let mut stored = read(shared, record).await?;
    shared.memory(&record.uid, |memory| memory.missed = 0);
    for _ in 0..MAX_STEPS {
        let object = &stored.object;
        let spec = match &object.spec {
            Ok(spec) => spec.clone(),
            Err(_) => return Ok(Some(Instant::now() + MOVED)),
        };
        let applied_secrets = object.applied().map(|applied| applied.secrets.clone()).unwrap_or_default();
        let names = write::secret_names(&spec);
        let secrets_changed =
            lock(&shared.index).secrets_changed(&object.key.namespace, &names, &applied_secrets);
        let crd_terminating = object.deleting && shared.writer.crd_terminating().await;
        let outcome_known = shared.memory(&record.uid, |memory| write::is_outcome_known(object, memory));
        let input = Input {
            object,
            spec: &spec,
            entry,
            secrets_changed,
            owner,
            outcome_known,
            atlas_time_limit: atlas::TIME_LIMIT,
            crd_terminating,
            now: Timestamp::now(),
        };
        let planned = plan(&input);
        tracing::debug!(object = %record.key, plan = ?planned, "planned");
        match planned {
            Plan::Gone => return Ok(None),
            Plan::Settled { reason, message, drift } => {
                let verdict = settled(&stored, reason, message, drift);
                let shown = matches!(reason, Reason::Synced | Reason::Observed).then_some(entry);
                let shown = if reason == Reason::IntegrationNotFound { Some(None) } else { shown };
                return say::say(shared, &stored, verdict, shown).await.map(|(_, again)| again);
            }
            Plan::Wait { until } => {
                let left = until.duration_until(Timestamp::now()).abs();
                let left = Duration::try_from(left).unwrap_or_default();
                return Ok(Some(Instant::now() + left + say::STALL_SLACK));
            }
            Plan::RestoreClaim => {
                stored = write::restore_claim(shared, &stored).await?;
            }
            Plan::Release { note, then } => {
                stored = release(shared, &stored, &note).await?;
                let Some((reason, message)) = then else { return Ok(None) };
                let verdict = settled(&stored, reason, message, Vec::new());
                let shown = if reason == Reason::Observed { Some(entry) } else { Some(None) };
                return say::say(shared, &stored, verdict, shown).await.map(|(_, again)| again);
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

/// Gives the claim up, or lets a deleting object go, without an Atlas call; an Event says why.
pub(super) async fn release(shared: &Shared, stored: &Stored, note: &str) -> Result<Stored, WriteError> {
    let after = shared.writer.release(stored, Timestamp::now()).await?;
    shared.memory(&stored.object.uid, |memory| *memory = super::memory::Memory::default());
    lock(&shared.index).wrote(&after.object);
    shared.events.publish(&stored.object, EventKind::Normal, "Released", "Release", note);
    tracing::info!(object = %stored.object.key, "released: {note}");
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
    let signature = write::signature(shared, object, spec, None);
    if let Some(wait) = write::refused(shared, object, &signature) {
        return Ok(wait);
    }
    let attempt = Attempt { id: write::attempt_id(object), time: Timestamp::now(), sent: None };
    let fenced = shared.writer.fence(stored, &attempt).await?;
    lock(&shared.index).wrote(&fenced.object);
    shared.memory(&object.uid, |memory| memory.confirmed = None);
    let outcome = shared.atlas.delete(session, &spec.project, kind).await;
    match outcome {
        Ok(()) => {}
        Err(failure) if matches!(failure.kind, FailureKind::Gone | FailureKind::ProjectNotFound) => {}
        Err(failure) => {
            pass::pause(shared, &spec.project, &failure);
            if !failure.outcome_unknown {
                shared.memory(&object.uid, |memory| memory.outcome_known = Some(attempt.time));
            }
            let verdict = Verdict::new(failure.reason(), deletion_waits(&failure.message));
            let retry = write::remember_failure(shared, &fenced, signature, &failure, &verdict, false);
            let (_, again) = say::say(shared, &fenced, verdict, None).await?;
            return Ok([retry, again].into_iter().flatten().min());
        }
    }
    release(
        shared,
        &fenced,
        &format!("the {kind} integration of project {} is deleted in Atlas", spec.project),
    )
    .await?;
    Ok(None)
}
