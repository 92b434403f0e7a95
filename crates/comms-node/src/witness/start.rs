//! The comparison at the start: what the ledgers say against what the streams hold, before anything is made or opened.
//!
//! The newest messages are read first, as many as [`START_COMPARES_FOR`] allows; the rest is read in the background. What
//! nats-server counts itself (the life of the stream, its last sequence, how many messages) is compared at once, and a
//! difference has the whole stream read, however long that takes, so that all of the loss is named.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::Info;
use comms_domain::{Layout, Retention};
use comms_msg::Msg;
use futures::TryStreamExt as _;
use tokio::time::Instant;

use super::compare::{Comparison, Findings, Stretches};
use super::ledger::{Header, Ledger, Unusable};
use super::loss::{How, Loss, Names, StreamLoss};
use super::record::{Record, Slot, State};
use super::register::{Listed, Register};
use super::{Manner, Shared, Watched, Witness, incarnation};
use crate::Error;
use crate::clock::now_ms;
use crate::folder::{Folder, file_error, make_private};
use crate::log::direct_read;

/// How long a start reads streams at most to compare them; what is older is read in the background.
const START_COMPARES_FOR: Duration = Duration::from_secs(5);
/// Messages that are read before the time is looked at.
const WINDOW: u64 = 10_000;
/// Records read at a time where there is no stream to read.
const CHUNK: usize = 4_096;

/// What a start compares.
#[derive(Debug)]
pub(crate) struct Comparing<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) client: &'a async_nats::Client,
    pub(crate) layout: &'a Layout,
    pub(crate) names: Names,
    /// Whether the operator goes on without what is lost.
    pub(crate) accept_loss: bool,
}

/// What a comparison came to: how to go on with each stream once all exist.
#[derive(Debug)]
pub(crate) struct Compared {
    client: async_nats::Client,
    register: Register,
    names: Names,
    listed: Listed,
    plans: Vec<Plan>,
    told: Vec<String>,
    /// Streams that exist and are known.
    known: Vec<String>,
}

#[derive(Debug)]
struct Plan {
    stream: String,
    manner: Manner,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// The ledger goes on; from there on it was compared.
    Keep(Ledger, u64),
    /// A ledger is written from what the stream holds.
    Adopt { generation: u64 },
    /// The ledger is written anew without what is lost.
    Rebase { ledger: Ledger, missing: Stretches, different: Stretches },
}

