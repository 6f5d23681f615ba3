//! Compares what is known of an integration, field by field: what was sent, what Atlas showed, and what it shows now.
//!
//! Each comparison has one of three results, since masks and hidden fields often leave it open whether two values are
//! equal. A field that only one side has is never a difference: Atlas began to show it or stopped showing it, or another
//! release of the operator knows more fields.

use super::integration_type::{Field, IntegrationType, Meaning, TYPES};
use super::redacted::{FieldKind, Redacted, RedactedValue, unmasked};

/// In a status in place of a template that is not the object's own.
const ANOTHER: &str = "another text";

/// What a comparison of two values of one field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both mean the same.
    Equal,
    /// They differ in what both show.
    Different,
    /// One of them is not shown, or a mask hides what would tell.
    Untold,
}

/// Compares two values of the field of this name, of what each form shows.
pub fn compare(name: &str, a: &Redacted, b: &Redacted) -> Comparison {
    compare_values(name, a.0.get(name), b.0.get(name))
}

/// Compares two values of the field of this name, of which `a` was sent or shown before `b`; `None` if the value is not
/// shown.
pub fn compare_values(name: &str, a: Option<&RedactedValue>, b: Option<&RedactedValue>) -> Comparison {
    match (a, b) {
        (None, _) | (_, None) => Comparison::Untold,
        // Atlas showed a template that was not the object's own, and may show the same now.
        (Some(RedactedValue::Text(a)), _) if a == ANOTHER && is_template(name) => Comparison::Untold,
        (Some(RedactedValue::Text(a)), Some(RedactedValue::Text(b))) => compare_texts(meaning(name), a, b),
        (Some(a), Some(b)) if a == b => Comparison::Equal,
        (Some(_), Some(_)) => Comparison::Different,
    }
}

/// Fields of one name are alike, whatever their type.
fn field(name: &str) -> Option<&'static Field> {
    TYPES.iter().flat_map(|row| row.fields).find(|field| field.atlas == name)
}

fn is_template(name: &str) -> bool {
    field(name).is_some_and(|field| field.kind == FieldKind::Template)
}

fn meaning(name: &str) -> Meaning {
    field(name).map_or(Meaning::Exact, |field| field.meaning)
}

fn compare_texts(meaning: Meaning, a: &str, b: &str) -> Comparison {
    let told = |equal| if equal { Comparison::Equal } else { Comparison::Different };
    let untold = |possible| if possible { Comparison::Untold } else { Comparison::Different };
    let ends = |whole: &str, (before, after): (&str, &str)| {
        whole.len() >= before.len() + after.len() && whole.starts_with(before) && whole.ends_with(after)
    };
    let all_masked = Some(("", ""));
    match (unmasked(a), unmasked(b)) {
        (shown, _) if a == b && shown != all_masked => Comparison::Equal,
        (None, None) => told(meaning.same(a, b)),
        (Some(shown), None) => untold(ends(b, shown)),
        (None, Some(shown)) => untold(ends(a, shown)),
        // A mask shows scheme and host of a URL, and the end of a key. It may show more of one value than of the other.
        (Some((a_before, a_after)), Some((b_before, b_after))) => untold(
            (a_before.starts_with(b_before) || b_before.starts_with(a_before))
                && (a_after.ends_with(b_after) || b_after.ends_with(a_after)),
        ),
    }
}

impl Meaning {
    /// Whether two texts mean the same. Atlas may trim white space, whatever the field.
    fn same(self, a: &str, b: &str) -> bool {
        let (a, b) = (a.trim(), b.trim());
        let number = |text: &str| text.parse::<u64>().ok();
        let channel = |text: &str| text.strip_prefix('#').unwrap_or(text).to_owned();
        match self {
            Meaning::Exact => a == b,
            Meaning::Word => a.eq_ignore_ascii_case(b),
            Meaning::Channel => channel(a).eq_ignore_ascii_case(&channel(b)),
            Meaning::Number => a == b || (number(a).is_some() && number(a) == number(b)),
        }
    }
}

impl Field {
    /// Whether this value may be what Atlas, as documented, holds where nothing was sent for the field. A secret that
    /// Atlas shows as a mask is one that it holds.
    pub fn is_default(&self, value: &RedactedValue) -> bool {
        match value {
            RedactedValue::Bool(flag) => !flag,
            RedactedValue::Text(_) if self.kind.is_secret() => false,
            RedactedValue::Text(text) => {
                let default = self.default.unwrap_or_default();
                compare_texts(self.meaning, default, text) != Comparison::Different
                    || (self.kind == FieldKind::Template && *value == self.kind.redact(""))
            }
        }
    }
}

/// The names of the fields that a spec may set, that are not `named`, and for which `entry` shows another value than
/// Atlas's default.
pub fn unnamed(kind: IntegrationType, named: impl Fn(&str) -> bool, entry: &Redacted) -> Vec<String> {
    let kept = |field: &&Field| {
        !named(field.atlas) && entry.0.get(field.atlas).is_some_and(|shown| !field.is_default(shown))
    };
    kind.settable_fields().filter(kept).map(|field| field.atlas.to_owned()).collect()
}

/// Whether Atlas may hold this value although it does not show the field. Atlas never shows a password, and version 1.0
/// of its API leaves out `false`.
fn may_be_hidden(value: &RedactedValue) -> bool {
    match value {
        RedactedValue::Bool(flag) => !flag,
        RedactedValue::Text(text) => unmasked(text) == Some(("", "")),
    }
}

/// Whether what was sent looks like a mask and is none, since the field is a text that a spec holds in clear.
fn only_looks_masked(name: &str, sent: &RedactedValue) -> bool {
    let RedactedValue::Text(text) = sent else { return false };
    unmasked(text).is_some() && field(name).is_some_and(|field| field.kind == FieldKind::Text)
}

/// Whether `entry`, which Atlas shows, can be the result of what was `sent`: a part of the proof that the integration is
/// ours. So this is stricter than a search for differences: each sent field has to agree as far as both show it, and
/// Atlas may leave out only a value that it may hide. Fields that Atlas adds (defaults, an id) do not matter. If `sent`
/// is empty, nothing was recorded, so no entry agrees.
pub fn agrees(sent: &Redacted, entry: &Redacted) -> bool {
    !sent.0.is_empty()
        && sent.0.iter().all(|(name, sent)| match entry.0.get(name) {
            Some(shown) if only_looks_masked(name, sent) => sent == shown,
            Some(shown) => compare_values(name, Some(sent), Some(shown)) != Comparison::Different,
            None => may_be_hidden(sent),
        })
}

impl Redacted {
    /// The form for a status, which more people may read than Atlas: a template is described if it is one of the `own`,
    /// which the object holds or held in clear text, or if there is none. Of any other the status says only that it is
    /// another, since whoever knows length and hash of a short text can guess it.
    pub fn for_status(&self, own: &[&Redacted]) -> Redacted {
        let describe = |(name, value): (&String, &RedactedValue)| {
            let hides = |text: &str| unmasked(text).is_none() && *value != FieldKind::Template.redact("");
            let foreign = match value {
                RedactedValue::Text(text) if is_template(name) => hides(text),
                RedactedValue::Text(_) | RedactedValue::Bool(_) => false,
            };
            let known = own.iter().any(|form| form.0.get(name) == Some(value));
            let value =
                if foreign && !known { RedactedValue::Text(ANOTHER.to_owned()) } else { value.clone() };
            (name.clone(), value)
        };
        Redacted(self.0.iter().map(describe).collect())
    }
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
