//! Damage on the disk, kind by kind: harmless, or named when the node starts. Never a shorter log that says that it is well.
//!
//! One folder is prepared: events, commands that wait and commands that ended. Each kind gets a copy, is damaged, and
//! started. Either it serves, and everything that was acknowledged is read back; or it refuses, names positions, and goes
//! on with `--accept-loss`: then nothing that is left is lost, the loss stands in the log, and no position comes again.

mod around;
mod kinds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use comms::{CommandContext, Commit, End, Failure, Position, TypeName, WatchFrom};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, fixture, wait_until};
use futures::{FutureExt as _, StreamExt as _};

pub(crate) use self::kinds::Disk;
use self::kinds::{KINDS, Kind, Wanted, copy};
use crate::vocabulary::{DocumentRetitled, Lend, RetitleDocument};

/// Events before the older copy is taken, and after.
const EVENTS_OLD: usize = 40;
const EVENTS_NEW: usize = 20;
/// Commands that nobody handles, before and after.
const WAITING: u64 = 6;
/// Commands that ended, each with an event.
const ENDED: usize = 4;
/// Nodes that are tried at once.
const AT_ONCE: usize = 4;

/// What was acknowledged.
#[derive(Debug, Clone)]
struct Acknowledged {
    events: BTreeSet<String>,
    /// The incarnation that positions had.
    log: String,
    positions: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_disk_is_harmless_or_named_at_the_start() {
    let prepared = tempfile::tempdir().unwrap();
    let acknowledged = prepare(prepared.path()).await;
    let wanted = std::env::var("COMMS_DAMAGE").unwrap_or_default();
    let kinds = KINDS.iter().filter(|kind| kind.name.contains(&wanted));
    let (acknowledged, prepared) = (&acknowledged, prepared.path());
    let tries = kinds.map(|kind| async move {
        let tried = AssertUnwindSafe(try_kind(kind, prepared, acknowledged)).catch_unwind().await;
        tried.err().map(|_| kind.name)
    });
    let failures: Vec<&str> =
        futures::stream::iter(tries).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(failures.is_empty(), "{} of {} kinds:\n{}", failures.len(), KINDS.len(), failures.join("\n"));
}

/// A folder with events, commands that wait and commands that ended, and in `old` the store as it was in between.
async fn prepare(folder: &Path) -> Acknowledged {
    fixture::write(folder);
    let mut node = TestNode::at(folder, &[]);
    node.try_up().await.unwrap();
    let (mut events, mut positions) = (BTreeSet::new(), BTreeSet::new());
    let log = write(&node, "old", EVENTS_OLD, &mut events, &mut positions).await;
    assert!(node.stop().await.success());
    copy(&folder.join(".comms/nats/store"), &folder.join("old"));
    node.try_up().await.unwrap();
    write(&node, "new", EVENTS_NEW, &mut events, &mut positions).await;
    assert!(node.stop().await.success());
    Acknowledged { events, log, positions }
}

async fn write(
    node: &TestNode,
    part: &str,
    count: usize,
    events: &mut BTreeSet<String>,
    positions: &mut BTreeSet<String>,
) -> String {
    let (archive, desk, evil) =
        (node.connect("archive").await, node.connect("desk").await, node.connect("evil").await);
    let mut log = String::new();
    for n in 0..count {
        let title = format!("{part} {n}");
        let event = DocumentRetitled { title: title.clone() };
        let recorded = archive.publish(event).entity(format!("d-{}", n % 3)).owner("ada").await.unwrap();
        log = recorded.position.log().to_owned();
        positions.insert(recorded.position.to_string());
        events.insert(title);
    }
    let handle = |command: RetitleDocument, cx: CommandContext| async move {
        Ok::<Commit, Failure>(cx.entity(&command.document).emit(DocumentRetitled { title: command.title }))
    };
    let handler = archive.handle(handle).start().await.unwrap();
    for n in 0..ENDED {
        let title = format!("{part} handled {n}");
        let command = RetitleDocument { document: "d-h".into(), title: title.clone() };
        let outcome = desk.send(command).owner("ada").await.unwrap().outcome().await.unwrap();
        assert!(matches!(outcome.end, End::Done), "{outcome:?}");
        events.insert(title);
    }
    handler.stop().await.unwrap();
    for n in 0..WAITING {
        evil.send(Lend { n }).owner("ada").await.unwrap();
    }
    log
}

async fn try_kind(kind: &Kind, prepared: &Path, acknowledged: &Acknowledged) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("domain");
    copy(prepared, &home);
    let disk = Disk { comms: home.join(".comms"), old: home.join("old") };
    (kind.damage)(&disk);
    let damaged = disk.all_blocks();
    let mut node = TestNode::at(&home, &[]);
    let mut tried = node.try_up().await;
    if kind.wanted == Wanted::Mended {
        let (_, said) = tried.expect_err("it is told");
        assert!(said.contains("/obs/CONSUMER) away"), "{said}");
        ["EVENT", "COMMAND"]
            .iter()
            .for_each(|stream| fs::remove_dir_all(disk.stream(stream).join("obs")).unwrap());
        tried = node.try_up().await;
    }
    let Err((status, said)) = tried else {
        assert_ne!(kind.wanted, Wanted::Named, "{} passes unnoticed", kind.name);
        let found = read(&node, acknowledged.events.len()).await;
        assert_eq!(found, acknowledged.events, "{}", kind.name);
        assert_eq!(node.stored("COMMAND").await.messages, 2 * WAITING, "{}", kind.name);
        return;
    };
    assert_eq!(kind.wanted, Wanted::Named, "{}: {said}", kind.name);
    assert_eq!(status.code(), Some(64), "{}: {said}", kind.name);
    assert!(said.contains("acknowledged messages are lost") && said.contains("--accept-loss"), "{said}");
    if said.contains("nats-server was not started") {
        assert_eq!(disk.all_blocks(), damaged, "{}: the blocks were changed", kind.name);
    } else {
        let is_left =
            ["flipped at", "flipped in", "zeros", "block", "cut"].iter().any(|w| kind.name.contains(w));
        assert!(
            kind.name.contains("ledger") || kind.name.contains("meta") || !is_left,
            "{}: {said}",
            kind.name
        );
    }
    if !kind.name.starts_with("ledger") {
        assert!(
            said.contains(" missing")
                && said.contains('@')
                && (said.contains("documents.DocumentRetitled") || said.contains("x lending.Lend")),
            "{said}"
        );
    }
    // Refused again, for as long as nobody accepts it.
    let (_, again) = node.try_up().await.unwrap_err();
    assert!(again.contains("acknowledged messages are lost"), "{again}");

