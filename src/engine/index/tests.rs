//! The index, fed with events and asked, without any server.

use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::cluster::SecretIdentity;
use crate::domain::{
    AdoptionPolicy, AppliedSecret, CredentialsRef, DeletionPolicy, FieldValue, Integration, IntegrationType,
    ManagementPolicy, SecretKey, Spec, Status,
};

fn teams() -> Integration<SecretKey> {
    let key = SecretKey { name: "teams".into(), key: "url".into() };
    let values = [("microsoftTeamsWebhookUrl", FieldValue::Secret(key))];
    Integration::new(IntegrationType::MicrosoftTeams, values).expect("a Microsoft Teams")
}

fn object(name: &str, version: u64, generation: i64) -> Object {
    Object {
        key: ObjectKey { namespace: "ns".into(), name: name.into() },
        uid: format!("uid-{name}"),
        resource_version: version.to_string(),
        generation,
        created: Timestamp::default(),
        deleting: false,
        finalizer: false,
        claim: None,
        released: false,
        reconcile_requested: None,
        rewrite_requested: None,
        spec: Ok(Spec {
            project: ProjectId::parse("5d791c84ff7a2522cc4f9aa1").expect("24 digits"),
            credentials: CredentialsRef::Secret("atlas".into()),
            integration: teams(),
            management: ManagementPolicy::Manage,
            adoption: AdoptionPolicy::Refuse,
            deletion: DeletionPolicy::Delete,
            suspend: false,
        }),
        status: Status::default(),
    }
}

fn records(index: &Index) -> impl Iterator<Item = &Record> {
    index.objects.values().map(AsRef::as_ref)
}

fn secret(name: &str) -> ObjectKey {
    ObjectKey { namespace: "ns".into(), name: name.into() }
}

fn identity(version: &str) -> Option<SecretIdentity> {
    Some(SecretIdentity { uid: "s".into(), resource_version: version.into() })
}

#[test]
fn only_somebody_elses_change_asks_for_a_pass() {
    let mut index = Index::default();
    assert_eq!(index.observe(&object("a", 1, 1)).len(), 1, "new");
    assert!(index.observe(&object("a", 1, 1)).is_empty(), "the same again");
    index.wrote(&object("a", 5, 1));
    assert!(index.observe(&object("a", 5, 1)).is_empty(), "our own write");
    assert!(index.observe(&object("a", 4, 2)).is_empty(), "older than what we know");
    assert_eq!(index.observe(&object("a", 6, 2)).len(), 1, "an edit");
    assert!(index.observe(&object("a", 7, 2)).is_empty(), "a status");
    let request = Object { reconcile_requested: Some("now".into()), ..object("a", 8, 2) };
    assert_eq!(index.observe(&request).len(), 1, "a request");
    let other = Object { uid: "another".into(), ..object("a", 9, 1) };
    assert_eq!(index.observe(&other).len(), 1, "created again under the name");
}

#[test]
fn a_list_sweeps_at_its_end_and_only_its_scope() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.observe(&object("b", 2, 1));
    index.list_begins(0);
    index.observe(&object("a", 1, 1));
    assert_eq!(index.size().0, 2, "nothing goes while the list is under way");
    assert!(index.list_complete(0, |key| &*key.namespace == "other").is_empty());
    index.list_begins(0);
    index.observe(&object("a", 1, 1));
    assert_eq!(index.list_complete(0, |_| true).len(), 1);
    assert!(records(&index).all(|record| &*record.key.name == "a"));
}

#[test]
fn secrets_are_remembered_where_an_object_refers_to_them() {
    let mut index = Index::default();
    assert!(index.secrets.observe(&secret("teams"), identity("1")).is_empty());
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing, "nobody refers to it");
    index.observe(&object("a", 1, 1));
    assert!(index.secrets.observe(&secret("teams"), identity("1")).is_empty(), "nobody relied on it yet");
    assert_eq!(index.secrets.observe(&secret("teams"), identity("2")).len(), 1);
    assert!(index.secrets.observe(&secret("teams"), identity("2")).is_empty(), "the same again");
    assert!(index.secrets.observe(&secret("teams"), identity("1")).is_empty(), "older");
    index.secrets.observe(&secret("atlas"), identity("3"));
    assert_eq!(index.secrets.observe(&secret("atlas"), identity("4")).len(), 1, "credentials count too");
    assert_eq!(index.secrets.observe(&secret("teams"), None).len(), 1, "deleted");
    let applied = [AppliedSecret { name: "teams".into(), uid: "s".into(), resource_version: "2".into() }];
    let (namespace, names) = (Arc::from("ns"), [Arc::from("teams")]);
    let applied = AppliedSecret::digest(&applied);
    assert_eq!(index.secrets.since(&namespace, &names, applied), SecretsSince::Changed);
    index.secrets.observe(&secret("teams"), identity("2"));
    assert_eq!(index.secrets.since(&namespace, &names, applied), SecretsSince::Same);
    index.observe(&object("b", 1, 1));
    index.remove(&object("a", 0, 0).key);
    index.secrets.forget_unused();
    assert_ne!(index.secrets.get(&secret("teams")), Known::Nothing, "another object refers to it");
    index.remove(&object("b", 0, 0).key);
    index.secrets.forget_unused();
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing);
}

