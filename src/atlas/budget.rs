//! What Atlas tells about a project's rate limit (`RateLimit-Limit`, `RateLimit-Remaining`). The operator uses it to
//! leave a part of the limit to people.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderMap;

use crate::domain::{Fingerprint, ProjectId};

/// A project's token bucket, as the latest answer to one credential shows it. All users of the project draw on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests that fit into the bucket.
    pub limit: u32,
    /// Requests that are left.
    pub remaining: u32,
}

/// The budgets that no caller has taken yet, each by the credential whose call was answered: what Atlas tells one tenant
/// must not slow down another, who uses the same project under a credential of their own.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<(ProjectId, Fingerprint), Budget>>);

impl Budgets {
    pub(super) fn take(&self, project: &ProjectId, credential: Fingerprint) -> Option<Budget> {
        self.lock().remove(&(project.clone(), credential))
    }

    /// Remembers the budget in the headers of an answer.
    pub(super) fn note(&self, project: &ProjectId, credential: Fingerprint, headers: &HeaderMap) {
        let of = (project.clone(), credential);
        match read(headers) {
            Some(budget) => self.lock().insert(of, budget),
            None => self.lock().remove(&of),
        };
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ProjectId, Fingerprint), Budget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The case of header names does not matter: recorded answers of Atlas have `Ratelimit-…`.
fn read(headers: &HeaderMap) -> Option<Budget> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Some(Budget { limit: number("ratelimit-limit")?, remaining: number("ratelimit-remaining")? })
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &'static str)| {
            (HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn both_headers_are_needed_as_numbers() {
        let budget = Some(Budget { limit: 1200, remaining: 7 });
        for names in [["Ratelimit-Limit", "Ratelimit-Remaining"], ["RateLimit-Limit", "RATELIMIT-REMAINING"]]
        {
            assert_eq!(read(&headers(&[(names[0], "1200"), (names[1], "7")])), budget);
        }
        assert_eq!(read(&headers(&[("RateLimit-Limit", "1200")])), None);
        assert_eq!(read(&headers(&[("RateLimit-Limit", "1200"), ("RateLimit-Remaining", "-1")])), None);
        assert_eq!(read(&headers(&[("RateLimit-Limit", "many"), ("RateLimit-Remaining", "1")])), None);
    }
}
