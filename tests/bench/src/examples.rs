//! What an object in sync looks like: its claim and status, and its entry in Atlas, learnt from one object of each type
//! that the operator itself brought in sync. With that, many more objects can be put into the API server in sync, which
//! takes a fraction of the time that the operator would take.
//!
//! A part of the status that can't be made without the operator stays that of the example. It is right as long as nobody
//! changes the Secrets.

use std::sync::Arc;

use atlas_integration_operator::cluster::{Defaults, Writer};
use atlas_integration_operator::domain::{AdoptionPolicy, DeletionPolicy, Integration, ObjectKey, SecretKey};
use atlas_integration_stage::samples::Sample;
use atlas_sim::Project;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::Failed;
use crate::operator::{Operator, became};
use crate::stage::{self, Key, Stage};

/// The parts of an object in sync that differ from object to object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    namespace: String,
    project: String,
    uid: String,
    secret_uid: String,
    /// The Secret's resourceVersion.
    secret_version: String,
    /// The hash of its configuration, which includes the Secret's name.
    config: String,
    /// The id of its entry in Atlas.
    entry: String,
}

impl Own {
    /// With what a [`Form`] has in place of each. Texts that may contain another one come first.
    fn parts(&self) -> [(&'static str, &str); 7] {
        [
            ("@uid@", &self.uid),
            ("@secret-uid@", &self.secret_uid),
            ("@config@", &self.config),
            ("@entry@", &self.entry),
            ("@project@", &self.project),
            ("@namespace@", &self.namespace),
            ("@secret-version@", &self.secret_version),
        ]
    }
}

/// What the operator added to an object, in JSON, with a mark in place of each part that is the object's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form(String);

impl Form {
    /// The form of what the operator added to the object that these parts belong to.
    fn of(added: &Value, own: &Own) -> Form {
        let mut text = added.to_string();
        for (mark, part) in own.parts() {
            // A version is a short number, which may stand within other texts.
            let quoted = |part: &str| format!("\"{part}\"");
            text = match mark {
                "@secret-version@" => text.replace(&quoted(part), &quoted(mark)),
                _ => text.replace(part, mark),
            };
        }
        Form(text)
    }

    /// The same for another object.
    fn filled(&self, own: &Own) -> Result<Value, Failed> {
        let text = own.parts().iter().fold(self.0.clone(), |text, (mark, part)| text.replace(mark, part));
        Ok(serde_json::from_str(&text)?)
    }
}

/// One of the types.
struct Example {
    sample: Sample,
    form: Form,
    /// Its entry in Atlas, secrets in clear.
    entry: Value,
    settings: Integration<SecretKey>,
}

/// An example of each type, all with the same credential.
pub struct Examples {
    key: &'static Key,
    all: Vec<Example>,
}

impl Examples {
    /// Has the operator bring an object of each sample in sync, and takes the objects away again. The operator must be
    /// allowed to do so in a namespace of the examples' own.
    pub async fn of(stage: &Stage, key: &'static Key, samples: Vec<Sample>) -> Result<Examples, Failed> {
        let namespace = format!("examples-of-{}", key.org);
        stage.plane.kubectl(&["create", "namespace", &namespace])?;
        stage.create_credential(&namespace, key).await?;
        let project = stage.projects(key, 1).pop().ok_or("no project")?;
        let mut secrets = Vec::new();
        for sample in &samples {
            let name = secret_of(sample, &project);
            secrets.push(stage.create(&stage::secret(&namespace, &name, &stage::keys(1))).await?);
            stage.create(&stage::object(&namespace, &project, sample, &name)).await?;
        }
        let operator = Operator::start(stage, &[]).await?;
        operator.until("in sync", |operator| became(operator, "Synced") >= samples.len() as f64).await?;
        operator.until_idle().await?;
        drop(operator);
        let mut all = Vec::new();
        for (sample, secret) in samples.into_iter().zip(secrets) {
            all.push(learn(stage, &namespace, &project, sample, &secret).await?);
        }
        Ok(Examples { key, all })
    }

    /// The key of all.
    pub fn key(&self) -> &'static Key {
        self.key
    }

    /// How many types they are of.
    pub fn types(&self) -> usize {
        self.all.len()
    }

    /// The nth sample; they begin again after the last.
    pub fn sample(&self, number: usize) -> Option<&Sample> {
        self.all.get(number % self.all.len()).map(|example| &example.sample)
    }

    /// Creates an object of the nth sample, with a Secret of its own and an entry in Atlas, all in sync.
    pub async fn create(
        &self,
        stage: &Stage,
        namespace: &str,
        project: &Project,
        number: usize,
    ) -> Result<(), Failed> {
        let Example { sample, form, entry, settings } =
            self.all.get(number % self.all.len()).ok_or("there are no examples")?;
        let name = secret_of(sample, project);
        let secret = stage.create(&stage::secret(namespace, &name, &stage::keys(1))).await?;
        let object = stage.create(&stage::object(namespace, project, sample, &name)).await?;
        project.replace_by_other(entry.clone());
        let own = own(namespace, project, sample, &object, &secret, settings)?;
        let added = form.filled(&own)?;
        let api = stage.api("AtlasIntegration", namespace);
        let object = object.metadata.name.unwrap_or_default();
        let merge = |part: &str| Patch::Merge(json!({part: added[part]}));
        api.patch(&object, &PatchParams::default(), &merge("metadata")).await?;
        api.patch_status(&object, &PatchParams::default(), &merge("status")).await?;
        Ok(())
    }
}

