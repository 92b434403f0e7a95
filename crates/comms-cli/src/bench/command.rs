//! Rows `command_one` and `command_many`: durable commands from their sending until their outcome is known.
//!
//! Ours: kept and synced, delivered, handled by another service, its end kept and synced, told to the sender; handled
//! once each, by the sum of ids, and each as large as a peer's payload. JetStream, first peer: published and
//! acknowledged, pushed to a consumer, acknowledged by it; nothing is kept of how it ended, so that half as much is
//! written. Second peer: the consumer also publishes a result of the same size to a second stream and waits until it is
//! kept, which is what ours does. All streams are files, one replica, every write synced; the queue is a work queue on
//! both sides, with as many unacknowledged at most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::{AckPolicy, push};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use comms::{CommandContext, Comms};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::contest::Contest;
use super::grounds::Grounds;
use super::load::closed_loop;
use super::message::{KEEPER, Keep, SENDER, as_large_when_stored, fresh_id, labelled};
use super::peers::{Peers, raw};
use super::tally::{Sum, Tally};
use crate::failure::Failure;

/// Deliveries that a consumer leaves unacknowledged at most: as the node's consumers.
const ACK_PENDING_MAX: i64 = 1024;

/// The contest.
pub(super) struct Commands {
    at_once: usize,
    /// Bytes of each command, ours and the peers'.
    bytes: usize,
    comms: Comms,
    keeper: comms::Running,
    tally: Arc<Tally>,
    sent: Arc<Mutex<Sent>>,
    queue: Peer,
    recorded: Peer,
}

#[derive(Default)]
struct Sent {
    count: u64,
    sum: Sum,
}

/// A sender and a consumer on bare JetStream.
struct Peer {
    jetstream: jetstream::Context,
    subject: Subject,
    /// One payload per lane, which says the lane.
    payloads: Vec<Bytes>,
    /// One per lane: told when the consumer has acknowledged.
    handled: Arc<[Notify]>,
    consuming: JoinHandle<Result<(), Failure>>,
}

impl Commands {
    /// Connects a sender and a handler on every side.
    pub(super) async fn prepare(grounds: &Grounds, at_once: usize) -> Result<Commands, Failure> {
        let tally = Arc::new(Tally::default());
        let taking = Arc::clone(&tally);
        let handler = move |_: Keep, cx: CommandContext| {
            taking.take(cx.id());
            std::future::ready(Ok(()))
        };
        let keeper = grounds.connect(KEEPER).await?.handle(handler).at_once(at_once).start().await?;
        let comms = grounds.connect(SENDER).await?;
        let bytes = grounds.sizes().keep;
        let queue = Peer::prepare(grounds.peers(), "QUEUE", None, at_once, bytes).await?;
        let recorded = Peer::prepare(grounds.peers(), "RECORDED", Some("RESULT"), at_once, bytes).await?;
        Ok(Commands { at_once, bytes, comms, keeper, tally, sent: Arc::default(), queue, recorded })
    }
}

impl Contest for Commands {
    const UNIT: &'static str = "commands/s";

    fn peers(&self) -> Vec<&'static str> {
        vec!["JetStream publish, push, ack", "JetStream publish, push, result kept, ack"]
    }

    async fn ours(&mut self, span: Duration) -> Result<f64, Failure> {
        let (comms, sent, bytes) = (self.comms.clone(), Arc::clone(&self.sent), self.bytes);
        let rate = closed_loop(self.at_once, span, move |_| {
            let (comms, sent) = (comms.clone(), Arc::clone(&sent));
            async move {
                let id = fresh_id();
                let number = {
                    let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                    sent.count += 1;
                    sent.sum.add(id);
                    sent.count
                };
                let command = labelled!(comms.send(Keep::new(number)).id(id)).await?;
                as_large_when_stored(command.bytes, bytes)?;
                command.outcome().await?.done()?;
                Ok(())
            }
        });
        let rate = rate.await?;
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tally.count() != sent.count || self.tally.sum() != sent.sum {
            return Err(Failure::failed(
                "the commands that were handled are not those that were sent, once each",
            ));
        }
        Ok(rate)
    }

    async fn peer(&mut self, peer: usize, span: Duration) -> Result<f64, Failure> {
        if peer == 0 { self.queue.run(span).await } else { self.recorded.run(span).await }
    }

    async fn end(self) -> Result<(), Failure> {
        self.queue.consuming.abort();
        self.recorded.consuming.abort();
        Ok(self.keeper.stop().await?)
    }
}

