//! The event log of this node: the only writer of its streams, and what it remembers of commands.
//!
//! Two streams. Commands wait in a work queue until their handler's answer is stored; events, and the endings of
//! commands that caused none, stay for good. This node writes both alone, so that what was checked at the door still
//! holds when it is stored.
//!
//! Order of effects when a command ends: its events (or its ending) are stored and synced; then they are remembered
//! here; then waiting callers hear of it; then the command is acknowledged (`settling.rs`). A crash in between leaves a
//! command that is delivered again and found ended.

pub(crate) mod appender;
pub(crate) mod commit;
pub(crate) mod delivery;
mod direct_read;
pub(crate) mod outcomes;
pub(crate) mod pending;
mod presence;
pub(crate) mod recovery;
pub(crate) mod schedule;
mod settling;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use async_nats::Subscriber;
use async_nats::jetstream;
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use bytes::Bytes;
use comms_msg::{DomainContent, EntityId, Expect, Msg, MsgId, Position, ServiceName, TypeName};
use tokio::sync::oneshot;

use self::appender::{Appender, Writer};
use self::commit::{AppendError, Commit, Guard, Stored, StoredMessage};
use self::outcomes::{Ending, OUTCOME_KEPT_MS, Origin, Outcomes};
use self::pending::{Pending, PendingCommand};
use self::settling::Unsettled;
use crate::Error;
use crate::clock::now_ms;
use crate::server::RestartHint;

/// Callers that may wait for outcomes at once: some 4 KiB each.
pub(crate) const OUTCOME_WAITERS_MAX: usize = 16_384;
/// Messages remembered of which it is not known whether they are stored. Past it nothing is taken, since a repeat of
/// what was forgotten could be stored twice.
const UNCERTAIN_MAX: usize = 65_536;
/// How long the ending of a command that caused no event stands in the log, in seconds. Longer than it is remembered:
/// where the acknowledgement of its command got lost and the node was away for a weekend, it must still be found.
const ENDING_STORED_S: u64 = 3 * 24 * 60 * 60;
/// How long that is remembered: as long as a sender may come back for its outcome.
const UNCERTAIN_KEPT_MS: u64 = OUTCOME_KEPT_MS;
/// From this age of its id on an event that arrives may be a repeat that the server does not recognise any more: half
/// of the server's window of duplicates, so that a clock may be off by the other half.
const REPEAT_AGE_MS: u64 = 60_000;

/// The log. Shared by all doors.
#[derive(Debug)]
pub(crate) struct EventLog {
    pub(crate) domain: String,
    /// The incarnation of the event stream, in every position.
    pub(crate) incarnation: String,
    /// The incarnation of the command stream.
    pub(crate) queue: String,
    /// The incarnation of the stream that holds the events of other nodes, if there are others.
    pub(crate) foreign: Option<String>,
    pub(crate) client: async_nats::Client,
    /// Where the command stream confirms what was taken out of it.
    confirmations: String,
    events: Stream,
    commands: Stream,
    event_appender: Appender,
    command_appender: Appender,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    outcomes: Outcomes,
    pending: Pending,
    /// Ended commands that the stream has not confirmed to be gone.
    unsettled: HashMap<u64, Unsettled>,
    /// Messages that may be stored although nobody said so, by what the stream knows them by, and since when.
    uncertain: HashMap<String, u64>,
    /// Commands whose ending is being stored right now.
    ending: HashSet<MsgId>,
    /// What is being stored right now: commands, and commits of events by the first of them, each by its key.
    arriving: HashSet<String>,
    waiters: HashMap<MsgId, Vec<oneshot::Sender<()>>>,
    waiters_total: usize,
}

impl Memory {
    /// Whether `command` is known to be of another sender or type than `origin`.
    fn is_of_another(&self, command: &MsgId, origin: Origin) -> bool {
        let waiting = self.pending.sequence_of(command).and_then(|sequence| self.pending.at(sequence));
        waiting.and_then(PendingCommand::origin).is_some_and(|known| known != origin)
            || self.outcomes.is_of_another(command, origin)
    }
}

/// The right to end a command, held by one caller at a time.
#[derive(Debug)]
pub(crate) struct EndingRight<'a> {
    log: &'a EventLog,
    command: MsgId,
}

