//! The identity of each Secret that an object refers to, and the projects that a change of it concerns.

use std::collections::HashMap;
use std::sync::Arc;

use super::compact::State;
use super::groups::Users;
use super::lists::{Lists, Mark, version};
use super::record::ProjectKey;
use super::table::{Keyed, Table};
use crate::cluster::{Part, SecretIdentity};
use crate::domain::{AppliedSecret, ObjectKey, SecretsSince};

/// What is known of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Known::Nothing => Known::Nothing,
            Known::Absent => Known::Absent,
            Known::Present(state) => Known::Present(map(state)),
        }
    }

    /// What is known after a read or a list that found this.
    pub fn found(found: Option<T>) -> Known<T> {
        found.map_or(Known::Absent, Known::Present)
    }
}

impl Known<State> {
    fn version(&self) -> Option<u64> {
        match self {
            Known::Present(state) => Some(state.version()),
            Known::Nothing | Known::Absent => None,
        }
    }

    /// Whether this is an older state of the same Secret. A read and the watch race, and the newer resourceVersion
    /// wins.
    fn is_older_than(&self, known: &Known<State>) -> bool {
        match (self, known) {
            (Known::Present(new), Known::Present(old)) => {
                new.is_of_the_secret_of(old) && new.version() < old.version()
            }
            _ => false,
        }
    }
}

/// A Secret that some object refers to.
struct SecretRecord {
    key: ObjectKey,
    state: Known<State>,
    users: Users,
    mark: Mark,
}

impl SecretRecord {
    /// Takes that a list, which `began` then, did not show it. Returns the projects that this concerns.
    fn is_left_out(&mut self, began: u32) -> Vec<ProjectKey> {
        let now = if self.mark.is_older(began) { Known::Absent } else { Known::Nothing };
        match self.state {
            Known::Present(_) => {
                self.state = now;
                self.users.projects()
            }
            Known::Nothing => {
                self.state = now;
                Vec::new()
            }
            Known::Absent => Vec::new(),
        }
    }
}

impl Keyed for SecretRecord {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
}

/// The Secrets that objects refer to.
#[derive(Default)]
pub(in crate::engine) struct Secrets {
    records: Table<SecretRecord>,
    lists: Lists,
    /// The watches of Secrets that are not allowed, by number, and which Secrets each would show. Nothing is known of
    /// these Secrets, and each is read when it matters.
    unwatched: HashMap<usize, Part>,
}

impl Secrets {
    /// An object of `project` refers to a Secret.
    pub(super) fn used_in(&mut self, key: ObjectKey, project: &ProjectKey) {
        if self.records.change(&key, |secret| secret.users.add(project)).is_none() {
            let mark = self.lists.learned(Mark::default());
            self.records.insert(SecretRecord {
                key,
                state: Known::Nothing,
                users: Users::One(project.clone(), 1),
                mark,
            });
        }
    }

    /// An object of `project` does not refer to a Secret any more.
    pub(super) fn unused_in(&mut self, key: &ObjectKey, project: &ProjectKey) {
        self.records.change(key, |secret| secret.users.remove(project));
    }

    /// The key under which a Secret is remembered.
    pub(super) fn key_of(&self, key: &ObjectKey) -> Option<&ObjectKey> {
        self.records.get(key).map(|secret| &secret.key)
    }

    /// Drops the Secrets that no object refers to any more.
    pub(super) fn forget_unused(&mut self) {
        self.records.retain(|secret| !secret.users.are_none());
    }

    /// Takes a Secret's identity from watch number `list`. Returns the projects whose objects a change of it concerns.
    /// Like objects, Secrets may go back in time.
    pub fn observe_from(
        &mut self,
        list: usize,
        key: &ObjectKey,
        identity: SecretIdentity,
    ) -> Vec<ProjectKey> {
        let Some(secret) = self.records.get(key) else { return Vec::new() };
        let shows = version(&identity.resource_version);
        let went_back =
            secret.state.version().is_some_and(|known| self.lists.went_back(list, secret.mark, known, shows));
        let mut due = if went_back { self.observe(key, None) } else { Vec::new() };
        due.extend(self.observe(key, Some(identity)));
        due
    }

