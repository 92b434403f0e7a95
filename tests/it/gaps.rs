//! Readers notice what is missing: an event that was acknowledged becomes unreadable on the disk, and everybody who reads
//! is told, whether it watches or listens, and gets the rest. Nobody who reads an intact log is told so.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::{
    Comms, ErrorKind, EventContext, Failure, Position, Recorded, Running, TypeName, WatchFrom, Watched,
};
use comms_tests::node::signal;
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::damage::Disk;
use crate::vocabulary::DocumentRetitled;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    n: usize,
}
comms::event!(Noted = "lending.Noted");

/// Within this the node notices what a listener passed over, and within this again its services are told.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// Publishes under way at the same time.
const AT_ONCE: usize = 64;

/// What one watch came to, up to now.
#[derive(Debug, Default)]
struct Read {
    titles: Vec<String>,
    /// Positions, each told once.
    lost: BTreeSet<String>,
    accepted: Vec<Position>,
}

fn title(n: usize) -> String {
    format!("title {n} of all")
}

fn entity(n: usize) -> String {
    format!("d-{}", n % 3)
}

/// Records events, one after another, and says where they stand.
async fn record(archive: &Comms, numbers: std::ops::Range<usize>) -> Vec<Position> {
    let publish = |n| async move {
        let event = DocumentRetitled { title: title(n) };
        archive.publish(event).entity(entity(n)).owner("ada").await.map(|recorded| recorded.position)
    };
    futures::stream::iter(numbers).map(publish).buffered(1).try_collect().await.unwrap()
}

/// Makes the event with that title unreadable where it is stored.
fn spoil(node: &TestNode, title: &str) {
    let disk = Disk { comms: node.comms_folder(), old: PathBuf::new() };
    let block = disk.block("EVENT");
    let mut bytes = fs::read(&block).unwrap();
    let at = bytes.windows(title.len()).position(|part| part == title.as_bytes()).unwrap();
    bytes[at] ^= 0x10;
    fs::write(&block, bytes).unwrap();
}

/// Ends nats-server alone, in order, and waits until the node has it back: what it had in memory is forgotten.
async fn restart_server(node: &TestNode) {
    let before = node.nats_pid();
    signal(before, "TERM");
    wait_until("another nats-server", SOON, async || {
        let now = fs::read_to_string(node.comms_folder().join("nats/nats-server.pid")).unwrap_or_default();
        match now.trim().parse::<u32>() {
            Ok(now) if now != before => Ok(()),
            _ => Err(now),
        }
    })
    .await;
    node.wait_health(200, "", SOON).await;
}

/// Everything up to now, as that service, of one entity or all.
async fn read(comms: &Comms, from: WatchFrom, entity: Option<&str>) -> Read {
    let mut building = comms.watch::<DocumentRetitled>().from(from);
    if let Some(entity) = entity {
        building = building.entity(entity);
    }
    let mut watch = building.await.unwrap();
    let mut read = Read::default();
    loop {
        let step = tokio::time::timeout(SOON, watch.step()).await;
        match step.unwrap_or_else(|_| panic!("it does not catch up: {read:?}")).unwrap() {
            Ok(Watched::Event(event)) => read.titles.push(event.into_event().title),
            Ok(Watched::LossAccepted(positions)) => read.accepted.extend(positions),
            Ok(Watched::CaughtUp) => return read,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
                for position in error.positions() {
                    assert!(read.lost.insert(position.to_string()), "{position} is told twice");
                }
            }
        }
    }
}

