//! What is refused, and what a person is told. A message is asserted as a whole, so that no other rule can be the
//! cause; one that ends in `…` is only the beginning of what is said.

use atlas_integration_stage::samples;
use serde_json::{Value, json};

use super::accepted::full;
use super::{Findings, block, changed, complaint, kubectl, lay, minimal, parsed, replace, rows};
use crate::world::World;

/// Type, what is wrong, the change; the message.
const REJECTED: &str = r#"
DATADOG | projectId missing | {"projectId": "<gone>"}
    spec.projectId: Required value
DATADOG | projectId null | {"projectId": null}
    spec.projectId: Required value
DATADOG | projectId empty | {"projectId": ""}
    spec.projectId: Invalid value: "": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId in upper case | {"projectId": "5D791C84FF7A2522CC4F9AA1"}
    spec.projectId: Invalid value: "5D791C84FF7A2522CC4F9AA1": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId of 23 digits | {"projectId": "5d791c84ff7a2522cc4f9aa"}
    spec.projectId: Invalid value: "5d791c84ff7a2522cc4f9aa": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId of 25 digits | {"projectId": "5d791c84ff7a2522cc4f9aa10"}
    spec.projectId: Invalid value: "5d791c84ff7a2522cc4f9aa10": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId is the name | {"projectId": "Project 0"}
    spec.projectId: Invalid value: "Project 0": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId climbs the path | {"projectId": "../../orgs/5d791c84ff7a25"}
    spec.projectId: Invalid value: "../../orgs/5d791c84ff7a25": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId climbs, 24 long | {"projectId": "../5d791c84ff7a2522cc4f9"}
    spec.projectId: Invalid value: "../5d791c84ff7a2522cc4f9": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId with an escape | {"projectId": "%2e%2e%2f5d791c84ff7a252"}
    spec.projectId: Invalid value: "%2e%2e%2f5d791c84ff7a252": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId with a query | {"projectId": "5d791c84ff7a2522cc4f9aa1?a=b"}
    spec.projectId: Invalid value: "5d791c84ff7a2522cc4f9aa1?a=b": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId with a line break | {"projectId": "5d791c84ff7a2522cc4f9aa1\n"}
    spec.projectId: Invalid value: "5d791c84ff7a2522cc4f9aa1\n": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId after a line break | {"projectId": "x\n5d791c84ff7a2522cc4f9aa1"}
    spec.projectId: Invalid value: "x\n5d791c84ff7a2522cc4f9aa1": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId of Arabic digits | {"projectId": "٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥"}
    spec.projectId: Invalid value: "٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥٥": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId of digits, unquoted | {"projectId": 507791840722522004409001}
    spec.projectId: Invalid value: "number": spec.projectId in body must be of type string: "number"
DATADOG | type missing | {"type": "<gone>"}
    spec.type: Required value
DATADOG | type null | {"type": null}
    spec.type: Required value
DATADOG | type withdrawn by Atlas | {"type": "HIP_CHAT"}
    spec.type: Unsupported value: "HIP_CHAT": supported values: "PAGER_DUTY", "SLACK", "DATADOG", "NEW_RELIC", "OPS_GENIE", "VICTOR_OPS", "FLOWDOCK", "WEBHOOK", "MICROSOFT_TEAMS", "PROMETHEUS"
DATADOG | type in lower case | {"type": "datadog"}
    spec.type: Unsupported value: "datadog": supported values: "PAGER_DUTY", "SLACK", "DATADOG", …
DATADOG | type with a space | {"type": "DATADOG "}
    spec.type: Unsupported value: "DATADOG ": supported values: "PAGER_DUTY", …
DATADOG | type empty | {"type": ""}
    spec.type: Unsupported value: "": supported values: "PAGER_DUTY", …
DATADOG | block missing | {"datadog": "<gone>"}
    spec: Invalid value: spec.datadog must be set, since spec.type is DATADOG; to see its fields, run: kubectl explain atlasintegration.spec.datadog
DATADOG | block null | {"datadog": null}
    spec: Invalid value: spec.datadog must be set, since spec.type is DATADOG; to see its fields, run: kubectl explain atlasintegration.spec.datadog
DATADOG | block a list | {"datadog": []}
    spec.datadog: Invalid value: "array": spec.datadog in body must be of type object: "array"
DATADOG | block empty | {"datadog": {"apiKeySecretRef": "<gone>"}}
    spec.datadog.apiKeySecretRef: Required value
