//! Writes one integration. The steps, in this order: read the Secrets, make the fence (for the first write the claim),
//! write to Atlas, store the status. This file also handles the failure of each step.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::fence::{self, Begun, Fenced};
use super::say::{self, Echo};
use super::{told, unseen};
use crate::atlas::{ApiVersion, Session};
use crate::cluster::{EventKind, Stored, WriteError};
use crate::core::conditions::{InSync, Verdict};
use crate::core::outcome::{self, Claiming, Moved, Read};
use crate::core::pacing;
use crate::core::plan::{
    Why, Write, already_exists_message, confirmed_message, in_doubt_message, overwritten_message,
    unconfirmed_fence,
};
use crate::core::sync::{Kept, choices, kept, standing};
use crate::domain::{
    AppliedSecret, Attempt, Case, CredentialsRef, Failure, Message, Object, Reason, Redacted, SecretsSince,
    Spec, Stake, Status,
};
use crate::engine::credentials::{Resolved, Unreadable};
use crate::engine::index::Record;
use crate::engine::shared::Shared;
use crate::engine::turn::{Confirmed, Signature, Turn};

/// How often a pass tries to store the status of a confirmed write if somebody else changes the object meanwhile. After
/// that the next pass continues.
const STATUS_TRIES: usize = 3;

/// One write to Atlas.
pub(super) struct Job<'a> {
    pub spec: &'a Spec,
    pub session: &'a Arc<Session>,
    /// The integration that LIST showed in the place, if there is one.
    pub entry: Option<&'a Redacted>,
    pub write: Write,
    /// Whether the write claims the place first.
    pub claiming: Claiming,
    /// Why the write is due; `None` if it claims the place.
    pub why: Option<Why>,
}

impl Job<'_> {
    /// The fingerprint for `status.applied` of secret values that `attempt` sends or has sent. There is none under the
    /// operator's own credentials: nothing that depends on them is for the readers of an object.
    fn applied_fingerprint(&self, attempt: &str, resolved: &Resolved) -> Option<String> {
        match self.spec.credentials {
            CredentialsRef::Secret(_) => self.session.applied_fingerprint(attempt, &resolved.integration),
            CredentialsRef::Operator => None,
        }
    }
}

/// Carries a write out, unless its credential is paused.
pub(super) async fn write(
    shared: &Shared,
    turn: &mut Turn,
    (record, stored): (&Record, &Stored),
    job: Job<'_>,
) -> Result<(), WriteError> {
    let object = &stored.object;
    let integration = &job.spec.integration;
    let version = shared.atlas.version_for(integration.integration_type()).unwrap_or(ApiVersion::V2);
    if let Some(missing) = version.missing(integration) {
        let verdict = Verdict::new(Reason::InvalidSpec, missing);
        return say::say(shared, turn, stored, verdict, Echo::Keep).await;
    }
    let resolved = match shared.credentials.resolve(&object.key.namespace, integration).await {
        Ok(resolved) => resolved,
        Err(Unreadable::Problem(problem)) => {
            let verdict = Verdict::new(problem.reason, problem.message);
            return say::say(shared, turn, stored, verdict, Echo::Keep).await;
        }
        Err(Unreadable::Server(why)) => return Err(WriteError::Server(why)),
    };
    let confirmed = shared.index.lock().confirmed(&object.key, &object.uid);
    let last = object.applied().and_then(|applied| applied.attempt.as_deref());
    let as_applied = last.and_then(|attempt| job.applied_fingerprint(attempt, &resolved));
    let read = Read { secrets: &resolved.secrets, fingerprint: resolved.fingerprint, as_applied };
    let why = job.why.as_ref().map(|why| outcome::due_once_read(object, why, &read, confirmed));
    if why.as_ref().is_some_and(Why::is_empty) {
        return record_secrets(shared, stored, &job, read).await;
    }
    let signature = fence::signature(shared, object, job.spec, Some(&resolved), job.entry.is_some());
    if let Some(verdict) = fence::held_back(turn, object, &signature) {
        // The status may say something else by now. The verdict on the failed write is still true, so it is stored
        // again.
        return say::say(shared, turn, stored, verdict, Echo::Keep).await;
    }
    if unseen::paused(shared, turn, record, job.session).await? {
        return Ok(());
    }
    let drift = why.filter(Why::only_drift).map(|why| why.drift);
    if let Some(drift) = &drift
        && !begin_repair(shared, turn, stored, &job, drift).await?
    {
        return Ok(());
    }
    let sent = resolved.integration.redacted();
    let choices = match job.claiming {
        Claiming::Already => choices(object, (&signature.config, &sent), job.entry),
        Claiming::Fresh | Claiming::ByConsent => Redacted::default(),
    };
    let attempt = Attempt { id: fence::attempt_id(object), time: Timestamp::now(), sent: Some(sent) };
    let fence = outcome::fence(object, job.claiming, job.write, &attempt);
    let begun = Begun { spec: job.spec, session: job.session, attempt, fence, signature: &signature };
    let Some(fenced) = fence::raise(shared, turn, stored, begun).await? else { return Ok(()) };
    let (stored, attempt, result) = send(shared, &job, fenced, &resolved).await.record_in(turn);
    match result {
        Ok(entry) => {
            let written =
                Written { attempt: &attempt, resolved: &resolved, choices: &choices, entry: &entry };
            confirm(shared, turn, stored, &job, &written, drift.is_some()).await
        }
        Err(failure) => fail(shared, turn, stored, &job, signature, &failure).await,
    }
}

