//! Uids, states of Secrets and names in few bytes and without allocations of their own, since a cluster may have 100,000
//! of each. The API promises no form of a uid or a resourceVersion, so a text of another form than usual is kept as it
//! is.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::lists;
use crate::cluster::SecretIdentity;
use crate::domain::hex;

/// `metadata.uid` of an object: usually the 36 characters of a UUID.
#[derive(Clone, Debug)]
pub(in crate::engine) enum Uid {
    Usual([u8; 36]),
    Other(Box<str>),
}

impl Uid {
    pub fn new(text: &str) -> Uid {
        text.as_bytes().try_into().map_or_else(|_| Uid::Other(text.into()), Uid::Usual)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            // They were taken from a text.
            Uid::Usual(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Uid::Other(text) => text,
        }
    }
}

impl Deref for Uid {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Uid {
    fn eq(&self, other: &Uid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<Uid> for String {
    fn eq(&self, other: &Uid) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<String> for Uid {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

/// A [`SecretIdentity`]: usually a UUID and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The number is in little-endian bytes, without the highest one, which is 0.
    Usual {
        uid: [u8; 16],
        version: [u8; 7],
    },
    Other(Box<SecretIdentity>),
}

impl State {
    pub fn new(identity: SecretIdentity) -> State {
        let usual = || {
            let [version @ .., 0] = identity.resource_version.parse::<u64>().ok()?.to_le_bytes() else {
                return None;
            };
            let uid = hex::pack(identity.uid.bytes().filter(|byte| *byte != b'-'))?;
            Some(State::Usual { uid, version })
        };
        // Not every text that could be read this way is what would be written.
        let usual = usual().filter(|state| state.identity() == identity);
        usual.unwrap_or_else(|| State::Other(Box::new(identity)))
    }

    pub fn identity(&self) -> SecretIdentity {
        match self {
            State::Usual { uid, .. } => {
                let mut text = String::with_capacity(36);
                for (at, digit) in hex::unpack(uid).enumerate() {
                    if matches!(at, 8 | 12 | 16 | 20) {
                        text.push('-');
                    }
                    text.push(digit);
                }
                SecretIdentity { uid: text, resource_version: self.version().to_string() }
            }
            State::Other(identity) => SecretIdentity::clone(identity),
        }
    }

    /// The resourceVersion as the number that it is.
    pub fn version(&self) -> u64 {
        match self {
            State::Usual { version: [a, b, c, d, e, f, g], .. } => {
                u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, 0])
            }
            State::Other(identity) => lists::version(&identity.resource_version),
        }
    }

    pub fn is_of_the_secret_of(&self, other: &State) -> bool {
        match (self, other) {
            (State::Usual { uid, .. }, State::Usual { uid: other, .. }) => uid == other,
            _ => self.identity().uid == other.identity().uid,
        }
    }
}

/// Names of Secrets. Nearly always it is one.
#[derive(Clone, Debug)]
pub(in crate::engine) enum Names {
    One(Arc<str>),
    /// In a box, so that the usual case takes no more than the one name.
    Other(Box<Box<[Arc<str>]>>),
}

impl FromIterator<Arc<str>> for Names {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(names: I) -> Names {
        let names: Vec<Arc<str>> = names.into_iter().collect();
        <[Arc<str>; 1]>::try_from(names)
            .map_or_else(|names| Names::Other(Box::new(names.into())), |[name]| Names::One(name))
    }
}

impl Deref for Names {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Other(names) => names,
        }
    }
}

impl DerefMut for Names {
    fn deref_mut(&mut self) -> &mut [Arc<str>] {
        match self {
            Names::One(name) => std::slice::from_mut(name),
            Names::Other(names) => names,
        }
    }
}
