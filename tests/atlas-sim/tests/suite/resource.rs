//! What POST, PUT, GET, LIST and DELETE do, over both versions.

use atlas_sim::{
    Api, Flowdock, HowNormalised, HowTwisted, Normalise, PutOmitted, PutOnAbsent, SlackFirstCreate, Twist,
};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{COMMON, Client, fresh, fresh_id, sample, sim};

fn both() -> [Api; 2] {
    [Api::V1, Api::V2]
}

#[tokio::test]
async fn every_type_lives_through_its_life_on_both_versions() {
    for api in both() {
        let (project, _, _) = fresh();
        let client = Client::new(&project, api);
        let types: Vec<&str> = COMMON.into_iter().chain((api == Api::V1).then_some("FLOWDOCK")).collect();
        for (position, kind) in types.iter().enumerate() {
            let answer = client.get(kind).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (404, "INTEGRATION_NOT_CONFIGURED"),
                "{kind}"
            );
            let detail = format!("The integration of type '{kind}' is not configured for this group.");
            assert_eq!(answer.json()["detail"], detail);
            let answer = client.post(&sample(kind)).await;
            assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
            assert_eq!(answer.types().len(), position + 1, "the answer is the page of all");
            assert_eq!(answer.json()["totalCount"], position + 1);
            assert_eq!(client.get(kind).await.json(), answer.entry(kind), "GET shows the entry of the page");
        }
        assert_eq!(client.list().await.types().len(), types.len());
        for kind in &types {
            let answer = client.delete(kind).await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{kind}");
            assert_eq!(client.delete(kind).await.code(), "INTEGRATION_NOT_CONFIGURED");
        }
        let page = client.list().await.json();
        assert_eq!((&page["results"], &page["totalCount"]), (&json!([]), &json!(0)));
    }
}

#[tokio::test]
async fn the_versions_share_one_store() {
    let (project, v1, v2) = fresh();
    v1.post(&sample("OPS_GENIE")).await;
    assert_eq!(v2.post(&sample("OPS_GENIE")).await.code(), "INTEGRATION_ALREADY_CONFIGURED");
    assert_eq!(v2.delete("OPS_GENIE").await.status, 204);
    assert_eq!(v1.get("OPS_GENIE").await.status, 404);
    assert!(project.stored().is_empty());
}

#[tokio::test]
async fn a_second_post_is_a_conflict_and_changes_nothing() {
    for api in both() {
        let (project, _, _) = fresh();
        let client = Client::new(&project, api);
        client.post(&sample("DATADOG")).await;
        let before = project.stored();
        let answer = client.post(&json!({"type": "DATADOG", "apiKey": "ffff", "region": "EU"})).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "INTEGRATION_ALREADY_CONFIGURED"));
        let detail = "The integration of type 'DATADOG' is already configured for this group.";
        assert_eq!(answer.json()["detail"], detail);
        assert_eq!(project.stored(), before);
    }
}

#[tokio::test]
async fn a_put_replaces_and_rolls_the_id() {
    let (project, _, v2) = fresh();
    let body = json!({"type": "DATADOG", "apiKey": "aaaa", "region": "EU", "sendDatabaseMetrics": true});
    let old = v2.post(&body).await.entry("DATADOG");
    let new = v2.put(&json!({"type": "DATADOG", "apiKey": "bbbb"})).await.entry("DATADOG");
    assert_ne!(new["id"], old["id"]);
    assert_eq!((&new["region"], &new["sendDatabaseMetrics"]), (&json!("US"), &json!(false)));
    let stored = project.stored_type("DATADOG").unwrap();
    assert_eq!((&stored["apiKey"], &stored["id"]), (&json!("bbbb"), &new["id"]));
}

