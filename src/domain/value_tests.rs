//! What people store in Secrets, and what becomes of it.

use rstest::rstest;

use super::super::characters::{Class, class};
use super::super::integration_type::{Field, TYPES};
use super::super::redacted::FieldKind::{self, Headers, Hidden, Key, Url};

/// What a check says of a text.
fn verdict(kind: FieldKind, text: &str) -> String {
    match kind.check(text.as_bytes()) {
        Ok(value) => {
            assert_eq!(text.strip_prefix(value.expose()).map(|end| end.trim_matches(['\r', '\n'])), Some(""));
            "good".to_owned()
        }
        Err(bad) => bad.to_string(),
    }
}

const COPY_AGAIN: &str =
    "copy the key again and store it alone, without spaces and without characters that are not ASCII";

#[rstest]
#[case::mark("\u{feff}abc", "begins with a byte order mark (U+FEFF)")]
#[case::no_break("abc\u{a0}", "ends with a no-break space (U+00A0)")]
#[case::zero_width("a\u{200b}bc", "has a zero-width space (U+200B) in it")]
#[case::echo("abc \n", "ends with a space")]
#[case::before(" abc", "begins with a space")]
#[case::within("ab c", "has a space in it")]
#[case::tab("abc\t", "ends with a tab")]
#[case::both(
    "\u{feff}abc\u{200b} ",
    "begins with a byte order mark (U+FEFF) and ends with a zero-width space (U+200B) and a space"
)]
#[case::everywhere(
    "\u{feff}a b\u{200b}",
    "begins with a byte order mark (U+FEFF), has a space in it and ends with a zero-width space (U+200B)"
)]
#[case::lines("abc\ndef", "has a line break in it")]
#[case::two_breaks("abc\n\n", "ends with a line break")]
#[case::nul("a\0b\0", "has a NUL character (U+0000) in it and ends with a NUL character (U+0000)")]
#[case::colours("\u{1b}[31mabc", "begins with an escape character (U+001B)")]
#[case::next_line("abc\u{85}", "ends with a control character (U+0085)")]
#[case::dash("ab\u{2013}c", "has a typographic dash (U+2013) in it")]
#[case::homoglyph("\u{430}bc", "begins with a character that is not ASCII")]
#[case::damaged("ab\u{fffd}c", "has a character that stands for damaged text (U+FFFD) in it")]
#[case::direction(
    "\u{202a}abc\u{202c}",
    "begins with an invisible character for the direction of writing (U+202A) and ends with an invisible character for the direction of writing (U+202C)"
)]
#[case::full_width("\u{ff41}bc", "begins with a character that is not ASCII")]
#[case::filler("abc\u{3164}", "ends with an invisible character (U+3164)")]
#[case::em_space("abc\u{2003}", "ends with an unusual space (U+2003)")]
#[case::another_file(
    "\u{a0}\u{2003}\u{200b}\u{3000}abc",
    "begins with a no-break space (U+00A0), an unusual space (U+2003) and a zero-width space (U+200B)"
)]
fn a_key_has_visible_ascii_characters_only(#[case] text: &str, #[case] what: &str) {
    assert_eq!(verdict(Key, text), format!("{what}; {COPY_AGAIN}"));
}

#[rstest]
#[case("0123456789abcdef0123456789abcdef")]
#[case("0123456789abcdef0123456789abcdef\n")]
#[case("0b7e4a5c-1f7d-4f6c-9c1e-3d2a1b0c9d8e\r\n")]
#[case("xoxb-123456789012-abcDEF")]
#[case("NRII-aB3_x-9")]
#[case("eu01xx0123456789abcdef0123456789abcdNRAL")]
#[case("mdb_sa_sk_aB3-x_9")]
#[case("q8Yd0t3nQzN0sQxv1mWc7A==")]
#[case("a.b:c/d+e~f!g@h$i&j*k|l^m?n#o")]
#[case("x")]
#[case::base64_of_a_short_word("YWJjZGVmZ2hpamtsbW5v")]
#[case::base64_of_no_word("eyJrIjoiYWJjZGVmZ2hpamtsbW5vcCJ9")]
#[case::only_equals_signs_follow("abc===")]
fn keys_of_any_service_pass(#[case] text: &str) {
    assert_eq!(verdict(Key, text), "good");
}

