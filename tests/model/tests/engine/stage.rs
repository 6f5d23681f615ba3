//! Where the real engine lives a history: the API server, Atlas, and what is scripted for its calls.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atlas_integration_model::state::REFUSED;
use atlas_integration_model::world::User;
use atlas_integration_operator::atlas::{self, ApiVersion, VersionChoice};
use atlas_integration_operator::cluster::{Defaults, Events, Scope, Writer};
use atlas_integration_operator::domain::{
    AdoptionPolicy, DeletionPolicy, IntegrationType, MemoryKey, Reason,
};
use atlas_integration_operator::engine::{Engine, Patience, Settings, Telemetry};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::atlas::{Atlas, listen};
use crate::cluster::{Cluster, serve};
use crate::history::{Act, Course, History};

/// Nobody looks at Atlas, or finds anything lasting, for want of another cause.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longer than the queue takes from one pass of a project to the next.
const BREATH: Duration = Duration::from_millis(1_300);
/// What was killed is gone after this.
const DEATH: Duration = Duration::from_millis(5);
/// More rounds than any way to rest takes.
const ROUNDS: usize = 60;

/// One history's surroundings.
#[derive(Clone)]
pub struct Stage(Arc<Inner>);

struct Inner {
    scene: Mutex<Scene>,
    kill: Notify,
}

/// All that changes.
pub struct Scene {
    /// The API server.
    pub cluster: Cluster,
    /// Atlas.
    pub atlas: Atlas,
    /// What the engine asked for.
    pub lines: Vec<String>,
    specs: [Option<atlas_integration_model::state::Spec>; 2],
    courses: VecDeque<Course>,
    /// The object of the last fence.
    fenced: String,
    /// What becomes of the next write of that object.
    next_store: Option<AtStore>,
    /// Whether the pass under way had a LIST of which nothing is said yet.
    listed: bool,
    writes: usize,
    deaths: usize,
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum AtStore {
    Refused,
    Death,
}

impl Scene {
    /// Notes a request that changes something.
    pub fn write(&mut self, line: String) {
        self.writes += 1;
        if std::mem::take(&mut self.listed) {
            self.lines.push("LIST".to_owned());
        }
        self.lines.push(line);
    }

    /// A LIST came: what was to meet the pass before has missed it.
    pub fn listed(&mut self) {
        self.listed = true;
        self.next_store = None;
    }

    /// How the call that just came goes.
    pub fn next_course(&mut self) -> Course {
        use atlas_integration_model::operator::Fate;
        self.courses.pop_front().unwrap_or(Course::Fate { fate: Fate::Answered, after_list: false })
    }

    /// The object that the last fence was for.
    pub fn fenced(&self) -> &str {
        &self.fenced
    }

    /// A fence of this object was stored; whether the API server fails it all the same.
    pub fn fails_after_fence(&mut self, name: &str) -> bool {
        name.clone_into(&mut self.fenced);
        let fails = self.courses.front() == Some(&Course::Unsent);
        if fails {
            self.courses.pop_front();
        }
        fails
    }

    /// The next write of the fenced object is refused.
    pub fn refuse_next_store(&mut self) {
        self.next_store = Some(AtStore::Refused);
    }

    /// The next write of the fenced object kills the operator instead.
    pub fn die_before_next_store(&mut self) {
        self.next_store = Some(AtStore::Death);
    }

    /// Whether this write is refused.
    pub fn refuses_to_store(&mut self, name: &str) -> bool {
        let refused = self.next_store == Some(AtStore::Refused) && self.fenced == name;
        if refused {
            self.next_store = None;
        }
        refused
    }
}

impl Stage {
    fn new(history: &History) -> Stage {
        let mut cluster = Cluster::new();
        let mut atlas = Atlas::default();
        for slot in 0..2 {
            if let Some(spec) = history.specs[slot].filter(|_| history.present[slot]) {
                cluster.create(slot, spec);
            }
        }
        if history.foreign {
            atlas.outside(atlas_integration_model::world::Outside::Create, 0);
        }
        let scene = Scene {
            cluster,
            atlas,
            lines: Vec::new(),
            specs: history.specs,
            courses: VecDeque::new(),
            fenced: String::new(),
            next_store: None,
            listed: false,
            writes: 0,
            deaths: 0,
            last: Instant::now(),
        };
        Stage(Arc::new(Inner { scene: Mutex::new(scene), kill: Notify::new() }))
    }

