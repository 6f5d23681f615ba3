//! Lists that are under way. A list shows what exists: once it is complete, whatever belongs to its part of the cluster
//! and was not seen since it began is gone.

use std::collections::HashMap;

/// The lists that are under way.
///
/// Lists are counted as they begin, and each record notes at which count it was seen. So the lists of many namespaces,
/// which all begin at once, need no memory of what each has shown.
#[derive(Default)]
pub(super) struct Lists {
    /// How many lists have begun.
    begun: u32,
    /// Which of these each watch is at, by the number of the watch.
    open: HashMap<usize, u32>,
}

/// How many lists had begun when something happened to a record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// When a watch last told of it.
    seen: u32,
    /// When its present state became known.
    learned: u32,
}

impl Mark {
    /// Whether it was not seen since a list began; `began` is from [`Lists::complete`].
    pub fn is_left_out(self, began: u32) -> bool {
        self.seen < began
    }

    /// Whether its present state became known before that list began.
    pub fn is_older(self, began: u32) -> bool {
        self.learned < began
    }
}

impl Lists {
    /// Watch number `list` begins a list, perhaps in place of one that failed, whose items so far tell nothing.
    pub fn begins(&mut self, list: usize) {
        self.begun = self.begun.saturating_add(1);
        self.open.insert(list, self.begun);
    }

    /// The mark of a record whose present state is becoming known.
    pub fn learned(&self, mark: Mark) -> Mark {
        Mark { learned: self.begun, ..mark }
    }

    /// The mark of a record that a watch tells of. A read proves nothing to a list: what it found may be gone since, and
    /// before the moment that the list shows.
    pub fn saw(&self, mark: Mark) -> Mark {
        Mark { seen: self.begun, ..mark }
    }

    /// Whether the API server went back in time (etcd was restored): a list `shows` an older version than one that
    /// was `known` before the list began. A list asks for the newest state, so then the known version is void.
    pub fn went_back(&self, list: usize, mark: Mark, known: u64, shows: u64) -> bool {
        self.open.get(&list).is_some_and(|began| mark.is_older(*began)) && shows < known
    }

    /// Ends a list. Returns when it began, for [`Mark::is_left_out`]; `None` when no such list was under way.
    pub fn complete(&mut self, list: usize) -> Option<u32> {
        self.open.remove(&list)
    }
}

/// A resourceVersion as the number that it is.
pub(super) fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or_default()
}
