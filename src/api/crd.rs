//! The CustomResourceDefinition, generated from the wire types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;

use super::AtlasIntegration;

/// The CRD as it is shipped in `crds/`.
///
/// Adds what the derive can't say: the default of `status`. With `observedGeneration: -1` kstatus (Flux, Argo CD,
/// `helm --wait`) counts a new object as in progress until the operator has looked at it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = AtlasIntegration::crd();
    for version in &mut crd.spec.versions {
        let status = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
            .and_then(|root| root.properties.as_mut())
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// [`crd`] as YAML, as `atlas-integration-operator crd` prints it.
///
/// # Errors
/// Only if serialisation fails, which a test rules out for this build.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&crd())
}
