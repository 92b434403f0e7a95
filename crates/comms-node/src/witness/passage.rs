//! Whether a listener got what it passed: how often its consumer delivered between two looks, against what the ledger
//! names there. Pure.
//!
//! A listener has several instances, each with a part of the events, so that none of them can tell. The server counts
//! deliveries; what it passes over it does not count. A delivery that is repeated is counted again: then, and where the
//! ledger does not know, counting proves nothing, and the stretch has to be read.

use std::collections::HashSet;

use super::record::{Kind, Slot};

/// How far a consumer was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Deliveries so far, those that were repeated included.
    pub(super) deliveries: u64,
    /// The last place in the stream that it looked at.
    pub(super) sequence: u64,
    /// Whether something that was delivered more than once waits to be acknowledged.
    pub(super) repeats: bool,
}

/// What is to be done about a listener next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is to be looked at again.
    Look,
    /// Records from there on are to be counted.
    Count(u64),
    /// That stretch of the stream is to be read; at once where something is missing by the count.
    Read { first: u64, last: u64, is_urgent: bool },
}

/// The way of one consumer through its stream.
#[derive(Debug)]
pub(super) struct Passage {
    types: HashSet<u32>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Not looked at yet.
    New,
    At(Mark),
    Counting {
        from: Mark,
        to: Mark,
        at: u64,
        wanted: u64,
        is_unclear: bool,
    },
    Reading {
        to: Mark,
        at: u64,
        is_urgent: bool,
    },
}

impl Passage {
    /// Of a consumer that delivers events of these types.
    pub(super) fn of(types: HashSet<u32>) -> Passage {
        Passage { types, state: State::New }
    }

    pub(super) fn types(&self) -> &HashSet<u32> {
        &self.types
    }

    pub(super) fn next(&self) -> Next {
        match self.state {
            State::New | State::At(_) => Next::Look,
            State::Counting { at, .. } => Next::Count(at),
            State::Reading { to, at, is_urgent } => Next::Read { first: at, last: to.sequence, is_urgent },
        }
    }

    /// The consumer was looked at.
    pub(super) fn seen(&mut self, now: Mark) {
        self.state = match self.state {
            // One that stands before where it was is another, or the server forgot how far it was.
            State::At(from) if now.sequence > from.sequence && now.deliveries >= from.deliveries => {
                let at = from.sequence.saturating_add(1);
                State::Counting { from, to: now, at, wanted: 0, is_unclear: from.repeats || now.repeats }
            }
            State::New | State::At(_) => State::At(now),
            going_on => going_on,
        };
    }

    /// Counts records from `first` on; `adopted` is how far the stream went before there was a ledger. Whether it came
    /// further.
    pub(super) fn count(&mut self, first: u64, slots: &[Slot], adopted: u64, now_ms: u64) -> bool {
        let State::Counting { from, to, at: began, mut wanted, mut is_unclear } = self.state else {
            return false;
        };
        let Some(skipped) = began.checked_sub(first).and_then(|skipped| usize::try_from(skipped).ok()) else {
            return false;
        };
        let mut at = began;
        for slot in slots.iter().skip(skipped) {
            if at > to.sequence {
                break;
            }
            match slot {
                Slot::Written(record) => {
                    let is_wanted = record.kind == Kind::Event && self.types.contains(&record.type_hash);
                    wanted += u64::from(is_wanted && record.must_be_there(now_ms));
                }
                // Not acknowledged yet, or to be filled in within seconds.
                Slot::Blank if at > adopted => break,
                Slot::Blank | Slot::Damaged => is_unclear = true,
            }
            at += 1;
        }
        self.state = if at > to.sequence {
            let delivered = to.deliveries - from.deliveries;
            match () {
                () if delivered < wanted => {
                    State::Reading { to, at: from.sequence.saturating_add(1), is_urgent: true }
                }
                () if delivered > wanted || is_unclear => {
                    State::Reading { to, at: from.sequence.saturating_add(1), is_urgent: false }
                }
                () => State::At(to),
            }
        } else {
            State::Counting { from, to, at, wanted, is_unclear }
        };
        at > began
    }

