//! A tenant whose key is revoked, beside another whose key is good.

use std::time::{Duration, Instant};

use atlas_integration_stage::samples;
use atlas_sim::Exchange;

use crate::Failed;
use crate::edits::edit;
use crate::examples::Examples;
use crate::fleet::{self, Fleet};
use crate::operator::{Operator, became};
use crate::rows::{Rows, Times, milliseconds, ratio};
use crate::stage::{self, Key, Stage};

pub const METHOD: &str = "\
    Tenant B has 100 projects under a good key; tenant A has the projects of the table's head, and its key \
    is revoked after all of its objects were in sync. Each project has one object. B's objects are edited, \
    one every 100 ms: right after a start without A; right after a start with A, whose projects are then \
    all due; and when A has settled. An edit takes from the request to the API server until Atlas has the \
    new value. The operator's resyncs are as often as by default. Calls with the revoked key are the \
    requests at Atlas that name it; the requests for a challenge before them are counted in a row of their \
    own. Two calls are made at the same time if the second one arrives before Atlas has answered the \
    first. Calls an hour are extrapolated from those that were counted once A had settled. The goals are \
    ratios of at most 1.5, 1 call at a time, and 60 calls an hour.";

const GOOD: Key =
    Key { org: "tenant-b", public: "tenantbk", private: "0b1c2d3e-1a2b-4c3d-9e8f-1234567890ab" };
const REVOKED: Key =
    Key { org: "tenant-a", public: "tenantak", private: "9a8b7c6d-1a2b-4c3d-9e8f-1234567890ab" };
/// The good tenant's projects.
const GOOD_PROJECTS: usize = 100;

pub async fn measure(projects: usize, window: Duration, latency: Duration) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    let stage = Stage::set(latency, &[stage::ADMIN]).await?;
    let [of_a, of_b] = [examples(&stage, &REVOKED).await?, examples(&stage, &GOOD).await?];
    let b = tenant(&stage, &of_b, GOOD_PROJECTS).await?;
    let operator = Operator::start_with_resyncs(&stage, &[]).await?;
    let alone = edit(&stage, &b, true).await?;
    operator.until_idle().await?;
    drop(operator);

    let a = tenant(&stage, &of_a, projects).await?;
    a.projects().iter().take(1).for_each(|project| project.revoke_key(REVOKED.public));
    fleet::forget_requests(&[&a]);
    let begun = Instant::now();
    let operator = Operator::start_with_resyncs(&stage, &[]).await?;
    let at_first = edit(&stage, &b, false).await?;
    tokio::time::sleep((begun + window).saturating_duration_since(Instant::now())).await;
    let (settled, cpu) = (Instant::now(), operator.cpu_seconds()?);
    let then = edit(&stage, &b, true).await?;
    tokio::time::sleep((settled + window).saturating_duration_since(Instant::now())).await;
    let used = operator.cpu_seconds()? - cpu;

    let span = window.as_secs();
    let times = |rows: &mut Rows, name: &str, times: &Times| {
        for percentage in [50, 99] {
            let value = milliseconds(times.percentile(percentage));
            rows.add(format!("B's edits {name}, p{percentage}"), value);
        }
    };
    let to_alone = |times: &Times| ratio(times.percentile(99), alone.percentile(99));
    times(&mut rows, "right after a start without A", &alone);
    times(&mut rows, "right after a start with A", &at_first);
    rows.add("ratio of the p99 to those without A", to_alone(&at_first));
    times(&mut rows, &format!("when A has settled, {span} s after the start"), &then);
    rows.add("ratio of this p99 to those without A", to_alone(&then));
    let requests = requests(&a);
    let between = |from: Instant| {
        let calls = requests.iter().filter(move |request| request.at >= from && request.at < from + window);
        let times = calls.clone().filter(|request| request.credential.as_deref() == Some(REVOKED.public));
        (calls.count(), times.map(|call| call.at).collect::<Vec<_>>())
    };
    for (name, from) in
        [(format!("in the first {span} s"), begun), (format!("in {span} s, settled"), settled)]
    {
        let (all, calls) = between(from);
        rows.add(format!("calls with the revoked key {name}"), calls.len());
        rows.add(format!("requests for A's projects {name}, for challenges too"), all);
        rows.add(format!("calls with the revoked key at a time {name}"), at_a_time(&calls, latency));
        if from == settled {
            let an_hour = calls.len() as f64 * 3_600.0 / window.as_secs_f64();
            rows.add("calls with the revoked key an hour, extrapolated", format!("{an_hour:.0}"));
        }
    }
    rows.add(format!("CPU seconds in {span} s, settled, with B's edits"), format!("{used:.1}"));
    rows.add("A's objects that became Unauthorized", became(&operator, "Unauthorized"));
    Ok(rows)
}

/// What a tenant's objects look like in sync.
async fn examples(stage: &Stage, key: &'static Key) -> Result<Examples, Failed> {
    Examples::of(stage, key, vec![samples::of("DATADOG")]).await
}

/// A tenant in a namespace of its own, in sync.
async fn tenant<'a>(stage: &Stage, examples: &'a Examples, projects: usize) -> Result<Fleet<'a>, Failed> {
    let namespace = examples.key().org;
    stage.plane.kubectl(&["create", "namespace", namespace])?;
    Fleet::create(stage, examples, namespace, projects, 1).await
}

/// Everything that Atlas was asked about a tenant's projects, in the order of arrival.
fn requests(fleet: &Fleet<'_>) -> Vec<Exchange> {
    let mut requests: Vec<_> = fleet.projects().iter().flat_map(|project| project.exchanges()).collect();
    requests.sort_by_key(|request| request.sequence);
    requests
}

/// How many calls were under way at the same time at most, when each takes `time`.
fn at_a_time(begun: &[Instant], time: Duration) -> usize {
    let together = |n: usize| {
        let earlier = begun.iter().take(n + 1).rev();
        earlier.take_while(|other| begun.get(n).is_some_and(|at| at.duration_since(**other) < time)).count()
    };
    (0..begun.len()).map(together).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_overlap_until_they_are_answered() {
        let start = Instant::now();
        let at =
            |times: &[u64]| times.iter().map(|ms| start + Duration::from_millis(*ms)).collect::<Vec<_>>();
        let most = |times: &[u64]| at_a_time(&at(times), Duration::from_millis(50));
        assert_eq!(most(&[]), 0);
        assert_eq!(most(&[0, 50, 100]), 1);
        assert_eq!(most(&[0, 49, 99]), 2);
        assert_eq!(most(&[0, 10, 49, 60, 200]), 3);
    }
}