DATADOG | two blocks | {"slack": {"apiTokenSecretRef": {"name": "keys", "key": "token"}}}
    spec: Invalid value: spec.slack is only for spec.type SLACK, and spec.type is DATADOG: remove the block, or, in a new object, correct spec.type
DATADOG | block of another type | {"datadog": "<gone>", "slack": {"apiTokenSecretRef": {"name": "keys", "key": "token"}}}
    spec: Invalid value: spec.slack is only for spec.type SLACK, and spec.type is DATADOG: remove the block, or, in a new object, correct spec.type, spec: Invalid value: spec.datadog must be set, since spec.type is DATADOG; to see its fields, run: kubectl explain atlasintegration.spec.datadog
DATADOG | managementPolicy in lower case | {"managementPolicy": "observe"}
    spec.managementPolicy: Unsupported value: "observe": supported values: "Manage", "Observe"
DATADOG | managementPolicy empty | {"managementPolicy": ""}
    spec.managementPolicy: Unsupported value: "": supported values: "Manage", "Observe"
DATADOG | adoptionPolicy unknown | {"adoptionPolicy": "Always"}
    spec.adoptionPolicy: Unsupported value: "Always": supported values: "Refuse", "Adopt"
DATADOG | adoptionPolicy a boolean | {"adoptionPolicy": true}
    spec.adoptionPolicy: Invalid value: "boolean": spec.adoptionPolicy in body must be of type string: "boolean", …
DATADOG | deletionPolicy of Crossplane | {"deletionPolicy": "Orphan"}
    spec.deletionPolicy: Unsupported value: "Orphan": supported values: "Delete", "Retain"
DATADOG | suspend a string | {"suspend": "true"}
    spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"
DATADOG | suspend a number | {"suspend": 1}
    spec.suspend: Invalid value: "integer": spec.suspend in body must be of type boolean: "integer"
DATADOG | credentials empty | {"credentialsSecretRef": {"name": "<gone>"}}
    spec.credentialsSecretRef.name: Required value
DATADOG | credentials' name null | {"credentialsSecretRef": {"name": null}}
    spec.credentialsSecretRef.name: Required value
DATADOG | credentials a string | {"credentialsSecretRef": "atlas"}
    spec.credentialsSecretRef: Invalid value: "string": spec.credentialsSecretRef in body must be of type object: "string"
DATADOG | credentials' name empty | {"credentialsSecretRef": {"name": ""}}
    spec.credentialsSecretRef.name: Invalid value: "": must be the name of a Secret in the namespace of this object, since no other Secret can be used: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit
DATADOG | credentials of another namespace | {"credentialsSecretRef": {"name": "b/atlas"}}
    spec.credentialsSecretRef.name: Invalid value: "b/atlas": must be the name of a Secret in the namespace of this object, since no other Secret can be used: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit
DATADOG | credentials climb the path | {"credentialsSecretRef": {"name": "../../b/secrets/atlas"}}
    spec.credentialsSecretRef.name: Invalid value: "../../b/secrets/atlas": must be the name of a Secret in the namespace of this object, since no other Secret can be used: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit
DATADOG | credentials' name of 254 | {"credentialsSecretRef": {"name": "<254 x>"}}
    spec.credentialsSecretRef.name: Too long: may not be more than 253 bytes
DATADOG | reference without key | {"datadog": {"apiKeySecretRef": {"key": "<gone>"}}}
    spec.datadog.apiKeySecretRef.key: Required value
DATADOG | reference without name | {"datadog": {"apiKeySecretRef": {"name": "<gone>"}}}
    spec.datadog.apiKeySecretRef.name: Required value
DATADOG | reference's name null | {"datadog": {"apiKeySecretRef": {"name": null}}}
    spec.datadog.apiKeySecretRef.name: Required value
DATADOG | reference's key empty | {"datadog": {"apiKeySecretRef": {"key": ""}}}
    spec.datadog.apiKeySecretRef.key: Forbidden: must be the name of a key in the Secret: letters, digits, '-', '_' and '.'; the secret value itself belongs in the Secret, never here
DATADOG | reference's key with a slash | {"datadog": {"apiKeySecretRef": {"key": "a/b"}}}
    spec.datadog.apiKeySecretRef.key: Forbidden: must be the name of a key in the Secret: letters, digits, '-', '_' and '.'; the secret value itself belongs in the Secret, never here
DATADOG | reference's key with a line break | {"datadog": {"apiKeySecretRef": {"key": "api\n"}}}
    spec.datadog.apiKeySecretRef.key: Forbidden: must be the name of a key in the Secret: letters, digits, '-', '_' and '.'; the secret value itself belongs in the Secret, never here
