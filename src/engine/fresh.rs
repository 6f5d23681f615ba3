//! The objects that the watch has just brought, because somebody created or edited them. The pass that becomes due for
//! such an object takes it from here instead of reading it from the API server again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Stored;
use crate::domain::ObjectKey;

/// How many bytes the objects may take together, enough for about fifteen thousand. What comes when the store is full is
/// not kept: passes first need what came first.
const MOST_BYTES: usize = 24 << 20;
/// How long an object that no pass has taken is kept. Thousands that are created at once wait for minutes.
const LIFETIME: Duration = Duration::from_secs(600);

/// Such objects, each until one pass takes it, the watch brings it again or it grows old.
#[derive(Default)]
pub(super) struct Fresh {
    objects: HashMap<ObjectKey, (Instant, Box<Stored>)>,
    bytes: usize,
}

impl Fresh {
    /// Keeps an object in place of an earlier state of it.
    pub fn put(&mut self, stored: Box<Stored>, now: Instant) {
        let key = &stored.object.key;
        self.take(key);
        let bytes = self.bytes.saturating_add(stored.bytes());
        if bytes <= MOST_BYTES {
            self.bytes = bytes;
            self.objects.insert(key.clone(), (now, stored));
        }
    }

    /// Takes an object out.
    pub fn take(&mut self, key: &ObjectKey) -> Option<Box<Stored>> {
        let (_, stored) = self.objects.remove(key)?;
        self.bytes = self.bytes.saturating_sub(stored.bytes());
        Some(stored)
    }

    /// Drops what has grown old.
    pub fn forget_old(&mut self, now: Instant) {
        self.objects.retain(|_, (came, _)| now.saturating_duration_since(*came) < LIFETIME);
        self.bytes = self.objects.values().map(|(_, stored)| stored.bytes()).sum();
        self.objects.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: usize) -> ObjectKey {
        ObjectKey { namespace: "ns".into(), name: name.to_string().into() }
    }

    /// An object of this name and version, with a template of so many bytes.
    fn stored(name: usize, version: u32, bytes: usize) -> Box<Stored> {
        let template = "x".repeat(bytes);
        let object = serde_json::json!({
            "metadata": {"name": name.to_string(), "namespace": "ns", "uid": "u",
                "resourceVersion": version.to_string()},
            "spec": {"webhook": {"bodyTemplate": template}}
        });
        Box::new(Stored::testing(object).expect("an object"))
    }

    fn version(fresh: &mut Fresh, name: usize) -> Option<String> {
        fresh.take(&key(name)).map(|stored| stored.object.resource_version)
    }

    #[test]
    fn an_object_is_taken_once_and_in_its_last_state() {
        let (mut fresh, now) = (Fresh::default(), Instant::now());
        fresh.put(stored(1, 5, 0), now);
        fresh.put(stored(1, 6, 0), now);
        fresh.put(stored(2, 7, 0), now);
        assert_eq!(version(&mut fresh, 1), Some("6".to_owned()));
        assert_eq!(version(&mut fresh, 1), None);
        assert_eq!(version(&mut fresh, 2), Some("7".to_owned()));
        assert_eq!(fresh.bytes, 0);
    }

    #[test]
    fn what_came_first_is_kept_and_never_more_than_fits() {
        let (mut fresh, now) = (Fresh::default(), Instant::now());
        for name in 0..100 {
            fresh.put(stored(name, 1, 1 << 20), now);
        }
        assert!((1..=24).contains(&fresh.objects.len()), "{}", fresh.objects.len());
        assert!(fresh.bytes <= MOST_BYTES);
        assert!(version(&mut fresh, 0).is_some() && version(&mut fresh, 99).is_none());
        fresh.put(stored(99, 1, 0), now);
        assert!(version(&mut fresh, 99).is_some(), "there is room again");
        fresh.put(stored(1, 2, 32 << 20), now);
        assert_eq!(version(&mut fresh, 1), None, "the earlier state is of no use either");
    }

    #[test]
    fn what_no_pass_takes_grows_old() {
        let (mut fresh, now) = (Fresh::default(), Instant::now());
        fresh.put(stored(1, 1, 0), now);
        fresh.put(stored(2, 1, 0), now + LIFETIME / 2);
        fresh.forget_old(now + LIFETIME);
        assert_eq!((version(&mut fresh, 1), version(&mut fresh, 2)), (None, Some("1".to_owned())));
        assert_eq!(fresh.bytes, 0);
    }
}
