//! Decides how the integration in Atlas compares with what we sent, while it is ours: what somebody else has changed
//! since (drift, which is repaired), and what Atlas keeps otherwise although it confirmed our write (which another write
//! would not change).
//!
//! Three forms are compared: what was sent with the last confirmed write; the echo, which is what Atlas showed when the
//! operator last found nothing to repair; and the entry that Atlas shows now.

use crate::domain::{
    Comparison, ConditionType, Field, IntegrationType, Object, Redacted, RedactedValue, compare,
    compare_values, unnamed,
};

/// The reason of InSync while Atlas keeps something otherwise than the last confirmed write asked for.
pub const NOT_ACCEPTED: &str = "NotAcceptedByAtlas";

/// What Atlas keeps otherwise than the last confirmed write asked for, by the names of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Atlas was sent a value and shows its own.
    pub otherwise: Vec<String>,
    /// Atlas was sent no value, and keeps an earlier one that is not its default.
    pub unnamed: Vec<String>,
}

impl Kept {
    /// Whether Atlas holds everything as it was sent.
    pub fn is_empty(&self) -> bool {
        self.otherwise.is_empty() && self.unnamed.is_empty()
    }

    /// What Atlas keeps, as the end of a sentence about Atlas.
    pub fn words(&self) -> String {
        let part = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("keeps {what}: {}", names.join(", ")))
        };
        let parts =
            [part("its own value in", &self.otherwise), part("what the spec does not name", &self.unnamed)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; and ")
    }
}

/// What was sent with the last write that Atlas confirmed, if that is recorded.
fn sent(object: &Object) -> Option<&Redacted> {
    let confirmed = object.applied()?.attempt.as_deref()?;
    object.attempt().filter(|attempt| attempt.id == confirmed)?.sent.as_ref()
}

/// Returns the fields, `id` included, in which somebody else has changed the integration since the operator last found
/// nothing to repair. `entry` is what Atlas shows now. A field is drift in these cases:
///
/// - Atlas shows another value than in the echo. It is no drift if the value is equal to the one that was sent, or is the
///   default where none was sent: then another write would not change it. What was sent may not tell, since a short key
///   is masked as a whole; then the two answers alone decide.
/// - Atlas shows another value than was sent, and the echo did not tell. If the echo showed that value too, Atlas keeps
///   its own value, and another write would not change that.
/// - Ids are missing, as in version 1.0 of the API, which leaves out `false`: then a flag that comes or goes was changed.
///   Where Atlas shows ids, a new id tells whether somebody wrote, and a flag that comes or goes is only shown or hidden.
pub fn drift(object: &Object, kind: IntegrationType, entry: &Redacted) -> Vec<String> {
    let Some(echo) = &object.status.integration else { return Vec::new() };
    let sent = sent(object).unwrap_or(echo);
    let ids_tell = [echo, entry].iter().all(|form| form.0.contains_key("id"));
    let drifted = |field: &&Field| {
        let (was, is, asked) = (echo.0.get(field.atlas), entry.0.get(field.atlas), sent.0.get(field.atlas));
        let since = compare_values(field.atlas, was, is);
        let to_asked = |shown| compare_values(field.atlas, asked, shown);
        let changed = match (asked, since) {
            (_, Comparison::Equal) => false,
            (Some(_), Comparison::Different) => to_asked(is) != Comparison::Equal,
            (Some(_), Comparison::Untold) => {
                to_asked(is) == Comparison::Different && to_asked(was) != Comparison::Different
            }
            (None, Comparison::Different) => is.is_some_and(|is| !field.is_default(is)),
            (None, Comparison::Untold) => false,
        };
        let on = Some(&RedactedValue::Bool(true));
        let came_or_went =
            (was.is_none() && is == on && asked.is_none()) || (was == on && is.is_none() && asked == on);
        changed || (came_or_went && !ids_tell)
    };
    let fields = kind.settable_fields().filter(drifted).map(|field| field.atlas);
    let rolled = ids_tell && compare("id", echo, entry) == Comparison::Different;
    rolled.then_some("id").into_iter().chain(fields).map(str::to_owned).collect()
}

