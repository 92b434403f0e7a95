//! Row `get_1g`: 1 GiB of content, streamed through the library, every block verified by its CID.
//!
//! Whoever reads compares every byte with what was put, ours and peers alike. The peers read one file with the same
//! bytes; the second also takes the SHA-256 of every mebibyte. The third reads them from a stream of bare JetStream. All
//! have just been written, and come from memory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use comms::{Cid, Comms};

use super::bucket::Bucket;
use super::contest::Contest;
use super::file::{CONTENT_BYTES, Pattern, mebibytes, read, write};
use super::grounds::Grounds;
use super::message::SENDER;
use super::put::put;
use crate::failure::Failure;

/// The contest.
#[derive(Debug)]
pub(super) struct Get {
    comms: Comms,
    cid: Cid,
    file: PathBuf,
    bucket: Bucket,
    pattern: Pattern,
}

impl Get {
    /// Puts the content and writes the file.
    pub(super) async fn prepare(grounds: &Grounds) -> Result<Get, Failure> {
        let (comms, file, pattern) = (grounds.connect(SENDER).await?, grounds.file(), Pattern::random());
        let (_, cid) = put(&comms, &pattern).await?;
        let (path, content) = (file.clone(), pattern.clone());
        let writing = tokio::task::spawn_blocking(move || write(&path, &content, false));
        writing.await.map_err(|error| Failure::failed("a writer ended badly").because(&error))??;
        let bucket = Bucket::connect(grounds.peers()).await?;
        bucket.put(grounds.peers(), &pattern).await?;
        Ok(Get { comms, cid, file, bucket, pattern })
    }
}

/// Fetches that content and compares it.
async fn get(comms: &Comms, cid: Cid, pattern: &Pattern) -> Result<f64, Failure> {
    let begin = Instant::now();
    let mut reader = comms.get(&cid).await?;
    let mut offset = 0;
    while let Some(bytes) = reader.next().await? {
        if !pattern.is_at(offset, &bytes) {
            return Err(Failure::failed("what was fetched is not what was put"));
        }
        offset += bytes.len() as u64;
    }
    if offset != CONTENT_BYTES {
        return Err(Failure::failed(format!("{offset} of {CONTENT_BYTES} bytes were fetched")));
    }
    Ok(mebibytes(begin.elapsed()))
}

impl Contest for Get {
    const UNIT: &'static str = "MiB/s";

    fn peers(&self) -> Vec<&'static str> {
        vec!["file: read", "file: read, SHA-256", "JetStream, chunks of 512 KiB"]
    }

    fn warms_up(&self) -> bool {
        false
    }

    async fn ours(&mut self, _: Duration) -> Result<f64, Failure> {
        let (comms, cid, pattern) = (self.comms.clone(), self.cid, self.pattern.clone());
        let getting = tokio::spawn(async move { get(&comms, cid, &pattern).await });
        getting.await.map_err(|error| Failure::failed("a get ended badly").because(&error))?
    }

    async fn peer(&mut self, peer: usize, _: Duration) -> Result<f64, Failure> {
        if peer == 2 {
            return self.bucket.get(&self.pattern).await;
        }
        let (file, pattern) = (self.file.clone(), self.pattern.clone());
        let reading = tokio::task::spawn_blocking(move || read(&file, &pattern, peer == 1));
        reading.await.map_err(|error| Failure::failed("a reader ended badly").because(&error))?
    }

    async fn end(self) -> Result<(), Failure> {
        // One that is not there need not be removed.
        let _ = std::fs::remove_file(&self.file);
        self.bucket.remove().await;
        Ok(())
    }
}
