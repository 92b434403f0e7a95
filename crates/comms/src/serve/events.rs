//! Events that are listened to: each is acknowledged when its handler is done with it.
//!
//! A handler that fails is tried again with back-off, for as long as it takes, in this process: events of the same
//! entity wait behind, so that they are listened to in order; other entities go on. How many wait is bounded by what
//! the server pushes.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::Message;
use comms_msg::{Subject, TypeName, wire};
use tokio_util::sync::CancellationToken;

use super::commands::back_off;
use super::delivery;
use super::dropped::Why;
use super::handler::EventHandler;
use super::intake::Work;
use crate::comms::Comms;
use crate::context::{Cause, EventContext};
use crate::failure::Decision;
use crate::limits::UNHANDLED_PAUSE;
use crate::recorded::Unread;

/// Hands events to their listeners.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) comms: Comms,
    /// `None` for types whose events are let pass.
    pub(crate) handlers: Arc<HashMap<TypeName, Option<EventHandler>>>,
    /// The incarnation of the log.
    pub(crate) log: Arc<str>,
    pub(crate) stop: CancellationToken,
}

/// The line of an event: its entity.
pub(crate) fn line(message: &Message) -> Option<Box<str>> {
    match message.subject.parse() {
        Ok(Subject::Event { entity, .. }) => Some(entity.as_str().into()),
        _ => None,
    }
}

impl Events {
    /// One event, from its arrival to its acknowledgement.
    pub(crate) async fn handle(self: Arc<Self>, work: Work) {
        let client = self.comms.client();
        let unread = match read(&work.message, &self.log, work.delivery.stream_sequence) {
            Ok(unread) => unread,
            Err(why) => {
                // It will not become an event by coming again.
                self.comms.drops().count(why, &work.message.subject);
                work.lease.tell(client, delivery::ACK).await;
                return;
            }
        };
        let type_name = unread.1;
        let handler = match self.handlers.get(&type_name) {
            Some(Some(handler)) => handler,
            Some(None) => {
                work.lease.tell(client, delivery::ACK).await;
                return;
            }
            None => {
                tracing::warn!(%type_name, "nobody listens to this type here; left to other instances. To let it pass: .ignore::<…>()");
                work.lease.tell(client, delivery::later(UNHANDLED_PAUSE)).await;
                return;
            }
        };
        let mut tries = work.delivery.tries;
        loop {
            // Read anew each time: what was handed over is gone, and nothing is copied by it.
            let Ok((event, _)) = read(&work.message, &self.log, work.delivery.stream_sequence) else {
                return;
            };
            let cause = Cause::new(
                self.comms.clone(),
                event.msg.id,
                event.msg.metadata.clone(),
                event.msg.metadata.sender.clone(),
                None,
                tries,
            );
            let Err(failure) = handler.run(event, EventContext::new(cause)).await else {
                work.lease.tell(client, delivery::ACK).await;
                return;
            };
            let pause = match failure.decision {
                Decision::After(pause) => pause,
                Decision::Again | Decision::Reject | Decision::Bury => back_off(tries),
            };
            tracing::warn!(
                event = %unread.0.msg.id, %type_name, entity = %unread.0.entity, tries,
                reason = failure.reason(), "a listener failed; this entity waits"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {
                    work.lease.tell(client, delivery::NOW).await;
                    return;
                }
            }
            tries = tries.saturating_add(1);
        }
    }
}

/// Reads an event as it is stored.
pub(crate) fn read(message: &Message, log: &str, sequence: u64) -> Result<(Unread, TypeName), Why> {
    let Ok(Subject::Event { entity, type_name, .. }) = message.subject.parse() else {
        return Err(Why::Subject);
    };
    let mut msgs = wire::read(&message.payload).map_err(|_| Why::Malformed)?;
    let msg = msgs.next().ok_or(Why::Malformed)?.map_err(|_| Why::Malformed)?;
    match &msg.content {
        Some(comms_msg::DomainContent::Event(event))
            if event.type_name == type_name && event.entity == entity => {}
        _ => return Err(Why::Type),
    }
    let position = comms_msg::Position::new(log, sequence).map_err(|_| Why::Malformed)?;
    Ok((Unread { msg, entity, position }, type_name))
}
