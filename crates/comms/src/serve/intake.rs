//! Stored messages on their way in: from the deliver subject to jobs, a bounded number at a time.
//!
//! The server pushes up to `max_ack_pending` messages and expects each to be acknowledged within `ack_wait`. The
//! intake takes them off the connection at once and keeps their leases, those that wait and those that run,
//! by saying "working" three times per `ack_wait`. Messages of one line (an entity) run one after another, in order;
//! lines run beside each other. A message that is delivered again while it is still held is not run a second
//! time: the job acknowledges its newest delivery.
//!
//! A job may ask for its message again after a pause. Until then its line is parked, with its lease kept: nothing of it
//! runs, and it takes no job's place. What waits in parked lines counts as held all the same: once as many messages as the
//! server pushes wait behind lines that are parked, no other line gets anything new.
//!
//! What a job does with a message, and how it acknowledges it, is the job's business (`commands.rs`, `events.rs`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use comms_msg::ServiceName;
use futures::StreamExt;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::dropped::{Dropped, Why};
use super::lease::{Lease, Said, Voice};
use crate::limits::{PARKED_MAX, STOP_WITHIN};

/// A stored message to be worked on.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) message: Message,
    pub(crate) delivery: Delivery,
    pub(crate) lease: Lease,
    /// How often a job has asked for it again since it arrived.
    pub(crate) again: u32,
}

/// What is to become of a message when its job ends.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing more: the server has been told.
    Done,
    /// Another job, after a pause and before what waits behind it.
    After(Duration, Box<Work>),
}

/// How an intake works.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) client: Client,
    pub(crate) deliver: Subscriber,
    /// The service, where what arrives are commands: then the node is told what becomes of them, not the server.
    pub(crate) commands_of: Option<ServiceName>,
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

/// Which message is where. A line is in one of three places: ready, running or parked; only its own job, or the end of its
/// pause, moves it on.
#[derive(Debug, Default)]
struct State {
    held: HashMap<u64, Lease>,
    lines: HashMap<Box<str>, Line>,
    ready: VecDeque<Box<str>>,
    /// Lines by the end of their pause; the sequence of the message that asked for it keeps equal times apart.
    parked: BTreeMap<(Instant, u64), Box<str>>,
    running: HashMap<Id, (u64, Box<str>)>,
}

