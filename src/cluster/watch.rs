//! The watches of objects, in full, and of Secrets, by their metadata only. Namespaces, where only one annotation
//! matters, are in [`super::namespaces`].

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, WatchParams};
use kube::core::{NamespaceResourceScope, WatchEvent as Change};
use kube::{Client, Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::decode::{Stored, decode};
use super::mapping::Defaults;
use super::pages::{Pages, Turn, is_too_large};
use super::retry::{Asked, Fault, Next, Retry};
use super::secrets::SecretIdentity;
use super::wire::{Metadata, Wire};
use crate::domain::ObjectKey;

/// How many objects a page has. Less would take longer, and more would take memory.
const PAGE: u32 = 100;
/// The same where only the metadata of each is read.
const METADATA_PAGE: u32 = 500;
/// A watch that brings nothing for so long is dead: the API server sends a bookmark about once a minute, and ends each
/// watch before.
const SILENCE: Duration = Duration::from_secs(295);

/// The namespaces that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    All,
    /// These namespaces, one watch each.
    Namespaces(Vec<String>),
}

impl Scope {
    /// How many lists have to complete before the first view is complete.
    pub fn lists(&self) -> usize {
        match self {
            Scope::All => 1,
            Scope::Namespaces(names) => names.len(),
        }
    }

    /// What each of these lists shows, by its number.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Scope::All => vec![Part::All],
            Scope::Namespaces(names) => names.iter().cloned().map(Part::Namespace).collect(),
        }
    }

    /// Whether it contains this object.
    pub fn covers(&self, key: &ObjectKey) -> bool {
        self.parts().iter().any(|part| part.covers(key))
    }
}

/// What one watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All namespaces.
    All,
    /// This namespace.
    Namespace(String),
    /// This Secret alone.
    Secret(ObjectKey),
}

impl Part {
    /// The namespace, if it is not all.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Part::All => None,
            Part::Namespace(name) => Some(name),
            Part::Secret(key) => Some(&key.namespace),
        }
    }

    /// Whether it contains this object or Secret.
    pub fn covers(&self, key: &ObjectKey) -> bool {
        match self {
            Part::Secret(secret) => secret == key,
            part => part.namespace().is_none_or(|namespace| *namespace == *key.namespace),
        }
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
    /// The API server has accepted the watch after the list, or after a failure.
    Works {
        /// Which watch.
        list: usize,
    },
    /// The list or the watch failed, and is retried automatically after a while.
    Failed {
        /// Which watch.
        list: usize,
        /// The cause, for a person.
        message: String,
        /// Whether the operator is not allowed to.
        forbidden: bool,
        /// Whether the list failed, and not the watch after it.
        listing: bool,
    },
}

type Stream<T> = BoxStream<'static, WatchEvent<T>>;

/// Watches `AtlasIntegration` objects. An object that can't be decoded at all is left out.
pub fn watch_objects(
    client: &Client,
    pages: &Pages,
    scope: &Scope,
    selector: Option<&str>,
    defaults: Defaults,
) -> Stream<Stored> {
    let which = Which { labels: selector.map(str::to_owned), fields: None };
    let watches = scope.parts().into_iter().enumerate().map(|(list, part)| {
        watch(list, api(client, &part), pages, &which, move |wire: Wire| decode(wire, defaults))
    });
    select_all(watches).boxed()
}

/// Watches the metadata of Secrets in these parts of the cluster: names and identities, never values.
pub fn watch_secrets(client: &Client, pages: &Pages, parts: &[Part]) -> Stream<(ObjectKey, SecretIdentity)> {
    let watches = parts.iter().enumerate().map(|(list, part)| {
        let fields = match part {
            Part::Secret(only) => Some(format!("metadata.name={}", only.name)),
            Part::All | Part::Namespace(_) => None,
        };
        watch(list, api(client, part), pages, &Which { labels: None, fields }, secret_item)
    });
    select_all(watches).boxed()
}

fn api<K>(client: &Client, part: &Part) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match part.namespace() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn secret_item(wire: Metadata<Secret>) -> Option<(ObjectKey, SecretIdentity)> {
    let metadata = wire.metadata;
    let key = ObjectKey { namespace: metadata.namespace?.into(), name: metadata.name?.into() };
    Some((key, SecretIdentity { uid: metadata.uid?, resource_version: metadata.resource_version? }))
}

/// Which of the objects of an API are watched, by selectors.
#[derive(Default)]
pub(super) struct Which {
    pub labels: Option<String>,
    pub fields: Option<String>,
}

