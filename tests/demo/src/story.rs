//! The story itself: each step shows something and checks it.

use std::time::{Duration, Instant};

use atlas_sim::Project;
use serde_json::Value;

use crate::atlas::{self, Calls, PRIVATE_KEY};
use crate::error::Error;
use crate::patience::Patience;
use crate::screen::Screen;
use crate::stage::Stage;

/// How long any effect may take; normally it is a second or two.
const LIMIT: Duration = Duration::from_secs(60);
const MANIFESTS: &str = "tests/demo/manifests/";
/// The patch that rotates a key, to check that the new key is the one that arrives.
const NEW_KEY: &str = include_str!("../manifests/steps/datadog-new-key.yaml");

/// The story, on a stage.
pub struct Story<'a> {
    stage: &'a Stage,
    screen: Screen,
    patience: &'a Patience,
    /// Secret values that were in use, for the last check; of a URL or a template the part that is secret.
    secrets: Vec<String>,
}

impl<'a> Story<'a> {
    /// A story to be told.
    pub fn new(stage: &'a Stage, screen: Screen, patience: &'a Patience) -> Story<'a> {
        Story { stage, screen, patience, secrets: vec![PRIVATE_KEY.to_owned()] }
    }

    /// Tells it; fails at the first thing that is not as told.
    pub fn tell(&mut self) -> Result<(), Error> {
        self.apply()?;
        self.wait()?;
        self.table()?;
        self.status()?;
        self.rotation()?;
        self.edit()?;
        self.drift()?;
        self.admission()?;
        self.missing_secret()?;
        self.deletion()?;
        self.end()
    }

    fn apply(&self) -> Result<(), Error> {
        self.screen.heading("1. Ten integrations with their Secrets, one file each");
        self.stage.kubectl.show(&["apply", "-f", MANIFESTS])?;
        // So that the commands that follow need no --namespace.
        self.stage.kubectl.show(&["config", "set-context", "--current", "--namespace=demo"])
    }

    fn wait(&mut self) -> Result<(), Error> {
        self.screen.heading("2. Wait until Atlas has them");
        let begun = Instant::now();
        let wait = ["wait", "--for=condition=Ready", "atlasintegrations", "--all", "--timeout=120s"];
        self.stage.kubectl.show(&wait)?;
        let stored = self.stage.project.stored();
        self.secrets.extend(stored.iter().flat_map(atlas::secrets));
        self.check(stored.len() == 10, &format!("Atlas should hold ten integrations, not {}", stored.len()))?;
        self.screen.good(&format!("all ten are Ready after another {} ms", begun.elapsed().as_millis()));
        Ok(())
    }

    fn table(&self) -> Result<(), Error> {
        self.screen.heading("3. How they stand");
        self.stage.kubectl.show(&["get", "atlasintegrations"])
    }

    fn status(&self) -> Result<(), Error> {
        self.screen.heading("4. Keys reach Atlas; the status shows a redacted echo of what Atlas answered");
        let get = ["get", "atlasintegration", "datadog", "-o", "yaml"];
        self.stage.kubectl.show_part(&get, "sed -n '/^  integration:/,$p'", |lines| {
            lines.into_iter().skip_while(|line| line != "  integration:").collect()
        })?;
        let stored = stored(&self.stage.project, "DATADOG")?;
        self.screen.note("Atlas really stores (asked of the simulator, secrets in clear, on purpose):");
        atlas::yaml(&stored).iter().for_each(|line| self.screen.output(&format!("    {line}")));
        let object = self.stage.kubectl.json(&["get", "atlasintegration", "datadog"])?;
        let echo = &object["status"]["integration"];
        let key = text(&stored["apiKey"]);
        let shown = text(&echo["apiKey"]);
        self.check(echo["id"] == stored["id"], "the echo should be that of the stored integration")?;
        let redacted = shown.strip_prefix("****").is_some_and(|end| end.len() == 4 && key.ends_with(end));
        self.check(redacted, "the echo's key should be redacted to its last four characters")?;
        self.screen.good("the key is right there, and redacted here");
        Ok(())
    }

    fn rotation(&mut self) -> Result<(), Error> {
        self.screen.heading("5. A key is rotated: only the Secret is touched");
        let before = text(&stored(&self.stage.project, "DATADOG")?["apiKey"]).to_owned();
        let file = format!("--patch-file={MANIFESTS}steps/datadog-new-key.yaml");
        self.stage.kubectl.show(&["patch", "secret", "datadog", &file])?;
        let (key, took) = self.until_stored("the new key in Atlas", "DATADOG", |entry| {
            Some(text(&entry["apiKey"])).filter(|key| *key != before).map(str::to_owned)
        })?;
        self.check(
            !key.is_empty() && NEW_KEY.contains(&key),
            "the key in Atlas should be the Secret's new one",
        )?;
        self.screen.good(&format!("Atlas holds the new key {took} ms after kubectl returned"));
        self.secrets.push(key);
        Ok(())
    }

    fn edit(&self) -> Result<(), Error> {
        self.screen.heading("6. A field is changed");
        let patch = r#"{"spec": {"datadog": {"region": "EU"}}}"#;
        self.stage.kubectl.show(&["patch", "atlasintegration", "datadog", "--type=merge", "-p", patch])?;
        let (region, took) = self.until_stored("the new region in Atlas", "DATADOG", |entry| {
            Some(text(&entry["region"])).filter(|region| *region == "EU").map(str::to_owned)
        })?;
        self.screen.good(&format!("Atlas has region {region} {took} ms after kubectl returned"));
        Ok(())
    }

    fn drift(&self) -> Result<(), Error> {
        self.screen.heading("7. Drift: somebody edits an integration in the Atlas UI");
        let mut entry = stored(&self.stage.project, "VICTOR_OPS")?;
        let before = text(&entry["routingKey"]).to_owned();
        entry["routingKey"] = "somebody-elses".into();
        // As every write to Atlas does, this gives it a new id.
        self.stage.project.replace_by_other(entry);
        self.screen
            .note(&format!("in Atlas, routingKey of VICTOR_OPS is now somebody-elses; it was {before}"));
        let (back, took) = self.until_stored("the edit to be undone", "VICTOR_OPS", |entry| {
            Some(text(&entry["routingKey"])).filter(|key| *key == before).map(str::to_owned)
        })?;
        self.screen
            .good(&format!("routingKey is {back} again after {took} ms (a look at Atlas every 2 s here)"));
        let events = ["events", "--for", "atlasintegration/victorops", "--types=Warning"];
        self.until("the Event", || Ok(self.stage.kubectl.quiet(&events)?.contains("Drifted").then_some(())))?;
        self.stage.kubectl.show(&events)
    }

    fn admission(&self) -> Result<(), Error> {
        self.screen.heading("8. A mistake is refused at once, by the API server");
        let said =
            self.stage.kubectl.show_refused(&["apply", "-f", &format!("{MANIFESTS}steps/refused.yaml")])?;
        let named = ["spec.slack", "spec.datadog"].iter().all(|block| said.contains(block));
        self.check(named, "the refusal should name both blocks")?;
        self.screen.good("refused, as it should be: the type is DATADOG, the block is Slack's");
        Ok(())
    }

    fn missing_secret(&mut self) -> Result<(), Error> {
        self.screen.heading("9. A Secret that comes late");
        let object = "atlasintegration/staging";
        self.stage.kubectl.show(&["apply", "-f", &format!("{MANIFESTS}steps/staging.yaml")])?;
        self.until("the object to say what it misses", || {
            let object = self.stage.kubectl.json(&["get", object])?;
            Ok((ready(&object)["reason"] == "SecretNotFound").then_some(()))
        })?;
        let message = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
        self.stage.kubectl.show(&["get", object, "-o", message])?;
        self.stage.kubectl.show(&["apply", "-f", &format!("{MANIFESTS}steps/staging-key.yaml")])?;
        let begun = Instant::now();
        self.stage.kubectl.show(&["wait", "--for=condition=Ready", object, "--timeout=60s"])?;
        let stored = stored(&self.stage.staging, "PAGER_DUTY")?;
        self.secrets.extend(atlas::secrets(&stored));
        self.screen.good(&format!("Ready {} ms after the Secret came", begun.elapsed().as_millis()));
        Ok(())
    }

    fn deletion(&self) -> Result<(), Error> {
        self.screen.heading("10. Objects are deleted: Atlas follows, unless it is to keep the integration");
        self.stage.kubectl.show(&["delete", "atlasintegration", "opsgenie", "--timeout=60s"])?;
        let gone = self.stage.project.stored_type("OPS_GENIE").is_none();
        self.check(gone, "OPS_GENIE should be gone in Atlas")?;
        self.screen.good("OPS_GENIE is gone in Atlas");
        let before = stored(&self.stage.project, "WEBHOOK")?;
        let patch = r#"{"spec": {"deletionPolicy": "Retain"}}"#;
        self.stage.kubectl.show(&["patch", "atlasintegration", "webhook", "--type=merge", "-p", patch])?;
        self.stage.kubectl.show(&["delete", "atlasintegration", "webhook", "--timeout=60s"])?;
        let after = self.stage.project.stored_type("WEBHOOK");
        self.check(after == Some(before), "WEBHOOK should be in Atlas as it was")?;
        self.screen.good("WEBHOOK is in Atlas as it was");
        Ok(())
    }

    fn end(&self) -> Result<(), Error> {
        self.screen.heading("11. What Atlas holds in the end, secrets masked");
        let projects = [&self.stage.project, &self.stage.staging];
        self.screen.table(&atlas::table(&projects));
        let calls = Calls::of(&projects);
        self.screen.note(&format!(
            "Atlas was called {} times: {} LIST, {} POST, {} PUT, {} DELETE, {} for a digest challenge, {} other",
            calls.list + calls.create + calls.update + calls.delete + calls.challenges + calls.other,
            calls.list,
            calls.create,
            calls.update,
            calls.delete,
            calls.challenges,
            calls.other
        ));
        let writes = (calls.create, calls.update, calls.delete);
        self.check(writes == (11, 3, 1), "there should be 11 POST, 3 PUT (steps 5, 6 and 7) and 1 DELETE")?;
        self.screen.good("not one write more than was needed: 11 POST, 3 PUT (steps 5, 6, 7), 1 DELETE");
        self.no_leaks()
    }

    /// None of the keys in use is in what the operator said.
    fn no_leaks(&self) -> Result<(), Error> {
        let log = self.stage.operator.log_text();
        let objects = self.stage.kubectl.quiet(&["get", "atlasintegrations,events", "--output=yaml"])?;
        let leaked = |text: &str| self.secrets.iter().any(|secret| text.contains(secret));
        self.check(!leaked(&log), "a key is in the operator's log")?;
        self.check(!leaked(&objects), "a key is in an object or an Event")?;
        let (keys, lines) = (self.secrets.len(), log.lines().count());
        self.screen
            .good(&format!("none of {keys} keys is in an object, an Event, or the {lines} lines of the log"));
        Ok(())
    }

    /// Waits until an entry in Atlas is as wanted; with the milliseconds that it took.
    fn until_stored<T>(
        &self,
        what: &str,
        kind: &str,
        choose: impl Fn(&Value) -> Option<T>,
    ) -> Result<(T, u128), Error> {
        let begun = Instant::now();
        let found =
            self.until(what, || Ok(self.stage.project.stored_type(kind).and_then(|entry| choose(&entry))))?;
        Ok((found, begun.elapsed().as_millis()))
    }

    fn until<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>, Error>) -> Result<T, Error> {
        self.patience.until(what, LIMIT, look)
    }

    fn check(&self, holds: bool, what: &str) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(Error::Unexpected(what.to_owned())) }
    }
}

fn stored(project: &Project, kind: &str) -> Result<Value, Error> {
    let missing = || Error::Unexpected(format!("{kind} should be in Atlas, and is not"));
    project.stored_type(kind).ok_or_else(missing)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The Ready condition; null when there is none.
fn ready(object: &Value) -> &Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready").unwrap_or(&Value::Null)
}
