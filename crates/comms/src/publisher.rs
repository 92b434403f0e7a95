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
    round_ended: Notify,
}

/// What is to be sent. It is sent in rounds: all lanes that are listed, with all that they hold when their turn comes, and
/// then a flush of the socket. Locked while a lane's state is, never the other way round.
#[derive(Debug, Default)]
struct Ready {
    lanes: Vec<Arc<Lane>>,
    /// Rounds begun, and rounds whose frames the socket has taken.
    begun: u64,
    ended: u64,
    /// Whether nothing will be sent any more.
    closed: bool,
}

impl Ready {
    /// Begins a round, if there is anything to send.
    fn begin(&mut self, batch: &mut Vec<Arc<Lane>>) {
        std::mem::swap(batch, &mut self.lanes);
        self.begun += u64::from(!batch.is_empty());
    }

    /// The round with whose end everything that was put in line before now has left.
    fn last_round(&self) -> u64 {
        self.begun + u64::from(!self.lanes.is_empty())
    }
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
                    if !std::mem::replace(&mut state.listed, true) {
                        // Before the lane is let go: who finds it listed may count on the round that it is listed for.
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

    /// Waits until the socket has taken everything that was put in line before, however much is put in line meanwhile.
    /// An error once the connection is closed and something was not taken.
    pub(crate) async fn drained(&self) -> Result<()> {
        let last_round = self.ready().last_round();
        loop {
            let round_ended = self.round_ended.notified();
            {
                let ready = self.ready();
                if ready.ended >= last_round {
                    return Ok(());
                }
                if ready.closed {
                    let message = "the connection was closed before everything had left";
                    return Err(Error::new(ErrorKind::Unavailable, message).perhaps_done());
                }
            }
            // Registered before the rounds were looked at, so one that ends in between is not missed.
            round_ended.await;
        }
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the lanes hold, until the connection is closed.
    pub(crate) async fn run(self: Arc<Self>, client: Client, replies: Arc<Replies>) {
        let mut batch = Vec::new();
        loop {
            self.ready().begin(&mut batch);
            if batch.is_empty() {
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
            let flushed = client.flush().await;
            {
                let mut ready = self.ready();
                match flushed {
                    Ok(()) => ready.ended = ready.begun,
                    Err(_) => ready.closed = true,
                }
            }
            self.round_ended.notify_waiters();
            if flushed.is_err() {
                return;
            }
        }
    }
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    /// How long what should happen soon may take.
    const SOON: Duration = Duration::from_secs(20);

    /// A connection to a server that takes everything and answers pings.
    async fn client() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("the client connects");
            let (read, mut write) = socket.split();
            write.write_all(b"INFO {\"max_payload\":1048576}\r\n").await.expect("the client reads");
            let mut lines = BufReader::new(read).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                if line.starts_with(b"PING") {
                    write.write_all(b"PONG\r\n").await.expect("the client reads");
                }
            }
        });
        async_nats::connect(format!("nats://{address}")).await.expect("the server answers")
    }

    fn lane() -> Arc<Lane> {
        Lane::new("library.command.a.B.desk".into(), "a.B".parse().expect("a name"))
    }

    fn running(client: &Client) -> Arc<Publisher> {
        let publisher = Arc::new(Publisher::default());
        tokio::spawn(
            Arc::clone(&publisher).run(client.clone(), Replies::new(&"desk".parse().expect("a name"))),
        );
        publisher
    }

    /// Lets every other task that is ready go first, and no further: the runtime's own way to yield waits for sockets too.
    async fn turn() {
        let mut waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn draining_ends_while_another_task_sends_without_a_pause() {
        let client = client().await;
        let (publisher, lane) = (running(&client), lane());
        // It is never made to wait, and sends once whenever any other task has had its turn: so something is in line at
        // each moment at which one could look.
        let busy = tokio::spawn(tokio::task::unconstrained({
            let (publisher, lane) = (Arc::clone(&publisher), Arc::clone(&lane));
            async move {
                while publisher.push(&lane, SOON, |out| out.push(1)).await.is_ok() {
                    turn().await;
                }
            }
        }));
        for _ in 0..10 {
            publisher.push(&lane, SOON, |out| out.push(1)).await.expect("there is room");
            tokio::time::timeout(SOON, publisher.drained()).await.expect("it ends").expect("everything left");
        }
        assert!(!busy.is_finished());
        busy.abort();
    }

    #[tokio::test]
    async fn draining_ends_with_an_error_once_the_connection_is_closed() {
        let client = client().await;
        let (publisher, lane) = (running(&client), lane());
        publisher.push(&lane, SOON, |out| out.push(1)).await.expect("there is room");
        tokio::time::timeout(SOON, publisher.drained()).await.expect("it ends").expect("everything left");
        client.drain().await.expect("the connection is open");
        // What leaves before the connection has closed is still taken.
        let closed = async {
            loop {
                publisher.push(&lane, SOON, |out| out.push(1)).await.expect("there is room");
                if let Err(error) = publisher.drained().await {
                    break error;
                }
            }
        };
        let error = tokio::time::timeout(SOON, closed).await.expect("it ends");
        assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Unavailable, true));
        let again = tokio::time::timeout(SOON, publisher.drained()).await.expect("it ends");
        assert_eq!(again.expect_err("it stays closed").kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn what_is_put_in_line_during_a_round_leaves_with_the_next() {
        let (mut ready, mut batch) = (Ready::default(), Vec::new());
        assert_eq!(ready.last_round(), 0, "nothing to wait for");
        ready.lanes.push(lane());
        assert_eq!(ready.last_round(), 1);
        ready.begin(&mut batch);
        assert_eq!(ready.last_round(), 1, "it is under way");
        ready.lanes.push(lane());
        assert_eq!(ready.last_round(), 2);
        batch.clear();
        ready.begin(&mut batch);
        batch.clear();
        ready.begin(&mut batch);
        assert_eq!(ready.begun, 2, "a round with nothing to send is none");
    }
}
