//! Pages of integrations.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::json::{Json, each};
use crate::domain::IntegrationType;

/// How many entries a page may have: as many as Atlas puts into one (v2 specification, `itemsPerPage`).
pub(super) const MOST_ENTRIES: u16 = 500;

/// A page of integrations, which list, create and update return. Null entries, which Atlas has been seen to send, and
/// unknown fields are tolerated. A page without `results`, or with an entry that does not tell its type, is rejected:
/// otherwise it would look as if an integration were absent.
///
/// It holds only what is used, whatever the answer contains: one entry of each type that this program knows, and of
/// these the fields that it knows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    results: Results,
    #[serde(default)]
    links: Option<Links>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    error_code: Option<IgnoredAny>,
}

impl Page {
    /// Parses a page, plain or in an envelope.
    ///
    /// # Errors
    /// Says why the answer is no page.
    pub(super) fn parse(body: &[u8]) -> Result<Page, &'static str> {
        #[derive(Deserialize)]
        struct Envelope {
            status: u16,
            content: Page,
        }
        let plain = serde_json::from_slice::<Page>(body).ok();
        let page = plain.or_else(|| {
            let envelope = serde_json::from_slice::<Envelope>(body).ok()?;
            Some(Page { status: Some(envelope.status), ..envelope.content })
        });
        let succeeded = |page: &Page| page.status.is_none_or(|status| (200..300).contains(&status));
        let page = page.filter(|page| succeeded(page) && page.error_code.is_none());
        let page = page.ok_or("no page of integrations")?;
        if page.results.count > usize::from(MOST_ENTRIES) {
            Err("it has more than 500 entries")
        } else {
            Ok(page)
        }
    }

    /// The entries of known types. Atlas keeps one integration of a type; if there were two, the first would count.
    pub(super) fn entries(&self) -> &BTreeMap<IntegrationType, Map<String, Value>> {
        &self.results.known
    }

    /// A digest of each entry of another type.
    pub(super) fn others(&self) -> &HashSet<u64> {
        &self.results.others
    }

    /// Whether more pages follow.
    pub(super) fn has_next(&self) -> bool {
        self.links.as_ref().is_some_and(|links| links.next)
    }
}

#[derive(Debug, Default)]
struct Results {
    known: BTreeMap<IntegrationType, Map<String, Value>>,
    others: HashSet<u64>,
    count: usize,
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(list: D) -> Result<Results, D::Error> {
        let mut results = Results::default();
        each(list, |entry: Option<Entry>| {
            results.count += 1;
            match entry {
                Some(Entry::Known(kind, fields)) => {
                    results.known.entry(kind).or_insert(fields);
                }
                // The page is rejected then.
                _ if results.count > usize::from(MOST_ENTRIES) => {}
                Some(Entry::Other(digest)) => {
                    results.others.insert(digest);
                }
                None => {}
            }
        })?;
        Ok(results)
    }
}

enum Entry {
    Known(IntegrationType, Map<String, Value>),
    Other(u64),
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(entry: D) -> Result<Entry, D::Error> {
        let fields = entry.deserialize_map(Fields)?;
        let kind = fields.get("type").and_then(Value::as_str);
        match IntegrationType::parse(kind.ok_or_else(|| D::Error::missing_field("type"))?) {
            Some(kind) => Ok(Entry::Known(kind, fields)),
            None => {
                let mut digest = DefaultHasher::new();
                fields.hash(&mut digest);
                Ok(Entry::Other(digest.finish()))
            }
        }
    }
}

/// Reads an entry's texts, numbers and flags under the names that a known type has.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an integration")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entry: A) -> Result<Self::Value, A::Error> {
        let known = IntegrationType::ALL;
        let is_shown = |name: &str| {
            known.into_iter().flat_map(IntegrationType::shown_fields).any(|field| field.atlas == name)
        };
        let mut fields = Map::new();
        while let Some(name) = entry.next_key::<String>()? {
            if !is_shown(&name) {
                entry.next_value::<IgnoredAny>()?;
            } else if let Some(value) = entry.next_value::<Json>()?.scalar() {
                fields.insert(name, value);
            }
        }
        Ok(fields)
    }
}

/// Of the links only the relation is read, since their host can't be trusted.
#[derive(Debug, Default)]
struct Links {
    next: bool,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    rel: Option<String>,
}

