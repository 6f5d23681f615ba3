//! Secrets in parts and spellings that errors use, texts made of them at random, and real texts without any.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;

fn scrubber(secrets: &[(FieldKind, &str)]) -> Scrubber {
    let mut scrubber = Scrubber::new([PROJECT.to_owned()]);
    for (kind, secret) in secrets {
        scrubber.learn_field(*kind, secret);
    }
    scrubber
}

const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";

fn clean(text: &str, secrets: &[&str]) -> String {
    let secrets: Vec<_> = secrets.iter().map(|secret| (FieldKind::Key, *secret)).collect();
    scrubber(&secrets).clean(text)
}

#[test]
fn texts_lose_secrets_in_every_spelling() {
    let text = r#"raw a"b/c d, json a\"b/c d, query a%22b%2Fc+d, path a%22b%2Fc%20d"#;
    assert_eq!(clean(text, &["a\"b/c d", ""]), "raw ****, json ****, query ****, path ****");
    assert_eq!(clean("key abcdef", &["abc", "abcdef"]), "key ****");
    assert_eq!(clean("a\u{1b}[31m\r\nb", &[]), "a[31mb");
    assert_eq!(clean("key abc\0def", &["abcdef"]), "key ****");
    assert_eq!(clean(&"x y ".repeat(9_999), &[]).len(), MAX_DETAIL);
}

#[test]
fn texts_lose_secrets_however_they_are_escaped() {
    let secret = "a/b&c<d 'é";
    for spelled in [
        r"a\/b&c<d 'é",
        r"a\\\/b&c<d 'é",
        r"a/b\u0026c\u003cd \u0027\u00e9",
        r"a\u002Fb\\u0026c\u003Cd 'é",
        r"\x61\u{2f}\x62&c<d 'é",
        "a%2fb%26c%3cd%20%27%c3%a9",
        "a%252Fb%2526c%3Cd%20'%C3%A9",
        "a/b%26c%3Cd+'%C3%A9",
        "a/b&amp;c&lt;d &#39;&#233;",
        "a/b&amp;amp;c&lt;d &#x27;&#xE9;",
        "a&#x2f;b&amp;c&amp;lt;d &apos;é",
        "a&sol;b&#38c&lt;d&nbsp;'é",
        "A/B&C<D 'É",
        "a/ b&c\u{200b}<d\u{ad} 'é",
        "YS9iJmM8ZCAnw6k",
        "YS9iJmM8\nZCAnw6k",
        "612f6226633c642027c3a9",
        "612F6226633C642027C3A9",
        // The same in base64 twice, in base64 of JSON, and in hexadecimal digits of percent escapes.
        "WVM5aUptTThaQ0FudzZr",
        "ImFcL2JcdTAwMjZjPGQgJ1x1MDBlOSI",
        "612532666225323663253363642532302532372563332561",
    ] {
        let cleaned = clean(&format!("before: {spelled} : after"), &[secret]);
        assert!(
            ["before: **** : after", "before: ****a9 : after"].contains(&&*cleaned),
            "{spelled}: {cleaned}"
        );
    }
    let often = (0..9).fold("a%2Fb%26c%3Cd%20'é".to_owned(), |text, _| text.replace('%', "%25"));
    assert_eq!(clean(&often, &[secret]), "****", "too often to look");
    assert_eq!(clean("😀 is \\ud83d\\ude00", &["😀"]), "**** is ****");
    assert_eq!(clean(r"a\b and a\\b", &[r"a\b"]), "**** and ****");
    assert_eq!(clean("100%25 and 100%", &["100%"]), "**** and ****");
}

