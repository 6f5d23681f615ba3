//! The watches of objects, in full, and of Secrets, by their metadata only. Namespaces, where only one annotation
//! matters, are in [`super::namespaces`].

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, PartialObjectMeta};
use kube::core::DynamicObject;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Client, ResourceExt};

use super::decode::{Stored, decode};
use super::mapping::Defaults;
use super::secrets::SecretIdentity;
use crate::api::AtlasIntegration;
use crate::domain::ObjectKey;

/// The size of a page bounds the memory that reading a list takes.
pub(super) const PAGE_SIZE: u32 = 50;
/// The longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The namespaces that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    All,
    /// These namespaces, one watch each.
    Namespaces(Vec<String>),
}

impl Scope {
    fn parts(&self) -> Vec<Option<&str>> {
        match self {
            Scope::All => vec![None],
            Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }

    /// How many lists have to complete before the first view is complete.
    pub fn lists(&self) -> usize {
        self.parts().len()
    }

    /// Whether it contains this object.
    pub fn covers(&self, key: &ObjectKey) -> bool {
        self.parts().into_iter().any(|part| part.is_none_or(|namespace| *namespace == *key.namespace))
    }
}

/// An event of a watch. `list` is the number of the watch within its scope.
pub enum WatchEvent<T> {
    /// A list begins. Whatever it does not contain by its end is gone.
    ListBegins {
        /// Which watch.
        list: usize,
    },
    /// An object was listed, or has changed since.
    Present {
        /// Which watch.
        list: usize,
        /// The object.
        item: Box<T>,
    },
    /// Deleted.
    Deleted {
        /// Namespace (empty if it has none) and name.
        key: ObjectKey,
    },
    /// The list is complete.
    ListComplete {
        /// Which watch.
        list: usize,
    },
    /// The watch failed, and is retried automatically after a while.
    Failed {
        /// Which watch.
        list: usize,
        /// The cause, for a person.
        message: String,
        /// Whether the operator is not allowed to watch.
        forbidden: bool,
    },
}

type Stream<T> = BoxStream<'static, WatchEvent<T>>;

/// Watches `AtlasIntegration` objects. An object that can't be decoded at all is left out.
pub fn watch_objects(
    client: &Client,
    scope: &Scope,
    selector: Option<&str>,
    defaults: Defaults,
) -> Stream<Stored> {
    let resource = ApiResource::erase::<AtlasIntegration>(&());
    let mut config = watcher::Config::default().page_size(PAGE_SIZE);
    config.label_selector = selector.map(str::to_owned);
    let watches = scope.parts().into_iter().enumerate().map(|(list, namespace)| {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let events = watch(api, config.clone());
        let item = move |wire: DynamicObject| decode(wire, defaults);
        events.filter_map(move |event| std::future::ready(translate(list, event, item))).boxed()
    });
    select_all(watches).boxed()
}

/// Watches the metadata of Secrets: names and identities, never values. One more watch, numbered after those of the
/// scope, is only for the Secret `apart`.
pub fn watch_secrets(
    client: &Client,
    scope: &Scope,
    apart: Option<&ObjectKey>,
) -> Stream<(ObjectKey, SecretIdentity)> {
    let apart = apart.map(|secret| (Some(&*secret.namespace), Some(secret)));
    let parts = scope.parts().into_iter().map(|namespace| (namespace, None)).chain(apart);
    let watches = parts.enumerate().map(|(list, (namespace, only))| {
        let api: Api<PartialObjectMeta<Secret>> = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let mut config = watcher::Config::default().page_size(PAGE_SIZE);
        config.field_selector = only.map(|only| format!("metadata.name={}", only.name));
        let events = watch(api, config);
        events.filter_map(move |event| std::future::ready(translate(list, event, secret_item))).boxed()
    });
    select_all(watches).boxed()
}

/// A watch that begins again, with a list, after every failure. If etcd was restored, the API server stays silent on a
/// watch from a version of the lost future, while a list shows the restored state. It can't be restored without a
/// failure of the watch before.
///
/// The waits between failures grow from about a second to half a minute. They are short again only once the watch has
/// brought a change, or two minutes after the last failure. A list alone does not prove that the watch works, and an
/// API server that refuses a watch must not be asked for lists all the time.
pub(super) fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl futures::Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let begin = move || watcher::watcher(api.clone(), config.clone()).boxed();
    let state = (begin(), begin, DefaultBackoff::default(), Duration::ZERO);
    futures::stream::unfold(state, |(mut events, begin, mut backoff, wait)| async move {
        // Even the shortest sleep takes a millisecond, and a list has many items.
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let event = events.next().await?;
        let mut wait = Duration::ZERO;
        match &event {
            Ok(Event::Init | Event::InitApply(_) | Event::InitDone) => {}
            Ok(Event::Apply(_) | Event::Delete(_)) => backoff.reset(),
            Err(_) => {
                events = begin();
                wait = backoff.next().unwrap_or(LONGEST_WAIT);
            }
        }
        Some((event, (events, begin, backoff, wait)))
    })
    .boxed()
}

fn secret_item(wire: PartialObjectMeta<Secret>) -> Option<(ObjectKey, SecretIdentity)> {
    let metadata = wire.metadata;
    let key = ObjectKey { namespace: metadata.namespace?.into(), name: metadata.name?.into() };
    Some((key, SecretIdentity { uid: metadata.uid?, resource_version: metadata.resource_version? }))
}

pub(super) fn translate<K: ResourceExt, T>(
    list: usize,
    event: Result<Event<K>, watcher::Error>,
    item: impl Fn(K) -> Option<T>,
) -> Option<WatchEvent<T>> {
    Some(match event {
        Ok(Event::Init) => WatchEvent::ListBegins { list },
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            WatchEvent::Present { list, item: Box::new(item(object)?) }
        }
        Ok(Event::Delete(object)) => {
            let namespace = object.namespace().unwrap_or_default();
            WatchEvent::Deleted {
                key: ObjectKey { namespace: namespace.into(), name: object.name_any().into() },
            }
        }
        Ok(Event::InitDone) => WatchEvent::ListComplete { list },
        Err(error) => WatchEvent::Failed { list, message: explain(&error), forbidden: is_forbidden(&error) },
    })
}

fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.is_forbidden())
        }
        _ => false,
    }
}

fn explain(error: &watcher::Error) -> String {
    let api = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => {
            return format!("the watch ended: {} ({})", status.reason, status.code);
        }
        watcher::Error::NoResourceVersion => return "the API server sent no resourceVersion".to_owned(),
    };
    match api {
        kube::Error::Api(status) if status.code == 404 => {
            "the kind is not installed: apply crds/atlasintegrations.yaml; the operator then continues automatically"
                .to_owned()
        }
        kube::Error::Api(status) => format!("the API server refused: {} ({})", status.message, status.code),
        error => format!("the API server can't be reached: {error}"),
    }
}
