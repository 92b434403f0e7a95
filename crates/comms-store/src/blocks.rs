//! Blocks by multihash.
//!
//! The file of a block is named by the CID that its bytes have as *raw* bytes, so that every CID of the same
//! bytes, of either version and any codec, finds the one file. The name of a file is therefore always true of
//! what is in it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, Block, Cid, RAW};
use object_store::ObjectStoreExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cache::Cache;
use crate::folder::{Folder, name, storable};
use crate::limits::{BLOCK_READS_MAX, BLOCK_WRITES_MAX, SUSPECTS_MAX};
use crate::{Error, Result};

/// A store of blocks in one folder. Clones share it.
#[derive(Debug, Clone)]
pub struct Blocks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Folder,
    reads: Semaphore,
    writes: Semaphore,
    suspects: Mutex<Cache<Cid, ()>>,
}

impl Blocks {
    /// Opens the store in `root`, which is made if it is not there, and removes what an earlier process left
    /// half-written.
    ///
    /// Blocks the thread for a listing of what is there. Only one process at a time may have a
    /// folder open.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            folder: Folder::open(root)?,
            reads: Semaphore::new(BLOCK_READS_MAX),
            writes: Semaphore::new(BLOCK_WRITES_MAX),
            suspects: Mutex::new(Cache::new(SUSPECTS_MAX)),
        })))
    }

    /// Keeps a block. When this returns, its bytes and the entry of its file are on the disk.
    ///
    /// A block that is there already is not written again, unless its length is wrong or a read found it
    /// damaged. Dropping the future leaves either the whole block or nothing.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`].
    pub async fn put(&self, block: &Block) -> Result<()> {
        let _turn = turn(&self.0.writes).await;
        let key = key(block.cid())?;
        let name = name(&key);
        let location = self.0.folder.location(&name);
        let data = block.data();
        if !self.is_suspect(&key) {
            match self.0.folder.objects.head(&location).await {
                // Whoever wrote it may not have synced the entry yet, or have died before.
                Ok(there) if there.size == data.len() as u64 => return self.0.folder.sync(&name).await,
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(Error::io("look for a block", source)),
            }
        }
        self.0.folder.prepare(&name).await?;
        self.0
            .folder
            .objects
            .put(&location, data.clone().into())
            .await
            .map_err(|source| Error::io("write a block", source))?;
        self.suspects().remove(&key);
        Ok(())
    }

    /// The block of that CID, verified.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Corrupt`] if what is on the disk is not what was asked for; [`Error::Io`].
    pub async fn get(&self, cid: &Cid) -> Result<Block> {
        let _turn = turn(&self.0.reads).await;
        let Ok(key) = key(cid) else { return Err(Error::Missing { cid: *cid }) };
        let found = match self.0.folder.objects.get(&self.0.folder.location(&name(&key))).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(Error::Missing { cid: *cid }),
            Err(source) => return Err(Error::io("open a block", source)),
        };
        if found.meta.size > BLOCK_BYTES_MAX as u64 {
            return Err(self.corrupt(cid, key));
        }
        let data: Bytes = found.bytes().await.map_err(|source| Error::io("read a block", source))?;
        let asked = *cid;
        // A hash of a whole block takes milliseconds: too long for a thread that serves others.
        let verified = tokio::task::spawn_blocking(move || Block::verified(asked, data))
            .await
            .map_err(|source| Error::io("verify a block", source))?;
        verified.map_err(|_| self.corrupt(cid, key))
    }

    /// Whether there is a file for that CID. Says nothing about what is in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn has(&self, cid: &Cid) -> Result<bool> {
        let Ok(key) = key(cid) else { return Ok(false) };
        match self.0.folder.objects.head(&self.0.folder.location(&name(&key))).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(Error::io("look for a block", source)),
        }
    }

    fn corrupt(&self, cid: &Cid, key: Cid) -> Error {
        tracing::error!(%cid, "a block is damaged on disk; it is not served");
        self.suspects().insert(key, ());
        Error::Corrupt { cid: *cid }
    }

    fn is_suspect(&self, key: &Cid) -> bool {
        self.suspects().get(key).is_some()
    }

    fn suspects(&self) -> std::sync::MutexGuard<'_, Cache<Cid, ()>> {
        // A cache has no state between two statements that a panic could leave wrong.
        self.0.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The CID that a file is named by.
