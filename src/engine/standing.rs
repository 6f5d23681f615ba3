//! What is remembered of credentials that Atlas refuses, so that one project at a time tries a refused credential, and
//! all others wait for what comes of it.
//!
//! A LIST may fail because of the credential or because of the project, and the answer alone does not always tell which.
//! So a credential counts as refused only after it was refused in [`WITNESSES`] projects, and has succeeded in none
//! since. In one namespace their number is enough. To count for other namespaces too, the refusals must come from at
//! least two namespaces: a tenant who shares a credential with others, such as the operator's own, can't take it from
//! them. A service account that gets no token is refused at once, since that concerns no project.
//!
//! The first try after that belongs to a project that has not tried yet, and the others hold still until its outcome is
//! known: if it succeeds, they notice nothing. Otherwise they report the refusal, and the projects that have tried least
//! often try next, after longer and longer waits. As soon as a LIST with the credential succeeds anywhere, nothing is
//! remembered of it, and every project that waited is looked at. A project for which Atlas refuses a good credential is
//! left to its own back-off by then.
//!
//! A report is a write to the API server or two, and a refusal may concern thousands of projects at once. So projects
//! whose objects were in sync report it one after another, which leaves the API server to those who edit something.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::jitter::random;
use crate::core::pacing;
use crate::domain::{Failure, Fingerprint, ProjectId, Prospect};

/// In how many projects Atlas has to refuse a credential before it counts as refused.
const WITNESSES: usize = 3;
/// The least time between a failed try and a try that somebody asks for. It is as long as a service account that was
/// refused gets no token in any case.
const REQUESTED: Duration = Duration::from_secs(30);
/// How long a project that is called on to try may take to begin, before another one is called on.
const CALLED: Duration = Duration::from_secs(10);
/// A try that takes longer than this counts as ended. A LIST may have twenty pages.
const TRY_LIMIT: Duration = Duration::from_secs(600);

/// Whether a project may use a credential now.
#[derive(Debug, PartialEq)]
pub(super) enum Leave {
    /// It may: nothing speaks against the credential.
    Call,
    /// It may, and its call is the one try. [`Standing`] must hear how it ends.
    Try,
    /// It must not, and reports this failure.
    Wait(Failure),
    /// It must not, and leaves its objects as they are. It is looked at again as soon as more is known.
    Hold,
    /// It must not, and leaves its objects as they are until this time, at which it may report the refusal.
    Later(Instant),
}

/// Who uses a credential: a project, and the namespaces of those of its objects that name the credential.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub project: &'a ProjectId,
    pub namespaces: &'a [Arc<str>],
}

/// What is remembered of all credentials.
#[derive(Default)]
pub(super) struct Standing {
    refusals: Mutex<Refusals>,
    /// Something changed that [`Standing::called_on`] waits for.
    changed: Notify,
}

impl Standing {
    /// Whether a project may use a credential now. `requested`: somebody asks for a look since the last time.
    /// `reports_apart`: how far apart projects report a refusal, if none of the objects owes anything; `None` if one
    /// does, since somebody may look at it.
    pub fn ask(
        &self,
        credential: Fingerprint,
        place: Place<'_>,
        requested: bool,
        reports_apart: Option<impl FnOnce() -> Duration>,
    ) -> Leave {
        let leave = self.refusals.lock().ask(credential, place, requested, reports_apart, Instant::now());
        if leave != Leave::Call {
            self.changed.notify_one();
        }
        leave
    }

    /// A LIST with the credential succeeded. Returns the projects that have waited for that.
    pub fn succeeded(&self, credential: Fingerprint) -> Vec<ProjectId> {
        let due = self.refusals.lock().succeeded(credential);
        if !due.is_empty() {
            let projects = due.len();
            tracing::info!(
                projects,
                "Atlas takes a credential again; the projects that waited for it are due"
            );
        }
        due
    }

