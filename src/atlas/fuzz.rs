//! Hostile input: challenges, answers, texts and values. Each target is a property that must hold for any bytes.

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use proptest::prelude::*;
use serde_json::Value;
use url::Url;

use super::call::Call;
use super::challenges::answerable;
use super::error_table::On;
use super::errors::{self, Asked};
use super::page::Page;
use super::redaction::redact_entry;
use super::scrub::Scrubber;
use super::version::ApiVersion;
use super::wire::{ApiError, PageOptions};
use crate::domain::{
    FieldKind, FieldValue, Integration, IntegrationType, ProjectId, RedactedValue, SecretValue, plain,
};
use crate::fuzz::run;

const CANARY: &str = "canary-secret-0001";

/// No challenge causes a panic, and our answer to it contains neither the key in clear nor another header.
fn challenge(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let Some(mut challenge) = answerable(&headers) else { return };
    let context = digest_auth::AuthContext::new("public", CANARY, "/api/atlas/v2/groups");
    let Ok(answer) = challenge.respond(&context) else { return };
    let answer = answer.to_header_string();
    assert!(!answer.contains(CANARY) && !answer.contains(['\r', '\n']), "{answer:?}");
}

#[test]
fn challenges() {
    run("challenges", challenge, prop::collection::vec(any::<u8>(), 0..200));
}

/// Every field that would be shown of an answer, as text.
fn fields(bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    if let Ok(page) = Page::parse(bytes) {
        page.has_next();
        for (entry, kind) in
            page.entries().values().flat_map(|entry| IntegrationType::ALL.map(|kind| (entry, kind)))
        {
            texts.extend(redact_entry(kind, entry).0.into_values().map(|value| match value {
                RedactedValue::Bool(flag) => flag.to_string(),
                RedactedValue::Text(text) => text,
            }));
        }
    }
    texts
}

/// The messages for an error that repeats the secret of its request.
fn messages(bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    for status in [200, 400, 401, 404, 409, 429, 500] {
        let Some((status, error)) = ApiError::of(status, bytes) else { continue };
        assert!(status >= 400, "{status}");
        let detail = error.detail.or(error.reason).unwrap_or_default();
        let mut scrubber = Scrubber::new([]);
        scrubber.learn(CANARY);
        let (code, detail) = (scrubber.clean(&error.error_code), scrubber.clean(&detail));
        for on in [On::List, On::Write, On::Delete, On::Token] {
            let asked = Asked { name: "the call", on, kind: Some(IntegrationType::Slack) };
            texts.push(errors::answered(&asked, status, &code, &detail, None).summary());
        }
    }
    texts
}

