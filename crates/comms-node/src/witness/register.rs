//! Where ledgers are, which of them must be there, and what loss was accepted and is not in the log yet.
//!
//! The list stands apart from the ledgers, beside the node's keys, so that a ledger that was removed is missed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::loss::Loss;
use crate::Error;
use crate::folder::{Durability, Folder, file_error, make_private, read_small, replace};

/// The files.
#[derive(Debug, Clone)]
pub(super) struct Register {
    folder: Folder,
}

/// The list: for each stream how often its loss was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) generations: BTreeMap<String, u64>,
}

impl Register {
    /// Makes the folder of ledgers where it is missing.
    pub(super) fn open(folder: &Folder) -> Result<Register, Error> {
        make_private(&folder.log())?;
        Ok(Register { folder: folder.clone() })
    }

    /// The ledger of `stream`.
    pub(super) fn ledger(&self, stream: &str) -> PathBuf {
        self.folder.log().join(format!("{stream}.ledger"))
    }

    fn list(&self) -> PathBuf {
        self.folder.node().join("ledgers.json")
    }

    fn acceptance(&self) -> PathBuf {
        self.folder.log().join("accepted.json")
    }

    /// What ledgers there must be; none where there is no list yet.
    pub(super) fn listed(&self) -> Result<Listed, Error> {
        let path = self.list();
        let Some(text) = read_small(&path)? else { return Ok(Listed::default()) };
        serde_json::from_str(&text).map_err(|error| Error::Malformed {
            path,
            expected: "the list of ledgers",
            why: error.to_string(),
        })
    }

    pub(super) fn list_all(&self, listed: &Listed) -> Result<(), Error> {
        if self.listed()? == *listed {
            return Ok(());
        }
        let text = serde_json::to_vec(listed).expect("names and numbers are JSON");
        replace(&self.list(), &text, Durability::Synced)
    }

    /// The accepted loss that is to be recorded in the log.
    pub(super) fn accepted(&self) -> Result<Option<Loss>, Error> {
        let path = self.acceptance();
        let Some(text) = read_small(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Malformed {
            path,
            expected: "a loss that was accepted",
            why: error.to_string(),
        })
    }

    /// Keeps the accepted loss until it is in the log, with one that was accepted before and is not.
    pub(super) fn accept(&self, loss: &Loss) -> Result<(), Error> {
        let mut all = loss.clone();
        if let Some(before) = self.accepted()? {
            all.merge(before);
        }
        let text = serde_json::to_vec(&all).expect("text and numbers are JSON");
        replace(&self.acceptance(), &text, Durability::Synced)
    }

    pub(super) fn recorded(&self) -> Result<(), Error> {
        let path = self.acceptance();
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(file_error("remove", &path, source))
            }
            _ => Ok(()),
        }
    }
}