#[rstest]
#[case(" pass word ")]
#[case("\"quoted\"")]
#[case("{\"a\": 1}")]
#[case("NAME=value")]
#[case("cGFzc3dvcmQtb2Ytc29tZWJvZHk=")]
#[case("${not} a $placeholder\\n")]
#[case("p\u{e4}ss w\u{f6}rd")]
#[case("\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}\u{a0}\u{43f}\u{430}")]
#[case::two_words_of_japanese("\u{5408}\u{3000}\u{8a00}")]
#[case::persian("\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}")]
#[case::heart("I \u{2764}\u{fe0f}")]
#[case::family("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}")]
#[case::burning_heart("\u{2764}\u{fe0f}\u{200d}\u{1f525}")]
#[case::flag("\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}")]
#[case::arabic_number_sign("\u{600}12")]
#[case::one_break("abc \r\n")]
fn passwords_that_somebody_can_mean_pass(#[case] text: &str) {
    assert_eq!(verdict(Hidden, text), "good");
}

#[rstest]
#[case("\u{feff}abc", "begins with a byte order mark (U+FEFF)")]
#[case("\u{43f}\u{feff}\u{43f}", "has a byte order mark (U+FEFF) in it")]
#[case("abc\u{a0}", "ends with a no-break space (U+00A0)")]
#[case("\u{43f}\u{a0}", "ends with a no-break space (U+00A0)")]
#[case("two\u{a0}words", "has a no-break space (U+00A0) in it")]
#[case("abc\u{200d}", "ends with a zero-width joiner (U+200D)")]
#[case("\u{645}\u{200c}", "ends with a zero-width non-joiner (U+200C)")]
#[case("ab\u{200b}c", "has a zero-width space (U+200B) in it")]
#[case("abc\u{fe0f}", "ends with an invisible character (U+FE0F)")]
#[case("abc\t", "ends with a tab")]
#[case("abc\n\n", "ends with a line break")]
#[case("a\u{2028}b", "has a line separator (U+2028) in it")]
#[case("\u{43f}\u{fffd}", "ends with a character that stands for damaged text (U+FFFD)")]
fn passwords_that_nobody_can_mean_are_refused(#[case] text: &str, #[case] what: &str) {
    assert_eq!(verdict(Hidden, text), format!("{what}; store the value alone, without that"));
}

#[rstest]
#[case("https://example.com/x")]
#[case("https://example.com/x\n")]
#[case("http://example.com")]
#[case("HTTPS://Example.COM/X")]
#[case("https://user@example.com/x")]
#[case("https://user:p%40ss@example.com:8443/x")]
#[case("https://example.com./x?y=z&z=%2F;a=(b)*!'~,$+:@/?#end")]
#[case("https://[2001:db8::1]:8443/x")]
#[case("https://192.0.2.1/x")]
#[case("https://example.com:/x")]
#[case("https://example.com?x=y")]
#[case("http://hooks_internal.example//x")]
#[case("https://xn--bcher-kva.example/x")]
#[case("https://example.com/webhookb2/a@b/IncomingWebhook/c/d")]
#[case(
    "https://example.com:443/workflows/a/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers&sv=1.0&sig=A-b_c"
)]
#[case("https://example.com/odata/Items?$filter=name%20eq%20'x'")]
fn urls_as_rfc_3986_has_them_pass(#[case] text: &str) {
    assert_eq!(verdict(Url, text), "good");
}

