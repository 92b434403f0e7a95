//! What a node may take of its disks, and what it says when there is no more.

use std::time::{Duration, Instant};

use comms::{CommandContext, Comms, ErrorKind, Failure, Sent};
use comms_tests::wait::SOON;
use comms_tests::{SmallDisk, TestNode, fixture, wait_until};
use futures::future::join_all;

use crate::vocabulary::{DocumentRetitled, RetitleDocument};

/// A refusal for want of room is no wait: it comes before anything is tried.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// Within this a node must take writes again once there is room. With another start of nats-server on a busy machine.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
/// Within this the node hears what the log takes, on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(4);
const MIB: u64 = 1 << 20;

/// A node on a disk of its own. The disk must outlive it.
async fn on(disk: &SmallDisk) -> TestNode {
    fixture::write(disk.path());
    TestNode::start_in(disk.path()).await
}

fn retitled(bytes: usize) -> DocumentRetitled {
    DocumentRetitled { title: "x".repeat(bytes) }
}

/// What ends a command is stored.
async fn ends(archive: &Comms, waiting: &Sent) {
    let serving = archive
        .handle(|retitle: RetitleDocument, cx: CommandContext| async move {
            Ok::<_, Failure>(cx.entity("d").emit(DocumentRetitled { title: retitle.title }))
        })
        .start()
        .await
        .unwrap();
    waiting.outcome().await.unwrap().done().unwrap();
    serving.stop().await.unwrap();
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

    ends(&archive, &waiting).await;

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

/// Publishes events of 60 kB, some at a time, until `count` are there or one is refused.
async fn fill(archive: &Comms, count: u64) -> Result<(), comms::Error> {
    const AT_ONCE: u64 = 16;
    for _ in 0..count.div_ceil(AT_ONCE) {
        let some = (0..AT_ONCE)
            .map(|n| archive.publish(retitled(60_000)).entity(format!("d{n}")).owner("ada").into_future());
        join_all(some).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_of_the_log_refuses_by_name_and_counts_until_it_is_raised() {
    const MORE_THAN_32_MIB: u64 = 800;
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path());
    let mut node = TestNode::at(folder.path(), &["--log-max", "32MiB", "--keep-free", "1 MiB"]);
    node.up().await;
    let (archive, desk) = (node.connect("archive").await, node.connect("desk").await);
    let retitle = RetitleDocument { document: "d".into(), title: "waits".into() };
    let waiting = desk.send(retitle.clone()).owner("ada").await.unwrap();
    fill(&archive, MORE_THAN_32_MIB).await.expect_err("the log is bounded");
    // Until nats-server tells what they took, events count for a little more: then there is room for some again.
    let mut refused: Option<Instant> = None;
    let event = wait_until("nothing more to be taken", SOON, async || {
        match archive.publish(retitled(60_000)).entity("d").owner("ada").await {
            Ok(_) => {
                refused = None;
                Err("one was taken".to_owned())
            }
            Err(error) if refused.get_or_insert_with(Instant::now).elapsed() > TOLD_WITHIN => Ok(error),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    let command = desk.send(retitle).owner("ada").await.unwrap_err();
    for error in [event, command] {
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        let said = error.to_string();
        assert!(
            said.contains("the log has reached its bound: 32.") && said.contains("raise log_max"),
            "{said}"
        );
        assert!(!error.may_have_happened() && !error.is_retryable(), "{error}");
    }
    node.wait_health(503, "the log has reached its bound", SOON).await;
    let put =
        reqwest::Client::builder().no_proxy().build().unwrap().post(format!("{}/content", node.http_url()));
    let put = put.bearer_auth(node.token("desk")).body("x").send().await.unwrap();
    assert_eq!(put.status(), 507);
    ends(&archive, &waiting).await;

    node.stop().await;
    node.set_arguments(&["--log-max", "64MiB"]);
    node.up().await;
    let archive = node.connect("archive").await;
    fill(&archive, 320).await.expect("there is room for 20 MiB more");
    node.wait_health(200, "true", SOON).await;
    let stored = node.stored("EVENT").await;

    // A bound below what is there loses nothing of it.
    node.stop().await;
    node.set_arguments(&["--log-max", "32MiB"]);
    node.up().await;
    node.wait_health(503, "the log has reached its bound", SOON).await;
    let refused =
        node.connect("archive").await.publish(retitled(1)).entity("d").owner("ada").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    assert_eq!(node.stored("EVENT").await, stored);
}

/// A mebibyte like no other.
fn noise() -> Vec<u8> {
    (0..MIB / 16).flat_map(|_| rand::random::<u128>().to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_in_a_row_use_a_small_disk_to_its_line_and_the_refusal_says_what_is_there() {
    let disk = SmallDisk::mount(20);
    let node = on(&disk).await;
    let desk = node.connect("desk").await;
    let same = noise();
    for _ in 0..40 {
        desk.put(same.clone()).await.expect("what takes no room is taken");
    }
    let refused = loop {
        match desk.put(noise()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    // A sixteenth is kept; beside it there was less than one more of these.
    let (free, said) = (disk.free(), refused.to_string());
    assert!(free < 20 * MIB / 16 + 3 * MIB / 2, "{free} bytes are free, and {said}");
    let told = said.split(" MiB free").next().and_then(|begin| begin.rsplit(' ').next()).unwrap();
    let told: f64 = told.parse().unwrap();
    assert!((told - free as f64 / MIB as f64).abs() < 1.5, "{free} bytes are free, and {said}");
    assert!(said.contains("1.2 MiB are kept"), "{said}");
}
