//! A stream in memory, for tests and fuzzing: sequences from 1 on, expectations of a subject, commits that are stored
//! whole or not at all, messages that leave a queue. No part of what is handed out.
//!
//! It behaves as a stream of nats-server whose window of duplicates is over: a repeat is known only where a commit says
//! that it may be stored, so that nothing but the log itself keeps a message from being stored twice. An answer can be
//! [lost](MemoryStream::lose_answers), as one of a server that dies behind its sync.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use bytes::Bytes;
use comms_domain::limits::STORED_BYTES_MAX;
use comms_msg::Filter;

use super::super::commit::{AppendError, Commit, Guard, Stored, StoredMessage};
use super::super::direct_read::Found;
use super::Consumed;
use crate::Error;
use crate::witness::{Pen, Witness};

/// What headers take of a stored message, beside its key.
const HEADER_BYTES: usize = 256;

/// See the header: the stream as one journal has it open.
#[derive(Debug)]
pub(super) struct Memory {
    pen: Pen,
    stream: MemoryStream,
}

/// What outlives the journal. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStream(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    messages: BTreeMap<u64, StoredMessage>,
    last: u64,
    consumers: BTreeMap<String, push::Config>,
    loses_answers: bool,
}

impl MemoryStream {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that stands there, by its sequence.
    pub(crate) fn all(&self) -> BTreeMap<u64, StoredMessage> {
        self.lock().messages.clone()
    }

    /// From now on answers to appends come or do not.
    pub(crate) fn lose_answers(&self, loses: bool) {
        self.lock().loses_answers = loses;
    }

    /// The consumer of that name.
    pub(crate) fn consumer(&self, name: &str) -> Option<push::Config> {
        self.lock().consumers.get(name).cloned()
    }
}

impl Memory {
    /// Opens a stream that `witness` knows under `name`.
    pub(super) fn open(stream: MemoryStream, name: &str, witness: &Witness) -> Result<Memory, Error> {
        let pen = witness.pen(name).ok_or_else(|| Error::StreamGone { name: name.to_owned() })?;
        Ok(Memory { pen, stream })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.stream.lock()
    }

    pub(super) async fn append(&self, commit: Commit) -> Result<Stored, AppendError> {
        // Others run while it is on its way, as they do with a server.
        tokio::task::yield_now().await;
        let (stored, is_lost) = {
            let mut held = self.lock();
            (held.store(&commit), held.loses_answers)
        };
        tokio::task::yield_now().await;
        if is_lost {
            let reason = "the answer was lost".to_owned();
            return Err(AppendError::Unavailable { reason, may_have_happened: true });
        }
        let stored = stored?;
        self.pen.witness(std::iter::once((&commit, &stored))).map_err(|reason| AppendError::Unavailable {
            reason: reason.to_string(),
            may_have_happened: true,
        })?;
        Ok(stored)
    }

    pub(super) fn payload(&self, sequence: u64) -> Option<Bytes> {
        self.lock().messages.get(&sequence).map(|message| message.payload.clone())
    }

    pub(super) fn subject(&self, sequence: u64) -> Option<String> {
        self.lock().messages.get(&sequence).map(|message| message.subject.to_string())
    }

    pub(super) fn last(&self, subject: &str) -> Option<(u64, Bytes)> {
        let held = self.lock();
        let mut under =
            held.messages.iter().rev().filter(|(_, message)| Filter::text_matches(subject, &message.subject));
        under.next().map(|(sequence, message)| (*sequence, message.payload.clone()))
    }

    pub(super) fn read(&self, from: u64, mut each: impl FnMut(Found<'_>)) {
        let (messages, headers) = (self.stream.all(), HeaderMap::new());
        for (sequence, StoredMessage { subject, key, payload, .. }) in messages.range(from..) {
            each(Found { sequence: *sequence, subject, key: Some(key), payload, headers: &headers });
        }
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.lock().last
    }

    pub(super) fn first_sequence(&self) -> u64 {
        let held = self.lock();
        held.messages.keys().next().copied().unwrap_or(held.last + 1)
    }

    /// A message that is not there is as good as taken out.
    pub(super) fn take_out(&self, sequence: u64) -> bool {
        self.lock().messages.remove(&sequence);
        true
    }

    pub(super) fn consume(&self, consumer: push::Config) -> Result<Consumed, String> {
        let filters = &consumer.filter_subjects;
        for (n, filter) in filters.iter().enumerate() {
            if filters[..n]
                .iter()
                .any(|other| Filter::text_matches(other, filter) || Filter::text_matches(filter, other))
            {
                return Err("consumer subject filters cannot overlap".to_owned());
            }
        }
        let mut held = self.lock();
        let from = match consumer.deliver_policy {
            DeliverPolicy::All => 1,
            DeliverPolicy::ByStartSequence { start_sequence } => start_sequence,
            // No times are kept here: nothing that is stored counts as later than any.
            _ => held.last + 1,
        };
        let is_meant = |message: &StoredMessage| {
            filters.iter().any(|filter| Filter::text_matches(filter, &message.subject))
        };
        let waiting = held.messages.range(from..).filter(|(_, message)| is_meant(message)).count() as u64;
        if let Some(name) = consumer.name.clone() {
            held.consumers.insert(name, consumer);
        }
        Ok(Consumed { waiting, after: from.saturating_sub(1) })
    }

    pub(super) fn consumers(&self) -> HashSet<String> {
        self.lock().consumers.keys().cloned().collect()
    }
}

impl Held {
    fn store(&mut self, commit: &Commit) -> Result<Stored, AppendError> {
        if commit.may_be_stored
            && let Some(first) = self.find(commit)
        {
            return Ok(Stored { first, duplicate: true });
        }
        for (_, Guard { subject, sequence }) in &commit.guards {
            let actual = self.last_under(subject);
            if actual != *sequence {
                // It may be this very commit that moved the subject on.
                let own = self.find(commit).map(|first| Stored { first, duplicate: true });
                return own.ok_or(AppendError::Conflict { actual });
            }
        }
        let max = usize::try_from(STORED_BYTES_MAX).unwrap_or(0);
        let bytes = |message: &StoredMessage| message.payload.len() + message.key.len() + HEADER_BYTES;
        if commit.messages.iter().any(|message| bytes(message) > max) {
            return Err(AppendError::TooLarge("message size exceeds maximum allowed".to_owned()));
        }
        let first = self.last + 1;
        for message in &commit.messages {
            self.last += 1;
            self.messages.insert(self.last, message.clone());
        }
        Ok(Stored { first, duplicate: false })
    }

    /// Where the commit stands, if it does: looked for as `presence.rs` has it.
    fn find(&self, commit: &Commit) -> Option<u64> {
        let (from, subject) = match commit.guards.first() {
            Some((_, guard)) => (guard.sequence, &guard.subject),
            None => (commit.after, &commit.messages[0].subject),
        };
        let behind = self.messages.range(from.checked_add(1)?..);
        let mut under = behind.filter(|(_, message)| Filter::text_matches(subject, &message.subject));
        under.find_map(|(sequence, message)| {
            let n = commit.messages.iter().position(|one| one.key == message.key)?;
            Some(sequence.saturating_sub(n as u64).max(1))
        })
    }

    fn last_under(&self, subject: &str) -> u64 {
        let mut under =
            self.messages.iter().rev().filter(|(_, message)| Filter::text_matches(subject, &message.subject));
        under.next().map_or(0, |(sequence, _)| *sequence)
    }
}