#[rstest]
#[case("https:example.com/x", "lacks // after https:; write both slashes")]
#[case("https:/example.com/x", "lacks // after https:; write both slashes")]
#[case("HTTP:/example.com/x", "lacks // after http:; write both slashes")]
#[case("https:///x", NO_HOST)]
#[case("https:////example.com/x", NO_HOST)]
#[case("https://", NO_HOST)]
#[case("https://:443/x", NO_HOST)]
#[case("https://user@/x", NO_HOST)]
#[case("https://?x", NO_HOST)]
#[case("ftp://example.com/x", NO_SCHEME)]
#[case("example.com/x", NO_SCHEME)]
#[case("//example.com/x", NO_SCHEME)]
#[case("http//example.com/x", NO_SCHEME)]
#[case("mailto:a@example.com", NO_SCHEME)]
#[case(" https://example.com/x", "begins with a space; store the URL alone, without that")]
#[case("https://example.com/x ", "ends with a space; store the URL alone, without that")]
#[case(
    "https://example.com/x\u{200b}",
    "ends with a zero-width space (U+200B); store the URL alone, without that"
)]
#[case(
    "\u{feff}https://example.com/x",
    "begins with a byte order mark (U+FEFF); store the URL alone, without that"
)]
#[case("https://exam\tple.com/x", within!("a tab"))]
#[case("https://example.com/a b", within!("a space"))]
#[case("https://example.com\\x", within!("a backslash"))]
#[case(
    "https://example.com/{id}",
    "has a brace in it and ends with a brace; correct the URL: replace placeholders, percent-encode such characters if they belong to it (a space is %20), and write the host in ASCII (xn--)"
)]
#[case("https://example.com/<id>/x", within!("an angle bracket"))]
#[case("https://example.com/\"x\"/y", within!("a double quote"))]
#[case("https://example.com/x|y", within!("a vertical bar"))]
#[case("https://b\u{fc}cher.example/x", within!("a character that is not ASCII"))]
#[case("https://example.com/\u{2026}/x", within!("an ellipsis (U+2026)"))]
#[case("https://example.com:99999/x", PORT)]
#[case("https://example.com:0/x", PORT)]
#[case("https://example.com:https/x", PORT)]
#[case("https://example.com:80:90/x", PORT)]
#[case("https://[2001:db8::1]:x/", PORT)]
#[case("https://2001:db8::1/x", "has an IPv6 address without [ and ] around it; write it between [ and ]")]
#[case(
    "https://[2001:db8::1/x",
    "has a character in its host that no host name has; correct the host of the URL"
)]
#[case("https://[example.com]/x", "has no IPv6 address between [ and ]; correct the host of the URL")]
#[case("https://[fe80::1%25eth0]/x", "has no IPv6 address between [ and ]; correct the host of the URL")]
#[case(
    "https://[2001:db8::1]8443/x",
    "has text between its IPv6 address and its port; correct the host of the URL"
)]
#[case(
    "https://user:p@ss@example.com/x",
    "has @, [ or ] in its user or password; percent-encode it there: %40, %5B, %5D"
)]
#[case("https://example.com/100%", PERCENT)]
#[case("https://example.com/%zz", PERCENT)]
#[case("https://example.com/x?token=%2", PERCENT)]
#[case(
    "https://exa%20mple.com/x",
    "has a character in its host that no host name has; correct the host of the URL"
)]
#[case(
    "https://example..com/x",
    "has two dots in a row, or a dot at the beginning, in its host; correct the host of the URL"
)]
#[case("https://1.2.3/x", NUMBER)]
#[case("https://300.1.1.1/x", NUMBER)]
#[case("https://3232235777/x", NUMBER)]
#[case("https://0x7f.0x1/x", NUMBER)]
#[case(
    "https://example.com/a[0]",
    "has a square bracket in its path or query; write %5B for [ and %5D for ]"
)]
#[case(
    "https://example.com/a#b#c",
    "has # in it more than once; write %23 for a # that is no beginning of a fragment"
)]
#[case("https://https://example.com/x", "has its scheme twice; write https:// or http:// once")]
#[case("https://http//example.com/x", "has its scheme twice; write https:// or http:// once")]
#[case("https://www.https://example.com/x", "has its scheme twice; write https:// or http:// once")]
#[case(
    "https://example.com/****2101",
    "is masked, as Atlas shows URLs; store the whole URL, as the service gave it"
)]
#[case("https://xn--a.example/x", "has a host name that does not exist in DNS; correct the host of the URL")]
#[case("\"https://example.com/x\"", "is in quotes; store the value without them")]
#[case(
    "<https://example.com/x>",
    "is in angle brackets, as a placeholder or a link in a text; store the value itself, without them"
)]
#[case("{\"url\": \"https://example.com/x\"}", "is a JSON object; put the value alone into the key")]
#[case(
    "aHR0cHM6Ly9leGFtcGxlLmNvbS94",
    "is encoded as Base64 twice; encode the value once in the Secret's data, or store it as it is in stringData"
)]
fn urls_that_only_a_browser_mends_are_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(verdict(Url, text), expected);
}

