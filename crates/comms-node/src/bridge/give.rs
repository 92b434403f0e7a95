//! The answering side of a bridge: answers one peer's asks for one feed, from a stream of this node.
//!
//! An ask is held until there is something. The newest ask counts; a peer that asks more often than it takes to read is
//! served at a pace, and costs its own connection only. Answers go to the subjects of that peer, never to a subject that it
//! names.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use comms_domain::{NodeName, bridge_subject};
use comms_msg::DomainName;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::admit::Refused;
use super::read::{self, Found};
use super::refusals::Refusals;
use super::talk::WANTED_BYTES_MAX;
use super::wire::{Ask, Batch, Feed, ITEMS_MAX, Item, Origin, beat, is_nonce};
use crate::Error;

/// How often an ask that is held says so.
const BEAT: Duration = Duration::from_secs(1);
/// The shortest time between two reads for one peer: 100 batches a second are more than a disk stores.
const PACE: Duration = Duration::from_millis(10);
/// How long after its last read a stream is read again although no news of it came: news can get lost.
const LOOK: Duration = Duration::from_secs(2);
/// How long an ask is held before it is answered with what there is: nothing, and the place that was reached.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// One feed for one peer.
#[derive(Debug, Clone)]
pub(super) struct Giver {
    /// This node's user in LEAFS for that peer.
    pub(super) client: Client,
    /// The node's user in DOMAIN.
    pub(super) log: Client,
    pub(super) domain: DomainName,
    pub(super) me: NodeName,
    pub(super) peer: NodeName,
    pub(super) feed: Feed,
    pub(super) stream: String,
    pub(super) incarnation: String,
    /// Moves when something was stored.
    pub(super) news: watch::Receiver<u64>,
    pub(super) refusals: Arc<Refusals>,
}

impl Giver {
    /// Gives until `stop` is cancelled.
    ///
    /// # Errors
    /// The connection is closed for good.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let failed = |source| Error::Request { doing: format!("talk with the node {}", self.peer), source };
        let asks = bridge_subject(&self.domain, &self.me, &self.peer, &format!("{}.ask.*", self.feed.word()));
        let mut asks = self.client.subscribe(asks).await.map_err(|e| failed(Box::new(e)))?;
        let mut held: Option<(String, Ask)> = None;
        loop {
            let next = match &held {
                None => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    next = asks.next() => next,
                },
                Some((nonce, ask)) => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    next = asks.next() => next,
                    () = self.answer(nonce, ask) => {
                        held = None;
                        continue;
                    }
                },
            };
            let Some(message) = next else { return Ok(()) };
            let Some(asked) = self.newest(message, &mut asks) else { continue };
            held = Some(asked);
            tokio::time::sleep(PACE).await;
        }
    }

    /// The last of the asks that have arrived.
    fn newest(&self, first: Message, asks: &mut Subscriber) -> Option<(String, Ask)> {
        let mut newest = self.read(&first);
        while let Some(Some(next)) = asks.next().now_or_never() {
            newest = self.read(&next).or(newest);
        }
        newest
    }

    fn read(&self, message: &Message) -> Option<(String, Ask)> {
        let nonce = message.subject.rsplit('.').next().filter(|nonce| is_nonce(nonce));
        let read = nonce.zip(Ask::decode(&message.payload)).map(|(nonce, ask)| (nonce.to_owned(), ask));
        if read.is_none() {
            self.refusals.note(Refused::Ask, &message.subject);
        }
        read
    }

    /// Answers one ask: reads until something is there for the peer.
    async fn answer(&self, nonce: &str, ask: &Ask) {
        let until = Instant::now() + HOLD_MAX;
        let mut news = self.news.clone();
        // In another life of the stream the place means nothing, and a place beyond its end was of one.
        let is_known =
            ask.log == self.incarnation || (ask.log.is_empty() && !self.ends_before(ask.after).await);
        let mut through = if is_known { ask.after } else { 0 };
        loop {
            self.tell("beat", nonce, beat(0)).await;
            news.mark_unchanged();
            let begin = Instant::now();
            let found = self.behind(through, ask.bytes).await;
            let is_end = found.is_empty();
            let last = found.last().map(|found| found.sequence);
            let items = self.items(found);
            through = last.unwrap_or(through);
            if !items.is_empty() || Instant::now() >= until {
                let batch = Batch { log: self.incarnation.clone(), through, items }.encode();
                self.tell("beat", nonce, beat(batch.len())).await;
                self.tell("batch", nonce, batch).await;
                sleep_until(begin + PACE).await;
                return;
            }
            sleep_until(begin + PACE).await;
            if is_end {
                self.wait(nonce, &mut news).await;
            }
        }
    }

    /// Waits for news, with a beat now and then.
    async fn wait(&self, nonce: &str, news: &mut watch::Receiver<u64>) {
        let look = Instant::now() + LOOK;
        while Instant::now() < look {
            match timeout_at(look.min(Instant::now() + BEAT), news.changed()).await {
                Ok(_) => return,
                Err(_) => self.tell("beat", nonce, beat(0)).await,
            }
        }
    }

    /// Whether the stream ends before `sequence`.
    async fn ends_before(&self, sequence: u64) -> bool {
        let Some(before) = sequence.checked_sub(1) else { return false };
        let subject = format!("{}.>", self.domain);
        let last = read::behind(&self.log, &self.stream, &subject, before, 1, 1).await;
        last.is_ok_and(|last| last.is_empty())
    }

    async fn behind(&self, after: u64, bytes: u64) -> Vec<Found> {
        let subject = format!("{}.event.>", self.domain);
        let bytes = bytes.clamp(1, WANTED_BYTES_MAX);
        match read::behind(&self.log, &self.stream, &subject, after, ITEMS_MAX, bytes).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(error, stream = self.stream, "not read for another node; again soon");
                Vec::new()
            }
        }
    }

    fn items(&self, found: Vec<Found>) -> Vec<Item> {
        let item = |Found { sequence: at, subject, key, source, payload }: Found| {
            let origin = match self.feed {
                Feed::Own => {
                    let log = self.incarnation.clone();
                    Some(Origin { node: self.me.clone(), log, sequence: at })
                }
                // What came from that peer is not told to it.
                Feed::Others => Origin::of_stored(key.as_deref(), source.as_deref())
                    .filter(|origin| origin.node != self.peer),
            };
            origin.map(|origin| Item { at, origin, subject, payload })
        };
        found.into_iter().filter_map(item).collect()
    }

    async fn tell(&self, word: &str, nonce: &str, payload: bytes::Bytes) {
        let words = format!("{}.tell.{word}.{nonce}", self.feed.word());
        let subject = bridge_subject(&self.domain, &self.peer, &self.me, &words);
        if let Err(error) = self.client.publish(subject, payload).await {
            tracing::debug!(%error, peer = %self.peer, "not told; it asks again");
        }
    }
}