fn all_but(count: usize, missing: &[usize], of: Option<&str>) -> Vec<String> {
    let wanted = |n: &usize| !missing.contains(n) && of.is_none_or(|of| entity(*n) == of);
    (0..count).filter(wanted).map(title).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_told_what_became_unreadable_while_the_node_runs_and_get_the_rest() {
    const COUNT: usize = 300;
    // The first event of all and of its entity; one among the others, twice.
    let missing = [0, 150, 151];
    let mut node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let positions = record(&archive, 0..COUNT).await;
    let indexer = node.connect("indexer").await;
    let whole = read(&indexer, WatchFrom::Start, None).await;
    assert_eq!((whole.titles, whole.lost.len()), (all_but(COUNT, &[], None), 0));

    missing.iter().for_each(|n| spoil(&node, &title(*n)));
    restart_server(&node).await;
    let lost = |wanted: &dyn Fn(usize) -> bool| -> BTreeSet<String> {
        missing.iter().filter(|n| wanted(**n)).map(|n| positions[*n].to_string()).collect()
    };
    let all = read(&indexer, WatchFrom::Start, None).await;
    assert_eq!(all.lost, lost(&|_| true));
    let mut titles = all.titles;
    titles.sort_by_key(|title| title.split(' ').nth(1).unwrap().parse::<usize>().unwrap());
    assert_eq!(titles, all_but(COUNT, &missing, None), "the rest comes, each once");
    for of in ["d-0", "d-1", "d-2"] {
        let part = read(&indexer, WatchFrom::Start, Some(of)).await;
        assert_eq!(part.lost, lost(&|n| entity(n) == of), "{of}");
        assert_eq!(part.titles, all_but(COUNT, &missing, Some(of)), "{of}");
    }
    let behind = read(&indexer, WatchFrom::Position(positions[150]), None).await;
    assert_eq!(behind.lost, lost(&|n| n > 150));
    let behind = read(&indexer, WatchFrom::Position(positions[200]), None).await;
    assert_eq!((behind.lost.len(), behind.titles.len()), (0, COUNT - 201));

    // At the terminal.
    let watch = ["watch", "documents.*", "--from", "start", "--until-now", "--as", "indexer"];
    let (code, out, err) = node.run(&watch);
    assert_eq!(code, 1, "{out}\n{err}");
    assert!(err.contains("3 acknowledged events are missing"), "{err}");
    assert_eq!(out.lines().filter(|line| line.starts_with("event")).count(), COUNT - missing.len());
    for position in lost(&|_| true) {
        let told = out.lines().any(|line| line.starts_with("lost") && line.contains(&position));
        assert!(told, "{position} is not in {out}");
    }
    let (code, out, _) = node.run(&[&watch[..], &["--json"]].concat());
    assert_eq!(code, 1);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let gaps: Vec<&Value> = lines.iter().filter_map(|line| line.get("lost")).collect();
    assert!(gaps.iter().all(|gap| gap["accepted"] == false), "{gaps:?}");
    let named: BTreeSet<String> = gaps
        .iter()
        .flat_map(|gap| gap["positions"].as_array().unwrap())
        .map(|p| p.as_str().unwrap().into())
        .collect();
    assert_eq!(named, lost(&|_| true));

    // The node knows by now.
    node.wait_health(503, &positions[150].to_string(), SOON).await;
    let event = DocumentRetitled { title: "after".into() };
    let refused = archive.publish(event).entity("d").owner("ada").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Lost, "{refused}");
    accepted(&mut node, &positions, &missing, COUNT).await;
}

