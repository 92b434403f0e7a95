//! The answers of the doors that keep something: `door.command` and `door.event`. Their requests are
//! messages or drafts of messages.

use comms_content::Cid;
use serde::{Deserialize, Serialize};

use crate::{EntityId, MsgId, Position, TypeName};

/// A durable command is kept, synced, and will be delivered until it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its id.
    pub id: MsgId,
    /// Its message CID.
    pub cid: Cid,
    /// Where it is kept.
    pub position: Position,
    /// What the door filled in, as JSON pointers.
    pub filled: Vec<String>,
    /// Whether sending the same bytes again is safe: only if the sender chose the id.
    pub retry_safe: bool,
    /// Anything else worth telling a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Events are in the log, synced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appended {
    /// In the order of the request.
    pub events: Vec<AppendedEvent>,
    /// What the door filled in, as JSON pointers.
    pub filled: Vec<String>,
    /// Whether sending the same bytes again is safe: only if the sender chose the ids.
    pub retry_safe: bool,
}

/// One event that is in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppendedEvent {
    /// Its id.
    pub id: MsgId,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// Whose history it is in.
    pub entity: EntityId,
    /// Where.
    pub position: Position,
    /// Its message CID.
    pub cid: Cid,
}
