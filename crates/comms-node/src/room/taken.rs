//! What was taken and does not show where it is kept yet: bytes that are on their way, and bytes that were written since
//! somebody looked.

use std::sync::atomic::{AtomicU64, Ordering};

/// Two sums. Each operation leaves them right; together they are at most as much as was said.
#[derive(Debug, Default)]
pub(super) struct Taken {
    on_its_way: AtomicU64,
    written: AtomicU64,
}

impl Taken {
    /// Counts what somebody is about to write.
    pub(super) fn begin(&self, bytes: u64) {
        add(&self.on_its_way, bytes);
    }

    /// `begun` of what was on its way is over, and left `written` behind.
    pub(super) fn end(&self, begun: u64, written: u64) {
        // In this order nothing is uncounted between the two.
        add(&self.written, written);
        subtract(&self.on_its_way, begun);
    }

    /// All of it.
    pub(super) fn sum(&self) -> u64 {
        let load = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        load(&self.on_its_way).saturating_add(load(&self.written))
    }

    /// What was written since the last look, to be forgotten after the one that begins now.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Somebody looked and saw that much of what was written.
    pub(super) fn seen(&self, written: u64) {
        subtract(&self.written, written);
    }
}

// No update is ever refused, so there is no error.
fn add(sum: &AtomicU64, bytes: u64) {
    let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_add(bytes)));
}

fn subtract(sum: &AtomicU64, bytes: u64) {
    let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
}
