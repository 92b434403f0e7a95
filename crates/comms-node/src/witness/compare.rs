//! Holds a stretch of a stream against its ledger, and fills in what the ledger lacks.
//!
//! nats-server says nothing of what it cannot read: a read goes on with the next message. So what counts is what did not
//! come. Where the ledger says that it must be there, it is asked for by itself before it counts as lost.

use std::ops::ControlFlow;

use async_nats::jetstream;
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};

use super::ledger::Ledger;
use super::loss::{How, Names, StreamLoss};
use super::record::{Record, Slot, State};
use crate::clock::now_ms;
use crate::log::direct_read::{self, Found};

/// Records looked at together.
const CHUNK: usize = 1_024;
/// Missing messages that are asked for one by one: a read that went wrong is told from a loss by a few.
const CONFIRMED_MAX: usize = 32;
/// The longest that the ending of a command stands in the log. One that nobody witnessed may have expired.
const ENDING_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// What a comparison found.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) loss: StreamLoss,
    /// Sequences whose message is missing.
    pub(crate) missing: Stretches,
    /// Sequences in whose place another message stands.
    pub(crate) different: Stretches,
    /// Commands that left the queue without an end: by id.
    pub(crate) commands: Vec<(u64, Record)>,
}

/// Sequences as ranges with both ends, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stretches(Vec<(u64, u64)>);

impl Stretches {
    /// Adds what lies behind all that is in it.
    pub(crate) fn push(&mut self, first: u64, last: u64) {
        match self.0.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.0.push((first, last)),
        }
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < sequence);
        self.0.get(at).is_some_and(|(first, _)| *first <= sequence)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A stream, its ledger, and what types are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) client: &'a async_nats::Client,
    pub(crate) ledger: &'a Ledger,
    pub(crate) names: &'a Names,
    pub(crate) incarnation: &'a str,
    /// Whether messages leave the stream when they are settled.
    pub(crate) is_queue: bool,
}

/// Reads records ahead, some at a time.
struct Slots<'a> {
    ledger: &'a Ledger,
    first: u64,
    read: Vec<Slot>,
}

impl Slots<'_> {
    fn at(&mut self, sequence: u64) -> Result<Slot, String> {
        let at = sequence.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if at.is_none_or(|at| at >= self.read.len()) {
            self.read = self.ledger.slots(sequence, CHUNK).map_err(|e| unreadable(self.ledger, &e))?;
            self.first = sequence;
        }
        let at = usize::try_from(sequence - self.first).unwrap_or(usize::MAX);
        Ok(self.read.get(at).copied().unwrap_or(Slot::Blank))
    }
}

fn unreadable(ledger: &Ledger, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}", ledger.path().display())
}

