//! What two values of one field tell, and what proves that an integration is ours.

use rstest::rstest;

use super::*;
use Comparison::{Different, Equal, Untold};

fn form(fields: &[(&str, &str)]) -> Redacted {
    Redacted(fields.iter().map(|(k, v)| ((*k).to_owned(), RedactedValue::Text((*v).to_owned()))).collect())
}

fn flag(flag: bool) -> Redacted {
    Redacted([("sendDatabaseMetrics".to_owned(), RedactedValue::Bool(flag))].into())
}

#[rstest]
#[case::same_text("teamName", "US", "US", Equal)]
#[case::other_text("teamName", "US", "EU", Different)]
#[case::same_end("apiKey", "****cdef", "****cdef", Equal)]
#[case::other_end("apiKey", "****cdef", "****0000", Different)]
#[case::shorter_end("apiKey", "****cdef", "****ef", Untold)]
#[case::no_end("apiKey", "****cdef", "****", Untold)]
#[case::masked_both("password", "****", "****", Untold)]
#[case::same_host("url", "https://a.example.com/****", "https://a.example.com/****", Equal)]
#[case::other_host("url", "https://a.example.com/****", "https://b.example.com/****", Different)]
#[case::longer_host("url", "https://a.example/****", "https://a.example.com/****", Different)]
#[case::masked_whole("url", "https://a.example.com/****", "****", Untold)]
#[case::template_masked_by_atlas("bodyTemplate", "3 characters, sha256 ba7816bf8f01cfea", "****", Untold)]
#[case::other_template(
    "bodyTemplate",
    "3 characters, sha256 ba7816bf8f01cfea",
    "4 characters, sha256 0000000000000000",
    Different
)]
// What Atlas does not mask today, if it did.
#[case::text_masked_whole("username", "prom", "****", Untold)]
#[case::region_masked_whole("region", "EU", "**", Untold)]
#[case::text_masked_but_for_its_end("accountId", "1234567", "***4567", Untold)]
#[case::text_masked_with_another_end("accountId", "1234567", "***4568", Different)]
#[case::text_masked_by_one_asterisk("region", "US5", "*S5", Untold)]
#[case::text_masked_behind_its_beginning("routingKey", "database", "da******", Untold)]
#[case::text_masked_behind_another_beginning("routingKey", "database", "ni******", Different)]
#[case::text_masked_by_bullets("username", "prom", "\u{2022}\u{2022}\u{2022}\u{2022}", Untold)]
#[case::text_masked_by_a_word("username", "prom", "<redacted>", Untold)]
#[case::text_masked_by_a_word_in_capitals("routingKey", "database", "REDACTED", Untold)]
#[case::a_word_that_is_no_mask("routingKey", "database", "hidden", Different)]
#[case::an_asterisk_that_is_no_mask("routingKey", "*", "*", Untold)]
#[case::asterisks_within("routingKey", "a*b", "a*c", Different)]
// Forms of one value.
#[case::channel_with_its_sign("channelName", "alerts", "#alerts", Equal)]
#[case::channel_in_lower_case("channelName", "Alerts", "#alerts", Equal)]
#[case::another_channel("channelName", "alerts", "#pages", Different)]
#[case::a_sign_elsewhere("teamName", "alerts", "#alerts", Different)]
#[case::case_of_a_region("region", "EU", "eu", Equal)]
#[case::case_of_a_word("serviceDiscovery", "http", "HTTP", Equal)]
#[case::case_of_a_name("username", "Prom", "prom", Different)]
#[case::white_space("username", "prom ", "prom", Equal)]
#[case::digits("accountId", "0012", "12", Equal)]
#[case::other_digits("accountId", "13", "12", Different)]
#[case::digits_elsewhere("routingKey", "0012", "12", Different)]
fn a_comparison_has_three_results(
    #[case] name: &str,
    #[case] a: &str,
    #[case] b: &str,
    #[case] told: Comparison,
) {
    for (a, b) in [(a, b), (b, a)] {
        assert_eq!(compare(name, &form(&[(name, a)]), &form(&[(name, b)])), told, "{a} {b}");
    }
}

#[test]
fn a_flag_equals_the_same_flag_and_no_text() {
    let name = "sendDatabaseMetrics";
    assert_eq!(compare(name, &flag(true), &flag(true)), Equal);
    assert_eq!(compare(name, &flag(true), &flag(false)), Different);
    assert_eq!(compare(name, &flag(true), &form(&[(name, "true")])), Different);
}

#[test]
fn what_only_one_side_shows_is_no_difference() {
    for (a, b) in [(flag(true), form(&[])), (form(&[]), flag(true)), (form(&[]), form(&[]))] {
        assert_eq!(compare("sendDatabaseMetrics", &a, &b), Untold);
    }
}

