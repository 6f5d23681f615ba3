//! Uids, states of Secrets and names in few bytes and without allocations of their own, since a cluster may have 100,000
//! of each. To the API's promise a uid and a resourceVersion are just texts, so those of another form than usual are
//! kept as texts.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::record::ProjectKey;
use crate::cluster::SecretIdentity;
use crate::domain::{ObjectKey, hex};

/// `metadata.uid` of an object: usually the 36 characters of a UUID.
#[derive(Clone, Debug)]
pub(in crate::engine) enum Uid {
    Usual([u8; 36]),
    Other(Box<str>),
}

impl Uid {
    pub fn new(text: &str) -> Uid {
        text.as_bytes().try_into().map_or_else(|_| Uid::Other(text.into()), Uid::Usual)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            // They were taken from a text.
            Uid::Usual(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Uid::Other(text) => text,
        }
    }
}

impl Deref for Uid {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Uid {
    fn eq(&self, other: &Uid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<Uid> for String {
    fn eq(&self, other: &Uid) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<String> for Uid {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

/// A [`SecretIdentity`]: usually a UUID and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Usual { uid: [u8; 16], version: u64 },
    Other(Box<SecretIdentity>),
}

impl State {
    pub fn new(identity: SecretIdentity) -> State {
        let usual = || {
            let version = identity.resource_version.parse().ok()?;
            let uid = hex::pack(identity.uid.bytes().filter(|byte| *byte != b'-'))?;
            Some(State::Usual { uid, version })
        };
        // Not every text that could be read this way is what would be written.
        let usual = usual().filter(|state| state.identity() == identity);
        usual.unwrap_or_else(|| State::Other(Box::new(identity)))
    }

    pub fn identity(&self) -> SecretIdentity {
        match self {
            State::Usual { uid, version } => {
                let mut text = String::with_capacity(36);
                for (at, digit) in hex::unpack(uid).enumerate() {
                    if matches!(at, 8 | 12 | 16 | 20) {
                        text.push('-');
                    }
                    text.push(digit);
                }
                SecretIdentity { uid: text, resource_version: version.to_string() }
            }
            State::Other(identity) => SecretIdentity::clone(identity),
        }
    }

    /// The resourceVersion as the number that it is.
    pub fn version(&self) -> u64 {
        match self {
            State::Usual { version, .. } => *version,
            State::Other(identity) => super::lists::version(&identity.resource_version),
        }
    }

    pub fn is_of_the_secret_of(&self, other: &State) -> bool {
        match (self, other) {
            (State::Usual { uid, .. }, State::Usual { uid: other, .. }) => uid == other,
            _ => self.identity().uid == other.identity().uid,
        }
    }
}

/// Names of Secrets. Nearly always it is one.
#[derive(Clone, Debug)]
pub(in crate::engine) enum Names {
    One(Arc<str>),
    Other(Box<[Arc<str>]>),
}

impl FromIterator<Arc<str>> for Names {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(names: I) -> Names {
        let names: Vec<Arc<str>> = names.into_iter().collect();
        <[Arc<str>; 1]>::try_from(names)
            .map_or_else(|names| Names::Other(names.into()), |[name]| Names::One(name))
    }
}

impl Deref for Names {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Other(names) => names,
        }
    }
}

impl DerefMut for Names {
    fn deref_mut(&mut self) -> &mut [Arc<str>] {
        match self {
            Names::One(name) => std::slice::from_mut(name),
            Names::Other(names) => names,
        }
    }
}

/// The objects of a project, in order. It is rarely more than ten.
pub(super) enum Members {
    One(ObjectKey),
    Many(Vec<ObjectKey>),
}

impl Members {
    pub fn as_slice(&self) -> &[ObjectKey] {
        match self {
            Members::One(key) => std::slice::from_ref(key),
            Members::Many(keys) => keys,
        }
    }

    /// Adds an object that is not there yet.
    pub fn add(&mut self, key: ObjectKey) {
        match self {
            Members::One(other) if key < *other => *self = Members::Many(vec![key, other.clone()]),
            Members::One(other) => *self = Members::Many(vec![other.clone(), key]),
            Members::Many(keys) => {
                // Without a reserve, which a `Vec` would make, but for the few projects that have very many.
                if keys.len() < 32 {
                    keys.reserve_exact(1);
                }
                let at = keys.partition_point(|known| *known < key);
                keys.insert(at, key);
            }
        }
    }

    /// Takes an object out. Returns whether none is left.
    pub fn remove(&mut self, key: &ObjectKey) -> bool {
        match self {
            Members::One(known) => known == key,
            Members::Many(keys) => {
                if let Ok(at) = keys.binary_search(key) {
                    keys.remove(at);
                }
                keys.is_empty()
            }
        }
    }
}

/// The projects whose objects refer to a Secret, each with how many of its objects do. A Secret of settings has one, that
/// of credentials may have all of the cluster.
#[derive(Default)]
pub(super) enum Users {
    #[default]
    None,
    One(ProjectKey, u32),
    Many(Box<BTreeMap<ProjectKey, u32>>),
}

impl Users {
    pub fn add(&mut self, project: &ProjectKey) {
        match self {
            Users::None => *self = Users::One(project.clone(), 1),
            Users::One(known, count) if known == project => *count += 1,
            Users::One(known, count) => {
                let both = [(known.take(), *count), (project.clone(), 1)];
                *self = Users::Many(Box::new(both.into()));
            }
            Users::Many(counts) => *counts.entry(project.clone()).or_default() += 1,
        }
    }

    pub fn remove(&mut self, project: &ProjectKey) {
        match self {
            Users::None => {}
            Users::One(known, count) => {
                if known == project {
                    *count -= 1;
                    if *count == 0 {
                        *self = Users::None;
                    }
                }
            }
            Users::Many(counts) => {
                if let btree_map::Entry::Occupied(mut count) = counts.entry(project.clone()) {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
                if counts.is_empty() {
                    *self = Users::None;
                }
            }
        }
    }

    pub fn are_none(&self) -> bool {
        matches!(self, Users::None)
    }

    /// The projects, in order.
    pub fn projects(&self) -> Vec<ProjectKey> {
        match self {
            Users::None => Vec::new(),
            Users::One(project, _) => vec![project.clone()],
            Users::Many(counts) => counts.keys().cloned().collect(),
        }
    }
}
