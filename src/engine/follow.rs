//! Takes the events of the watches into the index, and adds the projects that become due to the queue.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::index::ProjectKey;
use super::shared::{Settings, Shared};
use crate::cluster::{
    Grant, Pages, Part, Scope, SecretIdentity, Stored, WatchEvent, watch_namespaces, watch_objects,
    watch_secrets,
};
use crate::core::quiet::quiet;
use crate::domain::ObjectKey;

type Secret = (ObjectKey, SecretIdentity);

/// The watches, and which of their first lists are not complete yet.
pub(super) struct Watches {
    client: kube::Client,
    pages: Pages,
    objects: BoxStream<'static, WatchEvent<Stored>>,
    secrets: BoxStream<'static, WatchEvent<Secret>>,
    namespaces: BoxStream<'static, WatchEvent<Grant>>,
    /// What the watches of objects and of Secrets show, by their numbers. The one after those of the scope shows only the
    /// Secret with the operator's own credentials.
    parts: Vec<Part>,
    /// First lists that are not complete yet.
    open: HashSet<(Watch, usize)>,
    /// The lists of objects that the operator may not make. What it knows of their namespaces from before stays.
    unlisted: HashSet<usize>,
    /// Why each watch fails at present, as the log has said.
    failing: HashMap<(Watch, usize), String>,
    /// Lists of objects in which nothing has been found so far.
    empty: HashSet<usize>,
    /// Whether the watches of Secrets and Namespaces have begun.
    all_begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Watch {
    Objects,
    Secrets,
    Namespaces,
}

impl Watches {
    /// Begins the watch of objects. The other watches begin once all objects are listed, so that the index remembers
    /// only Secrets to which an object refers.
    pub fn begin(client: kube::Client, settings: &Settings) -> Watches {
        let selector = settings.selector.as_deref();
        let pages = Pages::default();
        Watches {
            objects: watch_objects(&client, &pages, &settings.scope, selector, settings.defaults),
            secrets: futures::stream::pending().boxed(),
            namespaces: futures::stream::pending().boxed(),
            parts: settings.scope.parts().into_iter().chain(secret_apart(settings)).collect(),
            open: (0..settings.scope.lists()).map(|list| (Watch::Objects, list)).collect(),
            unlisted: HashSet::new(),
            failing: HashMap::new(),
            empty: (0..settings.scope.lists()).collect(),
            all_begun: false,
            client,
            pages,
        }
    }

    /// Handles the next event. Returns `None` if a watch has ended, which should never happen.
    pub async fn next(&mut self, shared: &Shared) -> Option<()> {
        let listed = self.are_listed();
        let Due { by, projects } = tokio::select! {
            event = self.objects.next() => self.on_object(shared, event?),
            event = self.secrets.next() => self.on_secret(shared, event?),
            event = self.namespaces.next() => self.on_namespace(shared, event?),
        };
        // Every project is due once the first lists are complete.
        if listed && !projects.is_empty() {
            shared.make_due(by.as_ref(), projects);
        }
        if self.open.is_empty() && !self.all_begun && self.unlisted.len() < shared.settings.scope.lists() {
            self.all_begun = true;
            self.begin_others(shared);
        }
        Some(())
    }

    /// Whether the first lists are complete.
    pub fn are_listed(&self) -> bool {
        self.all_begun && self.open.is_empty()
    }

    /// Logs why a watch fails: once, although it is retried again and again, until it works or fails for another reason.
    /// Call it before the index is locked, since writing a log line may block.
    fn warn_of_failure<T>(&mut self, watch: Watch, event: &WatchEvent<T>) {
        let what = match watch {
            Watch::Objects => "watch of AtlasIntegration objects",
            Watch::Secrets => "watch of Secrets",
            Watch::Namespaces => "watch of Namespaces",
        };
        match event {
            WatchEvent::Failed { list, message, forbidden, listing } => {
                let namespace = self.parts[*list].namespace();
                let known = self.failing.insert((watch, *list), message.clone());
                if known.as_ref() == Some(message) {
                    tracing::debug!(namespace, "{what}: {message}");
                } else if *forbidden && *listing && watch == Watch::Objects && namespace.is_some() {
                    tracing::warn!(
                        namespace,
                        "{what}: {message}; no object of this namespace is served until the operator may list them"
                    );
                } else {
                    tracing::warn!(namespace, "{what}: {message}");
                }
            }
            WatchEvent::Works { list } if self.failing.remove(&(watch, *list)).is_some() => {
                tracing::info!(namespace = self.parts[*list].namespace(), "{what}: it works again");
            }
            _ => {}
        }
    }

    fn begin_others(&mut self, shared: &Shared) {
        let settings = &shared.settings;
        if settings.watch_secrets {
            self.secrets = watch_secrets(&self.client, &self.pages, &self.parts);
            self.open.extend((0..self.parts.len()).map(|list| (Watch::Secrets, list)));
        } else {
            shared.index.lock().secrets.unwatched(0, Part::All);
        }
        // A Role can't allow a watch of Namespaces. So if the scope is a list of namespaces, the operator reads each
        // Namespace when it needs it.
        if settings.credentials_secret.is_some() && settings.scope == Scope::All {
            self.namespaces = watch_namespaces(&self.client, &self.pages);
            self.open.insert((Watch::Namespaces, 0));
        }
    }

