//! The door where a reader asks whether it got everything.
//!
//! nats-server passes over what it cannot read and says nothing; the node knows what it acknowledged.

use serde::{Deserialize, Serialize};

use crate::limits::{TALLY_GOT_MAX, WATCH_TYPES_MAX};
use crate::{EntityId, Position, TypeName};

#[cfg(doc)]
use crate::limits::TALLY_MISSING_MAX;

/// These are the events that I got from a stretch of the log: what is missing?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TallyAsk {
    /// Of these types; at most [`WATCH_TYPES_MAX`].
    #[serde(deserialize_with = "crate::serde_bound::list::<_, _, WATCH_TYPES_MAX>")]
    pub types: Vec<TypeName>,
    /// Of this entity only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityId>,
    /// The stretch begins behind this position; sequence 0 is the beginning of the log.
    pub after: Position,
    /// It ends with this sequence.
    pub until: u64,
    /// How far behind `after` each event stands that was got, ascending; at most [`TALLY_GOT_MAX`].
    #[serde(default, deserialize_with = "crate::serde_bound::list::<_, _, TALLY_GOT_MAX>")]
    pub got: Vec<u64>,
}

/// What was acknowledged in that stretch, as far as the answer goes, and was not got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The answer is about what stands up to this sequence. Where it is less than `until`, ask about the rest.
    pub through: u64,
    /// Sequences of events that nobody can read any more. With `accepted` at most [`TALLY_MISSING_MAX`].
    #[serde(default)]
    pub missing: Vec<u64>,
    /// Sequences of events that were lost, and without which the operator went on.
    #[serde(default)]
    pub accepted: Vec<u64>,
    /// The event right behind `through` can be read: it was passed over, or is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<u64>,
}
