//! What is decoded of the API server's answers. Most of each object's metadata has been left out already
//! ([`super::sieve`]).

use std::borrow::Cow;
use std::marker::PhantomData;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::api::AtlasIntegration;

/// An `AtlasIntegration` as the API server sends it. Spec and status may be anything.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wire {
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
    pub metadata: ObjectMeta,
    #[serde(skip)]
    kind: PhantomData<K>,
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
