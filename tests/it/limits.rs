//! What a node may take of its machine, and what it says when there is no more: on small disks, and with clients that read
//! nothing.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use comms::{CommandContext, Content, ErrorKind, Failure};
use comms_tests::node::{alive, highest_mib};
use comms_tests::wait::SOON;
use comms_tests::{SmallDisk, TestNode, fixture, wait_until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::vocabulary::{AddDocument, DocumentRetitled, RetitleDocument};

/// A refusal for want of room is no wait: it comes before anything is tried.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// Within this a node must take writes again once there is room. With another start of nats-server on a busy machine.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

/// A node on a disk of its own. The disk must outlive it.
async fn on(disk: &SmallDisk) -> TestNode {
    fixture::write(disk.path());
    TestNode::start_in(disk.path()).await
}

fn retitled(bytes: usize) -> DocumentRetitled {
    DocumentRetitled { title: "x".repeat(bytes) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_half_its_disk_takes_writes_after_a_restart() {
    const EVENTS: u64 = 900;
    let disk = SmallDisk::mount(100);
    let mut node = on(&disk).await;
    let archive = node.connect("archive").await;
    for _ in 0..EVENTS {
        // As large as a field can be that does not leave its message.
        archive.publish(retitled(60_000)).entity("d").owner("ada").await.unwrap();
    }
    let content: Vec<u8> = (0u32..10 << 18).flat_map(u32::to_le_bytes).collect();
    archive.put(content).await.unwrap();
    assert!(
        disk.free() < 100 * MIB * 4 / 7,
        "the log takes three sevenths of the disk: {} free",
        disk.free()
    );
    node.stop().await;
    node.up().await;
    let archive = node.connect("archive").await;
    archive.publish(retitled(1_000)).entity("d").owner("ada").await.unwrap();
    node.wait_health(200, "true", SOON).await;
    assert_eq!(node.stored("EVENT").await.messages, EVENTS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn near_a_full_disk_commands_end_while_nothing_new_is_taken() {
    let disk = SmallDisk::mount(96);
    let node = on(&disk).await;
    let (archive, desk) = (node.connect("archive").await, node.connect("desk").await);
    let retitle = RetitleDocument { document: "d".into(), title: "waits".into() };
    let waiting = desk.send(retitle.clone()).owner("ada").await.unwrap();
    // A sixteenth of the disk is kept, a quarter of that for good.
    disk.fill(4 * MIB);
    node.wait_health(503, "nothing new is taken: the disk of the event log is full", SOON).await;

    let begin = Instant::now();
    let event = archive.publish(retitled(10)).entity("d").owner("ada").await.unwrap_err();
    let command = desk.send(retitle).owner("ada").await.unwrap_err();
    let put = archive.put(vec![7; 100]).await.unwrap_err();
    for error in [event, command, put] {
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.to_string().contains("the disk of the event log is full"), "{error}");
        assert!(!error.may_have_happened() && !error.is_retryable(), "{error}");
    }
    assert!(begin.elapsed() < REFUSED_WITHIN, "{:?}", begin.elapsed());
    let field = format!("title={}", "x");
    let (code, _, said) = node.run(&[
        "publish",
        "documents.DocumentRetitled",
        &field,
        "--entity",
        "d",
        "--owner",
        "ada",
        "--as",
        "archive",
    ]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("the disk of the event log is full") && said.contains("nothing was stored"),
        "{said}"
    );

    let serving = archive
        .handle(|retitle: RetitleDocument, cx: CommandContext| async move {
            Ok::<_, Failure>(cx.entity("d").emit(DocumentRetitled { title: retitle.title }))
        })
        .start()
        .await
        .unwrap();
    waiting.outcome().await.unwrap().done().unwrap();
    serving.stop().await.unwrap();

    disk.empty();
    node.wait_health(200, "true", RECOVERED_WITHIN).await;
    archive.publish(retitled(10)).entity("d").owner("ada").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_met_a_full_disk_takes_writes_again_once_it_is_freed() {
    let disk = SmallDisk::mount(64);
    let node = on(&disk).await;
    let archive = node.connect("archive").await;
    archive.publish(retitled(10)).entity("d").owner("ada").await.unwrap();
    let frozen = node.nats_pid();
    // Past the node, which would not have let it come to this: until the server has met the end of its disk.
    let jetstream = node.jetstream().await;
    disk.fill(0);
    let unanswered = async || {
        let sent = jetstream.publish("library.outcome.a.B.c", vec![7; 500_000].into()).await.unwrap();
        tokio::time::timeout(Duration::from_millis(500), sent.into_future()).await.is_err()
    };
    wait_until(
        "a write that is not answered",
        SOON,
        async || if unanswered().await { Ok(()) } else { Err(()) },
    )
    .await;
    node.wait_health(503, "nats-server cannot write: its disk is full", SOON).await;
    let begin = Instant::now();
    let refused = archive.publish(retitled(10)).entity("d").owner("ada").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    assert!(!refused.may_have_happened() && begin.elapsed() < REFUSED_WITHIN, "{refused}");

    disk.empty();
    wait_until("room", RECOVERED_WITHIN, async || {
        archive.publish(retitled(10)).entity("d").owner("ada").await.map_err(|error| error.to_string())
    })
    .await;
    assert_ne!(node.nats_pid(), frozen, "it was started again by the node");
    node.wait_health(200, "true", SOON).await;
}

/// Connections that subscribe and never read, as the service `archive` with nothing but its key.
async fn unread(node: &TestNode, subject: &str) -> TcpStream {
    let address = node.nats_url().trim_start_matches("nats://").to_owned();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut info = String::new();
    stream.read_line(&mut info).await.unwrap();
    let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).unwrap();
    let key = nkeys::KeyPair::from_seed(&node.seed("archive")).unwrap();
    let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
    let (nkey, sig) = (key.public_key(), URL_SAFE_NO_PAD.encode(signature));
    let connect = serde_json::json!({ "verbose": false, "nkey": nkey, "sig": sig, "headers": true });
    let begin = format!("CONNECT {connect}\r\nSUB {subject} 1\r\nPING\r\n");
    stream.write_all(begin.as_bytes()).await.unwrap();
    let mut pong = String::new();
    stream.read_line(&mut pong).await.unwrap();
    assert!(pong.starts_with("PONG"), "{pong}");
    stream.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_not_read_take_a_bounded_part_of_the_memory() {
    const CONNECTIONS: usize = 30;
    const HELD_MIB_MAX: u64 = 1_024;
    let node = TestNode::start().await;
    let (server, subject) = (node.nats_pid(), "_INBOX.archive.ask.unread");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(unread(&node, subject).await);
    }
    let (flood, _complaints) = node.raw("archive").await;
    let payload = bytes::Bytes::from(vec![7; 100_000]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        flood.publish(subject, payload.clone()).await.unwrap();
    }
    flood.flush().await.unwrap();
    assert!(alive(server) && node.nats_pid() == server, "{}", node.logs());
    let held = highest_mib(server);
    eprintln!("nats-server held at most {held} MiB");
    assert!(
        held <= HELD_MIB_MAX,
        "nats-server held {held} MiB for {CONNECTIONS} connections that do not read"
    );
    // Everybody else is served.
    let desk = node.connect("desk").await;
    let sent = AddDocument { title: "x".into(), file: Content::from(vec![7; 10]) };
    desk.send(sent).owner("ada").await.unwrap();
}
