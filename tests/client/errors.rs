//! Every error of Atlas that is known: the reason that it gives, and what it tells a person to do.

use Asked::{Delete, List, Write};
use Reason::{
    AtlasUnavailable, Forbidden, NotSupportedByAtlas, NotVisibleYet, ProjectNotFound, RateLimited, Rejected,
    Unauthorized,
};
use atlas_integration_operator::domain::{
    Failure, FieldValue, Integration, IntegrationType, Reason, SecretValue,
};
use atlas_sim::{Effect, Fault, Flowdock, Serve};
use rstest::rstest;
use serde_json::json;

use crate::{World, errors_page, opsgenie, secret, told, world};

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    List,
    Write,
    Delete,
}

impl World {
    async fn refused(&self, asked: Asked) -> Failure {
        match asked {
            List => self.list().await.unwrap_err(),
            Write => self.create().await.unwrap_err(),
            Delete => {
                self.client.delete(&self.session, &self.id, IntegrationType::OpsGenie).await.unwrap_err()
            }
        }
    }
}

/// The known errors, one case for each, and some that are not.
#[rstest]
#[case::invalid_settings(
    Write,
    400,
    "INVALID_INTEGRATION_SETTINGS",
    Rejected,
    "correct what Atlas names, in the object or in its Secret"
)]
#[case::fields_invalid(
    Write,
    400,
    "INTEGRATION_FIELDS_INVALID",
    Rejected,
    "correct what Atlas names, in the object or in its Secret"
)]
#[case::datadog_key(Write, 400, "INVALID_DATADOG_API_KEY", Rejected, "an API key of Datadog")]
#[case::pager_duty_key(
    Write,
    400,
    "INVALID_PAGER_DUTY_SERVICE_KEY",
    Rejected,
    "an integration key of PagerDuty"
)]
#[case::legacy_slack(
    Write,
    400,
    "LEGACY_SLACK_CONFIGURATION_UNSUPPORTED",
    Rejected,
    "remove the old Slack integration"
)]
#[case::reconfigure_slack(Write, 400, "MUST_RECONFIGURE_SLACK_OAUTH2", Rejected, "connect Slack again")]
#[case::no_slack(Write, 400, "SLACK_OAUTH2_NOT_CONFIGURED", Rejected, "never connected")]
#[case::webhook_in_use(Delete, 400, "WEBHOOK_NOTIFICATIONS_PRESENT", Rejected, "alert configurations")]
#[case::webhook_url(Write, 400, "WEBHOOK_URL_NOT_SET", Rejected, "the whole URL")]
#[case::url(Write, 400, "INVALID_URL", Rejected, "the whole URL")]
#[case::hipchat(Write, 400, "HIPCHAT_NOT_SUPPORTED", NotSupportedByAtlas, "delete this object")]
#[case::cloud_manager(
    Write,
    400,
    "DATADOG_NOT_SUPPORTED_FOR_CLOUD_MANAGER",
    NotSupportedByAtlas,
    "Cloud Manager"
)]
#[case::enum_value(Write, 400, "INVALID_ENUM_VALUE", Rejected, "the field that has this value")]
#[case::attribute(Write, 400, "INVALID_ATTRIBUTE", Rejected, "the field that Atlas names")]
#[case::missing(Write, 400, "MISSING_ATTRIBUTE", Rejected, "set the field")]
#[case::missing_several(Write, 400, "MISSING_ATTRIBUTES", Rejected, "set the fields")]
#[case::missing_or_invalid(
    Write,
    400,
    "MISSING_OR_INVALID_ATTRIBUTE",
    Rejected,
    "the field that Atlas names"
)]
#[case::read_only(Write, 400, "ATTRIBUTE_READ_ONLY", Rejected, "remove the field")]
#[case::validation(Write, 400, "VALIDATION_ERROR", Rejected, "the field that Atlas names")]
#[case::malformed_json(Write, 400, "MALFORMED_JSON", Rejected, "template")]
#[case::invalid_json(Write, 400, "INVALID_JSON", Rejected, "template")]
#[case::json_attribute(Write, 400, "INVALID_JSON_ATTRIBUTE", Rejected, "the field that Atlas names")]
#[case::path_of_a_type(Write, 400, "INVALID_PATH_PARAMETER", NotSupportedByAtlas, "delete this object")]
#[case::path_of_a_project(
    List,
    400,
    "INVALID_PATH_PARAMETER",
    ProjectNotFound,
    "If spec.projectId is wrong, create a new object"
)]
#[case::query(List, 400, "INVALID_QUERY_PARAMETER", AtlasUnavailable, "--atlas-api")]
#[case::region(Write, 400, "INVALID_REGION", Rejected, "set the region")]
#[case::wrong_key(List, 401, "UNEXPECTED_ERROR", Unauthorized, "check publicApiKey and privateApiKey")]
#[case::role(Write, 401, "USER_UNAUTHORIZED", Unauthorized, "Project Owner")]
#[case::not_in_group(
    List,
    401,
    "NOT_IN_GROUP",
    Unauthorized,
    "of the organisation that the project belongs to"
)]
#[case::foreign_group(
    List,
    401,
    "USER_CANNOT_ACCESS_GROUP",
    Unauthorized,
    "of the organisation that the project belongs to"
)]
#[case::no_user(List, 401, "NO_CURRENT_USER", Unauthorized, "does not exist any more")]
#[case::suspended(List, 402, "ACCOUNT_SUSPENDED", Forbidden, "settle its bill")]
#[case::address(List, 403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", Forbidden, "access list")]
#[case::address_in_older_words(List, 403, "IP_ADDRESS_NOT_ON_WHITELIST", Forbidden, "access list")]
#[case::resource_list(List, 403, "RESOURCE_REQUIRES_ACCESS_LIST", Forbidden, "access list")]
#[case::resource_list_in_older_words(List, 403, "RESOURCE_REQUIRES_WHITELIST", Forbidden, "access list")]
#[case::org_list(List, 403, "ORG_REQUIRES_ACCESS_LIST", Forbidden, "access list")]
#[case::org_list_in_older_words(List, 403, "ORG_REQUIRES_WHITELIST", Forbidden, "access list")]
#[case::forbidden(List, 403, "ACCESS_FORBIDDEN", Forbidden, "access list")]
#[case::feature(Write, 403, "FEATURE_UNSUPPORTED", NotSupportedByAtlas, "lacks the feature")]
#[case::no_project(List, 404, "GROUP_NOT_FOUND", ProjectNotFound, "check that the project exists")]
#[case::no_project_id(
    List,
    404,
    "INVALID_GROUP_ID",
    ProjectNotFound,
    "If spec.projectId is wrong, create a new object"
)]
#[case::not_atlas(List, 404, "NOT_ATLAS_GROUP", ProjectNotFound, "Cloud Manager")]
#[case::gone(Write, 404, "INTEGRATION_NOT_CONFIGURED", NotVisibleYet, "")]
#[case::no_path(List, 404, "RESOURCE_NOT_FOUND", AtlasUnavailable, "--atlas-api")]
#[case::maintenance(Write, 405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", AtlasUnavailable, "")]
#[case::no_method(Write, 405, "METHOD_NOT_ALLOWED", AtlasUnavailable, "--atlas-url")]
#[case::version(List, 406, "INVALID_VERSION_DATE", AtlasUnavailable, "--atlas-api")]
#[case::version_in_the_documentation(List, 400, "INVALID_VERSION_DATE", AtlasUnavailable, "--atlas-api")]
#[case::gone_when_deleted(Delete, 404, "INTEGRATION_NOT_CONFIGURED", NotVisibleYet, "")]
#[case::there_already(
    Write,
    409,
    "INTEGRATION_ALREADY_CONFIGURED",
    NotVisibleYet,
    "the object will say AlreadyExists"
)]
#[case::other_conflict(Write, 409, "NEVER_SEEN", AtlasUnavailable, "")]
#[case::version_gone(List, 410, "VERSION_GONE", AtlasUnavailable, "--atlas-api")]
#[case::limited(List, 429, "RATE_LIMITED", RateLimited, "")]
#[case::bucket(Write, 429, "RATE_LIMITED_TOKEN_BUCKET", RateLimited, "")]
#[case::broken(Write, 500, "UNEXPECTED_ERROR", AtlasUnavailable, "")]
#[case::down(Write, 503, "SERVICE_UNAVAILABLE", AtlasUnavailable, "")]
#[case::unlisted(Write, 400, "NEVER_SEEN", Rejected, "correct what Atlas names")]
#[case::unlisted_of_a_list(List, 400, "NEVER_SEEN", AtlasUnavailable, "--atlas-url")]
#[case::unlisted_status(Write, 418, "NEVER_SEEN", AtlasUnavailable, "documentation")]
#[tokio::test]
async fn errors_of_atlas(
    #[case] asked: Asked,
    #[case] status: u16,
    #[case] code: &str,
    #[case] reason: Reason,
    #[case] hint: &str,
) {
    let world = world().await;
    world.project.fault(Fault::new(Effect::error(status, code, "Atlas's own words.")).always());
    let failure = world.refused(asked).await;
    assert_eq!(failure.reason(), reason, "{}", told(&failure));
    assert_eq!(failure.outcome_unknown, status >= 500);
    assert!(told(&failure).contains(code) && told(&failure).contains(hint), "{}", told(&failure));
    // Texts that count seconds down would make every retry a new status.
    let quoted = told(&failure).contains("Atlas's own words");
    assert_eq!(quoted, reason != RateLimited, "{}", told(&failure));
    let length = told(&failure).chars().count();
    assert!(length < 1_200, "{length} characters do not leave room for what a deletion adds");
    assert!(told(&failure).contains("the operator "), "what it does next: {}", told(&failure));

    // The page says the same, of this code or of any with this status.
    let says = |line: &&str| {
        let of_code = line.contains(&format!("`{code}`")) || line.contains("| any");
        of_code && line.contains(&format!("`{reason}`")) && line.contains(hint)
    };
    assert!(errors_page().lines().any(|line| says(&line)), "docs/errors.md does not say so of {code}");
}

