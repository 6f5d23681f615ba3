//! The redacted form of an integration: the only form that is stored, compared or shown.
//!
//! Atlas masks most secrets itself, but not all: it returns Flowdock's token and New Relic's keys in clear. So our own
//! masking runs over everything that Atlas returns, and over what we are about to send. Both then have one normal form
//! and can be compared field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::text::plain;

/// How a field of an integration may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Shown as it is.
    Text,
    /// Shown as it is; a boolean.
    Bool,
    /// A key or token: `****` and, from 16 characters on, its last four.
    Key,
    /// A password or signing secret: `****` only.
    Hidden,
    /// A headers template: `****` only.
    Headers,
    /// A URL that may carry a token: scheme, host and `/****`.
    Url,
    /// A body template, which may be long: its length and a hash.
    Template,
}

/// One redacted field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RedactedValue {
    /// A flag.
    Bool(bool),
    /// A text, masked where its kind demands it.
    Text(String),
}

/// A redacted integration: Atlas's field names, `id` and `type` included, to redacted values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted(pub BTreeMap<String, RedactedValue>);

const MASK: &str = "****";
/// Texts from Atlas are cut at this length before they reach a status.
const MAX_TEXT: usize = 512;

impl FieldKind {
    /// Whether a spec names a Secret for the value.
    pub fn is_secret(self) -> bool {
        match self {
            FieldKind::Key | FieldKind::Hidden | FieldKind::Headers | FieldKind::Url => true,
            FieldKind::Text | FieldKind::Bool | FieldKind::Template => false,
        }
    }

    /// Masks a text of this kind, whether it is clear or Atlas has already masked it. The result does not reveal the
    /// length.
    pub fn redact(self, text: &str) -> RedactedValue {
        RedactedValue::Text(match self {
            FieldKind::Text | FieldKind::Bool => plain(text, MAX_TEXT),
            FieldKind::Key => {
                let chars: Vec<char> = text.chars().collect();
                match chars.last_chunk::<4>() {
                    Some(last) if chars.len() >= 16 => {
                        let last = plain(&last.iter().collect::<String>(), MAX_TEXT);
                        // Atlas may show fewer than four.
                        format!("{MASK}{}", last.rsplit('*').next().unwrap_or_default())
                    }
                    _ => MASK.to_owned(),
                }
            }
            FieldKind::Hidden | FieldKind::Headers => MASK.to_owned(),
            FieldKind::Url => match url::Url::parse(text) {
                // Only scheme and host stay. User, password and port may be as secret as the path.
                Ok(url) if url.has_host() => {
                    format!(
                        "{}://{}/{MASK}",
                        url.scheme(),
                        plain(url.host_str().unwrap_or_default(), MAX_TEXT)
                    )
                }
                _ => MASK.to_owned(),
            },
            FieldKind::Template => describe_template(text),
        })
    }
}

/// Describes a template by its length and a hash. It may be too long for a status, and the spec contains it in clear,
/// so a hash reveals nothing. A template that Atlas has masked is described as masked.
fn describe_template(text: &str) -> String {
    if text.contains(MASK) {
        return MASK.to_owned();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} characters, sha256 {hex}", text.chars().count())
}

/// Half of a SHA-256, which is enough for comparisons within one process.
pub(super) fn shortened(context: ring::digest::Context) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    short
}

impl Redacted {
    /// A digest that is equal for equal forms, for records that are too small for the form itself.
    pub fn digest(&self) -> [u8; 16] {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (name, value) in &self.0 {
            context.update(name.as_bytes());
            match value {
                RedactedValue::Bool(flag) => context.update(&[0, 0, u8::from(*flag)]),
                RedactedValue::Text(text) => {
                    context.update(&[0, 1]);
                    context.update(text.as_bytes());
                }
            }
            context.update(&[0, 2]);
        }
        shortened(context)
    }
}

