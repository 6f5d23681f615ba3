//! The fence: the only way to a call that changes Atlas. [`raise`] stores a write to the API server that fails if the
//! object moved since it was planned, and gives a [`Fenced`], which `post`, `put` and `delete` consume. So no such call
//! is made without a fence, and none twice behind one.

use std::time::Duration;

use jiff::Timestamp;

use crate::atlas::{self, Session};
use crate::cluster::{Stored, WriteError};
use crate::core::conditions::Verdict;
use crate::core::outcome::{self, Fence};
use crate::core::pacing;
use crate::domain::{
    AppliedSecret, Attempt, Failure, Integration, IntegrationType, Object, ProjectId, Redacted, SecretValue,
    Spec,
};
use crate::engine::credentials::Resolved;
use crate::engine::jitter::random;
use crate::engine::shared::Shared;
use crate::engine::turn::{Signature, Turn};

/// A fence that took longer than this part of a call's time limit does not leave enough of
/// [`atlas::Client::landing_limit`] to the call that it guards.
const SLOW_FENCE: u32 = 3;

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
/// Nobody else can make one, since its fields are private:
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

/// What came of a call behind a fence.
#[must_use]
pub struct Called<T> {
    stored: Stored,
    attempt: Attempt,
    result: Result<T, Failure>,
}

impl Fenced {
    /// Creates the integration. The result has the entry that Atlas then shows.
    pub async fn post(
        self,
        atlas: &atlas::Client,
        session: &Session,
        integration: &Integration<SecretValue>,
    ) -> Called<Redacted> {
        let result = atlas.create(session, &self.project, integration).await;
        self.called(result)
    }

    /// Replaces the integration. The result has the entry that Atlas then shows.
    pub async fn put(
        self,
        atlas: &atlas::Client,
        session: &Session,
        integration: &Integration<SecretValue>,
    ) -> Called<Redacted> {
        let result = atlas.update(session, &self.project, integration).await;
        self.called(result)
    }

    /// Deletes the integration. An integration that does not exist is deleted.
    pub async fn delete(self, atlas: &atlas::Client, session: &Session, kind: IntegrationType) -> Called<()> {
        let result = match atlas.delete(session, &self.project, kind).await {
            Err(failure) if outcome::nothing_to_delete(&failure) => Ok(()),
            result => result,
        };
        self.called(result)
    }

    fn called<T>(self, result: Result<T, Failure>) -> Called<T> {
        Called { stored: self.stored, attempt: self.attempt, result }
    }
}

impl<T> Called<T> {
    /// The object as the fence left it, the attempt, and the result, once the turn remembers what a failure means for
    /// the project and for the object's next plan.
    pub(super) fn noted(self, turn: &mut Turn) -> (Stored, Attempt, Result<T, Failure>) {
        if let Err(failure) = &self.result {
            turn.heed(failure);
            turn.object(&self.stored.object.uid).called(self.attempt.time, failure);
        }
        (self.stored, self.attempt, self.result)
    }
}

/// A fresh attempt id. It begins with the uid, so that a copied status claims nothing.
pub(super) fn attempt_id(object: &Object) -> String {
    format!("{}.{:08x}{:08x}", object.uid, random(), random())
}

/// Stores the `fence` of an `attempt`. It carries the resourceVersion that was planned for, so what the API server
/// returns is that very object. `None` if nothing may be sent: the term has ended, or the fence took too long; then the
/// next pass plans anew.
pub(super) async fn raise(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    (spec, attempt, fence): (&Spec, Attempt, Fence),
) -> Result<Option<Fenced>, WriteError> {
    if !shared.leads() {
        turn.look_again_now();
        return Ok(None);
    }
    let stored = match fence {
        Fence::Claim { first: None, claim } => shared.store.claim(stored, &claim).await?,
        Fence::Claim { first: Some(status), claim } => {
            let stored = shared.store.status(stored, &status).await?;
            shared.store.claim(&stored, &claim).await?
        }
        Fence::Proof(status) => shared.store.status(stored, &status).await?,
        Fence::Attempt => shared.store.attempt(stored, &attempt).await?,
    };
    let uid = &stored.object.uid;
    if too_late(shared, &attempt) {
        // Nothing was sent after this fence.
        turn.object(uid).outcome_known = Some(attempt.time);
        turn.look_again_now();
        return Ok(None);
    }
    shared.index.lock().confirm(&stored.object.key, uid, None);
    Ok(Some(Fenced { stored, attempt, project: spec.project.clone() }))
}

/// Whether a fence took so long that its call must not be sent any more, or the term has ended meanwhile.
fn too_late(shared: &Shared, attempt: &Attempt) -> bool {
    if !shared.leads() {
        return true;
    }
    let passed = Timestamp::now().duration_since(attempt.time);
    Duration::try_from(passed).is_ok_and(|passed| passed > shared.atlas.time_limit() / SLOW_FENCE)
}

/// What a write depends on. A DELETE (`None`) does not depend on the settings.
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

/// What was said of this very write when Atlas refused it, if it may not be sent again yet, or not again at all.
pub(super) fn refused(turn: &mut Turn, object: &Object, signature: &Signature) -> Option<Verdict> {
    let refused = turn.object(&object.uid).refusal_of(signature, tokio::time::Instant::now())?;
    let (retry_at, verdict) = (refused.retry_at, refused.verdict.clone());
    if let Some(at) = retry_at {
        turn.look_again(at);
    }
    Some(verdict)
}

/// Remembers a failed write, so that the same write is not sent again before its time, or (`for_good`) not again at
/// all.
pub(super) fn refuse(
    shared: &Shared,
    turn: &mut Turn,
    object: &Object,
    (signature, verdict): (Signature, &Verdict),
    failure: &Failure,
    for_good: bool,
) {
    let memory = turn.object(&object.uid);
    let mut wait = pacing::backoff(memory.fails(), random()).max(failure.retry_after.unwrap_or_default());
    if failure.outcome_unknown {
        wait = wait.max(shared.atlas.landing_limit());
    }
    let wait = (!for_good).then_some(wait);
    if let Some(at) = memory.refuse(object.generation, signature, wait, verdict.clone()) {
        turn.look_again(at);
    }
}
