//! Answers on their way in: one inbox per connection, shared by everything that waits for an answer.
//!
//! Answers to queries come to `_INBOX.{service}.ask.{random}.*`, where services may write, and those of doors to
//! `_INBOX.{service}.door.{random}.*`, where only the node may. Each request, or frame of queries, has a last token of 128
//! random bits, so nobody can guess where an answer is awaited. What arrives under a token that nobody waits for any more,
//! or in the other part, is dropped and counted. How many wait at the same time is bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use comms_content::Node;
use comms_msg::{MsgId, Reply, ServiceName, inbox};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::Items;
use crate::lane::Lane;
use crate::limits::IN_FLIGHT_MAX;
use crate::publisher::Publisher;

/// The unguessable last token of a reply subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(u128);

impl Token {
    pub(crate) fn random() -> Self {
        // The thread's generator is a cryptographic one, seeded by the system.
        Self(rand::random())
    }

    fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

/// Somebody who waits for the answer to one query.
#[derive(Debug)]
pub(crate) struct Waiter {
    query: MsgId,
    /// Whether no other query left with it, so that nothing else is answered there.
    is_alone: bool,
    answer: oneshot::Sender<Result<Node>>,
}

/// The other end of a [`Waiter`]; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Waiting {
    query: MsgId,
    answer: oneshot::Receiver<Result<Node>>,
    _permit: OwnedSemaphorePermit,
}

/// Everything that waits for an answer on one connection.
#[derive(Debug)]
pub(crate) struct Replies {
    /// `_INBOX.{service}.ask.{random}.`
    asked: String,
    /// `_INBOX.{service}.door.{random}.`
    told: String,
    /// `_INBOX.{service}.*.{random}.*`
    inbox: String,
    pending: Mutex<HashMap<Token, Pending>>,
    room: Arc<Semaphore>,
    late: AtomicU64,
}

#[derive(Debug)]
struct Pending {
    /// What was asked, for telling a refusal by the broker to whoever asked.
    subject: Subject,
    who: Who,
}

/// A frame that left, kept until something is heard of it: nobody may read frames any more.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) lane: Arc<Lane>,
    pub(crate) items: Items,
}

#[derive(Debug)]
enum Who {
    One(oneshot::Sender<Result<Bytes>>),
    Queries(Vec<Waiter>, Option<Unsent>),
    /// Who asks whether frames are read: only that nobody does is ever said.
    Unread(oneshot::Sender<Result<Bytes>>),
    /// Messages that nobody answers: only that nobody reads frames any more is ever said.
    Lane(Arc<Lane>),
}

impl Replies {
    pub(crate) fn new(service: &ServiceName) -> Arc<Self> {
        let random: u128 = rand::random();
        let prefix = |part: &str| format!("_INBOX.{service}.{part}.{random:032x}.");
        Arc::new(Self {
            asked: prefix(inbox::ASK),
            told: prefix("door"),
            inbox: prefix("*") + "*",
            pending: Mutex::new(HashMap::new()),
            room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            late: AtomicU64::new(0),
        })
    }

    /// What to subscribe to.
    pub(crate) fn inbox(&self) -> String {
        self.inbox.clone()
    }

