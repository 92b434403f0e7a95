//! The log on a real server: what is stored once, however often and however late it is said.

mod ends;

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use comms_msg::{
    Body, Command, DomainContent, Event, Filled, Hop, Kind, Metadata, Msg, MsgId, Owner, Position, Timestamp,
    TypeName,
};
use futures::{FutureExt, StreamExt};

use super::commit::Stored;
use super::ending::EndingState;
use super::queue::Kept;
use super::*;
use crate::clock::now_ms;
use crate::condition::Condition;
use crate::connections::Connections;
use crate::fixture::{Fixture, wait_until};
use crate::room::Room;
use crate::server::Managed;
use crate::tasks::Tasks;
use crate::witness::{Comparing, Names};

/// The shortest window of duplicates that the server takes: a repeat after it is what this is about.
const WINDOW: Duration = Duration::from_millis(100);

/// A log with its writers running.
struct Running {
    log: std::sync::Arc<EventLog>,
    jetstream: jetstream::Context,
    names: [String; 2],
    folder: tempfile::TempDir,
    _tasks: Tasks,
    _server: Managed,
    fixture: Fixture,
}

impl Running {
    async fn start() -> Running {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
        let jetstream = jetstream::new(connections.domain.clone());
        crate::provision::apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        let name = |kind: &str| {
            let streams = &fixture.layout().streams;
            streams.iter().find(|stream| stream.name.starts_with(kind)).unwrap().name.clone()
        };
        let names = [name("EVENT"), name("COMMAND")];
        for name in &names {
            let config = jetstream.get_stream(name).await.unwrap().cached_info().config.clone();
            jetstream.update_stream(Config { duplicate_window: WINDOW, ..config }).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let (log, tasks) = open(&connections.domain, &names, folder.path(), &fixture).await;
        Running { log, jetstream, names, folder, _tasks: tasks, _server: server, fixture }
    }

    /// Messages in the stream of events, or of commands.
    async fn messages(&self, stream: usize) -> u64 {
        self.jetstream.get_stream(&self.names[stream]).await.unwrap().cached_info().state.messages
    }

    /// Waits until the server has forgotten the keys it has seen so far.
    async fn past_the_window(&self) {
        let begin = tokio::time::Instant::now();
        wait_until("the window of duplicates is over", || begin.elapsed() > 3 * WINDOW).await;
    }
}

async fn open(
    client: &async_nats::Client,
    [events, commands]: &[String; 2],
    folder: &std::path::Path,
    fixture: &Fixture,
) -> (std::sync::Arc<EventLog>, Tasks) {
    let names = LogNames {
        domain: "library".into(),
        event_stream: events.clone(),
        command_stream: commands.clone(),
        foreign_stream: None,
        index: folder.join("index.redb"),
        waiting: (1_000, 2),
    };
    let (folder, layout) = (fixture.folder(), fixture.layout());
    let comparing =
        Comparing { folder, client, layout, names: Names::default(), is_applied: false, accept_loss: false };
    let witness = comparing.run().await.unwrap().settle().await.unwrap();
    let (log, writers, confirmed) =
        EventLog::open(client.clone(), names, Condition::new(Room::endless()), witness).await.unwrap();
    let log = std::sync::Arc::new(log);
    let tasks = Tasks::new();
    for writer in writers {
        let stop = tasks.token();
        tasks.essential("writer", writer.run(stop).map(Ok::<(), std::convert::Infallible>));
    }
    let (hearing, stop) = (log.clone(), tasks.token());
    tasks.essential("hear", async move {
        hearing.keep_up(confirmed, stop).await;
        Ok::<(), std::convert::Infallible>(())
    });
    (log, tasks)
}

fn metadata(sender: &str, id: MsgId) -> Metadata {
    Metadata {
        owner: Owner::new("ada").unwrap(),
        time: Timestamp::from_unix_ms(now_ms()),
        sender: Some(sender.parse().unwrap()),
        correlation: id,
        causation: None,
        user: comms_msg::UserPairs::default(),
    }
}

fn body(title: &str) -> Body {
    let value = serde_json::json!({ "title": title });
    Body::Inline(comms_content::Node::encode(&value).unwrap())
}

fn event(id: MsgId, sender: &str, entity: &str, title: &str) -> NewEvent {
    let content = Event {
        type_name: "documents.DocumentAdded".parse().unwrap(),
        version: 1,
        entity: entity.parse().unwrap(),
        previous: None,
        body: body(title),
    };
    let content = Some(DomainContent::Event(content));
    let msg = Msg { id, metadata: metadata(sender, id), content, hop: Hop::default() };
    NewEvent::of(msg, filled(), None).unwrap()
}

/// What the door fills in for most: each of these differs whenever a message is said again.
fn filled() -> Filled {
    Filled { fields: vec!["/metadata/time", "/metadata/correlation"] }
}

fn command(id: MsgId, sender: &str, title: &str) -> (String, Msg) {
    let type_name: TypeName = "documents.AddDocument".parse().unwrap();
    let content = Some(DomainContent::Command(Command { type_name, version: 1, body: body(title) }));
    let msg = Msg { id, metadata: metadata(sender, id), content, hop: Hop::default() };
    (format!("library.command.documents.AddDocument.{sender}"), msg)
}

fn command_key(id: MsgId, sender: &str, type_name: &str) -> MsgKey {
    MsgKey::new(Kind::Command, &sender.parse().unwrap(), &type_name.parse().unwrap(), id)
}

impl Running {
    async fn append(&self, events: Vec<NewEvent>) -> Result<Stored, AppendError> {
        Ok(self.log.append(events, 0).await?.stored)
    }

