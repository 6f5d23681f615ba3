//! A turn: the permission to run a pass over one project, together with all that this process remembers of the project.
//! The queue hands the turn to a pass by value, so only that pass can change it.

mod memory;
mod project;

pub(super) use memory::{Memory, Signature};
pub(super) use project::{Pause, ProjectMemory};

use tokio::time::Instant;

use super::index::ProjectKey;
use crate::atlas;
use crate::core::pacing;
use crate::domain::{Failure, FailureKind};

/// The permission to run one pass over a project.
pub(super) struct Turn {
    key: ProjectKey,
    /// What is remembered of the project and its objects.
    pub memory: ProjectMemory,
    /// When the next pass is due if nothing else makes one due earlier.
    next: Option<Instant>,
}

impl Turn {
    /// Creates the turn of a project. `memory` is what the last turn remembered.
    pub fn new(key: ProjectKey, memory: ProjectMemory) -> Turn {
        Turn { key, memory, next: None }
    }

    /// The project.
    pub fn key(&self) -> &ProjectKey {
        &self.key
    }

    /// Makes a pass due at `at`. If one is due earlier already, that does not change.
    pub fn look_again(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Makes the next pass due at `at`, even if an earlier one was due before. This is for a pass that has panicked.
    pub fn look_again_only(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// Makes a pass due at the end of the pause, if there is one. Without this the queue would forget a project that
    /// has no objects, and with it the pause, which also holds for objects that are created meanwhile.
    pub fn outlast_pause(&mut self) {
        if let Some(until) = self.memory.current_pause(Instant::now()).map(|pause| pause.until) {
            self.look_again(until);
        }
    }

    /// Makes a pass due as soon as the queue allows the next one.
    pub fn look_again_now(&mut self) {
        self.look_again(Instant::now());
    }

    /// Pauses the project if Atlas asked us to back off; see [`ProjectMemory::pause_if_asked`].
    pub fn pause_if_asked(&mut self, failure: &Failure) {
        if let (Some(project), Some(wait)) = (&self.key, self.memory.pause_if_asked(failure)) {
            let seconds = wait.as_secs();
            tracing::info!(%project, seconds, "no call to the project for a while: {}", failure.message);
        }
    }

    /// Returns the pause of the project, if it is paused now. Begins a pause if the last answer of Atlas left little of
    /// the project's token bucket.
    pub fn check_pause(&mut self, atlas: &atlas::Client) -> Option<Pause> {
        let project = self.key.as_ref()?;
        let budget = atlas.take_budget(project);
        let now = Instant::now();
        if self.memory.current_pause(now).is_none()
            && let Some(wait) = budget.and_then(|budget| pacing::reserve_wait(budget.limit, budget.remaining))
        {
            let message = "the project's rate of requests is nearly used up, and the rest is left to people; the \
                           operator goes on by itself";
            tracing::info!(%project, seconds = wait.as_secs(), "{message}");
            self.memory.begin_pause(wait, Failure::known(FailureKind::RateLimited, message));
        }
        self.memory.current_pause(now).cloned()
    }

    /// The memory of an object; see [`ProjectMemory::object`].
    pub fn object(&mut self, uid: &str) -> &mut Memory {
        self.memory.object(uid)
    }

    /// Ends the turn. Returns the project, what is remembered of it, and when the next pass is due.
    pub fn end(self) -> (ProjectKey, ProjectMemory, Option<Instant>) {
        (self.key, self.memory, self.next)
    }
}
