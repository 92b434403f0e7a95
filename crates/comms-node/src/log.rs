//! The event log of this node: the only writer of its streams, and what it knows of what stands in them.
//!
//! Two streams. Commands wait in a work queue until their handler's answer is stored; events, and the endings of
//! commands that caused none, stay for good. This node writes both alone, so that what was checked at the door still
//! holds when it is stored.
//!
//! Three parts. A [`Journal`] is one stream: append, read, tail. [`Commands`] is what stands in the queue, as a pure
//! state machine. An [`Ending`] is how a command ended, and the record that tells it. Beside them the [`Index`] knows
//! every message of the log by its key, so that what comes again is known whenever it comes.
//!
//! Order of effects when a command ends (`finish.rs`): its events (or its ending) are stored and synced; then they are
//! remembered here; then waiting callers hear of it; then the command is acknowledged (`settling.rs`). A crash in between
//! leaves a command that is delivered again and found ended.

mod append;
pub(crate) mod appender;
mod arrivals;
mod attempt;
pub(crate) mod commands;
pub(crate) mod commit;
pub(crate) mod delivery;
pub(crate) mod direct_read;
pub(crate) mod ending;
mod finish;
mod index;
pub(crate) mod journal;
mod presence;
mod progress;
mod queue;
mod recovery;
mod sameness;
pub(crate) mod schedule;
mod server_refusal;
mod settling;
#[cfg(test)]
mod tests;
mod upkeep;
mod vanished;
mod waiters;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::Subscriber;
use async_nats::jetstream::consumer::push;
use bytes::Bytes;
use comms_msg::{Expect, Msg, MsgKey, Position, TypeName};
use tokio::sync::oneshot;

use self::appender::Writer;
use self::arrivals::Arrivals;
use self::commands::{Commands, PendingCommand};
use self::commit::AppendError;
use self::ending::{EndedCommand, Ending};
use self::index::{Entry, Index};
use self::journal::{Consumed, Journal};
use self::settling::Unsettled;
use self::waiters::Waiters;
use crate::Error;
use crate::condition::Condition;
use crate::witness::Witness;

pub(crate) use self::append::{Appended, NewEvent};
pub(crate) use self::finish::{Delivered, Effect, Finished};

/// How long the ending of a command that caused no event stands in the log, in seconds: for as long it is found by an
/// index that had to be made again.
const ENDING_STORED_S: u64 = 7 * 24 * 60 * 60;

/// The log. Shared by all doors.
#[derive(Debug)]
pub(crate) struct EventLog {
    pub(crate) domain: String,
    /// The incarnation of the stream that holds the events of other nodes, if there are others.
    pub(crate) foreign: Option<String>,
    events: Journal,
    commands: Journal,
    index: Arc<Index>,
    memory: Mutex<Memory>,
    pub(crate) witness: Witness,
}

#[derive(Debug)]
struct Memory {
    commands: Commands,
    /// Events on their way.
    arrivals: Arrivals,
    waiters: Waiters,
    /// Ended commands that the stream has not confirmed to be gone.
    unsettled: HashMap<u64, Unsettled>,
}

/// What a log is opened with.
#[derive(Debug)]
pub(crate) struct LogNames {
    pub(crate) domain: String,
    pub(crate) event_stream: String,
    pub(crate) command_stream: String,
    /// The events of other nodes, if there are others.
    pub(crate) foreign_stream: Option<String>,
    /// The file of the index.
    pub(crate) index: PathBuf,
    /// Commands that may wait, and how many services may send some.
    pub(crate) waiting: (u64, usize),
}

impl EventLog {
    /// Opens the log on streams that exist: reads back what must be remembered. The writers are to be run by the
    /// caller until they return, and the log is to be [kept up](Self::keep_up).
    pub(crate) async fn open(
        client: async_nats::Client,
        names: LogNames,
        condition: Condition,
        witness: Witness,
    ) -> Result<(EventLog, [Writer; 2], Subscriber), Error> {
        let (events, event_writer) =
            Journal::open(&client, &names.event_stream, condition.clone(), &witness).await?;
        let (commands, command_writer, confirmed) =
            Journal::open_queue(&client, &names.command_stream, condition, &witness).await?;
        let log = EventLog::on(events, commands, names, witness).await?;
        Ok((log, [event_writer, command_writer], confirmed))
    }