async fn send(
    shared: &Shared,
    job: &Job<'_>,
    fenced: Fenced,
    resolved: &Resolved,
) -> fence::CallResult<Redacted> {
    match job.write {
        Write::Post => fenced.post(&shared.atlas, job.session, &resolved.integration).await,
        Write::Put => fenced.put(&shared.atlas, job.session, &resolved.integration).await,
    }
}

/// Records the present identities of the Secrets in the status, and their fingerprint under the present credentials of
/// the object. No value in them has changed since the confirmed attempt, so nothing is written to Atlas.
async fn record_secrets(
    shared: &Shared,
    stored: &Stored,
    job: &Job<'_>,
    read: Read<'_>,
) -> Result<(), WriteError> {
    let kind = job.spec.integration.integration_type();
    let kept = job.entry.map(|entry| standing(&stored.object, kind, entry)).unwrap_or_default();
    let verdict = confirmed(job.spec, kept);
    let mut status = say::status(shared, &stored.object, &verdict, Echo::of(job.entry));
    let mut carried = None;
    if let Some(applied) = &mut status.applied {
        carried = applied.attempt.as_deref().map(|attempt| read.fingerprint.carried_by(attempt));
        applied.secrets = read.secrets.to_vec();
        applied.fingerprint = read.as_applied;
    }
    let after = say::store(shared, stored, &status).await?;
    shared.index.lock().confirm(&after.object.key, &after.object.uid, carried);
    Ok(())
}

/// Begins a repair of drift, and returns whether it may be made now. The waits between the repairs of one place become
/// longer and longer.
async fn begin_repair(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    job: &Job<'_>,
    drift: &[String],
) -> Result<bool, WriteError> {
    let object = &stored.object;
    if let Err(until) = turn.object(&object.uid).repair(Instant::now(), pacing::repair_wait) {
        let verdict = Verdict::new(Reason::Synced, overwritten_message(job.spec, drift))
            .with_sync(InSync::Overwritten(drift.to_vec()));
        say::say(shared, turn, stored, verdict, Echo::Keep).await?;
        turn.look_again(until);
        return Ok(false);
    }
    shared.telemetry.drift(job.spec.integration.integration_type());
    let note =
        format!("Atlas differs from what was last confirmed in: {}; it is written again", drift.join(", "));
    shared.events.publish(object, EventKind::Warning, "Drifted", "Repair", &note);
    tracing::warn!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), "{note}");
    Ok(true)
}

/// The verdict on an integration whose last write Atlas confirmed, keeping this otherwise.
fn confirmed(spec: &Spec, kept: Kept) -> Verdict {
    Verdict::new(Reason::Synced, confirmed_message(spec, &kept)).with_sync(InSync::of(kept))
}

/// A write that Atlas confirmed.
struct Written<'a> {
    attempt: &'a Attempt,
    resolved: &'a Resolved,
    /// What Atlas itself had chosen before: see [`choices`].
    choices: &'a Redacted,
    /// The integration as Atlas's answer to this write shows it.
    entry: &'a Redacted,
}

/// Stores `applied` and the echo after Atlas has confirmed a write. The echo comes from the answer to that write.
async fn confirm(
    shared: &Shared,
    turn: &mut Turn,
    stored: Stored,
    job: &Job<'_>,
    written: &Written<'_>,
    repair: bool,
) -> Result<(), WriteError> {
    let Written { attempt, resolved, choices, entry } = *written;
    let kind = job.spec.integration.integration_type();
    let sent = resolved.integration.redacted();
    let object = &stored.object;
    let fingerprint = job.applied_fingerprint(&attempt.id, resolved);
    let now = Timestamp::now();
    let confirmed = Confirmed {
        attempt: attempt.clone(),
        applied: outcome::applied(object, attempt, job.spec, &resolved.secrets, fingerprint, now),
        verdict: confirmed(job.spec, kept(kind, &sent, (job.entry, choices), entry)),
        entry: entry.clone(),
        generation: object.generation,
        requests: (object.reconcile_requested.clone(), object.rewrite_requested.clone()),
        claiming: job.claiming != Claiming::Already,
        carried: resolved.fingerprint.carried_by(&attempt.id),
        repair,
    };
    store_confirmed(shared, turn, stored, confirmed).await
}

/// Stores the status of a confirmed write. If the API server refuses it, the write is remembered: to send it again would
/// only give the integration another id.
async fn store_confirmed(
    shared: &Shared,
    turn: &mut Turn,
    stored: Stored,
    confirmed: Confirmed,
) -> Result<(), WriteError> {
    let uid = stored.object.uid.clone();
    let result = try_to_store(shared, turn, stored, &confirmed).await;
    if matches!(result, Err(WriteError::Refused { .. })) {
        turn.object(&uid).unstored = Some(Box::new(confirmed));
    }
    result
}

