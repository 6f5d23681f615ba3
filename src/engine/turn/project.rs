//! What this process remembers of a project and of its objects, apart from what the cluster stores.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::memory::Memory;
use crate::core::pacing;
use crate::domain::{Failure, FailureKind};
use crate::engine::jitter::random;

/// The memory of a project. The queue stores none for a project of which there is nothing to remember.
#[derive(Default)]
pub(in crate::engine) struct ProjectMemory {
    /// How many passes failed to LIST since the last pass whose LISTs all succeeded.
    failures: u32,
    /// How many calls Atlas limited since the last pass that ended without a pause.
    limited: u32,
    /// While this lasts, no call is made to Atlas for the project.
    pause: Option<Box<Pause>>,
    /// The memories of objects, by uid. An object with nothing to remember has none between passes.
    objects: HashMap<String, Memory>,
}

/// A time without calls to a project.
#[derive(Clone)]
pub(in crate::engine) struct Pause {
    pub until: Instant,
    /// The failure that waiting objects report.
    pub failure: Failure,
}

impl ProjectMemory {
    /// The memory of an object, created empty if it has none. [`ProjectMemory::keep_only`] drops it if it is still empty.
    pub fn object(&mut self, uid: &str) -> &mut Memory {
        self.objects.entry(uid.to_owned()).or_default()
    }

    /// The memory of an object, if it has one.
    pub fn known(&self, uid: &str) -> Option<&Memory> {
        self.objects.get(uid)
    }

    /// The same, to change it.
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

    /// The pause, if there is one now.
    pub fn current_pause(&mut self, now: Instant) -> Option<&Pause> {
        self.pause = self.pause.take().filter(|pause| pause.until > now);
        self.pause.as_deref()
    }

    /// Begins a pause of this length.
    pub fn begin_pause(&mut self, wait: Duration, failure: Failure) {
        self.pause = Some(Box::new(Pause { until: Instant::now() + wait, failure }));
    }

    /// Begins a pause if Atlas asked us to back off: by a 429, or with any answer that says `Retry-After`. Returns the
    /// length of the pause. A failure to get a token (`without_call`) concerns only that account and must not delay
    /// objects with other credentials.
    pub fn pause_if_asked(&mut self, failure: &Failure) -> Option<Duration> {
        if failure.without_call {
            return None;
        }
        let wait = match (failure.retry_after, failure.kind) {
            (Some(wait), _) => wait,
            // Atlas did not say how long: some seconds at first, more when it happens again.
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

    /// Notes how the LISTs of a pass went: `failed` if at least one failed, `succeeded` if at least one succeeded. Returns
    /// how many passes in a row failed without this pass, and with it.
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
