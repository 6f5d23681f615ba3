//! The one table of everything that a call can lead to besides success: its class, who has to act, and what to do.
//! docs/errors.md is generated from it.
//!
//! Sources: the documentation's list of API errors, the v2 specification, and answers seen by users. Atlas returns 401,
//! not 403, if a role does not suffice, and 401 UNEXPECTED_ERROR for any wrong key.

use crate::domain::Advice;
use crate::domain::FailureKind as K;

/// The calls that a row applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// All of them.
    Any,
    /// LIST.
    List,
    /// All calls for FLOWDOCK, including the LIST in the only version that has it.
    Flowdock,
    /// POST and PUT.
    Write,
    /// POST and PUT, if the type is the value that the answer's text refuses.
    NamedType,
    /// POST and PUT, if the code says of the type itself that it is not supported.
    CodedType,
    /// DELETE.
    Delete,
    /// The request for a service account's token.
    Token,
}

/// The person who has to act if the failure does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody.
    Nobody,
    /// The owner of the object and of the Secrets that it refers to.
    Owner,
    /// The administrator of the project or organisation in Atlas.
    Atlas,
    /// The person who runs the operator and its network.
    Operator,
}

/// An error that Atlas returns.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status; 0 for any.
    pub status: u16,
    /// `errorCode`; empty for any; `*` at its beginning stands for any beginning.
    pub code: &'static str,
    /// The calls that it applies to.
    pub on: On,
    /// The class.
    pub kind: K,
    /// Who has to act.
    pub who: Who,
    /// What to do.
    pub advice: Advice,
    /// Whether it refuses the credential itself, whatever the project.
    pub of_credential: bool,
}

impl Answer {
    /// The same answer, which refuses the credential itself, whatever the project.
    const fn of_credential(self) -> Answer {
        Answer { of_credential: true, ..self }
    }
}

const fn row(status: u16, code: &'static str, on: On, kind: K, who: Who, advice: Advice) -> Answer {
    Answer { status, code, on, kind, who, advice, of_credential: false }
}

/// Nobody has to act.
const NOTHING: Advice = Advice::NONE;
const FIX_KEY: Advice = Advice::always("{check}");
const FIX_TOKEN: Advice = Advice::always("{token}");
const FIX_ROLE: Advice = Advice::always("give it the role Project Owner on the project");
const FIX_ORGANISATION: Advice =
    Advice { nothing: "{organisation}. {recreate}", ..Advice::always("{organisation}") };
const FIX_ACCESS: Advice =
    Advice::always("add the address that the operator calls from to the access list of {key}");
const FIX_PROJECT: Advice = Advice {
    nothing: "Atlas knows no project of this id. {recreate}",
    integration: "Atlas knew this project before: whoever runs the operator has to check that it asks the right Atlas \
                  (--atlas-url); {retain}",
    deletion: "this does not prove that the integration is gone: whoever runs the operator has to check that it asks \
               the right Atlas (--atlas-url)",
};
/// The advice on a refused DELETE. A person who deletes the integration in the Atlas UI ends the deletion too.
const UNDELETABLE: &str = "remove in Atlas what still uses the integration, such as alert configurations, or delete \
                           the integration in the Atlas UI";
const FIX_SPEC: Advice = Advice {
    deletion: UNDELETABLE,
    ..Advice::always("correct what Atlas names, in the object or in its Secret{sources}")
};
const FIX_FIELD: Advice =
    Advice::always("correct the field that Atlas names, in the object or in its Secret{sources}");
