//! Digest: the recorded challenge, the check of every part of an answer to it, and the switches.

use std::time::Duration;

use atlas_sim::{Algorithm, Api, Challenges, NonceCounts, Role, Scheme};
use digest_auth::{AuthContext, HttpMethod};
use reqwest::Method;
use rstest::rstest;

use crate::client::{Answer, Client, PRIVATE, PUBLIC, fresh, fresh_id, sample, sim};

/// The first, unauthenticated answer and its challenges.
async fn challenge(client: &Client, rest: &str) -> (Answer, Vec<String>) {
    let response = client.request(Method::GET, rest, None).send().await.unwrap();
    let challenges = response.headers().get_all("www-authenticate").iter();
    let challenges = challenges.map(|value| value.to_str().unwrap().to_owned()).collect();
    (Answer::of(response).await.unwrap(), challenges)
}

/// Credentials for a challenge, made by a library that others have written; `count` is put in as `nc`.
fn respond(challenge: &str, path: &str, password: &str, count: u32) -> String {
    let mut prompt = digest_auth::parse(challenge).unwrap();
    prompt.nc = count - 1;
    let context = AuthContext::new_with_method(PUBLIC, password, path, None::<&[u8]>, HttpMethod::GET);
    prompt.respond(&context).unwrap().to_header_string()
}

