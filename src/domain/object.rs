//! An `AtlasIntegration` as the decisions see it, in closed types instead of wire types.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::integration::{Integration, SecretKey};
use super::integration_type::IntegrationType;
use super::project::ProjectId;
use super::redacted::{Redacted, shortened};

/// Namespace and name. Copies share their text, since the index holds several copies of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// `spec.managementPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManagementPolicy {
    /// Create, update and delete.
    Manage,
    /// Read only.
    Observe,
}

/// `spec.adoptionPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdoptionPolicy {
    /// Leave an integration alone that others made.
    Refuse,
    /// Overwrite and keep it.
    Adopt,
}

/// `spec.deletionPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeletionPolicy {
    /// Delete the integration with the object.
    Delete,
    /// Leave it in Atlas.
    Retain,
}

/// `spec.credentialsSecretRef`: the credentials that an object uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialsRef {
    /// Those in a Secret of the object's own namespace, of this name.
    Secret(Arc<str>),
    /// The operator's own, for the projects that the object's Namespace is granted.
    Operator,
}

impl CredentialsRef {
    /// The Secret that this refers to, for an object in `namespace`; `operator` is the operator's own Secret, if it has
    /// one.
    pub fn secret(&self, namespace: &Arc<str>, operator: Option<&ObjectKey>) -> Option<ObjectKey> {
        match self {
            CredentialsRef::Secret(name) => {
                Some(ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) })
            }
            CredentialsRef::Operator => operator.cloned(),
        }
    }
}

/// A valid spec, with the operator's defaults in place of unset policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The Atlas project.
    pub project: ProjectId,
    /// The credentials for Atlas.
    pub credentials: CredentialsRef,
    /// The settings.
    pub integration: Integration<SecretKey>,
    /// Manage or observe.
    pub management: ManagementPolicy,
    /// What to do with an integration that others made.
    pub adoption: AdoptionPolicy,
    /// What to do in Atlas when the object is deleted.
    pub deletion: DeletionPolicy,
    /// Whether calls to Atlas are suspended.
    pub suspend: bool,
}

/// Our claim on a place in Atlas, an annotation. One patch writes it together with the finalizer, and only after a LIST
/// showed that the place is empty, or if adoption is allowed. Whoever may edit the object can write both as well, so a
/// claim proves nothing alone: see [`Object::proven_claim`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// `metadata.uid` of the claiming object; a claim copied to another object is void.
    pub uid: String,
    /// When the claim was made: the time of the attempt that was stored right before it.
    pub time: Timestamp,
}

/// How the Secrets of an object stand to an earlier state of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretsSince {
    /// They are in that very state.
    Same,
    /// At least one is in another state, or does not exist. Its value may be the same all the same.
    Changed,
    /// Nobody has looked: Secrets are not watched, or one was not listed yet. Reading them tells.
    Unknown,
}

/// The state of a Secret that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppliedSecret {
    /// Name of the Secret.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

impl AppliedSecret {
    /// The digest of these: see [`AppliedSecret::digest_of`].
    pub fn digest(secrets: &[AppliedSecret]) -> [u8; 16] {
        let states = secrets.iter().map(|secret| [&*secret.name, &*secret.uid, &*secret.resource_version]);
        AppliedSecret::digest_of(states.collect())
    }

    /// A digest for records that are too small for the states themselves. It is equal for the same states of the same
    /// Secrets (name, uid, resourceVersion), in any order.
    pub fn digest_of(mut states: Vec<[&str; 3]>) -> [u8; 16] {
        states.sort_unstable();
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for text in states.into_iter().flatten() {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        shortened(context)
    }
}

/// A write that Atlas confirmed; `status.applied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// uid of the object that wrote.
    pub uid: String,
    /// The attempt that was confirmed.
    pub attempt: Option<String>,
    /// Hash of what was sent, references in place of values.
    pub config: Option<String>,
    /// The Secrets as read for this write.
    pub secrets: Vec<AppliedSecret>,
    /// Of the values in them: see [`SecretValue::applied_fingerprint`](super::SecretValue::applied_fingerprint).
    pub fingerprint: Option<String>,
    /// When.
    pub time: Option<Timestamp>,
}

/// A write that was begun; `status.attempt`. A fresh one is the fence before each Atlas write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The uid of the object that began it, a dot, and something random.
    pub id: String,
    /// When.
    pub time: Timestamp,
    /// The redacted form about to be sent; `None` for a DELETE.
    pub sent: Option<Redacted>,
}

