//! Where everything is measured: a folder for temporary files, a node in it, and the peers' server beside it.
//!
//! All of it ends with [`Grounds::close`]; if the process dies, the servers die with it.

use std::fs;
use std::path::{Path, PathBuf};

use comms::Comms;
use comms_node::guard::Guard;
use comms_node::{Nats, Node, Options};
use tempfile::TempDir;

use super::foreign::Cli;
use super::message::{DEFINITION, SCHEMA, Sizes, TYPES};
use super::peers::{ANY_PORT, Peers};
use crate::failure::Failure;

/// A node and a server for its peers.
#[derive(Debug)]
pub(super) struct Grounds {
    node: Node,
    peers: Peers,
    cli: Option<Cli>,
    sizes: Sizes,
    folder: TempDir,
}

impl Grounds {
    /// Starts both.
    pub(super) async fn open() -> Result<Grounds, Failure> {
        let sizes = Sizes::measure()?;
        let folder = TempDir::with_prefix("comms-bench-")
            .map_err(|error| Failure::failed("no folder for temporary files can be made").because(&error))?;
        let guard = Guard::this_executable()
            .map_err(|error| Failure::failed("this program cannot find itself").because(&error))?;
        let (domain, peers) = (folder.path().join("domain"), folder.path().join("peers"));
        write(&domain).map_err(|error| cannot_write(&domain, &error))?;
        write(&peers).map_err(|error| cannot_write(&peers, &error))?;
        let peers = Peers::start(&peers, guard.clone()).await?;
        let mut options = Options::new(&domain, guard);
        options.nats = Nats::Managed(ANY_PORT);
        options.http = ANY_PORT;
        match Node::start(options).await {
            Ok(node) => Ok(Grounds { node, peers, cli: Cli::find(), sizes, folder }),
            Err(error) => {
                peers.stop().await;
                Err(error.into())
            }
        }
    }

    /// Connects as a service of the domain, with the rights it has by its definition.
    pub(super) async fn connect(&self, service: &str) -> Result<Comms, Failure> {
        Ok(Comms::options().folder(&self.node.summary().folder).connect(service).await?)
    }

    /// The peers' server.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The `nats` program, if there is one.
    pub(super) fn cli(&self) -> Option<&Cli> {
        self.cli.as_ref()
    }

    /// Bytes of each message.
    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// A path for a plain file, on the disk that the node uses.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    /// Stops everything in order and removes the folder.
    pub(super) async fn close(self) -> Result<(), Failure> {
        let Grounds { node, peers, folder, .. } = self;
        for name in node.shutdown().await {
            tracing::warn!(name, "had to be ended by force");
        }
        peers.stop().await;
        let path = folder.path().to_owned();
        folder
            .close()
            .map_err(|error| Failure::failed(format!("{} cannot be removed", path.display())).because(&error))
    }
}

fn write(folder: &Path) -> std::io::Result<()> {
    let schemas = folder.join("schemas/bench");
    fs::create_dir_all(&schemas)?;
    fs::write(folder.join("domain.toml"), DEFINITION)?;
    TYPES.iter().try_for_each(|name| fs::write(schemas.join(format!("{name}.json")), SCHEMA))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written", path.display())).because(error)
}
