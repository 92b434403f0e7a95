//! Blocks by multihash.
//!
//! The file of a block is named by the CID that its bytes have as *raw* bytes, so that every CID of the same
//! bytes, of either version and any codec, finds the one file. The name of a file is therefore always true of
//! what is in it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, Block, Cid, RAW};
use object_store::ObjectStoreExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::folder::{Folder, name, storable};
use crate::limits::{BLOCK_READS_MAX, BLOCK_WRITES_MAX};
use crate::staging::Staging;
use crate::{Error, Result};

/// The folder of uploads, beside the shards: longer than the name of any of them.
const UPLOADS: &str = "uploads";

/// A store of blocks in one folder. Clones share it.
#[derive(Debug, Clone)]
pub struct Blocks(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) folder: Folder,
    pub(crate) staging: Staging,
    reads: Semaphore,
    pub(crate) writes: Semaphore,
}

impl Blocks {
    /// Opens the store in `root`, which is made if it is not there. Uploads that an earlier process left are removed, or
    /// moved to their place if they were whole.
    ///
    /// Blocks the thread for a listing of what is there. Only one process at a time may have a
    /// folder open.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    pub fn open(root: &Path) -> Result<Self> {
        let folder = Folder::open(root)?;
        let staging = Staging::open(root.join(UPLOADS), &folder)
            .map_err(|source| Error::io("clear what uploads left", source))?;
        Ok(Self(Arc::new(Inner {
            folder,
            staging,
            reads: Semaphore::new(BLOCK_READS_MAX),
            writes: Semaphore::new(BLOCK_WRITES_MAX),
        })))
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
            return Err(corrupt(cid));
        }
        let data: Bytes = found.bytes().await.map_err(|source| Error::io("read a block", source))?;
        let asked = *cid;
        // A hash of a whole block takes milliseconds: too long for a thread that serves others.
        let verified = tokio::task::spawn_blocking(move || Block::verified(asked, data))
            .await
            .map_err(|source| Error::io("verify a block", source))?;
        verified.map_err(|_| corrupt(cid))
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
}

fn corrupt(cid: &Cid) -> Error {
    tracing::error!(%cid, "a block is damaged on disk; it is not served");
    Error::Corrupt { cid: *cid }
}

/// The CID that a file is named by.
pub(crate) fn key(cid: &Cid) -> Result<Cid> {
    storable(cid).map(|()| cid.with_codec(RAW))
}

