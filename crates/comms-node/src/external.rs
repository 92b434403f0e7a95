//! A nats-server that exists: what it must include, and the wait until it does.

use comms_domain::{Domain, Layout, nats_conf};

use crate::Error;
use crate::folder::{Durability, Folder, replace};
use crate::keys::Keys;

/// Name of the file with the accounts, below the folder of nats files.
pub(crate) const ACCOUNTS_FILE: &str = "accounts.conf";

/// Writes the accounts that the server is to include.
pub(crate) fn prepare(folder: &Folder, layout: &Layout, keys: &Keys) -> Result<(), Error> {
    let text = nats_conf::accounts(layout, &keys.public())
        .map_err(|e| Error::Request { doing: "write the accounts".to_owned(), source: Box::new(e) })?;
    replace(&folder.nats().join(ACCOUNTS_FILE), text.as_bytes(), Durability::Synced)
}

/// Waits until a probe shows that the server enforces the permissions.
pub(crate) async fn wait_until_enforced(_url: &str, _domain: &Domain, _layout: &Layout, _keys: &Keys) -> Result<(), Error> {
    std::future::pending().await
}
