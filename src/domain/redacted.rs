//! The redacted form of an integration: the only form that is stored, compared or shown.
//!
//! Atlas masks most secrets itself, but not all: it returns Flowdock's token and New Relic's keys in clear text. So the
//! operator masks everything that Atlas returns, and everything that it is about to send. Both then have the same form
//! and can be compared field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::text::plain;

/// How a field of an integration may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Shown as it is.
    Text,
    /// A boolean, shown as it is.
    Bool,
    /// A key or token, shown as `****`. If it has at least 16 characters, its last four follow the mask.
    Key,
    /// A password or signing secret, shown as `****` only.
    Hidden,
    /// A headers template, shown as `****` only.
    Headers,
    /// A URL, which may contain a token. Only scheme, host and `/****` are shown.
    Url,
    /// A body template, which may be long. Only its length and a hash are shown.
    Template,
}

/// One redacted field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RedactedValue {
    /// A flag.
    Bool(bool),
    /// A text, masked if its kind requires it.
    Text(String),
}

/// A redacted integration: a map from Atlas's field names, `id` and `type` included, to redacted values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted(pub BTreeMap<String, RedactedValue>);

const MASK: &str = "****";
/// A text from Atlas is cut off at this length before it is stored in a status.
const MAX_TEXT: usize = 512;

impl FieldKind {
    /// Whether the value comes from a Secret that the spec names.
    pub fn is_secret(self) -> bool {
        match self {
            FieldKind::Key | FieldKind::Hidden | FieldKind::Headers | FieldKind::Url => true,
            FieldKind::Text | FieldKind::Bool | FieldKind::Template => false,
        }
    }

    /// Masks a text of this kind. The text may be clear, or Atlas may have masked it already. The mask always has the
    /// same length, so it does not show how long a secret is.
    pub fn redact(self, text: &str) -> RedactedValue {
        RedactedValue::Text(match self {
            FieldKind::Text | FieldKind::Bool => plain(text, MAX_TEXT),
            FieldKind::Key => {
                let chars: Vec<char> = text.chars().collect();
                match chars.last_chunk::<4>() {
                    Some(last) if chars.len() >= 16 => {
                        let last = plain(&last.iter().collect::<String>(), MAX_TEXT);
                        // If Atlas has masked the key already, fewer than four of these characters may be clear.
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

/// Describes a template by its length and a hash, since the template may be too long for a status. The hash reveals no
/// secret, since the spec contains the template in clear text. If Atlas has masked the template, returns the mask.
fn describe_template(text: &str) -> String {
    if text.contains(MASK) {
        return MASK.to_owned();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} characters, sha256 {hex}", text.chars().count())
}

/// Returns half of a SHA-256 digest, which is enough for comparisons within one process.
pub(super) fn shortened(context: ring::digest::Context) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    short
}

impl Redacted {
    /// Returns a digest, for records that are too small to hold the form itself. Equal forms have equal digests.
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

/// Whether two redacted values may come from the same value. If both are masked, only the parts that both show are
/// compared.
fn may_be_equal(a: &RedactedValue, b: &RedactedValue) -> bool {
    match (a, b) {
        (RedactedValue::Text(a), RedactedValue::Text(b)) => {
            match (a.rsplit_once(MASK), b.rsplit_once(MASK)) {
                (None, None) => a == b,
                (Some((a_before, a)), Some((b_before, b))) => {
                    // Before its mask, a URL shows scheme and host. A value that is masked completely tells nothing
                    // about them.
                    let before = a_before == b_before || a_before.is_empty() || b_before.is_empty();
                    before && (a.ends_with(b) || b.ends_with(a))
                }
                // Only one value is masked. This happens only with a template, and the mask tells nothing about its
                // text.
                _ => true,
            }
        }
        (a, b) => a == b,
    }
}

/// Whether Atlas may hold this value although it does not show the field. Atlas never shows a password, and version 1.0
/// of its API leaves out `false`.
pub fn may_be_hidden(value: &RedactedValue) -> bool {
    match value {
        RedactedValue::Bool(flag) => !flag,
        RedactedValue::Text(text) => text == MASK,
    }
}

/// Whether `entry`, which Atlas shows, can be the result of what was `sent`. Each sent field has to agree as far as
/// both show it, and Atlas may leave out only a field for which [`may_be_hidden`] is true. Fields that Atlas adds
/// (defaults, an id) do not matter. If `sent` is empty, nothing was recorded, so no entry agrees.
pub fn agrees(sent: &Redacted, entry: &Redacted) -> bool {
    !sent.0.is_empty()
        && sent.0.iter().all(|(name, sent)| match entry.0.get(name) {
            Some(shown) => may_be_equal(sent, shown),
            None => may_be_hidden(sent),
        })
}

/// Returns the names of the fields, `id` included, in which the entry `now` differs from the entry `before`. A field
/// that only `now` has counts too, since a secret that somebody added is drift.
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

    /// Atlas never shows a password and may leave out `false`. Any other value that Atlas does not show is missing.
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