/// The condition types in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // One row each in docs/conditions.md.
pub enum ConditionType {
    Ready,
    InSync,
    Reconciling,
    Stalled,
    Suspended,
}

impl ConditionType {
    /// All of them.
    pub const ALL: [ConditionType; 5] =
        [Self::Ready, Self::InSync, Self::Reconciling, Self::Stalled, Self::Suspended];

    /// The word in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::InSync => "InSync",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Suspended => "Suspended",
        }
    }
}

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The word in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// How many characters the message of a condition may have. The operator cuts longer ones, and the API server refuses
/// them.
pub const MAX_MESSAGE: usize = 2_048;

/// One condition of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Type.
    pub kind: ConditionType,
    /// Status.
    pub status: ConditionStatus,
    /// The generation that it is about.
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub last_transition: Timestamp,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

/// Our status, decoded. A part that can't be decoded is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation that the conditions are about.
    pub observed_generation: Option<i64>,
    /// Our conditions.
    pub conditions: Vec<Condition>,
    /// The redacted echo.
    pub integration: Option<Redacted>,
    /// The last confirmed write.
    pub applied: Option<Applied>,
    /// The last begun write.
    pub attempt: Option<Attempt>,
    /// The value of the reconcile annotation that was handled last.
    pub last_handled_reconcile: Option<String>,
    /// The value of the rewrite annotation that was handled last.
    pub last_handled_rewrite: Option<String>,
    /// The address at which Prometheus discovers its targets.
    pub prometheus_discovery_url: Option<String>,
}

impl Status {
    /// The condition of a type.
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// An object as the API server holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether our finalizer is on.
    pub finalizer: bool,
    /// The claim in the annotation, which may be that of another object.
    pub claim: Option<Claim>,
    /// Whether the `released` annotation is set.
    pub released: bool,
    /// The reconcile annotation.
    pub reconcile_requested: Option<String>,
    /// The rewrite annotation.
    pub rewrite_requested: Option<String>,
    /// The spec, or why it is invalid.
    pub spec: Result<Spec, String>,
    /// The status.
    pub status: Status,
}

impl Object {
    /// The project, when the spec can be read.
    pub fn project(&self) -> Option<&ProjectId> {
        self.spec.as_ref().ok().map(|spec| &spec.project)
    }

    /// The type, when the spec can be read.
    pub fn kind(&self) -> Option<IntegrationType> {
        self.spec.as_ref().ok().map(|spec| spec.integration.integration_type())
    }

    /// `status.applied`, if it proves that the place is ours: this very object wrote it, and has not released the place
    /// since.
    pub fn applied(&self) -> Option<&Applied> {
        self.status.applied.as_ref().filter(|applied| applied.uid == self.uid && !self.released)
    }

    /// The digest of the applied Secrets; of no Secrets if nothing was applied.
    pub fn applied_secrets(&self) -> [u8; 16] {
        AppliedSecret::digest(self.applied().map(|applied| applied.secrets.as_slice()).unwrap_or_default())
    }

    /// The claim, if it is valid: our finalizer is set, and the annotation is that of this very object.
    pub fn own_claim(&self) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| self.finalizer && claim.uid == self.uid)
    }

    /// The claim, if the status proves it. Users can write annotations and finalizers, but not the status, and there the
    /// operator stores the attempt of the first write before it makes the claim. So a claim of which the status shows
    /// neither an attempt nor a confirmed write is not the operator's, or nothing was sent under it.
    pub fn proven_claim(&self) -> Option<&Claim> {
        self.own_claim().filter(|_| self.attempt().is_some() || self.applied().is_some())
    }

    /// The last write that this very object began under its present claim. Ids begin with the uid, so an attempt in a
    /// copied status does not count. Neither does one from before a release.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.status.attempt.as_ref().filter(|attempt| attempt.id.starts_with(&self.uid) && !self.released)
    }

    /// The last begun write, if Atlas has not confirmed it.
    pub fn unconfirmed(&self) -> Option<&Attempt> {
        let confirmed = self.applied().and_then(|applied| applied.attempt.as_deref());
        self.attempt().filter(|attempt| Some(attempt.id.as_str()) != confirmed)
    }

    /// Whether the annotation asks for a rewrite that has not been handled yet.
    pub fn rewrite_due(&self) -> bool {
        self.rewrite_requested.is_some() && self.rewrite_requested != self.status.last_handled_rewrite
    }

    /// Whether the annotation asks for a reconciliation that has not been handled yet.
    pub fn reconcile_due(&self) -> bool {
        self.reconcile_requested.is_some() && self.reconcile_requested != self.status.last_handled_reconcile
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
