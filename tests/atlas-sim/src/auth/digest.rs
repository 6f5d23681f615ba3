//! HTTP digest (RFC 2617, RFC 7616): challenges as recorded, and the check of answers to them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use md5::Md5;
use sha2::{Digest, Sha256};

use super::{Keys, Principal, Verdict};
use crate::exchange::Scheme;
use crate::random;
use crate::request::Request;
use crate::settings::{Algorithm, Challenges, NonceCounts, Settings};

/// The realm in the recorded challenges.
const REALM: &str = "MMS Public API";

/// Nonces older than this are forgotten; they are stale by any sensible switch long before.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many nonces are kept before old ones are looked for.
const MANY: usize = 50_000;

/// The nonces that have been given out.
#[derive(Debug, Default)]
pub struct Nonces(HashMap<String, Issued>);

#[derive(Debug)]
struct Issued {
    at: Instant,
    algorithm: Algorithm,
    uses: u32,
    counts: HashSet<u32>,
}

impl Nonces {
    fn issue(&mut self, algorithm: Algorithm, now: Instant) -> String {
        if self.0.len() >= MANY {
            self.0.retain(|_, issued| now.saturating_duration_since(issued.at) < KEPT);
        }
        let nonce = random::nonce();
        self.0.insert(nonce.clone(), Issued { at: now, algorithm, uses: 0, counts: HashSet::new() });
        nonce
    }

    /// Uses a nonce once more. `false`: it is unknown, too old, used up, or the count is not as asked for.
    fn use_once(&mut self, nonce: &str, count: u32, settings: &Settings, now: Instant) -> bool {
        let Some(issued) = self.0.get_mut(nonce) else { return false };
        let age = now.saturating_duration_since(issued.at);
        let used_up = settings.nonce_max_uses.is_some_and(|most| issued.uses >= most);
        let counted = match settings.nonce_counts {
            NonceCounts::Unchecked => true,
            NonceCounts::NoReuse => !issued.counts.contains(&count),
            NonceCounts::Strict => count == issued.uses + 1,
        };
        if age >= settings.nonce_lifetime || used_up || !counted {
            return false;
        }
        issued.uses += 1;
        issued.counts.insert(count);
        true
    }

    fn algorithm(&self, nonce: &str) -> Option<Algorithm> {
        self.0.get(nonce).map(|issued| issued.algorithm)
    }
}

/// The values of `WWW-Authenticate` for a 401.
pub fn challenges(nonces: &mut Nonces, settings: &Settings, stale: bool, now: Instant) -> Vec<String> {
    let own = settings.algorithms.iter().map(|algorithm| {
        let nonce = nonces.issue(*algorithm, now);
        let name = algorithm_name(*algorithm);
        format!(
            "Digest realm=\"{REALM}\", domain=\"\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\", stale={stale}"
        )
    });
    let each: Vec<String> = settings.other_challenges.iter().cloned().chain(own).collect();
    match settings.challenges {
        Challenges::SeparateHeaders => each,
        Challenges::OneHeader => vec![each.join(", ")],
    }
}

fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Md5 => "MD5",
        Algorithm::Sha256 => "SHA-256",
    }
}

/// The parameters of digest credentials.
#[derive(Debug, Default)]
pub struct Given(HashMap<String, String>);

impl Given {
    /// Reads `name=value` pairs, quoted or not, separated by commas.
    pub fn read(text: &str) -> Self {
        let mut pairs = HashMap::new();
        let mut rest = text;
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => read_quoted(quoted),
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    (after[..end].trim().to_owned(), &after[end..])
                }
            };
            pairs.insert(name, value);
            rest = next;
        }
        Self(pairs)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `nc`: exactly eight hexadecimal digits.
    pub fn nonce_count(&self) -> Option<u32> {
        let text = self.get("nc")?;
        let valid = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if valid { u32::from_str_radix(text, 16).ok() } else { None }
    }
}