    /// What there is.
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a request of the engine: it is at work.
    pub fn touch(&self) -> MutexGuard<'_, Scene> {
        let mut scene = self.scene();
        scene.last = Instant::now();
        scene
    }

    /// Whether the operator is killed instead of storing something of this object.
    pub fn dies_before_store(&self, name: &str) -> bool {
        let mut scene = self.touch();
        let dies = scene.next_store == Some(AtStore::Death) && scene.fenced == name;
        if dies {
            scene.next_store = None;
            self.0.kill.notify_one();
        }
        dies
    }

    /// Kills the operator, which starts again soon.
    pub async fn kill(&self) {
        let before = self.scene().deaths;
        self.0.kill.notify_one();
        while self.touch().deaths == before {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Somebody acts.
    pub async fn act(&self, act: Act) {
        match act {
            Act::Kill => self.kill().await,
            Act::Outside { what, twin } => self.touch().atlas.outside(what, twin),
            Act::User { slot, what } => self.touch().user(slot, what),
        }
    }

    /// Waits until the engine makes no request any more, not even when it is made to look again. What it does before the
    /// landing limit has passed comes first, as in the model.
    async fn rest(&self, landing: Duration) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let (writes, late) = {
                let mut scene = self.touch();
                scene.cluster.poke();
                (scene.writes, scene.atlas.is_late())
            };
            self.silence(BREATH).await;
            {
                let mut scene = self.scene();
                let landed = late && !scene.atlas.is_late();
                if scene.writes != writes || landed || scene.atlas.land_late() {
                    continue;
                }
            }
            // The pass after the landing limit may write, and what that leads to comes before the next limit.
            let limit = landing + Duration::from_millis(200);
            while self.scene().writes == writes && self.scene().last + limit > Instant::now() {
                sleep(BREATH / 4).await;
            }
            if self.scene().writes == writes {
                return Ok(());
            }
        }
        Err("the engine finds no rest".to_owned())
    }

