//! Writing one integration: Secrets, claim or fence, Atlas, status; in this order, and what follows when a link
//! of it breaks.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::credentials::{Resolved, Unreadable, lock};
use super::memory::{Memory, Refused, Signature};
use super::pass;
use super::run::Shared;
use super::{say, step};
use crate::atlas::{ApiVersion, Session};
use crate::cluster::{EventKind, Stored, WriteError};
use crate::core::conditions::{InSync, Verdict};
use crate::core::outcome::{self, Fence, Moved};
use crate::core::pacing;
use crate::core::plan::{IN_DOUBT, Why, Write, synced_message};
use crate::domain::{AppliedSecret, Attempt, Failure, Object, Reason, Redacted, Spec};

/// After this long without a repair, repairs are free again.
const REPAIRS_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// A fence that took longer than this part of a call's time limit does not leave the call that it guards enough of
/// [`crate::atlas::Client::landing_limit`].
const SLOW_FENCE: u32 = 3;
/// How often a status is tried again that lost a race, before the next pass takes it up.
const STATUS_TRIES: usize = 3;

/// One write.
pub(super) struct Job<'a> {
    pub spec: &'a Spec,
    pub session: &'a Session,
    /// What LIST showed.
    pub entry: Option<&'a Redacted>,
    pub write: Write,
    /// Claim first, with or without consent to overwrite.
    pub claim: Option<bool>,
    /// Why, where nothing is to be claimed.
    pub why: Option<Why>,
}

/// A fresh attempt id. It begins with the uid, so that a copied status claims nothing.
pub(super) fn attempt_id(object: &Object) -> String {
    format!("{}.{:08x}{:08x}", object.uid, pass::random(), pass::random())
}

/// Puts a lost finalizer or claim back.
pub(super) async fn restore_claim(shared: &Shared, stored: &Stored) -> Result<Stored, WriteError> {
    let claim = outcome::restored_claim(&stored.object, Timestamp::now());
    let after = shared.writer.claim(stored, &claim).await?;
    lock(&shared.index).wrote(&after.object);
    Ok(after)
}

/// Carries a write out; answers when to look again.
pub(super) async fn write(
    shared: &Shared,
    stored: &Stored,
    job: Job<'_>,
) -> Result<Option<Instant>, WriteError> {
    let object = &stored.object;
    let integration = &job.spec.integration;
    let version = shared.atlas.version_for(integration.integration_type()).unwrap_or(ApiVersion::V2);
    if let Some(missing) = version.missing(integration) {
        return say(shared, stored, Verdict::new(Reason::InvalidSpec, missing)).await;
    }
    let resolved = match shared.credentials.resolve(&shared.index, &object.key.namespace, integration).await {
        Ok(resolved) => resolved,
        Err(Unreadable::Problem(problem)) => {
            return say(shared, stored, Verdict::new(problem.reason, problem.message)).await;
        }
        Err(Unreadable::Server(why)) => return Err(WriteError::Server(why)),
    };
    let confirmed = lock(&shared.index).confirmed(&object.key, &object.uid);
    let why = job
        .why
        .as_ref()
        .map(|why| outcome::due_once_read(object, why, (&resolved.secrets, resolved.fingerprint), confirmed));
    if why.as_ref().is_some_and(Why::is_empty) {
        return record_secrets(shared, stored, &job, &resolved).await;
    }
    let signature = signature(shared, object, job.spec, Some(&resolved), job.entry.is_some());
    if let Some((wait, verdict)) = refused(shared, object, &signature) {
        // Something else may have been said meanwhile; this is still how it stands.
        let again = say(shared, stored, verdict).await?;
        return Ok([wait, again].into_iter().flatten().min());
    }
    let drift = why.filter(Why::only_drift).map(|why| why.drift);
    if let Some(drift) = &drift
        && let Some(wait) = pace_repair(shared, stored, &job, drift).await?
    {
        return Ok(Some(wait));
    }
    let Some((fenced, attempt)) = begin(shared, stored, &job, &resolved).await? else {
        return Ok(Some(Instant::now()));
    };
    lock(&shared.index).confirm(&object.key, &object.uid, None);
    let project = &job.spec.project;
    let outcome = match job.write {
        Write::Post => shared.atlas.create(job.session, project, &resolved.integration).await,
        Write::Put => shared.atlas.update(job.session, project, &resolved.integration).await,
    };
    match outcome {
        Ok(entry) => confirm(shared, fenced, &job, &resolved, &attempt, &entry, drift.as_deref()).await,
        Err(failure) => fail(shared, fenced, &job, &attempt, signature, &failure).await,
    }
}

async fn say(shared: &Shared, stored: &Stored, verdict: Verdict) -> Result<Option<Instant>, WriteError> {
    say::say(shared, stored, verdict, None).await.map(|(_, again)| again)
}

