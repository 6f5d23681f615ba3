//! Others who write the same integration: a second object, a person in Atlas's UI, another owner.

mod conflict;
mod drift;
mod in_sync;
mod ownership;