#[test]
fn a_list_of_secrets_tells_which_are_absent() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.list_begins(0);
    index.secrets.observe(&secret("atlas"), identity("1"));
    assert!(index.secrets.list_complete(0, |_| true).is_empty(), "nobody relied on it yet");
    assert_eq!(index.secrets.get(&secret("teams")), Known::Absent);
    assert_eq!(index.secrets.get(&secret("atlas")), Known::found(identity("1").as_ref()));
    index.secrets.list_begins(0);
    assert_eq!(index.secrets.list_complete(0, |_| true).len(), 1, "one that was there is gone");
}

#[test]
fn a_read_tells_what_the_watch_will_not_tell_again() {
    let mut index = Index::default();
    assert!(index.refresh(&object("a", 1, 1)).is_empty(), "the watch has not shown it");
    assert_eq!(index.size().0, 0);
    index.observe(&object("a", 1, 1));
    assert_eq!(index.refresh(&object("a", 2, 2)).len(), 1);
    assert!(index.observe(&object("a", 2, 2)).is_empty());
    index.wrote(&object("b", 1, 1));
    assert_eq!(index.size().0, 1, "what left our selector does not come back by our own write");
}

#[test]
fn a_read_of_a_secret_leaves_the_news_to_the_watch() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.read(&secret("teams"), identity("1"));
    assert!(index.secrets.observe(&secret("teams"), identity("1")).is_empty());
    index.secrets.read(&secret("teams"), identity("2"));
    assert_eq!(index.secrets.observe(&secret("teams"), identity("2")).len(), 1, "others refer to it too");
}

/// The operator's own Secret is in another namespace than the objects that use it; their own are not confused with it.
#[test]
fn the_operators_own_secret_is_known_by_its_users() {
    let own = ObjectKey { namespace: "platform".into(), name: "atlas".into() };
    let mut index = Index::new(Some(own.clone()));
    index.observe(&object("a", 1, 1));
    assert!(!index.secrets.is_referred_to(&own), "it has a Secret of its own");
    let mut user = object("b", 2, 1);
    user.spec.as_mut().expect("a spec").credentials = CredentialsRef::Operator;
    index.observe(&user);
    index.secrets.observe(&own, identity("1"));
    assert_eq!(index.secrets.observe(&own, identity("2")).len(), 1, "a rotation");
    index.remove(&user.key);
    index.secrets.forget_unused();
    assert!(!index.secrets.is_referred_to(&own));
    assert!(index.secrets.is_referred_to(&secret("atlas")));
}

#[test]
fn grants_wake_the_projects_that_they_concern() {
    let (project, other) = ("5d791c84ff7a2522cc4f9aa1", "5d791c84ff7a2522cc4f9aa2");
    let id = |text: &str| ProjectId::parse(text).expect("24 digits");
    let grant = |ids: &str| Grant { namespace: "ns".into(), projects: ProjectId::parse_list(ids) };
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    assert_eq!(index.grants("ns", &id(project)), None, "not watched");
    index.namespace_list_begins();
    assert!(index.observe_namespace(grant(other)).is_empty());
    assert_eq!(index.grants("ns", &id(project)), None, "nothing is known before the list is complete");
    assert!(index.namespace_list_complete().is_empty(), "no object is of that project");
    assert_eq!(index.grants("ns", &id(project)), Some(false));
    assert_eq!(index.observe_namespace(grant(&format!("{project},{other}"))).len(), 1, "granted");
    assert_eq!(index.grants("ns", &id(project)), Some(true));
    assert_eq!(index.grants("elsewhere", &id(project)), Some(false));
    assert!(index.observe_namespace(grant(&format!("{other} {project}"))).is_empty(), "the same again");
    assert_eq!(index.observe_namespace(grant("")).len(), 1, "withdrawn");
    assert_eq!(index.grants("ns", &id(project)), Some(false));

    // A list that is under way takes nothing away; what it did not show by its end is gone.
    index.observe_namespace(grant(project));
    index.namespace_list_begins();
    assert_eq!(index.grants("ns", &id(project)), Some(true));
    assert_eq!(index.namespace_list_complete().len(), 1);
    assert_eq!(index.grants("ns", &id(project)), Some(false));
    index.namespaces_unwatched();
    assert_eq!(index.grants("ns", &id(project)), None);
}

