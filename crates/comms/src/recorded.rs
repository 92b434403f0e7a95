//! An event as it is recorded in the log: what happened, to what, where it stands, and who answers for it.

use bytes::Bytes;
use comms_msg::{Body, DomainContent, EntityId, Msg, MsgId, Owner, Position, ServiceName, TypeName};
use serde::de::DeserializeOwned;

use crate::comms::Comms;
use crate::error::{Error, ErrorKind, Result};
use crate::offload;

/// An event of the log. It dereferences to the event itself.
#[derive(Clone, Debug)]
pub struct Recorded<E> {
    msg: Msg,
    entity: EntityId,
    type_name: TypeName,
    position: Position,
    event: E,
}

impl<E> Recorded<E> {
    /// The event itself.
    pub fn event(&self) -> &E {
        &self.event
    }

    /// The event itself.
    pub fn into_event(self) -> E {
        self.event
    }

    /// Whose history it is in.
    pub fn entity(&self) -> &EntityId {
        &self.entity
    }

    /// Its type.
    pub fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// Where it stands in the log: a watch from here goes on after it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its id.
    pub fn id(&self) -> MsgId {
        self.msg.id
    }

    /// Who answers for it.
    pub fn owner(&self) -> &Owner {
        &self.msg.metadata.owner
    }

    /// The service that emitted it.
    pub fn sender(&self) -> Option<&ServiceName> {
        self.msg.metadata.sender.as_ref()
    }

    /// The whole message as it is stored.
    pub fn msg(&self) -> &Msg {
        &self.msg
    }
}

impl<E> std::ops::Deref for Recorded<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

/// An event that was read and not yet decoded.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) msg: Msg,
    pub(crate) entity: EntityId,
    pub(crate) position: Position,
}

impl Unread {
    fn content(&self) -> Result<&comms_msg::Event> {
        match &self.msg.content {
            Some(DomainContent::Event(event)) => Ok(event),
            _ => Err(Error::new(ErrorKind::Malformed, "a message of the event log is not an event")),
        }
    }

    /// Decodes the body, which may have to be fetched first.
    pub(crate) async fn decode<E: DeserializeOwned>(self, comms: &Comms) -> Result<Recorded<E>> {
        let block = self.block(comms).await?;
        self.read(block)
    }

    /// The block that the body is, if it is not in the message. What cannot be fetched now may be there later.
    pub(crate) async fn block(&self, comms: &Comms) -> Result<Option<Bytes>> {
        offload::block(comms, &self.content()?.body).await
    }

    /// Decodes the body. What does not decode now never will in this program.
    pub(crate) fn read<E: DeserializeOwned>(self, block: Option<Bytes>) -> Result<Recorded<E>> {
        let content = self.content()?;
        let type_name = content.type_name.clone();
        let event = offload::read(&content.body, block)?.decode().map_err(|error| {
            let message = format!("the {type_name} at {} is not what this program expects", self.position);
            Error::new(ErrorKind::Malformed, message).because(error)
        })?;
        Ok(Recorded { msg: self.msg, entity: self.entity, type_name, position: self.position, event })
    }

    /// Leaves the body as it is.
    pub(crate) fn undecoded(self) -> Result<Recorded<Body>> {
        let content = self.content()?;
        let (type_name, event) = (content.type_name.clone(), content.body.clone());
        Ok(Recorded { msg: self.msg, entity: self.entity, type_name, position: self.position, event })
    }
}
