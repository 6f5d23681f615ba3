//! The identity of each Secret that an object refers to, and the projects that a change of it concerns.

use std::collections::HashMap;
use std::sync::Arc;

use super::lists::{Lists, version};
use super::record::ProjectKey;
use crate::cluster::SecretIdentity;
use crate::domain::{AppliedSecret, ObjectKey, SecretsSince};

/// What is known of a Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum Known<T> {
    /// Nothing: it was neither listed nor read yet, or Secrets may not be watched.
    #[default]
    Nothing,
    /// It does not exist.
    Absent,
    /// It exists, in this state.
    Present(T),
}

impl<T> Known<T> {
    /// What is known after a read or a list that found this.
    pub fn found(found: Option<T>) -> Known<T> {
        found.map_or(Known::Absent, Known::Present)
    }

    fn as_ref(&self) -> Known<&T> {
        match self {
            Known::Nothing => Known::Nothing,
            Known::Absent => Known::Absent,
            Known::Present(state) => Known::Present(state),
        }
    }
}

impl Known<SecretIdentity> {
    fn version(&self) -> Option<u64> {
        match self {
            Known::Present(identity) => Some(version(&identity.resource_version)),
            Known::Nothing | Known::Absent => None,
        }
    }

    /// Whether this is an older state of the same Secret. A read and the watch race, and the newer resourceVersion
    /// wins.
    fn is_older_than(&self, known: &Known<SecretIdentity>) -> bool {
        match (self, known) {
            (Known::Present(new), Known::Present(old)) => {
                new.uid == old.uid && self.version() < known.version()
            }
            _ => false,
        }
    }
}

/// A Secret that some object refers to.
#[derive(Default)]
struct SecretRecord {
    state: Known<SecretIdentity>,
    /// The projects whose objects refer to it, in order, each with how many of its objects do.
    users: Vec<(ProjectKey, u32)>,
}

impl SecretRecord {
    fn used_in(&mut self, project: &ProjectKey) {
        match self.users.binary_search_by(|(known, _)| known.cmp(project)) {
            Ok(at) => self.users[at].1 += 1,
            Err(at) => self.users.insert(at, (project.clone(), 1)),
        }
    }

    fn unused_in(&mut self, project: &ProjectKey) {
        if let Ok(at) = self.users.binary_search_by(|(known, _)| known.cmp(project)) {
            self.users[at].1 -= 1;
            if self.users[at].1 == 0 {
                self.users.remove(at);
            }
        }
    }

    /// The projects whose objects refer to it.
    fn users(&self) -> Vec<ProjectKey> {
        self.users.iter().map(|(project, _)| project.clone()).collect()
    }
}

/// The Secrets that objects refer to.
#[derive(Default)]
pub(in crate::engine) struct Secrets {
    records: HashMap<ObjectKey, SecretRecord>,
    lists: Lists,
    /// The watches of Secrets that are not allowed, by number, and which Secrets each would show. Nothing is known of
    /// these Secrets, and each is read when it matters.
    unwatched: HashMap<usize, Covers>,
}

/// Says whether a watch covers a Secret.
type Covers = Box<dyn Fn(&ObjectKey) -> bool + Send>;

impl Secrets {
    /// An object of `project` refers to a Secret.
    pub(super) fn used_in(&mut self, key: ObjectKey, project: &ProjectKey) {
        self.records.entry(key).or_default().used_in(project);
    }

    /// An object of `project` does not refer to a Secret any more.
    pub(super) fn unused_in(&mut self, key: &ObjectKey, project: &ProjectKey) {
        if let Some(secret) = self.records.get_mut(key) {
            secret.unused_in(project);
        }
    }

    /// The key under which a Secret is remembered.
    pub(super) fn key_of(&self, key: &ObjectKey) -> Option<&ObjectKey> {
        self.records.get_key_value(key).map(|(known, _)| known)
    }

    /// Drops the Secrets that no object refers to any more.
    pub fn forget_unused(&mut self) {
        self.records.retain(|_, secret| !secret.users.is_empty());
    }

    /// Takes a Secret's identity from watch number `list`. Returns the projects whose objects a change of it concerns.
    /// Like objects, Secrets may go back in time.
    pub fn observe_from(
        &mut self,
        list: usize,
        key: &ObjectKey,
        identity: SecretIdentity,
    ) -> Vec<ProjectKey> {
        let known = self.records.get(key).and_then(|secret| secret.state.version());
        let shows = version(&identity.resource_version);
        let mut due = Vec::new();
        if known.is_some_and(|known| self.lists.went_back(list, known, shows)) {
            due = self.observe(key, None);
        }
        due.extend(self.observe(key, Some(identity)));
        due
    }