DATADOG | reference's key of 254 | {"datadog": {"apiKeySecretRef": {"key": "<254 x>"}}}
    spec.datadog.apiKeySecretRef.key: Too long: may not be more than 253 bytes
DATADOG | secret in place of a reference | {"datadog": {"apiKeySecretRef": "canary"}}
    spec.datadog.apiKeySecretRef: Invalid value: "string": spec.datadog.apiKeySecretRef in body must be of type object: "string"
DATADOG | secret in Atlas's field | {"datadog": {"apiKeySecretRef": "<gone>", "apiKey": "canary"}}
    spec.datadog.apiKeySecretRef: Required value
DATADOG | region in lower case | {"datadog": {"region": "us5"}}
    spec.datadog.region: Invalid value: "us5": us5 is US5 in Atlas: write the name that Atlas uses
DATADOG | region is the site | {"datadog": {"region": "datadoghq.eu"}}
    spec.datadog.region: Invalid value: "datadoghq.eu": datadoghq.eu is EU in Atlas: write the name that Atlas uses
DATADOG | region of one letter | {"datadog": {"region": "U"}}
    spec.datadog.region: Invalid value: "U": must be a Datadog site as Atlas spells it, in upper case: US, EU, US3, US5, AP1, US1_FED, or one that Atlas adds later
DATADOG | region of 17 | {"datadog": {"region": "ABCDEFGHIJKLMNOPQ"}}
    spec.datadog.region: Invalid value: "ABCDEFGHIJKLMNOPQ": must be a Datadog site as Atlas spells it, in upper case: US, EU, US3, US5, AP1, US1_FED, or one that Atlas adds later
DATADOG | boolean as a string | {"datadog": {"sendDatabaseMetrics": "true"}}
    spec.datadog.sendDatabaseMetrics: Invalid value: "string": spec.datadog.sendDatabaseMetrics in body must be of type boolean: "string"
PAGER_DUTY | region unknown | {"pagerDuty": {"region": "AP"}}
    spec.pagerDuty.region: Unsupported value: "AP": supported values: "US", "EU"
PAGER_DUTY | key missing | {"pagerDuty": {"serviceKeySecretRef": "<gone>"}}
    spec.pagerDuty.serviceKeySecretRef: Required value
OPS_GENIE | region in lower case | {"opsGenie": {"region": "eu"}}
    spec.opsGenie.region: Unsupported value: "eu": supported values: "US", "EU"
OPS_GENIE | key missing | {"opsGenie": {"apiKeySecretRef": "<gone>"}}
    spec.opsGenie.apiKeySecretRef: Required value
SLACK | token missing | {"slack": {"apiTokenSecretRef": "<gone>"}}
    spec.slack.apiTokenSecretRef: Required value
SLACK | channel of 81 | {"slack": {"channelName": "<81 x>"}}
    spec.slack.channelName: Too long: may not be more than 80 bytes
SLACK | channel empty | {"slack": {"channelName": ""}}
    spec.slack.channelName: Invalid value: "": must be one line of text: at least one character, and no control characters such as line breaks and tabs
SLACK | channel with a control character | {"slack": {"channelName": "a\u001bb"}}
    spec.slack.channelName: Invalid value: "a\x1bb": must be one line of text: at least one character, and no control characters such as line breaks and tabs
SLACK | channel with a line break | {"slack": {"channelName": "alerts\n"}}
    spec.slack.channelName: Invalid value: "alerts\n": must be one line of text: at least one character, and no control characters such as line breaks and tabs
SLACK | team of 201 | {"slack": {"teamName": "<201 x>"}}
    spec.slack.teamName: Too long: may not be more than 200 bytes
SLACK | team empty | {"slack": {"teamName": ""}}
    spec.slack.teamName: Invalid value: "": must be one line of text: at least one character, and no control characters such as line breaks and tabs
SLACK | team with a tab | {"slack": {"teamName": "a\tb"}}
    spec.slack.teamName: Invalid value: "a\tb": must be one line of text: at least one character, and no control characters such as line breaks and tabs
NEW_RELIC | account with a space | {"newRelic": {"accountId": "12 34"}}
    spec.newRelic.accountId: Invalid value: "12 34": must be the id of a New Relic account: letters, digits, '-' and '_'
NEW_RELIC | account unquoted | {"newRelic": {"accountId": 1234567}}
    spec.newRelic.accountId: Invalid value: 1234567: must be text: write the number in quotes, such as "1234567"; with Helm put it in quotes in the template and in the values file