/// Atlas's authentication said no more than this in 2023.
#[tokio::test]
async fn a_401_without_a_code() {
    let world = world().await;
    let body = json!({"error": 401, "reason": "Unauthorized", "detail": "You are not authorized for this resource."});
    let answer = Effect::Answer { status: 401, content_type: None, body: body.to_string() };
    world.project.fault(Fault::new(answer).always());
    assert_eq!(world.refused(List).await.reason(), Unauthorized);
}

/// In an envelope, the status within counts, whatever HTTP says.
#[rstest]
#[case::enveloped(json!({"status": 404, "content": {"error": 404, "errorCode": "GROUP_NOT_FOUND"}}), ProjectNotFound)]
#[case::bare(json!({"error": 404, "errorCode": "GROUP_NOT_FOUND", "detail": "No group."}), ProjectNotFound)]
#[case::limited(json!({"status": 429, "content": {"error": 429, "errorCode": "RATE_LIMITED"}}), RateLimited)]
#[case::not_an_error_of_atlas(json!({"status": 404, "content": {"message": "no"}}), AtlasUnavailable)]
#[case::without_a_status(json!({"errorCode": "GROUP_NOT_FOUND"}), AtlasUnavailable)]
#[tokio::test]
async fn an_error_within_a_success(#[case] body: serde_json::Value, #[case] reason: Reason) {
    let world = world().await;
    let answer = Effect::Answer { status: 200, content_type: None, body: body.to_string() };
    world.project.fault(Fault::new(answer).always());
    for asked in [List, Write, Delete] {
        assert_eq!(world.refused(asked).await.reason(), reason);
    }
}

