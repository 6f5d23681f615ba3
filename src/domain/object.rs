//! An `AtlasIntegration` as the decision sees it: closed types instead of wire types.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::integration::{Integration, SecretKey};
use super::project::ProjectId;
use super::redacted::{Redacted, shortened};

/// Namespace and name. Its copies share their text: the index holds several of each.
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
    /// Leave what others made alone.
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

/// `spec.credentialsSecretRef`: whose credentials an object uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialsRef {
    /// Those in a Secret of the object's own namespace, of this name.
    Secret(Arc<str>),
    /// The operator's own, for the projects that the object's Namespace is granted.
    Operator,
}

impl CredentialsRef {
    /// The Secret that is meant, for an object of `namespace`; `operator` is the operator's own, if it has one.
    pub fn secret(&self, namespace: &Arc<str>, operator: Option<&ObjectKey>) -> Option<ObjectKey> {
        match self {
            CredentialsRef::Secret(name) => {
                Some(ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) })
            }
            CredentialsRef::Operator => operator.cloned(),
        }
    }
}

/// A valid spec, policies resolved with the operator's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The Atlas project.
    pub project: ProjectId,
    /// Whose credentials for Atlas.
    pub credentials: CredentialsRef,
    /// The settings.
    pub integration: Integration<SecretKey>,
    /// Manage or observe.
    pub management: ManagementPolicy,
    /// What to do with what others made.
    pub adoption: AdoptionPolicy,
    /// What deletion does.
    pub deletion: DeletionPolicy,
    /// No call to Atlas while set.
    pub suspend: bool,
}

/// Our claim on a place in Atlas, an annotation: made with the finalizer in one patch, only after a LIST showed
/// the integration absent or adoption was allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// `metadata.uid` of the claiming object; a claim that was copied along to another object is none.
    pub uid: String,
    /// When it was made. The claim is the fence of the first write.
    pub time: Timestamp,
    /// The redacted form about to be sent.
    pub sent: Redacted,
    /// Whether adoption was allowed when it was made.
    #[serde(default)]
    pub adopted: bool,
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

/// Which state of a Secret was sent.
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

    /// A digest that is equal for the same states of the same Secrets (name, uid, resourceVersion), in whatever
    /// order, for records that can't afford the states themselves.
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
    /// The Secrets as read for it.
    pub secrets: Vec<AppliedSecret>,
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
    /// The redacted form about to be sent; none for a DELETE.
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

/// One condition of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Type.
    pub kind: ConditionType,
    /// Status.
    pub status: ConditionStatus,
    /// The generation it speaks of.
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub last_transition: Timestamp,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

/// Our status, decoded. What can't be decoded is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation that the conditions speak of.
    pub observed_generation: Option<i64>,
    /// Our conditions.
    pub conditions: Vec<Condition>,
    /// The redacted echo.
    pub integration: Option<Redacted>,
    /// The last confirmed write.
    pub applied: Option<Applied>,
    /// The last begun write.
    pub attempt: Option<Attempt>,
    /// Echo of the reconcile annotation.
    pub last_handled_reconcile: Option<String>,
    /// Echo of the rewrite annotation.
    pub last_handled_rewrite: Option<String>,
    /// Where Prometheus finds its targets.
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
    /// The claim annotation, whoever's it is.
    pub claim: Option<Claim>,
    /// Whether the `released` annotation stands.
    pub released: bool,
    /// The reconcile annotation.
    pub reconcile_requested: Option<String>,
    /// The rewrite annotation.
    pub rewrite_requested: Option<String>,
    /// The spec, or why it is none.
    pub spec: Result<Spec, String>,
    /// The status.
    pub status: Status,
}

impl Object {
    /// `status.applied` where it proves anything: written by this very object and not given up since.
    pub fn applied(&self) -> Option<&Applied> {
        self.status.applied.as_ref().filter(|applied| applied.uid == self.uid && !self.released)
    }

    /// The digest of the Secrets that were applied; of none where nothing was.
    pub fn applied_secrets(&self) -> [u8; 16] {
        AppliedSecret::digest(self.applied().map(|applied| applied.secrets.as_slice()).unwrap_or_default())
    }

    /// The claim where it is one: our finalizer and an annotation of this very object.
    pub fn own_claim(&self) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| self.finalizer && claim.uid == self.uid)
    }

    /// The last begun write of this very object, of its present claim: ids begin with the uid, so that a copied
    /// status says nothing, and what was given up says nothing either.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.status.attempt.as_ref().filter(|attempt| attempt.id.starts_with(&self.uid) && !self.released)
    }

    /// The begun write that no confirmed one answers for.
    pub fn unconfirmed(&self) -> Option<&Attempt> {
        let confirmed = self.applied().and_then(|applied| applied.attempt.as_deref());
        self.attempt().filter(|attempt| Some(attempt.id.as_str()) != confirmed)
    }

    /// Whether the annotation asks for a rewrite that was not acted on yet.
    pub fn rewrite_due(&self) -> bool {
        self.rewrite_requested.is_some() && self.rewrite_requested != self.status.last_handled_rewrite
    }

    /// Whether the annotation asks for a look that was not acted on yet.
    pub fn reconcile_due(&self) -> bool {
        self.reconcile_requested.is_some() && self.reconcile_requested != self.status.last_handled_reconcile
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
