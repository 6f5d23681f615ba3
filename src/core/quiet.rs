//! Decides whether nothing has to be done for an object.

use super::conditions::OVERWRITTEN;
use super::sync::standing;
use crate::domain::{
    AppliedSecret, ConditionStatus, ConditionType, ManagementPolicy, Object, Reason, Redacted, SecretsSince,
    Spec,
};

/// The mark of an object that needs nothing as long as Atlas shows `echo` and its Secrets stay the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Digest of the entry that Atlas showed last.
    pub echo: [u8; 16],
    /// Digest of the applied Secrets; for an observing object, of no Secrets.
    pub secrets: [u8; 16],
}

/// Returns the mark of an object that owes nothing.
pub fn quiet(object: &Object) -> Option<Quiet> {
    let spec = object.spec.as_ref().ok()?;
    let ready = object.status.condition(ConditionType::Ready)?;
    let settled = !object.deleting
        && !spec.suspend
        && ready.status == ConditionStatus::True
        && ready.observed_generation == Some(object.generation)
        && object.status.observed_generation == Some(object.generation)
        && object.status.condition(ConditionType::Suspended).is_none()
        && !object.reconcile_due()
        // An observing object can't do the rewrite that was asked for; it happens once the object manages.
        && (spec.management == ManagementPolicy::Observe || !object.rewrite_due());
    let echo = object.status.integration.as_ref()?;
    let settled = settled && says_how_atlas_compares(object, spec, echo);
    let echo = echo.digest();
    let secrets = match spec.management {
        ManagementPolicy::Observe => {
            let untouched = !object.finalizer && object.status.applied.is_none();
            untouched.then(|| AppliedSecret::digest(&[]))?
        }
        ManagementPolicy::Manage => {
            object.own_claim()?;
            is_applied(object, spec).then(|| object.applied_secrets())?
        }
    };
    settled.then_some(Quiet { echo, secrets })
}

/// Whether InSync has the value that follows from the echo. In a status of another release it may have another one.
fn says_how_atlas_compares(object: &Object, spec: &Spec, echo: &Redacted) -> bool {
    let Some(said) = object.status.condition(ConditionType::InSync) else { return true };
    let equal = match spec.management {
        ManagementPolicy::Observe => spec.integration.takeover(echo).changes_nothing(),
        ManagementPolicy::Manage => standing(object, spec.integration.integration_type(), echo).is_empty(),
    };
    match said.status {
        ConditionStatus::True => equal,
        ConditionStatus::False => !equal || said.reason == OVERWRITTEN,
        ConditionStatus::Unknown => true,
    }
}

/// Whether the settings that were last applied are those that the spec asks for. Their Secrets may have changed since.
pub fn is_applied(object: &Object, spec: &Spec) -> bool {
    let config = spec.integration.config_hash();
    object.applied().is_some_and(|applied| applied.config.as_deref() == Some(&config))
        && object.unconfirmed().is_none()
}