    async fn keep(&self, (subject, msg): (String, Msg)) -> Result<Kept, AppendError> {
        self.log.store_command(subject, &msg, &filled()).await
    }

    /// As after a crash of the node: what it held in memory is gone.
    async fn restarted(mut self) -> Running {
        let client = self.jetstream.client();
        // The index is one file for one process.
        let former = std::mem::take(&mut self._tasks);
        former.stop(Duration::from_secs(10)).await;
        drop(self.log);
        let (log, tasks) = open(&client, &self.names, self.folder.path(), &self.fixture).await;
        Running { log, _tasks: tasks, ..self }
    }

    /// A delivery of the command that stands at `sequence`.
    async fn delivered(&self, sequence: u64) -> Delivered {
        let queue = self.jetstream.get_stream(&self.names[1]).await.unwrap();
        for consumer in self.fixture.layout().consumers.iter().filter(|c| c.stream == self.names[1]) {
            let _ = queue.delete_consumer(&consumer.name).await;
        }
        let config = jetstream::consumer::pull::Config {
            durable_name: Some("taker".into()),
            filter_subject: "library.command.>".into(),
            ..Default::default()
        };
        let consumer = queue.create_consumer(config).await.unwrap();
        let message = consumer.fetch().max_messages(1).messages().await.unwrap().next().await;
        let acknowledge = message.unwrap().unwrap().reply.clone().unwrap().into_string();
        let command = self.log.command_at(sequence).await.unwrap().unwrap();
        Delivered { acknowledge, sequence, tries: 1, command }
    }
}

fn handler() -> comms_msg::ServiceName {
    "archive".parse().unwrap()
}

fn is_refused<T: std::fmt::Debug>(said: Result<T, AppendError>, words: &str) {
    match said {
        Err(AppendError::Refused(reason)) => assert!(reason.contains(words), "{reason}"),
        other => panic!("taken: {other:?}"),
    }
}

/// An id drawn so long ago.
fn id_of(ago: Duration) -> MsgId {
    MsgId::v7(now_ms() - u64::try_from(ago.as_millis()).unwrap(), rand::random())
}

const LONG_AGO: Duration = Duration::from_secs(600);

/// Ids of every kind: without a time in them, with one that is long over, with one that is still to come.
fn ids() -> Vec<MsgId> {
    let ahead = MsgId::v7(now_ms() + 3_600_000, rand::random());
    let texts = [
        "550e8400-e29b-41d4-a716-446655440001",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "1ec9414c-232a-6b00-b3c8-9f6bdeced846",
        "74738ff5-5367-5958-9aee-98fffdcd1876",
    ];
    let others = texts.map(|text| text.parse().unwrap());
    let timed = [ahead, id_of(LONG_AGO), MsgId::v7(0, 7 << 64), MsgId::v7(u64::MAX, 7 << 64)];
    others.into_iter().chain(timed).collect()
}

#[tokio::test]
async fn whatever_an_id_looks_like_it_is_stored_once() {
    let mut running = Running::start().await;
    let (ids, mut first) = (ids(), Vec::new());
    for id in ids.iter().copied() {
        first.push(running.append(vec![event(id, "archive", "d1", "a")]).await.unwrap().first);
        running.keep(command(id, "desk", "a")).await.unwrap();
    }
    running.past_the_window().await;
    for is_restarted in [false, true] {
        if is_restarted {
            running = running.restarted().await;
        }
        for (id, first) in ids.iter().copied().zip(first.iter().copied()) {
            let mut again = event(id, "archive", "d1", "a");
            assert_eq!(running.append(vec![again]).await, Ok(Stored { first, duplicate: true }));
            again = event(id, "archive", "d1", "a");
            again.expected = Some(first.saturating_sub(1));
            assert_eq!(running.append(vec![again]).await, Ok(Stored { first, duplicate: true }), "expecting");
            let kept = running.keep(command(id, "desk", "a")).await.unwrap();
            assert!(kept.duplicate && kept.sequence > 0, "{kept:?}");
        }
        let many = first.len() as u64;
        assert_eq!((running.messages(0).await, running.messages(1).await), (many, many));
    }
}

#[tokio::test]
async fn a_repeat_is_the_whole_message_or_refused() {
    let running = Running::start().await;
    let (one, two, three) = (id_of(Duration::ZERO), id_of(Duration::ZERO), id_of(Duration::ZERO));
    let of = |id, title: &str| event(id, "archive", "d1", title);
    let first = running.append(vec![of(one, "a"), of(two, "b")]).await.unwrap().first;
    let again = Ok(Stored { first, duplicate: true });
    assert_eq!(running.append(vec![of(one, "a"), of(two, "b")]).await, again);
    assert_eq!(running.append(vec![of(one, "a")]).await, again);
    is_refused(running.append(vec![of(one, "a"), of(three, "c")]).await, "not stored together");
    is_refused(running.append(vec![of(three, "c"), of(two, "b")]).await, "not stored together");
    is_refused(running.append(vec![of(two, "b"), of(one, "a")]).await, "not stored together");
    is_refused(running.append(vec![of(one, "a"), of(two, "other")]).await, "names one message");
    is_refused(running.append(vec![of(three, "c"), of(three, "c")]).await, "before");
    let changes: [fn(&mut NewEvent); 5] = [
        |event| event.msg.metadata.owner = Owner::new("eve").unwrap(),
        |event| event.msg.metadata.causation = Some(event.msg.id),
        |event| event.msg.metadata.user = comms_msg::UserPairs::new([("a", "b")]).unwrap(),
        |event| {
            event.filled = Filled::default();
            event.msg.metadata.time = Timestamp::from_unix_ms(5);
        },
        |event| {
            event.filled = Filled::default();
            event.msg.metadata.correlation = MsgId::v7(9, 9);
        },
    ];
    for change in changes {
        let mut other = of(one, "a");
        change(&mut other);
        is_refused(running.append(vec![other, of(two, "b")]).await, "names one message");
    }
    assert_eq!(running.messages(0).await, 2);
}

#[tokio::test]
async fn a_command_with_another_body_is_refused_while_it_waits_and_after_it_ended() {
    let mut running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    is_refused(running.keep(command(id, "desk", "other")).await, "names one message");
    let delivered = running.delivered(kept.sequence).await;
    let nothing = Effect::Nothing { state: EndingState::Rejected, reason: Some("no".into()) };
    running.log.finish(&delivered, &handler(), nothing).await.unwrap();
    let key = command_key(id, "desk", "documents.AddDocument");
    wait_until("it is out of the queue", || !running.log.is_pending(&key)).await;
    running.past_the_window().await;
    for _ in 0..2 {
        is_refused(running.keep(command(id, "desk", "other")).await, "names one message");
        let again = running.keep(command(id, "desk", "report")).await.unwrap();
        assert_eq!(again, Kept { duplicate: true, ..kept.clone() }, "the answer is of what was kept");
        assert_eq!(running.log.ending(&key).unwrap(), Some(Ending::Rejected { reason: "no".into() }));
        running = running.restarted().await;
    }
    assert_eq!(running.messages(1).await, 0);
}

#[tokio::test]
async fn a_command_that_vanished_from_its_queue_is_ended_and_said_so() {
    let running = Running::start().await;
    let ids = [0, 1, 2].map(|_| id_of(Duration::ZERO));
    let mut kept = Vec::new();
    for id in ids {
        kept.push(running.keep(command(id, "desk", "report")).await.unwrap().sequence);
    }
    // The first, and one among others.
    let queue = running.jetstream.get_stream(&running.names[1]).await.unwrap();
    for sequence in [kept[0], kept[2]] {
        queue.delete_message(sequence).await.unwrap();
    }
    assert_eq!(running.log.end_vanished(0).await, Ok(0));
    for (id, is_gone) in ids.into_iter().zip([true, false, true]) {
        let key = command_key(id, "desk", "documents.AddDocument");
        let ending = running.log.ending(&key).unwrap();
        assert_eq!(matches!(ending, Some(Ending::Dead { .. })), is_gone, "{ending:?}");
        assert_eq!(running.log.is_pending(&key), !is_gone);
    }
}

#[tokio::test]
async fn an_index_that_is_lost_is_made_again_from_the_log() {
    let running = Running::start().await;
    let (id, caused) = (id_of(Duration::ZERO), id_of(Duration::ZERO));
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    let delivered = running.delivered(kept.sequence).await;
    let mut event = event(caused, "archive", "d1", "a");
    event.msg.metadata.causation = Some(id);
    let finished = running.log.finish(&delivered, &handler(), Effect::Events(vec![event])).await.unwrap();
    assert!(matches!(finished, Finished::Now(_)), "{finished:?}");
    let key = command_key(id, "desk", "documents.AddDocument");
    wait_until("it is out of the queue", || !running.log.is_pending(&key)).await;
    std::fs::remove_file(running.folder.path().join("index.redb")).unwrap();
    let running = running.restarted().await;
    let Some(Ending::Done { first, count: 1, .. }) = running.log.ending(&key).unwrap() else {
        panic!("forgotten")
    };
    assert_eq!(running.log.read_event(first).await.unwrap().unwrap().id, caused);
    assert_eq!(running.keep(command(id, "desk", "report")).await.unwrap(), Kept { duplicate: true, ..kept });
    is_refused(running.keep(command(id, "desk", "other")).await, "names one message");
    is_refused(running.keep(command(MsgId::v7(5, 5), "desk", "report")).await, "cannot be told");
    assert_eq!(running.log.ending(&command_key(id, "lender", "documents.AddDocument")).unwrap(), None);
}

#[tokio::test]
async fn what_nobody_knew_to_be_stored_is_looked_for_before_it_is_sent_again() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let payload = |msg: &Msg| bytes::Bytes::from(msg.to_cbor());
    // As if neither had been answered, and both arrived.
    let (lost_event, lost_command) = (event(id, "archive", "d1", "a"), command(id, "desk", "report"));
    let command_key = command_key(id, "desk", "documents.AddDocument");
    {
        let mut memory = running.log.lock();
        memory.arrivals.begin(&[lost_event.key]).unwrap();
        memory.arrivals.end(&[lost_event.key], Some(0), now_ms());
        memory.commands.arrive(command_key, &"desk".parse().unwrap());
        memory.commands.not_stored(command_key, &"desk".parse().unwrap(), Some(0), now_ms());
    }
    for (subject, key, payload) in [
        ("library.event.documents.d1.DocumentAdded".to_owned(), lost_event.key, payload(&lost_event.msg)),
        (lost_command.0.clone(), command_key, payload(&lost_command.1)),
    ] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, key.to_string());
        running.jetstream.publish_with_headers(subject, headers, payload).await.unwrap().await.unwrap();
    }
    running.past_the_window().await;
    let again = running.append(vec![event(id, "archive", "d1", "a")]).await;
    assert_eq!(again, Ok(Stored { first: 1, duplicate: true }));
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    assert_eq!((kept.sequence, kept.duplicate), (1, true));
    assert_eq!((running.messages(0).await, running.messages(1).await), (1, 1));
    let mut memory = running.log.lock();
    assert_eq!(memory.arrivals.uncertain_after(), None, "both are known now");
    assert_eq!(memory.commands.arrivals().uncertain_after(), None);
}

