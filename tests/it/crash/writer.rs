//! Those who write: commands and appends through the doors, by bare requests, so that each attempt is in the log and
//! nothing repeats a request behind the test's back. The same bytes with the same ids go again until a door decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_nats::Client;
use bytes::Bytes;
use comms::Node;
use comms_msg::door::{Accepted, Answer, Appended, Form, Refusal, RefusalKind};
use comms_msg::wire::Frame;
use comms_msg::{
    Body, Command, DomainContent, Door, EntityId, Event, Expect, Hop, Kind, Metadata, Msg, MsgId, MsgKey,
    Owner, Position, ServiceName, Subject, Timestamp, TypeName,
};
use comms_tests::wait::Wait;
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::aim::Aim;
use super::journal::{Entry, Journal, text};
use crate::vocabulary::{DocumentRetitled, RetitleDocument};

/// How long a write may take to be decided, over as many lives of node and server as come in between.
const DECIDED: Duration = Duration::from_secs(90);
/// How long one attempt waits for its answer: an impatient writer has several attempts under way at the node.
const PATIENCE_MS: [u64; 3] = [300, 1_000, 4_000];
/// Events of one write: mostly few, some more, so that there is a middle to be killed in.
const COUNTS: [usize; 10] = [1, 1, 1, 1, 2, 2, 2, 2, 8, 90];
/// Entities that all writers share, so that they get into each other's way.
const ENTITIES: u32 = 10;
/// What a command says whose handler is to refuse it.
pub(super) const REFUSE: &str = "refuse";

/// What writers share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) journal: Arc<Journal>,
    pub(super) aim: Aim,
    pub(super) commands: Line,
    pub(super) appends: Line,
    /// Commands that were acknowledged.
    pub(super) acked: Mutex<Vec<MsgId>>,
    /// Where entities were when somebody last heard of it.
    pub(super) known: Mutex<HashMap<String, Position>>,
}

impl Desk {
    /// Both kinds of writes.
    pub(super) fn lines(&self) -> [&Line; 2] {
        [&self.commands, &self.appends]
    }
}

/// Writes of one kind: how many are wanted, and how many were decided.
#[derive(Debug)]
pub(super) struct Line {
    /// A permit is one write. Closed when no more are wanted.
    pub(super) wanted: Semaphore,
    pub(super) decided: AtomicUsize,
}

impl Default for Line {
    fn default() -> Line {
        Line { wanted: Semaphore::new(0), decided: AtomicUsize::new(0) }
    }
}

impl Line {
    /// So many more writes are wanted, unless some are wanted that nobody is free for.
    pub(super) fn more(&self, writes: usize) {
        if self.wanted.available_permits() == 0 {
            self.wanted.add_permits(writes);
        }
    }

    /// Waits until another write is wanted; false when none is any more.
    async fn is_wanted(&self) -> bool {
        self.wanted.acquire().await.map(|permit| permit.forget()).is_ok()
    }
}

/// Who writes, as which service.
pub(super) struct Writer {
    pub(super) desk: Arc<Desk>,
    pub(super) client: Client,
    pub(super) service: ServiceName,
    pub(super) random: StdRng,
}