async fn get_with(client: &Client, rest: &str, credentials: &str) -> Answer {
    let request = client.request(Method::GET, rest, None).header("authorization", credentials);
    Answer::of(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_challenge_is_the_recorded_one() {
    let (project, _, v2) = fresh();
    let (answer, challenges) = challenge(&v2, "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.text,
        "{\n  \"error\" : 401,\n  \"reason\" : \"Unauthorized\",\n  \"detail\" : \"You are not authorized for this \
         resource.\",\n  \"errorCode\" : \"UNEXPECTED_ERROR\"\n}"
    );
    assert_eq!(answer.text.len(), 142, "the recorded Content-Length");
    assert_eq!(answer.header("content-type"), "application/json");
    for absent in ["x-error-code", "ratelimit-limit", "strict-transport-security"] {
        assert_eq!(answer.header(absent), "", "{absent}");
    }
    let [challenge] = challenges.as_slice() else { panic!("{challenges:?}") };
    let nonce = challenge.split('"').nth(5).unwrap();
    assert_eq!(nonce.len(), 32);
    let wanted = format!(
        r#"Digest realm="MMS Public API", domain="", nonce="{nonce}", algorithm=MD5, qop="auth", stale=false"#
    );
    assert_eq!(*challenge, wanted);
    let [exchange] = project.exchanges().try_into().unwrap();
    assert_eq!((exchange.status, exchange.authenticated), (401, false));
    assert_eq!(exchange.error_code.as_deref(), Some("UNEXPECTED_ERROR"));
}

#[tokio::test]
async fn a_wrong_key_gets_the_same_answer_as_none() {
    let (_, _, v2) = fresh();
    let (none, _) = challenge(&v2, "").await;
    for (public_key, private_key) in [(PUBLIC, "wrong"), ("unknown", PRIVATE)] {
        let answer = v2.with_key(public_key, private_key).list().await;
        assert_eq!((answer.status, &answer.text), (401, &none.text));
        assert!(answer.header("www-authenticate").ends_with("stale=false"));
    }
}

#[tokio::test]
async fn a_real_client_is_let_in_and_logged() {
    let (project, _, v2) = fresh();
    assert_eq!(v2.list().await.status, 200);
    let exchanges = project.exchanges();
    let statuses: Vec<u16> = exchanges.iter().map(|exchange| exchange.status).collect();
    assert_eq!(statuses, [401, 200]);
    let good = &exchanges[1];
    assert!(good.authenticated);
    assert_eq!((good.scheme, good.credential.as_deref()), (Some(Scheme::Digest), Some(PUBLIC)));
    assert_eq!((good.nonce_count, good.header("Accept")), (Some(1), Some(crate::client::V2_TYPE)));
}

#[rstest]
#[case::method("/SLACK", |text: String| text, 404)]
#[case::unquoted_algorithm("", |text: String| text.replace("algorithm=\"MD5\"", "algorithm=MD5"), 200)]
#[case::quoted_algorithm("", |text: String| text.replace("algorithm=MD5", "algorithm=\"MD5\""), 200)]
#[case::no_algorithm("", |text: String| text.replace(", algorithm=MD5", ""), 200)]
#[case::other_algorithm("", |text: String| text.replace("algorithm=MD5", "algorithm=SHA-256"), 401)]
#[case::query_in_uri("?pageNum=1&itemsPerPage=5", |text: String| text, 200)]
#[case::query_missing_in_uri("?pageNum=1", |text: String| text.replace("?pageNum=1\"", "\""), 401)]
#[case::other_nc("", |text: String| text.replace("nc=00000001", "nc=00000002"), 401)]
#[case::short_nc("", |text: String| text.replace("nc=00000001", "nc=1"), 401)]
#[case::other_user("", |text: String| text.replace(PUBLIC, "somebody"), 401)]
#[case::other_realm("", |text: String| text.replace("MMS Public API", "MMS"), 401)]
#[case::other_qop("", |text: String| text.replace("qop=auth", "qop=auth-int"), 401)]
#[case::no_qop("", |text: String| text.replace("qop=auth, ", ""), 401)]
#[tokio::test]
async fn every_part_of_the_credentials_counts(
    #[case] rest: &str,
    #[case] change: fn(String) -> String,
    #[case] status: u16,
) {
    let (_, _, v2) = fresh();
    let (_, challenges) = challenge(&v2, rest).await;
    let right = respond(&challenges[0], &v2.path(rest), PRIVATE, 1);
    let sent = change(right.clone());
    // A case which changes nothing by mistake would prove nothing.
    assert!(sent != right || [200, 404].contains(&status), "{right}");
    assert_eq!(get_with(&v2, rest, &sent).await.status, status, "{sent}");
}

#[tokio::test]
async fn credentials_are_for_one_method_and_one_path() {
    let (_, _, v2) = fresh();
    let (_, challenges) = challenge(&v2, "").await;
    let credentials = respond(&challenges[0], &v2.path(""), PRIVATE, 1);
    assert_eq!(get_with(&v2, "/SLACK", &credentials).await.status, 401);
    let delete = v2.request(Method::DELETE, "", None).header("authorization", &credentials);
    assert_eq!(delete.send().await.unwrap().status(), 401);
    assert_eq!(get_with(&v2, "", &credentials).await.status, 200);
}

#[rstest]
#[case::no_reuse(NonceCounts::NoReuse, [1, 1, 3, 2], [200, 401, 200, 200])]
#[case::unchecked(NonceCounts::Unchecked, [1, 1, 3, 2], [200, 200, 200, 200])]
#[case::strict(NonceCounts::Strict, [1, 3, 2, 3], [200, 401, 200, 200])]
#[tokio::test]
async fn nonce_counts_are_a_switch(
    #[case] rule: NonceCounts,
    #[case] counts: [u32; 4],
    #[case] wanted: [u16; 4],
) {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.nonce_counts = rule);
    let (_, challenges) = challenge(&v2, "").await;
    let mut statuses = Vec::new();
    for count in counts {
        let answer = get_with(&v2, "", &respond(&challenges[0], &v2.path(""), PRIVATE, count)).await;
        assert_eq!(answer.status == 401, answer.header("www-authenticate").ends_with("stale=true"));
        statuses.push(answer.status);
    }
    assert_eq!(statuses, wanted);
}

#[rstest]
#[case::too_old(|s: &mut atlas_sim::Settings| s.nonce_lifetime = Duration::from_millis(1), 1)]
#[case::one_use(|s: &mut atlas_sim::Settings| s.nonce_max_uses = Some(1), 2)]
#[tokio::test]
async fn a_nonce_goes_stale(#[case] switch: fn(&mut atlas_sim::Settings), #[case] refused: u32) {
    let (project, _, v2) = fresh();
    project.settings(switch);
    let (_, challenges) = challenge(&v2, "").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    for count in 1..refused {
        let credentials = respond(&challenges[0], &v2.path(""), PRIVATE, count);
        assert_eq!(get_with(&v2, "", &credentials).await.status, 200);
    }
    let answer = get_with(&v2, "", &respond(&challenges[0], &v2.path(""), PRIVATE, refused)).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").ends_with("stale=true"));
    let answer = get_with(&v2, "", &respond(&challenges[0], &v2.path(""), "wrong", refused + 1)).await;
    assert!(
        answer.header("www-authenticate").ends_with("stale=false"),
        "who has the wrong key learns nothing"
    );
}

#[rstest]
#[case::sha_256(vec![Algorithm::Sha256], Challenges::SeparateHeaders, vec!["SHA-256"])]
#[case::both(vec![Algorithm::Md5, Algorithm::Sha256], Challenges::SeparateHeaders, vec!["MD5", "SHA-256"])]
#[tokio::test]
async fn other_algorithms_can_be_offered(
    #[case] algorithms: Vec<Algorithm>,
    #[case] layout: Challenges,
    #[case] names: Vec<&str>,
) {
    let (project, _, v2) = fresh();
    project.settings(|settings| (settings.algorithms, settings.challenges) = (algorithms, layout));
    let (_, challenges) = challenge(&v2, "").await;
    assert_eq!(challenges.len(), names.len());
    for (challenge, name) in challenges.iter().zip(names) {
        assert!(challenge.contains(&format!("algorithm={name},")), "{challenge}");
        let credentials = respond(challenge, &v2.path(""), PRIVATE, 1);
        assert!(credentials.contains(name));
        assert_eq!(get_with(&v2, "", &credentials).await.status, 200, "{credentials}");
    }
}

#[tokio::test]
async fn several_challenges_can_share_a_header() {
    let (project, _, v2) = fresh();
    project.settings(|settings| {
        settings.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        settings.challenges = Challenges::OneHeader;
    });
    let (_, challenges) = challenge(&v2, "").await;
    assert_eq!(challenges.len(), 1);
    assert_eq!(challenges[0].matches("Digest realm=").count(), 2);
}

#[tokio::test]
async fn keys_belong_to_organisations() {
    let (project, _, v2) = fresh();
    let mate = sim().project(&fresh_id());
    let v2_of_mate = Client { id: mate.id().to_owned(), ..v2.clone() };
    assert_eq!(v2_of_mate.list().await.code(), "USER_CANNOT_ACCESS_GROUP");
    project.set_org("shared-by-two");
    mate.set_org("shared-by-two");
    assert_eq!(v2.list().await.status, 200, "the key has moved along");
    assert_eq!(v2_of_mate.list().await.code(), "USER_UNAUTHORIZED", "it has no role there yet");
    mate.allow_key(PUBLIC, "rotated");
    assert_eq!(v2.list().await.status, 401, "another private key replaces the old one");
    assert_eq!(v2.with_key(PUBLIC, "rotated").list().await.status, 200);
    assert_eq!(v2_of_mate.with_key(PUBLIC, "rotated").list().await.status, 200);
    project.revoke_key(PUBLIC);
    assert_eq!(v2.with_key(PUBLIC, "rotated").list().await.status, 401);
}

#[tokio::test]
async fn one_name_in_two_organisations_is_two_keys() {
    let (_, _, first) = fresh();
    let (second, _, _) = fresh();
    second.allow_key(PUBLIC, "another");
    assert_eq!(first.list().await.status, 200);
    let client = Client::new(&second, Api::V2);
    assert_eq!(
        client.list().await.code(),
        "USER_CANNOT_ACCESS_GROUP",
        "the first one's key is good, but not here"
    );
    assert_eq!(client.with_key(PUBLIC, "another").list().await.status, 200);
}

#[tokio::test]
async fn roles_are_checked() {
    let (project, _, v2) = fresh();
    project.allow_key_with_role("reader", "private", Role::ReadOnly);
    let reader = v2.with_key("reader", "private");
    assert_eq!(reader.list().await.status, 200);
    let answer = reader.post(&sample("DATADOG")).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "USER_UNAUTHORIZED"));
    assert_eq!(answer.header("www-authenticate"), "", "it is the application that refuses");
    assert!(project.stored().is_empty());
    assert_eq!(reader.delete("DATADOG").await.code(), "USER_UNAUTHORIZED");
}

#[tokio::test]
async fn the_access_list_is_checked() {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.ip_allowed = false);
    let answer = v2.list().await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "IP_ADDRESS_NOT_ON_ACCESS_LIST"));
    assert_eq!(answer.json()["parameters"], serde_json::json!(["127.0.0.1"]));
}
