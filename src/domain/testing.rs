//! What unit tests of several layers begin with.

use jiff::Timestamp;

use super::{
    AdoptionPolicy, Condition, ConditionStatus, ConditionType, CredentialsRef, DeletionPolicy, Integration,
    ManagementPolicy, Object, ObjectKey, ProjectId, SecretKey, Spec, Status,
};

/// A second after the epoch.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

/// A spec with the default policies, for project `5d791c84ff7a2522cc4f9aa1`.
pub(crate) fn spec(integration: Integration<SecretKey>) -> Spec {
    Spec {
        project: ProjectId::parse("5d791c84ff7a2522cc4f9aa1").expect("24 digits"),
        credentials: CredentialsRef::Secret("atlas".into()),
        integration,
        management: ManagementPolicy::Manage,
        adoption: AdoptionPolicy::Refuse,
        deletion: DeletionPolicy::Delete,
        suspend: false,
    }
}

/// A new object, `ns/x`, that the operator has not looked at.
pub(crate) fn object(spec: Result<Spec, String>) -> Object {
    Object {
        key: ObjectKey { namespace: "ns".into(), name: "x".into() },
        uid: "x".into(),
        resource_version: "1".into(),
        generation: 1,
        created: at(0),
        deleting: false,
        finalizer: false,
        claim: None,
        released: false,
        reconcile_requested: None,
        rewrite_requested: None,
        spec,
        status: Status::default(),
    }
}

/// A condition that is true, of generation 1.
pub(crate) fn condition(kind: ConditionType) -> Condition {
    Condition {
        kind,
        status: ConditionStatus::True,
        observed_generation: Some(1),
        last_transition: at(1),
        reason: "r".into(),
        message: "m".into(),
    }
}
