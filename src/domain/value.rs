//! What the value of a secret field may be, for each kind of field. One place decides it, and says in words what stands
//! where. No text contains the value or its length.
//!
//! Only what can't be a valid value of its kind is refused. Whether a service knows a key, only Atlas and the service
//! can tell, and the form of keys may grow: nothing here demands 32 hexadecimal digits.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretSlice};

use super::characters::{Class, class, found, in_words, joins, selects};
use super::redacted::{FieldKind, is_mask};
use super::secret::{BadSecret, SecretValue, text};
use super::uri;

impl FieldKind {
    /// Checks a value of this kind as it stands in a Secret. One trailing line break is dropped.
    ///
    /// # Errors
    /// [`BadSecret`] says what is wrong with it.
    pub fn check(self, bytes: &[u8]) -> Result<SecretValue, BadSecret> {
        match self {
            FieldKind::Key => checked(bytes, key),
            FieldKind::Hidden => checked(bytes, password),
            FieldKind::Url => checked(bytes, url),
            FieldKind::Headers => checked(bytes, template),
            FieldKind::Text | FieldKind::Bool | FieldKind::Template => SecretValue::from_bytes(bytes),
        }
    }
}

fn checked(bytes: &[u8], check: fn(&str) -> Result<(), BadSecret>) -> Result<SecretValue, BadSecret> {
    let text = text(bytes)?;
    if text.chars().all(|c| matches!(class(c), Class::Space | Class::Unseen | Class::Control)) {
        return Err(BadSecret::new(
            "holds nothing but spaces or invisible characters",
            "store the value in it",
        ));
    }
    check(text)?;
    Ok(SecretValue::of(text))
}

/// A key or token travels in headers and digests, so it has visible ASCII characters only.
fn key(text: &str) -> Result<(), BadSecret> {
    wrapped(text)?;
    key_of_another_form(text)?;
    let wrong = found(text, |_, c, _| !c.is_ascii_graphic(), in_words);
    wrong.map_or(Ok(()), |what| {
        Err(BadSecret::new(
            what,
            "copy the key again and store it alone, without spaces and without characters that are not ASCII",
        ))
    })
}

/// A password or signing secret may be any text that somebody can have meant: spaces at its ends, quotes and letters of
/// any script are its own. Control characters, a byte order mark and other invisible characters come from files and
/// web pages. Scripts and emoji need some of them between or after their own characters, and an ASCII text needs none.
fn password(text: &str) -> Result<(), BadSecret> {
    let is_wrong = |before: Option<char>, c: char, after: Option<char>| {
        let follows = before.is_some_and(|c| !c.is_ascii() && (class(c) == Class::Visible || selects(c)));
        match class(c) {
            Class::Visible => false,
            Class::Control | Class::Damage => true,
            Class::Space => c != ' ' && (!follows || after.is_none()),
            Class::Unseen if selects(c) => !follows,
            Class::Unseen => !(joins(c) && follows && after.is_some()),
        }
    };
    let wrong = found(text, is_wrong, in_words);
    wrong.map_or(Ok(()), |what| Err(BadSecret::new(what, "store the value alone, without that")))
}

/// A URL that somebody else can call as it is written.
fn url(text: &str) -> Result<(), BadSecret> {
    wrapped(text)?;
    if encoded_twice(text, |inner| inner.starts_with(b"http://") || inner.starts_with(b"https://")) {
        return Err(twice());
    }
    uri::check(text).map_err(|(what, remedy)| BadSecret::new(what, remedy))?;
    // Masking reads URLs with this crate, and must find the same host.
    let parsed = url::Url::parse(text).is_ok_and(|url| url.has_host());
    let uncallable =
        || BadSecret::new("has a host name that does not exist in DNS", "correct the host of the URL");
    parsed.then_some(()).ok_or_else(uncallable)
}

