//! A folder of shards whose own entries are durable, with `object_store` over it.
//!
//! `object_store` syncs a file and the folder it lands in. It cannot know whether a folder that it finds has
//! been synced into *its* parent: with two writers, the second finds the folder that the first has just made
//! and not yet synced. So shards are made and synced here, before anything is written into them, and
//! [`Folder::sync`] is for who finds a file in place and must not answer before its entry is durable.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use comms_content::Cid;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;

use crate::{Error, Result};

/// The hash function of everything that is stored.
const SHA2_256: u64 = 0x12;
/// What the process withholds decides; who may read is decided by the folder that all of it lies in.
const OPEN: u32 = 0o777;

/// One folder with up to 1,024 shards.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Writes with syncing on.
    pub(crate) objects: LocalFileSystem,
    root: PathBuf,
    /// Shards whose entry is on the disk.
    shards: Mutex<HashSet<String>>,
}

impl Folder {
    /// Makes the folder if it is not there, and removes what a crash left half-written in its shards.
    ///
    /// Blocks; one process at a time may have a folder open.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let io = |source| Error::io("prepare its folder", source);
        make(root).map_err(io)?;
        let shards = sweep(root).map_err(io)?;
        sync(root).map_err(io)?;
        let objects = LocalFileSystem::new_with_prefix(root)
            .map_err(|source| Error::io("open its folder", source))?
            .with_fsync(true);
        Ok(Self { objects, root: root.to_owned(), shards: Mutex::new(shards) })
    }

    /// Makes sure that the shard of `name` is there and will be after a crash. To be called before each write.
    async fn prepare(&self, name: &str) -> Result<()> {
        let shard = shard(name);
        if self.shards().contains(shard) {
            return Ok(());
        }
        let path = self.root.join(shard);
        blocking("sync a folder", move || make(&path)).await?;
        self.shards().insert(shard.to_owned());
        Ok(())
    }

    /// Moves files to their place, in this order, over what may be there. When this returns, their entries are on the
    /// disk. Blocks.
    pub(crate) fn adopt(&self, from: &Path, names: Vec<String>) -> io::Result<()> {
        let mut touched = HashSet::new();
        for name in names {
            let shard = shard(&name);
            let path = self.root.join(shard);
            if !self.shards().contains(shard) {
                make(&path)?;
                self.shards().insert(shard.to_owned());
            }
            fs::rename(from.join(&name), path.join(&name))?;
            touched.insert(path);
        }
        touched.iter().try_for_each(|shard| sync(shard))
    }

    /// The same, and makes the folder `name` in the shard. Only [`Folder::sync`], after the write, makes that durable.
    pub(crate) async fn prepare_within(&self, name: &str) -> Result<()> {
        self.prepare(name).await?;
        let folder = self.root.join(shard(name)).join(name);
        blocking("sync a folder", move || match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        })
        .await
    }

    fn shards(&self) -> MutexGuard<'_, HashSet<String>> {
        // A set has no state between two statements that a panic could leave wrong.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `name` (the text of a CID) lives.
    pub(crate) fn location(&self, name: &str) -> Location {
        Location::from_iter([shard(name), name])
    }

    /// Makes every entry of the shard of `name` durable.
    pub(crate) async fn sync(&self, name: &str) -> Result<()> {
        let shard = self.root.join(shard(name));
        blocking("sync a folder", move || sync(&shard)).await
    }

    /// Makes every entry of the folder `name` durable, and the entry of that folder.
    pub(crate) async fn sync_within(&self, name: &str) -> Result<()> {
        let shard = self.root.join(shard(name));
        let folder = shard.join(name);
        blocking("sync a folder", move || sync(&folder).and_then(|()| sync(&shard))).await
    }
}

/// Does what waits for the disk, on a thread for that; `what` it is, for its error.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|source| Error::io(what, source))?;
    done.map_err(|source| Error::io(what, source))
}

/// The two digits before the last: the last one carries fewer than five bits of the digest, and the first ones
/// are the same in every CID.
fn shard(name: &str) -> &str {
    &name[name.len() - 3..name.len() - 1]
}

pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder, and those above it that are missing, with these permissions less what the process withholds. The
/// folder's own entry is durable afterwards, even if it was there before; its permissions are then left as they are.
///
/// Blocks until the disk has it.
pub fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) else {
        return builder.recursive(true).create(folder);
    };
    if !above.try_exists()? {
        make_folder(above, mode)?;
    }
    match builder.create(folder) {
        Err(error) if !folder.is_dir() => Err(error),
        _ => sync(above),
    }
}

/// The same with the permissions that any folder of this crate gets.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    make_folder(folder, OPEN)
}

/// Removes files that were being written when a process died, and answers which shards there are.
/// `object_store` writes beside the final name, with `#` and a number, and renames; such a file belongs to
/// nobody after a start.
fn sweep(root: &Path) -> io::Result<HashSet<String>> {
    let mut shards = HashSet::new();
    for shard in fs::read_dir(root)? {
        let shard = shard?;
        if !shard.file_type()?.is_dir() {
            continue;
        }
        for entry in fs::read_dir(shard.path())? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().contains(&b'#') && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        shards.extend(shard.file_name().into_string());
    }
    Ok(shards)
}

/// The text of a CID by which its file or folder is named: base32, whatever version was asked for.
pub(crate) fn name(cid: &Cid) -> String {
    cid.with_codec(cid.codec()).to_string()
}

/// Refuses what is never here: only SHA-256 is, since what cannot be verified is not served, and an identity
/// CID is its own content.
pub(crate) fn storable(cid: &Cid) -> Result<()> {
    if cid.hash_code() == SHA2_256 && cid.digest().len() == 32 {
        Ok(())
    } else {
        Err(comms_content::Error::Hash { code: cid.hash_code() }.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_made_with_those_above_it() {
        let home = tempfile::tempdir().unwrap();
        let (above, folder) = (home.path().join("a"), home.path().join("a/b"));
        for _ in 0..2 {
            make_folder(&folder, 0o700).unwrap();
        }
        for made in [&above, &folder] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        make_folder(&file, 0o700).unwrap_err();
        make_folder(&file.join("below"), 0o700).unwrap_err();
    }
}
