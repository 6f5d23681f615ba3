//! The interface for scripts under `/_admin`: the library's calls as JSON over HTTP. No logic of its own.
//!
//! | Method and path | Does |
//! |---|---|
//! | `GET /_admin/projects` | lists the projects |
//! | `POST /_admin/projects` | creates a project, or adds keys: `{"id", "org"?, "keys"?: [{"publicKey", "privateKey", "role"?}], "serviceAccounts"?: [{"clientId", "clientSecret", "role"?}]}` |
//! | `DELETE /_admin/projects/ID` | removes a project |
//! | `DELETE /_admin/projects/ID/keys/NAME`, `…/serviceAccounts/NAME`, `…/tokens/NAME` | revokes a key or an account; voids its tokens |
//! | `GET /_admin/projects/ID/stored` (`/TYPE`) | what is really stored, secrets in clear |
//! | `PATCH`, `PUT`, `DELETE /_admin/projects/ID/stored/TYPE` | another actor edits (id stays), replaces (new id), removes |
//! | `GET`, `DELETE /_admin/projects/ID/exchanges` | the log; forgets it |
//! | `GET`, `POST`, `DELETE /_admin/projects/ID/faults` | faults that wait; adds one; removes all |
//! | `GET`, `PATCH /_admin/projects/ID/settings` | the switches; changes those that are named |
//! | `GET /_admin/counters`, `GET /_admin/exchanges` | counters; requests that name no existing project |
//! | the same `faults` and `settings` without a project | those for all projects |

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::project::{Project, Role};
use crate::reply::Reply;
use crate::request::Request;
use crate::settings::Settings;
use crate::state::Shared;

