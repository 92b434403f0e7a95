//! What is on its way into a stream, and what may stand there although nobody said so. Pure.
//!
//! A second request for the same waits outside meanwhile: in the line twice, it would be stored twice, and under load
//! more senders would ask again. What may have been stored is not sent again before the stream was asked for it.

use std::collections::{HashMap, HashSet};

use comms_msg::MsgKey;

/// Messages at most of which it is not known whether they are stored. Past it nothing is taken, since a repeat of what
/// was forgotten could be stored twice.
pub(crate) const UNCERTAIN_MAX: usize = 65_536;
/// After this a message that was sent has arrived or never will: whoever had it in hand has given up long ago.
pub(crate) const ARRIVES_WITHIN_MS: u64 = 120_000;

/// A message of which it is not known whether it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Uncertain {
    /// It stands behind this sequence, if it does.
    pub(crate) after: u64,
    /// When it was sent last, in milliseconds since the epoch.
    sent_ms: u64,
}

/// Why a request may not begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Another request for the same is under way.
    Underway,
    /// Too many messages are uncertain.
    Full,
}

/// See the header.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    underway: HashSet<MsgKey>,
    uncertain: HashMap<MsgKey, Uncertain>,
}

impl Arrivals {
    /// Begins with all of `keys`, or with none. The answer is the sequence behind which the first of them may stand
    /// from an earlier request, if it may.
    pub(crate) fn begin(&mut self, keys: &[MsgKey]) -> Result<Option<u64>, Turned> {
        if keys.iter().any(|key| self.underway.contains(key)) {
            return Err(Turned::Underway);
        }
        let after = keys.iter().filter_map(|key| self.uncertain.get(key)).map(|known| known.after).min();
        if after.is_none() && self.uncertain.len() + self.underway.len() >= UNCERTAIN_MAX {
            return Err(Turned::Full);
        }
        self.underway.extend(keys);
        Ok(after)
    }

    /// The request for `keys` has ended. `after` says that they may have been stored, and behind what.
    pub(crate) fn end(&mut self, keys: &[MsgKey], after: Option<u64>, now_ms: u64) {
        for key in keys {
            self.underway.remove(key);
            match after {
                None => {
                    self.uncertain.remove(key);
                }
                Some(after) => {
                    let known = self.uncertain.entry(*key).or_insert(Uncertain { after, sent_ms: now_ms });
                    known.sent_ms = now_ms;
                }
            }
        }
    }

    pub(crate) fn is_underway(&self, key: &MsgKey) -> bool {
        self.underway.contains(key)
    }

    /// The sequence behind which everything that is uncertain may stand; none where nothing is.
    pub(crate) fn uncertain_after(&self) -> Option<u64> {
        self.uncertain.values().map(|known| known.after).min()
    }

    /// Those that had their time: said when the stream has been read from [`Arrivals::uncertain_after`] to its end since
    /// `read_ms`, so that all of them that stand there are known from it.
    pub(crate) fn settle(&mut self, read_ms: u64) {
        self.uncertain.retain(|_, known| known.sent_ms.saturating_add(ARRIVES_WITHIN_MS) > read_ms);
    }

    pub(crate) fn is_uncertain(&self, key: &MsgKey) -> bool {
        self.uncertain.contains_key(key)
    }
}
