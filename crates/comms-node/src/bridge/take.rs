//! The asking side of a bridge: asks one peer for one feed, looks at each event, and has the good ones stored.
//!
//! One ask is open at a time, so a peer is never given more than is stored, and none can take more than its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message};
use bytes::Bytes;
use comms_domain::{NodeName, bridge_subject};
use comms_msg::DomainName;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::admit::{Expected, Refused, admit};
use super::foreign::Foreign;
use super::places::Place;
use super::refusals::Refusals;
use super::talk::Talk;
use super::wire::{Ask, Batch, read_beat};
use crate::Error;
use crate::current::Current;
use crate::pace::Pace;

/// Pauses after a batch that cannot be read.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);

/// One feed of one peer.
#[derive(Debug, Clone)]
pub(super) struct Taker {
    /// This node's user in LEAFS for that peer.
    pub(super) client: Client,
    pub(super) domain: DomainName,
    pub(super) me: NodeName,
    pub(super) expected: Expected,
    pub(super) current: Current,
    pub(super) foreign: Foreign,
    pub(super) refusals: Arc<Refusals>,
}

/// What came of an ask.
enum Heard {
    Batch(Bytes),
    Nothing,
    Stop,
}

impl Taker {
    /// Takes until `stop` is cancelled.
    ///
    /// # Errors
    /// The connection is closed for good.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Expected { peer, feed, .. } = &self.expected;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Request {
            doing: format!("talk with the node {peer}"),
            source,
        };
        let words = format!("{}.tell.*.*", feed.word());
        let answers = bridge_subject(&self.domain, &self.me, peer, &words);
        let mut answers = self.client.subscribe(answers).await.map_err(|e| failed(Box::new(e)))?;
        let mut talk = Talk::new(Instant::now());
        let mut pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
        let mut is_heard = false;
        loop {
            let place = self.foreign.place(peer, *feed);
            let (nonce, bytes) = talk.ask(Instant::now(), rand::random());
            let ask = bridge_subject(&self.domain, peer, &self.me, &format!("{}.ask.{nonce}", feed.word()));
            let payload = Ask::new(place.log.clone(), place.sequence, bytes).encode();
            self.client.publish(ask, payload).await.map_err(|e| failed(Box::new(e)))?;
            let payload = match self.hear(&mut answers, &mut talk, &stop).await {
                Heard::Batch(payload) => payload,
                Heard::Nothing => {
                    if std::mem::take(&mut is_heard) {
                        tracing::warn!(%peer, "a node does not answer; its events come when it does");
                    }
                    continue;
                }
                Heard::Stop => return Ok(()),
            };
            talk.answered();
            if !std::mem::replace(&mut is_heard, true) {
                tracing::info!(%peer, feed = feed.word(), "a node answers");
            }
            match Batch::decode(&payload) {
                Ok(batch) => {
                    pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
                    if !self.take(batch, &place).await {
                        return Ok(());
                    }
                }
                Err(why) => {
                    self.refusals.note(Refused::Batch, &why);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(pace.next_pause()) => {}
                    }
                }
            }
        }
    }

    /// Waits for the batch, for as long as the peer is heard.
    async fn hear(
        &self,
        answers: &mut async_nats::Subscriber,
        talk: &mut Talk,
        stop: &CancellationToken,
    ) -> Heard {
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => return Heard::Stop,
                () = tokio::time::sleep_until(talk.until().into()) => return Heard::Nothing,
                message = answers.next() => message,
            };
            // Closed: the node stops, or the next ask says that it cannot be sent.
            let Some(Message { subject, payload, .. }) = message else { return Heard::Stop };
            let mut tokens = subject.rsplit('.');
            let (nonce, word) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
            if !talk.is_open(nonce) {
                self.refusals.note(Refused::Unasked, word);
                continue;
            }
            match word {
                "beat" => talk.beat(Instant::now(), read_beat(&payload).unwrap_or_default()),
                "batch" => return Heard::Batch(payload),
                _ => self.refusals.note(Refused::Unasked, word),
            }
        }
    }

    /// Has stored what is good of a batch. False where the node stops.
    async fn take(&self, batch: Batch, asked: &Place) -> bool {
        let Expected { peer, feed, .. } = &self.expected;
        let in_force = self.current.get();
        // A peer that goes back in the log it was asked for repeats itself.
        let after = if asked.log == batch.log { asked.sequence } else { 0 };
        let mut events = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            if item.at <= after || !self.expected.wants(&item.origin.node) {
                continue;
            }
            match admit(&in_force.domain, &self.expected, &batch.log, item) {
                Ok(admitted) => events.push((item.origin.clone(), admitted)),
                Err(why) => self.refusals.note(why, &format!("{} at {}", item.subject, item.at)),
            }
        }
        let through = Place { log: batch.log, sequence: batch.through.max(after) };
        self.foreign.store(peer, *feed, through, events).await
    }
}