/// RFC 1035: 63 bytes for a label, 253 for a name.
#[rstest]
#[case(63, 1, true)]
#[case(64, 1, false)]
#[case(49, 5, true)]
#[case(50, 5, false)]
fn a_host_name_has_a_length(#[case] label: usize, #[case] labels: usize, #[case] good: bool) {
    let host = vec!["a".repeat(label); labels].join(".");
    let host = if labels == 5 { format!("{host}.de") } else { host };
    let expected =
        if good { "good" } else { "has a host name that is too long for DNS; correct the host of the URL" };
    assert_eq!(verdict(Url, &format!("https://{host}/x")), expected, "{}", host.len());
}

const NO_HOST: &str = "has no host after //; store the whole URL, with its host";
const NO_SCHEME: &str =
    "does not begin with https:// or http://; store the whole URL, including its https:// or http://";
const PORT: &str =
    "has a port that is no number from 1 to 65535; correct the port of the URL, or leave it out";
const PERCENT: &str =
    "has a percent sign that two hexadecimal digits do not follow; write %25 for a percent sign of its own";
const NUMBER: &str = "has a number as its host that is no IPv4 address; correct the host of the URL";

macro_rules! within {
    ($what:literal) => {
        concat!(
            "has ",
            $what,
            " in it; correct the URL: replace placeholders, percent-encode such characters if they belong to it (a space is %20), and write the host in ASCII (xn--)"
        )
    };
}
use within;

#[rstest]
#[case(r#"{"X-Token": "abc"}"#, "good")]
#[case("{\n\t\"X-Token\": \"abc\"\r\n}\n", "good")]
#[case("<#if typeName == \"HOST\">{\"X-Kind\": \"host\"}<#else>{}</#if>", "good")]
#[case(r#"{"X-Count": ${eventCount}, "X-Id": "${id}"}"#, "good")]
#[case("[#ftl]\n[#if id??]{\"X-Id\": \"${id}\"}[/#if]\n\n", "good")]
#[case(r#"<#assign end = "\r\n">{"X-Id": "${id + end}"}"#, "good")]
#[case(r#"{"X-Text": "${summary?replace('\n', ' ')}", "X-Id": "${id}"}"#, "good")]
#[case(r#"{"X-Text": "${summary?replace('\n', ' ')}", "X-Token": "abc\n"}"#, ESCAPED)]
#[case(r#"{"X-Text": "[=summary?replace('\n', ' ')]<#if a == '\n'>b</#if>"}"#, "good")]
#[case(r#"{"X-Token": "ab${cd\n"}"#, ESCAPED)]
#[case(r#"{"X-Token": 1, "X-Other": {"a": "b\\n"}}"#, "good")]
#[case("{\"X-Name\": \"J\u{fc}rgen\u{a0}B.\"}", "good")]
#[case("X-Token: abc", "good")]
#[case("{\"X-Token\": \"abc\0\"}", "has a NUL character (U+0000) in it; store the template without that")]
#[case(
    "{\"X-Token\": \"\u{1b}[0m\"}",
    "has an escape character (U+001B) in it; store the template without that"
)]
#[case("\u{feff}{}", "begins with a byte order mark (U+FEFF); store the template without that")]
#[case("{}\u{a0}\n", "ends with a no-break space (U+00A0); store the template without that")]
#[case(r#"{"X-Token": "abc\r\nX-Evil: 1"}"#, ESCAPED)]
#[case(r#"{"X-Token": "abc\n"}"#, ESCAPED)]
#[case(r#"{"X-\u000aToken": "abc"}"#, ESCAPED)]
#[case("\n \n", "holds nothing but spaces or invisible characters; store the value in it")]
fn templates_are_passed_on_but_for_control_characters(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(verdict(Headers, text), expected);
}

const ESCAPED: &str = "has a line break or another control character in the name or value of a header; remove it, such \
                       as the \\n at the end of a value that was read from a file";

