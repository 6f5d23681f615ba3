//! When nothing is to be done for an object.

use crate::domain::{
    AppliedSecret, ConditionStatus, ConditionType, ManagementPolicy, Object, SecretsSince, Spec,
};

/// An object that needs nothing as long as Atlas shows `echo` and its Secrets are these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Digest of the entry that Atlas showed last.
    pub echo: [u8; 16],
    /// Digest of the Secrets that were applied; of none for an observing object.
    pub secrets: [u8; 16],
}

/// The mark of an object that owes nothing.
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
        // An observer can't do what is asked for; it is done once the object manages.
        && (spec.management == ManagementPolicy::Observe || !object.rewrite_due());
    let echo = object.status.integration.as_ref()?.digest();
    let secrets = match spec.management {
        ManagementPolicy::Observe => {
            let untouched = !object.finalizer && object.status.applied.is_none();
            untouched.then(|| AppliedSecret::digest(&[]))?
        }
        ManagementPolicy::Manage => {
            object.own_claim()?;
            is_applied(object, spec, SecretsSince::Same).then(|| object.applied_secrets())?
        }
    };
    settled.then_some(Quiet { echo, secrets })
}

/// Whether what was last applied is what the spec asks for, as far as the cluster shows: Secrets of which nothing is
/// known count as unchanged.
pub fn is_applied(object: &Object, spec: &Spec, secrets: SecretsSince) -> bool {
    let config = spec.integration.config_hash();
    object.applied().is_some_and(|applied| applied.config.as_deref() == Some(&config))
        && object.unconfirmed().is_none()
        && secrets != SecretsSince::Changed
}
