//! Redacts the entries that Atlas returns, and scrubs secrets from its texts.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Number, Value};
use url::Url;

use crate::domain::{FieldKind, IntegrationType, Redacted, RedactedValue, plain};

/// Texts of Atlas in a message are cut at this many characters.
const MAX_DETAIL: usize = 400;

/// The redacted form of an entry: known fields of its type only, nulls and empty secrets left out.
pub(crate) fn redact_entry(kind: IntegrationType, entry: &Map<String, Value>) -> Redacted {
    let mut fields = std::collections::BTreeMap::new();
    for field in kind.shown_fields() {
        let value = match (entry.get(field.atlas), field.kind) {
            (Some(Value::Bool(flag)), FieldKind::Bool) => RedactedValue::Bool(*flag),
            (Some(Value::String(text)), FieldKind::Bool) => match text.trim().to_ascii_lowercase().parse() {
                Ok(flag) => RedactedValue::Bool(flag),
                Err(_) => continue,
            },
            // A mask in its place would say that Atlas holds a secret.
            (Some(Value::String(text)), kind) if kind.is_secret() && text.is_empty() => continue,
            (Some(Value::String(text)), kind) => kind.redact(text),
            // An account id has been seen as a number.
            (Some(Value::Number(number)), FieldKind::Text) => FieldKind::Text.redact(&digits(number)),
            _ => continue,
        };
        fields.insert(field.atlas.to_owned(), value);
    }
    Redacted(fields)
}

/// A number as people write it: `1234567`, also where JSON has `1234567.0` or `1.234567e6`.
fn digits(number: &Number) -> String {
    match number.as_f64().filter(|float| !number.is_u64() && float.fract() == 0.0) {
        Some(float) => format!("{float:.0}"),
        None => number.to_string(),
    }
}

/// Prepares a text of Atlas for people: removes the secrets of the request and their parts in every spelling in which an
/// error may repeat them, removes control characters, and limits the length.
pub(super) fn scrub<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<String> =
        secrets.into_iter().flat_map(|secret| [in_base64(secret), parts(secret)].concat()).collect();
    all.retain(|secret| !secret.is_empty());
    // Longest first: a secret may be the beginning of another.
    all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    all.dedup();
    let text = all.iter().fold(text.to_owned(), |text, secret| mask(&text, secret));
    // Removing unshown characters can join a secret that they had broken up, so it is scrubbed again.
    let plainly = |text: &str| plain(text, usize::MAX);
    let left = all.iter().map(|secret| plainly(secret)).filter(|secret| !secret.is_empty());
    plain(&left.fold(plainly(&text), |text, secret| mask(&text, &secret)), MAX_DETAIL)
}

/// A shorter part of a secret is also found in other words. It is hardly secret.
const SHORTEST: usize = 4;
/// The same of a segment of a path. Shorter ones are words such as `services`.
const SHORTEST_SEGMENT: usize = 8;

/// A secret as a whole, and what is secret within it: of a URL all but scheme and host, of a template of headers the
/// values.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = Vec::new();
    if let Ok(url) = Url::parse(secret)
        && url.has_host()
    {
        parts_of_url(&url, secret, &mut parts);
    }
    for value in values_of_headers(secret) {
        // The scheme of an authorization is no secret, and what follows it may be quoted alone.
        parts.extend(value.split_once(' ').map(|(_, token)| token.to_owned()));
        parts.push(value);
    }
    parts.retain(|part| part.len() >= SHORTEST);
    parts.push(secret.to_owned());
    parts
}

