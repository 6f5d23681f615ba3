//! The fence: the only way to a call that changes Atlas. [`raise`] makes a write to the API server, which fails if the
//! object has changed since the plan, and returns a [`Fenced`], which `post`, `put` and `delete` consume. So no such call
//! is made without a fence, and no fence serves two calls. In all other files clippy refuses the three calls of the
//! client (`disallowed-methods` in `clippy.toml`).

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::say::{self, Echo};
use crate::atlas::{self, Session};
use crate::cluster::{Stored, WriteError};
use crate::core::conditions::Verdict;
use crate::core::deletion::deletion_waits;
use crate::core::outcome::{self, Fence};
use crate::core::pacing;
use crate::domain::{
    AppliedSecret, Attempt, Failure, Fingerprint, Integration, IntegrationType, Message, Object, ProjectId,
    Reason, Redacted, SecretValue, Spec,
};
use crate::engine::credentials::Resolved;
use crate::engine::jitter::random;
use crate::engine::shared::Shared;
use crate::engine::turn::{Signature, Turn};

/// A fence may take at most this share (a third) of a call's time limit. After a slower one, too little of
/// [`atlas::Client::landing_limit`] is left for the call.
const FENCE_SHARE: u32 = 3;

/// A fence that the API server has just taken. It allows one call that changes Atlas, and that call consumes it.
///
/// With a fence, a call compiles:
///
/// ```no_run
/// use atlas_integration_operator::atlas::{Client, Session};
/// use atlas_integration_operator::domain::IntegrationType;
/// use atlas_integration_operator::engine::Fenced;
///
/// async fn delete(fenced: Fenced, atlas: &Client, session: &Session) {
///     fenced.delete(atlas, session, IntegrationType::Datadog).await;
/// }
/// ```
///
/// The same call without one does not, and neither does a second call behind one fence:
///
/// ```compile_fail
/// use atlas_integration_operator::atlas::{Client, Session};
/// use atlas_integration_operator::domain::IntegrationType;
/// use atlas_integration_operator::engine::Fenced;
///
/// async fn delete(atlas: &Client, session: &Session) {
///     Fenced::delete(atlas, session, IntegrationType::Datadog).await;
/// }
/// ```
///
/// ```compile_fail
/// use atlas_integration_operator::atlas::{Client, Session};
/// use atlas_integration_operator::domain::IntegrationType;
/// use atlas_integration_operator::engine::Fenced;
///
/// async fn delete(fenced: Fenced, atlas: &Client, session: &Session) {
///     fenced.delete(atlas, session, IntegrationType::Datadog).await;
///     fenced.delete(atlas, session, IntegrationType::Datadog).await;
/// }
/// ```
///
/// Only one module can make a `Fenced`, since its fields are private:
///
/// ```compile_fail
/// use atlas_integration_operator::cluster::Stored;
/// use atlas_integration_operator::domain::{Attempt, ProjectId};
/// use atlas_integration_operator::engine::Fenced;
///
/// fn fenced(stored: Stored, attempt: Attempt, project: ProjectId) -> Fenced {
///     Fenced { stored, attempt, project }
/// }
/// ```
pub struct Fenced {
    stored: Stored,
    attempt: Attempt,
    project: ProjectId,
}

/// The result of a call that was made with a fence.
#[must_use]
pub struct CallResult<T> {
    stored: Stored,
    attempt: Attempt,
    /// The credential that the call was made with.
    credential: Fingerprint,
    result: Result<T, Failure>,
}

// The one place for these calls.
#[allow(clippy::disallowed_methods)]
impl Fenced {
    /// Creates the integration. The result has the entry that Atlas then shows.
    pub async fn post(
        self,
        atlas: &atlas::Client,
        session: &Session,
        integration: &Integration<SecretValue>,
    ) -> CallResult<Redacted> {
        let result = atlas.create(session, &self.project, integration).await;
        self.finished(session, result)
    }

