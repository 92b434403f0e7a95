//! What crosses between two nodes: what one asks of the other and what it is told, and nothing else.
//!
//! Hub and leaf meet in the account LEAFS alone, which has no JetStream, no stream and no other user: nothing that is
//! said there reaches a stream, an interface of the server or a service. The node itself moves events between its log and
//! the others, and looks at each before it keeps it.
//!
//! `{domain}.bridge.{to}.{from}.…`: the token `from` is fixed by the permissions of the hub, which so vouches for the leaf.
//! There are no reply subjects: an answer goes where its question came from, by that token.

use comms_msg::DomainName;

use super::Account;
use super::node::{NodeId, NodeName, Role};
use super::rights::{NODE, User};
use super::stream::Transform;
use crate::domain::Domain;

/// Subjects that stay on their node, should anything ever stand in LEAFS that listens to them.
pub(super) fn denies(domain: &Domain) -> Vec<String> {
    let own = ["command", "event", "foreign", "live", "outcome", "deliver", "content", "door", "query"];
    let own = own.iter().map(|what| format!("{}.{what}.>", domain.name));
    let servers = ["$JS.>", "$JSC.>", "$KV.>", "$O.>", "$SYS.>", "$SRV.>", "$MQTT.>", "_INBOX.>"];
    own.chain(servers.map(str::to_owned)).collect()
}

/// What `from` says to `to`; `words` may end in wildcards.
pub fn bridge_subject(domain: &DomainName, to: &NodeName, from: &NodeName, words: &str) -> String {
    format!("{domain}.bridge.{to}.{from}.{words}")
}

/// Where the node publishes an event of another node, to be stored under its own subject: the one in place of `event`
/// keeps it out of the stream of its own events.
pub fn foreign_subject(event: &str) -> Option<String> {
    let (domain, rest) = event.split_once(".event.")?;
    Some(format!("{domain}.foreign.{rest}"))
}

/// How the stream of foreign events stores what comes to it.
pub(super) fn transform(domain: &Domain) -> Transform {
    let d = &domain.name;
    Transform {
        source: format!("{d}.foreign.*.*.*"),
        destination: format!("{d}.event.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}"),
    }
}

/// The users of LEAFS: one for each leaf of this hub, and one as which this node speaks with each node that it is
/// connected to directly. One each, so that who floods one connection holds up nobody else.
pub(super) fn users(domain: &Domain, node: &NodeId) -> Vec<User> {
    let user = |name: String, me: &NodeName, other: &NodeName| User {
        name,
        account: Account::Leafs,
        publish: vec![bridge_subject(&domain.name, other, me, ">")],
        publish_deny: Vec::new(),
        subscribe: vec![bridge_subject(&domain.name, me, other, ">")],
    };
    let mut users = Vec::new();
    for neighbour in node.neighbours() {
        users.push(user(node_user(neighbour), &node.name, neighbour));
        if let Role::Hub { .. } = node.role {
            // Seen from the hub, a leaf publishes what it sends and subscribes what it is sent.
            users.push(user(neighbour.leaf_user(), neighbour, &node.name));
        }
    }
    users
}

/// The user of LEAFS as which this node speaks with `neighbour`.
pub fn node_user(neighbour: &NodeName) -> String {
    format!("{NODE}-{neighbour}")
}