/// Reads what the operator and Atlas made of an example, and deletes it.
async fn learn(
    stage: &Stage,
    namespace: &str,
    project: &Project,
    sample: Sample,
    secret: &DynamicObject,
) -> Result<Example, Failed> {
    let name = stage::name_of(&sample, project);
    let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
    let reader = Writer::new(stage.client.clone(), defaults, Arc::new(|_| {}));
    let key = ObjectKey { namespace: namespace.into(), name: name.as_str().into() };
    let read = reader.get(&key).await.map_err(|error| error.to_string())?.ok_or("an example is gone")?;
    let settings = read.object.spec?.integration;
    let entry = project.stored_type(sample.kind).ok_or("Atlas does not have an example")?;

    let api = stage.api("AtlasIntegration", namespace);
    let object = api.get(&name).await?;
    let own = own(namespace, project, &sample, &object, secret, &settings)?;
    let added = json!({
        "metadata": {"annotations": object.metadata.annotations, "finalizers": object.metadata.finalizers},
        "status": object.data["status"],
    });
    let form = Form::of(&added, &own);
    if let Some((mark, _)) = own.parts().iter().find(|(mark, _)| needed(mark) && !form.0.contains(mark)) {
        return Err(
            format!("the operator noted no {mark} in {name}, which the bench counts on: {added}").into()
        );
    }
    // No operator runs that could do what the finalizer asks for.
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch(&name, &PatchParams::default(), &bare).await?;
    api.delete(&name, &DeleteParams::default()).await?;
    let secrets = stage.api("Secret", namespace);
    secrets.delete(&secret_of(&sample, project), &DeleteParams::default()).await?;
    Ok(Example { sample, form, entry, settings })
}

/// Without these an object would not be in sync. Messages may name the others or not, and not all entries have an id.
fn needed(mark: &str) -> bool {
    matches!(mark, "@uid@" | "@secret-uid@" | "@secret-version@" | "@config@")
}

/// The parts of an object of which Atlas has the entry already.
fn own(
    namespace: &str,
    project: &Project,
    sample: &Sample,
    object: &DynamicObject,
    secret: &DynamicObject,
    settings: &Integration<SecretKey>,
) -> Result<Own, Failed> {
    let name = secret_of(sample, project);
    let renamed =
        settings.try_map(|_, key| Ok::<_, Failed>(SecretKey { name: name.clone(), key: key.key.clone() }))?;
    let uid = |object: &DynamicObject| object.metadata.uid.clone().ok_or("no uid");
    let entry = project.stored_type(sample.kind).ok_or("Atlas has no such entry")?;
    Ok(Own {
        namespace: namespace.to_owned(),
        project: project.id().to_owned(),
        uid: uid(object)?,
        secret_uid: uid(secret)?,
        secret_version: secret.metadata.resource_version.clone().ok_or("no resourceVersion")?,
        config: renamed.config_hash(),
        entry: entry["id"].as_str().ok_or("an entry without an id")?.to_owned(),
    })
}

/// The name of an object's own Secret.
fn secret_of(sample: &Sample, project: &Project) -> String {
    format!("keys-{}", stage::name_of(sample, project))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(number: u32) -> Own {
        Own {
            namespace: format!("namespace-{number}"),
            project: format!("{number:024x}"),
            uid: format!("uid-{number}"),
            secret_uid: format!("other-{number}"),
            secret_version: number.to_string(),
            config: format!("{number:032x}"),
            entry: format!("entry-{number}"),
        }
    }

    fn added(own: &Own) -> Value {
        let claim = json!({"uid": own.uid, "time": "2026-01-01T00:00:00Z"}).to_string();
        json!({"metadata": {"annotations": {"claim": claim}}, "status": {
            "observedGeneration": 7,
            "message": format!("{} 7 {}", own.namespace, own.project),
            "integration": {"id": own.entry},
            "applied": {"uid": own.uid, "config": own.config, "time": "2026-01-07T07:07:07Z",
                "secrets": [{"uid": own.secret_uid, "resourceVersion": own.secret_version}]},
        }})
    }

    #[test]
    fn a_form_is_filled_with_what_is_an_objects_own() {
        let form = Form::of(&added(&own(7)), &own(7));
        assert_eq!(form, Form::of(&added(&own(123)), &own(123)), "nothing of an object's own stays");
        assert_eq!(form.filled(&own(7)).unwrap(), added(&own(7)));
        let filled = form.filled(&own(123)).unwrap();
        assert_eq!(filled, added(&own(123)));
        assert!(!filled.to_string().contains('@'), "{filled}");
    }
}
