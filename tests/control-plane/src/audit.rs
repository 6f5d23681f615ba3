//! What kube-apiserver answered, and to whom, read from its audit log.
//!
//! This is the server's side of the story: a test can count the writes of a user, whatever the client
//! believes it sent. Requests are there when they are answered; bodies are not recorded.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

use crate::Error;

/// A place in the audit log: everything before it has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPosition(u64);

/// One answered request (or, with [`stage`](Self::stage) `ResponseStarted`, one watch that was opened). What
/// does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked, e.g. `admin` or `system:serviceaccount:default:operator`.
    pub user: String,
    /// The groups of the user.
    pub groups: Vec<String>,
    /// The client's name of itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or the HTTP method
    /// in lower case for what is no resource.
    pub verb: String,
    /// The API group, empty for the core.
    pub api_group: String,
    /// The resource in the plural, e.g. `secrets`.
    pub resource: String,
    /// E.g. `status`.
    pub subresource: String,
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object; empty for lists and, with a generated name, for `create`.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// `ResponseComplete`, `ResponseStarted` (long requests) or `Panic`.
    pub stage: String,
    /// Path and query of the request.
    pub uri: String,
    /// When it was received (RFC 3339, microseconds).
    pub received: String,
}

impl AuditEvent {
    /// Whether it asked for a change, allowed or not: see [`code`](Self::code) for the answer.
    pub fn is_write(&self) -> bool {
        matches!(&*self.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    fn from_json(event: &Value) -> AuditEvent {
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let groups = event.pointer("/user/groups").and_then(Value::as_array);
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64);
        AuditEvent {
            user: text("/user/username"),
            groups: groups.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            user_agent: text("/userAgent"),
            verb: text("/verb"),
            api_group: text("/objectRef/apiGroup"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            code: code.and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
            stage: text("/stage"),
            uri: text("/requestURI"),
            received: text("/requestReceivedTimestamp"),
        }
    }
}

/// The events after `from`, and the position behind the last one.
pub(crate) fn read(path: &Path, from: AuditPosition) -> Result<(Vec<AuditEvent>, AuditPosition), Error> {
    let text = complete_lines(path, from)?;
    let mut events = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event = serde_json::from_slice(line)
            .map_err(|error| Error::Content { path: path.to_path_buf(), detail: error.to_string() })?;
        events.push(AuditEvent::from_json(&event));
    }
    Ok((events, AuditPosition(from.0 + text.len() as u64)))
}

/// The position behind the last event.
pub(crate) fn end(path: &Path) -> Result<AuditPosition, Error> {
    Ok(AuditPosition(complete_lines(path, AuditPosition::default())?.len() as u64))
}

fn complete_lines(path: &Path, from: AuditPosition) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let mut load = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from.0))?;
        file.read_to_end(&mut text).map(drop)
    };
    load().map_err(Error::io("reading", path))?;
    // A line without its end is still being written.
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_lines_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let line = |verb: &str| {
            format!(
                r#"{{"stage":"ResponseComplete","requestURI":"/api","verb":"{verb}","user":{{"username":"u","groups":["g"]}},"objectRef":{{"resource":"secrets","namespace":"n","name":"x"}},"responseStatus":{{"code":403}}}}"#
            )
        };
        std::fs::write(&path, format!("{}\n{}", line("get"), line("patch"))).unwrap();
        let (events, position) = read(&path, AuditPosition::default()).unwrap();
        assert_eq!(events.len(), 1);
        assert!(!events[0].is_write());
        assert_eq!((&*events[0].user, &*events[0].groups[0], events[0].code), ("u", "g", 403));
        std::fs::write(&path, format!("{}\n{}\n", line("get"), line("patch"))).unwrap();
        let (events, end) = read(&path, position).unwrap();
        assert_eq!(events.len(), 1);
        assert!(events[0].is_write());
        assert_eq!(read(&path, end).unwrap(), (vec![], end));
        assert_eq!(super::end(&path).unwrap(), end);
    }

    #[test]
    fn a_broken_line_is_no_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "no json\n").unwrap();
        assert!(matches!(read(&path, AuditPosition::default()), Err(Error::Content { .. })));
        assert!(read(&folder.path().join("none"), AuditPosition::default()).is_err());
    }
}
