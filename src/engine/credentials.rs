//! Atlas credentials and the settings' secrets, as read from Secrets, and who may use the operator's own credentials.
//! Values stay here only as long as a pass needs them, but for the credential itself, which a quiet resync must not
//! read again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::index::{Index, Known, Record, compare};
use super::queue::Queue;
use crate::api::PROJECT_IDS_ANNOTATION;
use crate::atlas::{Credential, Key};
use crate::cluster::{Namespaces, ReadError, SecretData, SecretIdentity, Secrets};
use crate::domain::{
    AppliedSecret, CredentialsRef, FieldKind, Fingerprint, Integration, MemoryKey, ObjectKey, ProjectId,
    Reason, SecretKey, SecretValue, SecretsSince, and,
};

/// Keys of the credentials Secret, as users of MongoDB's own operator have them.
const API_KEY: [&str; 2] = ["publicApiKey", "privateApiKey"];
const SERVICE_ACCOUNT: [&str; 2] = ["clientId", "clientSecret"];

/// Why something can't be read, in the words of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub reason: Reason,
    pub message: String,
}

impl Problem {
    fn new(reason: Reason, message: String) -> Problem {
        Problem { reason, message }
    }
}

/// Why a Secret gave nothing.
#[derive(Clone, Debug)]
pub(super) enum Unreadable {
    /// Somebody has to act.
    Problem(Problem),
    /// The API server failed this once; nothing is known about the Secret.
    Server(String),
}

impl From<Problem> for Unreadable {
    fn from(problem: Problem) -> Unreadable {
        Unreadable::Problem(problem)
    }
}

/// The settings of one object with their secrets, from one read each.
pub(super) struct Resolved {
    pub integration: Integration<SecretValue>,
    /// Exactly the states that were read.
    pub secrets: Vec<AppliedSecret>,
    /// Of the values.
    pub fingerprint: Fingerprint,
}

/// What a Secret held when it was read last.
struct Cached {
    identity: SecretIdentity,
    /// What is wrong with that state of the Secret.
    problem: Option<Problem>,
    /// The last good credential: of that state, or of an earlier one if something is wrong with that state.
    credential: Option<Credential>,
}

impl Cached {
    /// What that state of the Secret gave.
    fn found(&self) -> Option<Result<Credential, Problem>> {
        self.problem.clone().map(Err).or_else(|| self.credential.clone().map(Ok))
    }
}

/// Reads Secrets, and remembers credentials.
pub(super) struct Credentials {
    index: Arc<Mutex<Index>>,
    queue: Arc<Queue>,
    secrets: Secrets,
    namespaces: Namespaces,
    /// The Secret with the operator's own credentials.
    operator: Option<ObjectKey>,
    key: MemoryKey,
    cache: Mutex<HashMap<ObjectKey, Cached>>,
    /// What is wrong with the operator's own Secret, as the log has said.
    logged: Mutex<Option<Problem>>,
}

impl Credentials {
    /// Reads with `secrets` and `namespaces`; `operator` is the Secret with the operator's own credentials.
    pub fn new(
        (index, queue): (Arc<Mutex<Index>>, Arc<Queue>),
        secrets: Secrets,
        namespaces: Namespaces,
        operator: Option<ObjectKey>,
        key: MemoryKey,
    ) -> Credentials {
        let (cache, logged) = (Mutex::default(), Mutex::default());
        Credentials { index, queue, secrets, namespaces, operator, key, cache, logged }
    }

    /// The credential for an object of `namespace` and its project: of a Secret of its own, or the operator's where
    /// the Namespace is granted the project. `for_deletion` says that the object is being deleted and that its status
    /// proves a write of its own.
    pub async fn get(
        &self,
        namespace: &Arc<str>,
        credentials: &CredentialsRef,
        project: &ProjectId,
        for_deletion: bool,
    ) -> Result<Credential, Unreadable> {
        let Some(key) = credentials.secret(namespace, self.operator.as_ref()) else {
            return Err(no_credentials().into());
        };
        match credentials {
            CredentialsRef::Secret(_) => self.credential_in(&key, for_deletion, secret_not_found).await,
            CredentialsRef::Operator => {
                self.check_grant(namespace, project).await?;
                self.own(&key, for_deletion).await
            }
        }
    }

