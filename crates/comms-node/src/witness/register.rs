//! Where ledgers are, which of them must be there, and what loss was accepted and is not in the log yet.
//!
//! The list stands apart from the ledgers, beside the node's keys, so that a ledger that was removed is missed. It is kept
//! twice, and each stream says in its own configuration that it has a ledger: a folder that had a witness is not taken for
//! one of before there were any because a file is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::loss::Loss;
use crate::Error;
use crate::folder::{Durability, Folder, make_private, read_small, remove, replace};

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

impl Listed {
    /// Both, and of each stream the later generation.
    fn with(mut self, other: Listed) -> Listed {
        for (stream, generation) in other.generations {
            let known = self.generations.entry(stream).or_default();
            *known = generation.max(*known);
        }
        self
    }
}

fn read(path: &Path) -> Result<Option<Listed>, Error> {
    let Some(text) = read_small(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        expected: "the list of ledgers",
        why: error.to_string(),
    })
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

    fn acceptance(&self) -> PathBuf {
        self.folder.log().join("accepted.json")
    }

    /// The files of `stream`, where a managed nats-server keeps them.
    pub(super) fn blocks(&self, stream: &str) -> Blocks {
        Blocks::of(&self.folder.streams(), stream)
    }

    /// What ledgers there must be; none where there is no list yet. One of the two that cannot be read is written again.
    pub(super) fn listed(&self) -> Result<Listed, Error> {
        let [one, other] = self.folder.lists().map(|path| read(&path));
        match (one, other) {
            (Ok(one), Ok(other)) => Ok(one.unwrap_or_default().with(other.unwrap_or_default())),
            (Ok(Some(listed)), Err(error)) | (Err(error), Ok(Some(listed))) => {
                tracing::warn!(%error, "one of the two lists of ledgers is of no use");
                Ok(listed)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    pub(super) fn list_all(&self, listed: &Listed) -> Result<(), Error> {
        for path in self.folder.lists() {
            if !read(&path).is_ok_and(|known| known.as_ref() == Some(listed)) {
                let text = serde_json::to_vec(listed).expect("names and numbers are JSON");
                replace(&path, &text, Durability::Synced)?;
            }
        }
        Ok(())
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
        remove(&self.acceptance())
    }
}
