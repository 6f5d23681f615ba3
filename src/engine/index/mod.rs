//! What is known of the cluster, compactly: a record per object, the identity of each Secret that an object refers
//! to, and what Namespaces are granted. No specs, no statuses: a pass reads an object again when it has something to
//! do for it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::cluster::{Grant, SecretIdentity};
use crate::core::plan::deletion_without_atlas;
use crate::core::quiet::{Quiet, quiet};
use crate::domain::{
    AdoptionPolicy, AppliedSecret, Carried, ConditionStatus, ConditionType, CredentialsRef, IntegrationType,
    ManagementPolicy, Object, ObjectKey, ProjectId,
};

/// What a valid spec contributes.
#[derive(Clone, Debug)]
pub(super) struct SpecRecord {
    pub kind: IntegrationType,
    pub credentials: CredentialsRef,
    pub management: ManagementPolicy,
    pub adoption: AdoptionPolicy,
    pub suspend: bool,
}

/// One object, compactly.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub key: ObjectKey,
    pub uid: String,
    pub resource_version: u64,
    pub generation: i64,
    pub created: Timestamp,
    pub deleting: bool,
    pub applied: bool,
    pub claimed: bool,
    /// Whether the object is deleting and needs no Atlas for it.
    pub leaves_alone: bool,
    /// The project; none when the spec can't be read.
    pub project: Option<ProjectId>,
    /// None when the spec can't be read.
    pub spec: Option<SpecRecord>,
    /// Names of the Secrets that the settings refer to.
    pub secrets: Box<[Arc<str>]>,
    /// Set while nothing is owed.
    pub quiet: Option<Quiet>,
    /// Whether its status says that Atlas could not be read for a while.
    pub sync_unknown: bool,
    /// The last write that was confirmed to this process: a Secret that changed without changing a value causes none.
    /// Void when a request leaves.
    confirmed: Option<Carried>,
    /// What a change of makes a pass due: see [`Record::asks_for_pass`].
    requests: Option<Box<Requests>>,
}

/// The annotations that ask for a look, and for a write.
type Requests = (Option<String>, Option<String>);

impl Record {
    fn new(object: &Object) -> Record {
        let spec = object.spec.as_ref().ok();
        let secrets = spec
            .filter(|spec| spec.management == ManagementPolicy::Manage)
            .map(|spec| spec.integration.secret_names().into_iter().map(Arc::from).collect())
            .unwrap_or_default();
        Record {
            key: object.key.clone(),
            uid: object.uid.clone(),
            resource_version: version(&object.resource_version),
            generation: object.generation,
            created: object.created,
            deleting: object.deleting,
            applied: object.applied().is_some(),
            claimed: object.own_claim().is_some(),
            leaves_alone: deletion_without_atlas(object, false).is_some(),
            project: spec.map(|spec| spec.project.clone()),
            spec: spec.map(|spec| SpecRecord {
                kind: spec.integration.integration_type(),
                credentials: spec.credentials.clone(),
                management: spec.management,
                adoption: spec.adoption,
                suspend: spec.suspend,
            }),
            secrets,
            quiet: quiet(object),
            sync_unknown: object
                .status
                .condition(ConditionType::InSync)
                .is_some_and(|condition| condition.status == ConditionStatus::Unknown),
            confirmed: None,
            requests: requests(object),
        }
    }

    /// Whether somebody else's change is to be looked at now: another object, spec, deletion or request, or a
    /// claim that was taken away. Our own writes to claim and status ask for nothing.
    fn asks_for_pass(&self, before: &Record) -> bool {
        self.uid != before.uid
            || self.generation != before.generation
            || self.deleting != before.deleting
            || self.requests != before.requests
            || (before.claimed && !self.claimed)
    }
}

/// Most objects are asked for nothing.
fn requests(object: &Object) -> Option<Box<Requests>> {
    let requests = (object.reconcile_requested.clone(), object.rewrite_requested.clone());
    (requests != Requests::default()).then(|| Box::new(requests))
}

