//! Which node a layout is for: its name, its secret and how it is connected to others.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::limits::PEERS_MAX;
use crate::words::is_lower_name;

/// The name of a node: `[a-z][a-z0-9_-]{0,62}`. It is a subject token, the name of a JetStream domain and part
/// of stream names, so that two nodes of a domain must differ in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// A text that is no name of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a node name: a lower-case letter, then at most 62 lower-case letters, digits, `_` or `-` are expected"
)]
pub struct NodeNameError;

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user of its hub's account LEAFS as which this node joins.
    pub fn leaf_user(&self) -> String {
        format!("leaf-{self}")
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        if is_lower_name(text) { Ok(Self(text.to_owned())) } else { Err(NodeNameError) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// How a node is connected to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To none.
    Standalone,
    /// It accepts these nodes as leafs.
    Hub {
        /// Their names.
        leafs: Vec<NodeName>,
    },
    /// It joins a hub.
    Leaf {
        /// The hub's name.
        hub: NodeName,
        /// Other leafs of that hub, whose events are wanted here too.
        siblings: Vec<NodeName>,
    },
}

/// The node a layout is computed for.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeId {
    /// Its name.
    pub name: NodeName,
    /// Known to this node alone: makes the names of its consumers unguessable. Never printed.
    pub secret: [u8; 32],
    /// How it is connected.
    pub role: Role,
}

impl NodeId {
    /// A node that knows no other.
    pub fn standalone(name: NodeName, secret: [u8; 32]) -> Self {
        Self { name, secret, role: Role::Standalone }
    }

    /// The nodes whose events it wants, sorted, without itself, at most [`PEERS_MAX`].
    pub fn peers(&self) -> Vec<&NodeName> {
        match &self.role {
            Role::Leaf { hub, siblings } => self.others(std::iter::once(hub).chain(siblings)),
            Role::Standalone | Role::Hub { .. } => self.neighbours(),
        }
    }

    /// The nodes it is connected to directly, in the same way: the leafs of a hub, the hub of a leaf.
    pub fn neighbours(&self) -> Vec<&NodeName> {
        match &self.role {
            Role::Standalone => Vec::new(),
            Role::Hub { leafs } => self.others(leafs.iter()),
            Role::Leaf { hub, .. } => self.others(std::iter::once(hub)),
        }
    }

    fn others<'a>(&self, nodes: impl Iterator<Item = &'a NodeName>) -> Vec<&'a NodeName> {
        let mut peers: Vec<&NodeName> = nodes.collect();
        peers.retain(|peer| **peer != self.name);
        peers.sort();
        peers.dedup();
        peers.truncate(PEERS_MAX);
        peers
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeId").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}
