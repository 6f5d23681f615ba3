//! A victim's rotations while other tenants of the same operator attack it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Project, Raw};
use futures::future::try_join_all;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::Failed;
use crate::operator::{Operator, became};
use crate::rows::{Rows, Times, mebibytes, milliseconds, ratio};
use crate::stage::{self, Key, Stage};

pub const METHOD: &str = "\
    The victim has one object in sync. Its key in the Secret is changed 50 times, one after another; a \
    rotation takes from the request to the API server until Atlas has the new key. The attackers are other \
    tenants, each in a namespace of its own, and all of their objects exist before the first rotation. \
    *Pauses*: Atlas answers the attacker's key in the victim's project 429 with a `Retry-After` of an hour. \
    *Bad keys*: 300 objects with as many invented keys in the victim's project. *Flapping*: one Secret of \
    1,000 objects in 1,000 projects, changed 30 times a second. *Answers*: for 14 other projects, which \
    are asked for again all the time, Atlas answers each LIST with a mebibyte of small entries. *Interim*: \
    as many projects, and `102 Processing` without an end. The goal is a p99 of at most twice that without \
    an attacker, or twice a second if that took less.";

/// The rotations in a case.
const ROTATIONS: usize = 50;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(600);
/// What a rotation may take without being slow.
const FLOOR: Duration = Duration::from_secs(1);
/// The invented keys.
const BAD_KEYS: usize = 300;
/// The objects that share a Secret.
const SHARERS: usize = 1_000;
/// Between two changes of that Secret, and between two requests for a LIST.
const PACE: Duration = Duration::from_millis(33);
/// The projects that Atlas answers with a flood.
const FLOODED: usize = 14;
/// The bytes of such an answer.
const FLOOD: usize = 1 << 20;

const VICTIM: Key =
    Key { org: "victim", public: "victimky", private: "0b1c2d3e-1a2b-4c3d-9e8f-1234567890ab" };
const ATTACKER: Key =
    Key { org: "attacker", public: "attackky", private: "9a8b7c6d-1a2b-4c3d-9e8f-1234567890ab" };

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    Pauses,
    BadKeys,
    Flapping,
    Answers,
    Interim,
}

impl Attack {
    const ALL: [Attack; 5] =
        [Attack::Pauses, Attack::BadKeys, Attack::Flapping, Attack::Answers, Attack::Interim];

