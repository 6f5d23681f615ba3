//! What the index knows of Secrets, and whom a change of one concerns.

use std::sync::Arc;

use super::tests::{elsewhere, identity, object, project, secret};
use super::*;
use crate::cluster::SecretIdentity;
use crate::domain::{AppliedSecret, CredentialsRef, ManagementPolicy};

/// A read of a Secret during which nothing else happens.
fn read(index: &mut Index, name: &str, found: Option<SecretIdentity>) {
    let was_unknown = index.secrets.read_begins(&secret(name));
    assert!(index.secrets.read_ends(&secret(name), was_unknown, Known::found(found)).is_empty());
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
    assert!(index.secrets.list_complete(0, &Part::All).is_empty(), "nobody relied on it yet");
    assert_eq!(index.secrets.get(&secret("teams")), Known::Absent);
    assert_eq!(index.secrets.get(&secret("atlas")), Known::found(identity("1")));
    index.secrets.list_begins(0);
    assert_eq!(index.secrets.list_complete(0, &Part::All).len(), 1, "one that was there is gone");
}

#[test]
fn a_read_of_a_secret_leaves_the_news_to_the_watch() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    read(&mut index, "teams", identity("1"));
    assert!(index.secrets.observe(&secret("teams"), identity("1")).is_empty());
    read(&mut index, "teams", identity("2"));
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
fn without_a_watch_nothing_is_known_of_secrets() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.unwatched(0, Part::All);
    read(&mut index, "teams", None);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing);
    assert_eq!(
        index.secrets.since(&"ns".into(), &["teams".into()], AppliedSecret::digest(&[])),
        SecretsSince::Unknown
    );
    assert!(index.secrets.is_referred_to(&secret("teams")));
    index.secrets.list_begins(0);
    index.secrets.list_complete(0, &Part::All);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Absent);
}

/// Somebody forbids the watch in one namespace. In the others a Secret that does not change is still not read.
#[test]
fn a_watch_that_is_not_allowed_hides_only_its_own_secrets() {
    let mut index = Index::default();
    let elsewhere = ObjectKey { namespace: "other".into(), name: "teams".into() };
    index.observe(&object("a", 1, 1));
    index.observe(&Object { key: ObjectKey { name: "a".into(), ..elsewhere.clone() }, ..object("b", 1, 1) });
    index.secrets.observe(&secret("teams"), identity("1"));
    index.secrets.observe(&elsewhere, identity("2"));
    index.secrets.unwatched(1, Part::Namespace("other".into()));
    assert!(matches!(index.secrets.get(&secret("teams")), Known::Present(_)), "it is watched");
    assert_eq!(index.secrets.get(&elsewhere), Known::Nothing);
    index.secrets.list_begins(0);
    index.secrets.list_complete(0, &Part::Namespace("ns".into()));
    assert_eq!(index.secrets.get(&elsewhere), Known::Nothing, "another list changes nothing");
    index.secrets.list_begins(1);
    index.secrets.observe_from(1, &elsewhere, identity("2").expect("an identity"));
    index.secrets.list_complete(1, &Part::Namespace("other".into()));
    assert!(matches!(index.secrets.get(&elsewhere), Known::Present(_)), "it is watched now");
}

/// An observing object reads no Secret, so none of them can wake it. While it is suspended, its status still says
/// whether what was last applied is what spec and Secrets ask for.
#[test]
fn an_observing_object_needs_its_secrets_only_while_it_is_suspended() {
    let observing = |version, suspend| {
        let mut object = object("a", version, 1);
        let spec = object.spec.as_mut().expect("a spec");
        (spec.management, spec.suspend) = (ManagementPolicy::Observe, suspend);
        object
    };
    let mut index = Index::default();
    index.observe(&observing(1, false));
    assert!(!index.secrets.is_referred_to(&secret("teams")));
    index.observe(&observing(2, true));
    assert!(index.secrets.is_referred_to(&secret("teams")));
    index.secrets.observe(&secret("teams"), identity("1"));
    assert_eq!(index.secrets.observe(&secret("teams"), identity("2")).len(), 1, "a rotation");
}

