//! The door where a service learns what it may do here.

use serde::{Deserialize, Serialize};

use crate::{DomainName, ServiceName, TypeName};

/// Who am I here, and what may I do?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloAsk {}

/// What the definition gives to the service that asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The domain.
    pub domain: DomainName,
    /// The version of its definition.
    pub version: u32,
    /// The node that answers.
    pub node: String,
    /// The service, as the broker knows it.
    pub service: ServiceName,
    /// Byte fields above this size leave the message.
    pub threshold: u64,
    /// The incarnation of the event log, which positions carry.
    pub log: String,
    /// Where content is put and got.
    pub http: String,
    /// Commands it may send.
    pub sends: Vec<CommandInfo>,
    /// Queries it may ask.
    pub asks: Vec<TypeName>,
    /// Commands it handles.
    pub handles: Vec<CommandInfo>,
    /// Queries it answers.
    pub answers: Vec<TypeName>,
    /// Events it may append.
    pub emits: Vec<TypeName>,
    /// Events it may read.
    pub observes: Vec<TypeName>,
    /// More about the queries it asks or answers.
    pub queries: Vec<QueryInfo>,
}

/// A command of the definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandInfo {
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// Whether it is kept until handled.
    pub delivery: Delivery,
    /// When its sender stops waiting for an outcome, unless told otherwise.
    pub deadline_ms: u64,
}

/// A query of the definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryInfo {
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// When its asker stops waiting, unless told otherwise.
    pub deadline_ms: u64,
}

/// Whether a command is kept until it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Stored and synced before it is acknowledged, handled by exactly one service, with an outcome.
    Durable,
    /// Handed to who listens now; nobody keeps it.
    Direct,
}

impl Delivery {
    /// As written in the definition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Direct => "direct",
        }
    }
}
