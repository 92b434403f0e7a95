//! How commands ended: command id to commit. Pure.
//!
//! The log is the truth; this is what is remembered of it, so that a redelivered command whose commit exists is
//! acknowledged without running its handler again, and a caller that comes back with a command's id gets its outcome.
//! Bounded in number and in time: past both, a command is as good as unknown.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use comms_msg::{MsgId, ServiceName, TypeName};

/// Outcomes remembered at most. One takes about 100 bytes, so this bounds the index near 100 MB.
pub(crate) const OUTCOMES_MAX: usize = 1_000_000;
/// How long an outcome is kept for callers that come back.
pub(crate) const OUTCOME_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Handled. Its events, if any, are `count` messages of the log from `first` on. Of a command that was read back
    /// it is not known how often it was delivered: 0.
    Done { first: u64, count: u32, tries: u32 },
    /// Refused by its handler, for good.
    Rejected { reason: Box<str> },
    /// Given up after too many tries; the command itself is kept as a dead letter.
    Dead { reason: Box<str>, tries: u32 },
}

impl Ending {
    /// What one event of a commit tells: `ordinal` of `count`, at `sequence` of the log. Events of one commit stand
    /// next to each other there.
    pub(crate) fn of_event(sequence: u64, count: u32, ordinal: u32) -> Ending {
        Ending::Done { first: sequence.saturating_sub(u64::from(ordinal)), count, tries: 0 }
    }
}

/// Which sender's command of which type it was, as a number: all that is needed to tell another's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(u64);

impl Origin {
    pub(crate) fn of(sender: &ServiceName, type_name: &TypeName) -> Origin {
        let mut hasher = std::hash::DefaultHasher::new();
        (sender.as_str(), type_name.as_str()).hash(&mut hasher);
        Origin(hasher.finish())
    }
}

/// The index. Times are milliseconds since the epoch.
///
/// The ending of a command that still stands in the queue is never forgotten, since the command will be delivered again.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// The origin is not known of what was read back from events.
    endings: HashMap<MsgId, (Ending, Option<Origin>)>,
    order: VecDeque<(u64, MsgId)>,
    /// Those whose time was over while their command was in the queue: no longer in `order`.
    held: HashSet<MsgId>,
    outcomes_max: usize,
}

impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes {
            endings: HashMap::new(),
            order: VecDeque::new(),
            held: HashSet::new(),
            outcomes_max: OUTCOMES_MAX,
        }
    }
}

impl Outcomes {
    /// Remembers how `command` ended. The first ending stays: a command ends once. `is_waiting` says of a command
    /// whether it stands in the queue.
    pub(crate) fn insert(
        &mut self,
        command: MsgId,
        ending: Ending,
        origin: Option<Origin>,
        now_ms: u64,
        is_waiting: impl Fn(&MsgId) -> bool,
    ) {
        self.forget(now_ms, is_waiting);
        if let std::collections::hash_map::Entry::Vacant(entry) = self.endings.entry(command) {
            entry.insert((ending, origin));
            self.order.push_back((now_ms, command));
        }
    }

    /// How `command` ended, if it is known to have ended.
    pub(crate) fn get(&self, command: &MsgId) -> Option<&Ending> {
        self.endings.get(command).map(|(ending, _)| ending)
    }

    /// Whether `command` is known to be of another sender or type than `origin`.
    pub(crate) fn is_of_another(&self, command: &MsgId, origin: Origin) -> bool {
        self.endings.get(command).and_then(|(_, known)| *known).is_some_and(|known| known != origin)
    }

    /// Says that `command` left the queue.
    pub(crate) fn release(&mut self, command: &MsgId) {
        if self.held.remove(command) {
            self.endings.remove(command);
        }
    }

    fn forget(&mut self, now_ms: u64, is_waiting: impl Fn(&MsgId) -> bool) {
        while let Some((at, command)) = self.order.front() {
            let old = at.saturating_add(OUTCOME_KEPT_MS) < now_ms;
            if !old && self.order.len() < self.outcomes_max {
                break;
            }
            if is_waiting(command) {
                self.held.insert(*command);
            } else {
                self.endings.remove(command);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> MsgId {
        MsgId::v7(1_000 + n, 0)
    }

    #[test]
    fn a_command_ends_once() {
        let mut outcomes = Outcomes::default();
        outcomes.insert(id(1), Ending::Done { first: 7, count: 1, tries: 0 }, None, 0, |_| false);
        outcomes.insert(id(1), Ending::Rejected { reason: "late".into() }, None, 1, |_| false);
        assert_eq!(outcomes.get(&id(1)), Some(&Ending::Done { first: 7, count: 1, tries: 0 }));
    }

    #[test]
    fn bounded_in_number_and_time() {
        let mut outcomes = Outcomes { outcomes_max: 3, ..Outcomes::default() };
        for n in 0..10 {
            outcomes.insert(id(n), Ending::Done { first: 1, count: 1, tries: 0 }, None, 5, |_| false);
        }
        assert_eq!(outcomes.endings.len(), 3);
        assert!(outcomes.get(&id(9)).is_some());
        outcomes.insert(
            id(50),
            Ending::Done { first: 1, count: 1, tries: 0 },
            None,
            6 + OUTCOME_KEPT_MS,
            |_| false,
        );
        assert_eq!(outcomes.endings.len(), 1);
    }

    #[test]
    fn any_event_of_a_commit_tells_where_it_begins() {
        assert_eq!(Ending::of_event(12, 3, 2), Ending::Done { first: 10, count: 3, tries: 0 });
    }

    #[test]
    fn what_still_stands_in_the_queue_is_not_forgotten() {
        let mut outcomes = Outcomes { outcomes_max: 2, ..Outcomes::default() };
        let waits = |command: &MsgId| *command == id(1);
        let done = Ending::Done { first: 1, count: 1, tries: 0 };
        outcomes.insert(id(1), done.clone(), None, 0, waits);
        for n in 2..6 {
            outcomes.insert(id(n), done.clone(), None, 3 * OUTCOME_KEPT_MS, waits);
        }
        assert_eq!(outcomes.get(&id(1)), Some(&done), "three days old, one of many, and still needed");
        outcomes.release(&id(1));
        assert_eq!(outcomes.get(&id(1)), None);
    }
}