#[test]
fn without_a_watch_nothing_is_known_of_secrets() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.unwatched(0);
    index.secrets.read(&secret("teams"), None);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing);
    assert_eq!(
        index.secrets.since(&"ns".into(), &["teams".into()], AppliedSecret::digest(&[])),
        SecretsSince::Unknown
    );
    assert!(index.secrets.is_referred_to(&secret("teams")));
    index.secrets.list_begins(1);
    index.secrets.list_complete(1, |_| true);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing, "another watch is not allowed");
    index.secrets.list_begins(0);
    index.secrets.list_complete(0, |_| true);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Absent);
}

/// Trace 12: y claims and posts, an outsider deletes that, and x would claim the place from a view in which y has
/// nothing yet: both would own it. What an own write returns is in the index at once, and an older view does not
/// take it back. Which view a pass meets is luck, so the steps are fed one by one.
#[test]
fn trace_12_an_own_write_is_seen_before_the_watch_brings_it() {
    let mut index = Index::default();
    index.observe(&object("x", 1, 1));
    let y = object("y", 2, 1);
    index.observe(&y);
    let claim = crate::domain::Claim {
        uid: y.uid.clone(),
        time: Timestamp::default(),
        sent: crate::domain::Redacted::default(),
        adopted: false,
    };
    index.wrote(&Object { finalizer: true, claim: Some(claim), resource_version: "3".into(), ..y.clone() });
    index.observe(&y);
    let project = y.spec.as_ref().ok().map(|spec| spec.project.clone());
    let claimed: Vec<String> = index
        .of_project(&project)
        .into_iter()
        .filter(|r| r.claimed)
        .map(|r| r.key.name.to_string())
        .collect();
    assert_eq!(claimed, ["y"], "and so y keeps the place, though x is older");
}

/// An object was created again under the name, and the watch told so before the answer to the last read or write of its
/// namesake was there: what that says is over, and the watch will not tell again of the one that is there.
#[test]
fn a_late_answer_about_a_namesake_is_over() {
    let mut index = Index::default();
    let old = Object { deleting: true, ..object("a", 3, 1) };
    index.observe(&old);
    index.remove(&old.key);
    let new = Object { uid: "another".into(), ..object("a", 5, 1) };
    assert_eq!(index.observe(&new).len(), 1);
    assert!(index.refresh(&old).is_empty());
    index.wrote(&Object { resource_version: "4".into(), ..old.clone() });
    index.wrote(&Object { resource_version: "4".into(), finalizer: true, ..old });
    let known: Vec<&str> = records(&index).map(|record| record.uid.as_str()).collect();
    assert_eq!(known, ["another"]);
}

/// etcd was restored: what a list then shows is older than what is known, and right. What this process wrote while the
/// list was under way is newer than the list, and right as well.
#[test]
fn a_list_may_go_back_in_time() {
    let mut index = Index::default();
    index.observe(&object("a", 9, 3));
    index.secrets.observe(&secret("teams"), identity("8"));
    index.list_begins(0);
    assert_eq!(index.observe_from(0, &object("a", 4, 1)).len(), 1);
    index.list_complete(0, |_| true);
    assert!(records(&index).all(|record| record.resource_version == 4));
    index.secrets.list_begins(0);
    let old = SecretIdentity { uid: "s".into(), resource_version: "5".into() };
    assert!(!index.secrets.observe_from(0, &secret("teams"), old.clone()).is_empty());
    assert_eq!(index.secrets.get(&secret("teams")), Known::Present(&old));

    index.list_begins(0);
    index.wrote(&object("a", 6, 1));
    index.observe_from(0, &object("a", 4, 1));
    index.list_complete(0, |_| true);
    assert!(index.observe_from(0, &object("a", 5, 1)).is_empty(), "a watch only lags");
    assert!(records(&index).all(|record| record.resource_version == 6));
}