/// Whether two redacted values can stand for the same value. Masks are compared only in what both show.
fn may_be_equal(a: &RedactedValue, b: &RedactedValue) -> bool {
    match (a, b) {
        (RedactedValue::Text(a), RedactedValue::Text(b)) => {
            match (a.rsplit_once(MASK), b.rsplit_once(MASK)) {
                (None, None) => a == b,
                (Some((a_before, a)), Some((b_before, b))) => {
                    // A URL shows scheme and host. If one side is masked completely, it tells nothing about them.
                    let before = a_before == b_before || a_before.is_empty() || b_before.is_empty();
                    before && (a.ends_with(b) || b.ends_with(a))
                }
                // Only one side is masked. This happens only with a template, and its mask tells nothing.
                _ => true,
            }
        }
        (a, b) => a == b,
    }
}

/// Whether Atlas may hold this value although it does not show the field. It never shows a password, and version 1.0
/// leaves out `false`.
pub fn may_be_hidden(value: &RedactedValue) -> bool {
    match value {
        RedactedValue::Bool(flag) => !flag,
        RedactedValue::Text(text) => text == MASK,
    }
}

/// Whether `entry`, as Atlas shows it, can be what was `sent`: every field that was sent agrees in what both show.
/// Fields that Atlas adds (defaults, an id) do not matter. If nothing was recorded as sent, nothing agrees.
pub fn agrees(sent: &Redacted, entry: &Redacted) -> bool {
    !sent.0.is_empty()
        && sent.0.iter().all(|(name, sent)| match entry.0.get(name) {
            Some(shown) => may_be_equal(sent, shown),
            None => may_be_hidden(sent),
        })
}

