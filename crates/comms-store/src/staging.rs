//! Uploads that are not whole yet, each in a folder of its own beside the blocks.
//!
//! A block of an upload is written and synced here, and moved to its place when the upload is whole and somebody answers
//! for it. So an upload that breaks off leaves nothing, and shares nothing with another one of the same bytes. Nothing is
//! left out because the store has it: what is written, and how long that takes, does not show what is there already.
//!
//! An upload of several blocks becomes whole by the name of its folder. What a crash leaves of it is therefore either
//! removed or moved to its place at the next start.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use comms_content::{Block, Cid};

use crate::folder::{Folder, make, name, sync};

/// The end of the name of a folder whose upload is whole.
const WHOLE: &str = "whole";

/// The folder of all uploads.
#[derive(Debug)]
pub(crate) struct Staging {
    root: PathBuf,
    next: AtomicU64,
}

impl Staging {
    /// Makes the folder if it is not there. Of what an earlier process left, uploads that were whole are moved into
    /// `blocks`, and the others removed. What the disk does not let be moved now is left to the next start.
    ///
    /// Blocks; one process at a time may have a folder open.
    pub(crate) fn open(root: PathBuf, blocks: &Folder) -> io::Result<Self> {
        make(&root)?;
        let mut next = 0;
        for entry in fs::read_dir(&root)? {
            let left = entry?.path();
            if left.extension().is_some_and(|end| end == WHOLE)
                && let Err(error) = finish(&left, blocks)
            {
                tracing::warn!(%error, "an upload that was whole could not be kept; the next start tries again");
                let number = left.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
                next = next.max(number.unwrap_or(0).saturating_add(1));
                continue;
            }
            if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) }?;
        }
        Ok(Self { root, next: AtomicU64::new(next) })
    }

    /// Begins an upload. Blocks.
    pub(crate) fn begin(&self) -> io::Result<Upload> {
        let folder = self.root.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder)?;
        Ok(Upload { folder, written: Mutex::default() })
    }
}

/// One upload. Nothing remains of it when it is dropped before [`Upload::keep`].
#[derive(Debug)]
pub(crate) struct Upload {
    folder: PathBuf,
    written: Mutex<HashSet<Cid>>,
}

impl Upload {
    /// Whether a block of this name is still to be written; says so once.
    pub(crate) fn is_new(&self, key: Cid) -> bool {
        self.written().insert(key)
    }

    /// Writes a block and syncs it. Blocks.
    pub(crate) fn write(&self, key: &Cid, block: &Block) -> io::Result<()> {
        let mut file = File::create_new(self.folder.join(name(key)))?;
        file.write_all(block.data())?;
        file.sync_all()
    }

    /// Moves what was written to its place, `root` last. It will be there even if the process ends in the middle, or the
    /// disk fails. Blocks.
    pub(crate) fn keep(&self, root: &Cid, blocks: &Folder) -> io::Result<()> {
        let mut names: Vec<String> = self.written().iter().filter(|key| *key != root).map(name).collect();
        names.push(name(root));
        let folder = match names.len() {
            // Moved by one step, as a whole or not at all.
            1 => self.folder.clone(),
            _ => self.make_whole()?,
        };
        blocks.adopt(&folder, names)?;
        fs::remove_dir(&folder)
    }

    fn make_whole(&self) -> io::Result<PathBuf> {
        sync(&self.folder)?;
        let whole = self.folder.with_extension(WHOLE);
        fs::rename(&self.folder, &whole)?;
        whole.parent().map_or(Ok(()), sync)?;
        Ok(whole)
    }

    fn written(&self) -> MutexGuard<'_, HashSet<Cid>> {
        // A set has no state between two statements that a panic could leave wrong.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.folder);
        let remove = move || remove(&folder);
        match tokio::runtime::Handle::try_current() {
            // An upload may have thousands of blocks: too many for a thread that serves others. It ends by itself, and
            // the next start does what it did not.
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Moves what is left of an upload that was whole to its place.
fn finish(left: &Path, blocks: &Folder) -> io::Result<()> {
    let files = fs::read_dir(left)?.map(|file| file.map(|file| file.file_name()));
    let names = files.filter_map(|name| name.map(|name| name.into_string().ok()).transpose());
    blocks.adopt(left, names.collect::<io::Result<Vec<_>>>()?)
}

/// Removes what is left of an upload; nothing, if it was kept.
fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "an upload that broke off could not be removed; the next start does it");
        }
        _ => {}
    }
}
