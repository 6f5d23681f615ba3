//! The proxies that the environment names for the way to Atlas, checked once, at the start.
//!
//! The variables are those of curl and most programs: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper
//! case or else in lower case. An empty one counts as unset. The HTTP clients would ignore a value that they can't use,
//! and connect directly, which nobody would notice where direct connections are allowed.

use std::ffi::OsString;
use std::net::IpAddr;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};

const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// What the variables say.
#[derive(Default)]
pub(super) struct Proxies {
    https: Option<Url>,
    http: Option<Url>,
    all: Option<Url>,
    exempt: Vec<Exempt>,
}

/// Hosts that are reached without a proxy.
struct Exempt {
    /// `*`, an address, a network, or a domain, for the domain itself and all below it.
    hosts: String,
    /// Only at this port.
    port: Option<u16>,
}

impl Proxies {
    /// Reads the variables.
    ///
    /// # Errors
    /// Returns a text for a person that names the variable and not its value, which may contain a password.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Proxies, String> {
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok((!text.is_empty()).then_some(text)),
            Some(Err(_)) => Err(unusable(name, "it is not UTF-8")),
        };
        // Each variable is checked, also one that another one overrides.
        let proxy = |names: [&str; 2]| {
            let mut found = None;
            for name in names.into_iter().rev() {
                if let Some(text) = text(name)? {
                    found = Some(parse(&text).map_err(|why| unusable(name, why))?);
                }
            }
            Ok::<_, String>(found)
        };
        let mut exempt = Vec::new();
        for name in NO.into_iter().rev() {
            if let Some(text) = text(name)? {
                let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|e| !e.is_empty());
                exempt = entries
                    .enumerate()
                    .map(|(place, entry)| self::exempt(entry).ok_or_else(|| unusable_entry(name, place + 1)))
                    .collect::<Result<_, _>>()?;
            }
        }
        Ok(Proxies { https: proxy(HTTPS)?, http: proxy(HTTP)?, all: proxy(ALL)?, exempt })
    }

    /// The proxy through which `url` is reached; `None`: it is reached directly.
    pub fn toward(&self, url: &Uri) -> Option<&Url> {
        let proxy = match url.scheme_str() {
            Some("https") => self.https.as_ref().or(self.all.as_ref())?,
            Some("http") => self.http.as_ref().or(self.all.as_ref())?,
            _ => return None,
        };
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        let here = self.exempt.iter().filter(|exempt| exempt.port.is_none_or(|only| only == port));
        let hosts: Vec<&str> = here.map(|exempt| &*exempt.hosts).collect();
        let matcher = Matcher::builder().all("http://proxy").no(hosts.join(",")).build();
        matcher.intercept(url).map(|_| proxy)
    }
}

/// The address of a proxy without user and password, for the log.
pub(super) fn address(proxy: &Url) -> String {
    let port = proxy.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", proxy.host_str().unwrap_or_default())
}

fn unusable(name: &str, why: &str) -> String {
    format!(
        "{name} is no proxy that can be used: {why}; write it like http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, \
         or remove the variable (its value may contain a password and is not shown)"
    )
}

fn unusable_entry(name: &str, place: usize) -> String {
    format!(
        "{name} can't be used: entry {place} is neither a host or domain (cloud.mongodb.com, .mongodb.com), nor an \
         address or network (10.0.0.1, 10.0.0.0/8), each perhaps with a port, nor *; separate entries by commas"
    )
}

