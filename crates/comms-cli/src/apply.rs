//! `comms domain plan` and `comms domain apply`: the definition in this folder, handed to the running node.
//!
//! The node knows what is in force and what is stored, so it decides; here its answer is shown. It is asked at the socket
//! in its folder, where nobody else can listen, with the token of whoever speaks, by default `operator`.

use comms::local::LocalNode;
use comms_node::folder::Folder;
use comms_node::gateway::Definition as Document;
use serde::Deserialize;

use crate::args::Global;
use crate::definition::{self, Definition};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, count, visible};

/// What the node answers to a definition.
#[derive(Debug, Deserialize)]
struct Answer {
    changes: Vec<String>,
    #[serde(default)]
    refused: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    digest: String,
    /// Of a plan: the digest of what it was compared with.
    #[serde(default)]
    in_force: Option<String>,
}

/// What is asked of the node beside the definition.
#[derive(Debug, Default)]
struct Terms {
    over: Option<String>,
    confirmed: bool,
}

/// Carries out `comms domain plan`.
pub(crate) async fn plan(global: &Global, output: Output) -> Result<(), Failure> {
    let answer = ask("plan", Terms::default(), global).await?;
    let planned = json::Plan {
        changes: answer.changes.clone(),
        refused: answer.refused.clone(),
        warnings: answer.warnings.clone(),
        digest: answer.digest,
    };
    output.json(&planned)?;
    show(&answer.changes, output)?;
    for warning in &answer.warnings {
        output.row(&Row::new("warning").tone(Tone::Warn).cell(warning.clone()))?;
    }
    if answer.refused.is_empty() {
        let next = match (answer.changes.is_empty(), answer.warnings.is_empty()) {
            (true, _) => "Nothing to do.",
            (false, true) => "To make it so: comms domain apply",
            (false, false) => "To make it so all the same: comms domain apply --yes",
        };
        return output.text(next);
    }
    let refused = Failure::new(Exit::Refused, "this change cannot be applied");
    Err(answer.refused.into_iter().fold(refused, Failure::mend))
}

/// Carries out `comms domain apply`.
///
/// It is planned first, so that what is replaced is what the change was judged by.
pub(crate) async fn apply(yes: bool, global: &Global, output: Output) -> Result<(), Failure> {
    let over = ask("plan", Terms::default(), global).await?.in_force;
    let answer = ask("apply", Terms { over, confirmed: yes }, global).await?;
    let applied = count(answer.changes.len(), "change");
    let row = Row::new("applied").tone(Tone::Good).cell(format!("{applied}, in force now"));
    let said = json::Applied { changes: answer.changes, digest: answer.digest };
    show(&said.changes, output)
        .and_then(|()| output.say(&said, &row))
        .map_err(|unheard| unheard.mend(format!("The definition is in force: digest {}", said.digest)))
}

fn show(changes: &[String], output: Output) -> Result<(), Failure> {
    if changes.is_empty() {
        return output.text("no change");
    }
    changes.iter().try_for_each(|change| output.text(&visible(change)))
}

async fn ask(what: &str, terms: Terms, global: &Global) -> Result<Answer, Failure> {
    let definition = Definition::find()?;
    // Mistakes are told here, with their places, before anybody is asked.
    definition.domain()?;
    let folder = Folder::beside(&definition::home(&definition::here()?)?)?;
    let node = LocalNode::at(folder.root(), global.operator())?;
    let sources = definition.0;
    let document = Document {
        file: sources.file,
        toml: sources.definition,
        schemas: sources.schemas,
        over: terms.over,
        confirmed: terms.confirmed,
    };
    let json = serde_json::to_vec(&document).expect("text is JSON");
    let answer = node.post(&format!("/domain/{what}"), json).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| Failure::failed("the node's answer is not one").because(&error))
}