const FIX_REGION: Advice = Advice::always(
    "set the region to that of your account at the service, by Atlas's name for it (Datadog's region US1 is US in \
     Atlas, EU1 is EU)",
);
const FIX_VALUE: Advice = Advice::always(
    "correct the field that has this value, since Atlas does not know the value (Datadog's region US1 is US in \
     Atlas, EU1 is EU)",
);
const FIX_URL: Advice = Advice::always("put the whole URL, with https://, into the Secret{sources}");
const FIX_TEMPLATE: Advice = Advice::always(
    "if the object has a template, check that it gives valid JSON; if not, something between the operator and Atlas \
     changes requests",
);
const TOKEN_LATER: Advice = Advice::always("the service account may ask for a token only so often");
const NO_SUCH_TYPE: Advice = Advice {
    nothing: "Atlas does not offer this type of integration any more; delete this object (nothing was created in \
              Atlas)",
    integration: "Atlas does not offer this type of integration any more, and may keep the one that it has; {retain}",
    deletion: "Atlas does not offer this type of integration any more, and may not delete it through its API: \
               delete it in the Atlas UI if it is there, and let the object go",
};
const CLOUD_MANAGER: Advice = Advice {
    nothing: "the project is one of Cloud Manager, not of Atlas. {recreate}",
    integration: "the project is one of Cloud Manager, not of Atlas; {retain}",
    deletion: "the project is one of Cloud Manager, not of Atlas; let the object go",
};
const NO_SUCH_VERSION: Advice = Advice::always(
    "whoever runs the operator has to set --atlas-api to a version that Atlas serves, and to check --atlas-url",
);
const OUR_REQUEST: Advice = Advice::always(
    "the operator's own request does not arrive as Atlas expects it: whoever runs the operator has to check \
     --atlas-url, --atlas-api and the proxies in between",
);

use On::{Any, CodedType, Delete, Flowdock, NamedType, Token, Write};

