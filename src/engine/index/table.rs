//! Records by key, each of which holds its key itself: a map with a copy of the keys would take as much as a record.
//! They are grouped by namespace, so that a list of one namespace has to look at that namespace only.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::cluster::Part;
use crate::domain::ObjectKey;

/// A record that holds its key.
pub(super) trait Keyed {
    /// Its key, which never changes.
    fn key(&self) -> &ObjectKey;
}

/// Records by key.
pub(super) struct Table<T> {
    /// No namespace without records.
    namespaces: HashMap<Arc<str>, HashSet<Named<T>>>,
}

/// A record within its namespace, where its name identifies it.
struct Named<T>(Box<T>);

impl<T: Keyed> Borrow<str> for Named<T> {
    fn borrow(&self) -> &str {
        &self.0.key().name
    }
}

impl<T: Keyed> Hash for Named<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<str>::borrow(self).hash(state);
    }
}

impl<T: Keyed> PartialEq for Named<T> {
    fn eq(&self, other: &Named<T>) -> bool {
        Borrow::<str>::borrow(self) == Borrow::<str>::borrow(other)
    }
}

impl<T: Keyed> Eq for Named<T> {}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { namespaces: HashMap::new() }
    }
}

impl<T: Keyed> Table<T> {
    pub fn get(&self, key: &ObjectKey) -> Option<&T> {
        self.namespaces.get(&*key.namespace)?.get(&*key.name).map(|record| &*record.0)
    }

    /// Adds a record in place of the one with its key.
    pub fn insert(&mut self, record: T) {
        let records = self.namespaces.entry(Arc::clone(&record.key().namespace)).or_default();
        records.replace(Named(Box::new(record)));
    }

    pub fn remove(&mut self, key: &ObjectKey) -> Option<T> {
        let records = self.namespaces.get_mut(&*key.namespace)?;
        let record = records.take(&*key.name)?;
        if records.is_empty() {
            self.namespaces.remove(&*key.namespace);
        }
        Some(*record.0)
    }

    /// Changes a record, if there is one. Returns what `change` returns.
    pub fn change<R>(&mut self, key: &ObjectKey, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let records = self.namespaces.get_mut(&*key.namespace)?;
        let mut record = records.take(&*key.name)?;
        let result = change(&mut record.0);
        records.insert(record);
        Some(result)
    }

    /// Drops the records that `keep` does not want, and gives back the room of many more than there are.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.namespaces.retain(|_, records| {
            records.retain(|record| keep(&record.0));
            if records.capacity() > 4 * records.len() {
                records.shrink_to(2 * records.len());
            }
            !records.is_empty()
        });
    }

    pub fn len(&self) -> usize {
        self.namespaces.values().map(HashSet::len).sum()
    }

    /// The records that a list of `part` shows.
    pub fn within(&self, part: &Part) -> impl Iterator<Item = &T> {
        let (namespace, name) = match part {
            Part::All => (None, None),
            Part::Namespace(namespace) => (Some(&**namespace), None),
            Part::Secret(key) => (Some(&*key.namespace), Some(&key.name)),
        };
        let all = self.namespaces.values().filter(move |_| namespace.is_none());
        let one = namespace.and_then(|namespace| self.namespaces.get(namespace));
        let records = all.chain(one).flatten().map(|record| &*record.0);
        records.filter(move |record| name.is_none_or(|name| *name == record.key().name))
    }

    /// The text of a namespace as its records hold it, so that others share it.
    pub fn shared_namespace(&self, namespace: &str) -> Option<&Arc<str>> {
        self.namespaces.get_key_value(namespace).map(|(shared, _)| shared)
    }
}
