//! A message as a foreign client may write it: everything optional, completed at the door, and told what was
//! filled in.

use bytes::Bytes;
use comms_content::{Cid, Node};

use crate::content::{Body, Command, DomainContent, Event, Kind, Query};
use crate::error::{at, content_error};
use crate::limits::MSG_BYTES_MAX;
use crate::msg::{check_depth, decode, encode};
use crate::view::{check_history, no_entity, no_owner};
use crate::{
    EntityId, Error, Form, Hop, Metadata, Msg, MsgId, Owner, Result, ServiceName, Timestamp, TypeName,
    UserPairs,
};

/// The version of a schema that a content without `v` has.
const SCHEMA_VERSION_DEFAULT: u32 = 1;

/// A message of which anything may be missing. What is there is checked like that of a whole message, except
/// that ids and times may have any common spelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Its id; only a sender that chose it can retry safely.
    pub id: Option<MsgId>,
    /// As much of the metadata as there is.
    pub metadata: DraftMetadata,
    /// As much of the content as there is.
    pub content: Option<DraftContent>,
    /// What hops may change.
    pub hop: Hop,
}

/// See [`Metadata`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftMetadata {
    /// See [`Metadata::owner`].
    pub owner: Option<Owner>,
    /// See [`Metadata::time`].
    pub time: Option<Timestamp>,
    /// See [`Metadata::sender`].
    pub sender: Option<ServiceName>,
    /// See [`Metadata::correlation`].
    pub correlation: Option<MsgId>,
    /// See [`Metadata::causation`].
    pub causation: Option<MsgId>,
    /// See [`Metadata::user`].
    pub user: UserPairs,
}

/// See [`DomainContent`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftContent {
    /// Kind and type.
    pub what: Option<(Kind, TypeName)>,
    /// The version of its schema.
    pub version: Option<u32>,
    /// Its fields, or where they are.
    pub body: Option<Body>,
    /// See [`Event::entity`].
    pub entity: Option<EntityId>,
    /// See [`Event::previous`].
    pub previous: Option<Cid>,
}

/// What a draft is completed with.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// The id, if it has none.
    pub id: MsgId,
    /// The time, if it has none.
    pub now: Timestamp,
    /// The sender that the broker vouched for; a draft that names another is refused.
    pub sender: ServiceName,
    /// The kind that is expected here; a draft of another is refused.
    pub kind: Kind,
    /// The type that is expected here, where there is only one; a draft of another is refused.
    pub type_name: Option<TypeName>,
    /// The owner, where it follows from a cause; else a draft without one is refused.
    pub owner: Option<Owner>,
    /// The conversation, where it follows from a cause; else a draft without one begins its own.
    pub correlation: Option<MsgId>,
    /// The cause, where there is one.
    pub causation: Option<MsgId>,
}

impl Defaults {
    /// For a message of this type that nothing caused.
    pub fn new(id: MsgId, now: Timestamp, sender: ServiceName, kind: Kind, type_name: TypeName) -> Defaults {
        let type_name = Some(type_name);
        Defaults { id, now, sender, kind, type_name, owner: None, correlation: None, causation: None }
    }

    /// For an event, of any type, that the message `cause` with this metadata caused.
    pub fn caused(
        id: MsgId,
        now: Timestamp,
        sender: ServiceName,
        cause: MsgId,
        metadata: &Metadata,
    ) -> Defaults {
        Defaults {
            id,
            now,
            sender,
            kind: Kind::Event,
            type_name: None,
            owner: Some(metadata.owner.clone()),
            correlation: Some(metadata.correlation),
            causation: Some(cause),
        }
    }
}

/// What a completion filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The places, as JSON pointers into the message.
    pub fields: Vec<&'static str>,
}

impl Filled {
    /// Whether the sender can send the same bytes again: only if the id was its own.
    pub fn retry_safe(&self) -> bool {
        !self.fields.contains(&"/id")
    }

    /// Gives `msg` what stands in `stored` at the places that were filled in: what is left differs only where its
    /// sender said something else.
    pub fn adopt(&self, msg: &mut Msg, stored: &Msg) {
        for field in &self.fields {
            match *field {
                "/metadata/owner" => msg.metadata.owner = stored.metadata.owner.clone(),
                "/metadata/time" => msg.metadata.time = stored.metadata.time,
                "/metadata/sender" => msg.metadata.sender = stored.metadata.sender.clone(),
                "/metadata/correlation" => msg.metadata.correlation = stored.metadata.correlation,
                "/metadata/causation" => msg.metadata.causation = stored.metadata.causation,
                // An id that was filled in names no message that was stored before; the others follow from the type.
                _ => {}
            }
        }
    }

    /// Gives `msg` this time, if its time was filled in.
    pub fn adopt_time(&self, msg: &mut Msg, time: Timestamp) {
        if self.fields.contains(&"/metadata/time") {
            msg.metadata.time = time;
        }
    }

    /// Adds what another completion filled in, each place once.
    pub fn merge(&mut self, other: Filled) {
        for field in other.fields {
            if !self.fields.contains(&field) {
                self.fields.push(field);
            }
        }
    }

    fn take<T>(&mut self, given: Option<T>, place: &'static str, default: impl FnOnce() -> T) -> T {
        given.unwrap_or_else(|| {
            self.fields.push(place);
            default()
        })
    }
}

impl Draft {
    /// Reads a draft in either form.
    pub fn read(payload: &Bytes) -> Result<Draft> {
        match Form::of(payload) {
            Form::Cbor if payload.len() > MSG_BYTES_MAX => {
                Err(Error::too_large(payload.len(), MSG_BYTES_MAX, "bytes"))
            }
            Form::Cbor => decode::whole(payload, decode::Leniency::Draft).map(Draft::from),
            Form::Json => Draft::from_node(&Form::Json.read(payload)?),
        }
    }

