//! The consumers of a node: one per service and stream it reads.
//!
//! All are durable push consumers whose deliver subject the node chooses, which leaves a service no reply
//! subject to choose. Their names cannot be guessed, so that nobody can acknowledge for somebody else.

use std::time::Duration;

use comms_msg::{Filter, ServiceName};
use ring::hmac;
use serde::Serialize;

use super::node::NodeId;
use super::stream::{command_name, event_name, foreign_name};
use crate::domain::{Domain, hex};
use crate::limits::{ACK_PENDING_MAX, ACK_WAIT, TOKEN_BYTES};

/// What a consumer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Durable commands for the service that handles them.
    Command(ServiceName),
    /// Events of this node's log for a service that observes them.
    Event(ServiceName),
    /// Events of other nodes for a service that observes them.
    Foreign(ServiceName),
}

impl Purpose {
    /// The service it delivers to.
    pub fn service(&self) -> &ServiceName {
        match self {
            Self::Command(service) | Self::Event(service) | Self::Foreign(service) => service,
        }
    }

    /// What it delivers, in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Event(_) => "event",
            Self::Foreign(_) => "foreign",
        }
    }
}

/// One durable push consumer. It delivers from the beginning of its stream, as often as it takes, and each message is
/// acknowledged by its receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consumer {
    /// The stream it reads.
    pub stream: String,
    /// Also its durable name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Which subjects it delivers; never empty.
    pub filter_subjects: Vec<String>,
    /// Where it delivers.
    pub deliver_subject: String,
    /// Several instances of a service share the messages.
    pub deliver_group: String,
    /// After this an unacknowledged message is delivered again.
    pub ack_wait: Duration,
    /// Delivered and not yet acknowledged at most.
    pub ack_pending_max: i64,
}

/// The consumers of a node, by service.
pub(super) fn all(domain: &Domain, node: &NodeId) -> Vec<Consumer> {
    let d = &domain.name;
    let name = node.name.as_str();
    let mut consumers = Vec::new();
    for (service_name, service) in &domain.services {
        let commands: Vec<String> =
            domain.durable_handles(service).map(|command| Filter::commands(d, command).to_string()).collect();
        if !commands.is_empty() {
            let purpose = Purpose::Command(service_name.clone());
            consumers.push(for_service(domain, node, command_name(name), purpose, commands));
        }
        let events: Vec<String> =
            service.observes.iter().map(|event| Filter::events(d, event).to_string()).collect();
        if events.is_empty() {
            continue;
        }
        if !node.peers().is_empty() {
            let purpose = Purpose::Foreign(service_name.clone());
            consumers.push(for_service(domain, node, foreign_name(name), purpose, events.clone()));
        }
        consumers.push(for_service(
            domain,
            node,
            event_name(name),
            Purpose::Event(service_name.clone()),
            events,
        ));
    }
    consumers
}

fn for_service(
    domain: &Domain,
    node: &NodeId,
    stream: String,
    purpose: Purpose,
    filter_subjects: Vec<String>,
) -> Consumer {
    let service = purpose.service().to_string();
    let token = token(&node.secret, &stream, &service, purpose.word());
    Consumer {
        stream,
        name: format!("{service}-{token}"),
        filter_subjects,
        deliver_subject: format!("{}.deliver.{service}.{}-{token}", domain.name, purpose.word()),
        deliver_group: service,
        ack_wait: ACK_WAIT,
        ack_pending_max: ACK_PENDING_MAX,
        purpose,
    }
}

/// 128 bits of HMAC-SHA256: the same after a restart, unguessable without the secret. None of the parts can
/// contain the separator.
fn token(secret: &[u8; 32], stream: &str, service: &str, purpose: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{stream}/{service}/{purpose}").as_bytes());
    hex(&tag.as_ref()[..TOKEN_BYTES])
}
