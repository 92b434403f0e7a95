//! What follows from the comparison at the start, once it is decided that the node goes on: ledgers are made where they are
//! missing and made anew where a loss was accepted, the list of them is written, and each stream is told that it has one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use async_nats::jetstream;
use async_nats::jetstream::stream::Info;
use futures::TryStreamExt as _;

use super::blocks::Blocks;
use super::compare::Stretches;
use super::ledger::{Header, Ledger, Unusable};
use super::loss::Names;
use super::record::{Kind, Record, Slot, State};
use super::register::{Listed, Register};
use super::start::created_ns;
use super::{Manner, Shared, Watched, Witness, incarnation};
use crate::Error;
use crate::clock::now_ms;
use crate::folder::file_error;

/// Under this key a stream's configuration says that it has a ledger, with the generation of that.
const MARK: &str = "comms.ledger";

/// What a comparison came to: how to go on with each stream once all exist.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(super) client: async_nats::Client,
    pub(super) register: Register,
    pub(super) names: Names,
    pub(super) listed: Listed,
    pub(super) plans: Vec<Plan>,
    pub(super) told: Vec<String>,
    /// Streams that exist and are known.
    pub(super) known: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stream: String,
    pub(super) manner: Manner,
    pub(super) action: Action,
}

#[derive(Debug)]
pub(super) enum Action {
    /// The ledger goes on; from there on it was compared.
    Keep(Ledger, u64),
    /// A ledger is written from what the stream holds.
    Adopt { generation: u64 },
    /// The ledger is written anew without what is lost.
    Rebase { ledger: Ledger, missing: Stretches, different: Stretches },
}

impl Compared {
    /// The streams that exist and are known: none of them may be made anew.
    pub(crate) fn known(&self) -> &[String] {
        &self.known
    }

    /// The types of what a stream holds, by its ledger: of each the sequence of one message.
    pub(crate) fn types(&self, stream: &str) -> io::Result<BTreeMap<(Kind, u32), u64>> {
        let mut types = BTreeMap::new();
        let plan = self.plans.iter().find(|plan| plan.stream == stream);
        let Some(Action::Keep(ledger, _) | Action::Rebase { ledger, .. }) = plan.map(|plan| &plan.action)
        else {
            return Ok(types);
        };
        let tally = ledger.tally();
        for at in ledger.walk(tally.floor, tally.extent) {
            let (sequence, slot) = at?;
            let is_counted = |record: &Record| {
                record.state == State::Present && matches!(record.kind, Kind::Event | Kind::Command)
            };
            if let Some(record) = slot.record().filter(is_counted) {
                types.insert((record.kind, record.type_hash), sequence);
            }
        }
        Ok(types)
    }

    /// Goes on with streams that exist now, all of them: ledgers that are missing are made, those with an accepted loss
    /// are made anew, and the list of them is written.
    pub(crate) async fn settle(self) -> Result<Witness, Error> {
        let context = jetstream::new(self.client.clone());
        let mut listed = Listed { generations: self.listed.generations.clone() };
        let (mut streams, mut infos) = (Vec::new(), Vec::new());
        for Plan { stream: name, manner, action } in self.plans {
            let handle = context
                .get_stream(&name)
                .await
                .map_err(|e| Error::Stream { name: name.clone(), source: Box::new(e) })?;
            let info = handle.cached_info();
            let last = info.state.last_sequence;
            let path = self.register.ledger(&name);
            let header = |generation, adopted| Header { generation, created_ns: created_ns(info), adopted };
            let made = |header, slots: Vec<Slot>| {
                Ledger::create(&path, &name, header, slots.into_iter())
                    .map_err(|e| file_error("write", &path, e))
            };
            let (ledger, compared_from) = match action {
                Action::Keep(ledger, from) => (ledger, from),
                Action::Adopt { generation } => {
                    made(header(generation, last), Vec::new())?;
                    pass_the_end(&handle, last).await?;
                    (reopened(&path, &name, manner)?, last + 1)
                }
                Action::Rebase { ledger, missing, different } => {
                    let former = ledger.header();
                    let slots = without(&ledger, last, &missing, &different)?;
                    made(header(former.generation + 1, former.adopted.min(last)), slots)?;
                    pass_the_end(&handle, last).await?;
                    (reopened(&path, &name, manner)?, last + 1)
                }
            };
            ledger.trim().map_err(|e| file_error("mend", &path, e))?;
            ledger.reach(last);
            infos.push((handle.cached_info().clone(), ledger.header().generation));
            listed.generations.insert(name.clone(), ledger.header().generation);
            let incarnation = incarnation(&name, &ledger.header());
            let blocks = Some(self.register.blocks(&name)).filter(Blocks::is_there);
            streams.push(Watched { ledger, incarnation, manner, blocks, compared_from });
        }
        self.register.list_all(&listed)?;
        // Behind the ledgers: a stream that says so has had one.
        for (info, generation) in infos {
            mark(&context, &info, generation).await?;
        }
        let shared = Shared {
            register: self.register,
            streams,
            names: self.names,
            told: self.told,
            trouble: Mutex::new(None),
        };
        Ok(Witness { shared: Arc::new(shared) })
    }
}

