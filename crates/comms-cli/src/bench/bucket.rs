//! Content in a stream of bare JetStream, which is what a bucket of NATS is: chunks as messages, each synced.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, stream};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};

use super::file::{CONTENT_BYTES, PIECE_BYTES, Pattern, mebibytes};
use super::peers::{Peers, raw};
use crate::failure::Failure;

const STREAM: &str = "BUCKET";
const SUBJECT: &str = "peer.bucket";
/// Bytes of a chunk: half a piece, since a whole one and its headers exceed what the server takes.
const CHUNK_BYTES: usize = PIECE_BYTES / 2;
/// Chunks on their way at once: enough to hide the round trip behind the disk.
const CHUNKS_AT_ONCE: usize = 32;
/// Chunks that a reader asks for at once: 32 MiB, half of what the server holds for a client before it disconnects it as
/// too slow.
const CHUNKS_ASKED_MAX: i64 = 64;

/// The bucket. It is made anew for each content, so that it holds one at most.
#[derive(Debug)]
pub(super) struct Bucket {
    jetstream: jetstream::Context,
}

impl Bucket {
    /// Connects.
    pub(super) async fn connect(peers: &Peers) -> Result<Bucket, Failure> {
        Ok(Bucket { jetstream: jetstream::new(peers.connect().await?) })
    }

    /// Puts that content; how long it took until all of it was acknowledged.
    pub(super) async fn put(&self, peers: &Peers, pattern: &Pattern) -> Result<Duration, Failure> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            ..stream::Config::default()
        };
        peers.stream(&self.jetstream, config).await?;
        let begin = Instant::now();
        let mut under_way = FuturesUnordered::new();
        for piece in pattern.pieces() {
            for chunk in [piece.slice(..CHUNK_BYTES), piece.slice(CHUNK_BYTES..)] {
                if under_way.len() == CHUNKS_AT_ONCE {
                    under_way.try_next().await.map_err(|error| raw(&error))?;
                }
                let kept = self.jetstream.publish(SUBJECT, chunk).await.map_err(|error| raw(&error))?;
                under_way.push(kept.into_future());
            }
        }
        while under_way.try_next().await.map_err(|error| raw(&error))?.is_some() {}
        Ok(begin.elapsed())
    }

    /// Reads it back and compares it.
    pub(super) async fn get(&self, pattern: &Pattern) -> Result<f64, Failure> {
        let begin = Instant::now();
        let stream = self.jetstream.get_stream_no_info(STREAM).await.map_err(|error| raw(&error))?;
        let config = pull::OrderedConfig { max_batch: CHUNKS_ASKED_MAX, ..pull::OrderedConfig::default() };
        let consumer = stream.create_consumer(config).await.map_err(|error| raw(&error))?;
        let mut chunks = consumer.messages().await.map_err(|error| raw(&error))?;
        let mut offset = 0;
        while offset < CONTENT_BYTES {
            let chunk = chunks.next().await.ok_or_else(|| Failure::failed("the bucket ended early"))?;
            let chunk = chunk.map_err(|error| raw(&error))?;
            if !pattern.is_at(offset, &chunk.payload) {
                return Err(Failure::failed("what a bucket gave is not what was put"));
            }
            offset += chunk.payload.len() as u64;
        }
        Ok(mebibytes(begin.elapsed()))
    }

    /// Removes it: it is large.
    pub(super) async fn remove(self) {
        // One that is not there need not be removed.
        let _ = self.jetstream.delete_stream(STREAM).await;
    }
}
