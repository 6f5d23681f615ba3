//! What an event costs, counted where it arrives: at the simulator and in the API server's audit log.

use std::time::{Duration, Instant};

use atlas_sim::{Exchange, Operation};

use crate::world::{LIMIT, World};

/// Two passes over a project are a second apart: what an event still causes has come by then.
const QUIET: Duration = Duration::from_millis(1_500);
/// Each reading parses the audit log, which is some work.
const POLL: Duration = Duration::from_millis(250);

/// What one event cost, in the words of the table.
pub struct Cost {
    pub event: String,
    pub atlas: String,
    pub writes: String,
    pub reads: String,
}

/// Counts for one world.
pub struct Meter<'a> {
    world: &'a World,
    pub costs: Vec<Cost>,
}

/// All that came so far.
struct Reading {
    atlas: Vec<Exchange>,
    writes: Vec<String>,
    reads: Vec<String>,
}

impl<'a> Meter<'a> {
    /// Begins when nothing more comes of what was before.
    pub async fn new(world: &'a World) -> Meter<'a> {
        let meter = Meter::running(world);
        meter.settled().await;
        meter
    }

    /// Begins where a resync follows the other.
    pub fn running(world: &'a World) -> Meter<'a> {
        Meter { world, costs: Vec::new() }
    }

    /// Counts what an event costs: from here until it is done and nothing more comes of it.
    pub async fn count(&mut self, event: &str, doing: impl Future<Output = ()>) {
        let before = self.read();
        doing.await;
        let after = self.settled().await;
        self.note(event, since(&before, &after), &before, &after);
    }

    /// The same where a resync follows the other: the LISTs never end, all else does, and how many LISTs came is a
    /// matter of time.
    pub async fn count_among_resyncs(&mut self, event: &str, doing: impl Future<Output = ()>) {
        let before = self.read();
        doing.await;
        let done = self.read();
        let after = self.settled_but(|reading| reading.writes.len() + reading.reads.len()).await;
        // A LIST from here on is the next resync's.
        let mut calls = since(&before, &done);
        calls.extend(since(&done, &after).into_iter().filter(|call| call != "LIST"));
        calls.dedup();
        self.note(event, calls, &before, &after);
    }

    async fn settled(&self) -> Reading {
        self.settled_but(|reading| reading.atlas.len() + reading.writes.len() + reading.reads.len()).await
    }

    /// Waits until nothing more comes of what `size` counts.
    async fn settled_but(&self, size: impl Fn(&Reading) -> usize) -> Reading {
        let begun = Instant::now();
        let (mut last, mut since) = (self.read(), Instant::now());
        while begun.elapsed() < LIMIT {
            if since.elapsed() > QUIET {
                return last;
            }
            tokio::time::sleep(POLL).await;
            let now = self.read();
            if size(&now) != size(&last) {
                since = Instant::now();
            }
            last = now;
        }
        panic!("it does not come to rest within {LIMIT:?}");
    }

    fn read(&self) -> Reading {
        let account = format!("mdb_sa_id_{}", self.world.project.id());
        let mut atlas = self.world.project.exchanges();
        let tokens = self.world.shared.sim.stray_exchanges();
        atlas.extend(tokens.into_iter().filter(|token| token.credential.as_deref() == Some(&*account)));
        atlas.sort_by_key(|exchange| exchange.sequence);
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for event in self.world.requests() {
            let singular = match &*event.resource {
                "atlasintegrations" if event.is_write() && event.subresource == "status" => "status",
                "atlasintegrations" => "object",
                "secrets" => "Secret",
                "customresourcedefinitions" => "CRD",
                _ => continue,
            };
            if event.is_write() {
                writes.push(singular.to_owned());
            } else if event.verb == "get" {
                reads.push(singular.to_owned());
            }
        }
        Reading { atlas, writes, reads }
    }

    fn note(&mut self, event: &str, calls: Vec<String>, before: &Reading, after: &Reading) {
        let mut reads = after.reads[before.reads.len()..].to_vec();
        reads.sort();
        self.costs.push(Cost {
            event: event.to_owned(),
            atlas: in_words(calls),
            writes: in_words(after.writes[before.writes.len()..].to_vec()),
            reads: in_words(reads),
        });
    }
}

/// The requests to Atlas between two readings.
fn since(before: &Reading, after: &Reading) -> Vec<String> {
    let known = before.atlas.last().map(|exchange| exchange.sequence).unwrap_or_default();
    after.atlas.iter().filter(|exchange| exchange.sequence > known).map(call).collect()
}

/// A request by its operation, with its status unless that is a success.
fn call(exchange: &Exchange) -> String {
    let operation = match exchange.operation {
        Some(Operation::List) => "LIST",
        Some(_) => &exchange.method,
        None => "token",
    };
    match exchange.status {
        200..300 => operation.to_owned(),
        0 => format!("{operation} without answer"),
        status => format!("{operation} {status}"),
    }
}

/// `LIST, 2 × PUT`
fn in_words(all: Vec<String>) -> String {
    let groups = all.chunk_by(|one, other| one == other);
    let words = groups.filter_map(|group| match group {
        [] => None,
        [one] => Some(one.clone()),
        [one, ..] => Some(format!("{} × {one}", group.len())),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}