NEW_RELIC | account empty | {"newRelic": {"accountId": ""}}
    spec.newRelic.accountId: Invalid value: "": must be the id of a New Relic account: letters, digits, '-' and '_'
NEW_RELIC | account of 65 | {"newRelic": {"accountId": "<65 1>"}}
    spec.newRelic.accountId: Too long: may not be more than 64 bytes
NEW_RELIC | account missing | {"newRelic": {"accountId": "<gone>"}}
    spec.newRelic.accountId: Required value
NEW_RELIC | license key missing | {"newRelic": {"licenseKeySecretRef": "<gone>"}}
    spec.newRelic.licenseKeySecretRef: Required value
NEW_RELIC | write token missing | {"newRelic": {"writeTokenSecretRef": "<gone>"}}
    spec.newRelic.writeTokenSecretRef: Required value
NEW_RELIC | read token missing | {"newRelic": {"readTokenSecretRef": "<gone>"}}
    spec.newRelic.readTokenSecretRef: Required value
VICTOR_OPS | key missing | {"victorOps": {"apiKeySecretRef": "<gone>"}}
    spec.victorOps.apiKeySecretRef: Required value
VICTOR_OPS | routing key empty | {"victorOps": {"routingKey": ""}}
    spec.victorOps.routingKey: Invalid value: "": must be one line of text: at least one character, and no control characters such as line breaks and tabs
VICTOR_OPS | routing key of 201 | {"victorOps": {"routingKey": "<201 x>"}}
    spec.victorOps.routingKey: Too long: may not be more than 200 bytes
VICTOR_OPS | routing key with DEL | {"victorOps": {"routingKey": "a\u007fb"}}
    spec.victorOps.routingKey: Invalid value: "a\x7fb": must be one line of text: at least one character, and no control characters such as line breaks and tabs
FLOWDOCK | flow missing | {"flowdock": {"flowName": "<gone>"}}
    spec.flowdock.flowName: Required value
FLOWDOCK | flow with NUL | {"flowdock": {"flowName": "a\u0000"}}
    spec.flowdock.flowName: Invalid value: "a\x00": must be one line of text: at least one character, and no control characters such as line breaks and tabs
FLOWDOCK | organisation missing | {"flowdock": {"orgName": "<gone>"}}
    spec.flowdock.orgName: Required value
FLOWDOCK | organisation of 201 | {"flowdock": {"orgName": "<201 x>"}}
    spec.flowdock.orgName: Too long: may not be more than 200 bytes
FLOWDOCK | token missing | {"flowdock": {"apiTokenSecretRef": "<gone>"}}
    spec.flowdock.apiTokenSecretRef: Required value
WEBHOOK | URL missing | {"webhook": {"urlSecretRef": "<gone>"}}
    spec.webhook.urlSecretRef: Required value
WEBHOOK | body of 16385 | {"webhook": {"bodyTemplate": "<16385 x>"}}
    spec.webhook.bodyTemplate: Too long: may not be more than 16384 bytes
WEBHOOK | body of 2 million | {"webhook": {"bodyTemplate": "<2000000 x>"}}
    spec.webhook.bodyTemplate: Too long: may not be more than 16384 bytes
WEBHOOK | body empty | {"webhook": {"bodyTemplate": ""}}
    spec.webhook.bodyTemplate: Invalid value: "": spec.webhook.bodyTemplate in body should be at least 1 chars long
WEBHOOK | body an object | {"webhook": {"bodyTemplate": {"text": "x"}}}
    spec.webhook.bodyTemplate: Invalid value: "object": spec.webhook.bodyTemplate in body must be of type string: "object"
WEBHOOK | signing secret in place of a reference | {"webhook": {"signingSecretRef": "canary"}}
    spec.webhook.signingSecretRef: Invalid value: "string": spec.webhook.signingSecretRef in body must be of type object: "string"
MICROSOFT_TEAMS | URL missing | {"microsoftTeams": {"webhookUrlSecretRef": "<gone>"}}
    spec.microsoftTeams.webhookUrlSecretRef: Required value
PROMETHEUS | user missing | {"prometheus": {"username": "<gone>"}}
    spec.prometheus.username: Required value
PROMETHEUS | user with a carriage return | {"prometheus": {"username": "a\rb"}}
    spec.prometheus.username: Invalid value: "a\rb": must be one line of text: at least one character, and no control characters such as line breaks and tabs
PROMETHEUS | password missing | {"prometheus": {"passwordSecretRef": "<gone>"}}
    spec.prometheus.passwordSecretRef: Required value
