//! Ending a command: the one place where its effect is stored, remembered, told and acknowledged, in this order.

use bytes::Bytes;
use comms_msg::{CommitPlace, Msg, ServiceName, Subject};

use super::append::{Appended, NewEvent};
use super::commands::{PendingCommand, Right};
use super::commit::{AppendError, Commit, Guard, Stored, StoredMessage};
use super::ending::{EndedCommand, Ending, EndingRecord, EndingState, RecordedCommand};
use super::index::Entry;
use super::{ENDING_STORED_S, EventLog};

/// A delivery that its holder answers for.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// The reply subject, where the stream hears of it.
    pub(crate) acknowledge: String,
    pub(crate) sequence: u64,
    /// How often it was delivered, this time included.
    pub(crate) tries: u32,
    pub(crate) command: PendingCommand,
}

/// What a command ends with.
#[derive(Debug)]
pub(crate) enum Effect {
    /// These events, in this order, stored together; at least one.
    Events(Vec<NewEvent>),
    /// None.
    Nothing { state: EndingState, reason: Option<String> },
}

/// How the end of a command came about.
#[derive(Debug)]
pub(crate) enum Finished {
    /// By this call, with these events.
    Now(Appended),
    /// Before it.
    Before(Ending),
}

/// The right to end a command, held by one caller at a time.
struct EndingRight<'a> {
    log: &'a EventLog,
    command: PendingCommand,
    /// Whether its end may be stored although nobody said so.
    is_doubtful: bool,
}

impl Drop for EndingRight<'_> {
    fn drop(&mut self) {
        self.log.lock().commands.gave_up(&self.command.key, self.is_doubtful);
    }
}

impl EventLog {
    /// Ends the command that `delivered` is a delivery of; `handler` answers for it. A command ends once: another
    /// end than the first is answered with the first.
    pub(crate) async fn finish(
        &self,
        delivered: &Delivered,
        handler: &ServiceName,
        effect: Effect,
    ) -> Result<Finished, AppendError> {
        let command = &delivered.command;
        // Bound apart: the lock is let go before what follows.
        let right = self.lock().commands.begin_end(delivered.sequence, command);
        let mut right = match right {
            Right::Open { is_doubtful } => EndingRight { log: self, command: command.clone(), is_doubtful },
            Right::Underway => return Err(AppendError::Underway),
            Right::Ended => return self.finished_before(delivered).await,
        };
        if right.is_doubtful {
            self.catch_up().await?;
        }
        if self.ending(&command.key)?.is_some() {
            self.lock().commands.ended(&command.key);
            return self.finished_before(delivered).await;
        }
        let was_doubtful = std::mem::replace(&mut right.is_doubtful, true);
        let finished = match effect {
            Effect::Events(events) => self.end_with(events, delivered).await,
            Effect::Nothing { state, reason } => self.end_without(delivered, handler, state, reason).await,
        };
        match finished {
            Ok(finished) => {
                self.lock().commands.ended(&command.key);
                self.wake(&command.key);
                self.settle(&delivered.acknowledge, delivered.sequence).await;
                Ok(finished)
            }
            Err(error) => {
                let is_open = matches!(error, AppendError::Unavailable { may_have_happened: true, .. });
                right.is_doubtful = was_doubtful || is_open;
                Err(error)
            }
        }
    }

    async fn finished_before(&self, delivered: &Delivered) -> Result<Finished, AppendError> {
        let ending = self.ending(&delivered.command.key)?.ok_or(AppendError::Underway)?;
        self.settle(&delivered.acknowledge, delivered.sequence).await;
        Ok(Finished::Before(ending))
    }

    async fn end_with(
        &self,
        mut events: Vec<NewEvent>,
        delivered: &Delivered,
    ) -> Result<Finished, AppendError> {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        for (event, ordinal) in events.iter_mut().zip(0..) {
            let place = CommitPlace::new(ordinal, count)
                .map_err(|error| AppendError::Refused(format!("/events/{ordinal}  {error}")))?;
            event.msg.hop.commit = Some(place);
            // The log is read back by this: what an event of others says here never counts.
            event.msg.hop.command =
                (ordinal == 0).then(|| Box::new(delivered.command.reference(delivered.sequence)));
        }
        Ok(Finished::Now(self.append(events, delivered.tries).await?))
    }

    /// Stores the ending of a command that caused no event. It goes after the time endings are kept, unless it is a
    /// dead letter, which holds the command itself and stays.
    async fn end_without(
        &self,
        delivered: &Delivered,
        handler: &ServiceName,
        state: EndingState,
        reason: Option<String>,
    ) -> Result<Finished, AppendError> {
        let command = &delivered.command;
        let letter = match state {
            EndingState::Dead => {
                let stored = self.read_command(delivered.sequence).await?;
                stored.map(|msg: Msg| serde_bytes::ByteBuf::from(msg.to_cbor()))
            }
            EndingState::Done | EndingState::Rejected => None,
        };
        let record = EndingRecord {
            command: command.id,
            state,
            handler: handler.clone(),
            tries: delivered.tries,
            reason,
            letter,
            of: Some(RecordedCommand::of(command, delivered.sequence)),
        };
        let subject = Subject::Outcome {
            domain: self.domain.parse().map_err(|e: comms_msg::Error| AppendError::Refused(e.to_string()))?,
            type_name: command.type_name.clone(),
            sender: command.sender.clone(),
            command: command.id,
        }
        .to_string();
        match self.events.append(self.ending_commit(&subject, command, &record)).await {
            Ok(stored) if !stored.duplicate => {
                self.remember_ending(&record, stored);
                Ok(Finished::Now(Appended { stored, events: Vec::new() }))
            }
            // One command has one ending, so what stands there is its first.
            Ok(_) | Err(AppendError::Conflict { .. }) => self.ending_there(&subject).await,
            Err(error) => Err(error),
        }
    }

    fn ending_commit(&self, subject: &str, command: &PendingCommand, record: &EndingRecord) -> Commit {
        let is_dead = matches!(record.state, EndingState::Dead);
        let message = StoredMessage {
            subject: subject.to_owned(),
            // The ending has no id of its own: one per command, so the command's key names it.
            key: format!("ending-{}", command.key),
            payload: record.to_cbor(),
            ttl_s: (!is_dead).then_some(ENDING_STORED_S),
        };
        Commit {
            entities: Vec::new(),
            guards: vec![(0, Guard { subject: subject.to_owned(), sequence: 0 })],
            messages: vec![message],
            after: self.index.high(),
            may_be_stored: false,
        }
    }

    async fn ending_there(&self, subject: &str) -> Result<Finished, AppendError> {
        let there: Option<(u64, Bytes)> = self.events.last(subject).await?;
        let record = there.as_ref().and_then(|(_, payload)| EndingRecord::from_cbor(payload));
        let (Some((sequence, _)), Some(record)) = (there, record) else {
            let reason = "an ending of this command stands in the log and cannot be read".to_owned();
            return Err(AppendError::Unavailable { reason, may_have_happened: true });
        };
        self.remember_ending(&record, Stored { first: sequence, duplicate: true });
        Ok(Finished::Before(record.ending(sequence)))
    }

    fn remember_ending(&self, record: &EndingRecord, stored: Stored) {
        let (key, ended): (_, EndedCommand) = record.remembered(stored.first);
        self.index.note([(key, Entry::Ended(ended))], stored.first, stored.first);
    }

    pub(super) fn wake(&self, command: &comms_msg::MsgKey) {
        let waiters = self.lock().waiters.take(command);
        for waiter in waiters {
            let _ = waiter.send(());
        }
    }
}
