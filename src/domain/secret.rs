//! The one type for secret values.

use secrecy::{ExposeSecret, SecretString};

use super::characters::{found, in_words};
use super::redacted::shortened;

/// A secret value on its way from a Secret to Atlas. It has no `Debug`, `Display` or `Serialize`, and is wiped when
/// dropped. Only code that builds, checks, masks or scrubs a request calls [`SecretValue::expose`].
#[derive(Clone)]
pub struct SecretValue(SecretString);

/// Why the value of a Secret can't be used, and what to do. The text says what stands where, and contains neither the
/// value nor its length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct BadSecret {
    what: String,
    remedy: &'static str,
}

impl BadSecret {
    /// `what` continues a sentence that begins with the key's name.
    pub(super) fn new(what: impl Into<String>, remedy: &'static str) -> BadSecret {
        BadSecret { what: what.into(), remedy }
    }
}

impl SecretValue {
    /// The greatest accepted length, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// The least length, in bytes, of a credential that keys a fingerprint in a status. Atlas makes up both kinds of
    /// credentials at random: a private key is a UUID of 36 characters, and a client secret is longer.
    const LEAST_KEY_BYTES: usize = 30;

    /// Takes a text of any kind, but for control characters. It drops one trailing line break, since editors add one
    /// and `kubectl create secret --from-file` keeps it.
    ///
    /// # Errors
    /// [`BadSecret`] says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<SecretValue, BadSecret> {
        let text = text(bytes)?;
        match found(text, |_, c, _| c.is_control(), in_words) {
            Some(what) => Err(BadSecret::new(what, "store the value alone, on one line")),
            None => Ok(SecretValue::of(text)),
        }
    }

    /// Takes a text that was checked.
    pub(super) fn of(text: &str) -> SecretValue {
        SecretValue(SecretString::from(text))
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The fingerprint of secret `values` for `status.applied`: a MAC under this credential of Atlas, half of an
    /// HMAC-SHA-256, as 32 hexadecimal digits. With it, another process finds out whether the values are those that
    /// `attempt` sent. Whoever does not have the credential can't check a guess at a value. The fingerprints of two
    /// attempts differ even for equal values, and the id of an attempt begins with the uid of its object. `None` if this
    /// is shorter than every credential of Atlas, and so may be guessed itself.
    pub fn applied_fingerprint<'a>(
        &self,
        attempt: &'a str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        let key = self.expose().as_bytes();
        if key.len() < SecretValue::LEAST_KEY_BYTES {
            return None;
        }
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        let tag = mac(&key, ["atlas-integrations.dev/applied", attempt].into_iter().chain(values));
        Some(tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The HMAC of some texts, in order.
fn mac<'a>(key: &ring::hmac::Key, parts: impl IntoIterator<Item = &'a str>) -> ring::hmac::Tag {
    let mut context = ring::hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.sign()
}

/// The text of a value without one trailing line break.
pub(super) fn text(bytes: &[u8]) -> Result<&str, BadSecret> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(BadSecret::new("is empty", "store the value in it"));
    }
    if bytes.len() > SecretValue::MAX_BYTES {
        return Err(BadSecret::new(
            "is longer than 4096 bytes",
            "store the value alone, without the file or document that it stands in",
        ));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(BadSecret::new(
            "is UTF-16 text, as PowerShell and some Windows editors write it",
            "store the value as UTF-8",
        ));
    }
    let not_utf8 =
        |_| BadSecret::new("is not UTF-8 text", "store the value as UTF-8 text, not as a binary file");
    std::str::from_utf8(bytes).map_err(not_utf8)
}

/// A key that lives as long as the process. Secret values are compared by their HMAC under this key, so they need not
/// be kept.
pub struct MemoryKey(ring::hmac::Key);

/// What the process remembers of secret values. It is equal for equal values, and useless outside this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// One digest of an attempt and the secret values that it sent. The process remembers it for each confirmed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried([u8; 16]);

impl Fingerprint {
    /// The digest of these values as sent by this attempt.
    pub fn carried_by(&self, attempt: &str) -> Carried {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(&self.0);
        context.update(attempt.as_bytes());
        Carried(shortened(context))
    }
}

impl MemoryKey {
    /// A fresh random key; `None` if the system has no randomness.
    pub fn generate() -> Option<MemoryKey> {
        let random = ring::rand::SystemRandom::new();
        ring::hmac::Key::generate(ring::hmac::HMAC_SHA256, &random).ok().map(MemoryKey)
    }

    /// The fingerprint of some texts, in order.
    pub fn fingerprint<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(mac(&self.0, parts).as_ref());
        Fingerprint(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryKey, SecretValue};
    use rstest::rstest;

