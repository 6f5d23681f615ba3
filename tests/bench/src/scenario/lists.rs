//! The first lists, beside those of a bare client.

use std::time::{Duration, Instant};

use futures::future::try_join;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::Failed;
use crate::operator::{Operator, USER};
use crate::rows::{Rows, exact_seconds, ratio};
use crate::stage::{self, Stage};

pub const METHOD: &str = "\
    Each object has a Secret of its own. The bare client connects as the operator's ServiceAccount and \
    lists objects and the metadata of Secrets side by side, in pages of 500 as kubectl does. It decodes \
    what the operator decodes and keeps nothing. It lists once before and once after the operator; its \
    time is the mean of both. The operator's is from the start of its process until `/readyz` says that \
    its first lists are complete.";

/// kubectl's and client-go's.
const PAGE: u32 = 500;

pub async fn measure(stage: &Stage, objects: usize) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    let before = bare(stage, objects).await?;
    let audit = stage.plane.audit_position()?;
    let operator = Operator::start(stage, &[]).await?;
    let lists = operator.age();
    drop(operator);
    let (events, _) = stage.plane.audit_since(audit)?;
    let after = bare(stage, objects).await?;
    let mean = (before + after) / 2;
    rows.add("a bare client lists objects and Secrets", exact_seconds(mean));
    rows.add("the operator's start to the first lists complete", exact_seconds(lists));
    rows.add("ratio to the bare client", ratio(lists, mean));
    for resource in ["atlasintegrations", "secrets"] {
        let pages = events.iter().filter(|event| {
            event.user == USER && event.verb == "list" && event.resource == resource && event.code == 200
        });
        rows.add(format!("the operator's LIST requests for {resource}"), pages.count());
    }
    Ok(rows)
}

/// How long a bare client takes.
async fn bare(stage: &Stage, objects: usize) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let kubeconfig = Kubeconfig::read_from(&stage.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let all = |resource: ApiResource| Api::<DynamicObject>::all_with(client.clone(), &resource);
    let (integrations, secrets) = (all(stage::resource("AtlasIntegration")), all(stage::resource("Secret")));
    let (found, named) = try_join(
        pages(async |params| integrations.list(&params).await),
        pages(async |params| secrets.list_metadata(&params).await),
    )
    .await?;
    let took = begun.elapsed();
    if found != objects || named < objects {
        return Err(format!("the bare client found {found} objects and {named} Secrets").into());
    }
    Ok(took)
}

/// Reads all pages of a list. Returns the number of items.
async fn pages<K: Clone>(
    list: impl AsyncFn(ListParams) -> kube::Result<kube::core::ObjectList<K>>,
) -> kube::Result<usize> {
    let mut params = ListParams::default().limit(PAGE);
    let mut number = 0;
    loop {
        let page = list(params.clone()).await?;
        number += page.items.len();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(number),
        }
    }
}
