//! Limits for the pages of lists: how large one may be, and how many may be read at a time. A page has a number of
//! objects, but an object may have a mebibyte, of annotations for example, and a Secret's metadata a quarter of one. And
//! the lists of many namespaces all begin at once, at the start and after each restart of the API server.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Request, Response};
use kube::Error;
use kube::client::Body;
use tokio::sync::Semaphore;
use tower::{BoxError, Layer, Service};

/// The most bytes of a page. 500 usual objects have 2 MiB. The largest possible object fits several times.
const MAX_BYTES: usize = 8 << 20;
/// How many pages are read at a time.
const AT_A_TIME: usize = 8;

/// Lets pages wait for their turn, and ends the answer to a request for a page that has too many bytes. [`is_too_large`]
/// recognizes the error; whoever asked asks for fewer objects then.
pub(super) struct LimitPages;

pub(super) struct PagesLimited<S> {
    inner: S,
    turns: Arc<Semaphore>,
}

impl<S> Layer<S> for LimitPages {
    type Service = PagesLimited<S>;

    fn layer(&self, inner: S) -> PagesLimited<S> {
        PagesLimited { inner, turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl<S, B> Service<Request<Body>> for PagesLimited<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let is_page = query.split('&').any(|pair| pair.starts_with("limit="));
        // Nothing is sent before this is polled.
        let response = self.inner.call(request);
        let turns = Arc::clone(&self.turns);
        async move {
            if !is_page {
                return Ok(response.await?.map(|body| body.map_err(Into::into).boxed_unsync()));
            }
            // The semaphore is never closed.
            let turn = turns.acquire_owned().await.ok();
            let limited = |body| {
                let frame = move |frame| {
                    // The turn lasts as long as the body.
                    let _ = &turn;
                    frame
                };
                Limited::new(body, MAX_BYTES).map_frame(frame).boxed_unsync()
            };
            Ok(response.await?.map(limited))
        }
        .boxed()
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

    use futures::StreamExt;
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use kube::Client;

    use super::*;
    use crate::cluster::{Defaults, Scope, WatchEvent, watch_objects};
    use crate::domain::{AdoptionPolicy, DeletionPolicy};

    /// An API server with so many objects in each namespace, each as large as an annotation may be.
    struct Server(usize);

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
            let objects = self.0;
            let from = value("continue").unwrap_or(0);
            let to = objects.min(from + limit);
            let next = if to < objects { format!(r#""continue": "{to}", "#) } else { String::new() };
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
            // The parts of an answer arrive one after another, while other answers arrive too.
            let frames = parts.then(|part| async {
                tokio::task::yield_now().await;
                Ok(Frame::data(Bytes::from(part)))
            });
            ready(Ok(Response::new(StreamBody::new(frames.boxed()))))
        }
    }

    /// The names of the objects that the lists of a scope show, and the most bytes that this took.
    fn listed(scope: &Scope, objects: usize) -> (Vec<String>, u64) {
        let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let mut names = Vec::new();
        let taken = allocation_counter::measure(|| {
            runtime.block_on(async {
                let client = Client::new(LimitPages.layer(Server(objects)), "ns");
                let mut events = watch_objects(&client, scope, None, defaults);
                let mut complete = 0;
                while complete < scope.lists() {
                    match events.next().await.expect("an event") {
                        WatchEvent::Present { item, .. } => names.push(item.object.key.name.to_string()),
                        WatchEvent::ListComplete { .. } => complete += 1,
                        WatchEvent::Failed { message, .. } => panic!("{message}"),
                        _ => {}
                    }
                }
            });
        });
        (names, taken.bytes_max)
    }

    /// A tenant may create objects that are as large as the API server takes, and many of them.
    #[test]
    fn a_list_of_large_objects_is_read_in_smaller_pages() {
        const OBJECTS: usize = 100;
        let (names, most) = listed(&Scope::All, OBJECTS);
        let expected: Vec<String> = (0..OBJECTS).map(|number| format!("x-{number}")).collect();
        assert_eq!(names, expected);
        assert!(most < 24 << 20, "{most} bytes for a list whose pages have at most {MAX_BYTES}");
    }

    #[test]
    fn the_lists_of_many_namespaces_are_not_read_all_at_once() {
        const NAMESPACES: usize = 40;
        const OBJECTS: usize = 8;
        let scope = Scope::Namespaces((0..NAMESPACES).map(|number| format!("tenant-{number}")).collect());
        let (names, most) = listed(&scope, OBJECTS);
        assert_eq!(names.len(), NAMESPACES * OBJECTS);
        assert!(most < 48 << 20, "{most} bytes for {NAMESPACES} lists of {OBJECTS} objects");
    }
}
