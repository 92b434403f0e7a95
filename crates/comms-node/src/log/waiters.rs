//! Who waits for a command to end. Bounded, and swept of those who left.

use std::collections::HashMap;

use comms_msg::MsgKey;
use tokio::sync::oneshot;

/// Callers that may wait for outcomes at once: some 4 KiB each.
const OUTCOME_WAITERS_MAX: usize = 16_384;

/// See the header.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    of: HashMap<MsgKey, Vec<oneshot::Sender<()>>>,
    total: usize,
}

impl Waiters {
    /// A wait for the end of `command`, or `None` where too many wait.
    pub(crate) fn wait(&mut self, command: MsgKey) -> Option<oneshot::Receiver<()>> {
        if self.total >= OUTCOME_WAITERS_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.of.entry(command).or_default().push(sender);
        self.total += 1;
        Some(receiver)
    }

    /// Takes those who wait for `command`, to be woken.
    pub(crate) fn take(&mut self, command: &MsgKey) -> Vec<oneshot::Sender<()>> {
        let waiters = self.of.remove(command).unwrap_or_default();
        self.total -= waiters.len();
        waiters
    }

    /// Drops the waits for `command` that nobody holds any more.
    pub(crate) fn sweep(&mut self, command: &MsgKey) {
        if let Some(waiters) = self.of.get_mut(command) {
            let before = waiters.len();
            waiters.retain(|waiter| !waiter.is_closed());
            self.total -= before - waiters.len();
            if waiters.is_empty() {
                self.of.remove(command);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use comms_msg::{Kind, MsgId};

    use super::*;

    #[test]
    fn waits_end_once_and_leave_nothing_behind() {
        let key = |n| {
            let (sender, type_name) = ("desk".parse().unwrap(), "documents.Add".parse().unwrap());
            MsgKey::new(Kind::Command, &sender, &type_name, MsgId::v7(n, 0))
        };
        let mut waiters = Waiters::default();
        let held: Vec<_> = (0..3).map(|_| waiters.wait(key(1)).unwrap()).collect();
        drop(waiters.wait(key(1)));
        drop(waiters.wait(key(2)));
        waiters.sweep(&key(1));
        waiters.sweep(&key(2));
        assert_eq!(waiters.total, 3);
        for waiter in waiters.take(&key(1)) {
            waiter.send(()).unwrap();
        }
        assert!(held.into_iter().all(|mut wait| wait.try_recv().is_ok()));
        assert_eq!((waiters.total, waiters.of.len()), (0, 0));
    }
}
