//! Versions: the `Accept` header, content types of requests, and versions that are not served.

use atlas_sim::Serve;
use reqwest::Method;
use rstest::rstest;

use crate::client::{Answer, Client, PRIVATE, PUBLIC, fresh, sample};

async fn list_accepting(client: &Client, accept: Option<&str>) -> Answer {
    use diqwest::WithDigestAuth;
    let mut request = client.http.get(format!("{}{}", client.root, client.path("")));
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    Answer::of(request.send_digest_auth((PUBLIC, PRIVATE)).await.unwrap()).await.unwrap()
}

#[rstest]
#[case(Some("application/vnd.atlas.2023-01-01+json"), true)]
#[case(Some("application/vnd.atlas.2026-08-10+json"), true)]
#[case(Some("text/html, application/vnd.atlas.2025-03-12+json"), true)]
#[case(Some("application/vnd.atlas.2022-12-31+json"), false)]
#[case(Some("application/vnd.atlas.2023-99-01+json"), false)]
#[case(Some("application/json"), false)]
#[case(Some("*/*"), false)]
#[case(None, false)]
#[tokio::test]
async fn v2_wants_a_version(#[case] accept: Option<&str>, #[case] good: bool) {
    let (project, v1, v2) = fresh();
    let answer = list_accepting(&v2, accept).await;
    if good {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/vnd.atlas.2023-01-01+json;charset=utf-8");
    } else {
        assert_eq!((answer.status, answer.code().as_str()), (406, "INVALID_VERSION_DATE"));
        assert_eq!(answer.header("content-type"), "application/json");
        project.settings(|settings| settings.missing_accept_status = 400);
        assert_eq!(list_accepting(&v2, accept).await.status, 400);
    }
    let answer = list_accepting(&v1, accept).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
}

#[rstest]
#[case("application/json", 200)]
#[case("application/json; charset=utf-8", 200)]
#[case("application/vnd.atlas.2023-01-01+json", 200)]
#[case("text/plain", 415)]
#[case("application/x-www-form-urlencoded", 415)]
#[tokio::test]
async fn bodies_must_be_called_json(#[case] content_type: &str, #[case] status: u16) {
    use diqwest::WithDigestAuth;
    let (_, v1, v2) = fresh();
    for client in [v1, v2] {
        let request = client.request(Method::PUT, "/OPS_GENIE", None).header("content-type", content_type);
        let request = request.body(sample("OPS_GENIE").to_string());
        assert_eq!(request.send_digest_auth((PUBLIC, PRIVATE)).await.unwrap().status().as_u16(), status);
    }
}

#[rstest]
#[case(Serve::ResourceNotFound, 404, "RESOURCE_NOT_FOUND")]
#[case(Serve::VersionGone, 410, "VERSION_GONE")]
#[case(Serve::InvalidVersionDate, 406, "INVALID_VERSION_DATE")]
#[tokio::test]
async fn a_version_may_not_be_served(#[case] how: Serve, #[case] status: u16, #[case] code: &str) {
    let (project, v1, v2) = fresh();
    project.settings(|settings| settings.serve_v2 = how);
    let answer = v2.list().await;
    assert_eq!((answer.status, answer.code().as_str()), (status, code));
    assert_eq!(v1.list().await.status, 200, "the other one is");
    project.settings(|settings| (settings.serve_v1, settings.serve_v2) = (how, Serve::Yes));
    assert_eq!((v1.list().await.status, v2.list().await.status), (status, 200));
}

#[tokio::test]
async fn something_else_may_answer_for_a_version() {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.serve_v2 = Serve::ForeignNotFound);
    let response = v2.request(Method::GET, "", None).send().await.unwrap();
    assert_eq!(response.status(), 404, "without a challenge");
    let text = response.text().await.unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
}
