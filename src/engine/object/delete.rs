//! Deletes an integration in three steps: make the fence, send the DELETE, remove the finalizer.

use std::sync::Arc;

use jiff::Timestamp;

use super::fence::{self, Begun};
use super::say::{self, Echo};
use super::{told, unseen};
use crate::atlas::Session;
use crate::cluster::{Stored, WriteError};
use crate::core::conditions::Verdict;
use crate::core::outcome::{self, Fence};
use crate::domain::{Case, Spec, Stake};
use crate::engine::index::Record;
use crate::engine::shared::Shared;
use crate::engine::turn::Turn;

/// How often the operator tries to release an object after its DELETE, which must not be repeated. A try fails if
/// somebody else has changed the object meanwhile.
const RELEASE_TRIES: usize = 3;

/// Deletes the integration in Atlas, unless its credential is paused, and then releases the object.
pub(super) async fn delete(
    shared: &Shared,
    turn: &mut Turn,
    (record, stored): (&Record, &Stored),
    spec: &Spec,
    session: &Arc<Session>,
) -> Result<(), WriteError> {
    let object = &stored.object;
    let kind = spec.integration.integration_type();
    let note = format!("the {kind} integration of project {} is deleted in Atlas", spec.project);
    let deleted = turn.memory.known(&object.uid).and_then(|memory| memory.deleted.as_deref());
    if outcome::is_deleted(object, deleted) {
        // Atlas has confirmed the DELETE already, but the release after it failed. So only the finalizer has to be
        // removed.
        say::release(shared, turn, stored, &note).await?;
        return Ok(());
    }
    let signature = fence::signature(shared, object, spec, None, true);
    if let Some(verdict) = fence::held_back(turn, object, &signature) {
        return say::say(shared, turn, stored, verdict, Echo::Keep).await;
    }
    if unseen::paused(shared, turn, record, session).await? {
        return Ok(());
    }
    let attempt = outcome::deletion(object, fence::attempt_id(object), Timestamp::now());
    let fence = Fence::Attempt;
    let begun = Begun { spec, session, attempt, fence, signature: &signature };
    let Some(fenced) = fence::raise(shared, turn, stored, begun).await? else { return Ok(()) };
    let (mut stored, attempt, result) = fenced.delete(&shared.atlas, session, kind).await.record_in(turn);
    if let Err(failure) = result {
        let reason = failure.reason();
        let case = told::case(shared, &spec.credentials, session.form(), Stake::Deletion);
        let case = Case { landing_limit: Some(shared.atlas.landing_limit()), ..case };
        let verdict = Verdict::new(reason, told::waits(&case, &stored.object.key, &failure));
        fence::remember_failure(
            shared,
            turn,
            &stored.object,
            (signature, &verdict),
            (&failure, false),
            session.credential(),
        );
        return say::say(shared, turn, &stored, verdict, Echo::Keep).await;
    }
    let memory = turn.object(&stored.object.uid);
    memory.deleted = Some(attempt.id);
    memory.outcome_known = Some(attempt.time);
    // A second DELETE might delete an integration that somebody has created meanwhile. So if somebody else changes the
    // object before it is released, the release is repeated here and not left to the next pass.
    for _ in 0..RELEASE_TRIES {
        match say::release(shared, turn, &stored, &note).await {
            Err(WriteError::Moved) => {}
            released => return released.map(|_| ()),
        }
        let now = shared.store.read(&stored.object.key).await?;
        stored = now.filter(|now| now.object.uid == stored.object.uid).ok_or(WriteError::Gone)?;
    }
    Err(WriteError::Moved)
}
