//! The grammar of a URL that a service can call: an absolute `http` or `https` URL by RFC 3986, as it is written.
//! Browsers, and the `url` crate with them, mend what is not one; whoever gets the URL from Atlas may not.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::characters::{Class, class, found, in_words};

/// What is wrong, as the rest of a sentence about the URL, and what to do.
type Fault = (String, &'static str);

fn fault<T>(what: impl Into<String>, remedy: &'static str) -> Result<T, Fault> {
    Err((what.into(), remedy))
}

/// Checks a URL.
///
/// # Errors
/// What is wrong and what to do. The text contains no part of the URL but a character that no URL has.
pub(super) fn check(text: &str) -> Result<(), Fault> {
    characters(text)?;
    let colon = text
        .find(':')
        .filter(|at| ["http", "https"].iter().any(|scheme| text[..*at].eq_ignore_ascii_case(scheme)));
    let Some(colon) = colon else {
        return fault(
            "does not begin with https:// or http://",
            "store the whole URL, including its https:// or http://",
        );
    };
    let (scheme, rest) = (text[..colon].to_ascii_lowercase(), &text[colon + 1..]);
    let Some(rest) = rest.strip_prefix("//") else {
        return fault(format!("lacks // after {scheme}:"), "write both slashes");
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority_of_two_schemes(authority, path) {
        return fault("has its scheme twice", "write https:// or http:// once");
    }
    if rest.contains("***") {
        return fault("is masked, as Atlas shows URLs", "store the whole URL, as the service gave it");
    }
    self::authority(authority)?;
    percent_signs(rest)?;
    if path.contains(['[', ']']) {
        return fault("has a square bracket in its path or query", "write %5B for [ and %5D for ]");
    }
    if path.matches('#').count() > 1 {
        return fault("has # in it more than once", "write %23 for a # that is no beginning of a fragment");
    }
    Ok(())
}

/// RFC 3986, section 2: unreserved and reserved characters, and percent signs.
fn characters(text: &str) -> Result<(), Fault> {
    let is_wrong = |_: Option<char>, c: char, _: Option<char>| {
        !(c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c))
    };
    let words = |c: char| match c {
        '\\' => "a backslash".to_owned(),
        '"' => "a double quote".to_owned(),
        '<' | '>' => "an angle bracket".to_owned(),
        '{' | '}' => "a brace".to_owned(),
        '|' => "a vertical bar".to_owned(),
        '^' => "a caret".to_owned(),
        '`' => "a backtick".to_owned(),
        _ => in_words(c),
    };
    let Some(what) = found(text, is_wrong, words) else { return Ok(()) };
    let is_unseen = |c: Option<char>| c.is_some_and(|c| class(c) != Class::Visible);
    let remedy = if is_unseen(text.chars().next()) || is_unseen(text.chars().next_back()) {
        "store the URL alone, without that"
    } else {
        "correct the URL: replace placeholders, percent-encode such characters if they belong to it (a space is %20), \
         and write the host in ASCII (xn--)"
    };
    fault(what, remedy)
}

/// `https://https://host/` or `https://www.https://host/`: what looks like a host is another scheme.
fn authority_of_two_schemes(authority: &str, path: &str) -> bool {
    let host = authority.strip_suffix(':').unwrap_or(authority).rsplit('.').next().unwrap_or_default();
    path.starts_with("//") && ["http", "https"].iter().any(|scheme| host.eq_ignore_ascii_case(scheme))
}

/// RFC 3986, section 3.2: user and password, host, port.
fn authority(authority: &str) -> Result<(), Fault> {
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(['@', '[', ']']) {
        return fault("has @, [ or ] in its user or password", "percent-encode it there: %40, %5B, %5D");
    }
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<Ipv6Addr>().is_err() {
                return fault("has no IPv6 address between [ and ]", "correct the host of the URL");
            }
            match (rest.strip_prefix(':'), rest) {
                (Some(port), _) => (None, port),
                (None, "") => (None, ""),
                (None, _) => {
                    return fault(
                        "has text between its IPv6 address and its port",
                        "correct the host of the URL",
                    );
                }
            }
        }
        None if place.parse::<Ipv6Addr>().is_ok() => {
            return fault("has an IPv6 address without [ and ] around it", "write it between [ and ]");
        }
        None => {
            let (host, port) = place.split_once(':').unwrap_or((place, ""));
            (Some(host), port)
        }
    };
    if let Some(host) = host {
        self::host(host)?;
    }
    let in_range =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_empty() || in_range {
        return Ok(());
    }
    fault("has a port that is no number from 1 to 65535", "correct the port of the URL, or leave it out")
}

/// A name that DNS can hold (RFC 1123; the underscore is seen in the wild), or an IPv4 address.
fn host(host: &str) -> Result<(), Fault> {
    const CORRECT: &str = "correct the host of the URL";
    if host.is_empty() {
        return fault("has no host after //", "store the whole URL, with its host");
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.split('.').any(str::is_empty) {
        return fault("has two dots in a row, or a dot at the beginning, in its host", CORRECT);
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return fault("has a character in its host that no host name has", CORRECT);
    }
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return fault("has a host name that is too long for DNS", CORRECT);
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .or_else(|| last.strip_prefix("0X"))
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return fault("has a number as its host that is no IPv4 address", CORRECT);
    }
    Ok(())
}

/// RFC 3986, section 2.1: a percent sign begins an escape.
fn percent_signs(text: &str) -> Result<(), Fault> {
    let is_escape =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if text.split('%').skip(1).all(is_escape) {
        return Ok(());
    }
    fault(
        "has a percent sign that two hexadecimal digits do not follow",
        "write %25 for a percent sign of its own",
    )
}
