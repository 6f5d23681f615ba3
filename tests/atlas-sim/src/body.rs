//! Bodies of answers as they go over the wire, the broken ones included.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::hostile::Raw;

/// How a connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// RST.
    Reset,
    /// FIN.
    Close,
    /// Bytes that no server sends.
    Raw(Raw),
}

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the script cuts this connection")
    }
}

impl std::error::Error for Cut {}

/// The body of an answer.
pub enum Wire {
    /// All of it.
    Whole(Full<Bytes>),
    /// Some of it, then the connection breaks.
    Truncated { part: Option<Bytes>, pause: Pin<Box<Sleep>> },
    /// A JSON object that goes on and on.
    Flood { left: u64, opened: bool, closed: bool },
}

/// One piece of a flood.
const PIECE: usize = 16 * 1024;

impl Wire {
    pub fn whole(bytes: Vec<u8>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    /// The pause lets the part reach the client before the connection breaks.
    pub fn truncated(part: Bytes) -> Self {
        Self::Truncated { part: Some(part), pause: Box::pin(sleep(Duration::from_millis(50))) }
    }

    pub fn flood(bytes: u64) -> Self {
        Self::Flood { left: bytes, opened: false, closed: false }
    }
}

impl Body for Wire {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Whole(full) => {
                let frame = ready!(Pin::new(full).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never: Infallible| match never {})))
            }
            Self::Truncated { part, pause } => match part.take() {
                Some(part) if !part.is_empty() => Poll::Ready(Some(Ok(Frame::data(part)))),
                _ => {
                    ready!(pause.as_mut().poll(context));
                    Poll::Ready(Some(Err(Cut::Close)))
                }
            },
            Self::Flood { left, opened, closed } => {
                let piece = match (*opened, *left) {
                    (false, _) => Bytes::from_static(br#"{"links":[],"results":[],"filler":""#),
                    (true, 0) if *closed => return Poll::Ready(None),
                    (true, 0) => {
                        *closed = true;
                        Bytes::from_static(br#""}"#)
                    }
                    (true, rest) => {
                        let size = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
                        *left -= size as u64;
                        Bytes::from(vec![b'x'; size])
                    }
                };
                *opened = true;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(full) if full.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