/// What a call answers: a body, or nothing; or a refusal with a status and the reason.
type Answer = Result<Option<Value>, (u16, String)>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewProject {
    id: String,
    org: Option<String>,
    #[serde(default)]
    keys: Vec<NewKey>,
    #[serde(default)]
    service_accounts: Vec<NewAccount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKey {
    public_key: String,
    private_key: String,
    role: Option<Role>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewAccount {
    client_id: String,
    client_secret: String,
    role: Option<Role>,
}

/// Answers a request to `/_admin/…`.
pub fn answer(shared: &Arc<Shared>, request: &Request) -> Reply {
    let path: Vec<String> = request
        .path
        .split('/')
        .skip(2)
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let reply = |status, body: &Value| Reply::json(status, "application/json", body, true);
    match route(shared, &request.method, &path, &request.body) {
        Ok(Some(body)) => reply(200, &body),
        Ok(None) => Reply::new(204),
        Err((status, why)) => reply(status, &json!({"error": why})),
    }
}

fn route(shared: &Arc<Shared>, method: &str, path: &[&str], body: &[u8]) -> Answer {
    match (method, path) {
        ("GET", ["projects"]) => Ok(Some(projects(shared))),
        ("POST", ["projects"]) => create(shared, &read(body)?),
        ("GET", ["counters"]) => to_json(&shared.lock().counters),
        ("GET", ["exchanges"]) => to_json(&shared.lock().strays.copies()),
        ("GET", ["settings"]) => to_json(&shared.lock().settings),
        ("PATCH", ["settings"]) => {
            let mut state = shared.lock();
            state.settings = patched(&state.settings, read(body)?)?;
            Ok(None)
        }
        ("GET", ["faults"]) => to_json(&shared.lock().faults.waiting()),
        ("POST", ["faults"]) => {
            let fault = read(body)?;
            shared.lock().faults.push(fault);
            Ok(None)
        }
        ("DELETE", ["faults"]) => {
            shared.lock().faults.clear();
            Ok(None)
        }
        (_, ["projects", id, rest @ ..]) => {
            if !shared.lock().projects.contains_key(*id) {
                return Err((404, format!("there is no project {id}; create it with POST /_admin/projects")));
            }
            if (method, rest) == ("DELETE", [].as_slice()) {
                shared.lock().projects.remove(*id);
                return Ok(None);
            }
            of_project(shared, &Project::new(Arc::clone(shared), id), method, rest, body)
        }
        _ => Err(unknown()),
    }
}

fn of_project(shared: &Arc<Shared>, project: &Project, method: &str, path: &[&str], body: &[u8]) -> Answer {
    match (method, path) {
        ("GET", ["stored"]) => Ok(Some(project.stored().into())),
        ("GET", ["stored", kind]) => project.stored_type(kind).map(Some).ok_or_else(|| missing(kind)),
        ("PATCH", ["stored", kind]) => {
            let changes: Map<String, Value> = read(body)?;
            project.stored_type(kind).ok_or_else(|| missing(kind))?;
            project.edit(kind, |entry| {
                if let Some(entry) = entry.as_object_mut() {
                    entry.extend(changes);
                }
            });
            Ok(None)
        }
        ("PUT", ["stored", kind]) => {
            let mut value: Map<String, Value> = read(body)?;
            value.insert("type".to_owned(), (*kind).into());
            project.replace_by_other(Value::Object(value));
            Ok(None)
        }
        ("DELETE", ["stored", kind]) => match project.remove_by_other(kind) {
            true => Ok(None),
            false => Err(missing(kind)),
        },
        ("GET", ["exchanges"]) => to_json(&project.exchanges()),
        ("DELETE", ["exchanges"]) => {
            project.clear_exchanges();
            Ok(None)
        }
        ("GET", ["faults"]) => to_json(&project.faults()),
        ("POST", ["faults"]) => {
            project.fault(read::<Fault>(body)?);
            Ok(None)
        }
        ("DELETE", ["faults"]) => {
            project.clear_faults();
            Ok(None)
        }
        ("GET", ["settings"]) => to_json(shared.lock().settings_of(Some(project.id()))),
        ("PATCH", ["settings"]) => {
            let settings = patched(shared.lock().settings_of(Some(project.id())), read(body)?)?;
            project.settings(|current| *current = settings);
            Ok(None)
        }
        ("DELETE", ["keys", name]) => {
            project.revoke_key(name);
            Ok(None)
        }
        ("DELETE", ["serviceAccounts", name]) => {
            project.revoke_service_account(name);
            Ok(None)
        }
        ("DELETE", ["tokens", name]) => {
            project.expire_tokens(name);
            Ok(None)
        }
        _ => Err(unknown()),
    }
}

fn projects(shared: &Shared) -> Value {
    let state = shared.lock();
    let each = state.projects.iter().map(|(id, project)| {
        let types: Vec<&str> = project.store.entries().map(|(kind, _)| kind).collect();
        json!({"id": id, "org": project.org, "types": types})
    });
    each.collect::<Vec<Value>>().into()
}

fn create(shared: &Arc<Shared>, wanted: &NewProject) -> Answer {
    let project = Project::new(Arc::clone(shared), &wanted.id);
    if let Some(org) = &wanted.org {
        project.set_org(org);
    }
    for key in &wanted.keys {
        project.allow_key_with_role(&key.public_key, &key.private_key, key.role.unwrap_or(Role::Owner));
    }
    for account in &wanted.service_accounts {
        let role = account.role.unwrap_or(Role::Owner);
        project.allow_service_account_with_role(&account.client_id, &account.client_secret, role);
    }
    Ok(None)
}

/// The switches with the named ones changed.
fn patched(settings: &Settings, changes: Map<String, Value>) -> Result<Settings, (u16, String)> {
    let mut value = serde_json::to_value(settings).map_err(internal)?;
    if let Some(current) = value.as_object_mut() {
        current.extend(changes);
    }
    serde_json::from_value(value).map_err(|error| (400, error.to_string()))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn to_json(value: &impl serde::Serialize) -> Answer {
    serde_json::to_value(value).map(Some).map_err(internal)
}

fn internal(error: serde_json::Error) -> (u16, String) {
    (500, error.to_string())
}

fn missing(kind: &str) -> (u16, String) {
    (404, format!("{kind} is not stored in this project"))
}

fn unknown() -> (u16, String) {
    (404, "there is no such call; the list is in the documentation of the module admin".to_owned())
}
