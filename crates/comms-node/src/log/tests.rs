//! The log on a real server: what is stored once, however often and however late it is said.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use comms_msg::{
    Body, Command, DomainContent, Event, Hop, Metadata, Msg, MsgId, Owner, Position, ServiceName, Timestamp,
};
use futures::{FutureExt, StreamExt};

use super::*;
use crate::connections::Connections;
use crate::fixture::{Fixture, wait_until};
use crate::server::{Managed, RestartHint};
use crate::tasks::Tasks;

/// The shortest window of duplicates that the server takes: a repeat after it is what this is about.
const WINDOW: Duration = Duration::from_millis(100);

/// A log with its writers running.
struct Running {
    log: std::sync::Arc<EventLog>,
    jetstream: jetstream::Context,
    names: [String; 2],
    _tasks: Tasks,
    _server: Managed,
    _fixture: Fixture,
}

impl Running {
    async fn start() -> Running {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
        let jetstream = jetstream::new(connections.domain.clone());
        crate::provision::apply(&jetstream, fixture.layout()).await.unwrap();
        let name = |kind: &str| {
            let streams = &fixture.layout().streams;
            streams.iter().find(|stream| stream.name.starts_with(kind)).unwrap().name.clone()
        };
        let names = [name("EVENT"), name("COMMAND")];
        for name in &names {
            let config = jetstream.get_stream(name).await.unwrap().cached_info().config.clone();
            jetstream.update_stream(Config { duplicate_window: WINDOW, ..config }).await.unwrap();
        }
        let (log, tasks) = open(&connections.domain, &names).await;
        Running { log, jetstream, names, _tasks: tasks, _server: server, _fixture: fixture }
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
) -> (std::sync::Arc<EventLog>, Tasks) {
    let names = LogNames {
        domain: "library".into(),
        event_stream: events.clone(),
        command_stream: commands.clone(),
        foreign_stream: None,
    };
    let (log, writers, confirmed) =
        EventLog::open(client.clone(), names, RestartHint::external()).await.unwrap();
    let log = std::sync::Arc::new(log);
    let tasks = Tasks::new();
    for writer in writers {
        let stop = tasks.token();
        tasks.essential("writer", writer.run(stop).map(Ok::<(), std::convert::Infallible>));
    }
    let (hearing, stop) = (log.clone(), tasks.token());
    tasks.essential("hear", async move {
        hearing.hear(confirmed, stop).await;
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
    let (entity, type_name): (EntityId, TypeName) =
        (entity.parse().unwrap(), "documents.DocumentAdded".parse().unwrap());
    let content = Event {
        type_name: type_name.clone(),
        version: 1,
        entity: entity.clone(),
        previous: None,
        body: body(title),
    };
    let content = Some(DomainContent::Event(content));
    let msg = Msg { id, metadata: metadata(sender, id), content, hop: Hop::default() };
    NewEvent { entity, type_name, msg, expected: None }
}

fn command(id: MsgId, sender: &str) -> (String, Msg, PendingCommand) {
    let content =
        Command { type_name: "documents.AddDocument".parse().unwrap(), version: 1, body: body("report") };
    let content = Some(DomainContent::Command(content));
    let msg = Msg { id, metadata: metadata(sender, id), content, hop: Hop::default() };
    let record = recovery::pending(&msg).unwrap();
    (format!("library.command.documents.AddDocument.{sender}"), msg, record)
}

/// An id drawn so long ago.
fn id_of(ago: Duration) -> MsgId {
    MsgId::v7(now_ms() - u64::try_from(ago.as_millis()).unwrap(), rand::random())
}

const LONG_AGO: Duration = Duration::from_secs(600);

#[tokio::test]
async fn an_event_that_comes_again_after_the_window_is_stored_once() {
    let running = Running::start().await;
    let id = id_of(LONG_AGO);
    let first = running.log.append(&[event(id, "archive", "d1", "a")]).await.unwrap();
    assert!(!first.duplicate);
    running.log.append(&[event(id_of(Duration::ZERO), "archive", "d1", "b")]).await.unwrap();
    running.past_the_window().await;
    let again = running.log.append(&[event(id, "archive", "d1", "a")]).await.unwrap();
    assert_eq!(again, Stored { first: first.first, duplicate: true });
    assert_eq!(running.messages(0).await, 2);
}

#[tokio::test]
async fn what_nobody_knew_to_be_stored_is_looked_for_before_it_is_sent_again() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let first = running.log.append(&[event(id, "archive", "d1", "a")]).await.unwrap();
    let (subject, msg, record) = command(id, "desk");
    let kept = running.log.store_command(subject.clone(), &msg, record.clone()).await.unwrap();
    running.past_the_window().await;
    {
        // As if neither had been answered.
        let mut memory = running.log.lock();
        let sender: ServiceName = "archive".parse().unwrap();
        memory.uncertain.insert(key("event", Some(&sender), id), now_ms());
        memory.uncertain.insert(key("command", msg.metadata.sender.as_ref(), id), now_ms());
        memory.pending.remove(kept.first);
    }
    let again = running.log.append(&[event(id, "archive", "d1", "a")]).await.unwrap();
    assert_eq!(again, Stored { first: first.first, duplicate: true });
    let again = running.log.store_command(subject, &msg, record).await.unwrap();
    assert_eq!(again, Stored { first: kept.first, duplicate: true });
    assert_eq!((running.messages(0).await, running.messages(1).await), (1, 1));
    assert!(running.log.lock().uncertain.is_empty(), "both are known now");
}

#[tokio::test]
async fn nobodys_id_stands_in_the_way_of_anothers() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let intruder = running.log.append(&[event(id, "evil", "x", "a")]).await.unwrap();
    let honest = running.log.append(&[event(id, "archive", "d1", "b")]).await.unwrap();
    assert!(!honest.duplicate && honest.first != intruder.first);

    for other in [event(id, "archive", "d2", "b"), event(id, "archive", "d1", "c")] {
        match running.log.append(&[other]).await {
            Err(AppendError::Refused(reason)) => assert!(reason.contains("names one message"), "{reason}"),
            other => panic!("an id named two messages: {other:?}"),
        }
    }
    assert_eq!(running.messages(0).await, 2);

    let (subject, msg, record) = command(id, "desk");
    running.log.store_command(subject, &msg, record).await.unwrap();
    let (subject, msg, record) = command(id, "lender");
    match running.log.store_command(subject, &msg, record).await {
        Err(AppendError::Refused(reason)) => assert!(reason.contains("names one message"), "{reason}"),
        other => panic!("an id named two commands: {other:?}"),
    }
}

#[tokio::test]
async fn only_the_first_event_of_an_entity_can_expect() {
    let running = Running::start().await;
    let mut second = event(id_of(Duration::ZERO), "archive", "d1", "b");
    second.expected = Some(7);
    match running.log.append(&[event(id_of(Duration::ZERO), "archive", "d1", "a"), second]).await {
        Err(AppendError::Refused(reason)) => assert!(reason.starts_with("/events/1 "), "{reason}"),
        other => panic!("an expectation was dropped: {other:?}"),
    }
    assert_eq!(running.messages(0).await, 0);
}

#[tokio::test]
async fn a_conflict_is_told_from_an_own_commit() {
    let running = Running::start().await;
    let (mine, theirs) = (id_of(Duration::ZERO), id_of(Duration::ZERO));
    let guarded = |id, title| NewEvent { expected: Some(0), ..event(id, "archive", "d1", title) };
    let first = running.log.append(&[guarded(mine, "a")]).await.unwrap();
    running.past_the_window().await;
    let again = running.log.append(&[guarded(mine, "a")]).await.unwrap();
    assert_eq!(again, Stored { first: first.first, duplicate: true });
    let other = running.log.append(&[guarded(theirs, "b")]).await;
    assert_eq!(other, Err(AppendError::Conflict { actual: first.first }));
}

#[tokio::test]
async fn a_command_waits_until_the_stream_confirms_that_it_is_gone() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let (subject, msg, record) = command(id, "desk");
    let kept = running.log.store_command(subject, &msg, record.clone()).await.unwrap();
    running.log.ended(&record, Ending::Rejected { reason: "no".into() });
    assert!(running.log.is_pending(&id), "its acknowledgement may get lost");

