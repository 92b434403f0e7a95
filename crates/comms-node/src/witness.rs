//! The witness: what this node acknowledged, remembered outside of nats-server's store.
//!
//! nats-server starts on a store that lost messages as if nothing had happened, and hands out their sequences again. So
//! the node keeps, for each of its streams, a [`Ledger`](ledger): which life of the stream it is, and for every sequence
//! what was acknowledged there. A start compares before the doors open (`start`); from then on the streams are looked at
//! every few seconds, and read through in the background (`watchman`). What is found to be lost stops the doors.
//!
//! Not for restoring anything: a ledger knows what was lost, not its bytes. The decision is in `docs/adr/0006-a-witness-outside-of-the-store.md`.

mod acceptance;
mod before;
mod block;
mod blocks;
mod compare;
mod ledger;
mod listeners;
mod loss;
mod passage;
mod record;
mod register;
mod settle;
mod start;
mod tally;
mod watchman;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::acceptance::record as record_loss;
pub(crate) use self::before::look as look_before;
use self::blocks::Blocks;
use self::ledger::{Ledger, Unwitnessed};
pub(crate) use self::loss::Names;
pub use self::loss::{Loss, Place, StreamLoss};
pub(crate) use self::record::{Kind, type_hash};
use self::record::{Record, State};
use self::register::Register;
pub(crate) use self::settle::Compared;
pub(crate) use self::start::Comparing;
pub(crate) use self::tally::{Doubt, Doubts, Wanted};
use crate::clock::now_ms;
use crate::log::commit::{Commit, Stored};

/// The ledgers of a node's streams. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    register: Register,
    streams: Vec<Watched>,
    names: Names,
    /// What the ledgers had to say at the start, for people.
    told: Vec<String>,
    /// What was found to be lost since the start. Stays until the next one.
    trouble: Mutex<Option<Arc<str>>>,
}

/// A stream and its ledger.
#[derive(Debug)]
struct Watched {
    ledger: Ledger,
    /// The name of this life of the stream, which positions carry.
    incarnation: String,
    manner: Manner,
    /// Its files, where they are the node's to look at.
    blocks: Option<Blocks>,
    /// From this sequence on the start has compared.
    compared_from: u64,
}

/// How messages come into a stream and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// This node appends, and nothing goes.
    Log,
    /// This node appends, and what is settled goes.
    Queue,
    /// Others append: it is witnessed when it is seen, every few seconds.
    Followed,
}

/// The ledger of one stream, for its writer.
#[derive(Debug, Clone)]
pub(crate) struct Pen {
    witness: Witness,
    stream: usize,
}

impl Witness {
    /// The witness of streams that were just made, without a server: a ledger for each in `folder`.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn begin(
        folder: &crate::folder::Folder,
        streams: &[(&str, Manner)],
    ) -> Result<Witness, crate::Error> {
        let register = Register::open(folder)?;
        let mut watched = Vec::new();
        for (name, manner) in streams.iter().copied() {
            let path = register.ledger(name);
            let header = ledger::Header { generation: 0, created_ns: 1, adopted: 0 };
            Ledger::create(&path, name, header, std::iter::empty())
                .map_err(|e| crate::folder::file_error("write", &path, e))?;
            let ledger = settle::reopened(&path, name, manner)?;
            let incarnation = incarnation(name, &ledger.header());
            watched.push(Watched { ledger, incarnation, manner, blocks: None, compared_from: 1 });
        }
        let (names, told, trouble) = (Names::default(), Vec::new(), Mutex::new(None));
        let shared = Shared { register, streams: watched, names, told, trouble };
        Ok(Witness { shared: Arc::new(shared) })
    }

    /// The name of the present life of `stream`.
    pub(crate) fn incarnation(&self, stream: &str) -> Option<&str> {
        self.watched(stream).map(|watched| watched.incarnation.as_str())
    }

    /// The pen of `stream`; none where there is no such stream here.
    pub(crate) fn pen(&self, stream: &str) -> Option<Pen> {
        Some(Pen { witness: self.clone(), stream: self.shared.at(stream)? })
    }

    /// What the start had to say about ledgers, in words.
    pub(crate) fn told(&self) -> &[String] {
        &self.shared.told
    }

    /// Why the streams cannot be relied on: something acknowledged was found to be lost since the start.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the witness cannot do its work right now, where that is so; it goes on when that is over.
    pub(crate) fn hindrance(&self) -> Option<String> {
        let failing = |watched: &Watched| {
            let why = watched.ledger.failing()?;
            Some(format!("{} cannot be written: {why}", watched.ledger.path().display()))
        };
        self.shared.streams.iter().find_map(failing)
    }

    /// The loss that the operator accepted and that is not in the log yet.
    pub(crate) fn accepted(&self) -> Result<Option<Loss>, crate::Error> {
        self.shared.register.accepted()
    }

    /// Says that the accepted loss is in the log.
    pub(crate) fn recorded(&self) -> Result<(), crate::Error> {
        self.shared.register.recorded()
    }

    /// Says that the end of the command at `sequence` is stored, so that it may leave `queue`. Called before it is
    /// taken out: a command that is neither settled nor there is lost.
    pub(crate) fn settled(&self, queue: &str, sequence: u64) {
        if let Some(watched) = self.watched(queue) {
            watched.ledger.mark(sequence, State::Settled, now_ms());
        }
    }

    fn watched(&self, stream: &str) -> Option<&Watched> {
        self.shared.at(stream).map(|at| &self.shared.streams[at])
    }

    /// Something is lost: from now on the doors refuse.
    fn lost(&self, reason: String) {
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            tracing::error!(reason, "acknowledged messages are lost; the doors refuse from now on");
            *trouble = Some(reason.into());
        }
    }
}