fn flowdock() -> Integration<SecretValue> {
    let token = FieldValue::Secret(secret("canary-flowdock-1"));
    let values = [("flowName", "flow".into()), ("orgName", "org".into()), ("apiToken", token)];
    Integration::new(IntegrationType::Flowdock, values).unwrap()
}

/// Where Atlas has no FLOWDOCK any more, or no version 1.0, it says so in one way or another.
#[rstest]
#[case::unknown_path(|s: &mut atlas_sim::Settings| s.flowdock = Flowdock::Nowhere, true)]
#[case::bad_parameter(|s: &mut atlas_sim::Settings| (s.flowdock, s.unknown_type_status) = (Flowdock::Nowhere, 400), true)]
#[case::version_gone(|s: &mut atlas_sim::Settings| s.serve_v1 = Serve::VersionGone, false)]
#[case::version_unknown(|s: &mut atlas_sim::Settings| s.serve_v1 = Serve::ResourceNotFound, false)]
#[case::version_date(|s: &mut atlas_sim::Settings| s.serve_v1 = Serve::InvalidVersionDate, false)]
#[tokio::test]
async fn flowdock_is_no_more(#[case] behaviour: fn(&mut atlas_sim::Settings), #[case] listed: bool) {
    let world = world().await;
    world.project.settings(behaviour);
    let listing = world.client.list(&world.session, &world.id, true).await;
    assert_eq!(listing.is_ok(), listed);
    if let Err(failure) = listing {
        assert_eq!(failure.reason(), NotSupportedByAtlas, "{}", told(&failure));
    }
    let failure = world.client.create(&world.session, &world.id, &flowdock()).await.unwrap_err();
    assert_eq!(
        (failure.reason(), failure.outcome_unknown),
        (NotSupportedByAtlas, false),
        "{}",
        told(&failure)
    );
    assert!(told(&failure).contains("delete this object"), "{}", told(&failure));
    assert_eq!(world.list().await, Ok(0), "the other types go on");
}

