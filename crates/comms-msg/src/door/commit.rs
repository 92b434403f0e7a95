//! The door where a handler answers for a durable command that was delivered to it.

use serde::{Deserialize, Serialize};

use crate::door::AppendedEvent;
use crate::limits::COMMIT_EVENTS_MAX;
use crate::{Draft, MsgId};

/// How a delivered command ended, with the events it caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The command.
    pub command: MsgId,
    /// The reply subject that the command was delivered with: who has it may answer for it.
    pub delivery: String,
    /// How it ended, or that it did not yet.
    pub completion: Completion,
    /// What it caused, with [`Completion::Done`]; stored together or not at all. At most
    /// [`COMMIT_EVENTS_MAX`].
    #[serde(default, deserialize_with = "crate::serde_bound::list::<_, _, COMMIT_EVENTS_MAX>")]
    pub events: Vec<Draft>,
}

/// How a delivered command ended, or that it did not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Completion {
    /// It is done.
    Done,
    /// Nothing is said; the answer tells whether it ended already.
    Check,
    /// The handler still works on it: do not deliver it again yet.
    Working,
    /// Deliver it again.
    Retry {
        /// Not before this time has passed.
        after_ms: u64,
        /// Why.
        reason: String,
        /// Whether this is no failure: the handler asked to be called later, or another was faster.
        #[serde(default)]
        asked: bool,
    },
    /// Refused for good: an answer, not a failure.
    Reject {
        /// Why.
        reason: String,
    },
    /// Given up: to the dead letters.
    Dead {
        /// Why.
        reason: String,
    },
}

/// The answer counts, or did before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// Whether the command had ended before; then nothing was stored now.
    pub already: bool,
    /// How many tries of it failed before, as far as the node remembers.
    #[serde(default)]
    pub failed: u32,
    /// What is in the log of it.
    pub events: Vec<AppendedEvent>,
    /// Byte fields of the events that the door put as content, as JSON pointers into the request. What else it filled
    /// in follows from the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filled: Vec<String>,
}
