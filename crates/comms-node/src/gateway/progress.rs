//! How fast somebody must go who is waited for: so many bytes in so much waiting, again and again.
//!
//! Only the time in which the other side is waited for counts: what the disk takes is not held against it. So a byte now
//! and then does not hold a place, and who is slow but steady keeps it. Pure: the caller measures.

use std::time::Duration;

/// What is asked for: `bytes` in each `within` of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) bytes: u64,
    pub(super) within: Duration,
}

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pace: Pace,
    bytes: u64,
    waited: Duration,
}

impl Progress {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, bytes: 0, waited: Duration::ZERO }
    }

    /// How much longer may be waited from here, if nothing comes.
    pub(super) fn left(&self) -> Duration {
        self.pace.within.saturating_sub(self.waited)
    }

    /// So many bytes came after so much waiting.
    pub(super) fn came(&mut self, bytes: u64, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        if self.bytes >= self.pace.bytes {
            *self = Self::new(self.pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { bytes: 100, within: Duration::from_secs(10) };

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_byte_now_and_then_does_not_hold_a_place() {
        let mut progress = Progress::new(PACE);
        for _ in 0..9 {
            progress.came(1, seconds(1));
            assert!(progress.left() > Duration::ZERO);
        }
        progress.came(1, seconds(1));
        assert_eq!(progress.left(), Duration::ZERO);
    }

    #[test]
    fn who_is_slow_but_steady_keeps_it_and_the_time_of_others_does_not_count() {
        let mut progress = Progress::new(PACE);
        for _ in 0..1000 {
            progress.came(50, seconds(4));
            assert!(progress.left() > Duration::ZERO);
        }
        progress.came(99, Duration::ZERO);
        assert_eq!(progress.left(), seconds(10));
    }

    proptest! {
        /// Whoever is let go on has brought the pace in every span of waiting as long as the bound.
        #[test]
        fn no_place_is_held_below_the_pace(steps in prop::collection::vec((0..40_u64, 0..6_u64), 1..200)) {
            let mut progress = Progress::new(PACE);
            let (mut bytes, mut waited) = (0_u64, 0_u64);
            for (came, secs) in steps {
                if seconds(secs) >= progress.left() {
                    break;
                }
                progress.came(came, seconds(secs));
                bytes += came;
                waited += secs;
            }
            prop_assert!(bytes >= waited / 10 * PACE.bytes);
        }
    }
}
