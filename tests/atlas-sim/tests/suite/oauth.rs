//! Service accounts: tokens, their limits, their end.

use std::time::Duration;

use atlas_sim::{Api, Effect, Fault, Project, Role, Scheme};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use rstest::rstest;
use serde_json::json;

use crate::client::{Answer, Client, V2_TYPE, fresh, fresh_id, sample, sim};

const SECRET: &str = "mdb_sa_sk_0123456789";
const FORM: &str = "application/x-www-form-urlencoded";

/// A project with a service account, and the account's id.
fn with_account() -> (Project, Client, String) {
    let (project, _, v2) = fresh();
    let id = format!("mdb_sa_id_{}", fresh_id());
    project.allow_service_account(&id, SECRET);
    (project, v2, id)
}

async fn post(path: &str, id: &str, secret: &str, content_type: &str, form: &str) -> Answer {
    let http = reqwest::Client::new();
    let request = http.post(format!("{}/api/oauth/{path}", sim().url())).basic_auth(id, Some(secret));
    let request =
        request.header(CONTENT_TYPE, content_type).header(ACCEPT, "application/json").body(form.to_owned());
    Answer::of(request.send().await.unwrap()).await.unwrap()
}

async fn token(id: &str) -> String {
    let answer = post("token", id, SECRET, FORM, "grant_type=client_credentials").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn list(client: &Client, token: &str) -> Answer {
    let media_type = if client.api == Api::V2 { V2_TYPE } else { "application/json" };
    let url = format!("{}{}", client.root, client.path(""));
    let request = client.http.get(url).header(ACCEPT, media_type).bearer_auth(token);
    Answer::of(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_token_opens_both_versions() {
    let (project, v2, id) = with_account();
    let answer = post("token", &id, SECRET, FORM, "grant_type=client_credentials").await;
    let body = answer.json();
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(3600), &json!("Bearer")));
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(token.split('.').count(), 3, "it looks like a JWT");
    assert_eq!(list(&v2, token).await.status, 200);
    assert_eq!(list(&Client::new(&project, Api::V1), token).await.status, 200);
    let exchange = project.exchanges().pop().unwrap();
    assert_eq!((exchange.scheme, exchange.credential), (Some(Scheme::Bearer), Some(id)));
    assert_eq!(project.exchanges().len(), 2, "without challenges");
}

#[rstest]
#[case::wrong_secret("wrong", FORM, "grant_type=client_credentials", 401, "invalid_client")]
#[case::no_form(SECRET, "application/json", "{}", 400, "invalid_request")]
#[case::no_grant(SECRET, FORM, "scope=all", 400, "invalid_request")]
#[case::other_grant(SECRET, FORM, "grant_type=password", 400, "unsupported_grant_type")]
#[tokio::test]
async fn token_requests_are_checked(
    #[case] secret: &str,
    #[case] content_type: &str,
    #[case] form: &str,
    #[case] status: u16,
    #[case] error: &str,
) {
    let (_, _, id) = with_account();
    let answer = post("token", &id, secret, content_type, form).await;
    assert_eq!((answer.status, answer.json()["error"].as_str().unwrap()), (status, error));
    assert!(answer.json()["error_description"].is_string());
}

#[tokio::test]
async fn only_basic_and_only_post() {
    let http = reqwest::Client::new();
    let url = format!("{}/api/oauth/token", sim().url());
    let request = http.post(&url).header(CONTENT_TYPE, FORM).body("grant_type=client_credentials");
    assert_eq!(request.send().await.unwrap().status(), 401);
    assert_eq!(http.get(&url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn bad_tokens_get_the_401_of_the_authentication_layer() {
    let (project, v2, id) = with_account();
    assert_eq!(list(&v2, "nonsense").await.status, 401);
    project.settings(|settings| settings.token_lifetime = Duration::from_millis(200));
    let short = token(&id).await;
    assert_eq!(list(&v2, &short).await.status, 200);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let answer = list(&v2, &short).await;
    assert_eq!((answer.status, answer.header("x-error-code")), (401, ""));
}

#[tokio::test]
async fn tokens_end_in_three_ways() {
    let (project, v2, id) = with_account();
    let (first, second) = (token(&id).await, token(&id).await);
    let answer =
        post("revoke", &id, SECRET, FORM, &format!("token={first}&token_type_hint=access_token")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_eq!((list(&v2, &first).await.status, list(&v2, &second).await.status), (401, 200));
    assert_eq!(post("revoke", &id, SECRET, FORM, "token=unknown").await.status, 200);
    assert_eq!(post("revoke", &id, "wrong", FORM, &format!("token={second}")).await.status, 401);
    project.expire_tokens(&id);
    assert_eq!(list(&v2, &second).await.status, 401);
    let third = token(&id).await;
    project.revoke_service_account(&id);
    assert_eq!(list(&v2, &third).await.status, 401);
}

#[tokio::test]
async fn nobody_revokes_the_token_of_another() {
    let ((_, v2, id), (_, _, other)) = (with_account(), with_account());
    let mine = token(&id).await;
    assert_eq!(post("revoke", &other, SECRET, FORM, &format!("token={mine}")).await.status, 200);
    assert_eq!(list(&v2, &mine).await.status, 200);
}

/// RFC 6749 has id and secret encoded within the basic credentials, and MongoDB's client does so.
#[tokio::test]
async fn basic_credentials_may_be_encoded() {
    let (project, _, id) = with_account();
    project.allow_service_account(&id, "a secret:/+");
    let form = "grant_type=client_credentials";
    assert_eq!(post("token", &id, "a%20secret%3A%2F%2B", FORM, form).await.status, 200);
    assert_eq!(post("token", &id, "a secret:/+", FORM, form).await.status, 200);
}

#[tokio::test]
async fn roles_and_organisations_hold_for_tokens() {
    let (project, v2, id) = with_account();
    project.allow_service_account_with_role(&id, SECRET, Role::ReadOnly);
    let bearer = token(&id).await;
    let post = v2.request(reqwest::Method::POST, "/SLACK", Some(&sample("SLACK"))).bearer_auth(&bearer);
    let answer = Answer::of(post.send().await.unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "USER_UNAUTHORIZED"));
    let (_, _, elsewhere) = fresh();
    assert_eq!(list(&elsewhere, &bearer).await.code(), "USER_CANNOT_ACCESS_GROUP");
}

#[tokio::test]
async fn token_requests_are_limited() {
    let (project, _, id) = with_account();
    project.settings(|settings| settings.token_limit_per_minute = Some(2));
    token(&id).await;
    token(&id).await;
    let answer = post("token", &id, SECRET, FORM, "grant_type=client_credentials").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED"));
    assert_eq!(answer.json()["parameters"], json!(["/api/oauth/token", 2, 1]));
}

#[tokio::test]
async fn live_tokens_are_limited() {
    let (project, _, id) = with_account();
    project.settings(|settings| settings.live_tokens = 1);
    let first = token(&id).await;
    let answer = post("token", &id, SECRET, FORM, "grant_type=client_credentials").await;
    assert_eq!((answer.status, answer.json()["error"].clone()), (403, json!("access_denied")));
    post("revoke", &id, SECRET, FORM, &format!("token={first}")).await;
    token(&id).await;
}

#[tokio::test]
async fn faults_reach_token_requests_only_by_name() {
    let (project, _, id) = with_account();
    project.fault(Fault::new(Effect::ServerError).on("POST"));
    token(&id).await;
    project.fault(Fault::new(Effect::ServerError).over(Api::OAuth));
    project.fault(Fault::new(Effect::Unauthorized).over(Api::OAuth));
    assert_eq!(
        post("token", &id, SECRET, FORM, "grant_type=client_credentials").await.code(),
        "UNEXPECTED_ERROR"
    );
    let answer = post("token", &id, SECRET, FORM, "grant_type=client_credentials").await;
    assert_eq!((answer.status, answer.json()["error"].clone()), (401, json!("invalid_client")));
    let strays = sim().stray_exchanges();
    let mine = strays.iter().filter(|exchange| exchange.credential.as_deref() == Some(id.as_str()));
    assert_eq!(mine.map(|exchange| exchange.status).collect::<Vec<u16>>(), [200, 500, 401]);
}
