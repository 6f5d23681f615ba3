//! Many namespaces, each with the Role of `deploy/overlays/namespaced`, and no ClusterRole.

use std::time::{Duration, Instant};

use atlas_integration_stage::{ACCOUNT, repository, samples};

use crate::Failed;
use crate::examples::Examples;
use crate::fleet::{self, Fleet};
use crate::operator::{Operator, restart_api_server};
use crate::rows::{Rows, mebibytes, seconds};
use crate::stage::{self, Stage};

pub const METHOD: &str = "\
    The operator has the Role of `deploy/overlays/namespaced` in each namespace, no ClusterRole, and \
    `--watch-namespace` for each. A namespace holds one object in a project of its own, in sync when the \
    operator starts, and the Secrets: a credential, the object's keys, and others that no object refers \
    to. Memory, *listed*, *verified* and *idle* are those of the scenario `memory`. After the restart of \
    the API server it is measured when the operator watches objects and Secrets of all namespaces again \
    and is idle. The goal is at most 48 MiB, at the start and after the restart.";

/// The namespace in the overlay.
const EXAMPLE: &str = "namespace: payments\n";
/// The Secrets that the object refers to: its credential and its keys.
const OWN_SECRETS: usize = 2;
const LIMIT: Duration = Duration::from_secs(120);

pub async fn measure(namespaces: usize, secrets: usize, latency: Duration) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    let stage = Stage::set(latency, &[stage::ADMIN]).await?;
    let examples = Examples::of(&stage, &stage::BENCH, vec![samples::of("DATADOG")]).await?;
    let names: Vec<String> = (0..namespaces).map(|number| format!("tenant-{number}")).collect();
    allow(&stage, &names).await?;
    let mut fleets = Vec::new();
    for name in &names {
        fleets.push(Fleet::create(&stage, &examples, name, 1, 1).await?);
        stage.create_foreign_secrets(name, secrets.saturating_sub(OWN_SECRETS)).await?;
    }
    let fleets: Vec<&Fleet<'_>> = fleets.iter().collect();
    let flags: Vec<&str> = names.iter().flat_map(|name| ["--watch-namespace", name]).collect();

    fleet::forget_requests(&fleets);
    let audit = stage.plane.audit_position()?;
    let operator = Operator::start(&stage, &flags).await?;
    rows.add("start to the first lists complete", seconds(operator.age()));
    let memory = operator.memory()?;
    rows.add("memory after listing", mebibytes(memory.now));
    rows.add("memory at its peak until then", mebibytes(memory.peak));
    fleet::until_verified(&operator, &fleets).await?;
    operator.until_idle().await?;
    rows.add("memory, verified and idle", mebibytes(operator.memory()?.now));

    restart_api_server(&stage, &operator, namespaces).await?;
    let memory = operator.memory()?;
    rows.add("memory after the API server was restarted", mebibytes(memory.now));
    rows.add("memory at its peak since the start", mebibytes(memory.peak));
    rows.add("writes to objects and to Atlas in all this", fleet::writes(&stage, audit, &fleets)?);
    Ok(rows)
}

/// Creates the namespaces with a Role in each, takes the ClusterRole away, and waits until that holds.
async fn allow(stage: &Stage, names: &[String]) -> Result<(), Failed> {
    let role = std::fs::read_to_string(repository()?.join("deploy/overlays/namespaced/role.yaml"))?;
    if role.matches(EXAMPLE).count() != 2 {
        return Err("role.yaml of the overlay does not name its namespace twice any more".into());
    }
    let documents: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n");
            [namespace, role.replace(EXAMPLE, &format!("namespace: {name}\n"))]
        })
        .collect();
    stage.plane.kubectl_stdin(&["create", "-f", "-"], &documents.join("---\n"))?;
    stage.plane.kubectl(&["delete", "clusterrole,clusterrolebinding", ACCOUNT])?;
    // The authorizer sees new rules a moment later, in the order in which they were written.
    let operator = format!("system:serviceaccount:{ACCOUNT}:{ACCOUNT}");
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let may = |scope: &[&str]| {
            let args = [&["auth", "can-i", "watch", "secrets", "--as", &operator], scope].concat();
            stage.plane.kubectl(&args).is_ok()
        };
        let last = names.last().map(String::as_str).unwrap_or_default();
        if may(&["--namespace", last]) && !may(&["--all-namespaces"]) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("the rules do not hold after {LIMIT:?}").into())
}