    /// Takes a Secret's identity from the watch, `None` where it does not exist. Returns the projects whose objects a
    /// change of it concerns.
    pub fn observe(&mut self, key: &ObjectKey, identity: Option<SecretIdentity>) -> Vec<ProjectKey> {
        let lists = &self.lists;
        let due = self.records.change(key, |secret| {
            secret.mark = lists.saw(secret.mark);
            let state = Known::found(identity.map(State::new));
            if secret.state == state || state.is_older_than(&secret.state) {
                return Vec::new();
            }
            // Nobody relied on what was not known before: a pass that needs the Secret is due already, and will read
            // it, or reads it now and compares at the end (`read_ends`). One that failed to read it looks again.
            let relied_on = secret.state != Known::Nothing;
            secret.state = state;
            secret.mark = lists.learned(secret.mark);
            if relied_on { secret.users.projects() } else { Vec::new() }
        });
        due.unwrap_or_default()
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
        if !was_unknown {
            return Vec::new();
        }
        let found = found.map(State::new);
        let lists = &self.lists;
        let due = self.records.change(key, |secret| {
            if secret.state == Known::Nothing {
                secret.state = found;
                secret.mark = lists.learned(secret.mark);
            } else if secret.state != found {
                return secret.users.projects();
            }
            Vec::new()
        });
        due.unwrap_or_default()
    }

    /// Watch number `list` is not allowed. It would show this part of the cluster.
    pub fn unwatched(&mut self, list: usize, part: Part) {
        self.unwatched.insert(list, part);
    }

    /// Whether an object refers to this Secret.
    pub fn is_referred_to(&self, key: &ObjectKey) -> bool {
        self.records.get(key).is_some()
    }

    /// A list begins.
    pub fn list_begins(&mut self, list: usize) {
        self.lists.begins(list);
    }

    /// A list of a part of the cluster is complete: Secrets of the part that it did not show do not exist. Only of a
    /// Secret that a read found during the list nothing is known: it may have been created after the moment that the
    /// list shows. Returns the projects whose objects all this concerns.
    pub fn list_complete(&mut self, list: usize, part: &Part) -> Vec<ProjectKey> {
        let Some(began) = self.lists.complete(list) else { return Vec::new() };
        self.unwatched.remove(&list);
        let left_out = self.records.within(part).filter(|secret| secret.mark.is_left_out(began));
        let left_out: Vec<ObjectKey> = left_out.map(|secret| secret.key.clone()).collect();
        let mut due = Vec::new();
        for key in left_out {
            due.extend(self.records.change(&key, |secret| secret.is_left_out(began)).unwrap_or_default());
        }
        due
    }

    /// What is known of a Secret.
    pub fn get(&self, key: &ObjectKey) -> Known<SecretIdentity> {
        match self.records.get(key) {
            Some(secret) if !self.unwatched.values().any(|part| part.covers(key)) => {
                secret.state.clone().map(|state| state.identity())
            }
            _ => Known::Nothing,
        }
    }

    /// How these Secrets stand to `states`, an [`AppliedSecret::digest`]. Without a watch of Secrets that is never
    /// known.
    pub fn since(&self, namespace: &Arc<str>, names: &[Arc<str>], states: [u8; 16]) -> SecretsSince {
        let known = names.iter().map(|name| {
            let key = ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) };
            (&**name, self.get(&key))
        });
        compare(known, states)
    }
}

/// How Secrets, by name and what is known of each, stand to `states`, an [`AppliedSecret::digest`].
pub(in crate::engine) fn compare<'a>(
    secrets: impl IntoIterator<Item = (&'a str, Known<SecretIdentity>)>,
    states: [u8; 16],
) -> SecretsSince {
    let mut now = Vec::new();
    let (mut absent, mut unknown) = (false, false);
    for (name, known) in secrets {
        match known {
            Known::Nothing => unknown = true,
            Known::Absent => absent = true,
            Known::Present(identity) => now.push((name, identity)),
        }
    }
    let now = now.iter().map(|(name, known)| [name, &*known.uid, &*known.resource_version]).collect();
    // A Secret that does not exist was not applied.
    match unknown {
        _ if absent => SecretsSince::Changed,
        true => SecretsSince::Unknown,
        false if AppliedSecret::digest_of(now) == states => SecretsSince::Same,
        false => SecretsSince::Changed,
    }
}
