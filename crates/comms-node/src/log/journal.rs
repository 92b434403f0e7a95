//! One stream that this node alone writes: append, read, tail. What aggregates, projections and the state of commands
//! stand on.
//!
//! A position names a place in one life of the stream: a stream that was deleted and made again counts from 1 again, and
//! a position of its former life must not match.
//!
//! The stream is one of nats-server's ([`Server`]). Tests that must run many logs in a moment have one in memory that
//! behaves as that one does; it is no part of what is handed out.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod memory;
mod server;

use std::collections::HashSet;
use std::ops::ControlFlow;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::push;
use bytes::Bytes;
use comms_msg::{Expect, Msg, Position};

#[cfg(any(test, feature = "fuzzing"))]
use self::memory::{Memory, MemoryStream};
use self::server::Server;
use super::appender::Writer;
use super::commit::{AppendError, Commit, Stored};
use super::direct_read::Found;
use crate::Error;
use crate::condition::Condition;
use crate::witness::Witness;

/// See the header.
#[derive(Debug)]
pub(crate) struct Journal {
    name: String,
    incarnation: String,
    store: Store,
}

/// Where the messages are.
#[derive(Debug)]
#[cfg_attr(
    any(test, feature = "fuzzing"),
    expect(
        clippy::large_enum_variant,
        reason = "there are two of them in a node, and one variant in what is handed out"
    )
)]
enum Store {
    Server(Server),
    #[cfg(any(test, feature = "fuzzing"))]
    Memory(Memory),
}

/// A consumer that was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consumed {
    /// How many messages wait for it already.
    pub(crate) waiting: u64,
    /// It begins behind this sequence.
    pub(crate) after: u64,
}

impl Journal {
    /// The journal on the stream called `name`, which must exist. Run the writer until it returns.
    pub(crate) async fn open(
        client: &async_nats::Client,
        name: &str,
        condition: Condition,
        witness: &Witness,
    ) -> Result<(Journal, Writer), Error> {
        let (server, writer) = Server::open(client, name, condition, witness).await?;
        let incarnation = life(witness, name)?;
        Ok((Journal { name: name.to_owned(), incarnation, store: Store::Server(server) }, writer))
    }

    /// The same of a queue, and where the stream confirms what was taken out of it.
    pub(crate) async fn open_queue(
        client: &async_nats::Client,
        name: &str,
        condition: Condition,
        witness: &Witness,
    ) -> Result<(Journal, Writer, Subscriber), Error> {
        let (server, writer) = Server::open(client, name, condition, witness).await?;
        let confirmed = server.confirmed().await?;
        let incarnation = life(witness, name)?;
        Ok((Journal { name: name.to_owned(), incarnation, store: Store::Server(server) }, writer, confirmed))
    }

    /// The journal on a stream in memory that `witness` knows under `name`.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn in_memory(stream: MemoryStream, name: &str, witness: &Witness) -> Result<Journal, Error> {
        let store = Store::Memory(Memory::open(stream, name, witness)?);
        Ok(Journal { name: name.to_owned(), incarnation: life(witness, name)?, store })
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
        match &self.store {
            Store::Server(server) => server.append(commit).await,
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => memory.append(commit).await,
        }
    }

    /// The message at `sequence`, or `None` where there is none (any more).
    pub(crate) async fn message(&self, sequence: u64) -> Result<Option<Msg>, AppendError> {
        let payload = match &self.store {
            Store::Server(server) => server.payload(sequence).await?,
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => memory.payload(sequence),
        };
        let Some(payload) = payload else { return Ok(None) };
        Msg::from_cbor(&payload)
            .map(Some)
            .map_err(|e| AppendError::Refused(format!("the stored message {sequence} cannot be read: {e}")))
    }

    /// The subject of the message at `sequence`, or `None` where there is none (any more).
    pub(crate) async fn subject(&self, sequence: u64) -> Result<Option<String>, AppendError> {
        match &self.store {
            Store::Server(server) => server.subject(sequence).await,
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => Ok(memory.subject(sequence)),
        }
    }

    /// The last message under `subject`: its sequence and what it says.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<(u64, Bytes)>, AppendError> {
        match &self.store {
            Store::Server(server) => server.last(subject).await,
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => Ok(memory.last(subject)),
        }
    }

    /// Calls `each` with every message behind `after` that stands there now, in order.
    pub(crate) async fn read(&self, after: u64, mut each: impl FnMut(Found<'_>)) -> Result<(), AppendError> {
        let Some(from) = after.checked_add(1) else { return Ok(()) };
        match &self.store {
            Store::Server(server) => {
                let all = |found: Found<'_>| {
                    each(found);
                    ControlFlow::Continue(())
                };
                server.read(&self.name, from, all).await
            }
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => {
                memory.read(from, each);
                Ok(())
            }
        }
    }

    /// The last sequence that the stream has given out.
    pub(crate) async fn last_sequence(&self) -> Result<u64, AppendError> {
        match &self.store {
            Store::Server(server) => server.state().await.map(|state| state.last_sequence),
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => Ok(memory.last_sequence()),
        }
    }

    /// The first sequence that the stream still holds, or a later one where it holds nothing.
    pub(crate) async fn first_sequence(&self) -> Result<u64, AppendError> {
        match &self.store {
            Store::Server(server) => server.state().await.map(|state| state.first_sequence),
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => Ok(memory.first_sequence()),
        }
    }

    /// Tells the stream that a delivery is not over. If this is lost, its lease ends and it comes again.
    pub(crate) async fn tell(&self, delivery: &str, what: Bytes) {
        match &self.store {
            Store::Server(server) => server.tell(delivery, what).await,
            // Nothing is delivered from there.
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(_) => {}
        }
    }

    /// Takes the message at `sequence`, which was delivered with that reply subject, out of the queue. Whether it is known
    /// to be out already; else that is confirmed later, or lost.
    pub(crate) async fn take_out(&self, delivery: &str, sequence: u64) -> bool {
        match &self.store {
            Store::Server(server) => {
                server.take_out(delivery, sequence).await;
                false
            }
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => memory.take_out(sequence),
        }
    }

    /// Makes a consumer.
    pub(crate) async fn consume(&self, consumer: push::Config) -> Result<Consumed, String> {
        match &self.store {
            Store::Server(server) => server.consume(&self.name, consumer).await,
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => memory.consume(consumer),
        }
    }

    /// The names of all consumers there are.
    pub(crate) async fn consumers(&self) -> Result<HashSet<String>, String> {
        match &self.store {
            Store::Server(server) => server.consumers(&self.name).await,
            #[cfg(any(test, feature = "fuzzing"))]
            Store::Memory(memory) => Ok(memory.consumers()),
        }
    }
}

/// The name of the present life of a stream, as the witness has it.
pub(crate) fn life(witness: &Witness, stream: &str) -> Result<String, Error> {
    witness
        .incarnation(stream)
        .map(str::to_owned)
        .ok_or_else(|| Error::StreamGone { name: stream.to_owned() })
}