/// An error may quote a part of a secret: the value of one header, or the path of a URL.
#[test]
fn texts_lose_the_parts_of_secrets() {
    let key = "canary-secret-0001";
    for (text, cleaned) in [
        ("ends with cret-0001", "ends with ****"),
        ("begins with canary-s", "begins with ****"),
        ("begins with canary- and ends with et-0001", "begins with canary- and ends with et-0001"),
    ] {
        assert_eq!(clean(text, &[key]), cleaned);
    }
    let headers = r#"{"Authorization": "Bearer T0KEN-canary", "X-Team": "canary team", "X": "1"}"#;
    let filled_in = r#"{"Authorization": "Bearer T0KEN-canary", <#if x>"X-Team" : "canary team"</#if>}"#;
    for headers in [headers, filled_in] {
        let scrubber = scrubber(&[(FieldKind::Headers, headers)]);
        for (text, cleaned) in [
            (
                "Invalid value 'Bearer T0KEN-canary' for header Authorization",
                "Invalid value '****' for header Authorization",
            ),
            ("401 with T0KEN-canary: 1 of 1", "401 with ****: 1 of 1"),
            (r"X-Team: canary\u0020team", "X-Team: ****"),
        ] {
            assert_eq!(scrubber.clean(text), cleaned, "{headers}");
        }
    }
    let basic = r#"{"authorization": "Basic Y2FuYXJ5Om9wZW4tc2VzYW1l", "Content-Type": "application/json"}"#;
    let basic = scrubber(&[(FieldKind::Headers, basic)]);
    assert_eq!(basic.clean("user canary, password open-sesame"), "user ****, password ****");
    assert_eq!(basic.clean("application/json expected"), "application/json expected");
    let url = "https://canary%2Fuser:canary-pw@hooks.example.com:443/services/T0/canary%7Epath1?key=canary-query&n=1#canary-f";
    let of_url = scrubber(&[(FieldKind::Url, url)]);
    for (text, cleaned) in [
        (
            "host hooks.example.com answered 404 for /services/T0/canary%7Epath1",
            "host hooks.example.com answered 404 for /services/****",
        ),
        ("no canary~path1 of services", "no **** of services"),
        (
            "hooks.example.com/services/T0/canary%7Epath1?key=canary-query&n=1",
            "hooks.example.com/services/****",
        ),
        ("user canary/user, password canary-pw", "user ****, password ****"),
        ("canary%2fuser:canary-pw", "****"),
        ("key is canary-query, n is 1, # is canary-f", "key is ****, n is 1, # is ****"),
        ("https is needed, port 443", "https is needed, port 443"),
        (url, "https:/****@hooks.example.com:443/services/****"),
    ] {
        assert_eq!(of_url.clean(text), cleaned);
    }
    let bare = [(FieldKind::Url, "https://hooks.example.com/")];
    let text = "hooks.example.com can't be reached";
    assert_eq!(scrubber(&bare).clean(text), text);
}

/// What an earlier write sent is not known any more.
#[test]
fn what_looks_random_is_masked_unless_it_is_a_known_id() {
    for key in [
        "0123456789abcdef0123456789abcdef",
        "9f86d081-884c-4d65-9a2f-eaa0c55ad015",
        "dd_aGVsbG8gd29ybGQhIHRoaXMgaXM",
        "xoxb_QmFzZTY0IGlzIG5vdCBhIHNlY3JldA",
        "qzvXkjPwBnMfHgTyUqLsDrWc",
        "5d791c84ff7a2522cc4f9aa2",
        "Zk9/w3Kq+8Yb/Lr2Xv0Ht5/Gm1Qp7Dc4==",
    ] {
        for text in [format!("key {key} is in use"), format!("key={key}, in use"), format!("/v1/{key}/test")]
        {
            assert!(!clean(&text, &[]).contains(key), "{text}");
        }
    }
    let text = format!("No group with ID {PROJECT} exists, says /api/atlas/v2/groups/{PROJECT}/integrations");
    assert_eq!(clean(&text, &[]), text);
    assert_eq!(clean("id=5d791c84ff7a2522cc4f9aa2", &[]), "id=****");
}

/// A text that is made to take long is not looked at in full, and not shown.
#[test]
fn the_work_for_a_text_is_bounded() {
    // Whatever base64 makes of it, is text again.
    let mut text = "canary-secret-0001".repeat(8);
    for _ in 0..12 {
        text = STANDARD.encode(text);
    }
    for text in [text, "%25".repeat(MAX_TEXT), "&amp;amp;".repeat(MAX_TEXT), "TVRFeE".repeat(MAX_TEXT)] {
        let readings = readings(&text[..MAX_TEXT], SHORTEST).map(|all| all.iter().map(Vec::len).sum());
        assert!(readings.unwrap_or(0) <= MAX_TEXT + (1 << 16), "{readings:?}");
        assert!(!clean(&text, &["canary-secret-0001"]).contains("canary"));
    }
}