#[tokio::test]
async fn nobodys_id_stands_in_the_way_of_anothers() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let intruder = running.append(vec![event(id, "evil", "x", "a")]).await.unwrap();
    let honest = running.append(vec![event(id, "archive", "d1", "b")]).await.unwrap();
    assert!(!honest.duplicate && honest.first != intruder.first);
    for other in [event(id, "archive", "d2", "b"), event(id, "archive", "d1", "c")] {
        is_refused(running.append(vec![other]).await, "names one message");
    }
    assert_eq!(running.messages(0).await, 2);
    let one = running.keep(command(id, "evil", "a")).await.unwrap();
    let two = running.keep(command(id, "desk", "b")).await.unwrap();
    assert!(!one.duplicate && !two.duplicate);
    assert_eq!(running.messages(1).await, 2);
}

#[tokio::test]
async fn only_the_first_event_of_an_entity_can_expect() {
    let running = Running::start().await;
    let mut second = event(id_of(Duration::ZERO), "archive", "d1", "b");
    second.expected = Some(7);
    let first = event(id_of(Duration::ZERO), "archive", "d1", "a");
    is_refused(running.append(vec![first, second]).await, "/events/1 ");
    assert_eq!(running.messages(0).await, 0);
}

#[tokio::test]
async fn a_conflict_is_told_from_an_own_commit() {
    let running = Running::start().await;
    let (mine, theirs) = (id_of(Duration::ZERO), id_of(Duration::ZERO));
    let guarded = |id, title| NewEvent { expected: Some(0), ..event(id, "archive", "d1", title) };
    let first = running.append(vec![guarded(mine, "a")]).await.unwrap();
    running.past_the_window().await;
    let again = running.append(vec![guarded(mine, "a")]).await.unwrap();
    assert_eq!(again, Stored { first: first.first, duplicate: true });
    let other = running.append(vec![guarded(theirs, "b")]).await;
    assert_eq!(other, Err(AppendError::Conflict { actual: first.first }));
}

/// The server ends an answer before it is full where its bytes are many.
#[tokio::test]
async fn more_than_one_answer_holds_is_read_back() {
    let running = Running::start().await;
    let id = |n: u64| MsgId::v7(now_ms(), u128::from(n) << 64);
    let large = "x".repeat(1 << 20);
    for n in 0..70 {
        running.keep(command(id(n), "desk", &large[..1_000_000])).await.unwrap();
    }
    let running = running.restarted().await;
    assert_eq!(running.log.lock().commands.len(), 70);
}

#[tokio::test]
async fn a_position_of_a_former_log_is_refused() {
    let running = Running::start().await;
    let position = Position::new("abcdefgh", 1).unwrap();
    assert!(running.log.expected(&Expect::At(position)).is_err());
}
