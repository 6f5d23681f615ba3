//! Mistakes that people made who followed the documentation.

use atlas_sim::{Effect, Fault, Operation};
use serde_json::json;

use super::Serves::{Nobody, Plain, Platform, Steps};
use super::Step::{
    Atlas, Create, CreateThere, Faulted, Kubectl, Reaches, RemoveProject, Secret, Start, Stop,
};
use super::{KEY, Mistake, Told, refuse_lists, tell};
use crate::world::{PRIVATE_KEY, PUBLIC_KEY};

const DATADOG: &str = "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}";
const WEBHOOK: &str = "{type: WEBHOOK, webhook: {urlSecretRef: {name: hook, key: url}}}";
const KEYS: super::Step = Secret("datadog", &[("apiKey", KEY)]);
const LOST_ACCOUNT: &[(&str, &str)] =
    &[("clientId", "mdb_sa_id_1234567890abcdef12345678"), ("clientSecret", "mdb_sa_sk_canaryWRONG")];

const MISTAKES: &[Mistake] = &[
    Mistake {
        number: 1,
        what: "wrong key in the reference",
        operator: Plain,
        steps: &[
            Secret("datadog", &[("APIKEY", KEY), ("apiKey", KEY)]),
            Create("x", "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: api-key}}}"),
        ],
        told: Told::Ready("x", "SecretKeyMissing"),
        message: "Secret datadog has no key api-key; it has: APIKEY, apiKey; add the key, or correct the reference",
    },
    Mistake {
        number: 2,
        what: "Secret in another namespace",
        operator: Plain,
        steps: &[Create("x", "{type: DATADOG, datadog: {apiKeySecretRef: {name: elsewhere, key: apiKey}}}")],
        told: Told::Ready("x", "SecretNotFound"),
        message: "Secret elsewhere does not exist in namespace {namespace}; create it, and the operator continues \
                  automatically (an object uses the Secrets of its own namespace only)",
    },
    Mistake {
        number: 3,
        what: "typo in a field",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {regoin: EU, apiKeySecretRef: {name: datadog, key: apiKey}}}",
        ),
        message: "Error from server (BadRequest): error when creating \"STDIN\": AtlasIntegration in version \
                  \"v1\" cannot be handled as a AtlasIntegration: strict decoding error: unknown field \
                  \"spec.datadog.regoin\"",
    },
    Mistake {
        number: 4,
        what: "block missing",
        operator: Nobody,
        steps: &[],
        told: Told::Apply("x", "{type: DATADOG}"),
        message: "The AtlasIntegration \"x\" is invalid: spec: Invalid value: spec.datadog must be set, since \
                  spec.type is DATADOG; to see its fields, run: kubectl explain atlasintegration.spec.datadog",
    },
    Mistake {
        number: 5,
        what: "two blocks",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, \
             pagerDuty: {serviceKeySecretRef: {name: pagerduty, key: key}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec: Invalid value: spec.pagerDuty is only for spec.type \
                  PAGER_DUTY, and spec.type is DATADOG: remove the block, or, in a new object, correct spec.type",
    },
    Mistake {
        number: 6,
        what: "project id in upper case",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{projectId: 5D791C84FF7A2522CC4F9AA1, type: DATADOG, \
             datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.projectId: Invalid value: \
                  \"5D791C84FF7A2522CC4F9AA1\": must be the id of an Atlas project and nothing else, in lower \
                  case: write 5d791c84ff7a2522cc4f9aa1",
    },
    Mistake {
        number: 7,
        what: "the project's name in place of its id",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{projectId: Production, type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.projectId: Invalid value: \"Production\": must be \
                  the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; \
                  Atlas shows the id in Project Settings, and in the URL of its pages after /v2/",
    },
    Mistake {
        number: 8,
        what: "type misspelt",
        operator: Nobody,
        steps: &[],
        told: Told::Apply("x", "{type: Datadog, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}"),
        message: "The AtlasIntegration \"x\" is invalid: \n* spec.type: Unsupported value: \"Datadog\": supported \
                  values: \"PAGER_DUTY\", \"SLACK\", \"DATADOG\", \"NEW_RELIC\", \"OPS_GENIE\", \"VICTOR_OPS\", \
                  \"FLOWDOCK\", \"WEBHOOK\", \"MICROSOFT_TEAMS\", \"PROMETHEUS\"\n* <nil>: Invalid value: null: \
                  some validation rules were not checked because the object was invalid; correct the existing \
                  errors to complete validation",
    },
    Mistake {
        number: 9,
        what: "key written into the object",
        operator: Nobody,
        steps: &[],
        told: Told::Apply("x", "{type: DATADOG, datadog: {apiKey: canary-in-place-of-a-reference}}"),
        message: "Error from server (BadRequest): error when creating \"STDIN\": AtlasIntegration in version \
                  \"v1\" cannot be handled as a AtlasIntegration: strict decoding error: unknown field \
                  \"spec.datadog.apiKey\"",
    },
    Mistake {
        number: 10,
        what: "credentials of another namespace",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, \
             credentialsSecretRef: {namespace: other}}",
        ),
        message: "Error from server (BadRequest): error when creating \"STDIN\": AtlasIntegration in version \
                  \"v1\" cannot be handled as a AtlasIntegration: strict decoding error: unknown field \
                  \"spec.credentialsSecretRef.namespace\"",
    },
    Mistake {
        number: 11,
        what: "public and private key swapped",
        operator: Plain,
        steps: &[
            KEYS,
            Secret("swapped", &[("publicApiKey", "fedcba98-canarySWAPPED"), ("privateApiKey", PUBLIC_KEY)]),
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, \
                 credentialsSecretRef: {name: swapped}}",
            ),
        ],
        told: Told::Ready("x", "Unauthorized"),
        message: "Atlas at {atlas} refuses the API key in Secret swapped (401 UNEXPECTED_ERROR to LIST of project \
                  {project}: You are not authorized for this resource): check publicApiKey and privateApiKey in \
                  that Secret (not swapped, not revoked, without quotes around them, made in this Atlas and in the \
                  organisation of the project), and that the key has the role Project Owner on the project; the \
                  operator looks again automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 12,
        what: "service account with a wrong secret",
        operator: Plain,
        steps: &[
            KEYS,
            Secret("atlas-api", LOST_ACCOUNT),
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, \
                 credentialsSecretRef: {name: atlas-api}}",
            ),
        ],
        told: Told::Ready("x", "Unauthorized"),
        message: "Atlas at {atlas} refuses the service account in Secret atlas-api (401 invalid_client to the \
                  request for a service account's token: Invalid credentials provided): correct clientId and \
                  clientSecret in that Secret; the client secret may have expired, or the account may belong to \
                  another Atlas; the operator looks again automatically; to make it look now, set the \
                  annotation atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 13,
        what: "credentials under names of one's own",
        operator: Plain,
        steps: &[
            KEYS,
            Secret("wrongnames", &[("publicKey", PUBLIC_KEY), ("privateKey", PRIVATE_KEY)]),
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, \
                 credentialsSecretRef: {name: wrongnames}}",
            ),
        ],
        told: Told::Ready("x", "SecretKeyMissing"),
        message: "Secret wrongnames needs the keys publicApiKey and privateApiKey (an API key), or clientId and \
                  clientSecret (a service account); it has: privateKey, publicKey; rename its keys, add the \
                  missing ones, or refer to another Secret",
    },
    Mistake {
        number: 14,
        what: "both forms of credentials in the Secret",
        operator: Plain,
        steps: &[
            KEYS,
            Secret(
                "atlas",
                &[
                    ("publicApiKey", PUBLIC_KEY),
                    ("privateApiKey", PRIVATE_KEY),
                    ("clientId", "mdb_sa_id_1234567890abcdef12345678"),
                    ("clientSecret", "mdb_sa_sk_canaryWRONG"),
                ],
            ),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "SecretKeyInvalid"),
        message: "Secret atlas holds both an API key (publicApiKey, privateApiKey) and a service account \
                  (clientId, clientSecret); keep one of the two",
    },
    Mistake {
        number: 15,
        what: "API key without a role on the project",
        operator: Plain,
        steps: &[
            KEYS,
            Atlas(|project| {
                let detail = "Current user is not authorized to perform this action.";
                refuse_lists(project, 401, "USER_UNAUTHORIZED", detail);
            }),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "Unauthorized"),
        message: "Atlas at {atlas} refuses the API key in Secret atlas (401 USER_UNAUTHORIZED to LIST of project \
                  {project}: Current user is not authorized to perform this action): give it the role Project \
                  Owner on the project; the operator looks again automatically; to make it look now, set the \
                  annotation atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 16,
        what: "address not on the access list",
        operator: Plain,
        steps: &[
            KEYS,
            Atlas(|project| {
                let detail = "IP address 203.0.113.7 is not allowed to access this resource.";
                refuse_lists(project, 403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", detail);
            }),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "Forbidden"),
        message: "Atlas answered 403 IP_ADDRESS_NOT_ON_ACCESS_LIST to LIST of project {project}: IP address \
                  203.0.113.7 is not allowed to access this resource; add the address that the operator calls from \
                  to the access list of the API key in Secret atlas; the operator looks again automatically; \
                  to make it look now, set the annotation atlas-integrations.dev/reconcile-requested-at to a new \
                  value",
    },
    Mistake {
        number: 17,
        what: "key of another organisation",
        operator: Plain,
        steps: &[
            KEYS,
            Atlas(|project| {
                let detail = "The current user is not in the group, or the group does not exist.";
                refuse_lists(project, 401, "NOT_IN_GROUP", detail);
            }),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "Unauthorized"),
        message: "Atlas at {atlas} refuses the API key in Secret atlas (401 NOT_IN_GROUP to LIST of project \
                  {project}: The current user is not in the group, or the group does not exist): use an API key or \
                  service account of the organisation that the project belongs to, with the role Project Owner on \
                  the project. If spec.projectId is wrong, create a new object with the right id, since it can't \
                  be changed, and delete this one (nothing was created in Atlas); the operator looks again \
                  automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 18,
        what: "project that does not exist",
        operator: Plain,
        steps: &[KEYS, RemoveProject, Create("x", DATADOG)],
        told: Told::Ready("x", "ProjectNotFound"),
        message: "Atlas answered 404 GROUP_NOT_FOUND to LIST of project {project}: No group with ID {project} \
                  exists; check that the project exists, and that the API key in Secret atlas belongs to its \
                  organisation. If spec.projectId is wrong, create a new object with the right id, since it can't \
                  be changed, and delete this one (nothing was created in Atlas); the operator looks again \
                  automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 19,
        what: "organisation suspended",
        operator: Plain,
        steps: &[
            KEYS,
            Atlas(|project| {
                let detail = "Organization has an unpaid invoice that is more than 30 days old.";
                refuse_lists(project, 402, "ORG_SUSPENDED", detail);
            }),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "Forbidden"),
        message: "Atlas answered 402 ORG_SUSPENDED to LIST of project {project}: Organization has an unpaid \
                  invoice that is more than 30 days old; the organisation is suspended; settle its bill; the \
                  operator looks again automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 20,
        what: "suspended with something owed",
        operator: Plain,
        steps: &[
            KEYS,
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, suspend: true}",
            ),
        ],
        told: Told::Ready("x", "Suspended"),
        message: "the object is suspended, and Atlas has not confirmed its settings and Secrets as they are now; set spec.suspend to false to continue",
    },
    Mistake {
        number: 21,
        what: "two objects for one integration, same namespace",
        operator: Plain,
        steps: &[KEYS, Create("c1", DATADOG), Reaches("c1", "Synced"), Create("c2", DATADOG)],
        told: Told::Ready("c2", "Conflict"),
        message: "AtlasIntegration c1 already keeps the DATADOG integration of project {project}, and a project \
                  has one integration of a type: delete this object (nothing happens in Atlas), or set \
                  deletionPolicy: Retain on c1 before you delete it",
    },
    Mistake {
        number: 22,
        what: "two objects for one integration, other namespace",
        operator: Plain,
        steps: &[KEYS, Create("c1", DATADOG), Reaches("c1", "Synced"), CreateThere("c2", DATADOG)],
        told: Told::ReadyThere("c2", "Conflict"),
        message: "an AtlasIntegration of another namespace already keeps the DATADOG integration of project \
                  {project}, and a project has one integration of a type: delete this object (nothing happens in \
                  Atlas), or ask somebody who may list all namespaces which object it is (docs/troubleshooting.md)",
    },
    Mistake {
        number: 23,
        what: "the integration exists in Atlas",
        operator: Plain,
        steps: &[
            KEYS,
            Atlas(|project| {
                project.replace_by_other(json!({"type": "DATADOG", "apiKey": KEY, "region": "US"}))
            }),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "AlreadyExists"),
        message: "project {project} already has a DATADOG integration that this object did not create: to look at \
                  it first, set spec.managementPolicy to Observe; to take it over, overwriting it, set \
                  spec.adoptionPolicy to Adopt; or delete it in Atlas, and set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 24,
        what: "Observe, and nothing is there",
        operator: Plain,
        steps: &[
            KEYS,
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, managementPolicy: Observe}",
            ),
        ],
        told: Told::Ready("x", "IntegrationNotFound"),
        message: "the project has no DATADOG integration to observe; set managementPolicy to Manage, or create it \
                  in Atlas and set the annotation atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 25,
        what: "deleted while Atlas answers 503",
        operator: Plain,
        steps: &[
            KEYS,
            Create("d2", DATADOG),
            Reaches("d2", "Synced"),
            Atlas(|project| {
                let effect = Effect::Unavailable { retry_after: None };
                project.fault(Fault::new(effect).at(Operation::List).always());
            }),
            Faulted,
            Kubectl("delete atlasintegration d2 --wait=false"),
        ],
        told: Told::Deletion("d2", "AtlasUnavailable"),
        message: "deletion waits: Atlas answered 503 SERVICE_UNAVAILABLE to LIST of project {project}; the \
                  operator looks again automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value. To let the object go and leave the \
                  integration in Atlas, run: kubectl patch atlasintegration d2 -n {namespace} --type=merge -p \
                  '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'; details: The service is temporarily unavailable",
    },
    Mistake {
        number: 26,
        what: "namespace deleted, and nobody remembers the key",
        operator: Steps,
        steps: &[
            KEYS,
            Create("x", DATADOG),
            Start,
            Reaches("x", "Synced"),
            Stop,
            Kubectl("delete namespace {namespace} --wait=false"),
            Kubectl("delete secret atlas"),
            Kubectl("delete atlasintegration x --wait=false"),
            Start,
        ],
        told: Told::Deletion("x", "SecretNotFound"),
        message: "deletion waits: the operator has no valid credentials to delete the integration with; correct the \
                  credentials Secret, and the operator continues. To let the object go and leave the integration in \
                  Atlas, which is the only way if the namespace itself is being deleted, run: kubectl patch \
                  atlasintegration x -n {namespace} --type=merge -p \
                  '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'; details: Secret atlas does not exist in \
                  namespace {namespace}; create it, and the operator continues automatically (an object uses the \
                  Secrets of its own namespace only)",
    },
    Mistake {
        number: 27,
        what: "namespace deleted under an operator that has a Role in it",
        operator: Steps,
        steps: &[
            KEYS,
            Create("x", DATADOG),
            Start,
            Reaches("x", "Synced"),
            // As the namespace controller does, which does not run here.
            Kubectl("delete rolebinding --all"),
            Kubectl("delete atlasintegration x --wait=false"),
        ],
        told: Told::Log("a call to the API server failed"),
        message: "message=a call to the API server failed: the fence was not stored: \
                  atlasintegrations.atlas-integrations.dev \"x\" is forbidden: User \
                  \"system:serviceaccount:{namespace}:operator\" cannot patch resource \
                  \"atlasintegrations/status\" in API group \"atlas-integrations.dev\" in the namespace \
                  \"{namespace}\" (403); grant the operator's ServiceAccount the verbs of deploy/base/rbac.yaml in \
                  this namespace; if the namespace is being deleted and its RoleBinding is gone already, apply \
                  deploy/cluster-finalizers.yaml; the operator retries automatically object={namespace}/x \
                  project={project}",
    },
    Mistake {
        number: 28,
        what: "no grant for the operator's own credentials",
        operator: Platform,
        steps: &[
            KEYS,
            Kubectl("annotate namespace {namespace} atlas-integrations.dev/project-ids={PROJECT}"),
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, credentialsSecretRef: null}",
            ),
        ],
        told: Told::Ready("x", "ProjectNotAllowed"),
        message: "objects of namespace {namespace} may not use the operator's own credentials for project \
                  {project}; have the project's id, in lower case, added to the annotation \
                  atlas-integrations.dev/project-ids of the Namespace, or name a Secret of your own in \
                  spec.credentialsSecretRef",
    },
    Mistake {
        number: 29,
        what: "no credentials, and none of the operator's",
        operator: Plain,
        steps: &[
            KEYS,
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, credentialsSecretRef: null}",
            ),
        ],
        told: Told::Ready("x", "InvalidSpec"),
        message: "spec.credentialsSecretRef is missing, and the operator has no credentials of its own \
                  (--credentials-secret); name a Secret of this namespace",
    },
    Mistake {
        number: 30,
        what: "key in Base64 twice",
        operator: Plain,
        steps: &[
            Secret("datadog", &[("apiKey", "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDAwMDE=")]),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "SecretKeyInvalid"),
        message: "key apiKey of Secret datadog is encoded as Base64 twice; encode the value once in the Secret's \
                  data, or store it as it is in stringData",
    },
    Mistake {
        number: 31,
        what: "line break inside a key",
        operator: Plain,
        steps: &[
            Secret("multi", &[("apiKey", "fedcba98canary7654321\nfedcba98")]),
            Create("x", "{type: DATADOG, datadog: {apiKeySecretRef: {name: multi, key: apiKey}}}"),
        ],
        told: Told::Ready("x", "SecretKeyInvalid"),
        message: "key apiKey of Secret multi has a line break in it; copy the key again and store it alone, \
                  without spaces and without characters that are not ASCII",
    },
    Mistake {
        number: 32,
        what: "URL without https://",
        operator: Plain,
        steps: &[
            Secret("hook", &[("url", "hooks.example.com/canary-in-place-of-a-reference")]),
            Create("x", WEBHOOK),
        ],
        told: Told::Ready("x", "SecretKeyInvalid"),
        message: "key url of Secret hook does not begin with https:// or http://; store the whole URL, \
                  including its https:// or http://",
    },
    Mistake {
        number: 33,
        what: "region US9",
        operator: Plain,
        steps: &[
            KEYS,
            Create(
                "x",
                "{type: DATADOG, datadog: {region: US9, apiKeySecretRef: {name: datadog, key: apiKey}}}",
            ),
        ],
        told: Told::Ready("x", "Rejected"),
        message: "Atlas answered 400 INVALID_ENUM_VALUE to POST DATADOG of project {project}: An invalid \
                  enumeration value US9 was specified; correct the field that has this value, since Atlas does not \
                  know the value (Datadog's region US1 is US in Atlas, EU1 is EU); the operator tries again when \
                  the object or its Secrets change, or when the annotation \
                  atlas-integrations.dev/reconcile-requested-at gets a new value",
    },
    Mistake {
        number: 34,
        what: "Slack without a channel",
        operator: Plain,
        steps: &[
            Secret("slack", &[("token", "xoxb-1")]),
            Create(
                "x",
                "{type: SLACK, slack: {channelName: , apiTokenSecretRef: {name: slack, key: token}}}",
            ),
        ],
        told: Told::Ready("x", "InvalidSpec"),
        message: "spec.slack.channelName is required by version 2 of the Atlas API, which is in use; set it (YAML \
                  takes a value that begins with # for a comment, unless it is in quotes)",
    },
    Mistake {
        number: 35,
        what: "projectId edited",
        operator: Nobody,
        steps: &[Create("x", DATADOG)],
        told: Told::Kubectl(
            "patch atlasintegration x --type=merge -p {\"spec\":{\"projectId\":\"ffffffffffffffffffffffff\"}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.projectId: Invalid value: \
                  \"ffffffffffffffffffffffff\": spec.projectId is immutable: delete the object and create it again \
                  for the other project; deleting the object also deletes the integration in Atlas, unless you \
                  first set spec.deletionPolicy to Retain",
    },
    Mistake {
        number: 36,
        what: "limited, Retry-After 600",
        operator: Plain,
        steps: &[
            KEYS,
            Atlas(|project| {
                let effect = Effect::RateLimited { retry_after: Some(600) };
                project.fault(Fault::new(effect).at(Operation::List).always());
            }),
            Create("x", DATADOG),
        ],
        told: Told::Ready("x", "RateLimited"),
        message: "Atlas limits the rate of requests (RATE_LIMITED); the operator waits until {time} UTC, as the \
                  answer asks, and then continues",
    },
    Mistake {
        number: 37,
        what: "webhook in use by alert configurations",
        operator: Plain,
        steps: &[
            Secret("hook", &[("url", "https://hooks.example.com/x")]),
            Create("x", WEBHOOK),
            Reaches("x", "Synced"),
            Atlas(|project| project.settings(|settings| settings.webhook_notifications_present = true)),
            Kubectl("delete atlasintegration x --wait=false"),
        ],
        told: Told::Deletion("x", "Rejected"),
        message: "deletion waits: Atlas answered 400 WEBHOOK_NOTIFICATIONS_PRESENT to DELETE WEBHOOK of project \
                  {project}; remove the webhook from the project's alert configurations in Atlas; the operator \
                  looks again automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value. To let the object go and leave the \
                  integration in Atlas, run: kubectl patch atlasintegration x -n {namespace} --type=merge -p \
                  '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'; details: Webhook settings cannot be deleted when \
                  notifications for this integration are present",
    },
    Mistake {
        number: 38,
        what: "the operator's own Secret is missing",
        operator: Platform,
        steps: &[
            KEYS,
            Kubectl("annotate namespace {namespace} atlas-integrations.dev/project-ids={project}"),
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, credentialsSecretRef: null}",
            ),
        ],
        told: Told::Ready("x", "SecretNotFound"),
        message: "the operator's own credentials (--credentials-secret) can't be used; whoever runs the operator \
                  finds the cause in its log",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_is_told_whole() {
    let numbers: Vec<u32> = MISTAKES.iter().map(|mistake| mistake.number).collect();
    assert_eq!(numbers, (1..=38).collect::<Vec<_>>());
    tell("mistake", MISTAKES).await;
}
