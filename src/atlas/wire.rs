//! The shapes that travel: query options, page answers, error bodies.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Query options of every endpoint (v1.0 create page, "Request Query Parameters"). What is unset is not sent,
/// and Atlas's default holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// Page number from 1. Default 1.
    pub page_num: Option<u32>,
    /// Items of a page, at most 500. Default 100.
    pub items_per_page: Option<u16>,
    /// Whether the answer says `totalCount`. Default true.
    pub include_count: Option<bool>,
    /// Whether the answer is indented. Default false.
    pub pretty: Option<bool>,
    /// Whether the answer repeats the HTTP status in its body. Default false.
    pub envelope: Option<bool>,
}

impl PageOptions {
    /// The query as pairs, in the order of the page.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut push = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        push("pageNum", self.page_num.map(|n| n.to_string()));
        push("itemsPerPage", self.items_per_page.map(|n| n.to_string()));
        push("includeCount", self.include_count.map(|flag| flag.to_string()));
        push("pretty", self.pretty.map(|flag| flag.to_string()));
        push("envelope", self.envelope.map(|flag| flag.to_string()));
        pairs
    }
}

/// A page of integrations, as list, create and update answer. Null entries, which Atlas has been seen to send,
/// and unknown fields are tolerated; a page without `results` is none.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    results: Vec<Option<Map<String, Value>>>,
    #[serde(default)]
    links: Option<Vec<Option<Link>>>,
}

#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    rel: Option<String>,
}

impl Page {
    /// Parses a page, plain or in an envelope.
    pub(super) fn parse(body: &[u8]) -> Option<Page> {
        #[derive(Deserialize)]
        struct Envelope {
            content: Page,
        }
        let plain = serde_json::from_slice::<Page>(body).ok();
        plain.or_else(|| serde_json::from_slice::<Envelope>(body).ok().map(|envelope| envelope.content))
    }

    /// The entries, without nulls.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.results.iter().flatten()
    }

    /// Whether further pages follow. Only the relation is read: a link's host is not to be trusted.
    pub(super) fn has_next(&self) -> bool {
        self.links.iter().flatten().flatten().any(|link| link.rel.as_deref() == Some("next"))
    }
}

/// An error body (v2 specification, `ApiError`). It is an answer of Atlas only if it has an `errorCode`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiError {
    pub(super) error_code: String,
    #[serde(default)]
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

impl ApiError {
    pub(super) fn parse(body: &[u8]) -> Option<ApiError> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_options_are_not_sent() {
        assert!(PageOptions::default().pairs().is_empty());
        let options =
            PageOptions { items_per_page: Some(500), pretty: Some(false), ..PageOptions::default() };
        let expected = vec![("itemsPerPage", "500".to_owned()), ("pretty", "false".to_owned())];
        assert_eq!(options.pairs(), expected);
    }

    #[test]
    fn pages_tolerate_nulls_and_envelopes_but_not_a_missing_list() {
        let plain =
            br#"{"links":[{"rel":"self","href":"x"},null],"results":[null,{"type":"NEW"}],"totalCount":2}"#;
        let page = Page::parse(plain).expect("a page");
        assert_eq!(page.entries().count(), 1);
        assert!(!page.has_next());
        let wrapped = br#"{"status":200,"content":{"results":[],"links":[{"rel":"next"}]}}"#;
        assert!(Page::parse(wrapped).is_some_and(|page| page.has_next()));
        for bad in [&b"{}"[..], b"[]", b"", b"<html>", br#"{"results":null}"#] {
            assert!(Page::parse(bad).is_none());
        }
    }
}