/// The value up to the closing quote, and what comes after it.
fn read_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((position, c)) = characters.next() {
        match c {
            '"' => return (value, &text[position + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// Checks digest credentials. The hash is checked before the nonce: only a sender who knows the private key is told
/// that the nonce was stale.
pub fn verify(
    keys: &Keys,
    nonces: &mut Nonces,
    request: &Request,
    credentials: &str,
    settings: &Settings,
    now: Instant,
) -> Verdict {
    let given = Given::read(credentials);
    let Some((name, orgs)) = check_hash(keys, request, &given, settings) else {
        return Verdict::Bad { stale: false };
    };
    let nonce = given.get("nonce").unwrap_or_default();
    // A challenge binds its nonce to its algorithm.
    let bound = nonces.algorithm(nonce).is_none_or(|algorithm| Some(algorithm) == algorithm_of(&given));
    let count = given.nonce_count().filter(|_| bound);
    match count {
        None => Verdict::Bad { stale: false },
        Some(count) if nonces.use_once(nonce, count, settings, now) => {
            Verdict::Good(Principal { name, scheme: Scheme::Digest, orgs })
        }
        Some(_) => Verdict::Bad { stale: true },
    }
}

fn algorithm_of(given: &Given) -> Option<Algorithm> {
    match given.get("algorithm").unwrap_or("MD5").to_ascii_uppercase().as_str() {
        "MD5" => Some(Algorithm::Md5),
        "SHA-256" => Some(Algorithm::Sha256),
        _ => None,
    }
}

/// The user's name and the organisations in which name and private key fit the hash.
fn check_hash(
    keys: &Keys,
    request: &Request,
    given: &Given,
    settings: &Settings,
) -> Option<(String, Vec<String>)> {
    let algorithm = algorithm_of(given).filter(|algorithm| settings.algorithms.contains(algorithm))?;
    let name = given.get("username")?;
    let uri = given.get("uri")?;
    let well_formed =
        given.get("realm") == Some(REALM) && given.get("qop") == Some("auth") && uri == request.uri();
    let (nonce, count, cnonce) = (given.get("nonce")?, given.get("nc")?, given.get("cnonce")?);
    let response = given.get("response")?;
    if !well_formed || cnonce.is_empty() {
        return None;
    }
    let hash = |text: String| hash(algorithm, &text);
    let request_hash = hash(format!("{}:{uri}", request.method));
    let fits = |private_key: &str| {
        let user_hash = hash(format!("{name}:{REALM}:{private_key}"));
        let wanted = hash(format!("{user_hash}:{nonce}:{count}:{cnonce}:auth:{request_hash}"));
        wanted.eq_ignore_ascii_case(response)
    };
    // One pair is often allowed in many organisations: its hash is made once.
    let mut checked: HashMap<&str, bool> = HashMap::new();
    let mut is_good = |secret| *checked.entry(secret).or_insert_with(|| fits(secret));
    let orgs: Vec<String> =
        keys.named(name).filter(|(_, key)| is_good(&key.secret)).map(|(org, _)| org.to_owned()).collect();
    if orgs.is_empty() { None } else { Some((name.to_owned(), orgs)) }
}

fn hash(algorithm: Algorithm, text: &str) -> String {
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
    match algorithm {
        Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
        Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_quoted_or_not() {
        let given =
            Given::read(r#"username="a\"b, c", algorithm="MD5", nc=0000000a , qop=auth,uri="/x?a=b,c""#);
        assert_eq!(given.get("username"), Some("a\"b, c"));
        assert_eq!(given.get("algorithm"), Some("MD5"));
        assert_eq!(given.nonce_count(), Some(10));
        assert_eq!(given.get("qop"), Some("auth"));
        assert_eq!(given.get("uri"), Some("/x?a=b,c"));
        assert_eq!(Given::read("nc=1").nonce_count(), None);
    }

    #[test]
    fn hashes_are_those_of_rfc_7616() {
        // RFC 7616, 3.9.1: the hash of user name, realm and password, by way of the final response.
        let user = hash(Algorithm::Md5, "Mufasa:http-auth@example.org:Circle of Life");
        let request = hash(Algorithm::Md5, "GET:/dir/index.html");
        let (nonce, cnonce) =
            ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        let text = format!("{user}:{nonce}:00000001:{cnonce}:auth:{request}");
        assert_eq!(hash(Algorithm::Md5, &text), "8ca523f5e9506fed4657c9700eebdbec");
    }

    #[test]
    fn nonces_age_and_are_used_up() {
        let now = Instant::now();
        let mut nonces = Nonces::default();
        let settings = Settings { nonce_max_uses: Some(2), ..Settings::default() };
        let nonce = nonces.issue(Algorithm::Md5, now);
        assert!(!nonces.use_once("unknown", 1, &settings, now));
        assert!(nonces.use_once(&nonce, 1, &settings, now));
        assert!(!nonces.use_once(&nonce, 1, &settings, now), "a count is good once");
        assert!(!nonces.use_once(&nonce, 2, &settings, now + Duration::from_secs(60)), "too old");
        assert!(nonces.use_once(&nonce, 5, &settings, now));
        assert!(!nonces.use_once(&nonce, 6, &settings, now), "two uses are the limit");
        let strict = Settings { nonce_counts: NonceCounts::Strict, ..Settings::default() };
        let nonce = nonces.issue(Algorithm::Md5, now);
        assert!(!nonces.use_once(&nonce, 2, &strict, now));
        assert!(nonces.use_once(&nonce, 1, &strict, now));
        assert!(nonces.use_once(&nonce, 2, &strict, now));
    }
}
