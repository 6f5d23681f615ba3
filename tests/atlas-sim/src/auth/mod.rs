//! Who is asking, and what may they do? Digest for API keys, tokens for service accounts.
//!
//! Every credential belongs to one organisation (documentation: API keys, service accounts). Projects have an
//! organisation of their own by default, so that tests beside one another may use the same names.

mod digest;
mod oauth;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

pub use digest::{Nonces, challenges};
pub use oauth::{Tokens, answer as oauth_answer, invalid_client as oauth_refusal};

use crate::exchange::Scheme;
use crate::project::Role;
use crate::request::Request;
use crate::settings::Settings;
use crate::state::State;

/// An API key or a service account of one organisation.
#[derive(Clone, Debug)]
pub struct Credential {
    pub secret: String,
    /// Roles by project id.
    pub grants: BTreeMap<String, Role>,
}

/// Credentials by public name and organisation.
#[derive(Debug, Default)]
pub struct Book(HashMap<String, BTreeMap<String, Credential>>);

/// API keys.
pub type Keys = Book;
/// Service accounts.
pub type Accounts = Book;

impl Book {
    /// Grants a role; another secret than before replaces the old one, and the grants stay.
    pub fn allow(&mut self, org: &str, name: &str, secret: &str, project: &str, role: Role) {
        let new = || Credential { secret: secret.to_owned(), grants: BTreeMap::new() };
        let credential = self.0.entry(name.to_owned()).or_default().entry(org.to_owned()).or_insert_with(new);
        credential.secret = secret.to_owned();
        credential.grants.insert(project.to_owned(), role);
    }

    pub fn revoke(&mut self, org: &str, name: &str) {
        if let Some(orgs) = self.0.get_mut(name) {
            orgs.remove(org);
        }
    }

    pub fn get(&self, org: &str, name: &str) -> Option<&Credential> {
        self.0.get(name).and_then(|orgs| orgs.get(org))
    }

    /// All credentials of this name, with their organisations, in the order of these.
    pub fn named(&self, name: &str) -> impl Iterator<Item = (&str, &Credential)> {
        self.0.get(name).into_iter().flatten().map(|(org, credential)| (org.as_str(), credential))
    }

    /// Takes a project's grants along to another organisation.
    pub fn move_project(&mut self, project: &str, from: &str, to: &str) {
        let mut moved = Vec::new();
        for (name, orgs) in &mut self.0 {
            let Some(old) = orgs.get_mut(from) else { continue };
            if let Some(role) = old.grants.remove(project) {
                moved.push((name.clone(), old.secret.clone(), role));
            }
            if old.grants.is_empty() {
                orgs.remove(from);
            }
        }
        for (name, secret, role) in moved {
            self.allow(to, &name, &secret, project, role);
        }
    }
}

/// Somebody whose credentials are good.
#[derive(Clone, Debug)]
pub struct Principal {
    pub name: String,
    pub scheme: Scheme,
    /// The organisations in which they are; more than one only if tests use one pair in several.
    pub orgs: Vec<String>,
}

/// What came of looking at the credentials of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    Good(Principal),
    /// Missing or bad; `stale` if only the nonce was.
    Bad {
        stale: bool,
    },
}

/// What a request says about its sender, before anything is checked.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    pub scheme: Option<Scheme>,
    pub name: Option<String>,
    pub nonce_count: Option<u32>,
}

/// Reads scheme and name for the log and for matchers.
pub fn claim(state: &State, request: &Request) -> Claim {
    let Some(value) = request.header("authorization") else { return Claim::default() };
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    match scheme.to_ascii_lowercase().as_str() {
        "digest" => {
            let given = digest::Given::read(rest);
            let nonce_count = given.nonce_count();
            Claim {
                scheme: Some(Scheme::Digest),
                name: given.get("username").map(str::to_owned),
                nonce_count,
            }
        }
        "bearer" => Claim { scheme: Some(Scheme::Bearer), name: state.tokens.owner(rest), nonce_count: None },
        "basic" => {
            let name = oauth::basic(rest).map(|(name, _)| name);
            Claim { scheme: Some(Scheme::Basic), name, nonce_count: None }
        }
        _ => Claim { scheme: Some(Scheme::Other), ..Claim::default() },
    }
}

/// Checks the credentials of a request. A nonce count is used up by this.
pub fn verify(state: &mut State, request: &Request, settings: &Settings, now: Instant) -> Verdict {
    let Some(value) = request.header("authorization") else { return Verdict::Bad { stale: false } };
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("digest") {
        digest::verify(&state.keys, &mut state.nonces, request, rest, settings, now)
    } else if scheme.eq_ignore_ascii_case("bearer") {
        state.tokens.verify(&state.accounts, rest.trim(), now)
    } else {
        Verdict::Bad { stale: false }
    }
}

/// What a principal may do in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    As(Role),
    /// Of the same organisation, without a role here.
    NoRole,
    /// Of another organisation.
    Foreign,
}

/// The role of a principal in a project of this organisation.
pub fn access(state: &State, principal: &Principal, org: &str, project: &str) -> Access {
    if !principal.orgs.iter().any(|known| known == org) {
        return Access::Foreign;
    }
    let book = if principal.scheme == Scheme::Bearer { &state.accounts } else { &state.keys };
    let role = book.get(org, &principal.name).and_then(|found| found.grants.get(project));
    role.map_or(Access::NoRole, |role| Access::As(*role))
}
