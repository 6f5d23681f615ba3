//! From the wire's spec to the closed types: the one place where a block meets its variant.

use crate::api::{AtlasIntegrationSpec, SecretKeyRef};
use crate::domain::{
    AdoptionPolicy, CredentialsRef, DeletionPolicy, Integration, IntegrationType, ManagementPolicy,
    ProjectId, SecretKey, Spec, plain,
};

/// The operator's defaults for policies that a spec leaves unset.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// `--default-adoption-policy`.
    pub adoption: AdoptionPolicy,
    /// `--default-deletion-policy`.
    pub deletion: DeletionPolicy,
}

/// The spec in closed types, or what is wrong with it, for a person. Admission refuses most of this already; an
/// object that was stored before a rule existed is caught here.
pub(super) fn spec(wire: AtlasIntegrationSpec, defaults: Defaults) -> Result<Spec, String> {
    let project = ProjectId::parse(&wire.project_id)
        .ok_or("spec.projectId must be the 24 lower-case hexadecimal digits of an Atlas project")?;
    let management = match wire.management_policy.as_deref() {
        None | Some("Manage") => ManagementPolicy::Manage,
        Some("Observe") => ManagementPolicy::Observe,
        Some(other) => {
            return Err(format!("spec.managementPolicy is {}; it must be Manage or Observe", shown(other)));
        }
    };
    let adoption = match wire.adoption_policy.as_deref() {
        None => defaults.adoption,
        Some("Refuse") => AdoptionPolicy::Refuse,
        Some("Adopt") => AdoptionPolicy::Adopt,
        Some(other) => {
            return Err(format!("spec.adoptionPolicy is {}; it must be Refuse or Adopt", shown(other)));
        }
    };
    let deletion = match wire.deletion_policy.as_deref() {
        None => defaults.deletion,
        Some("Delete") => DeletionPolicy::Delete,
        Some("Retain") => DeletionPolicy::Retain,
        Some(other) => {
            return Err(format!("spec.deletionPolicy is {}; it must be Delete or Retain", shown(other)));
        }
    };
    let suspend = wire.suspend.unwrap_or(false);
    let credentials = match &wire.credentials_secret_ref {
        // An empty name is a mistake, never the operator's own credentials.
        Some(secret) => {
            CredentialsRef::Secret(secret_name("spec.credentialsSecretRef", &secret.name)?.into())
        }
        None => CredentialsRef::Operator,
    };
    Ok(Spec {
        project,
        credentials,
        integration: integration(wire)?,
        management,
        adoption,
        deletion,
        suspend,
    })
}

fn integration(wire: AtlasIntegrationSpec) -> Result<Integration<SecretKey>, String> {
    let kind = IntegrationType::parse(&wire.r#type)
        .ok_or_else(|| format!("spec.type {} is not one that this operator knows", shown(&wire.r#type)))?;
    let missing = |block: &str| format!("spec.{block} must be set when spec.type is {kind}");
    Ok(match kind {
        IntegrationType::PagerDuty => {
            let block = wire.pager_duty.ok_or_else(|| missing("pagerDuty"))?;
            Integration::PagerDuty { service_key: key(block.service_key_secret_ref)?, region: block.region }
        }
        IntegrationType::Slack => {
            let block = wire.slack.ok_or_else(|| missing("slack"))?;
            Integration::Slack {
                api_token: key(block.api_token_secret_ref)?,
                team_name: block.team_name,
                channel_name: block.channel_name,
            }
        }
        IntegrationType::Datadog => {
            let block = wire.datadog.ok_or_else(|| missing("datadog"))?;
            Integration::Datadog {
                api_key: key(block.api_key_secret_ref)?,
                region: block.region,
                send_collection_latency_metrics: block.send_collection_latency_metrics,
                send_database_metrics: block.send_database_metrics,
                send_query_stats_metrics: block.send_query_stats_metrics,
                send_user_provided_resource_tags: block.send_user_provided_resource_tags,
            }
        }
        IntegrationType::NewRelic => {
            let block = wire.new_relic.ok_or_else(|| missing("newRelic"))?;
            Integration::NewRelic {
                account_id: block.account_id,
                license_key: key(block.license_key_secret_ref)?,
                write_token: key(block.write_token_secret_ref)?,
                read_token: key(block.read_token_secret_ref)?,
            }
        }
        IntegrationType::OpsGenie => {
            let block = wire.ops_genie.ok_or_else(|| missing("opsGenie"))?;
            Integration::OpsGenie { api_key: key(block.api_key_secret_ref)?, region: block.region }
        }
        IntegrationType::VictorOps => {
            let block = wire.victor_ops.ok_or_else(|| missing("victorOps"))?;
            Integration::VictorOps { api_key: key(block.api_key_secret_ref)?, routing_key: block.routing_key }
        }
        IntegrationType::Flowdock => {
            let block = wire.flowdock.ok_or_else(|| missing("flowdock"))?;
            Integration::Flowdock {
                flow_name: block.flow_name,
                org_name: block.org_name,
                api_token: key(block.api_token_secret_ref)?,
            }
        }
        IntegrationType::Webhook => {
            let block = wire.webhook.ok_or_else(|| missing("webhook"))?;
            Integration::Webhook {
                url: key(block.url_secret_ref)?,
                secret: block.signing_secret_ref.map(key).transpose()?,
                body_template: block.body_template,
                headers_template: block.headers_template_secret_ref.map(key).transpose()?,
            }
        }
        IntegrationType::MicrosoftTeams => {
            let block = wire.microsoft_teams.ok_or_else(|| missing("microsoftTeams"))?;
            Integration::MicrosoftTeams { webhook_url: key(block.webhook_url_secret_ref)? }
        }
        IntegrationType::Prometheus => {
            let block = wire.prometheus.ok_or_else(|| missing("prometheus"))?;
            Integration::Prometheus {
                username: block.username,
                password: key(block.password_secret_ref)?,
                service_discovery: block.service_discovery,
                // Atlas demands a value (v2 specification), and who applies a Prometheus integration wants it on.
                enabled: block.enabled.unwrap_or(true),
                send_user_provided_resource_tags_enabled: block.send_user_provided_resource_tags_enabled,
            }
        }
    })
}

fn key(wire: SecretKeyRef) -> Result<SecretKey, String> {
    Ok(SecretKey { name: secret_name("a secret reference", &wire.name)?, key: wire.key })
}

/// Whether a Secret can have this name, a DNS subdomain. Nothing else reaches a URL path of the API server, whatever
/// was stored: `../x` would be read from somewhere else.
pub fn is_secret_name(name: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 253 && bytes.iter().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

fn secret_name(field: &str, name: &str) -> Result<String, String> {
    if is_secret_name(name) {
        return Ok(name.to_owned());
    }
    Err(format!("{field} names {}, which can't be the name of a Secret", shown(name)))
}

/// What somebody wrote, quoted in a message: what was stored before a rule may be of any length.
fn shown(text: &str) -> String {
    format!("{:?}", plain(text, 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("datadog", true)]
    #[case("a.b-c9", true)]
    #[case("", false)]
    #[case("../other/secrets/x", false)]
    #[case("b/name", false)]
    #[case("%2e%2e", false)]
    #[case("-x", false)]
    #[case("x.", false)]
    #[case("X", false)]
    fn only_names_of_secrets_reach_a_path(#[case] name: &str, #[case] good: bool) {
        assert_eq!(is_secret_name(name), good);
        assert_eq!(secret_name("f", name).is_ok(), good);
    }
}
