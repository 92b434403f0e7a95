//! The lease of a delivered message: kept while it is worked on, given back, or ended.
//!
//! Events are acknowledged to nats-server: that moves the service's own place in the log and nothing else. A command is
//! taken out of its queue by an acknowledgement, so a service may not give one: the node, asked at the door where commands
//! are answered for, renews and gives back. It is not waited for; what gets lost is made good by the end of the lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use comms_msg::door::{Commit, Completion};
use comms_msg::{Door, Form, Msg, ServiceName, wire};

use super::delivery;

/// The newest delivery of a held message, and who is told about it.
#[derive(Clone, Debug)]
pub(crate) struct Lease(Arc<Held>);

#[derive(Debug)]
struct Held {
    reply: Mutex<Subject>,
    voice: Voice,
}

/// Who is told what becomes of a message.
#[derive(Clone, Debug)]
pub(crate) enum Voice {
    /// nats-server.
    Server,
    /// The node, about the command in this message.
    Node { service: ServiceName, message: Subject, payload: Bytes },
}

/// What is told while a message is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is being worked on: its lease begins anew.
    Working,
    /// It is to be delivered again, after a pause.
    Later(Duration),
    /// It is to be delivered again, at once and to anybody.
    Now,
}

impl Voice {
    /// Of a command that was delivered to `service`.
    pub(crate) fn of_command(service: &ServiceName, message: &Message) -> Voice {
        let (message, payload) = (message.subject.clone(), message.payload.clone());
        Voice::Node { service: service.clone(), message, payload }
    }
}

impl Lease {
    pub(crate) fn new(reply: Subject, voice: Voice) -> Self {
        Self(Arc::new(Held { reply: Mutex::new(reply), voice }))
    }

    /// The subject of the newest delivery.
    pub(crate) fn reply(&self) -> Subject {
        self.0.reply.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn renew(&self, reply: Subject) {
        *self.0.reply.lock().unwrap_or_else(PoisonError::into_inner) = reply;
    }

    /// Tells what becomes of the message. Nothing says whether it arrives: if it does not, the message comes again.
    pub(crate) async fn tell(&self, client: &Client, said: Said) {
        let (reply, said) = match &self.0.voice {
            Voice::Server => return self.publish(client, said.to_server()).await,
            Voice::Node { service, message, payload } => {
                let Some((door, request)) = to_node(service, message, payload, self.reply(), said) else {
                    // What is no command cannot be named; its lease ends.
                    return;
                };
                (Subject::from(format!("_INBOX.{service}.unheard")), (door, request))
            }
        };
        let (door, request) = said;
        // The only failure is a closed connection, and then there is nobody to tell.
        let _ = client.publish_with_reply(door, reply, request).await;
    }

    /// Says that the service is done with an event.
    pub(crate) async fn done(&self, client: &Client) {
        debug_assert!(matches!(self.0.voice, Voice::Server), "a command is ended by its commit");
        self.publish(client, delivery::ACK.to_owned()).await;
    }

    async fn publish(&self, client: &Client, what: String) {
        let _ = client.publish(self.reply(), what.into()).await;
    }
}

impl Said {
    fn to_server(self) -> String {
        match self {
            Said::Working => delivery::WORKING.to_owned(),
            Said::Later(pause) => delivery::later(pause),
            Said::Now => delivery::NOW.to_owned(),
        }
    }

    fn completion(self) -> Completion {
        let again = |pause: Duration, reason: &str| Completion::Retry {
            after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            reason: reason.to_owned(),
            asked: true,
        };
        match self {
            Said::Working => Completion::Working,
            Said::Later(pause) => again(pause, "left to another instance"),
            Said::Now => again(Duration::ZERO, "given back"),
        }
    }
}

/// The door of a command and what it is told there.
fn to_node(
    service: &ServiceName,
    message: &Subject,
    payload: &Bytes,
    delivery: Subject,
    said: Said,
) -> Option<(Subject, Bytes)> {
    let Ok(comms_msg::Subject::Command { domain, type_name, .. }) = message.parse() else { return None };
    let command: Msg = wire::read(payload).ok()?.next()?.ok()?;
    let commit = Commit {
        command: command.id,
        delivery: delivery.into_string(),
        completion: said.completion(),
        events: Vec::new(),
    };
    let door = comms_msg::Subject::Door { domain, door: Door::Commit(type_name), sender: service.clone() };
    Some((Subject::from(door.to_string()), Form::Cbor.encode(&commit).ok()?))
}
