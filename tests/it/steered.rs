//! The hole that the broker has: it answers an acknowledgement at the reply subject of whoever acknowledges, and checks
//! that subject against nobody's rights. So a service that observes anything can make nats-server put an empty message,
//! or a status, on every subject of its account. The tests show that it can, and that nothing comes of it.

use std::sync::{Arc, Mutex};

use async_nats::{Client, Subscriber};
use comms::{CommandContext, EventContext, Failure, QueryContext, Recorded};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::vocabulary::{DocumentRetitled, Documents, FindDocuments, Ping, RetitleDocument};

/// What an acknowledgement can say. To the first the server answers a status, to others an empty message.
const ACKNOWLEDGEMENTS: [&str; 7] = ["+NXT", "+NXT {\"batch\":1}", "+WPI", "+ACK", "-NAK", "+TERM", ""];
/// Answers of the server to one round of the above: two statuses, and an empty message at least.
const ANSWERS_MIN: usize = 3;
const LIVE: &str = "library.live.event.documents.d1.DocumentRetitled";

/// `evil`, which observes an event and so has a consumer of its own.
struct Steering {
    client: Client,
    acknowledge: String,
    inbox: Subscriber,
}

impl Steering {
    async fn of(node: &TestNode) -> Steering {
        let (client, _) = node.raw("evil").await;
        let noted = json!({ "metadata": { "owner": "evil" }, "content": { "event": "lending.Noted", "entity": "n1", "body": {} } });
        let stored = ask(&client, "library.door.event.lending.Noted.evil", noted).await;
        assert!(stored["ok"].is_object(), "{stored}");
        let place = arrival(&client, "evil", "events").await;
        let mut deliveries = client.queue_subscribe(place, "evil".into()).await.unwrap();
        let delivered = tokio::time::timeout(SOON, deliveries.next()).await.expect("an event is delivered");
        let acknowledge = delivered.unwrap().reply.expect("it can be acknowledged").to_string();
        let inbox = client.subscribe("_INBOX.evil.steered").await.unwrap();
        client.flush().await.unwrap();
        Steering { client, acknowledge, inbox }
    }

    /// Makes the server say all it can at that subject, and returns when it has: it answers in order.
    async fn onto(&mut self, subject: &str) {
        for payload in ACKNOWLEDGEMENTS {
            self.acknowledge(subject, payload).await;
        }
        self.acknowledge("_INBOX.evil.steered", "+NXT").await;
        let answered = tokio::time::timeout(SOON, self.inbox.next()).await;
        let answer = answered.expect("the server answers +NXT where it is told to").unwrap();
        assert_eq!(answer.status.map(|status| status.as_u16()), Some(409), "{answer:?}");
    }

    async fn acknowledge(&self, reply: &str, payload: &'static str) {
        let (to, reply) = (self.acknowledge.clone(), reply.to_owned());
        self.client.publish_with_reply(to, reply, payload.into()).await.unwrap();
    }
}

