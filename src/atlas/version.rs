//! The two versions of the Admin API, and their differences.

use crate::domain::Integration;

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
    pub fn missing<S>(self, integration: &Integration<S>) -> Option<&'static str> {
        match (self, integration) {
            (ApiVersion::V1, Integration::Slack { team_name: None, .. }) => Some(
                "spec.slack.teamName is required by version 1.0 of the Atlas API, which is in use; set it",
            ),
            (ApiVersion::V2, Integration::Slack { channel_name: None, .. }) => Some(
                "spec.slack.channelName is required by version 2 of the Atlas API, which is in use; set it",
            ),
            _ => None,
        }
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

    #[test]
    fn slack_needs_another_field_in_each_version() {
        let slack = |team: Option<&str>, channel: Option<&str>| Integration::Slack {
            api_token: (),
            team_name: team.map(str::to_owned),
            channel_name: channel.map(str::to_owned),
        };
        assert!(ApiVersion::V1.missing(&slack(None, Some("c"))).is_some_and(|m| m.contains("teamName")));
        assert!(ApiVersion::V2.missing(&slack(Some("t"), None)).is_some_and(|m| m.contains("channelName")));
        assert!(ApiVersion::V1.missing(&slack(Some("t"), None)).is_none());
    }
}