/// Texts that people have met, of Atlas, of the services behind it and of what stands before it.
const REAL: [&str; 48] = [
    "No group with ID 5d791c84ff7a2522cc4f9aa1 exists.",
    "You are not authorized for this resource.",
    "The currently logged in user does not have the user administrator role for any team, group, or organization owned by the specified group.",
    "IP address 203.0.113.7 is not allowed to access this resource.",
    "IP address 2001:db8:85a3:8d3:1319:8a2e:370:7348 is not allowed to access this resource.",
    "An invalid enumeration value US9 was specified.",
    "Received JSON does not match expected format.",
    "The required attribute microsoftTeamsWebhookUrl was missing.",
    "Invalid attribute sendUserProvidedResourceTagsToDatadog specified.",
    "INTEGRATION_TYPE_ALREADY_CONFIGURED",
    "CANNOT_CONFIGURE_THIRD_PARTY_INTEGRATION_FOR_THIS_PROJECT_TYPE",
    "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES",
    "ATLAS_INTEGRATION_NOT_FOUND_FOR_TYPE_OPS_GENIE",
    "The specified resource path /api/atlas/v2/groups/5d791c84ff7a2522cc4f9aa1/integrations/MICROSOFT_TEAMS could not be found.",
    "Too many requests. The limit of 1200 per 60 seconds for ThirdPartyIntegrationsResource was exceeded; retry in 26 seconds.",
    "com.fasterxml.jackson.core.JsonParseException: Unexpected character ('}' (code 125)): was expecting double-quote to start field name",
    "java.net.SocketTimeoutException: Read timed out",
    "org.springframework.http.converter.HttpMessageNotReadableException: Required request body is missing",
    "com.xgen.svc.nds.svc.ThirdPartyIntegrationValidationException: NotificationWebhookUrlIsNotReachable",
    "See https://www.mongodb.com/docs/atlas/reference/api-resources-spec/v2/#tag/Third-Party-Integrations/operation/createThirdPartyIntegration",
    "https://docs.datadoghq.com/account_management/api-app-keys/ says how to make an API key.",
    "invalid_client: Client authentication failed (e.g., unknown client, no client authentication included, or unsupported authentication method).",
    "unsupported_grant_type",
    r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}"#,
    r#"{"status":"error","code":403,"errors":["Forbidden"],"statuspage":"http://status.datadoghq.com","twitter":"http://twitter.com/datadogops","email":"support@datadoghq.com"}"#,
    r#"{"message":"Could not authenticate","took":0.001}"#,
    "invalid_auth",
    "channel_not_found",
    "no_active_hooks",
    "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId tcid=0,server=AM3PEPF0000A791,cv=",
    "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx/1.25.3</center></body></html>",
    "<html><body><h1>504 Gateway Time-out</h1>The server didn't respond in time.</body></html>",
    "upstream connect error or disconnect/reset before headers. reset reason: connection failure, transport failure reason: delayed connect error: 111",
    "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
    "no healthy upstream",
    "RBAC: access denied",
    "ERR_ACCESS_DENIED: Access control configuration prevents your request from being allowed at this time. Please contact your service provider if you feel this is incorrect. Generated Sun, 29 Nov 2026 17:03:48 GMT by proxy.example.com (squid/5.7)",
    "ERR_CANNOT_FORWARD 0, Unable to forward this request at this time.",
    "error code: 1020",
    "Error 1015 Ray ID: 7a1b2c3d4e5f6789 \u{2022} 2026-11-29 17:03:48 UTC: You are being rate limited",
    "<html><head><title>503 Service Temporarily Unavailable</title></head><body><center><h1>503 Service Temporarily Unavailable</h1></center></body></html>",
    r#"{"message":"Missing Authentication Token"}"#,
    r#"{"message":"no Route matched with those values"}"#,
    "The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds.",
    "x509: certificate signed by unknown authority (possibly because of \"crypto/rsa: verification error\" while trying to verify candidate authority certificate \"corporate-proxy-intermediate-ca\")",
    "Proxy Authentication Required: Negotiate, NTLM, Basic realm=\"corporate-internet-gateway.example.com\"",
    "POST /services?team=example%20team&channel=%23database-alerts: 404, page_not_found &mdash; see &quot;Sending messages using incoming webhooks&quot;",
    "Value '2026-11-29T17:03:48.123456Z' of attribute activeUntilDateTimeWithTimeZone is not in ISO-8601 format",
];

