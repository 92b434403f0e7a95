//! Requests that wait for their turn: a line for each sender, turns going round, and so many of each sender at once.
//! Pure but for the count of what is being served.

use std::collections::{HashMap, VecDeque};

use comms_msg::ServiceName;

use crate::share::{Limit, Share, Shares};

/// Requests served at once, of all senders together: each holds some KiB of work beside its bytes.
const AT_ONCE_MAX: u64 = 4_096;

/// Who runs into this waits in line, so that nobody is told of it; the key is the one that bounds the line.
const AT_ONCE: Limit = Limit { what: "requests being served", key: "limits.requests", least: 4 };

/// All lines.
#[derive(Debug)]
pub(super) struct Lines<T> {
    waiting: HashMap<ServiceName, VecDeque<T>>,
    /// Each sender with a line, once.
    turns: VecDeque<ServiceName>,
    served: Shares,
}

impl<T> Lines<T> {
    pub(super) fn new(senders: usize) -> Lines<T> {
        let served = Shares::new(AT_ONCE, AT_ONCE_MAX, senders);
        Lines { waiting: HashMap::new(), turns: VecDeque::new(), served }
    }

    /// Goes on with another number of senders.
    pub(super) fn follow(&self, senders: usize) {
        self.served.follow(AT_ONCE_MAX, senders);
    }

    pub(super) fn push(&mut self, sender: ServiceName, item: T) {
        let line = self.waiting.entry(sender.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(sender);
        }
        line.push_back(item);
    }

    /// The first of the line whose turn it is, with the place it takes among those that are served.
    pub(super) fn next(&mut self) -> Option<(T, Share)> {
        for _ in 0..self.turns.len() {
            let sender = self.turns.pop_front()?;
            let Ok(place) = self.served.take(&sender, 1) else {
                self.turns.push_back(sender);
                continue;
            };
            let line = self.waiting.get_mut(&sender)?;
            let item = line.pop_front();
            if line.is_empty() {
                self.waiting.remove(&sender);
            } else {
                self.turns.push_back(sender);
            }
            return item.map(|item| (item, place));
        }
        None
    }

    /// Takes out all that wait.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.turns.clear();
        self.waiting.drain().flat_map(|(_, line)| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    #[test]
    fn turns_go_round() {
        let mut lines = Lines::new(2);
        for n in 0..3 {
            lines.push(name("a"), ("a", n));
        }
        lines.push(name("b"), ("b", 0));
        let order: Vec<_> = std::iter::from_fn(|| lines.next().map(|(item, _)| item)).collect();
        assert_eq!(order, [("a", 0), ("b", 0), ("a", 1), ("a", 2)]);
    }

    #[test]
    fn who_is_served_enough_leaves_the_turn_to_others_until_something_ends() {
        let mut lines = Lines::new(2);
        for n in 0..AT_ONCE_MAX {
            lines.push(name("a"), n);
        }
        let mut served: Vec<_> = std::iter::from_fn(|| lines.next()).collect();
        assert_eq!(
            served.len() as u64,
            AT_ONCE_MAX / 2 + AT_ONCE_MAX / 4,
            "its own part and the common half"
        );
        lines.push(name("b"), 0);
        assert!(lines.next().is_some(), "the other's part is free");
        assert!(lines.next().is_none());
        served.pop();
        assert!(lines.next().is_some());
    }

    #[test]
    fn what_waits_can_be_taken_out() {
        let mut lines = Lines::new(1);
        for n in 0..3 {
            lines.push(name("a"), n);
        }
        assert_eq!(lines.drain().count(), 3);
        assert!(lines.next().is_none());
        lines.push(name("a"), 7);
        assert_eq!(lines.next().map(|(item, _)| item), Some(7));
    }
}
