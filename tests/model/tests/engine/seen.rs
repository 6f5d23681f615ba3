//! What the model and the API server both know of an object, in one form for both, so that texts can be compared.
//! Numbers that only tell things apart (ids, times, versions) become what they are compared for: whether a form is the
//! object's own, is the one that was confirmed, is the one that is there now.

use std::fmt::{Display, Formatter, Result};

use atlas_integration_model::real::configured;
use atlas_integration_model::state::{Object, State};
use atlas_integration_operator::api::{CLAIM_ANNOTATION, FINALIZER, RELEASED_ANNOTATION};
use serde_json::Value;

/// An object.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    deleting: bool,
    finalizer: bool,
    released: bool,
    claim: Option<Claim>,
    applied: Option<Applied>,
    attempt: Option<Attempt>,
    echo: Option<Echo>,
    said: Option<String>,
    suspended: bool,
    edited: bool,
    /// What tells one fence or answer from the next; only good for a comparison with the same object before.
    marks: [String; 4],
}

#[derive(Debug, PartialEq, Eq)]
struct Claim {
    own: bool,
    /// Whether the attempt in the status was stored right before it.
    proven: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Applied {
    own: bool,
    /// Whether it confirms the attempt that stands beside it.
    confirms: bool,
    /// The setting, the Secret, and whether the Secret is the same since.
    what: Option<(u8, u8, bool)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Attempt {
    own: bool,
    sent: Option<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Echo {
    visible: Option<u8>,
    /// Whether Atlas still shows the same id.
    current: bool,
}

impl Seen {
    /// An object of the model.
    pub fn modelled(object: &Object, state: &State) -> Seen {
        let confirmed = object.applied.and_then(|applied| applied.attempt);
        Seen {
            deleting: object.deleting,
            finalizer: object.finalizer,
            released: object.released,
            claim: object.claim.map(|claim| Claim {
                own: claim.uid == object.uid,
                proven: object.attempt.is_some_and(|attempt| attempt.begun.id == claim.begun.id),
            }),
            applied: object.applied.map(|applied| Applied {
                own: applied.uid == object.uid,
                confirms: confirmed.is_some() && confirmed == object.attempt.map(|attempt| attempt.begun.id),
                what: applied.what.map(|what| {
                    let current = state.secrets[usize::from(what.secret)].version == what.version;
                    (what.visible, what.secret, current)
                }),
            }),
            attempt: object.attempt.map(|attempt| Attempt {
                own: attempt.uid == object.uid,
                sent: attempt.sent.map(|sent| sent.visible),
            }),
            echo: object.echo.map(|echo| Echo {
                visible: Some(echo.visible),
                current: state.entry.is_some_and(|entry| entry.id == echo.id),
            }),
            said: object.said.map(|reason| reason.as_str().to_owned()),
            suspended: object.said_suspended,
            edited: object.edited,
            marks: [
                object.claim.map(|claim| claim.begun.id),
                object.attempt.map(|attempt| attempt.begun.id),
                confirmed,
                object.echo.map(|echo| echo.id),
            ]
            .map(|mark| format!("{mark:?}")),
        }
    }

    /// An object of the API server; `version_of` is the resourceVersion of a Secret, `entry` the id that Atlas shows.
    pub fn stored(object: &Value, version_of: impl Fn(&str) -> Option<String>, entry: Option<&str>) -> Seen {
        let metadata = &object["metadata"];
        let status = &object["status"];
        let uid = metadata["uid"].as_str().unwrap_or_default();
        let claim = metadata["annotations"][CLAIM_ANNOTATION].as_str();
        let claim = claim.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let condition = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind);
        let finalizers = metadata["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let part = |name: &str| Some(&status[name]).filter(|part| part.is_object());
        Seen {
            deleting: metadata["deletionTimestamp"].is_string(),
            finalizer: finalizers.iter().any(|finalizer| finalizer == FINALIZER),
            released: metadata["annotations"][RELEASED_ANNOTATION].is_string(),
            claim: claim.as_ref().map(|claim| Claim {
                own: claim["uid"] == uid,
                proven: claim["time"].is_string() && claim["time"] == status["attempt"]["time"],
            }),
            applied: part("applied").map(|applied| Applied {
                own: applied["uid"] == uid,
                confirms: applied["attempt"].is_string() && applied["attempt"] == status["attempt"]["id"],
                what: applied["config"].as_str().and_then(configured).map(|(visible, secret)| {
                    let read = &applied["secrets"][0];
                    let version = read["name"].as_str().and_then(&version_of);
                    (visible, secret, version.as_deref() == read["resourceVersion"].as_str())
                }),
            }),
            attempt: part("attempt").map(|attempt| Attempt {
                own: attempt["id"].as_str().is_some_and(|id| id.split('.').next() == Some(uid)),
                sent: visible(&attempt["sent"]),
            }),
            echo: part("integration").map(|echo| Echo {
                visible: visible(echo),
                current: entry.is_some() && entry == echo["id"].as_str(),
            }),
            said: condition("Ready").and_then(|ready| ready["reason"].as_str().map(str::to_owned)),
            suspended: condition("Suspended").is_some(),
            edited: status["observedGeneration"].as_i64() != metadata["generation"].as_i64(),
            marks: [
                claim.as_ref().map(|claim| &claim["time"]),
                Some(&status["attempt"]["id"]),
                Some(&status["applied"]["attempt"]),
                Some(&status["integration"]["id"]),
            ]
            .map(|mark| format!("{mark:?}")),
        }
    }

    /// Whether the object has begun a write under a claim of its own.
    pub fn holds(&self) -> bool {
        let applied = self.applied.as_ref().is_some_and(|applied| applied.own);
        let begun = self.attempt.as_ref().is_some_and(|attempt| attempt.own);
        let claimed = self.finalizer && self.claim.as_ref().is_some_and(|claim| claim.own);
        claimed && !self.released && (applied || begun)
    }

    /// The setting that the last begun write was to send.
    pub fn sent(&self) -> Option<u8> {
        self.attempt.as_ref().and_then(|attempt| attempt.sent)
    }

    /// What a write changed, as a text; empty where nothing is told apart.
    pub fn change(before: &Seen, after: Option<&Seen>) -> String {
        match after {
            None => "is let go".to_owned(),
            Some(after) if after == before => String::new(),
            Some(after) => after.to_string(),
        }
    }
}

/// The visible setting of a redacted form.
fn visible(form: &Value) -> Option<u8> {
    form["username"].as_str()?.strip_prefix('v')?.parse().ok()
}

impl Display for Seen {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let flag = |is: bool, word: &'static str| if is { word } else { "" };
        let whose = |own: bool| if own { "" } else { "another's " };
        write!(out, "{}", self.said.as_deref().unwrap_or("nothing said"))?;
        write!(out, "{}{}", flag(self.edited, ", edited"), flag(self.suspended, ", suspended"))?;
        write!(out, "{}{}", flag(self.deleting, ", deleting"), flag(self.finalizer, ", finalizer"))?;
        write!(out, "{}", flag(self.released, ", released"))?;
        if let Some(Claim { own, proven }) = &self.claim {
            write!(out, ", {}claim{}", whose(*own), flag(*proven, " of its attempt"))?;
        }
        if let Some(Attempt { own, sent }) = &self.attempt {
            write!(out, ", {}attempt {sent:?}", whose(*own))?;
        }
        if let Some(Applied { own, confirms, what }) = &self.applied {
            write!(out, ", {}applied", whose(*own))?;
            if let Some((visible, secret, current)) = what {
                write!(out, " v{visible} s{secret}{}", flag(!current, " as it was"))?;
            }
            write!(out, "{}", flag(*confirms, " confirmed"))?;
        }
        if let Some(Echo { visible, current }) = &self.echo {
            write!(out, ", echo {visible:?}{}", flag(!current, " of the past"))?;
        }
        Ok(())
    }
}
