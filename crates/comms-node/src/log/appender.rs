//! The single writer of one stream: takes commits from all doors, sends them as the schedule says, and finds out what
//! became of each.
//!
//! A commit whose answer did not come may have been stored, or may still arrive. So before it is sent again the stream
//! itself is asked (`presence.rs`), and the repeat expects to find there what was found: it cannot be stored twice,
//! however long the server was away.
//!
//! Where nothing can be stored (`room.rs`) that is said at once, with the cause: a caller who waits for the time of all
//! retries learns no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::client;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{self, message::PublishMessage};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Sent, connects};
use super::commit::{AppendError, Commit, Stored};
use super::presence::Presence;
use super::schedule::{BATCH_MESSAGES_MAX, Dispatch, Schedule, Ticket, Waiting};
use crate::condition::Condition;
use crate::room::{OnItsWay, Room, Shortage};
use crate::witness::{Pen, Witness};

/// Commits that may wait for the stream. Past it the doors answer *busy*.
pub(crate) const COMMITS_WAITING_MAX: usize = 16_384;
/// How long an append is tried before its caller hears that it may have happened.
const RETRY_FOR_MAX: Duration = Duration::from_secs(20);
/// How long one attempt waits for its acknowledgement. A sync of a loaded disk can take a second.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(5);
/// How long after a first write without an answer none may be answered before the server counts as stalled.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Pause before another attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

type Answer = oneshot::Sender<Result<Stored, AppendError>>;

/// Handle to the writer of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Appender {
    commits: mpsc::Sender<(Commit, Answer)>,
    client: async_nats::Client,
    room: Room,
}

/// The task behind the handle; run it until it returns.
pub(crate) struct Writer {
    commits: mpsc::Receiver<(Commit, Answer)>,
    stream: Stream,
    pen: Pen,
}

/// A stream as the writer sees it.
#[derive(Debug, Clone)]
struct Stream {
    name: String,
    jetstream: jetstream::Context,
    handle: jetstream::stream::Stream<()>,
    silence: Silence,
    room: Room,
}

/// Notices that the server answers no write, and says so.
#[derive(Debug, Clone)]
struct Silence {
    since: Arc<Mutex<Option<Instant>>>,
    condition: Condition,
}

impl Silence {
    fn new(condition: Condition) -> Silence {
        Silence { since: Arc::default(), condition }
    }

    fn heard(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.condition.stored();
    }

    /// A write waited in vain although the connection is there.
    fn unanswered(&self) {
        let now = Instant::now();
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
        if now - since >= SILENT_MAX {
            self.condition.stalled();
        }
    }
}

impl Appender {
    /// A handle and its writer for the stream called `name`, which must exist.
    pub(crate) async fn open(
        client: async_nats::Client,
        name: &str,
        condition: Condition,
        witness: &Witness,
    ) -> Result<(Appender, Writer), crate::Error> {
        let jetstream = jetstream::context::ContextBuilder::new()
            .ack_timeout(ACK_WAIT)
            .max_ack_inflight(2 * BATCH_MESSAGES_MAX)
            .timeout(ACK_WAIT)
            .build(client.clone());
        let handle = jetstream
            .get_stream_no_info(name)
            .await
            .map_err(|source| crate::Error::Stream { name: name.to_owned(), source: Box::new(source) })?;
        let (sender, receiver) = mpsc::channel(COMMITS_WAITING_MAX);
        let room = condition.room().clone();
        let silence = Silence::new(condition);
        let stream = Stream { name: name.to_owned(), jetstream, handle, silence, room: room.clone() };
        let pen = witness.pen(name).ok_or_else(|| crate::Error::StreamGone { name: name.to_owned() })?;
        Ok((Appender { commits: sender, client, room }, Writer { commits: receiver, stream, pen }))
    }

    /// Stores `commit`. Returns when it is on disk, is known not to be, or cannot be known in time.
    pub(crate) async fn append(&self, commit: Commit) -> Result<Stored, AppendError> {
        let _on_its_way = self.has_room(&commit)?;
        let (answer, stored) = oneshot::channel();
        self.commits.try_send((commit, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Busy(COMMITS_WAITING_MAX),
            mpsc::error::TrySendError::Closed(_) => {
                AppendError::Unavailable { reason: "the node stops".to_owned(), may_have_happened: false }
            }
        })?;
        stored.await.unwrap_or_else(|_| {
            Err(AppendError::Unavailable { reason: "the node stopped".to_owned(), may_have_happened: true })
        })
    }

