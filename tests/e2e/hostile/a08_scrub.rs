//! An Atlas, or a proxy before it, that repeats parts of requests in its errors: statuses, Events and the log are read by
//! people who may not read Secrets.

use atlas_sim::{Api, Authentication, Effect, Fault, Operation};
use serde_json::{Value, json};

use crate::world::{Object, Operator, PRIVATE_KEY, World, message};

const PATH: &str = "services/T0canary/B0canary/cAnaryPathToken";
const TOKEN: &str = "cAnaryHeaderToken-0001";
const SIGNING: &str = "cAnary/signing&0001\"x é";

/// A fault that answers with this text, whatever the credentials.
fn error(status: u16, detail: &str) -> Fault {
    let mut fault = Fault::new(Effect::error(status, "INVALID_ATTRIBUTE", detail));
    fault.when.authentication = Authentication::Any;
    fault
}

/// A fault that stays until it is cleared: the operator tries again.
fn lasting(fault: Fault) -> Fault {
    Fault { times: None, ..fault }
}

/// Waits until a status has what Atlas said in this row, with a mask in it.
async fn told(object: &Object<'_>, row: &str) {
    let says = |object: &Value| {
        let status = object["status"]["conditions"].to_string();
        let said = status.split_once(&format!("row {row}: ")).map(|(_, said)| said);
        said.is_some_and(|said| said.split(" :end").next().is_some_and(|said| said.contains("****")))
    };
    object.until(&format!("row {row}, masked"), says).await;
}

/// No twelve characters of what Atlas repeated are in a text.
fn assert_masked(sink: &str, text: &str, repeated: &str) {
    let chars: Vec<char> = repeated.chars().collect();
    for part in chars.windows(12.min(chars.len())) {
        let part: String = part.iter().collect();
        assert!(!text.contains(&part), "{sink} has {part:?} of {repeated:?}");
    }
}

/// No sink has anything of what Atlas repeated.
async fn assert_nothing_shown(world: &World, operator: &Operator, repeated: &[String]) {
    let sinks = [
        ("a status", serde_json::to_string(&world.list("AtlasIntegration").await).unwrap()),
        ("an Event", serde_json::to_string(&world.list("Event").await).unwrap()),
        ("the log", operator.logs()),
    ];
    for (sink, text) in &sinks {
        let as_logged = |text: &str| Value::from(text).to_string().trim_matches('"').to_owned();
        for repeated in repeated {
            assert_masked(sink, text, repeated);
            assert_masked(sink, text, &as_logged(repeated));
        }
    }
}