    fn on_object(&mut self, shared: &Shared, event: WatchEvent<Stored>) -> Due {
        self.warn_of_failure(Watch::Objects, &event);
        self.note_unlisted(shared, &event);
        self.warn_of_empty(&event);
        let listed = self.are_listed();
        let mut index = shared.index.lock();
        match event {
            WatchEvent::ListBegins { list } => {
                shared.store.doubted();
                index.list_begins(list);
            }
            WatchEvent::Present { list, item } => {
                let projects = index.observe_from(list, &item.object);
                // At a start nearly all objects owe nothing, and are not read at all.
                let made_due = listed && !projects.is_empty();
                // An object that owes nothing is new to this process only, so nobody waits for it.
                let asked = made_due && quiet(&item.object).is_none();
                let by = asked.then(|| Arc::clone(&item.object.key.namespace));
                shared.store.brought(item, made_due);
                return Due { by, projects };
            }
            WatchEvent::Deleted { key } => {
                shared.store.ended(&key);
                return Due { projects: index.remove(&key).into_iter().collect(), by: Some(key.namespace) };
            }
            WatchEvent::ListComplete { list } => {
                self.open.remove(&(Watch::Objects, list));
                return Due::routine(index.list_complete(list, &self.parts[list]));
            }
            WatchEvent::Works { .. } | WatchEvent::Failed { .. } => {}
        }
        Due::default()
    }

    /// Notes which namespaces the operator may not list. Whoever may delete a namespace or its RoleBinding must not be
    /// able to stop the operator for all others, so such a list counts as answered. The watch retries, and takes the
    /// namespace up once it is allowed.
    fn note_unlisted(&mut self, shared: &Shared, event: &WatchEvent<Stored>) {
        let changed = match event {
            WatchEvent::Failed { list, forbidden: true, listing: true, .. } => {
                self.open.remove(&(Watch::Objects, *list));
                self.unlisted.insert(*list)
            }
            WatchEvent::ListComplete { list } => self.unlisted.remove(list),
            _ => false,
        };
        if changed {
            shared.telemetry.unlisted(self.unlisted.len());
        }
    }

    /// Logs once if a namespace of --watch-namespace has no object when it is first listed. Perhaps it does not exist,
    /// which the operator has no right to find out.
    fn warn_of_empty(&mut self, event: &WatchEvent<Stored>) {
        match event {
            WatchEvent::Present { list, .. } => {
                self.empty.remove(list);
            }
            WatchEvent::ListComplete { list } => {
                if self.empty.remove(list)
                    && let Part::Namespace(namespace) = &self.parts[*list]
                {
                    tracing::info!(
                        namespace,
                        "namespace {namespace} has no AtlasIntegration objects yet, or does not exist; if objects are \
                         expected there, check --watch-namespace and --selector"
                    );
                }
            }
            _ => {}
        }
    }

    /// If the operator may not watch Secrets, it reads each one when it needs it.
    fn on_secret(&mut self, shared: &Shared, event: WatchEvent<Secret>) -> Due {
        self.warn_of_failure(Watch::Secrets, &event);
        let secrets = &mut shared.index.lock().secrets;
        match event {
            WatchEvent::ListBegins { list } => secrets.list_begins(list),
            WatchEvent::Present { list, item } => {
                let (key, identity) = *item;
                let projects = secrets.observe_from(list, &key, identity);
                return Due { by: Some(key.namespace), projects };
            }
            WatchEvent::Deleted { key } => {
                return Due { projects: secrets.observe(&key, None), by: Some(key.namespace) };
            }
            WatchEvent::ListComplete { list } => {
                self.open.remove(&(Watch::Secrets, list));
                return Due::routine(secrets.list_complete(list, &self.parts[list]));
            }
            WatchEvent::Failed { list, forbidden: true, .. } => {
                self.open.remove(&(Watch::Secrets, list));
                secrets.unwatched(list, self.parts[list].clone());
            }
            WatchEvent::Works { .. } | WatchEvent::Failed { .. } => {}
        }
        Due::default()
    }

    fn on_namespace(&mut self, shared: &Shared, event: WatchEvent<Grant>) -> Due {
        self.warn_of_failure(Watch::Namespaces, &event);
        let mut index = shared.index.lock();
        match event {
            WatchEvent::ListBegins { .. } => index.namespace_list_begins(),
            WatchEvent::Present { item, .. } => {
                let by = Some(Arc::from(item.namespace.as_str()));
                return Due { projects: index.observe_namespace(*item), by };
            }
            WatchEvent::Deleted { key } => {
                let nothing = Grant { namespace: key.name.to_string(), projects: BTreeSet::new() };
                return Due { projects: index.observe_namespace(nothing), by: Some(key.name) };
            }
            WatchEvent::ListComplete { list } => {
                self.open.remove(&(Watch::Namespaces, list));
                return Due::routine(index.namespace_list_complete());
            }
            WatchEvent::Failed { list, forbidden: true, .. } => {
                self.open.remove(&(Watch::Namespaces, list));
                index.namespaces_unwatched();
            }
            WatchEvent::Works { .. } | WatchEvent::Failed { .. } => {}
        }
        Due::default()
    }
}

/// Projects that an event makes due, and the namespace whose object, Secret or grant changed; `None` if nobody asked.
#[derive(Default)]
struct Due {
    by: Option<Arc<str>>,
    projects: Vec<ProjectKey>,
}

impl Due {
    /// Projects that nobody in particular asked for.
    fn routine(projects: Vec<ProjectKey>) -> Due {
        Due { by: None, projects }
    }
}

/// Returns the Secret with the operator's own credentials, if it is outside the scope.
fn secret_apart(settings: &Settings) -> Option<Part> {
    let own = settings.credentials_secret.as_ref().filter(|own| !settings.scope.covers(own));
    own.cloned().map(Part::Secret)
}