    /// Takes a Secret's identity from the watch, `None` where it does not exist. Returns the projects whose objects a
    /// change of it concerns.
    pub fn observe(&mut self, key: &ObjectKey, identity: Option<SecretIdentity>) -> Vec<ProjectKey> {
        self.lists.saw(key);
        let Some(secret) = self.records.get_mut(key) else { return Vec::new() };
        let state = Known::found(identity);
        if secret.state == state || state.is_older_than(&secret.state) {
            return Vec::new();
        }
        // Nobody relied on what was not known before: a pass that needs the Secret is due already, and will read it, or
        // reads it now and compares at the end (`read_ends`).
        let relied_on = secret.state != Known::Nothing;
        secret.state = state;
        if relied_on { secret.users() } else { Vec::new() }
    }

    /// A read of a Secret begins. Returns whether nothing is known of the Secret yet, for [`Secrets::read_ends`].
    pub fn read_begins(&self, key: &ObjectKey) -> bool {
        self.records.get(key).is_some_and(|secret| secret.state == Known::Nothing)
    }

    /// A read of a Secret has found this, `Nothing` if it failed. If nothing was known of the Secret when the read began
    /// (`was_unknown`), the first news of it makes nothing due, so this function compares: it returns the projects whose
    /// objects refer to the Secret if a watch or another read has shown another state meanwhile. A change of a state
    /// that was known is left to the watch, which tells every object that refers to the Secret.
    pub fn read_ends(
        &mut self,
        key: &ObjectKey,
        was_unknown: bool,
        found: Known<SecretIdentity>,
    ) -> Vec<ProjectKey> {
        let Some(secret) = self.records.get_mut(key).filter(|_| was_unknown) else { return Vec::new() };
        if secret.state == Known::Nothing {
            secret.state = found;
        } else if secret.state != found {
            return secret.users();
        }
        Vec::new()
    }

    /// Watch number `list` is not allowed. It would show the Secrets that it `covers`.
    pub fn unwatched(&mut self, list: usize, covers: impl Fn(&ObjectKey) -> bool + Send + 'static) {
        self.unwatched.insert(list, Box::new(covers));
    }

    /// Whether an object refers to this Secret.
    pub fn is_referred_to(&self, key: &ObjectKey) -> bool {
        self.records.contains_key(key)
    }

    /// A list begins.
    pub fn list_begins(&mut self, list: usize) {
        let newest = self.records.values().filter_map(|secret| secret.state.version()).max();
        self.lists.begins(list, newest.unwrap_or_default());
    }

    /// A list is complete: Secrets of its scope that it did not show do not exist. Only of a Secret that a read found
    /// during the list, and that is newer than all that was known when the list began, nothing is known: it may have
    /// been created after the moment that the list shows. Returns the projects whose objects all this concerns.
    pub fn list_complete(&mut self, list: usize, in_scope: impl Fn(&ObjectKey) -> bool) -> Vec<ProjectKey> {
        let Some((left_out, newest_before)) = self.lists.complete(list) else { return Vec::new() };
        self.unwatched.remove(&list);
        let gone: Vec<ObjectKey> =
            self.records.keys().filter(|key| in_scope(key) && left_out(key)).cloned().collect();
        let mut due = Vec::new();
        for key in &gone {
            let Some(secret) = self.records.get_mut(key) else { continue };
            if secret.state.version().is_some_and(|version| version > newest_before) {
                secret.state = Known::Nothing;
                due.extend(secret.users());
            } else {
                due.extend(self.observe(key, None));
            }
        }
        due
    }

    /// What is known of a Secret.
    pub fn get(&self, key: &ObjectKey) -> Known<&SecretIdentity> {
        match self.records.get(key) {
            Some(secret) if !self.unwatched.values().any(|covers| covers(key)) => secret.state.as_ref(),
            _ => Known::Nothing,
        }
    }

    /// How these Secrets stand to `states`, an [`AppliedSecret::digest`]. Without a watch of Secrets that is never
    /// known.
    pub fn since(&self, namespace: &Arc<str>, names: &[Arc<str>], states: [u8; 16]) -> SecretsSince {
        let mut now = Vec::with_capacity(names.len());
        let mut absent = false;
        for name in names {
            let key = ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) };
            match self.get(&key) {
                Known::Nothing => return SecretsSince::Unknown,
                Known::Absent => absent = true,
                Known::Present(known) => now.push([&**name, &*known.uid, &*known.resource_version]),
            }
        }
        // A Secret that does not exist was not applied.
        if absent || AppliedSecret::digest_of(now) != states {
            SecretsSince::Changed
        } else {
            SecretsSince::Same
        }
    }
}
