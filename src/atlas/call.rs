//! One call: its address, its name in messages, and how its answer is read.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Method;
use hyper::body::{Body, Bytes};
use hyper::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use url::Url;

use super::challenges::answerable;
use super::error_table::On;
use super::errors::Unanswered;
use super::http::Response;
use super::version::ApiVersion;
use super::wire::PageOptions;
use crate::domain::{Failure, FailureKind, Integration, IntegrationType, ProjectId, SecretValue};

/// The part of an answer that comes before its body.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// Whether the server asks for digest authentication, as Atlas does.
    pub(super) challenged: bool,
}

impl Head {
    pub(super) fn of(response: &Response) -> Head {
        Head {
            status: response.status().as_u16(),
            retry_after: retry_after(response),
            challenged: answerable(response.headers()).is_some(),
        }
    }
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) on: On,
    pub(super) project: &'a ProjectId,
    pub(super) kind: Option<IntegrationType>,
    pub(super) version: ApiVersion,
    pub(super) options: PageOptions,
    pub(super) body: Option<&'a Integration<SecretValue>>,
}

impl Call<'_> {
    /// The name of the call in messages.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Some(kind) => format!("{} {kind} of project {}", self.method, self.project),
            None => format!("LIST of project {}", self.project),
        }
    }

    /// The name of the method in metrics.
    pub(super) fn method_name(&self) -> &'static str {
        match (self.kind, &self.method) {
            (None, _) => "LIST",
            (_, &Method::POST) => "POST",
            (_, &Method::PUT) => "PUT",
            _ => "DELETE",
        }
    }

    /// `{base}/api/atlas/{version}/groups/{project}/integrations[/{type}][?query]`. Only checked ids and closed
    /// enums reach the path.
    pub(super) fn url(&self, base: &Url) -> Result<Url, Failure> {
        let mut url = base.clone();
        {
            let mut segments = url.path_segments_mut().map_err(|()| {
                Failure::known(
                    FailureKind::Unavailable,
                    "--atlas-url can't be a base for paths; give https://host",
                )
            })?;
            segments.pop_if_empty().extend([
                "api",
                "atlas",
                self.version.path(),
                "groups",
                &self.project.to_string(),
                "integrations",
            ]);
            segments.extend(self.kind.map(IntegrationType::as_str));
        }
        let pairs = self.options.pairs();
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }
}

/// Why a body could not be read.
pub(super) enum BodyFault {
    TooLarge,
    Cut(Unanswered),
}

/// Reads the body, up to `max` bytes. Its pieces are copied: each holds the whole buffer that it was read into.
pub(super) async fn read<B>(body: B, max: usize) -> Result<Vec<u8>, BodyFault>
where
    B: Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Unpin,
{
    let (mut body, mut bytes) = (Limited::new(body, max), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let too_large = error.is::<LengthLimitError>();
            if too_large { BodyFault::TooLarge } else { BodyFault::Cut(Unanswered::broken(&*error)) }
        })?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |piece| piece));
    }
    Ok(bytes)
}

/// `Retry-After`, either in whole seconds, which Atlas documents, or as a date, the other form that HTTP allows.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    wait(response.headers().get(RETRY_AFTER)?.to_str().ok()?, Timestamp::now())
}

fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let date = || rfc2822::parse(text).ok().map(|date| date.timestamp().duration_since(now));
    let wait = seconds.or_else(|| date().map(|left| Duration::try_from(left).unwrap_or_default()));
    // An hour is more than any documented limit. A proxy's mistake must not stop a project for a year.
    wait.map(|wait| wait.min(Duration::from_secs(3_600)))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn call(
        kind: Option<IntegrationType>,
        version: ApiVersion,
        options: PageOptions,
        project: &ProjectId,
    ) -> Call<'_> {
        Call { method: Method::GET, on: On::List, project, kind, version, options, body: None }
    }

    #[test]
    fn urls_are_those_of_the_create_page() {
        let project = ProjectId::parse("5d791c84ff7a2522cc4f9aa1").expect("24 digits");
        let base = Url::parse("https://cloud.mongodb.com").expect("a URL");
        let flowdock =
            call(Some(IntegrationType::Flowdock), ApiVersion::V1, PageOptions::default(), &project);
        assert_eq!(
            flowdock.url(&base).map(String::from),
            Ok("https://cloud.mongodb.com/api/atlas/v1.0/groups/5d791c84ff7a2522cc4f9aa1/integrations/FLOWDOCK".into())
        );
        let options = PageOptions { items_per_page: Some(500), ..PageOptions::default() };
        let base = Url::parse("http://127.0.0.1:1/atlas/").expect("a URL");
        assert_eq!(
            call(None, ApiVersion::V2, options, &project).url(&base).map(String::from),
            Ok("http://127.0.0.1:1/atlas/api/atlas/v2/groups/5d791c84ff7a2522cc4f9aa1/integrations?itemsPerPage=500".into())
        );
    }

    /// However small the pieces, and whatever they are a part of.
    #[test]
    fn a_body_takes_no_more_memory_than_its_bytes() {
        const PIECES: usize = 10_000;
        let pieces = (0..PIECES).map(|_| {
            let buffer = Bytes::from(vec![b'1'; 8 << 10]);
            Ok::<_, std::io::Error>(Frame::data(buffer.slice(..1)))
        });
        let body = StreamBody::new(futures::stream::iter(pieces));
        let mut read_bytes = None;
        let memory = allocation_counter::measure(|| {
            read_bytes = read(body, 1 << 20).now_or_never();
        });
        assert!(matches!(read_bytes, Some(Ok(bytes)) if bytes == [b'1'; PIECES]));
        assert!(memory.bytes_max < 100 << 10, "{memory:?}");
    }

    #[test]
    fn a_body_is_read_up_to_the_limit() {
        let read = |max| read(Full::new(Bytes::from_static(b"12345")), max).now_or_never();
        assert!(matches!(read(5), Some(Ok(bytes)) if bytes == b"12345"));
        assert!(matches!(read(4), Some(Err(BodyFault::TooLarge))));
    }

    #[test]
    fn waits_are_seconds_or_dates() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let seconds = |text| wait(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Tue, 24 Nov 2026 12:00:30 GMT"), Some(30));
        assert_eq!(seconds("Tue, 24 Nov 2026 11:00:00 GMT"), Some(0), "over already");
        assert_eq!(seconds("31536000"), Some(3_600));
        assert_eq!(seconds("soon"), None);
    }
}