impl Comparing<'_> {
    /// Compares all streams of the layout.
    ///
    /// # Errors
    /// [`Error::Lost`] where something is lost and that is not accepted; else what kept it from comparing.
    pub(crate) async fn run(self) -> Result<Compared, Error> {
        let register = Register::open(self.folder)?;
        let listed = register.listed()?;
        let context = jetstream::new(self.client.clone());
        let mut compared = Compared {
            client: self.client.clone(),
            register: register.clone(),
            names: self.names.clone(),
            listed: listed.clone(),
            plans: Vec::new(),
            told: Vec::new(),
            known: Vec::new(),
        };
        let mut loss = Loss::default();
        let log = self.layout.streams.iter().find(|stream| manner(stream) == Manner::Log);
        for stream in &self.layout.streams {
            let (name, manner) = (&stream.name, manner(stream));
            let info = info(&context, name).await?;
            let opened = Ledger::open(&register.ledger(name), name, manner == Manner::Queue);
            let generation = listed.generations.get(name).copied();
            let (action, found) = match (opened, info) {
                (Err(Unusable::Io(source)), _) => {
                    return Err(file_error("read", &register.ledger(name), source));
                }
                (Err(Unusable::Absent), info) if generation.is_none() => {
                    if info.is_some_and(|info| info.state.last_sequence > 0) {
                        compared.told.push(format!("{name} had no ledger; it is written from what is there"));
                    }
                    (Action::Adopt { generation: 0 }, None)
                }
                (Err(unusable), info) => (
                    Action::Adopt { generation: generation.unwrap_or(0) + 1 },
                    Some(self.unwitnessed(name, unusable, info)),
                ),
                (Ok(ledger), None) => {
                    let why = "the stream is not there".to_owned();
                    (
                        next_life(&ledger),
                        Some(self.all_of(&ledger, manner, why, log.map(|s| &*s.name)).await?),
                    )
                }
                (Ok(ledger), Some(info)) if created_ns(&info) != ledger.header().created_ns => {
                    let why = "the stream is not the one that was written to: it was made anew".to_owned();
                    (
                        next_life(&ledger),
                        Some(self.all_of(&ledger, manner, why, log.map(|s| &*s.name)).await?),
                    )
                }
                (Ok(ledger), Some(info)) => {
                    if let Some(damage) = ledger.damage() {
                        let path = ledger.path().display();
                        compared
                            .told
                            .push(format!("{path} was damaged ({damage}); it is mended from the stream"));
                    }
                    self.compare(ledger, manner, &info, log.map(|s| &*s.name)).await?
                }
            };
            loss.streams.extend(found.filter(|found| !found.is_empty()));
            if self.layout_has(&context, name).await? {
                compared.known.push(name.clone());
            }
            compared.plans.push(Plan { stream: name.clone(), manner, action });
        }
        // A stream that is gone and was known is made again only by whoever accepted that.
        match (loss.is_empty(), self.accept_loss) {
            (true, _) => {}
            (false, true) => {
                register.accept(&loss)?;
                for plan in compared.plans.iter().filter(|plan| !compared.known.contains(&plan.stream)) {
                    put_aside(self.folder, &plan.stream)?;
                }
            }
            (false, false) => return Err(Error::Lost { loss: Box::new(loss) }),
        }
        Ok(compared)
    }

    async fn layout_has(&self, context: &jetstream::Context, name: &str) -> Result<bool, Error> {
        Ok(info(context, name).await?.is_some())
    }

    /// The ledger of a known stream is of no use.
    fn unwitnessed(&self, name: &str, unusable: Unusable, info: Option<Info>) -> StreamLoss {
        let mut loss = StreamLoss::new(name, "unknown");
        let ledger = match unusable {
            Unusable::Damaged(why) => format!("its ledger is damaged: {why}"),
            Unusable::Absent | Unusable::Io(_) => "its ledger is gone".to_owned(),
        };
        let holds = match info {
            Some(info) => format!(
                "the stream holds {} messages up to {}",
                info.state.messages, info.state.last_sequence
            ),
            None => "the stream is not there either".to_owned(),
        };
        loss.why = Some(format!("{ledger}, so that nobody can tell what it should hold; {holds}"));
        loss
    }

    /// All that a ledger names is lost.
    async fn all_of(
        &self,
        ledger: &Ledger,
        manner: Manner,
        why: String,
        log: Option<&str>,
    ) -> Result<StreamLoss, Error> {
        let name = ledger.name();
        let mut loss = StreamLoss::new(name, &incarnation(name, &ledger.header()));
        loss.why = Some(why);
        let tally = ledger.tally();
        let (mut at, now) = (tally.floor, now_ms());
        let mut commands = Vec::new();
        while at <= tally.extent {
            let slots = ledger.slots(at, CHUNK).map_err(|e| file_error("read", ledger.path(), e))?;
            for (sequence, slot) in (at..=tally.extent).zip(slots) {
                match slot {
                    Slot::Written(record) if record.must_be_there(now) && manner == Manner::Queue => {
                        commands.push((sequence, record));
                    }
                    Slot::Written(record) if record.must_be_there(now) => {
                        loss.add(How::Missing, sequence, Some(&record), &self.names);
                    }
                    Slot::Damaged => loss.add(How::Missing, sequence, None, &self.names),
                    Slot::Blank | Slot::Written(_) => {}
                }
            }
            at += CHUNK as u64;
        }
        for (sequence, record) in self.not_ended(commands, log).await? {
            loss.add(How::Missing, sequence, Some(&record), &self.names);
        }
        Ok(loss)
    }

    /// Holds a stream against its ledger.
    async fn compare(
        &self,
        ledger: Ledger,
        manner: Manner,
        info: &Info,
        log: Option<&str>,
    ) -> Result<(Action, Option<StreamLoss>), Error> {
        let (name, tally) = (ledger.name().to_owned(), ledger.tally());
        let incarnation = incarnation(&name, &ledger.header());
        let is_short = info.state.last_sequence < tally.extent || info.state.messages < tally.lasting;
        let end = Instant::now() + START_COMPARES_FOR;
        let comparison = Comparison {
            client: self.client,
            ledger: &ledger,
            names: &self.names,
            incarnation: &incarnation,
            is_queue: manner == Manner::Queue,
        };
        let mut found = Vec::new();
        let mut from = tally.extent.max(info.state.last_sequence) + 1;
        while from > tally.floor {
            let first = from.saturating_sub(WINDOW).max(tally.floor);
            let findings = comparison.run(first, from - 1).await;
            found.push(findings.map_err(|reason| Error::Recovery { what: name.clone(), reason })?);
            from = first;
            let is_whole = found.iter().all(Findings::is_empty);
            if is_whole && !is_short && !self.accept_loss && Instant::now() >= end {
                tracing::info!(stream = name, from, "what is older is compared in the background");
                break;
            }
        }
        // They were found from the end to the beginning.
        found.reverse();
        let mut all = StreamLoss::new(&name, &incarnation);
        let (mut missing, mut different) = (Stretches::default(), Stretches::default());
        for findings in found {
            for (sequence, record) in self.not_ended(findings.commands, log).await? {
                all.add(How::Missing, sequence, Some(&record), &self.names);
                missing.push(sequence, sequence);
            }
            let now = now_ms();
            for (how, stretches, sum) in [
                (How::Missing, &findings.missing, &mut missing),
                (How::Different, &findings.different, &mut different),
            ] {
                for (first, last) in stretches.iter() {
                    sum.push(first, last);
                    for sequence in first..=last {
                        let slot =
                            ledger.slots(sequence, 1).map_err(|e| file_error("read", ledger.path(), e))?;
                        let record = match slot.first() {
                            Some(Slot::Written(record)) if record.must_be_there(now) => Some(*record),
                            _ => None,
                        };
                        all.add(how, sequence, record.as_ref(), &self.names);
                    }
                }
            }
        }
        if info.state.last_sequence < tally.extent {
            all.why =
                Some(format!("the stream ends at {} and went to {}", info.state.last_sequence, tally.extent));
        }
        if all.is_empty() {
            return Ok((Action::Keep(ledger, from), None));
        }
        Ok((Action::Rebase { ledger, missing, different }, Some(all)))
    }

    /// Those of the commands whose end is not in the log either. One that ended may have left the queue before its
    /// ledger heard of it, where the machine lost its power in between.
    async fn not_ended(
        &self,
        commands: Vec<(u64, Record)>,
        log: Option<&str>,
    ) -> Result<Vec<(u64, Record)>, Error> {
        let Some(log) = log.filter(|_| !commands.is_empty()) else { return Ok(commands) };
        if info(&jetstream::new(self.client.clone()), log).await?.is_none() {
            return Ok(commands);
        }
        let wanted: HashSet<[u8; 16]> = commands.iter().map(|(_, record)| record.id).collect();
        let mut ended = HashSet::new();
        direct_read::read(self.client, log, ">", 0, |found| {
            let command = if found.subject.split('.').nth(1) == Some("outcome") {
                Some(Record::of(found.subject, b"", None, 0).id)
            } else {
                let msg = Msg::from_cbor(found.payload).ok().filter(|msg| msg.hop.commit.is_some());
                msg.and_then(|msg| msg.metadata.causation).map(|id| *id.as_bytes())
            };
            ended.extend(command.filter(|command| wanted.contains(command)));
            ControlFlow::Continue(())
        })
        .await
        .map_err(|reason| Error::Recovery { what: log.to_owned(), reason })?;
        Ok(commands.into_iter().filter(|(_, record)| !ended.contains(&record.id)).collect())
    }
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty() && self.commands.is_empty()
    }
}

