//! The Lease that a leader holds. It is only written by compare-and-swap: over exactly the version that was read, or
//! created where there was none.

use std::time::Duration;

use kube::Client;
use kube::api::{Api, ApiResource, GroupVersionKind, PostParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::domain::{LeaseRecord, ObjectKey};

/// Why a call about the Lease failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else wrote, created or deleted it since it was read.
    #[error("the Lease changed meanwhile")]
    Moved,
    /// Anything else. A write may still have taken effect.
    #[error("{0}")]
    Server(String),
}

/// A Lease as read.
pub struct StoredLease {
    /// Its record.
    pub record: LeaseRecord,
    object: DynamicObject,
}

/// Reads and writes the one Lease.
pub struct Leases {
    api: Api<DynamicObject>,
    resource: ApiResource,
    key: ObjectKey,
}

impl Leases {
    /// A client for this Lease.
    pub fn new(client: Client, key: ObjectKey) -> Leases {
        // Untyped, so that the Lease can be read whatever others wrote into it.
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease"));
        Leases { api: Api::namespaced_with(client, &key.namespace, &resource), resource, key }
    }

    /// Namespace and name of the Lease.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Reads the Lease; `None` if there is none.
    ///
    /// # Errors
    /// [`LeaseError::Server`], after `limit` at the latest.
    pub async fn read(&self, limit: Duration) -> Result<Option<StoredLease>, LeaseError> {
        let found = self.limited(limit, "get", self.api.get_opt(&self.key.name)).await?;
        Ok(found.map(stored))
    }

    /// Writes a record over the version that was read, or creates the Lease.
    ///
    /// # Errors
    /// A [`LeaseError`], after `limit` at the latest.
    pub async fn write(
        &self,
        over: Option<&StoredLease>,
        record: &LeaseRecord,
        limit: Duration,
    ) -> Result<StoredLease, LeaseError> {
        let params = PostParams::default();
        let written = match over {
            Some(StoredLease { object, .. }) => {
                // The metadata contains uid and resourceVersion, and the API server compares both.
                let mut object = object.clone();
                write_spec(&mut object.data, record);
                let call = self.api.replace(&self.key.name, &params, &object);
                self.limited(limit, "update", call).await?
            }
            None => {
                let mut object = DynamicObject::new(&self.key.name, &self.resource).data(json!({}));
                write_spec(&mut object.data, record);
                self.limited(limit, "create", self.api.create(&params, &object)).await?
            }
        };
        Ok(stored(written))
    }

    async fn limited<T>(
        &self,
        limit: Duration,
        verb: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, LeaseError> {
        let ObjectKey { namespace, name } = &self.key;
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => Err(match status.code {
                404 | 409 if verb == "update" => LeaseError::Moved,
                409 => LeaseError::Moved,
                403 => LeaseError::Server(format!(
                    "not allowed to {verb} Lease {name} in namespace {namespace}; the Role of deploy/base/rbac.yaml allows \
                     it: {}",
                    status.message
                )),
                404 => LeaseError::Server(format!(
                    "there is no namespace {namespace} for Lease {name}: {}; --operator-namespace names it",
                    status.message
                )),
                code => LeaseError::Server(format!("the API server answered {code}: {}", status.message)),
            }),
            Ok(Err(error)) => Err(LeaseError::Server(format!("the API server can't be reached: {error}"))),
            Err(_) => Err(LeaseError::Server(format!(
                "the API server did not answer within {:.1} s",
                limit.as_secs_f64()
            ))),
        }
    }
}

fn stored(object: DynamicObject) -> StoredLease {
    StoredLease { record: read_spec(&object.data), object }
}

/// Reads the record. A field of the wrong type counts as missing.
fn read_spec(data: &Value) -> LeaseRecord {
    let spec = &data["spec"];
    let text = |field: &str| spec[field].as_str().map(str::to_owned);
    LeaseRecord {
        holder: text("holderIdentity").unwrap_or_default(),
        duration_seconds: spec["leaseDurationSeconds"].as_i64(),
        acquired: text("acquireTime"),
        renewed: text("renewTime"),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
    }
}

/// Writes the record and leaves other fields as they are.
fn write_spec(data: &mut Value, record: &LeaseRecord) {
    if !data["spec"].is_object() {
        data["spec"] = json!({});
    }
    let spec = &mut data["spec"];
    spec["holderIdentity"] = json!(record.holder);
    spec["leaseDurationSeconds"] = json!(record.duration_seconds);
    spec["acquireTime"] = json!(record.acquired);
    spec["renewTime"] = json!(record.renewed);
    // The API allows no greater number.
    spec["leaseTransitions"] = json!(record.transitions.min(i64::from(i32::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing(json!({}))]
    #[case::null(json!({"spec": null}))]
    #[case::other_kinds(json!({"spec": {"holderIdentity": 7, "leaseDurationSeconds": "x", "renewTime": []}}))]
    fn garbage_says_nothing(#[case] data: Value) {
        assert_eq!(read_spec(&data), LeaseRecord::default());
    }

    #[test]
    fn what_is_written_is_read() {
        let record = LeaseRecord {
            holder: "me".to_owned(),
            duration_seconds: Some(15),
            acquired: Some("9999-12-31T23:59:59.000000Z".to_owned()),
            renewed: Some("then".to_owned()),
            transitions: 3,
        };
        let mut data = json!({"spec": {"strategy": "kept"}});
        write_spec(&mut data, &record);
        assert_eq!(read_spec(&data), record);
        assert_eq!(data["spec"]["strategy"], "kept");
        let mut data = json!({"spec": null});
        write_spec(&mut data, &record);
        assert_eq!(read_spec(&data), record);
    }
}