/// A Secret changed without changing a value: only its new identity is noted.
async fn record_secrets(
    shared: &Shared,
    stored: &Stored,
    job: &Job<'_>,
    resolved: &Resolved,
) -> Result<Option<Instant>, WriteError> {
    let verdict = Verdict::new(Reason::Synced, synced_message(job.spec)).with_sync(InSync::True);
    let mut status = say::status(shared, &stored.object, &verdict, Some(job.entry));
    if let Some(applied) = &mut status.applied {
        applied.secrets.clone_from(&resolved.secrets);
    }
    say::store(shared, stored, &status).await?;
    Ok(None)
}

/// Whether a fence took so long that the write it was for must not be sent any more, or the term ended meanwhile.
pub(super) fn too_late(shared: &Shared, attempt: &Attempt) -> bool {
    if !shared.leads() {
        return true;
    }
    let passed = Timestamp::now().duration_since(attempt.time);
    Duration::try_from(passed).is_ok_and(|passed| passed > shared.atlas.time_limit() / SLOW_FENCE)
}

/// What a write depends on; a DELETE (`None`) on no settings.
pub(super) fn signature(
    shared: &Shared,
    object: &Object,
    spec: &Spec,
    resolved: Option<&Resolved>,
    entry: bool,
) -> Signature {
    Signature {
        config: resolved.map(|_| spec.integration.config_hash()).unwrap_or_default(),
        secrets: AppliedSecret::digest(resolved.map(|resolved| &*resolved.secrets).unwrap_or_default()),
        requests: (object.reconcile_requested.clone(), object.rewrite_requested.clone()),
        entry,
        credentials: shared.credentials.identity(&object.key.namespace, &spec.credentials),
    }
}

/// Whether this very write was refused and is not to be sent yet, or not again at all: when to look again, and
/// what was said of it.
pub(super) fn refused(
    shared: &Shared,
    object: &Object,
    signature: &Signature,
) -> Option<(Option<Instant>, Verdict)> {
    let now = Instant::now();
    shared.memory(&object.uid, |memory| {
        let refused = memory.refused.as_ref()?;
        let mut same = refused.signature.clone();
        if refused.retry_at.is_none() {
            // What Atlas refuses as such, it refuses to any key, and whatever is there.
            same.credentials.clone_from(&signature.credentials);
            same.entry = signature.entry;
        }
        if same != *signature {
            memory.refused = None;
            memory.failures = 0;
            return None;
        }
        match refused.retry_at {
            Some(at) if at <= now => None,
            at => Some((at, refused.verdict.clone())),
        }
    })
}

/// Repairs of one place grow apart. Answers when to come back, if this one has to wait.
async fn pace_repair(
    shared: &Shared,
    stored: &Stored,
    job: &Job<'_>,
    drift: &[String],
) -> Result<Option<Instant>, WriteError> {
    let now = Instant::now();
    let kind = job.spec.integration.integration_type();
    let wait = shared.memory(&stored.object.uid, |memory| {
        let quiet_for = memory.last_repair.map_or(REPAIRS_FORGOTTEN, |last| now.duration_since(last));
        if quiet_for >= REPAIRS_FORGOTTEN {
            memory.repairs = 0;
        }
        let wait = pacing::repair_wait(memory.repairs);
        if quiet_for >= wait {
            memory.repairs = memory.repairs.saturating_add(1);
            memory.last_repair = Some(now);
            return None;
        }
        Some(now + (wait - quiet_for))
    });
    if let Some(until) = wait {
        let verdict = Verdict::new(Reason::Synced, synced_message(job.spec))
            .with_sync(InSync::Overwritten(drift.to_vec()));
        say::say(shared, stored, verdict, None).await?;
        return Ok(Some(until));
    }
    shared.telemetry.drift(kind);
    let note =
        format!("Atlas differs from what was last confirmed in: {}; it is written again", drift.join(", "));
    shared.events.publish(&stored.object, EventKind::Warning, "Drifted", "Repair", &note);
    tracing::warn!(object = %stored.object.key, "{note}");
    Ok(None)
}

/// The API-server write without which nothing is sent: the claim, or a fresh attempt. It carries the resourceVersion
/// that was planned for, so what comes back is that object. `None` when it took too long.
async fn begin(
    shared: &Shared,
    stored: &Stored,
    job: &Job<'_>,
    resolved: &Resolved,
) -> Result<Option<(Stored, Attempt)>, WriteError> {
    let object = &stored.object;
    if !shared.leads() {
        return Ok(None);
    }
    let sent = Some(resolved.integration.redacted());
    let attempt = Attempt { id: attempt_id(object), time: Timestamp::now(), sent };
    let fenced = match outcome::fence(object, job.claim, job.write, &attempt) {
        Fence::Claim { first: None, claim } => shared.writer.claim(stored, &claim).await?,
        Fence::Claim { first: Some(status), claim } => {
            let stored = say::store(shared, stored, &status).await?;
            shared.writer.claim(&stored, &claim).await?
        }
        Fence::Proof(status) => say::store(shared, stored, &status).await?,
        Fence::Attempt => shared.writer.fence(stored, &attempt).await?,
    };
    lock(&shared.index).wrote(&fenced.object);
    if too_late(shared, &attempt) {
        // Nothing was sent after this fence.
        shared.memory(&object.uid, |memory| memory.outcome_known = Some(attempt.time));
        return Ok(None);
    }
    Ok(Some((fenced, attempt)))
}