/// Returns the values that are Atlas's own choice: nothing was sent for them with the last confirmed write. Either Atlas
/// showed them while the object was in sync, or it has begun to show them in `entry`, which nobody else has written since.
/// `sending` is what is about to be sent, and `config` the hash of its settings. If a later attempt has taken the place of
/// the record of what was sent, an equal hash still tells which fields that were.
pub fn choices(object: &Object, (config, sending): (&str, &Redacted), entry: Option<&Redacted>) -> Redacted {
    let Some(applied) = object.applied() else { return chosen_at_creation(object, entry) };
    let same_config = applied.config.as_deref() == Some(config);
    let sent = sent(object).or_else(|| same_config.then_some(sending));
    let (Some(sent), Some(echo)) = (sent, &object.status.integration) else {
        return Redacted::default();
    };
    let shown = echo.0.iter().filter(|_| in_sync(object));
    let same = entry.filter(|entry| compare("id", echo, entry) != Comparison::Different);
    let begun = same.into_iter().flat_map(|entry| &entry.0).filter(|(name, _)| !echo.0.contains_key(*name));
    let own = shown.chain(begun).filter(|(name, _)| !sent.0.contains_key(*name));
    Redacted(own.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Returns what Atlas chose when it created the integration of an object that knows of no confirmed write: all that
/// `entry` shows and no write has named.
fn chosen_at_creation(object: &Object, entry: Option<&Redacted>) -> Redacted {
    let sent =
        object.attempt().filter(|_| object.own_claim().is_some()).and_then(|begun| begun.sent.as_ref());
    let (Some(entry), Some(sent)) = (entry, sent) else { return Redacted::default() };
    let own = entry.0.iter().filter(|(name, _)| !sent.0.contains_key(*name));
    Redacted(own.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Whether the status does not report that Atlas keeps something otherwise. While the object is suspended, Atlas can't be
/// read or a repair waits, the status reports that instead, and what Atlas chose stays its choice.
fn in_sync(object: &Object) -> bool {
    object.status.condition(ConditionType::InSync).is_none_or(|said| said.reason != NOT_ACCEPTED)
}

/// Returns what Atlas keeps otherwise according to its answer `after` a write of `sent`. `before` is what it showed
/// before the write, if there was an integration, and `choices` are the values that were its own choice then. A field
/// that was not sent is kept if the write did not change it, unless it is such a choice. What Atlas shows after a creation
/// is its choice too.
pub fn kept(
    kind: IntegrationType,
    sent: &Redacted,
    (before, choices): (Option<&Redacted>, &Redacted),
    after: &Redacted,
) -> Kept {
    let differs = |name: &&str| compare(name, sent, after) == Comparison::Different;
    let otherwise = kind.settable_fields().map(|field| field.atlas).filter(differs);
    let stays = |form: &Redacted, name: &str| {
        form.0.contains_key(name) && compare(name, form, after) != Comparison::Different
    };
    let unnamed = unnamed(kind, |name| sent.0.contains_key(name), after)
        .into_iter()
        .filter(|name| before.is_some_and(|before| stays(before, name)) && !stays(choices, name));
    Kept { otherwise: otherwise.map(str::to_owned).collect(), unnamed: unnamed.collect() }
}

/// Returns what Atlas still keeps otherwise although there is nothing to repair. As long as the status says that all is
/// in sync, nothing that was not sent counts: Atlas shows its own choice, or has begun to show the field.
pub fn standing(object: &Object, kind: IntegrationType, entry: &Redacted) -> Kept {
    let Some(sent) = sent(object) else { return Kept::default() };
    let before = object.status.integration.as_ref().filter(|_| !in_sync(object));
    kept(kind, sent, (before, &Redacted::default()), entry)
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
