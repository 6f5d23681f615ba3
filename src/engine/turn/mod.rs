//! A turn: a project, with all that this process remembers of it. The queue hands it to a pass by value, so whoever
//! holds it may change it, and nobody else can.

mod memory;
mod project;

pub(super) use memory::{Memory, Signature};
pub(super) use project::{Pause, ProjectMemory};

use tokio::time::Instant;

use super::index::ProjectKey;
use crate::atlas;
use crate::core::pacing;
use crate::domain::{Failure, FailureKind};

/// One pass's hold of a project.
pub(super) struct Turn {
    key: ProjectKey,
    /// What is remembered of the project and its objects.
    pub memory: ProjectMemory,
    /// When a pass is due again without any other cause.
    next: Option<Instant>,
}

impl Turn {
    /// A turn of a project; `memory` is what the last turn remembered.
    pub fn new(key: ProjectKey, memory: ProjectMemory) -> Turn {
        Turn { key, memory, next: None }
    }

    /// The project.
    pub fn key(&self) -> &ProjectKey {
        &self.key
    }

    /// A pass is due at `at`, or earlier if one is due earlier already.
    pub fn look_again(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// A pass is due at `at`, whatever was said before: the pass that holds the turn has panicked.
    pub fn look_again_only(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// A project without objects is remembered until its pause is over, for objects that come meanwhile.
    pub fn outlast_pause(&mut self) {
        if let Some(until) = self.memory.current_pause(Instant::now()).map(|pause| pause.until) {
            self.look_again(until);
        }
    }

    /// A pass is due as soon as the queue allows the next one.
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

    /// The pause of the project, if it has one now. A pause begins here when the last answer of Atlas left little of
    /// the project's rate.
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

    /// Ends the turn: the project, what is remembered of it, and when a pass is due again.
    pub fn end(self) -> (ProjectKey, ProjectMemory, Option<Instant>) {
        (self.key, self.memory, self.next)
    }
}
