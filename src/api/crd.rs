//! The CustomResourceDefinition, generated from the wire types and the table of types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, ValidationRule,
};
use kube::CustomResourceExt;

use super::AtlasIntegration;
use crate::domain::{TYPES, TypeRow};

/// The CRD as it is shipped in `crds/`.
///
/// Adds what the derive can't say: the rule of each type, and the default of `status`. With `observedGeneration: -1`
/// kstatus (Flux, Argo CD, `helm --wait`) counts a new object as in progress until the operator has looked at it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = AtlasIntegration::crd();
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(properties) = root.and_then(|root| root.properties.as_mut()) else { continue };
        if let Some(spec) = properties.get_mut("spec") {
            spec.x_kubernetes_validations = Some(TYPES.iter().map(block_of).collect());
        }
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// The rule that ties a block to its type.
fn block_of(TypeRow { block, name, .. }: &TypeRow) -> ValidationRule {
    let message = format!(
        "has(self.{block}) ? 'spec.{block} is only for spec.type {name}, and spec.type is ' + self.type + ': remove \
         the block' : 'spec.{block} must be set, since spec.type is {name}'"
    );
    let rule = format!("has(self.{block}) == (self.type == '{name}')");
    ValidationRule { rule, message_expression: Some(message), ..ValidationRule::default() }
}

/// [`crd`] as YAML, as `atlas-integration-operator crd` prints it.
///
/// # Errors
/// Only if serialisation fails, which a test rules out for this build.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&crd())
}
