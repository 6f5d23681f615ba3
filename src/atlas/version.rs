//! The two versions of the Admin API, and their differences.

use crate::domain::{Integration, Need};

const V1_TYPE: &str = "application/json";
const V2_TYPE: &str = "application/vnd.atlas.2023-01-01+json";

/// A version of the Admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiVersion {
    /// `/api/atlas/v1.0`, deprecated and still served; the only one with FLOWDOCK.
    V1,
    /// `/api/atlas/v2`, resource version 2023-01-01.
    V2,
}

impl ApiVersion {
    pub(super) fn path(self) -> &'static str {
        match self {
            ApiVersion::V1 => "v1.0",
            ApiVersion::V2 => "v2",
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            ApiVersion::V1 => V1_TYPE,
            ApiVersion::V2 => V2_TYPE,
        }
    }

    /// A message about what this version requires of an integration and the other does not. It is checked before any
    /// call. SLACK: the create page requires `teamName`, the v2 specification `channelName`.
    pub fn missing<S>(self, integration: &Integration<S>) -> Option<String> {
        let (need, version) = match self {
            ApiVersion::V1 => (Need::V1, "1.0"),
            ApiVersion::V2 => (Need::V2, "2"),
        };
        let field = integration.lacks(need)?;
        let (block, name) = (integration.integration_type().row().block, field.spec?);
        Some(format!(
            "spec.{block}.{name} is required by version {version} of the Atlas API, which is in use; set it (YAML takes \
             a value that begins with # for a comment, unless it is in quotes)"
        ))
    }
}

/// `--atlas-api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChoice {
    /// Version 2, or 1.0 if Atlas does not serve 2. The first answer that is understood settles the version for the
    /// process.
    Auto,
    /// This version, except for FLOWDOCK, which only 1.0 knows.
    Fixed(ApiVersion),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FieldValue, IntegrationType};

    #[test]
    fn slack_needs_another_field_in_each_version() {
        let slack = |name| {
            let values = [("apiToken", FieldValue::Secret(())), (name, "x".into())];
            Integration::new(IntegrationType::Slack, values).expect("a Slack")
        };
        let (team, channel) = (slack("teamName"), slack("channelName"));
        assert!(ApiVersion::V1.missing(&channel).is_some_and(|m| m.contains("spec.slack.teamName")));
        assert!(ApiVersion::V2.missing(&team).is_some_and(|m| m.contains("spec.slack.channelName")));
        assert_eq!((ApiVersion::V1.missing(&team), ApiVersion::V2.missing(&channel)), (None, None));
    }
}
