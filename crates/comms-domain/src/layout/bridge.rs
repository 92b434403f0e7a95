//! What crosses between two nodes: events, once, and nothing else of the domain.
//!
//! Only the account DOMAIN is bridged. The subjects in [`denies`] never cross live: with them open, one command
//! is stored on every node and one event arrives twice. Instead each node sources the log of the others through
//! a durable consumer over there, which resumes within seconds after either side was away.

use super::Account;
use super::consumer::{AckPolicy, Consumer, Purpose};
use super::node::{NodeId, NodeName, Role};
use super::rights::User;
use super::stream::{Source, event_name};
use crate::domain::Domain;
use crate::limits::{SOURCE_HEARTBEAT, SOURCE_PENDING_MAX};

/// Subjects that stay on their node.
pub(super) fn denies(domain: &Domain) -> Vec<String> {
    ["command", "event", "live", "outcome", "deliver", "content"]
        .iter()
        .map(|what| format!("{}.{what}.>", domain.name))
        .collect()
}

/// The consumer on `from`'s log that feeds `to`. Not secret: only nodes are in DOMAIN, and `to` must know it.
fn consumer_name(to: &NodeName) -> String {
    format!("source-{to}")
}

/// Where `from` delivers its events for `to`.
fn deliver_subject(domain: &Domain, from: &NodeName, to: &NodeName) -> String {
    format!("{}.node.{to}.source.{from}", domain.name)
}

/// How this node's stream of foreign events is fed.
pub(super) fn sources(domain: &Domain, node: &NodeId) -> Vec<Source> {
    node.peers()
        .into_iter()
        .map(|peer| Source {
            stream: event_name(peer.as_str()),
            api_prefix: format!("$JS.{peer}.API"),
            consumer: consumer_name(&node.name),
            deliver_subject: deliver_subject(domain, peer, &node.name),
        })
        .collect()
}

/// The consumer on this node's log from which `peer` takes its events.
pub(super) fn consumer(domain: &Domain, node: &NodeId, peer: &NodeName) -> Consumer {
    Consumer {
        stream: event_name(node.name.as_str()),
        name: consumer_name(peer),
        purpose: Purpose::Peer(peer.to_string()),
        filter_subjects: vec![format!("{}.event.>", domain.name)],
        deliver_subject: deliver_subject(domain, &node.name, peer),
        deliver_group: None,
        ack_policy: AckPolicy::FlowControl,
        ack_wait: None,
        ack_pending_max: SOURCE_PENDING_MAX,
        flow_control: true,
        idle_heartbeat: Some(SOURCE_HEARTBEAT),
    }
}

/// The users as which leafs join this hub, each with just what sourcing between it and every other node needs,
/// by name: a leaf cannot pretend to be another, read what is not for it, or administer anything.
///
/// Seen from the hub, a leaf publishes what it sends and subscribes what it is sent.
pub(super) fn users(domain: &Domain, node: &NodeId) -> Vec<User> {
    let Role::Hub { leafs } = &node.role else { return Vec::new() };
    let nodes: Vec<&NodeName> = std::iter::once(&node.name).chain(leafs).collect();
    node.peers()
        .into_iter()
        .map(|leaf| {
            // Where the server of the source answers the one that asks it to begin again.
            let answers = "$JSC.R.>".to_owned();
            let (mut publish, mut subscribe) = (vec![answers.clone()], vec![answers]);
            for other in nodes.iter().filter(|other| **other != leaf) {
                let (event, foreign) = sourcing(domain, other, leaf);
                subscribe.push(event);
                publish.extend(foreign);
                let (event, foreign) = sourcing(domain, leaf, other);
                publish.push(event);
                subscribe.extend(foreign);
            }
            User {
                name: leaf.leaf_user(),
                account: Account::Domain,
                publish,
                publish_deny: Vec::new(),
                subscribe,
            }
        })
        .collect()
}

/// What flows when `to` sources from `from`: the events, and in the other direction the request to begin and
/// the flow control, in both of the server's forms.
fn sourcing(domain: &Domain, from: &NodeName, to: &NodeName) -> (String, [String; 3]) {
    let stream = event_name(from.as_str());
    let consumer = consumer_name(to);
    (
        deliver_subject(domain, from, to),
        [
            format!("$JS.{from}.API.CONSUMER.RESET.{stream}.{consumer}"),
            format!("$JS.FC.{stream}.{consumer}.>"),
            format!("$JS.FC.*.*.{stream}.{consumer}.>"),
        ],
    )
}
