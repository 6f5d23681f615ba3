//! What an object sees of Atlas.

use std::sync::Arc;

use tokio::time::Instant;

use crate::atlas::{Listing, Session};
use crate::domain::Failure;
use crate::engine::credentials::Unreadable;

/// What an object sees of Atlas: a session and a complete LIST, or what keeps it from that.
#[derive(Clone)]
pub(in crate::engine) enum View {
    Seen(Seen),
    Blocked(Blocked),
}

/// A complete LIST.
#[derive(Clone)]
pub(in crate::engine) struct Seen {
    pub session: Arc<Session>,
    pub listing: Arc<Listing>,
    /// When it was begun.
    pub listed_at: Instant,
}

/// Why Atlas could not be read for an object.
#[derive(Clone)]
pub(in crate::engine) enum Blocked {
    /// The credentials: their Secret, or a missing grant.
    Secret(Unreadable),
    /// The LIST, under the credential of this session.
    Failure(Failure, Arc<Session>),
    /// Nothing: this pass does not look at Atlas for the object, and leaves it as it is.
    Held,
}
