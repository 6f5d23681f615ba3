//! The states that an object lives through, made real: what each tool says of them is tested on the same ones.

use atlas_integration_stage::samples::{self, datadog, foreign};
use atlas_sim::{Effect, Fault, Operation};
use serde_json::{Value, json};

use crate::world::{Operator, World, condition, until_true};

/// The object's name.
pub const NAME: &str = "datadog";

/// A state in which an object stays as long as nobody does something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No operator has seen it.
    New,
    /// It was ready, and no operator has seen its present spec.
    Edited,
    /// Atlas can't be read, so the operator tries again.
    Working,
    /// Atlas has not answered the write.
    Writing,
    Ready,
    /// Its Secret is missing.
    Waiting,
    /// Its Secret is missing for longer than `--stall-after`.
    Stalled,
    /// Atlas refuses its settings.
    Refused,
    /// Applied, then suspended.
    Suspended,
    /// Suspended before it was applied.
    SuspendedOwing,
    /// Only observed, and Atlas does not differ.
    Observed,
    /// Only observed, and Atlas differs.
    Drifted,
    /// Deleted, and Atlas refuses the key.
    Deleting,
}

/// An object in a state.
pub struct Reached {
    /// What a user has of it: what a tool applies without a change of the object.
    pub manifest: Value,
    /// What the API server has.
    pub live: Value,
    /// Keeps it in the state.
    _operator: Option<Operator>,
}

impl State {
    /// Brings an object into the state, in a world that has none.
    pub async fn reach(self, world: &World) -> Reached {
        let project = &world.project;
        let manifest = |change: Value| world.manifest(NAME, &datadog(change));
        let with_key = !matches!(self, State::Waiting | State::Stalled);
        if with_key {
            world.secret("keys", &samples::of("DATADOG").secrets).await;
        }
        let applied = async |manifest: Value, flags: &[&str]| {
            let operator = world.operator(flags).await;
            world.create(&manifest).await;
            (manifest, Some(operator))
        };
        let synced = async || {
            let applied = applied(manifest(json!({})), &[]).await;
            world.object(NAME).synced().await;
            applied
        };
        let observed = async || {
            let mut theirs = samples::of("DATADOG").stored;
            theirs["apiKey"] = foreign()["apiKey"].clone();
            project.replace_by_other(theirs);
            let applied = applied(manifest(json!({"managementPolicy": "Observe"})), &[]).await;
            world.object(NAME).reaches("True", "Observed").await;
            applied
        };
        let (manifest, operator) = match self {
            State::New => {
                let manifest = manifest(json!({}));
                world.create(&manifest).await;
                (manifest, None)
            }
            State::Edited => {
                let (_, operator) = synced().await;
                operator.unwrap().stop().await;
                let edit = samples::of("DATADOG").edit.0;
                world.object(NAME).change(&edit).await;
                (manifest(edit), None)
            }
            State::Working => {
                let down = Effect::Unavailable { retry_after: None };
                project.fault(Fault::new(down).at(Operation::List).always());
                let applied = applied(manifest(json!({})), &[]).await;
                world.object(NAME).reaches("False", "AtlasUnavailable").await;
                applied
            }
            State::Writing => {
                project.fault(Fault::new(Effect::Hold).at(Operation::Create).always());
                let applied = applied(manifest(json!({})), &[]).await;
                until_true("the POST", || project.count(|e| e.method == "POST") > 0).await;
                let object = world.object(NAME).get().await;
                assert!(object["metadata"]["finalizers"].is_array(), "claimed: {object}");
                applied
            }
            State::Ready => synced().await,
            State::Waiting => {
                let applied = applied(manifest(json!({})), &[]).await;
                world.object(NAME).reaches("False", "SecretNotFound").await;
                applied
            }
            State::Stalled => {
                let applied = applied(manifest(json!({})), &["--stall-after", "1s"]).await;
                world.object(NAME).says("Stalled", "SecretNotFound").await;
                applied
            }
            State::Refused => {
                let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "The region is not known.");
                project.fault(Fault::new(refusal).at(Operation::Create).always());
                let applied = applied(manifest(json!({})), &[]).await;
                world.object(NAME).reaches("False", "Rejected").await;
                applied
            }
            State::Suspended => {
                let (_, operator) = synced().await;
                let suspend = json!({"suspend": true});
                world.object(NAME).change(&suspend).await;
                let suspended = |object: &Value| {
                    condition(object, "Suspended")["status"] == "True"
                        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
                };
                world.object(NAME).until("suspended", suspended).await;
                (manifest(suspend), operator)
            }
            State::SuspendedOwing => {
                let applied = applied(manifest(json!({"suspend": true})), &[]).await;
                world.object(NAME).reaches("False", "Suspended").await;
                applied
            }
            State::Observed => observed().await,
            State::Drifted => {
                let applied = observed().await;
                project.edit("DATADOG", |stored| stored["region"] = "EU".into());
                world.object(NAME).says("InSync", "Drifted").await;
                applied
            }
            State::Deleting => {
                let applied = synced().await;
                project.fault(Fault::new(Effect::Unauthorized).always());
                // A pass that listed before would get as far as its DELETE.
                until_true("a refused LIST", || project.count(|e| e.faulted) >= 1).await;
                world.object(NAME).begin_deletion().await;
                world.object(NAME).deletion_waits().await;
                applied
            }
        };
        let live = world.object(NAME).get().await;
        Reached { manifest, live, _operator: operator }
    }
}
