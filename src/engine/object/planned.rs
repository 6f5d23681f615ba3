//! Makes the plan for one object, from what is stored and what is remembered of it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::Stored;
use crate::core::outcome;
use crate::core::plan::{Input, Owner, Plan, plan, unconfirmed_fence};
use crate::domain::{Redacted, Spec};
use crate::engine::shared::Shared;
use crate::engine::turn::Turn;

/// What a plan depends on besides the object and what is remembered of it.
pub(super) struct Sight<'a> {
    pub spec: &'a Spec,
    /// What LIST showed in the place.
    pub entry: Option<&'a Redacted>,
    /// The other object that owns the place, if there is one.
    pub owner: Option<&'a Owner>,
    /// When the LIST was begun, or, if the plan needs none, the present time.
    pub listed_at: Instant,
    pub crd_terminating: bool,
}

/// The plan for an object as it is stored now.
pub(super) fn planned(shared: &Shared, turn: &mut Turn, stored: &Stored, sight: &Sight<'_>) -> Plan {
    let object = &stored.object;
    let names: Vec<_> = sight.spec.integration.secret_names().into_iter().map(Arc::from).collect();
    let applied = object.applied_secrets();
    let secrets = shared.index.lock().secrets.since(&object.key.namespace, &names, applied);
    let known = turn.memory.known(&object.uid).and_then(|memory| memory.outcome_known);
    let seen_at = turn.sees(&object.uid, unconfirmed_fence(object));
    let planned = plan(&Input {
        object,
        spec: sight.spec,
        entry: sight.entry,
        secrets,
        owner: sight.owner,
        outcome_known: outcome::is_outcome_known(object, known),
        landing_limit: shared.atlas.landing_limit(),
        crd_terminating: sight.crd_terminating,
        seen_for: seen_at.map(|at| sight.listed_at.saturating_duration_since(at)).unwrap_or_default(),
    });
    tracing::debug!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), rule = planned.rule, plan = ?planned.plan, "planned");
    planned.plan
}
