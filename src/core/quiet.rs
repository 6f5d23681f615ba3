//! Decides whether nothing has to be done for an object.

use crate::domain::{AppliedSecret, ConditionStatus, ConditionType, ManagementPolicy, Object, Spec};

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
    let echo = object.status.integration.as_ref()?.digest();
    let secrets = match spec.management {
        ManagementPolicy::Observe => {
            let untouched = !object.finalizer && object.status.applied.is_none();
            untouched.then(|| AppliedSecret::digest(&[]))?
        }
        ManagementPolicy::Manage => {
            object.own_claim()?;
            is_applied(object, spec, false).then(|| object.applied_secrets())?
        }
    };
    settled.then_some(Quiet { echo, secrets })
}

/// Whether the last applied settings are what the spec asks for, as far as the cluster shows; `secrets_changed` as in
/// [`super::plan::Input`].
pub fn is_applied(object: &Object, spec: &Spec, secrets_changed: bool) -> bool {
    let config = spec.integration.config_hash();
    object.applied().is_some_and(|applied| applied.config.as_deref() == Some(&config))
        && object.unconfirmed().is_none()
        && !secrets_changed
}
