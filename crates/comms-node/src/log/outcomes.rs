//! How commands ended: command id to commit. Pure.
//!
//! The log is the truth; this is what is remembered of it, so that a redelivered command whose commit exists is
//! acknowledged without running its handler again, and a caller that comes back with a command's id gets its outcome.
//! Bounded in number and in time: past both, a command is as good as unknown.

use std::collections::{HashMap, VecDeque};

use comms_msg::MsgId;

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

/// The index. Times are milliseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Outcomes {
    endings: HashMap<MsgId, Ending>,
    order: VecDeque<(u64, MsgId)>,
    outcomes_max: usize,
}

impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes { endings: HashMap::new(), order: VecDeque::new(), outcomes_max: OUTCOMES_MAX }
    }
}

impl Outcomes {
    /// Remembers how `command` ended. The first ending stays: a command ends once.
    pub(crate) fn insert(&mut self, command: MsgId, ending: Ending, now_ms: u64) {
        self.forget(now_ms);
        if let std::collections::hash_map::Entry::Vacant(entry) = self.endings.entry(command) {
            entry.insert(ending);
            self.order.push_back((now_ms, command));
        }
    }

    /// One more event of a commit read back from the log. Events of one commit stand next to each other there.
    pub(crate) fn insert_event(
        &mut self,
        command: MsgId,
        sequence: u64,
        count: u32,
        ordinal: u32,
        now_ms: u64,
    ) {
        let first = sequence.saturating_sub(u64::from(ordinal));
        self.insert(command, Ending::Done { first, count, tries: 0 }, now_ms);
    }

    /// How `command` ended, if it is known to have ended.
    pub(crate) fn get(&self, command: &MsgId) -> Option<&Ending> {
        self.endings.get(command)
    }

    fn forget(&mut self, now_ms: u64) {
        while let Some((at, command)) = self.order.front() {
            let old = at.saturating_add(OUTCOME_KEPT_MS) < now_ms;
            if !old && self.order.len() < self.outcomes_max {
                break;
            }
            self.endings.remove(command);
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
        outcomes.insert(id(1), Ending::Done { first: 7, count: 1, tries: 0 }, 0);
        outcomes.insert(id(1), Ending::Rejected { reason: "late".into() }, 1);
        assert_eq!(outcomes.get(&id(1)), Some(&Ending::Done { first: 7, count: 1, tries: 0 }));
    }

    #[test]
    fn bounded_in_number_and_time() {
        let mut outcomes = Outcomes { outcomes_max: 3, ..Outcomes::default() };
        for n in 0..10 {
            outcomes.insert(id(n), Ending::Done { first: 1, count: 1, tries: 0 }, 5);
        }
        assert_eq!(outcomes.endings.len(), 3);
        assert!(outcomes.get(&id(9)).is_some());
        outcomes.insert(id(50), Ending::Done { first: 1, count: 1, tries: 0 }, 6 + OUTCOME_KEPT_MS);
        assert_eq!(outcomes.endings.len(), 1);
    }

    #[test]
    fn any_event_of_a_commit_tells_where_it_begins() {
        let mut outcomes = Outcomes::default();
        outcomes.insert_event(id(1), 12, 3, 2, 0);
        assert_eq!(outcomes.get(&id(1)), Some(&Ending::Done { first: 10, count: 3, tries: 0 }));
    }
}
