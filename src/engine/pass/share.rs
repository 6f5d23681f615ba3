//! How long each part of a pass may take.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use crate::engine::shared::Shared;

/// After this time a part of a pass begins nothing further. A pass has three such parts: reading credentials, the LISTs,
/// and the steps of objects. Each has a time of its own, so that a slow LIST leaves time to tell the objects of it.
const LIMIT: Duration = Duration::from_secs(5);

/// The LISTs of credentials with which nothing was written yet have less time. A tenant may bring as many of them into a
/// project of others as there are objects, and meanwhile an edit in this project waits for the end of the pass.
const UNPROVEN: Duration = Duration::from_millis(500);

/// The time that one part of a pass may spend, and has spent.
pub(super) struct Share {
    limit: Duration,
    spent: Duration,
}

impl Default for Share {
    fn default() -> Share {
        Share { limit: LIMIT, spent: Duration::ZERO }
    }
}

impl Share {
    /// For the LISTs of credentials with which nothing was written yet.
    pub fn of_unproven() -> Share {
        Share { limit: UNPROVEN, spent: Duration::ZERO }
    }

    /// Whether nothing further may begin: the time is over, or the process stops. The first thing may always begin unless
    /// the process stops, so every pass gets something done.
    pub fn is_over(&self, shared: &Shared) -> bool {
        self.spent >= self.limit || shared.queue.is_closed()
    }

    /// Does something, and counts how long it takes. This is no `async fn`, since that would hold the future `doing` twice,
    /// and each worker has room for the largest of all steps.
    pub fn spend<T>(&mut self, doing: impl Future<Output = T>) -> impl Future<Output = T> {
        let begun = Instant::now();
        doing.inspect(move |_| self.spent += begun.elapsed())
    }
}
