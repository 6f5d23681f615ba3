//! What Atlas says of a project's rate limit (`RateLimit-Limit`, `RateLimit-Remaining`), so that the operator can
//! leave a part of it to people.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderMap;

use crate::domain::ProjectId;

/// A project's token bucket, as the latest answer shows it. All users of the project draw on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests that fit into the bucket.
    pub limit: u32,
    /// Requests that are left.
    pub remaining: u32,
}

/// The budgets that nobody took yet.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<ProjectId, Budget>>);

impl Budgets {
    pub(super) fn take(&self, project: &ProjectId) -> Option<Budget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(project)
    }

    /// Takes an answer's headers. A 401 says nothing: whoever has no access to a project does not change what is
    /// known of it.
    pub(super) fn note(&self, project: &ProjectId, status: u16, headers: &HeaderMap) {
        if status == 401 {
            return;
        }
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match read(headers) {
            Some(budget) => budgets.insert(project.clone(), budget),
            None => budgets.remove(project),
        };
    }
}

/// Names of headers have no case: Atlas was recorded with `Ratelimit-…`.
fn read(headers: &HeaderMap) -> Option<Budget> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Some(Budget { limit: number("ratelimit-limit")?, remaining: number("ratelimit-remaining")? })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

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