    /// Waits until there was no request for so long.
    async fn silence(&self, length: Duration) {
        loop {
            let left = (self.scene().last + length).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

impl Scene {
    fn user(&mut self, slot: usize, what: User) {
        let flip = |flag: &mut bool| *flag = !*flag;
        let cluster = &mut self.cluster;
        match what {
            User::Create => {
                if let Some(spec) = self.specs[slot] {
                    cluster.create(slot, spec);
                }
            }
            User::Delete => cluster.delete(slot),
            User::Visible => cluster.edit(slot, |spec| spec.visible = u8::from(spec.visible == 0)),
            User::Refused => {
                cluster.edit(slot, |spec| spec.visible = if spec.visible == REFUSED { 0 } else { REFUSED });
            }
            User::Reference => cluster.edit(slot, |spec| spec.secret = 1 - spec.secret),
            User::Rotate => cluster.rotate(slot, true),
            User::Touch => cluster.rotate(slot, false),
            User::Observe => cluster.edit(slot, |spec| flip(&mut spec.observe)),
            User::Adopt => cluster.edit(slot, |spec| flip(&mut spec.adopt)),
            User::Retain => cluster.edit(slot, |spec| flip(&mut spec.retain)),
            User::Suspend => cluster.edit(slot, |spec| flip(&mut spec.suspend)),
            User::Strip => cluster.strip(slot),
            User::Forge => cluster.forge(slot),
            User::Copy => cluster.copy(self.specs[1]),
        }
    }
}

/// Lets the real engine live a history; `limit` is the time limit of its calls. The requests that it made.
pub async fn play(history: &History, limit: Duration) -> Result<Vec<String>, String> {
    let stage = Stage::new(history);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let url = Url::parse(&format!("http://{address}")).map_err(|error| error.to_string())?;
    let atlas = tokio::spawn(listen(stage.clone(), listener));
    let operator = tokio::spawn(operate(stage.clone(), url, limit));
    let mut result = Ok(());
    for step in &history.moves {
        {
            let mut scene = stage.touch();
            scene.lines.push(format!("-- {:?}", step.act));
            scene.courses = step.courses.iter().copied().collect();
        }
        if let Some(act) = step.act {
            stage.act(act).await;
        }
        result = stage.rest(limit * 2).await;
        if result.is_err() {
            break;
        }
    }
    operator.abort();
    atlas.abort();
    let mut lines = std::mem::take(&mut stage.scene().lines);
    lines.extend(result.err());
    Ok(lines)
}

/// Runs an operator, and another one whenever it is killed.
async fn operate(stage: Stage, url: Url, limit: Duration) {
    loop {
        let engine = engine(&stage, &url, limit, Arc::new(Passes(stage.clone())));
        let ended = match engine {
            Ok(engine) => tokio::select! {
                ended = engine.run(std::future::pending()) => Some(format!("the engine ended: {ended:?}")),
                () = stage.0.kill.notified() => None,
            },
            Err(why) => Some(why),
        };
        if let Some(why) = ended {
            stage.scene().lines.push(why);
            return;
        }
        sleep(DEATH).await;
        stage.touch().deaths += 1;
        sleep(DEATH).await;
    }
}

fn engine(
    stage: &Stage,
    url: &Url,
    limit: Duration,
    telemetry: Arc<dyn Telemetry>,
) -> Result<Engine, String> {
    let served = stage.clone();
    let service = tower::service_fn(move |request| {
        let stage = served.clone();
        async move { Ok::<_, Infallible>(serve(&stage, request).await) }
    });
    let client = kube::Client::new(service, "default");
    let version = VersionChoice::Fixed(ApiVersion::V2);
    let options = atlas::Options { url: url.clone(), version, time_limit: limit, proxy: None };
    let atlas = atlas::Client::new(options, Arc::new(|_, _| {})).map_err(|error| error.to_string())?;
    let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
    let writer = Writer::new(client.clone(), defaults, Arc::new(|_| {}));
    let (events, _sender) = Events::start(client.clone(), "history".to_owned());
    let key = MemoryKey::generate().ok_or("no randomness")?;
    let settings = Settings {
        scope: Scope::All,
        watch_secrets: true,
        credentials_secret: None,
        selector: None,
        defaults,
        resync_interval: NEVER,
        patience: Patience { outside: NEVER, failing: NEVER },
        concurrency: 1,
        atlas_url: url.clone(),
        election: None,
    };
    Ok(Engine::new(client, atlas, writer, events, telemetry, key, settings))
}

/// Runs an operator without objects whose first report of sizes panics, and waits until sizes are reported again.
pub async fn reports_sizes_after_a_panic() -> Result<(), String> {
    let nothing =
        History { seed: 0, specs: [None; 2], present: [false; 2], foreign: false, moves: Vec::new() };
    let url = Url::parse("http://127.0.0.1:9").map_err(|error| error.to_string())?;
    let sizes = Arc::new(Sizes::default());
    let engine = engine(&Stage::new(&nothing), &url, Duration::from_secs(10), sizes.clone())?;
    let reported = tokio::time::timeout(Duration::from_secs(3_600), sizes.again.notified());
    tokio::select! {
        ended = engine.run(std::future::pending()) => Err(format!("the engine ended: {ended:?}")),
        reported = reported => reported.map_err(|_| "not within an hour".to_owned()),
    }
}

#[derive(Default)]
struct Sizes {
    reports: AtomicUsize,
    again: Notify,
}

impl Telemetry for Sizes {
    fn pass(&self, _seconds: f64) {}

    fn drift(&self, _kind: IntegrationType) {}

    fn transition(&self, _reason: Reason) {}

    fn size(&self, _objects: usize, _places: usize, _waiting: usize) {
        assert!(self.reports.fetch_add(1, Ordering::Relaxed) > 0, "the first report panics");
        self.again.notify_one();
    }

    fn leader(&self, _leads: bool) {}

    fn unlisted(&self, _namespaces: usize) {}
}

/// Tells one pass from the next.
struct Passes(Stage);

impl Telemetry for Passes {
    fn pass(&self, _seconds: f64) {
        self.0.scene().listed = false;
    }

    fn drift(&self, _kind: IntegrationType) {}

    fn transition(&self, _reason: Reason) {}

    fn size(&self, _objects: usize, _places: usize, _waiting: usize) {}

    fn leader(&self, _leads: bool) {}

    fn unlisted(&self, _namespaces: usize) {}
}
