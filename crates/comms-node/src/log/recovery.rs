//! What the log knows is read back at start: the queue whole, since all of it waits; of the log what the index does not
//! tell yet. Doors open only after this.

use comms_msg::Msg;

use super::commands::{Commands, PendingCommand};
use super::commit::AppendError;
use super::index::Index;
use super::journal::Journal;
use super::upkeep::{note, outcome_prefix};
use super::{ENDING_STORED_S, LogNames};
use crate::Error;
use crate::clock::now_ms;

/// What was read back.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) commands: Commands,
    pub(super) index: Index,
}

/// Reads both streams back.
pub(super) async fn recover(
    names: &LogNames,
    events: &Journal,
    commands: &Journal,
) -> Result<Recovered, Error> {
    let failed = |what: &Journal| {
        let what = what.name().to_owned();
        move |error: AppendError| Error::Recovery { what, reason: error.to_string() }
    };
    let mut unreadable = 0_u64;
    let mut waiting = Commands::new(names.waiting.0, names.waiting.1);
    commands
        .read(0, |message| match Msg::from_cbor(message.payload).ok().as_ref().and_then(PendingCommand::of) {
            Some(command) => waiting.restore(message.sequence, command),
            None => unreadable += 1,
        })
        .await
        .map_err(failed(commands))?;
    let last = events.last_sequence().await.map_err(failed(events))?;
    // A log that begins with its index is known whole.
    let begins_ms = if last == 0 { 0 } else { now_ms().saturating_sub(ENDING_STORED_S * 1_000) };
    let index = Index::open(&names.index, events.incarnation(), begins_ms)?;
    let prefix = outcome_prefix(&names.domain);
    let mut written = Ok(());
    events
        .read(index.through(), |message| {
            if !note(&index, &prefix, message.subject, message.sequence, message.payload, |_| ()) {
                unreadable += 1;
            }
            if index.is_due() && written.is_ok() {
                written = index.flush();
            }
        })
        .await
        .map_err(failed(events))?;
    written?;
    index.note_through(last);
    if unreadable > 0 {
        tracing::error!(count = unreadable, "stored messages that are no messages of this version");
    }
    Ok(Recovered { commands: waiting, index })
}