    /// The fingerprint of the credential that [`Credentials::get`] would return now, as far as memory tells; it takes no
    /// time. What is not watched counts as it was read last.
    pub fn known(
        &self,
        namespace: &Arc<str>,
        credentials: &CredentialsRef,
        project: &ProjectId,
        for_deletion: bool,
    ) -> Option<Fingerprint> {
        let key = credentials.secret(namespace, self.operator.as_ref())?;
        let state = {
            let index = self.index.lock();
            let withdrawn = index.grants(namespace, project) == Some(false);
            if *credentials == CredentialsRef::Operator && withdrawn {
                return None;
            }
            index.secrets.get(&key)
        };
        let cache = self.cache.lock();
        let cached = cache.get(&key)?;
        let same = match state {
            Known::Present(identity) => identity == cached.identity,
            Known::Absent => false,
            Known::Nothing => true,
        };
        match cached.found() {
            Some(Ok(credential)) if same => Some(credential.fingerprint),
            _ => cached.credential.as_ref().filter(|_| for_deletion).map(|last| last.fingerprint),
        }
    }

    /// Reads the operator's own credentials, so that the log says what is wrong with them before an object needs them.
    pub async fn check_own(&self) {
        if let Some(key) = &self.operator {
            // What is wrong is in the log now, and each object that uses them tells it to its users.
            let _ = self.own(key, false).await;
        }
    }

    /// The operator's own credential.
    async fn own(&self, key: &ObjectKey, for_deletion: bool) -> Result<Credential, Unreadable> {
        let found = self.credential_in(key, for_deletion, own_secret_not_found).await;
        match &found {
            Ok(_) => *self.logged.lock() = None,
            Err(Unreadable::Problem(problem)) => self.log_own(key, problem),
            Err(Unreadable::Server(_)) => {}
        }
        found.map_err(operators)
    }

    /// Logs in full what is wrong with the operator's own Secret, for whoever runs the operator: once, although every
    /// object that needs the Secret meets the problem again and again.
    fn log_own(&self, key: &ObjectKey, problem: &Problem) {
        let before = self.logged.lock().replace(problem.clone());
        if before.as_ref() != Some(problem) {
            tracing::warn!(secret = %key, "--credentials-secret can't be used: {}", problem.message);
        }
    }

    /// Whether a Namespace is granted a project, by its annotation: as watched, or read now.
    async fn check_grant(&self, namespace: &str, project: &ProjectId) -> Result<(), Unreadable> {
        let watched = self.index.lock().grants(namespace, project);
        let granted = match watched {
            Some(granted) => granted,
            None => match self.namespaces.projects(namespace).await {
                Ok(projects) => projects.contains(project),
                Err(ReadError::Forbidden) => return Err(unknown_grant(namespace, project).into()),
                Err(ReadError::Server(why)) => {
                    return Err(Unreadable::Server(format!("Namespace {namespace} can't be read: {why}")));
                }
            },
        };
        if granted { Ok(()) } else { Err(not_granted(namespace, project).into()) }
    }

    /// The credential in a Secret, or what is wrong with the Secret: from memory while the Secret is the same. Once the
    /// Secret is gone, or the operator may not read it any more, its last good credential serves only the deletion of
    /// objects whose status proves a write of their own: a namespace that is deleted loses its Secrets and RoleBindings
    /// first. A claim is no such proof, since a tenant can forge it after the Secret was deleted to revoke the key.
    async fn credential_in(
        &self,
        key: &ObjectKey,
        for_deletion: bool,
        not_found: fn(&ObjectKey) -> Problem,
    ) -> Result<Credential, Unreadable> {
        let absent = match self.index.lock().secrets.get(key) {
            Known::Present(identity) => {
                let cache = self.cache.lock();
                let cached = cache.get(key).filter(|cached| cached.identity == identity);
                if let Some(found) = cached.and_then(Cached::found) {
                    return found.map_err(Unreadable::Problem);
                }
                false
            }
            known => known == Known::Absent,
        };
        let found = if absent { Ok(None) } else { self.read(key).await };
        let problem = match found {
            Ok(Some(data)) => {
                let found = self.parse(key, &data);
                let mut cache = self.cache.lock();
                let last = cache.remove(key).and_then(|last| last.credential);
                let cached = Cached {
                    identity: data.identity,
                    problem: found.clone().err(),
                    credential: found.clone().ok().or(last),
                };
                cache.insert(key.clone(), cached);
                return found.map_err(Unreadable::Problem);
            }
            Ok(None) => not_found(key),
            Err(Unreadable::Problem(problem)) => problem,
            Err(server @ Unreadable::Server(_)) => return Err(server),
        };
        let cache = self.cache.lock();
        let last = cache.get(key).filter(|_| for_deletion).and_then(|last| last.credential.clone());
        last.ok_or_else(|| problem.into())
    }