    /// Opens the log on streams in memory, its events and its queue. It needs no writers and no keeping up.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) async fn in_memory(
        [events, commands]: [journal::memory::MemoryStream; 2],
        names: LogNames,
        witness: Witness,
    ) -> Result<EventLog, Error> {
        let events = Journal::in_memory(events, &names.event_stream, &witness)?;
        let commands = Journal::in_memory(commands, &names.command_stream, &witness)?;
        EventLog::on(events, commands, names, witness).await
    }

    async fn on(
        events: Journal,
        commands: Journal,
        names: LogNames,
        witness: Witness,
    ) -> Result<EventLog, Error> {
        let foreign = match &names.foreign_stream {
            Some(name) => Some(journal::life(&witness, name)?),
            None => None,
        };
        let recovered = recovery::recover(&names, &events, &commands).await?;
        let memory = Memory {
            commands: recovered.commands,
            arrivals: Arrivals::default(),
            waiters: Waiters::default(),
            unsettled: HashMap::new(),
        };
        Ok(EventLog {
            domain: names.domain,
            foreign,
            events,
            commands,
            index: Arc::new(recovered.index),
            memory: Mutex::new(memory),
            witness,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with room for so many waiting commands, of so many services.
    pub(crate) fn follow(&self, waiting: u64, senders: usize) {
        self.lock().commands.follow(waiting, senders);
    }

    /// The incarnation of the event stream, in every position.
    pub(crate) fn incarnation(&self) -> &str {
        self.events.incarnation()
    }

    /// The position of `sequence` in this log.
    pub(crate) fn position(&self, sequence: u64) -> Position {
        self.events.position(sequence)
    }

    /// The place of `sequence` in the queue of commands, which is no position of the log.
    pub(crate) fn queue_position(&self, sequence: u64) -> Position {
        self.commands.position(sequence)
    }

    /// The sequence that `expect` asks for, or `None` where nothing is expected.
    pub(crate) fn expected(&self, expect: &Expect) -> Result<Option<u64>, String> {
        self.events.expected(expect)
    }

    /// A stored event.
    pub(crate) async fn read_event(&self, sequence: u64) -> Result<Option<Msg>, AppendError> {
        self.events.message(sequence).await
    }

    /// The subject of what stands at `sequence` among the events.
    pub(crate) async fn event_subject(&self, sequence: u64) -> Result<Option<String>, AppendError> {
        self.events.subject(sequence).await
    }

    /// The stored command itself; `None` where it is gone, since it ended.
    pub(crate) async fn read_command(&self, sequence: u64) -> Result<Option<Msg>, AppendError> {
        self.commands.message(sequence).await
    }

    /// The name of the stream of events.
    pub(crate) fn event_stream_name(&self) -> &str {
        self.events.name()
    }

    /// The last sequence that the stream of events has given out.
    pub(crate) async fn last_event(&self) -> Result<u64, AppendError> {
        self.events.last_sequence().await
    }

    /// Makes a consumer of events.
    pub(crate) async fn consume_events(&self, consumer: push::Config) -> Result<Consumed, String> {
        self.events.consume(consumer).await
    }

    /// The names of all consumers of events there are.
    pub(crate) async fn event_consumers(&self) -> Result<HashSet<String>, String> {
        self.events.consumers().await
    }

    /// Tells the queue that a delivery is not over. If this is lost, its lease ends and it comes again.
    pub(crate) async fn tell(&self, delivery: &str, what: Bytes) {
        self.commands.tell(delivery, what).await;
    }

    /// Whether the command stands in the queue.
    pub(crate) fn is_pending(&self, command: &MsgKey) -> bool {
        self.lock().commands.is_standing(command)
    }

    /// Whether the command may stand in the queue although nobody said so. [Looked for](Self::find_doubtful) it is known, or
    /// may still arrive.
    pub(crate) fn is_doubtful(&self, command: &MsgKey) -> bool {
        self.lock().commands.arrivals().is_uncertain(command)
    }

    /// How the command ended, if it did.
    pub(crate) fn ending(&self, command: &MsgKey) -> Result<Option<Ending>, AppendError> {
        Ok(self.ended_command(command)?.map(|ended| ended.ending))
    }

    /// How the command ended that stood at `sequence` of the queue, if it is this one and did.
    pub(crate) fn ended_at(&self, command: &MsgKey, sequence: u64) -> Result<Option<Ending>, AppendError> {
        let ended = self.ended_command(command)?;
        let stood_there =
            |ended: &EndedCommand| ended.was.as_ref().is_some_and(|was| was.sequence == sequence);
        Ok(ended.filter(stood_there).map(|ended| ended.ending))
    }

    fn ended_command(&self, command: &MsgKey) -> Result<Option<EndedCommand>, AppendError> {
        match self.look_up(command)? {
            Some(Entry::Ended(ended)) => Ok(Some(ended)),
            Some(Entry::Event(_)) | None => Ok(None),
        }
    }

    fn look_up(&self, key: &MsgKey) -> Result<Option<Entry>, AppendError> {
        self.index.get(key).map_err(|error| {
            tracing::error!(%error, "the index of the log cannot be read");
            AppendError::Unavailable { reason: error.to_string(), may_have_happened: false }
        })
    }

    /// The command at `sequence` of the command stream, from memory or from the stream: a handler can be faster than
    /// the acknowledgement that this node waits for. `None` where it is gone, since it ended.
    pub(crate) async fn command_at(&self, sequence: u64) -> Result<Option<PendingCommand>, AppendError> {
        if let Some(command) = self.lock().commands.at(sequence).cloned() {
            return Ok(Some(command));
        }
        Ok(self.read_command(sequence).await?.as_ref().and_then(PendingCommand::of))
    }

    /// The command of that type that stood at `sequence` of the command stream and left it a short while ago.
    pub(crate) fn gone_from(&self, sequence: u64, type_name: &TypeName) -> Option<MsgKey> {
        self.lock().commands.gone_from(sequence, type_name)
    }

    /// Counts a try of the command at `sequence` that failed.
    pub(crate) fn try_failed(&self, sequence: u64) {
        self.lock().commands.failed(sequence);
    }

    /// A wait for the end of `command`, or `None` where it ended already or too many wait.
    pub(crate) fn wait_for(&self, command: MsgKey) -> Result<Option<oneshot::Receiver<()>>, AppendError> {
        let wait = self.lock().waiters.wait(command);
        // Asked after the wait began: who ends it now wakes it.
        if self.ending(&command)?.is_some() {
            self.lock().waiters.take(&command);
            return Ok(None);
        }
        Ok(wait)
    }

    /// Drops the waits of `command` that nobody holds any more.
    pub(crate) fn sweep_waiters(&self, command: &MsgKey) {
        self.lock().waiters.sweep(command);
    }
}