fn key(cid: &Cid) -> Result<Cid> {
    storable(cid).map(|()| cid.with_codec(RAW))
}

/// Waits for a place; it is given back when the guard is dropped.
async fn turn(places: &Semaphore) -> SemaphorePermit<'_> {
    places.acquire().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use comms_content::{DAG_PB, Exporter, Step};
    use futures::stream;
    use tempfile::TempDir;

    use super::*;

    fn store() -> (TempDir, Blocks) {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        (folder, blocks)
    }

    /// All files below a folder.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let (folders, files): (Vec<_>, Vec<_>) =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
        files.into_iter().chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
    }

    fn block(data: &'static [u8]) -> Block {
        Block::new(RAW, Bytes::from_static(data)).unwrap()
    }

    /// Bytes that differ from chunk to chunk.
    fn bytes(length: usize) -> Bytes {
        (0..length).map(|at| (at * 31 + at / 251 + at / 65_521) as u8).collect::<Vec<_>>().into()
    }

    async fn put_file(blocks: &Blocks, data: &Bytes, piece: usize) -> Result<comms_content::File> {
        let pieces: Vec<Result<Bytes>> = data.chunks(piece).map(|piece| Ok(data.slice_ref(piece))).collect();
        blocks.put_file(stream::iter(pieces)).await
    }

    async fn read_file(blocks: &Blocks, cid: Cid) -> Result<Vec<u8>> {
        let mut exporter = Exporter::new(cid, None);
        let mut all = Vec::new();
        loop {
            match exporter.step()? {
                Step::Want(cid) => exporter.give(blocks.get(&cid).await?)?,
                Step::Bytes(bytes) => all.extend_from_slice(&bytes),
                Step::Done => return Ok(all),
            }
        }
    }

    #[tokio::test]
    async fn cids_of_the_same_bytes_share_one_file() {
        let (folder, blocks) = store();
        let raw = block(b"the same bytes");
        blocks.put(&raw).await.unwrap();
        let other = raw.cid().with_codec(DAG_PB);
        assert_eq!(blocks.get(&other).await.unwrap().data(), raw.data());
        assert!(blocks.has(&other).await.unwrap());
        blocks.put(&Block::new(DAG_PB, raw.data().clone()).unwrap()).await.unwrap();
        let names = files(folder.path());
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].file_name().unwrap().to_str().unwrap(), raw.cid().to_string());
    }

    #[tokio::test]
    async fn what_is_not_here_is_missing_whatever_its_hash() {
        let (_folder, blocks) = store();
        let absent = Cid::raw(b"absent");
        assert!(matches!(blocks.get(&absent).await, Err(Error::Missing { cid }) if cid == absent));
        assert!(!blocks.has(&absent).await.unwrap());
        let identity: Cid = "bafkqaaa".parse().unwrap();
        assert!(matches!(blocks.get(&identity).await, Err(Error::Missing { .. })));
        assert!(!blocks.has(&identity).await.unwrap());
        let inline = Block::verified(identity, Bytes::new()).unwrap();
        assert!(matches!(blocks.put(&inline).await, Err(Error::Content(_))));
    }

    #[tokio::test]
    async fn damage_is_seen_never_served_and_healed_by_the_next_put() {
        let (folder, blocks) = store();
        let good = block(b"worth keeping");
        blocks.put(&good).await.unwrap();
        let path = files(folder.path()).remove(0);

        fs::write(&path, b"worth nothing").unwrap();
        assert!(matches!(blocks.get(good.cid()).await, Err(Error::Corrupt { .. })));
        blocks.put(&good).await.unwrap();
        assert_eq!(blocks.get(good.cid()).await.unwrap(), good);

        // A wrong length is seen by the put itself.
        fs::write(&path, b"worth").unwrap();
        blocks.put(&good).await.unwrap();
        assert_eq!(blocks.get(good.cid()).await.unwrap(), good);

        fs::File::create(&path).unwrap().set_len(BLOCK_BYTES_MAX as u64 + 1).unwrap();
        assert!(matches!(blocks.get(good.cid()).await, Err(Error::Corrupt { .. })));
    }

    #[tokio::test]
    async fn a_block_that_is_there_is_not_written_again() {
        let (folder, blocks) = store();
        let good = block(b"once");
        blocks.put(&good).await.unwrap();
        let path = files(folder.path()).remove(0);
        let written = fs::metadata(&path).unwrap();
        blocks.put(&good).await.unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(&path).unwrap().ino(), written.ino());
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_removed_at_the_next_start() {
        let (folder, blocks) = store();
        let good = block(b"whole");
        blocks.put(&good).await.unwrap();
        let path = files(folder.path()).remove(0);
        let half = path.with_file_name(format!("{}#1", path.file_name().unwrap().to_str().unwrap()));
        fs::write(&half, b"ha").unwrap();
        drop(blocks);
        let blocks = Blocks::open(folder.path()).unwrap();
        assert!(!half.exists());
        assert_eq!(blocks.get(good.cid()).await.unwrap(), good);
    }

    #[tokio::test]
    async fn files_of_all_sizes_come_back_however_they_arrive() {
        let (_folder, blocks) = store();
        const MIB: usize = 1024 * 1024;
        for length in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5] {
            let data = bytes(length);
            let mut cids = Vec::new();
            for piece in [1013, MIB, 5 * MIB] {
                let file = put_file(&blocks, &data, piece).await.unwrap();
                assert_eq!(file.size, length as u64);
                cids.push(file.cid);
            }
            cids.dedup();
            assert_eq!(cids.len(), 1, "{length}");
            assert!(read_file(&blocks, cids[0]).await.unwrap() == data, "{length}");
        }
    }

    #[tokio::test]
    async fn a_put_that_fails_leaves_whole_blocks_and_no_root() {
        let (folder, blocks) = store();
        let data = bytes(3 * 1024 * 1024 + 5);
        let root = put_file(&Blocks::open(tempfile::tempdir().unwrap().path()).unwrap(), &data, 65_536)
            .await
            .unwrap()
            .cid;
        let cut = stream::iter([
            Ok(data.slice(..2_500_000)),
            Err(Error::TooLarge { what: "the test", actual: 1, max: 0 }),
        ]);
        assert!(matches!(blocks.put_file(cut).await, Err(Error::TooLarge { .. })));
        assert!(!blocks.has(&root).await.unwrap());
        for path in files(folder.path()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Cid::raw(&fs::read(&path).unwrap()).to_string(), name);
        }
    }

    #[tokio::test]
    async fn many_writers_of_the_same_block_agree() {
        let (folder, blocks) = store();
        let same = block(b"wanted by many");
        let puts = (0..64).map(|_| blocks.put(&same));
        futures::future::try_join_all(puts).await.unwrap();
        assert_eq!(files(folder.path()).len(), 1);
        assert_eq!(blocks.get(same.cid()).await.unwrap(), same);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_an_error_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(Blocks::open(&file.join("below")), Err(Error::Io { .. })));
        let (folder, blocks) = store();
        fs::remove_dir_all(folder.path()).unwrap();
        fs::write(folder.path(), b"").unwrap();
        assert!(matches!(blocks.put(&block(b"nowhere")).await, Err(Error::Io { .. })));
        fs::remove_file(folder.path()).unwrap();
    }
}
