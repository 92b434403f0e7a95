//! How far a stream is known without a gap. Pure.
//!
//! Acknowledgements come in any order, and some get lost. What is remembered durably must hold everything up to a
//! sequence, so that a start reads only what is behind it.

use std::collections::BTreeMap;

/// The sequences that are known, from 1 on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    through: u64,
    /// Ranges behind a gap: first sequence to last, apart from each other.
    ahead: BTreeMap<u64, u64>,
}

impl Progress {
    /// Everything up to `through` is known.
    pub(crate) fn through_to(through: u64) -> Progress {
        Progress { through, ahead: BTreeMap::new() }
    }

    /// The last sequence up to which everything is known.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    /// The last sequence that is known.
    pub(crate) fn high(&self) -> u64 {
        self.ahead.last_key_value().map_or(self.through, |(_, last)| *last)
    }

    /// Whether something before the last known sequence is not known.
    pub(crate) fn has_gap(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The sequences `first` to `last` are known.
    pub(crate) fn note(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first.max(self.through.saturating_add(1)), last);
        if first > last {
            return;
        }
        // What touches or overlaps becomes one range.
        while let Some((&from, &to)) = self.ahead.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.ahead.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        if first == self.through.saturating_add(1) {
            self.through = last;
        } else {
            self.ahead.insert(first, last);
        }
    }

    /// Everything up to `last` is known, or will never be there.
    pub(crate) fn note_through(&mut self, last: u64) {
        self.note(self.through.saturating_add(1), last);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In whatever order and however often: what is known is what was noted.
        #[test]
        fn known_is_what_was_noted(ranges in prop::collection::vec((1u64..60, 0u64..6), 0..60)) {
            let mut progress = Progress::default();
            let mut known = std::collections::BTreeSet::new();
            for (first, more) in ranges {
                progress.note(first, first + more);
                known.extend(first..=first + more);
                let through = (1..).take_while(|n| known.contains(n)).last().unwrap_or(0);
                prop_assert_eq!(progress.through(), through);
                prop_assert_eq!(progress.high(), known.last().copied().unwrap_or(0));
                prop_assert_eq!(progress.has_gap(), progress.high() > through);
            }
        }

        #[test]
        fn the_ends_of_the_range_do_not_overflow(first in any::<u64>(), last in any::<u64>()) {
            let mut progress = Progress::through_to(u64::MAX - 1);
            progress.note(first, last);
            progress.note(u64::MAX, u64::MAX);
            prop_assert_eq!(progress.through(), u64::MAX);
            progress.note_through(u64::MAX);
        }
    }
}
