//! Stored messages on their way in: from the deliver subject to jobs, a bounded number at a time.
//!
//! The server pushes up to `max_ack_pending` messages and expects each to be acknowledged within `ack_wait`. The
//! intake takes them off the connection at once and keeps their leases, those that wait and those that run,
//! by saying "working" three times per `ack_wait`. Messages of one line (an entity) run one after another, in order;
//! lines run beside each other. A message that is delivered again while it is still held is not run a second
//! time: the job acknowledges its newest delivery.
//!
//! What a job does with a message, and how it acknowledges it, is the job's business (`commands.rs`, `events.rs`).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use futures::StreamExt;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::delivery::{self, Delivery};
use super::dropped::{Dropped, Why};
use crate::limits::STOP_WITHIN;

/// A stored message to be worked on.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) message: Message,
    pub(crate) delivery: Delivery,
    pub(crate) lease: Lease,
}

/// The newest delivery of a held message: where acknowledgements go.
#[derive(Clone, Debug)]
pub(crate) struct Lease(Arc<Mutex<Subject>>);

impl Lease {
    fn new(reply: Subject) -> Self {
        Self(Arc::new(Mutex::new(reply)))
    }

    /// The subject to acknowledge on.
    pub(crate) fn reply(&self) -> Subject {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn renew(&self, reply: Subject) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reply;
    }

    /// Says `what` to the server. Nothing tells whether it arrives: if it does not, the message comes again.
    pub(crate) async fn tell(&self, client: &Client, what: impl Into<bytes::Bytes>) {
        // The only failure is a closed connection, and then there is nobody to tell.
        let _ = client.publish(self.reply(), what.into()).await;
    }
}

/// How an intake works.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) client: Client,
    pub(crate) deliver: Subscriber,
    /// How long the server waits for an acknowledgement.
    pub(crate) ack_wait: Duration,
    /// Messages held at most: as many as the server pushes.
    pub(crate) held_max: usize,
    /// Jobs at the same time.
    pub(crate) at_once: usize,
    pub(crate) dropped: Arc<Dropped>,
    pub(crate) stop: CancellationToken,
}

/// Messages that run one after another.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Work>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<u64, Lease>,
    lines: HashMap<Box<str>, Line>,
    ready: VecDeque<Box<str>>,
    running: HashMap<Id, (u64, Box<str>)>,
}

impl Intake {
    /// Works until stopped; then gives back what has not begun, and waits for what has.
    ///
    /// `line` names the line of a message; messages without one do not wait for each other.
    pub(crate) async fn run<F>(mut self, line: impl Fn(&Message) -> Option<Box<str>>, job: impl Fn(Work) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = State::default();
        let mut jobs = JoinSet::new();
        let mut lease = tokio::time::interval(self.ack_wait / 3);
        lease.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while jobs.len() < self.at_once
                && let Some(name) = state.ready.pop_front()
            {
                let Some(work) = state.lines.get_mut(&name).and_then(|line| line.waiting.pop_front()) else {
                    continue;
                };
                let sequence = work.delivery.stream_sequence;
                let id = jobs.spawn(job(work)).id();
                state.running.insert(id, (sequence, name));
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = jobs.join_next_with_id() => state.ended(ended),
                _ = lease.tick() => self.keep(&state).await,
                message = self.deliver.next(), if state.held.len() < self.held_max => match message {
                    Some(message) => state.arrived(message, &line, &self.dropped),
                    None => break,
                },
            }
        }
        self.stopped(state, jobs).await;
    }

    async fn keep(&self, state: &State) {
        for lease in state.held.values() {
            lease.tell(&self.client, delivery::WORKING).await;
        }
    }

    async fn stopped(mut self, mut state: State, mut jobs: JoinSet<()>) {
        // First nothing new, then back what has not begun: another instance takes it at once.
        let _ = self.deliver.unsubscribe().await;
        let waiting: Vec<Work> = state.lines.drain().flat_map(|(_, line)| line.waiting).collect();
        for work in waiting {
            state.held.remove(&work.delivery.stream_sequence);
            work.lease.tell(&self.client, delivery::NOW).await;
        }
        while let Some(message) = self.deliver.next().await {
            if let Some(reply) = message.reply.filter(|reply| Delivery::parse(reply).is_some()) {
                Lease::new(reply).tell(&self.client, delivery::NOW).await;
            }
        }
        let mut lease = tokio::time::interval(self.ack_wait / 3);
        let end = tokio::time::sleep(STOP_WITHIN);
        tokio::pin!(end);
        loop {
            tokio::select! {
                ended = jobs.join_next_with_id() => match ended {
                    Some(ended) => state.ended(ended),
                    None => return,
                },
                _ = lease.tick() => self.keep(&state).await,
                () = &mut end => {
                    tracing::warn!(unfinished = jobs.len(), "handlers did not end in time; their messages come again");
                    return;
                }
            }
        }
    }
}

impl State {
    fn arrived(&mut self, message: Message, line: impl Fn(&Message) -> Option<Box<str>>, dropped: &Dropped) {
        if message.status.is_some() {
            dropped.count(Why::Status, &message.subject);
            return;
        }
        let Some((reply, delivery)) =
            message.reply.as_ref().and_then(|reply| Some((reply.clone(), Delivery::parse(reply)?)))
        else {
            dropped.count(Why::Reply, &message.subject);
            return;
        };
        if let Some(held) = self.held.get(&delivery.stream_sequence) {
            held.renew(reply);
            return;
        }
        let lease = Lease::new(reply);
        self.held.insert(delivery.stream_sequence, lease.clone());
        let name = line(&message).unwrap_or_else(|| delivery.stream_sequence.to_string().into());
        let line = self.lines.entry(name.clone()).or_insert_with(|| {
            self.ready.push_back(name);
            Line::default()
        });
        line.waiting.push_back(Work { message, delivery, lease });
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => {
                tracing::error!(%error, "a job ended badly; its message comes again");
                error.id()
            }
        };
        let Some((sequence, name)) = self.running.remove(&id) else { return };
        self.held.remove(&sequence);
        match self.lines.get(&name) {
            Some(line) if line.waiting.is_empty() => {
                self.lines.remove(&name);
            }
            Some(_) => self.ready.push_back(name),
            None => {}
        }
    }
}
