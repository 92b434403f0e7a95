//! Row `put_1g`: 1 GiB of content that the node has not seen, streamed through the library.
//!
//! Ours: over loopback HTTP, cut into blocks, hashed, kept and synced before the answer. The peers write the same bytes
//! into one file and sync it; the second also takes the SHA-256 of every mebibyte, which is what a CID needs. Nothing
//! of either goes over a network. The third stores them in a stream of bare JetStream, in chunks that are synced.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use comms::{Comms, Source};
use futures::stream;

use super::bucket::Bucket;
use super::contest::Contest;
use super::file::{CONTENT_BYTES, Pattern, mebibytes, write};
use super::grounds::Grounds;
use super::message::SENDER;
use super::peers::Peers;
use crate::failure::Failure;

/// The contest.
#[derive(Debug)]
pub(super) struct Put<'a> {
    comms: Comms,
    file: PathBuf,
    peers: &'a Peers,
    bucket: Bucket,
    pattern: Pattern,
}

impl Put<'_> {
    /// Connects.
    pub(super) async fn prepare(grounds: &Grounds) -> Result<Put<'_>, Failure> {
        let (comms, peers) = (grounds.connect(SENDER).await?, grounds.peers());
        let bucket = Bucket::connect(peers).await?;
        Ok(Put { comms, file: grounds.file(), peers, bucket, pattern: Pattern::random() })
    }
}

/// Puts that content; how long it took, and the CID.
pub(super) async fn put(comms: &Comms, pattern: &Pattern) -> Result<(Duration, comms::Cid), Failure> {
    let pieces = stream::iter(pattern.pieces().map(io::Result::Ok));
    let begin = Instant::now();
    let put = comms.put(Source::stream(pieces)).await?;
    let took = begin.elapsed();
    if put.size == CONTENT_BYTES && put.stored {
        Ok((took, put.cid))
    } else {
        Err(Failure::failed(format!("{} of {CONTENT_BYTES} new bytes were kept", put.size)))
    }
}

impl Contest for Put<'_> {
    const UNIT: &'static str = "MiB/s";

    fn peers(&self) -> Vec<&'static str> {
        vec!["file: write, fsync", "file: SHA-256, write, fsync", "JetStream, chunks of 512 KiB"]
    }

    fn warms_up(&self) -> bool {
        false
    }

    async fn ours(&mut self, _: Duration) -> Result<f64, Failure> {
        self.pattern = self.pattern.next();
        let (comms, pattern) = (self.comms.clone(), self.pattern.clone());
        let putting = tokio::spawn(async move { put(&comms, &pattern).await });
        let (took, _) =
            putting.await.map_err(|error| Failure::failed("a put ended badly").because(&error))??;
        Ok(mebibytes(took))
    }

    async fn peer(&mut self, peer: usize, _: Duration) -> Result<f64, Failure> {
        if peer == 2 {
            return self.bucket.put(self.peers, &self.pattern).await.map(mebibytes);
        }
        let (file, pattern) = (self.file.clone(), self.pattern.clone());
        // The last one's file is gone before the clock runs.
        let _ = std::fs::remove_file(&file);
        let writing = tokio::task::spawn_blocking(move || write(&file, &pattern, peer == 1));
        writing.await.map_err(|error| Failure::failed("a writer ended badly").because(&error))?
    }

    async fn end(self) -> Result<(), Failure> {
        // One that is not there need not be removed.
        let _ = std::fs::remove_file(&self.file);
        self.bucket.remove().await;
        Ok(())
    }
}
