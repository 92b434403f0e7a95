//! Direct messages on their way out: those that wait for one subject leave as one frame, where handlers read frames.
//!
//! A sender encodes straight into the open frame of its [`Lane`]; one owning task takes what has gathered, hands
//! it to the connection and waits until the socket took it. While it waits, the lanes gather. So an idle line adds
//! no delay, and a busy one packs frames as full as it must. Messages of one lane keep their order. Nothing here is used
//! for what is stored.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_nats::{Client, PublishError};
use tokio::sync::{Notify, mpsc};

use crate::error::{Error, ErrorKind, Result};
use crate::lane::{Lane, LaneState, Outgoing};
use crate::limits::FRAMES_WAITING_MAX;
use crate::replies::{Replies, Token, Unsent, Waiter};

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
            let message = format!("{FRAMES_WAITING_MAX} messages or more wait for the connection already");
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
                let mut state = lane.state();
                if state.has_room() {
                    attempt(&mut state);
                    if state.open.is_full() || !lane.reads_frames() {
                        state.close_open();
                    }
                    self.list(lane, &mut state);
                    return;
                }
            }
            // Registered before the lane was found full, so room made in between is not missed.
            room.await;
        }
    }

    fn list(&self, lane: &Arc<Lane>, state: &mut LaneState) {
        if !std::mem::replace(&mut state.listed, true) {
            // Before the lane is let go: who finds it listed may count on the round that it is listed for.
            self.ready().lanes.push(Arc::clone(lane));
            self.wake.notify_one();
        }
    }

    /// Nobody reads frames there any more: what left as one goes again, one by one.
    pub(crate) fn again(&self, unsent: Unsent, waiters: Vec<Waiter>, token: Token) {
        let Unsent { lane, items } = unsent;
        lane.set_reads_frames(false);
        let mut state = lane.state();
        state.full.push_front(Outgoing { items, asked: Some((token, waiters)) });
        self.list(&lane, &mut state);
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

    /// Sends what the lanes hold, until the connection is closed; `busy` hears of lanes that frames would help.
    pub(crate) async fn run(
        self: Arc<Self>,
        client: Client,
        replies: Arc<Replies>,
        busy: mpsc::Sender<Arc<Lane>>,
    ) {
        let mut batch = Vec::new();
        loop {
            self.ready().begin(&mut batch);
            if batch.is_empty() {
                self.wake.notified().await;
                continue;
            }
            for lane in batch.drain(..) {
                let outgoing = lane.take();
                if outgoing.len() > 1 && lane.is_to_be_asked() {
                    // One that finds no place is asked about next time.
                    let _ = busy.try_send(Arc::clone(&lane));
                }
                for outgoing in outgoing {
                    if let Err(error) = send(&client, &replies, &lane, outgoing).await {
                        tracing::error!(subject = %lane.subject, %error, "a message could not be sent");
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

/// Sends what belongs together: as one frame to those who read frames, else one by one.
async fn send(
    client: &Client,
    replies: &Replies,
    lane: &Arc<Lane>,
    outgoing: Outgoing,
) -> Result<(), PublishError> {
    let Outgoing { items, asked } = outgoing;
    let frames = lane.frames.as_ref().filter(|_| lane.reads_frames());
    match (asked, frames) {
        // All of them, so that the one subscription of a handler has them in their order.
        (None, Some(frames)) => match lane.reply.clone() {
            Some(reply) => client.publish_with_reply(frames.clone(), reply, items.payload()).await,
            None => client.publish(frames.clone(), items.payload()).await,
        },
        (None, None) => {
            for item in items.each() {
                client.publish(lane.subject.clone(), item).await?;
            }
            Ok(())
        }
        (Some((token, waiters)), Some(frames)) if items.len() > 1 => {
            let payload = items.payload();
            let unsent = Unsent { lane: Arc::clone(lane), items };
            let reply = replies.expect_queries(token, frames.clone(), waiters, Some(unsent));
            client.publish_with_reply(frames.clone(), reply, payload).await
        }
        (Some((token, waiters)), _) => {
            let reply = replies.expect_queries(token, lane.subject.clone(), waiters, None);
            for item in items.each() {
                client.publish_with_reply(lane.subject.clone(), reply.clone(), item).await?;
            }
            Ok(())
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
        Lane::of_answers("library.command.a.B.desk".into(), "a.B".parse().expect("a name"))
    }

    fn running(client: &Client) -> Arc<Publisher> {
        let publisher = Arc::new(Publisher::default());
        let (busy, _) = mpsc::channel(1);
        tokio::spawn(Arc::clone(&publisher).run(
            client.clone(),
            Replies::new(&"desk".parse().expect("a name")),
            busy,
        ));
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
