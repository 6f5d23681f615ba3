//! Leader election: the loop that looks at the Lease and renews it on a thread of its own, and what the
//! passes ask before they write.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::jitter::random;
use crate::cluster::{LeaseError, Leases, StoredLease};
use crate::core::election::{Decision, Election, RELEASED_SECONDS, Timing};
use crate::domain::{LeaseRecord, ObjectKey};

/// How long giving the Lease up may take.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);
const RELEASE_TRIES: usize = 3;
const ENDED: &str = "the election ended, which it never should; the log says why";

/// How leaders are elected.
#[derive(Clone)]
pub struct ElectionSettings {
    /// Where the Lease is looked after: beside the engine's thread, which may be busy for longer than a term.
    pub runtime: Handle,
    /// The client for the Lease. Its connections must be served by `runtime`.
    pub client: kube::Client,
    /// The Lease.
    pub lease: ObjectKey,
    /// How the Lease names this process, with something random added.
    pub instance: String,
    /// How long things take.
    pub timing: Timing,
}

/// Whether this process may act. A process leads once at most: it ends when it loses the Lease, so a pass can't outlive
/// the term in which it began.
pub(super) struct Lead {
    /// When the term ends: nothing is begun from then on. `None` without leader election, since nobody else acts.
    until: Option<Mutex<Instant>>,
}

impl Lead {
    /// Without leader election this process always leads. With it, it does not lead until it wins a term.
    pub fn new(elects: bool) -> Lead {
        Lead { until: elects.then(|| Mutex::new(Instant::now())) }
    }

    /// Whether a write may begin at `now`. A pass asks at planning and before each write, with a fresh reading of the
    /// clock, so it notices the end of the term even if the whole process stood still.
    pub fn may_write(&self, now: Instant) -> bool {
        self.until.as_ref().is_none_or(|until| now < *until.lock())
    }

    fn extend(&self, to: Instant) {
        if let Some(until) = &self.until {
            *until.lock() = to;
        }
    }
}

/// The election of this process, which goes on beside the engine until it is dropped or released.
pub(super) struct Campaign {
    won: oneshot::Receiver<Instant>,
    lost: oneshot::Receiver<String>,
    release: oneshot::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Campaign {
    /// Stands for election. Calls `standing_by` while another process holds the Lease.
    pub fn begin(
        settings: ElectionSettings,
        lead: Arc<Lead>,
        standing_by: impl Fn() + Send + 'static,
    ) -> Campaign {
        let runtime = settings.runtime.clone();
        let mut candidate = Candidate::new(settings);
        let ((has_won, won), (has_lost, lost)) = (oneshot::channel(), oneshot::channel());
        let (release, mut released) = oneshot::channel();
        let ended = runtime.spawn(async move {
            let term = async {
                // If the engine has gone, nobody hears it, and `released` ends this.
                let _ = has_won.send(candidate.stand(&lead, standing_by).await);
                let _ = has_lost.send(candidate.renew(&lead).await);
                std::future::pending().await
            };
            let released = tokio::select! { released = &mut released => released, () = term => return };
            if let Ok(handed_over) = released {
                candidate.release(handed_over).await;
            }
        });
        Campaign { won, lost, release, ended }
    }

    /// Waits for the Lease. Returns the time from which the new leader may act.
    ///
    /// # Errors
    /// When the election has ended, which it never should.
    pub async fn won(&mut self) -> Result<Instant, String> {
        (&mut self.won).await.map_err(|_| ENDED.to_owned())
    }

    /// Waits for the end of the term, and returns why it has ended. Until then, and beyond, the Lease is renewed.
    pub async fn lost(&mut self) -> String {
        (&mut self.lost).await.unwrap_or_else(|_| ENDED.to_owned())
    }

    /// Ends the election and gives the Lease up; see [`Candidate::release`].
    pub async fn release(self, handed_over: bool) {
        // If it has ended already, there is nothing to give up.
        let _ = self.release.send(handed_over);
        let _ = self.ended.await;
    }
}

/// This process as a candidate.
struct Candidate {
    leases: Leases,
    election: Election,
    identity: String,
    timing: Timing,
    /// Times of the election are counted from here.
    origin: Instant,
    /// Our own record as the API server has it.
    held: Option<StoredLease>,
    /// When the Lease was taken, for the record.
    acquired: Option<String>,
    /// Whether a write of ours was ever sent.
    tried: bool,
    /// The last problem, so that it is logged once.
    problem: Option<String>,
    /// The leader that was logged last.
    leader: Option<String>,
}

impl Candidate {
    fn new(settings: ElectionSettings) -> Candidate {
        let ElectionSettings { client, lease, instance, timing, .. } = settings;
        // A restarted container keeps its name, and must not take the Lease of its former process for its own.
        let identity = format!("{instance}_{:08x}{:08x}", random(), random());
        Candidate {
            leases: Leases::new(client, lease),
            election: Election::new(identity.clone(), timing),
            identity,
            timing,
            origin: Instant::now(),
            held: None,
            acquired: None,
            tried: false,
            problem: None,
            leader: None,
        }
    }

