//! Events that are listened to: each is acknowledged when its handler is done with it.
//!
//! A handler that fails is tried again with back-off, for as long as it takes, in this process: events of the same
//! entity wait behind, so that they are listened to in order; other entities go on, since one that waits takes no place
//! among those listened to at the same time. What is bounded is how many events can wait: what the server pushes to the
//! service without an acknowledgement (1024, `max_ack_pending`), all its instances together. Once so many stand behind
//! entities that fail, nothing new is heard until one of them succeeds.
//!
//! An event that its listener rejects, or that does not decode in this program, is acknowledged, logged and counted: it
//! would fail for ever, and keep its entity waiting as long.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::Message;
use comms_msg::{Kind, Subject, TypeName, wire};

use super::commands::back_off;
use super::dropped::Why;
use super::handler::EventHandler;
use super::intake::{Next, Work};
use super::lease::Said;
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
}

/// The line of an event: its entity.
pub(crate) fn line(message: &Message) -> Option<Box<str>> {
    match message.subject.parse() {
        Ok(Subject::Event { entity, .. }) => Some(entity.as_str().into()),
        _ => None,
    }
}

impl Events {
    /// One try of one event: it is acknowledged, or given back, or to be tried again here.
    pub(crate) async fn handle(self: Arc<Self>, work: Work) -> Next {
        let client = self.comms.client();
        let (event, type_name) = match read(&work.message, &self.log, work.delivery.stream_sequence) {
            Ok(read) => read,
            Err(why) => {
                // It will not become an event by coming again.
                self.comms.drops().count(why, &work.message.subject);
                work.lease.done(client).await;
                return Next::Done;
            }
        };
        let handler = match self.handlers.get(&type_name) {
            Some(Some(handler)) => handler,
            Some(None) => {
                work.lease.done(client).await;
                return Next::Done;
            }
            None => {
                tracing::warn!(%type_name, "nobody listens to this type here; left to other instances. To let it pass: .ignore::<…>()");
                work.lease.tell(client, Said::Later(UNHANDLED_PAUSE)).await;
                return Next::Done;
            }
        };
        let (id, entity) = (event.msg.id, event.entity.clone());
        let tries = work.delivery.tries.saturating_add(work.again);
        let metadata = event.msg.metadata.clone();
        let sender = metadata.sender.clone();
        let what = (Kind::Event, type_name.clone());
        let cause = Cause::new(self.comms.clone(), what, id, metadata, sender, None, tries);
        let Err(failure) = handler.run(event, EventContext::new(cause)).await else {
            work.lease.done(client).await;
            return Next::Done;
        };
        let pause = match failure.decision {
            Decision::After(pause) => pause,
            // By what failed here: an event also comes again because a server or an instance stopped.
            Decision::Again => back_off(work.again.saturating_add(1)),
            Decision::Reject | Decision::Bury => {
                // It is in the log for ever, and nobody waits to be told: there is no dead letter of an event.
                tracing::warn!(
                    event = %id, %type_name, %entity, tries, reason = failure.reason(),
                    "an event is let go: its listener rejected it, or it does not decode here"
                );
                self.comms.drops().add(Why::Rejected);
                work.lease.done(client).await;
                return Next::Done;
            }
        };
        tracing::warn!(
            event = %id, %type_name, %entity, tries, reason = failure.reason(),
            "a listener failed; this entity waits"
        );
        Next::After(pause, Box::new(work))
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
