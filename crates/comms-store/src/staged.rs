//! [`Staged`]: what was put and is whole, and not yet in the store.

use std::sync::Arc;

use comms_content::{Block, File, RAW};

use crate::blocks::turn;
use crate::folder::blocking;
use crate::staging::Upload;
use crate::{Blocks, Result};

/// Bytes that are on the disk with all their blocks, and in the store only after [`Staged::keep`]. Dropped before that,
/// nothing remains of them.
#[derive(Debug)]
#[must_use = "what is staged and not kept is removed"]
pub struct Staged {
    blocks: Blocks,
    upload: Arc<Upload>,
    file: File,
}

impl Staged {
    pub(crate) fn new(blocks: Blocks, upload: Arc<Upload>, file: File) -> Self {
        Self { blocks, upload, file }
    }

    /// What it is.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts it into the store. When this returns, each of its blocks can be read and is durable.
    ///
    /// Not cancelled by dropping the future: what has begun goes on to its end, at the next start if the process dies.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Full`]; it may be there nevertheless, or be after the next start.
    pub async fn keep(self) -> Result<File> {
        let _turn = turn(&self.blocks.0.writes).await;
        let (store, upload, file) = (Arc::clone(&self.blocks.0), self.upload, self.file);
        let root = file.cid.with_codec(RAW);
        blocking("keep an upload", move || upload.keep(&root, &store.folder)).await?;
        Ok(file)
    }
}

impl Blocks {
    /// Takes one block. When this returns, it is on the disk, and in the store only after [`Staged::keep`].
    ///
    /// # Errors
    /// [`crate::Error::Full`], [`crate::Error::Io`]; [`crate::Error::Content`] for a block that is its own CID.
    pub async fn stage_block(&self, block: Block) -> Result<Staged> {
        let (cid, size) = (*block.cid(), block.data().len() as u64);
        let upload = self.begin().await?;
        self.write(&upload, block).await?;
        Ok(Staged::new(self.clone(), upload, File { cid, size, blocks: 1, dag_bytes: size }))
    }

    pub(crate) async fn begin(&self) -> Result<Arc<Upload>> {
        let store = Arc::clone(&self.0);
        blocking("begin an upload", move || store.staging.begin().map(Arc::new)).await
    }

    /// Writes a block of an upload, unless the upload has it already.
    pub(crate) async fn write(&self, upload: &Arc<Upload>, block: Block) -> Result<()> {
        let key = crate::blocks::key(block.cid())?;
        if !upload.is_new(key) {
            return Ok(());
        }
        let _turn = turn(&self.0.writes).await;
        let upload = Arc::clone(upload);
        blocking("write a block", move || upload.write(&key, &block)).await
    }
}
