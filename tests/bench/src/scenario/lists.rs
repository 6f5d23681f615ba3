//! The first lists, beside those of a bare client.

use std::time::{Duration, Instant};

use control_plane::{AuditEvent, AuditPosition};
use futures::future::try_join;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};

use crate::Failed;
use crate::operator::{Operator, USER};
use crate::rows::{Rows, exact_seconds, ratio};
use crate::stage::{self, Stage};

pub const METHOD: &str = "\
    Each object has a Secret of its own. The operator's time is from the start of its process until \
    `/readyz` says that its first lists are complete. The bare client connects as the operator's \
    ServiceAccount and lists objects and the metadata of Secrets side by side, in pages of the sizes that \
    the operator asked for. It decodes what the operator decodes and keeps nothing. Both do so twice, in \
    turn; the times are the means. The goal is a ratio of at most 1.5.";

/// Starts of the operator, and lists of the bare client.
const TIMES: u32 = 2;

pub async fn measure(stage: &Stage, objects: usize) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    let (mut operators, mut bares) = (Duration::ZERO, Duration::ZERO);
    let mut sizes = Sizes::default();
    for _ in 0..TIMES {
        let audit = stage.plane.audit_position()?;
        let operator = Operator::start(stage, &[]).await?;
        operators += operator.age();
        drop(operator);
        sizes = Sizes::since(stage, audit)?;
        bares += bare(stage, objects, &sizes).await?;
    }
    let (operator, bare) = (operators / TIMES, bares / TIMES);
    rows.add("the operator's start to the first lists complete", exact_seconds(operator));
    rows.add("a bare client lists the same", exact_seconds(bare));
    rows.add("ratio to the bare client", ratio(operator, bare));
    for (name, sizes) in [("objects", &sizes.objects), ("Secrets", &sizes.secrets)] {
        let largest = sizes.iter().max().copied().unwrap_or_default();
        rows.add(format!("pages of {name}"), format!("{}, of at most {largest}", sizes.len()));
    }
    Ok(rows)
}

/// The sizes of the pages that the operator asked for, in order.
#[derive(Debug, Default)]
struct Sizes {
    objects: Vec<u32>,
    secrets: Vec<u32>,
}

impl Sizes {
    fn since(stage: &Stage, position: AuditPosition) -> Result<Sizes, Failed> {
        let (events, _) = stage.plane.audit_since(position)?;
        let of = |resource: &str| {
            let lists = events.iter().filter(|event| {
                event.user == USER && event.verb == "list" && event.resource == resource && event.code == 200
            });
            let sizes: Vec<u32> = lists.map(size).collect();
            if sizes.is_empty() { Err(format!("the operator listed no {resource}")) } else { Ok(sizes) }
        };
        Ok(Sizes { objects: of("atlasintegrations")?, secrets: of("secrets")? })
    }
}

/// The size of a page that was asked for; 0 for everything at once.
fn size(list: &AuditEvent) -> u32 {
    let (_, query) = list.uri.split_once('?').unwrap_or_default();
    let limit = query.split('&').find_map(|parameter| parameter.strip_prefix("limit="));
    limit.and_then(|limit| limit.parse().ok()).unwrap_or_default()
}

/// How long a bare client takes.
async fn bare(stage: &Stage, objects: usize, sizes: &Sizes) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let client = stage.operators_client().await?;
    let all = |resource: ApiResource| Api::<DynamicObject>::all_with(client.clone(), &resource);
    let (integrations, secrets) = (all(stage::resource("AtlasIntegration")), all(stage::resource("Secret")));
    let (found, named) = try_join(
        pages(&sizes.objects, async |params| integrations.list(&params).await),
        pages(&sizes.secrets, async |params| secrets.list_metadata(&params).await),
    )
    .await?;
    let took = begun.elapsed();
    if found != objects || named < objects {
        return Err(format!("the bare client found {found} objects and {named} Secrets").into());
    }
    Ok(took)
}

/// Reads all pages of a list, those after the last of `sizes` in its size. Returns the number of items.
async fn pages<K: Clone>(
    sizes: &[u32],
    list: impl AsyncFn(ListParams) -> kube::Result<kube::core::ObjectList<K>>,
) -> kube::Result<usize> {
    let last = sizes.last().copied().unwrap_or_default();
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(last));
    let mut token: Option<String> = None;
    let mut number = 0;
    loop {
        let limit = sizes.next().filter(|size| *size > 0);
        let page = list(ListParams { limit, continue_token: token, ..ListParams::default() }).await?;
        number += page.items.len();
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_page_is_in_the_request() {
        let of = |uri: &str| size(&AuditEvent { uri: uri.to_owned(), ..AuditEvent::default() });
        assert_eq!(of("/api/v1/secrets?limit=500&continue=abc"), 500);
        assert_eq!(of("/api/v1/secrets?continue=abc&limit=50"), 50);
        assert_eq!(of("/api/v1/secrets"), 0);
    }
}
