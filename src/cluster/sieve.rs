//! Leaves out of the API server's answers, while they arrive, what the operator does not use. Whoever may create a Secret
//! may give it megabytes of owner references, and as many in managed fields and finalizers. So an answer is never
//! collected or decoded as it comes: memory is taken only for what is kept.

use bytes::Bytes;

use crate::api::{
    CLAIM_ANNOTATION, PROJECT_IDS_ANNOTATION, RECONCILE_ANNOTATION, RELEASED_ANNOTATION, REWRITE_ANNOTATION,
};

/// How many finalizers of an object are read. One more is kept, which shows that there are too many.
pub(super) const MOST_FINALIZERS: usize = 64;
/// The most bytes of an annotation of ours on an object, as JSON. Those that the operator writes are much shorter.
const MOST_OF_A_NOTE: usize = 64 << 10;
/// The same for the projects that a Namespace is granted: as long as all annotations together may be.
const MOST_OF_A_GRANT: usize = 256 << 10;
/// Nothing that is used has a longer name.
const LONGEST_NAME: usize = 64;
/// How many bytes a sieve may keep for the next piece that have no use before. A watch lasts long.
const USUAL: usize = 4 << 10;

/// A part of an answer, by what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The answer, an item of a list, or the object of a change.
    Object,
    Items,
    Metadata,
    Finalizers,
    Annotations,
    /// It is kept as it is.
    Whole,
    /// It is kept if it has at most so many bytes.
    UpTo(usize),
    /// It is left out.
    Nothing,
}

impl Part {
    /// The member of this name.
    fn member(self, name: &[u8]) -> Part {
        match (self, name) {
            (Part::Object, b"items") => Part::Items,
            (Part::Object, b"object") => Part::Object,
            (Part::Object, b"metadata") => Part::Metadata,
            (Part::Object, _) => Part::Whole,
            (Part::Metadata, b"finalizers") => Part::Finalizers,
            (Part::Metadata, b"annotations") => Part::Annotations,
            (
                Part::Metadata,
                b"name" | b"namespace" | b"uid" | b"resourceVersion" | b"generation" | b"creationTimestamp"
                | b"deletionTimestamp" | b"continue",
            ) => Part::Whole,
            (Part::Annotations, name) if name == PROJECT_IDS_ANNOTATION.as_bytes() => {
                Part::UpTo(MOST_OF_A_GRANT)
            }
            (Part::Annotations, name)
                if [CLAIM_ANNOTATION, RELEASED_ANNOTATION, RECONCILE_ANNOTATION, REWRITE_ANNOTATION]
                    .iter()
                    .any(|own| name == own.as_bytes()) =>
            {
                Part::UpTo(MOST_OF_A_NOTE)
            }
            _ => Part::Nothing,
        }
    }

    /// The next item, if it is a list of which so many items were kept.
    fn item(self, kept: usize) -> Option<Part> {
        match self {
            Part::Items => Some(Part::Object),
            Part::Finalizers if kept > MOST_FINALIZERS => Some(Part::Nothing),
            Part::Finalizers => Some(Part::Whole),
            _ => None,
        }
    }