/// A Secret that some object refers to.
#[derive(Default)]
struct SecretRecord {
    /// Its identity: `None` unknown, `Some(None)` known to be absent.
    identity: Option<Option<SecretIdentity>>,
    /// The places whose objects refer to it, in order, each with how many do.
    users: Vec<(Place, u32)>,
}

impl SecretRecord {
    fn used_in(&mut self, place: &Place) {
        match self.users.binary_search_by(|(known, _)| known.cmp(place)) {
            Ok(at) => self.users[at].1 += 1,
            Err(at) => self.users.insert(at, (place.clone(), 1)),
        }
    }

    fn unused_in(&mut self, place: &Place) {
        if let Ok(at) = self.users.binary_search_by(|(known, _)| known.cmp(place)) {
            self.users[at].1 -= 1;
            if self.users[at].1 == 0 {
                self.users.remove(at);
            }
        }
    }
}

/// The queue's key: a project, or the objects whose spec can't be read.
pub(super) type Place = Option<ProjectId>;

/// The index. Plain data: fed with events, asked by passes.
#[derive(Default)]
pub(super) struct Index {
    objects: HashMap<ObjectKey, Box<Record>>,
    places: HashMap<Place, BTreeSet<ObjectKey>>,
    secrets: HashMap<ObjectKey, SecretRecord>,
    /// Keys seen by each list that is under way.
    listing: HashMap<usize, HashSet<ObjectKey>>,
    listing_secrets: HashMap<usize, HashSet<ObjectKey>>,
    /// The newest version that was known of any object, or any Secret, when each such list began.
    known_before: HashMap<usize, u64>,
    known_before_secrets: HashMap<usize, u64>,
    /// The watches of Secrets that are not allowed: while there is one, nothing is known of any Secret, and each is
    /// read when it matters.
    unwatched: HashSet<usize>,
    /// The Secret with the operator's own credentials.
    operator_secret: Option<ObjectKey>,
    /// What Namespaces are granted; `None` while they are not watched: then each is read when it matters.
    grants: Option<Grants>,
    /// What a list of Namespaces that is under way has shown.
    listing_grants: Option<Grants>,
}

/// Projects by the name of the Namespace; no entry where there are none.
type Grants = HashMap<String, BTreeSet<ProjectId>>;

impl Index {
    /// An index of nothing; `operator_secret` has the operator's own credentials.
    pub fn new(operator_secret: Option<ObjectKey>) -> Index {
        Index { operator_secret, ..Index::default() }
    }

    /// Takes an object from watch number `list`. A list shows what is: where it is older than what was known before
    /// it began, the API server went back in time (etcd was restored), and what was known is void.
    pub fn observe_from(&mut self, list: usize, object: &Object) -> Vec<Place> {
        let went_back = self.known_before.get(&list).is_some_and(|newest| {
            self.objects.get(&object.key).is_some_and(|old| {
                old.resource_version <= *newest && version(&object.resource_version) < old.resource_version
            })
        });
        if went_back {
            self.unlink(&object.key);
        }
        self.observe(object)
    }

    /// Takes an object; answers the places that a pass is due for.
    pub fn observe(&mut self, object: &Object) -> Vec<Place> {
        let new = Record::new(object);
        for seen in self.listing.values_mut() {
            seen.insert(new.key.clone());
        }
        let Some(old) = self.objects.get(&new.key) else {
            let place = new.project.clone();
            self.insert(new);
            return vec![place];
        };
        // Of another object of the name, too, what is older is over.
        if new.resource_version <= old.resource_version {
            return Vec::new();
        }
        let mut due = Vec::new();
        if new.asks_for_pass(old) {
            due.push(new.project.clone());
            if old.project != new.project {
                due.push(old.project.clone());
            }
        }
        self.insert(new);
        due
    }

