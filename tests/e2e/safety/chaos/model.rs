//! What must be, by the rules of the documentation, given the objects and Secrets of the API server and what Atlas
//! stores: who keeps a place, what Atlas holds there, and what each object says.

use std::collections::BTreeMap;

use atlas_sim::Change;
use serde_json::Value;

use super::catalog;
use super::plan::{Place, WRONG};
use super::stage::{Life, Stage, differing, name};
use crate::world::condition;

const FINALIZER: &str = "atlas-integrations.dev/finalizer";
const CLAIM: &str = "atlas-integrations.dev/claim";
const RELEASED: &str = "atlas-integrations.dev/released";

/// The comparison's result.
#[derive(Default)]
pub struct Verdict {
    /// Places whose store was compared with what the keeper's spec and Secrets ask for, all fields.
    pub kept: usize,
    /// Places that nobody writes, as they were left.
    pub left: usize,
    /// Objects whose conditions and finalizer are as expected.
    pub objects: usize,
    /// How many objects give each reason for Ready.
    pub reasons: BTreeMap<String, usize>,
    /// What is otherwise than it must be.
    pub problems: Vec<(Place, String)>,
    /// What deleting every object must leave in each place.
    pub remains: BTreeMap<Place, Option<Value>>,
}

/// One object, and what the rules ask about it.
struct Seen<'a> {
    slot: usize,
    object: &'a Value,
    /// What Atlas must hold for it, or why its Secrets can't be used.
    wanted: Result<Value, &'static str>,
    /// Whether a Secret is another than what was applied.
    rotated: bool,
}

impl Seen<'_> {
    fn uid(&self) -> &Value {
        &self.object["metadata"]["uid"]
    }

    fn spec(&self, field: &str) -> &Value {
        &self.object["spec"][field]
    }

    fn annotation(&self, name: &str) -> &Value {
        &self.object["metadata"]["annotations"][name]
    }

    fn applied(&self) -> bool {
        self.object["status"]["applied"]["uid"] == *self.uid() && self.annotation(RELEASED).is_null()
    }

    fn confirmed(&self) -> bool {
        let status = &self.object["status"];
        self.applied() && status["attempt"]["id"] == status["applied"]["attempt"]
    }

    fn finalizer(&self) -> bool {
        let all = self.object["metadata"]["finalizers"].as_array();
        all.is_some_and(|all| all.iter().any(|one| one == FINALIZER))
    }

    fn claimed(&self) -> bool {
        let claim = self.annotation(CLAIM).as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        self.finalizer() && claim.is_some_and(|claim| claim["uid"] == *self.uid())
    }

    fn held(&self) -> bool {
        self.applied() || self.claimed()
    }

    fn manages(&self) -> bool {
        self.spec("managementPolicy") != "Observe"
    }

    fn suspended(&self) -> bool {
        self.spec("suspend") == true
    }

    /// docs/conditions.md and docs/adoption.md: who may keep a place.
    fn competes(&self, there: bool) -> bool {
        let refused = there && self.spec("adoptionPolicy") != "Adopt" && !self.held();
        // Without a LIST of its own, which what is suspended has not, an object keeps what it applied and nothing else.
        let reads = self.slot != WRONG && !self.suspended();
        self.manages() && (reads || self.applied()) && !refused
    }
}

