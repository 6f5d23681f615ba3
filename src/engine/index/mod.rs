//! What is known of the cluster, compactly: a record for each object, the identity of each Secret that an object refers
//! to, and what Namespaces are granted. It holds no specs and no statuses: a pass reads an object again when it has
//! something to do for it.

mod compact;
mod grants;
mod groups;
mod lists;
mod record;
mod secrets;
mod table;

pub(super) use record::{ProjectKey, Record};
pub(super) use secrets::{Known, Secrets, compare};

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use grants::Grants;
use groups::Members;
use lists::{Lists, version};
use table::Table;

use crate::cluster::{Grant, Part};
use crate::domain::{Carried, Object, ObjectKey, ProjectId, SecretsSince};

/// The index. Plain data: watches feed it with events, and passes ask it.
#[derive(Default)]
pub(super) struct Index {
    objects: Table<Record>,
    projects: HashMap<ProjectKey, Members>,
    lists: Lists,
    /// The Secrets that objects refer to.
    pub secrets: Secrets,
    grants: Grants,
    /// The Secret with the operator's own credentials.
    operator_secret: Option<ObjectKey>,
}

impl Index {
    /// An index of nothing; `operator_secret` has the operator's own credentials.
    pub fn new(operator_secret: Option<ObjectKey>) -> Index {
        Index { operator_secret, ..Index::default() }
    }

    /// Takes an object from watch number `list`. Returns the projects that a pass is due for. Where the API server went
    /// back in time, what was known of the object is void.
    pub fn observe_from(&mut self, list: usize, object: &Object) -> Vec<ProjectKey> {
        let shows = version(&object.resource_version);
        let went_back =
            |known: &Record| self.lists.went_back(list, known.mark, known.resource_version, shows);
        if self.objects.get(&object.key).is_some_and(went_back) {
            self.unlink(&object.key);
        }
        self.observe(object)
    }

    /// Takes an object. Returns the projects that a pass is due for.
    pub fn observe(&mut self, object: &Object) -> Vec<ProjectKey> {
        let due = self.take(object);
        let lists = &self.lists;
        self.objects.change(&object.key, |record| record.mark = lists.saw(record.mark));
        due
    }

    fn take(&mut self, object: &Object) -> Vec<ProjectKey> {
        let new = Record::new(object);
        let Some(old) = self.objects.get(&new.key) else {
            let project = new.project();
            self.insert(new);
            return vec![project];
        };
        // An older event is stale even if it is about a different object of the same name.
        if new.resource_version <= old.resource_version {
            return Vec::new();
        }
        let mut due = Vec::new();
        if new.asks_for_pass(old) {
            let (before, now) = (old.project(), new.project());
            due.push(now.clone());
            if before != now {
                due.push(before);
            }
        }
        self.insert(new);
        due
    }

    /// Takes a fresh read of an object that is known. Returns the projects that a pass is due for because the read is
    /// ahead of the watch, which will not tell the same again. An object that is not known stays unknown: the watch has
    /// taken it out, perhaps because another operator's selector matches it now. For a list that is under way the read
    /// proves nothing: the object may have gone after the read and before the list, and no watch tells of that.
    pub fn refresh(&mut self, object: &Object) -> Vec<ProjectKey> {
        if self.objects.get(&object.key).is_some() { self.take(object) } else { Vec::new() }
    }

    /// Whether nothing newer is known of the object.
    pub fn is_newest(&self, object: &Object) -> bool {
        self.is_at(&object.key, &object.uid, version(&object.resource_version))
    }

    /// Whether this is the newest resourceVersion that is known of the object.
    pub fn is_at(&self, key: &ObjectKey, uid: &str, version: u64) -> bool {
        self.objects.get(key).is_some_and(|record| *record.uid == *uid && record.resource_version == version)
    }

    /// Takes what an own write returned, at once: a later pass must not plan from an older view. If another object has
    /// the name by then, the write tells nothing about that object.
    pub fn wrote(&mut self, object: &Object) {
        let new = Record::new(object);
        let newer = self
            .objects
            .get(&new.key)
            .is_some_and(|old| old.uid == new.uid && new.resource_version >= old.resource_version);
        if !newer {
            return;
        }
        if object.deleting && !object.finalizer {
            self.remove(&new.key);
        } else {
            self.insert(new);
        }
    }

    /// The last write of this object that Atlas confirmed to this process.
    pub fn confirmed(&self, key: &ObjectKey, uid: &str) -> Option<Carried> {
        self.objects.get(key).filter(|record| *record.uid == *uid)?.confirmed
    }

    /// Notes that a write was confirmed, or (`None`) that one is on its way.
    pub fn confirm(&mut self, key: &ObjectKey, uid: &str, write: Option<Carried>) {
        self.objects.change(key, |record| {
            if *record.uid == *uid {
                record.confirmed = write;
            }
        });
    }

    fn insert(&mut self, mut record: Record) {
        let old = self.unlink(&record.key);
        record.mark = self.lists.learned(old.as_ref().map(|old| old.mark).unwrap_or_default());
        record.confirmed = old.filter(|old| old.uid == record.uid).and_then(|old| old.confirmed);
        if let Some(namespace) = self.objects.shared_namespace(&record.key.namespace) {
            record.key.namespace = Arc::clone(namespace);
        }
        for secret in record.secret_keys(self.operator_secret.as_ref()) {
            if let Some(known) = self.secrets.key_of(&secret) {
                record.share(known);
            }
        }
        let project = record.project();
        match self.projects.entry(project.clone()) {
            Entry::Vacant(members) => {
                members.insert(Members::One(record.key.clone()));
            }
            Entry::Occupied(mut members) => members.get_mut().add(record.key.clone()),
        }
        for secret in record.secret_keys(self.operator_secret.as_ref()) {
            self.secrets.used_in(secret, &project);
        }
        self.objects.insert(record);
    }

