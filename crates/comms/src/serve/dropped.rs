//! What handlers refuse to look at or will not hear again, counted by reason.
//!
//! The broker vouches for the sender in a subject, and for nothing else: it never checks reply subjects, so status
//! messages and stored messages can be steered onto a handler's subject. Whatever is not a message of its subject's
//! kind, type and sender is dropped here, counted and traced, and never answered.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A status of the server, steered here by somebody's request.
    Status,
    /// The subject is not one that this handler subscribed to.
    Subject,
    /// Not a message, or not a canonical one.
    Malformed,
    /// A message of another kind or type than its subject.
    Type,
    /// A message that names another sender than its subject.
    Sender,
    /// Answers would go to an inbox that is not the sender's, or to a part of it where services may not answer.
    Reply,
    /// Too late to begin.
    Expired,
    /// An event that its listener rejected, or that does not decode in this program.
    Rejected,
}

const REASONS: [Why; 8] = [
    Why::Status,
    Why::Subject,
    Why::Malformed,
    Why::Type,
    Why::Sender,
    Why::Reply,
    Why::Expired,
    Why::Rejected,
];

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Status => "status",
            Why::Subject => "subject",
            Why::Malformed => "malformed",
            Why::Type => "type",
            Why::Sender => "sender",
            Why::Reply => "reply",
            Why::Expired => "expired",
            Why::Rejected => "rejected",
        })
    }
}

/// Counters of dropped messages.
#[derive(Debug, Default)]
pub(crate) struct Dropped([AtomicU64; REASONS.len()]);

impl Dropped {
    pub(crate) fn count(&self, why: Why, subject: &str) {
        let before = self.add(why);
        // The first of its kind is news, the following could be a flood.
        if before == 0 {
            tracing::warn!(%why, subject, "dropped a message; further ones of this kind are traced at debug level");
        } else {
            tracing::debug!(%why, subject, "dropped a message");
        }
    }

    /// Counts one that somebody else speaks of; how many there were before.
    pub(crate) fn add(&self, why: Why) -> u64 {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed)
    }

    /// How many, by reason.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        const NAMES: [&str; REASONS.len()] =
            ["status", "subject", "malformed", "type", "sender", "reply", "expired", "rejected"];
        NAMES.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_under_the_name_of_the_reason() {
        let dropped = Dropped::default();
        for why in REASONS {
            dropped.count(why, "x");
            let named = dropped.counts().find(|(name, _)| *name == why.to_string());
            assert_eq!(named, Some((why.to_string().leak() as &str, 1)));
        }
    }
}