impl Peer {
    async fn prepare(
        peers: &Peers,
        name: &str,
        result: Option<&str>,
        at_once: usize,
        bytes: usize,
    ) -> Result<Peer, Failure> {
        let sender = jetstream::new(peers.connect().await?);
        let subject = format!("peer.{}", name.to_lowercase());
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.clone()],
            retention: stream::RetentionPolicy::WorkQueue,
            ..stream::Config::default()
        };
        peers.stream(&sender, config).await?;
        // On a connection of its own, as the handler on our side.
        let taking = jetstream::new(peers.connect().await?);
        let consumer = push::Config {
            durable_name: Some("handler".to_owned()),
            deliver_subject: format!("deliver.{name}"),
            deliver_group: Some("handler".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: ACK_PENDING_MAX,
            ..push::Config::default()
        };
        let consumer = taking.create_consumer_on_stream(consumer, name).await.map_err(|error| raw(&error))?;
        let results = match result {
            None => None,
            Some(result) => {
                let subject = format!("peer.{}", result.to_lowercase());
                let config = stream::Config {
                    name: result.to_owned(),
                    subjects: vec![subject.clone()],
                    ..stream::Config::default()
                };
                peers.stream(&sender, config).await?;
                Some((taking.clone(), Subject::from(subject)))
            }
        };
        let messages = consumer.messages().await.map_err(|error| raw(&error))?;
        let handled: Arc<[Notify]> = (0..at_once).map(|_| Notify::new()).collect();
        let consuming = Consuming { messages, results, handled: Arc::clone(&handled), at_once };
        let consuming = tokio::spawn(consuming.run());
        let payloads = (0..at_once).map(|lane| payload(lane, bytes)).collect();
        Ok(Peer { jetstream: sender, subject: subject.into(), payloads, handled, consuming })
    }

    async fn run(&self, span: Duration) -> Result<f64, Failure> {
        let (jetstream, subject) = (self.jetstream.clone(), self.subject.clone());
        let (payloads, handled) = (self.payloads.clone(), Arc::clone(&self.handled));
        let lanes = payloads.len();
        closed_loop(lanes, span, move |lane| {
            let (jetstream, subject, payload) = (jetstream.clone(), subject.clone(), payloads[lane].clone());
            let handled = Arc::clone(&handled);
            async move {
                let kept = jetstream.publish(subject, payload).await.map_err(|error| raw(&error))?;
                kept.await.map_err(|error| raw(&error))?;
                handled[lane].notified().await;
                Ok(())
            }
        })
        .await
    }
}

/// The consumer's side.
struct Consuming {
    messages: push::Messages,
    /// Where results are kept, if they are.
    results: Option<(jetstream::Context, Subject)>,
    handled: Arc<[Notify]>,
    at_once: usize,
}

impl Consuming {
    async fn run(mut self) -> Result<(), Failure> {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(done) = under_way.next(), if !under_way.is_empty() => done?,
                message = self.messages.next(), if under_way.len() < self.at_once => {
                    let Some(message) = message else { return Ok(()) };
                    let message = message.map_err(|error| raw(&error))?;
                    under_way.push(handle(message, self.results.clone(), Arc::clone(&self.handled)));
                }
            }
        }
    }
}

async fn handle(
    message: jetstream::Message,
    results: Option<(jetstream::Context, Subject)>,
    handled: Arc<[Notify]>,
) -> Result<(), Failure> {
    if let Some((jetstream, subject)) = results {
        let kept = jetstream.publish(subject, message.payload.clone()).await.map_err(|error| raw(&error))?;
        kept.await.map_err(|error| raw(&error))?;
    }
    message
        .ack()
        .await
        .map_err(|error| Failure::failed("a raw peer failed").mend(format!("because: {error}")))?;
    if let Some(lane) = lane(&message.payload).and_then(|lane| handled.get(lane)) {
        lane.notify_one();
    }
    Ok(())
}

/// A payload that begins with its lane.
fn payload(lane: usize, bytes: usize) -> Bytes {
    let mut payload = lane.to_le_bytes().to_vec();
    payload.resize(bytes.max(payload.len()), 0x61);
    payload.into()
}

fn lane(payload: &[u8]) -> Option<usize> {
    payload.first_chunk().map(|bytes| usize::from_le_bytes(*bytes))
}
