//! What a message carries: a command, a query or an event, with its body.

use std::fmt;

use comms_content::{Cid, Node};
use serde::Serialize;

use crate::limits::SEAL_KEY_BYTES_MAX;
use crate::text::text_type;
use crate::{EntityId, Error, Result, TypeName};

/// The three kinds of content, and of types, without the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something is to be done; one handler.
    Command,
    /// Something is asked; nothing changes.
    Query,
    /// Something happened; any number of observers.
    Event,
}

impl Kind {
    /// Every kind, in the order of the definition.
    pub const ALL: [Self; 3] = [Self::Command, Self::Query, Self::Event];

    /// The word in subjects, in the wire form and in the definition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
            Self::Event => "event",
        }
    }

    /// In a sentence.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Command => "a command",
            Self::Query => "a query",
            Self::Event => "an event",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq)]
pub enum DomainContent {
    /// Something is to be done.
    Command(Command),
    /// Something is asked.
    Query(Query),
    /// Something happened.
    Event(Event),
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its type.
    pub type_name: TypeName,
    /// The version of its schema.
    pub version: u32,
    /// Its fields.
    pub body: Body,
}

/// Something asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Its type.
    pub type_name: TypeName,
    /// The version of its schema.
    pub version: u32,
    /// Its fields.
    pub body: Body,
}

/// Something that happened to an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its type.
    pub type_name: TypeName,
    /// The version of its schema.
    pub version: u32,
    /// Whose history it belongs to.
    pub entity: EntityId,
    /// The message CID of the entity's event before this one; reserved.
    pub previous: Option<Cid>,
    /// Its fields.
    pub body: Body,
}

/// The fields of a content, or where they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Here.
    Inline(Node),
    /// The whole body is this DAG-CBOR block.
    Link(Cid),
    /// The whole body is this block, encrypted with a key that can be destroyed.
    Sealed(Sealed),
}

/// An encrypted body: forgetting the key erases it, also from a log that is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The name of the key.
    pub key: SealKey,
    /// The encrypted block.
    pub link: Cid,
}

/// The name of a sealing key. Not the key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealKey(Box<str>);

impl SealKey {
    /// Takes 1 to 256 bytes of text without control characters.
    pub fn new(text: &str) -> Result<SealKey> {
        SealKey::fits(text)?;
        Ok(SealKey(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        if (1..=SEAL_KEY_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(());
        }
        Err(Error::invalid(text, "the name of a sealing key: 1 to 256 bytes without control characters"))
    }
}

text_type!(SealKey, "the name of a sealing key");

impl DomainContent {
    /// Command, query or event.
    pub fn kind(&self) -> Kind {
        match self {
            DomainContent::Command(_) => Kind::Command,
            DomainContent::Query(_) => Kind::Query,
            DomainContent::Event(_) => Kind::Event,
        }
    }

    /// Its type.
    pub fn type_name(&self) -> &TypeName {
        match self {
            DomainContent::Command(command) => &command.type_name,
            DomainContent::Query(query) => &query.type_name,
            DomainContent::Event(event) => &event.type_name,
        }
    }

    /// The version of its schema.
    pub fn version(&self) -> u32 {
        match self {
            DomainContent::Command(command) => command.version,
            DomainContent::Query(query) => query.version,
            DomainContent::Event(event) => event.version,
        }
    }

    /// Its body.
    pub fn body(&self) -> &Body {
        match self {
            DomainContent::Command(command) => &command.body,
            DomainContent::Query(query) => &query.body,
            DomainContent::Event(event) => &event.body,
        }
    }

    /// Its body, to be replaced: what offload does.
    pub fn body_mut(&mut self) -> &mut Body {
        match self {
            DomainContent::Command(command) => &mut command.body,
            DomainContent::Query(query) => &mut query.body,
            DomainContent::Event(event) => &mut event.body,
        }
    }

    /// The entity, of an event.
    pub fn entity(&self) -> Option<&EntityId> {
        match self {
            DomainContent::Event(event) => Some(&event.entity),
            DomainContent::Command(_) | DomainContent::Query(_) => None,
        }
    }
}