fn answer(bytes: &[u8]) {
    let messages = messages(bytes);
    assert!(messages.iter().all(|text| !text.contains(CANARY)), "{messages:?}");
    for text in fields(bytes).into_iter().chain(messages) {
        assert!(text.chars().count() < 2_000, "{} characters", text.chars().count());
        assert_eq!(text, plain(&text, usize::MAX), "nothing that deceives a terminal");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(Value::from(CANARY)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let name = prop_oneof![
            prop::sample::select(
                &[
                    "results",
                    "links",
                    "rel",
                    "type",
                    "status",
                    "content",
                    "error",
                    "errorCode",
                    "detail",
                    "apiKey"
                ][..]
            )
            .prop_map(str::to_owned),
            ".{0,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn answers() {
    run("answers", answer, json().prop_map(|value| value.to_string().into_bytes()));
}

/// Whether the text contains five consecutive characters of the secret.
fn survives(secret: &str, text: &str) -> bool {
    let chars: Vec<char> = secret.chars().collect();
    chars.windows(5).any(|piece| !piece.contains(&'*') && text.contains(&piece.iter().collect::<String>()))
}

/// A masked value keeps no five consecutive characters, and masking it again reveals no more. The text of an error
/// keeps no secret, however the secret is broken up in it. The first line of the input is the secret, the rest the text
/// of the error.
fn redact(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (secret, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let clear = |value: RedactedValue| match value {
        RedactedValue::Text(text) => text,
        RedactedValue::Bool(_) => String::new(),
    };
    for kind in [FieldKind::Key, FieldKind::Hidden] {
        let masked = clear(kind.redact(secret));
        assert!(!survives(secret, &masked), "{secret:?} as {masked:?}");
        let again = clear(kind.redact(&masked));
        assert!(masked.ends_with(again.trim_start_matches('*')), "{again:?} of {masked:?}");
    }
    let url = format!("https://user:{secret}@hooks.example/{secret}?{secret}#{secret}");
    let masked = clear(FieldKind::Url.redact(&url));
    assert!(masked == "https://hooks.example/****" || !masked.contains("hooks.example"), "{masked:?}");
    assert_eq!(clear(FieldKind::Url.redact(&masked)), masked, "masked again");
    for kind in [FieldKind::Text, FieldKind::Template] {
        let shown = clear(kind.redact(rest));
        assert_eq!(plain(&shown, 512), shown);
    }

    // Only real secrets count, without control characters. A star or a few characters would be found in any mask.
    let Ok(value) = SecretValue::from_bytes(secret.as_bytes()) else { return };
    let value = value.expose();
    if value.chars().count() < 5 || value.contains('*') || plain(value, usize::MAX) != value {
        return;
    }
    let percent: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let headers = serde_json::json!({"Authorization": format!("Bearer {value}")}).to_string();
    // The secret as a whole, as a token in a header, and as a segment of a path.
    let url = format!("https://hooks.example/{}", percent.replace('+', "%20"));
    // White space is not counted, nor what may stand for it or before another character.
    let told = value.chars().filter(|c| !c.is_whitespace() && !matches!(c, '+' | '\\')).count();
    if told == 0 {
        return;
    }
    let long = told >= 8 && !["Bearer", "hooks.example", "https"].iter().any(|word| word.contains(value));
    let spelled = [
        (FieldKind::Key, value, value.to_owned()),
        (FieldKind::Key, value, percent.clone()),
        (FieldKind::Key, value, escaped(value, |c| format!("\\u{:04x}", u32::from(c)))),
        (FieldKind::Headers, &headers, value.to_owned()),
        (FieldKind::Headers, &headers, escaped(value, |c| format!("&#{};", u32::from(c)))),
        (FieldKind::Url, &url, value.to_owned()),
    ];
    for (kind, secret, spelled) in spelled.into_iter().take(if long { 6 } else { 3 }) {
        let mut scrubber = Scrubber::new([]);
        scrubber.learn_field(kind, secret);
        let said = scrubber.clean(&format!("{rest}{spelled}{rest}"));
        assert!(!said.contains(value) && !said.contains(&spelled), "{value:?} in {said:?}");
        assert!(said.chars().count() <= 400 && plain(&said, 400) == said, "{said:?}");
    }
}

/// A text in which each character that is neither a letter nor a digit of ASCII is written by `escape`.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || u32::from(c) > 0xffff { c.to_string() } else { escape(c) })
        .collect()
}

#[test]
fn redaction() {
    let broken = (
        "[ -~é]{5,40}",
        any::<prop::sample::Index>(),
        prop::sample::select(&["\0", "\u{1b}", "\r", "\u{202e}", "-"][..]),
    );
    let made = broken.prop_map(|(secret, at, broken)| {
        let at = at.index(secret.chars().count());
        let (before, after): (String, String) =
            (secret.chars().take(at).collect(), secret.chars().skip(at).collect());
        format!("{secret}\n{before}{broken}{after} {secret}").into_bytes()
    });
    run("redaction", redact, made);
}

/// For any project and type, a request goes to the integrations of one project, or is not made.
fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (project, kind) = text.split_once('\n').unwrap_or((&text, ""));
    let Some(project) = ProjectId::parse(project) else { return };
    assert!(project.to_string().len() == 24 && project.to_string().bytes().all(|b| b.is_ascii_hexdigit()));
    let kind = IntegrationType::parse(kind);
    for (base, before) in [("https://atlas.example", ""), ("https://atlas.example/proxy/", "/proxy")] {
        let base = Url::parse(base).expect("a URL");
        let options = PageOptions::default();
        let call = Call {
            method: Method::GET,
            on: On::List,
            project: &project,
            kind,
            version: ApiVersion::V2,
            options,
            body: None,
        };
        let url = call.url(&base).expect("a URL");
        let last = kind.map(|kind| format!("/{kind}")).unwrap_or_default();
        assert_eq!(
            url.as_str(),
            format!("https://atlas.example{before}/api/atlas/v2/groups/{project}/integrations{last}")
        );
    }
}

#[test]
fn urls() {
    let kinds: Vec<String> = IntegrationType::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    let kind = prop_oneof![prop::sample::select(kinds), ".{0,20}"];
    let made = ("[0-9a-f]{24}", ".{0,3}", kind)
        .prop_map(|(id, odd, kind)| format!("{id}{odd}\n{kind}").into_bytes());
    run("urls", path, made);
}

/// An accepted value reaches the body unchanged, is one that Atlas could use, and contains nothing that would begin
/// another header.
fn value(bytes: &[u8]) {
    for kind in [IntegrationType::OpsGenie, IntegrationType::Webhook] {
        for field in kind.row().fields.iter().filter(|field| field.kind.is_secret()) {
            let Ok(secret) = field.kind.check(bytes) else { continue };
            let sent = secret.expose();
            let end = bytes.strip_prefix(sent.as_bytes()).expect("as it is");
            assert!([&b""[..], b"\n", b"\r\n", b"\r"].contains(&end), "{end:?}");
            assert_eq!(
                atlas_sim::usable(kind.as_str(), field.atlas, sent),
                Ok(()),
                "{sent:?} for {}",
                field.atlas
            );
            let is_template = field.kind == FieldKind::Headers;
            assert!(is_template || !sent.contains(char::is_control));
            // What an expression gives, only Atlas can tell.
            let is_plain =
                is_template && !["${", "#{", "[=", "<#", "[#"].iter().any(|open| sent.contains(open));
            let headers = serde_json::from_str::<BTreeMap<String, Value>>(sent).ok().filter(|_| is_plain);
            for (name, value) in headers.into_iter().flatten() {
                assert!(!name.contains(char::is_control));
                assert!(!value.as_str().unwrap_or_default().contains(char::is_control));
            }
        }
    }
    if let Ok(secret) = FieldKind::Key.check(bytes) {
        let expected = secret.expose().to_owned();
        let values = [("apiKey", FieldValue::Secret(secret))];
        let integration = Integration::new(IntegrationType::OpsGenie, values).expect("an Opsgenie");
        let body: Value = serde_json::from_str(&integration.body().to_string()).expect("JSON");
        assert_eq!(body["apiKey"], expected);
    }
}

#[test]
fn values() {
    let headers = prop::collection::hash_map(".{0,12}", ".{0,12}", 0..4)
        .prop_map(|headers| serde_json::json!(headers).to_string().into_bytes());
    let text =
        prop_oneof!["[!-~]{1,40}", "https?://[a-z.]{1,9}[!-~]{0,20}", ".{1,20}"].prop_map(String::into_bytes);
    run("values", value, prop_oneof![headers, text, prop::collection::vec(any::<u8>(), 0..64)]);
}
