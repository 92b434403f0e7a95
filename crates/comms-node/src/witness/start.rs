//! The comparison at the start: what the ledgers say against what the streams hold, before anything is made or opened.
//!
//! The newest messages are read first, as many as [`START_COMPARES_FOR`] allows; the rest is read in the background. What
//! nats-server counts itself (the life of the stream, its last sequence, how many messages) is compared at once, and a
//! difference has the whole stream read, however long that takes, so that all of the loss is named.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use comms_domain::{Layout, Retention};
use comms_msg::Msg;
use tokio::time::Instant;

use super::compare::{Comparison, Findings, Stretches};
use super::ledger::{Ledger, Unusable};
use super::loss::{How, Loss, Names, StreamLoss};
use super::record::{Record, Slot};
use super::register::Register;
use super::settle::{Action, Compared, Plan, marked};
use super::{Manner, incarnation};
use crate::Error;
use crate::clock::now_ms;
use crate::folder::{Folder, file_error, make_private};
use crate::log::direct_read;
use crate::provision::is_missing;

/// How long a start reads streams at most to compare them; what is older is read in the background.
const START_COMPARES_FOR: Duration = Duration::from_secs(5);
/// Messages that are read before the time is looked at.
const WINDOW: u64 = 10_000;

/// What a start compares.
#[derive(Debug)]
pub(crate) struct Comparing<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) client: &'a async_nats::Client,
    pub(crate) layout: &'a Layout,
    pub(crate) names: Names,
    /// Whether a definition has been in force here: then there have been streams.
    pub(crate) is_applied: bool,
    /// Whether the operator goes on without what is lost.
    pub(crate) accept_loss: bool,
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
            let is_there = info.is_some();
            let opened = Ledger::open(&register.ledger(name), name, manner == Manner::Queue);
            let generation = listed.generations.get(name).copied().max(info.as_ref().and_then(marked));
            // What other nodes logged is kept only where there are other nodes: that stream may be new.
            let has_been =
                generation.is_some() || self.is_applied && info.is_none() && stream.transform.is_none();
            let (action, found) = match (opened, info) {
                (Err(Unusable::Io(source)), _) => {
                    return Err(file_error("read", &register.ledger(name), source));
                }
                (Err(Unusable::Absent), info) if !has_been => {
                    if info.is_some_and(|info| info.state.last_sequence > 0) {
                        compared.told.push(format!("{name} had no ledger; it is written from what is there"));
                    }
                    (Action::Adopt { generation: 0 }, None)
                }
                (Err(unusable), info) => (
                    Action::Adopt { generation: generation.map_or(1, |before| before + 1) },
                    Some(unwitnessed(name, unusable, info)),
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
            if is_there {
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
            (false, false) => return Err(Error::Lost { loss: Box::new(loss), is_untouched: false }),
        }
        Ok(compared)
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
        let (tally, now) = (ledger.tally(), now_ms());
        let mut commands = Vec::new();
        for at in ledger.walk(tally.floor, tally.extent) {
            match at.map_err(|e| file_error("read", ledger.path(), e))? {
                (sequence, Slot::Written(record)) if record.must_be_there(now) && manner == Manner::Queue => {
                    commands.push((sequence, record));
                }
                (sequence, Slot::Written(record)) if record.must_be_there(now) => {
                    loss.add(How::Missing, sequence, Some(&record), &self.names);
                }
                (sequence, Slot::Damaged) => loss.add(How::Missing, sequence, None, &self.names),
                (_, Slot::Blank | Slot::Written(_)) => {}
            }
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
        // All at once: the log is read through for it.
        let commands = found.iter().flat_map(|findings| findings.commands.iter().copied()).collect();
        let lost: HashSet<u64> = self.not_ended(commands, log).await?.into_iter().map(|(at, _)| at).collect();
        for findings in found {
            for (sequence, record) in findings.commands.into_iter().filter(|(at, _)| lost.contains(at)) {
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
                        let slot = ledger.slot(sequence).map_err(|e| file_error("read", ledger.path(), e))?;
                        let record = slot.record().filter(|record| record.must_be_there(now));
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
            ended.extend(self::ended(found.subject, found.payload).filter(|id| wanted.contains(id)));
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

/// The command that ended with this message of the log.
pub(super) fn ended(subject: &str, payload: &Bytes) -> Option<[u8; 16]> {
    if subject.split('.').nth(1) == Some("outcome") {
        return Some(Record::of(subject, b"", None, 0).id);
    }
    let msg = Msg::from_cbor(payload).ok().filter(|msg| msg.hop.commit.is_some());
    msg.and_then(|msg| msg.metadata.causation).map(|id| *id.as_bytes())
}

/// The ledger of a known stream is of no use.
fn unwitnessed(name: &str, unusable: Unusable, info: Option<Info>) -> StreamLoss {
    let mut loss = StreamLoss::new(name, "unknown");
    let ledger = match unusable {
        Unusable::Damaged(why) => format!("its ledger is damaged: {why}"),
        Unusable::Absent | Unusable::Io(_) => "its ledger is gone".to_owned(),
    };
    let holds = match info {
        Some(info) => {
            format!("the stream holds {} messages up to {}", info.state.messages, info.state.last_sequence)
        }
        None => "the stream is not there either".to_owned(),
    };
    loss.why = Some(format!("{ledger}, so that nobody can tell what it should hold; {holds}"));
    loss
}

/// What is left of the folder of a stream that the server does not know any more is put aside, where somebody may want to look
/// into it. Left in its place it would damage the stream that is made anew there.
fn put_aside(folder: &Folder, stream: &str) -> Result<(), Error> {
    let left = folder.streams().join(stream);
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

pub(super) fn manner(stream: &comms_domain::Stream) -> Manner {
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