/// Atlas confirmed: `applied` and the echo, from the write's own answer.
async fn confirm(
    shared: &Shared,
    mut stored: Stored,
    job: &Job<'_>,
    resolved: &Resolved,
    attempt: &Attempt,
    entry: &Redacted,
    repaired: Option<&[String]>,
) -> Result<Option<Instant>, WriteError> {
    let uid = stored.object.uid.clone();
    // A repair whose answer still shows the difference is one that Atlas does not take.
    let still = match (repaired, job.entry) {
        (Some(fields), Some(before)) => outcome::not_accepted(fields, before, entry),
        _ => Vec::new(),
    };
    let in_sync = if still.is_empty() { InSync::True } else { InSync::NotAccepted(still) };
    let verdict = Verdict::new(Reason::Synced, synced_message(job.spec)).with_sync(in_sync);
    let applied = outcome::applied(&stored.object, attempt, job.spec, &resolved.secrets, Timestamp::now());
    let sent_generation = stored.object.generation;
    let requests = (stored.object.reconcile_requested.clone(), stored.object.rewrite_requested.clone());
    for _ in 0..STATUS_TRIES {
        // Edited meanwhile or not: the conditions speak of the generation that was sent.
        let object = &Object { generation: sent_generation, ..stored.object.clone() };
        let mut status = say::status(shared, object, &verdict, Some(Some(entry)));
        status.applied = Some(applied.clone());
        status.attempt = Some(attempt.clone());
        // What was asked for since is not done by this.
        (status.last_handled_reconcile, status.last_handled_rewrite) = requests.clone();
        match say::store(shared, &stored, &status).await {
            Ok(after) => {
                shared.memory(&uid, |memory| {
                    // An edit, a rotation or a request makes repairs free again.
                    let repairs = repaired.map(|_| (memory.repairs, memory.last_repair)).unwrap_or_default();
                    *memory = Memory::default();
                    (memory.repairs, memory.last_repair) = repairs;
                });
                let carried = resolved.fingerprint.carried_by(&attempt.id);
                lock(&shared.index).confirm(&after.object.key, &uid, Some(carried));
                // Edited while the write was under way: the next pass takes that up.
                return Ok((after.object.generation != sent_generation).then(Instant::now));
            }
            Err(WriteError::Moved) => {}
            Err(error) => return Err(error),
        }
        let now = shared.writer.get(&stored.object.key).await?;
        let moved =
            outcome::moved(now.as_ref().map(|now| &now.object), &stored.object, job.claim.is_some(), attempt);
        let Some(now) = now.filter(|_| moved != Moved::Gone) else { return Err(WriteError::Gone) };
        step::refresh(shared, &now);
        if moved == Moved::Doubt {
            let verdict = Verdict::new(Reason::AtlasUnavailable, IN_DOUBT);
            let mut status = say::status(shared, &now.object, &verdict, None);
            let (proof, owed) =
                outcome::doubt(&now.object, attempt, attempt_id(&now.object), Timestamp::now());
            (status.applied, status.attempt) = (Some(proof), Some(owed));
            say::store(shared, &now, &status).await?;
            return Ok(Some(Instant::now()));
        }
        stored = now;
    }
    Err(WriteError::Moved)
}

/// Atlas refused, or did not answer.
async fn fail(
    shared: &Shared,
    stored: Stored,
    job: &Job<'_>,
    attempt: &Attempt,
    signature: Signature,
    failure: &Failure,
) -> Result<Option<Instant>, WriteError> {
    let uid = &stored.object.uid;
    pass::pause(shared, &job.spec.project, failure);
    if !failure.outcome_unknown {
        shared.memory(uid, |memory| memory.outcome_known = Some(attempt.time));
    }
    let failed = outcome::failed(&stored.object, job.spec, job.claim, failure);
    let verdict = Verdict::new(failed.reason, failed.message);
    let retry = remember_failure(shared, &stored, signature, failure, &verdict, failed.for_good);
    let stored = match failed.release {
        Some(note) => step::release(shared, &stored, note).await?,
        None => stored,
    };
    let (_, again) = say::say(shared, &stored, verdict, None).await?;
    Ok([retry, again].into_iter().flatten().min())
}

/// Notes a failed write, so that it is not repeated before its time, or as it is at all; answers that time.
pub(super) fn remember_failure(
    shared: &Shared,
    stored: &Stored,
    signature: Signature,
    failure: &Failure,
    verdict: &Verdict,
    for_good: bool,
) -> Option<Instant> {
    let now = Instant::now();
    shared.memory(&stored.object.uid, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        let mut wait =
            pacing::backoff(memory.failures, pass::random()).max(failure.retry_after.unwrap_or_default());
        if failure.outcome_unknown {
            wait = wait.max(shared.atlas.landing_limit());
        }
        let retry_at = (!for_good).then_some(now + wait);
        memory.refused = Some(Box::new(Refused {
            generation: stored.object.generation,
            signature,
            retry_at,
            verdict: verdict.clone(),
        }));
        retry_at
    })
}