impl Drop for EndingRight<'_> {
    fn drop(&mut self) {
        self.log.lock().ending.remove(&self.command);
    }
}

/// What is on its way into a stream. Keeps a second request for the same out of the line meanwhile, and remembers it
/// where nobody knows whether it was stored.
#[derive(Debug)]
struct Arriving<'a> {
    log: &'a EventLog,
    key: String,
    /// Whether it may have been stored: by an earlier request, or by this one until it is known.
    is_uncertain: bool,
}

impl<'a> Arriving<'a> {
    fn begin(log: &'a EventLog, memory: &mut Memory, key: &str) -> Result<Self, AppendError> {
        let is_uncertain = memory.uncertain.contains_key(key);
        if !is_uncertain && memory.uncertain.len() >= UNCERTAIN_MAX {
            let now = now_ms();
            memory.uncertain.retain(|_, since| since.saturating_add(UNCERTAIN_KEPT_MS) > now);
            if memory.uncertain.len() >= UNCERTAIN_MAX {
                return Err(AppendError::Busy(UNCERTAIN_MAX));
            }
        }
        if memory.arriving.insert(key.to_owned()) {
            Ok(Self { log, key: key.to_owned(), is_uncertain })
        } else {
            Err(AppendError::Underway)
        }
    }

    /// Stores `commit`.
    async fn store(&mut self, appender: &Appender, commit: Commit) -> Result<Stored, AppendError> {
        // Said before the wait: who stops waiting leaves it open.
        self.is_uncertain = true;
        let stored = appender.append(commit).await;
        self.is_uncertain = matches!(stored, Err(AppendError::Unavailable { may_have_happened: true, .. }));
        stored
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        let key = std::mem::take(&mut self.key);
        let mut memory = self.log.lock();
        memory.arriving.remove(&key);
        if self.is_uncertain {
            memory.uncertain.entry(key).or_insert_with(now_ms);
        } else {
            memory.uncertain.remove(&key);
        }
    }
}

/// An event that passed its door.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) entity: EntityId,
    pub(crate) type_name: TypeName,
    pub(crate) msg: Msg,
    /// The sequence its entity's last event must have; 0 for an entity without events.
    pub(crate) expected: Option<u64>,
}

/// Where a command stands when its handler answers for it.
#[derive(Debug)]
pub(crate) enum Standing<'a> {
    /// It ended before.
    Ended(Ending),
    /// It is open, and the caller alone may end it now.
    Open(EndingRight<'a>),
    /// Another answer for it is being stored.
    Busy,
}

/// What a log is opened with.
#[derive(Debug)]
pub(crate) struct LogNames {
    pub(crate) domain: String,
    pub(crate) event_stream: String,
    pub(crate) command_stream: String,
    /// The events of other nodes, if there are others.
    pub(crate) foreign_stream: Option<String>,
}

impl EventLog {
    /// Opens the log on streams that exist: reads back what must be remembered. The writers are to be run by the
    /// caller until they return, and what the command stream confirms is to be [heard](Self::hear).
    pub(crate) async fn open(
        client: async_nats::Client,
        names: LogNames,
        hint: RestartHint,
    ) -> Result<(EventLog, [Writer; 2], Subscriber), Error> {
        let context = jetstream::new(client.clone());
        let open = async |name: &str| {
            context
                .get_stream(name)
                .await
                .map_err(|e| Error::Stream { name: name.to_owned(), source: Box::new(e) })
        };
        let (events, commands) = (open(&names.event_stream).await?, open(&names.command_stream).await?);
        let recovered = recovery::recover(&client, &names.domain, &commands, &events, now_ms()).await?;
        if recovered.unreadable > 0 {
            tracing::error!(
                count = recovered.unreadable,
                "stored messages that are no messages of this version"
            );
        }
        let foreign = match &names.foreign_stream {
            Some(name) => Some(incarnation(&open(name).await?)),
            None => None,
        };
        let (queue, incarnation) = (incarnation(&commands), incarnation(&events));
        let (event_appender, event_writer) =
            Appender::open(client.clone(), &names.event_stream, hint.clone()).await?;
        let (command_appender, command_writer) =
            Appender::open(client.clone(), &names.command_stream, hint).await?;
        let memory = Memory { outcomes: recovered.outcomes, pending: recovered.pending, ..Memory::default() };
        let confirmations = client.new_inbox();
        let confirmed = client.subscribe(format!("{confirmations}.*")).await.map_err(|e| Error::Request {
            doing: "hear of commands that ended".to_owned(),
            source: Box::new(e),
        })?;
        let log = EventLog {
            domain: names.domain,
            incarnation,
            queue,
            foreign,
            client,
            confirmations,
            events,
            commands,
            event_appender,
            command_appender,
            memory: Mutex::new(memory),
        };
        Ok((log, [event_writer, command_writer], confirmed))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("no panic happens while the memory is held")
    }