/// What people store in place of the value: each of these was accepted once, or refused without its cause.
#[rstest]
#[case::json(Key, r#"{"apiKey":"0123"}"#, "is a JSON object; put")]
#[case::json_with_break(Key, "{\n  \"apiKey\": \"0123\"\n}\n", "is a JSON object; put")]
#[case::list(Key, r#"["0123"]"#, "is a JSON list; put")]
#[case::flow(Key, "{apiKey: 0123}", "is in brackets; store")]
#[case::quotes(Key, "\"0123\"", "is in quotes; store")]
#[case::single_quotes(Key, "'0123'\n", "is in quotes; store")]
#[case::curly_quotes(Key, "\u{201c}0123\u{201d}", "is in quotes; store")]
#[case::half_a_quote(Key, "0123\"", "ends with a quotation mark; store")]
#[case::quote_left(Key, "\"0123", "begins with a quotation mark; store")]
#[case::from_json(Key, "0123\",", "ends with a quotation mark; store")]
#[case::env_line(
    Key,
    "DD_API_KEY=0123",
    "is a line of an environment file or of a script (NAME=value); store"
)]
#[case::export(Key, "export DD_API_KEY=0123", "is a line of an environment file")]
#[case::yaml_line(Key, "apiKey: 0123", "is a line of YAML or a header (name: value); store")]
#[case::header(Key, "Authorization: Bearer 0123", "is a line of YAML or a header (name: value); store")]
#[case::bearer(
    Key,
    "Bearer 0123",
    "begins with the scheme of an Authorization header, such as Bearer; store"
)]
#[case::genie(Key, "GenieKey 0123", "begins with the scheme of an Authorization header")]
#[case::pem(Key, "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n", "is a PEM block")]
#[case::twice(Key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "is encoded as Base64 twice; encode")]
#[case::twice_a_word(Key, "YWJjZGVmZ2hpamtsbW5vcA", "is encoded as Base64 twice")]
#[case::twice_with_break(Key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYK", "is encoded as Base64 twice")]
#[case::shell(Key, "${DD_API_KEY}", "is a placeholder that no tool has replaced")]
#[case::shell_bare(Key, "$DD_API_KEY", "is a placeholder that no tool has replaced")]
#[case::command(Key, "$(cat key)", "is a placeholder that no tool has replaced")]
#[case::helm(Key, "{{ .Values.apiKey }}", "is a placeholder that no tool has replaced")]
#[case::windows(Key, "%DD_API_KEY%", "is in percent signs, as a placeholder")]
#[case::docs(Key, "<your-api-key>", "is in angle brackets, as a placeholder")]
#[case::sops(Key, "ENC[AES256_GCM,data:0123,type:str]", "is still encrypted by SOPS")]
#[case::reference(Key, "op://vault/item/field", "is a URL, where a key or token is needed")]
#[case::slack_webhook(
    Key,
    "https://hooks.example.com/services/T0/B0/x",
    "is a URL, where a key or token is needed"
)]
#[case::masked(Key, "****************************cdef", "is masked, as Atlas and web pages show keys")]
#[case::dots(Key, "\u{2022}\u{2022}\u{2022}\u{2022}cdef", "is masked, as Atlas and web pages show keys")]
#[case::null(Key, "null", "is the word that a tool writes where it has no value")]
#[case::python(Key, "None", "is the word that a tool writes where it has no value")]
#[case::go(Key, "<no value>", "is in angle brackets")]
#[case::escape(Key, "0123\\n", "has a backslash in it, as of an escape such as \\n")]
#[case::comma(Key, "0123,", "ends with a comma or a semicolon")]
#[case::one_sign(Key, "%", "ends with a percent sign")]
#[case::open(Key, "(0123", "begins or ends with a bracket")]
#[case::close(Key, "0123}", "begins or ends with a bracket")]
#[case::base64_of_a_windows_file(Key, "MDEyMzQ1Njc4OWFiY2RlZg0K", "is encoded as Base64 twice; encode")]
#[case::masked_end(Key, "0123************", "is masked, as Atlas and web pages show keys")]
#[case::masked_within(Key, "0123****cdef", "is masked, as Atlas and web pages show keys")]
#[case::masked_end_with_dots(
    Key,
    "xoxb-\u{2022}\u{2022}\u{2022}\u{2022}",
    "is masked, as Atlas and web pages show keys"
)]
#[case::redacted(Key, "REDACTED", "is masked, as Atlas and web pages show keys")]
#[case::sql_null(Key, "NULL", "is the word that a tool writes where it has no value")]
#[case::masked_query(Url, "https://example.com/x?token=****", "is masked, as Atlas shows URLs")]
#[case::masked_host(Url, "https://****/x", "is masked, as Atlas shows URLs")]
#[case::masked_by_three(Url, "https://example.com/services/T0/***", "is masked, as Atlas shows URLs")]
#[case::zsh(Key, "0123%", "ends with a percent sign, as some shells print it where a line break is missing")]
#[case::powershell(Hidden, "p\0w\0", "has a NUL character (U+0000) in it")]
#[case::blank_password(Hidden, "   ", "holds nothing but spaces or invisible characters")]
#[case::curl(Url, "curl -X POST https://example.com/x", "does not begin with|has a space in it")]
#[case::env_url(Url, "url=https://example.com/x", "is a line of an environment file")]
#[case::yaml_url(Url, "url: https://example.com/x", "is a line of YAML or a header")]
#[case::helm_url(Url, "https://{{ .Values.host }}/x", "has a brace and a space in it")]
#[case::shell_url(Url, "https://$HOST/x", "has a character in its host that no host name has")]
#[case::markdown(Url, "[hook](https://example.com/x)", "does not begin with|has a square bracket")]
#[case::semicolon(Url, "https;//example.com/x", "does not begin with https:// or http://")]
#[case::no_colon(Url, "https//example.com/x", "does not begin with https:// or http://")]
fn what_people_store_in_place_of_a_value_is_named(
    #[case] kind: FieldKind,
    #[case] text: &str,
    #[case] expected: &str,
) {
    let found = verdict(kind, text);
    assert!(expected.split('|').any(|expected| found.starts_with(expected)), "{found}");
}