#[tokio::test]
async fn whether_a_put_merges_and_keeps_the_id_are_switches() {
    let (project, v1, _) = fresh();
    project.settings(|settings| {
        settings.put_omitted = PutOmitted::Merge;
        settings.put_rolls_id = false;
    });
    v1.post(&sample("PROMETHEUS")).await;
    let id = project.stored_type("PROMETHEUS").unwrap()["id"].clone();
    let body =
        json!({"type": "PROMETHEUS", "enabled": false, "serviceDiscovery": "file", "username": "other"});
    assert_eq!(v1.put(&body).await.status, 200, "the password is kept, so that v1.0 does not miss it");
    let wanted = json!({
        "enabled": false, "id": id, "password": "s3cret-pass", "sendUserProvidedResourceTagsEnabled": false,
        "serviceDiscovery": "file", "type": "PROMETHEUS", "username": "other",
    });
    assert_eq!(project.stored_type("PROMETHEUS"), Some(wanted));
}

#[tokio::test]
async fn a_put_of_an_absent_type_adds_it_or_not() {
    for api in both() {
        let (project, _, _) = fresh();
        let client = Client::new(&project, api);
        assert_eq!(client.put(&sample("PAGER_DUTY")).await.types(), ["PAGER_DUTY"]);
        project.settings(|settings| settings.put_on_absent = PutOnAbsent::NotFound);
        assert_eq!(client.put(&sample("DATADOG")).await.code(), "INTEGRATION_NOT_CONFIGURED");
        assert_eq!(client.put(&sample("PAGER_DUTY")).await.status, 200);
        assert_eq!(project.stored().len(), 1);
    }
}

#[tokio::test]
async fn projects_are_found_or_not() {
    let (project, _, v2) = fresh();
    let unknown = fresh_id();
    let answer = Client { id: unknown.clone(), ..v2.clone() }.list().await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "GROUP_NOT_FOUND"));
    let wanted = format!(
        r#"{{"detail":"No group with ID {unknown} exists.","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["{unknown}"],"reason":"Not Found"}}"#
    );
    assert_eq!(answer.text, wanted);
    assert!(
        sim()
            .stray_exchanges()
            .iter()
            .any(|exchange| exchange.path.contains(&unknown) && exchange.status == 404)
    );
    for id in ["abc", "5D791C84FF7A2522CC4F9AA1", "zzzzzzzzzzzzzzzzzzzzzzzz"] {
        assert_eq!(Client { id: id.to_owned(), ..v2.clone() }.list().await.code(), "INVALID_GROUP_ID");
    }
    sim().remove_project(project.id());
    // The key outlives the project.
    assert_eq!(v2.list().await.code(), "GROUP_NOT_FOUND");
}

#[rstest]
#[case::post(Method::POST)]
#[case::put(Method::PUT)]
#[case::get(Method::GET)]
#[case::delete(Method::DELETE)]
#[tokio::test]
async fn unknown_types_are_refused(#[case] method: Method) {
    let (project, v1, v2) = fresh();
    let body = [Method::POST, Method::PUT].contains(&method).then(|| json!({"type": "NAGIOS"}));
    for client in [&v1, &v2] {
        let answer = client.send(method.clone(), "/NAGIOS", body.as_ref()).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "RESOURCE_NOT_FOUND"));
    }
    project.settings(|settings| settings.unknown_type_status = 400);
    let answer = v2.send(method, "/NAGIOS", body.as_ref()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_PATH_PARAMETER"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let (_, _, v2) = fresh();
    let v2 = v2.unchecked();
    assert_eq!(v2.send(Method::POST, "", Some(&sample("SLACK"))).await.code(), "METHOD_NOT_ALLOWED");
    assert_eq!(v2.send(Method::PATCH, "/SLACK", Some(&sample("SLACK"))).await.code(), "METHOD_NOT_ALLOWED");
    assert_eq!(v2.send(Method::GET, "/SLACK/more", None).await.code(), "RESOURCE_NOT_FOUND");
    let foreign = reqwest::get(format!("{}/metrics", v2.root)).await.unwrap();
    assert_eq!((foreign.status().as_u16(), foreign.text().await.unwrap().as_str()), (404, "not found"));
}

