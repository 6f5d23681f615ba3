//! Further mistakes that people plausibly make.

use super::Serves::{Nobody, Plain, Platform};
use super::Step::{Apply, Create, CreateThere, Kubectl, Reaches, Secret};
use super::{KEY, Mistake, Told, tell};

const DATADOG: &str = "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}";
const KEYS: super::Step = Secret("datadog", &[("apiKey", KEY)]);

const MISTAKES: &[Mistake] = &[
    Mistake {
        number: 1,
        what: "apiVersion of another release",
        operator: Nobody,
        steps: &[],
        told: Told::Manifest(
            "apiVersion: atlas-integrations.dev/v1alpha1\nkind: AtlasIntegration\nmetadata: {name: x}\n",
        ),
        message: "error: resource mapping not found for name: \"x\" namespace: \"\" from \"STDIN\": no matches for \
                  kind \"AtlasIntegration\" in version \"atlas-integrations.dev/v1alpha1\"\nensure CRDs are \
                  installed first",
    },
    Mistake {
        number: 2,
        what: "namespace that does not exist",
        operator: Nobody,
        steps: &[],
        told: Told::Kubectl(
            "create secret generic datadog --namespace no-such-namespace --from-literal=apiKey=1",
        ),
        message: "error: failed to create secret namespaces \"no-such-namespace\" not found",
    },
    Mistake {
        number: 3,
        what: "name that YAML takes for a boolean",
        operator: Nobody,
        steps: &[],
        told: Told::Manifest(
            "apiVersion: atlas-integrations.dev/v1\nkind: AtlasIntegration\nmetadata: {name: on}\n",
        ),
        message: "error: unable to decode \"STDIN\": json: cannot unmarshal bool into Go struct field \
                  ObjectMeta.metadata.name of type string",
    },
    Mistake {
        number: 4,
        what: "suspend in quotes",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, suspend: \"true\"}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: \n* spec.suspend: Invalid value: \"string\": spec.suspend \
                  in body must be of type boolean: \"string\"\n* <nil>: Invalid value: null: some validation rules \
                  were not checked because the object was invalid; correct the existing errors to complete \
                  validation",
    },
    Mistake {
        number: 5,
        what: "block in another case",
        operator: Nobody,
        steps: &[],
        told: Told::Apply("x", "{type: DATADOG, dataDog: {apiKeySecretRef: {name: datadog, key: apiKey}}}"),
        message: "Error from server (BadRequest): error when creating \"STDIN\": AtlasIntegration in version \
                  \"v1\" cannot be handled as a AtlasIntegration: strict decoding error: unknown field \
                  \"spec.dataDog\"",
    },
    Mistake {
        number: 6,
        what: "policy in lower case",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, deletionPolicy: retain}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: \n* spec.deletionPolicy: Unsupported value: \"retain\": \
                  supported values: \"Delete\", \"Retain\"\n* <nil>: Invalid value: null: some validation rules \
                  were not checked because the object was invalid; correct the existing errors to complete \
                  validation",
    },
    Mistake {
        number: 7,
        what: "secret value in place of the key's name",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: WEBHOOK, webhook: {urlSecretRef: {name: hook, \
             key: \"https://hooks.example.com/canary-in-place-of-a-reference\"}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.webhook.urlSecretRef.key: Forbidden: must be the \
                  name of a key in the Secret: letters, digits, '-', '_' and '.'; the secret value itself belongs \
                  in the Secret, never here",
    },
    Mistake {
        number: 8,
        what: "Secret named with its namespace",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {apiKeySecretRef: {name: monitoring/datadog, key: apiKey}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.datadog.apiKeySecretRef.name: Invalid value: \
                  \"monitoring/datadog\": must be the name of a Secret in the namespace of this object, since no \
                  other Secret can be used: lower-case letters, digits, '-' and '.', beginning and ending with a \
                  letter or digit",
    },
    Mistake {
        number: 9,
        what: "Datadog's own name of its site",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: DATADOG, datadog: {region: US1, apiKeySecretRef: {name: datadog, key: apiKey}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.datadog.region: Invalid value: \"US1\": US1 is US in \
                  Atlas: write the name that Atlas uses",
    },
    Mistake {
        number: 10,
        what: "account id without quotes",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: NEW_RELIC, newRelic: {accountId: 2857404, licenseKeySecretRef: {name: newrelic, key: license}, \
             writeTokenSecretRef: {name: newrelic, key: write}, readTokenSecretRef: {name: newrelic, key: read}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.newRelic.accountId: Invalid value: 2857404: must be \
                  text: write the number in quotes, such as \"1234567\"; with Helm put it in quotes in the \
                  template and in the values file",
    },
    Mistake {
        number: 11,
        what: "routing key that Helm made a number of",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: VICTOR_OPS, victorOps: {routingKey: \"2.857404e+06\", \
             apiKeySecretRef: {name: victorops, key: apiKey}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.victorOps.routingKey: Invalid value: \
                  \"2.857404e+06\": must not be a number with an exponent, which Helm makes of a number without \
                  quotes: put the number in quotes in the values file, or use --set-string",
    },
    Mistake {
        number: 12,
        what: "URL of the project in place of its id",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{projectId: \"https://cloud.mongodb.com/v2/5d791c84ff7a2522cc4f9aa1#/overview\", type: DATADOG, \
             datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.projectId: Invalid value: \
                  \"https://cloud.mongodb.com/v2/5d791c84ff7a2522cc4f9aa1#/overview\": must be the id of an Atlas \
                  project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1",
    },
    Mistake {
        number: 13,
        what: "body of 17 KB",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: WEBHOOK, webhook: {bodyTemplate: \"{17 KB}\", urlSecretRef: {name: hook, key: url}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: \n* spec.webhook.bodyTemplate: Too long: may not be more \
                  than 16384 bytes\n* <nil>: Invalid value: null: some validation rules were not checked because \
                  the object was invalid; correct the existing errors to complete validation",
    },
    Mistake {
        number: 14,
        what: "empty channel",
        operator: Nobody,
        steps: &[],
        told: Told::Apply(
            "x",
            "{type: SLACK, slack: {channelName: \"\", apiTokenSecretRef: {name: slack, key: token}}}",
        ),
        message: "The AtlasIntegration \"x\" is invalid: spec.slack.channelName: Invalid value: \"\": must be one \
                  line of text: at least one character, and no control characters such as line breaks and tabs",
    },
    Mistake {
        number: 15,
        what: "fields beside spec",
        operator: Nobody,
        steps: &[],
        told: Told::Manifest(
            "apiVersion: atlas-integrations.dev/v1\nkind: AtlasIntegration\nmetadata: {name: x}\nspec:\n\
             projectId: 5d791c84ff7a2522cc4f9aa1\ntype: DATADOG\n",
        ),
        message: "Error from server (BadRequest): error when creating \"STDIN\": AtlasIntegration in version \
                  \"v1\" cannot be handled as a AtlasIntegration: strict decoding error: unknown field \
                  \"projectId\", unknown field \"type\"",
    },
    Mistake {
        number: 16,
        what: "channel that YAML takes for a comment",
        operator: Plain,
        steps: &[
            Secret("slack", &[("token", "xoxb-1")]),
            Apply(
                "apiVersion: atlas-integrations.dev/v1\nkind: AtlasIntegration\nmetadata: {name: x}\nspec:\n  \
                 projectId: {project}\n  type: SLACK\n  credentialsSecretRef: {name: atlas}\n  slack:\n    \
                 channelName: #alerts\n    apiTokenSecretRef: {name: slack, key: token}\n",
            ),
        ],
        told: Told::Ready("x", "InvalidSpec"),
        message: "spec.slack.channelName is required by version 2 of the Atlas API, which is in use; set it (YAML \
                  takes a value that begins with # for a comment, unless it is in quotes)",
    },
    Mistake {
        number: 17,
        what: "Secret without any keys",
        operator: Plain,
        steps: &[Secret("datadog", &[]), Create("x", DATADOG)],
        told: Told::Ready("x", "SecretKeyMissing"),
        message: "Secret datadog has no key apiKey; it has: no keys at all; add the key, or correct the reference",
    },
    Mistake {
        number: 18,
        what: "the service's Secret given as credentials",
        operator: Plain,
        steps: &[
            KEYS,
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, \
                 credentialsSecretRef: {name: datadog}}",
            ),
        ],
        told: Told::Ready("x", "SecretKeyMissing"),
        message: "Secret datadog needs the keys publicApiKey and privateApiKey (an API key), or clientId and \
                  clientSecret (a service account); it has: apiKey; rename its keys, add the \
                  missing ones, or refer to another Secret",
    },
    Mistake {
        number: 19,
        what: "the operator's own Secret is missing, as its log tells",
        operator: Platform,
        steps: &[
            KEYS,
            Kubectl("annotate namespace {namespace} atlas-integrations.dev/project-ids={project}"),
            Create(
                "x",
                "{type: DATADOG, datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}, credentialsSecretRef: null}",
            ),
        ],
        told: Told::Log("--credentials-secret can't be used"),
        message: "message=--credentials-secret can't be used: Secret missing does not exist in namespace \
                  {namespace}; create it, and the operator continues automatically",
    },
    Mistake {
        number: 20,
        what: "grant by the project's name",
        operator: Platform,
        steps: &[
            KEYS,
            Kubectl("annotate namespace {namespace} atlas-integrations.dev/project-ids=Production"),
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
        number: 21,
        what: "one manifest applied in two namespaces",
        operator: Plain,
        steps: &[KEYS, Create("x", DATADOG), Reaches("x", "Synced"), CreateThere("x", DATADOG)],
        told: Told::ReadyThere("x", "Conflict"),
        message: "an AtlasIntegration of another namespace already keeps the DATADOG integration of project \
                  {project}, and a project has one integration of a type: delete this object (nothing happens in \
                  Atlas), or ask somebody who may list all namespaces which object it is (docs/troubleshooting.md)",
    },
    Mistake {
        number: 22,
        what: "id of the organisation in place of the project's",
        operator: Plain,
        steps: &[
            KEYS,
            Create(
                "x",
                "{projectId: 5d791c84ff7a2522aaaaaaaa, type: DATADOG, \
                 datadog: {apiKeySecretRef: {name: datadog, key: apiKey}}}",
            ),
        ],
        told: Told::Ready("x", "ProjectNotFound"),
        message: "Atlas answered 404 GROUP_NOT_FOUND to LIST of project 5d791c84ff7a2522aaaaaaaa: No group with ID \
                  5d791c84ff7a2522aaaaaaaa exists; check that the project exists, and that the API key in Secret \
                  atlas belongs to its organisation. If spec.projectId is wrong, create a new object with the right \
                  id, since it can't be changed, and delete this one (nothing was created in Atlas); the operator \
                  looks again automatically; to make it look now, set the annotation \
                  atlas-integrations.dev/reconcile-requested-at to a new value",
    },
    Mistake {
        number: 23,
        what: "annotation with a value that is no text",
        operator: Nobody,
        steps: &[],
        told: Told::Manifest(
            "apiVersion: atlas-integrations.dev/v1\nkind: AtlasIntegration\nmetadata:\n  name: x\n  annotations:\n    \
             atlas-integrations.dev/reconcile-requested-at: 20261129\n",
        ),
        message: "error: unable to decode \"STDIN\": json: cannot unmarshal number into Go struct field \
                  ObjectMeta.metadata.annotations of type string",
    },
    Mistake {
        number: 24,
        what: "key of another service, which only Atlas can tell",
        operator: Plain,
        steps: &[Secret("datadog", &[("apiKey", "canary-of-another-service-0001")]), Create("x", DATADOG)],
        told: Told::Ready("x", "Rejected"),
        message: "Atlas answered 400 INVALID_INTEGRATION_SETTINGS to POST DATADOG of project {project}: The \
                  provided settings for the DATADOG integration were invalid: apiKey must be a hexadecimal string; \
                  correct what Atlas names, in the object or in its Secret (apiKey comes from key apiKey of Secret \
                  datadog); the operator tries again when the object or its Secrets change, or when the annotation \
                  atlas-integrations.dev/reconcile-requested-at gets a new value",
    },
    Mistake {
        number: 25,
        what: "key with a space at its end",
        operator: Plain,
        steps: &[Secret("datadog", &[("apiKey", "fedcba98canary7654321 ")]), Create("x", DATADOG)],
        told: Told::Ready("x", "SecretKeyInvalid"),
        message: "key apiKey of Secret datadog ends with a space; copy the key again and store it alone, without \
                  spaces and without characters that are not ASCII",
    },
    Mistake {
        number: 26,
        what: "URL with a template that nobody filled in",
        operator: Plain,
        steps: &[
            Secret("hook", &[("url", "https://hooks.example.com/{{ .Values.canary }}")]),
            Create("x", "{type: WEBHOOK, webhook: {urlSecretRef: {name: hook, key: url}}}"),
        ],
        told: Told::Ready("x", "SecretKeyInvalid"),
        message: "key url of Secret hook has a brace and a space in it and ends with a space and a brace; correct the \
                  URL: replace placeholders, percent-encode such characters if they belong to it (a space is %20), \
                  and write the host in ASCII (xn--)",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_further_mistake_is_told_whole() {
    tell("further", MISTAKES).await;
}
