//! The integrations of one project, as Atlas really stores them. Nothing is masked here.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::catalog;
use crate::random;

/// A stored integration.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: String,
    /// All fields except `id` and `type`.
    pub fields: Map<String, Value>,
    hidden: Option<Hidden>,
}

/// Why reads miss an entry for now.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    until: Instant,
    reads: u32,
}

/// All entries, in the order of results.
#[derive(Clone, Debug, Default)]
pub struct Store(BTreeMap<(usize, String), Entry>);

impl Store {
    pub fn get(&self, kind: &str) -> Option<&Entry> {
        self.0.get(&key(kind))
    }

    /// Every entry with its type.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|((_, kind), entry)| (kind.as_str(), entry))
    }

    /// Stores the fields. The entry keeps its id if it has one and `roll` is off.
    pub fn put(&mut self, kind: &str, fields: Map<String, Value>, roll: bool) {
        let kept = if roll { None } else { self.get(kind).map(|entry| entry.id.clone()) };
        let id = kept.unwrap_or_else(random::object_id);
        self.0.insert(key(kind), Entry { id, fields, hidden: None });
    }

    pub fn remove(&mut self, kind: &str) -> bool {
        self.0.remove(&key(kind)).is_some()
    }

    /// Gives every entry a new id.
    pub fn roll_ids(&mut self) {
        self.0.values_mut().for_each(|entry| entry.id = random::object_id());
    }

    /// Lets reads miss an entry until the time has come and so many reads are used up.
    pub fn hide(&mut self, kind: &str, until: Instant, reads: u32) {
        if let Some(entry) = self.0.get_mut(&key(kind)) {
            entry.hidden = Some(Hidden { until, reads });
        }
    }

    /// Whether a read misses this entry now.
    pub fn is_hidden(&self, kind: &str, now: Instant) -> bool {
        self.get(kind)
            .and_then(|entry| entry.hidden)
            .is_some_and(|hidden| hidden.reads > 0 || now < hidden.until)
    }

    /// Notes that a read has missed what is hidden.
    pub fn note_read(&mut self) {
        for entry in self.0.values_mut() {
            if let Some(hidden) = &mut entry.hidden {
                hidden.reads = hidden.reads.saturating_sub(1);
            }
        }
    }

    /// An entry as one JSON object, secrets in clear.
    pub fn plain(&self, kind: &str) -> Option<Value> {
        self.get(kind).map(|entry| {
            let mut object = entry.fields.clone();
            object.insert("id".to_owned(), entry.id.clone().into());
            object.insert("type".to_owned(), kind.into());
            Value::Object(object)
        })
    }

    /// Replaces the fields by those of a JSON object as [`Store::plain`] gives it; id and type stay.
    pub fn set_plain(&mut self, kind: &str, value: Value) {
        let (Some(entry), Value::Object(mut fields)) = (self.0.get_mut(&key(kind)), value) else { return };
        fields.remove("id");
        fields.remove("type");
        entry.fields = fields;
    }
}

fn key(kind: &str) -> (usize, String) {
    (catalog::order(kind), kind.to_owned())
}
