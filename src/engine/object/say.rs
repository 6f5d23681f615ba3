//! Writes what people read about an object: its status and its Events.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::{EventKind, Stored, WriteError};
use crate::core::conditions::{self, Verdict};
use crate::domain::{
    Condition, ConditionStatus, ConditionType, IntegrationType, Object, Prospect, Reason, Redacted, Status,
};
use crate::engine::index::Record;
use crate::engine::shared::Shared;
use crate::engine::turn::{Grounds, Said, Turn};

/// A look for stalling comes a little late rather than a little early.
const STALL_SLACK: Duration = Duration::from_millis(50);

/// What becomes of the echo in a status.
#[derive(Clone, Copy)]
pub(super) enum Echo<'a> {
    /// It stays: Atlas was not read.
    Keep,
    /// It goes: Atlas shows nothing that is ours.
    Gone,
    /// Atlas shows this.
    Shown(&'a Redacted),
}

impl<'a> Echo<'a> {
    /// The echo after a LIST that shows `entry`.
    pub fn of(entry: Option<&'a Redacted>) -> Echo<'a> {
        entry.map_or(Echo::Gone, Echo::Shown)
    }
}

/// Whether the object's status already has this very verdict, so that the object need not even be read.
pub(super) fn already_said(shared: &Shared, turn: &mut Turn, record: &Record, verdict: &Verdict) -> bool {
    let patience = shared.settings.patience;
    // Somebody may have changed the object since the pass began.
    let unchanged = shared.index.lock().is_at(&record.key, &record.uid, record.resource_version);
    let memory = turn.object(&record.uid);
    let lasting = memory.lasting(verdict.reason, Instant::now());
    let said = memory.said.as_deref().is_some_and(|Said { version, verdict: said, .. }| {
        unchanged
            && *version == record.resource_version
            && said.reason == verdict.reason
            && verdict.message.is_as_told(&said.message.text())
            && said.in_sync == verdict.in_sync
            && patience.is_over(said.reason, said.lasting) == patience.is_over(verdict.reason, lasting)
    });
    if said {
        look_for_stalling(shared, turn, verdict, lasting);
    }
    said
}

/// Whether the object's status already has the verdict that follows from the object as it is and from these `grounds`.
pub(super) fn still_holds(shared: &Shared, turn: &mut Turn, record: &Record, grounds: &Grounds) -> bool {
    let said = turn.memory.known(&record.uid).and_then(|memory| memory.said.as_deref());
    let verdict = said.filter(|said| said.grounds.as_ref() == Some(grounds)).map(|said| said.verdict.clone());
    !record.deleting && verdict.is_some_and(|verdict| already_said(shared, turn, record, &verdict))
}

/// An object that stalls later is looked at again for that.
fn look_for_stalling(shared: &Shared, turn: &mut Turn, verdict: &Verdict, lasting: Duration) {
    let patience = shared.settings.patience.with(verdict.reason);
    let left = patience.and_then(|patience| patience.checked_sub(lasting)).filter(|left| !left.is_zero());
    if let Some(left) = left {
        turn.look_again(Instant::now() + left + STALL_SLACK);
    }
}

/// The status that follows from a verdict; everything else stays as it is.
pub(super) fn status(shared: &Shared, object: &Object, verdict: &Verdict, echo: Echo<'_>) -> Status {
    let now = Timestamp::now();
    let before = &object.status;
    Status {
        observed_generation: Some(object.generation),
        conditions: conditions::derive(before, object.generation, verdict, shared.settings.patience, now),
        integration: match echo {
            Echo::Keep => before.integration.clone(),
            Echo::Gone => None,
            Echo::Shown(entry) => {
                let named =
                    object.spec.as_ref().map(|spec| spec.integration.redacted_texts()).unwrap_or_default();
                let sent = object.attempt().and_then(|attempt| attempt.sent.as_ref());
                Some(entry.for_status(&[&named, sent.unwrap_or(&named)]))
            }
        },
        // What another object wrote, or what was given up, is dropped.
        applied: object.applied().cloned(),
        attempt: object.attempt().cloned(),
        last_handled_reconcile: match echo {
            Echo::Keep => before.last_handled_reconcile.clone(),
            Echo::Gone | Echo::Shown(_) => object.reconcile_requested.clone(),
        },
        last_handled_rewrite: before.last_handled_rewrite.clone(),
        prometheus_discovery_url: discovery_url(shared, object, echo),
    }
}

/// `https://<host>/prometheus/v1.0/groups/{project}/discovery`, which the API itself does not return.
fn discovery_url(shared: &Shared, object: &Object, echo: Echo<'_>) -> Option<String> {
    let spec = object.spec.as_ref().ok()?;
    if spec.integration.integration_type() != IntegrationType::Prometheus {
        return None;
    }
    if !matches!(echo, Echo::Shown(_)) {
        return object.status.prometheus_discovery_url.clone();
    }
    let path = format!("prometheus/v1.0/groups/{}/discovery", spec.project);
    shared.settings.atlas_url.join(&path).ok().map(String::from)
}

/// Stores a verdict, and publishes an Event for a transition.
pub(super) async fn say(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    verdict: Verdict,
    echo: Echo<'_>,
) -> Result<(), WriteError> {
    say_on(shared, turn, stored, verdict, echo, None).await
}

/// Like [`say`]. While the object stays the same, the verdict follows from `grounds` alone, so that it need not be found
/// again: see [`still_holds`].
pub(super) async fn say_on(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    mut verdict: Verdict,
    echo: Echo<'_>,
    grounds: Option<Grounds>,
) -> Result<(), WriteError> {
    let uid = &stored.object.uid;
    verdict.lasting = turn.object(uid).lasting(verdict.reason, Instant::now());
    let status = status(shared, &stored.object, &verdict, echo);
    let after = store(shared, stored, &status).await?;
    look_for_stalling(shared, turn, &verdict, verdict.lasting);
    let version = after.object.resource_version.parse().unwrap_or_default();
    let good = verdict.reason.prospect() == Prospect::Good;
    let kept = !good || verdict.suspended;
    turn.object(uid).said = kept.then(|| Box::new(Said { version, verdict, grounds }));
    Ok(())
}

/// Stores a status. A transition of Ready, and a difference that was not reported before, become Events.
pub(super) async fn store(shared: &Shared, stored: &Stored, status: &Status) -> Result<Stored, WriteError> {
    let after = shared.store.status(stored, status).await?;
    if let Some(ready) = transition(&stored.object.status, status) {
        tell(shared, &after.object, ready);
    }
    if let Some(in_sync) = lost_sync(&stored.object.status, status) {
        tell_drift(shared, &after.object, in_sync);
    }
    Ok(after)
}

/// Gives the claim up, or lets an object go that is being deleted, without a call to Atlas. An Event tells why.
pub(super) async fn release(
    shared: &Shared,
    turn: &mut Turn,
    stored: &Stored,
    note: &str,
) -> Result<Stored, WriteError> {
    let object = &stored.object;
    let after = shared.store.release(stored).await?;
    turn.object(&object.uid).released();
    shared.events.publish(object, EventKind::Normal, "Released", "Release", note);
    tracing::info!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), "released: {note}");
    Ok(after)
}