/// Atlas renders the template (FreeMarker) and reads the result, so only Atlas can tell whether that is JSON. What
/// begins another header can't be seen here either, since an expression may compute it: the owner of the Secret may
/// set any header anyway, and only Atlas can escape the values that it fills in. So a template is refused only for
/// what is wrong however it is rendered: control characters other than tabs and line breaks, the same as JSON escapes
/// where the text is JSON as it stands (but for the expressions in it, which have escapes of their own), and invisible
/// characters at its ends, which JSON does not take for white space.
fn template(text: &str) -> Result<(), BadSecret> {
    let at_the_ends = text.trim_matches([' ', '\t', '\r', '\n']);
    let outer = |c: char| class(c) != Class::Visible;
    let wrong = found(
        at_the_ends,
        |before, c, after| {
            c.is_control() && !matches!(c, '\t' | '\r' | '\n')
                || outer(c) && (before.is_none() || after.is_none() && !selects(c))
        },
        in_words,
    );
    if let Some(what) = wrong {
        return Err(BadSecret::new(what, "store the template without that"));
    }
    if is_json(text) && escapes_a_control_character(&without_expressions(text)) {
        return Err(BadSecret::new(
            "has a line break or another control character in the name or value of a header",
            "remove it, such as the \\n at the end of a value that was read from a file",
        ));
    }
    Ok(())
}

/// What people put around a value, or store in its place, whether it is to be a key or a URL.
fn wrapped(text: &str) -> Result<(), BadSecret> {
    let trimmed = text.trim_matches(|c| class(c) != Class::Visible);
    let within =
        |open: char, close: char| trimmed.len() > 1 && trimmed.starts_with(open) && trimmed.ends_with(close);
    const QUOTES: [char; 13] = [
        '"', '\'', '`', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201c}', '\u{201d}', '\u{201e}', '\u{ab}',
        '\u{bb}', '\u{2039}', '\u{203a}',
    ];
    // A query may end with a literal, as OData writes it: `$filter=name%20eq%20'x'`.
    let closes_a_literal =
        trimmed.contains("://") && trimmed.ends_with('\'') && trimmed.matches('\'').count() % 2 == 0;
    let (what, remedy) = if ["${", "$(", "{{", "<%", "#{"].iter().any(|opening| trimmed.starts_with(opening))
    {
        ("is a placeholder that no tool has replaced", "store the value itself")
    } else if within('{', '}') && is_json(trimmed) {
        ("is a JSON object", "put the value alone into the key")
    } else if within('[', ']') && is_json(trimmed) {
        ("is a JSON list", "put the value alone into the key")
    } else if within('{', '}') || within('[', ']') || within('(', ')') {
        ("is in brackets", "store the value without them")
    } else if within('<', '>') {
        ("is in angle brackets, as a placeholder or a link in a text", "store the value itself, without them")
    } else if within('%', '%') {
        ("is in percent signs, as a placeholder", "store the value itself")
    } else if trimmed.starts_with(QUOTES) && trimmed.ends_with(QUOTES) {
        ("is in quotes", "store the value without them")
    } else if trimmed.starts_with(QUOTES) {
        ("begins with a quotation mark", "store the value without it")
    } else if !closes_a_literal
        && (trimmed.ends_with(QUOTES) || trimmed.ends_with("\",") || trimmed.ends_with("',"))
    {
        ("ends with a quotation mark", "store the value without it")
    } else if trimmed.starts_with("-----BEGIN") {
        ("is a PEM block, a certificate or private key", "store the value that this field takes")
    } else if trimmed.starts_with("ENC[") {
        ("is still encrypted by SOPS", "let SOPS decrypt it before it is applied")
    } else if ["null", "undefined", "none", "nil"].iter().any(|word| trimmed.eq_ignore_ascii_case(word)) {
        ("is the word that a tool writes where it has no value", "store the value itself")
    } else if is_assignment(trimmed) {
        (
            "is a line of an environment file or of a script (NAME=value)",
            "store what follows the equals sign, alone",
        )
    } else if is_yaml(trimmed) {
        ("is a line of YAML or a header (name: value)", "store what follows the colon, alone")
    } else {
        return Ok(());
    };
    Err(BadSecret::new(what, remedy))
}

