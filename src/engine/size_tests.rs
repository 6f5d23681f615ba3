//! What the process holds for many objects and namespaces: the bytes that the allocator has handed out.

use std::time::Duration;

use allocation_counter::measure;
use tokio::time::Instant;

use super::index::Index;
use super::queue::Queue;
use super::turn::ProjectMemory;
use crate::cluster::{Part, SecretIdentity};
use crate::domain::{
    CredentialsRef, FieldValue, Integration, IntegrationType, Object, ObjectKey, ProjectId, SecretKey,
    testing,
};

fn uid(kind: u32, number: usize) -> String {
    format!("9b1deb4d-3b7d-4bad-{kind:04x}-{number:012x}")
}

/// Object `number`, with a Secret of its own and names as long as people make them.
fn object(namespace: &str, number: usize, project: usize) -> Object {
    let key = SecretKey { name: format!("keys-{number:032}"), key: "url".into() };
    let values = [("microsoftTeamsWebhookUrl", FieldValue::Secret(key))];
    let teams = Integration::new(IntegrationType::MicrosoftTeams, values).expect("a Microsoft Teams");
    let mut spec = testing::spec(teams);
    spec.project = ProjectId::parse(&format!("{project:024x}")).expect("24 digits");
    spec.credentials = CredentialsRef::Secret("atlas".into());
    Object {
        key: ObjectKey { namespace: namespace.into(), name: format!("teams-{number:026}").into() },
        uid: uid(1, number),
        resource_version: (100_000 + number).to_string(),
        ..testing::object(Ok(spec))
    }
}

/// The Secret of object `number`.
fn secret(namespace: &str, number: usize) -> (ObjectKey, SecretIdentity) {
    let name = format!("keys-{number:032}").into();
    let identity = SecretIdentity { uid: uid(2, number), resource_version: number.to_string() };
    (ObjectKey { namespace: namespace.into(), name }, identity)
}

/// What index and queue take for each of 10,000 objects, `per_project` to a project, with their Secrets.
fn bytes_by_object(per_project: usize) -> i64 {
    const OBJECTS: usize = 10_000;
    let (mut index, queue) = (Index::new(None), Queue::new(16));
    let later = Instant::now() + Duration::from_secs(600);
    let taken = measure(|| {
        index.list_begins(0);
        for number in 0..OBJECTS {
            index.observe_from(0, &object("tenant", number, number / per_project));
        }
        index.list_complete(0, &Part::All);
        index.secrets.list_begins(0);
        for number in 0..OBJECTS {
            let (key, identity) = secret("tenant", number);
            index.secrets.observe_from(0, &key, identity);
        }
        index.secrets.list_complete(0, &Part::All);
        for (number, (project, home, _)) in index.projects().into_iter().enumerate() {
            queue.plan(home, project, later + Duration::from_millis(number as u64));
        }
    });
    assert_eq!(queue.waiting(), OBJECTS / per_project);
    assert_eq!(index.size(), (OBJECTS, OBJECTS / per_project));
    taken.bytes_current / OBJECTS as i64
}

/// 100,000 objects, each with a Secret and a project of its own, have to fit into the memory limit of
/// `deploy/base/deployment.yaml` several times over, since the allocator needs room too.
#[test]
fn an_object_with_a_secret_of_its_own_takes_little_memory() {
    let (shared, alone) = (bytes_by_object(10), bytes_by_object(1));
    println!("{shared} bytes an object among ten, {alone} alone in its project");
    assert!(shared <= 505, "{shared} bytes an object, ten to a project");
    assert!(alone <= 685, "{alone} bytes an object, one to a project");
}

/// Lists of all namespaces begin at once, at the start and whenever the API server was restarted. What one of them shows
/// is no business of the others, and Secrets to which no object refers are not remembered at all.
#[test]
fn lists_of_many_namespaces_take_no_more_than_what_they_hold() {
    const NAMESPACES: usize = 40;
    const SECRETS: usize = 40;
    let names: Vec<String> = (0..NAMESPACES).map(|number| format!("tenant-{number}")).collect();
    let mut index = Index::new(None);
    for (number, name) in names.iter().enumerate() {
        index.observe(&object(name, number, number));
    }
    let listing = measure(|| {
        for list in 0..NAMESPACES {
            index.list_begins(list);
            index.secrets.list_begins(list);
        }
        for (list, name) in names.iter().enumerate() {
            index.observe_from(list, &object(name, list, list));
            for number in 0..SECRETS {
                let (key, identity) = secret(name, number);
                index.secrets.observe_from(list, &key, identity);
            }
        }
    });
    let each = listing.bytes_current / NAMESPACES as i64;
    assert!(each < 512, "{each} bytes more for each of {NAMESPACES} lists, with {SECRETS} Secrets each");
    for (list, name) in names.iter().enumerate() {
        let part = Part::Namespace(name.clone());
        assert_eq!(index.list_complete(list, &part), [], "{name}");
        index.secrets.list_complete(list, &part);
    }
    assert_eq!(index.size(), (NAMESPACES, NAMESPACES));
}

/// An outage leaves something to remember of each object, and nothing once it is over.
#[test]
fn what_an_outage_took_is_given_back() {
    const OBJECTS: usize = 1_000;
    let mut memory = ProjectMemory::default();
    let uids: Vec<String> = (0..OBJECTS).map(|number| uid(1, number)).collect();
    let outage = measure(|| {
        for uid in &uids {
            memory.object(uid).fails();
        }
    });
    let mut after = |failing: usize| {
        measure(|| {
            for uid in uids.iter().skip(failing) {
                if let Some(memory) = memory.known_mut(uid) {
                    memory.rests();
                }
            }
            memory.keep_only(uids.iter().map(String::as_str));
        })
        .bytes_current
    };
    let one_left = outage.bytes_current + after(1);
    assert!(one_left < 4 << 10, "{one_left} of {} bytes are left for one object", outage.bytes_current);
    let nothing_left = one_left + after(0);
    assert_eq!(nothing_left, 0);
}

/// The same of objects, Secrets and projects that are gone.
#[test]
fn what_is_gone_takes_nothing() {
    const OBJECTS: usize = 1_000;
    let mut index = Index::new(None);
    let held = measure(|| {
        for number in 0..OBJECTS {
            index.observe(&object("tenant", number, number));
        }
        for number in 1..OBJECTS {
            index.remove(&object("tenant", number, number).key);
        }
        index.forget_unused();
    });
    assert_eq!(index.size(), (1, 1));
    assert!(held.bytes_current < 4 << 10, "{} bytes for one object", held.bytes_current);
}
