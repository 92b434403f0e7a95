//! The block files of a stream of the managed nats-server: read before the server starts, and kept in sight while it runs.
//!
//! A nats-server that starts cuts a damaged block off where the damage begins. Looked at before, the damage is named and
//! nothing is changed. While it runs it holds its files open, and does not notice that they were removed: it goes on until
//! it is started again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::block::{self, Stored};
use super::ledger::Ledger;
use super::record::Slot;

/// What is read of a block to know where it begins.
const HEAD_BYTES: usize = 22;

/// Where a stream is.
#[derive(Debug)]
pub(super) struct Blocks {
    stream: String,
    folder: PathBuf,
    seen: Mutex<BTreeMap<u64, Seen>>,
}

/// A block as it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    /// The sequence at its head; none while it is empty.
    first: Option<u64>,
}

/// What nats-server says of a stream in its folder, as far as it is wanted here.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Created")]
    created: String,
}

impl Blocks {
    pub(super) fn of(streams: &Path, stream: &str) -> Blocks {
        Blocks { stream: stream.to_owned(), folder: streams.join(stream), seen: Mutex::default() }
    }

    pub(super) fn is_there(&self) -> bool {
        self.folder.exists()
    }

    /// When the stream was made; none where its folder does not say so.
    pub(super) fn created_ns(&self) -> Option<i64> {
        let meta: Meta = serde_json::from_slice(&fs::read(self.folder.join("meta.inf")).ok()?).ok()?;
        let created = OffsetDateTime::parse(&meta.created, &Rfc3339).ok()?;
        i64::try_from(created.unix_timestamp_nanos()).ok()
    }

    /// The numbers of the blocks, each with its inode.
    pub(super) fn list(&self) -> io::Result<BTreeMap<u64, u64>> {
        let entries = match fs::read_dir(self.folder.join("msgs")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let mut blocks = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.strip_suffix(".blk")?.parse().ok());
            blocks.extend(number.map(|number| (number, entry.ino())));
        }
        Ok(blocks)
    }

    /// Calls `each` with every message of a block that can be read: whether it is whole; none where it is written in a
    /// way that is not known.
    pub(super) fn read(&self, block: u64, each: impl FnMut(Stored<'_>)) -> io::Result<Option<bool>> {
        let bytes = fs::read(self.path(block))?;
        Ok((!block::is_foreign(&bytes)).then(|| block::messages(&self.stream, block, &bytes, each)))
    }

    fn path(&self, block: u64) -> PathBuf {
        self.folder.join("msgs").join(format!("{block}.blk"))
    }

    fn first(&self, block: u64) -> Option<u64> {
        let mut head = Vec::new();
        File::open(self.path(block)).ok()?.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
        block::first(&head)
    }

    /// Holds the files against those that were seen last. A block goes when everything in it has gone, and is written anew
    /// when much has; so what is lost is what the ledger names there and no file holds.
    ///
    /// # Errors
    /// What is lost. Files that cannot be looked at are no loss.
    pub(super) fn look(&self, ledger: &Ledger) -> Result<(), String> {
        let tally = ledger.tally();
        let extent = tally.extent;
        if matches!(fs::symlink_metadata(&self.folder), Err(error) if error.kind() == io::ErrorKind::NotFound)
        {
            return Err(format!("the folder of the stream {} is gone from the disk", self.stream));
        }
        let Ok(list) = self.list() else { return Ok(()) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeMap<u64, Seen> = list
            .into_iter()
            .map(|(block, inode)| {
                let known = seen.get(&block).filter(|known| known.inode == inode && known.first.is_some());
                (block, known.copied().unwrap_or_else(|| Seen { inode, first: self.first(block) }))
            })
            .collect();
        // Nothing moved meanwhile, so that what is there is what the ledger speaks of.
        let is_empty = now.values().all(|seen| seen.first.is_none());
        if is_empty && tally.lasting > 0 && tally == ledger.tally() {
            return Err(format!(
                "no .blk of the stream {} is left on the disk; {} messages stood there",
                self.stream, tally.lasting
            ));
        }
        let before = std::mem::replace(&mut *seen, now.clone());
        for (block, was) in before {
            let is = now.get(&block);
            let (Some(first), false) = (was.first, is.is_some_and(|is| is.inode == was.inode)) else {
                continue;
            };
            let next = now.range(block + 1..).find_map(|(_, next)| next.first).unwrap_or(extent + 1);
            if let Some(lost) = self.lost(ledger, first, next, is.map(|_| block)) {
                let what = if is.is_some() { "was replaced" } else { "is gone from the disk" };
                return Err(format!(
                    "the block {} of the stream {} {what}, which held the message {lost}",
                    self.path(block).display(),
                    self.stream
                ));
            }
        }
        Ok(())
    }

    /// The first message from `first` to before `next` that must stay and is not in the block that is there now.
    fn lost(&self, ledger: &Ledger, first: u64, next: u64, there: Option<u64>) -> Option<u64> {
        let mut held = Vec::new();
        if let Some(block) = there {
            match self.read(block, |stored| held.push(stored.sequence)) {
                Ok(Some(_)) => {}
                // It is being written anew again, or in a way that is not known.
                Ok(None) | Err(_) => return None,
            }
        }
        // Where the ledger cannot be read nothing is told.
        let mut walk = ledger.walk(first, next.checked_sub(1)?).map_while(Result::ok);
        let is_lost = |(sequence, slot): &(u64, Slot)| {
            slot.record().is_some_and(|record| record.is_lasting()) && held.binary_search(sequence).is_err()
        };
        walk.find(is_lost).map(|(sequence, _)| sequence)
    }
}