    /// Whether it can be stored at all. One that may be stored already is looked for even where nothing can be.
    fn has_room(&self, commit: &Commit) -> Result<Option<OnItsWay>, AppendError> {
        if commit.may_be_stored {
            return Ok(None);
        }
        let full = |shortage: Shortage| AppendError::Full(shortage.to_string());
        self.room.frozen(connects(&self.client)).map_or(Ok(()), Err).map_err(full)?;
        self.room.append(commit.messages.len(), commit.bytes()).map(Some).map_err(full)
    }
}

/// A commit between its arrival and its answer.
struct Open {
    commit: Commit,
    answer: Answer,
    deadline: Instant,
    /// Whether it may have been stored: an attempt ended without an answer, or it came late.
    uncertain: bool,
}

/// What became of one dispatch.
enum Ended {
    /// One result per commit.
    Known(Dispatch, Vec<(Open, Result<Stored, AppendError>)>),
    /// The commits go again, each by itself.
    Split(Dispatch, Vec<(Open, Waiting)>),
}

impl Writer {
    /// Writes until every handle is gone or `stop` is cancelled, then ends what is in flight.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut schedule = Schedule::default();
        let mut open: HashMap<Ticket, Open> = HashMap::new();
        let mut in_flight: FuturesUnordered<BoxFuture<'static, Ended>> = FuturesUnordered::new();
        let mut next_ticket: Ticket = 0;
        let mut incoming = Vec::new();
        let mut closed = false;
        loop {
            while let Some((dispatch, waiting)) = schedule.next() {
                let commits: Vec<(Open, Waiting)> = waiting
                    .into_iter()
                    .map(|w| (open.remove(&w.ticket).expect("a waiting commit is open"), w))
                    .collect();
                let ended = self.stream.send(dispatch, commits).await;
                in_flight.push(ended);
            }
            if closed && in_flight.is_empty() && schedule.len() == 0 {
                return;
            }
            let room = COMMITS_WAITING_MAX.saturating_sub(schedule.len());
            tokio::select! {
                Some(ended) = in_flight.next(), if !in_flight.is_empty() => match ended {
                    Ended::Known(dispatch, results) => {
                        schedule.done(&dispatch);
                        for (open, result) in witnessed(&self.pen, results) {
                            // A caller that gave up waiting is answered by its own deadline.
                            let _ = open.answer.send(result);
                        }
                    }
                    Ended::Split(dispatch, commits) => {
                        schedule.done(&dispatch);
                        let mut again = Vec::with_capacity(commits.len());
                        for (commit, waiting) in commits {
                            open.insert(waiting.ticket, commit);
                            again.push(waiting);
                        }
                        schedule.put_back(again);
                    }
                },
                received = self.commits.recv_many(&mut incoming, room), if !closed && room > 0 => {
                    closed = received == 0;
                    for (commit, answer) in incoming.drain(..) {
                        next_ticket += 1;
                        schedule.push(Waiting {
                            ticket: next_ticket,
                            entities: commit.entities.clone(),
                            messages: commit.messages.len(),
                            bytes: commit.bytes(),
                            guarded: !commit.guards.is_empty(),
                            alone: commit.may_be_stored,
                        });
                        let deadline = Instant::now() + RETRY_FOR_MAX;
                        let uncertain = commit.may_be_stored;
                        open.insert(next_ticket, Open { commit, answer, deadline, uncertain });
                    }
                }
                () = stop.cancelled(), if !closed => self.commits.close(),
            }
        }
    }
}

/// The results, once the witness has what is stored. Where it knows another message in that place, nobody is told that
/// his is safe.
fn witnessed(
    pen: &Pen,
    mut results: Vec<(Open, Result<Stored, AppendError>)>,
) -> Vec<(Open, Result<Stored, AppendError>)> {
    let stored = results.iter().filter_map(|(open, result)| Some((&open.commit, result.as_ref().ok()?)));
    if let Err(reason) = pen.witness(stored) {
        for (_, result) in results.iter_mut().filter(|(_, result)| result.is_ok()) {
            let reason = reason.to_string();
            *result = Err(AppendError::Unavailable { reason, may_have_happened: true });
        }
    }
    results
}

