//! Whether Atlas, and the service behind it, could use a value: its documented form, judged apart from the operator's
//! own check and with tables of its own. The simulator stores what Atlas stores, so a key with a space in it too; a
//! test asks here whether it could ever work. Which digits a vendor's key has, Atlas itself checks at the write.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::catalog::{self, Kind};

/// Says why the value of a field that is a secret could not be used.
///
/// # Errors
/// The reason, or that there is no such field.
pub fn usable(kind: &str, field: &str, value: &str) -> Result<(), String> {
    let fields = catalog::find(kind).map_or(&[][..], |row| row.fields);
    let known = fields.iter().find(|known| known.name == field).ok_or("no such field")?;
    match (known.kind, field) {
        (Kind::Url, _) => url(value),
        (Kind::Text, "headersTemplate") => template(value),
        (Kind::WriteOnly, _) | (Kind::Secret, "secret") => password(value),
        // Atlas shows some keys in clear, so the catalogue has them as texts.
        (Kind::Secret, _) | (_, "apiToken" | "licenseKey" | "readToken" | "writeToken") => key(value),
        _ => Err("not a secret".to_owned()),
    }
}

/// Whether nothing is to be seen of a character: Unicode 17.0, White_Space and the format characters of `PropList.txt`,
/// Default_Ignorable_Code_Point of `DerivedCoreProperties.txt`, U+2800 and U+FFFC, which fonts leave blank.
pub fn is_unseen(c: char) -> bool {
    const RANGES: &[(u32, u32)] = &[
        (0x20, 0x20),
        (0xa0, 0xa0),
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x61c, 0x61c),
        (0x115f, 0x1160),
        (0x1680, 0x1680),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x2000, 0x200f),
        (0x2028, 0x202f),
        (0x205f, 0x206f),
        (0x2800, 0x2800),
        (0x3000, 0x3000),
        (0x3164, 0x3164),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffc),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe0fff),
    ];
    c.is_control() || RANGES.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)))
}

fn refuse<T>(why: &str) -> Result<T, String> {
    Err(why.to_owned())
}

/// It travels in a header.
fn key(value: &str) -> Result<(), String> {
    if value.is_empty() || !value.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return refuse("a key is visible ASCII");
    }
    let (first, last) = (value.as_bytes()[0], value.as_bytes()[value.len() - 1]);
    if b"\"'`{[<(".contains(&first) || b"\"'`}]>),;".contains(&last) {
        return refuse("a key has no quotes or brackets around it");
    }
    Ok(())
}

/// Any text that can be typed.
fn password(value: &str) -> Result<(), String> {
    if value.chars().all(is_unseen) {
        return refuse("nothing is to be seen");
    }
    if value.chars().any(|c| c.is_control() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{fffd}')) {
        return refuse("nobody types a control character, a byte order mark or a zero-width space");
    }
    let selector = |c: char| matches!(u32::from(c), 0x180b..=0x180f | 0xfe00..=0xfe0f | 0xe0020..=0xe01ef);
    let strange = |c: char| c != ' ' && is_unseen(c);
    if value.starts_with(strange) || value.ends_with(|c| strange(c) && !selector(c)) {
        return refuse("something invisible is at an end");
    }
    // A word of ASCII letters, with something invisible in it.
    if value.chars().any(strange) && value.chars().all(|c| c.is_ascii() || strange(c)) {
        return refuse("something invisible is within ASCII text");
    }
    Ok(())
}

/// What FreeMarker makes of it, nobody knows before an alert.
fn template(value: &str) -> Result<(), String> {
    if value.chars().any(|c| c.is_control() && !"\t\r\n".contains(c)) {
        return refuse("a control character");
    }
    let inner = value.trim_matches([' ', '\t', '\r', '\n']);
    if inner.is_empty() || inner.starts_with(is_unseen) || value.len() > 4096 {
        return refuse("empty, too long, or not JSON however it is rendered");
    }
    Ok(())
}