/// Compares all.
pub async fn compare(stage: &Stage) -> Verdict {
    let mut verdict = Verdict::default();
    let objects = stage.objects().await;
    let mut places: BTreeMap<Place, Vec<Seen<'_>>> = BTreeMap::new();
    for place in stage
        .projects
        .iter()
        .enumerate()
        .flat_map(|(project, _)| catalog::names().map(move |kind| Place { project, kind }))
    {
        if !stage.changes(place).is_empty() {
            places.insert(place, Vec::new());
        }
    }
    for (slot, object) in &objects {
        let reason = condition(object, "Ready")["reason"].as_str().unwrap_or_default().to_owned();
        *verdict.reasons.entry(reason).or_default() += 1;
        let secrets = stage.secrets(*slot).await;
        let wanted = catalog::wanted(&object["spec"], &secrets);
        let now: Vec<[Value; 3]> = catalog::references(&object["spec"])
            .into_iter()
            .filter_map(|name| {
                let meta = &secrets.get(&name)?["metadata"];
                Some([name.into(), meta["uid"].clone(), meta["resourceVersion"].clone()])
            })
            .collect();
        let applied = object["status"]["applied"]["secrets"].as_array().cloned().unwrap_or_default();
        let applied: Vec<[Value; 3]> = applied
            .iter()
            .map(|one| ["name", "uid", "resourceVersion"].map(|field| one[field].clone()))
            .collect();
        let seen = Seen { slot: *slot, object, wanted, rotated: now != applied };
        places.entry(stage.place(object)).or_default().push(seen);
    }
    for (place, seen) in &places {
        compare_place(stage, *place, seen, &mut verdict);
    }
    verdict
}

fn compare_place(stage: &Stage, place: Place, all: &[Seen<'_>], verdict: &mut Verdict) {
    let changes = stage.changes(place);
    let stored = stage.projects[place.project].stored_type(place.kind);
    let there = stored.is_some();
    let order = |seen: &&Seen<'_>| {
        let meta = &seen.object["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap_or_default().to_owned();
        (!seen.applied(), !seen.claimed(), text("creationTimestamp"), text("uid"))
    };
    let keeper = all.iter().filter(|seen| seen.competes(there)).min_by_key(order);
    let mut problems = Vec::new();
    for seen in all {
        let found = problems_of_object(seen, keeper, stored.as_ref(), &changes);
        if found.is_empty() {
            verdict.objects += 1;
        }
        problems.extend(found.into_iter().map(|text| format!("{}: {text}", name(seen.slot))));
    }
    let wanted = keeper.filter(|keeper| !keeper.suspended()).and_then(|keeper| keeper.wanted.as_ref().ok());
    match wanted.filter(|wanted| !catalog::is_refused(wanted)) {
        Some(wanted) => {
            let differs = match without_id(stored.as_ref()) {
                Some(stored) => differing(wanted, &stored),
                None => vec!["all: there is nothing".to_owned()],
            };
            if differs.is_empty() {
                verdict.kept += 1;
            } else {
                problems.push(format!("Atlas differs from what is wanted in {}", differs.join(", ")));
            }
        }
        None => match orphaned(place, keeper, &changes, &stage.lives) {
            Some(text) => problems.push(text),
            None => verdict.left += 1,
        },
    }
    if let Some(remains) = remains(keeper, stored) {
        verdict.remains.insert(place, remains);
    }
    verdict.problems.extend(problems.into_iter().map(|text| (place, text)));
}

fn without_id(entry: Option<&Value>) -> Option<Value> {
    let mut entry = entry?.clone();
    entry.as_object_mut()?.remove("id");
    Some(entry)
}

/// Whether what is there is one of ours that a deletion should have taken along.
fn orphaned(place: Place, keeper: Option<&Seen<'_>>, changes: &[Change], lives: &[Life]) -> Option<String> {
    let last = changes.last()?;
    if keeper.is_some() || last.by.is_none() || last.after.is_none() {
        return None;
    }
    // Who was there when it was written, and may have let it be since.
    let uids: Vec<&str> = lives
        .iter()
        .filter(|life| {
            life.place == place && life.from <= last.at && life.until.is_none_or(|until| until >= last.at)
        })
        .map(|life| life.uid.as_str())
        .collect();
    let excused = lives.iter().any(|life| {
        life.lax && uids.contains(&life.uid.as_str()) && life.until.is_none_or(|until| until >= last.at)
    });
    (!excused).then(|| {
        "what is there was written for an object that is gone and should have been deleted".to_owned()
    })
}

/// docs/deletion.md: what deleting all objects of a place leaves there; `None` where that depends on whether what is
/// there looks like what was sent, since it was claimed and never confirmed.
fn remains(keeper: Option<&Seen<'_>>, stored: Option<Value>) -> Option<Option<Value>> {
    let deletes = |keeper: &&Seen<'_>| {
        keeper.held() && !keeper.suspended() && keeper.spec("deletionPolicy") != "Retain"
    };
    match keeper.filter(deletes) {
        Some(keeper) => keeper.applied().then_some(None),
        None => Some(stored),
    }
}

