//! Rows `query` and `query_256`: queries to another service, one at a time and 256 at a time.
//!
//! Ours: the query is decoded to its type by the handler, the answer by the asker, who compares the number in it; the
//! handler's sum of ids must be that of the askers. async-nats: request and reply with as many bytes each way.
//! `nats bench service`: as many requests, one at a time, with the bytes of the query; its service answers with two bytes,
//! whatever it is asked, so that this peer moves less than the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Subject};
use bytes::Bytes;
use comms::{Comms, QueryContext};
use futures::StreamExt;
use tokio::task::JoinHandle;

use super::contest::Contest;
use super::direct::messages;
use super::foreign::Cli;
use super::grounds::Grounds;
use super::load::closed_loop;
use super::message::{Find, Found, KEEPER, SENDER, fresh_id, labelled};
use super::peers::{Peers, raw};
use super::tally::{Sum, Tally};
use crate::failure::Failure;

const SUBJECT: &str = "peer.query";
/// What `nats bench` is given in the first round, before anything is known of this machine.
const FOREIGN_REQUESTS_MIN: u64 = 500;

/// The contest.
pub(super) struct Queries<'a> {
    at_once: usize,
    comms: Comms,
    keeper: comms::Running,
    tally: Arc<Tally>,
    asked: Arc<Mutex<Asked>>,
    peer: Peer,
    peers: &'a Peers,
    cli: Option<&'a Cli>,
    /// What async-nats did, per second.
    peer_rate: f64,
}

#[derive(Default)]
struct Asked {
    count: u64,
    sum: Sum,
}

struct Peer {
    client: Client,
    query: Bytes,
    answer_bytes: usize,
    answering: JoinHandle<()>,
}

impl Queries<'_> {
    /// Connects an asker and an answerer on both sides.
    pub(super) async fn prepare(grounds: &Grounds, at_once: usize) -> Result<Queries<'_>, Failure> {
        let sizes = grounds.sizes();
        let tally = Arc::new(Tally::default());
        let taking = Arc::clone(&tally);
        let handler = move |find: Find, cx: QueryContext| {
            taking.take(cx.id());
            std::future::ready(Ok(Found { number: find.number, text: find.text }))
        };
        let keeper = grounds.connect(KEEPER).await?.answer(handler).start().await?;
        let comms = grounds.connect(SENDER).await?;
        let peer = Peer::prepare(grounds.peers(), sizes.find, sizes.found).await?;
        // `nats bench service` asks one at a time and per connection.
        let cli = grounds.cli().filter(|_| at_once == 1);
        let asked = Arc::default();
        Ok(Queries {
            at_once,
            comms,
            keeper,
            tally,
            asked,
            peer,
            peers: grounds.peers(),
            cli,
            peer_rate: 0.0,
        })
    }
}

impl Contest for Queries<'_> {
    const UNIT: &'static str = "queries/s";

    fn peers(&self) -> Vec<&'static str> {
        let foreign = self.cli.map(|_| "nats bench service, answers of 2 bytes");
        [Some("async-nats request/reply"), foreign].into_iter().flatten().collect()
    }

    async fn ours(&mut self, span: Duration) -> Result<f64, Failure> {
        let (comms, asked) = (self.comms.clone(), Arc::clone(&self.asked));
        let rate = closed_loop(self.at_once, span, move |_| {
            let (comms, asked) = (comms.clone(), Arc::clone(&asked));
            async move {
                let id = fresh_id();
                let number = {
                    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                    asked.count += 1;
                    asked.sum.add(id);
                    asked.count
                };
                let find = Find::new(number);
                let expected = find.number;
                let found = labelled!(comms.ask(find).id(id)).await?;
                if found.number != expected {
                    return Err(Failure::failed("a query has the answer to another one"));
                }
                Ok(())
            }
        });
        let rate = rate.await?;
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tally.count() != asked.count || self.tally.sum() != asked.sum {
            return Err(Failure::failed("the queries that were answered are not those that were asked"));
        }
        Ok(rate)
    }

    async fn peer(&mut self, peer: usize, span: Duration) -> Result<f64, Failure> {
        if peer == 0 {
            self.peer_rate = self.peer.run(self.at_once, span).await?;
            return Ok(self.peer_rate);
        }
        let cli = self.cli.ok_or_else(|| Failure::failed("nats is gone"))?;
        let requests = messages(self.peer_rate, span, FOREIGN_REQUESTS_MIN);
        cli.request(self.peers, requests, self.peer.query.len()).await
    }

    async fn end(self) -> Result<(), Failure> {
        self.peer.answering.abort();
        Ok(self.keeper.stop().await?)
    }
}

impl Peer {
    async fn prepare(peers: &Peers, query_bytes: usize, answer_bytes: usize) -> Result<Peer, Failure> {
        let answerer = peers.connect().await?;
        let mut queries = answerer.subscribe(SUBJECT).await.map_err(|error| raw(&error))?;
        answerer.flush().await.map_err(|error| raw(&error))?;
        peers.subscribed(SUBJECT).await?;
        let answer = Bytes::from(vec![0x61; answer_bytes]);
        let answering = tokio::spawn(async move {
            while let Some(query) = queries.next().await {
                let Some(reply) = query.reply else { continue };
                if answerer.publish(reply, answer.clone()).await.is_err() {
                    return;
                }
            }
        });
        let query = Bytes::from(vec![0x61; query_bytes]);
        Ok(Peer { client: peers.connect().await?, query, answer_bytes, answering })
    }

    async fn run(&self, at_once: usize, span: Duration) -> Result<f64, Failure> {
        let (client, query, answer_bytes) = (self.client.clone(), self.query.clone(), self.answer_bytes);
        let subject = Subject::from_static(SUBJECT);
        closed_loop(at_once, span, move |_| {
            let (client, query, subject) = (client.clone(), query.clone(), subject.clone());
            async move {
                let answer = client.request(subject, query).await.map_err(|error| raw(&error))?;
                if answer.payload.len() != answer_bytes {
                    return Err(Failure::failed("a raw request has the answer to something else"));
                }
                Ok(())
            }
        })
        .await
    }
}
