//! Atlas credentials and the settings' secrets, as read from Secrets, and who may use the operator's own credentials.
//! Values stay here only as long as a pass needs them, but for the credential itself, which a quiet resync must not
//! read again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::index::Index;
use crate::api::PROJECT_IDS_ANNOTATION;
use crate::atlas::{Credential, Key};
use crate::cluster::{Namespaces, ReadError, SecretData, SecretIdentity, Secrets};
use crate::domain::{
    AppliedSecret, BadSecret, CredentialsRef, Fingerprint, Integration, MemoryKey, ObjectKey, ProjectId,
    Reason, SecretKey, SecretValue,
};

/// Keys of the credentials Secret, as users of MongoDB's own operator have them.
const API_KEY: [&str; 2] = ["publicApiKey", "privateApiKey"];
const SERVICE_ACCOUNT: [&str; 2] = ["clientId", "clientSecret"];

/// Why something can't be read, as a condition says it.
#[derive(Clone, Debug)]
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

struct Cached {
    identity: SecretIdentity,
    credential: Credential,
}

/// Reads and remembers.
pub(super) struct Credentials {
    secrets: Secrets,
    namespaces: Namespaces,
    /// The Secret with the operator's own credentials.
    operator: Option<ObjectKey>,
    key: MemoryKey,
    cache: Mutex<HashMap<ObjectKey, Cached>>,
}

impl Credentials {
    pub fn new(
        secrets: Secrets,
        namespaces: Namespaces,
        operator: Option<ObjectKey>,
        key: MemoryKey,
    ) -> Credentials {
        Credentials { secrets, namespaces, operator, key, cache: Mutex::default() }
    }

    /// The credential for an object of `namespace` and its project: of a Secret of its own, or the operator's where
    /// the Namespace is granted the project.
    pub async fn get(
        &self,
        index: &Mutex<Index>,
        namespace: &Arc<str>,
        credentials: &CredentialsRef,
        project: &ProjectId,
        for_deletion: bool,
    ) -> Result<Credential, Unreadable> {
        let Some(key) = credentials.secret(namespace, self.operator.as_ref()) else {
            return Err(no_credentials().into());
        };
        match credentials {
            CredentialsRef::Secret(_) => self.credential_in(index, &key, for_deletion).await,
            CredentialsRef::Operator => {
                self.check_grant(index, namespace, project).await?;
                self.credential_in(index, &key, for_deletion)
                    .await
                    .map_err(|unreadable| operators(&key, unreadable))
            }
        }
    }

