//! Publishing an event through the node's door: for services that record what happened without a command.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use comms_content::Cid;
use comms_msg::door::{Appended, AppendedEvent};
use comms_msg::{Body, DomainContent, Door, EntityId, Expect, Hop, Msg, MsgId, Position, TypeName};

use crate::comms::Comms;
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Label, label_methods};
use crate::limits::DOOR_WITHIN;
use crate::message::Event;
use crate::offload;
use crate::rights::Right;

/// An event about to be published; awaiting it publishes it.
#[derive(Debug)]
#[must_use = "an event is published by awaiting this"]
pub struct Publish<E> {
    comms: Comms,
    event: E,
    label: Label,
    place: Place,
}

/// An event that is in the log, on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Its id.
    pub id: MsgId,
    /// Where it stands.
    pub position: Position,
    /// Its message CID.
    pub cid: Cid,
    /// Bytes of the message on the wire: large fields have left it.
    pub bytes: usize,
}

/// Whose history an event is for, and what is expected of it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    entity: Option<EntityId>,
    expect: Expect,
    problem: Option<comms_msg::Error>,
}

impl Place {
    pub(crate) fn entity(&mut self, entity: &str) {
        match EntityId::new(entity) {
            Ok(entity) => self.entity = Some(entity),
            Err(error) => self.problem = Some(error),
        }
    }

    pub(crate) fn expect(&mut self, expect: Expect) {
        self.expect = expect;
    }
}

/// The methods by which builders of events say where.
macro_rules! place_methods {
    () => {
        /// The entity that it happened to.
        pub fn entity(mut self, entity: impl AsRef<str>) -> Self {
            self.place.entity(entity.as_ref());
            self
        }

        /// What the entity's history must be for this to be appended: nothing there yet, or nothing after a position.
        /// Otherwise a conflict comes back, with the actual position.
        pub fn expect(mut self, expect: comms_msg::Expect) -> Self {
            self.place.expect(expect);
            self
        }

        /// How long to keep trying while the node does not answer.
        pub fn within(mut self, within: std::time::Duration) -> Self {
            self.label.within(within);
            self
        }
    };
}

pub(crate) use place_methods;

impl<E: Event> Publish<E> {
    pub(crate) fn new(comms: Comms, event: E, label: Label) -> Self {
        Self { comms, event, label, place: Place::default() }
    }

    label_methods!();
    place_methods!();
}

impl<E: Event> IntoFuture for Publish<E> {
    type Output = Result<Published>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { comms, event, label, place } = self;
        Box::pin(async move {
            let type_name: TypeName = E::TYPE.parse()?;
            comms.check(Right::Emit, &type_name).await?;
            let node = offload::node(&type_name, &event)?;
            drop(event);
            let body = offload::reduce(&comms, &type_name, node).await?;
            append(&comms, type_name, E::VERSION, body, label, place).await
        })
    }
}

/// Appends one event.
pub(crate) async fn append(
    comms: &Comms,
    type_name: TypeName,
    version: u32,
    body: Body,
    label: Label,
    place: Place,
) -> Result<Published> {
    if let Some(problem) = place.problem {
        return Err(problem.into());
    }
    let entity = place.entity.ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            format!("no entity: say with .entity(…) what this {type_name} happened to"),
        )
    })?;
    let within = label.patience().unwrap_or(DOOR_WITHIN);
    let (id, metadata) = label.complete(comms)?;
    let event = comms_msg::Event { type_name: type_name.clone(), version, entity, previous: None, body };
    let hop = Hop { expect: place.expect, ..Hop::default() };
    let msg = Msg { id, metadata, content: Some(DomainContent::Event(event)), hop };
    let payload = msg.to_door()?;
    let bytes = payload.len();
    let appended = hand_in(comms, type_name, payload, within).await?;
    let [AppendedEvent { id, position, cid, .. }] = appended.events.as_slice() else {
        return Err(Error::new(ErrorKind::Internal, "the node's answer names another number of events")
            .perhaps_done());
    };
    Ok(Published { id: *id, position: *position, cid: *cid, bytes })
}

/// Hands one event, or a frame of events of one entity, in at the door.
pub(crate) async fn hand_in(
    comms: &Comms,
    type_name: TypeName,
    payload: impl Into<bytes::Bytes>,
    within: Duration,
) -> Result<Appended> {
    let subject = comms.door(Door::Event(type_name));
    comms.request(Request::new(subject, payload, within)).await
}