/// A proxy's 404 says nothing of what Atlas offers.
#[tokio::test]
async fn a_proxys_404_does_not_end_flowdock() {
    let world = world().await;
    world.project.settings(|settings| settings.serve_v1 = Serve::ForeignNotFound);
    let listing = world.client.list(&world.session, &world.id, true).await.unwrap_err();
    let write = world.client.create(&world.session, &world.id, &flowdock()).await.unwrap_err();
    assert_eq!((listing.reason(), write.reason()), (AtlasUnavailable, AtlasUnavailable));
}

/// The type as such is refused where the refusal is about the type, and the settings where it is about them.
#[rstest]
#[case::value(
    400,
    "INVALID_ENUM_VALUE",
    "An invalid enumeration value NEW_RELIC was specified.",
    NotSupportedByAtlas
)]
#[case::other_value(400, "INVALID_ENUM_VALUE", "An invalid enumeration value US9 was specified.", Rejected)]
#[case::path(
    404,
    "INVALID_PATH_PARAMETER",
    "Invalid path parameter integrationType specified.",
    NotSupportedByAtlas
)]
#[case::resource(404, "RESOURCE_NOT_FOUND", "Cannot find resource /NEW_RELIC.", NotSupportedByAtlas)]
#[case::like_hipchat(400, "NEW_RELIC_NOT_SUPPORTED", "No.", NotSupportedByAtlas)]
#[case::retired(410, "NEVER_SEEN", "No.", NotSupportedByAtlas)]
#[case::settings(400, "INTEGRATION_FIELDS_INVALID", "At least one integration field is invalid.", Rejected)]
#[tokio::test]
async fn new_relic_is_refused(
    #[case] status: u16,
    #[case] code: &str,
    #[case] detail: &str,
    #[case] reason: Reason,
) {
    let world = world().await;
    world.project.fault(Fault::new(Effect::error(status, code, detail)).of_type("NEW_RELIC").always());
    let key = || FieldValue::Secret(secret("canary-new-relic-1"));
    let values =
        [("accountId", "12345".into()), ("licenseKey", key()), ("writeToken", key()), ("readToken", key())];
    let new_relic = Integration::new(IntegrationType::NewRelic, values).unwrap();
    for update in [false, true] {
        let (client, session) = (&world.client, &world.session);
        let outcome = match update {
            false => client.create(session, &world.id, &new_relic).await,
            true => client.update(session, &world.id, &new_relic).await,
        };
        assert_eq!(outcome.unwrap_err().reason(), reason);
    }
    world.client.create(&world.session, &world.id, &opsgenie()).await.unwrap();
}
