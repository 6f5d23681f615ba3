//! Rate limits by switch: the bucket of v2, the legacy limit of v1.0.

use std::time::{Duration, Instant};

use crate::client::fresh;

#[tokio::test]
async fn the_bucket_empties_and_fills() {
    let (project, v1, v2) = fresh();
    project.settings(|settings| {
        settings.rate_capacity = 2;
        settings.rate_refill = 1;
        settings.rate_interval = Duration::from_secs(1);
    });
    let begun = Instant::now();
    let remaining =
        [v2.list().await, v2.list().await].map(|answer| answer.header("ratelimit-remaining").to_owned());
    assert_eq!(remaining, ["1", "0"]);
    let answer = v2.list().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "the machine is too slow for this test");
    assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED_TOKEN_BUCKET"));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(v1.list().await.status, 200, "v1.0 has another limit");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(v2.list().await.status, 200);
    project.settings(|settings| {
        (settings.rate_retry_after, settings.rate_headers, settings.rate_on_v1) = (false, false, true);
        settings.rate_interval = Duration::from_secs(3600);
    });
    let answer = v1.list().await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, ""));
    project.settings(|settings| settings.rate_capacity = 1000);
    assert_eq!(v2.list().await.header("ratelimit-limit"), "");
}

/// The first of a digest client's two requests costs nothing: the recorded 401 has no rate-limit headers.
#[tokio::test]
async fn challenges_cost_nothing() {
    let (_, _, v2) = fresh();
    v2.with_key("nobody", "nothing").list().await;
    assert_eq!(v2.list().await.header("ratelimit-remaining"), "1199");
}

#[tokio::test]
async fn the_legacy_limit_counts_by_the_minute() {
    let (project, v1, v2) = fresh();
    project.settings(|settings| settings.legacy_limit = Some(2));
    assert_eq!((v1.list().await.status, v1.list().await.status), (200, 200));
    let answer = v1.list().await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.header("retry-after")),
        (429, "RATE_LIMITED", "")
    );
    assert_eq!(v2.list().await.status, 200);
}

#[tokio::test]
async fn every_request_can_take_its_time() {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.latency = Duration::from_millis(100));
    let begun = Instant::now();
    v2.list().await;
    assert!(begun.elapsed() >= Duration::from_millis(200), "two requests");
}