async fn try_to_store(
    shared: &Shared,
    turn: &mut Turn,
    mut stored: Stored,
    confirmed: &Confirmed,
) -> Result<(), WriteError> {
    let Confirmed { attempt, applied, verdict, entry, .. } = confirmed;
    for _ in 0..STATUS_TRIES {
        // Somebody may have edited the object meanwhile, so the conditions name the generation whose settings were
        // sent.
        let object = &Object { generation: confirmed.generation, ..stored.object.clone() };
        let mut status = say::status(shared, object, verdict, Echo::Shown(entry));
        status.applied = Some(applied.clone());
        status.attempt = Some(attempt.clone());
        // If somebody made a new request by annotation meanwhile, this write does not fulfil it, so it must not count
        // as handled.
        (status.last_handled_reconcile, status.last_handled_rewrite) = confirmed.requests.clone();
        match say::store(shared, &stored, &status).await {
            Ok(after) => {
                let (key, uid) = (&after.object.key, &after.object.uid);
                turn.object(uid).confirmed(confirmed.repair);
                shared.index.lock().confirm(key, uid, Some(confirmed.carried));
                if after.object.generation != confirmed.generation {
                    // Somebody edited the object during the write, so the next pass has to act on the edit at once.
                    turn.look_again_now();
                }
                return Ok(());
            }
            Err(WriteError::Moved) => {}
            Err(error) => return Err(error),
        }
        let now = shared.store.read(&stored.object.key).await?;
        let object = now.as_ref().map(|now| &now.object);
        let moved = outcome::moved(object, &stored.object, confirmed.claiming, attempt);
        let Some(now) = now.filter(|_| moved != Moved::Gone) else { return Err(WriteError::Gone) };
        if moved == Moved::Doubt {
            doubt(shared, &now, attempt).await?;
            turn.look_again_now();
            return Ok(());
        }
        stored = now;
    }
    Err(WriteError::Moved)
}

/// If Atlas has confirmed the last write and the API server refused the status that says so: stores it now. Returns
/// whether there was such a status. A write that would be another one by now is forgotten, so that the new one is planned.
pub(super) async fn catch_up(
    shared: &Shared,
    turn: &mut Turn,
    record: &Record,
    stored: &Stored,
) -> Result<bool, WriteError> {
    let object = &stored.object;
    let memory = turn.memory.known_mut(&object.uid);
    let Some(confirmed) = memory.and_then(|memory| memory.unstored.take()) else { return Ok(false) };
    let secrets = AppliedSecret::digest(&confirmed.applied.secrets);
    let same = unconfirmed_fence(object) == Some(confirmed.attempt.time)
        && object.generation == confirmed.generation
        && (&object.reconcile_requested, &object.rewrite_requested)
            == (&confirmed.requests.0, &confirmed.requests.1)
        && shared.index.lock().secrets_since(record, secrets) != SecretsSince::Changed;
    if object.deleting || !same {
        return Ok(false);
    }
    store_confirmed(shared, turn, stored.clone(), *confirmed).await?;
    turn.look_again_now();
    Ok(true)
}

/// Stores that a write is owed: another process has begun a write meanwhile, and nobody knows which of the two landed
/// last.
async fn doubt(shared: &Shared, now: &Stored, attempt: &Attempt) -> Result<(), WriteError> {
    let verdict = Verdict::new(Reason::AtlasUnavailable, in_doubt_message(shared.atlas.landing_limit()));
    let id = fence::attempt_id(&now.object);
    let (applied, attempt) = outcome::doubt(&now.object, attempt, id, Timestamp::now());
    let status = say::status(shared, &now.object, &verdict, Echo::Keep);
    say::store(shared, now, &Status { applied: Some(applied), attempt: Some(attempt), ..status }).await?;
    Ok(())
}

/// Records that Atlas refused the write or did not answer. If the outcome requires it, gives up the claim.
async fn fail(
    shared: &Shared,
    turn: &mut Turn,
    mut stored: Stored,
    job: &Job<'_>,
    signature: Signature,
    failure: &Failure,
) -> Result<(), WriteError> {
    let failed = outcome::failed(&stored.object, job.claiming, failure);
    let message = match failed.reason {
        Reason::AlreadyExists => Message::from(already_exists_message(job.spec)),
        _ => {
            // Once the claim is given up, nothing is at stake.
            let stake = if failed.release.is_some() { Stake::Nothing } else { told::stake(&stored.object) };
            let case = told::case(shared, &job.spec.credentials, job.session.form(), stake);
            let landing_limit = Some(shared.atlas.landing_limit());
            Case { landing_limit, sources: &told::sources(&job.spec.integration), ..case }.message(failure)
        }
    };
    let verdict = Verdict::new(failed.reason, message);
    fence::remember_failure(
        shared,
        turn,
        &stored.object,
        (signature, &verdict),
        (failure, failed.for_good),
        job.session.credential(),
    );
    if let Some(note) = failed.release {
        stored = say::release(shared, turn, &stored, note).await?;
    }
    say::say(shared, turn, &stored, verdict, Echo::Keep).await
}