    /// Forgets an object. Returns its project, if it was known.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<ProjectKey> {
        self.unlink(key).map(|record| record.project())
    }

    fn unlink(&mut self, key: &ObjectKey) -> Option<Record> {
        let record = self.objects.remove(key)?;
        let project = record.project();
        if self.projects.get_mut(&project).is_some_and(|members| members.remove(key)) {
            self.projects.remove(&project);
        }
        for secret in record.secret_keys(self.operator_secret.as_ref()) {
            self.secrets.unused_in(&secret, &project);
        }
        Some(record)
    }

    /// A list of objects begins.
    pub fn list_begins(&mut self, list: usize) {
        self.lists.begins(list);
    }

    /// A list of the objects in a part of the cluster is complete: those that it did not show are gone. Returns the
    /// projects that lost an object.
    pub fn list_complete(&mut self, list: usize, part: &Part) -> Vec<ProjectKey> {
        let Some(began) = self.lists.complete(list) else { return Vec::new() };
        let left_out = self.objects.within(part).filter(|record| record.mark.is_left_out(began));
        let gone: Vec<ObjectKey> = left_out.map(|record| record.key.clone()).collect();
        gone.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// How the Secrets of an object's settings stand to `states`, a digest.
    pub fn secrets_since(&self, record: &Record, states: [u8; 16]) -> SecretsSince {
        self.secrets.since(&record.key.namespace, &record.secrets, states)
    }

    /// Whether a Namespace is granted a project, as its watch says; `None` while Namespaces are not watched.
    pub fn grants(&self, namespace: &str, project: &ProjectId) -> Option<bool> {
        self.grants.get(namespace, project)
    }

    /// A list of Namespaces begins.
    pub fn namespace_list_begins(&mut self) {
        self.grants.list_begins();
    }

    /// Takes a Namespace from the watch. Returns the projects that were granted to it or withdrawn.
    pub fn observe_namespace(&mut self, grant: Grant) -> Vec<ProjectKey> {
        let changed = self.grants.observe(grant);
        self.known_projects(changed)
    }

    /// A list of Namespaces is complete. Returns the projects that were granted or withdrawn since the last one.
    pub fn namespace_list_complete(&mut self) -> Vec<ProjectKey> {
        let changed = self.grants.list_complete();
        self.known_projects(changed)
    }

    /// Namespaces may not be watched.
    pub fn namespaces_unwatched(&mut self) {
        self.grants.unwatched();
    }

    fn known_projects(&self, projects: Vec<ProjectId>) -> Vec<ProjectKey> {
        projects.into_iter().map(Some).filter(|project| self.projects.contains_key(project)).collect()
    }

    /// For each object a stamp of all by which somebody asks for a look at it: its spec, requests and deletion, and the states
    /// of its Secrets as far as they are known. An equal stamp means that nothing of that has changed.
    pub fn stamps(&self, records: &[Record]) -> Vec<u64> {
        let stamp = |record: &Record| {
            let mut stamp = DefaultHasher::new();
            record.stamp(&mut stamp);
            for secret in record.secret_keys(self.operator_secret.as_ref()) {
                self.secrets.get(&secret).hash(&mut stamp);
            }
            stamp.finish()
        };
        records.iter().map(stamp).collect()
    }

    /// The records of a project, in the order of their keys.
    pub fn of_project(&self, project: &ProjectKey) -> Vec<Record> {
        self.objects_of(project).cloned().collect()
    }

    /// The namespace of a project's oldest object, so that nobody moves a project of others into another namespace by
    /// a new object; `None` if the project has no objects.
    pub fn home(&self, project: &ProjectKey) -> Option<Arc<str>> {
        let oldest = self.objects_of(project).min_by_key(|record| (record.created, &record.key))?;
        Some(Arc::clone(&oldest.key.namespace))
    }

    /// Every project that has an object, with its home and whether one of its objects owes something.
    pub fn projects(&self) -> Vec<(ProjectKey, Arc<str>, bool)> {
        let all = self.projects.keys().filter_map(|project| {
            let owes = self.objects_of(project).any(|record| record.quiet.is_none());
            Some((project.clone(), self.home(project)?, owes))
        });
        all.collect()
    }

    fn objects_of(&self, project: &ProjectKey) -> impl Iterator<Item = &Record> {
        let keys = self.projects.get(project).map(Members::as_slice).unwrap_or_default();
        keys.iter().filter_map(|key| self.objects.get(key))
    }

    /// Forgets the Secrets to which no object refers any more, and gives back the room of what is gone.
    pub fn forget_unused(&mut self) {
        self.secrets.forget_unused();
        self.objects.retain(|_| true);
        if self.projects.capacity() > 4 * self.projects.len() {
            self.projects.shrink_to(2 * self.projects.len());
        }
    }

    /// How many objects and projects there are.
    pub fn size(&self) -> (usize, usize) {
        (self.objects.len(), self.projects.len())
    }
}

#[cfg(test)]
mod secrets_tests;
#[cfg(test)]
mod tests;