/// What can't be a key, although a key could have each of its characters.
fn key_of_another_form(text: &str) -> Result<(), BadSecret> {
    let trimmed = text.trim_matches(|c| class(c) != Class::Visible);
    let scheme = trimmed.split_once(' ').map(|(word, _)| word.to_ascii_lowercase());
    let (what, remedy) = if trimmed.contains("://") {
        ("is a URL, where a key or token is needed", "store the key that the service shows")
    } else if scheme
        .is_some_and(|word| ["bearer", "basic", "token", "geniekey", "apikey", "bot"].contains(&&*word))
    {
        (
            "begins with the scheme of an Authorization header, such as Bearer",
            "store the key alone, without that word",
        )
    } else if is_mask(trimmed) {
        ("is masked, as Atlas and web pages show keys", "store the whole key, as the service gave it")
    } else if trimmed.contains('\\') {
        ("has a backslash in it, as of an escape such as \\n", "store the key without it")
    } else if text.starts_with(['{', '[', '(', '<']) || text.ends_with(['}', ']', ')', '>']) {
        ("begins or ends with a bracket", "store the key alone, without it")
    } else if trimmed.ends_with([',', ';']) {
        ("ends with a comma or a semicolon", "store the key without it")
    } else if trimmed.ends_with('%') {
        (
            "ends with a percent sign, as some shells print it where a line break is missing",
            "store the key without it",
        )
    } else if is_variable(trimmed) {
        ("is a placeholder that no tool has replaced", "store the value itself")
    } else if encoded_twice(text, is_a_word) {
        return Err(twice());
    } else {
        return Ok(());
    };
    Err(BadSecret::new(what, remedy))
}

fn twice() -> BadSecret {
    BadSecret::new(
        "is encoded as Base64 twice",
        "encode the value once in the Secret's data, or store it as it is in stringData",
    )
}

/// Whether a text is the Base64 of what `inner` knows, as when a value that was encoded already is encoded again.
fn encoded_twice(text: &str, inner: impl Fn(&[u8]) -> bool) -> bool {
    const CODE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    CODE.decode(text).map(SecretSlice::from).is_ok_and(|bytes| {
        let bytes = bytes.expose_secret();
        inner(bytes.trim_ascii_end())
    })
}

/// Letters, digits, '-' and '_', sixteen at least. That the bytes of a key which only looks like Base64 are such a word
/// by chance is as likely as guessing 32 bits.
fn is_a_word(bytes: &[u8]) -> bool {
    bytes.len() >= 16 && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// `NAME=value`. Base64 may end with equals signs, and nothing follows them.
fn is_assignment(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text);
    text.split_once('=')
        .is_some_and(|(name, value)| is_name(name.trim_end()) && !value.trim_start_matches('=').is_empty())
}

/// `name: value`, and not the scheme of a URL.
fn is_yaml(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, value)| {
        is_name(name) && value.starts_with([' ', '\t']) && !value.trim().is_empty()
    })
}

/// `$NAME`.
fn is_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Whether a text is JSON. It is read without a copy of what it contains.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A template that is JSON as it stands, without the expressions and directives in its texts, such as
/// `${name?replace('\n', ' ')}`. None of them goes beyond the end of a text.
fn without_expressions(template: &str) -> String {
    const BRACKETS: [(&str, char); 5] = [("${", '}'), ("#{", '}'), ("[=", ']'), ("<#", '>'), ("[#", ']')];
    let mut kept = String::new();
    let mut rest = template;
    loop {
        let found = BRACKETS.iter().filter_map(|(open, close)| {
            let at = rest.find(open)?;
            let text = rest[at..].split('"').next().unwrap_or_default();
            Some((at, at + text.find(*close)? + close.len_utf8()))
        });
        let Some((begin, end)) = found.min() else { return kept + rest };
        kept.push_str(&rest[..begin]);
        rest = &rest[end..];
    }
}

/// Whether a string of a JSON text has an escaped control character.
fn escapes_a_control_character(json: &str) -> bool {
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        let code = escape.strip_prefix('u').and_then(|digits| u32::from_str_radix(digits.get(..4)?, 16).ok());
        if escape.starts_with(['n', 'r', 't', 'b', 'f'])
            || code.and_then(char::from_u32).is_some_and(char::is_control)
        {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod value_tests;