    /// The bracket with which it begins if it has members or items.
    fn bracket(self) -> Option<u8> {
        match self {
            Part::Object | Part::Metadata | Part::Annotations => Some(b'{'),
            Part::Items | Part::Finalizers => Some(b'['),
            Part::Whole | Part::UpTo(_) | Part::Nothing => None,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A member or an item of the part that is open, or a document.
    Begin,
    /// More of the name of a member.
    Name,
    /// The colon after it.
    Colon,
    /// The value of a member, or an item.
    Value(Part),
    /// More of a value that is kept or left out as a whole.
    Inside { keep: bool },
}

/// Takes an answer in pieces: one JSON document, or several after one another, as a watch sends them. What is no JSON
/// passes, for whoever parses it to tell.
pub(super) struct Sieve {
    /// The most bytes that are kept of a document.
    most: usize,
    /// The parts that are open, from outside to inside, and how many members or items of each were kept.
    open: Vec<(Part, usize)>,
    next: Next,
    /// The name of the member that is read.
    name: Vec<u8>,
    /// What is kept and not told yet.
    out: Vec<u8>,
    /// Where in it the member begins that is only kept up to a length, and where it may end.
    held: Option<(usize, usize)>,
    /// How many bytes of the document have been told.
    told: usize,
    /// Where in `out` the document begins or continues.
    begun: usize,
    /// Of a value that is kept or left out as a whole: how many brackets are open, whether a string is, and whether its
    /// next character is escaped. The last two also count for a name.
    depth: usize,
    string: bool,
    escaped: bool,
}

/// More of a document would have to be kept than is allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is too large")]
pub(super) struct TooLarge;

impl Sieve {
    /// For an answer of whose documents at most so many bytes are kept.
    pub fn new(most: usize) -> Sieve {
        Sieve {
            most,
            open: Vec::new(),
            next: Next::Begin,
            name: Vec::new(),
            out: Vec::new(),
            held: None,
            told: 0,
            begun: 0,
            depth: 0,
            string: false,
            escaped: false,
        }
    }

    /// Takes the next piece. Returns what is kept of it, which may be nothing, and may belong to an earlier piece.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn sift(&mut self, mut piece: &[u8]) -> Result<Bytes, TooLarge> {
        while let Some(byte) = piece.first().copied() {
            let used = match self.next {
                Next::Begin => self.begin(byte),
                Next::Name => self.name(byte),
                Next::Colon => self.colon(byte),
                Next::Value(part) => self.value(part, byte),
                Next::Inside { keep } => self.inside(keep, piece),
            };
            piece = &piece[used..];
        }
        let ready = self.held.map_or(self.out.len(), |(from, _)| from);
        self.told += ready - self.begun;
        if self.told > self.most {
            return Err(TooLarge);
        }
        // A copy, so that it takes as much memory as it is long.
        let kept = Bytes::copy_from_slice(&self.out[..ready]);
        self.out.drain(..ready);
        self.out.shrink_to(USUAL);
        self.held = self.held.map(|(from, to)| (0, to - from));
        self.begun = 0;
        Ok(kept)
    }

    /// The functions for what comes next return how many bytes they used.
    fn begin(&mut self, byte: u8) -> usize {
        let Some((part, kept)) = self.open.last().copied() else {
            self.out.push(byte);
            if byte == b'{' {
                self.open.push((Part::Object, 0));
            }
            return 1;
        };
        match byte {
            b'}' | b']' => {
                self.out.push(byte);
                self.open.pop();
                if self.open.is_empty() {
                    (self.told, self.begun) = (0, self.out.len());
                }
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => match part.item(kept) {
                Some(item) => {
                    self.next = Next::Value(item);
                    return 0;
                }
                None if byte == b'"' => {
                    self.name.clear();
                    self.next = Next::Name;
                }
                // No JSON.
                None => self.out.push(byte),
            },
        }
        1
    }

    fn name(&mut self, byte: u8) -> usize {
        match byte {
            b'"' if !self.escaped => self.next = Next::Colon,
            // One byte more, by which it is no name that is used.
            _ if self.name.len() <= LONGEST_NAME => self.name.push(byte),
            _ => {}
        }
        self.escaped = byte == b'\\' && !self.escaped;
        1
    }

    fn colon(&mut self, byte: u8) -> usize {
        if byte == b':' {
            let part = self.open.last().map_or(Part::Nothing, |(part, _)| part.member(&self.name));
            let is_known = self.name.len() <= LONGEST_NAME;
            self.next = Next::Value(if is_known { part } else { Part::Nothing });
        }
        1
    }

    fn value(&mut self, part: Part, byte: u8) -> usize {
        if byte.is_ascii_whitespace() {
            return 1;
        }
        let from = self.out.len();
        if part != Part::Nothing
            && let Some((of, kept)) = self.open.last_mut()
        {
            if *kept > 0 {
                self.out.push(b',');
            }
            *kept += 1;
            if of.bracket() == Some(b'{') {
                self.out.push(b'"');
                self.out.extend_from_slice(&self.name);
                self.out.extend_from_slice(b"\":");
            }
        }
        if part.bracket() == Some(byte) {
            self.out.push(byte);
            self.open.push((part, 0));
            self.next = Next::Begin;
            return 1;
        }
        if let Part::UpTo(most) = part {
            self.held = Some((from, self.out.len() + most));
        }
        self.next = Next::Inside { keep: part != Part::Nothing };
        0
    }

    fn inside(&mut self, keep: bool, piece: &[u8]) -> usize {
        let (used, is_end) = self.rest_of_value(piece);
        if keep {
            self.out.extend_from_slice(&piece[..used]);
        }
        if is_end {
            self.next = Next::Begin;
        }
        if let Some((from, to)) = self.held {
            if self.out.len() > to {
                self.out.truncate(from);
                if let Some((_, kept)) = self.open.last_mut() {
                    *kept -= 1;
                }
                self.held = None;
                if !is_end {
                    self.next = Next::Inside { keep: false };
                }
            } else if is_end {
                self.held = None;
            }
        }
        used
    }

    /// How many bytes of a piece belong to a value that has begun, and whether it ends with them.
    fn rest_of_value(&mut self, piece: &[u8]) -> (usize, bool) {
        let (mut at, mut is_end) = (0, false);
        let (mut depth, mut string, mut escaped) = (self.depth, self.string, self.escaped);
        while at < piece.len() && !is_end {
            let byte = piece[at];
            if escaped {
                escaped = false;
            } else if string {
                escaped = byte == b'\\';
                string = byte != b'"';
                is_end = !string && depth == 0;
            } else {
                match byte {
                    b'"' => string = true,
                    b'{' | b'[' => depth += 1,
                    // The end of a number, or of another value without brackets.
                    b'}' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => {
                        is_end = true;
                        break;
                    }
                    b'}' | b']' => {
                        depth -= 1;
                        is_end = depth == 0;
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        (self.depth, self.string, self.escaped) = (depth, string, escaped);
        (at, is_end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// What is kept of an answer that arrives in pieces of these lengths, one after another and again.
    fn sifted(answer: &[u8], lengths: &[usize]) -> Result<Vec<u8>, TooLarge> {
        let (mut sieve, mut kept, mut rest) = (Sieve::new(1 << 20), Vec::new(), answer);
        let mut lengths = lengths.iter().cycle();
        while !rest.is_empty() {
            let length = lengths.next().copied().unwrap_or(usize::MAX);
            let (piece, after) = rest.split_at(length.min(rest.len()));
            kept.extend_from_slice(&sieve.sift(piece)?);
            rest = after;
        }
        Ok(kept)
    }

    /// The same, by what the document is and not by how it arrives.
    fn expected(part: Part, value: &Value) -> Value {
        match (part, value) {
            (Part::Object | Part::Metadata | Part::Annotations, Value::Object(members)) => {
                let kept = members.iter().filter_map(|(name, value)| match part.member(name.as_bytes()) {
                    Part::Nothing => None,
                    Part::UpTo(most) if value.to_string().len() > most => None,
                    member => Some((name.clone(), expected(member, value))),
                });
                Value::Object(kept.collect::<Map<_, _>>())
            }
            (Part::Items, Value::Array(items)) => {
                items.iter().map(|item| expected(Part::Object, item)).collect()
            }
            (Part::Finalizers, Value::Array(all)) => all.iter().take(MOST_FINALIZERS + 1).cloned().collect(),
            (_, value) => value.clone(),
        }
    }

    /// Values of any form, with names and texts that the rules are about, or that look like the end of something.
    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            prop::sample::select(&["", "\"", "\\", "\\\"", "}", "],", "{\"metadata\":", "\n", "<ü>"][..])
                .prop_map(str::to_owned),
            ".{0,9}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!(-1.5e-7)),
            text.clone().prop_map(Value::from),
        ];
        let names = &[
            "items",
            "object",
            "metadata",
            "annotations",
            "finalizers",
            "ownerReferences",
            "managedFields",
            "name",
            "uid",
            "resourceVersion",
            "continue",
            "spec",
            "status",
            CLAIM_ANNOTATION,
            PROJECT_IDS_ANNOTATION,
            "atlas-integrations.dev/other",
            "note",
        ][..];
        let name = prop_oneof![4 => prop::sample::select(names).prop_map(str::to_owned), 1 => text];
        leaf.prop_recursive(6, 200, 8, move |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                3 => prop::collection::vec((name.clone(), inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// An API server writes no spaces; others may.
    fn text(document: &Value, is_spaced: bool) -> String {
        if is_spaced { format!("{document:#}") } else { document.to_string() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However an answer is cut into pieces, what is kept are the same documents without what is left out.
        #[test]
        fn pieces_are_kept_as_the_whole_would_be(
            documents in prop::collection::vec((values(), any::<bool>()), 1..4),
            lengths in prop::collection::vec(1_usize..40, 1..6),
        ) {
            let documents: Vec<(Value, bool)> =
                documents.into_iter().filter(|(document, _)| document.is_object()).collect();
            let answer: String =
                documents.iter().map(|(document, is_spaced)| format!("{}\n", text(document, *is_spaced))).collect();
            let kept = sifted(answer.as_bytes(), &lengths).expect("not too large");
            prop_assert!(kept.iter().filter(|byte| **byte == b'\n').count() >= documents.len());
            let found: Vec<Value> = serde_json::Deserializer::from_slice(&kept)
                .into_iter()
                .collect::<Result<_, _>>()
                .expect("JSON");
            let expected: Vec<Value> =
                documents.iter().map(|(document, _)| expected(Part::Object, document)).collect();
            prop_assert_eq!(found, expected);
        }

        /// What is no JSON is for the parser to tell; nothing that comes makes the sieve stop.
        #[test]
        fn any_bytes_pass_through(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = sifted(&bytes, &[7]);
        }
    }

    #[test]
    fn what_is_used_of_an_object_is_kept() {
        let spec = json!({"type": "DATADOG", "metadata": {"labels": {"a": "b"}}, "items": [{"metadata": 1}]});
        let object = json!({
            "apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
            "metadata": {
                "name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2024-01-01T00:00:00Z", "deletionTimestamp": "2024-01-01T00:00:00Z",
                "labels": {"app": "x"}, "generateName": "x-", "selfLink": "/x",
                "ownerReferences": [{"uid": "\"]}"}], "managedFields": [{"fieldsV1": {"f:metadata": {}}}],
                "finalizers": ["a/b", "atlas-integrations.dev/finalizer"],
                "annotations": {"note": "y", "atlas-integrations.dev/claim": "{\"uid\":\"u\"}",
                    "atlas-integrations.dev/other": "y"}
            },
            "spec": spec, "status": {"conditions": []}
        });
        let kept = json!({
            "apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
            "metadata": {
                "name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2024-01-01T00:00:00Z", "deletionTimestamp": "2024-01-01T00:00:00Z",
                "finalizers": ["a/b", "atlas-integrations.dev/finalizer"],
                "annotations": {"atlas-integrations.dev/claim": "{\"uid\":\"u\"}"}
            },
            "spec": spec, "status": {"conditions": []}
        });
        let page = |object: &Value| json!({"metadata": {"continue": "t", "resourceVersion": "9"}, "items": [object, object]});
        let change = |object: &Value| json!({"type": "ADDED", "object": object});
        for (answer, expected) in
            [(object.clone(), kept.clone()), (page(&object), page(&kept)), (change(&object), change(&kept))]
        {
            let found = sifted(answer.to_string().as_bytes(), &[11]).expect("not too large");
            assert_eq!(serde_json::from_slice::<Value>(&found).expect("JSON"), expected);
        }
    }

    /// A claim that is too long is none, as one that can't be read. Of finalizers one more is kept than are read.
    #[test]
    fn nothing_in_the_metadata_is_kept_at_any_length() {
        let fits = "y".repeat(MOST_OF_A_NOTE - 2);
        let metadata = json!({"metadata": {
            "finalizers": vec!["a"; 10_000],
            "annotations": {CLAIM_ANNOTATION: "<".repeat(1 << 20), RECONCILE_ANNOTATION: fits, REWRITE_ANNOTATION: "z"},
            "name": "x"
        }});
        let kept = json!({"metadata": {
            "finalizers": vec!["a"; MOST_FINALIZERS + 1],
            "annotations": {RECONCILE_ANNOTATION: fits, REWRITE_ANNOTATION: "z"},
            "name": "x"
        }});
        for length in [1 << 10, usize::MAX] {
            let found = sifted(metadata.to_string().as_bytes(), &[length]).expect("not too large");
            assert_eq!(serde_json::from_slice::<Value>(&found).expect("JSON"), kept);
        }
    }

    #[test]
    fn what_is_kept_of_a_document_is_limited() {
        let document = |bytes: usize| {
            format!("{}\n", json!({"spec": "x".repeat(bytes), "metadata": {"labels": "y".repeat(9_000)}}))
        };
        let sift = |answer: String| {
            let mut sieve = Sieve::new(1_000);
            answer.as_bytes().chunks(100).try_for_each(|piece| sieve.sift(piece).map(drop))
        };
        assert_eq!(sift(document(900).repeat(20)), Ok(()));
        assert_eq!(sift([document(900), document(1_200)].concat()), Err(TooLarge));
    }

    /// A Secret whose metadata fills what the API server takes.
    #[test]
    fn large_metadata_takes_no_memory() {
        let reference = json!({"apiVersion": "v1", "kind": "C", "name": "a", "uid": "1"});
        let secret = json!({"metadata": {"name": "x", "ownerReferences": vec![reference; 21_000],
            "labels": {"a": "\u{1}".repeat(1 << 20)}}});
        let answer = format!(r#"{{"items":[{}{secret}]}}"#, format!("{secret},").repeat(3));
        let mut kept = Vec::new();
        let taken = allocation_counter::measure(|| {
            let mut sieve = Sieve::new(1 << 20);
            for piece in answer.as_bytes().chunks(16 << 10) {
                kept.extend_from_slice(&sieve.sift(piece).expect("not too large"));
            }
        });
        assert!(answer.len() > 20 << 20 && taken.bytes_max < 4 << 10, "{} bytes", taken.bytes_max);
        assert_eq!(
            String::from_utf8(kept).expect("text"),
            format!(r#"{{"items":[{}]}}"#, [r#"{"metadata":{"name":"x"}}"#; 4].join(","))
        );
    }
}