/// Without numbers there is no order of versions, so each other version is a change.
#[test]
fn a_version_that_is_no_number_is_never_older() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.observe(&secret("teams"), identity("x"));
    assert_eq!(index.secrets.observe(&secret("teams"), identity("y")).len(), 1);
    assert_eq!(index.secrets.observe(&secret("teams"), identity("x")).len(), 1);
}

#[test]
fn a_secret_that_was_created_again_is_another_secret() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.observe(&secret("teams"), identity("9"));
    let new = SecretIdentity { uid: "another".into(), resource_version: "3".into() };
    assert_eq!(index.secrets.observe(&secret("teams"), Some(new)).len(), 1, "its version does not count");
}

/// One project with two users is told once, and as long as one of them is left.
#[test]
fn each_project_that_uses_a_secret_is_told_once() {
    let mut index = Index::default();
    let (first, second, foreign) = (object("a", 1, 1), object("b", 1, 1), elsewhere(object("c", 1, 1)));
    for user in [&first, &second, &foreign] {
        index.observe(user);
    }
    index.secrets.observe(&secret("teams"), identity("1"));
    let projects = index.secrets.observe(&secret("teams"), identity("2"));
    assert_eq!(projects, [project(1), project(2)]);
    index.remove(&first.key);
    index.remove(&foreign.key);
    assert_eq!(index.secrets.observe(&secret("teams"), identity("3")), projects[..1]);
    index.remove(&second.key);
    assert!(index.secrets.observe(&secret("teams"), identity("4")).is_empty());
}

#[test]
fn a_secret_that_a_list_shows_again_wakes_nobody() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.observe(&secret("teams"), identity("9"));
    index.secrets.list_begins(0);
    assert!(index.secrets.observe_from(0, &secret("teams"), identity("9").expect("one")).is_empty());
}

#[test]
fn a_list_of_secrets_says_nothing_of_those_beyond_its_scope() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.list_begins(0);
    index.secrets.list_complete(0, &Part::Secret(secret("teams")));
    assert_eq!(index.secrets.get(&secret("teams")), Known::Absent);
    assert_eq!(index.secrets.get(&secret("atlas")), Known::Nothing);
}

#[test]
fn a_read_tells_whether_a_secret_exists() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    read(&mut index, "teams", identity("1"));
    read(&mut index, "atlas", None);
    assert_eq!(index.secrets.get(&secret("teams")), Known::found(identity("1")));
    assert_eq!(index.secrets.get(&secret("atlas")), Known::Absent);
}

#[test]
fn the_states_of_secrets_are_compared_as_a_whole() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    let applied =
        |name: &str| AppliedSecret { name: name.into(), uid: "s".into(), resource_version: "1".into() };
    let states = AppliedSecret::digest(&[applied("teams"), applied("atlas")]);
    let since = |index: &Index, names: &[Arc<str>]| index.secrets.since(&"ns".into(), names, states);
    let both: [Arc<str>; 2] = ["teams".into(), "atlas".into()];
    index.secrets.observe(&secret("teams"), identity("1"));
    assert_eq!(since(&index, &both), SecretsSince::Unknown, "one was not looked at yet");
    index.secrets.observe(&secret("atlas"), identity("1"));
    assert_eq!(since(&index, &both), SecretsSince::Same);
    assert_eq!(since(&index, &both[..1]), SecretsSince::Changed, "one is not referred to any more");
    index.secrets.observe(&secret("atlas"), identity("2"));
    assert_eq!(since(&index, &both), SecretsSince::Changed);
    // A missing Secret was not applied, even if the digest is that of the others.
    index.secrets.observe(&secret("atlas"), None);
    let others = AppliedSecret::digest(&[applied("teams")]);
    assert_eq!(index.secrets.since(&"ns".into(), &both, others), SecretsSince::Changed);
    let with_unread: [Arc<str>; 2] = ["unread".into(), "atlas".into()];
    assert_eq!(since(&index, &with_unread), SecretsSince::Changed, "whatever the other one holds");
}

