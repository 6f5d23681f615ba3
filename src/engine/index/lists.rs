//! Lists that are under way. A list shows what exists: once it is complete, whatever belongs to its scope and was not
//! in it is gone.

use std::collections::{HashMap, HashSet};

use crate::domain::ObjectKey;

/// The lists that are under way, by the number of their watch.
#[derive(Default)]
pub(super) struct Lists(HashMap<usize, List>);

struct List {
    seen: HashSet<ObjectKey>,
    /// The newest resourceVersion that was known of anything when the list began.
    newest_before: u64,
}

impl Lists {
    /// Watch number `list` begins a list, perhaps in place of one that failed, whose items so far tell nothing; `newest` is the newest resourceVersion that is known of anything.
    pub fn begins(&mut self, list: usize, newest: u64) {
        self.0.insert(list, List { seen: HashSet::new(), newest_before: newest });
    }

    /// Notes that something exists, for every list that is under way.
    pub fn saw(&mut self, key: &ObjectKey) {
        for list in self.0.values_mut() {
            list.seen.insert(key.clone());
        }
    }

    /// Whether the API server went back in time (etcd was restored): a list `shows` an older version than one that
    /// was `known` before the list began. A list asks for the newest state, so then the known version is void.
    pub fn went_back(&self, list: usize, known: u64, shows: u64) -> bool {
        self.0.get(&list).is_some_and(|list| known <= list.newest_before && shows < known)
    }

    /// Ends a list. The result says of a key whether the list left it out, and has the newest resourceVersion that was
    /// known when the list began; `None` when no such list was under way.
    pub fn complete(&mut self, list: usize) -> Option<(impl Fn(&ObjectKey) -> bool + use<>, u64)> {
        let List { seen, newest_before } = self.0.remove(&list)?;
        Some((move |key: &ObjectKey| !seen.contains(key), newest_before))
    }
}

/// A resourceVersion as the number that it is.
pub(super) fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or_default()
}
