//! Edits of objects, one every [`PACE`] whether those before have reached Atlas or not, and how long each takes.

use std::time::{Duration, Instant};

use atlas_sim::Project;
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::Failed;
use crate::fleet::Fleet;
use crate::rows::Times;
use crate::stage::Stage;

/// Edits at most, each in a project of its own.
const MOST: usize = 100;
/// Between two edits.
const PACE: Duration = Duration::from_millis(100);
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(1_800);
/// Between two looks at the simulator, which notes the time of each change itself.
const POLL: Duration = Duration::from_millis(50);

/// Sets a field of up to a hundred DATADOG objects of a fleet, spread over it, to `value`, which must be new to them.
/// From each request to the API server until Atlas has the value.
pub async fn edit(stage: &Stage, fleet: &Fleet<'_>, value: bool) -> Result<Times, Failed> {
    let chosen = fleet.datadog(MOST);
    let begun = Instant::now();
    let edits = stream::iter((0..).zip(chosen)).map(|(number, (name, project))| async move {
        tokio::time::sleep_until((begun + PACE * number).into()).await;
        one(stage, fleet, &name, project, value).await
    });
    Ok(Times::new(edits.buffer_unordered(MOST).try_collect().await?))
}

async fn one(
    stage: &Stage,
    fleet: &Fleet<'_>,
    name: &str,
    project: &Project,
    value: bool,
) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let change = json!({"spec": {"datadog": {"sendDatabaseMetrics": value}}});
    let api = stage.api("AtlasIntegration", fleet.namespace());
    api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await?;
    while begun.elapsed() < LIMIT {
        let changes = project.changes();
        let landed = changes.iter().find(|change| {
            change.at >= begun
                && change.integration_type == "DATADOG"
                && change.after.as_ref().is_some_and(|after| after["sendDatabaseMetrics"] == value)
        });
        if let Some(landed) = landed {
            return Ok(landed.at - begun);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(format!("the edit of {name} did not reach Atlas within {LIMIT:?}").into())
}
