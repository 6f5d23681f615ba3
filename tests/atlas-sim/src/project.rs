//! The handle of one project: what a test says and asks about it. Logic is in the modules below.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::{Change, Exchange};
use crate::fault::Fault;
use crate::settings::Settings;
use crate::state::{ProjectState, Shared};

/// A role in a project (Atlas Admin API v2 spec: reads need Project Read Only, writes Project Owner).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Project Owner.
    Owner,
    /// Project Read Only.
    ReadOnly,
}

/// A cheap handle of one project.
#[derive(Clone)]
pub struct Project {
    shared: Arc<Shared>,
    id: Arc<str>,
}

impl Project {
    pub(crate) fn new(shared: Arc<Shared>, id: &str) -> Self {
        shared.lock().project(id);
        Self { shared, id: id.into() }
    }

    /// The closure runs under the simulator's lock, hence those of callers must not call the simulator.
    fn with<T>(&self, work: impl FnOnce(&mut ProjectState) -> T) -> T {
        work(self.shared.lock().project(&self.id))
    }

    /// The same for what another actor does to one type.
    fn as_other<T>(&self, kind: &str, work: impl FnOnce(&mut ProjectState) -> T) -> T {
        let mut state = self.shared.lock();
        state.project(&self.id);
        state.noting(&self.id, kind, None, |state| work(state.project(&self.id)))
    }

    /// The project's id. Atlas takes ids of 24 hexadecimal digits only.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Moves the project to an organisation. By default each project has its own.
    pub fn set_org(&self, org: &str) {
        let mut state = self.shared.lock();
        let old = std::mem::replace(&mut state.project(&self.id).org, org.to_owned());
        if old != org {
            state.keys.move_project(&self.id, &old, org);
            state.accounts.move_project(&self.id, &old, org);
        }
    }

    /// Lets an API key be Project Owner here. Another private key than before replaces it, in the whole organisation.
    pub fn allow_key(&self, public_key: &str, private_key: &str) {
        self.allow_key_with_role(public_key, private_key, Role::Owner);
    }

    /// Gives an API key a role here. Another private key than before replaces it, in the whole organisation.
    pub fn allow_key_with_role(&self, public_key: &str, private_key: &str, role: Role) {
        let mut state = self.shared.lock();
        let org = state.project(&self.id).org.clone();
        state.keys.allow(&org, public_key, private_key, &self.id, role);
    }

    /// Deletes an API key from the organisation.
    pub fn revoke_key(&self, public_key: &str) {
        let mut state = self.shared.lock();
        let org = state.project(&self.id).org.clone();
        state.keys.revoke(&org, public_key);
    }

    /// Lets a service account be Project Owner here. Another secret than before replaces it; its tokens live on.
    pub fn allow_service_account(&self, client_id: &str, client_secret: &str) {
        self.allow_service_account_with_role(client_id, client_secret, Role::Owner);
    }

    /// Gives a service account a role here.
    pub fn allow_service_account_with_role(&self, client_id: &str, client_secret: &str, role: Role) {
        let mut state = self.shared.lock();
        let org = state.project(&self.id).org.clone();
        state.accounts.allow(&org, client_id, client_secret, &self.id, role);
    }

    /// Deletes a service account from the organisation; its tokens are void.
    pub fn revoke_service_account(&self, client_id: &str) {
        let mut state = self.shared.lock();
        let org = state.project(&self.id).org.clone();
        state.accounts.revoke(&org, client_id);
    }

    /// Makes every token of a service account void, as if they had expired early.
    pub fn expire_tokens(&self, client_id: &str) {
        let mut state = self.shared.lock();
        let org = state.project(&self.id).org.clone();
        state.tokens.expire_all(client_id, &org);
    }

    /// What Atlas really stores, secrets in clear, in the order of results, each with `id` and `type`.
    pub fn stored(&self) -> Vec<Value> {
        self.with(|project| {
            project.store.entries().filter_map(|(kind, _)| project.store.plain(kind)).collect()
        })
    }

    /// What Atlas really stores for one type.
    pub fn stored_type(&self, integration_type: &str) -> Option<Value> {
        self.with(|project| project.store.plain(integration_type))
    }

    /// Another actor edits an entry; the id stays. Nothing happens if there is none.
    /// The closure must not call the simulator.
    pub fn edit(&self, integration_type: &str, change: impl FnOnce(&mut Value)) {
        self.as_other(integration_type, |project| {
            if let Some(mut value) = project.store.plain(integration_type) {
                change(&mut value);
                project.store.set_plain(integration_type, value);
            }
        });
    }

    /// Another actor creates or overwrites an entry: it gets a new id. `value` names its `type`, is stored unchecked,
    /// and may be of a type that nobody knows. Without a type nothing happens.
    pub fn replace_by_other(&self, value: Value) {
        let Value::Object(mut fields) = value else { return };
        fields.remove("id");
        if let Some(Value::String(kind)) = fields.remove("type") {
            self.as_other(&kind, |project| project.store.put(&kind, fields, true));
        }
    }

    /// Another actor removes an entry. `false` if there is none.
    pub fn remove_by_other(&self, integration_type: &str) -> bool {
        self.as_other(integration_type, |project| project.store.remove(integration_type))
    }

    /// How what Atlas stores came about: every change by a request or another actor, in order; the last 10,000. What
    /// [`crate::Effect::RollIds`] does is not in it.
    pub fn changes(&self) -> Vec<Change> {
        self.with(|project| project.changes.copies())
    }

    /// Changes the switches for this project; they start as a copy of the global ones.
    /// The closure must not call the simulator.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut state = self.shared.lock();
        let global = state.settings.clone();
        change(state.project(&self.id).settings.get_or_insert(global));
    }

    /// Adds a scripted fault for requests that name this project. Faults for [`crate::Api::OAuth`] hit token requests
    /// of service accounts that may use it.
    pub fn fault(&self, fault: Fault) {
        self.with(|project| project.faults.push(fault));
    }

    /// Removes all faults of this project.
    pub fn clear_faults(&self) {
        self.with(|project| project.faults.clear());
    }

    /// The faults that still wait.
    pub fn faults(&self) -> Vec<Fault> {
        self.with(|project| project.faults.waiting().to_vec())
    }

    /// Every request whose path names this project, in order of arrival, challenges too; the last 10,000.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.with(|project| project.log.copies())
    }

    /// Forgets the exchanges so far.
    pub fn clear_exchanges(&self) {
        self.with(|project| project.log.clear());
    }

    /// How many exchanges fit.
    pub fn count(&self, filter: impl Fn(&Exchange) -> bool) -> usize {
        self.with(|project| project.log.all()).iter().filter(|exchange| filter(exchange)).count()
    }
}
