//! Statuses and Events: what an object says.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::credentials::lock;
use super::index::Record;
use super::run::Shared;
use crate::cluster::{EventKind, Stored, WriteError};
use crate::core::conditions::{self, Verdict};
use crate::domain::{
    Condition, ConditionStatus, ConditionType, IntegrationType, Object, Prospect, Reason, Redacted, Status,
};

/// A look for stalling comes a little late rather than a little early.
pub(super) const STALL_SLACK: Duration = Duration::from_millis(50);

/// Whether this very verdict stands in the object's status already, so that the object need not even be read;
/// then also when to look again for stalling.
pub(super) fn already_said(shared: &Shared, record: &Record, verdict: &Verdict) -> Option<Option<Instant>> {
    let stall_after = shared.settings.stall_after;
    shared.memory(&record.uid, |memory| {
        let lasting = memory.lasting(verdict.reason, Instant::now());
        let (version, said) = memory.said.as_deref()?;
        let same = *version == record.resource_version
            && said.reason == verdict.reason
            && said.message == verdict.message
            && said.in_sync == verdict.in_sync
            && (said.lasting >= stall_after) == (lasting >= stall_after);
        same.then(|| stalls_at(shared, verdict, lasting))
    })
}

/// When an object that stalls later is to be looked at for that.
fn stalls_at(shared: &Shared, verdict: &Verdict, lasting: Duration) -> Option<Instant> {
    let outside = verdict.reason.prospect() == Prospect::Outside;
    let left = shared.settings.stall_after.checked_sub(lasting).filter(|left| outside && !left.is_zero())?;
    Some(Instant::now() + left + STALL_SLACK)
}

/// The status that follows from a verdict, all else as it is. `entry` is what Atlas shows, where that was read.
pub(super) fn status(
    shared: &Shared,
    object: &Object,
    verdict: &Verdict,
    entry: Option<Option<&Redacted>>,
) -> Status {
    let now = Timestamp::now();
    let before = &object.status;
    Status {
        observed_generation: Some(object.generation),
        conditions: conditions::derive(before, object.generation, verdict, shared.settings.stall_after, now),
        integration: match entry {
            Some(entry) => entry.cloned(),
            None => before.integration.clone(),
        },
        // What another object wrote, or what was given up, is not carried on.
        applied: object.applied().cloned(),
        attempt: object.attempt().cloned(),
        last_handled_reconcile: match entry {
            Some(_) => object.reconcile_requested.clone(),
            None => before.last_handled_reconcile.clone(),
        },
        last_handled_rewrite: before.last_handled_rewrite.clone(),
        prometheus_discovery_url: discovery_url(shared, object, entry.flatten().is_some()),
    }
}

/// `https://<host>/prometheus/v1.0/groups/{project}/discovery`, which the API itself does not return.
fn discovery_url(shared: &Shared, object: &Object, shown: bool) -> Option<String> {
    let spec = object.spec.as_ref().ok()?;
    if spec.integration.integration_type() != IntegrationType::Prometheus {
        return None;
    }
    if !shown {
        return object.status.prometheus_discovery_url.clone();
    }
    let path = format!("prometheus/v1.0/groups/{}/discovery", spec.project);
    shared.settings.atlas_url.join(&path).ok().map(String::from)
}

/// Stores a verdict and tells of a transition. Answers when to look again for stalling, if that is to come.
pub(super) async fn say(
    shared: &Shared,
    stored: &Stored,
    mut verdict: Verdict,
    entry: Option<Option<&Redacted>>,
) -> Result<(Stored, Option<Instant>), WriteError> {
    let object = &stored.object;
    verdict.lasting = shared.memory(&object.uid, |memory| memory.lasting(verdict.reason, Instant::now()));
    let status = status(shared, object, &verdict, entry);
    let after = store(shared, stored, &status).await?;
    let again = stalls_at(shared, &verdict, verdict.lasting);
    let version = after.object.resource_version.parse().unwrap_or_default();
    let good = verdict.reason.prospect() == Prospect::Good;
    shared.memory(&object.uid, |memory| memory.said = (!good).then(|| Box::new((version, verdict))));
    Ok((after, again))
}

/// Stores a status; the result enters the index at once, and a transition of Ready becomes an Event.
pub(super) async fn store(shared: &Shared, stored: &Stored, status: &Status) -> Result<Stored, WriteError> {
    let after = shared.writer.status(stored, status).await?;
    lock(&shared.index).wrote(&after.object);
    if let Some(ready) = transition(&stored.object.status, status) {
        tell(shared, &after.object, ready);
    }
    if let Some(in_sync) = lost_sync(&stored.object.status, status) {
        tell_drift(shared, &after.object, in_sync);
    }
    Ok(after)
}

/// The new InSync condition, if it says of a difference that was not said before.
fn lost_sync<'a>(before: &Status, after: &'a Status) -> Option<&'a Condition> {
    let in_sync = after.condition(ConditionType::InSync)?;
    let said = before
        .condition(ConditionType::InSync)
        .is_some_and(|old| old.status == in_sync.status && old.message == in_sync.message);
    (in_sync.status == ConditionStatus::False && !said).then_some(in_sync)
}

fn tell_drift(shared: &Shared, object: &Object, in_sync: &Condition) {
    shared.events.publish(object, EventKind::Warning, &in_sync.reason, "Reconcile", &in_sync.message);
    tracing::warn!(object = %object.key, reason = %in_sync.reason, "{}", in_sync.message);
    // What is repaired was counted when its repair began.
    if in_sync.reason == "Drifted"
        && let Ok(spec) = &object.spec
    {
        shared.telemetry.drift(spec.integration.integration_type());
    }
}

/// The new Ready condition, if it says something else than before.
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
        reason != Reason::AtlasUnavailable && matches!(reason.prospect(), Prospect::Good | Prospect::Passing)
    });
    let kind = if good { EventKind::Normal } else { EventKind::Warning };
    if let Some(reason) = reason {
        shared.telemetry.transition(reason);
    }
    shared.events.publish(object, kind, &ready.reason, "Reconcile", &ready.message);
    if good {
        tracing::info!(object = %object.key, reason = %ready.reason, "{}", ready.message);
    } else {
        tracing::warn!(object = %object.key, reason = %ready.reason, "{}", ready.message);
    }
}
