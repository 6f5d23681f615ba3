//! The calls to Atlas (list, create, update, delete), in whichever API version Atlas serves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use url::Url;

use super::budget::{Budget, Budgets};
use super::call::{BodyFault, Call, Head, read};
use super::error_table::On;
use super::errors::{self, Asked, SendError, Unanswered};
use super::http::{self, ClientError, Http, Requests};
use super::page::{MOST_ENTRIES, Page};
use super::redaction::redact_entry;
use super::scrub::Scrubber;
use super::session::{Credential, Session};
use super::version::{ApiVersion, VersionChoice};
use super::wire::{ApiError, PageOptions};
use crate::domain::{
    Failure, FailureKind, Fingerprint, Integration, IntegrationType, ProjectId, Redacted, SecretValue,
};

/// Ten integrations fit easily, the two templates of a webhook included, so a larger body can't be an answer to our
/// calls. As many may be read at a time as passes run.
const MAX_BODY: usize = 256 << 10;
/// The client reads at most this many pages of a LIST. There are only ten types.
const MAX_PAGES: u32 = 20;

/// How the client is set up.
pub struct Options {
    /// Base URL: scheme, host, port and perhaps a path before `/api/atlas`.
    pub url: Url,
    /// Which version to speak.
    pub version: VersionChoice,
    /// How long a call may take, its digest challenge included. A call without an answer by then may still take effect.
    pub time_limit: Duration,
    /// The proxy through which Atlas is reached, perhaps with user and password; `None`: directly. Variables of the
    /// environment are not read here.
    pub proxy: Option<Url>,
}

/// All integrations of a project, by type, redacted. The listing is complete: an integration that it lacks does not
/// exist.
pub type Listing = BTreeMap<IntegrationType, Redacted>;

/// A client for one Atlas.
pub struct Client {
    http: Arc<Http>,
    base: Url,
    choice: VersionChoice,
    time_limit: Duration,
    settled: OnceLock<ApiVersion>,
    sessions: Mutex<HashMap<Fingerprint, Arc<Session>>>,
    budgets: Budgets,
    requests: Requests,
}

impl Client {
    /// Makes a client, which reports the operation and status of every call to `requests` (status 0: no answer). The
    /// request for a service account's token is the operation `TOKEN`.
    ///
    /// # Errors
    /// A [`ClientError`], mostly because there is no CA certificate to trust.
    pub fn new(options: Options, requests: Requests) -> Result<Client, ClientError> {
        let http = Arc::new(Http::new(options.time_limit, options.proxy.as_ref())?);
        Ok(Client {
            http,
            base: options.url,
            choice: options.version,
            time_limit: options.time_limit,
            settled: OnceLock::new(),
            sessions: Mutex::default(),
            budgets: Budgets::default(),
            requests,
        })
    }

    /// How long a call may take.
    pub fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// How long after its fence a write may still take effect: the time limit of the call, and as long again on Atlas's
    /// side. The operator plans nothing for the place before that.
    pub fn landing_limit(&self) -> Duration {
        self.time_limit.saturating_mul(2)
    }