    /// Replaces the integration. The result has the entry that Atlas then shows.
    pub async fn put(
        self,
        atlas: &atlas::Client,
        session: &Session,
        integration: &Integration<SecretValue>,
    ) -> CallResult<Redacted> {
        let result = atlas.update(session, &self.project, integration).await;
        self.finished(session, result)
    }

    /// Deletes the integration. If it does not exist, that is a success.
    pub async fn delete(
        self,
        atlas: &atlas::Client,
        session: &Session,
        kind: IntegrationType,
    ) -> CallResult<()> {
        let result = match atlas.delete(session, &self.project, kind).await {
            Err(failure) if outcome::nothing_to_delete(&failure) => Ok(()),
            result => result,
        };
        self.finished(session, result)
    }

    fn finished<T>(self, session: &Session, result: Result<T, Failure>) -> CallResult<T> {
        CallResult { stored: self.stored, attempt: self.attempt, credential: session.credential(), result }
    }
}

impl<T> CallResult<T> {
    /// Records in `turn` that a write was sent. Of a failure it also records the pause that Atlas asked for, and whether
    /// the outcome of the call is known. Returns the object as the fence left it, the attempt, and the result.
    pub(super) fn record_in(self, turn: &mut Turn) -> (Stored, Attempt, Result<T, Failure>) {
        turn.memory.limits(self.credential).wrote();
        if let Err(failure) = &self.result {
            turn.pause_if_asked(self.credential, failure);
            turn.object(&self.stored.object.uid).call_failed(self.attempt.time, failure);
        }
        (self.stored, self.attempt, self.result)
    }
}

/// A fresh attempt id. It begins with the uid, so that a status copied from another object is not taken for this
/// object's own.
pub(super) fn attempt_id(object: &Object) -> String {
    format!("{}.{:08x}{:08x}", object.uid, random(), random())
}

/// A call that is about to be made.
pub(super) struct Begun<'a> {
    pub spec: &'a Spec,
    /// The session that listed the project, and that the call uses.
    pub session: &'a Session,
    pub attempt: Attempt,
    /// The write to the API server that comes first.
    pub fence: Fence,
    /// What the call depends on.
    pub signature: &'a Signature,
}

/// Makes the fence, with the resourceVersion of the object that was planned for; so if it succeeds, nobody changed the
/// object meanwhile. Returns `None` if the call must not be made: because the term has ended, because the object has other
/// credentials by now or none, or because the fence took too long. The last is a failure of the API server, which the
/// object reports, and the call waits before the next try.
pub(super) async fn raise(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    begun: Begun<'_>,
) -> Result<Option<Fenced>, WriteError> {
    let Begun { spec, session, attempt, fence, signature } = begun;
    let begun_at = Instant::now();
    if !shared.leads() || !still_serves(shared, session, &stored.object, spec) {
        turn.look_again_now();
        return Ok(None);
    }
    let stored = match fence {
        Fence::Claim { status, claim } => {
            let stored = shared.store.status(stored, &status).await?;
            let claimed = shared.store.claim(&stored, &claim).await;
            if claimed.is_err() {
                // Nothing is sent after this attempt.
                turn.object(&stored.object.uid).outcome_known = Some(attempt.time);
            }
            claimed?
        }
        Fence::Proof(status) => shared.store.status(stored, &status).await?,
        Fence::Attempt => shared.store.attempt(stored, &attempt).await?,
    };
    let uid = &stored.object.uid;
    turn.object(uid).unconfirmed = Some((attempt.time, begun_at));
    // Somebody may set the time of day back meanwhile, and the other clock stands still while a machine is suspended.
    let by_day = Duration::try_from(Timestamp::now().duration_since(attempt.time)).unwrap_or_default();
    let took = by_day.max(begun_at.elapsed());
    let limit = shared.atlas.time_limit() / FENCE_SHARE;
    if took > limit || !shared.leads() {
        // Nothing was sent after this fence.
        turn.object(uid).outcome_known = Some(attempt.time);
        if shared.leads() {
            report_slow(shared, turn, &stored, signature, (took, limit)).await?;
        } else {
            turn.look_again_now();
        }
        return Ok(None);
    }
    shared.index.lock().confirm(&stored.object.key, uid, None);
    Ok(Some(Fenced { stored, attempt, project: spec.project.clone() }))
}