/// All secret fields.
fn fields() -> Vec<(&'static str, &'static Field)> {
    let all = TYPES.iter().flat_map(|row| row.fields.iter().map(|field| (row.name, field)));
    all.filter(|(_, field)| field.kind.is_secret()).collect()
}

/// The simulator's tables are of another source than the operator's, and the two agree on every character.
#[test]
fn nobody_sees_what_unicode_says_is_not_to_be_seen() {
    for c in '\0'..=char::MAX {
        let unseen = matches!(class(c), Class::Control | Class::Space | Class::Unseen);
        assert_eq!(unseen, atlas_sim::is_unseen(c), "U+{:04X} is {:?}", u32::from(c), class(c));
    }
}

/// Every character that is not to be seen, at every place of a valid value of every field: what is accepted, Atlas can
/// use. No key, token or URL may have one anywhere.
#[test]
fn no_invisible_character_passes_at_any_place() {
    let unseen: Vec<char> = ('\0'..=char::MAX).filter(|c| class(*c) != Class::Visible).collect();
    assert!(unseen.len() > 4_000, "{}", unseen.len());
    for (kind, field) in fields() {
        let valid = match field.kind {
            Url => "https://e.example/x",
            Headers => "{\"X\": \"${id}\"}",
            Hidden => "p w\u{f6}",
            _ => "a-b9",
        };
        assert!(
            field.kind.check(valid.as_bytes()).is_ok() && atlas_sim::usable(kind, field.atlas, valid).is_ok()
        );
        for at in (0..=valid.len()).filter(|at| valid.is_char_boundary(*at)) {
            for c in &unseen {
                let (before, after) = valid.split_at(at);
                let text = format!("{before}{c}{after}");
                let Ok(accepted) = field.kind.check(text.as_bytes()) else { continue };
                assert_eq!(
                    atlas_sim::usable(kind, field.atlas, accepted.expose()),
                    Ok(()),
                    "{text:?} for {kind}"
                );
                let is_break = after.is_empty() && matches!(c, '\n' | '\r');
                assert!(is_break || !matches!(field.kind, Key | Url), "{text:?} for {kind} {}", field.atlas);
            }
        }
    }
}

#[path = "value_random_tests.rs"]
mod value_random_tests;
