//! `comms domain accounts`: what a nats-server of somebody else's must include for this domain.
//!
//! Accounts, users and permissions follow from the definition; the keys are those under `.comms`, made where they
//! are missing. Only public halves are written.

use std::path::Path;

use comms_domain::{Layout, NodeId, nats_conf};
use comms_node::Error;
use comms_node::folder::Folder;
use comms_node::keys::Keys;

use crate::definition::{self, Definition};
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, count};

/// Carries out `comms domain accounts`.
pub(crate) fn accounts(file: &Path, output: Output) -> Result<(), Failure> {
    let domain = Definition::find()?.domain()?;
    let folder = Folder::beside(&definition::home(&definition::here()?)?)?;
    // Names of consumers follow from the node's secret, which one process at a time may make; a node that runs
    // here has made it.
    let (name, secret) = match (folder.hold(), folder.identity()) {
        (Ok(held), _) => held.identity(None)?,
        (Err(Error::Held { .. }), Ok(Some(kept))) => kept,
        (Err(error), _) => return Err(error.into()),
    };
    let layout = Layout::of(&domain, &NodeId::standalone(name, *secret.bytes()));
    let keys = Keys::load_or_make(&folder, &layout)?;
    let text = nats_conf::accounts(&layout, &keys.public()).map_err(|error| {
        Failure::failed("the accounts cannot be written as configuration").because(&error)
    })?;
    std::fs::write(file, text)
        .map_err(|error| Failure::failed(format!("{} cannot be written", file.display())).because(&error))?;
    let written = json::Accounts { file: file.display().to_string(), users: layout.users.len() };
    let row = Row::new("written").tone(Tone::Good).cell(written.file.clone());
    let row = row
        .cell(count(layout.users.len(), "user"))
        .cell("include it in your server's configuration, then: comms up --nats URL");
    output.say(&written, &row).map_err(|unheard| unheard.mend(format!("{} is written.", written.file)))
}
