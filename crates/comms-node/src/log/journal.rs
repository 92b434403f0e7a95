//! One stream that this node alone writes: append, read, tail. What aggregates, projections and the state of commands
//! stand on.
//!
//! A position names a place in one life of the stream: a stream that was deleted and made again counts from 1 again, and
//! a position of its former life must not match.

use std::ops::ControlFlow;

use async_nats::jetstream;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind, Stream};
use bytes::Bytes;
use comms_msg::{Expect, Msg, Position};

use super::appender::{Appender, Writer};
use super::commit::{AppendError, Commit, Stored};
use super::direct_read::{self, Found};
use crate::Error;
use crate::condition::Condition;
use crate::witness::Witness;

/// See the header.
#[derive(Debug)]
pub(crate) struct Journal {
    client: async_nats::Client,
    name: String,
    incarnation: String,
    stream: Stream,
    appender: Appender,
}

impl Journal {
    /// The journal on the stream called `name`, which must exist. Run the writer until it returns.
    pub(crate) async fn open(
        client: &async_nats::Client,
        name: &str,
        condition: Condition,
        witness: &Witness,
    ) -> Result<(Journal, Writer), Error> {
        let stream = stream(client, name).await?;
        let (appender, writer) = Appender::open(client.clone(), name, condition, witness).await?;
        let incarnation = life(witness, name)?;
        let (client, name) = (client.clone(), name.to_owned());
        Ok((Journal { client, name, incarnation, stream, appender }, writer))
    }

    /// The name of the stream.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// This life of the stream, as it is in every position.
    pub(crate) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// The position of `sequence`.
    pub(crate) fn position(&self, sequence: u64) -> Position {
        Position::new(&self.incarnation, sequence).expect("an incarnation is made of position characters")
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
                "/hop/expect  position {position} is not of this log ({}); ask for the entity's position here",
                self.incarnation
            )),
        }
    }

    /// Stores `commit`. Returns when it is on disk, is known not to be, or cannot be known in time.
    pub(crate) async fn append(&self, commit: Commit) -> Result<Stored, AppendError> {
        self.appender.append(commit).await
    }

    /// The message at `sequence`, or `None` where there is none (any more).
    pub(crate) async fn message(&self, sequence: u64) -> Result<Option<Msg>, AppendError> {
        match self.stream.direct_get(sequence).await {
            Ok(message) => Msg::from_cbor(&message.payload).map(Some).map_err(|e| {
                AppendError::Refused(format!("the stored message {sequence} cannot be read: {e}"))
            }),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(silent(error)),
        }
    }

    /// The last message under `subject`: its sequence and what it says.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<(u64, Bytes)>, AppendError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(silent(error)),
        }
    }

    /// Calls `each` with every message behind `after` that stands there now, in order.
    pub(crate) async fn read(&self, after: u64, mut each: impl FnMut(Found<'_>)) -> Result<(), AppendError> {
        let Some(from) = after.checked_add(1) else { return Ok(()) };
        direct_read::read(&self.client, &self.name, ">", from, |found| {
            each(found);
            ControlFlow::Continue(())
        })
        .await
        .map_err(|reason| AppendError::Unavailable { reason, may_have_happened: false })
    }

    /// The last sequence that the stream has given out.
    pub(crate) async fn last_sequence(&self) -> Result<u64, AppendError> {
        self.stream.get_info().await.map(|info| info.state.last_sequence).map_err(silent)
    }

    /// The stream with what it holds now.
    pub(crate) async fn fresh(&self) -> Result<Stream, AppendError> {
        jetstream::new(self.client.clone()).get_stream(&self.name).await.map_err(silent)
    }
}

/// The stream called `name`.
pub(crate) async fn stream(client: &async_nats::Client, name: &str) -> Result<Stream, Error> {
    jetstream::new(client.clone())
        .get_stream(name)
        .await
        .map_err(|e| Error::Stream { name: name.to_owned(), source: Box::new(e) })
}

/// The name of the present life of a stream, as the witness has it.
pub(crate) fn life(witness: &Witness, stream: &str) -> Result<String, Error> {
    witness
        .incarnation(stream)
        .map(str::to_owned)
        .ok_or_else(|| Error::StreamGone { name: stream.to_owned() })
}

fn silent(error: impl std::fmt::Display) -> AppendError {
    AppendError::Unavailable { reason: error.to_string(), may_have_happened: false }
}
