//! Memory of many objects, of restarts, and of Secrets that no object refers to.

use crate::Failed;
use crate::fleet::{self, Fleet};
use crate::operator::{Operator, restart_api_server};
use crate::rows::{Rows, mebibytes, seconds};
use crate::stage::Stage;

pub const METHOD: &str = "\
    Each object has a Secret of its own, and all are in sync when the operator starts. Memory is the \
    resident set of the operator's process as the kernel reports it, the binary's pages included. *Listed* \
    is when `/readyz` says so, *verified* when Atlas has been asked for the integrations of every project \
    since the start, *idle* when the process uses less than 0.05 s of CPU time in 2 s. After the restart \
    of the API server it is measured when the operator watches objects and Secrets again and is idle. \
    Foreign Secrets are in the namespace of the objects, and no object refers to them.";

pub async fn measure(stage: &Stage, fleet: &Fleet, foreign: usize) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    fleet::forget_requests(&[fleet]);
    let operator = Operator::start(stage, &[]).await?;
    rows.add("start to the first lists complete", seconds(operator.age()));
    rows.add("memory after listing", mebibytes(operator.memory()?.now));
    fleet::until_verified(&operator, &[fleet]).await?;
    rows.add("start to all verified", seconds(operator.age()));
    operator.until_idle().await?;
    let memory = operator.memory()?;
    rows.add("memory, verified and idle", mebibytes(memory.now));
    rows.add("memory at its peak since the start", mebibytes(memory.peak));

    restart_api_server(stage, &operator, 1).await?;
    let memory = operator.memory()?;
    rows.add("memory after the API server was restarted", mebibytes(memory.now));
    rows.add("memory at its peak until then", mebibytes(memory.peak));

    stage.create_foreign_secrets(fleet.namespace(), foreign).await?;
    operator.until_idle().await?;
    rows.add(format!("memory with {foreign} foreign Secrets more"), mebibytes(operator.memory()?.now));
    drop(operator);
    let operator = Operator::start(stage, &[]).await?;
    rows.add("with them: start to the first lists complete", seconds(operator.age()));
    operator.until_idle().await?;
    let memory = operator.memory()?;
    rows.add("with them: memory, verified and idle", mebibytes(memory.now));
    rows.add("with them: memory at its peak since the start", mebibytes(memory.peak));
    stage.delete_foreign_secrets(fleet.namespace(), foreign).await?;
    operator.until_idle().await?;
    rows.add("memory after they are gone", mebibytes(operator.memory()?.now));
    fleet::nothing_written(&[fleet])?;
    Ok(rows)
}
