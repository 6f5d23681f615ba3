//! What is remembered of one object: ids, references and digests, no spec and no status.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::compact::{Names, Uid};
use super::lists::{Mark, version};
use super::table::Keyed;
use crate::core::conditions::OVERWRITTEN;
use crate::core::plan::deletion_without_atlas;
use crate::core::quiet::{Quiet, quiet};
use crate::domain::{
    AdoptionPolicy, Carried, ConditionStatus, ConditionType, CredentialsRef, IntegrationType,
    ManagementPolicy, Object, ObjectKey, ProjectId,
};

/// The key of the queue: a project, or `None` for the objects whose spec can't be read.
pub(in crate::engine) type ProjectKey = Option<ProjectId>;

/// What a valid spec contributes.
#[derive(Clone, Debug)]
pub(in crate::engine) struct SpecRecord {
    pub project: ProjectId,
    pub kind: IntegrationType,
    pub credentials: CredentialsRef,
    pub management: ManagementPolicy,
    pub adoption: AdoptionPolicy,
    pub suspend: bool,
}

/// One object, compactly.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Record {
    pub key: ObjectKey,
    pub uid: Uid,
    pub resource_version: u64,
    pub generation: i64,
    /// In seconds since 1970; the API server keeps no fractions of `metadata.creationTimestamp`.
    pub created: i64,
    pub deleting: bool,
    pub applied: bool,
    pub claimed: bool,
    /// Whether the object is being deleted and its deletion needs no call to Atlas.
    pub leaves_alone: bool,
    /// `None` when the spec can't be read.
    pub spec: Option<SpecRecord>,
    /// Names of the Secrets that the settings refer to. An observing object needs none of them, unless it is suspended:
    /// then its status says whether what was last applied is still what spec and Secrets ask for.
    pub secrets: Names,
    /// Set while nothing is owed.
    pub quiet: Option<Quiet>,
    /// Whether the status says that Atlas could not be read for a while.
    pub sync_unknown: bool,
    /// Whether the status says that somebody else overwrites the integration again and again. The difference may be gone
    /// without a repair, if that somebody takes the change back.
    pub overwritten: bool,
    /// The last write that Atlas confirmed to this process. It lets us skip a write when a Secret changed but its
    /// values did not. Cleared when a request is sent. It is here and not in the memory of a turn since almost every
    /// object has one.
    pub(super) confirmed: Option<Carried>,
    /// The annotations that, when changed, make a pass due: see [`Record::asks_for_pass`].
    requests: Option<Box<Requests>>,
    /// For lists.
    pub(super) mark: Mark,
}

impl Keyed for Record {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
}

/// The annotations that ask the operator to look, and to write.
type Requests = (Option<String>, Option<String>);

impl Record {
    pub(super) fn new(object: &Object) -> Record {
        let spec = object.spec.as_ref().ok();
        let secrets = spec
            .filter(|spec| spec.management == ManagementPolicy::Manage || spec.suspend)
            .map(|spec| spec.integration.secret_names())
            .unwrap_or_default();
        let in_sync = object.status.condition(ConditionType::InSync);
        Record {
            key: object.key.clone(),
            uid: Uid::new(&object.uid),
            resource_version: version(&object.resource_version),
            generation: object.generation,
            created: object.created.as_second(),
            deleting: object.deleting,
            applied: object.applied().is_some(),
            claimed: object.proven_claim().is_some(),
            leaves_alone: deletion_without_atlas(object, false).is_some(),
            spec: spec.map(|spec| SpecRecord {
                project: spec.project.clone(),
                kind: spec.integration.integration_type(),
                credentials: spec.credentials.clone(),
                management: spec.management,
                adoption: spec.adoption,
                suspend: spec.suspend,
            }),
            secrets: secrets.into_iter().map(Arc::from).collect(),
            quiet: quiet(object),
            sync_unknown: in_sync.is_some_and(|condition| condition.status == ConditionStatus::Unknown),
            overwritten: in_sync.is_some_and(|condition| condition.reason == OVERWRITTEN),
            confirmed: None,
            requests: requests(object),
            mark: Mark::default(),
        }
    }

    /// The project; `None` when the spec can't be read.
    pub fn project(&self) -> ProjectKey {
        self.spec.as_ref().map(|spec| spec.project.clone())
    }

    /// The type, when the spec can be read.
    pub fn kind(&self) -> Option<IntegrationType> {
        self.spec.as_ref().map(|spec| spec.kind)
    }

    /// Whether somebody else made a change that the operator has to look at now: another object, spec, deletion or
    /// request, or a claim that was taken away. Our own writes to claim and status ask for nothing.
    pub(super) fn asks_for_pass(&self, before: &Record) -> bool {
        self.uid != before.uid
            || self.generation != before.generation
            || self.deleting != before.deleting
            || self.requests != before.requests
            || (before.claimed && !self.claimed)
    }

    /// Adds to a stamp all by which somebody asks for a look at the object, but for its Secrets.
    pub(super) fn stamp(&self, stamp: &mut impl Hasher) {
        (self.uid.as_str(), self.generation, self.deleting, self.claimed, &self.requests).hash(stamp);
    }

    /// The Secrets that the object refers to, its credentials included; `operator` has the operator's own.
    pub(super) fn secret_keys(&self, operator: Option<&ObjectKey>) -> Vec<ObjectKey> {
        let namespace = &self.key.namespace;
        let settings = self
            .secrets
            .iter()
            .map(|name| ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) });
        let credentials = self.spec.as_ref().and_then(|spec| spec.credentials.secret(namespace, operator));
        settings.chain(credentials).collect()
    }

    /// Shares the name that the record has in common with the `known` key of a Secret: thousands of objects may have one
    /// Secret of credentials.
    pub(super) fn share(&mut self, known: &ObjectKey) {
        let credentials = match self.spec.as_mut().map(|spec| &mut spec.credentials) {
            Some(CredentialsRef::Secret(name)) => Some(name),
            Some(CredentialsRef::Operator) | None => None,
        };
        for name in self.secrets.iter_mut().chain(credentials).filter(|name| **name == known.name) {
            *name = Arc::clone(&known.name);
        }
    }
}

/// Most objects are asked for nothing.
fn requests(object: &Object) -> Option<Box<Requests>> {
    let requests = (object.reconcile_requested.clone(), object.rewrite_requested.clone());
    (requests != Requests::default()).then(|| Box::new(requests))
}
