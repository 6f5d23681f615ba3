//! Limits for the API server's answers: what is kept of each ([`Sieve`]), how large one may be, and how many pages of
//! lists are read at a time. A page has a number of objects, but the metadata of an object alone may have megabytes. And
//! the lists of many namespaces all begin at once, at the start and after each restart of the API server.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame};
use hyper::{Request, Response};
use kube::Error;
use kube::client::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, Layer, Service};

use super::sieve::{Sieve, TooLarge};

/// The most bytes that are kept of a page or of a change. An object has at most a quarter of that.
const MOST_OF_A_PAGE: usize = 2 << 20;
/// The same for other answers: a Secret holds at most 1 MiB, which base64 makes longer.
const MOST_OF_AN_ANSWER: usize = 4 << 20;
/// The most bytes of a page of several objects before anything is left out. The API server has a minute for a page, and
/// must not need much of it.
const MOST_ON_THE_WIRE: usize = 16 << 20;
/// How many pages are read at a time.
const AT_A_TIME: usize = 4;

/// The turns to read a page of a list. Who has one keeps it until all objects of the page have been told.
#[derive(Clone)]
pub struct Pages(Arc<Semaphore>);

impl Default for Pages {
    fn default() -> Pages {
        Pages(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

/// One of them.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Pages {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn {
        // The semaphore is never closed.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// Leaves out of all answers what is not used, and ends those that are too large. [`is_too_large`] recognizes the error;
/// whoever asked for a page asks for fewer objects then.
pub(super) struct LimitAnswers;

pub(super) struct AnswersLimited<S>(S);

impl<S> Layer<S> for LimitAnswers {
    type Service = AnswersLimited<S>;

    fn layer(&self, inner: S) -> AnswersLimited<S> {
        AnswersLimited(inner)
    }
}

impl<S, B> Service<Request<Body>> for AnswersLimited<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let limit = query.split('&').find_map(|pair| pair.strip_prefix("limit="));
        let is_watch = query.split('&').any(|pair| pair.starts_with("watch="));
        let most = if limit.is_some() || is_watch { MOST_OF_A_PAGE } else { MOST_OF_AN_ANSWER };
        // A page of one object can't be made smaller.
        let wire = if limit.is_some_and(|limit| limit != "1") { MOST_ON_THE_WIRE } else { usize::MAX };
        // A Lease is written back whole, so all of it is read.
        let is_lease = request.uri().path().contains("/leases");
        let response = self.0.call(request);
        async move {
            let limited = |body: B| {
                let body = body.map_err(Into::into).boxed_unsync();
                if is_lease {
                    return body;
                }
                Limited { body, wire, sieve: Sieve::new(most) }.boxed_unsync()
            };
            Ok(response.await?.map(limited))
        }
        .boxed()
    }
}

/// The body of an answer.
struct Limited {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// How many bytes may still come.
    wire: usize,
    sieve: Sieve,
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            let piece = match frame.into_data() {
                Ok(piece) => piece,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            self.wire = self.wire.checked_sub(piece.len()).ok_or(TooLarge)?;
            let kept = self.sieve.sift(&piece)?;
            if !kept.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(kept))));
            }
        }
    }
}

/// Whether an answer was too large.
pub(super) fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Service(cause) if cause.is::<TooLarge>())
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

    /// So many bytes of metadata that is not used, again and again.
    static BALLAST: [u8; 64 << 10] = [b'y'; 64 << 10];

    /// An API server with these objects in each namespace.
    #[derive(Clone, Copy)]
    struct Server {
        objects: usize,
        /// How much metadata each has, in pieces of [`BALLAST`].
        ballast: usize,
        /// How long the template of each is.
        template: usize,
    }

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
            let Server { objects, ballast, template } = *self;
            let from = value("continue").unwrap_or(0);
            let to = objects.min(from + limit);
            let next = if to < objects { format!(r#""continue": "{to}", "#) } else { String::new() };
            let begin = format!(r#"{{"metadata": {{{next}"resourceVersion": "1"}}, "items": ["#);
            let item = move |number| {
                let comma = if number > from { "," } else { "" };
                let begin = format!(r#"{comma}{{"metadata": {{"labels": {{"a": ""#);
                let end = move || {
                    format!(
                        r#""}}, "name": "x-{number}", "namespace": "ns", "uid": "u-{number}", "resourceVersion": "1"}},
                        "spec": {{"webhook": {{"bodyTemplate": "{}"}}}}}}"#,
                        "z".repeat(template)
                    )
                };
                stream::iter([Bytes::from(begin)])
                    .chain(stream::repeat(Bytes::from_static(&BALLAST)).take(ballast))
                    .chain(stream::once(async move { Bytes::from(end()) }))
            };
            let parts = stream::iter([Bytes::from(begin)])
                .chain(stream::iter(from..to).flat_map(item))
                .chain(stream::iter([Bytes::from("]}")]));
            // The parts of an answer arrive one after another, while other answers arrive too.
            let frames = parts.then(|part| async {
                tokio::task::yield_now().await;
                Ok(Frame::data(part))
            });
            ready(Ok(Response::new(StreamBody::new(frames.boxed()))))
        }
    }

    /// The names of the objects that the lists of a scope show, and the most bytes that this took.
    fn listed(scope: &Scope, server: Server) -> (Vec<String>, u64) {
        let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let mut names = Vec::new();
        let taken = allocation_counter::measure(|| {
            runtime.block_on(async {
                let client = Client::new(LimitAnswers.layer(server), "ns");
                let mut events = watch_objects(&client, &Pages::default(), scope, None, defaults);
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

    fn names(objects: usize) -> Vec<String> {
        (0..objects).map(|number| format!("x-{number}")).collect()
    }

    /// A tenant may create objects with as much metadata as the API server takes, and many of them.
    #[test]
    fn metadata_takes_no_memory() {
        let server = Server { objects: 50, ballast: 24, template: 0 };
        let (found, most) = listed(&Scope::All, server);
        assert_eq!(found, names(server.objects));
        assert!(most < 1 << 20, "{most} bytes");
    }

    /// An API server that stores more than usual, or writes each character as six: such an object must not keep the list
    /// from being completed.
    #[test]
    fn an_object_that_is_larger_than_a_page_is_read() {
        let server = Server { objects: 3, ballast: 1 + MOST_ON_THE_WIRE / BALLAST.len(), template: 0 };
        let (found, most) = listed(&Scope::All, server);
        assert_eq!(found, names(server.objects));
        assert!(most < 1 << 20, "{most} bytes");
    }

    #[test]
    fn the_lists_of_many_namespaces_are_not_read_all_at_once() {
        const NAMESPACES: usize = 40;
        let server = Server { objects: 100, ballast: 0, template: 16 << 10 };
        let scope = Scope::Namespaces((0..NAMESPACES).map(|number| format!("tenant-{number}")).collect());
        let (found, most) = listed(&scope, server);
        assert_eq!(found.len(), NAMESPACES * server.objects);
        assert!(most < 16 << 20, "{most} bytes for {NAMESPACES} lists");
    }

    #[test]
    fn a_list_whose_pages_keep_too_much_is_read_in_smaller_pages() {
        let server = Server { objects: 100, ballast: 0, template: 100 << 10 };
        let (found, most) = listed(&Scope::All, server);
        assert_eq!(found, names(server.objects));
        assert!(most < 8 << 20, "{most} bytes");
    }
}
