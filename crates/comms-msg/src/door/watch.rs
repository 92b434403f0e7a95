//! The doors that say where commands and events arrive: `door.listen` for a service's standing consumers,
//! `door.watch` for one reader from one position on.

use serde::{Deserialize, Serialize};

use crate::limits::WATCH_TYPES_MAX;
use crate::{EntityId, Position, Timestamp, TypeName};

/// Where do my commands and events arrive?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenAsk {}

/// Where they arrive, for what the service handles and observes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Durable commands, if it handles any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Arrival>,
    /// Events, if it observes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Arrival>,
    /// Events of other nodes, if it observes any and there are other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Arrival>,
    /// The incarnation of the log that holds these, which their positions carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_log: Option<String>,
    /// Where the node says, as a refusal of the kind *lost* and every few seconds, that acknowledged messages are lost. For
    /// every instance: no queue group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notices: Option<String>,
}

/// One place of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// What to subscribe to; not guessable, not to be told to others.
    pub subject: String,
    /// In which queue group.
    pub queue: String,
    /// What is not acknowledged in this time is delivered again.
    pub ack_wait_ms: u64,
    /// So many may be under way at once.
    pub max_ack_pending: u64,
}

/// Deliver these events, from there on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchAsk {
    /// Of these types; at most [`WATCH_TYPES_MAX`].
    #[serde(deserialize_with = "crate::serde_bound::list::<_, _, WATCH_TYPES_MAX>")]
    pub types: Vec<TypeName>,
    /// Of this entity only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityId>,
    /// From where.
    #[serde(default)]
    pub from: WatchFrom,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchFrom {
    /// With the first event there is.
    Start,
    /// With the next event there will be.
    #[default]
    New,
    /// With the first event after this position.
    Position(Position),
    /// With the first event at or after this time.
    Time(Timestamp),
}

/// Where the events of a watch arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// What to subscribe to; not guessable, not to be told to others.
    pub subject: String,
    /// The incarnation of the log, which positions of this watch have.
    pub log: String,
    /// The consumer, for flow control.
    pub consumer: String,
    /// How many events there were already: who has got so many of this consumer has caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// The watch begins behind this sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The last sequence that was acknowledged before the watch began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}