    /// Whether a Namespace is granted a project, by its annotation: as watched, or read now.
    async fn check_grant(
        &self,
        index: &Mutex<Index>,
        namespace: &str,
        project: &ProjectId,
    ) -> Result<(), Unreadable> {
        let watched = lock(index).grants(namespace, project);
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

    /// The credential in a Secret: from memory while the Secret is the same. Once the Secret is gone, or the operator
    /// may not read it any more, its last good credential serves deletions only: a namespace that is deleted loses its
    /// Secrets and RoleBindings first.
    async fn credential_in(
        &self,
        index: &Mutex<Index>,
        key: &ObjectKey,
        for_deletion: bool,
    ) -> Result<Credential, Unreadable> {
        let known = lock(index).secret(key).map(Option::<&SecretIdentity>::cloned);
        if let (Some(Some(identity)), Some(cached)) = (&known, lock(&self.cache).get(key))
            && cached.identity == *identity
        {
            return Ok(cached.credential.clone());
        }
        let found = match known {
            Some(None) => Ok(None),
            _ => self.read(index, key).await,
        };
        let problem = match found {
            Ok(Some(data)) => {
                let credential = self.parse(key, &data)?;
                let cached = Cached { identity: data.identity, credential: credential.clone() };
                lock(&self.cache).insert(key.clone(), cached);
                return Ok(credential);
            }
            Ok(None) => secret_not_found(key),
            Err(Unreadable::Problem(problem)) => problem,
            Err(server @ Unreadable::Server(_)) => return Err(server),
        };
        let last = lock(&self.cache).get(key).filter(|_| for_deletion).map(|last| last.credential.clone());
        last.ok_or_else(|| problem.into())
    }

    /// The identity of the Secret that the remembered credential of an object is from.
    pub fn identity(&self, namespace: &Arc<str>, credentials: &CredentialsRef) -> Option<SecretIdentity> {
        let key = credentials.secret(namespace, self.operator.as_ref())?;
        lock(&self.cache).get(&key).map(|cached| cached.identity.clone())
    }

    /// Forgets all credentials but those in `in_use`; answers the fingerprints that are left.
    pub fn retain(&self, in_use: impl Fn(&ObjectKey) -> bool) -> HashSet<Fingerprint> {
        let mut cache = lock(&self.cache);
        cache.retain(|key, _| in_use(key));
        cache.values().map(|cached| cached.credential.fingerprint).collect()
    }

    fn parse(&self, key: &ObjectKey, data: &SecretData) -> Result<Credential, Problem> {
        let has = |names: [&str; 2]| names.into_iter().any(|name| data.get(name).is_some());
        let get = |name| value(key, data, name, SecretValue::from_bytes);
        let (kind, id, secret, parsed) = match (has(API_KEY), has(SERVICE_ACCOUNT)) {
            (true, true) => {
                return Err(Problem::new(
                    Reason::SecretKeyInvalid,
                    format!(
                        "Secret {} holds both an API key ({}) and a service account ({}); keep one of the two",
                        key.name,
                        API_KEY.join(", "),
                        SERVICE_ACCOUNT.join(", ")
                    ),
                ));
            }
            (false, true) => {
                let (client_id, client_secret) =
                    (get(SERVICE_ACCOUNT[0])?.expose().to_owned(), get(SERVICE_ACCOUNT[1])?);
                let parsed = Key::ServiceAccount {
                    client_id: client_id.clone(),
                    client_secret: client_secret.clone(),
                };
                ("account", client_id, client_secret, parsed)
            }
            _ => {
                let (public_key, private_key) = (get(API_KEY[0])?.expose().to_owned(), get(API_KEY[1])?);
                let parsed = Key::ApiKey { public_key: public_key.clone(), private_key: private_key.clone() };
                ("key", public_key, private_key, parsed)
            }
        };
        let fingerprint = self.key.fingerprint([kind, id.as_str(), secret.expose()]);
        Ok(Credential { key: parsed, fingerprint })
    }

    /// Reads the Secrets that settings refer to, each once.
    pub async fn resolve(
        &self,
        index: &Mutex<Index>,
        namespace: &str,
        integration: &Integration<SecretKey>,
    ) -> Result<Resolved, Unreadable> {
        let mut read: BTreeMap<&str, (ObjectKey, SecretData)> = BTreeMap::new();
        for reference in integration.secret_keys() {
            if !read.contains_key(reference.name.as_str()) {
                let key = ObjectKey { namespace: namespace.into(), name: reference.name.as_str().into() };
                let data = self.read(index, &key).await?.ok_or_else(|| secret_not_found(&key))?;
                read.insert(&reference.name, (key, data));
            }
        }
        let resolved = integration.try_map(|field, reference| match read.get(reference.name.as_str()) {
            Some((key, data)) => value(key, data, &reference.key, |bytes| field.check(bytes)),
            None => {
                Err(Problem::new(Reason::SecretNotFound, format!("Secret {} was not read", reference.name)))
            }
        })?;
        let secrets = read.iter().map(|(name, (_, data))| AppliedSecret {
            name: (*name).to_owned(),
            uid: data.identity.uid.clone(),
            resource_version: data.identity.resource_version.clone(),
        });
        let secrets = secrets.collect();
        let fingerprint = self.key.fingerprint(resolved.secrets().into_iter().map(SecretValue::expose));
        Ok(Resolved { integration: resolved, secrets, fingerprint })
    }

    async fn read(&self, index: &Mutex<Index>, key: &ObjectKey) -> Result<Option<SecretData>, Unreadable> {
        let found = self.secrets.read(&key.namespace, &key.name).await.map_err(|error| match error {
            ReadError::Forbidden => Unreadable::Problem(Problem::new(
                Reason::SecretNotFound,
                format!("Secret {} can't be read: {error}", key.name),
            )),
            ReadError::Server(why) => Unreadable::Server(format!("Secret {} can't be read: {why}", key.name)),
        })?;
        lock(index).read_secret(key, found.as_ref().map(|data| data.identity.clone()));
        Ok(found)
    }
}

fn value(
    secret: &ObjectKey,
    data: &SecretData,
    key: &str,
    parse: impl FnOnce(&[u8]) -> Result<SecretValue, BadSecret>,
) -> Result<SecretValue, Problem> {
    let Some(bytes) = data.get(key) else {
        let mut keys: Vec<&str> = data.keys().take(10).collect();
        keys.sort_unstable();
        let has = if keys.is_empty() { "no keys at all".to_owned() } else { keys.join(", ") };
        return Err(Problem::new(
            Reason::SecretKeyMissing,
            format!(
                "Secret {} has no key {key}; it has: {has}; add the key, or correct the reference",
                secret.name
            ),
        ));
    };
    parse(bytes).map_err(|bad| {
        Problem::new(
            Reason::SecretKeyInvalid,
            format!("key {key} of Secret {} {bad}; correct the Secret", secret.name),
        )
    })
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
             the project's id added to the annotation {PROJECT_IDS_ANNOTATION} of the Namespace, or name a Secret of \
             your own in spec.credentialsSecretRef"
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

/// What is wrong with the operator's own Secret is for those who run the operator: its log says it in full, the object
/// neither where the Secret is nor what it holds.
fn operators(key: &ObjectKey, unreadable: Unreadable) -> Unreadable {
    match unreadable {
        Unreadable::Problem(problem) => {
            tracing::warn!(secret = %key, "--credentials-secret can't be used: {}", problem.message);
            let message = "the operator's own credentials (--credentials-secret) can't be used; who runs the \
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
            "Secret {} does not exist in namespace {}; create it, and the operator goes on by itself",
            key.name, key.namespace
        ),
    )
}

/// A lock that a panicked pass has not poisoned for the others: all data under it is valid at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
