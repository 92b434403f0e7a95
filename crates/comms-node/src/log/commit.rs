//! What is written to a stream as one: messages that are stored together, in order, or not at all.

use async_nats::HeaderMap;
use bytes::Bytes;
use comms_msg::limits::MSG_BYTES_MAX;

use crate::share::OverShare;

/// Messages in one commit at most: more is a bulk load, not the effect of one command.
pub(crate) const COMMIT_MESSAGES_MAX: usize = 100;

/// One message to store.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub(crate) subject: String,
    /// What the stream recognises a repeat by. It holds the sender, so that nobody's id stands in another's way.
    pub(crate) key: String,
    pub(crate) payload: Bytes,
    /// Seconds after which the server drops it; events have none and stay.
    pub(crate) ttl_s: Option<u64>,
}

impl StoredMessage {
    /// A message that others will read, who take none over [`MSG_BYTES_MAX`]. What doors and log filled in counts.
    pub(crate) fn readable(
        subject: String,
        key: String,
        payload: Bytes,
    ) -> Result<StoredMessage, AppendError> {
        if payload.len() > MSG_BYTES_MAX {
            return Err(AppendError::TooLarge(format!(
                "{} bytes with what is filled in where it is stored; at most {MSG_BYTES_MAX}",
                payload.len()
            )));
        }
        Ok(StoredMessage { subject, key, payload, ttl_s: None })
    }
}

/// What must hold in the stream when the commit is stored: the last message under `subject`, which may hold
/// wildcards, has this sequence; 0 is no message at all.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
}

/// One commit. Never empty.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// The entities its order matters to.
    pub(crate) entities: Vec<Box<str>>,
    /// What is expected, each on the first message of its entity.
    pub(crate) guards: Vec<(usize, Guard)>,
    pub(crate) messages: Vec<StoredMessage>,
    /// It stands behind this sequence, if it is stored.
    pub(crate) after: u64,
    /// Whether it may have been stored before this call, and longer ago than the server remembers.
    pub(crate) may_be_stored: bool,
}

impl Commit {
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(|m| m.payload.len() + m.subject.len()).sum()
    }

    /// The headers of message `n`: its key for the server's window of duplicates, and its expectation. `last` is what
    /// the first message must find under its own subject, where it is sent again.
    pub(crate) fn headers(&self, n: usize, last: Option<u64>) -> HeaderMap {
        let message = &self.messages[n];
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, message.key.as_str());
        if let Some(seconds) = message.ttl_s {
            headers.insert("Nats-TTL", format!("{seconds}s"));
        }
        if let Some((_, guard)) = self.guards.iter().find(|(at, _)| *at == n) {
            headers.insert("Nats-Expected-Last-Subject-Sequence", guard.sequence.to_string());
            if guard.subject != message.subject {
                headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", guard.subject.clone());
            }
        } else if let (0, Some(last)) = (n, last) {
            headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
        }
        headers
    }
}

/// Where a commit stands: `first` and the following, one message each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) first: u64,
    /// It stood there before this call.
    pub(crate) duplicate: bool,
}

/// Why a commit is not stored, or not known to be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AppendError {
    /// Somebody wrote to the entity in between. `actual` is the sequence of its last message, 0 for none.
    #[error("the entity moved on: its last event is at {actual}")]
    Conflict { actual: u64 },
    /// As many commits wait as may; nothing was sent.
    #[error("{0} commits wait already")]
    Busy(usize),
    /// The sender has its share of the queue; nothing was sent.
    #[error("{0}")]
    Over(OverShare),
    /// The same message is being stored for an earlier request; ask again to hear how that ends.
    #[error("a message with this id is being stored right now")]
    Underway,
    /// The stream did not answer within the time for retries.
    #[error("the event log does not answer: {reason}")]
    Unavailable { reason: String, may_have_happened: bool },
    /// There is no room for it, and will be none before somebody makes room; nothing was stored.
    #[error("there is no room: {0}")]
    Full(String),
    /// It is larger than the stream takes; nothing was stored.
    #[error("it is too large: {0}")]
    TooLarge(String),
    /// The stream is not there, or not as the node made it: somebody must look at nats-server's store.
    #[error("the stream is not as it was made: {0}")]
    Gone(String),
    /// The server refuses this commit as it is.
    #[error("the event log refused it: {0}")]
    Refused(String),
}
