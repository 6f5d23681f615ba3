//! The forms of queries and answers: query options, bodies of errors.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::json::Json;

/// Query options of every endpoint (v1.0 create page, "Request Query Parameters"). An unset option is not sent, so that
/// Atlas's default applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// Page number from 1. Default 1.
    pub page_num: Option<u32>,
    /// Items of a page, at most 500. Default 100.
    pub items_per_page: Option<u16>,
    /// Whether the answer contains `totalCount`. Default true.
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

/// An error body (v2 specification, `ApiError`). Only a body with an `errorCode` comes from Atlas; the errors of its
/// authentication had none in 2023. The types of the other fields do not matter, so that an error stays one of Atlas if
/// one of them has another type than documented.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiError {
    #[serde(default, deserialize_with = "number")]
    error: Option<u16>,
    #[serde(default, deserialize_with = "code")]
    pub(super) error_code: String,
    #[serde(default, deserialize_with = "text")]
    pub(super) detail: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) reason: Option<String>,
}

/// A status, also one that is written as a text.
fn number<'de, D: Deserializer<'de>>(field: D) -> Result<Option<u16>, D::Error> {
    Ok(match Json::deserialize(field)?.scalar() {
        Some(Value::Number(number)) => number.as_u64().and_then(|number| number.try_into().ok()),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    })
}

fn code<'de, D: Deserializer<'de>>(field: D) -> Result<String, D::Error> {
    let code = Json::deserialize(field)?.scalar();
    Ok(code.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// A text; anything else as JSON.
fn text<'de, D: Deserializer<'de>>(field: D) -> Result<Option<String>, D::Error> {
    let field = Json::deserialize(field)?;
    Ok(match field.scalar() {
        Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        _ => Some(field.0),
    })
}

impl ApiError {
    /// Reads an error and the status that counts. An envelope always comes with a 200, and its own `status` counts.
    /// Proxies have also been seen to turn an error without an envelope into a 200.
    pub(super) fn of(status: u16, body: &[u8]) -> Option<(u16, ApiError)> {
        #[derive(Deserialize)]
        struct Envelope {
            status: u16,
            content: ApiError,
        }
        let enveloped = serde_json::from_slice::<Envelope>(body).ok();
        let (status, error) = match enveloped {
            Some(envelope) => (envelope.status, envelope.content),
            None => {
                let error = serde_json::from_slice::<ApiError>(body).ok()?;
                (error.error.filter(|_| status < 300).unwrap_or(status), error)
            }
        };
        let of_authentication = status == 401 && error.error == Some(401);
        (status >= 400 && (!error.error_code.is_empty() || of_authentication)).then_some((status, error))
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
    fn the_status_within_an_envelope_counts() {
        let enveloped = br#"{"status":404,"content":{"error":404,"errorCode":"GROUP_NOT_FOUND"}}"#;
        let bare = br#"{"error":404,"errorCode":"GROUP_NOT_FOUND","detail":null,"parameters":[]}"#;
        for (status, body) in [(200, &enveloped[..]), (200, bare), (404, bare)] {
            let found = ApiError::of(status, body).map(|(status, error)| (status, error.error_code));
            assert_eq!(found, Some((404, "GROUP_NOT_FOUND".to_owned())), "{status}");
        }
        let old = br#"{"error":401,"reason":"Unauthorized","detail":"You are not authorized."}"#;
        assert!(ApiError::of(401, old).is_some(), "Atlas's authentication, in 2023");
        assert!(ApiError::of(404, old).is_none() && ApiError::of(404, b"{}").is_none());
        let odd = br#"{"error":"400","errorCode":"INVALID_REGION","detail":{"region":"US9"},"reason":7}"#;
        let (status, error) = ApiError::of(400, odd).expect("one of Atlas, though its types are odd");
        assert_eq!((status, error.error_code.as_str()), (400, "INVALID_REGION"));
        assert_eq!(error.detail.as_deref(), Some(r#"{"region":"US9"}"#));
        assert_eq!(error.reason.as_deref(), Some("7"));
        for code in ["null", "17", "{}"] {
            let body = format!(r#"{{"error":400,"errorCode":{code},"detail":"x"}}"#);
            assert!(ApiError::of(400, body.as_bytes()).is_none(), "{code} is no code");
            let body = format!(r#"{{"error":"401","errorCode":{code},"reason":"Unauthorized"}}"#);
            assert!(ApiError::of(401, body.as_bytes()).is_some(), "{code}: of the authentication");
        }
        assert!(ApiError::of(401, br#"{"message":"who are you?"}"#).is_none());
        assert!(ApiError::of(200, br#"{"status":200,"content":{"results":[]}}"#).is_none());
        assert!(ApiError::of(200, br#"{"results":[],"errorCode":"X"}"#).is_none(), "no status says error");
    }

    /// Attack 9: whatever fills an error, only a few times the memory is taken that it has bytes.
    #[test]
    fn an_error_takes_no_more_memory_than_its_bytes() {
        for item in [r#"{"":0}"#, "[0]", "{}", "0"] {
            let filled = vec![item; (256 << 10) / (item.len() + 1)].join(",");
            for field in ["error", "errorCode", "detail", "reason", "parameters", "status", "content"] {
                let body = format!(r#"{{"error":404,"{field}":[{filled}]}}"#);
                let taken = allocation_counter::measure(|| drop(ApiError::of(404, body.as_bytes())));
                assert!(taken.bytes_max < 1 << 20, "{field} {item}: {} bytes", taken.bytes_max);
            }
        }
    }
}
