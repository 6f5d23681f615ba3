//! Edits right after a start, beside those of an idle operator.

use crate::Failed;
use crate::edits::edit;
use crate::fleet::{self, Fleet};
use crate::operator::Operator;
use crate::rows::{Rows, milliseconds, ratio, seconds};
use crate::stage::Stage;

pub const METHOD: &str = "\
    Each object has a Secret of its own, and all are in sync. As soon as the operator's first lists are \
    complete, up to 100 objects of different projects are edited, one every 100 ms, whether the edits \
    before have reached Atlas or not. An edit takes from the request to the API server until Atlas has the \
    new value. Once all projects are verified and the operator rests, the same objects are edited again. \
    The goal is a ratio of at most 3.";

pub async fn measure(stage: &Stage, fleet: &Fleet<'_>) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    fleet::forget_requests(&[fleet]);
    let operator = Operator::start(stage, &[]).await?;
    let after_start = edit(stage, fleet, true).await?;
    fleet::until_verified(&operator, &[fleet]).await?;
    let verified = operator.age();
    operator.until_idle().await?;
    let idle = edit(stage, fleet, false).await?;
    // So that the last of them is noted in its status before the operator ends.
    operator.until_idle().await?;
    rows.add("edits right after a start, p50", milliseconds(after_start.percentile(50)));
    rows.add("edits right after a start, p99", milliseconds(after_start.percentile(99)));
    rows.add("edits of an idle operator, p50", milliseconds(idle.percentile(50)));
    rows.add("edits of an idle operator, p99", milliseconds(idle.percentile(99)));
    rows.add("ratio of the p99", ratio(after_start.percentile(99), idle.percentile(99)));
    rows.add("start to all verified, with these edits", seconds(verified));
    Ok(rows)
}
