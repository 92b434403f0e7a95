//! Rows `append_one` and `append_many`: events appended to the log, acknowledged when they are on disk.
//!
//! Ours: checked at the door, with the id by which a repeat is recognised, then written by the log's single writer. When
//! the clock has stopped a reader takes them from the log, decoded to their type: none may be missing, and the sum of
//! their ids must be that of the sender. JetStream: the same number of bytes published to as many subjects of a stream,
//! without ids, and acknowledged; many at a time also as atomic batches of 1,000. Streams are files, one replica, every
//! write synced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use comms::{Comms, Position, WatchFrom};

use super::contest::Contest;
use super::grounds::Grounds;
use super::load::{closed_loop, rate};
use super::message::{ENTITIES, Noted, READER, SENDER, as_large_when_stored, entity, labelled};
use super::peers::raw;
use super::tally::Tally;
use crate::failure::Failure;

const STREAM: &str = "LOG";
/// How long the next event may take to be read back.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Messages in an atomic batch: what the server takes at most.
const BATCH: usize = 1000;

/// The contest.
pub(super) struct Append {
    at_once: usize,
    comms: Comms,
    /// Counts what is given out to be appended.
    appended: Arc<AtomicU64>,
    reader: Comms,
    /// Where what was read back ends in the log.
    position: Position,
    jetstream: jetstream::Context,
    subjects: Arc<[Subject]>,
    payload: Bytes,
}

impl Append {
    /// Connects on both sides.
    pub(super) async fn prepare(grounds: &Grounds, at_once: usize) -> Result<Append, Failure> {
        let jetstream = jetstream::new(grounds.peers().connect().await?);
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["peer.log.>".to_owned()],
            allow_atomic_publish: true,
            ..stream::Config::default()
        };
        grounds.peers().stream(&jetstream, config).await?;
        let subjects =
            (0..ENTITIES).map(|number| Subject::from(format!("peer.log.{}", entity(number)))).collect();
        let payload = vec![0x61; grounds.sizes().noted].into();
        let comms = grounds.connect(SENDER).await?;
        let reader = grounds.connect(READER).await?;
        let first = labelled!(comms.publish(Noted::new(0))).entity(entity(0)).await?;
        let (appended, position) = (Arc::default(), first.position);
        Ok(Append { at_once, comms, appended, reader, position, jetstream, subjects, payload })
    }

    /// Reads back what was appended since the last time, and holds it against what the sender was told.
    async fn compare(&mut self, sent: &Tally) -> Result<(), Failure> {
        let from = WatchFrom::Position(self.position);
        let mut events = self.reader.watch::<Noted>().from(from).await?;
        let read = Tally::default();
        while read.count() < sent.count() {
            let next = tokio::time::timeout(READ_WITHIN, events.next()).await;
            let event = next
                .ok()
                .flatten()
                .ok_or_else(|| Failure::failed(format!("only {} events are in the log", read.count())))??;
            read.take(event.id());
            self.position = event.position();
        }
        if read.sum() == sent.sum() {
            Ok(())
        } else {
            Err(Failure::failed("append: what is in the log is not what was appended"))
        }
    }

    async fn singly(&self, span: Duration) -> Result<f64, Failure> {
        let (jetstream, subjects) = (self.jetstream.clone(), Arc::clone(&self.subjects));
        let (payload, next) = (self.payload.clone(), Arc::new(AtomicU64::new(0)));
        closed_loop(self.at_once, span, move |_| {
            let subject = subject(&subjects, next.fetch_add(1, Ordering::Relaxed));
            let (jetstream, payload) = (jetstream.clone(), payload.clone());
            async move {
                let kept = jetstream.publish(subject, payload).await.map_err(|error| raw(&error))?;
                kept.await.map(drop).map_err(|error| raw(&error))
            }
        })
        .await
    }

    async fn batches(&self, span: Duration) -> Result<f64, Failure> {
        let (jetstream, subjects) = (self.jetstream.clone(), Arc::clone(&self.subjects));
        let payload = self.payload.clone();
        let writing = tokio::spawn(async move {
            let begin = Instant::now();
            let mut written: u64 = 0;
            while begin.elapsed() < span {
                batch(&jetstream, &subjects, &payload).await?;
                written += BATCH as u64;
            }
            Ok::<_, Failure>(rate(written, begin.elapsed()))
        });
        writing.await.map_err(|error| Failure::failed("a writer of batches ended badly").because(&error))?
    }
}

impl Contest for Append {
    const UNIT: &'static str = "events/s";

    fn peers(&self) -> Vec<&'static str> {
        match self.at_once {
            1 => vec!["JetStream publish"],
            _ => vec!["JetStream publish, as many at once", "JetStream atomic batches of 1,000"],
        }
    }

    async fn ours(&mut self, span: Duration) -> Result<f64, Failure> {
        let (comms, appended) = (self.comms.clone(), Arc::clone(&self.appended));
        let (sent, bytes) = (Arc::new(Tally::default()), self.payload.len());
        let counting = Arc::clone(&sent);
        let rate = closed_loop(self.at_once, span, move |_| {
            let number = appended.fetch_add(1, Ordering::Relaxed);
            let (comms, sent) = (comms.clone(), Arc::clone(&counting));
            async move {
                let published = labelled!(comms.publish(Noted::new(number))).entity(entity(number)).await?;
                as_large_when_stored(published.bytes, bytes)?;
                sent.take(published.id);
                Ok(())
            }
        })
        .await?;
        self.compare(&sent).await?;
        Ok(rate)
    }

    async fn peer(&mut self, peer: usize, span: Duration) -> Result<f64, Failure> {
        if peer == 0 { self.singly(span).await } else { self.batches(span).await }
    }

    async fn end(self) -> Result<(), Failure> {
        // What the stream holds is of no use to the next row, and large.
        self.jetstream.delete_stream(STREAM).await.map(drop).map_err(|error| raw(&error))
    }
}

/// One atomic batch, until it is acknowledged.
async fn batch(jetstream: &jetstream::Context, subjects: &[Subject], payload: &Bytes) -> Result<(), Failure> {
    let id = format!("{:032x}", rand::random::<u128>());
    let client = jetstream.client();
    for sequence in 1..=BATCH {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", id.as_str());
        headers.insert("Nats-Batch-Sequence", sequence.to_string());
        let subject = subject(subjects, sequence as u64);
        if sequence < BATCH {
            client
                .publish_with_headers(subject, headers, payload.clone())
                .await
                .map_err(|error| raw(&error))?;
            continue;
        }
        headers.insert("Nats-Batch-Commit", "1");
        let kept = jetstream
            .publish_with_headers(subject, headers, payload.clone())
            .await
            .map_err(|error| raw(&error))?;
        kept.await.map_err(|error| raw(&error))?;
    }
    Ok(())
}

fn subject(subjects: &[Subject], number: u64) -> Subject {
    let index = usize::try_from(number % ENTITIES).unwrap_or_default();
    subjects[index].clone()
}
