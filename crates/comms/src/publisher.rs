//! Direct messages on their way out: those that wait for one subject leave as one frame.
//!
//! A sender encodes straight into the open frame of its [`Lane`]; one owning task takes what has gathered, hands
//! it to the connection and waits until the socket took it. While it waits, the lanes gather. So an idle line adds
//! no delay, and a busy one packs frames as full as it must. A lane holds a bounded number of frames: who sends
//! faster waits. Messages of one lane keep their order. Nothing here is used for what is stored.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_nats::{Client, Subject};
use bytes::Bytes;
use comms_msg::TypeName;
use tokio::sync::Notify;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::limits::FRAMES_WAITING_MAX;
use crate::replies::{Replies, Token, Waiter};

/// The lanes that have something to send, and the task that sends it.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    ready: Mutex<Ready>,
    wake: Notify,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Ready {
    lanes: Vec<Arc<Lane>>,
    /// Whether the sending task has taken lanes whose frames the socket has not taken yet.
    sending: bool,
}

/// Messages for one subject.
#[derive(Debug)]
pub(crate) struct Lane {
    subject: Subject,
    type_name: TypeName,
    state: Mutex<LaneState>,
    room: Notify,
}

#[derive(Debug)]
struct LaneState {
    open: Frame,
    /// Those who wait for answers to the open frame, and where their answers come.
    waiters: Vec<Waiter>,
    token: Option<Token>,
    full: VecDeque<Outgoing>,
    /// Whether the lane stands in [`Publisher::ready`].
    listed: bool,
}

/// One frame as it leaves.
#[derive(Debug)]
struct Outgoing {
    payload: Bytes,
    asked: Option<(Token, Vec<Waiter>)>,
}

impl LaneState {
    fn new() -> Self {
        Self { open: Frame::new(), waiters: Vec::new(), token: None, full: VecDeque::new(), listed: false }
    }

    fn close(&mut self, frame: Frame, waiters: Vec<Waiter>) {
        let asked = self.token.take().map(|token| (token, waiters));
        self.full.push_back(Outgoing { payload: frame.finish(), asked });
    }

    /// Closes the open frame, if anything is in it.
    fn close_open(&mut self) {
        if !self.open.is_empty() {
            let frame = self.open.take();
            let waiters = std::mem::take(&mut self.waiters);
            self.close(frame, waiters);
        }
    }
}

impl Lane {
    /// A lane of messages of one type, or of answers to queries of one type.
    pub(crate) fn new(subject: Subject, type_name: TypeName) -> Arc<Self> {
        Arc::new(Self { subject, type_name, state: Mutex::new(LaneState::new()), room: Notify::new() })
    }

    pub(crate) fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    fn take(&self) -> VecDeque<Outgoing> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listed = false;
        state.close_open();
        let out = std::mem::take(&mut state.full);
        drop(state);
        self.room.notify_waiters();
        out
    }
}

impl Publisher {
    /// Puts one message in line; waits while the lane is full, but no longer than `within`.
    pub(crate) async fn push(
        &self,
        lane: &Arc<Lane>,
        within: Duration,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        // A sender in a loop never waits while there is room; without this it would keep the task that sends
        // from its own thread for ever.
        tokio::task::consume_budget().await;
        let mut write = Some(write);
        let attempt = |state: &mut LaneState| {
            let write = write.take().expect("called until it succeeded once");
            if let Some(full) = state.open.push(write) {
                state.close(full, Vec::new());
            }
        };
        let mut in_line = pin!(self.in_line(lane, attempt));
        // Almost always there is room, and then no timer is needed.
        if poll_once(in_line.as_mut()).await.is_ready() {
            return Ok(());
        }
        tokio::time::timeout(within, in_line).await.map_err(|_| {
            let message = format!("{} messages or more wait for the connection already", FRAMES_WAITING_MAX);
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    /// Puts one question in line; its answers come to `waiter` under the token that is returned.
    pub(crate) async fn ask(
        &self,
        lane: &Arc<Lane>,
        waiter: Waiter,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Token {
        tokio::task::consume_budget().await;
        let mut parts = Some((waiter, write));
        let mut token = None;
        let attempt = |state: &mut LaneState| {
            let (waiter, write) = parts.take().expect("called until it succeeded once");
            if let Some(full) = state.open.push(write) {
                let waiters = std::mem::take(&mut state.waiters);
                state.close(full, waiters);
            }
            state.waiters.push(waiter);
            token = Some(*state.token.get_or_insert_with(Token::random));
        };
        self.in_line(lane, attempt).await;
        token.expect("set by the attempt that succeeded")
    }

    async fn in_line(&self, lane: &Arc<Lane>, mut attempt: impl FnMut(&mut LaneState)) {
        loop {
            let room = lane.room.notified();
            {
                let mut state = lane.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.full.len() < FRAMES_WAITING_MAX {
                    attempt(&mut state);
                    if state.open.is_full() {
                        state.close_open();
                    }
                    let list = !std::mem::replace(&mut state.listed, true);
                    drop(state);
                    if list {
                        self.ready().lanes.push(Arc::clone(lane));
                        self.wake.notify_one();
                    }
                    return;
                }
            }
            // Registered before the lane was found full, so room made in between is not missed.
            room.await;
        }
    }

    /// Waits until the socket has taken everything that was put in line before.
    pub(crate) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            {
                let ready = self.ready();
                if ready.lanes.is_empty() && !ready.sending {
                    return;
                }
            }
            idle.await;
        }
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the lanes hold, until the connection is closed.
    pub(crate) async fn run(self: Arc<Self>, client: Client, replies: Arc<Replies>) {
        let mut batch = Vec::new();
        loop {
            {
                let mut ready = self.ready();
                std::mem::swap(&mut batch, &mut ready.lanes);
                ready.sending = !batch.is_empty();
            }
            if batch.is_empty() {
                self.idle.notify_waiters();
                self.wake.notified().await;
                continue;
            }
            for lane in batch.drain(..) {
                for Outgoing { payload, asked } in lane.take() {
                    let sent = match asked {
                        None => client.publish(lane.subject.clone(), payload).await,
                        Some((token, waiters)) => {
                            let reply = replies.expect_queries(token, lane.subject.clone(), waiters);
                            client.publish_with_reply(lane.subject.clone(), reply, payload).await
                        }
                    };
                    if let Err(error) = sent {
                        tracing::error!(subject = %lane.subject, %error, "a frame could not be sent");
                    }
                }
            }
            // Back-pressure: the next frames gather until the socket has taken these.
            if client.flush().await.is_err() {
                return;
            }
        }
    }
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
