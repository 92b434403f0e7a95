//! Growing pauses between tries.

use std::time::Duration;

/// Pauses that double from the first to the last. The caller bounds the tries or the time.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    next: Duration,
    last: Duration,
}

impl Default for Pace {
    /// For what takes milliseconds on this machine.
    fn default() -> Self {
        Pace::new(Duration::from_millis(2), Duration::from_millis(100))
    }
}

impl Pace {
    /// Begins with `first` and never exceeds `last`.
    pub(crate) fn new(first: Duration, last: Duration) -> Pace {
        Pace { next: first, last }
    }

    /// The pause before the next try.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.last);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let mut pace = Pace::new(Duration::from_millis(3), Duration::from_millis(10));
        let pauses: Vec<u128> = (0..4).map(|_| pace.next_pause().as_millis()).collect();
        assert_eq!(pauses, [3, 6, 10, 10]);
    }
}
