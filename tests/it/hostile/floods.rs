//! Who sends to the doors faster than anybody can read stops nobody else: not by many bytes, not by many requests.

use std::time::{Duration, Instant};

use bytes::Bytes;
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Siege;
use crate::memory::highest;

/// How long a flood of large requests lasts: by one connection for all, the node's was cut in less than a second of it.
const LARGE: Duration = Duration::from_secs(6);
/// Requests in a flood of small ones, each of which is worked on.
const SMALL: u64 = 20_000;
/// What the node may hold at its highest: the shares of requests in hand, and what is on its way to be refused.
const NODE_MIB_MAX: u64 = 1_024;
/// The same of nats-server: what may wait for one connection, of the flooder and of the node.
const SERVER_MIB_MAX: u64 = 1_024;

/// Sends `payload` to a door by several connections so often or so long, and hears no answers.
async fn flood(node: &TestNode, connections: usize, door: &str, payload: Bytes, most: u64) -> JoinSet<u64> {
    let mut floods = JoinSet::new();
    let subject = format!("library.door.{door}.evil");
    for _ in 0..connections {
        let (client, complaints) = node.raw("evil").await;
        let (subject, payload) = (subject.clone(), payload.clone());
        floods.spawn(async move {
            let (begin, mut sent) = (Instant::now(), 0);
            while sent < most && begin.elapsed() < LARGE {
                let reply = "_INBOX.evil.flood.x";
                // Fails where the flooder itself was cut for a moment.
                sent += u64::from(
                    client.publish_with_reply(subject.clone(), reply, payload.clone()).await.is_ok(),
                );
            }
            drop(complaints);
            sent
        });
    }
    floods
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_the_doors_stops_nobody_else() {
    let siege = Siege::begin().await;
    let node = &siege.node;
    let (desk, _complaints) = node.raw("desk").await;
    let hello = Bytes::from_static(b"{}");
    for (connections, door, payload, most) in [
        (4, "event.lending.Noted", Bytes::from(vec![7; 1 << 20]), u64::MAX),
        (4, "hello", Bytes::from(vec![b'{'; 2_000_000]), u64::MAX),
        (1, "hello", hello.clone(), SMALL),
    ] {
        let bytes = payload.len();
        let mut floods = flood(node, connections, door, payload, most).await;
        let ask = async || {
            let answer = desk.request("library.door.hello.desk", hello.clone()).await;
            let answer = answer.unwrap_or_else(|error| {
                panic!("{bytes} bytes at {door}: desk is not answered: {error}\n{}", node.logs())
            });
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert_eq!(answer["ok"]["service"], json!("desk"), "{answer}");
        };
        let mut answered = 0;
        while !floods.is_empty() {
            tokio::select! {
                sent = floods.join_next() => assert!(sent.unwrap().unwrap() > 0),
                () = ask() => answered += 1,
            }
        }
        // What was sent is not all read yet.
        ask().await;
        eprintln!("{bytes} bytes at {door}: desk was answered {answered} times while it lasted");
        let (held, server) = (highest(node.pid()).unwrap(), highest(node.nats_pid()).unwrap());
        eprintln!("the node held at most {held} MiB, nats-server {server} MiB");
        assert!(held <= NODE_MIB_MAX, "{bytes} bytes at {door}: the node held {held} MiB");
        assert!(server <= SERVER_MIB_MAX, "{bytes} bytes at {door}: nats-server held {server} MiB");
    }
    // The flooder is no outcast either.
    let (evil, _complaints) = node.raw("evil").await;
    let ask = async || evil.request("library.door.hello.evil", hello.clone()).await;
    wait_until("evil is answered again", SOON, ask).await;
    siege.end().await;
}
