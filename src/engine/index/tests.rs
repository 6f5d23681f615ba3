//! The index, fed with events and asked, without any server.

use jiff::Timestamp;

use super::*;
use crate::cluster::SecretIdentity;
use crate::domain::{
    Attempt, Claim, FieldValue, Integration, IntegrationType, MemoryKey, SecretKey, Status, testing,
};

fn teams() -> Integration<SecretKey> {
    let key = SecretKey { name: "teams".into(), key: "url".into() };
    let values = [("microsoftTeamsWebhookUrl", FieldValue::Secret(key))];
    Integration::new(IntegrationType::MicrosoftTeams, values).expect("a Microsoft Teams")
}

pub(super) fn object(name: &str, version: u64, generation: i64) -> Object {
    Object {
        key: ObjectKey { namespace: "ns".into(), name: name.into() },
        uid: format!("uid-{name}"),
        resource_version: version.to_string(),
        generation,
        ..testing::object(Ok(testing::spec(teams())))
    }
}

/// The object, with its claim and the attempt that proves it.
fn claimed(object: Object) -> Object {
    let time = Timestamp::default();
    let claim = Claim { uid: object.uid.clone(), time };
    let attempt = Attempt { id: format!("{}.1", object.uid), time, sent: None };
    let status = Status { attempt: Some(attempt), ..object.status };
    Object { finalizer: true, claim: Some(claim), status, ..object }
}

/// The object, in another project.
pub(super) fn elsewhere(mut object: Object) -> Object {
    object.spec.as_mut().expect("a spec").project = project(2).expect("24 digits");
    object
}

pub(super) fn project(number: u8) -> ProjectKey {
    ProjectId::parse(&format!("5d791c84ff7a2522cc4f9aa{number}"))
}

fn records(index: &Index) -> impl Iterator<Item = &Record> {
    index.objects.within(&Part::All)
}

pub(super) fn secret(name: &str) -> ObjectKey {
    ObjectKey { namespace: "ns".into(), name: name.into() }
}

pub(super) fn identity(version: &str) -> Option<SecretIdentity> {
    Some(SecretIdentity { uid: "s".into(), resource_version: version.into() })
}

/// A list that failed half way tells nothing, and the watch begins another one.
#[test]
fn a_list_that_begins_again_forgets_what_it_has_shown() {
    let mut index = Index::default();
    index.list_begins(0);
    index.observe_from(0, &object("a", 1, 1));
    index.list_begins(0);
    assert_eq!(index.list_complete(0, &Part::All), [project(1)]);
    assert_eq!(index.size(), (0, 0));
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
    assert!(index.list_complete(0, &Part::Namespace("other".into())).is_empty());
    index.list_begins(0);
    index.observe(&object("a", 1, 1));
    assert_eq!(index.list_complete(0, &Part::All).len(), 1);
    assert!(records(&index).all(|record| &*record.key.name == "a"));
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

/// The answer to a read is on its way while the object goes and a list begins. Its end is older than the list, so no
/// watch tells of it, and the object would keep others out of its place.
#[test]
fn a_read_does_not_keep_an_object_that_a_list_left_out() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.list_begins(0);
    index.refresh(&object("a", 2, 1));
    assert_eq!(index.list_complete(0, &Part::All), [project(1)]);
    assert_eq!(index.size().0, 0);
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

/// Trace 12: y claims and posts, an outsider deletes that, and x would claim the place from a view in which y has
/// nothing yet: both would own it. What an own write returns is in the index at once, and an older view does not
/// take it back. Which view a pass meets is luck, so the steps are fed one by one.
#[test]
fn trace_12_an_own_write_is_seen_before_the_watch_brings_it() {
    let mut index = Index::default();
    index.observe(&object("x", 1, 1));
    let y = object("y", 2, 1);
    index.observe(&y);
    index.wrote(&Object { resource_version: "3".into(), ..claimed(y.clone()) });
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
    index.list_complete(0, &Part::All);
    assert!(records(&index).all(|record| record.resource_version == 4));
    index.secrets.list_begins(0);
    let old = SecretIdentity { uid: "s".into(), resource_version: "5".into() };
    assert!(!index.secrets.observe_from(0, &secret("teams"), old.clone()).is_empty());
    assert_eq!(index.secrets.get(&secret("teams")), Known::Present(old));

    index.list_begins(0);
    index.wrote(&object("a", 6, 1));
    index.observe_from(0, &object("a", 4, 1));
    index.list_complete(0, &Part::All);
    assert!(index.observe_from(0, &object("a", 5, 1)).is_empty(), "a watch only lags");
    assert!(records(&index).all(|record| record.resource_version == 6));
}

/// A change of one of these alone, by somebody else, makes the operator look at the object.
#[test]
fn each_change_by_somebody_else_asks_for_a_pass() {
    type Change = fn(&mut Object);
    let changes: [(&str, Change); 7] = [
        ("was created again", |object| object.uid = "another".into()),
        ("was edited", |object| object.generation += 1),
        ("is being deleted", |object| object.deleting = true),
        ("is asked to look", |object| object.reconcile_requested = Some("now".into())),
        ("is asked to look again", |object| object.reconcile_requested = Some("again".into())),
        ("is asked to write", |object| object.rewrite_requested = Some("now".into())),
        ("is not asked any more", |object| object.rewrite_requested = None),
    ];
    let mut index = Index::default();
    let mut now = object("a", 1, 1);
    index.observe(&now);
    for (version, (what, change)) in (2..).zip(changes) {
        change(&mut now);
        now.resource_version = version.to_string();
        assert_eq!(index.observe(&now), [project(1)], "an object that {what}");
    }
}

#[test]
fn a_claim_asks_for_a_pass_only_when_somebody_takes_it_away() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    assert!(index.observe(&claimed(object("a", 2, 1))).is_empty(), "the operator claims");
    assert!(index.observe(&claimed(object("a", 3, 1))).is_empty(), "the claim stays");
    assert_eq!(index.observe(&object("a", 4, 1)), [project(1)], "it was taken away");
    assert!(index.observe(&object("a", 5, 1)).is_empty());
}

