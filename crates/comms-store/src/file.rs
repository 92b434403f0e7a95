//! Bytes of any length into blocks, in constant memory.
//!
//! One lane collects what arrives and has it hashed on a thread for such work; beside it up to
//! [`FILE_WRITES_MAX`] finished blocks are on their way to the disk. When the disk is slow the lane waits, and
//! so does whoever sends.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use comms_content::{Block, File, Importer};
use futures::stream::{FuturesUnordered, Stream, StreamExt};

use crate::limits::{FILE_WRITES_MAX, HASH_BATCH_BYTES};
use crate::{Blocks, Error, Result, Staged};

impl Blocks {
    /// Takes a stream of bytes as a file. When this returns, every block of it is on the disk, and none in the store
    /// before [`Staged::keep`].
    ///
    /// If the stream ends with an error, or the future is dropped, nothing remains.
    ///
    /// # Errors
    /// The stream's own; [`Error::Full`], [`Error::Io`].
    pub async fn stage_file<S, E>(&self, source: S) -> Result<Staged, E>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: From<Error>,
    {
        let upload = self.begin().await?;
        let mut source = pin!(source.fuse());
        let mut importer = Importer::new();
        let mut ahead = Bytes::new();
        let mut writes = FuturesUnordered::new();
        loop {
            let mut step = pin!(async {
                let batch = collect(&mut source, &mut ahead).await?;
                Ok::<_, E>(import(importer, batch).await?)
            });
            let imported = loop {
                tokio::select! {
                    biased;
                    imported = &mut step => break imported?,
                    Some(written) = writes.next() => written?,
                }
            };
            for block in imported.blocks {
                while writes.len() >= FILE_WRITES_MAX {
                    writes.next().await.transpose()?;
                }
                writes.push(self.write(&upload, block));
            }
            match imported.rest {
                Rest::More(rest) => importer = rest,
                Rest::Whole(file) => {
                    while let Some(written) = writes.next().await {
                        written?;
                    }
                    return Ok(Staged::new(self.clone(), upload.clone(), file));
                }
            }
        }
    }
}

/// Some bytes of the stream: [`HASH_BATCH_BYTES`], or fewer if they are the last.
struct Batch {
    bytes: Bytes,
    last: bool,
}

/// What has become of a batch.
struct Imported {
    blocks: Vec<Block>,
    rest: Rest,
}

enum Rest {
    More(Importer),
    Whole(File),
}

/// Takes from the stream until there is a batch. What came beyond it is left in `ahead`.
async fn collect<E>(
    source: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    ahead: &mut Bytes,
) -> Result<Batch, E> {
    let mut batch = BytesMut::new();
    loop {
        // Large pieces are cut and not copied.
        if batch.is_empty() && ahead.len() >= HASH_BATCH_BYTES {
            return Ok(Batch { bytes: ahead.split_to(HASH_BATCH_BYTES), last: false });
        }
        let missing = HASH_BATCH_BYTES - batch.len();
        if batch.is_empty() && !ahead.is_empty() {
            batch.reserve(HASH_BATCH_BYTES);
        }
        batch.extend_from_slice(&ahead.split_to(ahead.len().min(missing)));
        if batch.len() == HASH_BATCH_BYTES {
            return Ok(Batch { bytes: batch.freeze(), last: false });
        }
        match source.next().await {
            Some(piece) => *ahead = piece?,
            None => return Ok(Batch { bytes: batch.freeze(), last: true }),
        }
    }
}

/// Hashes a batch, away from the threads that serve others.
async fn import(mut importer: Importer, batch: Batch) -> Result<Imported> {
    tokio::task::spawn_blocking(move || {
        let mut blocks = Vec::new();
        importer.push(batch.bytes, &mut blocks);
        let rest = if batch.last { Rest::Whole(importer.finish(&mut blocks)) } else { Rest::More(importer) };
        Imported { blocks, rest }
    })
    .await
    .map_err(|source| Error::io("hash a block", source))
}