impl Writer {
    /// Sends commands until no more are wanted.
    pub(super) async fn send_commands(mut self) {
        while self.desk.commands.is_wanted().await {
            self.command().await;
            self.desk.commands.decided.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Appends until no more is wanted.
    pub(super) async fn append_events(mut self) {
        while self.desk.appends.is_wanted().await {
            let entity = self.entity();
            let expect = match self.random.random_range(0..2) {
                0 => Expect::Any,
                _ => {
                    self.desk.known.lock().unwrap().get(&entity).map_or(Expect::Absent, |at| Expect::At(*at))
                }
            };
            let count = self.count();
            self.append(entity, expect, count).await;
            self.desk.appends.decided.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn command(&mut self) {
        let (id, entity, count) = (self.id(), self.entity(), self.count());
        let refused = self.random.random_range(0..8) == 0;
        let title = if refused { REFUSE.to_owned() } else { count.to_string() };
        let body = body(&RetitleDocument { document: entity.clone(), title });
        let type_name: TypeName = "documents.RetitleDocument".parse().unwrap();
        let content = DomainContent::Command(Command { type_name: type_name.clone(), version: 1, body });
        let payload = self.message(id, content, Expect::Any).to_wire().unwrap();
        let handler = ServiceName::new("archive").unwrap();
        let count = if refused { 0 } else { count };
        let key = MsgKey::new(Kind::Command, &ServiceName::new("desk").unwrap(), &type_name, id);
        let causes = (0..count).map(|n| MsgId::derive(&key, &handler, n as u32)).collect();
        let sent = Entry::CommandSent { id, entity, causes, refused };
        match self.decide::<Accepted>(Door::Command(type_name), id, sent, payload).await {
            Ok(Accepted { position, .. }) => {
                self.desk.journal.write(&Entry::CommandAcked { id, position });
                self.desk.acked.lock().unwrap().push(id);
            }
            Err(refusal) => panic!("command {id}: {refusal}"),
        }
    }

    /// Appends `count` events as one.
    pub(super) async fn append(&mut self, entity: String, expect: Expect, count: usize) -> MsgId {
        let ids: Vec<MsgId> = (0..count).map(|_| self.id()).collect();
        let type_name: TypeName = "documents.DocumentRetitled".parse().unwrap();
        let mut frame = Frame::new();
        for (n, id) in ids.iter().enumerate() {
            let event = Event {
                type_name: type_name.clone(),
                version: 1,
                entity: EntityId::new(&entity).unwrap(),
                previous: None,
                body: body(&DocumentRetitled { title: text(ids[0], n, count) }),
            };
            let expect = if n == 0 { expect } else { Expect::Any };
            assert!(
                frame.push(&self.message(*id, DomainContent::Event(event), expect)),
                "{count} fit a frame"
            );
        }
        let first = ids[0];
        let sent = Entry::AppendSent { ids, entity: entity.clone(), expect };
        match self.decide::<Appended>(Door::Event(type_name), first, sent, frame.finish()).await {
            Ok(Appended { events, .. }) => {
                let (ids, positions): (Vec<_>, Vec<_>) = events.iter().map(|e| (e.id, e.position)).unzip();
                self.learn(entity, positions.last().copied());
                self.desk.journal.write(&Entry::AppendAcked { ids, positions });
            }
            Err(Refusal { kind: RefusalKind::Conflict, position, .. }) if expect != Expect::Any => {
                self.learn(entity, position);
                self.desk.journal.write(&Entry::AppendRefused { id: first, actual: position });
            }
            Err(refusal) => panic!("append {first}: {refusal}"),
        }
        first
    }

    fn learn(&self, entity: String, position: Option<Position>) {
        let mut known = self.desk.known.lock().unwrap();
        if let Some(position) = position
            && known.get(&entity).is_none_or(|before| before.sequence() < position.sequence())
        {
            known.insert(entity, position);
        }
    }

    /// Asks a door until it decides; every attempt is in the log.
    async fn decide<T: DeserializeOwned>(
        &mut self,
        door: Door,
        id: MsgId,
        sent: Entry,
        payload: Bytes,
    ) -> Result<T, Refusal> {
        let domain = "library".parse().unwrap();
        let subject = Subject::Door { domain, door, sender: self.service.clone() }.to_string();
        let patience = Duration::from_millis(PATIENCE_MS[self.random.random_range(0..PATIENCE_MS.len())]);
        let wait = Wait::begin(&format!("a decision on {id}"), DECIDED);
        loop {
            self.desk.journal.write(&sent);
            let attempt = attempt(&self.client, &subject, &payload, || self.desk.aim.left(id));
            let why = match tokio::time::timeout(patience, attempt).await {
                Ok(Ok(Answer::Ok(answer))) => return Ok(answer),
                Ok(Ok(Answer::Error(refusal))) => match refusal.kind {
                    RefusalKind::Busy | RefusalKind::Unavailable => refusal.to_string(),
                    _ => return Err(refusal),
                },
                Ok(Err(why)) => why,
                Err(_) => "no answer".to_owned(),
            };
            wait.go_on(&why).await;
            self.desk.journal.write(&Entry::Undecided { id, why });
        }
    }

    fn message(&self, id: MsgId, content: DomainContent, expect: Expect) -> Msg {
        let metadata = Metadata {
            sender: Some(self.service.clone()),
            ..Metadata::root(id, Owner::new("ada").unwrap(), Timestamp::from_unix_ms(now_ms()))
        };
        Msg { id, metadata, content: Some(content), hop: Hop { expect, ..Hop::default() } }
    }

    fn id(&mut self) -> MsgId {
        let random = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        MsgId::v7(now_ms(), random)
    }

    fn entity(&mut self) -> String {
        format!("e{}", self.random.random_range(0..ENTITIES))
    }

    fn count(&mut self) -> usize {
        COUNTS[self.random.random_range(0..COUNTS.len())]
    }
}

/// One request and its answer. `left` is called when the request is on its way.
async fn attempt<T: DeserializeOwned>(
    client: &Client,
    subject: &str,
    payload: &Bytes,
    left: impl FnOnce(),
) -> Result<Answer<T>, String> {
    let reply = client.new_inbox();
    let mut answers = client.subscribe(reply.clone()).await.map_err(|e| e.to_string())?;
    let sent = client.publish_with_reply(subject.to_owned(), reply, payload.clone()).await;
    sent.map_err(|e| e.to_string())?;
    client.flush().await.map_err(|e| e.to_string())?;
    left();
    let answer = answers.next().await.ok_or("the connection closed")?;
    if let Some(status) = answer.status {
        return Err(format!("status {status}"));
    }
    Form::Cbor.decode(&answer.payload).map_err(|e| e.to_string())
}

fn body(value: &impl Serialize) -> Body {
    Body::Inline(Node::encode(value).expect("texts are DAG-CBOR"))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500 million")
}