/// Waits for a place; it is given back when the guard is dropped.
pub(crate) async fn turn(places: &Semaphore) -> SemaphorePermit<'_> {
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
        blocks.stage_file(stream::iter(pieces)).await?.keep().await
    }

    async fn put(blocks: &Blocks, block: &Block) -> Result<comms_content::File> {
        blocks.stage_block(block.clone()).await?.keep().await
    }

    /// Waits until the folder of an upload that was let go is removed: a store that is opened anew counts from the same
    /// number again.
    async fn gone(upload: &Path) {
        until(|| !upload.exists()).await;
    }

    /// Waits until nothing is left of uploads; the removal of one that broke off goes on by itself.
    async fn settled(folder: &Path) {
        let uploads = folder.join(UPLOADS);
        until(|| fs::read_dir(&uploads).unwrap().next().is_none()).await;
    }

    async fn until(is: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if is() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("an upload is left");
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
        put(&blocks, &raw).await.unwrap();
        let other = raw.cid().with_codec(DAG_PB);
        assert_eq!(blocks.get(&other).await.unwrap().data(), raw.data());
        assert!(blocks.has(&other).await.unwrap());
        put(&blocks, &Block::new(DAG_PB, raw.data().clone()).unwrap()).await.unwrap();
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
        assert!(matches!(blocks.stage_block(inline).await, Err(Error::Content(_))));
    }

    #[tokio::test]
    async fn damage_is_seen_never_served_and_healed_by_the_next_put() {
        let (folder, blocks) = store();
        let good = block(b"worth keeping");
        put(&blocks, &good).await.unwrap();
        let path = files(folder.path()).remove(0);

        fs::write(&path, b"worth nothing").unwrap();
        assert!(matches!(blocks.get(good.cid()).await, Err(Error::Corrupt { .. })));
        put(&blocks, &good).await.unwrap();
        assert_eq!(blocks.get(good.cid()).await.unwrap(), good);

        // A wrong length is seen by the put itself.
        fs::write(&path, b"worth").unwrap();
        put(&blocks, &good).await.unwrap();
        assert_eq!(blocks.get(good.cid()).await.unwrap(), good);

        fs::File::create(&path).unwrap().set_len(BLOCK_BYTES_MAX as u64 + 1).unwrap();
        assert!(matches!(blocks.get(good.cid()).await, Err(Error::Corrupt { .. })));
    }

    /// Whether bytes are here does not show in what a put of them does.
    #[tokio::test]
    async fn what_is_there_is_written_as_what_is_not() {
        use std::os::unix::fs::MetadataExt;
        let (folder, blocks) = store();
        let good = block(b"again and again");
        put(&blocks, &good).await.unwrap();
        let path = files(folder.path()).remove(0);
        let written = fs::metadata(&path).unwrap().ino();
        put(&blocks, &good).await.unwrap();
        assert_ne!(fs::metadata(&path).unwrap().ino(), written);
        assert_eq!(files(folder.path()), [path]);
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_removed_at_the_next_start() {
        let (folder, blocks) = store();
        let good = block(b"whole");
        put(&blocks, &good).await.unwrap();
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

    /// Bytes that end with an error after `length` of them.
    fn cut(data: &Bytes, length: usize) -> impl futures::Stream<Item = Result<Bytes>> + use<> {
        let pieces: Vec<Result<Bytes>> =
            data.slice(..length).chunks(40_000).map(|piece| Ok(data.slice_ref(piece))).collect();
        stream::iter(pieces.into_iter().chain([Err(Error::TooLarge { what: "the test", actual: 1, max: 0 })]))
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_anywhere_leaves_the_store_as_it_was() {
        let (folder, blocks) = store();
        let data = bytes(3 * 1024 * 1024 + 5);
        put_file(&blocks, &bytes(100), 100).await.unwrap();
        let before = files(folder.path());
        let mut seed = rand_seed();
        for _ in 0..8 {
            let length = next(&mut seed) % data.len();
            let failed = blocks.stage_file(cut(&data, length)).await;
            assert!(matches!(failed, Err(Error::TooLarge { .. })), "{length}");
            // Whole, and nobody answers for it.
            drop(blocks.stage_file(stream::iter([Ok::<_, Error>(data.slice(..length))])).await.unwrap());
            settled(folder.path()).await;
            assert_eq!(files(folder.path()), before, "{length}");
        }
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_takes_nothing_from_one_of_the_same_bytes() {
        let (folder, blocks) = store();
        let data = bytes(3 * 1024 * 1024 + 5);
        let mut seed = rand_seed();
        for round in 0..8 {
            let length = next(&mut seed) % data.len();
            let (failed, kept) = tokio::join!(
                blocks.stage_file(cut(&data, length)),
                put_file(&blocks, &data, 1 + next(&mut seed) % 100_000)
            );
            assert!(failed.is_err());
            let kept = kept.unwrap();
            settled(folder.path()).await;
            assert!(read_file(&blocks, kept.cid).await.unwrap() == data, "{round}");
            assert_eq!(files(folder.path()).len(), 5, "four leaves and their root");
        }
    }

    fn rand_seed() -> u64 {
        let seed = u64::from(std::process::id());
        println!("seed {seed}");
        seed
    }

    fn next(seed: &mut u64) -> usize {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize
    }

    #[tokio::test]
    async fn a_start_removes_what_was_not_whole_and_finishes_what_was() {
        let (folder, blocks) = store();
        let data = bytes(2 * 1024 * 1024 + 5);
        let staged = blocks.stage_file(stream::iter([Ok::<_, Error>(data.clone())])).await.unwrap();
        let cid = staged.file().cid;
        // As a process leaves it that dies now: in the one case before the upload is whole, in the other after.
        let uploads = folder.path().join(UPLOADS);
        let copy = |to: &str, names: &[PathBuf]| {
            let folder = uploads.join(to);
            fs::create_dir(&folder).unwrap();
            for path in names {
                fs::copy(path, folder.join(path.file_name().unwrap())).unwrap();
            }
        };
        let written = files(&uploads);
        assert_eq!(written.len(), 4);
        copy("7", &written);
        drop(staged);
        gone(written[0].parent().unwrap()).await;
        drop(blocks);
        let blocks = Blocks::open(folder.path()).unwrap();
        assert!(files(folder.path()).is_empty(), "nothing of it is left");
        assert!(!blocks.has(&cid).await.unwrap());

        let staged = blocks.stage_file(stream::iter([Ok::<_, Error>(data.clone())])).await.unwrap();
        // Some of it was moved to its place before the process died.
        let written = files(&uploads);
        copy("8.whole", &written[1..]);
        let name = written[0].file_name().unwrap().to_str().unwrap();
        let shard = folder.path().join(&name[name.len() - 3..name.len() - 1]);
        fs::create_dir_all(&shard).unwrap();
        fs::copy(&written[0], shard.join(name)).unwrap();
        fs::write(uploads.join("stray"), "").unwrap();
        drop(staged);
        gone(written[0].parent().unwrap()).await;
        drop(blocks);
        let blocks = Blocks::open(folder.path()).unwrap();
        assert!(read_file(&blocks, cid).await.unwrap() == data);
        assert_eq!(files(folder.path()).len(), 4);
        assert!(fs::read_dir(&uploads).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_finished_now_is_tried_at_the_next_start_and_in_nobodys_way() {
        let (folder, blocks) = store();
        drop(blocks);
        let good = block(b"whole");
        let name = good.cid().to_string();
        let whole = folder.path().join(UPLOADS).join("0.whole");
        fs::create_dir(&whole).unwrap();
        fs::write(whole.join(&name), good.data()).unwrap();
        // A file in the place of its shard.
        let shard = folder.path().join(&name[name.len() - 3..name.len() - 1]);
        fs::write(&shard, "").unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        let data = bytes(2 * 1024 * 1024 + 5);
        let other = put_file(&blocks, &data, 65_536).await.unwrap();
        assert!(read_file(&blocks, other.cid).await.unwrap() == data);
        drop(blocks);
        fs::remove_file(&shard).unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        assert_eq!(blocks.get(good.cid()).await.unwrap(), good);
    }

    #[tokio::test]
    async fn many_writers_of_the_same_block_agree() {
        let (folder, blocks) = store();
        let same = block(b"wanted by many");
        let puts = (0..64).map(|_| put(&blocks, &same));
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
        assert!(matches!(blocks.stage_block(block(b"nowhere")).await, Err(Error::Io { .. })));
        fs::remove_file(folder.path()).unwrap();
    }
}