async fn webhook(world: &World) -> Object<'_> {
    let url = format!("https://hooks.example.com/{PATH}?key=cAnaryQuery");
    let headers = format!(r#"{{"Authorization": "Bearer {TOKEN}", "X-Team": "cAnary team"}}"#);
    world.secret("hook", &[("url", &url), ("headers", &headers), ("signing", SIGNING)]).await;
    let key = |key: &str| json!({"name": "hook", "key": key});
    let spec = json!({"type": "WEBHOOK", "webhook": {"urlSecretRef": key("url"), "signingSecretRef": key("signing"),
        "headersTemplateSecretRef": key("headers"), "bodyTemplate": "0"}});
    world.integration("hook", &spec).await
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Atlas refuses one write after the other and repeats a part of the request each time: a path, a query, a header, the
/// key of the call, and one secret in many spellings.
#[tokio::test(flavor = "multi_thread")]
async fn a08_no_part_of_a_request_is_shown_in_any_spelling() {
    let world = World::new("a08-request").await;
    let operator = world.operator(&["--log-level", "debug"]).await;
    let hook = webhook(&world).await.in_sync().await;
    let in_json = Value::from(SIGNING).to_string();
    let entities: String = SIGNING.chars().map(|c| format!("&#{};", u32::from(c))).collect();
    let hexadecimal: String = SIGNING.bytes().map(|byte| format!("{byte:02x}")).collect();
    let repeated: Vec<String> = [
        format!("/{PATH}"),
        "cAnaryPathToken?key=cAnaryQ".to_owned(),
        "cAnaryQuery".to_owned(),
        format!("Bearer {TOKEN}"),
        TOKEN[6..18].to_owned(),
        PRIVATE_KEY.to_owned(),
        PRIVATE_KEY[9..].to_uppercase(),
        SIGNING.to_owned(),
        SIGNING.to_uppercase(),
        entities,
        SIGNING.replace('&', "&amp;").replace('"', "&quot;"),
        // `printf` of it, piped to `base64`, and within a longer text.
        "Y0FuYXJ5L3NpZ25pbmcmMDAwMSJ4IMOp".to_owned(),
        "eDpjQW5hcnkvc2lnbmluZyYwMDAxInggw6k".to_owned(),
        hexadecimal,
        Value::from(in_json.as_str()).to_string(),
        SIGNING.replace('&', "\\u0026").replace('"', "\\u0022"),
        SIGNING.replace('/', "\\/"),
        SIGNING.replace('/', "%2f").replace('&', "%26"),
        percent(SIGNING),
        percent(&percent(SIGNING)),
        format!("{} {}", &SIGNING[..10], &SIGNING[10..]),
    ]
    .into();
    for (number, repeated) in repeated.iter().enumerate() {
        world.project.fault(error(400, &format!("row {number}: {repeated} :end")).at(Operation::Update));
        hook.change(&json!({"webhook": {"bodyTemplate": format!("{number} ")}})).await;
        let said =
            hook.until("the refusal", |object| message(object).contains(&format!("row {number}: "))).await;
        let said = message(&said);
        assert!(said.contains(":end") && said.contains("****"), "readable, and masked: {said}");
        assert_masked("the message", &said, repeated);
    }
    assert_nothing_shown(&world, &operator, &repeated).await;
}

/// Atlas repeats the token of a service account, and its token endpoint the header of the request for one.
#[tokio::test(flavor = "multi_thread")]
async fn a08_neither_tokens_nor_basic_are_shown() {
    let world = World::with_datadog_key("a08-token").await;
    let (id, secret) = (format!("mdb_sa_id_{}", world.project.id()), "mdb_sa_sk_cAnary-client-secret");
    world.project.allow_service_account(&id, secret);
    world.secret("account", &[("clientId", &id), ("clientSecret", secret)]).await;
    // Two parts that look like words: nothing but the token itself says that they are secret.
    let token = "eyJhbGciOiJFUzUxMiJ9.canary-token.canary-signature";
    let basic = ":mdb_sa_sk_cAnary-client-secret";
    let refused = "bWRiX3NhX3NrX2NBbmFyeS1jbGllbnQtc2VjcmV0";
    let at_endpoint = |status: u16, body: Value| {
        let content_type = Some("application/json".to_owned());
        let mut fault = Fault::new(Effect::Answer { status, content_type, body: body.to_string() });
        fault.when.authentication = Authentication::Any;
        lasting(fault.over(Api::OAuth))
    };
    let refusal =
        json!({"error": "invalid_request", "error_description": format!("row zero: {refused} :end")});
    world.project.fault(at_endpoint(400, refusal));
    let operator = world.operator(&["--log-level", "debug"]).await;
    let spec = json!({"type": "DATADOG", "credentialsSecretRef": {"name": "account"},
        "datadog": {"apiKeySecretRef": {"name": "keys", "key": "api"}}});
    let x = world.integration("x", &spec).await;
    told(&x, "zero").await;
    let repeated = [format!("Bearer {token}"), "canary-token".to_owned(), percent("CANARY-SIGNATURE")];
    for (row, repeated) in ["one", "two", "three"].into_iter().zip(&repeated) {
        world.project.clear_faults();
        world.project.fault(at_endpoint(200, json!({"access_token": token, "expires_in": 3600})));
        world.project.fault(lasting(error(400, &format!("row {row}: {repeated} :end"))));
        x.annotate("reconcile-requested-at", row).await;
        told(&x, row).await;
    }
    let mut all = repeated.to_vec();
    all.extend([refused.to_owned(), basic.to_owned(), secret.to_owned()]);
    assert_nothing_shown(&world, &operator, &all).await;
}

/// A key that an earlier write stored appears in the error of a LIST, and in that of a DELETE. Nothing but its look tells
/// that it is one.
#[tokio::test(flavor = "multi_thread")]
async fn a08_a_key_of_an_earlier_write_is_not_shown() {
    let world = World::new("a08-earlier").await;
    let (first, second) = ("5c9b1e07d3a84f62b0e7c4419d8f2a63", "aa0e4f7b92c64d18937b5f2c8e1d6045");
    world.secret("keys", &[("api", first)]).await;
    let operator = world.operator(&["--log-level", "debug"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.secret("keys", &[("api", second)]).await;
    world.until_stored("apiKey", second).await;
    x.synced().await;
    let spelled = percent(first);
    let rows = [("one", first), ("two", &spelled), ("three", &first.to_uppercase())];
    for (row, repeated) in rows {
        world.project.clear_faults();
        world.project.fault(lasting(error(500, &format!("row {row}: {repeated} :end")).at(Operation::List)));
        x.annotate("reconcile-requested-at", row).await;
        told(&x, row).await;
    }
    world.project.clear_faults();
    world.project.fault(lasting(error(400, &format!("row four: {first} :end")).at(Operation::Delete)));
    x.begin_deletion().await;
    told(&x, "four").await;
    assert_nothing_shown(&world, &operator, &[first.to_owned(), second.to_owned(), spelled]).await;
    world.project.clear_faults();
    x.gone().await;
}
