//! The asking side of one feed: which ask is open, how long it is waited for, how much is asked for. Pure.
//!
//! An ask is held by the peer until there is something, with a beat every second meanwhile, so that silence shows soon that
//! the other side is away. Before a batch leaves, a beat says how large it is, so that a slow line is not taken for a
//! silent one. On a slow line an ask that was given up may still be answered; that answer is as good.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wire::nonce;

/// Silence after which it is asked again: three beats.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(3);
/// The slowest line on which a batch comes within one ask, in bytes a second.
const LINE_BYTES_PER_S_MIN: u64 = 64 << 10;
/// What is asked for at once: at most, and where a line turned out slow.
pub(super) const WANTED_BYTES_MAX: u64 = 768 << 10;
const WANTED_BYTES_MIN: u64 = 16 << 10;
/// What a batch can be at most: what was asked for, and one event more.
pub(super) const BATCH_BYTES_MAX: u64 = 2 << 20;
/// Asks that may still be answered.
const OPEN_MAX: usize = 8;

/// The state of one feed's asking.
#[derive(Debug)]
pub(super) struct Talk {
    open: VecDeque<String>,
    wanted: u64,
    /// Until when something must be heard.
    until: Instant,
    is_coming: bool,
}

impl Talk {
    pub(super) fn new(now: Instant) -> Talk {
        Talk { open: VecDeque::new(), wanted: WANTED_BYTES_MAX, until: now, is_coming: false }
    }

    /// Opens an ask: its nonce, and how many bytes are wanted.
    pub(super) fn ask(&mut self, now: Instant, random: u64) -> (String, u64) {
        if self.is_coming {
            self.wanted = (self.wanted / 2).max(WANTED_BYTES_MIN);
        }
        if self.open.len() == OPEN_MAX {
            self.open.pop_front();
        }
        let nonce = nonce(random);
        self.open.push_back(nonce.clone());
        (self.until, self.is_coming) = (now + SILENT_MAX, false);
        (nonce, self.wanted)
    }

    /// Until when it is waited; then it is asked again.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Whether this answers an open ask.
    pub(super) fn is_open(&self, nonce: &str) -> bool {
        self.open.iter().any(|open| open == nonce)
    }

    /// The peer said that it is there, and that so many bytes come.
    pub(super) fn beat(&mut self, now: Instant, bytes: u64) {
        let line = Duration::from_secs(bytes.min(BATCH_BYTES_MAX) / LINE_BYTES_PER_S_MIN);
        self.until = self.until.max(now + SILENT_MAX + line);
        self.is_coming |= bytes > 0;
    }

    /// The batch is there. No earlier ask matters any more.
    pub(super) fn answered(&mut self) {
        self.open.clear();
        self.wanted = (self.wanted * 2).min(WANTED_BYTES_MAX);
        self.is_coming = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_shows_soon_and_a_slow_line_is_waited_for() {
        let now = Instant::now();
        let mut talk = Talk::new(now);
        let (first, wanted) = talk.ask(now, 1);
        assert_eq!((talk.until(), wanted), (now + SILENT_MAX, WANTED_BYTES_MAX));
        talk.beat(now, 0);
        assert_eq!(talk.until(), now + SILENT_MAX);
        talk.beat(now, 640 << 10);
        assert_eq!(talk.until(), now + SILENT_MAX + Duration::from_secs(10));
        talk.beat(now, u64::MAX);
        assert!(talk.until() <= now + SILENT_MAX + Duration::from_secs(32), "whatever the peer says");
        let (second, wanted) = talk.ask(talk.until(), 2);
        assert_eq!(wanted, WANTED_BYTES_MAX / 2, "a batch that did not come is asked for in parts");
        assert!(talk.is_open(&first) && talk.is_open(&second), "a late answer is as good");
        talk.answered();
        assert!(!talk.is_open(&first) && !talk.is_open(&second));
    }

    #[test]
    fn a_peer_that_is_away_is_asked_for_the_same_and_remembered_within_bounds() {
        let now = Instant::now();
        let mut talk = Talk::new(now);
        let (first, _) = talk.ask(now, 0);
        for n in 1..100 {
            assert_eq!(talk.ask(now, n).1, WANTED_BYTES_MAX);
        }
        assert_eq!(talk.open.len(), OPEN_MAX);
        assert!(!talk.is_open(&first) && talk.is_open(&nonce(99)));
        for n in 0..100 {
            talk.beat(now, 1);
            talk.ask(now, n);
        }
        assert_eq!(talk.wanted, WANTED_BYTES_MIN);
    }
}