    /// Takes a fresh read of an object that is known; answers the places that a pass is due for because of what
    /// the read is ahead of the watch, which will not tell it again. What is not known stays so: the watch has
    /// taken it out, perhaps because another operator's selector matches it now.
    pub fn refresh(&mut self, object: &Object) -> Vec<Place> {
        if self.objects.contains_key(&object.key) { self.observe(object) } else { Vec::new() }
    }

    /// Takes what an own write returned, at once: a later pass must not plan from an older view. Where another object
    /// has the name since, that one is what counts.
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

    /// The last write of this object that was confirmed to this process.
    pub fn confirmed(&self, key: &ObjectKey, uid: &str) -> Option<Carried> {
        self.objects.get(key).filter(|record| record.uid == uid)?.confirmed
    }

    /// Notes that a write was confirmed, or that one is on its way.
    pub fn confirm(&mut self, key: &ObjectKey, uid: &str, write: Option<Carried>) {
        if let Some(record) = self.objects.get_mut(key).filter(|record| record.uid == uid) {
            record.confirmed = write;
        }
    }

    fn insert(&mut self, mut record: Record) {
        let old = self.unlink(&record.key).filter(|old| old.uid == record.uid);
        record.confirmed = old.and_then(|old| old.confirmed);
        self.share(&mut record);
        self.places.entry(record.project.clone()).or_default().insert(record.key.clone());
        for secret in self.secret_keys(&record) {
            self.secrets.entry(secret).or_default().used_in(&record.project);
        }
        self.objects.insert(record.key.clone(), Box::new(record));
    }

    /// Lets a record share the names that it has in common with others: thousands may have one namespace and one
    /// Secret of credentials.
    fn share(&self, record: &mut Record) {
        for own in self.secret_keys(record) {
            let Some((known, _)) = self.secrets.get_key_value(&own) else { continue };
            if known.namespace == record.key.namespace {
                record.key.namespace = Arc::clone(&known.namespace);
            }
            let credentials = record.spec.as_mut().map(|spec| &mut spec.credentials);
            let credentials = credentials.and_then(|credentials| match credentials {
                CredentialsRef::Secret(name) => Some(name),
                CredentialsRef::Operator => None,
            });
            for name in record.secrets.iter_mut().chain(credentials).filter(|name| **name == known.name) {
                *name = Arc::clone(&known.name);
            }
        }
    }

