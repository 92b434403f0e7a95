//! What asks a long-running command to stop: Ctrl-C, SIGTERM, and SIGHUP of a terminal that was closed.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The signals, from the moment this exists: from then on none ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if whoever started the process had it ignore this one, as `nohup` does.
    hang_up: Option<Signal>,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn take() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|error| Failure::failed("signals cannot be taken over").because(&error))
        };
        let is_ignored = std::fs::read_to_string(STATUS).is_ok_and(|status| ignores_hang_up(&status));
        let hang_up = if is_ignored { None } else { Some(take(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => drop(signal.recv().await),
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hang_up => {}
        }
    }
}

/// Where Linux says which signals this process ignores; other systems do not say it, and are taken to ignore none.
const STATUS: &str = "/proc/self/status";

/// Whether SIGHUP, number 1 and so the lowest bit, is among the signals that are ignored.
fn ignores_hang_up(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ignores_a_hang_up_is_known() {
        assert!(ignores_hang_up("Name:\tcomms\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        for status in ["SigIgn:\t0000000000001000\n", "SigIgn:\tx\n", "SigCgt:\t1\n", ""] {
            assert!(!ignores_hang_up(status), "{status}");
        }
    }
}