    /// The position of `sequence` in this log.
    pub(crate) fn position(&self, sequence: u64) -> Position {
        Position::new(&self.incarnation, sequence).expect("an incarnation is made of position characters")
    }

    /// The place of `sequence` in the queue of commands, which is no position of the log.
    pub(crate) fn queue_position(&self, sequence: u64) -> Position {
        Position::new(&self.queue, sequence).expect("an incarnation is made of position characters")
    }

    /// The sequence that `expect` asks for, or `None` where nothing is expected.
    ///
    /// A position of another log can never be met here; it is refused with this log's name.
    pub(crate) fn expected(&self, expect: &Expect) -> Result<Option<u64>, String> {
        match expect {
            Expect::Any => Ok(None),
            Expect::Absent => Ok(Some(0)),
            Expect::At(position) if position.log() == self.incarnation => Ok(Some(position.sequence())),
            Expect::At(position) => Err(format!(
                "position {position} is not of this log ({}); ask for the entity's position here",
                self.incarnation
            )),
        }
    }

    /// Stores the events of one commit, with what each expects of its entity; only the first of an entity may expect.
    pub(crate) async fn append(&self, events: &[NewEvent]) -> Result<Stored, AppendError> {
        let Some(first) = events.first() else {
            return Err(AppendError::Refused("a commit without events".to_owned()));
        };
        let mut entities: Vec<Box<str>> = Vec::new();
        let mut guards = Vec::new();
        let mut messages = Vec::with_capacity(events.len());
        for (n, event) in events.iter().enumerate() {
            let entity = format!("{}.{}", event.type_name.context(), event.entity);
            let is_first = !entities.iter().any(|known| **known == *entity);
            if let Some(sequence) = event.expected {
                if !is_first {
                    let reason =
                        format!("/events/{n}  only the first event of an entity can expect a position");
                    return Err(AppendError::Refused(reason));
                }
                guards.push((n, Guard { subject: format!("{}.event.{entity}.*", self.domain), sequence }));
            }
            messages.push(StoredMessage {
                subject: format!("{}.event.{entity}.{}", self.domain, event.type_name.name()),
                key: key("event", event.msg.metadata.sender.as_ref(), event.msg.id),
                payload: Bytes::from(event.msg.to_cbor()),
                ttl_s: None,
            });
            if is_first {
                entities.push(entity.into());
            }
        }
        // A sender that asks again before it was answered must not have the same in the line twice: under load that
        // makes the line longer, and so more senders ask again.
        let mut arriving = Arriving::begin(self, &mut self.lock(), &messages[0].key)?;
        let drawn = first.msg.id.time().map(|time| time.unix_ms());
        // How a command ended is in the index; of other events nothing is remembered but what the log says.
        let is_late = first.msg.hop.commit.is_none()
            && drawn.is_some_and(|drawn| drawn.saturating_add(REPEAT_AGE_MS) < now_ms());
        let since_ms = drawn.unwrap_or(0);
        let may_be_stored = guards.is_empty() && (arriving.is_uncertain || is_late);
        let commit = Commit { entities, guards, messages, since_ms, may_be_stored };
        let stored = arriving.store(&self.event_appender, commit).await?;
        if stored.duplicate {
            self.same(first, stored.first).await?;
        }
        Ok(stored)
    }

