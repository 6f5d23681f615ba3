//! What this process remembers of a project and of its objects, in addition to what the cluster stores.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::memory::Memory;
use crate::core::pacing;
use crate::domain::{Failure, FailureKind};
use crate::engine::jitter::random;

/// What is remembered of a project. The queue stores it only if there is something to remember.
#[derive(Default)]
pub(in crate::engine) struct ProjectMemory {
    /// How many passes failed to LIST since the last pass whose LISTs all succeeded.
    failures: u32,
    /// How often Atlas asked us to back off since the last pass that ended without a pause.
    limited: u32,
    /// While the pause lasts, the operator makes no call to Atlas for the project.
    pause: Option<Box<Pause>>,
    /// What is remembered of each object, by uid. Between passes there is no entry without something to remember.
    objects: HashMap<String, Memory>,
}

/// A time in which the operator makes no calls for a project.
#[derive(Clone)]
pub(in crate::engine) struct Pause {
    pub until: Instant,
    /// The failure that waiting objects report.
    pub failure: Failure,
}

impl ProjectMemory {
    /// Returns the memory of an object, and creates an empty one if there is none. [`ProjectMemory::keep_only`] drops
    /// it if it is still empty.
    pub fn object(&mut self, uid: &str) -> &mut Memory {
        self.objects.entry(uid.to_owned()).or_default()
    }

    /// Returns the memory of an object, if there is one.
    pub fn known(&self, uid: &str) -> Option<&Memory> {
        self.objects.get(uid)
    }

    /// Like [`ProjectMemory::known`], but the caller may change the memory.
    pub fn known_mut(&mut self, uid: &str) -> Option<&mut Memory> {
        self.objects.get_mut(uid)
    }

    /// Forgets the objects that are not in `uids`, and those with nothing to remember.
    pub fn keep_only<'a>(&mut self, uids: impl Iterator<Item = &'a str>) {
        if self.objects.is_empty() {
            return;
        }
        let uids: HashSet<&str> = uids.collect();
        self.objects.retain(|uid, memory| uids.contains(uid.as_str()) && *memory != Memory::default());
    }

    /// Whether there is nothing to remember.
    pub fn is_blank(&self) -> bool {
        self.failures == 0 && self.limited == 0 && self.pause.is_none() && self.objects.is_empty()
    }

    /// Returns the pause, if it is not over at `now`.
    pub fn current_pause(&mut self, now: Instant) -> Option<&Pause> {
        self.pause = self.pause.take().filter(|pause| pause.until > now);
        self.pause.as_deref()
    }

    /// Pauses the project for the time `wait`. Waiting objects report `failure`.
    pub fn begin_pause(&mut self, wait: Duration, failure: Failure) {
        self.pause = Some(Box::new(Pause { until: Instant::now() + wait, failure }));
    }

    /// Begins a pause if Atlas asked us to back off: by a 429, or by any answer with `Retry-After`. Returns the length
    /// of the pause. A failure to get a token (`without_call`) begins no pause: it concerns only one account and must
    /// not delay objects with other credentials.
    pub fn pause_if_asked(&mut self, failure: &Failure) -> Option<Duration> {
        if failure.without_call {
            return None;
        }
        let wait = match (failure.retry_after, failure.kind) {
            (Some(wait), _) => wait,
            // Atlas did not say how long to wait. The pause takes some seconds at first, and more each time it happens
            // again.
            (None, FailureKind::RateLimited) => pacing::backoff(self.limited.saturating_add(4), random()),
            (None, _) => return None,
        };
        self.limited = self.limited.saturating_add(1);
        self.begin_pause(wait, failure.clone());
        Some(wait)
    }

    /// Resets the count of limited calls: a pass ended without a pause.
    pub fn reset_limited(&mut self) {
        self.limited = 0;
    }

    /// Notes how the LISTs of a pass went: `failed` if at least one failed, `succeeded` if at least one succeeded.
    /// Returns how many passes in a row had failed before this pass, and how many have failed now.
    pub fn listed(&mut self, failed: bool, succeeded: bool) -> (u32, u32) {
        let before = self.failures;
        if failed {
            self.failures = self.failures.saturating_add(1);
        } else if succeeded {
            self.failures = 0;
        }
        (before, self.failures)
    }
}
