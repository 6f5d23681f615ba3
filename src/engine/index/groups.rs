//! What belongs together: the objects of a project, and the projects that use a Secret. Most groups have one member and
//! need no allocation, some have ten, and a few have a hundred thousand.

use std::collections::{BTreeMap, btree_map};

use super::record::ProjectKey;
use crate::domain::ObjectKey;

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
    // In a box, so that the usual case takes no more than it needs.
    #[expect(clippy::box_collection)]
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
