//! Storing events: once each, whole, and what comes again is answered from the log.

use bytes::Bytes;
use comms_msg::{DomainContent, EntityId, Filled, Kind, Msg, MsgKey, TypeName};

use super::EventLog;
use super::arrivals::Turned;
use super::commit::{AppendError, Commit, Guard, Stored, StoredMessage};
use super::ending;
use super::index::{Entry, RECENT_MAX};
use super::sameness;
use crate::clock::now_ms;

/// An event that passed its door.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) key: MsgKey,
    pub(crate) entity: EntityId,
    pub(crate) type_name: TypeName,
    pub(crate) msg: Msg,
    /// What the door filled in, which a repeat need not agree in.
    pub(crate) filled: Filled,
    /// The sequence its entity's last event must have; 0 for an entity without events.
    pub(crate) expected: Option<u64>,
}

impl NewEvent {
    /// The event in `msg`; `None` if it holds no event with a sender.
    pub(crate) fn of(msg: Msg, filled: Filled, expected: Option<u64>) -> Option<NewEvent> {
        let Some(DomainContent::Event(event)) = &msg.content else { return None };
        let (entity, type_name) = (event.entity.clone(), event.type_name.clone());
        let key = MsgKey::new(Kind::Event, msg.metadata.sender.as_ref()?, &type_name, msg.id);
        Some(NewEvent { key, entity, type_name, msg, filled, expected })
    }
}

/// Where events stand, and what stands there.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) stored: Stored,
    /// The events as they are in the log, one for each that was given.
    pub(crate) events: Vec<Msg>,
}

/// The right to bring messages into the log, held by one request at a time.
struct Arriving<'a> {
    log: &'a EventLog,
    keys: Vec<MsgKey>,
    /// Where they may have been stored, by an earlier request or by this one: behind this sequence.
    after: Option<u64>,
}

impl<'a> Arriving<'a> {
    fn begin(log: &'a EventLog, keys: Vec<MsgKey>) -> Result<Self, AppendError> {
        if log.index.is_full() {
            return Err(AppendError::Busy(RECENT_MAX));
        }
        match log.lock().arrivals.begin(&keys) {
            Ok(after) => Ok(Self { log, keys, after }),
            Err(Turned::Underway) => Err(AppendError::Underway),
            Err(Turned::Full) => Err(AppendError::Busy(super::arrivals::UNCERTAIN_MAX)),
        }
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.log.lock().arrivals.end(&self.keys, self.after, now_ms());
    }
}

