//! How a service connects, when the defaults are not right.
//!
//! The defaults are: the `.comms` folder found upwards from the working directory, the addresses that the node wrote
//! there, and the credentials of the service's own name.

use std::path::PathBuf;

use comms_msg::{DomainName, Owner, ServiceName};

use crate::comms::Comms;
use crate::error::{Error, ErrorKind, Result};
use crate::folder::{Credentials, Folder};

/// How to connect. From [`Comms::options`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    folder: Option<PathBuf>,
    nats: Option<String>,
    http: Option<String>,
    owner: Option<String>,
}

/// Everything that a connection needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) service: ServiceName,
    pub(crate) domain: DomainName,
    pub(crate) nats: String,
    pub(crate) http: String,
    pub(crate) credentials: Credentials,
    pub(crate) owner: Option<Owner>,
}

impl Options {
    /// The `.comms` folder itself, instead of the nearest one upwards.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.folder = Some(path.into());
        self
    }

    /// The address of the NATS server, or several separated by commas, instead of the one that the node wrote.
    #[must_use]
    pub fn nats(mut self, url: impl Into<String>) -> Self {
        self.nats = Some(url.into());
        self
    }

    /// The address of the node's HTTP, instead of the one that the node wrote.
    #[must_use]
    pub fn http(mut self, url: impl Into<String>) -> Self {
        self.http = Some(url.into());
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
    pub async fn connect(self, name: &str) -> Result<Comms> {
        let settings = self.settings(name)?;
        Comms::start(settings).await
    }

    fn settings(self, name: &str) -> Result<Settings> {
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
        let credentials = folder.credentials(&service)?;
        let node = folder.node()?;
        let owner = self.owner.map(|owner| Owner::new(&owner)).transpose()?;
        Ok(Settings {
            service,
            domain: node.domain,
            nats: self.nats.unwrap_or(node.nats),
            http: self.http.unwrap_or(node.http),
            credentials,
            owner,
        })
    }
}
