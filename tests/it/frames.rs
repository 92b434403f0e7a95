//! Direct messages that leave together: who said that he reads frames gets frames, everybody else one message at a time.

use std::future::IntoFuture;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::{CommandContext, ErrorKind, Failure, QueryContext};
use comms_content::Node;
use comms_msg::door::Form;
use comms_msg::{Msg, Reply, wire};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, tools, wait_until};
use futures::StreamExt;
use futures::future::join_all;

use crate::vocabulary::{Documents, FindDocuments, Ping};

const COMMANDS: &str = "library.command.documents.Ping.*";
const COMMAND_FRAMES: &str = "library.frames.command.documents.Ping.*";
const QUERIES: &str = "library.query.documents.FindDocuments.*";
const QUERY_FRAMES: &str = "library.frames.query.documents.FindDocuments.*";

/// The messages of a payload, which must all be readable.
fn messages(payload: &bytes::Bytes) -> Vec<Msg> {
    wire::read(payload).unwrap().map(Result::unwrap).collect()
}

fn number(msg: &Msg) -> u64 {
    let body = match msg.content.as_ref().unwrap().body() {
        comms_msg::Body::Inline(node) => node.decode::<Ping>().unwrap(),
        other => panic!("{other:?}"),
    };
    body.n
}

/// What a plain client in the queue group of `archive` got, payload by payload.
type Got = Arc<Mutex<Vec<bytes::Bytes>>>;

/// A plain client that takes what arrives there, as any program in any language would.
async fn plain(node: &TestNode, subject: &'static str) -> (async_nats::Client, Got) {
    let (client, _) = node.raw("archive").await;
    let mut arriving = client.queue_subscribe(subject, "archive".to_owned()).await.unwrap();
    let got = Got::default();
    let kept = Arc::clone(&got);
    tokio::spawn(async move {
        while let Some(message) = arriving.next().await {
            kept.lock().unwrap().push(message.payload);
        }
    });
    // In force when the server has answered what came after it on the same connection.
    settled(&client).await;
    (client, got)
}

async fn settled(client: &async_nats::Client) {
    let hello = client.request("library.door.hello.archive", "{}".into());
    tokio::time::timeout(SOON, hello).await.unwrap().unwrap();
}

/// What a plain client makes of a query.
type Answer = fn(&Msg) -> bytes::Bytes;

/// A plain client that answers queries one by one.
async fn plain_answers(node: &TestNode, answer: Answer) -> async_nats::Client {
    let (client, _) = node.raw("archive").await;
    let mut arriving = client.queue_subscribe(QUERIES, "archive".to_owned()).await.unwrap();
    let answering = client.clone();
    tokio::spawn(async move {
        while let Some(message) = arriving.next().await {
            let queries = messages(&message.payload);
            assert_eq!(queries.len(), 1, "one message at a time");
            answering.publish(message.reply.unwrap(), answer(&queries[0])).await.unwrap();
        }
    });
    settled(&client).await;
    client
}

