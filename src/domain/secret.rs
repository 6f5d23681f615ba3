//! The one type for secret values.

use secrecy::{ExposeSecret, SecretString};

use super::redacted::shortened;

/// A secret value on its way from a Secret to Atlas. It has no `Debug`, `Display` or `Serialize`, and is wiped when
/// dropped. Only code that builds, masks or scrubs a request calls [`SecretValue::expose`].
#[derive(Clone)]
pub struct SecretValue(SecretString);

/// Why the value of a Secret can't be used. The texts contain neither the value nor its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Nothing is left without the trailing line break.
    #[error("is empty")]
    Empty,
    /// The bytes are not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// It contains a control character, most often a second line break.
    #[error("contains a line break or another control character")]
    ControlCharacter,
    /// It is longer than any key, token or URL that Atlas accepts.
    #[error("is longer than 4096 bytes")]
    TooLong,
    /// The value for a webhook URL is not a URL.
    #[error("is not an http or https URL")]
    NotUrl,
    /// The value for a headers template is not a JSON object of strings.
    #[error("is not a JSON object whose values are texts without line breaks")]
    NotHeaders,
}

impl SecretValue {
    /// The greatest accepted length, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Checks a value from a Secret. It drops one trailing line break, since editors add one and `kubectl create secret
    /// --from-file` keeps it.
    ///
    /// # Errors
    /// [`BadSecret`] says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<SecretValue, BadSecret> {
        let text = Self::trimmed(bytes)?;
        if text.chars().any(char::is_control) {
            return Err(BadSecret::ControlCharacter);
        }
        Ok(SecretValue(SecretString::from(text)))
    }

    /// Like [`SecretValue::from_bytes`], for the URL that a webhook calls.
    ///
    /// # Errors
    /// [`BadSecret`] says what is wrong with it.
    pub fn url_from_bytes(bytes: &[u8]) -> Result<SecretValue, BadSecret> {
        let value = Self::from_bytes(bytes)?;
        match url::Url::parse(value.expose()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(value),
            _ => Err(BadSecret::NotUrl),
        }
    }

    /// Like [`SecretValue::from_bytes`], for a JSON object of HTTP headers. Line breaks between its members are
    /// harmless. Within a name or value they could inject a header.
    ///
    /// # Errors
    /// [`BadSecret`] says what is wrong with it.
    pub fn headers_from_bytes(bytes: &[u8]) -> Result<SecretValue, BadSecret> {
        let text = Self::trimmed(bytes)?;
        let headers: std::collections::BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| BadSecret::NotHeaders)?;
        if headers.iter().any(|(name, value)| name.chars().chain(value.chars()).any(char::is_control)) {
            return Err(BadSecret::NotHeaders);
        }
        Ok(SecretValue(SecretString::from(text)))
    }

    fn trimmed(bytes: &[u8]) -> Result<&str, BadSecret> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(BadSecret::Empty);
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(BadSecret::TooLong);
        }
        std::str::from_utf8(bytes).map_err(|_| BadSecret::NotUtf8)
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
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
        let mut context = ring::hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        Fingerprint(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadSecret, MemoryKey, SecretValue};
    use rstest::rstest;

    const LONGEST: &str = match std::str::from_utf8(&[b'a'; SecretValue::MAX_BYTES]) {
        Ok(text) => text,
        Err(_) => "",
    };

    #[rstest]
    #[case(b"abc", Ok("abc"))]
    #[case(b"abc\n", Ok("abc"))]
    #[case(b"abc\r\n", Ok("abc"))]
    #[case(b" abc ", Ok(" abc "))]
    #[case(b"abc\n\n", Err(BadSecret::ControlCharacter))]
    #[case(b"a\x00b", Err(BadSecret::ControlCharacter))]
    #[case(b"", Err(BadSecret::Empty))]
    #[case(b"\n", Err(BadSecret::Empty))]
    #[case(b"\xff\xfe", Err(BadSecret::NotUtf8))]
    #[case(&[b'a'; 4096], Ok(LONGEST))]
    #[case(&[b'a'; 4097], Err(BadSecret::TooLong))]
    #[case(&[b'a'; 9999], Err(BadSecret::TooLong))]
    fn keys(#[case] bytes: &[u8], #[case] expected: Result<&str, BadSecret>) {
        let found = SecretValue::from_bytes(bytes);
        assert_eq!(found.as_ref().map(|v| v.expose()).map_err(|e| *e), expected);
    }

    #[rstest]
    #[case(b"https://example.com/x", true)]
    #[case(b"http://example.com", true)]
    #[case(b"ftp://example.com", false)]
    #[case(b"example.com", false)]
    #[case(b"https://", false)]
    fn urls(#[case] bytes: &[u8], #[case] good: bool) {
        assert_eq!(SecretValue::url_from_bytes(bytes).is_ok(), good);
    }

    #[rstest]
    #[case(br#"{"X-Token": "abc"}"#, true)]
    #[case(b"{\n  \"X-Token\": \"abc\"\n}\n", true)]
    #[case(br#"{"X-Token": "abc\r\nX-Evil: 1"}"#, false)]
    #[case(br#"["X-Token"]"#, false)]
    #[case(br#"{"X-Token": 1}"#, false)]
    fn headers(#[case] bytes: &[u8], #[case] good: bool) {
        assert_eq!(SecretValue::headers_from_bytes(bytes).is_ok(), good);
    }

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

    #[test]
    fn values_carried_by_an_attempt_differ_from_other_values_and_attempts() {
        let key = MemoryKey::generate().expect("randomness");
        let (one, two) = (key.fingerprint(["1"]), key.fingerprint(["2"]));
        assert_eq!(one.carried_by("x.1"), key.fingerprint(["1"]).carried_by("x.1"));
        assert_ne!(one.carried_by("x.1"), two.carried_by("x.1"));
        assert_ne!(one.carried_by("x.1"), one.carried_by("x.2"));
    }
}