/// The new InSync condition, if it reports a difference that was not reported before.
fn lost_sync<'a>(before: &Status, after: &'a Status) -> Option<&'a Condition> {
    let in_sync = after.condition(ConditionType::InSync)?;
    let said = before
        .condition(ConditionType::InSync)
        .is_some_and(|old| old.status == in_sync.status && old.message == in_sync.message);
    (in_sync.status == ConditionStatus::False && !said).then_some(in_sync)
}

fn tell_drift(shared: &Shared, object: &Object, in_sync: &Condition) {
    shared.events.publish(object, EventKind::Warning, &in_sync.reason, "Reconcile", &in_sync.message);
    tracing::warn!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), reason = %in_sync.reason, "{}", in_sync.message);
    // A difference that is repaired was counted when its repair began.
    if in_sync.reason == "Drifted"
        && let Ok(spec) = &object.spec
    {
        shared.telemetry.drift(spec.integration.integration_type());
    }
}

/// The new Ready condition, if its status or reason is new.
fn transition<'a>(before: &Status, after: &'a Status) -> Option<&'a Condition> {
    let ready = after.condition(ConditionType::Ready)?;
    let same = before
        .condition(ConditionType::Ready)
        .is_some_and(|old| old.status == ready.status && old.reason == ready.reason);
    (!same).then_some(ready)
}

fn tell(shared: &Shared, object: &Object, ready: &Condition) {
    let reason = Reason::parse(&ready.reason);
    let good = reason.is_some_and(|reason| {
        let unavailable = matches!(reason, Reason::AtlasUnavailable | Reason::ApiServerSlow);
        !unavailable && matches!(reason.prospect(), Prospect::Good | Prospect::Passing)
    });
    let kind = if good { EventKind::Normal } else { EventKind::Warning };
    if let Some(reason) = reason {
        shared.telemetry.transition(reason);
    }
    shared.events.publish(object, kind, &ready.reason, "Reconcile", &ready.message);
    if good {
        tracing::info!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), reason = %ready.reason, "{}", ready.message);
    } else {
        tracing::warn!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), reason = %ready.reason, "{}", ready.message);
    }
}