    /// The identity of the Secret with an object's credential, as it was read last.
    pub fn identity(&self, namespace: &Arc<str>, credentials: &CredentialsRef) -> Option<SecretIdentity> {
        let key = credentials.secret(namespace, self.operator.as_ref())?;
        self.cache.lock().get(&key).map(|cached| cached.identity.clone())
    }

    /// Forgets every credential whose Secret is not `in_use`. Returns the fingerprints of the others.
    pub fn retain(&self, in_use: impl Fn(&ObjectKey) -> bool) -> HashSet<Fingerprint> {
        let mut cache = self.cache.lock();
        cache.retain(|key, _| in_use(key));
        cache.values().filter_map(|cached| Some(cached.credential.as_ref()?.fingerprint)).collect()
    }

    fn parse(&self, key: &ObjectKey, data: &SecretData) -> Result<Credential, Problem> {
        let has = |names: [&str; 2]| names.into_iter().any(|name| data.get(name).is_some());
        let names = match (has(API_KEY), has(SERVICE_ACCOUNT)) {
            (true, false) => API_KEY,
            (false, true) => SERVICE_ACCOUNT,
            (true, true) => return Err(both_credentials(key)),
            (false, false) => return Err(neither_credential(key, data)),
        };
        let mut faults = Faults::default();
        let [id, secret] = names.map(|name| faults.value(key, data, name, FieldKind::Key));
        let (Some(id), Some(secret)) = (id, secret) else {
            return Err(faults.of_credentials(key, data));
        };
        if let Some(problem) = under_other_names(key, names, &id, &secret) {
            return Err(problem);
        }
        let id = id.expose().to_owned();
        let kind = if names == API_KEY { "key" } else { "account" };
        let fingerprint = self.key.fingerprint([kind, id.as_str(), secret.expose()]);
        let key = if names == API_KEY {
            Key::ApiKey { public_key: id, private_key: secret }
        } else {
            Key::ServiceAccount { client_id: id, client_secret: secret }
        };
        Ok(Credential { key, fingerprint })
    }

    /// Reads the Secrets that settings refer to, each once. Reports everything that is wrong with them at once.
    pub async fn resolve(
        &self,
        namespace: &str,
        integration: &Integration<SecretKey>,
    ) -> Result<Resolved, Unreadable> {
        let mut problems = Vec::new();
        let mut read: BTreeMap<String, (ObjectKey, SecretData)> = BTreeMap::new();
        for name in integration.secret_names() {
            let key = ObjectKey { namespace: namespace.into(), name: name.as_str().into() };
            match self.read(&key).await {
                Ok(Some(data)) => {
                    read.insert(name, (key, data));
                }
                Ok(None) => problems.push(secret_not_found(&key)),
                Err(Unreadable::Problem(problem)) => problems.push(problem),
                Err(server @ Unreadable::Server(_)) => return Err(server),
            }
        }
        let mut faults: BTreeMap<&str, Faults> = BTreeMap::new();
        let values = integration.try_map(|field, reference| -> Result<_, Problem> {
            let secret = read.get_key_value(reference.name.as_str());
            Ok(secret.and_then(|(name, (key, data))| {
                faults.entry(name).or_default().value(key, data, &reference.key, field.kind)
            }))
        })?;
        for (name, (key, data)) in &read {
            let faults = faults.remove(name.as_str()).unwrap_or_default();
            problems.extend(faults.of_references(key, data));
        }
        let complete = values.try_map(|_, value| value.clone().ok_or(()));
        let resolved = complete.map_err(|()| all_at_once(problems))?;
        let secrets = read.iter().map(|(name, (_, data))| AppliedSecret {
            name: name.clone(),
            uid: data.identity.uid.clone(),
            resource_version: data.identity.resource_version.clone(),
        });
        let secrets = secrets.collect();
        let fingerprint = self.key.fingerprint(resolved.secrets().into_iter().map(SecretValue::expose));
        Ok(Resolved { integration: resolved, secrets, fingerprint })
    }

