//! What is decoded of the API server's answers. A list may have 100,000 entries, and most of each is of no use here: the
//! managed fields above all, and the annotations of others.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::{AtlasIntegration, GROUP};

/// An `AtlasIntegration` as the API server sends it. Spec and status may be anything.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wire {
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Value,
    #[serde(default)]
    pub status: Value,
}

/// An object of which only the metadata is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "")]
pub(super) struct Metadata<K> {
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    #[serde(skip)]
    kind: PhantomData<K>,
}

/// The part of the metadata that is used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    annotations: Option<OwnAnnotations>,
}

/// The annotations of our group.
struct OwnAnnotations(BTreeMap<String, String>);

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let used = Used::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: used.name,
        namespace: used.namespace,
        uid: used.uid,
        resource_version: used.resource_version,
        generation: used.generation,
        creation_timestamp: used.creation_timestamp,
        deletion_timestamp: used.deletion_timestamp,
        finalizers: used.finalizers,
        annotations: used.annotations.map(|own| own.0),
        ..ObjectMeta::default()
    })
}

impl<'de> Deserialize<'de> for OwnAnnotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OwnAnnotations, D::Error> {
        struct Own;

        impl<'de> Visitor<'de> for Own {
            type Value = OwnAnnotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<OwnAnnotations, A::Error> {
                let mut own = BTreeMap::new();
                while let Some(name) = all.next_key::<String>()? {
                    if name.split('/').next() == Some(GROUP) {
                        own.insert(name, all.next_value()?);
                    } else {
                        all.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OwnAnnotations(own))
            }
        }

        deserializer.deserialize_map(Own)
    }
}

impl Resource for Wire {
    type DynamicType = ();
    type Scope = <AtlasIntegration as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        AtlasIntegration::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        AtlasIntegration::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        AtlasIntegration::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        AtlasIntegration::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Metadata<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn metadata_api() -> bool {
        true
    }
}