/// Names of the fields, `id` included, in which the present entry differs from that of our last confirmed write. A
/// field that appeared counts too: a secret that the spec lacks is drift.
pub fn differing_fields(before: &Redacted, now: &Redacted) -> Vec<String> {
    let mut names: Vec<String> = before
        .0
        .iter()
        .filter(|(name, value)| !now.0.get(*name).is_some_and(|other| may_be_equal(value, other)))
        .map(|(name, _)| name.clone())
        .chain(now.0.keys().filter(|name| !before.0.contains_key(*name)).cloned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use rstest::rstest;

    fn form(fields: &[(&str, &str)]) -> Redacted {
        Redacted(
            fields.iter().map(|(k, v)| ((*k).to_owned(), RedactedValue::Text((*v).to_owned()))).collect(),
        )
    }

    #[rstest]
    #[case(FieldKind::Key, "0123456789abcdef", "****cdef")]
    #[case(FieldKind::Key, "****************************a23c", "****a23c")]
    #[case(FieldKind::Key, "******************************3c", "****3c")]
    #[case(FieldKind::Key, "********************************", "****")]
    #[case(FieldKind::Key, "1234567890", "****")]
    #[case(FieldKind::Key, "******7890", "****")]
    #[case(FieldKind::Key, "", "****")]
    #[case(FieldKind::Hidden, "anything", "****")]
    #[case(FieldKind::Headers, "{\"X-Token\": \"anything\"}", "****")]
    #[case(FieldKind::Url, "https://user:pw@example.com:8443/hook?token=x", "https://example.com/****")]
    #[case(FieldKind::Url, "https://example.com/****2101", "https://example.com/****")]
    #[case(FieldKind::Url, "not a url", "****")]
    #[case::no_host(FieldKind::Url, "mailto:T0K3N@example.com", "****")]
    #[case(FieldKind::Key, "0123456789abcde", "****")]
    #[case(FieldKind::Template, "abc", "3 characters, sha256 ba7816bf8f01cfea")]
    #[case::characters_are_counted(FieldKind::Template, "\u{fc}", "1 characters, sha256 607474ca475a9724")]
    #[case::masked_by_atlas(FieldKind::Template, "{\"key\": \"****\"}", "****")]
    #[case(FieldKind::Text, "a\u{1b}[31mb\n", "a[31mb")]
    fn masks(#[case] kind: FieldKind, #[case] text: &str, #[case] expected: &str) {
        assert_eq!(kind.redact(text), RedactedValue::Text(expected.to_owned()));
    }

    #[test]
    fn fields_that_atlas_adds_or_never_shows_do_not_disagree() {
        let sent = form(&[("apiKey", "****cdef"), ("password", "****")]);
        assert!(agrees(&sent, &form(&[("apiKey", "****cdef"), ("region", "US"), ("id", "1")])));
        assert!(!agrees(&sent, &form(&[("apiKey", "****0000")])));
        assert!(!agrees(&sent, &form(&[("password", "****")])), "a key is always shown");
        let flag = |flag| Redacted([("sendDatabaseMetrics".to_owned(), RedactedValue::Bool(flag))].into());
        assert!(agrees(&flag(false), &form(&[])) && !agrees(&flag(true), &form(&[])));
    }

    #[test]
    fn nothing_agrees_with_what_was_never_recorded() {
        assert!(!agrees(&form(&[]), &form(&[("apiKey", "****cdef")])));
        assert!(!agrees(&form(&[]), &form(&[])));
    }

    #[rstest]
    #[case::same_text("US", "US", true)]
    #[case::other_text("US", "EU", false)]
    #[case::same_end("****cdef", "****cdef", true)]
    #[case::other_end("****cdef", "****0000", false)]
    #[case::shorter_end("****cdef", "****ef", true)]
    #[case::no_end("****cdef", "****", true)]
    #[case::same_host("https://a.example.com/****", "https://a.example.com/****", true)]
    #[case::other_host("https://a.example.com/****", "https://b.example.com/****", false)]
    #[case::masked_whole("https://a.example.com/****", "****", true)]
    #[case::template_masked_by_atlas("3 characters, sha256 ba7816bf8f01cfea", "****", true)]
    fn masks_are_compared_in_what_both_show(#[case] a: &str, #[case] b: &str, #[case] same: bool) {
        for (a, b) in [(a, b), (b, a)] {
            assert_eq!(differing_fields(&form(&[("x", a)]), &form(&[("x", b)])).is_empty(), same, "{a} {b}");
        }
    }

    #[test]
    fn a_flag_equals_the_same_flag_and_no_text() {
        let form = |value| Redacted([("x".to_owned(), value)].into());
        let (on, off) = (form(RedactedValue::Bool(true)), form(RedactedValue::Bool(false)));
        let text = form(RedactedValue::Text("true".to_owned()));
        assert!(differing_fields(&on, &on).is_empty() && differing_fields(&off, &off).is_empty());
        assert_eq!(differing_fields(&on, &off), ["x"]);
        assert_eq!(differing_fields(&on, &text), ["x"]);
        assert_eq!([&on, &off, &text].map(Redacted::digest).iter().collect::<HashSet<_>>().len(), 3);
    }

    /// Atlas never shows a password and may leave `false` out; every other field that is not there is missing.
    #[rstest]
    #[case(RedactedValue::Text("****".into()), true)]
    #[case(RedactedValue::Text("****cdef".into()), false)]
    #[case(RedactedValue::Text(String::new()), false)]
    #[case(RedactedValue::Bool(false), true)]
    #[case(RedactedValue::Bool(true), false)]
    fn only_passwords_and_false_may_be_hidden(#[case] value: RedactedValue, #[case] hidden: bool) {
        assert_eq!(may_be_hidden(&value), hidden);
    }

    #[test]
    fn drift_names_changed_lost_and_new_fields() {
        let before = form(&[("apiKey", "****cdef"), ("region", "US"), ("id", "1")]);
        assert!(differing_fields(&before, &before.clone()).is_empty());
        let now = form(&[("apiKey", "****cdef"), ("id", "2"), ("secret", "****")]);
        assert_eq!(differing_fields(&before, &now), ["id", "region", "secret"]);
    }

    #[test]
    fn digest_tells_forms_apart() {
        let a = form(&[("a", "b"), ("c", "d")]);
        assert_eq!(a.digest(), a.clone().digest());
        assert_ne!(a.digest(), form(&[("a", "bc"), ("d", "")]).digest());
    }
}