#[test]
fn real_texts_without_secrets_stay_as_they_are() {
    let scrubber = scrubber(&[
        (FieldKind::Key, "8f0d7c52-1a2b-4c3d-9e8f-0123456789ab"),
        (FieldKind::Key, "qwertyui"),
        (FieldKind::Hidden, "correct horse battery staple"),
        (FieldKind::Url, "https://hooks.slack.com/services/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"),
        (FieldKind::Headers, r#"{"Authorization": "Bearer k9Yt3wQz", "Content-Type": "application/json"}"#),
    ]);
    let codes = crate::atlas::ANSWERS.iter().map(|row| row.code);
    for text in REAL.into_iter().chain(codes) {
        assert_eq!(scrubber.clean(text), text);
    }
}

/// A secret as it may be stored, of one of the kinds that people have.
fn secret(random: &mut fastrand::Rng) -> (FieldKind, String) {
    let of = |random: &mut fastrand::Rng, signs: &str, length: usize| -> String {
        let signs: Vec<char> = signs.chars().collect();
        (0..length).map(|_| random.choice(&signs).copied().unwrap_or('x')).collect()
    };
    const WORDS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let (length, short) = (random.usize(8..48), random.usize(5..8));
    match random.u8(0..7) {
        0 => (FieldKind::Key, of(random, "0123456789abcdef", 32)),
        1 => (FieldKind::Key, of(random, WORDS, length)),
        2 => (
            FieldKind::Hidden,
            of(random, &(WORDS.to_owned() + " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~éß€😀"), length),
        ),
        3 => (FieldKind::Hidden, of(random, WORDS, short)),
        4 => (FieldKind::Hidden, format!("{}-{}", of(random, "abcdefghijklmnop", 9), random.u32(..))),
        5 => (
            FieldKind::Url,
            format!(
                "https://hooks.example.com/services/{}?key={}",
                of(random, WORDS, 24),
                of(random, WORDS, 12)
            ),
        ),
        _ => (
            FieldKind::Headers,
            format!(
                r#"{{"Authorization": "Bearer {}", "X-Key": "{}"}}"#,
                of(random, WORDS, 24),
                of(random, WORDS, 12)
            ),
        ),
    }
}

/// What may be repeated of it: all, or a part that has [`PART`] characters which tell something.
fn part(random: &mut fastrand::Rng, kind: FieldKind, secret: &str) -> String {
    let secret = match kind {
        FieldKind::Url => secret.split_once("/services/").map_or(secret, |(_, rest)| rest),
        FieldKind::Headers => {
            let values: Vec<&str> =
                secret.split('"').filter(|piece| piece.len() >= 12 && !piece.ends_with("ion")).collect();
            values[random.usize(..values.len())]
        }
        _ => secret,
    };
    let chars: Vec<char> = secret.chars().collect();
    for _ in 0..4 {
        let (a, b) = (random.usize(..=chars.len()), random.usize(..=chars.len()));
        let part = String::from_iter(&chars[a.min(b)..a.max(b)]).trim().to_owned();
        if part.chars().filter(|c| !matches!(c, ' ' | '+' | '\\')).count() >= PART {
            return part;
        }
    }
    secret.to_owned()
}

fn each(text: &str, spell: impl Fn(char) -> String) -> String {
    text.chars().map(spell).collect()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn in_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

fn in_utf16(c: char) -> String {
    let mut units = [0; 2];
    c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn in_percent(text: &str, upper: bool) -> String {
    text.bytes().map(|b| if upper { format!("%{b:02X}") } else { format!("%{b:02x}") }).collect()
}

/// One spelling of a text.
fn spelled(random: &mut fastrand::Rng, text: &str) -> String {
    let before: String = (0..random.usize(0..4)).map(|_| random.alphanumeric()).collect();
    let every = random.usize(3..20);
    let cut = |by: &str| {
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(every).map(String::from_iter).collect::<Vec<_>>().join(by)
    };
    match random.u8(0..20) {
        0 => in_json(text),
        1 => in_json(&in_json(text)),
        2 => each(text, in_utf16),
        3 => each(text, |c| if is_plain(c) { c.to_string() } else { in_utf16(c) }),
        4 => text.replace('/', "\\/").replace('"', "\\\""),
        5 => in_percent(text, true),
        6 => in_percent(text, false),
        7 => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        8 => in_percent(text, false).replace('%', "%25"),
        9 => each(text, |c| format!("&#{};", u32::from(c))),
        10 => each(text, |c| if is_plain(c) { c.to_string() } else { format!("&#x{:X};", u32::from(c)) }),
        11 => text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"),
        12 => STANDARD_NO_PAD.encode(format!("{before}{text}")),
        13 => URL_SAFE_NO_PAD.encode(format!("{before}{text}")),
        14 => format!("{before}{}", STANDARD_NO_PAD.encode(text)),
        15 => text.bytes().map(|b| format!("{b:02x}")).collect(),
        16 => text.bytes().map(|b| format!("{b:02X}")).collect(),
        17 => cut(" "),
        18 => cut("\r\n"),
        _ => cut("\u{200b}"),
    }
}

/// Whether a text that was shown still has so much of the spelled secret that [`PART`] characters of it could be in that.
fn left(shown: &str, spelled: &str, part: &str) -> bool {
    let spelled: Vec<char> = plain(spelled, usize::MAX).chars().collect();
    let length = part.chars().count();
    // Spellings differ in length from character to character, at most by that of a character outside of the plane.
    let least = (spelled.len() * PART.min(length)).div_ceil(length) + 2 * spelled.len() / length;
    let least = least.min(spelled.len());
    spelled.windows(least).any(|window| shown.contains(&String::from_iter(window)))
}

/// Texts at random: a real one, and within it a secret or a part of it, in up to three spellings of each other. The
/// number of texts is `SCRUB_TEXTS` (`make scrub`).
#[test]
fn no_part_of_a_secret_is_left_in_any_spelling() {
    let texts: u64 =
        std::env::var("SCRUB_TEXTS").ok().map_or(4_000, |texts| texts.parse().expect("a number"));
    let seed = std::env::var("SCRUB_SEED").ok().map_or(17, |seed| seed.parse().expect("a number"));
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut tried, mut found) = (0, Vec::new());
    while tried < texts {
        let (kind, secret) = secret(&mut random);
        let scrubber = scrubber(&[(FieldKind::Key, "8f0d7c52-1a2b-4c3d-9e8f-0123456789ab"), (kind, &secret)]);
        for _ in 0..20 {
            let part = part(&mut random, kind, &secret);
            let mut hidden = match random.u8(0..4) {
                0 => part.to_uppercase(),
                1 => part.to_lowercase(),
                _ => part.clone(),
            };
            for _ in 0..random.usize(0..=3) {
                hidden = spelled(&mut random, &hidden);
            }
            let around = REAL[random.usize(..REAL.len())];
            let places: Vec<usize> =
                around.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at + 1).collect();
            let at = random.choice(&places).copied().unwrap_or(0);
            let text = format!("{}{hidden} {}", &around[..at], &around[at..]);
            let shown = scrubber.clean(&text);
            tried += 1;
            if left(&shown, &hidden, &part) {
                found.push(format!("{part:?} of {secret:?} as {hidden:?}: {shown:?}"));
            }
        }
    }
    println!("scrub: {tried} texts, {} with a part of a secret left, seed {seed}", found.len());
    assert!(found.is_empty(), "{:#?}", &found[..found.len().min(10)]);
}