/// The errors that Atlas returns. The first row that fits decides; an answer that fits no row is [`OTHERS`].
pub static ANSWERS: &[Answer] = &[
    // Errors of the token endpoint, which uses OAuth's own codes.
    row(0, "invalid_client", Token, K::Unauthorized, Who::Owner, FIX_TOKEN),
    row(0, "invalid_grant", Token, K::Unauthorized, Who::Owner, FIX_TOKEN),
    row(
        0,
        "access_denied",
        Token,
        K::RateLimited,
        Who::Nobody,
        Advice::always(
            "the service account holds as many live tokens as it may, and they end within an hour: find out who else \
             asks for them",
        ),
    ),
    row(0, "rate_limited", Token, K::RateLimited, Who::Nobody, TOKEN_LATER),
    row(429, "", Token, K::RateLimited, Who::Nobody, TOKEN_LATER),
    row(400, "", Token, K::Unavailable, Who::Operator, OUR_REQUEST),
    // Integrations and projects that exist or do not exist.
    row(404, "INTEGRATION_NOT_CONFIGURED", Any, K::Gone, Who::Nobody, NOTHING),
    row(
        409,
        "INTEGRATION_ALREADY_CONFIGURED",
        Any,
        K::AlreadyConfigured,
        Who::Nobody,
        Advice::always("if somebody else created it meanwhile, the object will say AlreadyExists"),
    ),
    row(
        404,
        "GROUP_NOT_FOUND",
        Any,
        K::ProjectNotFound,
        Who::Owner,
        Advice {
            nothing: "check that the project exists, and that {key} belongs to its organisation. {recreate}",
            integration: "check whether the project was deleted in Atlas, and that {key} belongs to its \
                          organisation; {retain}",
            deletion: "",
        },
    ),
    row(404, "INVALID_GROUP_ID", Any, K::WrongProject, Who::Owner, FIX_PROJECT),
    row(404, "NOT_ATLAS_GROUP", Any, K::WrongProject, Who::Owner, CLOUD_MANAGER),
    // Types and API versions that Atlas does not know. A write follows a LIST in the same version, so if Atlas does not
    // know the path of the write, it does not know the type in it.
    row(0, "RESOURCE_NOT_FOUND", Write, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "RESOURCE_NOT_FOUND", Delete, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "RESOURCE_NOT_FOUND", Flowdock, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "RESOURCE_NOT_FOUND", Any, K::NotServed, Who::Operator, NO_SUCH_VERSION),
    row(0, "INVALID_PATH_PARAMETER", Write, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "INVALID_PATH_PARAMETER", Delete, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "INVALID_PATH_PARAMETER", Any, K::WrongProject, Who::Owner, FIX_PROJECT),
    row(0, "INVALID_ENUM_VALUE", NamedType, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "INVALID_VERSION_DATE", Flowdock, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "INVALID_VERSION_DATE", Any, K::NotServed, Who::Operator, NO_SUCH_VERSION),
    row(0, "VERSION_GONE", Flowdock, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "VERSION_GONE", Any, K::NotServed, Who::Operator, NO_SUCH_VERSION),
    row(0, "HIPCHAT_NOT_SUPPORTED", Any, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(0, "DATADOG_NOT_SUPPORTED_FOR_CLOUD_MANAGER", Any, K::NotSupported, Who::Owner, CLOUD_MANAGER),
    row(
        0,
        "FEATURE_UNSUPPORTED",
        Any,
        K::NotSupported,
        Who::Atlas,
        Advice {
            nothing: "the organisation lacks the feature: ask MongoDB for it, or delete this object (nothing was \
                      created in Atlas)",
            ..Advice::always("the organisation lacks the feature: ask MongoDB for it")
        },
    ),
    row(0, "*_NOT_SUPPORTED", CodedType, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    row(410, "", Write, K::NotSupported, Who::Owner, NO_SUCH_TYPE),
    // Slack, which a person has to connect.
    row(
        0,
        "SLACK_OAUTH2_NOT_CONFIGURED",
        Any,
        K::Rejected,
        Who::Atlas,
        Advice::always(
            "Slack was never connected to this project: in the Atlas UI open the project's Integrations, choose \
             Slack, Configure, and allow Atlas in your workspace",
        ),
    ),
    row(
        0,
        "MUST_RECONFIGURE_SLACK_OAUTH2",
        Any,
        K::Rejected,
        Who::Atlas,
        Advice::always(
            "token and team of a connected Slack can't be changed through the API: put the old apiToken and teamName \
             back, or connect Slack again in the Atlas UI (the project's Integrations, Slack, Configure), and give \
             the object the same token and team",
        ),
    ),
    row(
        0,
        "LEGACY_SLACK_CONFIGURATION_UNSUPPORTED",
        Any,
        K::Rejected,
        Who::Atlas,
        Advice::always(
            "Atlas takes no legacy Slack token any more: remove the old Slack integration in the Atlas UI (the \
             project's Integrations, Slack), connect Slack there by OAuth2, and put the new token into the \
             Secret{sources}",
        ),
    ),
    // Settings that Atlas does not accept.
    row(
        0,
        "WEBHOOK_NOTIFICATIONS_PRESENT",
        Delete,
        K::Rejected,
        Who::Atlas,
        Advice::always("remove the webhook from the project's alert configurations in Atlas"),
    ),
    row(400, "INVALID_INTEGRATION_SETTINGS", Any, K::Rejected, Who::Owner, FIX_SPEC),
    row(400, "INTEGRATION_FIELDS_INVALID", Any, K::Rejected, Who::Owner, FIX_SPEC),
    row(
        400,
        "INVALID_DATADOG_API_KEY",
        Any,
        K::Rejected,
        Who::Owner,
        Advice::always(
            "put an API key of Datadog (32 hexadecimal digits; not an application key) into the Secret{sources}, and \
             check spec.datadog.region",
        ),
    ),
    row(
        400,
        "INVALID_PAGER_DUTY_SERVICE_KEY",
        Any,
        K::Rejected,
        Who::Owner,
        Advice::always(
            "put an integration key of PagerDuty (32 hexadecimal digits) into the Secret{sources}",
        ),
    ),
    row(400, "WEBHOOK_URL_NOT_SET", Any, K::Rejected, Who::Owner, FIX_URL),
    row(400, "INVALID_URL", Any, K::Rejected, Who::Owner, FIX_URL),
    row(400, "INVALID_REGION", Any, K::Rejected, Who::Owner, FIX_REGION),
    row(0, "*REGION_NOT_SUPPORTED", Write, K::Rejected, Who::Owner, FIX_REGION),
    row(0, "*_NOT_SUPPORTED", Write, K::Rejected, Who::Owner, FIX_SPEC),
    row(400, "INVALID_ENUM_VALUE", Write, K::Rejected, Who::Owner, FIX_VALUE),
    row(400, "INVALID_ATTRIBUTE", Write, K::Rejected, Who::Owner, FIX_FIELD),
    row(
        400,
        "MISSING_ATTRIBUTE",
        Write,
        K::Rejected,
        Who::Owner,
        Advice::always("set the field that Atlas names"),
    ),
    row(
        400,
        "MISSING_ATTRIBUTES",
        Write,
        K::Rejected,
        Who::Owner,
        Advice::always("set the fields that Atlas names"),
    ),
    row(400, "MISSING_OR_INVALID_ATTRIBUTE", Write, K::Rejected, Who::Owner, FIX_FIELD),
    row(
        400,
        "ATTRIBUTE_READ_ONLY",
        Write,
        K::Rejected,
        Who::Owner,
        Advice::always("remove the field that Atlas names from the object"),
    ),
    row(400, "VALIDATION_ERROR", Write, K::Rejected, Who::Owner, FIX_FIELD),
    row(400, "MALFORMED_JSON", Write, K::Rejected, Who::Owner, FIX_TEMPLATE),
    row(400, "INVALID_JSON", Write, K::Rejected, Who::Owner, FIX_TEMPLATE),
    row(400, "INVALID_JSON_ATTRIBUTE", Write, K::Rejected, Who::Owner, FIX_FIELD),
    row(0, "INVALID_QUERY_PARAMETER", Any, K::Unavailable, Who::Operator, OUR_REQUEST),
    // Credentials and permissions.
    row(401, "USER_UNAUTHORIZED", Any, K::Unauthorized, Who::Atlas, FIX_ROLE),
    row(401, "NOT_IN_GROUP", Any, K::Unauthorized, Who::Owner, FIX_ORGANISATION),
    row(401, "USER_CANNOT_ACCESS_GROUP", Any, K::Unauthorized, Who::Owner, FIX_ORGANISATION),
    row(401, "NO_CURRENT_USER", Any, K::Unauthorized, Who::Owner, Advice::always("{another}"))
        .of_credential(),
    row(401, "", Any, K::Unauthorized, Who::Owner, FIX_KEY).of_credential(),
    row(
        402,
        "",
        Any,
        K::Forbidden,
        Who::Atlas,
        Advice::always("the organisation is suspended; settle its bill"),
    )
    .of_credential(),
    row(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", Any, K::Forbidden, Who::Atlas, FIX_ACCESS).of_credential(),
    row(403, "IP_ADDRESS_NOT_ON_WHITELIST", Any, K::Forbidden, Who::Atlas, FIX_ACCESS).of_credential(),
    row(403, "RESOURCE_REQUIRES_ACCESS_LIST", Any, K::Forbidden, Who::Atlas, FIX_ACCESS).of_credential(),
    row(403, "RESOURCE_REQUIRES_WHITELIST", Any, K::Forbidden, Who::Atlas, FIX_ACCESS).of_credential(),
    row(403, "ORG_REQUIRES_ACCESS_LIST", Any, K::Forbidden, Who::Atlas, FIX_ACCESS).of_credential(),
    row(403, "ORG_REQUIRES_WHITELIST", Any, K::Forbidden, Who::Atlas, FIX_ACCESS).of_credential(),
    row(
        403,
        "",
        Any,
        K::Forbidden,
        Who::Atlas,
        Advice::always("check the access list of {key}, and the organisation's settings in Atlas"),
    ),
    // Limits and outages that pass.
    row(429, "", Any, K::RateLimited, Who::Nobody, NOTHING),
    row(405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", Any, K::Unavailable, Who::Nobody, NOTHING),
    row(405, "", Any, K::Unavailable, Who::Operator, OUR_REQUEST),
    row(408, "", Any, K::Unavailable, Who::Nobody, NOTHING),
    row(500, "", Any, K::Unavailable, Who::Nobody, NOTHING),
    row(503, "", Any, K::Unavailable, Who::Nobody, NOTHING),
    // Codes that no list names.
    row(400, "", Write, K::Rejected, Who::Owner, FIX_SPEC),
    row(400, "", Delete, K::Rejected, Who::Owner, FIX_SPEC),
    row(400, "", Any, K::Unavailable, Who::Operator, OUR_REQUEST),
    row(413, "", Write, K::Rejected, Who::Owner, Advice::always("shorten the templates")),
    row(422, "", Write, K::Rejected, Who::Owner, FIX_SPEC),
];

/// Every other answer of Atlas.
pub static OTHERS: Answer = row(
    0,
    "",
    Any,
    K::Unavailable,
    Who::Operator,
    Advice::always("if it lasts, look the code up in MongoDB's documentation of its API errors"),
);

/// An answer that does not come from Atlas: from a proxy or a load balancer, or damaged on its way.
#[derive(Debug)]
pub struct Foreign {
    /// The first HTTP status of the row.
    pub from: u16,
    /// The last HTTP status of the row.
    pub to: u16,
    /// What the answer is, in words.
    pub what: &'static str,
    /// The class.
    pub kind: K,
    /// Whether a write may have taken effect all the same.
    pub in_doubt: bool,
    /// Who has to act, if it lasts.
    pub who: Who,
    /// What to do.
    pub advice: Advice,
}

const fn foreign(
    (from, to): (u16, u16),
    what: &'static str,
    kind: K,
    in_doubt: bool,
    who: Who,
    advice: &'static str,
) -> Foreign {
    Foreign { from, to, what, kind, in_doubt, who, advice: Advice::always(advice) }
}

const CHECK_WAY: &str = "whoever runs the operator has to check --atlas-url and the proxies in between";

/// Answers that do not come from Atlas, by status. The first row that fits decides.
pub static FOREIGN: &[Foreign] = &[
    foreign(
        (200, 299),
        "no JSON, HTML, no page of integrations, a page that is not whole or has more than 500 entries, a body larger than \
         256 KiB",
        K::Unavailable,
        true,
        Who::Operator,
        CHECK_WAY,
    ),
    foreign(
        (300, 399),
        "a redirect, which is never followed",
        K::Unavailable,
        false,
        Who::Operator,
        "whoever runs the operator has to set --atlas-url to Atlas itself",
    ),
    foreign(
        (401, 401),
        "without Atlas's error and without a digest challenge",
        K::Unavailable,
        false,
        Who::Operator,
        CHECK_WAY,
    ),
    foreign((404, 404), "a proxy's, or another server's", K::NotServed, false, Who::Operator, CHECK_WAY),
    foreign(
        (407, 407),
        "a proxy wants to know who asks",
        K::Unavailable,
        false,
        Who::Operator,
        "whoever runs the operator has to put the proxy's user and password into HTTPS_PROXY",
    ),
    foreign(
        (413, 413),
        "a proxy limits the size of requests",
        K::Unavailable,
        false,
        Who::Operator,
        "whoever runs the proxy has to raise its limit; or shorten the templates",
    ),
    foreign((429, 429), "a proxy limits the rate of requests", K::RateLimited, false, Who::Operator, ""),
    foreign(
        (400, 499),
        "a proxy, a firewall, or another server refuses",
        K::Unavailable,
        false,
        Who::Operator,
        CHECK_WAY,
    ),
    foreign(
        (500, 599),
        "a proxy can't reach Atlas, or gave up waiting",
        K::Unavailable,
        true,
        Who::Operator,
        CHECK_WAY,
    ),
    foreign((0, u16::MAX), "no HTTP as Atlas speaks it", K::Unavailable, true, Who::Operator, CHECK_WAY),
];

/// How a call ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No connection could be made.
    Unconnected,
    /// The connection could not be trusted.
    Untrusted,
    /// The connection ended before the answer did.
    Broken,
    /// The call timed out before the answer came.
    Late,
}

/// What a call without an answer means. The class is always [`K::Unavailable`].
#[derive(Debug)]
pub struct NoAnswer {
    /// How it ended.
    pub silence: Silence,
    /// What happened, as messages say it before the cause.
    pub what: &'static str,
    /// What causes it, for a person.
    pub causes: &'static str,
    /// Whether a write may have taken effect all the same.
    pub in_doubt: bool,
    /// What to do.
    pub advice: Advice,
}

/// Calls without an answer: one row for each [`Silence`].
pub static NO_ANSWERS: &[NoAnswer] = &[
    NoAnswer {
        silence: Silence::Untrusted,
        what: "TLS failed",
        causes: "a certificate that is not trusted, or has expired, or is another host's; no TLS at all",
        in_doubt: false,
        advice: Advice::always(
            "whoever runs the operator has to check --atlas-url and, if a proxy opens TLS, to name a bundle with its \
             CA in SSL_CERT_FILE",
        ),
    },
    NoAnswer {
        silence: Silence::Unconnected,
        what: "can't connect",
        causes: "refused, no route, no such name, a proxy that does not let it through",
        in_doubt: false,
        advice: Advice::always(
            "whoever runs the operator has to check the network, HTTPS_PROXY and --atlas-url",
        ),
    },
    NoAnswer {
        silence: Silence::Late,
        what: "no answer within the time limit",
        causes: "a slow network, proxy or Atlas; the limit is `--atlas-timeout`",
        in_doubt: true,
        advice: NOTHING,
    },
    NoAnswer {
        silence: Silence::Broken,
        what: "the connection failed",
        causes: "reset, closed, or cut within the answer",
        in_doubt: true,
        advice: NOTHING,
    },
];

#[cfg(test)]
#[path = "advice_tests.rs"]
mod advice_tests;