impl Comparison<'_> {
    /// Compares `first` to `last`, both included.
    ///
    /// # Errors
    /// If stream or ledger cannot be read; that says nothing about what they hold.
    pub(crate) async fn run(&self, first: u64, last: u64) -> Result<Findings, String> {
        let mut findings = Findings {
            loss: StreamLoss::new(self.ledger.name(), self.incarnation),
            missing: Stretches::default(),
            different: Stretches::default(),
            commands: Vec::new(),
        };
        if first > last {
            return Ok(findings);
        }
        let mut slots = Slots { ledger: self.ledger, first: 0, read: Vec::new() };
        let (mut next, mut absent, mut failed) = (first, Stretches::default(), None);
        direct_read::read(self.client, self.ledger.name(), ">", first, |found| {
            if found.sequence > last {
                return ControlFlow::Break(());
            }
            if found.sequence > next {
                absent.push(next, found.sequence - 1);
            }
            next = found.sequence + 1;
            match slots.at(found.sequence) {
                Ok(slot) => self.met(&found, slot, &mut findings),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            if next > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        if let Some(error) = failed {
            return Err(error);
        }
        if next <= last {
            absent.push(next, last);
        }
        self.judge(&absent, &mut findings).await?;
        Ok(findings)
    }

    /// A message stands where it should.
    fn met(&self, found: &Found<'_>, slot: Slot, findings: &mut Findings) {
        match slot {
            Slot::Blank | Slot::Damaged => {
                self.ledger.fill(found.sequence, &witness(found));
            }
            Slot::Written(record) if record.state != State::Present => {}
            Slot::Written(record) if record.is_of(found.subject, found.payload) => {}
            Slot::Written(record) => {
                findings.loss.add(How::Different, found.sequence, Some(&record), self.names);
                findings.different.push(found.sequence, found.sequence);
            }
        }
    }

    /// Decides of what did not come whether it is lost. The ledger is read again: a command may have been settled
    /// meanwhile.
    async fn judge(&self, absent: &Stretches, findings: &mut Findings) -> Result<(), String> {
        let mut confirmed = 0;
        for (first, last) in absent.iter() {
            let mut slots = Slots { ledger: self.ledger, first: 0, read: Vec::new() };
            for sequence in first..=last {
                let slot = slots.at(sequence)?;
                if !is_wanted(self.ledger, self.is_queue, sequence, slot)? {
                    continue;
                }
                if confirmed < CONFIRMED_MAX {
                    confirmed += 1;
                    if self.is_there(sequence).await? {
                        return Err(format!("{} gave {sequence} only when asked again", self.ledger.name()));
                    }
                }
                match slot.record() {
                    Some(record) if self.is_queue => findings.commands.push((sequence, record)),
                    record => {
                        findings.loss.add(How::Missing, sequence, record.as_ref(), self.names);
                        findings.missing.push(sequence, sequence);
                    }
                }
            }
        }
        Ok(())
    }

    async fn is_there(&self, sequence: u64) -> Result<bool, String> {
        let stream: Stream<()> = jetstream::new(self.client.clone())
            .get_stream_no_info(self.ledger.name())
            .await
            .map_err(|e| e.to_string())?;
        match stream.direct_get(sequence).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether the message at `sequence`, which is absent, should be there. What may be gone is marked so.
pub(super) fn is_wanted(ledger: &Ledger, is_queue: bool, sequence: u64, slot: Slot) -> Result<bool, String> {
    let now = now_ms();
    let may_be_gone = match slot {
        Slot::Written(record) if record.must_be_there(now) => return Ok(true),
        Slot::Written(_) => true,
        Slot::Blank | Slot::Damaged if is_queue => true,
        Slot::Blank if sequence <= ledger.header().adopted => true,
        Slot::Blank => may_have_expired(ledger, sequence, now)?,
        Slot::Damaged => false,
    };
    if may_be_gone {
        ledger.mark(sequence, State::Gone, now);
    }
    Ok(!may_be_gone)
}

/// Whether an ending that stood at `sequence` would be gone by now.
fn may_have_expired(ledger: &Ledger, sequence: u64, now: u64) -> Result<bool, String> {
    let before = sequence.saturating_sub(1);
    if before == 0 {
        return Ok(false);
    }
    let before = ledger.slot(before).map_err(|e| unreadable(ledger, &e))?.record();
    Ok(before.is_some_and(|before| before.time_ms.saturating_add(ENDING_LIFE_MS) < now))
}

/// What there is to witness of a message that stands in the stream.
pub(crate) fn witness(found: &Found<'_>) -> Record {
    Record::of(found.subject, found.payload, found.ttl_s(), found.time_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_stretch() {
        let mut stretches = Stretches::default();
        assert!(stretches.is_empty() && !stretches.contains(1));
        for (first, last) in [(2, 2), (3, 5), (9, 9)] {
            stretches.push(first, last);
        }
        assert_eq!(stretches.iter().collect::<Vec<_>>(), [(2, 5), (9, 9)]);
        let inside: Vec<u64> = (0..12).filter(|n| stretches.contains(*n)).collect();
        assert_eq!(inside, [2, 3, 4, 5, 9]);
    }
}