#[test]
fn a_default_is_what_atlas_documents() {
    let is_default = |name: &str, value: RedactedValue| {
        let field = TYPES.iter().flat_map(|row| row.fields).find(|field| field.atlas == name);
        field.expect("a field").is_default(&value)
    };
    let text = |text: &str| RedactedValue::Text(text.to_owned());
    assert!(is_default("sendDatabaseMetrics", RedactedValue::Bool(false)));
    assert!(!is_default("sendDatabaseMetrics", RedactedValue::Bool(true)));
    assert!(is_default("region", text("US")) && is_default("region", text("us")));
    assert!(!is_default("region", text("EU")) && !is_default("routingKey", text("US")));
    assert!(is_default("channelName", text("")) && !is_default("channelName", text("alerts")));
    assert!(is_default("bodyTemplate", FieldKind::Template.redact("")));
    assert!(!is_default("bodyTemplate", FieldKind::Template.redact("x")));
    assert!(!is_default("secret", text("****")), "Atlas holds a secret");
    assert!(is_default("region", text("**")) && is_default("routingKey", text("****")), "nothing tells");
    assert!(!is_default("routingKey", text("***ht")));
}

#[test]
fn only_what_a_spec_may_name_is_unnamed() {
    let entry = form(&[
        ("id", "1"),
        ("type", "PROMETHEUS"),
        ("username", "prom"),
        ("scheme", "https"),
        ("serviceDiscovery", "http"),
    ]);
    let named = |name: &str| name == "username";
    assert_eq!(unnamed(IntegrationType::Prometheus, named, &entry), ["serviceDiscovery"]);
}

#[test]
fn fields_that_atlas_adds_or_never_shows_do_not_disagree() {
    let sent = form(&[("apiKey", "****cdef"), ("password", "****")]);
    assert!(agrees(&sent, &form(&[("apiKey", "****cdef"), ("region", "US"), ("id", "1")])));
    assert!(!agrees(&sent, &form(&[("apiKey", "****0000")])));
    assert!(!agrees(&sent, &form(&[("password", "****")])), "a key is always shown");
    assert!(agrees(&flag(false), &form(&[])) && !agrees(&flag(true), &form(&[])));
}

/// What Atlas keeps in a form of its own is still what was sent.
#[test]
fn another_form_of_a_value_agrees() {
    let sent = form(&[("apiToken", "****cdef"), ("channelName", "alerts")]);
    assert!(agrees(&sent, &form(&[("apiToken", "****cdef"), ("channelName", "#alerts")])));
    assert!(!agrees(&sent, &form(&[("apiToken", "****cdef"), ("channelName", "#pages")])));
    assert!(!agrees(&sent, &form(&[("apiToken", "****cdef")])), "a channel is always shown");
}

/// Whatever a spec holds in clear proves nothing by looking like a mask.
#[test]
fn a_text_that_only_looks_masked_agrees_with_itself_alone() {
    for name in ["routingKey", "username"] {
        let sent = form(&[(name, "night*")]);
        assert!(agrees(&sent, &form(&[(name, "night*")])));
        assert!(!agrees(&sent, &form(&[(name, "nightly")])));
    }
    assert!(agrees(&form(&[("secret", "****")]), &form(&[("secret", "****cdef")])));
}

#[test]
fn nothing_agrees_with_what_was_never_recorded() {
    assert!(!agrees(&form(&[]), &form(&[("apiKey", "****cdef")])));
    assert!(!agrees(&form(&[]), &form(&[])));
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

/// The status said only that the template was not the object's own. It may be the same now, and it is not what was sent.
#[test]
fn another_template_may_be_the_same_but_is_not_what_was_sent() {
    let of = |text: &str| form(&[("bodyTemplate", text)]);
    let (another, described) = (of("another text"), of("3 characters, sha256 ba7816bf8f01cfea"));
    assert_eq!(compare("bodyTemplate", &another, &described), Untold);
    assert_eq!(compare("bodyTemplate", &another, &another), Untold);
    assert_eq!(compare("bodyTemplate", &described, &another), Different);
    let name = form(&[("channelName", "another text")]);
    assert_eq!(compare("channelName", &name, &name), Equal, "a name may be so");
}

/// Of a template that somebody else stored nothing is shown from which a short one could be guessed.
#[test]
fn a_status_describes_own_templates_only() {
    let of = |text: &str| Redacted([("bodyTemplate".to_owned(), FieldKind::Template.redact(text))].into());
    let (spec, sent) = (of("spec"), of("sent"));
    for text in ["spec", "sent", "", "***"] {
        assert_eq!(of(text).for_status(&[&spec, &sent]), of(text), "{text}");
    }
    assert_eq!(of("1234").for_status(&[&spec, &sent]), form(&[("bodyTemplate", "another text")]));
    assert_eq!(of("spec").for_status(&[]), form(&[("bodyTemplate", "another text")]));
    let others = form(&[("region", "EU"), ("url", "https://example.com/****")]);
    assert_eq!(others.for_status(&[]), others);
}