/// The operator goes on without what is lost: readers are told, and nothing fails.
async fn accepted(node: &mut TestNode, positions: &[Position], missing: &[usize], count: usize) {
    node.stop().await;
    let (_, said) = node.try_up().await.unwrap_err();
    assert!(said.contains("3 missing, 0 different"), "{said}");
    let mut node = TestNode::at(node.path(), &["--accept-loss"]);
    node.try_up().await.unwrap();
    let indexer = node.connect("indexer").await;
    let all = read(&indexer, WatchFrom::Start, None).await;
    assert_eq!((all.lost.len(), all.titles.len()), (0, count - missing.len()));
    let sequences: BTreeSet<u64> = all.accepted.iter().map(Position::sequence).collect();
    assert_eq!(sequences, missing.iter().map(|n| positions[*n].sequence()).collect());
    assert!(all.accepted.iter().all(|position| position.log() != positions[0].log()), "{all:?}");
    let part = read(&indexer, WatchFrom::Start, Some("d-1")).await;
    assert_eq!(part.accepted.len(), missing.iter().filter(|n| entity(**n) == "d-1").count());
    let new = record(&node.connect("archive").await, count..count + 1).await;
    let behind = read(&indexer, WatchFrom::Position(*all.accepted.last().unwrap()), None).await;
    assert_eq!((behind.accepted.len(), behind.titles.last().cloned()), (0, Some(title(count))));
    assert!(!positions.contains(&new[0]));

    let watch = ["watch", "documents.*", "--from", "start", "--until-now", "--as", "indexer"];
    let (code, out, err) = node.run(&watch);
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().any(|line| line.starts_with("lost") && line.contains("went on without")), "{out}");
    // Who takes events alone is not stopped by it.
    let mut watch = indexer.watch::<DocumentRetitled>().from(WatchFrom::Start).await.unwrap();
    for _ in 0..=count - missing.len() {
        tokio::time::timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
    }
    assert!(node.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_told_of_the_only_event_and_of_the_last_of_its_type() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let positions = record(&archive, 0..3).await;
    // The end of the log is of another type: damage there would be found at the start of the server.
    let evil = node.connect("evil").await;
    for n in 0..3 {
        let noted = evil.publish(Noted { n });
        noted.entity("n").owner("evil").await.unwrap();
    }
    spoil(&node, &title(2));
    restart_server(&node).await;
    let indexer = node.connect("indexer").await;
    // The only event of its entity, so that nothing comes at all.
    let only = read(&indexer, WatchFrom::Start, Some("d-2")).await;
    assert_eq!((only.titles.len(), only.lost), (0, BTreeSet::from([positions[2].to_string()])));
    let last = read(&indexer, WatchFrom::Position(positions[1]), None).await;
    assert_eq!((last.titles.len(), last.lost), (0, BTreeSet::from([positions[2].to_string()])));
    // Those who watch from now on have nothing to be told.
    let live = read(&indexer, WatchFrom::Live, None).await;
    assert_eq!((live.titles.len(), live.lost.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_over_an_intact_log_is_told_of_no_gap() {
    const EVENTS: usize = 5_000;
    let mut node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let evil = node.connect("evil").await;
    let indexer = node.connect("indexer").await;
    let types: Vec<TypeName> =
        ["documents.DocumentAdded", "documents.DocumentRetitled"].map(|name| name.parse().unwrap()).into();
    let mut watch = indexer.watch_types(types.clone()).from(WatchFrom::Start).await.unwrap();
    let mut part = indexer.watch_types(types).entity("d-1").await.unwrap();
    let half = |numbers: std::ops::Range<usize>| {
        let (archive, evil) = (archive.clone(), evil.clone());
        async move {
            let publish = |n| {
                let (archive, evil) = (archive.clone(), evil.clone());
                async move {
                    let event = DocumentRetitled { title: title(n) };
                    archive.publish(event).entity(entity(n)).owner("ada").await.unwrap();
                    if n % 2 == 0 {
                        let noted = evil.publish(Noted { n });
                        noted.entity("n").owner("evil").await.unwrap();
                    }
                }
            };
            futures::stream::iter(numbers).map(publish).buffer_unordered(AT_ONCE).count().await
        }
    };
    let first = tokio::spawn(half(0..EVENTS / 2));
    let mut seen = BTreeSet::new();
    while seen.len() < EVENTS / 2 {
        let event = tokio::time::timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
        assert!(seen.insert(event.position().sequence()), "{} comes twice", event.position());
    }
    first.await.unwrap();
    node.kill().await;
    node.up().await;
    half(EVENTS / 2..EVENTS).await;
    while seen.len() < EVENTS {
        let event = tokio::time::timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
        assert!(seen.insert(event.position().sequence()), "{} comes twice", event.position());
    }
    let mine = (0..EVENTS).filter(|n| entity(*n) == "d-1").count();
    for _ in 0..mine {
        tokio::time::timeout(SOON, part.next()).await.unwrap().unwrap().unwrap();
    }
    // Both go on for longer than a heartbeat takes, after which they ask again; then an event comes next, and no error.
    restart_server(&node).await;
    record(&archive, EVENTS..EVENTS + 3).await;
    for _ in 0..3 {
        tokio::time::timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
    }
    tokio::time::timeout(SOON, part.next()).await.unwrap().unwrap().unwrap();
    let again = read(&indexer, WatchFrom::Start, None).await;
    assert_eq!((again.titles.len(), again.lost.len()), (EVENTS + 3, 0));
    node.wait_health(200, "", SOON).await;
}

/// Listens, and notes what is heard.
async fn listen(node: &TestNode, heard: &Arc<Mutex<BTreeSet<String>>>) -> (Comms, Running) {
    let comms = node.connect("indexer").await;
    let heard = Arc::clone(heard);
    let hear = move |event: Recorded<DocumentRetitled>, _: EventContext| {
        heard.lock().unwrap().insert(event.title.clone());
        async move { Ok::<(), Failure>(()) }
    };
    let running = comms.listen(hear).start().await.unwrap();
    (comms, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_passes_over_is_noticed_and_its_service_is_told() {
    const COUNT: usize = 60;
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let mut positions = record(&archive, 0..COUNT / 2).await;
    let heard = Arc::default();
    // It was there before, so that the node knows how far it is.
    let (_, running) = listen(&node, &heard).await;
    wait_until("what there is", SOON, async || {
        let heard = heard.lock().unwrap().len();
        if heard == COUNT / 2 { Ok(()) } else { Err(heard) }
    })
    .await;
    running.stop().await.unwrap();
    positions.extend(record(&archive, COUNT / 2..COUNT).await);
    spoil(&node, &title(45));
    restart_server(&node).await;
    // Two instances share what comes, so that neither can tell.
    let listeners = [listen(&node, &heard).await, listen(&node, &heard).await];
    wait_until("the rest", SOON, async || {
        let heard = heard.lock().unwrap().len();
        if heard == COUNT - 1 { Ok(()) } else { Err(heard) }
    })
    .await;
    let place = positions[45].to_string();
    node.wait_health(503, &place, NOTICED_WITHIN).await;
    for (comms, _) in &listeners {
        let connection = comms.connection();
        wait_until("the service to be told", NOTICED_WITHIN, async || {
            let now = connection.borrow().clone();
            if now.losses == 1 && now.last_error.as_ref().is_some_and(|e| e.contains(&place)) {
                Ok(())
            } else {
                Err(now)
            }
        })
        .await;
    }
    // Who starts now is told too.
    let (late, _running) = listen(&node, &heard).await;
    let connection = late.connection();
    wait_until("one that starts later to be told", NOTICED_WITHIN, async || {
        let losses = connection.borrow().losses;
        if losses == 1 { Ok(()) } else { Err(losses) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_for_what_is_missing_are_bounded_and_answered_to_observers_only() {
    let node = TestNode::start().await;
    let evil = node.connect("evil").await;
    let mut last = None;
    for n in 0..5 {
        let noted = evil.publish(Noted { n });
        last = Some(noted.entity("n").owner("evil").await.unwrap().position);
    }
    let last = last.unwrap();
    let begin = format!("0@{}", last.log());
    let (client, _complaints) = node.raw("evil").await;
    let door = "library.door.tally.evil";
    let ask = async |body: Value| -> Value {
        let reply = client.request(door, body.to_string().into()).await.unwrap();
        serde_json::from_slice(&reply.payload).unwrap()
    };
    let noted = json!(["lending.Noted"]);
    let end = last.sequence();
    let all: Vec<u64> = (1..=end).collect();
    let whole = ask(json!({ "types": noted, "after": begin, "until": i64::MAX, "got": all })).await;
    assert_eq!(whole["ok"], json!({ "through": i64::MAX, "missing": [], "accepted": [] }), "{whole}");
    // What can be read is not lost, whatever a reader says.
    let none = ask(json!({ "types": noted, "after": begin, "until": end })).await;
    assert_eq!((&none["ok"]["missing"], none["ok"]["present"].as_u64()), (&json!([]), Some(1)), "{none}");
    for (kind, body) in [
        ("denied", json!({ "types": ["lending.Lent"], "after": begin, "until": end })),
        ("unknown", json!({ "types": ["lending.Nothing"], "after": begin, "until": end })),
        ("invalid", json!({ "types": [], "after": begin, "until": end })),
        ("not_found", json!({ "types": noted, "after": "0@aaaaaaaa", "until": end })),
        ("invalid", json!({ "types": noted, "after": begin, "until": u64::MAX })),
        ("invalid", json!({ "types": noted, "after": begin, "until": end, "got": [2, 1] })),
        ("invalid", json!({ "types": noted, "after": begin, "until": end, "got": [u64::MAX] })),
        ("malformed", json!({ "types": noted, "after": begin, "until": end, "got": vec![1; 2_049] })),
    ] {
        let refused = ask(body.clone()).await;
        assert_eq!(refused["error"]["kind"], kind, "{body}: {refused}");
    }
    let archive = node.connect("archive").await;
    // Asked all at once, each is answered or told to come again, and others are served meanwhile.
    let many = (0..400).map(|_| ask(json!({ "types": noted, "after": begin, "until": end })));
    let (answers, others) = tokio::join!(futures::future::join_all(many), record(&archive, 0..20));
    assert_eq!(others.len(), 20);
    let kinds: BTreeSet<&str> = answers.iter().filter_map(|a| a["error"]["kind"].as_str()).collect();
    assert!(kinds.is_subset(&BTreeSet::from(["busy"])), "{kinds:?}");
    assert!(answers.iter().any(|answer| answer["ok"]["present"] == 1), "{answers:?}");
}