fn parts_of_url(url: &Url, written: &str, parts: &mut Vec<String>) {
    let mut add = |part: &str, shortest: usize| {
        for part in [part.to_owned(), decoded(part)] {
            if part.len() >= shortest {
                parts.push(part);
            }
        }
    };
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    for part in [user, password, url.fragment().unwrap_or_default()] {
        add(part, SHORTEST);
    }
    let query = url.query().unwrap_or_default();
    for pair in query.split('&') {
        add(pair.split_once('=').map_or(pair, |(_, value)| value), SHORTEST);
    }
    add(query, SHORTEST);
    for path in [url.path(), written] {
        // Of the URL as it is written: what follows scheme and host.
        for segment in path.split(['/', '?', '#']) {
            add(segment, SHORTEST_SEGMENT);
        }
    }
    add(url.path(), SHORTEST_SEGMENT);
    // As a library writes it: a default port is left out, for one.
    for whole in [url.as_str(), written] {
        add(whole, SHORTEST);
        add(whole.split_once("://").map_or("", |(_, rest)| rest), SHORTEST);
    }
    let host = url.host_str().unwrap_or_default();
    let scheme = url.scheme();
    // The redacted form shows scheme and host.
    parts.retain(|part| {
        !host.contains(part.trim_end_matches('/')) && !scheme.contains(part.trim_end_matches(':'))
    });
}