#[tokio::test]
async fn where_flowdock_exists_is_a_switch() {
    let (project, v1, v2) = fresh();
    assert_eq!(v2.post(&sample("FLOWDOCK")).await.code(), "RESOURCE_NOT_FOUND");
    assert_eq!(v1.post(&sample("FLOWDOCK")).await.types(), ["FLOWDOCK"]);
    assert!(v2.list().await.types().is_empty(), "v2 does not know it");
    project.settings(|settings| settings.flowdock = Flowdock::Everywhere);
    assert_eq!(v2.list().await.types(), ["FLOWDOCK"]);
    project.settings(|settings| settings.flowdock = Flowdock::Nowhere);
    assert!(v1.list().await.types().is_empty());
    assert_eq!(v1.put(&sample("FLOWDOCK")).await.code(), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn hipchat_is_refused_by_name() {
    let (_, v1, v2) = fresh();
    for client in [v1, v2] {
        let answer = client.post(&json!({"type": "HIP_CHAT"})).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "HIPCHAT_NOT_SUPPORTED"));
        assert_eq!(client.get("HIP_CHAT").await.code(), "INTEGRATION_NOT_CONFIGURED");
    }
}

#[tokio::test]
async fn slack_may_have_to_be_set_up_elsewhere_first() {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.slack_first_create = SlackFirstCreate::RequireOAuth2);
    assert_eq!(v2.post(&sample("SLACK")).await.code(), "SLACK_OAUTH2_NOT_CONFIGURED");
    assert_eq!(v2.put(&sample("SLACK")).await.code(), "SLACK_OAUTH2_NOT_CONFIGURED");
    project.replace_by_other(sample("SLACK"));
    assert_eq!(v2.put(&sample("SLACK")).await.status, 200, "it may be changed by API");
}

#[tokio::test]
async fn a_webhook_in_use_is_not_deleted() {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.webhook_notifications_present = true);
    assert_eq!(v2.delete("WEBHOOK").await.code(), "INTEGRATION_NOT_CONFIGURED");
    v2.post(&sample("WEBHOOK")).await;
    let answer = v2.delete("WEBHOOK").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "WEBHOOK_NOTIFICATIONS_PRESENT"));
    assert_eq!(project.stored().len(), 1);
    project.settings(|settings| settings.webhook_notifications_present = false);
    assert_eq!(v2.delete("WEBHOOK").await.status, 204);
}

#[rstest]
#[case(HowNormalised::Lowercase, json!("team-a"))]
#[case(HowNormalised::Uppercase, json!(" TEAM-A "))]
#[case(HowNormalised::Trim, json!("Team-A"))]
#[case(HowNormalised::Set(json!("fixed")), json!("fixed"))]
#[case(HowNormalised::Drop, Value::Null)]
#[case(HowNormalised::Prefix("#".to_owned()), json!("# Team-A "))]
#[case(HowNormalised::Number, json!(" Team-A "))]
#[tokio::test]
async fn values_can_be_normalised(#[case] how: HowNormalised, #[case] wanted: Value) {
    let (project, _, v2) = fresh();
    let text = if how == HowNormalised::Lowercase { "Team-A" } else { " Team-A " };
    let rule = Normalise { integration_type: "VICTOR_OPS".to_owned(), field: "routingKey".to_owned(), how };
    project.settings(|settings| settings.normalise.push(rule));
    let body = json!({"type": "VICTOR_OPS", "apiKey": "a", "routingKey": text});
    assert_eq!(v2.post(&body).await.entry("VICTOR_OPS")["routingKey"], wanted);
}