    /// The session of a credential.
    pub fn session(&self, credential: &Credential) -> Arc<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let (http, requests) = (Arc::clone(&self.http), Arc::clone(&self.requests));
            Arc::new(Session::new(http, &self.base, self.time_limit, credential, requests))
        };
        Arc::clone(sessions.entry(credential.fingerprint).or_insert_with(make))
    }

    /// Forgets the sessions of all credentials but these.
    pub fn retain_sessions(&self, in_use: &HashSet<Fingerprint>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|fingerprint, _| in_use.contains(fingerprint));
    }

    /// What is left of a project's rate limit according to the latest answer to a call under this credential. Returns each
    /// value once; `None` if the answer did not tell, or if this was called since.
    pub fn take_budget(&self, project: &ProjectId, credential: Fingerprint) -> Option<Budget> {
        self.budgets.take(project, credential)
    }

    /// The API version for calls about this type; `None` until it is settled.
    pub fn version_for(&self, kind: IntegrationType) -> Option<ApiVersion> {
        if kind == IntegrationType::Flowdock { Some(ApiVersion::V1) } else { self.version() }
    }

    fn version(&self) -> Option<ApiVersion> {
        match self.choice {
            VersionChoice::Fixed(version) => Some(version),
            VersionChoice::Auto => self.settled.get().copied(),
        }
    }

    /// Lists all integrations of a project. To see FLOWDOCK, set `flowdock`, since only version 1.0 shows it.
    ///
    /// # Errors
    /// Returns a [`Failure`]; nothing is known about the project then.
    pub async fn list(
        &self,
        session: &Session,
        project: &ProjectId,
        flowdock: bool,
    ) -> Result<Listing, Failure> {
        if flowdock {
            return self.list_with(session, project, ApiVersion::V1, On::Flowdock).await;
        }
        if let Some(version) = self.version() {
            return self.list_with(session, project, version, On::List).await;
        }
        let not_served = |listing: &Result<Listing, Failure>| matches!(listing, Err(failure) if failure.kind == FailureKind::NotServed);
        let newer = self.list_with(session, project, ApiVersion::V2, On::List).await;
        if !not_served(&newer) {
            self.settle(ApiVersion::V2, &newer);
            return newer;
        }
        let older = self.list_with(session, project, ApiVersion::V1, On::List).await;
        if older.is_ok() {
            // A single answer of a proxy must not rule out version 2 for the life of the process.
            let again = self.list_with(session, project, ApiVersion::V2, On::List).await;
            if !not_served(&again) {
                self.settle(ApiVersion::V2, &again);
                return again;
            }
        }
        self.settle(ApiVersion::V1, &older);
        older
    }

    /// Settles the version, but only by an answer that certainly comes from Atlas. A passing 404 of a proxy changes
    /// nothing, and neither does a 401, which the authentication layer returns before it looks at the path.
    fn settle(&self, version: ApiVersion, listing: &Result<Listing, Failure>) {
        let understood = match listing {
            Ok(_) => true,
            Err(failure) => matches!(failure.kind, FailureKind::ProjectNotFound | FailureKind::Forbidden),
        };
        if understood && self.settled.set(version).is_ok() {
            tracing::info!(version = version.path(), "Atlas API version settled");
        }
    }

    /// Whether LIST of this version shows the type.
    pub fn same_listing(&self, kind: IntegrationType) -> bool {
        kind != IntegrationType::Flowdock || self.version() == Some(ApiVersion::V1)
    }

    async fn list_with(
        &self,
        session: &Session,
        project: &ProjectId,
        version: ApiVersion,
        on: On,
    ) -> Result<Listing, Failure> {
        let mut listing = Listing::new();
        let mut others = HashSet::new();
        for page_num in 1..=MAX_PAGES {
            let options = PageOptions {
                page_num: (page_num > 1).then_some(page_num),
                items_per_page: Some(MOST_ENTRIES),
                ..PageOptions::default()
            };
            let call = Call { method: Method::GET, on, project, kind: None, version, options, body: None };
            let page = self.page(session, &call).await?;
            // If an integration is added or removed while we read, entries move between pages and we may have missed
            // one.
            let mut repeats = false;
            for (kind, entry) in page.entries() {
                repeats |= listing.insert(*kind, redact_entry(*kind, entry)).is_some();
            }
            for other in page.others() {
                repeats |= !others.insert(*other);
            }
            if repeats {
                let why = "a page repeats what an earlier one held";
                return Err(errors::not_understood(&call.name(), 200, why));
            }
            if !page.has_next() {
                return Ok(listing);
            }
        }
        let name = format!("LIST of project {project}");
        Err(errors::not_understood(&name, 200, "it has no last page"))
    }

    /// Creates an integration (`POST`) and returns the entry that Atlas then shows for it.
    ///
    /// # Errors
    /// A [`Failure`]; see [`Failure::outcome_unknown`].
    pub async fn create(
        &self,
        session: &Session,
        project: &ProjectId,
        integration: &Integration<SecretValue>,
    ) -> Result<Redacted, Failure> {
        self.write(session, project, integration, Method::POST).await
    }

    /// Replaces an integration (`PUT`) and returns the entry that Atlas then shows for it.
    ///
    /// # Errors
    /// A [`Failure`]; see [`Failure::outcome_unknown`].
    pub async fn update(
        &self,
        session: &Session,
        project: &ProjectId,
        integration: &Integration<SecretValue>,
    ) -> Result<Redacted, Failure> {
        self.write(session, project, integration, Method::PUT).await
    }

    async fn write(
        &self,
        session: &Session,
        project: &ProjectId,
        integration: &Integration<SecretValue>,
        method: Method,
    ) -> Result<Redacted, Failure> {
        let kind = integration.integration_type();
        let version = self.version_for(kind).unwrap_or(ApiVersion::V2);
        let call = Call {
            method,
            on: On::Write,
            project,
            kind: Some(kind),
            version,
            options: PageOptions::default(),
            body: Some(integration),
        };
        let page = self.page(session, &call).await?;
        if let Some(entry) = page.entries().get(&kind) {
            return Ok(redact_entry(kind, entry));
        }
        // The answer lists the whole project and may be cut into pages. Then a LIST shows our own entry. Whether that
        // LIST succeeds or not, the write was accepted.
        let listing = self.list_with(session, project, version, On::List).await;
        let listing = listing.map_err(|failure| Failure {
            kind: if failure.kind == FailureKind::RateLimited {
                failure.kind
            } else {
                FailureKind::Unavailable
            },
            outcome_unknown: true,
            ..failure
        });
        match listing?.remove(&kind) {
            Some(entry) => Ok(entry),
            None => Err(Failure {
                outcome_unknown: true,
                ..Failure::known(
                    FailureKind::AlreadyConfigured,
                    format!("Atlas accepted {} and does not show the integration yet", call.name()),
                )
            }),
        }
    }

    /// Deletes an integration. [`FailureKind::Gone`] and [`FailureKind::ProjectNotFound`] come back as failures:
    /// the caller decides that they are success.
    ///
    /// # Errors
    /// A [`Failure`]; see [`Failure::outcome_unknown`].
    pub async fn delete(
        &self,
        session: &Session,
        project: &ProjectId,
        kind: IntegrationType,
    ) -> Result<(), Failure> {
        let version = self.version_for(kind).unwrap_or(ApiVersion::V2);
        let options = PageOptions::default();
        let call = Call {
            method: Method::DELETE,
            on: On::Delete,
            project,
            kind: Some(kind),
            version,
            options,
            body: None,
        };
        let body = self.send(session, &call).await?;
        // Atlas returns 204. We must not take a page from something else for that, or the integration would be left
        // behind.
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        Err(errors::not_understood(&call.name(), 200, "a deletion has no body"))
    }

    async fn page(&self, session: &Session, call: &Call<'_>) -> Result<Page, Failure> {
        let body = self.send(session, call).await?;
        Page::parse(&body).map_err(|why| errors::not_understood(&call.name(), 200, why))
    }

    /// Sends one call and returns the body if it succeeded.
    async fn send(&self, session: &Session, call: &Call<'_>) -> Result<Vec<u8>, Failure> {
        let name = call.name();
        let unanswered = |why| errors::no_answer(&name, why);
        let mut request = http::request(call.method.clone(), &call.url(&self.base)?).map_err(unanswered)?;
        let media_type = HeaderValue::from_static(call.version.media_type());
        if let Some(integration) = call.body {
            request.headers_mut().insert(CONTENT_TYPE, media_type.clone());
            *request.body_mut() = integration.body().to_string().into();
        }
        request.headers_mut().insert(ACCEPT, media_type);
        let exchange = async {
            let response = session.send(&self.http, request).await?;
            let head = Head::of(&response);
            self.budgets.note(call.project, session.credential(), response.headers());
            Ok::<_, SendError>((head, read(response.into_body(), MAX_BODY).await))
        };
        let outcome = tokio::time::timeout(self.time_limit, exchange).await;
        let outcome = outcome.unwrap_or_else(|_| Err(SendError::Http(Unanswered::late())));
        let (head, body) = outcome.map_err(|error| match error {
            SendError::Http(why) => {
                (self.requests)(call.method_name(), 0);
                unanswered(why)
            }
            // The call was not sent. The request for the token is counted where it is made.
            SendError::Token(failure) => failure,
            SendError::Challenge => {
                (self.requests)(call.method_name(), 401);
                errors::not_understood(&name, 401, "its digest challenge can't be answered")
            }
        })?;
        let status = head.status;
        (self.requests)(call.method_name(), status);
        tracing::debug!(call = %name, project = %call.project, status, "Atlas answered");
        let body = body.map_err(|fault| match fault {
            BodyFault::TooLarge => errors::not_understood(&name, status, "it is larger than 256 KiB"),
            BodyFault::Cut(why) => unanswered(why),
        })?;
        match ApiError::of(status, &body) {
            Some((status, error)) => Err(refused(session, call, status, error, head.retry_after)),
            None if (200..300).contains(&status) => Ok(body),
            None if status == 401 && head.challenged => {
                Err(refused(session, call, status, ApiError::default(), head.retry_after))
            }
            None => {
                let why = if (300..400).contains(&status) { "a redirect" } else { "it has no errorCode" };
                Err(errors::asks_to_wait(errors::not_understood(&name, status, why), head.retry_after))
            }
        }
    }
}

/// The failure for an error of Atlas, worded without anything secret.
fn refused(
    session: &Session,
    call: &Call<'_>,
    status: u16,
    error: ApiError,
    retry_after: Option<Duration>,
) -> Failure {
    let mut scrubber = Scrubber::new([call.project.to_string()]);
    session.teach(&mut scrubber);
    for (kind, secret) in call.body.into_iter().flat_map(Integration::secret_fields) {
        scrubber.learn_field(kind, secret.expose());
    }
    let detail = error.detail.or(error.reason).unwrap_or_else(|| "no details".to_owned());
    let asked = Asked { name: &call.name(), on: call.on, kind: call.kind };
    let (code, detail) = (scrubber.clean(&error.error_code), scrubber.clean(&detail));
    errors::answered(&asked, status, &code, &detail, retry_after)
}