/// A text without percent escapes.
fn decoded(text: &str) -> String {
    let kept = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(kept.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// The values in a template of headers: a JSON object, or whatever gives one once Atlas has filled it in.
fn values_of_headers(template: &str) -> Vec<String> {
    if let Ok(Value::Object(headers)) = serde_json::from_str(template) {
        return headers.values().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    }
    let pieces: Vec<&str> = template.split('"').collect();
    let values = pieces.windows(2).filter(|pair| pair[0].trim_end().ends_with(':'));
    values.map(|pair| pair[1].to_owned()).collect()
}

/// A secret in base64, without the padding.
fn in_base64(secret: &str) -> Vec<String> {
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    vec![STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)]
}

/// What an escaped character begins with.
const ESCAPES: [char; 4] = ['\\', '%', '&', '+'];
/// More backslashes before a character are not looked at.
const MOST_SLASHES: usize = 16;

/// Replaces a secret, however each of its characters is spelled.
fn mask(text: &str, secret: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let begins = secret.starts_with(first) || ESCAPES.contains(&first);
        if let Some(length) = begins.then(|| spelled(rest.as_bytes(), secret)).flatten() {
            clean.push_str("****");
            rest = &rest[length..];
        } else {
            clean.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    clean
}

/// If `text` begins with the secret in some spelling: its length.
fn spelled(text: &[u8], secret: &str) -> Option<usize> {
    // Where the characters so far may end: one spelling may begin like another.
    let mut ends = vec![0];
    for c in secret.chars() {
        let mut next: Vec<usize> = ends
            .iter()
            .flat_map(|at| spellings(&text[*at..], c).into_iter().map(move |length| at + length))
            .collect();
        next.sort_unstable();
        next.dedup();
        if next.is_empty() {
            return None;
        }
        ends = next;
    }
    ends.last().copied()
}

/// The lengths of all spellings of a character with which `text` begins: as it is, behind backslashes, `\u0061`, `%61`,
/// `+` for a space, `&#97;`, `&#x61;`, `&amp;`. Escapes may be escaped again.
fn spellings(text: &[u8], c: char) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut buffer = [0; 4];
    let raw = c.encode_utf8(&mut buffer).as_bytes();
    let slashes = text.iter().take(MOST_SLASHES).take_while(|byte| **byte == b'\\').count();
    if c == '\\' {
        lengths.extend(1..=slashes);
    } else if text[slashes..].starts_with(raw) {
        lengths.push(slashes + raw.len());
    }
    if slashes > 0 && text.get(slashes) == Some(&b'u') {
        let mut units = [0; 2];
        let mut at = slashes;
        let found = c.encode_utf16(&mut units).iter().all(|unit| {
            at += text[at..].iter().take_while(|byte| **byte == b'\\').count();
            let digits = text.get(at + 1..at + 5).and_then(hex);
            at += 5;
            text.get(at - 5) == Some(&b'u') && digits == Some(u32::from(*unit))
        });
        lengths.extend(found.then_some(at));
    }
    if text.first() == Some(&b'%') {
        let mut at = 0;
        let found = raw.iter().all(|byte| {
            let percent = text.get(at) == Some(&b'%');
            at += 1;
            while text[at.min(text.len())..].starts_with(b"25")
                && text.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
                && *byte != b'%'
            {
                at += 2;
            }
            let digits = text.get(at..at + 2).and_then(hex);
            at += 2;
            percent && digits == Some(u32::from(*byte))
        });
        lengths.extend(found.then_some(at));
    }
    if c == ' ' && text.first() == Some(&b'+') {
        lengths.push(1);
    }
    if text.first() == Some(&b'&') {
        lengths.extend(entity(text, c));
    }
    lengths
}

/// If `text` begins with an entity of HTML for the character: its length.
fn entity(text: &[u8], c: char) -> Option<usize> {
    let mut at = 1;
    while text[at..].starts_with(b"amp;") && (c != '&' || text[at + 4..].starts_with(b"amp;")) {
        at += 4;
    }
    let end = text[at..].iter().take(10).position(|byte| *byte == b';')?;
    let name = &text[at..at + end];
    let number = match name {
        [b'#', b'x' | b'X', digits @ ..] => hex(digits),
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok(),
        b"amp" => Some('&'.into()),
        b"lt" => Some('<'.into()),
        b"gt" => Some('>'.into()),
        b"quot" => Some('"'.into()),
        b"apos" => Some('\''.into()),
        _ => None,
    };
    (number == Some(c.into())).then_some(at + end + 1)
}

/// The number of these hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowdock_and_new_relic_come_back_in_clear_and_leave_masked() {
        let entry = serde_json::json!({"apiToken": "1234567890", "flowName": "myFlowName", "orgName": "myOrg",
            "type": "FLOWDOCK", "unknown": "1234567890", "id": null});
        let shown = redact_entry(IntegrationType::Flowdock, entry.as_object().expect("an object"));
        let text = serde_json::to_string(&shown).expect("serialises");
        assert_eq!(
            text,
            r#"{"apiToken":"****","flowName":"myFlowName","orgName":"myOrg","type":"FLOWDOCK"}"#
        );
        let entry = serde_json::json!({"accountId": 12345, "licenseKey": "0123456789abcdef0123"});
        let shown = redact_entry(IntegrationType::NewRelic, entry.as_object().expect("an object"));
        assert_eq!(
            serde_json::to_string(&shown).expect("serialises"),
            r#"{"accountId":"12345","licenseKey":"****0123"}"#
        );
        for (number, text) in
            [("2857404", "2857404"), ("2857404.0", "2857404"), ("2.857404e+06", "2857404"), ("-1.5", "-1.5")]
        {
            let entry = format!(r#"{{"accountId": {number}, "readToken": "", "writeToken": null}}"#);
            let entry: Value = serde_json::from_str(&entry).expect("JSON");
            let shown = redact_entry(IntegrationType::NewRelic, entry.as_object().expect("an object"));
            let expected = serde_json::json!({"accountId": text});
            assert_eq!(serde_json::to_value(&shown).expect("serialises"), expected, "{number}");
        }
    }

    #[test]
    fn a_flag_as_a_text_is_a_flag() {
        let shown = |value: Value| {
            let entry = serde_json::json!({"sendDatabaseMetrics": value});
            redact_entry(IntegrationType::Datadog, entry.as_object().expect("an object"))
                .0
                .into_values()
                .next()
        };
        assert_eq!(shown("true".into()), Some(RedactedValue::Bool(true)));
        assert_eq!(shown("FALSE".into()), Some(RedactedValue::Bool(false)));
        for value in [Value::Null, "".into(), "on".into(), "****".into(), 1.into()] {
            assert_eq!(shown(value), None);
        }
    }

    #[test]
    fn texts_lose_secrets_in_every_spelling() {
        let secret = "a\"b/c d";
        let text = r#"raw a"b/c d, json a\"b/c d, query a%22b%2Fc+d, path a%22b%2Fc%20d"#;
        let clean = scrub(text, [secret, ""]);
        assert_eq!(clean, "raw ****, json ****, query ****, path ****");
        assert_eq!(scrub("key abcdef", ["abc", "abcdef"]), "key ****");
        assert_eq!(scrub("a\u{1b}[31m\r\nb", []), "a[31mb");
        assert_eq!(scrub("key abc\0def", ["abcdef"]), "key ****");
        assert_eq!(scrub(&"x".repeat(9_999), []).len(), MAX_DETAIL);
    }

    #[test]
    fn texts_lose_secrets_however_they_are_escaped() {
        let secret = "a/b&c<d 'é";
        for spelled in [
            r"a\/b&c<d 'é",
            r"a\\\/b&c<d 'é",
            r"a/b\u0026c\u003cd \u0027\u00e9",
            r"a\u002Fb\\u0026c\u003Cd 'é",
            "a%2fb%26c%3cd%20%27%c3%a9",
            "a%252Fb%2526c%3Cd%20'%C3%A9",
            "a/b%26c%3Cd+'%C3%A9",
            "a/b&amp;c&lt;d &#39;&#233;",
            "a/b&amp;amp;c&lt;d &#x27;&#xE9;",
            "a&#x2f;b&amp;c&amp;lt;d &apos;é",
            "YS9iJmM8ZCAnw6k",
        ] {
            let text = format!("before {spelled} after {spelled}");
            assert_eq!(scrub(&text, [secret]), "before **** after ****", "{spelled}");
        }
        assert_eq!(scrub("😀 is \\ud83d\\ude00", ["😀"]), "**** is ****");
        assert_eq!(scrub(r"a\b and a\\b", [r"a\b"]), "**** and ****");
        assert_eq!(scrub("100%25 and 100%", ["100%"]), "**** and ****");
    }

    /// An error may quote a part of a secret: the value of one header, or the path of a URL.
    #[test]
    fn texts_lose_the_parts_of_secrets() {
        let headers = r#"{"Authorization": "Bearer T0KEN-canary", "X-Team": "canary team", "X": "1"}"#;
        let filled_in = r#"{"Authorization": "Bearer T0KEN-canary", <#if x>"X-Team" : "canary team"</#if>}"#;
        for headers in [headers, filled_in] {
            for (text, clean) in [
                (
                    "Invalid value 'Bearer T0KEN-canary' for header Authorization",
                    "Invalid value '****' for header Authorization",
                ),
                ("401 for T0KEN-canary: 1 of 1", "401 for ****: 1 of 1"),
                (r"X-Team: canary\u0020team", "X-Team: ****"),
            ] {
                assert_eq!(scrub(text, [headers]), clean, "{headers}");
            }
        }
        let url = "https://canary%2Fuser:canary-pw@hooks.example.com:443/services/T0/canary%7Epath1?key=canary-query&n=1#canary-f";
        for (text, clean) in [
            (
                "host hooks.example.com answered 404 for /services/T0/canary%7Epath1",
                "host hooks.example.com answered 404 for ****",
            ),
            ("no canary~path1 of T0", "no **** of T0"),
            (
                "hooks.example.com/services/T0/canary%7Epath1?key=canary-query&n=1",
                "hooks.example.com****?****",
            ),
            ("user canary/user, password canary-pw", "user ****, password ****"),
            ("canary%2fuser:canary-pw", "****:****"),
            ("key is canary-query, n is 1, # is canary-f", "key is ****, n is 1, # is ****"),
            ("https is needed, port 443", "https is needed, port 443"),
            (url, "****"),
            (
                "https://canary%2Fuser:canary-pw@hooks.example.com/services/T0/canary%7Epath1?key=canary-query&n=1#canary-f",
                "****",
            ),
            (
                "canary%2Fuser:canary-pw@hooks.example.com:443/services/T0/canary%7Epath1?key=canary-query&n=1#canary-f",
                "****",
            ),
        ] {
            assert_eq!(scrub(text, [url]), clean);
        }
        assert_eq!(
            scrub("hooks.example.com can't be reached", ["https://hooks.example.com/"]),
            "hooks.example.com can't be reached"
        );
    }
}