PROMETHEUS | discovery missing | {"prometheus": {"serviceDiscovery": "<gone>"}}
    spec.prometheus.serviceDiscovery: Required value
PROMETHEUS | discovery in upper case | {"prometheus": {"serviceDiscovery": "HTTP"}}
    spec.prometheus.serviceDiscovery: Unsupported value: "HTTP": supported values: "http", "file"
PROMETHEUS | enabled a string | {"prometheus": {"enabled": "yes"}}
    spec.prometheus.enabled: Invalid value: "string": spec.prometheus.enabled in body must be of type boolean: "string"
"#;

/// What people plausibly write, who know another product's words or have their values from a template: the same columns.
const PLAUSIBLE: &str = r#"
DATADOG | region is US1 | {"datadog": {"region": "US1"}}
    spec.datadog.region: Invalid value: "US1": US1 is US in Atlas: write the name that Atlas uses
DATADOG | region is EU1 | {"datadog": {"region": "EU1"}}
    spec.datadog.region: Invalid value: "EU1": EU1 is EU in Atlas: write the name that Atlas uses
DATADOG | region is us1 | {"datadog": {"region": "us1"}}
    spec.datadog.region: Invalid value: "us1": us1 is US in Atlas: write the name that Atlas uses
DATADOG | region is US1-FED | {"datadog": {"region": "US1-FED"}}
    spec.datadog.region: Invalid value: "US1-FED": US1-FED is US1_FED in Atlas: write the name that Atlas uses
DATADOG | region is us5.datadoghq.com | {"datadog": {"region": "us5.datadoghq.com"}}
    spec.datadog.region: Invalid value: "us5.datadoghq.com": us5.datadoghq.com is US5 in Atlas: write the name that Atlas uses
DATADOG | region is datadoghq.com | {"datadog": {"region": "datadoghq.com"}}
    spec.datadog.region: Invalid value: "datadoghq.com": datadoghq.com is US in Atlas: write the name that Atlas uses
DATADOG | region is ap1 | {"datadog": {"region": "ap1"}}
    spec.datadog.region: Invalid value: "ap1": ap1 is AP1 in Atlas: write the name that Atlas uses
DATADOG | region is ddog-gov.com | {"datadog": {"region": "ddog-gov.com"}}
    spec.datadog.region: Invalid value: "ddog-gov.com": ddog-gov.com is US1_FED in Atlas: write the name that Atlas uses
DATADOG | region is US 5 | {"datadog": {"region": "US 5"}}
    spec.datadog.region: Invalid value: "US 5": must be a Datadog site as Atlas spells it, in upper case: US, EU, US3, US5, AP1, US1_FED, or one that Atlas adds later
DATADOG | region is US-5 | {"datadog": {"region": "US-5"}}
    spec.datadog.region: Invalid value: "US-5": must be a Datadog site as Atlas spells it, in upper case: US, EU, US3, US5, AP1, US1_FED, or one that Atlas adds later
DATADOG | region a number | {"datadog": {"region": 5}}
    spec.datadog.region: Invalid value: "integer": spec.datadog.region in body must be of type string: "integer"
DATADOG | projectId with spaces around it | {"projectId": " 5d791c84ff7a2522cc4f9aa1 "}
    spec.projectId: Invalid value: " 5d791c84ff7a2522cc4f9aa1 ": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId in quotes twice | {"projectId": "\"5d791c84ff7a2522cc4f9aa1\""}
    spec.projectId: Invalid value: "\"5d791c84ff7a2522cc4f9aa1\"": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId is a URL | {"projectId": "https://cloud.mongodb.com/v2/5d791c84ff7a2522cc4f9aa1#/overview"}
    spec.projectId: Invalid value: "https://cloud.mongodb.com/v2/5d791c84ff7a2522cc4f9aa1#/overview": must be the id of an Atlas project and nothing else, in lower case: write 5d791c84ff7a2522cc4f9aa1
DATADOG | projectId with dashes | {"projectId": "5d791c84-ff7a-2522-cc4f-9aa1"}
    spec.projectId: Invalid value: "5d791c84-ff7a-2522-cc4f-9aa1": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId of two ids | {"projectId": "5d791c84ff7a2522cc4f9aa15d791c84ff7a2522cc4f9aa1"}
    spec.projectId: Invalid value: "5d791c84ff7a2522cc4f9aa15d791c84ff7a2522cc4f9aa1": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
