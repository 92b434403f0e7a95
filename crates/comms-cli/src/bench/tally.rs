//! A tally: what arrived at the far end, how much it was and the sum of its ids, and room for no more than a window.
//!
//! The broker knows no back-pressure on what it does not keep: whoever sends faster than is taken loses messages. Both
//! sides of a contest therefore send into the same window.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use comms::MsgId;
use tokio::sync::Notify;

/// Messages sent and not yet taken at most: half of what a subscription holds.
const WINDOW: u64 = 32 * 1024;
/// How often a sender that waits is told; divides the window, so that it is always told in time.
const TOLD_EVERY: u64 = 256;
/// What is not there after this long is lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What arrived.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: AtomicU64,
    low: AtomicU64,
    high: AtomicU64,
    /// The count at which everything is there.
    all: AtomicU64,
    moved: Notify,
}

/// A sum of ids, each half by itself and without its carry.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    low: u64,
    high: u64,
}

impl Sum {
    pub(super) fn add(&mut self, id: MsgId) {
        let (low, high) = halves(id);
        self.low = self.low.wrapping_add(low);
        self.high = self.high.wrapping_add(high);
    }
}

impl Tally {
    /// Counts a message of ours.
    pub(super) fn take(&self, id: MsgId) {
        let (low, high) = halves(id);
        self.low.fetch_add(low, Ordering::Relaxed);
        self.high.fetch_add(high, Ordering::Relaxed);
        self.count_one();
    }

    /// Counts a message that has no id.
    pub(super) fn count_one(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count.is_multiple_of(TOLD_EVERY) || count == self.all.load(Ordering::SeqCst) {
            self.moved.notify_one();
        }
    }

    /// Messages that arrived.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// The sum of their ids.
    pub(super) fn sum(&self) -> Sum {
        Sum { low: self.low.load(Ordering::SeqCst), high: self.high.load(Ordering::SeqCst) }
    }

    /// Waits until there is room in the window after `sent` messages. Whether there is; else messages are lost.
    pub(super) async fn room(&self, sent: u64) -> bool {
        self.reaches((sent + TOLD_EVERY).saturating_sub(WINDOW)).await
    }

    /// Waits until all `sent` messages are there. Whether they are.
    pub(super) async fn all(&self, sent: u64) -> bool {
        self.all.store(sent, Ordering::SeqCst);
        self.reaches(sent).await
    }

    async fn reaches(&self, count: u64) -> bool {
        while self.count() < count {
            if tokio::time::timeout(LOST_AFTER, self.moved.notified()).await.is_err() {
                return self.count() >= count;
            }
        }
        true
    }
}

fn halves(id: MsgId) -> (u64, u64) {
    id.uuid().as_u64_pair()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_is_what_was_sent() {
        let (tally, mut sent) = (Tally::default(), Sum::default());
        for n in 0..1000 {
            let id = MsgId::v7(n, u128::from(n) << 70);
            sent.add(id);
            tally.take(id);
        }
        assert!(tally.all(1000).await);
        assert_eq!(tally.sum(), sent);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_lost() {
        let tally = Tally::default();
        tally.count_one();
        assert!(!tally.all(2).await);
        assert!(tally.room(WINDOW - TOLD_EVERY).await);
        assert!(!tally.room(WINDOW + TOLD_EVERY).await);
    }
}