    /// Whether what stands at `sequence` under the id of `event` is that event: an id names one message.
    async fn same(&self, event: &NewEvent, sequence: u64) -> Result<(), AppendError> {
        let Some(stored) = self.read_event(sequence).await? else { return Ok(()) };
        let is_same = match (&stored.content, &event.msg.content) {
            (Some(DomainContent::Event(stored)), Some(DomainContent::Event(given))) => {
                // A handler that ran twice may have said other words the second time; the first stay.
                let is_caused = event.msg.hop.commit.is_some();
                stored.type_name == given.type_name
                    && stored.entity == given.entity
                    && (is_caused || stored.body == given.body)
            }
            _ => false,
        };
        if is_same {
            return Ok(());
        }
        let (id, position) = (event.msg.id, self.position(sequence));
        Err(AppendError::Refused(format!(
            "/id  {id} is the id of another event, at position {position}; an id names one message"
        )))
    }

    /// Stores a command, once per id: a repeat of one that waits or ended answers with the first's place.
    pub(crate) async fn store_command(
        &self,
        subject: String,
        msg: &Msg,
        record: PendingCommand,
    ) -> Result<Stored, AppendError> {
        let id = msg.id;
        let key = key("command", msg.metadata.sender.as_ref(), id);
        let mut arriving = {
            let mut memory = self.lock();
            if record.origin().is_some_and(|origin| memory.is_of_another(&id, origin)) {
                let reason = format!("/id  {id} is the id of another command; an id names one message");
                return Err(AppendError::Refused(reason));
            }
            if let Some(sequence) = memory.pending.sequence_of(&id) {
                return Ok(Stored { first: sequence, duplicate: true });
            }
            if memory.outcomes.get(&id).is_some() {
                return Ok(Stored { first: 0, duplicate: true });
            }
            if memory.pending.is_full() {
                return Err(AppendError::Busy(pending::PENDING_MAX));
            }
            Arriving::begin(self, &mut memory, &key)?
        };
        let message = StoredMessage { subject, key, payload: Bytes::from(msg.to_cbor()), ttl_s: None };
        let commit = Commit {
            entities: Vec::new(),
            guards: Vec::new(),
            messages: vec![message],
            since_ms: id.time().map_or(0, |time| time.unix_ms()),
            may_be_stored: arriving.is_uncertain,
        };
        let stored = arriving.store(&self.command_appender, commit).await;
        if let Ok(stored) = &stored {
            let mut memory = self.lock();
            if memory.outcomes.get(&id).is_none() {
                memory.pending.insert(stored.first, record);
            }
        }
        stored
    }

    /// Whether `command` is known to be of another sender or type.
    pub(crate) fn is_of_another(&self, command: &MsgId, origin: Origin) -> bool {
        self.lock().is_of_another(command, origin)
    }

    /// Whether the command is waiting.
    pub(crate) fn is_pending(&self, command: &MsgId) -> bool {
        self.lock().pending.sequence_of(command).is_some()
    }

    /// How the command ended, if it did and is remembered.
    pub(crate) fn ending(&self, command: &MsgId) -> Option<Ending> {
        self.lock().outcomes.get(command).cloned()
    }

    /// The command at `sequence` of the command stream, from memory or from the stream: a handler can be faster than
    /// the acknowledgement that this node waits for. `None` where it is gone, since it ended.
    pub(crate) async fn command_at(&self, sequence: u64) -> Result<Option<PendingCommand>, AppendError> {
        if let Some(command) = self.lock().pending.at(sequence).cloned() {
            return Ok(Some(command));
        }
        Ok(self.read_command(sequence).await?.as_ref().and_then(recovery::pending))
    }

    /// The stored command itself.
    pub(crate) async fn read_command(&self, sequence: u64) -> Result<Option<Msg>, AppendError> {
        read_message(&self.commands, sequence).await
    }

    /// A stored event.
    pub(crate) async fn read_event(&self, sequence: u64) -> Result<Option<Msg>, AppendError> {
        read_message(&self.events, sequence).await
    }

    /// The name of the stream of events.
    pub(crate) fn event_stream_name(&self) -> &str {
        &self.events.cached_info().config.name
    }

    /// The stream of events with what it holds now.
    pub(crate) async fn event_stream(&self) -> Result<Stream, AppendError> {
        jetstream::new(self.client.clone())
            .get_stream(self.event_stream_name())
            .await
            .map_err(|e| AppendError::Unavailable { reason: e.to_string(), may_have_happened: false })
    }

