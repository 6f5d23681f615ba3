//! The wire types of `atlas-integrations.dev/v1`, from which `crds/` is generated.
//!
//! Permissive and without logic: what the API server stored must always decode here, even when it was
//! admitted under an older schema. Meaning (closed enums, policies, references) is given in
//! [`crate::domain`]; admission rules are stated here as schema and CEL. What of them follows from the table of
//! types is generated from that table.

// The columns of the table repeat their attributes' names.
#![allow(clippy::duplicated_attributes)]

mod blocks;
mod crd;
#[cfg(test)]
mod crd_tests;
mod status;

pub use blocks::*;
pub use crd::{crd, crd_yaml};
pub use status::{Applied, AppliedSecret, AtlasIntegrationStatus, Attempt, Condition, IntegrationEcho};

use kube::core::{Message, Rule};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::domain::IntegrationType;

/// Our finalizer. Together with [`CLAIM_ANNOTATION`] it is the claim on a place in Atlas.
pub const FINALIZER: &str = "atlas-integrations.dev/finalizer";
/// Holds the claim as JSON: `{uid, time}`.
pub const CLAIM_ANNOTATION: &str = "atlas-integrations.dev/claim";
/// Set when a claim is given up; while it stands, `status.applied` proves nothing.
pub const RELEASED_ANNOTATION: &str = "atlas-integrations.dev/released";
/// Any new value asks the operator to look at Atlas now.
pub const RECONCILE_ANNOTATION: &str = "atlas-integrations.dev/reconcile-requested-at";
/// Any new value asks the operator to look at Atlas now and to write the integration again.
pub const REWRITE_ANNOTATION: &str = "atlas-integrations.dev/rewrite-requested-at";

/// On a Namespace: the ids of the Atlas projects for which its objects may use the operator's own credentials.
pub const PROJECT_IDS_ANNOTATION: &str = "atlas-integrations.dev/project-ids";

/// What one third-party integration of one Atlas project should be.
///
/// `type` picks the one block that must be present. Keys are never written here: each `…SecretRef` names a
/// Secret of the object's own namespace and a key in it.
///
/// A field without a value is the same as no field. In YAML that is also `channelName: #alerts`, since # begins a
/// comment: write `"#alerts"`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "atlas-integrations.dev",
    version = "v1",
    kind = "AtlasIntegration",
    plural = "atlasintegrations",
    shortname = "atlint",
    category = "atlas",
    namespaced,
    status = "AtlasIntegrationStatus",
    derive = "PartialEq",
    doc = "One third-party integration (PagerDuty, Slack, Datadog, ...) of one MongoDB Atlas project, kept as its spec says. Creating this kind uses the Secrets of its namespace: grant it like `create` on Pods.",
    selectable = ".spec.projectId",
    selectable = ".spec.type",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Project", type_ = "string", json_path = ".spec.projectId"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "In Sync",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"InSync\")].status"
    ),
    printcolumn(name = "Applied", type_ = "date", json_path = ".status.applied.time"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AtlasIntegrationSpec {
    /// Id of the Atlas project (also called group): 24 hexadecimal digits in lower case. Atlas shows it in Project
    /// Settings, and in the URL of its pages after /v2/. Immutable: to move an integration, delete the object and
    /// create it again; an object that never reached Atlas goes at once.
    #[schemars(length(max = 256))]
    #[x_kube(validation = id_of_project())]
    #[x_kube(validation = immutable("spec.projectId", "create it again for the other project"))]
    pub project_id: String,

    /// Secret of this namespace with the credentials for Atlas: an API key (keys `publicApiKey` and `privateApiKey`)
    /// or a service account (keys `clientId` and `clientSecret`). It needs the role Project Owner on the project, or
    /// Project Read Only to observe, and its access list in Atlas must have the address that the operator calls from.
    /// Further keys, such as `orgId`, are allowed and unused. Unset: the operator's own credentials
    /// (`--credentials-secret`), for the projects that the annotation `atlas-integrations.dev/project-ids` of this
    /// Namespace names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LocalSecretRef")]
    pub credentials_secret_ref: Option<LocalSecretRef>,

    /// Which third-party service, in Atlas's spelling. Immutable. Picks the one block that must be present.
    #[schemars(extend("enum" = IntegrationType::ALL.map(IntegrationType::as_str)))]
    #[x_kube(validation = immutable("spec.type", "create one of the other type"))]
    pub r#type: String,

    /// PagerDuty; with type PAGER_DUTY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PagerDuty")]
    pub pager_duty: Option<PagerDuty>,

    /// Slack; with type SLACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Slack")]
    pub slack: Option<Slack>,

    /// Datadog; with type DATADOG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Datadog")]
    pub datadog: Option<Datadog>,

    /// New Relic; with type NEW_RELIC. New Relic ended its plugin for MongoDB on 16 June 2021.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NewRelic")]
    pub new_relic: Option<NewRelic>,

    /// Opsgenie; with type OPS_GENIE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OpsGenie")]
    pub ops_genie: Option<OpsGenie>,

    /// VictorOps (Splunk On-Call); with type VICTOR_OPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "VictorOps")]
    pub victor_ops: Option<VictorOps>,

    /// Flowdock; with type FLOWDOCK. Served by version 1.0 of the Atlas API only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Flowdock")]
    pub flowdock: Option<Flowdock>,

    /// Webhook; with type WEBHOOK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Webhook")]
    pub webhook: Option<Webhook>,

    /// Microsoft Teams; with type MICROSOFT_TEAMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MicrosoftTeams")]
    pub microsoft_teams: Option<MicrosoftTeams>,

    /// Prometheus; with type PROMETHEUS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Prometheus")]
    pub prometheus: Option<Prometheus>,

    /// Manage (unset means Manage): the operator creates, updates and deletes the integration. Observe: it only
    /// reads it and shows in status what Atlas holds; it never writes to Atlas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["Manage", "Observe"]))]
    pub management_policy: Option<String>,

    /// What to do when the project already has an integration of this type that this object did not create.
    /// Refuse: leave it alone and say AlreadyExists. Adopt: overwrite it and keep it. Unset: the operator's
    /// `--default-adoption-policy` (Refuse).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["Refuse", "Adopt"]))]
    pub adoption_policy: Option<String>,

    /// What happens in Atlas when this object is deleted. Delete: the integration is deleted. Retain: it stays.
    /// Unset: the operator's `--default-deletion-policy` (Delete).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["Delete", "Retain"]))]
    pub deletion_policy: Option<String>,

    /// While true the operator makes no call to Atlas for this object. Deleting a suspended object leaves the
    /// integration in Atlas as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub suspend: Option<bool>,
}

/// The message names the id where the text has one, as the address of a page of Atlas has.
fn id_of_project() -> Rule {
    let found = r"self.lowerAscii().find('\\b[0-9a-f]{24}\\b')";
    let message = format!(
        "{found} != '' ? 'must be the id of an Atlas project and nothing else, in lower case: write ' + {found} : 'must \
         be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows \
         the id in Project Settings, and in the URL of its pages after /v2/'"
    );
    Rule::new("self.matches('^[0-9a-f]{24}$')").message(Message::Expression(message))
}

fn immutable(field: &str, instead: &str) -> Rule {
    let message = format!(
        "{field} is immutable: delete the object and {instead}; deleting the object also deletes the integration in \
         Atlas, unless you first set spec.deletionPolicy to Retain"
    );
    Rule::new("self == oldSelf").message(Message::Message(message))
}

/// A Secret of the object's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LocalSecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = name_of_secret())]
    pub name: String,
}
