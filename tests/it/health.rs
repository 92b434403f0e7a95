//! Whether a node is well is found out by using it: a nats-server that answers nothing shows, and is started again.

use std::time::{Duration, Instant};

use comms_tests::node::{alive, signal};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};

use crate::vocabulary::DocumentRetitled;

/// Within this a server that hangs must show.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// How long a hung server may last: until it is known to hang, is killed, and another has started on a busy machine.
const MENDED_WITHIN: Duration = Duration::from_secs(40);
/// Long enough for several probes.
const PROBES: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_shows_within_ten_seconds_and_is_started_again() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let publish =
        |title: &str| archive.publish(DocumentRetitled { title: title.into() }).entity("d").owner("ada");
    publish("before").await.unwrap();
    node.wait_health(200, "true", SOON).await;
    let stopped = node.nats_pid();
    signal(stopped, "STOP");
    let asked = publish("while it is stopped");
    let (told, ()) = tokio::join!(asked.into_future(), async {
        node.wait_health(503, "nats-server has not answered for", SHOWN_WITHIN).await;
    });
    // It was answered by the next server, or says that nobody knows; its id is the same either way.
    if let Err(error) = told {
        assert!(error.is_retryable() && error.may_have_happened(), "{error}");
    }
    wait_until(
        "another nats-server",
        MENDED_WITHIN,
        async || if alive(stopped) { Err(node.logs()) } else { Ok(()) },
    )
    .await;
    node.wait_health(200, "true", MENDED_WITHIN).await;
    assert_ne!(node.nats_pid(), stopped);
    publish("after").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_stores_nothing_and_is_heard_by_nobody() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    archive.publish(DocumentRetitled { title: "x".into() }).entity("d").owner("ada").await.unwrap();
    let before = [node.stored("EVENT").await, node.stored("COMMAND").await];
    let begin = Instant::now();
    wait_until(
        "some probes",
        SOON,
        async || if begin.elapsed() > PROBES { Ok(()) } else { Err(begin.elapsed()) },
    )
    .await;
    assert_eq!([node.stored("EVENT").await, node.stored("COMMAND").await], before);
    node.wait_health(200, "true", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_gone_shows() {
    let node = TestNode::start().await;
    let name = format!("COMMAND_{}", node.facts()["node"].as_str().unwrap());
    node.jetstream().await.delete_stream(&name).await.unwrap();
    node.wait_health(503, "is gone", SOON).await;
}
