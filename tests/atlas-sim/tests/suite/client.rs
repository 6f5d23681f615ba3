//! What the tests share: one simulator, a project for each test, and a client that checks every answer.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas_sim::contract::{Given, problems_of_answer};
use atlas_sim::{Api, AtlasSim, Project};
use diqwest::WithDigestAuth;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

pub const PUBLIC: &str = "abcdefgh";
pub const PRIVATE: &str = "0f0f0f0f-1111-2222-3333-444444444444";
pub const V2_TYPE: &str = "application/vnd.atlas.2023-01-01+json";

/// One simulator for all tests: that they do not disturb each other is part of what is tested.
pub fn sim() -> &'static AtlasSim {
    static SIM: LazyLock<AtlasSim> =
        LazyLock::new(|| AtlasSim::start_blocking("127.0.0.1:0".parse().unwrap()).unwrap());
    &SIM
}

/// An id that no other test has.
pub fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:024x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A fresh project with a key that owns it, and a client for each version.
pub fn fresh() -> (Project, Client, Client) {
    let project = sim().project(&fresh_id());
    project.allow_key(PUBLIC, PRIVATE);
    let (v1, v2) = (Client::new(&project, Api::V1), Client::new(&project, Api::V2));
    (project, v1, v2)
}

/// A client for one project and version.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub root: String,
    pub api: Api,
    pub id: String,
    pub key: (String, String),
    /// Off for answers that are broken on purpose.
    pub checked: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, text: response.text().await? })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The error code, which body and header must agree on.
    pub fn code(&self) -> String {
        let body = self.json();
        assert_eq!(body["error"], self.status, "{body}");
        assert_eq!(body["errorCode"], self.header("x-error-code"), "{body}");
        self.header("x-error-code").to_owned()
    }

    /// Types in `results`, in order.
    pub fn types(&self) -> Vec<String> {
        let body = self.json();
        let results = body["results"].as_array().unwrap();
        results.iter().map(|entry| entry["type"].as_str().unwrap_or("null").to_owned()).collect()
    }

    /// The entry of a type in `results`.
    pub fn entry(&self, kind: &str) -> Value {
        let body = self.json();
        let results = body["results"].as_array().unwrap_or_else(|| panic!("no page: {body}"));
        results
            .iter()
            .find(|entry| entry["type"] == kind)
            .unwrap_or_else(|| panic!("no {kind} in {body}"))
            .clone()
    }
}

impl Client {
    pub fn new(project: &Project, api: Api) -> Self {
        Self {
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            root: sim().url(),
            api,
            id: project.id().to_owned(),
            key: (PUBLIC.to_owned(), PRIVATE.to_owned()),
            checked: true,
        }
    }

    pub fn with_key(&self, public_key: &str, private_key: &str) -> Self {
        Self { key: (public_key.to_owned(), private_key.to_owned()), ..self.clone() }
    }

    pub fn unchecked(&self) -> Self {
        Self { checked: false, ..self.clone() }
    }

    pub fn path(&self, rest: &str) -> String {
        let version = if self.api == Api::V1 { "v1.0" } else { "v2" };
        format!("/api/atlas/{version}/groups/{}/integrations{rest}", self.id)
    }

    /// The request, without credentials.
    pub fn request(&self, method: Method, rest: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let media_type = if self.api == Api::V1 { "application/json" } else { V2_TYPE };
        let mut request =
            self.http.request(method, format!("{}{}", self.root, self.path(rest))).header(ACCEPT, media_type);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, media_type).body(body.to_string());
        }
        request
    }

    /// Sends a request with digest, by a client that others have written.
    pub async fn try_send(&self, method: Method, rest: &str, body: Option<&Value>) -> Result<Answer, String> {
        let credentials = (self.key.0.as_str(), self.key.1.as_str());
        let request = self.request(method.clone(), rest, body);
        let response = request.send_digest_auth(credentials).await.map_err(|error| error.to_string())?;
        let answer = Answer::of(response).await.map_err(|error| error.to_string())?;
        if self.checked {
            self.check(&method, !rest.split('?').next().unwrap().is_empty(), &answer);
        }
        Ok(answer)
    }

    /// Panics if an answer is not what the contract says.
    fn check(&self, method: &Method, one: bool, answer: &Answer) {
        let (status, content_type) = (answer.status, answer.header("content-type"));
        let given =
            Given { api: self.api, method: method.as_str(), one, status, content_type, text: &answer.text };
        let problems = problems_of_answer(&given);
        assert!(problems.is_empty(), "{method}: {problems:#?}\nin {}", answer.text);
    }

    pub async fn send(&self, method: Method, rest: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, rest, body).await.unwrap()
    }

    pub async fn list(&self) -> Answer {
        self.send(Method::GET, "", None).await
    }

    pub async fn get(&self, kind: &str) -> Answer {
        self.send(Method::GET, &format!("/{kind}"), None).await
    }

    pub async fn post(&self, body: &Value) -> Answer {
        self.send(Method::POST, &format!("/{}", body["type"].as_str().unwrap()), Some(body)).await
    }

    pub async fn put(&self, body: &Value) -> Answer {
        self.send(Method::PUT, &format!("/{}", body["type"].as_str().unwrap()), Some(body)).await
    }

    pub async fn delete(&self, kind: &str) -> Answer {
        self.send(Method::DELETE, &format!("/{kind}"), None).await
    }
}

/// A body with every field that matters, by type; good for both versions.
pub fn sample(kind: &str) -> Value {
    match kind {
        "PAGER_DUTY" => json!({"type": kind, "serviceKey": "00112233445566778899aabbccdd0022"}),
        "DATADOG" => json!({"type": kind, "apiKey": "00112233445566778899aabbccdd0000"}),
        "SLACK" => {
            json!({"type": kind, "apiToken": "xoxb-1234567890-abcd", "channelName": "alerts", "teamName": "Team"})
        }
        "NEW_RELIC" => json!({
            "type": kind, "accountId": "1234", "licenseKey": "license", "readToken": "read", "writeToken": "write",
        }),
        "OPS_GENIE" => json!({"type": kind, "apiKey": "00000000-1111-2222-3333-444444443311"}),
        "VICTOR_OPS" => {
            json!({"type": kind, "apiKey": "00000000-1111-2222-3333-444444441c11", "routingKey": "test"})
        }
        "FLOWDOCK" => json!({"type": kind, "apiToken": "token", "flowName": "flow", "orgName": "org"}),
        "WEBHOOK" => json!({
            "type": kind, "url": "https://example.com/hooks/abc2101", "secret": "sixteen-or-more-chars-0-2101",
        }),
        "MICROSOFT_TEAMS" => {
            json!({"type": kind, "microsoftTeamsWebhookUrl": "https://teams.example.com/x/y/z"})
        }
        "PROMETHEUS" => json!({
            "type": kind, "enabled": true, "username": "prom", "password": "s3cret-pass", "serviceDiscovery": "http",
        }),
        other => panic!("no sample for {other}"),
    }
}

/// Every type that both versions have.
pub const COMMON: [&str; 9] = [
    "PAGER_DUTY",
    "DATADOG",
    "SLACK",
    "NEW_RELIC",
    "OPS_GENIE",
    "VICTOR_OPS",
    "WEBHOOK",
    "MICROSOFT_TEAMS",
    "PROMETHEUS",
];
