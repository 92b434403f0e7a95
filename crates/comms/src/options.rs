//! How a service connects, when the defaults are not right.
//!
//! The defaults are: the `.comms` folder found upwards from the working directory, the nats-server of the node that
//! holds it, and the credentials of the service's own name.

use std::path::PathBuf;

use comms_msg::{DomainName, Owner, ServiceName};

use crate::comms::Comms;
use crate::error::{Error, ErrorKind, Result};
use crate::folder::{Folder, Seed};
use crate::local::LocalNode;
use crate::proof::Voucher;

/// How to connect. From [`Comms::options`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    folder: Option<PathBuf>,
    nats: Option<String>,
    owner: Option<String>,
}

/// Everything that a connection needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) service: ServiceName,
    pub(crate) domain: DomainName,
    pub(crate) nats: String,
    pub(crate) folder: Folder,
    pub(crate) seed: Seed,
    /// Who knows whether the node's nats-server listens at `nats`.
    pub(crate) voucher: Voucher,
    pub(crate) owner: Option<Owner>,
}

impl Options {
    /// The `.comms` folder itself, instead of the nearest one upwards.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.folder = Some(path.into());
        self
    }

    /// The address of the NATS server, or several separated by commas, instead of the one that the node tells.
    ///
    /// Then it is the caller's word that the node's server listens there; the node says no more than that it lives.
    #[must_use]
    pub fn nats(mut self, url: impl Into<String>) -> Self {
        self.nats = Some(url.into());
        self
    }

    /// Who answers for what is sent without an owner of its own. What a handler sends keeps the owner of the
    /// message it handles.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Connects as the service `name`, with its credentials.
    ///
    /// Returns when the node answered. Afterwards the connection is kept: it reconnects for ever, with back-off.
    ///
    /// Nothing is said to whoever listens at the node's addresses before the node itself has vouched for it, at the
    /// first connection and at every later one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where no node runs or no credentials are found; [`ErrorKind::Denied`] if the server does not
    /// know them; [`ErrorKind::Unavailable`] and [`ErrorKind::Timeout`] if node or server do not answer.
    pub async fn connect(self, name: &str) -> Result<Comms> {
        let settings = self.settings(name).await?;
        Comms::start(settings).await
    }

    async fn settings(self, name: &str) -> Result<Settings> {
        let service: ServiceName = name.parse().map_err(|error: comms_msg::Error| {
            Error::new(ErrorKind::Config, format!("{name} cannot be a service: {error}"))
        })?;
        let folder = match self.folder {
            Some(path) => Folder::at(&path)?,
            None => {
                let here = std::env::current_dir().map_err(|error| {
                    Error::new(ErrorKind::Config, "the working directory cannot be read").because(error)
                })?;
                Folder::find(&here)?
            }
        };
        let seed = folder.seed(&service)?;
        let node = LocalNode::of(&folder, &service)?;
        let owner = self.owner.map(|owner| Owner::new(&owner)).transpose()?;
        let who = node.who().await?;
        let (nats, voucher) = match self.nats {
            Some(given) => (given, voucher(node, None)),
            None => (who.nats.clone(), voucher(node, Some(who.nats))),
        };
        Ok(Settings { service, domain: who.domain, nats, folder, seed, voucher, owner })
    }
}

/// The node, asked whether its server holds the port at `address`, or lives at all where that is somebody else's word.
fn voucher(node: LocalNode, address: Option<String>) -> Voucher {
    Voucher::new(move || {
        let (node, address) = (node.clone(), address.clone());
        async move {
            let who = match node.who().await {
                Ok(who) => who,
                Err(error) => {
                    tracing::debug!(%error, "the node does not say who it is");
                    return None;
                }
            };
            if address.is_some_and(|address| address != who.nats) {
                tracing::warn!(nats = who.nats, "the node's nats-server listens elsewhere now; connect anew");
                return None;
            }
            Some(who.incarnation)
        }
    })
}