DATADOG | projectId a template | {"projectId": "{{ .Values.projectId }}"}
    spec.projectId: Invalid value: "{{ .Values.projectId }}": must be the id of an Atlas project: 24 hexadecimal digits in lower case, not the name of the project; Atlas shows the id in Project Settings, and in the URL of its pages after /v2/
NEW_RELIC | account as Helm writes a number | {"newRelic": {"accountId": "2.857404e+06"}}
    spec.newRelic.accountId: Invalid value: "2.857404e+06": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
NEW_RELIC | account without quotes | {"newRelic": {"accountId": 2857404}}
    spec.newRelic.accountId: Invalid value: 2857404: must be text: write the number in quotes, such as "1234567"; with Helm put it in quotes in the template and in the values file
NEW_RELIC | account a fraction | {"newRelic": {"accountId": 2.5}}
    spec.newRelic.accountId: Invalid value: "number": spec.newRelic.accountId in body must be of type integer,string: "number"
VICTOR_OPS | routingKey as Helm writes a number | {"victorOps": {"routingKey": "1e+06"}}
    spec.victorOps.routingKey: Invalid value: "1e+06": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
PROMETHEUS | username as Helm writes a number | {"prometheus": {"username": "1.234567e+06"}}
    spec.prometheus.username: Invalid value: "1.234567e+06": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
SLACK | channelName as Helm writes a number | {"slack": {"channelName": "2E+07"}}
    spec.slack.channelName: Invalid value: "2E+07": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
SLACK | teamName as Helm writes a number | {"slack": {"teamName": "-1.5e+10"}}
    spec.slack.teamName: Invalid value: "-1.5e+10": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
FLOWDOCK | flowName as Helm writes a number | {"flowdock": {"flowName": "1e-05"}}
    spec.flowdock.flowName: Invalid value: "1e-05": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
FLOWDOCK | orgName as Helm writes a number | {"flowdock": {"orgName": "9.007199254740991e+15"}}
    spec.flowdock.orgName: Invalid value: "9.007199254740991e+15": must not be a number with an exponent, which Helm makes of a number without quotes: put the number in quotes in the values file, or use --set-string
VICTOR_OPS | routing key without quotes | {"victorOps": {"routingKey": 7}}
    spec.victorOps.routingKey: Invalid value: "integer": spec.victorOps.routingKey in body must be of type string: "integer"
DATADOG | key is the secret value | {"datadog": {"apiKeySecretRef": {"key": "canary value"}}}
    spec.datadog.apiKeySecretRef.key: Forbidden: must be the name of a key in the Secret: letters, digits, '-', '_' and '.'; the secret value itself belongs in the Secret, never here
DATADOG | name and key in one | {"datadog": {"apiKeySecretRef": {"name": "datadog:apiKey"}}}
    spec.datadog.apiKeySecretRef.name: Invalid value: "datadog:apiKey": must be the name of a Secret in the namespace of this object, since no other Secret can be used: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit
"#;

/// Changes of a stored object: type, what is wrong, the change; the message.
const REJECTED_UPDATES: &str = r#"
DATADOG | other project | {"projectId": "ffffffffffffffffffffffff"}
    spec.projectId: Invalid value: "ffffffffffffffffffffffff": spec.projectId is immutable: delete the object and create it again for the other project; deleting the object also deletes the integration in Atlas, unless you first set spec.deletionPolicy to Retain
DATADOG | project removed | {"projectId": "<gone>"}
    spec.projectId: Required value
DATADOG | other type and block | {"type": "SLACK", "datadog": "<gone>", "slack": {"apiTokenSecretRef": {"name": "keys", "key": "token"}}}
    spec.type: Invalid value: "SLACK": spec.type is immutable: delete the object and create one of the other type; deleting the object also deletes the integration in Atlas, unless you first set spec.deletionPolicy to Retain
DATADOG | unknown type | {"type": "HIP_CHAT"}
    spec.type: Unsupported value: "HIP_CHAT": supported values: "PAGER_DUTY", …
DATADOG | block removed | {"datadog": "<gone>"}
    spec: Invalid value: spec.datadog must be set, since spec.type is DATADOG; to see its fields, run: kubectl explain atlasintegration.spec.datadog
DATADOG | second block | {"victorOps": {"apiKeySecretRef": {"name": "keys", "key": "api"}}}
    spec: Invalid value: spec.victorOps is only for spec.type VICTOR_OPS, and spec.type is DATADOG: remove the block, or, in a new object, correct spec.type
DATADOG | reference made bad | {"datadog": {"apiKeySecretRef": {"name": "B/keys"}}}
    spec.datadog.apiKeySecretRef.name: Invalid value: "B/keys": must be the name of a Secret in the namespace of this object, since no other Secret can be used: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit
