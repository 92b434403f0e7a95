//! How a handler says that it could not: retry later, or never.
//!
//! Any error turns into a retry by `?`. What a retry or a rejection does to a stored command is decided by
//! `serve/commands.rs` and the node, to an event by `serve/events.rs`; this file only carries the decision.

use std::fmt;
use std::time::Duration;

use comms_msg::door::{Refusal, RefusalKind};

/// Why a handler did not do what it was asked to.
pub struct Failure {
    pub(crate) decision: Decision,
    pub(crate) reason: String,
}

/// What is to become of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Again, after the library's own back-off, a limited number of times.
    Again,
    /// Again, when the handler said.
    After(Duration),
    /// Never again: the sender is told why.
    Reject,
    /// Never again by this program: to the dead letters, from where an operator can have it tried by a better one.
    Bury,
}

impl Failure {
    /// Try again after `after`. The wait is kept by the server, so the handler's process may end meanwhile.
    pub fn retry(after: Duration) -> Self {
        Self { decision: Decision::After(after), reason: String::from("asked for later") }
    }

    /// Never again: `reason` is the outcome that the sender of a command sees, and what the asker of a query is told.
    ///
    /// Nobody waits to hear it of an event: that is acknowledged, logged with `reason` as a warning, and counted as
    /// `rejected` in [`Comms::dropped`](crate::Comms::dropped); the next event of its entity is heard.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Reject, reason: reason.into() }
    }

    /// The same with the reason that is recorded.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The reason, as recorded.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn again(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Again, reason: reason.into() }
    }

    pub(crate) fn bury(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Bury, reason: reason.into() }
    }

    /// What somebody who asked a query, and waits, is told.
    pub(crate) fn into_refusal(self) -> Refusal {
        let kind = match self.decision {
            Decision::Reject => RefusalKind::Rejected,
            Decision::Again | Decision::After(_) => RefusalKind::Unavailable,
            Decision::Bury => RefusalKind::Internal,
        };
        Refusal::new(kind, self.reason)
    }
}

/// `Failure` is not an error itself: if it were, "any error is a retry" could not be said by `From`.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("decision", &self.decision).field("reason", &self.reason).finish()
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::again(chain(&error))
    }
}

/// An error and everything that caused it, in one line: what is recorded must be enough to understand it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn any_error_is_a_retry_with_its_whole_chain() {
        fn handler() -> Result<(), Failure> {
            Err(Error::new(ErrorKind::Internal, "outer").because(std::io::Error::other("inner")))?
        }
        let failure = handler().expect_err("fails");
        assert_eq!(failure.decision, Decision::Again);
        assert_eq!(failure.reason(), "outer: inner");
    }

    #[test]
    fn a_rejection_keeps_its_reason() {
        let failure = Failure::reject("no such shelf");
        assert_eq!((failure.decision, failure.reason()), (Decision::Reject, "no such shelf"));
    }
}