/// A list in pages, a watch from there on, and whatever follows from their failures, without end. `item` makes of an
/// object what is told of it.
///
/// A watch that the API server refuses is asked for again from the same resourceVersion, and a page of a list by the same
/// token. Only where the API server may have gone back in time a list comes first. If etcd was restored, the API server
/// stays silent on a watch from a version of the lost future, while a list shows the restored state. [`Retry`] decides.
pub(super) fn watch<K, T>(
    list: usize,
    api: Api<K>,
    pages: &Pages,
    which: &Which,
    item: impl Fn(K) -> Option<T> + Send + 'static,
) -> Stream<T>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send + 'static,
{
    let Which { labels, fields } = which;
    let (label_selector, field_selector) = (labels.clone(), fields.clone());
    let page = ListParams {
        label_selector: label_selector.clone(),
        field_selector: field_selector.clone(),
        limit: Some(most::<K>()),
        ..ListParams::default()
    };
    let watcher = Watcher {
        list,
        api,
        pages: pages.clone(),
        turn: None,
        page,
        changes: WatchParams { label_selector, field_selector, ..WatchParams::default() },
        item,
        step: Step::Begin,
        shown: None,
        ready: VecDeque::new(),
        wait: Duration::ZERO,
        retry: Retry::new(Instant::now()),
    };
    futures::stream::unfold(watcher, |mut watcher| async { Some((watcher.next().await, watcher)) }).boxed()
}

/// How many objects a page has at most.
fn most<K: Resource>() -> u32 {
    if K::metadata_api() { METADATA_PAGE } else { PAGE }
}

/// One watch; see [`watch`].
struct Watcher<K, T, F> {
    list: usize,
    api: Api<K>,
    pages: Pages,
    /// The turn for the page that is asked for or told.
    turn: Turn,
    page: ListParams,
    changes: WatchParams,
    item: F,
    /// What is done next, after `wait`.
    step: Step<K>,
    wait: Duration,
    /// What is left of the page that was read last. Its objects are decoded one by one, since what is told of an object
    /// is larger than the object.
    shown: Option<std::vec::IntoIter<K>>,
    /// What is known already, and is told after that.
    ready: VecDeque<WatchEvent<T>>,
    retry: Retry,
}

enum Step<K> {
    /// Tell that a list begins.
    Begin,
    /// Ask for the page of this token.
    Page(Option<String>),
    /// Ask for a watch from this resourceVersion.
    Watch(String),
    /// Take the next change from a watch that has come to this resourceVersion.
    Follow(String, BoxStream<'static, Result<Change<K>, Error>>),
}

impl<K, T, F> Watcher<K, T, F>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    F: Fn(K) -> Option<T>,
{
    async fn next(&mut self) -> WatchEvent<T> {
        loop {
            if let Some(objects) = &mut self.shown {
                match objects.next().map(&self.item) {
                    Some(Some(item)) => return WatchEvent::Present { list: self.list, item: Box::new(item) },
                    Some(None) => {}
                    None => (self.shown, self.turn) = (None, None),
                }
                continue;
            }
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            // Even the shortest sleep takes a millisecond.
            if !self.wait.is_zero() {
                tokio::time::sleep(std::mem::take(&mut self.wait)).await;
            }
            match std::mem::replace(&mut self.step, Step::Begin) {
                Step::Begin => {
                    self.ready.push_back(WatchEvent::ListBegins { list: self.list });
                    self.step = Step::Page(None);
                }
                Step::Page(token) => self.page(token).await,
                Step::Watch(version) => self.begin(version).await,
                Step::Follow(version, changes) => self.follow(version, changes).await,
            }
        }
    }

    async fn page(&mut self, token: Option<String>) {
        self.page.continue_token = token.clone();
        let limit = self.page.limit.unwrap_or(1);
        if self.turn.is_none() {
            self.turn = self.pages.turn().await;
        }
        let page = match self.api.list(&self.page).await {
            Ok(page) => page,
            Err(error) => {
                // The next one has fewer objects, since an API server that can't make a large page fails in many ways.
                self.page.limit = Some((limit / 4).max(1));
                if limit > 1 && is_too_large(&error) {
                    self.step = Step::Page(token);
                    return;
                }
                self.turn = None;
                return self.failed(Asked::List, &error.into(), token.map(|token| Step::Page(Some(token))));
            }
        };
        // Objects that are so large are rare.
        self.page.limit = Some(most::<K>().min(limit * 2));
        self.shown = Some(page.items.into_iter());
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        self.step = match (some(page.metadata.continue_), some(page.metadata.resource_version)) {
            (Some(token), _) => Step::Page(Some(token)),
            (None, Some(version)) => {
                self.retry.listed(Instant::now());
                self.ready.push_back(WatchEvent::ListComplete { list: self.list });
                Step::Watch(version)
            }
            (None, None) => return self.failed(Asked::List, &Problem::NoVersion, None),
        };
    }