DATADOG | policy made bad | {"deletionPolicy": "Keep"}
    spec.deletionPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain"
"#;

/// Fields that the schema does not have: type, the change; the field that kubectl names.
const UNKNOWN: &str = r#"
DATADOG | {"credentialsSecretRef": {"namespace": "b"}}
    spec.credentialsSecretRef.namespace
DATADOG | {"datadog": {"apiKeySecretRef": {"namespace": "b"}}}
    spec.datadog.apiKeySecretRef.namespace
DATADOG | {"datadog": {"apiKey": "canary"}}
    spec.datadog.apiKey
WEBHOOK | {"webhook": {"secret": "canary"}}
    spec.webhook.secret
PROMETHEUS | {"prometheus": {"password": "canary"}}
    spec.prometheus.password
DATADOG | {"projectID": "5d791c84ff7a2522cc4f9aa1"}
    spec.projectID
DATADOG | {"hipChat": {}}
    spec.hipChat
"#;

#[tokio::test]
async fn rejected() {
    refused("rejected", REJECTED).await;
}

#[tokio::test]
async fn plausible() {
    refused("plausible", PLAUSIBLE).await;
}

async fn refused(name: &str, table: &'static str) {
    let world = World::new(name).await;
    let mut findings = Findings::default();
    for (index, [kind, what, change, message]) in rows::<4>(table).into_iter().enumerate() {
        let name = format!("r{index}");
        let object = changed(&world, &name, kind, &parsed(change));
        findings.expect(&format!("{kind}, {what}"), &complaint(world.try_create(&object).await), message);
        assert_eq!(world.object(&name).find().await, None, "{kind}, {what}");
    }
    findings.none();
}

#[tokio::test]
async fn rejected_updates() {
    let world = World::new("rejected-updates").await;
    let mut findings = Findings::default();
    for (index, [kind, what, change, message]) in rows::<4>(REJECTED_UPDATES).into_iter().enumerate() {
        let name = format!("u{index}");
        world.create(&changed(&world, &name, kind, &json!({}))).await;
        let before = world.object(&name).get().await;
        let mut object = before.clone();
        lay(&mut object["spec"], &parsed(change));
        findings.expect(&format!("{kind}, {what}"), &complaint(replace(&world, &object).await), message);
        assert_eq!(world.object(&name).find().await, Some(before), "{kind}, {what}");
    }
    findings.none();
}

/// Each type without its block, with each other type's block instead of its own, and with one beside its own.
#[tokio::test]
async fn one_block_of_the_right_type() {
    let world = World::new("blocks").await;
    let missing = |kind: &str| {
        let block = block(kind);
        let fields = format!("kubectl explain atlasintegration.spec.{block}");
        format!(
            "spec: Invalid value: spec.{block} must be set, since spec.type is {kind}; to see its fields, run: {fields}"
        )
    };
    let foreign = |other: &str, kind: &str| {
        let block = block(other);
        let said = format!("spec.{block} is only for spec.type {other}, and spec.type is {kind}");
        format!("spec: Invalid value: {said}: remove the block, or, in a new object, correct spec.type")
    };
    let mut findings = Findings::default();
    for kind in samples::kinds() {
        let own = block(kind);
        let without = changed(&world, "x", kind, &json!({&own: "<gone>"}));
        findings.expect(
            &format!("{kind} without block"),
            &complaint(world.try_create(&without).await),
            &missing(kind),
        );
        for other in samples::kinds().into_iter().filter(|other| *other != kind) {
            let mut second = minimal(other);
            second.as_object_mut().unwrap().remove("type");
            let mut object = changed(&world, "x", kind, &second);
            findings.expect(
                &format!("{kind} with the block of {other} too"),
                &complaint(world.try_create(&object).await),
                &foreign(other, kind),
            );
            lay(&mut object["spec"], &json!({&own: "<gone>"}));
            let rule = |each| if each == kind { missing(kind) } else { foreign(other, kind) };
            let in_order = samples::kinds().into_iter().filter(|each| *each == kind || *each == other);
            findings.expect(
                &format!("{kind} with the block of {other}"),
                &complaint(world.try_create(&object).await),
                &in_order.map(rule).collect::<Vec<_>>().join(", "),
            );
        }
    }
    assert_eq!(world.list("AtlasIntegration").await, [] as [Value; 0]);
    findings.none();
}

