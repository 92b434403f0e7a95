//! What a node is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use comms_domain::NodeName;

use tokio::sync::watch;

use crate::guard::Guard;
use crate::probe::Findings;
use crate::room::RoomLimits;

/// Where nats-server is customarily found.
pub(crate) const NATS_PORT: u16 = 4222;
/// Where the node's own HTTP is found.
pub(crate) const HTTP_PORT: u16 = 7180;
/// How long a node takes at most to end what it has when it is told to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What a node is started with. The default runs on a laptop.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `domain.toml`.
    pub folder: PathBuf,
    /// The nats-server.
    pub nats: Nats,
    /// Where the node's own HTTP listens; an address of this machine alone. Port 0 takes any.
    pub http: SocketAddr,
    /// The node's name; none keeps the one it has, or makes one.
    pub name: Option<NodeName>,
    /// How the node is connected to others.
    pub bridge: Bridge,
    /// What may be taken of the disks.
    pub room: RoomLimits,
    /// What nats-server is started by.
    pub guard: Guard,
    /// Whether to go on without what was acknowledged and is lost.
    pub accept_loss: bool,
    /// How long stopping may take.
    pub grace: Duration,
    /// What a probe of a server that exists found last; a start waits until that is good enough.
    pub findings: watch::Sender<Option<Findings>>,
}

/// Which nats-server a node uses.
#[derive(Debug, Clone)]
pub enum Nats {
    /// One of its own, at this address. Port 0 takes any.
    Managed(SocketAddr),
    /// One that exists.
    External {
        /// Where it listens.
        url: String,
    },
}

/// How a node is connected to others.
#[derive(Debug, Clone, Default)]
pub enum Bridge {
    /// Not at all.
    #[default]
    None,
    /// Leafs join it.
    Hub {
        /// Where they connect.
        listen: SocketAddr,
        /// Who they are.
        leafs: Vec<NodeName>,
    },
    /// It joins a hub.
    Leaf {
        /// The hub's name.
        hub: NodeName,
        /// Where the hub listens for leafs.
        url: String,
        /// The seed of the user that the hub made for this leaf.
        seed_file: PathBuf,
        /// Other leafs of the hub, whose events are wanted here too.
        siblings: Vec<NodeName>,
    },
}

impl Options {
    /// A node for the domain in `folder`, with a nats-server of its own.
    pub fn new(folder: impl Into<PathBuf>, guard: Guard) -> Options {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Options {
            folder: folder.into(),
            nats: Nats::Managed(local(NATS_PORT)),
            http: local(HTTP_PORT),
            name: None,
            bridge: Bridge::None,
            room: RoomLimits::default(),
            guard,
            accept_loss: false,
            grace: GRACE,
            findings: watch::Sender::new(None),
        }
    }
}