    let consumer = async_nats::jetstream::consumer::pull::Config {
        filter_subject: "library.command.documents.AddDocument.*".into(),
        ..Default::default()
    };
    let queue = running.jetstream.get_stream(&running.names[1]).await.unwrap();
    for name in running._fixture.layout().consumers.iter().filter(|c| c.stream == running.names[1]) {
        queue.delete_consumer(&name.name).await.unwrap();
    }
    let consumer = queue.create_consumer(consumer).await.unwrap();
    let delivered = consumer.fetch().max_messages(1).messages().await.unwrap().next().await;
    let delivery = delivered.unwrap().unwrap().reply.clone().unwrap();
    running.log.settle(&delivery, kept.first).await;
    wait_until("it is out of the queue", || !running.log.is_pending(&id)).await;
    assert_eq!(running.messages(1).await, 0);
    assert!(running.log.ending(&id).is_some(), "who asks hears of it for a day");
    let add: TypeName = "documents.AddDocument".parse().unwrap();
    let asks = |sender: &str, type_name| {
        running.log.is_of_another(&id, Origin::of(&sender.parse().unwrap(), type_name))
    };
    assert!(!asks("desk", &add));
    assert!(asks("lender", &add), "another sender");
    assert!(asks("desk", &"documents.Move".parse().unwrap()), "another type");
}

/// The server ends an answer before it is full where its bytes are many.
#[tokio::test]
async fn more_than_one_answer_holds_is_read_back() {
    let running = Running::start().await;
    let id = |n: u64| MsgId::v7(now_ms(), u128::from(n) << 64);
    let large = "x".repeat(1 << 20);
    for n in 0..70 {
        let (subject, mut msg, record) = command(id(n), "desk");
        if let Some(DomainContent::Command(command)) = &mut msg.content {
            command.body = body(&large[..1_000_000]);
        }
        running.log.store_command(subject, &msg, record).await.unwrap();
    }
    let client = running.log.client.clone();
    let (again, _tasks) = open(&client, &running.names).await;
    assert_eq!(again.lock().pending.len(), 70);
}

#[tokio::test]
async fn a_position_of_a_former_log_is_refused() {
    let running = Running::start().await;
    let position = Position::new("abcdefgh", 1).unwrap();
    assert!(running.log.expected(&Expect::At(position)).is_err());
}