    /// The stream was read up to `last`.
    pub(super) fn read(&mut self, last: u64) {
        if let State::Reading { to, is_urgent, .. } = self.state {
            self.state = match last >= to.sequence {
                true => State::At(to),
                false => State::Reading { to, at: last.saturating_add(1), is_urgent },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Record, State as Became, type_hash};
    use super::*;

    fn passage() -> Passage {
        Passage::of(HashSet::from([type_hash("documents", "DocumentAdded")]))
    }

    fn mark(deliveries: u64, sequence: u64) -> Mark {
        Mark { deliveries, sequence, repeats: false }
    }

    fn added(n: u64) -> Slot {
        Slot::Written(Record::of("library.event.documents.d.DocumentAdded", &n.to_le_bytes(), None, n))
    }

    fn other(n: u64) -> Slot {
        Slot::Written(Record::of("library.event.documents.d.DocumentRetitled", &n.to_le_bytes(), None, n))
    }

    /// From 4 to 10 with so many deliveries, over these slots from 5 on.
    fn after(deliveries: u64, slots: [Slot; 6]) -> Next {
        let mut passage = passage();
        passage.seen(mark(3, 4));
        passage.seen(mark(3 + deliveries, 10));
        assert_eq!(passage.next(), Next::Count(5));
        assert!(passage.count(5, &slots[..2], 0, 0) && passage.next() == Next::Count(7));
        // Records before those that are wanted, as another listener needs them.
        assert!(passage.count(5, &slots, 0, 0));
        passage.next()
    }

    #[test]
    fn deliveries_are_held_against_what_stands_there() {
        let slots = [added(5), other(6), added(7), added(8), other(9), added(10)];
        let read = |is_urgent| Next::Read { first: 5, last: 10, is_urgent };
        assert_eq!(after(4, slots), Next::Look);
        assert_eq!(after(3, slots), read(true), "one was passed over");
        assert_eq!(after(5, slots), read(false), "one came again");
        let damaged = [added(5), other(6), added(7), added(8), Slot::Damaged, added(10)];
        assert_eq!(after(4, damaged), read(false));
        let Slot::Written(record) = added(7) else { unreachable!() };
        let lost = Slot::Written(Record { state: Became::Lost, ..record });
        assert_eq!(after(3, [added(5), other(6), lost, added(8), other(9), added(10)]), Next::Look);
    }

    #[test]
    fn what_is_not_witnessed_yet_is_waited_for_and_what_nobody_witnessed_is_read() {
        let mut passage = passage();
        passage.seen(mark(0, 0));
        passage.seen(mark(2, 2));
        assert!(!passage.count(1, &[Slot::Blank, Slot::Blank], 0, 0));
        assert!(!passage.count(2, &[added(2)], 0, 0), "what stands behind a gap");
        assert!(passage.count(1, &[added(1), Slot::Blank], 0, 0));
        assert_eq!(passage.next(), Next::Count(2));
        passage.seen(mark(9, 9));
        assert_eq!(passage.next(), Next::Count(2), "a look does not end a count");
        assert!(passage.count(2, &[Slot::Blank], 2, 0));
        assert_eq!(passage.next(), Next::Read { first: 1, last: 2, is_urgent: false });
        passage.read(1);
        assert_eq!(passage.next(), Next::Read { first: 2, last: 2, is_urgent: false });
        passage.read(2);
        assert_eq!(passage.next(), Next::Look);
    }

    #[test]
    fn a_consumer_that_went_back_begins_again() {
        let mut passage = passage();
        for (deliveries, sequence) in [(5, 5), (5, 5), (3, 9), (4, 2)] {
            passage.seen(mark(deliveries, sequence));
            assert_eq!(passage.next(), Next::Look, "{deliveries} {sequence}");
        }
        passage.seen(mark(5, 3));
        assert_eq!(passage.next(), Next::Count(3));
    }
}
