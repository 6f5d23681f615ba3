//! Memory of many objects, of restarts, and of Secrets that no object refers to.

use crate::Failed;
use crate::fleet::{self, Fleet};
use crate::operator::{Operator, restart_api_server};
use crate::rows::{Rows, mebibytes, seconds};
use crate::stage::Stage;

pub const METHOD: &str = "\
    Each object has a Secret of its own, and all are in sync when the operator starts. Memory is the \
    resident set of the operator's process as the kernel reports it, the binary's pages included; its peak \
    is the kernel's too. *Listed* is when `/readyz` says so, *verified* when Atlas has been asked for the \
    integrations of every project since the start, *idle* when the process uses less than 0.05 s of CPU \
    time in 2 s. After the restart of the API server it is measured when the operator watches objects and \
    Secrets again and is idle. Foreign Secrets are in the namespace of the objects, and no object refers \
    to them; they are measured with the first number of objects to a project. The goals, verified and idle, are at most 16 MiB for 10,000 objects, ten to a project, and \
    18 MiB, one to a project; for 100,000 objects 96 MiB and 120 MiB; and foreign Secrets add nothing that \
    stays.";

/// `without` is the memory of an idle operator before there were objects, in KiB.
pub async fn measure(stage: &Stage, fleet: &Fleet<'_>, without: u64, foreign: usize) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    rows.add("memory without objects", mebibytes(without));
    fleet::forget_requests(&[fleet]);
    let audit = stage.plane.audit_position()?;
    let operator = Operator::start(stage, &[]).await?;
    rows.add("start to the first lists complete", seconds(operator.age()));
    rows.add("memory after listing", mebibytes(operator.memory()?.now));
    fleet::until_verified(&operator, &[fleet]).await?;
    rows.add("start to all verified", seconds(operator.age()));
    operator.until_idle().await?;
    let memory = operator.memory()?;
    let verified = memory.now;
    rows.add("memory, verified and idle", mebibytes(verified));
    let for_one = verified.saturating_sub(without) as f64 * 1_024.0 / fleet.number() as f64;
    rows.add("of this, for each object", format!("{for_one:.0} bytes"));
    rows.add("memory at its peak since the start", mebibytes(memory.peak));

    restart_api_server(stage, &operator, 1).await?;
    let memory = operator.memory()?;
    rows.add("memory after the API server was restarted", mebibytes(memory.now));
    rows.add("memory at its peak until then", mebibytes(memory.peak));

    let mut writes = fleet::writes(stage, audit, &[fleet])?;
    if foreign > 0 {
        writes += with_foreign(stage, fleet, operator, verified, foreign, &mut rows).await?;
    }
    rows.add("writes to objects and to Atlas in all this", writes);
    Ok(rows)
}

/// Adds foreign Secrets beside a running operator, starts another one, and takes the Secrets away. `verified` is the
/// memory of an idle operator after a start without them. Returns how often the operators wrote meanwhile.
async fn with_foreign(
    stage: &Stage,
    fleet: &Fleet<'_>,
    operator: Operator,
    verified: u64,
    foreign: usize,
    rows: &mut Rows,
) -> Result<usize, Failed> {
    fleet::forget_requests(&[fleet]);
    let audit = stage.plane.audit_position()?;
    let before = operator.memory()?.now;
    stage.create_foreign_secrets(fleet.namespace(), foreign).await?;
    operator.until_idle().await?;
    let memory = operator.memory()?.now;
    rows.add(format!("memory with {foreign} foreign Secrets more"), mebibytes(memory));
    rows.add("foreign Secrets add", added(before, memory));
    drop(operator);
    let operator = Operator::start(stage, &[]).await?;
    rows.add("with them: start to the first lists complete", seconds(operator.age()));
    fleet::until_verified(&operator, &[fleet]).await?;
    operator.until_idle().await?;
    let memory = operator.memory()?;
    rows.add("with them: memory, verified and idle", mebibytes(memory.now));
    rows.add("foreign Secrets add to a start without them", added(verified, memory.now));
    rows.add("with them: memory at its peak since the start", mebibytes(memory.peak));
    stage.delete_foreign_secrets(fleet.namespace(), foreign).await?;
    operator.until_idle().await?;
    rows.add("memory after they are gone", mebibytes(operator.memory()?.now));
    fleet::writes(stage, audit, &[fleet])
}

/// The difference, with its sign.
fn added(before: u64, now: u64) -> String {
    format!("{:+.1} MiB", (now as f64 - before as f64) / 1_024.0)
}