    let mut node = TestNode::at(&home, &["--accept-loss"]);
    node.try_up().await.unwrap_or_else(|(status, said)| panic!("{}: {status}: {said}", kind.name));
    accepted(kind, &node, acknowledged, said.contains("EVENT_")).await;
    assert!(node.stop().await.success());
    let mut node = TestNode::at(&home, &[]);
    node.try_up().await.unwrap_or_else(|(status, said)| panic!("{} again: {status}: {said}", kind.name));
}

/// A node that goes on without what is lost.
async fn accepted(kind: &Kind, node: &TestNode, acknowledged: &Acknowledged, events_lost: bool) {
    let archive = node.connect("archive").await;
    for n in 0..EVENTS_NEW + ENDED + 2 {
        let event = DocumentRetitled { title: format!("after {n}") };
        let recorded = archive.publish(event).entity("d-1").owner("ada").await.unwrap();
        let position: Position = recorded.position;
        assert!(!acknowledged.positions.contains(&position.to_string()), "{}: {position} again", kind.name);
        assert_eq!(position.log() != acknowledged.log, events_lost, "{}: {position}", kind.name);
    }
    let loss = loss(node).await;
    assert!(loss.contains("_n-"), "{}: {loss}", kind.name);
}

/// The loss as it stands in the log.
async fn loss(node: &TestNode) -> String {
    let indexer = node.connect("indexer").await;
    let own: TypeName = "comms.LossAccepted".parse().unwrap();
    let mut watch = indexer.watch_types([own]).from(WatchFrom::Start).await.unwrap();
    let event =
        tokio::time::timeout(SOON, watch.next()).await.expect("the loss is in the log").unwrap().unwrap();
    match event.event() {
        comms_msg::Body::Inline(node) => node.to_json(),
        other => panic!("{other:?}"),
    }
}

/// The titles of the events in the log, as many as are wanted.
async fn read(node: &TestNode, count: usize) -> BTreeSet<String> {
    let indexer = node.connect("indexer").await;
    let mut watch = indexer.watch::<DocumentRetitled>().from(WatchFrom::Start).await.unwrap();
    let mut found = BTreeSet::new();
    while found.len() < count {
        let event = tokio::time::timeout(SOON, watch.next()).await;
        let event = event.unwrap_or_else(|_| panic!("only {} events: {found:?}", found.len()));
        found.insert(event.unwrap().unwrap().into_event().title);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_under_the_node_shows_and_the_doors_refuse() {
    for kind in ["EVENT", "COMMAND"] {
        let mut node = TestNode::start().await;
        let (archive, evil) = (node.connect("archive").await, node.connect("evil").await);
        archive.publish(DocumentRetitled { title: "a".into() }).entity("d").owner("ada").await.unwrap();
        evil.send(Lend { n: 1 }).owner("ada").await.unwrap();
        let name = format!("{kind}_{}", node.facts()["node"].as_str().unwrap());
        node.jetstream().await.delete_stream(&name).await.unwrap();
        let health = wait_until("health to show it", Duration::from_secs(10), async || {
            let answer = reqwest::get(format!("{}/health", node.http_url())).await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            if status == 503 { Ok(text) } else { Err(text) }
        })
        .await;
        assert!(health.contains(&name), "{health}");
        let event = DocumentRetitled { title: "b".into() };
        let refused = archive.publish(event).entity("d").owner("ada").within(Duration::from_secs(2)).await;
        assert!(refused.unwrap_err().to_string().contains("lost"), "a door answers from a log that is gone");
        node.stop().await;
        let (_, said) = node.try_up().await.unwrap_err();
        assert!(said.contains(&name) && said.contains("the stream is not there"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_is_refused_although_the_lock_was_removed() {
    let node = TestNode::start().await;
    let server = node.nats_pid();
    fs::remove_file(node.comms_folder().join("lock")).unwrap();
    let (code, _, err) = node.run(&["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains(&node.pid().to_string()), "the holder is named: {err}");
    assert_eq!(node.nats_pid(), server);
    let archive = node.connect("archive").await;
    archive.publish(DocumentRetitled { title: "a".into() }).entity("d").owner("ada").await.unwrap();
}