    /// Answers that came when nobody waited any more.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// A place for one query; waits while too many are under way.
    pub(crate) async fn waiter(&self, query: MsgId) -> (Waiter, Waiting) {
        let permit = self.permit().await;
        let (answer, receiver) = oneshot::channel();
        (Waiter { query, is_alone: false, answer }, Waiting { query, answer: receiver, _permit: permit })
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Registers the queries of one frame; the subject that their answers come to.
    pub(crate) fn expect_queries(
        &self,
        token: Token,
        subject: Subject,
        mut waiters: Vec<Waiter>,
        unsent: Option<Unsent>,
    ) -> Subject {
        if let [waiter] = waiters.as_mut_slice() {
            waiter.is_alone = true;
        }
        self.expect_left(token, subject, waiters, unsent);
        subject_of(&self.asked, token)
    }

    /// A token of its own for a lane of direct commands, under which the server says that nobody reads frames.
    pub(crate) fn lane_reply(&self) -> (Token, Subject) {
        let token = Token::random();
        (token, subject_of(&self.asked, token))
    }

    /// Hears of a lane under its token, as long as the connection lives.
    pub(crate) fn expect_lane(&self, token: Token, frames: Subject, lane: Arc<Lane>) {
        self.pending().insert(token, Pending { subject: frames, who: Who::Lane(lane) });
    }

    fn expect_left(&self, token: Token, subject: Subject, mut waiters: Vec<Waiter>, unsent: Option<Unsent>) {
        let mut pending = self.pending();
        // Whoever gave up meanwhile has closed the other end; whoever does so later finds the entry.
        waiters.retain(|waiter| !waiter.answer.is_closed());
        if !waiters.is_empty() {
            pending.insert(token, Pending { subject, who: Who::Queries(waiters, unsent) });
        }
    }

    /// A request of its own: the subject that its answer comes to, and the answer.
    pub(crate) async fn expect_one(&self, subject: Subject) -> (Subject, One<'_>) {
        let permit = self.permit().await;
        let (sender, answer) = oneshot::channel();
        let token = Token::random();
        self.pending().insert(token, Pending { subject, who: Who::One(sender) });
        (subject_of(&self.told, token), One { replies: self, token, answer, _permit: permit })
    }

    /// A question to those who read frames, where the server alone says anything: that there are none.
    pub(crate) async fn expect_unread(&self, subject: Subject) -> (Subject, One<'_>) {
        let permit = self.permit().await;
        let (sender, answer) = oneshot::channel();
        let token = Token::random();
        self.pending().insert(token, Pending { subject, who: Who::Unread(sender) });
        (subject_of(&self.asked, token), One { replies: self, token, answer, _permit: permit })
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<Token, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for the answer to `query` any more.
    fn forget(&self, token: Token, query: MsgId) {
        let mut pending = self.pending();
        if let Some(Pending { who: Who::Queries(waiters, _), .. }) = pending.get_mut(&token) {
            waiters.retain(|waiter| waiter.query != query);
            if waiters.is_empty() {
                pending.remove(&token);
            }
        }
    }

    /// The broker refused what was published on `subject`: whoever waits for an answer to it is told.
    pub(crate) fn refused(&self, subject: &str) {
        let refused: Vec<Pending> = self
            .pending()
            .extract_if(|_, pending| pending.subject.as_str() == subject)
            .map(|(_, p)| p)
            .collect();
        for pending in refused {
            pending.fail(|| {
                Error::new(ErrorKind::Denied, format!("the server does not allow publishing on {subject}"))
            });
        }
    }

    /// Hands answers out, until the subscription ends.
    pub(crate) async fn run(self: Arc<Self>, mut inbox: Subscriber, publisher: Arc<Publisher>) {
        while let Some(message) = inbox.next().await {
            self.arrived(message, &publisher);
        }
    }

    fn arrived(&self, message: Message, publisher: &Publisher) {
        let Some((token, is_told)) = self.token(&message.subject) else {
            self.late.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(status) = message.status {
            // The only status the server sends here; any other was steered here by somebody else's request.
            if status == StatusCode::NO_RESPONDERS {
                self.no_responders(token, is_told, publisher);
            }
            return;
        }
        match self.take(token, is_told) {
            None => {
                self.late.fetch_add(1, Ordering::Relaxed);
            }
            Some(Pending { subject, who: Who::Lane(lane) }) => {
                // Nobody answers a direct command.
                self.pending().insert(token, Pending { subject, who: Who::Lane(lane) });
                self.late.fetch_add(1, Ordering::Relaxed);
            }
            Some(Pending { who: Who::One(waiter) | Who::Unread(waiter), .. }) => {
                // A closed other end is somebody who gave up in this moment.
                let _ = waiter.send(Ok(message.payload));
            }
            Some(Pending { subject, who: Who::Queries(waiters, _) }) => {
                let left = self.answered(waiters, &message.payload, &subject);
                self.expect_left(token, subject, left, None);
            }
        }
    }

    /// The token under which something arrived, and whether it was where only the node may answer.
    fn token(&self, subject: &str) -> Option<(Token, bool)> {
        let (token, is_told) = match subject.strip_prefix(self.told.as_str()) {
            Some(token) => (token, true),
            None => (subject.strip_prefix(self.asked.as_str())?, false),
        };
        Token::parse(token).map(|token| (token, is_told))
    }

    /// Who waits for what arrived under that token, if it arrived in the right part of the inbox.
    fn take(&self, token: Token, is_told: bool) -> Option<Pending> {
        let mut pending = self.pending();
        let waits = pending.get(&token)?;
        (matches!(waits.who, Who::One(_)) == is_told).then(|| pending.remove(&token)).flatten()
    }

    /// The server has nobody for what was sent with this token.
    fn no_responders(&self, token: Token, is_told: bool, publisher: &Publisher) {
        let Some(found) = self.take(token, is_told) else { return };
        match found {
            Pending { subject, who: Who::Lane(lane) } => {
                lane.set_reads_frames(false);
                self.pending().insert(token, Pending { subject, who: Who::Lane(lane) });
            }
            Pending { who: Who::Queries(waiters, Some(unsent)), .. } => {
                publisher.again(unsent, waiters, token);
            }
            found @ Pending { who: Who::One(_) | Who::Unread(_) | Who::Queries(_, None), .. } => {
                let subject = found.subject.clone();
                found.fail(|| {
                    Error::new(
                        ErrorKind::Unavailable,
                        format!("nobody listens on {subject}: is the service, or the node, running?"),
                    )
                });
            }
        }
    }

    /// Hands the answers of a frame to those who wait; who is still left. Only whoever was asked knows where the answer
    /// is awaited, so what cannot be read is told to those who wait for it: nothing better will come.
    fn answered(&self, mut waiters: Vec<Waiter>, payload: &Bytes, subject: &Subject) -> Vec<Waiter> {
        let replies = match Reply::read(payload) {
            Ok(replies) => replies,
            Err(error) => {
                let size = payload.len();
                for waiter in waiters {
                    let message =
                        format!("what answers {subject} sent {size} bytes that are no answer: {error}");
                    let _ = waiter.answer.send(Err(Error::new(ErrorKind::Malformed, message)));
                }
                return Vec::new();
            }
        };
        if let ([waiter], [other, ..]) = (waiters.as_slice(), replies.as_slice())
            && waiter.is_alone
            && replies.iter().all(|reply| reply.to != waiter.query)
        {
            let message =
                format!("what answers {subject} answered the query {}, which was not asked there", other.to);
            let waiter = waiters.swap_remove(0);
            let _ = waiter.answer.send(Err(Error::new(ErrorKind::Malformed, message)));
            return Vec::new();
        }
        for reply in replies {
            match waiters.iter().position(|waiter| waiter.query == reply.to) {
                Some(at) => drop(waiters.swap_remove(at).answer.send(reply.answer.map_err(Error::from))),
                None => drop(self.late.fetch_add(1, Ordering::Relaxed)),
            }
        }
        waiters
    }
}

fn subject_of(prefix: &str, token: Token) -> Subject {
    use std::fmt::Write;
    let mut text = String::with_capacity(prefix.len() + 32);
    text.push_str(prefix);
    write!(text, "{:032x}", token.0).expect("writing to a string does not fail");
    Subject::from(text)
}

impl Pending {
    fn fail(self, error: impl Fn() -> Error) {
        match self.who {
            Who::One(waiter) | Who::Unread(waiter) => {
                let _ = waiter.send(Err(error()));
            }
            // What is sent next is sent where there is a right to.
            Who::Lane(lane) => lane.set_reads_frames(false),
            Who::Queries(waiters, _) => {
                for waiter in waiters {
                    let _ = waiter.answer.send(Err(error()));
                }
            }
        }
    }
}

/// The answer to one request; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct One<'a> {
    replies: &'a Replies,
    token: Token,
    answer: oneshot::Receiver<Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
}

impl One<'_> {
    /// The answer, or why there will be none.
    pub(crate) async fn answer(&mut self) -> Result<Bytes> {
        (&mut self.answer).await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.replies.pending().remove(&self.token);
    }
}

impl Waiting {
    /// The answer, or why there will be none; `token` is that of the frame in which the query left.
    pub(crate) async fn answer(self, replies: &Replies, token: Token) -> Result<Node> {
        let mut place = Place { replies, token, waiting: self };
        (&mut place.waiting.answer).await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Gives a query's place up when the asker stops waiting.
struct Place<'a> {
    replies: &'a Replies,
    token: Token,
    waiting: Waiting,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.waiting.answer.is_terminated() {
            return;
        }
        // Closed first: a frame that leaves only now does not take it up again.
        self.waiting.answer.close();
        self.replies.forget(self.token, self.waiting.query);
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection was closed").perhaps_done()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str) -> Message {
        let payload = Bytes::from_static(b"{}");
        Message {
            subject: subject.into(),
            reply: None,
            length: payload.len(),
            payload,
            headers: None,
            status: None,
            description: None,
        }
    }

