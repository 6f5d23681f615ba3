//! The challenges of a 401. One `WWW-Authenticate` header may hold several, there may be several such headers (RFC
//! 9110, 11.6.1), and some challenges may belong to other schemes than digest.

use digest_auth::WwwAuthenticateHeader;
use hyper::header::{HeaderMap, WWW_AUTHENTICATE};

/// The first digest challenge that we can answer. Servers put the one that they prefer first (RFC 7616, 3.7).
pub(super) fn answerable(headers: &HeaderMap) -> Option<WwwAuthenticateHeader> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(split).find_map(|challenge| digest_auth::parse(&challenge).ok())
}

/// The digest challenges of one header, each rewritten so that digest_auth can parse it: its own spelling of the
/// scheme, lower-case parameter names, no space around `=`.
fn split(value: &str) -> Vec<String> {
    let mut challenges: Vec<(&str, Vec<String>)> = Vec::new();
    for item in items(value) {
        let (mut name, value) = item.split_once('=').unwrap_or((item, ""));
        name = name.trim_end();
        // The name of a parameter is one word. If there are two words, the first is a scheme; a scheme may also stand
        // alone.
        let scheme = match name.split_once(char::is_whitespace) {
            Some((scheme, first)) => {
                name = first.trim_start();
                Some(scheme)
            }
            None => (!item.contains('=')).then_some(name),
        };
        if let Some(scheme) = scheme {
            challenges.push((scheme, Vec::new()));
        }
        if let Some((_, parameters)) = challenges.last_mut() {
            parameters.push(format!("{}={}", name.to_ascii_lowercase(), value.trim_start()));
        }
    }
    let digests = challenges.into_iter().filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Digest"));
    digests.map(|(_, parameters)| format!("Digest {}", parameters.join(", "))).collect()
}

/// Splits at commas, except at those within quotes.
fn items(value: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let comma = |c: char| {
        let splits = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        splits
    };
    value.split(comma).map(str::trim).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one(&["Digest realm=\"r\", nonce=\"a\", qop=\"auth\""], Some("a"))]
    #[case::several_headers(&["Basic realm=\"r\"", "Digest realm=\"r\", nonce=\"b\""], Some("b"))]
    #[case::one_header(&["Basic realm=\"r\", Digest realm=\"r\", nonce=\"c\", Digest realm=\"r\", nonce=\"d\""], Some("c"))]
    #[case::behind_one(&["Digest realm=\"r\", nonce=\"e\", Basic realm=\"other\""], Some("e"))]
    #[case::unknown_algorithm(
        &["Digest realm=\"r\", nonce=\"f\", algorithm=SHA-9, Digest realm=\"r\", nonce=\"g\", algorithm=SHA-256"],
        Some("g")
    )]
    #[case::bare_schemes(&["Negotiate, NTLM abc==, Digest realm=\"r\", nonce=\"h\""], Some("h"))]
    #[case::quoted(&["Digest realm=\"a, Digest nonce=\\\"x\\\", b\", nonce=\"i\""], Some("i"))]
    #[case::spelling(&["DIGEST Realm = \"r\" , NONCE=\"j\" ,, stale=FALSE"], Some("j"))]
    #[case::none(&["Basic realm=\"r\"", "", "Digest", "Digest realm=\"r"], None)]
    #[case::absent(&[], None)]
    fn the_first_that_can_be_answered(#[case] values: &[&'static str], #[case] nonce: Option<&str>) {
        let pair = |value: &&'static str| (WWW_AUTHENTICATE, HeaderValue::from_static(value));
        let mut headers = HeaderMap::new();
        values.iter().map(pair).for_each(|(name, value)| {
            headers.append(name, value);
        });
        assert_eq!(answerable(&headers).map(|challenge| challenge.nonce).as_deref(), nonce);
    }
}
