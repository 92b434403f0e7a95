//! What was refused of a peer: counted by reason, and told to the log at intervals, since who sends rubbish sends much.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::admit::Refused;

/// How often the log is told at most, for each peer and feed.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What one peer was refused over one feed.
#[derive(Debug)]
pub(super) struct Refusals {
    peer: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<Refused, u64>,
    total: u64,
    told: Option<Instant>,
}

impl Refusals {
    pub(super) fn of(peer: &str) -> Refusals {
        Refusals { peer: peer.to_owned(), state: Mutex::default() }
    }

    /// Counts a refusal; `what` is said of one only, escaped.
    pub(super) fn note(&self, why: Refused, what: &str) {
        let Some((total, since)) = self.count(why, Instant::now()) else { return };
        let what: String = what.chars().take(200).flat_map(char::escape_debug).collect();
        tracing::warn!(peer = self.peer, %why, what, since, total, "refused what another node said");
    }

    /// Counts, and says how many there are in all and since the last time that was told, if it is time.
    fn count(&self, why: Refused, now: Instant) -> Option<(u64, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.counts.entry(why).or_default();
        *count = count.saturating_add(1);
        state.total = state.total.saturating_add(1);
        if state.told.is_some_and(|told| now < told + TOLD_EVERY) {
            return None;
        }
        state.told = Some(now);
        let since: Vec<String> =
            std::mem::take(&mut state.counts).iter().map(|(why, n)| format!("{n} {why}")).collect();
        Some((state.total, since.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_are_told_once_in_a_while_with_their_number() {
        let refusals = Refusals::of("leafa");
        let now = Instant::now();
        assert_eq!(refusals.count(Refused::Size, now), Some((1, "1 too large".into())));
        for _ in 0..1_000 {
            assert_eq!(refusals.count(Refused::Malformed, now), None);
        }
        let (total, since) = refusals.count(Refused::Size, now + TOLD_EVERY).unwrap();
        assert_eq!((total, since.as_str()), (1_002, "1 too large, 1000 no message"));
    }
}