    /// Its namespace, which is also the word for it in the table.
    fn name(self) -> &'static str {
        match self {
            Attack::Pauses => "pauses",
            Attack::BadKeys => "bad-keys",
            Attack::Flapping => "flapping",
            Attack::Answers => "answers",
            Attack::Interim => "interim",
        }
    }

    /// Creates its objects, and returns the names of those that are asked for all the time.
    async fn prepare(self, stage: &Stage, victim: &Project) -> Result<Vec<String>, Failed> {
        let namespace = self.name();
        stage.plane.kubectl(&["create", "namespace", namespace])?;
        stage.create_credential(namespace, &ATTACKER).await?;
        stage.create(&stage::secret(namespace, "keys", &stage::keys(1))).await?;
        match self {
            Attack::Pauses => {
                victim.allow_key(ATTACKER.public, ATTACKER.private);
                let mut fault = Fault::new(Effect::RateLimited { retry_after: Some(3_600) }).always();
                fault.when.credential = Some(ATTACKER.public.to_owned());
                victim.fault(fault);
                stage.create_all([object(namespace, victim, "pausing", "atlas")]).await
            }
            Attack::BadKeys => {
                let keys = (0..BAD_KEYS).map(|number| {
                    let values = json!({"publicApiKey": format!("bad{number:05}"),
                        "privateApiKey": format!("{number:08x}-1a2b-4c3d-9e8f-1234567890ab")});
                    stage::secret(namespace, &format!("bad-{number}"), &values)
                });
                stage.create_all(keys).await?;
                let objects = (0..BAD_KEYS).map(|number| {
                    object(namespace, victim, &format!("bad-{number}"), &format!("bad-{number}"))
                });
                stage.create_all(objects).await
            }
            Attack::Flapping => {
                let projects = stage.projects(&ATTACKER, SHARERS);
                let objects =
                    projects.iter().map(|project| object(namespace, project, project.id(), "atlas"));
                stage.create_all(objects).await
            }
            Attack::Answers => {
                let entries = vec![r#"{"type":"2ab"}"#; FLOOD / 15].join(",");
                let answer = Effect::Answer {
                    status: 200,
                    content_type: Some("application/json".to_owned()),
                    body: format!(r#"{{"results":[{entries}],"totalCount":1}}"#),
                };
                flood(stage, namespace, &answer).await
            }
            Attack::Interim => flood(stage, namespace, &Effect::raw(Raw::EndlessInterim)).await,
        }
    }

    /// Goes on for ever.
    async fn run(self, stage: &Stage, names: &[String]) -> Result<Infallible, Failed> {
        let namespace = self.name();
        for number in 0_usize.. {
            let (kind, name, change) = match self {
                Attack::Pauses | Attack::BadKeys => std::future::pending().await,
                Attack::Flapping => ("Secret", "keys", json!({"stringData": stage::keys(number)})),
                Attack::Answers | Attack::Interim => {
                    let name = names.get(number % names.len()).ok_or("no object")?;
                    let annotation = "atlas-integrations.dev/reconcile-requested-at";
                    let change = json!({"metadata": {"annotations": {annotation: number.to_string()}}});
                    ("AtlasIntegration", name.as_str(), change)
                }
            };
            stage.api(kind, namespace).patch(name, &PatchParams::default(), &Patch::Merge(&change)).await?;
            tokio::time::sleep(PACE).await;
        }
        Err("an attack has ended".into())
    }
}

/// Creates an object in each of some projects for which Atlas gives this answer to every LIST.
async fn flood(stage: &Stage, namespace: &str, answer: &Effect) -> Result<Vec<String>, Failed> {
    let projects = stage.projects(&ATTACKER, FLOODED);
    for project in &projects {
        project.fault(Fault::new(answer.clone()).on("GET").always());
    }
    stage.create_all(projects.iter().map(|project| object(namespace, project, project.id(), "atlas"))).await
}

/// A run for each column of the table: without an attacker, with each, with all.
pub async fn measure(
    latency: Duration,
    mut add: impl FnMut(&str, Rows) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let mut alone = None;
    let cases = [("nobody", Vec::new())]
        .into_iter()
        .chain(Attack::ALL.map(|attack| (attack.name(), vec![attack])))
        .chain([("all", Attack::ALL.to_vec())]);
    for (name, attacks) in cases {
        eprintln!("rotations beside {name} ...");
        let (times, peak) = case(&attacks, latency).await?;
        let base = *alone.get_or_insert(times.percentile(99));
        let mut rows = Rows::default();
        for percentage in [50, 99] {
            let value = milliseconds(times.percentile(percentage));
            rows.add(format!("the victim's rotations, p{percentage}"), value);
        }
        rows.add(
            "ratio of the p99 to nobody's, or to a second",
            ratio(times.percentile(99), base.max(FLOOR)),
        );
        rows.add("memory at its peak", mebibytes(peak));
        add(name, rows)?;
    }
    Ok(())
}

/// The victim's rotations beside these attacks, and the operator's memory at its peak, in KiB.
async fn case(attacks: &[Attack], latency: Duration) -> Result<(Times, u64), Failed> {
    let stage = Stage::set(latency, &[stage::ADMIN]).await?;
    let victim = stage.projects(&VICTIM, 1).pop().ok_or("no project")?;
    stage.plane.kubectl(&["create", "namespace", VICTIM.org])?;
    stage.create_credential(VICTIM.org, &VICTIM).await?;
    stage.create(&stage::secret(VICTIM.org, "keys", &stage::keys(1))).await?;
    stage.create(&object(VICTIM.org, &victim, "victim", "atlas")).await?;
    let operator = Operator::start_with_resyncs(&stage, &[]).await?;
    operator.until("in sync", |operator| became(operator, "Synced") >= 1.0).await?;
    let mut running = Vec::new();
    for attack in attacks {
        running.push((*attack, attack.prepare(&stage, &victim).await?));
    }
    let sharers = if attacks.contains(&Attack::Flapping) { SHARERS } else { 0 };
    operator.until("in sync", |operator| became(operator, "Synced") > sharers as f64).await?;
    let attackers = try_join_all(running.iter().map(|(attack, names)| attack.run(&stage, names)));
    let times = tokio::select! {
        times = rotations(&stage, &victim) => times?,
        ended = attackers, if !running.is_empty() => match ended {
            Ok(_) => return Err("the attacks have ended".into()),
            Err(error) => return Err(error),
        },
    };
    Ok((times, operator.memory()?.peak))
}

/// One rotation after another.
async fn rotations(stage: &Stage, victim: &Project) -> Result<Times, Failed> {
    let mut times = Vec::new();
    for number in 2..ROTATIONS + 2 {
        let begun = Instant::now();
        let change = json!({"stringData": stage::keys(number)});
        let api = stage.api("Secret", VICTIM.org);
        api.patch("keys", &PatchParams::default(), &Patch::Merge(&change)).await?;
        stage::until_key(victim, number, LIMIT).await?;
        times.push(begun.elapsed());
    }
    Ok(Times::new(times))
}

/// A DATADOG object with the keys of the Secret `keys`.
fn object(namespace: &str, project: &Project, name: &str, credential: &str) -> Value {
    let mut object = stage::object(namespace, project, &samples::of("DATADOG"), "keys");
    object["metadata"]["name"] = name.into();
    object["spec"]["credentialsSecretRef"]["name"] = credential.into();
    object
}
