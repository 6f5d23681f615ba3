//! One request as the simulator sees it, and what its path names.

use std::net::IpAddr;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::exchange::{Api, Operation};

/// A request whose body has arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub connection: u64,
    pub ip: IpAddr,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Path and query, as digest credentials repeat it.
    pub fn uri(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub api: Api,
    /// The project, whether it exists or not.
    pub project: Option<String>,
    /// Whether it is the resource of integrations that is named.
    pub integrations: bool,
    pub integration_type: Option<String>,
}

impl Target {
    /// Reads a path; nothing is checked beyond its form.
    pub fn of(path: &str) -> Self {
        let parts: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (api, rest) = match parts.as_slice() {
            ["api", "atlas", "v1.0", rest @ ..] => (Api::V1, rest),
            ["api", "atlas", "v2", rest @ ..] => (Api::V2, rest),
            ["api", "oauth", rest @ ..] => (Api::OAuth, rest),
            rest => (Api::Other, rest),
        };
        let mut target = Self { api, project: None, integrations: false, integration_type: None };
        if let (Api::V1 | Api::V2, ["groups", project, rest @ ..]) = (api, rest) {
            target.project = Some((*project).to_owned());
            match rest {
                ["integrations"] => target.integrations = true,
                ["integrations", kind] => {
                    target.integrations = true;
                    target.integration_type = Some((*kind).to_owned());
                }
                _ => {}
            }
        }
        target
    }

    /// The operation that a method means here.
    pub fn operation(&self, method: &str) -> Option<Operation> {
        if !self.integrations {
            return None;
        }
        match (method, &self.integration_type) {
            ("GET", None) => Some(Operation::List),
            ("GET", Some(_)) => Some(Operation::Get),
            ("POST", Some(_)) => Some(Operation::Create),
            ("PUT", Some(_)) => Some(Operation::Update),
            ("DELETE", Some(_)) => Some(Operation::Delete),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/api/atlas/v1.0/groups/p/integrations", Api::V1, Some("p"), true, None)]
    #[case("/api/atlas/v2/groups/p/integrations/SLACK", Api::V2, Some("p"), true, Some("SLACK"))]
    #[case("/api/atlas/v2/groups/p/integrations/A%2FB", Api::V2, Some("p"), true, Some("A/B"))]
    #[case("/api/atlas/v2/groups/p/clusters", Api::V2, Some("p"), false, None)]
    #[case("/api/oauth/token", Api::OAuth, None, false, None)]
    #[case("/api/atlas/v3/groups/p/integrations", Api::Other, None, false, None)]
    fn paths_are_read(
        #[case] path: &str,
        #[case] api: Api,
        #[case] project: Option<&str>,
        #[case] integrations: bool,
        #[case] kind: Option<&str>,
    ) {
        let (project, integration_type) = (project.map(str::to_owned), kind.map(str::to_owned));
        assert_eq!(Target::of(path), Target { api, project, integrations, integration_type });
    }
}