    /// What any text has to be. Which characters a key, a password, a URL or a template may have, `value.rs` decides.
    #[rstest]
    #[case(b"abc", "abc")]
    #[case(b"abc\n", "abc")]
    #[case(b"abc\r\n", "abc")]
    #[case(b" abc ", " abc ")]
    #[case(&[b'a'; 4096], LONGEST)]
    fn one_trailing_line_break_is_dropped(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(
            SecretValue::from_bytes(bytes).map(|value| value.expose().to_owned()),
            Ok(expected.to_owned())
        );
    }

    const LONGEST: &str = match std::str::from_utf8(&[b'a'; SecretValue::MAX_BYTES]) {
        Ok(text) => text,
        Err(_) => "",
    };

    #[rstest]
    #[case(b"abc\n\n", "ends with a line break; store the value alone, on one line")]
    #[case(b"a\x00b", "has a NUL character (U+0000) in it; store the value alone, on one line")]
    #[case(b"", "is empty; store the value in it")]
    #[case(b"\n", "is empty; store the value in it")]
    #[case(
        b"\xff\xfea\0",
        "is UTF-16 text, as PowerShell and some Windows editors write it; store the value as UTF-8"
    )]
    #[case(
        b"\xfe\xff\0a",
        "is UTF-16 text, as PowerShell and some Windows editors write it; store the value as UTF-8"
    )]
    #[case(b"\x1f\x8b\xff", "is not UTF-8 text; store the value as UTF-8 text, not as a binary file")]
    #[case(&[b'a'; 4097], TOO_LONG)]
    #[case(&[b'a'; 9999], TOO_LONG)]
    fn what_is_no_text_is_refused(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(
            SecretValue::from_bytes(bytes).map(|_| ()).map_err(|bad| bad.to_string()),
            Err(expected.to_owned())
        );
    }

    const TOO_LONG: &str =
        "is longer than 4096 bytes; store the value alone, without the file or document that it stands in";

    /// A fingerprint tells whether values are the same again, and is useless to any other process.
    #[test]
    fn fingerprints_are_equal_for_equal_values_only() {
        let key = MemoryKey::generate().expect("randomness");
        let print = key.fingerprint(["a", "bc"]);
        assert!(print == key.fingerprint(["a", "bc"]));
        for others in [&["ab", "c"][..], &["bc", "a"], &["a", "bc", ""], &["abc"], &[]] {
            assert!(print != key.fingerprint(others.iter().copied()), "{others:?}");
        }
        let elsewhere = MemoryKey::generate().expect("randomness");
        assert!(print != elsewhere.fingerprint(["a", "bc"]));
    }

    const KEY: &[u8] = b"8f0d7c52-1a2b-4c3d-9e8f-0123456789ab";

    /// The values, the attempt and the credential: each of them alone makes another fingerprint.
    #[test]
    fn applied_fingerprints_are_equal_for_the_same_values_attempt_and_credential_only() {
        let value = |bytes| SecretValue::from_bytes(bytes).unwrap_or_else(|bad| panic!("{bad}"));
        let key = value(KEY);
        let print = key.applied_fingerprint("x.1", ["a", "bc"]);
        assert_eq!(print.as_ref().map(String::len), Some(32));
        assert_eq!(print, value(KEY).applied_fingerprint("x.1", ["a", "bc"]));
        for others in [&["ab", "c"][..], &["bc", "a"], &["a", "bc", ""], &["abc"], &[]] {
            assert_ne!(print, key.applied_fingerprint("x.1", others.iter().copied()), "{others:?}");
        }
        assert_ne!(print, key.applied_fingerprint("x.2", ["a", "bc"]));
        assert_ne!(print, key.applied_fingerprint("y.1", ["a", "bc"]));
        assert_ne!(key.applied_fingerprint("x.1", ["a"]), key.applied_fingerprint("x.1a", []));
        let rotated = value(b"8f0d7c52-1a2b-4c3d-9e8f-0123456789ac");
        assert_ne!(print, rotated.applied_fingerprint("x.1", ["a", "bc"]));
    }

    /// A status may be read by many. Nobody may find out the credential or a value from it by guessing.
    #[test]
    fn what_is_shorter_than_a_credential_of_atlas_keys_no_fingerprint() {
        for (length, given) in [(0, false), (8, false), (29, false), (30, true), (36, true)] {
            let key = SecretValue::of(&"k".repeat(length));
            assert_eq!(key.applied_fingerprint("x.1", ["a"]).is_some(), given, "{length}");
        }
    }

    #[test]
    fn values_carried_by_an_attempt_differ_from_other_values_and_attempts() {
        let key = MemoryKey::generate().expect("randomness");
        let (one, two) = (key.fingerprint(["1"]), key.fingerprint(["2"]));
        assert_eq!(one.carried_by("x.1"), key.fingerprint(["1"]).carried_by("x.1"));
        assert_ne!(one.carried_by("x.1"), two.carried_by("x.1"));
        assert_ne!(one.carried_by("x.1"), one.carried_by("x.2"));
    }
}
