//! What an object costs in memory: what the allocator has handed out for index and queue, by object.

use allocation_counter::{AllocationInfo, measure};
use jiff::Timestamp;

use super::index::Index;
use super::queue::Queue;
use crate::cluster::SecretIdentity;
use crate::domain::{
    CredentialsRef, FieldValue, Integration, IntegrationType, Object, ObjectKey, ProjectId, SecretKey,
    testing,
};

const OBJECTS: usize = 10_000;

fn uid(kind: u32, number: usize) -> String {
    format!("9b1deb4d-3b7d-4bad-{kind:04x}-{number:012x}")
}

/// Object `number`, as a list shows it: with a Secret of its own and names of usual length.
fn object(number: usize, project: usize) -> Object {
    let key = SecretKey { name: format!("keys-{number:032}"), key: "url".into() };
    let values = [("microsoftTeamsWebhookUrl", FieldValue::Secret(key))];
    let teams = Integration::new(IntegrationType::MicrosoftTeams, values).expect("a Microsoft Teams");
    let mut spec = testing::spec(teams);
    spec.project = ProjectId::parse(&format!("{project:024x}")).expect("24 digits");
    spec.credentials = CredentialsRef::Secret("atlas".into());
    Object {
        key: ObjectKey { namespace: "tenant".into(), name: format!("teams-{number:026}").into() },
        uid: uid(1, number),
        resource_version: (100_000 + number).to_string(),
        created: Timestamp::UNIX_EPOCH,
        ..testing::object(Ok(spec))
    }
}

fn secret(number: usize) -> (ObjectKey, SecretIdentity) {
    let name = format!("keys-{number:032}").into();
    let identity = SecretIdentity { uid: uid(2, number), resource_version: number.to_string() };
    (ObjectKey { namespace: "tenant".into(), name }, identity)
}

fn show(what: &str, info: &AllocationInfo) {
    println!(
        "{what}: {} B and {} blocks an object, {} B at the peak",
        info.bytes_current / OBJECTS as i64,
        info.count_current as f64 / OBJECTS as f64,
        info.bytes_max as usize / OBJECTS
    );
}

fn cost(per_project: usize) -> i64 {
    println!("{per_project} to a project");
    let mut index = Index::new(None);
    let queue = Queue::new();
    let objects = measure(|| {
        index.list_begins(0);
        for number in 0..OBJECTS {
            index.observe_from(0, &object(number, number / per_project));
        }
    });
    show("objects", &objects);
    let secrets = measure(|| {
        for number in 0..OBJECTS {
            let (key, identity) = secret(number);
            index.secrets.observe_from(0, &key, identity);
        }
    });
    show("secrets", &secrets);
    let queued = measure(|| queue.add(index.projects()));
    show("queue", &queued);
    objects.bytes_current + secrets.bytes_current + queued.bytes_current
}

#[test]
fn an_object_takes_a_few_hundred_bytes() {
    println!("{}", cost(10) / OBJECTS as i64);
    println!("{}", cost(1) / OBJECTS as i64);
}
