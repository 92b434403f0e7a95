//! Whoever takes all there is of something stops nobody else: a service that holds as many commands, bytes in hand,
//! questions, watches and walks over links as it can get, each while honest services are served, and is told what it ran into.

use std::time::{Duration, Instant};

use comms::{EventContext, Recorded};
use comms_content::{Cid, Node};
use comms_msg::door::RefusalKind::{Busy, TooLarge};
use comms_msg::door::{Answer, Refusal};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, fixture};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{Attacker, Siege};
use crate::vocabulary::{DocumentRetitled, RetitleDocument};

/// What a message may cost at most that is refused for what its links lead to.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

fn note(body: Value) -> Value {
    json!({ "metadata": { "owner": "evil" }, "content": { "event": "lending.Noted", "entity": "n1", "body": body } })
}

fn busy(answer: Answer<IgnoredAny>) -> Option<Refusal> {
    match answer {
        Answer::Error(refusal) if refusal.kind == Busy => Some(refusal),
        _ => None,
    }
}

/// Puts a DAG-CBOR block and returns its CID.
async fn put_block(node: &TestNode, service: &str, block: &[u8]) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/content?codec=dag-cbor", node.http_url());
    let put = client.post(url).bearer_auth(node.token(service)).body(block.to_vec()).send().await.unwrap();
    let put: Value = serde_json::from_slice(&put.bytes().await.unwrap()).unwrap();
    put["cid"].as_str().unwrap_or_else(|| panic!("{put}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_at_a_small_door_is_refused_unread() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    for door in ["hello", "listen", "watch", "outcome.lending.Lend"] {
        let refusal = evil.refused(door, vec![b'{'; 20_000]).await;
        assert_eq!(refusal.kind, TooLarge, "{door}: {refusal}");
        assert!(refusal.message.contains("at most 16384"), "{refusal}");
    }
    siege.end().await;
}

