//! The listener and its connections. It runs on a thread with a runtime of its own, so that a simulator may be shared
//! by tests whose runtimes come and go, and so that paused clocks of tests do not stop it.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::body::{Cut, Wire};
use crate::handle::handle;
use crate::request::Request;
use crate::state::Shared;

/// Largest request body that is read.
const LARGEST_BODY: usize = 1024 * 1024;

/// A running server. Dropping it stops the thread and closes every connection.
pub struct Server {
    pub shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens; refuses any address but loopback, for the store can be read in clear through the admin interface.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = format!(
                "{address} is not a loopback address: the simulator shows secrets to anybody who asks"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::new(listener.local_addr()?));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("atlas-sim".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, served) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime drops all connections.
        })?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread has been printed already.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        // An error here concerns one connection (it has gone already) or a lack of descriptors, which passes.
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let number = {
            let mut state = shared.lock();
            state.counters.connections += 1;
            state.counters.connections
        };
        tokio::spawn(serve(stream, peer.ip(), number, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, ip: IpAddr, number: u64, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let (reset, raw) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
    let connection = Connection { stream, reset: Arc::clone(&reset) };
    let chosen = Arc::clone(&raw);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (shared, reset, chosen) = (Arc::clone(&shared), Arc::clone(&reset), Arc::clone(&chosen));
        Box::pin(async move {
            let answer = match read(request, ip, number).await {
                Ok(request) => handle(shared, request).await,
                Err(response) => Ok(response),
            };
            match answer {
                Err(Cut::Reset) => reset.store(true, Ordering::Relaxed),
                // A connection answers one request at a time, and this was its last.
                Err(Cut::Raw(raw)) => drop(chosen.set(raw)),
                _ => {}
            }
            answer
        })
    });
    let mut served =
        http1::Builder::new().title_case_headers(true).serve_connection(TokioIo::new(connection), service);
    // Errors are clients that went away, and cuts by script.
    let _ = poll_fn(|context| served.poll_without_shutdown(context)).await;
    let connection = served.into_parts().io.into_inner();
    if let Some(raw) = raw.get()
        && let Ok(stream) = connection.stream.as_fd().try_clone_to_owned()
    {
        raw.send(stream.into());
    }
}

/// Reads the whole request.
async fn read(
    request: hyper::Request<Incoming>,
    ip: IpAddr,
    connection: u64,
) -> Result<Request, Response<Wire>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        let mut response = Response::new(Wire::whole(b"request body too large".to_vec()));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(response);
    };
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Request {
        connection,
        ip,
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: body.to_bytes(),
    })
}

/// A connection that can be closed with RST instead of FIN.
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
