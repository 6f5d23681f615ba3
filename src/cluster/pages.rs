//! A limit for the pages of lists. What users store bounds the number of objects in a page no better than the number of
//! bytes: an object may have a mebibyte, of annotations for example, and a Secret's metadata a quarter of one.

use std::task::{Context, Poll};

use futures::TryFutureExt;
use futures::future::MapOk;
use http_body_util::{LengthLimitError, Limited};
use hyper::{Request, Response};
use kube::Error;
use kube::client::Body;
use tower::{Layer, Service};

/// The most bytes of a page. 500 usual objects have 2 MiB. The largest possible object fits several times.
const MAX_BYTES: usize = 8 << 20;

/// Ends the answer to a request for a page that has too many bytes. [`is_too_large`] recognizes the error; whoever asked
/// asks for fewer objects then.
pub(super) struct LimitPages;

#[derive(Clone)]
pub(super) struct PagesLimited<S>(S);

impl<S> Layer<S> for LimitPages {
    type Service = PagesLimited<S>;

    fn layer(&self, inner: S) -> PagesLimited<S> {
        PagesLimited(inner)
    }
}

impl<S, B> Service<Request<Body>> for PagesLimited<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = Response<Limited<B>>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<B>) -> Response<Limited<B>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let is_page = query.split('&').any(|pair| pair.starts_with("limit="));
        let limited: fn(Response<B>) -> Response<Limited<B>> = if is_page {
            |response| response.map(|body| Limited::new(body, MAX_BYTES))
        } else {
            |response| response.map(|body| Limited::new(body, usize::MAX))
        };
        self.0.call(request).map_ok(limited)
    }
}

/// Whether a page had too many bytes.
pub(super) fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Service(cause) if cause.is::<LengthLimitError>())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use bytes::Bytes;
    use futures::StreamExt;
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use kube::Client;

    use super::*;
    use crate::cluster::{Defaults, Scope, WatchEvent, watch_objects};
    use crate::domain::{AdoptionPolicy, DeletionPolicy};

    /// An API server with many objects, each as large as an annotation may be.
    #[derive(Clone)]
    struct Server;

    const OBJECTS: usize = 100;

    impl Service<Request<Body>> for Server {
        type Response = Response<StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let value = |name: &str| {
                let pairs = request.uri().query().unwrap_or_default().split('&');
                pairs.filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name)?.1.parse().ok()
            };
            let Some(limit) = value("limit") else {
                return ready(Ok(Response::new(StreamBody::new(stream::pending().boxed()))));
            };
            let from = value("continue").unwrap_or(0);
            let to = OBJECTS.min(from + limit);
            let next = if to < OBJECTS { format!(r#""continue": "{to}", "#) } else { String::new() };
            let begin = format!(r#"{{"metadata": {{{next}"resourceVersion": "1"}}, "items": ["#);
            let item = move |number| {
                let comma = if number > from { "," } else { "" };
                let note = "y".repeat(250 << 10);
                format!(
                    r#"{comma}{{"metadata": {{"name": "x-{number}", "namespace": "ns", "uid": "u-{number}",
                    "resourceVersion": "1", "annotations": {{"note": "{note}"}}}}}}"#
                )
            };
            let parts = stream::iter([begin])
                .chain(stream::iter(from..to).map(item))
                .chain(stream::iter(["]}".to_owned()]));
            let frames = parts.map(|part| Ok(Frame::data(Bytes::from(part))));
            ready(Ok(Response::new(StreamBody::new(frames.boxed()))))
        }
    }

    /// The names of the objects that a list shows.
    async fn listed() -> Vec<String> {
        let client = Client::new(LimitPages.layer(Server), "ns");
        let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
        let mut events = watch_objects(&client, &Scope::All, None, defaults);
        let mut names = Vec::new();
        loop {
            match events.next().await.expect("an event") {
                WatchEvent::Present { item, .. } => names.push(item.object.key.name.to_string()),
                WatchEvent::ListComplete { .. } => return names,
                WatchEvent::Failed { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }

    /// A tenant may create objects that are as large as the API server takes, and many of them.
    #[test]
    fn a_list_of_large_objects_is_read_in_smaller_pages() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let mut names = Vec::new();
        let taken = allocation_counter::measure(|| names = runtime.block_on(listed()));
        let expected: Vec<String> = (0..OBJECTS).map(|number| format!("x-{number}")).collect();
        assert_eq!(names, expected);
        let most = taken.bytes_max >> 20;
        assert!(most < 24, "{most} MiB for a list whose pages have at most {} MiB", MAX_BYTES >> 20);
    }
}