    /// A LIST with the credential failed; `tried` if it was the one try. Returns the projects to look at now.
    pub fn failed(
        &self,
        credential: Fingerprint,
        place: Place<'_>,
        tried: bool,
        failure: &Failure,
    ) -> Vec<ProjectId> {
        let (due, new) =
            self.refusals.lock().failed(credential, place, tried, failure, Instant::now(), random());
        self.changed.notify_one();
        if new {
            tracing::warn!(
                project = %place.project,
                "Atlas refuses a credential, which one project at a time tries from now on: {}",
                failure.summary()
            );
        }
        due
    }

    /// Waits until it is time for another try of some credential, and returns the projects that are called on to try.
    /// Of those that do not exist any more nothing is remembered.
    pub async fn called_on(&self, exists: impl Fn(&ProjectId) -> bool) -> Vec<ProjectId> {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            let (due, next) = self.refusals.lock().call_on(&exists, Instant::now());
            if !due.is_empty() {
                return due;
            }
            match next {
                Some(at) => tokio::select! { () = changed => {}, () = tokio::time::sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    /// Forgets all credentials but these.
    pub fn retain(&self, in_use: &HashSet<Fingerprint>) {
        self.refusals.lock().0.retain(|credential, _| in_use.contains(credential));
    }
}

/// The credentials that were refused since they last succeeded. Plain data; times are passed in.
#[derive(Default)]
struct Refusals(HashMap<Fingerprint, Refusal>);

/// What is remembered of one credential.
struct Refusal {
    /// The last failure, and the project that it names.
    failure: (Failure, ProjectId),
    /// The first projects in which it was refused, at most [`WITNESSES`], and two of their namespaces at most.
    witnesses: Vec<ProjectId>,
    namespaces: Vec<Arc<str>>,
    /// It is the credential that is refused, whatever the project.
    certain: bool,
    /// The projects that wait.
    waiting: HashMap<ProjectId, Waiting>,
    /// When the next project may report the refusal that was in sync before.
    next_report: Instant,
    /// How many tries failed in a row, but for those that somebody asked for.
    tries: u32,
    last_failed: Instant,
    next_try: Instant,
    /// When the present try began.
    trying: Option<Instant>,
    /// The project that may try next even if it is not its turn, and when it was called on to try; `None` if somebody
    /// asked for that try and it was not called on yet.
    called: Option<(ProjectId, Option<Instant>)>,
    /// A person asked for the next try, which leaves the waits between the others as they are.
    requested: bool,
}

/// A project that waits.
#[derive(Default)]
struct Waiting {
    /// How often it has tried or was called on to try.
    tries: u32,
    /// When it may report the refusal, if it had to ask for a time.
    reports: Option<Instant>,
}

impl Refusals {
    fn ask(
        &mut self,
        credential: Fingerprint,
        place: Place<'_>,
        requested: bool,
        reports_apart: Option<impl FnOnce() -> Duration>,
        now: Instant,
    ) -> Leave {
        let Some(refusal) =
            self.0.get_mut(&credential).filter(|refusal| refusal.counts_for(place.namespaces))
        else {
            return Leave::Call;
        };
        let project = place.project;
        let tried = refusal.waiting.entry(project.clone()).or_default().tries;
        if requested {
            let soonest = (refusal.last_failed + REQUESTED).max(now);
            if soonest < refusal.next_try {
                refusal.next_try = soonest;
                refusal.requested = true;
            }
            refusal.called = Some((project.clone(), None));
        }
        let is_first = refusal.tries == 0 && tried == 0;
        if !refusal.is_tried(now) {
            let called = refusal.called.as_ref().is_some_and(|(called, _)| called == project);
            let its_turn = called || refusal.waiting.values().all(|other| tried <= other.tries);
            if is_first || now >= refusal.next_try && its_turn {
                if called {
                    refusal.called = None;
                } else {
                    refusal.waiting.entry(project.clone()).or_default().tries = tried.saturating_add(1);
                }
                refusal.trying = Some(now);
                return Leave::Try;
            }
        }
        if is_first {
            return Leave::Hold;
        }
        let reports =
            reports_apart.filter(|_| !requested).map(|apart| refusal.reports(project, apart(), now));
        match reports {
            Some(at) if at > now => Leave::Later(at),
            _ => Leave::Wait(refusal.told(project)),
        }
    }

    fn succeeded(&mut self, credential: Fingerprint) -> Vec<ProjectId> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let refusal = self.0.remove(&credential).filter(Refusal::counts);
        refusal.map(|refusal| refusal.waiting.into_keys().collect()).unwrap_or_default()
    }

    /// Returns the projects to look at now, and whether the credential counts as refused from now on.
    fn failed(
        &mut self,
        credential: Fingerprint,
        place: Place<'_>,
        tried: bool,
        failure: &Failure,
        now: Instant,
        random: u32,
    ) -> (Vec<ProjectId>, bool) {
        let mut due = Vec::new();
        if !failure.without_call && self.0.get(&credential).is_some_and(|refusal| refusal.certain) {
            // The account has got a token. What Atlas says to the call is another matter.
            due = self.succeeded(credential);
        }
        if !failure.of_credential && !self.0.contains_key(&credential) {
            return (due, false);
        }
        let refusal = self.0.entry(credential).or_insert_with(|| Refusal::new(failure, place.project, now));
        let counted = refusal.counts();
        if failure.of_credential {
            refusal.note(failure, place);
            let Waiting { tries, .. } = refusal.waiting.entry(place.project.clone()).or_default();
            *tries = (*tries).max(1);
        }
        if counted && tried {
            due.extend(refusal.tried(failure, now, random));
        } else if !counted && refusal.counts() {
            refusal.tries = u32::from(refusal.certain);
            refusal.last_failed = now;
            refusal.next_try = now + refusal.wait(failure, random);
        }
        (due, !counted && refusal.counts())
    }

    /// The projects that are called on to try now, and when this has to be asked again if nothing changes.
    fn call_on(
        &mut self,
        exists: impl Fn(&ProjectId) -> bool,
        now: Instant,
    ) -> (Vec<ProjectId>, Option<Instant>) {
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for refusal in self.0.values_mut().filter(|refusal| refusal.counts()) {
            let mut at = match (&refusal.called, refusal.trying) {
                (_, Some(begun)) if refusal.is_tried(now) => begun + TRY_LIMIT,
                (Some((_, Some(called))), _) => refusal.next_try.max(*called + CALLED),
                _ => refusal.next_try,
            };
            if at <= now {
                let Some(project) = refusal.call(&exists, now) else { continue };
                due.push(project);
                at = now + CALLED;
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        (due, next)
    }
}

impl Refusal {
    fn new(failure: &Failure, project: &ProjectId, now: Instant) -> Refusal {
        Refusal {
            failure: (failure.clone(), project.clone()),
            witnesses: Vec::new(),
            namespaces: Vec::new(),
            certain: false,
            waiting: HashMap::new(),
            next_report: now,
            tries: 0,
            last_failed: now,
            next_try: now,
            trying: None,
            called: None,
            requested: false,
        }
    }

    /// Whether it counts for anybody.
    fn counts(&self) -> bool {
        self.certain || self.witnesses.len() >= WITNESSES
    }

    /// Whether it counts for objects of these namespaces.
    fn counts_for(&self, namespaces: &[Arc<str>]) -> bool {
        let seen_by_them = || namespaces.iter().all(|namespace| self.namespaces.contains(namespace));
        self.certain || self.counts() && (self.namespaces.len() > 1 || seen_by_them())
    }

    fn is_tried(&self, now: Instant) -> bool {
        self.trying.is_some_and(|begun| now < begun + TRY_LIMIT)
    }

    /// Ends a try. Returns the projects that held still and report the refusal now.
    fn tried(&mut self, failure: &Failure, now: Instant, random: u32) -> Vec<ProjectId> {
        let first = self.tries == 0;
        let requested = std::mem::take(&mut self.requested);
        if failure.of_credential && (first || !requested) {
            self.tries = self.tries.saturating_add(1);
        }
        self.trying = None;
        self.last_failed = now;
        self.next_try = now + self.wait(failure, random);
        let held = self.waiting.iter().filter(|(_, waiting)| first && self.tries > 0 && waiting.tries == 0);
        held.map(|(project, _)| project.clone()).collect()
    }

    fn note(&mut self, failure: &Failure, place: Place<'_>) {
        if self.witnesses.len() < WITNESSES && !self.witnesses.contains(place.project) {
            self.witnesses.push(place.project.clone());
        }
        for namespace in place.namespaces {
            if self.namespaces.len() < 2 && !self.namespaces.contains(namespace) {
                self.namespaces.push(Arc::clone(namespace));
            }
        }
        self.certain |= failure.without_call;
        // A failure that passes without anybody's help does not end a refusal that somebody has to mend.
        if !is_passing(failure) || is_passing(&self.failure.0) {
            self.failure = (failure.clone(), place.project.clone());
        }
    }

    /// The wait after a failure. A refusal lasts until somebody acts, so its waits begin longer.
    fn wait(&self, failure: &Failure, random: u32) -> Duration {
        let more = if is_passing(failure) { 0 } else { 3 };
        let wait = pacing::backoff(self.tries.max(1).saturating_add(more), random);
        wait.max(failure.retry_after.unwrap_or_default())
    }

    /// Calls on the project for which somebody asked, or on the one that has tried least often.
    fn call(&mut self, exists: impl Fn(&ProjectId) -> bool, now: Instant) -> Option<ProjectId> {
        let asked_for = self.called.take().filter(|(project, called)| called.is_none() && exists(project));
        let project = match asked_for {
            Some((project, _)) => project,
            None => loop {
                let (project, _) =
                    self.waiting.iter().min_by_key(|(project, waiting)| (waiting.tries, *project))?;
                let project = project.clone();
                if exists(&project) {
                    self.waiting.entry(project.clone()).or_default().tries += 1;
                    break project;
                }
                self.waiting.remove(&project);
            },
        };
        self.called = Some((project.clone(), Some(now)));
        Some(project)
    }

    /// When a project may report the refusal: at the time that it was given when it first asked, `apart` from the others.
    fn reports(&mut self, project: &ProjectId, apart: Duration, now: Instant) -> Instant {
        let waiting = self.waiting.entry(project.clone()).or_default();
        *waiting.reports.get_or_insert_with(|| {
            let at = self.next_report.max(now);
            self.next_report = at + apart;
            at
        })
    }

    /// The failure as another project reports it.
    fn told(&self, project: &ProjectId) -> Failure {
        let (failure, named) = &self.failure;
        let of_project = |text: &str| text.replace(&named.to_string(), &project.to_string());
        Failure { what: of_project(&failure.what), detail: of_project(&failure.detail), ..failure.clone() }
    }
}

fn is_passing(failure: &Failure) -> bool {
    failure.reason().prospect() == Prospect::Passing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FailureKind, MemoryKey};

    const SECOND: Duration = Duration::from_secs(1);
    /// Chance takes nothing from a wait.
    const WHOLE: u32 = u32::MAX;

    fn project(n: u32) -> ProjectId {
        ProjectId::parse(&format!("{n:024x}")).expect("24 digits")
    }

    /// An answer of Atlas that refuses the key.
    fn refusal(n: u32) -> Failure {
        let what = format!("401 UNEXPECTED_ERROR to LIST of project {}", project(n));
        Failure { of_credential: true, ..Failure::known(FailureKind::Unauthorized, what) }
    }

    fn no_token(kind: FailureKind) -> Failure {
        Failure { of_credential: true, without_call: true, ..Failure::known(kind, "no token") }
    }

    /// One credential, and time that the test moves.
    struct World {
        refusals: Refusals,
        key: Fingerprint,
        now: Instant,
    }

    impl World {
        fn new() -> World {
            let key = MemoryKey::generate().expect("randomness").fingerprint(["key"]);
            World { refusals: Refusals::default(), key, now: Instant::now() }
        }

        fn ask_as(&mut self, n: u32, namespace: &str, requested: bool) -> Leave {
            let namespaces = [Arc::from(namespace)];
            let place = Place { project: &project(n), namespaces: &namespaces };
            self.refusals.ask(self.key, place, requested, None::<fn() -> Duration>, self.now)
        }

        fn ask(&mut self, n: u32) -> Leave {
            self.ask_as(n, "ns", false)
        }

        fn fail_as(&mut self, n: u32, namespace: &str, tried: bool, failure: &Failure) -> Vec<ProjectId> {
            let namespaces = [Arc::from(namespace)];
            let place = Place { project: &project(n), namespaces: &namespaces };
            self.refusals.failed(self.key, place, tried, failure, self.now, WHOLE).0
        }

        /// The project calls, as it may, and the credential is refused.
        fn fails(&mut self, n: u32) -> Vec<ProjectId> {
            let tried = match self.ask(n) {
                Leave::Call => false,
                Leave::Try => true,
                leave => panic!("{n} may not call: {leave:?}"),
            };
            self.fail_as(n, "ns", tried, &refusal(n))
        }

        /// Refused in three projects, and in a fourth that tried.
        fn refused() -> World {
            let mut world = World::new();
            for n in 1..=4 {
                assert_eq!(world.fails(n), []);
            }
            world
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn called_on(&mut self) -> Vec<ProjectId> {
            self.refusals.call_on(|_| true, self.now).0
        }
    }

    #[test]
    fn a_project_that_is_refused_alone_keeps_nobody_waiting() {
        let mut world = World::new();
        for _ in 0..9 {
            for n in 1..=2 {
                world.fails(n);
            }
            assert_eq!(world.ask(3), Leave::Call);
        }
        assert_eq!(world.refusals.succeeded(world.key), [], "nobody waits");
        world.fails(1);
        world.fails(2);
        assert_eq!(world.ask(3), Leave::Call, "what was before a success counts for nothing");
    }

    #[test]
    fn one_project_tries_and_the_others_hold_still_and_then_report_it() {
        let mut world = World::new();
        for n in 1..=3 {
            world.fails(n);
        }
        assert_eq!(world.ask(4), Leave::Try);
        assert_eq!([world.ask(5), world.ask(6)], [Leave::Hold, Leave::Hold]);
        assert_eq!(world.ask(1), Leave::Wait(refusal(1)), "it has seen the refusal itself");
        let mut due = world.fail_as(4, "ns", true, &refusal(4));
        due.sort();
        assert_eq!(due, [project(5), project(6)]);
        for n in [1, 4, 5, 6, 7] {
            assert_eq!(world.ask(n), Leave::Wait(refusal(n)), "each names its own project");
        }
    }

    /// Those who wait were in sync, but for one whose object somebody has edited.
    #[test]
    fn what_was_in_sync_reports_a_refusal_one_after_another() {
        let mut world = World::refused();
        let apart = Duration::from_millis(50);
        let ask = |world: &mut World, n: u32, requested| {
            let place = Place { project: &project(n), namespaces: &["ns".into()] };
            world.refusals.ask(world.key, place, requested, Some(|| apart), world.now)
        };
        let begun = world.now;
        assert_eq!(ask(&mut world, 5, false), Leave::Wait(refusal(5)));
        for _ in 0..2 {
            assert_eq!(ask(&mut world, 6, false), Leave::Later(begun + apart), "it keeps its time");
            assert_eq!(ask(&mut world, 7, false), Leave::Later(begun + 2 * apart));
        }
        assert_eq!(ask(&mut world, 8, true), Leave::Wait(refusal(8)), "somebody asks for it");
        assert_eq!(world.ask(9), Leave::Wait(refusal(9)), "it owes something");
        world.now += apart;
        assert_eq!(ask(&mut world, 6, false), Leave::Wait(refusal(6)));
        assert_eq!(ask(&mut world, 7, false), Leave::Later(begun + 2 * apart));
        world.now += Duration::from_secs(1);
        assert_eq!(ask(&mut world, 10, false), Leave::Wait(refusal(10)), "nobody reported just now");
        assert_eq!(ask(&mut world, 11, false), Leave::Later(world.now + apart));
        assert_eq!(
            world.refusals.succeeded(world.key).len(),
            11,
            "whoever waits for its time is told as well"
        );
    }

    #[test]
    fn a_success_wakes_whoever_waits() {
        let mut world = World::refused();
        world.ask(5);
        let mut due = world.refusals.succeeded(world.key);
        due.sort();
        assert_eq!(due, [1, 2, 3, 4, 5].map(project));
        assert_eq!(world.ask(5), Leave::Call);
        assert!(world.refusals.0.is_empty());
    }

    /// The credential was good all the time, and three projects were refused for their own sake.
    #[test]
    fn a_good_credential_is_open_again_after_one_call() {
        let mut world = World::new();
        for n in 1..=3 {
            world.fails(n);
        }
        assert_eq!(world.ask(4), Leave::Try, "at once");
        assert_eq!(world.refusals.succeeded(world.key).len(), 4);
        assert_eq!(world.ask(5), Leave::Call);
    }

    /// Two thousand projects, asked for an hour: at most one call at a time, and at most thirty.
    #[test]
    fn tries_grow_apart_and_go_round() {
        let mut world = World::refused();
        for n in 5..2_000 {
            assert_eq!(world.ask(n), Leave::Wait(refusal(n)));
        }
        let mut tries: Vec<(u64, ProjectId)> = Vec::new();
        for second in 0..4 * 3_600 {
            if let [called] = &world.called_on()[..] {
                let n = u32::from_str_radix(&called.to_string(), 16).expect("a number");
                assert_eq!(world.ask(n), Leave::Try);
                assert_eq!(world.called_on(), [], "one at a time");
                assert!(matches!(world.ask(n + 1), Leave::Wait(_)));
                world.fail_as(n, "ns", true, &refusal(n));
                tries.push((second, called.clone()));
            }
            world.pass(1);
        }
        let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(waits[..6], [16, 32, 64, 128, 256, 300]);
        assert!(waits[6..].iter().all(|wait| *wait == 300));
        let each: HashSet<&ProjectId> = tries.iter().map(|(_, project)| project).collect();
        assert_eq!(each.len(), tries.len(), "everybody's turn comes before anybody's second");
    }

    /// The operator's own credential serves many namespaces. One of them must not be able to close it to the others.
    #[test]
    fn one_namespace_closes_a_credential_for_itself_alone() {
        let mut world = World::new();
        for n in 1..=9 {
            world.pass(301);
            let tried = world.ask_as(n, "bad", false) == Leave::Try;
            world.fail_as(n, "bad", tried, &refusal(n));
        }
        assert!(matches!(world.ask_as(1, "bad", false), Leave::Wait(_)));
        assert_eq!(world.ask_as(10, "good", false), Leave::Call);
        assert_eq!(world.ask_as(11, "good", true), Leave::Call);
        assert_eq!(world.refusals.succeeded(world.key).len(), 9, "which opens it to the first as well");

        for (n, namespace) in [(1, "bad"), (2, "bad"), (3, "other")] {
            world.fail_as(n, namespace, false, &refusal(n));
        }
        assert_eq!(world.ask_as(10, "good", false), Leave::Try, "two namespaces saw it refused");
        assert_eq!(world.ask_as(11, "good", false), Leave::Hold);
    }

    #[test]
    fn a_service_account_without_a_token_is_refused_for_all_at_once() {
        for kind in [FailureKind::Unauthorized, FailureKind::RateLimited, FailureKind::Unavailable] {
            let mut world = World::new();
            let failure = Failure { retry_after: Some(30 * SECOND), ..no_token(kind) };
            world.fail_as(1, "ns", false, &failure);
            assert_eq!(world.ask_as(2, "other", false), Leave::Wait(failure.clone()));
            world.pass(29);
            assert_eq!(world.called_on(), [], "nobody tries before the wait is over: {kind:?}");
            world.pass(1);
            assert_eq!(world.called_on(), [project(2)]);
            assert_eq!(world.ask_as(2, "other", false), Leave::Try);
            // It has a token, and no role in this project.
            let role = Failure::known(FailureKind::Unauthorized, "401 USER_UNAUTHORIZED");
            assert!(world.fail_as(2, "other", true, &role).contains(&project(1)));
            assert_eq!(world.ask(1), Leave::Call);
        }
    }

    #[test]
    fn an_outage_does_not_take_a_refusal_back() {
        let mut world = World::new();
        world.fail_as(1, "ns", false, &no_token(FailureKind::Unauthorized));
        world.pass(300);
        assert_eq!(world.ask(2), Leave::Try);
        world.fail_as(2, "ns", true, &no_token(FailureKind::RateLimited));
        assert_eq!(world.ask(1), Leave::Wait(no_token(FailureKind::Unauthorized)));
    }

    #[test]
    fn a_try_without_an_answer_goes_to_the_next_project() {
        let mut world = World::refused();
        world.ask(5);
        world.pass(8);
        assert_eq!(world.called_on(), [project(5)], "who has not tried comes first");
        assert_eq!(world.ask(5), Leave::Try);
        let down = Failure::known(FailureKind::Unavailable, "down");
        assert_eq!(world.fail_as(5, "ns", true, &down), []);
        assert_eq!(world.ask(5), Leave::Wait(refusal(5)), "the refusal stays");
        world.pass(1);
        assert_eq!(world.called_on(), [project(1)]);
    }

    #[test]
    fn a_request_is_a_try_soon_and_delays_no_other() {
        let mut world = World::refused();
        world.ask(5);
        for _ in 0..6 {
            world.pass(300);
            let n = u32::from_str_radix(&world.called_on()[0].to_string(), 16).expect("a number");
            assert_eq!(world.ask(n), Leave::Try);
            world.fail_as(n, "ns", true, &refusal(n));
        }
        world.pass(10);
        assert!(matches!(world.ask_as(3, "ns", true), Leave::Wait(_)), "a try was made just now");
        assert_eq!(world.called_on(), []);
        world.pass(20);
        assert_eq!(world.called_on(), [project(3)]);
        assert_eq!(world.ask(3), Leave::Try);
        world.fail_as(3, "ns", true, &refusal(3));
        world.pass(100);
        assert_eq!(world.ask_as(4, "ns", true), Leave::Try, "at once, if the last try was a while ago");
    }

    #[test]
    fn a_project_that_is_called_on_and_does_not_come_is_passed_over() {
        let mut world = World::refused();
        world.ask(5);
        world.pass(8);
        assert_eq!(world.called_on(), [project(5)]);
        world.pass(9);
        assert_eq!(world.called_on(), []);
        world.pass(1);
        assert_eq!(world.called_on(), [project(1)]);
        world.pass(10);
        let (due, _) = world.refusals.call_on(|project| *project != self::project(2), world.now);
        assert_eq!(due, [project(3)], "one that does not exist any more");
    }

    #[test]
    fn a_try_that_never_ends_does_not_keep_the_others_waiting_for_ever() {
        let mut world = World::refused();
        world.pass(8);
        assert_eq!(world.ask(5), Leave::Try);
        world.pass(599);
        assert!(matches!(world.ask(6), Leave::Wait(_)));
        world.pass(1);
        assert_eq!(world.ask(6), Leave::Try);
    }
}
