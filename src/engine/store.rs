//! Makes every read and write of an `AtlasIntegration` object. The same call also updates the index, and queues the
//! projects that become due. Nothing else holds the writer, so no read or write can bypass the index.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::fresh::Fresh;
use super::index::{Index, Record};
use super::queue::Queue;
use crate::cluster::{Stored, WriteError, Writer};
use crate::domain::{Attempt, Claim, ObjectKey, Status};

/// The objects in the API server.
pub(super) struct Store {
    writer: Writer,
    index: Arc<Mutex<Index>>,
    queue: Arc<Queue>,
    fresh: Mutex<Fresh>,
}

impl Store {
    pub fn new(writer: Writer, index: Arc<Mutex<Index>>, queue: Arc<Queue>) -> Store {
        Store { writer, index, queue, fresh: Mutex::default() }
    }

    /// The watch has brought this object. If it made a pass due, because somebody else created or changed the object,
    /// [`Store::newest`] returns it to that pass. An earlier state of the object is of no use any more.
    pub fn brought(&self, stored: Box<Stored>, made_due: bool) {
        let mut fresh = self.fresh.lock();
        if made_due {
            fresh.put(stored, Instant::now());
        } else {
            fresh.take(&stored.object.key);
        }
    }

    /// The watch has told that this object is gone.
    pub fn ended(&self, key: &ObjectKey) {
        self.fresh.lock().take(key);
    }

    /// A list begins, perhaps since the API server has gone back in time: what the watch has brought before may never
    /// have been.
    pub fn doubted(&self) {
        *self.fresh.lock() = Fresh::default();
    }

    /// Forgets objects that the watch has brought and no pass has taken.
    pub fn forget_old(&self) {
        self.fresh.lock().forget_old(Instant::now());
    }

    /// Returns the object as the watch has just brought it, if nothing newer is known, and else reads it. For the plan of
    /// a pass, both are the same: each write that follows names this resourceVersion, so it fails, before anything
    /// reaches Atlas, unless the object has had this very state all the time.
    ///
    /// # Errors
    /// [`WriteError::Server`].
    pub async fn newest(&self, key: &ObjectKey) -> Result<Option<Stored>, WriteError> {
        let brought = self.fresh.lock().take(key);
        match brought.filter(|stored| self.index.lock().is_newest(&stored.object)) {
            Some(stored) => Ok(Some(*stored)),
            None => self.read(key).await,
        }
    }

    /// Reads the object as it is now; returns `None` if it does not exist. The read may show a change that the watch
    /// has not brought yet. Once the index knows the change, the watch makes nothing due for it any more, so this
    /// function queues the affected projects. It also queues the project of the pass that reads, since that pass may
    /// have begun with an older view.
    ///
    /// # Errors
    /// [`WriteError::Server`].
    pub async fn read(&self, key: &ObjectKey) -> Result<Option<Stored>, WriteError> {
        let found = self.writer.get(key).await?;
        if let Some(stored) = &found {
            let due = self.index.lock().refresh(&stored.object);
            self.queue.ask(&stored.object.key.namespace, due);
        }
        Ok(found)
    }

    /// Stores the claim, which is the finalizer and the annotation, in one patch.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn claim(&self, stored: &Stored, claim: &Claim) -> Result<Stored, WriteError> {
        self.wrote(self.writer.claim(stored, claim).await)
    }

    /// Stores a fresh attempt. It is the fence of every write but the first.
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

    /// Gives up the claim. If the object is being deleted, this lets it go. If other objects are for the same place in
    /// Atlas, queues their project, since they may have waited for it.
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
            self.queue.ask(&object.key.namespace, waited_for.then_some(key));
        }
        Ok(after)
    }

    /// Takes an object that does not exist any more out of the index. Returns whether the index still had it, because
    /// the watch has not reported its end yet.
    pub fn gone(&self, record: &Record) -> bool {
        let mut index = self.index.lock();
        let known = index.of_project(&record.project()).iter().any(|now| now.uid == record.uid);
        known && index.remove(&record.key).is_some()
    }

    /// Whether our CRD is being deleted; see [`Writer::crd_terminating`].
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