impl<'de> Deserialize<'de> for Links {
    fn deserialize<D: Deserializer<'de>>(list: D) -> Result<Links, D::Error> {
        let mut links = Links::default();
        each(list, |link: Option<Link>| {
            links.next |= link.is_some_and(|link| link.rel.as_deref() == Some("next"));
        })?;
        Ok(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_tolerate_nulls_and_envelopes_but_not_a_missing_list() {
        let plain =
            br#"{"links":[{"rel":"self","href":"x"},null],"results":[null,{"type":"NEW"}],"totalCount":2}"#;
        let page = Page::parse(plain).expect("a page");
        assert_eq!((page.entries().len(), page.others().len()), (0, 1));
        assert!(!page.has_next());
        let wrapped = br#"{"status":200,"content":{"results":[],"links":[{"rel":"next"}]}}"#;
        assert!(Page::parse(wrapped).is_ok_and(|page| page.has_next()));
        assert!(Page::parse(br#"{"status":200,"results":[]}"#).is_ok(), "a list in an envelope is flat");
        let errors = [&br#"{"status":503,"results":[]}"#[..], br#"{"results":[],"errorCode":"X"}"#];
        assert!(errors.iter().all(|body| Page::parse(body).is_err()));
        let odd = [&br#"{"results":["x"]}"#[..], br#"{"results":[{}]}"#, br#"{"results":[{"type":7}]}"#];
        for bad in [&b"{}"[..], b"[]", b"", b"<html>", br#"{"results":null}"#].into_iter().chain(odd) {
            assert!(Page::parse(bad).is_err());
        }
    }

    #[test]
    fn a_page_has_as_many_entries_as_atlas_puts_into_one() {
        let page =
            |count: usize| format!(r#"{{"results":[{}]}}"#, vec![r#"{"type":"NEW"}"#; count].join(","));
        assert_eq!(Page::parse(page(500).as_bytes()).map(|page| page.others().len()), Ok(1));
        assert_eq!(Page::parse(page(501).as_bytes()).err(), Some("it has more than 500 entries"));
    }

    #[test]
    fn entries_keep_the_fields_of_known_types() {
        let body =
            br#"{"results":[{"region":"US","nested":{"a":[1]},"type":"DATADOG","apiKey":{"not":"a text"}},
            {"type":"DATADOG","region":"EU"},{"type":"OPS_GENIE","enabled":false,"accountId":7,"id":null}]}"#;
        let page = Page::parse(body).expect("a page");
        let entries = serde_json::to_value(page.entries().values().collect::<Vec<_>>()).expect("JSON");
        let expected = serde_json::json!([{"region": "US", "type": "DATADOG"},
            {"type": "OPS_GENIE", "enabled": false, "accountId": 7, "id": null}]);
        assert_eq!(entries, expected);
    }

    /// Attack 9: whatever fills an answer, little more memory is taken than it has bytes.
    #[test]
    fn a_page_takes_no_more_memory_than_its_bytes() {
        let fill = |item: &str| vec![item; (256 << 10) / (item.len() + 1)].join(",");
        for (name, item) in [
            ("unknown types", r#"{"type":"2ab"}"#),
            ("unknown types with an id", r#"{"type":"2ab","id":"5d791c84ff7a2522cc4f9aa1"}"#),
            ("known types", r#"{"type":"SLACK"}"#),
            ("nulls", "null"),
        ] {
            check(name, &format!(r#"{{"results":[{}]}}"#, fill(item)));
        }
        for (name, item) in [("maps", r#"{"":0}"#), ("lists", "[0]"), ("empty maps", "{}"), ("numbers", "0")]
        {
            let filled = fill(item);
            for body in [
                format!(r#"{{"results":[{{"type":"SLACK","future":[{filled}]}}]}}"#),
                format!(r#"{{"results":[{{"type":"SLACK","apiToken":[{filled}]}}]}}"#),
                format!(r#"{{"results":[],"links":[{{"rel":"self","href":[{filled}]}}]}}"#),
                format!(r#"{{"results":[],"status":[{filled}]}}"#),
                format!(r#"{{"results":[],"errorCode":[{filled}]}}"#),
                format!(r#"{{"status":200,"content":{{"results":[],"errorCode":[{filled}]}}}}"#),
            ] {
                check(name, &body);
            }
        }
        check("links", &format!(r#"{{"results":[],"links":[{}]}}"#, fill(r#"{"rel":""}"#)));
    }

    fn check(name: &str, body: &str) {
        let taken = allocation_counter::measure(|| drop(Page::parse(body.as_bytes())));
        let start: String = body.chars().take(60).collect();
        // The buffers grow by doubling.
        assert!(taken.bytes_max < 1 << 20, "{name}: {} bytes for {start}", taken.bytes_max);
    }
}