pub(super) fn reopened(path: &std::path::Path, name: &str, manner: Manner) -> Result<Ledger, Error> {
    Ledger::open(path, name, manner == Manner::Queue).map_err(|unusable| {
        let why = match unusable {
            Unusable::Absent => "it is gone".to_owned(),
            Unusable::Damaged(why) => why,
            Unusable::Io(error) => error.to_string(),
        };
        Error::Malformed { path: path.to_owned(), expected: "the ledger that was just written", why }
    })
}

/// The slots of a ledger up to `last`, with the missing marked and the different left to be read from the stream.
fn without(
    ledger: &Ledger,
    last: u64,
    missing: &Stretches,
    different: &Stretches,
) -> Result<Vec<Slot>, Error> {
    let now = now_ms();
    let settled = ledger.walk(1, last).map(|at| {
        let (sequence, slot) = at.map_err(|e| file_error("read", ledger.path(), e))?;
        Ok(match slot {
            Slot::Written(record) if missing.contains(sequence) => {
                Slot::Written(Record { state: State::Lost, ..record })
            }
            _ if missing.contains(sequence) => Slot::Written(Record::bare(State::Lost, now)),
            _ if different.contains(sequence) => Slot::Blank,
            slot => slot,
        })
    });
    settled.collect()
}

/// Consumers that stood behind the end of a stream that became shorter go on with what comes next. Left alone they
/// would pass over it.
async fn pass_the_end(stream: &jetstream::stream::Stream, last: u64) -> Result<(), Error> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| Error::Request {
        doing: format!("set the consumers of {} back", stream.cached_info().config.name),
        source: e,
    };
    let consumers: Vec<_> = stream.consumers().try_collect().await.map_err(|e| failed(Box::new(e)))?;
    for consumer in consumers.into_iter().filter(|consumer| consumer.delivered.stream_sequence > last) {
        stream.reset_consumer(&consumer.name, Some(last + 1)).await.map_err(|e| failed(Box::new(e)))?;
    }
    Ok(())
}

/// The generation of the ledger that a stream says it has; none where it has had none.
pub(super) fn marked(info: &Info) -> Option<u64> {
    // Whatever it is, it is a mark.
    info.config.metadata.get(MARK).map(|generation| generation.parse().unwrap_or(0))
}

async fn mark(context: &jetstream::Context, info: &Info, generation: u64) -> Result<(), Error> {
    if marked(info) == Some(generation) {
        return Ok(());
    }
    let mut config = info.config.clone();
    config.metadata.insert(MARK.to_owned(), generation.to_string());
    context.update_stream(&config).await.map(drop).map_err(|e| Error::Request {
        doing: format!("say of the stream {} that it has a ledger", config.name),
        source: Box::new(e),
    })
}