    /// Asks for the right to end `command`.
    pub(crate) fn standing(&self, command: MsgId) -> Standing<'_> {
        let mut memory = self.lock();
        if let Some(ending) = memory.outcomes.get(&command) {
            return Standing::Ended(ending.clone());
        }
        if !memory.ending.insert(command) {
            return Standing::Busy;
        }
        drop(memory);
        Standing::Open(EndingRight { log: self, command })
    }

    /// Stores the ending of a command that caused no event. It goes after the time outcomes are kept, unless it is a
    /// dead letter, which holds the command itself and stays.
    pub(crate) async fn store_ending(
        &self,
        type_name: &TypeName,
        command: MsgId,
        record: &recovery::EndingRecord,
    ) -> Result<Stored, AppendError> {
        let subject =
            format!("{}.outcome.{}.{}.{command}", self.domain, type_name.context(), type_name.name());
        let dead = matches!(record.state, recovery::EndingState::Dead);
        let message = StoredMessage {
            subject: subject.clone(),
            // The ending has no id of its own: one per command, so the command's id names it.
            key: format!("ending:{command}"),
            payload: record.to_cbor(),
            ttl_s: (!dead).then_some(ENDING_STORED_S),
        };
        let guards = vec![(0, Guard { subject, sequence: 0 })];
        let (entities, messages) = (Vec::new(), vec![message]);
        let commit = Commit { entities, guards, messages, since_ms: 0, may_be_stored: false };
        self.event_appender.append(commit).await
    }

    /// Remembers that `command` ended; wakes who waits for it.
    pub(crate) fn ended(&self, command: &PendingCommand, ending: Ending) {
        let (command, origin) = (command.id, command.origin());
        let waiters = {
            let mut memory = self.lock();
            let Memory { outcomes, pending, .. } = &mut *memory;
            let is_waiting = |command: &MsgId| pending.sequence_of(command).is_some();
            outcomes.insert(command, ending, origin, now_ms(), is_waiting);
            let waiters = memory.waiters.remove(&command).unwrap_or_default();
            memory.waiters_total -= waiters.len();
            waiters
        };
        for waiter in waiters {
            let _ = waiter.send(());
        }
    }

    /// Counts a try of the command at `sequence` that failed.
    pub(crate) fn try_failed(&self, sequence: u64) {
        self.lock().pending.failed(sequence);
    }

    /// A wait for the end of `command`, or `None` where it ended already or too many wait.
    pub(crate) fn wait_for(&self, command: MsgId) -> Option<oneshot::Receiver<()>> {
        let mut memory = self.lock();
        if memory.outcomes.get(&command).is_some() || memory.waiters_total >= OUTCOME_WAITERS_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let waiters = memory.waiters.entry(command).or_default();
        let before = waiters.len();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        let after = waiters.len();
        memory.waiters_total = memory.waiters_total + after - before;
        Some(receiver)
    }

    /// Drops the waits of `command` that nobody holds any more.
    pub(crate) fn sweep_waiters(&self, command: &MsgId) {
        let mut memory = self.lock();
        if let Some(waiters) = memory.waiters.get_mut(command) {
            let before = waiters.len();
            waiters.retain(|waiter| !waiter.is_closed());
            let after = waiters.len();
            if after == 0 {
                memory.waiters.remove(command);
            }
            memory.waiters_total -= before - after;
        }
    }
}

/// What a stream recognises a repeat of a message by. `:` is in no name.
fn key(kind: &str, sender: Option<&ServiceName>, id: MsgId) -> String {
    format!("{kind}:{}:{id}", sender.map(ServiceName::as_str).unwrap_or_default())
}

async fn read_message(stream: &Stream, sequence: u64) -> Result<Option<Msg>, AppendError> {
    let unavailable = |reason: String| AppendError::Unavailable { reason, may_have_happened: false };
    match stream.direct_get(sequence).await {
        Ok(message) => Msg::from_cbor(&message.payload)
            .map(Some)
            .map_err(|e| AppendError::Refused(format!("the stored message {sequence} cannot be read: {e}"))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(error.to_string())),
    }
}

/// Names this life of the stream: a stream that was deleted and made again counts from 1 again, and a position of its
/// former life must not match.
fn incarnation(stream: &Stream) -> String {
    let info = stream.cached_info();
    let created = info.created.unix_timestamp_nanos();
    let digest =
        ring::digest::digest(&ring::digest::SHA256, format!("{}@{created}", info.config.name).as_bytes());
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    digest.as_ref()[..8].iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}