/// RFC 3986: `scheme "://" [ userinfo "@" ] host [ ":" port ] path-abempty [ "?" query ] [ "#" fragment ]`, with a host
/// as RFC 9110 demands it.
fn url(value: &str) -> Result<(), String> {
    let Some((scheme, rest)) = value.split_once("://") else { return refuse("no scheme and //") };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return refuse("another scheme");
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = authority.split_once('@').unwrap_or(("", authority));
    if !(is_made_of(user, b":")
        && is_made_of(path, b":@/")
        && is_made_of(query, b":@/?")
        && is_made_of(fragment, b":@/?"))
    {
        return refuse("a character that must be percent-encoded");
    }
    let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("x", port),
        Some(_) => return refuse("no IPv6 address"),
        None => place.find(':').map_or((place, ""), |colon| place.split_at(colon)),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    if !port.is_empty()
        && (port.bytes().any(|byte| !byte.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|n| n != 0))
    {
        return refuse("no port");
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_number = labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if !labels.iter().all(is_label) || is_number && host.parse::<Ipv4Addr>().is_err() {
        return refuse("no host");
    }
    Ok(())
}

/// Unreserved characters, sub-delims and escapes, and these further ones.
fn is_made_of(text: &str, further: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|d| d.is_ascii_hexdigit()))
            }
            _ => {
                byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || further.contains(&byte)
            }
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::usable;

    #[rstest]
    #[case::key("OPS_GENIE", "apiKey", "0b7e4a5c-1f7d-4f6c-9c1e-3d2a1b0c9d8e", true)]
    #[case::padded("VICTOR_OPS", "apiKey", "QUJDRA==", true)]
    #[case::space("OPS_GENIE", "apiKey", "abc ", false)]
    #[case::quotes("OPS_GENIE", "apiKey", "\"abc\"", false)]
    #[case::letter("SLACK", "apiToken", "xoxb-\u{430}bc", false)]
    #[case::password("PROMETHEUS", "password", " \"pass\" w\u{f6}rd ", true)]
    #[case::heart("WEBHOOK", "secret", "I \u{2764}\u{fe0f}", true)]
    #[case::mark("PROMETHEUS", "password", "\u{feff}abc", false)]
    #[case::no_break("WEBHOOK", "secret", "abc\u{a0}", false)]
    #[case::no_break_within("WEBHOOK", "secret", "abc\u{a0}def", false)]
    #[case::freemarker("WEBHOOK", "headersTemplate", "<#if a>{\"X\": ${b}}\n</#if>", true)]
    #[case::escape("WEBHOOK", "headersTemplate", "{\"X\": \"\u{1b}\"}", false)]
    #[case::url("WEBHOOK", "url", "https://u:p@example.com:8443/a%20b?c=d#e", true)]
    #[case::address("MICROSOFT_TEAMS", "microsoftTeamsWebhookUrl", "HTTP://[2001:db8::1]:80/x", true)]
    #[case::no_slashes("WEBHOOK", "url", "https:example.com/x", false)]
    #[case::no_host("WEBHOOK", "url", "https:///x", false)]
    #[case::blank("WEBHOOK", "url", "https://example.com/a b", false)]
    #[case::bracket("WEBHOOK", "url", "https://example.com/a[1]", false)]
    #[case::escape_cut("WEBHOOK", "url", "https://example.com/%2", false)]
    #[case::port("WEBHOOK", "url", "https://example.com:99999/", false)]
    #[case::number("WEBHOOK", "url", "https://12345/x", false)]
    #[case::text("SLACK", "teamName", "x", false)]
    #[case::unknown("HIP_CHAT", "apiKey", "x", false)]
    fn values_are_judged_by_the_form_of_their_field(
        #[case] kind: &str,
        #[case] field: &str,
        #[case] value: &str,
        #[case] good: bool,
    ) {
        assert_eq!(usable(kind, field, value).is_ok(), good, "{:?}", usable(kind, field, value));
    }
}