    /// How the Secrets of an object's settings stand to `states`, an [`AppliedSecret::digest`]. Reads those of which
    /// nothing is known: Secrets are not watched, or this one was listed before an object referred to it. `Unknown` is
    /// left for a Secret that the operator may not read. Returns why the API server failed, if it did.
    pub async fn since(&self, record: &Record, states: [u8; 16]) -> Result<SecretsSince, String> {
        let mut secrets = Vec::with_capacity(record.secrets.len());
        for name in record.secrets.iter() {
            let key = ObjectKey { namespace: Arc::clone(&record.key.namespace), name: Arc::clone(name) };
            let known = self.index.lock().secrets.get(&key);
            let known = match known {
                Known::Nothing => match self.read(&key).await {
                    Ok(found) => Known::found(found.map(|data| data.identity)),
                    Err(Unreadable::Problem(_)) => Known::Nothing,
                    Err(Unreadable::Server(why)) => return Err(why),
                },
                known => known,
            };
            secrets.push((&**name, known));
        }
        Ok(compare(secrets, states))
    }

    /// Reads a Secret. If news of it came meanwhile and the answer may be older, queues the projects whose objects refer
    /// to it.
    async fn read(&self, key: &ObjectKey) -> Result<Option<SecretData>, Unreadable> {
        let was_unknown = self.index.lock().secrets.read_begins(key);
        let found = self.secrets.read(&key.namespace, &key.name).await;
        let known = match &found {
            Ok(found) => Known::found(found.as_ref().map(|data| data.identity.clone())),
            Err(_) => Known::Nothing,
        };
        let due = self.index.lock().secrets.read_ends(key, was_unknown, known);
        self.queue.ask(&key.namespace, due);
        found.map_err(|error| match error {
            ReadError::Forbidden => Unreadable::Problem(Problem::new(
                Reason::SecretNotFound,
                format!("Secret {} can't be read: {error}", key.name),
            )),
            ReadError::Server(why) => Unreadable::Server(format!("Secret {} can't be read: {why}", key.name)),
        })
    }
}

/// What is wrong with the keys of one Secret.
#[derive(Default)]
struct Faults {
    missing: Vec<String>,
    /// Sentences, each of which names its key.
    invalid: Vec<String>,
}

impl Faults {
    /// The value of a key, or another fault.
    fn value(
        &mut self,
        secret: &ObjectKey,
        data: &SecretData,
        key: &str,
        kind: FieldKind,
    ) -> Option<SecretValue> {
        let Some(bytes) = data.get(key) else {
            if !self.missing.iter().any(|missing| missing == key) {
                self.missing.push(key.to_owned());
            }
            return None;
        };
        let refuse = |bad| {
            let sentence = format!("key {key} of Secret {} {bad}", secret.name);
            if !self.invalid.contains(&sentence) {
                self.invalid.push(sentence);
            }
        };
        kind.check(bytes).map_err(refuse).ok()
    }

    /// For keys that a spec refers to.
    fn of_references(self, secret: &ObjectKey, data: &SecretData) -> Vec<Problem> {
        let advice = match self.missing.len() {
            1 => "add the key, or correct the reference",
            _ => "add the keys, or correct the references",
        };
        self.problems(secret, data, advice)
    }

    /// For credentials, to whose keys no spec refers.
    fn of_credentials(self, secret: &ObjectKey, data: &SecretData) -> Problem {
        all_at_once(self.problems(secret, data, "add the key"))
    }

    fn problems(self, secret: &ObjectKey, data: &SecretData, advice: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.missing.is_empty() {
            let keys = if self.missing.len() == 1 { "key" } else { "keys" };
            let missing = and(&self.missing);
            let message = format!(
                "Secret {} has no {keys} {missing}; it has: {}; {advice}",
                secret.name,
                keys_of(data)
            );
            problems.push(Problem::new(Reason::SecretKeyMissing, message));
        }
        let invalid = self.invalid.into_iter();
        problems.extend(invalid.map(|message| Problem::new(Reason::SecretKeyInvalid, message)));
        problems
    }
}

/// One problem that tells all of these. Its reason is that which has to be dealt with first: there is a Secret, it has
/// the key, the value is valid.
fn all_at_once(mut problems: Vec<Problem>) -> Problem {
    problems.sort_by_key(|problem| problem.reason);
    let reason = problems.first().map_or(Reason::SecretNotFound, |first| first.reason);
    let message = match &problems[..] {
        [one] => one.message.clone(),
        several => {
            let numbered = several.iter().enumerate();
            let numbered = numbered.map(|(at, problem)| format!("({}) {}", at + 1, problem.message));
            numbered.collect::<Vec<_>>().join(". ")
        }
    };
    Problem::new(reason, message)
}

