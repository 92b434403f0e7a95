//! Bringing commands into the queue: once each, and what comes again is answered from what stands there or stood there.

use comms_content::Cid;
use comms_msg::{Encoded, Filled, Msg, MsgId};

use super::EventLog;
use super::arrivals::UNCERTAIN_MAX;
use super::commands::{Arrival, PendingCommand};
use super::commit::{AppendError, Commit, Stored, StoredMessage};
use super::ending::EndedCommand;
use super::index::RECENT_MAX;
use super::sameness::{adopt_time_of_caused, is_same};
use crate::clock::now_ms;

/// A command that is kept, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its place in the queue, where that is known.
    pub(crate) sequence: u64,
    /// Its CID as it was kept.
    pub(crate) cid: Cid,
    /// Whether it was kept before.
    pub(crate) duplicate: bool,
}

/// The right to bring in a command, held by one request at a time.
struct Arriving<'a> {
    log: &'a EventLog,
    command: Option<PendingCommand>,
    /// Where it may have been stored, by an earlier request or by this one: behind this sequence.
    after: Option<u64>,
}

impl Arriving<'_> {
    fn stored(mut self, sequence: u64) {
        if let Some(command) = self.command.take() {
            self.log.lock().commands.stored(sequence, command, now_ms());
        }
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if let Some(command) = self.command.take() {
            self.log.lock().commands.not_stored(command.key, &command.sender, self.after, now_ms());
        }
    }
}

impl EventLog {
    /// Stores a command, once per key: a repeat of one that waits or ended answers with the first's place. `filled` is
    /// what the door filled in, which a repeat need not agree in.
    pub(crate) async fn store_command(
        &self,
        subject: String,
        msg: &Msg,
        filled: &Filled,
    ) -> Result<Kept, AppendError> {
        let refused = || AppendError::Refused("/metadata/sender  missing".to_owned());
        let Encoded { bytes: payload, cid } = msg.encoded();
        let command = PendingCommand::called(msg, cid).ok_or_else(refused)?;
        if self.index.is_full() {
            return Err(AppendError::Busy(RECENT_MAX));
        }
        let (arrival, high) = {
            let mut memory = self.lock();
            (memory.commands.arrive(command.key, &command.sender), memory.commands.high())
        };
        let after = match arrival {
            Arrival::New { after } => after,
            Arrival::Known { sequence } => return self.waiting(sequence, msg, filled, &command).await,
            Arrival::Underway => return Err(AppendError::Underway),
            Arrival::Over(over) => return Err(AppendError::Over(over)),
            Arrival::Doubtful => return Err(AppendError::Busy(UNCERTAIN_MAX)),
        };
        let key = command.key;
        let mut arriving = Arriving { log: self, command: Some(command), after };
        if let Some(ended) = self.ended_before(&key, msg.id)? {
            arriving.after = None;
            return repeated(&ended, msg, filled);
        }
        let message = StoredMessage::readable(subject, key.to_string(), payload)?;
        let (before, may_be_stored) = (after.unwrap_or(high), after.is_some());
        // Said before the wait: who stops waiting leaves it open.
        arriving.after = Some(before);
        let (entities, guards, messages) = (Vec::new(), Vec::new(), vec![message]);
        let commit = Commit { entities, guards, messages, after: before, may_be_stored };
        match self.commands.append(commit).await {
            Ok(Stored { first, duplicate: false }) => {
                arriving.stored(first);
                Ok(Kept { sequence: first, cid, duplicate: false })
            }
            Ok(Stored { first, duplicate: true }) => {
                // What stands there is compared before it counts as this one.
                let there = self.read_command(first).await?;
                match there.as_ref().and_then(PendingCommand::of) {
                    Some(there) => {
                        arriving.command = Some(there.clone());
                        arriving.stored(first);
                        self.waiting(first, msg, filled, &there).await
                    }
                    None => Err(gone(msg.id)),
                }
            }
            Err(error) => {
                let is_open = matches!(error, AppendError::Unavailable { may_have_happened: true, .. });
                // An earlier doubt stays where this says nothing about it.
                arriving.after = if is_open { Some(before) } else { after };
                Err(error)
            }
        }
    }

    /// The answer to a repeat of what stands in the queue at `sequence`.
    async fn waiting(
        &self,
        sequence: u64,
        msg: &Msg,
        filled: &Filled,
        command: &PendingCommand,
    ) -> Result<Kept, AppendError> {
        match self.read_command(sequence).await? {
            Some(there) => {
                if is_same(msg, filled, &there) {
                    Ok(Kept { sequence, cid: there.cid(), duplicate: true })
                } else {
                    Err(another(msg.id))
                }
            }
            // It ended and left while this was asked.
            None => match self.ended_command(&command.key)? {
                Some(ended) => repeated(&ended, msg, filled),
                None => Err(gone(msg.id)),
            },
        }
    }

    /// How the command under `key` ended before, if it did; an error where that cannot be known any more.
    fn ended_before(&self, key: &comms_msg::MsgKey, id: MsgId) -> Result<Option<EndedCommand>, AppendError> {
        if let Some(ended) = self.ended_command(key)? {
            return Ok(Some(ended));
        }
        if let Some(former) = self.ended_command(&super::ending::former_key(id))? {
            return Ok(Some(former));
        }
        let since = self.index.known_since_ms();
        if id.time().is_some_and(|drawn| drawn.unix_ms() < since) {
            return Err(AppendError::Refused(format!(
                "/id  {id} was drawn before the time from which this node knows how commands ended; \
                 whether it was handled cannot be told. Look whether it was, and draw a new id"
            )));
        }
        Ok(None)
    }
}

/// The answer to a repeat of what ended.
fn repeated(ended: &EndedCommand, msg: &Msg, filled: &Filled) -> Result<Kept, AppendError> {
    // Of one that ended under a former form of the log, no more is known than its id.
    let Some(was) = &ended.was else { return Ok(Kept { sequence: 0, cid: msg.cid(), duplicate: true }) };
    let mut given = msg.clone();
    filled.adopt_time(&mut given, was.time);
    adopt_time_of_caused(&mut given, was.time);
    if given.cid() == was.cid {
        Ok(Kept { sequence: was.sequence, cid: was.cid, duplicate: true })
    } else {
        Err(another(msg.id))
    }
}

fn another(id: MsgId) -> AppendError {
    AppendError::Refused(format!(
        "/id  {id} is the id of another command of this sender; an id names one message"
    ))
}

fn gone(id: MsgId) -> AppendError {
    AppendError::Unavailable {
        reason: format!("command {id} was accepted and is not in the queue; ask for its outcome"),
        may_have_happened: true,
    }
}