    async fn begin(&mut self, version: String) {
        match self.api.watch(&self.changes, &version).await {
            Ok(changes) => match self.retry.accepted(Instant::now()) {
                None => {
                    self.ready.push_back(WatchEvent::Works { list: self.list });
                    self.step = Step::Follow(version, changes.boxed());
                }
                Some(wait) => (self.step, self.wait) = (Step::Begin, wait),
            },
            Err(error) => self.failed(Asked::Watch, &error.into(), Some(Step::Watch(version))),
        }
    }

    async fn follow(&mut self, version: String, mut changes: BoxStream<'static, Result<Change<K>, Error>>) {
        let list = self.list;
        let (event, version) = match tokio::time::timeout(SILENCE, changes.next()).await {
            Err(_) => return self.failed(Asked::Watch, &Problem::Silent, None),
            Ok(None) => {
                (self.step, self.wait) = (Step::Watch(version), self.retry.ended(Instant::now(), random()));
                return;
            }
            Ok(Some(Err(error))) => {
                return self.failed(Asked::Watch, &error.into(), Some(Step::Watch(version)));
            }
            Ok(Some(Ok(Change::Error(status)))) => {
                return self.failed(Asked::Watch, &Problem::Ended(status), Some(Step::Watch(version)));
            }
            Ok(Some(Ok(Change::Bookmark(bookmark)))) => (None, Some(bookmark.metadata.resource_version)),
            Ok(Some(Ok(Change::Added(object) | Change::Modified(object)))) => {
                let version = object.resource_version();
                let item = (self.item)(object);
                (item.map(|item| WatchEvent::Present { list, item: Box::new(item) }), version)
            }
            Ok(Some(Ok(Change::Deleted(object)))) => {
                let key = ObjectKey {
                    namespace: object.namespace().unwrap_or_default().into(),
                    name: object.name_any().into(),
                };
                (Some(WatchEvent::Deleted { key }), object.resource_version())
            }
        };
        self.ready.extend(event);
        let Some(version) = version.filter(|version| !version.is_empty()) else {
            return self.failed(Asked::Watch, &Problem::NoVersion, None);
        };
        self.retry.brought(Instant::now());
        self.step = Step::Follow(version, changes);
    }

    /// Tells of a failure. The next step is `again`, or else a list.
    fn failed(&mut self, asked: Asked, problem: &Problem, again: Option<Step<K>>) {
        let fault = problem.fault();
        let (next, wait) = self.retry.failed(Instant::now(), asked, fault, random());
        self.ready.push_back(WatchEvent::Failed {
            list: self.list,
            message: problem.to_string(),
            forbidden: fault == Fault::Forbidden,
            listing: asked == Asked::List,
        });
        self.wait = wait;
        self.step = again.filter(|_| next == Next::Again).unwrap_or(Step::Begin);
    }
}

/// From 0 to 1, so that operators that failed together do not come back together.
fn random() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

/// Why a list or a watch failed, for a person.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{}", explain(.0))]
    Call(#[from] Error),
    #[error("the watch ended: {} ({})", .0.reason, .0.code)]
    Ended(Box<kube::core::Status>),
    #[error("the API server sent no resourceVersion")]
    NoVersion,
    #[error("the API server can't be reached: the watch brought nothing for {} seconds", SILENCE.as_secs())]
    Silent,
}

impl Problem {
    fn fault(&self) -> Fault {
        let code = match self {
            Problem::Call(Error::Api(status)) => status.code,
            Problem::Ended(status) => status.code,
            _ => return Fault::Unreachable,
        };
        match code {
            403 => Fault::Forbidden,
            410 => Fault::TooOld,
            _ => Fault::Refused,
        }
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 404 => {
            "the kind is not installed: apply crds/atlasintegrations.yaml; the operator then continues automatically"
                .to_owned()
        }
        Error::Api(status) => format!("the API server refused: {} ({})", status.message, status.code),
        error => format!("the API server can't be reached: {error}"),
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod watch_tests;
