//! Masking of secret values in answers.

use crate::settings::UrlMask;

/// All but the last characters become `*`; the length stays (recorded answers).
pub fn secret(value: &str, visible: usize) -> String {
    let length = value.chars().count();
    let hidden = length.saturating_sub(visible);
    value.chars().enumerate().map(|(position, c)| if position < hidden { '*' } else { c }).collect()
}

/// Scheme and host, then `/****`, then perhaps the last four characters of the URL (recorded answers).
pub fn url(value: &str, style: UrlMask) -> String {
    let (scheme, rest) = value.split_once("://").unwrap_or(("https", value));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let tail: String = match style {
        UrlMask::Plain => String::new(),
        UrlMask::WithLast4 => {
            let skip = value.chars().count().saturating_sub(4);
            value.chars().skip(skip).collect()
        }
    };
    format!("{scheme}://{host}/****{tail}")
}

/// Whether a value is one that was read back masked. A real key never begins with an asterisk.
pub fn is_masked_secret(value: &str) -> bool {
    value.starts_with('*')
}

/// Whether a URL is one that was read back masked.
pub fn is_masked_url(value: &str) -> bool {
    value.contains("/****")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a1b2c3d4e5f60718293a4b5c6d7e0000", 4, "****************************0000")]
    #[case("1234567890", 4, "******7890")]
    #[case("abc", 4, "abc")]
    #[case("", 4, "")]
    #[case("1234567890", 6, "****567890")]
    #[case("пароль", 4, "**роль")]
    fn secrets_keep_their_length_and_their_end(
        #[case] value: &str,
        #[case] visible: usize,
        #[case] wanted: &str,
    ) {
        assert_eq!(secret(value, visible), wanted);
    }

    #[rstest]
    #[case("https://example.com/hook/2101", UrlMask::WithLast4, "https://example.com/****2101")]
    #[case("https://example.com/hook/2101", UrlMask::Plain, "https://example.com/****")]
    #[case("http://example.com:8443?token=abcd", UrlMask::WithLast4, "http://example.com:8443/****abcd")]
    fn urls_keep_scheme_and_host(#[case] value: &str, #[case] style: UrlMask, #[case] wanted: &str) {
        assert_eq!(url(value, style), wanted);
    }
}