/// Whether Atlas has also confirmed the Secrets of a suspended object to which [`is_applied`] applies, if they stand so
/// to those that were applied. Where that is unknown, what the status says of them stays true, since the operator does
/// not write a suspended object.
pub fn are_secrets_applied(object: &Object, secrets: SecretsSince) -> bool {
    match secrets {
        SecretsSince::Same => true,
        SecretsSince::Changed => false,
        SecretsSince::Unknown => !object.status.condition(ConditionType::Ready).is_some_and(|ready| {
            ready.reason == Reason::Suspended.as_str() && ready.observed_generation == Some(object.generation)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::tests::{entry, fresh, sent, spec, synced};
    use crate::domain::testing::{at, condition};
    use crate::domain::{Applied, Attempt, Condition, RedactedValue, Status};

    /// Synced, and its status says so.
    fn managing() -> Object {
        let mut object = synced();
        object.status.observed_generation = Some(1);
        object.status.conditions = vec![condition(ConditionType::Ready)];
        object
    }

    /// Observing, and its status says so.
    fn observing() -> Object {
        let Object { status: Status { integration, conditions, observed_generation, .. }, .. } = managing();
        Object {
            spec: Ok(Spec { management: ManagementPolicy::Observe, ..spec() }),
            status: Status { integration, conditions, observed_generation, ..Status::default() },
            ..fresh()
        }
    }

    #[test]
    fn an_object_that_owes_nothing_is_quiet_while_its_entry_and_secrets_stay() {
        let echo = entry("****aaaa", "1").digest();
        let object = managing();
        let secrets = object.applied_secrets();
        assert_ne!(secrets, AppliedSecret::digest(&[]));
        assert_eq!(quiet(&object), Some(Quiet { echo, secrets }));
        // An observer reads no Secrets of the spec, so none of them can wake it.
        assert_eq!(quiet(&observing()), Some(Quiet { echo, secrets: AppliedSecret::digest(&[]) }));
    }

    /// Each of these causes alone makes the operator look at the object.
    #[test]
    fn an_object_that_owes_anything_is_not_quiet() {
        type Change = fn(&mut Object);
        let due: [(&str, Change); 10] = [
            ("is being deleted", |object| object.deleting = true),
            ("is suspended", |object| {
                object.spec = object.spec.clone().map(|spec| Spec { suspend: true, ..spec });
            }),
            ("has no spec that can be read", |object| object.spec = Err("type: unknown".into())),
            ("was never looked at", |object| object.status.conditions.clear()),
            ("is not ready", |object| object.status.conditions[0].status = ConditionStatus::False),
            ("was ready before an edit", |object| {
                object.status.conditions[0].observed_generation = Some(0);
            }),
            ("has a status from before an edit", |object| object.status.observed_generation = Some(0)),
            ("still says that it was suspended", |object| {
                object.status.conditions.push(condition(ConditionType::Suspended));
            }),
            ("is asked to look", |object| object.reconcile_requested = Some("now".into())),
            ("shows nothing of Atlas", |object| object.status.integration = None),
        ];
        for (what, change) in due {
            for mut object in [managing(), observing()] {
                change(&mut object);
                assert_eq!(quiet(&object), None, "an object that {what}");
            }
        }
    }

    /// An earlier release may have said that all is in sync, or that it is not, by other rules.
    #[test]
    fn an_object_that_says_something_else_than_its_echo_is_looked_at() {
        let saying = |mut object: Object, status, reason: &str| {
            let said = Condition { status, reason: reason.into(), ..condition(ConditionType::InSync) };
            object.status.conditions.push(said);
            quiet(&object).is_some()
        };
        let (yes, no, unknown) = (ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown);
        for object in [managing(), observing()] {
            assert!(saying(object.clone(), yes, "Synced") && saying(object.clone(), unknown, "Unknown"));
            assert!(!saying(object.clone(), no, "NotAcceptedByAtlas"), "all is equal");
            assert!(saying(object, no, OVERWRITTEN), "the repair waits");
        }
        let own = RedactedValue::Text("EU".into());
        let mut keeping = managing();
        let sent = keeping.status.attempt.as_mut().and_then(|attempt| attempt.sent.as_mut());
        sent.expect("sent").0.insert("region".into(), own.clone());
        let mut richer = observing();
        richer.status.integration.as_mut().expect("an echo").0.insert("region".into(), own);
        for object in [keeping, richer] {
            assert!(saying(object.clone(), no, "NotAcceptedByAtlas"));
            assert!(!saying(object, yes, "Synced"), "it would say otherwise now");
        }
    }

    /// An observing object cannot write, so the request stays until the object manages.
    #[test]
    fn only_a_managing_object_owes_a_rewrite() {
        let asked = |object| Object { rewrite_requested: Some("now".into()), ..object };
        assert_eq!(quiet(&asked(managing())), None);
        assert_eq!(quiet(&asked(observing())), quiet(&observing()));
    }

    #[test]
    fn an_observer_that_holds_a_claim_still_has_to_give_it_up() {
        assert_eq!(quiet(&Object { finalizer: true, ..observing() }), None);
        let mut object = observing();
        object.status.applied = managing().status.applied;
        assert_eq!(quiet(&object), None);
    }

    #[test]
    fn a_managing_object_without_its_claim_has_to_put_it_back() {
        assert_eq!(quiet(&Object { finalizer: false, ..managing() }), None);
        assert_eq!(quiet(&Object { claim: None, ..managing() }), None);
    }

    #[test]
    fn applied_is_what_was_confirmed_of_this_spec() {
        let object = synced();
        assert!(is_applied(&object, &spec()));
        assert!(!is_applied(&fresh(), &spec()), "nothing was ever confirmed");
        let mut edited = object.clone();
        edited.status.applied =
            object.status.applied.clone().map(|a| Applied { config: Some("0".into()), ..a });
        assert!(!is_applied(&edited, &spec()), "the spec asks for something else");
        let mut begun = object;
        begun.status.attempt = Some(Attempt { id: "x.2".into(), time: at(2), sent: Some(sent("****aaaa")) });
        assert!(!is_applied(&begun, &spec()), "a write was begun since");
    }

    #[test]
    fn what_is_said_of_unknown_secrets_stays() {
        let mut object = managing();
        assert!(are_secrets_applied(&object, SecretsSince::Same));
        assert!(are_secrets_applied(&object, SecretsSince::Unknown), "nothing says that a Secret changed");
        assert!(!are_secrets_applied(&object, SecretsSince::Changed), "a Secret changed");
        object.status.conditions[0].reason = "Suspended".into();
        assert!(!are_secrets_applied(&object, SecretsSince::Unknown), "a Secret had changed");
        assert!(are_secrets_applied(&object, SecretsSince::Same));
        object.status.conditions[0].observed_generation = Some(0);
        assert!(are_secrets_applied(&object, SecretsSince::Unknown), "that was said of another spec");
    }
}
