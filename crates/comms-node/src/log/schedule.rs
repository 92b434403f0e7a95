//! Which waiting commits go to the stream next, and in what shape. Pure.
//!
//! A stream takes commits in two shapes. One message at a time: a round trip each, many of them in flight. Or an
//! atomic batch: a fixed cost near 10 ms on a single server, whatever its size, and one write to disk for all of it.
//! So while few commits wait they go singly, and when many wait they go as one batch. A commit of several messages
//! always needs a batch, since its messages are stored together or not at all.
//!
//! Two rules of the server shape what may share a batch: expected positions are checked against the stream, not
//! against earlier messages of the same batch, so a commit that expects a position never shares a batch with another
//! commit of its entity; and a refused batch does not say which commit was at fault, so its commits go again alone.

use std::collections::{HashMap, HashSet, VecDeque};

/// From this many waiting commits on, one batch is cheaper than single messages (about 9 ms a batch against
/// about 0.1 ms a message).
pub(crate) const BATCH_WORTH: usize = 100;
/// Messages in one atomic batch; the server's own limit.
pub(crate) const BATCH_MESSAGES_MAX: usize = 1_000;
/// Bytes in one atomic batch: the server stages a batch before it commits, and a batch occupies the line.
pub(crate) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Single messages in flight at once: enough to hide the round trip behind the write to disk.
pub(crate) const SINGLES_MAX: usize = 64;

/// Names one waiting commit.
pub(crate) type Ticket = u64;

/// What the schedule needs to know of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    /// The entities whose order and expectations matter; commands have none.
    pub(crate) entities: Vec<Box<str>>,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Whether the commit expects a position of its entity.
    pub(crate) guarded: bool,
    /// Whether it must go by itself, because it was in a batch that was refused or got no answer.
    pub(crate) alone: bool,
}

/// What to send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dispatch {
    Single(Ticket),
    Batch(Vec<Ticket>),
}

/// The line of waiting commits and what is in flight.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    waiting: VecDeque<Waiting>,
    /// Entities of the single commits in flight, so that a commit that was put back is not overtaken by a later one.
    singles: HashMap<Ticket, Vec<Box<str>>>,
    batch_in_flight: bool,
}

impl Schedule {
    pub(crate) fn push(&mut self, commit: Waiting) {
        self.waiting.push_back(commit);
    }

    /// Puts commits back at the head of the line, in the order given, each to go by itself.
    pub(crate) fn put_back(&mut self, commits: Vec<Waiting>) {
        for commit in commits.into_iter().rev() {
            self.waiting.push_front(Waiting { alone: true, ..commit });
        }
    }

    /// Commits that wait and are not in flight.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what should be sent now out of the line, or `None` while it is better to wait for what is in flight.
    pub(crate) fn next(&mut self) -> Option<(Dispatch, Vec<Waiting>)> {
        let head = self.waiting.front()?;
        if self.batch_in_flight {
            return None;
        }
        let needs_batch = head.messages > 1 || (!head.alone && self.waiting.len() >= BATCH_WORTH);
        if needs_batch {
            if !self.singles.is_empty() {
                return None;
            }
            let taken = self.take_batch();
            let tickets: Vec<Ticket> = taken.iter().map(|w| w.ticket).collect();
            self.batch_in_flight = true;
            return Some((Dispatch::Batch(tickets), taken));
        }
        if self.singles.len() >= SINGLES_MAX || self.entity_in_flight(head) {
            return None;
        }
        let commit = self.waiting.pop_front().expect("the head was seen above");
        self.singles.insert(commit.ticket, commit.entities.clone());
        Some((Dispatch::Single(commit.ticket), vec![commit]))
    }

    /// A commit that goes alone is a repeat: nothing of its entity may pass it, nor it pass them.
    fn entity_in_flight(&self, head: &Waiting) -> bool {
        head.alone && self.singles.values().flatten().any(|entity| head.entities.contains(entity))
    }

    fn take_batch(&mut self) -> Vec<Waiting> {
        let mut taken: Vec<Waiting> = Vec::new();
        let mut kept: VecDeque<Waiting> = VecDeque::new();
        let (mut messages, mut bytes) = (0, 0);
        // Entities already in the batch, with whether a commit of theirs expects a position.
        let mut entities: HashMap<Box<str>, bool> = HashMap::new();
        let mut passed_over: HashSet<Box<str>> = HashSet::new();
        while let Some(commit) = self.waiting.pop_front() {
            let first = taken.is_empty();
            let full =
                messages + commit.messages > BATCH_MESSAGES_MAX || bytes + commit.bytes > BATCH_BYTES_MAX;
            if !first && (full || commit.alone) {
                kept.push_back(commit);
                break;
            }
            let clashes = commit.entities.iter().any(|entity| {
                passed_over.contains(entity)
                    || entities.get(entity).is_some_and(|guarded| *guarded || commit.guarded)
            });
            if clashes {
                passed_over.extend(commit.entities.iter().cloned());
                kept.push_back(commit);
                continue;
            }
            messages += commit.messages;
            bytes += commit.bytes;
            for entity in commit.entities.iter().cloned() {
                *entities.entry(entity).or_default() |= commit.guarded;
            }
            let alone = commit.alone;
            taken.push(commit);
            if alone {
                break;
            }
        }
        kept.append(&mut self.waiting);
        self.waiting = kept;
        taken
    }

