//! Every read and write of an `AtlasIntegration` object. The index learns of each in the same call, and whatever that
//! makes due is queued; nothing else holds the writer.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::index::{Index, Record};
use super::queue::Queue;
use crate::cluster::{Stored, WriteError, Writer};
use crate::domain::{Attempt, Claim, ObjectKey, Status};

/// The objects in the API server.
pub(super) struct Store {
    writer: Writer,
    index: Arc<Mutex<Index>>,
    queue: Arc<Queue>,
}

impl Store {
    pub fn new(writer: Writer, index: Arc<Mutex<Index>>, queue: Arc<Queue>) -> Store {
        Store { writer, index, queue }
    }

    /// The object as it is now; `None` if it does not exist. What this read is ahead of the watch in, the watch will
    /// not tell again, so the projects that it makes due are queued: the reading pass's own project too, since that
    /// pass may have begun from an older view.
    ///
    /// # Errors
    /// [`WriteError::Server`].
    pub async fn read(&self, key: &ObjectKey) -> Result<Option<Stored>, WriteError> {
        let found = self.writer.get(key).await?;
        if let Some(stored) = &found {
            let due = self.index.lock().refresh(&stored.object);
            self.queue.add(due);
        }
        Ok(found)
    }

    /// Stores the claim: finalizer and annotation in one patch, the fence of the first write.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn claim(&self, stored: &Stored, claim: &Claim) -> Result<Stored, WriteError> {
        self.wrote(self.writer.claim(stored, claim).await)
    }

    /// Stores a fresh attempt, the fence of every later write.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn attempt(&self, stored: &Stored, attempt: &Attempt) -> Result<Stored, WriteError> {
        self.wrote(self.writer.fence(stored, attempt).await)
    }

    /// Stores a status.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn status(&self, stored: &Stored, status: &Status) -> Result<Stored, WriteError> {
        self.wrote(self.writer.status(stored, status).await)
    }

    /// Gives the claim up, or lets an object go that is being deleted. Objects that waited for the same place in Atlas
    /// are queued.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn release(&self, stored: &Stored) -> Result<Stored, WriteError> {
        let after = self.wrote(self.writer.release(stored, Timestamp::now()).await)?;
        let object = &stored.object;
        if let Ok(spec) = &object.spec {
            let key = Some(spec.project.clone());
            let kind = spec.integration.integration_type();
            let rival = |record: &Record| record.uid != object.uid && record.kind() == Some(kind);
            let waited_for = self.index.lock().of_project(&key).iter().any(rival);
            self.queue.add(waited_for.then_some(key));
        }
        Ok(after)
    }

    /// The object of this record does not exist any more. Returns whether the index still had it: the watch has not
    /// told yet.
    pub fn gone(&self, record: &Record) -> bool {
        let mut index = self.index.lock();
        let known = index.of_project(&record.project).iter().any(|now| now.uid == record.uid);
        known && index.remove(&record.key).is_some()
    }

    /// Whether the kind itself is being removed; see [`Writer::crd_terminating`].
    ///
    /// # Errors
    /// [`WriteError::Server`].
    pub async fn crd_terminating(&self) -> Result<bool, WriteError> {
        self.writer.crd_terminating().await
    }

    fn wrote(&self, written: Result<Stored, WriteError>) -> Result<Stored, WriteError> {
        if let Ok(stored) = &written {
            self.index.lock().wrote(&stored.object);
        }
        written
    }
}