fn parse(text: &str) -> Result<Url, &'static str> {
    if text.trim() != text {
        return Err("it begins or ends with white space");
    }
    let written: Uri = text.parse().map_err(|_| {
        "it is no URL; in user and password write other characters than letters, digits and - . _ ~ as %XX (%40 for @)"
    })?;
    let with_scheme = match written.scheme_str() {
        Some("http" | "https") => text.to_owned(),
        Some(scheme) if scheme.starts_with("socks") => return Err("SOCKS proxies are not supported"),
        Some(_) => return Err("only http and https proxies are supported"),
        None => format!("http://{text}"),
    };
    if !matches!(written.path(), "" | "/") || written.query().is_some() {
        return Err("a proxy has no path (a file that configures proxies is not supported)");
    }
    let url = Url::parse(&with_scheme).map_err(|_| "it is no URL")?;
    // What follows the last @ is a host for one parser and a part of the password for another one.
    let authority = written.authority().map(|authority| authority.as_str()).unwrap_or_default();
    // A template that was not filled in is a host for both.
    let host = match url.host() {
        Some(Host::Domain(name)) => {
            !name.contains("..")
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    if authority.matches('@').count() > 1 || !host || authority.ends_with(':') || url.port() == Some(0) {
        return Err("it names no host and port");
    }
    Ok(url)
}

fn exempt(entry: &str) -> Option<Exempt> {
    let all_ports = |hosts: &str| Some(Exempt { hosts: hosts.to_owned(), port: None });
    if entry == "*" || entry.parse::<IpAddr>().is_ok() || is_network(entry) {
        return all_ports(entry);
    }
    let (host, port) = match entry.rsplit_once(':').filter(|_| !entry.ends_with(']')) {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<IpAddr>().is_ok().then(|| Exempt { hosts: address.to_owned(), port });
    }
    // `*.example.com` is what Go and others call it.
    let domain = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let labels = domain.strip_prefix('.').unwrap_or(domain);
    let labels = labels.strip_suffix('.').unwrap_or(labels);
    let good = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    labels.split('.').all(good).then(|| Exempt { hosts: labels.to_owned(), port })
}

fn is_network(entry: &str) -> bool {
    let Some((address, bits)) = entry.split_once('/') else { return false };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ATLAS: &str = "https://cloud.mongodb.com/";

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, String> {
        Proxies::read(|name| {
            variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).into())
        })
    }

    /// The address of the proxy for `url`; empty: none.
    fn toward(variables: &[(&str, &str)], url: &str) -> String {
        let proxies = read(variables).unwrap_or_else(|error| panic!("{variables:?}: {error}"));
        proxies.toward(&url.parse().unwrap()).map(address).unwrap_or_default()
    }

    #[rstest]
    #[case::plain("http://proxy:3128", "proxy:3128")]
    #[case::https("https://proxy.example.com:3129/", "proxy.example.com:3129")]
    #[case::no_scheme("proxy:3128", "proxy:3128")]
    #[case::an_address("10.1.2.3:3128", "10.1.2.3:3128")]
    #[case::no_port("http://proxy", "proxy:80")]
    #[case::no_port_of_https("https://proxy", "proxy:443")]
    #[case::upper_case("HTTP://proxy:3128", "proxy:3128")]
    #[case::ipv6("http://[fd00::1]:3128", "[fd00::1]:3128")]
    #[case::password("http://user:secret@proxy:3128", "proxy:3128")]
    #[case::percent("http://us%40er:p%40ss%3Aw%25rd%5E@proxy:3128", "proxy:3128")]
    #[case::user_alone("http://user@proxy:3128", "proxy:3128")]
    #[case::empty("", "")]
    fn proxies_that_can_be_used(#[case] value: &str, #[case] expected: &str) {
        for names in [HTTPS, ALL] {
            for name in names {
                assert_eq!(toward(&[(name, value)], ATLAS), expected, "{name}");
            }
        }
    }

    #[rstest]
    #[case::special_characters("http://u:p^a{1}canary@proxy:3128")]
    #[case::an_at_in_the_password("http://u:can@ary@proxy:3128")]
    #[case::a_slash_in_the_password("http://u:can/ary@proxy:3128")]
    #[case::a_question_mark_in_the_password("http://u:can?ary@proxy:3128")]
    #[case::a_hash_in_the_password("http://u:can#ary@proxy:3128")]
    #[case::a_space("http://u:can ary@proxy:3128")]
    #[case::not_ascii("http://u:canäry@proxy:3128")]
    #[case::a_line_break("http://canary:3128\n")]
    #[case::spaces_around(" http://canary:3128 ")]
    #[case::spaces_alone("   ")]
    #[case::quotes("\"http://canary:3128\"")]
    #[case::socks5("socks5://canary:1080")]
    #[case::socks5h("socks5h://user:canary@proxy:1080")]
    #[case::socks4("socks4://canary")]
    #[case::ftp("ftp://canary:21")]
    #[case::a_port_that_is_none("http://canary:99999")]
    #[case::a_port_that_nobody_listens_on("http://canary:0")]
    #[case::two_dots_in_a_row("http://canary..corp:3128")]
    #[case::a_port_that_is_missing("http://canary:")]
    #[case::a_port_that_is_a_word("http://canary:port")]
    #[case::no_host("http://")]
    #[case::no_host_but_a_port("http://:3128")]
    #[case::no_slashes("http:canary:3128")]
    #[case::one_slash("http:/canary:3128")]
    #[case::a_file("http://canary/proxy.pac")]
    #[case::a_template("http://$(canary)")]
    #[case::brackets("http://<canary>:3128")]
    fn proxies_that_are_refused(#[case] value: &str) {
        for name in [HTTPS, HTTP, ALL].concat() {
            let error = read(&[(name, value)]).err().unwrap_or_else(|| panic!("{name} passes"));
            assert!(error.starts_with(&format!("{name} is no proxy that can be used: ")), "{error}");
            assert!(!error.contains("canary") && !error.contains("ary@"), "{error}");
        }
    }

    #[test]
    fn a_variable_that_another_one_overrides_is_checked_too() {
        let error = read(&[("HTTPS_PROXY", "http://proxy:3128"), ("all_proxy", "socks5://proxy:1080")]).err();
        assert!(error.is_some_and(|error| error.starts_with("all_proxy")));
        let error = read(&[("HTTPS_PROXY", "http://proxy:3128"), ("https_proxy", "what?")]).err();
        assert!(error.is_some_and(|error| error.starts_with("https_proxy")));
    }

    #[rstest]
    #[case::by_scheme(&[("HTTPS_PROXY", "a:1"), ("HTTP_PROXY", "b:2"), ("ALL_PROXY", "c:3")], ATLAS, "a:1")]
    #[case::by_scheme_http(&[("HTTPS_PROXY", "a:1"), ("HTTP_PROXY", "b:2")], "http://127.0.0.1:9/", "b:2")]
    #[case::all(&[("HTTP_PROXY", "b:2"), ("ALL_PROXY", "c:3")], ATLAS, "c:3")]
    #[case::not_of_http(&[("HTTP_PROXY", "b:2")], ATLAS, "")]
    #[case::upper_case_first(&[("https_proxy", "b:2"), ("HTTPS_PROXY", "a:1")], ATLAS, "a:1")]
    #[case::lower_case(&[("https_proxy", "b:2")], ATLAS, "b:2")]
    #[case::empty_is_unset(&[("HTTPS_PROXY", ""), ("https_proxy", "b:2")], ATLAS, "b:2")]
    #[case::empty_does_not_hide_all(&[("HTTPS_PROXY", ""), ("ALL_PROXY", "c:3")], ATLAS, "c:3")]
    fn which_proxy_counts(#[case] variables: &[(&str, &str)], #[case] url: &str, #[case] expected: &str) {
        assert_eq!(toward(variables, url), expected);
    }

    #[rstest]
    #[case::everything("*", ATLAS, true)]
    #[case::the_host("cloud.mongodb.com", ATLAS, true)]
    #[case::the_domain("mongodb.com", ATLAS, true)]
    #[case::a_dot(".mongodb.com", ATLAS, true)]
    #[case::a_star("*.mongodb.com", ATLAS, true)]
    #[case::the_port("cloud.mongodb.com:443", ATLAS, true)]
    #[case::a_domain_with_port(".mongodb.com:443", ATLAS, true)]
    #[case::another_port("cloud.mongodb.com:8443", ATLAS, false)]
    #[case::case_is_no_matter("Cloud.MongoDB.com", ATLAS, true)]
    #[case::a_dot_at_the_end("cloud.mongodb.com.", ATLAS, true)]
    #[case::among_others("localhost, 10.0.0.0/8 ,mongodb.com", ATLAS, true)]
    #[case::by_spaces("localhost mongodb.com", ATLAS, true)]
    #[case::empty_entries(",localhost,,", ATLAS, false)]
    #[case::another_domain("godb.com", ATLAS, false)]
    #[case::of_the_cluster(".svc,.cluster.local,10.96.0.0/12,fd00::/8", ATLAS, false)]
    #[case::a_network("10.0.0.0/8", "https://10.1.2.3/", true)]
    #[case::a_network_by_another_address("10.1.2.3/8", "https://10.9.9.9/", true)]
    #[case::outside("10.0.0.0/8", "https://11.1.2.3/", false)]
    #[case::an_address("10.1.2.3", "https://10.1.2.3:8443/", true)]
    #[case::ipv6("fd00::1", "https://[fd00::1]:8443/", true)]
    #[case::ipv6_in_brackets("[fd00::1]:8443", "https://[fd00::1]:8443/", true)]
    #[case::ipv6_in_brackets_at_any_port("[fd00::1]", "https://[fd00::1]:8443/", true)]
    #[case::ipv6_network("fd00::/8", "https://[fd00::1]/", true)]
    fn hosts_without_a_proxy(#[case] no_proxy: &str, #[case] url: &str, #[case] direct: bool) {
        for name in NO {
            let found = toward(&[("HTTPS_PROXY", "proxy:3128"), (name, no_proxy)], url);
            assert_eq!(found, if direct { "" } else { "proxy:3128" }, "{name}");
        }
    }

    #[rstest]
    #[case::a_url("https://canary.mongodb.com", 1)]
    #[case::a_path("localhost,canary.com/x", 2)]
    #[case::a_network_that_is_none("10.0.0.0/33", 1)]
    #[case::a_port_that_is_none("canary:https", 1)]
    #[case::a_star_within("localhost, canary*.com", 2)]
    #[case::bars("localhost|canary", 1)]
    #[case::semicolons("localhost;canary", 1)]
    #[case::quotes("'canary'", 1)]
    #[case::dots("a..b", 1)]
    fn hosts_that_nobody_understands(#[case] no_proxy: &str, #[case] place: usize) {
        for name in NO {
            let error = read(&[(name, no_proxy)]).err().unwrap_or_default();
            assert!(error.starts_with(&format!("{name} can't be used: entry {place} ")), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
