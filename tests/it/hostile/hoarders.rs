//! Whoever takes all there is of something stops nobody else: a service that holds as many questions, watches and
//! walks over links as it can get, each while honest services are served, and is told what it ran into.

use std::time::{Duration, Instant};

use comms_content::{Cid, Node};
use comms_msg::door::RefusalKind::{Busy, TooLarge};
use comms_msg::door::{Answer, Refusal};
use comms_tests::TestNode;
use comms_tests::wait::SOON;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Siege;

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

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_watches_without_end_leaves_others_theirs() {
    let siege = Siege::begin_with("[limits]\nwatches = 16\n").await;
    let evil = siege.attacker("evil").await;
    let watch = json!({ "types": ["lending.Noted"] }).to_string();
    let mut opened = 0;
    let refusal = loop {
        match evil.ask("watch", watch.clone()).await {
            Answer::Ok(_) => opened += 1,
            Answer::Error(refusal) => break refusal,
        }
        assert!(opened < 16, "one service has all watches");
    };
    assert_eq!(refusal.kind, Busy, "{refusal}");
    assert!(refusal.message.contains("limits.watches"), "{refusal}");
    let indexer = siege.node.connect("indexer").await;
    indexer.watch::<crate::vocabulary::DocumentRetitled>().await.expect("the indexer's part is free");
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