/// Thousands of objects may have one namespace and one Secret of credentials.
#[test]
fn objects_share_the_names_that_they_have_in_common() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.observe(&object("b", 1, 1));
    let records = index.of_project(&project(1));
    let [a, b] = records.as_slice() else { panic!("two objects") };
    assert!(Arc::ptr_eq(&a.key.namespace, &b.key.namespace));
    assert!(Arc::ptr_eq(&a.secrets[0], &b.secrets[0]));
    let [a, b] = [a, b].map(|record| record.spec.as_ref().map(|spec| &spec.credentials));
    let (Some(CredentialsRef::Secret(a)), Some(CredentialsRef::Secret(b))) = (a, b) else {
        panic!("two names")
    };
    assert!(Arc::ptr_eq(a, b));
}

#[test]
fn objects_keep_the_names_in_which_they_differ() {
    let own = ObjectKey { namespace: "platform".into(), name: "own".into() };
    let mut index = Index::new(Some(own));
    for name in ["a", "b"] {
        let mut user = object(name, 1, 1);
        user.spec.as_mut().expect("a spec").credentials = CredentialsRef::Operator;
        index.observe(&user);
    }
    index.observe(&object("c", 1, 1));
    index.observe(&object("d", 1, 1));
    for record in index.of_project(&project(1)) {
        assert_eq!((&*record.key.namespace, &*record.secrets[0]), ("ns", "teams"));
        let secret = record.spec.expect("a spec").credentials.secret(&record.key.namespace, None);
        let expected = ["c", "d"].contains(&&*record.key.name).then_some("ns/atlas".to_owned());
        assert_eq!(secret.map(|secret| secret.to_string()), expected);
    }
}

/// The first news of a Secret makes nothing due, since whoever needs the Secret reads it. Whoever is reading it already
/// may get an answer from before the news.
#[test]
fn news_of_a_secret_that_come_while_it_is_read_are_looked_at() {
    type Found = Known<SecretIdentity>;
    let state = |version: &str| Known::found(identity(version));
    let cases: [(&str, &[Option<&str>], Found, usize); 9] = [
        ("created during the read, which found nothing", &[Some("2")], Known::Absent, 1),
        ("created during the read, which found it", &[Some("2")], state("2"), 0),
        ("changed during the read, which found the old value", &[Some("2")], state("1"), 1),
        ("changed again after the first news, which the watch tells", &[Some("2"), Some("3")], state("3"), 0),
        ("deleted during the read, which found it", &[Some("1"), None], state("1"), 1),
        ("deleted during the read, which found nothing", &[None], Known::Absent, 0),
        ("created during a read that failed", &[Some("2")], Known::Nothing, 1),
        ("not told of during the read", &[], state("1"), 0),
        ("not told of during a read that failed", &[], Known::Nothing, 0),
    ];
    for (what, news, found, due) in cases {
        let mut index = Index::default();
        index.observe(&object("a", 1, 1));
        let was_unknown = index.secrets.read_begins(&secret("teams"));
        for news in news {
            index.secrets.observe(&secret("teams"), news.and_then(identity));
        }
        let projects = index.secrets.read_ends(&secret("teams"), was_unknown, found);
        assert_eq!(projects, vec![project(1); due], "{what}");
    }
}

/// While the watch is behind, or fails, each read finds another state than the watch has shown. That must not make a
/// pass due again and again.
#[test]
fn a_read_that_is_ahead_of_a_known_state_makes_nothing_due() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.observe(&secret("teams"), identity("1"));
    for _ in 0..3 {
        read(&mut index, "teams", identity("2"));
    }
    assert_eq!(index.secrets.get(&secret("teams")), Known::found(identity("1")));
}

