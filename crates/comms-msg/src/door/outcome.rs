//! The door that tells how a command ended, also to a caller who comes back later.

use comms_content::Cid;
use serde::{Deserialize, Serialize};

use crate::{EntityId, Msg, MsgId, Position, TypeName};

/// How did this command end?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeAsk {
    /// The command.
    pub command: MsgId,
    /// How long the answer may wait for an end; 0 asks for what is known now.
    #[serde(default)]
    pub wait_ms: u64,
}

/// How a command ended, or that it did not yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Where it stands.
    pub state: OutcomeState,
    /// Why, if it was rejected or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was delivered, as far as known.
    pub tries: u32,
    /// What it caused.
    pub events: Vec<OutcomeEvent>,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeState {
    /// It waits, or is being handled.
    Pending,
    /// It is done.
    Done,
    /// Its handler refused it for good.
    Rejected,
    /// It was given up.
    Dead,
}

/// One event that a command caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeEvent {
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
    /// The event itself, where the asker may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg: Option<Msg>,
}