/// Whether the object would still get the credential of this session, as far as memory tells. Since the pass read its
/// credentials, the grant of its Namespace may have been withdrawn, or its Secret changed or deleted: whoever did that
/// expects that the former credentials are not used any more.
fn still_serves(shared: &Shared, session: &Session, object: &Object, spec: &Spec) -> bool {
    let for_deletion = object.deleting && object.applied().is_some();
    let known =
        shared.credentials.known(&object.key.namespace, &spec.credentials, &spec.project, for_deletion);
    known == Some(session.credential())
}

/// Stores in the object that its fence `took` longer than the `limit`, and holds back the call that it was for.
async fn report_slow(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    signature: &Signature,
    (took, limit): (Duration, Duration),
) -> Result<(), WriteError> {
    let object = &stored.object;
    let verdict = Verdict::new(Reason::ApiServerSlow, slow_message(object, took, limit));
    let wait = pacing::backoff(turn.object(&object.uid).fails(), random());
    hold_back(turn, object, signature.clone(), &verdict, Some(wait));
    say::say(shared, turn, stored, verdict, Echo::Keep).await
}

fn slow_message(object: &Object, took: Duration, limit: Duration) -> Message {
    let why = "the API server took too long to store the record that comes before a write to Atlas, so nothing was \
               sent to Atlas: check the API server and its admission webhooks, or raise --atlas-timeout, a third of \
               which is the limit; the operator retries automatically";
    let details =
        format!("it took {:.1} s, and the limit is {:.1} s", took.as_secs_f64(), limit.as_secs_f64());
    if object.deleting {
        deletion_waits(&object.key, Reason::ApiServerSlow, why, &details)
    } else {
        Message::quoting(format!("{why}; details: "), &details)
    }
}

/// What a write depends on. For a DELETE `resolved` is `None`, since it does not depend on the settings. `entry` says
/// whether Atlas showed an entry.
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

/// If this very write failed and may not be sent again now: the verdict of that failure. If it may be sent later, the
/// turn looks again then. The failure of any other write is forgotten.
pub(super) fn held_back(turn: &mut Turn, object: &Object, signature: &Signature) -> Option<Verdict> {
    let refused = turn.object(&object.uid).held_back(signature, Instant::now())?;
    let (retry_at, verdict) = (refused.retry_at, refused.verdict.clone());
    if let Some(at) = retry_at {
        turn.look_again(at);
    }
    Some(verdict)
}

/// Remembers a failed write, so that the same write is not sent again before its time, or (`for_good`) not again at all.
/// The turn looks again when it may be sent.
pub(super) fn remember_failure(
    shared: &Shared,
    turn: &mut Turn,
    object: &Object,
    (signature, verdict): (Signature, &Verdict),
    (failure, for_good): (&Failure, bool),
    credential: Fingerprint,
) {
    let memory = turn.object(&object.uid);
    let mut wait = pacing::backoff(memory.fails(), random()).max(failure.retry_after.unwrap_or_default());
    if failure.outcome_unknown {
        wait = wait.max(shared.atlas.landing_limit());
    }
    hold_back(turn, object, signature, verdict, (!for_good).then_some(wait));
    // A call that Atlas limited waits for the end of the pause, like all others.
    turn.waits(&object.uid, credential);
}

/// Holds a write back for this time, or (`None`) for good. The turn looks again when it may be sent.
fn hold_back(
    turn: &mut Turn,
    object: &Object,
    signature: Signature,
    verdict: &Verdict,
    wait: Option<Duration>,
) {
    let memory = turn.object(&object.uid);
    if let Some(at) = memory.hold_back(object.generation, signature, wait, verdict.clone()) {
        turn.look_again(at);
    }
}
