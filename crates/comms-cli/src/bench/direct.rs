//! Row `direct`: direct commands from one service to another, as many as go through.
//!
//! Ours: each is made, encoded, sent, received, decoded to its type and handed to a handler; afterwards the handler's
//! sum of ids must be that of the sender, and nothing may be missing. async-nats: the same bytes published one by one
//! and counted. Both send into the same window. `nats bench`: as many messages as async-nats took in the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Subject};
use bytes::Bytes;
use comms::{CommandContext, Comms};
use futures::StreamExt;
use tokio::task::JoinHandle;

use super::contest::Contest;
use super::foreign::Cli;
use super::grounds::Grounds;
use super::load::rate;
use super::message::{KEEPER, SENDER, Tell, as_large, labelled};
use super::peers::{Peers, raw};
use super::tally::{Sum, Tally};
use crate::failure::Failure;

const SUBJECT: &str = "peer.direct";
/// How often the clock is looked at while sending.
const LOOK_EVERY: u64 = 64;
/// What `nats bench` is given in the first round, before anything is known of this machine.
const FOREIGN_MESSAGES_MIN: u64 = 10_000;

/// The contest.
pub(super) struct Direct<'a> {
    ours: Ours,
    peer: Peer,
    peers: &'a Peers,
    cli: Option<&'a Cli>,
    bytes: usize,
    /// What async-nats did, per second.
    peer_rate: f64,
}

struct Ours {
    comms: Comms,
    keeper: comms::Running,
    tally: Arc<Tally>,
    sent: u64,
    sum: Sum,
}

struct Peer {
    client: Client,
    payload: Bytes,
    tally: Arc<Tally>,
    sent: u64,
    taking: JoinHandle<()>,
}

impl Direct<'_> {
    /// Connects a sender and a receiver on both sides.
    pub(super) async fn prepare(grounds: &Grounds) -> Result<Direct<'_>, Failure> {
        let bytes = grounds.sizes().tell;
        let tally = Arc::new(Tally::default());
        let taking = Arc::clone(&tally);
        let handler = move |_: Tell, cx: CommandContext| {
            taking.take(cx.id());
            std::future::ready(Ok(()))
        };
        let keeper = grounds.connect(KEEPER).await?.handle(handler).start().await?;
        let comms = grounds.connect(SENDER).await?;
        let ours = Ours { comms, keeper, tally, sent: 0, sum: Sum::default() };

        let receiver = grounds.peers().connect().await?;
        let mut messages = receiver.subscribe(SUBJECT).await.map_err(|error| raw(&error))?;
        receiver.flush().await.map_err(|error| raw(&error))?;
        grounds.peers().subscribed(SUBJECT).await?;
        let tally = Arc::new(Tally::default());
        let counting = Arc::clone(&tally);
        let taking = tokio::spawn(async move {
            while messages.next().await.is_some() {
                counting.count_one();
            }
        });
        let client = grounds.peers().connect().await?;
        let peer = Peer { client, payload: vec![0x61; bytes].into(), tally, sent: 0, taking };
        Ok(Direct { ours, peer, peers: grounds.peers(), cli: grounds.cli(), bytes, peer_rate: 0.0 })
    }
}

impl Contest for Direct<'_> {
    const UNIT: &'static str = "messages/s";

    fn peers(&self) -> Vec<&'static str> {
        let foreign = self.cli.map(|_| "nats bench pub/sub");
        [Some("async-nats publish/subscribe"), foreign].into_iter().flatten().collect()
    }

    async fn ours(&mut self, span: Duration) -> Result<f64, Failure> {
        let (comms, tally, bytes, before) =
            (self.ours.comms.clone(), self.ours.tally.clone(), self.bytes, self.ours.sent);
        let mut sum = self.ours.sum;
        // In a task of its own, as in a service: the thread that waits for the whole is not one of the runtime's.
        let sending = tokio::spawn(async move {
            let begin = Instant::now();
            let mut sent = before;
            loop {
                if sent.is_multiple_of(LOOK_EVERY) && (begin.elapsed() >= span || !tally.room(sent).await) {
                    break;
                }
                let told = labelled!(comms.send(Tell::new(sent))).await?;
                as_large(told.bytes, bytes)?;
                sum.add(told.id);
                sent += 1;
            }
            let all = tally.all(sent).await;
            Ok::<_, Failure>((sent, sum, all, begin.elapsed()))
        });
        let (sent, sum, all, took) = sending.await.map_err(ended_badly)??;
        (self.ours.sent, self.ours.sum) = (sent, sum);
        if !all {
            return Err(lost("ours", sent - self.ours.tally.count()));
        }
        if self.ours.tally.count() != sent || self.ours.tally.sum() != sum {
            return Err(Failure::failed("direct: what was handled is not what was sent"));
        }
        Ok(rate(sent - before, took))
    }

    async fn peer(&mut self, peer: usize, span: Duration) -> Result<f64, Failure> {
        if peer == 0 {
            self.peer_rate = self.peer.run(span).await?;
            return Ok(self.peer_rate);
        }
        let cli = self.cli.ok_or_else(|| Failure::failed("nats is gone"))?;
        cli.publish(self.peers, messages(self.peer_rate, span, FOREIGN_MESSAGES_MIN), self.bytes).await
    }

    async fn end(self) -> Result<(), Failure> {
        self.peer.taking.abort();
        Ok(self.ours.keeper.stop().await?)
    }
}

impl Peer {
    async fn run(&mut self, span: Duration) -> Result<f64, Failure> {
        let (client, payload, tally) = (self.client.clone(), self.payload.clone(), Arc::clone(&self.tally));
        let before = self.sent;
        let sending = tokio::spawn(async move {
            let subject = Subject::from_static(SUBJECT);
            let begin = Instant::now();
            let mut sent = before;
            loop {
                if sent.is_multiple_of(LOOK_EVERY) && (begin.elapsed() >= span || !tally.room(sent).await) {
                    break;
                }
                client.publish(subject.clone(), payload.clone()).await.map_err(|error| raw(&error))?;
                sent += 1;
            }
            let all = tally.all(sent).await;
            Ok::<_, Failure>((sent, all, begin.elapsed()))
        });
        let (sent, all, took) = sending.await.map_err(ended_badly)??;
        self.sent = sent;
        if all { Ok(rate(sent - before, took)) } else { Err(lost("async-nats", sent - self.tally.count())) }
    }
}

fn lost(whose: &str, messages: u64) -> Failure {
    Failure::failed(format!("direct: {messages} messages of {whose} did not arrive"))
}

fn ended_badly(error: tokio::task::JoinError) -> Failure {
    Failure::failed("a sender ended badly").because(&error)
}

/// As many as a peer takes in that time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^53"
)]
pub(super) fn messages(rate: f64, span: Duration, min: u64) -> u64 {
    ((rate * span.as_secs_f64()) as u64).max(min)
}