impl Stream {
    /// Sends a dispatch and returns the wait for its end. The sending itself happens here, in order.
    async fn send(&self, dispatch: Dispatch, mut commits: Vec<(Open, Waiting)>) -> BoxFuture<'static, Ended> {
        let stream = self.clone();
        if commits.len() == 1 {
            let (commit, _) = commits.pop().expect("one commit");
            // What may be stored is not sent before the stream was asked.
            let first = match commit.uncertain {
                true => None,
                false => Some(stream.start(&[&commit.commit], None).await),
            };
            return Box::pin(async move {
                let (commit, result) = stream.finish_one(commit, first).await;
                Ended::Known(dispatch, vec![(commit, result)])
            });
        }
        let whole = commits.iter().map(|(open, _)| &open.commit).collect::<Vec<_>>();
        let started = stream.start(&whole, None).await;
        Box::pin(async move {
            match stream.ended(started).await {
                Attempt::Stored { last, .. } => {
                    let total: u64 = commits.iter().map(|(open, _)| open.commit.messages.len() as u64).sum();
                    let mut first = last + 1 - total;
                    let results = commits
                        .into_iter()
                        .map(|(open, _)| {
                            let stored = Stored { first, duplicate: false };
                            first += open.commit.messages.len() as u64;
                            (open, Ok(stored))
                        })
                        .collect();
                    Ended::Known(dispatch, results)
                }
                Attempt::Conflict
                | Attempt::ContainsDuplicate
                | Attempt::Refused(_)
                | Attempt::TooLarge(_)
                | Attempt::Full(_)
                | Attempt::Gone(_) => Ended::Split(dispatch, commits),
                Attempt::NotNow(_) => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    Ended::Split(dispatch, commits)
                }
                Attempt::Unknown(_) | Attempt::Frozen(_) => {
                    commits.iter_mut().for_each(|(open, _)| open.uncertain = true);
                    tokio::time::sleep(RETRY_PAUSE).await;
                    Ended::Split(dispatch, commits)
                }
            }
        })
    }

    /// Sends the messages of `commits` as one: a plain message if there is one, else an atomic batch. What comes back
    /// is the wait for the acknowledgement of the last message. `last` is what the first message must find under its
    /// subject.
    async fn start(&self, commits: &[&Commit], last: Option<u64>) -> Result<Sent, Attempt> {
        let client = self.jetstream.client();
        if client.connection_state() != State::Connected {
            // Sent now, it would wait in the connection and leave when nobody knows of it any more.
            return Err(Attempt::NotNow("the connection to nats-server is down".to_owned()));
        }
        let total: usize = commits.iter().map(|c| c.messages.len()).sum();
        let batch = (total > 1).then(|| format!("{:032x}", rand::random::<u128>()));
        let connects = connects(&client);
        if let Some(shortage) = self.room.frozen(connects) {
            return Err(Attempt::Frozen(shortage.to_string()));
        }
        let mut sequence = 0;
        for commit in commits {
            for (n, message) in commit.messages.iter().enumerate() {
                sequence += 1;
                let mut headers = commit.headers(n, last);
                if let Some(batch) = &batch {
                    headers.insert("Nats-Batch-Id", batch.as_str());
                    headers.insert("Nats-Batch-Sequence", sequence.to_string());
                }
                if sequence < total {
                    client
                        .publish_with_headers(message.subject.clone(), headers, message.payload.clone())
                        .await
                        .map_err(|error| match error.kind() {
                            client::PublishErrorKind::MaxPayloadExceeded => {
                                Attempt::TooLarge(error.to_string())
                            }
                            _ => Attempt::NotNow(error.to_string()),
                        })?;
                    continue;
                }
                if batch.is_some() {
                    headers.insert("Nats-Batch-Commit", "1");
                }
                let publish = PublishMessage::build().payload(message.payload.clone()).headers(headers);
                return match self.jetstream.send_publish(message.subject.clone(), publish).await {
                    Ok(acknowledgement) => Ok(Sent { acknowledgement, client, connects }),
                    Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                        Err(Attempt::TooLarge(error.to_string()))
                    }
                    Err(error) => Err(Attempt::NotNow(error.to_string())),
                };
            }
        }
        Err(Attempt::Refused("a commit without messages".to_owned()))
    }

    /// What became of what was sent, if it was.
    async fn ended(&self, started: Result<Sent, Attempt>) -> Attempt {
        let (attempt, is_silent) = Attempt::of(started, &self.room).await;
        match &attempt {
            Attempt::Unknown(_) if is_silent => self.silence.unanswered(),
            Attempt::Unknown(_) | Attempt::NotNow(_) | Attempt::Frozen(_) => {}
            Attempt::Stored { .. }
            | Attempt::Conflict
            | Attempt::ContainsDuplicate
            | Attempt::Refused(_)
            | Attempt::TooLarge(_)
            | Attempt::Full(_)
            | Attempt::Gone(_) => self.silence.heard(),
        }
        attempt
    }

    /// Follows one commit to its end, sending it again where that is right. `started` is none where nothing was sent.
    async fn finish_one(
        &self,
        mut open: Open,
        started: Option<Result<Sent, Attempt>>,
    ) -> (Open, Result<Stored, AppendError>) {
        let mut attempt = match started {
            Some(started) => self.ended(started).await,
            None => Attempt::Unknown(LATE.to_owned()),
        };
        let mut pause = Duration::ZERO;
        loop {
            let messages = open.commit.messages.len() as u64;
            let refused_whole = matches!(attempt, Attempt::ContainsDuplicate);
            let is_frozen = matches!(attempt, Attempt::Frozen(_));
            let (reason, look) = match attempt {
                // The server names a duplicate by the place of the message that was sent last.
                Attempt::Stored { last, duplicate } => {
                    return (open, Ok(Stored { first: last + 1 - messages, duplicate }));
                }
                Attempt::Refused(reason) => return open.ended(AppendError::Refused(reason)),
                Attempt::TooLarge(reason) => return open.ended(AppendError::TooLarge(reason)),
                Attempt::Full(reason) => return open.ended(AppendError::Full(reason)),
                Attempt::Gone(reason) => return open.ended(AppendError::Gone(reason)),
                Attempt::Frozen(reason) => (reason, true),
                Attempt::Conflict | Attempt::ContainsDuplicate => {
                    ("others write to the same place".to_owned(), true)
                }
                Attempt::NotNow(reason) => (reason, open.uncertain),
                Attempt::Unknown(reason) => {
                    open.uncertain = true;
                    (reason, true)
                }
            };
            let presence = match look {
                true => Presence::of(&self.jetstream.client(), &self.handle, &self.name, &open.commit).await,
                false => Ok(Presence::Absent { last: None }),
            };
            let last = match presence {
                Ok(Presence::Stored(stored)) => return (open, Ok(stored)),
                Ok(Presence::Overtaken { actual }) => return (open, Err(AppendError::Conflict { actual })),
                Ok(Presence::Lost) => return open.ended(AppendError::Refused(FORGOTTEN.to_owned())),
                Ok(Presence::Absent { .. }) if refused_whole => {
                    let reason = "one of its messages has an id that is stored already";
                    return open.ended(AppendError::Refused(reason.to_owned()));
                }
                // Nothing of it can arrive late: only a later life of the server stores again.
                Ok(Presence::Absent { .. }) if is_frozen => return (open, Err(AppendError::Full(reason))),
                Ok(Presence::Absent { last }) => Ok(last),
                Err(silent) => Err(silent),
            };
            if Instant::now() >= open.deadline {
                return open.ended(AppendError::Unavailable { reason, may_have_happened: false });
            }
            tokio::time::sleep(std::mem::replace(&mut pause, RETRY_PAUSE)).await;
            attempt = match last {
                Ok(last) => self.ended(self.start(&[&open.commit], last).await).await,
                Err(silent) => Attempt::NotNow(silent),
            };
        }
    }
}

/// Why a commit is looked for although nothing of it was sent by this call.
const LATE: &str = "it may have been stored before";
/// What a sender is told whose commit cannot be found nor ruled out.
const FORGOTTEN: &str =
    "too much was written since its id was drawn to tell whether it is stored; look, and draw a new id";

impl Open {
    /// Ends it with an error, which says less where an earlier attempt may have stored it.
    fn ended(self, error: AppendError) -> (Open, Result<Stored, AppendError>) {
        let error = match error {
            AppendError::Refused(reason)
            | AppendError::TooLarge(reason)
            | AppendError::Full(reason)
            | AppendError::Gone(reason)
            | AppendError::Unavailable { reason, .. }
                if self.uncertain =>
            {
                AppendError::Unavailable { reason, may_have_happened: true }
            }
            error => error,
        };
        (self, Err(error))
    }
}
