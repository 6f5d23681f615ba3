//! Versions: which of them are served, and the `Accept` header of v2.
//!
//! Documentation: versioned API. A date resolves to the newest version that is not later; these endpoints have one
//! version only, 2023-01-01 (Atlas Admin API v2 spec).

use crate::error::ApiError;
use crate::exchange::Api;
use crate::request::Request;
use crate::settings::{Serve, Settings};

/// The only version of the endpoints.
const VERSION: &str = "2023-01-01";

/// The switch for this interface.
pub fn serve(api: Api, settings: &Settings) -> Serve {
    match api {
        Api::V1 => settings.serve_v1,
        Api::V2 => settings.serve_v2,
        Api::OAuth | Api::Other => Serve::Yes,
    }
}

/// The content type of answers, if the request asks for a version that there is.
pub fn negotiate(request: &Request, api: Api, settings: &Settings) -> Result<String, ApiError> {
    match serve(api, settings) {
        Serve::Yes => {}
        Serve::ResourceNotFound | Serve::ForeignNotFound => {
            return Err(ApiError::resource_not_found(&request.path));
        }
        Serve::VersionGone => return Err(ApiError::version_gone(VERSION, &request.path)),
        Serve::InvalidVersionDate => {
            return Err(ApiError::invalid_version_date(settings.missing_accept_status));
        }
    }
    if api != Api::V2 {
        return Ok("application/json".to_owned());
    }
    let accepted = request.header("accept").unwrap_or_default();
    let known = |range: &str| date(range).is_some_and(|date| date >= VERSION);
    if accepted.split(',').any(known) {
        Ok(format!("application/vnd.atlas.{VERSION}+json;charset=utf-8"))
    } else {
        Err(ApiError::invalid_version_date(settings.missing_accept_status))
    }
}

/// The date of a media range like `application/vnd.atlas.2023-01-01+json`.
fn date(range: &str) -> Option<&str> {
    let media_type = range.split(';').next().unwrap_or_default().trim();
    let date = media_type.strip_prefix("application/vnd.atlas.")?.strip_suffix("+json")?;
    let mut parts = date.split('-');
    let mut number = |digits: usize, most: u32| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.parse::<u32>().ok().filter(|number| (1..=most).contains(number))
    };
    let valid = number(4, 9999).is_some() && number(2, 12).is_some() && number(2, 31).is_some();
    (valid && parts.next().is_none()).then_some(date)
}

/// POST and PUT must name a JSON content type (documentation: API reference); v2 takes plain JSON as well.
pub fn check_content_type(request: &Request) -> Result<(), ApiError> {
    let value = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let is_json = media_type == "application/json"
        || (media_type.starts_with("application/vnd.atlas.") && media_type.ends_with("+json"));
    if is_json { Ok(()) } else { Err(ApiError::unsupported_media_type()) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::date;

    #[rstest]
    #[case("application/vnd.atlas.2023-01-01+json", Some("2023-01-01"))]
    #[case(" application/vnd.atlas.2025-03-12+json;q=0.5", Some("2025-03-12"))]
    #[case("application/vnd.atlas.2023-13-01+json", None)]
    #[case("application/vnd.atlas.2023-01+json", None)]
    #[case("application/vnd.atlas.2023-01-01-02+json", None)]
    #[case("application/json", None)]
    #[case("*/*", None)]
    fn dates_are_read_from_media_types(#[case] range: &str, #[case] wanted: Option<&str>) {
        assert_eq!(date(range), wanted);
    }
}