async fn ask(client: &Client, subject: &str, body: Value) -> Value {
    let reply = client.request(subject.to_owned(), body.to_string().into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// Where the commands or events for a service arrive: told to nobody else, but taken as known here.
async fn arrival(client: &Client, service: &str, what: &str) -> String {
    let listening = ask(client, &format!("library.door.listen.{service}"), json!({})).await;
    listening["ok"][what]["subject"].as_str().unwrap_or_else(|| panic!("{listening}")).to_owned()
}

async fn arrivals(node: &TestNode) -> [String; 2] {
    let (archive, indexer) = (node.raw("archive").await.0, node.raw("indexer").await.0);
    [arrival(&archive, "archive", "commands").await, arrival(&indexer, "indexer", "events").await]
}

/// Without it the next test would show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_answers_acknowledgements_on_subjects_of_others() {
    let node = TestNode::start().await;
    let mut evil = Steering::of(&node).await;
    let (archive, _) = node.raw("archive").await;
    let (indexer, _) = node.raw("indexer").await;
    let (desk, _) = node.raw("desk").await;
    let [commands, events] = arrivals(&node).await;
    let mine = |client: &Client| {
        let client = client.clone();
        async move |filter: &str| client.queue_subscribe(filter.to_owned(), "archive".into()).await.unwrap()
    };
    let mut heard = [
        (
            "library.command.documents.Ping.desk".to_owned(),
            mine(&archive)("library.command.documents.Ping.*").await,
        ),
        (
            "library.query.documents.FindDocuments.desk".to_owned(),
            mine(&archive)("library.query.documents.FindDocuments.*").await,
        ),
        (
            "library.deliver.archive.x".to_owned(),
            archive.subscribe("library.deliver.archive.x").await.unwrap(),
        ),
        (commands.clone(), archive.subscribe(commands).await.unwrap()),
        (events.clone(), indexer.subscribe(events).await.unwrap()),
        (
            LIVE.to_owned(),
            indexer.subscribe("library.live.event.documents.*.DocumentRetitled").await.unwrap(),
        ),
        ("_INBOX.desk.token".to_owned(), desk.subscribe("_INBOX.desk.token").await.unwrap()),
    ];
    for (client, name) in [(&archive, "archive"), (&indexer, "indexer"), (&desk, "desk")] {
        // An answer behind it on the same connection: the subscriptions are in force.
        ask(client, &format!("library.door.hello.{name}"), json!({})).await;
    }
    for (subject, subscriber) in &mut heard {
        evil.onto(subject).await;
        let (mut statuses, mut empty) = (0, 0);
        while statuses + empty < ANSWERS_MIN {
            let message = tokio::time::timeout(SOON, subscriber.next()).await;
            let message = message.unwrap_or_else(|_| {
                panic!("{statuses} statuses and {empty} empty messages at {subject}: the hole is closed")
            });
            let message = message.unwrap();
            assert!(message.payload.is_empty(), "evil chose what it says: {message:?}");
            match message.status.map(|status| status.as_u16()) {
                Some(409) => statuses += 1,
                None => empty += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(statuses > 0 && empty > 0, "{statuses} statuses and {empty} empty messages at {subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_was_made_to_say_runs_no_handler_and_is_stored_nowhere() {
    let node = TestNode::start().await;
    let ran: Arc<Mutex<Vec<&str>>> = Arc::default();
    let runs = |what: &'static str| {
        let ran = Arc::clone(&ran);
        move || ran.lock().unwrap().push(what)
    };
    let (archive, indexer, desk) =
        (node.connect("archive").await, node.connect("indexer").await, node.connect("desk").await);
    let (direct, query, durable, listener) =
        (runs("direct"), runs("query"), runs("durable"), runs("listener"));
    let archive_serves = archive
        .handle(move |_: Ping, _: CommandContext| {
            direct();
            async { Ok::<(), Failure>(()) }
        })
        .handle(move |_: RetitleDocument, _: CommandContext| {
            durable();
            async { Ok::<(), Failure>(()) }
        })
        .answer(move |find: FindDocuments, _: QueryContext| {
            query();
            async { Ok(Documents { titles: vec![find.words] }) }
        })
        .start()
        .await
        .unwrap();
    let indexer_listens = indexer
        .listen(move |_: Recorded<DocumentRetitled>, _: EventContext| {
            listener();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    let mut watch = indexer.watch::<DocumentRetitled>().await.unwrap();

    let mut evil = Steering::of(&node).await;
    let stored = async || (node.stored("EVENT").await, node.stored("COMMAND").await);
    let before = stored().await;
    let [commands, events] = arrivals(&node).await;
    for subject in [
        "library.command.documents.Ping.desk",
        "library.query.documents.FindDocuments.desk",
        "library.deliver.archive.x",
        &commands,
        &events,
        LIVE,
        "_INBOX.desk.token",
        // Subjects that streams store, and doors.
        "library.event.documents.d1.DocumentRetitled",
        "library.command.documents.RetitleDocument.desk",
        "library.outcome.documents.RetitleDocument.0190a000-0000-7000-8000-000000000000",
        "library.door.command.documents.RetitleDocument.desk",
        "library.door.event.documents.DocumentRetitled.archive",
        "library.door.commit.documents.RetitleDocument.archive",
    ] {
        evil.onto(subject).await;
    }
    wait_until("what was steered to be dropped and counted", SOON, async || {
        let dropped = archive.dropped();
        let count = |why: &str| dropped.iter().find(|(name, _)| *name == why).map_or(0, |(_, count)| *count);
        if count("status") >= 4 && count("malformed") > 0 { Ok(()) } else { Err(dropped) }
    })
    .await;
    assert_eq!(*ran.lock().unwrap(), Vec::<&str>::new(), "a handler ran for what the broker said");
    assert_eq!(stored().await, before, "what the broker said was stored");

    // Everything works as before, once each.
    desk.send(Ping { n: 1 }).owner("ada").await.unwrap();
    desk.ask(FindDocuments { words: "x".into() }).owner("ada").await.unwrap();
    let retitle = RetitleDocument { document: "d1".into(), title: "x".into() };
    desk.send(retitle).owner("ada").await.unwrap().outcome().await.unwrap().done().unwrap();
    archive.publish(DocumentRetitled { title: "honest".into() }).entity("d1").owner("ada").await.unwrap();
    let live = tokio::time::timeout(SOON, watch.next()).await.expect("the event comes").unwrap();
    assert_eq!(live.expect("a watch is not ended by it").event().title, "honest");
    wait_until("the honest messages", SOON, async || {
        let mut ran = ran.lock().unwrap().clone();
        ran.sort_unstable();
        if ran == ["direct", "durable", "listener", "query"] { Ok(()) } else { Err(ran) }
    })
    .await;
    assert_eq!(node.stored("EVENT").await.last, before.0.last + 2, "one event and one outcome");
    assert_eq!(node.stored("COMMAND").await.last, before.1.last + 1);
    archive_serves.stop().await.unwrap();
    indexer_listens.stop().await.unwrap();
}
