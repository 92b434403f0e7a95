//! The look at the store before nats-server starts: whether its blocks hold what the ledgers say that they hold.
//!
//! nats-server cuts a damaged block off when it starts, so that what could be read behind the damage is gone before anybody
//! hears of it. Here the blocks are only read. What is not sure here (the stream is another one, its folder does not
//! say which, a ledger is of no use) is left to the comparison behind the start, which asks the server.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use comms_domain::Layout;

use super::blocks::Blocks;
use super::ledger::Ledger;
use super::loss::{How, Loss, Names, StreamLoss};
use super::record::Record;
use super::register::Register;
use super::start::{ended, manner};
use super::{Manner, incarnation};
use crate::Error;
use crate::clock::now_ms;
use crate::folder::Folder;

/// How long the blocks of a stream are read at most, newest first. Reading takes about half a second of a core for a GiB that the
/// system has in memory, and as long as the disk takes for one that it has not.
const READ_FOR: Duration = Duration::from_secs(3);

/// Refuses a store whose blocks do not hold what was acknowledged. Blocks; changes nothing.
///
/// # Errors
/// [`Error::Lost`]. What cannot be looked at is no loss yet.
pub(crate) fn look(folder: &Folder, layout: &Layout, names: &Names) -> Result<(), Error> {
    let register = Register::open(folder)?;
    let log = layout.streams.iter().find(|stream| manner(stream) == Manner::Log);
    let mut loss = Loss::default();
    for stream in &layout.streams {
        let (name, is_queue) = (&stream.name, manner(stream) == Manner::Queue);
        let Ok(ledger) = Ledger::open(&register.ledger(name), name, is_queue) else { continue };
        let blocks = Blocks::of(&folder.streams(), name);
        let missing = match missing(&blocks, &ledger) {
            Ok(missing) => missing,
            Err(error) => {
                tracing::debug!(stream = name, %error, "not looked at before nats-server starts");
                continue;
            }
        };
        let lost = match log.filter(|_| is_queue && !missing.is_empty()) {
            Some(log) => not_ended(&Blocks::of(&folder.streams(), &log.name), missing),
            None => missing,
        };
        let mut found = StreamLoss::new(name, &incarnation(name, &ledger.header()));
        lost.iter().for_each(|(sequence, record)| found.add(How::Missing, *sequence, Some(record), names));
        if !blocks.is_there() && !lost.is_empty() {
            found.why = Some("the stream is not there".to_owned());
        }
        loss.streams.extend(Some(found).filter(|found| !found.is_empty()));
    }
    match loss.is_empty() {
        true => Ok(()),
        false => Err(Error::Lost { loss: Box::new(loss), is_untouched: true }),
    }
}

/// What the ledger names and the blocks do not hold, from the oldest block on that was read in time.
fn missing(blocks: &Blocks, ledger: &Ledger) -> io::Result<BTreeMap<u64, Record>> {
    let tally = ledger.tally();
    let mut from = tally.floor;
    let mut held = Bits::new(tally.floor, tally.extent);
    if blocks.is_there() {
        // Of another life, or of which one cannot be told.
        if blocks.created_ns() != Some(ledger.header().created_ns) {
            return Ok(BTreeMap::new());
        }
        let end = Instant::now() + READ_FOR;
        for (block, _) in blocks.list()?.into_iter().rev() {
            let mut first = None;
            let read = blocks.read(block, |stored| {
                first.get_or_insert(stored.sequence);
                held.set(stored.sequence);
            })?;
            let Some(is_whole) = read else { return Ok(BTreeMap::new()) };
            // Behind a block that is not whole it is not known where the one before ends.
            if let (true, Some(first), true) = (is_whole, first, Instant::now() >= end) {
                from = from.max(first);
                break;
            }
        }
    }
    let (mut missing, now) = (BTreeMap::new(), now_ms());
    for at in ledger.walk(from, tally.extent) {
        let (sequence, slot) = at?;
        if let Some(record) = slot.record().filter(|record| record.must_be_there(now) && !held.has(sequence))
        {
            missing.insert(sequence, record);
        }
    }
    Ok(missing)
}

/// Those of the commands whose end is not in the log either.
fn not_ended(log: &Blocks, mut commands: BTreeMap<u64, Record>) -> BTreeMap<u64, Record> {
    let wanted: HashSet<[u8; 16]> = commands.values().map(|record| record.id).collect();
    let mut found = HashSet::new();
    for (block, _) in log.list().unwrap_or_default() {
        let read = log.read(block, |stored| {
            let subject = std::str::from_utf8(stored.subject).unwrap_or_default();
            found.extend(
                ended(subject, &Bytes::copy_from_slice(stored.payload))
                    .filter(|command| wanted.contains(command)),
            );
        });
        if let Err(error) = read {
            tracing::debug!(block, %error, "not read");
        }
    }
    commands.retain(|_, record| !found.contains(&record.id));
    commands
}

/// A bit for each sequence of a range.
struct Bits {
    first: u64,
    words: Vec<u64>,
}

impl Bits {
    fn new(first: u64, last: u64) -> Bits {
        let count = (last + 1).saturating_sub(first).div_ceil(64);
        Bits { first, words: vec![0; usize::try_from(count).unwrap_or(0)] }
    }

    fn at(&self, sequence: u64) -> Option<(usize, u64)> {
        let at = sequence.checked_sub(self.first)?;
        Some((usize::try_from(at / 64).ok()?, 1 << (at % 64)))
    }

    fn set(&mut self, sequence: u64) {
        if let Some((word, bit)) = self.at(sequence)
            && let Some(word) = self.words.get_mut(word)
        {
            *word |= bit;
        }
    }

    fn has(&self, sequence: u64) -> bool {
        self.at(sequence).is_some_and(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }
}