    /// Forgets an object; answers its place, if it had one.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Place> {
        self.unlink(key).map(|record| record.project)
    }

    fn unlink(&mut self, key: &ObjectKey) -> Option<Record> {
        let record = *self.objects.remove(key)?;
        if let Some(keys) = self.places.get_mut(&record.project) {
            keys.remove(key);
            if keys.is_empty() {
                self.places.remove(&record.project);
            }
        }
        for secret in self.secret_keys(&record) {
            if let Some(known) = self.secrets.get_mut(&secret) {
                known.unused_in(&record.project);
            }
        }
        Some(record)
    }

    /// The Secrets that a record refers to, credentials included.
    fn secret_keys(&self, record: &Record) -> Vec<ObjectKey> {
        let namespace = &record.key.namespace;
        let settings = record
            .secrets
            .iter()
            .map(|name| ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) });
        let credentials =
            record.spec.as_ref().and_then(|s| s.credentials.secret(namespace, self.operator_secret.as_ref()));
        settings.chain(credentials).collect()
    }

    /// Drops Secrets that no object refers to any more.
    pub fn forget_unused_secrets(&mut self) {
        self.secrets.retain(|_, secret| !secret.users.is_empty());
    }

    /// A list of objects begins.
    pub fn list_begins(&mut self, list: usize) {
        self.listing.insert(list, HashSet::new());
        let newest = self.objects.values().map(|record| record.resource_version).max();
        self.known_before.insert(list, newest.unwrap_or_default());
    }

    /// A list of objects is complete: what belongs to its scope and was not in it is gone. Answers the places that
    /// lost an object.
    pub fn list_complete(&mut self, list: usize, in_scope: impl Fn(&ObjectKey) -> bool) -> Vec<Place> {
        self.known_before.remove(&list);
        let Some(seen) = self.listing.remove(&list) else { return Vec::new() };
        let gone: Vec<ObjectKey> =
            self.objects.keys().filter(|key| in_scope(key) && !seen.contains(key)).cloned().collect();
        gone.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes a Secret's identity from watch number `list`, which may have gone back in time as objects may.
    pub fn observe_secret_from(
        &mut self,
        list: usize,
        key: &ObjectKey,
        identity: SecretIdentity,
    ) -> Vec<Place> {
        let newest = self.known_before_secrets.get(&list).copied().unwrap_or_default();
        let mut due = Vec::new();
        if let Some(Some(Some(known))) = self.secrets.get(key).map(|secret| &secret.identity)
            && version(&known.resource_version) <= newest
            && version(&identity.resource_version) < version(&known.resource_version)
        {
            due = self.observe_secret(key, None);
        }
        due.extend(self.observe_secret(key, Some(identity)));
        due
    }

    /// Takes a Secret's identity from the watch; answers the places whose objects a change of it concerns.
    pub fn observe_secret(&mut self, key: &ObjectKey, identity: Option<SecretIdentity>) -> Vec<Place> {
        for seen in self.listing_secrets.values_mut() {
            seen.insert(key.clone());
        }
        let Some(secret) = self.secrets.get_mut(key) else { return Vec::new() };
        let identity = Some(identity);
        if secret.identity == identity || is_older(&identity, &secret.identity) {
            return Vec::new();
        }
        // What was not known before was not relied on: whoever needs it is due already, and will read it.
        let news = secret.identity.is_some();
        secret.identity = identity;
        if !news {
            return Vec::new();
        }
        secret.users.iter().map(|(place, _)| place.clone()).collect()
    }

    /// Notes what a read of a Secret found, where nothing was known. A change is the watch's to tell, since it
    /// tells it to every object that refers to the Secret.
    pub fn read_secret(&mut self, key: &ObjectKey, identity: Option<SecretIdentity>) {
        if let Some(secret) = self.secrets.get_mut(key)
            && secret.identity.is_none()
        {
            secret.identity = Some(identity);
        }
    }

    /// The nth watch of Secrets is not allowed.
    pub fn secrets_unwatched(&mut self, list: usize) {
        self.unwatched.insert(list);
    }

    /// Whether an object refers to this Secret.
    pub fn refers_to_secret(&self, key: &ObjectKey) -> bool {
        self.secrets.contains_key(key)
    }

    /// A list of Secrets begins.
    pub fn secret_list_begins(&mut self, list: usize) {
        self.listing_secrets.insert(list, HashSet::new());
        let known = self.secrets.values().filter_map(|secret| secret.identity.as_ref()?.as_ref());
        let newest = known.map(|identity| version(&identity.resource_version)).max();
        self.known_before_secrets.insert(list, newest.unwrap_or_default());
    }

    /// A list of Secrets is complete: those of its scope that it did not show are absent.
    pub fn secret_list_complete(&mut self, list: usize, in_scope: impl Fn(&ObjectKey) -> bool) -> Vec<Place> {
        self.known_before_secrets.remove(&list);
        let Some(seen) = self.listing_secrets.remove(&list) else { return Vec::new() };
        self.unwatched.remove(&list);
        let gone: Vec<ObjectKey> =
            self.secrets.keys().filter(|key| in_scope(key) && !seen.contains(key)).cloned().collect();
        gone.iter().flat_map(|key| self.observe_secret(key, None)).collect()
    }

    /// What is known of a Secret: `None` nothing, `Some(None)` that it is absent.
    pub fn secret(&self, key: &ObjectKey) -> Option<Option<&SecretIdentity>> {
        if !self.unwatched.is_empty() {
            return None;
        }
        self.secrets.get(key)?.identity.as_ref().map(Option::as_ref)
    }

    /// Whether these Secrets are in another state than `states`, an [`AppliedSecret::digest`]; `None` while that is not
    /// known, which without a watch of Secrets it never is.
    pub fn secrets_changed(
        &self,
        namespace: &Arc<str>,
        names: &[Arc<str>],
        states: [u8; 16],
    ) -> Option<bool> {
        let now = names.iter().map(|name| {
            let key = ObjectKey { namespace: Arc::clone(namespace), name: Arc::clone(name) };
            Some(self.secret(&key)?.map(|known| [&**name, &*known.uid, &*known.resource_version]))
        });
        // One that is absent was not applied.
        let now = now.collect::<Option<Vec<_>>>()?.into_iter().collect::<Option<Vec<_>>>();
        Some(now.is_none_or(|now| AppliedSecret::digest_of(now) != states))
    }

    /// Whether a Namespace is granted a project, as its watch says; `None` where Namespaces are not watched.
    pub fn grants(&self, namespace: &str, project: &ProjectId) -> Option<bool> {
        let grants = self.grants.as_ref()?;
        Some(grants.get(namespace).is_some_and(|projects| projects.contains(project)))
    }

    /// A list of Namespaces begins.
    pub fn namespace_list_begins(&mut self) {
        self.listing_grants = Some(Grants::new());
    }

    /// Takes a Namespace from the watch; answers the places that were granted to it or withdrawn.
    pub fn observe_namespace(&mut self, grant: Grant) -> Vec<Place> {
        if let Some(listing) = &mut self.listing_grants {
            set(listing, grant);
            return Vec::new();
        }
        let grants = self.grants.get_or_insert_default();
        let projects = grant.projects.clone();
        let before = set(grants, grant);
        self.known_places(before.symmetric_difference(&projects))
    }

    /// A list of Namespaces is complete: one that it did not show is granted nothing. Answers the places that were
    /// granted or withdrawn since the last.
    pub fn namespace_list_complete(&mut self) -> Vec<Place> {
        let Some(new) = self.listing_grants.take() else { return Vec::new() };
        let old = self.grants.replace(new.clone()).unwrap_or_default();
        let none = BTreeSet::new();
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = names.into_iter().flat_map(|name| {
            old.get(name).unwrap_or(&none).symmetric_difference(new.get(name).unwrap_or(&none))
        });
        self.known_places(changed)
    }

    /// Namespaces may not be watched.
    pub fn namespaces_unwatched(&mut self) {
        self.grants = None;
        self.listing_grants = None;
    }

    fn known_places<'a>(&self, projects: impl Iterator<Item = &'a ProjectId>) -> Vec<Place> {
        projects
            .map(|project| Some(project.clone()))
            .filter(|place| self.places.contains_key(place))
            .collect()
    }

    /// The records of a place, in the order of their keys.
    pub fn place(&self, place: &Place) -> Vec<Record> {
        let keys = self.places.get(place);
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.objects.get(key))
            .map(|record| Record::clone(record))
            .collect()
    }

    /// Every place that has an object.
    pub fn places(&self) -> Vec<Place> {
        self.places.keys().cloned().collect()
    }

    /// All records, for counts.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.objects.values().map(AsRef::as_ref)
    }
}

/// A read and the watch race; the newer resourceVersion of one Secret wins.
fn is_older(new: &Option<Option<SecretIdentity>>, known: &Option<Option<SecretIdentity>>) -> bool {
    match (new, known) {
        (Some(Some(new)), Some(Some(known))) => {
            new.uid == known.uid && version(&new.resource_version) < version(&known.resource_version)
        }
        _ => false,
    }
}

/// A resourceVersion as the number that it is.
fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or_default()
}

/// Notes what a Namespace is granted; answers what it was before.
fn set(grants: &mut Grants, Grant { namespace, projects }: Grant) -> BTreeSet<ProjectId> {
    let before =
        if projects.is_empty() { grants.remove(&namespace) } else { grants.insert(namespace, projects) };
    before.unwrap_or_default()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