fn found(query: &Msg) -> bytes::Bytes {
    let titles = Documents { titles: vec![query.id.to_string()] };
    Reply { to: query.id, answer: Ok(Node::encode(&titles).unwrap()) }.to_wire(Form::Json).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_heard_of_frames_gets_one_message_at_a_time() {
    const AT_ONCE: u64 = 500;
    let node = TestNode::start().await;
    let (_client, got) = plain(&node, COMMANDS).await;
    let _answering = plain_answers(&node, found).await;
    let desk = node.connect("desk").await;
    for burst in 0..2 {
        let sent = join_all(
            (0..AT_ONCE).map(|n| desk.send(Ping { n: burst * AT_ONCE + n }).owner("ada").into_future()),
        )
        .await;
        assert!(sent.iter().all(Result::is_ok));
        let asked = join_all((0..AT_ONCE).map(|n| {
            desk.ask(FindDocuments { words: n.to_string() }).owner("ada").within(SOON).into_future()
        }))
        .await;
        let mut answers: Vec<String> = asked.into_iter().flat_map(|found| found.unwrap().titles).collect();
        answers.sort();
        answers.dedup();
        assert_eq!(answers.len() as u64, AT_ONCE, "each its own");
    }
    wait_until("all commands", SOON, async || {
        let count = got.lock().unwrap().len() as u64;
        if count == 2 * AT_ONCE { Ok(()) } else { Err(count) }
    })
    .await;
    let got = got.lock().unwrap();
    let mut numbers: Vec<u64> = got
        .iter()
        .map(|payload| {
            assert_ne!(payload[0] >> 5, 4, "no array");
            let [msg] =
                messages(payload).try_into().unwrap_or_else(|all: Vec<Msg>| panic!("{} messages", all.len()));
            number(&msg)
        })
        .collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..2 * AT_ONCE), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_python_gets_one_message_at_a_time() {
    let node = TestNode::start().await;
    let mut python = std::process::Command::new(tools::python());
    python.args(["-B", "-c", HANDLER]).current_dir(node.path()).env("NATS", node.nats_url());
    let mut python = comms_tests::Process::start({
        python.stdin(Stdio::null());
        python
    });
    python.line_with("ready").await;
    let desk = node.connect("desk").await;
    let sent = join_all((0..20).map(|n| desk.send(Ping { n }).owner("ada").into_future())).await;
    assert!(sent.iter().all(Result::is_ok));
    let asked = join_all(
        (0..20)
            .map(|_| desk.ask(FindDocuments { words: "x".into() }).owner("ada").within(SOON).into_future()),
    )
    .await;
    for found in asked {
        assert_eq!(found.unwrap().titles, ["one"]);
    }
    let said = python.line_with("all 20").await;
    assert_eq!(said, "all 20");
}

/// Takes commands and answers queries as a program that knows nothing but messages. The first byte of a canonical map
/// is 0xa0 and the number of its keys; an id is a text of 36 bytes after its key.
const HANDLER: &str = r#"
import asyncio, json, os, nats
async def main():
    seed = open(".comms/credentials/archive.nk").read()
    nc = await nats.connect(os.environ["NATS"], nkeys_seed_str=seed, inbox_prefix=b"_INBOX.archive")
    count = 0
    async def command(message):
        nonlocal count
        assert message.data[0] >> 5 == 5, message.data[:8]
        count += 1
        if count == 20:
            print("all 20", flush=True)
    async def query(message):
        assert message.data[0] >> 5 == 5, message.data[:8]
        at = message.data.index(b"\x62id") + 5
        to = message.data[at:at + 36].decode()
        await nc.publish(message.reply, json.dumps({"to": to, "ok": {"titles": ["one"]}}).encode())
    await nc.subscribe("library.command.documents.Ping.*", queue="archive", cb=command)
    await nc.subscribe("library.query.documents.FindDocuments.*", queue="archive", cb=query)
    await nc.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_to_frames_gets_frames_and_when_he_goes_single_messages_go_on() {
    let node = TestNode::start().await;
    let (_alone, single) = plain(&node, COMMANDS).await;
    let (reads_frames, frames) = plain(&node, COMMAND_FRAMES).await;
    let desk = node.connect("desk").await;
    let arrays = || frames.lock().unwrap().iter().filter(|p| p.first().is_some_and(|b| b >> 5 == 4)).count();
    let mut n = 0;
    while arrays() == 0 {
        let burst = join_all((n..n + 200).map(|n| desk.send(Ping { n }).owner("ada").into_future())).await;
        assert!(burst.iter().all(Result::is_ok));
        desk.flush().await.unwrap();
        n += 200;
    }
    // Each arrived once, here or there, and what is a question arrived as nothing.
    let all = || {
        let (single, frames) = (single.lock().unwrap(), frames.lock().unwrap());
        let arrived = single.iter().chain(frames.iter()).filter(|payload| !payload.is_empty());
        let mut numbers: Vec<u64> =
            arrived.flat_map(|p| messages(p).iter().map(number).collect::<Vec<_>>()).collect();
        numbers.sort_unstable();
        numbers
    };
    wait_until("all of them", SOON, async || {
        let arrived = all();
        if arrived.iter().copied().eq(0..n) { Ok(()) } else { Err(arrived.len()) }
    })
    .await;
    assert!(single.lock().unwrap().iter().all(|payload| payload[0] >> 5 != 4));

    reads_frames.drain().await.unwrap();
    let before = single.lock().unwrap().len();
    wait_until("single messages", SOON, async || {
        let burst = join_all((0..50).map(|n| desk.send(Ping { n }).owner("ada").into_future())).await;
        assert!(burst.iter().all(Result::is_ok));
        desk.flush().await.unwrap();
        let now = single.lock().unwrap().len();
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_queries_that_nobody_reads_any_more_is_asked_again_one_by_one() {
    let node = TestNode::start().await;
    let library = node.connect("archive").await;
    let serving = library
        .answer(
            |find: FindDocuments, _: QueryContext| async move { Ok(Documents { titles: vec![find.words] }) },
        )
        .start()
        .await
        .unwrap();
    let desk = node.connect("desk").await;
    let ask = async || {
        let asked =
            (0..200).map(|n| desk.ask(FindDocuments { words: n.to_string() }).owner("ada").within(SOON));
        join_all(asked.map(IntoFuture::into_future)).await.into_iter().filter(Result::is_ok).count()
    };
    // Long enough for frames to have been taken up: after the first answers the question is answered too.
    for _ in 0..5 {
        assert_eq!(ask().await, 200);
    }
    let _plain = plain_answers(&node, found).await;
    serving.stop().await.unwrap();
    drop(library);
    for _ in 0..3 {
        assert_eq!(ask().await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_both_kinds_share_and_each_command_is_handled_once() {
    const PINGS: u64 = 5_000;
    let node = TestNode::start().await;
    let (_client, got) = plain(&node, COMMANDS).await;
    let handled = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&handled);
    let library = node.connect("archive").await;
    let _serving = library
        .handle(move |_: Ping, _: CommandContext| {
            counting.fetch_add(1, Ordering::Relaxed);
            async { Ok::<(), Failure>(()) }
        })
        .start()
        .await
        .unwrap();
    let desk = node.connect("desk").await;
    for n in 0..PINGS {
        desk.send(Ping { n }).owner("ada").await.unwrap();
    }
    wait_until("all of them", SOON, async || {
        let plain = got.lock().unwrap().len() as u64;
        let library = handled.load(Ordering::Relaxed);
        if plain + library == PINGS { Ok(()) } else { Err((plain, library)) }
    })
    .await;
    assert!(got.lock().unwrap().iter().all(|payload| messages(payload).len() == 1 && payload[0] >> 5 != 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_says_so_at_once() {
    let answers: [(&str, Answer); 5] = [
        ("1200000 bytes that are no answer", |_| vec![b'x'; 1_200_000].into()),
        ("5 bytes that are no answer", |_| "hello".into()),
        ("0 bytes that are no answer", |_| bytes::Bytes::new()),
        ("24 bytes that are no answer", |_| r#"{"documents": ["no id"]}"#.into()),
        ("which was not asked there", |_| {
            let other = comms_msg::MsgId::v7(1, 1);
            Reply { to: other, answer: Ok(Node::encode(&1).unwrap()) }.to_wire(Form::Json).unwrap()
        }),
    ];
    for (words, answer) in answers {
        let node = TestNode::start().await;
        let _plain = plain_answers(&node, answer).await;
        let desk = node.connect("desk").await;
        // Far longer than it takes to say it.
        let asking =
            desk.ask(FindDocuments { words: "x".into() }).owner("ada").within(Duration::from_secs(600));
        let error = tokio::time::timeout(SOON, asking.into_future()).await.expect("at once").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_as_strictly_ruled_as_what_goes_alone() {
    let node = TestNode::start().await;
    // A service that may send pings may not listen to others' frames, nor send them under another name.
    let (evil, mut complaints) = node.raw("evil").await;
    for subject in [COMMAND_FRAMES, QUERY_FRAMES] {
        let _subscribed = evil.queue_subscribe(subject, "archive".to_owned()).await.unwrap();
        let complaint = tokio::time::timeout(SOON, complaints.recv()).await.unwrap().unwrap();
        assert!(complaint.to_lowercase().contains("permissions violation for subscription"), "{complaint}");
    }
    for subject in
        ["library.frames.command.documents.Ping.desk", "library.frames.command.documents.AddDocument.evil"]
    {
        evil.publish(subject, "x".into()).await.unwrap();
        let complaint = tokio::time::timeout(SOON, complaints.recv()).await.unwrap().unwrap();
        assert!(complaint.to_lowercase().contains("permissions violation for publish"), "{complaint}");
    }
}