    /// Waits for the Lease. Returns the time from which the new leader may act. Calls `standing_by` while another
    /// process holds the Lease.
    async fn stand(&mut self, lead: &Lead, standing_by: impl Fn()) -> Instant {
        loop {
            let mut wait = self.pause();
            match self.leases.read(self.call_limit()).await {
                Ok(found) => {
                    match self.election.decide(self.now(), found.as_ref().map(|found| &found.record)) {
                        Decision::Acquire { transitions, takeover_wait } => {
                            let asked = self.now();
                            if self.acquire(found, transitions, asked, lead).await {
                                return self.origin + asked + takeover_wait;
                            }
                        }
                        Decision::Wait { left } => {
                            self.well();
                            self.led_by(found.map(|found| found.record.shown_holder()).unwrap_or_default());
                            standing_by();
                            // At the end of the other term, rather than a whole retry period later.
                            wait = wait.min(left);
                        }
                        Decision::Renew | Decision::Lost { .. } => {}
                    }
                }
                Err(error) => self.failed(&error.to_string()),
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn acquire(
        &mut self,
        over: Option<StoredLease>,
        transitions: i64,
        asked: Duration,
        lead: &Lead,
    ) -> bool {
        let former = over.as_ref().map(|over| over.record.shown_holder()).unwrap_or_default();
        self.tried = true;
        self.leader = None;
        self.acquired = Some(micro_time());
        match self.leases.write(over.as_ref(), &self.record(transitions), self.call_limit()).await {
            Ok(stored) if self.election.wrote(asked, self.now()) => {
                self.held = Some(stored);
                self.well();
                lead.extend(self.origin + asked + self.timing.renew_deadline);
                tracing::info!(lease = %self.leases.key(), identity = %self.identity, former, "became leader");
                true
            }
            Ok(_) => false,
            // Another process was faster.
            Err(LeaseError::Moved) => false,
            Err(LeaseError::Server(why)) => {
                self.failed(&why);
                false
            }
        }
    }

    /// Renews the Lease for as long as that succeeds. Returns why it failed.
    async fn renew(&mut self, lead: &Lead) -> String {
        let mut wait = self.pause();
        loop {
            let end = self.origin + self.election.deadline().unwrap_or_default();
            tokio::time::sleep(wait.min(end.saturating_duration_since(Instant::now()))).await;
            wait = self.pause();
            let asked = self.now();
            let limit = self.call_limit().min(end.saturating_duration_since(Instant::now()));
            if limit.is_zero() {
                let problem = self.problem.take();
                return problem.unwrap_or_else(|| {
                    "the Lease was not renewed in time: the process stood still".to_owned()
                });
            }
            let transitions = self.held.as_ref().map(|held| held.record.transitions).unwrap_or_default();
            match self.leases.write(self.held.as_ref(), &self.record(transitions), limit).await {
                Ok(stored) => {
                    self.held = Some(stored);
                    if self.election.wrote(asked, self.now()) {
                        lead.extend(self.origin + asked + self.timing.renew_deadline);
                    }
                    self.well();
                }
                Err(LeaseError::Moved) => match self.leases.read(limit).await {
                    Ok(found) => {
                        match self.election.decide(self.now(), found.as_ref().map(|found| &found.record)) {
                            Decision::Lost { why } => return why,
                            // Somebody changed it and it is still ours: write again at once, over what is there now.
                            _ => (self.held, wait) = (found, Duration::ZERO),
                        }
                    }
                    Err(error) => self.failed(&error.to_string()),
                },
                Err(LeaseError::Server(why)) => self.failed(&why),
            }
        }
    }

    /// Gives the Lease up, if it is ours, so that the next leader need not wait for its end. Call it only after every
    /// pass of this process has ended. `handed_over`: the next leader need not wait for calls to Atlas either.
    async fn release(mut self, handed_over: bool) {
        if !self.tried {
            return;
        }
        for _ in 0..RELEASE_TRIES {
            let found = match self.leases.read(RELEASE_LIMIT).await {
                Ok(Some(found)) if found.record.holder == self.identity => found,
                Ok(_) => return,
                Err(error) => {
                    return tracing::warn!(%error, "the Lease was not released; it expires automatically");
                }
            };
            self.acquired = found.record.acquired.clone();
            let mut record = LeaseRecord { holder: String::new(), ..self.record(found.record.transitions) };
            if handed_over {
                record.duration_seconds = Some(RELEASED_SECONDS);
            }
            match self.leases.write(Some(&found), &record, RELEASE_LIMIT).await {
                Ok(_) => return tracing::info!(lease = %self.leases.key(), "gave leadership up"),
                // A renewal was still on its way.
                Err(LeaseError::Moved) => {}
                Err(error) => {
                    return tracing::warn!(%error, "the Lease was not released; it expires automatically");
                }
            }
        }
    }

    fn record(&self, transitions: i64) -> LeaseRecord {
        LeaseRecord {
            holder: self.identity.clone(),
            // The flag takes whole seconds only.
            duration_seconds: i64::try_from(self.timing.lease.as_secs()).ok(),
            acquired: self.acquired.clone(),
            renewed: Some(micro_time()),
            transitions,
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Two calls fit into a term, so that one without an answer does not cost it.
    fn call_limit(&self) -> Duration {
        self.timing.renew_deadline / 2
    }

    /// The retry period and up to a fifth more, so that replicas do not act at the same time.
    fn pause(&self) -> Duration {
        let period = self.timing.retry_period;
        period + period.mul_f64(f64::from(random()) / f64::from(u32::MAX) / 5.0)
    }

    fn failed(&mut self, why: &str) {
        if self.problem.as_deref() != Some(why) {
            tracing::warn!(lease = %self.leases.key(), "leader election: {why}; trying again");
            self.problem = Some(why.to_owned());
        }
    }

    fn led_by(&mut self, leader: String) {
        if self.leader.as_ref() != Some(&leader) {
            tracing::info!(lease = %self.leases.key(), leader, "standing by");
            self.leader = Some(leader);
        }
    }

    fn well(&mut self) {
        if self.problem.take().is_some() {
            tracing::info!(lease = %self.leases.key(), "leader election: the Lease can be used again");
        }
    }
}

/// Now, as Kubernetes writes it: always with six digits.
fn micro_time() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
