//! The interface for scripts: it does what the library does.

use atlas_sim::{Api, Fault, PutOnAbsent};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, fresh_id, sample, sim};

async fn call(method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = reqwest::Client::new().request(method, format!("{}/_admin/{path}", sim().url()));
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    Answer::of(request.send().await.unwrap()).await.unwrap()
}

async fn ok(method: Method, path: &str, body: Option<Value>) -> Value {
    let answer = call(method, path, body).await;
    match answer.status {
        200 => answer.json(),
        204 => Value::Null,
        status => panic!("{status}: {}", answer.text),
    }
}

/// A project made by the interface, and a client with its key.
async fn created() -> (String, Client) {
    let id = fresh_id();
    let body = json!({
        "id": id,
        "keys": [
            {"publicKey": "script", "privateKey": "private"},
            {"publicKey": "reader", "privateKey": "private", "role": "readOnly"},
        ],
        "serviceAccounts": [{"clientId": "mdb_sa_id_script", "clientSecret": "secret"}],
    });
    ok(Method::POST, "projects", Some(body)).await;
    let client = Client::new(&sim().project(&id), Api::V2).with_key("script", "private");
    (id, client)
}

#[tokio::test]
async fn projects_are_made_listed_and_removed() {
    let (id, client) = created().await;
    assert_eq!(client.post(&sample("DATADOG")).await.status, 200);
    assert_eq!(client.with_key("reader", "private").delete("DATADOG").await.code(), "USER_UNAUTHORIZED");
    let listed = ok(Method::GET, "projects", None).await;
    let wanted = json!({"id": id, "org": format!("org-of-{id}"), "types": ["DATADOG"]});
    assert!(listed.as_array().unwrap().contains(&wanted), "{listed}");
    ok(Method::DELETE, &format!("projects/{id}/keys/script"), None).await;
    assert_eq!(client.list().await.status, 401);
    ok(Method::DELETE, &format!("projects/{id}"), None).await;
    assert!(!sim().projects().contains(&id));
    assert_eq!(call(Method::GET, &format!("projects/{id}/stored"), None).await.status, 404);
}

#[tokio::test]
async fn the_store_is_read_and_changed() {
    let (id, client) = created().await;
    let stored = format!("projects/{id}/stored");
    ok(
        Method::PUT,
        &format!("{stored}/WEBHOOK"),
        Some(json!({"url": "https://a.example/b", "secret": "s-12345"})),
    )
    .await;
    let entry = ok(Method::GET, &format!("{stored}/WEBHOOK"), None).await;
    assert_eq!(entry["secret"], "s-12345");
    ok(Method::PATCH, &format!("{stored}/WEBHOOK"), Some(json!({"secret": "t-67890"}))).await;
    assert_eq!(client.get("WEBHOOK").await.json()["secret"], "***7890");
    let all = ok(Method::GET, &stored, None).await;
    assert_eq!((&all[0]["id"], &all[0]["type"]), (&entry["id"], &json!("WEBHOOK")));
    ok(Method::DELETE, &format!("{stored}/WEBHOOK"), None).await;
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(call(method, &format!("{stored}/WEBHOOK"), None).await.status, 404);
    }
    assert_eq!(call(Method::PATCH, &format!("{stored}/WEBHOOK"), Some(json!({}))).await.status, 404);
}

#[tokio::test]
async fn faults_and_switches_are_set() {
    let (id, client) = created().await;
    let faults = format!("projects/{id}/faults");
    let fault = json!({"when": {"method": "GET"}, "times": 5, "effect": {"kind": "serverError"}});
    ok(Method::POST, &faults, Some(fault)).await;
    assert_eq!(client.list().await.status, 500);
    let waiting = ok(Method::GET, &faults, None).await;
    assert_eq!((&waiting[0]["times"], &waiting[0]["effect"]), (&json!(4), &json!({"kind": "serverError"})));
    ok(Method::DELETE, &faults, None).await;
    assert_eq!(client.list().await.status, 200);
    let settings = format!("projects/{id}/settings");
    ok(Method::PATCH, &settings, Some(json!({"putOnAbsent": "notFound", "nonceLifetime": 1000}))).await;
    assert_eq!(client.put(&sample("DATADOG")).await.code(), "INTEGRATION_NOT_CONFIGURED");
    let read = ok(Method::GET, &settings, None).await;
    assert_eq!(
        (&read["putOnAbsent"], &read["nonceLifetime"], &read["latency"]),
        (&json!("notFound"), &json!(1000), &json!(0))
    );
    sim().project(&id).settings(|settings| assert_eq!(settings.put_on_absent, PutOnAbsent::NotFound));
    for (path, body) in
        [(&settings, json!({"putOnAbsence": 1})), (&faults, json!({"effect": {"kind": "nonsense"}}))]
    {
        let method = if path == &settings { Method::PATCH } else { Method::POST };
        let answer = call(method, path, Some(body)).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains("unknown"), "{}", answer.text);
    }
}

#[tokio::test]
async fn logs_and_counters_are_read() {
    let (id, client) = created().await;
    client.post(&sample("OPS_GENIE")).await;
    let path = format!("projects/{id}/exchanges");
    let log = ok(Method::GET, &path, None).await;
    assert_eq!(
        (&log[1]["method"], &log[1]["status"], &log[1]["operation"]),
        (&json!("POST"), &json!(200), &json!("create"))
    );
    assert!(log[1]["time"].as_u64().unwrap() > 1_700_000_000_000);
    ok(Method::DELETE, &path, None).await;
    assert_eq!(ok(Method::GET, &path, None).await, json!([]));
    let before = ok(Method::GET, "counters", None).await["requests"].as_u64().unwrap();
    client.list().await;
    assert!(ok(Method::GET, "counters", None).await["requests"].as_u64().unwrap() >= before + 2);
    assert!(ok(Method::GET, "exchanges", None).await.is_array());
    assert_eq!(ok(Method::GET, "faults", None).await, json!([]));
    assert_eq!(ok(Method::GET, "settings", None).await["maskVisible"], 4);
    assert_eq!(call(Method::GET, "nothing", None).await.status, 404);
}

/// Whatever can be scripted in Rust can be written down and read again.
#[test]
fn faults_survive_a_round_trip() {
    use atlas_sim::{Effect, Operation};
    use std::time::Duration;
    for effect in [
        Effect::AppliedLate { delay: Duration::from_millis(1500) },
        Effect::DelayedVisibility { time: Duration::from_secs(2), reads: 3 },
        Effect::redirect(307, "http://elsewhere.example/"),
        Effect::html(),
        Effect::ReplaceAnswer { value: json!(null) },
        Effect::Unavailable { retry_after: Some(2) },
    ] {
        let fault = Fault::new(effect).at(Operation::Update).over(Api::V1).always().after(2);
        let text = serde_json::to_string(&fault).unwrap();
        let read: Fault = serde_json::from_str(&text).unwrap();
        assert_eq!(read.effect, fault.effect, "{text}");
        assert_eq!((read.when, read.times, read.after), (fault.when, None, 2));
    }
}