#[test]
fn an_edit_that_moves_an_object_wakes_both_projects() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    assert_eq!(index.observe(&elsewhere(object("a", 2, 2))), [project(2), project(1)]);
    assert!(index.of_project(&project(1)).is_empty());
    assert_eq!(index.of_project(&project(2)).len(), 1);
}

#[test]
fn the_index_tells_which_projects_have_objects() {
    let mut index = Index::default();
    assert_eq!((index.size(), index.projects()), ((0, 0), Vec::new()));
    for object in [object("b", 1, 1), elsewhere(object("c", 2, 1)), object("a", 3, 1)] {
        index.observe(&object);
    }
    assert_eq!(index.size(), (3, 2));
    let mut projects: Vec<ProjectKey> = index.projects().into_iter().map(|(project, ..)| project).collect();
    projects.sort();
    assert_eq!(projects, [project(1), project(2)]);
    let names = index.of_project(&project(1)).into_iter().map(|record| record.key.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"], "in the order of their keys");
    assert_eq!(index.remove(&object("c", 0, 0).key), Some(project(2)));
    assert_eq!(index.remove(&object("c", 0, 0).key), None, "it is gone already");
    assert_eq!((index.size(), index.projects()), ((2, 1), vec![(project(1), "ns".into(), true)]));
}

/// Whoever may create objects in a busy namespace must not be able to move others' projects there.
#[test]
fn a_project_is_at_home_where_its_oldest_object_is() {
    let mut index = Index::default();
    assert_eq!(index.home(&project(1)), None);
    let in_namespace = |namespace: &str, created| {
        let key = ObjectKey { namespace: namespace.into(), name: "x".into() };
        let created = Timestamp::from_second(created).expect("a time");
        Object { key, uid: format!("uid-{namespace}"), created, ..object("x", 1, 1) }
    };
    let older = in_namespace("older", 1);
    for object in [in_namespace("a-younger", 2), older.clone(), in_namespace("younger", 3)] {
        index.observe(&object);
    }
    assert_eq!(index.home(&project(1)).as_deref(), Some("older"));
    index.remove(&older.key);
    assert_eq!(index.home(&project(1)).as_deref(), Some("a-younger"));
}

#[test]
fn an_object_whose_spec_cannot_be_read_has_no_type_and_no_project() {
    let mut index = Index::default();
    index.observe(&Object { spec: Err("type: unknown".into()), ..object("a", 1, 1) });
    index.observe(&object("b", 1, 1));
    let kinds = |project| index.of_project(&project).iter().map(Record::kind).collect::<Vec<_>>();
    assert_eq!(kinds(None), [None]);
    assert_eq!(kinds(project(1)), [Some(IntegrationType::MicrosoftTeams)]);
}

/// With its last finalizer the API server removes an object, and the watch may take a while to say so.
#[test]
fn a_write_that_lets_a_deleted_object_go_takes_it_out_of_the_index() {
    let mut index = Index::default();
    let living = claimed(object("a", 1, 1));
    index.observe(&living);
    let deleting = Object { deleting: true, ..living };
    index.wrote(&Object { resource_version: "2".into(), ..deleting.clone() });
    assert_eq!(index.size().0, 1, "the finalizer still holds it");
    index.wrote(&Object { resource_version: "3".into(), finalizer: false, ..deleting });
    assert_eq!(index.size().0, 0);
}

#[test]
fn a_release_leaves_a_living_object_in_the_index() {
    let mut index = Index::default();
    index.observe(&claimed(object("a", 1, 1)));
    index.wrote(&object("a", 2, 1));
    assert!(records(&index).all(|record| record.resource_version == 2 && !record.claimed));
    assert_eq!(index.size().0, 1);
}

#[test]
fn what_a_write_returned_is_over_once_the_watch_is_ahead_of_it() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.observe(&object("a", 9, 2));
    index.wrote(&claimed(object("a", 8, 1)));
    assert!(records(&index).all(|record| record.generation == 2 && !record.claimed));
}