    /// Says that what was dispatched has ended, well or not.
    pub(crate) fn done(&mut self, dispatch: &Dispatch) {
        match dispatch {
            Dispatch::Single(ticket) => {
                self.singles.remove(ticket);
            }
            Dispatch::Batch(_) => self.batch_in_flight = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(ticket: Ticket, entity: Option<&str>, messages: usize, guarded: bool) -> Waiting {
        let entities = entity.into_iter().map(Into::into).collect();
        Waiting { ticket, entities, messages, bytes: messages * 100, guarded, alone: false }
    }

    #[test]
    fn few_commits_go_singly() {
        let mut schedule = Schedule::default();
        for ticket in 0..3 {
            schedule.push(commit(ticket, Some("a"), 1, false));
        }
        for ticket in 0..3 {
            assert_eq!(schedule.next().unwrap().0, Dispatch::Single(ticket));
        }
        assert!(schedule.next().is_none());
    }

    #[test]
    fn many_commits_go_as_one_batch_once_the_line_is_empty() {
        let mut schedule = Schedule::default();
        schedule.push(commit(0, None, 1, false));
        let (single, _) = schedule.next().unwrap();
        for ticket in 1..=150 {
            schedule.push(commit(ticket, None, 1, false));
        }
        assert!(schedule.next().is_none(), "a single is in flight");
        schedule.done(&single);
        let (batch, taken) = schedule.next().unwrap();
        assert_eq!(taken.len(), 150);
        assert!(schedule.next().is_none());
        schedule.done(&batch);
        assert_eq!(schedule.len(), 0);
    }

    #[test]
    fn guarded_commits_of_one_entity_never_share_a_batch() {
        let mut schedule = Schedule::default();
        for ticket in 0..100 {
            schedule.push(commit(ticket, Some("hot"), 1, true));
        }
        let (_, taken) = schedule.next().unwrap();
        assert_eq!(taken.len(), 1);
    }

    #[test]
    fn a_commit_put_back_goes_alone_and_first() {
        let mut schedule = Schedule::default();
        for ticket in 0..120 {
            schedule.push(commit(ticket, None, 1, false));
        }
        let (batch, taken) = schedule.next().unwrap();
        for ticket in 120..300 {
            schedule.push(commit(ticket, None, 1, false));
        }
        schedule.done(&batch);
        schedule.put_back(taken);
        assert_eq!(schedule.next().unwrap().0, Dispatch::Single(0));
        assert_eq!(schedule.next().unwrap().0, Dispatch::Single(1));
    }

    proptest! {
        /// Whatever comes in, everything leaves once, commits of one entity leave in order, and no batch breaks the
        /// limits or holds two commits of an entity of which one expects a position.
        #[test]
        fn nothing_is_lost_doubled_or_reordered(
            commits in prop::collection::vec((0u8..6, 1usize..4, any::<bool>()), 1..400),
            refuse in prop::collection::vec(any::<bool>(), 64),
        ) {
            let mut schedule = Schedule::default();
            let mut incoming: VecDeque<Waiting> = commits.iter().enumerate().map(|(n, (entity, messages, guarded))| {
                let entity = (*entity > 0).then(|| format!("e{entity}"));
                commit(n as u64, entity.as_deref(), *messages, *guarded)
            }).collect();
            let mut left: Vec<Ticket> = Vec::new();
            let mut in_flight: VecDeque<(Dispatch, Vec<Waiting>)> = VecDeque::new();
            let mut refuse = refuse.into_iter().cycle();
            let mut rounds = 0;
            while left.len() < commits.len() {
                rounds += 1;
                prop_assert!(rounds < 20_000, "no progress");
                for _ in 0..37 {
                    if let Some(next) = incoming.pop_front() { schedule.push(next); }
                }
                while let Some((dispatch, taken)) = schedule.next() {
                    if let Dispatch::Batch(_) = dispatch {
                        let messages: usize = taken.iter().map(|w| w.messages).sum();
                        prop_assert!(messages <= BATCH_MESSAGES_MAX);
                        for (n, one) in taken.iter().enumerate() {
                            for other in &taken[n + 1..] {
                                if !one.entities.is_empty() && one.entities == other.entities {
                                    prop_assert!(!one.guarded && !other.guarded);
                                }
                            }
                        }
                    }
                    in_flight.push_back((dispatch, taken));
                }
                if let Some((dispatch, taken)) = in_flight.pop_front() {
                    schedule.done(&dispatch);
                    if matches!(dispatch, Dispatch::Batch(_)) && taken.len() > 1 && refuse.next().unwrap() {
                        schedule.put_back(taken);
                    } else {
                        left.extend(taken.iter().map(|w| w.ticket));
                    }
                }
            }
            let mut sorted = left.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), commits.len());
            for entity in 1u8..6 {
                let order: Vec<Ticket> =
                    left.iter().copied().filter(|t| commits[*t as usize].0 == entity).collect();
                prop_assert!(order.is_sorted(), "entity {} left as {:?}", entity, order);
            }
        }
    }
}
