//! Sending a command: durable ones through the node's door, direct ones to whoever handles them now.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use comms_content::Cid;
use comms_msg::door::Accepted;
use comms_msg::limits::MSG_BYTES_MAX;
use comms_msg::{Body, DomainContent, Door, Hop, Msg, MsgId, Position, TypeName};

use crate::comms::{Comms, LaneOf};
use crate::door::Request;
use crate::error::Result;
use crate::ids;
use crate::label::{Label, label_methods};
use crate::limits::{DIRECT_WITHIN, DOOR_WITHIN};
use crate::message::sealed::Delivered;
use crate::message::{Command, Delivery};
use crate::offload;
use crate::outcome::{AwaitOutcome, Outcome};
use crate::rights::Right;

/// A command about to be sent; awaiting it sends it.
#[derive(Debug)]
#[must_use = "a command is sent by awaiting this"]
pub struct Send<C> {
    comms: Comms,
    command: C,
    label: Label,
}

/// A durable command that is kept on disk, and will be handled.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its id: with it, its outcome can be asked for later.
    pub id: MsgId,
    /// The CID of the message as it is kept.
    pub cid: Cid,
    /// Where it is kept.
    pub position: Position,
    /// Bytes of the message on the wire: large fields have left it.
    pub bytes: usize,
    /// Whether the same may be sent again safely; always, since this library chooses the id.
    pub retry_safe: bool,
    /// Anything else that the node said.
    pub note: Option<String>,
    comms: Comms,
    type_name: TypeName,
    within: Option<Duration>,
}

/// A direct command that stands in line to leave. Nobody keeps it: whether it was handled is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: MsgId,
    /// Bytes of the message on the wire: large fields have left it.
    pub bytes: usize,
}

impl<C: Command> Send<C> {
    pub(crate) fn new(comms: Comms, command: C, label: Label) -> Self {
        Self { comms, command, label }
    }

    label_methods!();

    /// How long this may take, its outcome included. The deadline travels with the command: after it nobody begins to
    /// handle it.
    pub fn within(mut self, within: Duration) -> Self {
        self.label.within(within);
        self
    }
}

impl<C: Command> IntoFuture for Send<C> {
    type Output = Result<<C::Delivery as Delivery>::Receipt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + std::marker::Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { comms, command, label } = self;
        Box::pin(async move {
            let delivered = if C::Delivery::DURABLE {
                let type_name: TypeName = C::TYPE.parse()?;
                comms.check(Right::Send { durable: Some(true) }, &type_name).await?;
                let node = offload::node(&type_name, &command)?;
                drop(command);
                let body = offload::reduce(&comms, &type_name, node).await?;
                Delivered::Kept(Box::new(keep(comms, type_name, C::VERSION, body, label).await?))
            } else {
                let lane = comms.lane(LaneOf::Command, C::TYPE).await?;
                let node = offload::node(lane.type_name(), &command)?;
                drop(command);
                let body = offload::reduce(&comms, lane.type_name(), node).await?;
                Delivered::Told(tell(&comms, &lane, C::VERSION, body, label).await?)
            };
            Ok(C::Delivery::receipt(delivered))
        })
    }
}

/// Has the node keep a durable command.
pub(crate) async fn keep(
    comms: Comms,
    type_name: TypeName,
    version: u32,
    body: Body,
    label: Label,
) -> Result<Sent> {
    let within = label.patience();
    let msg = message(&comms, &type_name, version, body, label)?;
    let subject = comms.door(Door::Command(type_name.clone()));
    let payload = msg.to_door()?;
    let bytes = payload.len();
    let accepted: Accepted =
        comms.request(Request::new(subject, payload, within.unwrap_or(DOOR_WITHIN))).await?;
    Ok(Sent {
        id: accepted.id,
        cid: accepted.cid,
        position: accepted.position,
        bytes,
        retry_safe: accepted.retry_safe,
        note: accepted.note,
        comms,
        type_name,
        within,
    })
}

/// Puts a direct command in line.
pub(crate) async fn tell(
    comms: &Comms,
    lane: &std::sync::Arc<crate::lane::Lane>,
    version: u32,
    body: Body,
    label: Label,
) -> Result<Told> {
    let within = label.patience().unwrap_or(DIRECT_WITHIN);
    share(comms, lane.type_name(), &body).await?;
    let msg = message(comms, lane.type_name(), version, body, label)?;
    check(&msg)?;
    let mut bytes = 0;
    let write = |out: &mut Vec<u8>| {
        let before = out.len();
        msg.write_cbor(out);
        bytes = out.len() - before;
    };
    comms.publisher().push(lane, within, write).await?;
    Ok(Told { id: msg.id, bytes })
}

fn message(comms: &Comms, type_name: &TypeName, version: u32, body: Body, label: Label) -> Result<Msg> {
    let within = label.patience();
    let (id, metadata) = label.complete(comms)?;
    let deadline = within.map(|within| ids::after(metadata.time, within));
    let command = comms_msg::Command { type_name: type_name.clone(), version, body };
    Ok(Msg {
        id,
        metadata,
        content: Some(DomainContent::Command(command)),
        hop: Hop { deadline, ..Hop::default() },
    })
}

/// Lets whoever receives a message that no door sees read what its body links to.
pub(crate) async fn share(comms: &Comms, type_name: &TypeName, body: &Body) -> Result<()> {
    match body {
        Body::Inline(node) => offload::share(comms, type_name, node).await,
        // Put for this type when it left the message.
        Body::Link(_) | Body::Sealed(_) => Ok(()),
    }
}

/// Refuses a message that no reader would take: one that is too large. Small ones are not looked at.
pub(crate) fn check(msg: &Msg) -> Result<()> {
    match msg.content.as_ref().map(DomainContent::body) {
        Some(Body::Inline(node)) if node.as_bytes().len() > UNCHECKED_BODY_BYTES_MAX => msg.to_wire()?,
        _ => return Ok(()),
    };
    Ok(())
}

/// A body up to this size cannot make the message too large: the envelope has at most some 40 KiB.
const UNCHECKED_BODY_BYTES_MAX: usize = MSG_BYTES_MAX / 2;

impl Sent {
    /// Waits for the end: the events it caused, or why it did not.
    ///
    /// Waits as long as [`Send::within`] said, else as long as the definition says for this command.
    pub async fn outcome(&self) -> Result<Outcome> {
        let outcome = AwaitOutcome::new(self.comms.clone(), Ok(self.type_name.clone()), self.id);
        match self.within {
            Some(within) => outcome.within(within).await,
            None => outcome.await,
        }
    }
}
