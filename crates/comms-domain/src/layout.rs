//! What a domain needs on one node: streams, consumers, users and what each may do, as plain data.
//!
//! The node applies it and nothing else: it creates what is here, and writes [`crate::nats_conf`] from it. Two
//! layouts of the same definition, name and secret are equal, so that a restart changes nothing.

mod bridge;
mod consumer;
mod difference;
mod node;
mod rights;
mod stream;

use serde::Serialize;

pub use bridge::{bridge_subject, foreign_subject, node_user};
pub use consumer::{Consumer, Purpose};
pub use difference::Difference;
pub use node::{NodeId, NodeName, NodeNameError, Role};
pub use rights::User;
pub use stream::{Republish, Retention, Stream, Transform};
pub(crate) use stream::{command_name, event_name};

use crate::domain::Domain;

/// An account of nats-server: subjects of one never reach another unless exported and imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Account {
    /// Streams and nodes.
    Domain,
    /// All services, with `dev` and `operator`. No JetStream.
    Services,
    /// Where hub and leafs meet: their nodes, and nothing else. No JetStream. Nobody is in it on a node alone.
    Leafs,
    /// The server's own.
    Sys,
}

impl Account {
    /// Every account.
    pub const ALL: [Self; 4] = [Self::Domain, Self::Services, Self::Leafs, Self::Sys];

    /// As nats-server names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "DOMAIN",
            Self::Services => "SERVICES",
            Self::Leafs => "LEAFS",
            Self::Sys => "SYS",
        }
    }
}

/// How a subject crosses from one account to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Importers publish, the exporter receives.
    Service,
    /// The exporter publishes, importers receive.
    Stream,
}

/// A subject that an account lets others import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Whose subject it is.
    pub account: Account,
    /// Which way messages flow.
    pub share: Share,
    /// The subject, with wildcards.
    pub subject: String,
}

/// A subject that an account takes from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Who imports.
    pub account: Account,
    /// Whose subject it is.
    pub from: Account,
    /// Which way messages flow.
    pub share: Share,
    /// The subject, with wildcards.
    pub subject: String,
}

/// Everything nats-server must hold for one node of a domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layout {
    /// The node's name, which is also the name of its JetStream domain.
    pub node: NodeName,
    /// How the node is connected to others.
    pub role: Role,
    /// In the order they are to be created.
    pub streams: Vec<Stream>,
    /// Every one names a stream above.
    pub consumers: Vec<Consumer>,
    /// Sorted by account and name.
    pub users: Vec<User>,
    /// What crosses between accounts, seen from the giver.
    pub exports: Vec<Export>,
    /// What crosses between accounts, seen from the taker.
    pub imports: Vec<Import>,
    /// Subjects that never cross between two nodes, in either direction, whatever their permissions say.
    pub bridge_denies: Vec<String>,
}

impl Layout {
    /// What `domain` needs on this node.
    pub fn of(domain: &Domain, node: &NodeId) -> Self {
        let consumers = consumer::all(domain, node);
        let crossing = [
            (Share::Service, "$JS.ACK.>".to_owned()),
            (Share::Service, "$JS.FC.>".to_owned()),
            (Share::Stream, format!("{}.deliver.>", domain.name)),
            (Share::Stream, format!("{}.live.>", domain.name)),
        ];
        Self {
            node: node.name.clone(),
            role: node.role.clone(),
            streams: stream::all(domain, node),
            users: rights::all(domain, node, &consumers),
            consumers,
            exports: crossing
                .iter()
                .map(|(share, subject)| Export {
                    account: Account::Domain,
                    share: *share,
                    subject: subject.clone(),
                })
                .collect(),
            imports: crossing
                .into_iter()
                .map(|(share, subject)| Import {
                    account: Account::Services,
                    from: Account::Domain,
                    share,
                    subject,
                })
                .collect(),
            bridge_denies: bridge::denies(domain),
        }
    }

    /// The user of that name in that account.
    pub fn user(&self, account: Account, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.account == account && user.name == name)
    }

    /// The stream of that name.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == name)
    }
}