/// docs/conditions.md: what an object must say.
fn problems_of_object(
    seen: &Seen<'_>,
    keeper: Option<&Seen<'_>>,
    stored: Option<&Value>,
    changes: &[Change],
) -> Vec<String> {
    let keeps = keeper.is_some_and(|keeper| keeper.slot == seen.slot);
    let expected = expected(seen, keeper, stored, changes);
    let ready = condition(seen.object, "Ready");
    let said = ready["reason"].as_str().unwrap_or_default();
    let mut problems = Vec::new();
    if expected.is_some_and(|expected| said != expected) {
        problems.push(format!("Ready is {said}, not {}", expected.unwrap_or_default()));
    }
    let good = matches!(said, "Synced" | "Observed");
    if (ready["status"] == "True") != good {
        problems.push(format!("Ready is {} with {said}", ready["status"]));
    }
    let outside = !good && said != "Suspended";
    if condition(seen.object, "Stalled").is_null() == outside {
        problems.push(format!("Stalled does not go with {said}"));
    }
    let in_sync = condition(seen.object, "InSync");
    let in_sync = in_sync["status"].as_str().unwrap_or_default();
    let expected_sync = match said {
        _ if seen.suspended() => "Unknown",
        "Synced" => "True",
        "Observed" => {
            let spec = &seen.object["spec"];
            let differs = stored.is_none_or(|stored| {
                !catalog::visible_differences(spec, stored).is_empty() || catalog::has_unnamed(spec, stored)
            });
            if differs { "False" } else { "True" }
        }
        _ => in_sync,
    };
    if in_sync != expected_sync {
        problems.push(format!("InSync is {in_sync}, not {expected_sync}, with {said}"));
    }
    // A finalizer is there where a claim is, and a claim where the place is kept, or was and may be again. Two objects
    // may have claimed a place, the second by consent while Atlas could not be read for the first.
    let may_hold = seen.suspended() || keeps || said == "Conflict";
    if seen.finalizer() != seen.claimed() || (seen.finalizer() && !may_hold) {
        problems.push(format!("a finalizer with {said}"));
    }
    if keeps && said == "Synced" && !(seen.finalizer() && seen.confirmed()) {
        problems.push("in sync, and neither claimed nor confirmed".to_owned());
    }
    problems
}

/// The reason for Ready; `None` where more than one can be.
fn expected(
    seen: &Seen<'_>,
    keeper: Option<&Seen<'_>>,
    stored: Option<&Value>,
    changes: &[Change],
) -> Option<&'static str> {
    let keeps = keeper.is_some_and(|keeper| keeper.slot == seen.slot);
    if seen.suspended() {
        let last = changes.iter().rev().find(|change| change.by.is_some());
        let last = without_id(last.and_then(|change| change.after.as_ref()));
        let same = keeps && last.is_some() && last.as_ref() == seen.wanted.as_ref().ok();
        return match (keeps, same && seen.confirmed() && !seen.rotated) {
            (true, true) => Some("Synced"),
            (true, false) => Some("Suspended"),
            // What it applied once may be what it asks for still, though another keeps the place.
            (false, _) if seen.applied() => None,
            (false, _) => Some("Suspended"),
        };
    }
    if seen.slot == WRONG {
        return Some("Unauthorized");
    }
    if !seen.manages() {
        return Some(if stored.is_some() { "Observed" } else { "IntegrationNotFound" });
    }
    Some(match (&seen.wanted, keeper) {
        (_, Some(_)) if !keeps => "Conflict",
        (Err(reason), Some(_)) => reason,
        (Ok(wanted), Some(_)) if catalog::is_refused(wanted) => "Rejected",
        (Ok(_), Some(_)) => "Synced",
        (_, None) => "AlreadyExists",
    })
}