impl Intake {
    /// Works until stopped; then gives back what has not begun, and waits for what has.
    ///
    /// `line` names the line of a message; messages without one do not wait for each other.
    pub(crate) async fn run<F>(mut self, line: impl Fn(&Message) -> Option<Box<str>>, job: impl Fn(Work) -> F)
    where
        F: Future<Output = Next> + Send + 'static,
    {
        let mut state = State::default();
        let mut jobs = JoinSet::new();
        let mut lease = tokio::time::interval(self.ack_wait / 3);
        lease.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            state.resume(Instant::now());
            while jobs.len() < self.at_once
                && let Some((name, work)) = state.next()
            {
                let sequence = work.delivery.stream_sequence;
                let id = jobs.spawn(job(work)).id();
                state.running.insert(id, (sequence, name));
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = jobs.join_next_with_id() => state.joined(ended),
                () = sleep_until(state.pause_ends()) => {}
                _ = lease.tick() => self.keep(&state).await,
                message = self.deliver.next(), if state.held.len() < self.held_max => match message {
                    Some(message) => state.arrived(message, &line, self.commands_of.as_ref(), &self.dropped),
                    None => break,
                },
            }
        }
        self.stopped(state, jobs).await;
    }

    async fn keep(&self, state: &State) {
        for lease in state.held.values() {
            lease.tell(&self.client, Said::Working).await;
        }
    }

    /// Gives back what has not begun, parked messages too: another instance takes it at once.
    async fn give_back(&self, state: &mut State) {
        for work in state.waiting() {
            work.lease.tell(&self.client, Said::Now).await;
        }
    }

    async fn stopped(mut self, mut state: State, mut jobs: JoinSet<Next>) {
        // First nothing new, then back what is here.
        let _ = self.deliver.unsubscribe().await;
        self.give_back(&mut state).await;
        while let Some(message) = self.deliver.next().await {
            let reply = message.reply.clone().filter(|reply| Delivery::parse(reply).is_some());
            if let Some(reply) = reply {
                let voice = voice(self.commands_of.as_ref(), &message);
                Lease::new(reply, voice).tell(&self.client, Said::Now).await;
            }
        }
        let mut lease = tokio::time::interval(self.ack_wait / 3);
        let end = tokio::time::sleep(STOP_WITHIN);
        tokio::pin!(end);
        loop {
            tokio::select! {
                ended = jobs.join_next_with_id() => match ended {
                    Some(ended) => {
                        state.joined(ended);
                        self.give_back(&mut state).await;
                    }
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
    fn arrived(
        &mut self,
        message: Message,
        line: impl Fn(&Message) -> Option<Box<str>>,
        commands_of: Option<&ServiceName>,
        dropped: &Dropped,
    ) {
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
        let lease = Lease::new(reply, voice(commands_of, &message));
        self.held.insert(delivery.stream_sequence, lease.clone());
        let name = line(&message).unwrap_or_else(|| delivery.stream_sequence.to_string().into());
        let line = self.lines.entry(name.clone()).or_insert_with(|| {
            self.ready.push_back(name);
            Line::default()
        });
        line.waiting.push_back(Work { message, delivery, lease, again: 0 });
    }

    /// The first message of the line whose turn it is.
    fn next(&mut self) -> Option<(Box<str>, Work)> {
        let name = self.ready.pop_front()?;
        let work = self.lines.get_mut(&name)?.waiting.pop_front()?;
        Some((name, work))
    }

    fn joined(&mut self, joined: Result<(Id, Next), JoinError>) {
        let (id, next) = match joined {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a job ended badly; its message comes again");
                (error.id(), Next::Done)
            }
        };
        if let Some((sequence, name)) = self.running.remove(&id) {
            self.ended(sequence, name, next, Instant::now());
        }
    }

    fn ended(&mut self, sequence: u64, name: Box<str>, next: Next, now: Instant) {
        match next {
            Next::After(pause, mut work) => {
                work.again = work.again.saturating_add(1);
                self.lines.entry(name.clone()).or_default().waiting.push_front(*work);
                self.parked.insert((now + pause.min(PARKED_MAX), sequence), name);
            }
            Next::Done => {
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
    }

    /// When the next pause ends, if any line is parked.
    fn pause_ends(&self) -> Option<Instant> {
        self.parked.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lines whose pause has ended are ready.
    fn resume(&mut self, now: Instant) {
        while let Some(parked) = self.parked.first_entry()
            && parked.key().0 <= now
        {
            self.ready.push_back(parked.remove());
        }
    }

    /// Takes out what no job has begun.
    fn waiting(&mut self) -> Vec<Work> {
        let waiting: Vec<Work> = self.lines.drain().flat_map(|(_, line)| line.waiting).collect();
        for work in &waiting {
            self.held.remove(&work.delivery.stream_sequence);
        }
        waiting
    }
}

/// Who is told what becomes of a message.
fn voice(commands_of: Option<&ServiceName>, message: &Message) -> Voice {
    commands_of.map_or(Voice::Server, |service| Voice::of_command(service, message))
}

/// Sleeps until then; without a time, for ever.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(7);

    /// A delivery of the message at a place in the stream; its subject is its line.
    fn arrive(state: &mut State, line: &'static str, sequence: u64) {
        let message = Message {
            subject: line.into(),
            reply: Some(format!("$JS.ACK.EVENT_n.c.1.{sequence}.{sequence}.1795255334.0").into()),
            payload: bytes::Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        state.arrived(message, |message| Some(message.subject.as_str().into()), None, &Dropped::default());
    }

    fn sequences(works: &[Work]) -> Vec<u64> {
        works.iter().map(|work| work.delivery.stream_sequence).collect()
    }

    #[test]
    fn a_parked_line_takes_no_turn_and_goes_on_in_order_when_its_pause_ends() {
        let (mut state, now) = (State::default(), Instant::now());
        for (line, sequence) in [("a", 1), ("a", 2), ("b", 3)] {
            arrive(&mut state, line, sequence);
        }
        let (name, first) = state.next().expect("line a is ready");
        state.ended(1, name, Next::After(PAUSE, Box::new(first)), now);
        assert_eq!(state.pause_ends(), Some(now + PAUSE));
        assert_eq!(state.held.len(), 3, "the lease of what is parked is kept");
        arrive(&mut state, "a", 4);

        let (name, other) = state.next().expect("line b goes on");
        assert_eq!(&*name, "b");
        state.ended(3, name, Next::Done, now);
        drop(other);
        state.resume(now + PAUSE - Duration::from_nanos(1));
        assert!(state.next().is_none(), "the pause is not over");

        state.resume(now + PAUSE);
        assert_eq!(state.pause_ends(), None);
        for (sequence, again) in [(1, 1), (2, 0), (4, 0)] {
            let (name, work) = state.next().expect("line a goes on");
            assert_eq!((work.delivery.stream_sequence, work.again), (sequence, again));
            assert!(state.next().is_none(), "one message of a line at a time");
            state.ended(sequence, name, Next::Done, now);
        }
        assert!(state.held.is_empty() && state.lines.is_empty() && state.parked.is_empty());
    }

    #[test]
    fn what_is_parked_is_given_back_before_what_waits_behind_it() {
        let (mut state, now) = (State::default(), Instant::now());
        for sequence in [1, 2] {
            arrive(&mut state, "a", sequence);
        }
        let (name, first) = state.next().expect("line a is ready");
        state.ended(1, name, Next::After(PAUSE, Box::new(first)), now);
        assert_eq!(sequences(&state.waiting()), [1, 2]);
        assert!(state.held.is_empty());
    }

    #[test]
    fn a_job_that_asks_for_later_after_the_rest_was_given_back_is_given_back_too() {
        let (mut state, now) = (State::default(), Instant::now());
        for sequence in [1, 2] {
            arrive(&mut state, "a", sequence);
        }
        let (name, first) = state.next().expect("line a is ready");
        assert_eq!(sequences(&state.waiting()), [2]);
        state.ended(1, name, Next::After(PAUSE, Box::new(first)), now);
        assert_eq!(sequences(&state.waiting()), [1]);
        assert!(state.held.is_empty());
    }

    #[test]
    fn a_pause_has_a_longest() {
        let (mut state, now) = (State::default(), Instant::now());
        arrive(&mut state, "a", 1);
        let (name, work) = state.next().expect("line a is ready");
        state.ended(1, name, Next::After(Duration::MAX, Box::new(work)), now);
        assert_eq!(state.pause_ends(), Some(now + PARKED_MAX));
    }
}
