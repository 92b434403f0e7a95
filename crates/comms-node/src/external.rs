//! A nats-server that exists: what it must include, and the wait until it does.

use comms_domain::{Domain, Layout, nats_conf};
use tokio::sync::watch;

use crate::Error;
use crate::folder::{Durability, Folder, replace};
use crate::keys::Keys;
use crate::probe::{self, Findings, Verdict};

/// Name of the file with the accounts, below the folder of nats files.
pub(crate) const ACCOUNTS_FILE: &str = "accounts.conf";

/// Writes the accounts that the server is to include.
pub(crate) fn prepare(folder: &Folder, layout: &Layout, keys: &Keys) -> Result<(), Error> {
    let text = nats_conf::accounts(layout, &keys.public())
        .map_err(|e| Error::Request { doing: "write the accounts".to_owned(), source: Box::new(e) })?;
    replace(&folder.nats().join(ACCOUNTS_FILE), text.as_bytes(), Durability::Synced)
}

/// Waits until a probe shows that the server enforces the permissions, and returns what it cannot promise. Whoever
/// wants to know what is still missing reads `told`.
pub(crate) async fn wait_until_enforced(
    url: &str,
    domain: &Domain,
    layout: &Layout,
    keys: &Keys,
    told: &watch::Sender<Option<Findings>>,
) -> Vec<String> {
    let tell = |findings: &Findings| {
        // Nobody has to listen.
        told.send_replace(Some(findings.clone()));
    };
    let findings = probe::until_enforced(&[url.to_owned()], domain, layout, keys, tell).await;
    let unpromised = findings.iter().filter(|finding| finding.verdict == Verdict::NotPromised);
    unpromised.map(|finding| format!("server   {}", finding.what)).collect()
}
