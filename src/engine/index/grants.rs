//! What Namespaces are granted: the projects for which their objects may use the operator's own credentials.

use std::collections::{BTreeSet, HashMap};

use crate::cluster::Grant;
use crate::domain::ProjectId;

/// Projects by the name of the Namespace; a Namespace without projects has no entry.
type Projects = HashMap<String, BTreeSet<ProjectId>>;

/// The grants, as the watch of Namespaces tells them.
#[derive(Default)]
pub(super) struct Grants {
    /// `None` while Namespaces are not watched: then each is read when it matters.
    known: Option<Projects>,
    /// What a list that is under way has shown.
    listing: Option<Projects>,
}

impl Grants {
    /// Whether a Namespace is granted a project; `None` while Namespaces are not watched.
    pub fn get(&self, namespace: &str, project: &ProjectId) -> Option<bool> {
        let known = self.known.as_ref()?;
        Some(known.get(namespace).is_some_and(|projects| projects.contains(project)))
    }

    /// A list begins.
    pub fn list_begins(&mut self) {
        self.listing = Some(Projects::new());
    }

    /// Takes a Namespace from the watch. Returns the projects that were granted to it or withdrawn.
    pub fn observe(&mut self, grant: Grant) -> Vec<ProjectId> {
        if let Some(listing) = &mut self.listing {
            set(listing, grant);
            return Vec::new();
        }
        let projects = grant.projects.clone();
        let before = set(self.known.get_or_insert_default(), grant);
        before.symmetric_difference(&projects).cloned().collect()
    }

    /// A list is complete: a Namespace that it did not show is granted nothing. Returns the projects that were granted
    /// or withdrawn since the last list.
    pub fn list_complete(&mut self) -> Vec<ProjectId> {
        let Some(new) = self.listing.take() else { return Vec::new() };
        let old = self.known.take().unwrap_or_default();
        let none = BTreeSet::new();
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = names.into_iter().flat_map(|name| {
            old.get(name).unwrap_or(&none).symmetric_difference(new.get(name).unwrap_or(&none))
        });
        let changed = changed.cloned().collect();
        self.known = Some(new);
        changed
    }

    /// Namespaces may not be watched.
    pub fn unwatched(&mut self) {
        *self = Grants::default();
    }
}

/// Notes what a Namespace is granted. Returns what it was granted before.
fn set(grants: &mut Projects, Grant { namespace, projects }: Grant) -> BTreeSet<ProjectId> {
    let before =
        if projects.is_empty() { grants.remove(&namespace) } else { grants.insert(namespace, projects) };
    before.unwrap_or_default()
}