impl Shared {
    /// The place of `stream` among those that are watched.
    fn at(&self, stream: &str) -> Option<usize> {
        self.streams.iter().position(|watched| watched.ledger.name() == stream)
    }
}

impl Pen {
    /// Witnesses what was just stored, before it is acknowledged to anybody.
    ///
    /// Blocks for a write to the page cache.
    ///
    /// # Errors
    /// If the stream handed out a sequence that it had handed out before: then it has lost messages. Or if the records
    /// cannot be written: what is not witnessed is not acknowledged.
    pub(crate) fn witness<'a>(
        &self,
        stored: impl Iterator<Item = (&'a Commit, &'a Stored)>,
    ) -> Result<(), Arc<str>> {
        let ledger = &self.witness.shared.streams[self.stream].ledger;
        let now = now_ms();
        let mut records: Vec<Record> = Vec::new();
        let mut first = 0;
        let mut written = Ok(());
        for (commit, stored) in stored {
            // Of a repeat it is not known whether its bytes are those that stand there: they are read from the stream.
            if stored.duplicate {
                if let Some(why) = ledger.failing() {
                    written = written.and(Err(Unwitnessed::Unwritten(why)));
                }
                ledger.reach(stored.first + commit.messages.len() as u64 - 1);
                continue;
            }
            if !records.is_empty() && stored.first != first + records.len() as u64 {
                written = written.and(ledger.stored(first, &records));
                records.clear();
            }
            if records.is_empty() {
                first = stored.first;
            }
            records.extend(
                commit
                    .messages
                    .iter()
                    .map(|message| Record::of(&message.subject, &message.payload, message.ttl_s, now)),
            );
        }
        if !records.is_empty() {
            written = written.and(ledger.stored(first, &records));
        }
        let name = ledger.name();
        written.map_err(|unwitnessed| match unwitnessed {
            Unwitnessed::Unwritten(why) => format!("the ledger of {name} cannot be written: {why}").into(),
            Unwitnessed::Repeated(sequence) => {
                self.witness.lost(format!("{name} handed out the sequence {sequence} a second time"));
                self.witness.trouble().unwrap_or_else(|| "the stream lost messages".into())
            }
        })
    }
}

/// Names a life of a stream: a stream that was deleted and made again counts from 1 again, and one whose loss was
/// accepted hands out sequences again; a position of a former life must not match.
fn incarnation(name: &str, header: &ledger::Header) -> String {
    let (created, generation) = (header.created_ns, header.generation);
    let life = match generation {
        0 => format!("{name}@{created}"),
        _ => format!("{name}@{created}#{generation}"),
    };
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = ring::digest::digest(&ring::digest::SHA256, life.as_bytes());
    digest.as_ref()[..8].iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}
