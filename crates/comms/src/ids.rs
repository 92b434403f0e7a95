//! Ids and times: the only place of this crate that reads the wall clock or draws ids.
//!
//! An id is a UUID v7 whose highest bits after the time are a counter, so that ids of one process increase whatever
//! thread asks; the rest is random. One clock read, one atomic step and 64 random bits: some tens of nanoseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comms_msg::{MsgId, Timestamp};
use tokio::time::Instant;

/// Bits of the counter within a millisecond: 65 536 ids, more than one process draws in that time. Should it
/// draw more, the ids' time runs ahead of the clock, as RFC 9562 allows.
const COUNTER_BITS: u32 = 16;

/// The last id's millisecond and counter.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A new id and the time it was drawn at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) id: MsgId,
    pub(crate) time: Timestamp,
}

/// Draws an id.
pub(crate) fn stamp() -> Stamp {
    let now = now_ms();
    let step = step(&LAST, now);
    let counter = u128::from(step & ((1 << COUNTER_BITS) - 1)) << (u128::BITS - COUNTER_BITS);
    let random = u128::from(rand::random::<u64>()) << (u128::BITS - COUNTER_BITS - u64::BITS);
    Stamp { id: MsgId::v7(step >> COUNTER_BITS, counter | random), time: Timestamp::from_unix_ms(now) }
}

/// The time.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(now_ms())
}

/// The time after `wait`.
pub(crate) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

/// How long it is from `now` to `until`; nothing if it has passed.
pub(crate) fn left(now: Timestamp, until: Timestamp) -> Duration {
    Duration::from_millis(until.unix_ms().saturating_sub(now.unix_ms()))
}

/// The moment after `wait`; one that nobody lives to see, where there is no such moment.
pub(crate) fn moment_after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + NEVER)
}

/// Thirty years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The next value after the last one, and not before `now_ms`.
fn step(last: &AtomicU64, now_ms: u64) -> u64 {
    let floor = now_ms.saturating_mul(1 << COUNTER_BITS);
    let mut seen = last.load(Ordering::Relaxed);
    loop {
        let next = floor.max(seen.saturating_add(1));
        match last.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return next,
            Err(now) => seen = now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_across_threads() {
        let drawn: Vec<Vec<MsgId>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..5_000).map(|_| stamp().id).collect::<Vec<_>>())).collect();
            threads.into_iter().map(|thread| thread.join().expect("draws")).collect()
        });
        for ids in &drawn {
            assert!(ids.is_sorted(), "each thread sees increasing ids");
        }
        let mut all: Vec<MsgId> = drawn.into_iter().flatten().collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "no id twice");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_take_ids_back() {
        let last = AtomicU64::new(0);
        let first = step(&last, 1_000);
        assert_eq!(first >> COUNTER_BITS, 1_000);
        assert_eq!(step(&last, 900), first + 1);
        assert_eq!(step(&last, 1_001) >> COUNTER_BITS, 1_001);
    }

    #[test]
    fn an_id_carries_its_time() {
        let stamp = stamp();
        let time = stamp.id.time().expect("a version 7");
        assert!(time >= stamp.time);
    }

    #[test]
    fn time_left_is_never_negative() {
        let at = Timestamp::from_unix_ms;
        assert_eq!(left(at(5), at(3)), Duration::ZERO);
        assert_eq!(left(at(3), after(at(3), Duration::from_millis(7))), Duration::from_millis(7));
    }
}