/// No reference, of whichever field, can be written so that it leaves the namespace.
#[tokio::test]
async fn references() {
    const SAID: &str = "must be the name of a Secret in the namespace of this object, since no other Secret can be \
        used: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit";
    const ELSEWHERE: [&str; 12] =
        ["..", "../x", "b/keys", "b%2Fkeys", "%2e%2e", "Keys", "keys\n", "keys?x", "ключи", "k ", "-k", "k."];
    let world = World::new("references").await;
    let mut findings = Findings::default();
    let mut count = 0;
    for kind in samples::kinds() {
        let object = world.manifest("x", &full(kind));
        let block = block(kind);
        let own =
            object["spec"][&block].as_object().unwrap().keys().filter(|field| field.ends_with("SecretRef"));
        let all = own.map(|field| format!("spec.{block}.{field}.name"));
        for path in all.chain(["spec.credentialsSecretRef.name".to_owned()]) {
            count += 1;
            for name in ELSEWHERE {
                let mut object = object.clone();
                *object.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = name.into();
                let expected = format!("{path}: Invalid value: {name:?}: {SAID}");
                let said = complaint(world.try_create(&object).await);
                findings.expect(&format!("{kind}, {path} is {name:?}"), &said, &expected);
            }
        }
    }
    assert_eq!(count, 14 + 10, "the references of all blocks, and each type's credentials");
    assert_eq!(world.list("AtlasIntegration").await, [] as [Value; 0]);
    findings.none();
}

/// A field that the schema does not have: kubectl names it, without its value, and stores nothing; for a client that
/// does not ask for strict validation it is dropped.
#[tokio::test]
async fn unknown_fields() {
    let world = World::new("unknown").await;
    for (index, [kind, change, field]) in rows::<3>(UNKNOWN).into_iter().enumerate() {
        let name = format!("x{index}");
        let object = changed(&world, &name, kind, &parsed(change));
        for verb in ["create", "apply"] {
            let said = kubectl(&world, &[verb, "-f", "-"], &object.to_string()).await.unwrap_err();
            let expected = format!("strict decoding error: unknown field \"{field}\"");
            assert!(said.ends_with(&expected) && !said.contains("canary"), "{change}: {said}");
            assert_eq!(world.object(&name).find().await, None, "{change}");
        }
        let stored = world.try_create(&object).await.unwrap();
        assert_eq!(stored["spec"], changed(&world, &name, kind, &json!({}))["spec"], "{change}");
        assert!(!stored.to_string().contains("canary"), "{stored}");
    }
}

/// What stands on the terminal.
#[tokio::test]
async fn told_by_kubectl() {
    let world = World::new("told").await;
    let object = changed(&world, "x", "DATADOG", &json!({"type": "SLACK"}));
    let said = kubectl(&world, &["apply", "-f", "-"], &object.to_string()).await.unwrap_err();
    let expected = "The AtlasIntegration \"x\" is invalid: \n\
        * spec: Invalid value: spec.slack must be set, since spec.type is SLACK; to see its fields, run: kubectl explain \
        atlasintegration.spec.slack\n\
        * spec: Invalid value: spec.datadog is only for spec.type DATADOG, and spec.type is SLACK: remove the block, \
        or, in a new object, correct spec.type";
    assert_eq!(said, expected);

    world.create(&changed(&world, "x", "DATADOG", &json!({}))).await;
    let change = json!({"spec": {"projectId": "ffffffffffffffffffffffff"}}).to_string();
    let said =
        kubectl(&world, &["patch", "atlint", "x", "--type=merge", "-p", &change], "").await.unwrap_err();
    let expected = "The AtlasIntegration \"x\" is invalid: spec.projectId: Invalid value: \
        \"ffffffffffffffffffffffff\": spec.projectId is immutable: delete the object and create it again for the \
        other project; deleting the object also deletes the integration in Atlas, unless you first set spec.deletionPolicy to Retain";
    assert_eq!(said, expected);
}

/// Far too large: refused in a line that does not repeat it.
#[tokio::test]
async fn oversized() {
    let world = World::new("oversized").await;
    for (body, expected) in [
        ("<1000000 x>", "spec.webhook.bodyTemplate: Too long: may not be more than 16384 bytes"),
        ("<4000000 x>", "Request entity too large: limit is 3145728"),
    ] {
        let object = changed(&world, "x", "WEBHOOK", &json!({"webhook": {"bodyTemplate": body}}));
        let said = kubectl(&world, &["create", "-f", "-"], &object.to_string()).await.unwrap_err();
        assert!(said.contains(expected) && said.len() < 500, "{said:.1000}");
        assert_eq!(world.object("x").find().await, None);
    }
}