#[test]
fn a_confirmed_write_is_remembered_for_its_object_alone() {
    let write = MemoryKey::generate().expect("randomness").fingerprint(["value"]).carried_by("uid-a.1");
    let mut index = Index::default();
    let object = object("a", 1, 1);
    let (key, uid) = (&object.key, object.uid.as_str());
    index.confirm(key, uid, Some(write));
    assert_eq!(index.confirmed(key, uid), None, "nothing is known of the object");
    index.observe(&object);
    assert_eq!(index.confirmed(key, uid), None);
    index.confirm(key, "another", Some(write));
    assert_eq!(index.confirmed(key, uid), None, "an earlier object of the name wrote that");
    index.confirm(key, uid, Some(write));
    assert_eq!(index.confirmed(key, uid), Some(write));
    assert_eq!(index.confirmed(key, "another"), None);
    index.wrote(&Object { resource_version: "2".into(), ..object.clone() });
    assert_eq!(index.confirmed(key, uid), Some(write), "the status that follows leaves it as it is");
    index.confirm(key, uid, None);
    assert_eq!(index.confirmed(key, uid), None, "the next write is on its way");
}

#[test]
fn an_object_that_was_created_again_has_confirmed_nothing() {
    let write = MemoryKey::generate().expect("randomness").fingerprint(["value"]).carried_by("uid-a.1");
    let mut index = Index::default();
    let old = object("a", 1, 1);
    index.observe(&old);
    index.confirm(&old.key, &old.uid, Some(write));
    index.observe(&Object { uid: "another".into(), ..object("a", 2, 1) });
    assert_eq!(index.confirmed(&old.key, "another"), None);
}

#[test]
fn a_list_that_shows_the_same_again_wakes_nobody() {
    let mut index = Index::default();
    index.observe(&object("a", 9, 1));
    index.list_begins(0);
    assert!(index.observe_from(0, &object("a", 9, 1)).is_empty());
    assert!(index.list_complete(0, &Part::All).is_empty());
}

#[test]
fn only_a_list_can_show_that_the_server_went_back_in_time() {
    let mut index = Index::default();
    index.observe(&object("a", 9, 2));
    index.list_begins(1);
    assert!(index.observe_from(0, &object("a", 4, 1)).is_empty(), "watch 0 does not list");
    assert!(records(&index).all(|record| record.resource_version == 9));
}

/// A list of one Namespace says nothing of the others, and objects that it showed are there.
#[test]
fn an_object_that_a_list_of_its_scope_left_out_wakes_its_project() {
    let mut index = Index::default();
    for name in ["shown", "gone"] {
        index.observe(&object(name, 1, 1));
    }
    let mut beyond = object("beyond", 1, 1);
    beyond.key.namespace = "other".into();
    index.observe(&beyond);
    index.list_begins(0);
    index.observe_from(0, &object("shown", 1, 1));
    assert_eq!(index.list_complete(0, &Part::Namespace("ns".into())), [project(1)]);
    let mut left: Vec<_> = records(&index).map(|record| record.key.name.to_string()).collect();
    left.sort();
    assert_eq!(left, ["beyond", "shown"]);
    assert!(index.list_complete(0, &Part::All).is_empty(), "no list is under way");
    assert_eq!(index.size().0, 2);
}
