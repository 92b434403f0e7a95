//! The streams of a node.
//!
//! `COMMAND_{node}` is a work queue: a command leaves it when handled. `EVENT_{node}` is the log, from which
//! nothing is ever deleted; outcomes live there too, so that a commit and its outcome are one batch.
//! `FOREIGN_{node}` holds what other nodes logged, under the same subjects: the node publishes it elsewhere, and the stream
//! puts it there, so that nothing is stored twice.

use std::time::Duration;

use serde::Serialize;

use super::bridge;
use super::node::NodeId;
use crate::domain::Domain;
use crate::limits::{CONSUMERS_MAX, DUPLICATE_WINDOW, STORED_BYTES_MAX};

/// When a stream lets go of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Retention {
    /// When its consumer has acknowledged it.
    WorkQueue,
    /// Never by itself.
    Limits,
}

/// Stored messages are published again, so that watchers see only what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Republish {
    /// Filter on stored subjects.
    pub source: String,
    /// Where they appear.
    pub destination: String,
}

/// Messages are stored under another subject than they are published on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transform {
    /// Filter on published subjects.
    pub source: String,
    /// The subject they are stored under.
    pub destination: String,
}

/// One stream. All are kept in files, with one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Unique among all nodes of the domain.
    pub name: String,
    /// What it takes.
    pub subjects: Vec<String>,
    /// When it lets go of a message.
    pub retention: Retention,
    /// Refuse the new rather than drop the old when a limit is reached.
    pub discard_new: bool,
    /// No single message can be deleted. Cannot be undone.
    pub deny_delete: bool,
    /// Nothing can be purged. Cannot be undone.
    pub deny_purge: bool,
    /// Several messages can be stored as one.
    pub allow_atomic: bool,
    /// Messages may say how long they are kept (outcomes do).
    pub allow_msg_ttl: bool,
    /// Reads of single messages need no consumer.
    pub allow_direct: bool,
    /// What is published again once it is stored.
    pub republish: Option<Republish>,
    /// How long a repeated `Nats-Msg-Id` is recognised.
    pub duplicate_window: Duration,
    /// One message with its headers at most.
    pub message_bytes_max: i32,
    /// Under which other subjects it stores what it takes.
    pub transform: Option<Transform>,
    /// Consumers at most. nats-server has 1000 for a stream that does not say.
    pub consumers_max: i32,
}

/// Name of the stream that keeps a node's durable commands.
pub(crate) fn command_name(node: &str) -> String {
    format!("COMMAND_{node}")
}

/// Name of a node's event log.
pub(crate) fn event_name(node: &str) -> String {
    format!("EVENT_{node}")
}

/// Name of the stream that holds the events of other nodes.
pub(crate) fn foreign_name(node: &str) -> String {
    format!("FOREIGN_{node}")
}

/// The streams of a node, logs first.
pub(super) fn all(domain: &Domain, node: &NodeId) -> Vec<Stream> {
    let name = node.name.as_str();
    let d = &domain.name;
    let republish =
        || Some(Republish { source: format!("{d}.event.>"), destination: format!("{d}.live.event.>") });
    let mut streams = vec![
        Stream {
            subjects: vec![format!("{d}.event.>"), format!("{d}.outcome.>")],
            allow_atomic: true,
            allow_msg_ttl: true,
            republish: republish(),
            ..log(event_name(name))
        },
        Stream {
            subjects: vec![format!("{d}.command.>")],
            retention: Retention::WorkQueue,
            allow_atomic: true,
            deny_delete: false,
            deny_purge: false,
            ..log(command_name(name))
        },
    ];
    if !node.peers().is_empty() {
        let transform = bridge::transform(domain);
        streams.push(Stream {
            subjects: vec![transform.source.clone()],
            transform: Some(transform),
            republish: republish(),
            ..log(foreign_name(name))
        });
    }
    streams
}

/// A stream from which nothing is deleted.
fn log(name: String) -> Stream {
    Stream {
        name,
        subjects: Vec::new(),
        retention: Retention::Limits,
        discard_new: true,
        deny_delete: true,
        deny_purge: true,
        allow_atomic: false,
        allow_msg_ttl: false,
        allow_direct: true,
        republish: None,
        duplicate_window: DUPLICATE_WINDOW,
        message_bytes_max: STORED_BYTES_MAX,
        transform: None,
        consumers_max: CONSUMERS_MAX,
    }
}