/// One after the other, of a type that nobody handles: how many are taken, and what is said of the next.
async fn all_commands(evil: &Attacker, total: u64) -> (u64, Refusal) {
    let lend = |n: u64| {
        let id = format!("0190a000-0000-7000-8000-{n:012x}");
        let body = json!({ "command": "lending.Lend", "body": { "n": n } });
        json!({ "id": id, "metadata": { "owner": "evil" }, "content": body }).to_string()
    };
    let mut sent =
        futures::stream::iter(0..total).map(|n| evil.ask("command.lending.Lend", lend(n))).buffered(64);
    let mut taken = 0;
    while let Some(answer) = sent.next().await {
        match answer {
            Answer::Ok(_) => taken += 1,
            Answer::Error(refusal) => return (taken, refusal),
        }
    }
    panic!("one service has all {total} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_commands_waiting_without_end_leaves_others_theirs_after_a_restart_too() {
    const COMMANDS: u64 = 1_000;
    let definition = format!("{}\n[limits]\ncommands = {COMMANDS}\n", fixture::DOMAIN);
    let mut node = TestNode::start_with(&definition, &[]).await;
    let attacker =
        async |node: &TestNode| Attacker { client: node.raw("evil").await.0, service: "evil".to_owned() };
    let retitle = || RetitleDocument { document: "d".into(), title: "waits".into() };
    let (taken, refusal) = all_commands(&attacker(&node).await, COMMANDS).await;
    assert!(taken > COMMANDS / 2, "what is common, and its part: {taken}");
    assert_eq!(refusal.kind, Busy, "{refusal}");
    let names = |refusal: &Refusal| {
        refusal.message.contains("evil has") && refusal.message.contains("limits.commands")
    };
    assert!(names(&refusal), "{refusal}");
    node.connect("desk").await.send(retitle()).owner("ada").await.expect("the desk's part is free");
    node.stop().await;
    node.up().await;
    let evil = attacker(&node).await;
    let lend = json!({ "metadata": { "owner": "evil" }, "content": { "command": "lending.Lend", "body": { "n": 1 } } });
    let refusal = evil.refused("command.lending.Lend", lend.to_string()).await;
    assert!(refusal.kind == Busy && names(&refusal), "what it holds is counted again: {refusal}");
    node.connect("desk").await.send(retitle()).owner("ada").await.expect("the desk's part is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_bytes_in_hand_without_end_leaves_others_theirs() {
    let siege = Siege::begin_with("[limits]\nrequest_bytes = \"8 MiB\"\n").await;
    let evil = siege.attacker("evil").await;
    // Together less than what nats-server lets wait for one connection.
    let message = note(json!({ "text": "x".repeat(900_000) })).to_string();
    let mut asked: FuturesUnordered<_> =
        (0..32).map(|_| evil.ask("event.lending.Noted", message.clone())).collect();
    let (mut taken, mut over) = (0, Vec::new());
    while let Some(answer) = asked.next().await {
        match answer {
            Answer::Ok(_) => taken += 1,
            Answer::Error(refusal) => over.push(refusal),
        }
    }
    assert!(taken > 0 && !over.is_empty(), "{taken} were taken");
    for refusal in over {
        assert_eq!(refusal.kind, Busy, "{refusal}");
        let said = &refusal.message;
        assert!(said.contains("evil has") && said.contains("limits.request_bytes"), "{refusal}");
    }
    assert!(
        matches!(evil.ask("event.lending.Noted", message).await, Answer::Ok(_)),
        "all of it is given back"
    );
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_outcomes_without_end_leaves_others_theirs() {
    let siege = Siege::begin_with("[limits]\noutcomes = 64\n").await;
    let evil = siege.attacker("evil").await;
    let id = "0190a000-0000-7000-8000-000000000001";
    let lend = json!({ "id": id, "metadata": { "owner": "evil" },
        "content": { "command": "lending.Lend", "body": { "n": 1 } } });
    assert!(matches!(evil.ask("command.lending.Lend", lend.to_string()).await, Answer::Ok(_)));
    let ask = json!({ "command": id, "wait_ms": 20_000 }).to_string();
    let mut asked: FuturesUnordered<_> =
        (0..64).map(|_| evil.ask("outcome.lending.Lend", ask.clone())).collect();
    let refusal = tokio::time::timeout(SOON, async {
        loop {
            if let Some(refusal) = asked.next().await.and_then(busy) {
                return refusal;
            }
        }
    });
    let refusal = refusal.await.expect("some are over its share");
    assert!(refusal.message.contains("evil has") && refusal.message.contains("limits.outcomes"), "{refusal}");
    // Another service's question is answered while evil's wait.
    let lender = siege.attacker("desk").await;
    let unknown = json!({ "command": id, "wait_ms": 0 }).to_string();
    let refusal = lender.refused("outcome.documents.AddDocument", unknown).await;
    assert_eq!(refusal.kind, comms_msg::door::RefusalKind::NotFound, "{refusal}");
    drop(asked);
    siege.end().await;
}

/// Opens watches until that is refused, which is before there are `total`.
async fn all_watches(evil: &Attacker, total: u64) -> Refusal {
    let watch = json!({ "types": ["lending.Noted"] }).to_string();
    let mut opened = 0;
    loop {
        match evil.ask("watch", watch.clone()).await {
            Answer::Ok(_) => opened += 1,
            Answer::Error(refusal) => return refusal,
        }
        assert!(opened < total, "one service has all watches");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_watches_without_end_leaves_others_theirs() {
    let siege = Siege::begin_with("[limits]\nwatches = 16\n").await;
    let evil = siege.attacker("evil").await;
    let refusal = all_watches(&evil, 16).await;
    assert_eq!(refusal.kind, Busy, "{refusal}");
    assert!(refusal.message.contains("limits.watches"), "{refusal}");
    let indexer = siege.node.connect("indexer").await;
    indexer.watch::<crate::vocabulary::DocumentRetitled>().await.expect("the indexer's part is free");
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_added_while_one_service_holds_all_watches_it_can_get() {
    let siege = Siege::begin_with("[limits]\nwatches = 16\n").await;
    let evil = siege.attacker("evil").await;
    assert_eq!(all_watches(&evil, 16).await.kind, Busy);
    let newcomer = "[service.newcomer]\nobserves = [\"documents.DocumentRetitled\"]\n";
    let definition = format!("{}\n[limits]\nwatches = 16\n{newcomer}", fixture::DOMAIN);
    fixture::write_definition(siege.node.path(), &definition);
    let (code, _, said) = siege.node.run(&["domain", "apply", "--as", "operator"]);
    assert_eq!(code, 0, "{said}");
    let (heard, mut hears) = tokio::sync::mpsc::channel(1);
    let newcomer = siege.node.connect("newcomer").await;
    let listening = newcomer.listen(move |_: Recorded<DocumentRetitled>, _: EventContext| {
        // The honest services append more than is looked at here.
        let _ = heard.try_send(());
        async { Ok(()) }
    });
    let listening = listening.start().await.expect("a listener finds room");
    tokio::time::timeout(SOON, hears.recv()).await.expect("it hears what the honest services append");
    listening.stop().await.unwrap();
    siege.end().await;
}

/// The server keeps no more than 1000 consumers of a stream unless it is told so.
#[tokio::test(flavor = "multi_thread")]
async fn listeners_find_room_beside_all_watches() {
    let node = TestNode::start().await;
    let facts = node.facts();
    let name = facts["node"].as_str().unwrap();
    let jetstream = node.jetstream().await;
    for stream in [format!("EVENT_{name}"), format!("COMMAND_{name}")] {
        let stream = jetstream.get_stream(&stream).await.unwrap();
        assert_eq!(stream.cached_info().config.max_consumers, comms_domain::limits::CONSUMERS_MAX);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_very_much_are_refused_by_name_and_hold_nobody_up() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    // Blocks that link to 3,900 others each.
    let mut about: Vec<Value> = Vec::new();
    for n in 0..20u64 {
        let leaves: Vec<Cid> = (0..3_900u64).map(|m| Cid::raw(&(n * 10_000 + m).to_be_bytes())).collect();
        let block = Node::encode(&leaves).unwrap();
        about.push(json!({ "/": put_block(&siege.node, "evil", block.as_bytes()).await }));
    }
    let message = note(json!({ "about": about })).to_string();
    let begin = Instant::now();
    let refusal = evil.refused("event.lending.Noted", message.clone()).await;
    assert!(begin.elapsed() < REFUSED_WITHIN, "{:?}", begin.elapsed());
    assert!(!refusal.message.is_empty());
    let many: FuturesUnordered<_> =
        (0..200).map(|_| evil.ask("event.lending.Noted", message.clone())).collect();
    many.for_each(|answer| async move { assert!(matches!(answer, Answer::Error(_))) }).await;
    siege.end().await;
}

/// Numbers at the end of their range are refused, and the node lives.
#[tokio::test(flavor = "multi_thread")]
async fn positions_beyond_any_log_are_refused() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    let hello = evil.client.request("library.door.hello.evil", "{}".into()).await.unwrap();
    let hello: Value = serde_json::from_slice(&hello.payload).unwrap();
    let log = hello["ok"]["log"].as_str().unwrap();
    for number in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 62, 1_000_000] {
        let position = format!("{number}@{log}");
        let watch = json!({ "types": ["lending.Noted"], "from": { "position": position } });
        evil.refused("watch", watch.to_string()).await;
        let mut expecting = note(json!({}));
        expecting["hop"] = json!({ "expect": position });
        evil.refused("event.lending.Noted", expecting.to_string()).await;
    }
    let last = json!({ "command": "0190a000-0000-7000-8000-000000000001", "wait_ms": u64::MAX }).to_string();
    evil.refused("outcome.lending.Lend", last).await;
    siege.end().await;
}
