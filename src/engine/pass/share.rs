//! How long each part of a pass may take.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::shared::Shared;

/// After this time a part of a pass begins nothing further. A pass has three such parts: reading credentials, the LISTs,
/// and the steps of objects. Each has a time of its own, so that a slow LIST leaves time to tell the objects of it.
const LIMIT: Duration = Duration::from_secs(5);

/// The time that one part of a pass has spent.
#[derive(Default)]
pub(super) struct Share {
    spent: Duration,
}

impl Share {
    /// Whether nothing further may begin: the time is over, or the process stops. The first thing may always begin unless
    /// the process stops, so every pass gets something done.
    pub fn is_over(&self, shared: &Shared) -> bool {
        self.spent >= LIMIT || shared.queue.is_closed()
    }

    /// Does something, and counts how long it takes.
    pub async fn spend<T>(&mut self, doing: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = doing.await;
        self.spent += begun.elapsed();
        done
    }
}
