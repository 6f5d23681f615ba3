//! Answers that no server gives: bytes chosen by whoever answers in Atlas's place. Each is sent by a thread of its own as
//! fast as it is read, so that the simulator serves the others meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a client may leave the bytes unread.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(20);
/// How many bytes are sent at once.
const PIECE: usize = 64 << 10;

/// A page with one integration, which no project has.
macro_rules! marked {
    () => {
        "{\"results\":[{\"type\":\"PAGER_DUTY\"}]}"
    };
}

/// What is sent in place of an answer. Nothing is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Raw {
    /// `102 Processing` again and again, and never the answer.
    EndlessInterim,
    /// Headers again and again.
    EndlessHeaders,
    /// One header without an end.
    EndlessHeader,
    /// A head of which a byte comes now and then.
    Drip,
    /// A chunk whose extension has no end.
    EndlessExtension,
    /// Chunks of one byte, without an end.
    OneByteChunks,
    /// An empty page in chunks, and trailers without an end.
    EndlessTrailers,
    /// A body without an end.
    EndlessBody,
    /// An empty page in chunks, with a `Content-Length` that is longer, and behind it an answer that nobody asked for.
    LengthAndChunks,
    /// An empty page, and behind it an answer that nobody asked for.
    SecondAnswer,
    /// `101 Switching Protocols`.
    SwitchingProtocols,
}

impl Raw {
    /// The beginning, and what is repeated behind it until the client goes.
    fn bytes(self) -> (&'static str, &'static str) {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        match self {
            Raw::EndlessInterim => ("", "HTTP/1.1 102 Processing\r\n\r\n"),
            Raw::EndlessHeaders => (HEAD, "X-Filler: a\r\n"),
            Raw::EndlessHeader | Raw::Drip => ("HTTP/1.1 200 OK\r\nX-Filler: ", "a"),
            Raw::EndlessExtension => ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "a"),
            Raw::OneByteChunks => ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
            Raw::EndlessTrailers => (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"results\":[]}\r\n0\r\n",
                "X-Filler: a\r\n",
            ),
            Raw::EndlessBody => ("HTTP/1.1 200 OK\r\n\r\n", " "),
            Raw::LengthAndChunks => (
                concat!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 90\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "e\r\n{\"results\":[]}\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n",
                    marked!()
                ),
                "",
            ),
            Raw::SecondAnswer => (
                concat!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[]}",
                    "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n",
                    marked!()
                ),
                "",
            ),
            Raw::SwitchingProtocols => {
                ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "")
            }
        }
    }

    /// Sends it, until the client closes the connection.
    pub(crate) fn send(self, stream: TcpStream) {
        // It ends with the client, so nobody waits for it; without a thread the connection ends at once.
        let _ = thread::Builder::new().name("hostile".to_owned()).spawn(move || {
            let _ = self.write(stream);
        });
    }

    fn write(self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (start, then) = self.bytes();
        stream.write_all(start.as_bytes())?;
        if then.is_empty() {
            // The client may send further requests, which get no answer.
            return std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ());
        }
        let piece = if self == Raw::Drip { then.to_owned() } else { then.repeat(PIECE / then.len()) };
        loop {
            stream.write_all(piece.as_bytes())?;
            if self == Raw::Drip {
                thread::sleep(DRIP);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Raw;

    #[test]
    fn the_announced_lengths_are_right() {
        assert_eq!(marked!().len(), 35);
        assert!(Raw::SecondAnswer.bytes().0.contains("Content-Length: 14\r\n\r\n{\"results\":[]}HTTP"));
        assert_eq!("{\"results\":[]}".len(), 0xe);
    }
}