/// The names of a Secret's keys, as far as a message has room for them.
fn keys_of(data: &SecretData) -> String {
    const SHOWN: usize = 10;
    const MOST_CHARACTERS: usize = 600;
    let keys: Vec<&str> = data.keys().collect();
    let mut characters = 0;
    let fits = |key: &&&str| {
        characters += key.len();
        characters <= MOST_CHARACTERS
    };
    let shown = keys.iter().take(SHOWN).take_while(fits).count();
    match keys.len() - shown {
        _ if keys.is_empty() => "no keys at all".to_owned(),
        0 => keys.join(", "),
        more => format!("{} and {more} more", keys[..shown].join(", ")),
    }
}

fn both_credentials(key: &ObjectKey) -> Problem {
    Problem::new(
        Reason::SecretKeyInvalid,
        format!(
            "Secret {} holds both an API key ({}) and a service account ({}); keep one of the two",
            key.name,
            API_KEY.join(", "),
            SERVICE_ACCOUNT.join(", ")
        ),
    )
}

fn neither_credential(key: &ObjectKey, data: &SecretData) -> Problem {
    Problem::new(
        Reason::SecretKeyMissing,
        format!(
            "Secret {} needs the keys {} (an API key), or {} (a service account); it has: {}; rename its keys, add \
             the missing ones, or refer to another Secret",
            key.name,
            and(&API_KEY),
            and(&SERVICE_ACCOUNT),
            keys_of(data)
        ),
    )
}

/// A service account is known by its values (documentation of service accounts: `mdb_sa_id_...`, `mdb_sa_sk_...`).
fn under_other_names(
    key: &ObjectKey,
    names: [&str; 2],
    id: &SecretValue,
    secret: &SecretValue,
) -> Option<Problem> {
    let begins = |value: &SecretValue, with| value.expose().starts_with(with);
    let what = if names == API_KEY && (begins(id, "mdb_sa_") || begins(secret, "mdb_sa_")) {
        "holds a service account (a value begins with mdb_sa_) under the names of an API key; name its keys clientId \
         and clientSecret"
    } else if names == SERVICE_ACCOUNT && (begins(id, "mdb_sa_sk_") || begins(secret, "mdb_sa_id_")) {
        "has the values of clientId and clientSecret swapped; exchange them"
    } else {
        return None;
    };
    Some(Problem::new(Reason::SecretKeyInvalid, format!("Secret {} {what}", key.name)))
}

fn no_credentials() -> Problem {
    Problem::new(
        Reason::InvalidSpec,
        "spec.credentialsSecretRef is missing, and the operator has no credentials of its own \
         (--credentials-secret); name a Secret of this namespace"
            .to_owned(),
    )
}

fn not_granted(namespace: &str, project: &ProjectId) -> Problem {
    Problem::new(
        Reason::ProjectNotAllowed,
        format!(
            "objects of namespace {namespace} may not use the operator's own credentials for project {project}; have \
             the project's id, in lower case, added to the annotation {PROJECT_IDS_ANNOTATION} of the Namespace, or \
             name a Secret of your own in spec.credentialsSecretRef"
        ),
    )
}

fn unknown_grant(namespace: &str, project: &ProjectId) -> Problem {
    Problem::new(
        Reason::ProjectNotAllowed,
        format!(
            "whether objects of namespace {namespace} may use the operator's own credentials for project {project} \
             can't be found out: the operator is not allowed to read the Namespace; grant its ServiceAccount get on \
             this Namespace"
        ),
    )
}

/// What an object tells of a fault in the operator's own Secret: neither where that Secret is nor what is in it.
fn operators(unreadable: Unreadable) -> Unreadable {
    match unreadable {
        Unreadable::Problem(problem) => {
            let message = "the operator's own credentials (--credentials-secret) can't be used; whoever runs the \
                           operator finds the cause in its log";
            Problem::new(problem.reason, message.to_owned()).into()
        }
        server @ Unreadable::Server(_) => server,
    }
}

fn secret_not_found(key: &ObjectKey) -> Problem {
    Problem::new(
        Reason::SecretNotFound,
        format!(
            "Secret {} does not exist in namespace {}; create it, and the operator continues automatically (an object \
             uses the Secrets of its own namespace only)",
            key.name, key.namespace
        ),
    )
}

/// For the operator's own Secret, which is in no object's namespace.
fn own_secret_not_found(key: &ObjectKey) -> Problem {
    Problem::new(
        Reason::SecretNotFound,
        format!(
            "Secret {} does not exist in namespace {}; create it, and the operator continues automatically",
            key.name, key.namespace
        ),
    )
}
