//! The CustomResourceDefinition, generated from the wire types and the table of types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::CustomResourceExt;

use super::AtlasIntegration;
use crate::domain::{TYPES, TypeRow};

/// The CRD as it is shipped in `crds/`.
///
/// Adds what the derive can't say: the rule of each type, the words of `type` in its description, paragraphs without
/// line breaks, and the default of `status`. With `observedGeneration: -1` kstatus (Flux, Argo CD, `helm --wait`) counts a new object as in progress until the
/// operator has looked at it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = AtlasIntegration::crd();
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(root) = root else { continue };
        join_lines(root);
        let Some(properties) = root.properties.as_mut() else { continue };
        if let Some(spec) = properties.get_mut("spec") {
            spec.x_kubernetes_validations = Some(TYPES.iter().map(block_of).collect());
            let kind = spec.properties.as_mut().and_then(|spec| spec.get_mut("type"));
            if let Some(text) = kind.and_then(|kind| kind.description.as_mut()) {
                let names: Vec<&str> = TYPES.iter().map(|row| row.name).collect();
                text.push_str(&format!(" One of {}.", names.join(", ")));
            }
        }
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// Makes one line of each paragraph of the descriptions: `kubectl explain` and editors break lines at their own width.
fn join_lines(schema: &mut JSONSchemaProps) {
    if let Some(text) = &mut schema.description {
        let paragraphs: Vec<String> = text.split("\n\n").map(|lines| lines.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
    schema.properties.iter_mut().flat_map(|all| all.values_mut()).for_each(join_lines);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        join_lines(items);
    }
}

/// The rule that ties a block to its type.
fn block_of(TypeRow { block, name, .. }: &TypeRow) -> ValidationRule {
    let message = format!(
        "has(self.{block}) ? 'spec.{block} is only for spec.type {name}, and spec.type is ' + self.type + ': remove \
         the block, or, in a new object, correct spec.type' : 'spec.{block} must be set, since spec.type is {name}; \
         to see its fields, run: kubectl explain atlasintegration.spec.{block}'"
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