/// Two passes read the same Secret for the first time, and it changes between the two answers.
#[test]
fn a_read_that_finds_another_state_than_a_second_one_is_looked_at_again() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.observe(&elsewhere(object("b", 1, 1)));
    let [one, other] = [(); 2].map(|()| index.secrets.read_begins(&secret("teams")));
    assert!(index.secrets.read_ends(&secret("teams"), one, Known::found(identity("2"))).is_empty());
    assert_eq!(index.secrets.read_ends(&secret("teams"), other, Known::Absent), [project(1), project(2)]);
}

/// A list shows one moment. A Secret that was created after it, and read before the list is complete, exists.
#[test]
fn a_secret_that_is_newer_than_a_list_is_not_absent() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.observe(&secret("atlas"), identity("7"));
    index.secrets.list_begins(0);
    index.secrets.observe_from(0, &secret("atlas"), identity("7").expect("one"));
    read(&mut index, "teams", identity("9"));
    assert_eq!(index.secrets.list_complete(0, &Part::All), [project(1)]);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing, "the next read tells");
    read(&mut index, "teams", identity("9"));
    assert_eq!(index.secrets.get(&secret("teams")), Known::found(identity("9")));
    assert!(index.secrets.observe(&secret("teams"), identity("9")).is_empty(), "what the watch brings then");
}

/// A read found a Secret, and it was deleted before the list. Its end is older than the list, so no watch tells of it.
#[test]
fn a_secret_that_was_read_before_a_list_and_is_not_in_it_is_not_taken_for_present() {
    let mut index = Index::default();
    index.observe(&object("a", 1, 1));
    index.secrets.observe(&secret("atlas"), identity("7"));
    index.secrets.list_begins(0);
    read(&mut index, "teams", identity("5"));
    assert_eq!(index.secrets.list_complete(0, &Part::Secret(secret("teams"))), [project(1)]);
    assert_eq!(index.secrets.get(&secret("teams")), Known::Nothing, "the next read tells");
}

/// Seven bytes hold the version of every Secret but those of 2^56 and more, which are kept as texts.
#[test]
fn an_older_state_of_a_secret_is_told_by_a_number_of_any_size() {
    let uid = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d";
    let versions = ["1", "255", "256", "72057594037927935", "72057594037927936", "18446744073709551615"];
    for [older, newer] in versions.array_windows() {
        let [older, newer] = [older, newer]
            .map(|version| SecretIdentity { uid: uid.into(), resource_version: (*version).into() });
        let mut index = Index::default();
        index.observe(&object("a", 1, 1));
        index.secrets.observe(&secret("teams"), Some(newer.clone()));
        index.secrets.observe(&secret("teams"), Some(older));
        assert_eq!(index.secrets.get(&secret("teams")), Known::Present(newer));
    }
}

/// The API promises no form of these texts, and the status of an object has them as they are.
#[test]
fn the_state_of_a_secret_is_kept_to_the_letter() {
    let usual = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d";
    let states = [
        (usual, "812345"),
        (usual, "0812345"),
        (usual, "+5"),
        (usual, "abc"),
        (usual, "72057594037927935"),
        (usual, "72057594037927936"),
        (usual, "18446744073709551615"),
        ("9B1DEB4D-3B7D-4BAD-9BDD-2B0D7B3DCB6D", "1"),
        ("9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d", "1"),
        ("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6", "1"),
        ("s", "18446744073709551616"),
    ];
    for (uid, version) in states {
        let mut index = Index::default();
        index.observe(&object("a", 1, 1));
        let state = SecretIdentity { uid: uid.into(), resource_version: version.into() };
        index.secrets.observe(&secret("teams"), Some(state.clone()));
        assert_eq!(index.secrets.get(&secret("teams")), Known::Present(state));
    }
}