    /// Reads a node of data.
    pub fn from_node(node: &Node) -> Result<Draft> {
        decode::whole(node.as_bytes(), decode::Leniency::Draft).map(Draft::from)
    }

    /// As much of the canonical DAG-CBOR as there is.
    ///
    /// # Errors
    /// As [`Msg::to_wire`].
    pub fn to_node(&self) -> Result<Node> {
        check_depth(self.content.as_ref().and_then(|content| content.body.as_ref()))?;
        let mut out = Vec::new();
        encode::Parts::of_draft(self).write(&mut out);
        if out.len() > MSG_BYTES_MAX {
            return Err(Error::too_large(out.len(), MSG_BYTES_MAX, "bytes"));
        }
        Node::from_cbor(out.into()).map_err(content_error)
    }

    /// Fills in what is missing, and says what that was. What contradicts the defaults (another sender, kind or
    /// type) is refused, and so is a draft that names no owner where none follows from a cause, or no
    /// entity for an event.
    pub fn complete(self, defaults: Defaults) -> Result<(Msg, Filled)> {
        let mut filled = Filled::default();
        let id = filled.take(self.id, "/id", || defaults.id);
        let content = complete_content(
            self.content.unwrap_or_default(),
            defaults.kind,
            defaults.type_name,
            &mut filled,
        );
        let content = at("/content", content)?;
        let given = self.metadata;
        if let Some(sender) = &given.sender
            && *sender != defaults.sender
        {
            return Err(Error::mismatch("/metadata/sender", sender, defaults.sender));
        }
        let owner = match (given.owner, defaults.owner) {
            (Some(owner), _) => owner,
            (None, default) => {
                let owner = default.ok_or_else(no_owner)?;
                filled.fields.push("/metadata/owner");
                owner
            }
        };
        let causation = match (given.causation, defaults.causation) {
            (None, Some(cause)) => {
                filled.fields.push("/metadata/causation");
                Some(cause)
            }
            (given, _) => given,
        };
        let metadata = Metadata {
            owner,
            time: filled.take(given.time, "/metadata/time", || defaults.now),
            sender: Some(filled.take(given.sender, "/metadata/sender", || defaults.sender)),
            correlation: filled
                .take(given.correlation, "/metadata/correlation", || defaults.correlation.unwrap_or(id)),
            causation,
            user: given.user,
        };
        Ok((Msg { id, metadata, content: Some(content), hop: self.hop }, filled))
    }

    /// A whole message as a draft that needs nothing.
    pub(crate) fn of(msg: Msg) -> Draft {
        let Metadata { owner, time, sender, correlation, causation, user } = msg.metadata;
        Draft {
            id: Some(msg.id),
            metadata: DraftMetadata {
                owner: Some(owner),
                time: Some(time),
                sender,
                correlation: Some(correlation),
                causation,
                user,
            },
            content: msg.content.map(DraftContent::of),
            hop: msg.hop,
        }
    }
}

impl DraftContent {
    fn of(content: DomainContent) -> DraftContent {
        let kind = content.kind();
        let (type_name, version, body, entity, previous) = match content {
            DomainContent::Command(Command { type_name, version, body }) => {
                (type_name, version, body, None, None)
            }
            DomainContent::Query(Query { type_name, version, body }) => {
                (type_name, version, body, None, None)
            }
            DomainContent::Event(Event { type_name, version, entity, previous, body }) => {
                (type_name, version, body, Some(entity), previous)
            }
        };
        DraftContent {
            what: Some((kind, type_name)),
            version: Some(version),
            body: Some(body),
            entity,
            previous,
        }
    }
}

fn complete_content(
    given: DraftContent,
    kind: Kind,
    expected: Option<TypeName>,
    filled: &mut Filled,
) -> Result<DomainContent> {
    let type_name = match (given.what, expected) {
        (Some((given, name)), _) if given != kind => {
            return Err(Error::mismatch(
                &format!("/{given}"),
                format!("{given} {name}"),
                format!("{kind} here"),
            ));
        }
        (Some((_, name)), Some(expected)) if name != expected => {
            return Err(Error::mismatch(
                &format!("/{kind}"),
                name,
                format!("{expected}, as the subject says"),
            ));
        }
        (Some((_, name)), _) => name,
        (None, Some(expected)) => filled.take(
            None,
            match kind {
                Kind::Command => "/content/command",
                Kind::Query => "/content/query",
                Kind::Event => "/content/event",
            },
            || expected,
        ),
        (None, None) => return Err(Error::missing(&format!("/{kind}"), "the name of a type")),
    };
    let version = filled.take(given.version, "/content/v", || SCHEMA_VERSION_DEFAULT);
    let body = filled.take(given.body, "/content/body", || Body::Inline(empty_body()));
    build(kind, type_name, version, body, given.entity, given.previous)
}

fn build(
    kind: Kind,
    type_name: TypeName,
    version: u32,
    body: Body,
    entity: Option<EntityId>,
    previous: Option<Cid>,
) -> Result<DomainContent> {
    check_history(kind, entity.is_some(), previous.is_some())?;
    Ok(match kind {
        Kind::Command => DomainContent::Command(Command { type_name, version, body }),
        Kind::Query => DomainContent::Query(Query { type_name, version, body }),
        Kind::Event => {
            let entity = entity.ok_or_else(no_entity)?;
            DomainContent::Event(Event { type_name, version, entity, previous, body })
        }
    })
}

fn empty_body() -> Node {
    Node::from_cbor(Bytes::from_static(&[0xa0])).expect("an empty map is a node")
}