#[tokio::test]
async fn digits_can_be_kept_as_a_number() {
    let (project, _, v2) = fresh();
    let (integration_type, field) = ("VICTOR_OPS".to_owned(), "routingKey".to_owned());
    let rule = Normalise { integration_type, field, how: HowNormalised::Number };
    project.settings(|settings| settings.normalise.push(rule));
    let body = json!({"type": "VICTOR_OPS", "apiKey": "a", "routingKey": "2857404"});
    assert_eq!(v2.unchecked().post(&body).await.entry("VICTOR_OPS")["routingKey"], 2_857_404);
}

/// What a twist makes of the field in the answer to a POST and to a PUT that leaves it out, and what is stored then.
#[rstest]
#[case::none(None, json!(["night", null, null]))]
#[case::added(Some(HowTwisted::Add(json!("x"))), json!(["night", "x", null]))]
#[case::hidden(Some(HowTwisted::Hide), json!([null, null, null]))]
#[case::null(Some(HowTwisted::Null), json!([null, null, null]))]
#[case::masked(Some(HowTwisted::Mask(2)), json!(["***ht", null, null]))]
#[case::masked_as_a_whole(Some(HowTwisted::Mask(0)), json!(["*****", null, null]))]
#[case::default(Some(HowTwisted::Default(json!("day"))), json!(["night", "day", "day"]))]
#[case::merged(Some(HowTwisted::Merge), json!(["night", "night", "night"]))]
#[tokio::test]
async fn any_field_can_be_twisted(#[case] how: Option<HowTwisted>, #[case] wanted: Value) {
    for api in both() {
        let (project, _, _) = fresh();
        let client = Client::new(&project, api).unchecked();
        let (integration_type, field) = ("VICTOR_OPS".to_owned(), "routingKey".to_owned());
        let twists = how.clone().map(|how| Twist { integration_type, field, how });
        project.settings(|settings| settings.twists.extend(twists));
        let shown = |answer: &Value| answer["routingKey"].clone();
        let full = json!({"type": "VICTOR_OPS", "apiKey": "a", "routingKey": "night"});
        let first = shown(&client.post(&full).await.entry("VICTOR_OPS"));
        let keys = client.get("VICTOR_OPS").await.json();
        assert_eq!(keys.get("routingKey").is_some(), how != Some(HowTwisted::Hide));
        let second =
            shown(&client.put(&json!({"type": "VICTOR_OPS", "apiKey": "a"})).await.entry("VICTOR_OPS"));
        let stored = shown(&project.stored_type("VICTOR_OPS").unwrap());
        assert_eq!(json!([first, second, stored]), wanted, "{api:?}");
        client.post(&sample("OPS_GENIE")).await;
        assert_eq!(
            client.get("OPS_GENIE").await.json()["region"],
            project.stored_type("OPS_GENIE").unwrap()["region"]
        );
    }
}

/// A twist may name a field of any type, and only that field of that type is twisted.
#[tokio::test]
async fn every_field_of_every_type_can_be_hidden() {
    let (project, v1, _) = fresh();
    let v1 = v1.unchecked();
    for kind in COMMON.into_iter().chain(["FLOWDOCK"]) {
        let before = v1.post(&sample(kind)).await.entry(kind);
        let names: Vec<String> =
            before.as_object().unwrap().keys().filter(|name| *name != "type").cloned().collect();
        for name in names {
            let twist =
                Twist { integration_type: kind.to_owned(), field: name.clone(), how: HowTwisted::Hide };
            project.settings(|settings| settings.twists = vec![twist]);
            let mut wanted = before.clone();
            wanted.as_object_mut().unwrap().remove(&name);
            assert_eq!(v1.get(kind).await.json(), wanted);
        }
    }
}

#[tokio::test]
async fn many_writers_get_one_entry() {
    let (project, _, v2) = fresh();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let v2 = v2.clone();
        tasks.spawn(async move { v2.post(&sample("OPS_GENIE")).await.status });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    let mut wanted = [409; 20];
    wanted[0] = 200;
    assert_eq!(statuses, wanted);
    assert_eq!(project.stored().len(), 1);
}
