//! What kstatus makes of our objects, by the library that Flux and Helm 4 wait with and by the one that it was forked
//! from: Current ends a wait well, Failed ends it at once, InProgress goes on, Terminating is waited for when deleting.

use std::time::Duration;

use atlas_integration_operator::core::conditions::{InSync, Patience, Verdict, derive};
use atlas_integration_operator::core::sync::Kept;
use atlas_integration_operator::domain::{Condition, Prospect, Reason, Status, Takeover};
use control_plane::Tool;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::helm::succeeds;
use crate::world::tools::ask;

/// The verdicts of both libraries on these objects, which must be one.
pub fn verdicts(objects: &[Value]) -> Vec<String> {
    let stream: String = objects.iter().map(Value::to_string).collect();
    let [flux, sigs] = [Tool::KstatusFlux, Tool::KstatusSigs].map(|tool| {
        let told = succeeds(ask(tool, &[], &stream));
        let status =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["status"].as_str().unwrap().to_owned();
        told.lines().map(status).collect::<Vec<_>>()
    });
    assert_eq!(flux.len(), objects.len());
    assert_eq!(flux, sigs, "the two libraries differ");
    flux
}

/// Compares the verdicts with what is expected of each object.
fn check(expected: &[(String, Value, &str)]) {
    let objects: Vec<Value> = expected.iter().map(|(_, object, _)| object.clone()).collect();
    let wrong: Vec<String> = verdicts(&objects)
        .iter()
        .zip(expected)
        .filter(|(verdict, (_, _, expected))| verdict != expected)
        .map(|(verdict, (what, object, expected))| {
            format!("{what}: {verdict}, not {expected}: {}", object["status"])
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn wire(condition: &Condition) -> Value {
    json!({"type": condition.kind.as_str(), "status": condition.status.as_str(), "reason": condition.reason,
        "message": condition.message, "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition.to_string()})
}

fn object(generation: i64, status: Value) -> Value {
    json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
        "metadata": {"name": "x", "namespace": "payments", "generation": generation}, "status": status})
}

/// Every reason, at first and after it has lasted, suspended where that goes with it, with everything that may be said
/// of Atlas beside it.
#[test]
fn every_row_of_the_conditions() {
    const STALL: Duration = Duration::from_secs(120);
    const FAILING: Duration = Duration::from_secs(900);
    const PATIENCE: Patience = Patience { outside: STALL, failing: FAILING };
    let fields = || vec!["region".to_owned()];
    let all_in_sync = [
        InSync::True,
        InSync::Observed(Takeover::default()),
        InSync::Observed(Takeover { changes: fields(), ..Takeover::default() }),
        InSync::NotAccepted(Kept { otherwise: fields(), ..Kept::default() }),
        InSync::Overwritten(fields()),
        InSync::Unknown("Atlas can't be read".into()),
        InSync::Unchanged,
    ];
    let mut expected = Vec::new();
    for reason in Reason::ALL {
        let lasted = [(Duration::ZERO, false), (STALL, false), (FAILING, false), (Duration::ZERO, true)];
        for (lasting, suspended) in lasted {
            let verdict = match (reason, reason.prospect(), suspended) {
                // A suspended object says this or that what was applied is what is wanted.
                (Reason::Suspended, _, true) => "InProgress",
                (Reason::Synced, _, true) => "Current",
                (Reason::Suspended, _, false) | (_, _, true) => continue,
                (_, Prospect::Good, _) => "Current",
                (_, Prospect::Passing, _) if lasting < FAILING => "InProgress",
                (_, Prospect::Outside, _) if lasting < STALL => "InProgress",
                (_, Prospect::Passing | Prospect::Outside | Prospect::Final, _) => "Failed",
            };
            for in_sync in &all_in_sync {
                let what = format!("{reason} for {lasting:?}, suspended {suspended}, {in_sync:?}");
                let said =
                    Verdict { lasting, suspended, ..Verdict::new(reason, "m").with_sync(in_sync.clone()) };
                let conditions = derive(&Status::default(), 2, &said, PATIENCE, Timestamp::UNIX_EPOCH);
                let conditions: Vec<Value> = conditions.iter().map(wire).collect();
                let seen = object(2, json!({"observedGeneration": 2, "conditions": conditions}));
                let mut edited = seen.clone();
                edited["metadata"]["generation"] = 3.into();
                let mut deleted = seen.clone();
                deleted["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z".into();
                expected.push((format!("{what}, edited"), edited, "InProgress"));
                expected.push((format!("{what}, deleted"), deleted, "Terminating"));
                expected.push((what, seen, verdict));
            }
        }
    }
    expected.push((
        "as the kind's default".into(),
        object(1, json!({"observedGeneration": -1})),
        "InProgress",
    ));
    // What the default is there for: an object that says nothing is taken for one that has nothing to say.
    expected.push(("without a status".into(), object(1, json!({})), "Current"));
    check(&expected);
}
