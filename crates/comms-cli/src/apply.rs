//! `comms domain plan` and `comms domain apply`: the definition in this folder, handed to the running node.
//!
//! The node knows what is in force and what is stored, so it decides; here its answer is shown. It is asked over its
//! loopback HTTP with the token of whoever speaks, by default `operator`.

use comms_node::folder::Folder;
use comms_node::gateway::Definition as Document;
use serde::Deserialize;
use serde_json::Value;

use crate::args::Global;
use crate::definition::{self, Definition};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, count};

/// What the node answers to a definition.
#[derive(Debug, Deserialize)]
struct Answer {
    changes: Vec<String>,
    #[serde(default)]
    refused: Vec<String>,
    digest: String,
}

/// Carries out `comms domain plan`.
pub(crate) async fn plan(global: &Global, output: Output) -> Result<(), Failure> {
    let answer = ask("plan", global).await?;
    let planned = json::Plan {
        changes: answer.changes.clone(),
        refused: answer.refused.clone(),
        digest: answer.digest,
    };
    output.json(&planned)?;
    show(&answer.changes, output)?;
    if answer.refused.is_empty() {
        let next =
            if answer.changes.is_empty() { "Nothing to do." } else { "To make it so: comms domain apply" };
        return output.text(next);
    }
    let orphaned =
        Failure::new(Exit::Refused, "this change would orphan what is stored; it cannot be applied");
    Err(answer.refused.into_iter().fold(orphaned, Failure::mend))
}

/// Carries out `comms domain apply`.
pub(crate) async fn apply(global: &Global, output: Output) -> Result<(), Failure> {
    let answer = ask("apply", global).await?;
    show(&answer.changes, output)?;
    let applied = count(answer.changes.len(), "change");
    let row = Row::new("applied").tone(Tone::Good).cell(format!("{applied}, in force now"));
    output.say(&json::Applied { changes: answer.changes, digest: answer.digest }, &row)
}

fn show(changes: &[String], output: Output) -> Result<(), Failure> {
    if changes.is_empty() {
        return output.text("no change");
    }
    changes.iter().try_for_each(|change| output.text(change))
}

async fn ask(what: &str, global: &Global) -> Result<Answer, Failure> {
    let definition = Definition::find()?;
    // Mistakes are told here, with their places, before anybody is asked.
    definition.domain()?;
    let home = definition::home(&definition::here()?)?;
    let folder = Folder::beside(&home)?;
    let Some(node) = folder.read_node_file()? else {
        let message = format!("no node runs in {}", home.display());
        return Err(Failure::new(Exit::Config, message).mend("Start it with: comms up"));
    };
    let speaker = global.operator();
    let path = folder.credentials().join(format!("{speaker}.token"));
    let token = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::Config, format!("no credentials for {speaker} in {}", path.display()))
            .because(&error)
    })?;
    let sources = definition.0;
    let document = Document { file: sources.file, toml: sources.definition, schemas: sources.schemas };
    let unreachable = |error: reqwest::Error| {
        Failure::failed(format!("the node at {} does not answer", node.http))
            .because(&error)
            .mend("Is it running?")
    };
    let response = reqwest::Client::new()
        .post(format!("{}/domain/{what}", node.http))
        .bearer_auth(token.trim())
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&document).expect("text is JSON"))
        .send()
        .await
        .map_err(unreachable)?;
    let is_accepted = response.status().is_success();
    let body = response.bytes().await.map_err(unreachable)?;
    if is_accepted {
        return serde_json::from_slice(&body)
            .map_err(|error| Failure::failed("the node's answer is not one").because(&error));
    }
    Err(refused(&body))
}

fn refused(body: &[u8]) -> Failure {
    let refusal = serde_json::from_slice::<Value>(body).ok().and_then(|mut answer| {
        serde_json::from_value::<comms_msg::door::Refusal>(answer["error"].take()).ok()
    });
    match refusal {
        Some(refusal) => comms::Error::from(refusal).into(),
        None => Failure::failed("the node refused, and did not say why"),
    }
}