impl EventLog {
    /// Stores the events of one commit, with what each expects of its entity; only the first of an entity may expect.
    /// What stands there already is answered as it stands there, if it is the same; `tries` is told with a command
    /// that ends by this.
    pub(crate) async fn append(&self, events: Vec<NewEvent>, tries: u32) -> Result<Appended, AppendError> {
        if events.is_empty() {
            return Err(AppendError::Refused("a commit without events".to_owned()));
        }
        let keys: Vec<MsgKey> = events.iter().map(|event| event.key).collect();
        for (n, key) in keys.iter().enumerate() {
            if keys[..n].contains(key) {
                let id = events[n].msg.id;
                return Err(AppendError::Refused(format!("/events/{n}/id  {id} is in this request before")));
            }
        }
        let mut arriving = Arriving::begin(self, keys)?;
        if let Some(found) = self.found(&arriving.keys)? {
            // Whoever stored it is done with it, and nothing is in doubt any more.
            arriving.after = None;
            return self.repeated(&events, &found).await;
        }
        let commit = self.commit(&events, arriving.after)?;
        // Said before the wait: who stops waiting leaves it open.
        let earlier = arriving.after;
        let before = *arriving.after.get_or_insert(self.index.high());
        let stored = self.events.append(commit).await;
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                let is_open = matches!(error, AppendError::Unavailable { may_have_happened: true, .. });
                // An earlier doubt stays where this says nothing about it.
                arriving.after = if is_open { Some(before) } else { earlier };
                return Err(error);
            }
        };
        if stored.duplicate {
            let found: Vec<_> = (stored.first..).take(events.len()).map(Some).collect();
            let repeated = self.repeated(&events, &found).await?;
            self.remember(&repeated.events, stored.first, tries);
            arriving.after = None;
            return Ok(repeated);
        }
        let events = events.into_iter().map(|event| event.msg).collect::<Vec<_>>();
        self.remember(&events, stored.first, tries);
        arriving.after = None;
        Ok(Appended { stored, events })
    }

    /// What the index is told of events that stand at `first` and behind it.
    fn remember(&self, events: &[Msg], first: u64, tries: u32) {
        let mut entries = Vec::with_capacity(events.len() + 1);
        for (msg, sequence) in events.iter().zip(first..) {
            entries_of(msg, sequence, tries, &mut entries);
        }
        self.index.note(entries, first, first + events.len() as u64 - 1);
    }

    /// Where each of `keys` stands, if one of them does.
    fn found(&self, keys: &[MsgKey]) -> Result<Option<Vec<Option<u64>>>, AppendError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(match self.look_up(key)? {
                Some(Entry::Event(sequence)) => Some(sequence),
                Some(Entry::Ended(_)) | None => None,
            });
        }
        Ok(found.iter().any(Option::is_some).then_some(found))
    }

    /// The answer to events of which some stand at `found`: all of them do, next to each other, and are the same; else
    /// they are refused, since an id names one message and what is sent together is stored together.
    async fn repeated(&self, events: &[NewEvent], found: &[Option<u64>]) -> Result<Appended, AppendError> {
        let first = found.first().copied().flatten();
        let apart = |place: &str, id| {
            AppendError::Refused(format!(
                "{place}/id  {id} is not stored beside them, while others of this request are, and they were not stored \
                 together; send what is new with an id of its own"
            ))
        };
        let mut stored = Vec::with_capacity(events.len());
        for (n, (event, at)) in events.iter().zip(found).enumerate() {
            let place = if events.len() == 1 { String::new() } else { format!("/events/{n}") };
            let id = event.msg.id;
            let Some(sequence) = at.filter(|at| first.is_some_and(|first| *at == first + n as u64)) else {
                return Err(apart(&place, id));
            };
            let Some(there) = self.read_event(sequence).await? else {
                return Err(AppendError::Unavailable {
                    reason: format!(
                        "event {id} was stored at {} and cannot be read there",
                        self.position(sequence)
                    ),
                    may_have_happened: true,
                });
            };
            if there.id != id {
                return Err(apart(&place, id));
            }
            if !stands_there(event, &there) {
                let position = self.position(sequence);
                return Err(AppendError::Refused(format!(
                    "{place}/id  {id} is the id of another event, at position {position}; an id names one message"
                )));
            }
            stored.push(there);
        }
        let first = first.expect("every event was found above");
        Ok(Appended { stored: Stored { first, duplicate: true }, events: stored })
    }

    fn commit(&self, events: &[NewEvent], after: Option<u64>) -> Result<Commit, AppendError> {
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
            let subject = format!("{}.event.{entity}.{}", self.domain, event.type_name.name());
            let payload = Bytes::from(event.msg.to_cbor());
            messages.push(StoredMessage::readable(subject, event.key.to_string(), payload)?);
            if is_first {
                entities.push(entity.into());
            }
        }
        let may_be_stored = after.is_some();
        let after = after.unwrap_or_else(|| self.index.high());
        Ok(Commit { entities, guards, messages, after, may_be_stored })
    }
}

/// What is to be known of an event at `sequence`.
pub(super) fn entries_of(msg: &Msg, sequence: u64, tries: u32, entries: &mut Vec<(MsgKey, Entry)>) {
    let Some(DomainContent::Event(event)) = &msg.content else { return };
    if let Some(sender) = &msg.metadata.sender {
        let key = MsgKey::new(Kind::Event, sender, &event.type_name, msg.id);
        entries.push((key, Entry::Event(sequence)));
    }
    if let Some((key, ended)) = ending::of_event(msg, sequence, tries) {
        entries.push((key, Entry::Ended(ended)));
    }
}

/// Whether `event` is what stands there, what the door filled in apart.
fn stands_there(event: &NewEvent, there: &Msg) -> bool {
    // What a command ended with is an event of its commit and nothing else, whatever somebody stored under that id
    // before. A handler that ran twice may have said other words the second time; the first stay.
    if event.msg.hop.commit.is_some() {
        return there.hop.commit.is_some()
            && event.msg.metadata.causation == there.metadata.causation
            && event.msg.hop.command == there.hop.command;
    }
    sameness::is_same(&event.msg, &event.filled, there)
}