impl Compared {
    /// The streams that exist and are known: none of them may be made anew.
    pub(crate) fn known(&self) -> &[String] {
        &self.known
    }

    /// Goes on with streams that exist now, all of them: ledgers that are missing are made, those with an accepted loss
    /// are made anew, and the list of them is written.
    pub(crate) async fn settle(self) -> Result<Witness, Error> {
        let context = jetstream::new(self.client.clone());
        let mut listed = Listed { generations: self.listed.generations.clone() };
        let mut streams = Vec::new();
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
            ledger.reach(last);
            listed.generations.insert(name.clone(), ledger.header().generation);
            let incarnation = incarnation(&name, &ledger.header());
            streams.push(Watched { ledger, incarnation, manner, compared_from });
        }
        self.register.list_all(&listed)?;
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
    let mut slots = Vec::new();
    let mut at = 1;
    while at <= last {
        let read = ledger.slots(at, CHUNK).map_err(|e| file_error("read", ledger.path(), e))?;
        for (sequence, slot) in (at..=last).zip(read) {
            slots.push(match slot {
                Slot::Written(record) if missing.contains(sequence) => {
                    Slot::Written(Record { state: State::Lost, ..record })
                }
                _ if missing.contains(sequence) => Slot::Written(Record::bare(State::Lost, now)),
                _ if different.contains(sequence) => Slot::Blank,
                slot => slot,
            });
        }
        at += CHUNK as u64;
    }
    Ok(slots)
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

/// What is left of the folder of a stream that the server does not know any more is put aside, where somebody may want to look
/// into it. Left in its place it would damage the stream that is made anew there.
fn put_aside(folder: &Folder, stream: &str) -> Result<(), Error> {
    let left = folder.nats().join("store/jetstream/DOMAIN/streams").join(stream);
    // One that is not there: the store is somebody else's, or nothing is left.
    if !left.exists() {
        return Ok(());
    }
    let aside = folder.nats().join("lost");
    make_private(&aside)?;
    let aside = aside.join(format!("{stream}-{}", now_ms()));
    std::fs::rename(&left, &aside).map_err(|e| file_error("move", &left, e))?;
    tracing::warn!(path = %aside.display(), "what is left of a lost stream");
    Ok(())
}

fn next_life(ledger: &Ledger) -> Action {
    Action::Adopt { generation: ledger.header().generation + 1 }
}

fn manner(stream: &comms_domain::Stream) -> Manner {
    match stream.retention {
        Retention::WorkQueue => Manner::Queue,
        Retention::Limits if stream.subjects.is_empty() => Manner::Followed,
        Retention::Limits => Manner::Log,
    }
}

pub(super) fn created_ns(info: &Info) -> i64 {
    i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

/// What the server says of a stream; `None` where there is none of that name.
pub(super) async fn info(context: &jetstream::Context, name: &str) -> Result<Option<Info>, Error> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) if is_missing(&error.kind()) => Ok(None),
        Err(error) => Err(Error::Stream { name: name.to_owned(), source: Box::new(error) }),
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