    #[tokio::test]
    async fn an_answer_in_the_part_where_others_may_write_is_none() {
        let replies = Replies::new(&"desk".parse().expect("a name"));
        let (reply, mut answer) = replies.expect_one("library.door.hello.desk".into()).await;
        let forged = reply.replacen(".door.", ".ask.", 1);
        assert!(inbox::is_told(&reply, "desk") && inbox::is_asked(&forged, "desk"), "{reply} {forged}");
        let publisher = Publisher::default();
        replies.arrived(message(&forged), &publisher);
        assert_eq!(replies.late(), 1, "dropped and counted");
        replies.arrived(message(&reply), &publisher);
        assert_eq!(answer.answer().await.expect("the node's"), "{}");
    }

    #[tokio::test]
    async fn an_answer_that_answers_nothing_is_an_error_at_once() {
        let id = |last: &str| {
            MsgId::parse_lenient(&format!("0190163d-8694-739b-aea5-966c26f8ad9{last}")).expect("an id")
        };
        let other = |last: &str| format!("{{\"to\":\"{}\",\"ok\":1}}", id(last));
        for payload in [
            "[]".to_owned(),
            "\u{80}".to_owned(),
            "{}".to_owned(),
            other("2"),
            format!("[{}]", other("2")),
            format!("[{},{}]", other("2"), other("3")),
        ] {
            // The empty array of CBOR is one byte, which is no text.
            let payload =
                if payload == "\u{80}" { Bytes::from_static(&[0x80]) } else { Bytes::from(payload) };
            let replies = Replies::new(&"desk".parse().expect("a name"));
            let (waiter, waiting) = replies.waiter(id("1")).await;
            let token = Token::random();
            let reply = replies.expect_queries(token, "library.query.c.T.desk".into(), vec![waiter], None);
            replies.arrived(Message { payload: payload.clone(), ..message(&reply) }, &Publisher::default());
            let answer =
                tokio::time::timeout(std::time::Duration::from_secs(20), waiting.answer(&replies, token));
            let error = answer.await.expect("at once").expect_err("no answer");
            assert_eq!(error.kind(), ErrorKind::Malformed, "{payload:?}: {error}");
        }
    }
}
