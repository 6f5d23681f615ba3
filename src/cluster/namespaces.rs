//! The Atlas projects that a Namespace is granted by its annotation. Where the operator may watch Namespaces, it
//! watches their metadata. Elsewhere it reads the annotation when it needs it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ObjectMeta};

use super::pages::Pages;
use super::secrets::ReadError;
use super::watch::{WatchEvent, Which, watch};
use super::wire::Metadata;
use crate::api::PROJECT_IDS_ANNOTATION;
use crate::domain::ProjectId;

const TIME_LIMIT: Duration = Duration::from_secs(15);

/// The projects that a Namespace is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name.
    pub namespace: String,
    /// The projects for which its objects may use the operator's own credentials.
    pub projects: BTreeSet<ProjectId>,
}

/// Reads Namespaces.
#[derive(Clone)]
pub struct Namespaces {
    api: Api<Namespace>,
}

impl Namespaces {
    /// A reader.
    pub fn new(client: Client) -> Namespaces {
        Namespaces { api: Api::all(client) }
    }

    /// Reads the projects that a Namespace is granted; none if there is no such Namespace.
    ///
    /// # Errors
    /// A [`ReadError`].
    pub async fn projects(&self, name: &str) -> Result<BTreeSet<ProjectId>, ReadError> {
        match tokio::time::timeout(TIME_LIMIT, self.api.get_metadata_opt(name)).await {
            Ok(Ok(found)) => Ok(found.map(|namespace| projects(&namespace.metadata)).unwrap_or_default()),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Err(ReadError::Forbidden),
            Ok(Err(kube::Error::Api(status))) => {
                Err(ReadError::Server(format!("the API server answered {}", status.code)))
            }
            Ok(Err(_)) => Err(ReadError::Server("the API server can't be reached".to_owned())),
            Err(_) => {
                let seconds = TIME_LIMIT.as_secs();
                Err(ReadError::Server(format!("the API server did not answer within {seconds} seconds")))
            }
        }
    }
}

/// Watches what all Namespaces of the cluster grant, by their metadata.
pub fn watch_namespaces(client: &Client, pages: &Pages) -> BoxStream<'static, WatchEvent<Grant>> {
    let api: Api<Metadata<Namespace>> = Api::all(client.clone());
    watch(0, api, pages, &Which::default(), |wire: Metadata<Namespace>| {
        let projects = projects(&wire.metadata);
        Some(Grant { namespace: wire.metadata.name?, projects })
    })
}

fn projects(metadata: &ObjectMeta) -> BTreeSet<ProjectId> {
    let annotation = metadata.annotations.as_ref().and_then(|all| all.get(PROJECT_IDS_ANNOTATION));
    annotation.map(|text| ProjectId::parse_list(text)).unwrap_or_default()
}
