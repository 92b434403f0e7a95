//! Commands, queries and events through the library: what is promised of each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::{CommandContext, Commit, Comms, Content, End, ErrorKind, Failure, QueryContext, WatchFrom};
use comms_msg::{Expect, Position};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};

use crate::vocabulary::{
    AddDocument, DocumentAdded, DocumentRetitled, Documents, FindDocuments, Lend, Lent, Ping, RetitleDocument,
};

async fn add(add: AddDocument, cx: CommandContext) -> Result<Commit, Failure> {
    Ok(cx.new_entity("document").emit(DocumentAdded { title: add.title, file: add.file }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_kept_handled_and_its_outcome_told() {
    let node = TestNode::start().await;
    let (archive, desk, indexer) =
        (node.connect("archive").await, node.connect("desk").await, node.connect("indexer").await);
    let mut live = indexer.watch::<DocumentAdded>().await.unwrap();
    let serving = archive.handle(add).start().await.unwrap();

    let file = Content::from(vec![7; 300_000]);
    let sent = desk.send(AddDocument { title: "Annual report".into(), file }).owner("ada").await.unwrap();
    let outcome = sent.outcome().await.unwrap();
    assert_eq!(outcome.end, End::Done);
    assert_eq!(outcome.events.len(), 1);
    assert!(
        outcome.events[0].msg.is_none(),
        "the desk does not observe this event, so it is not shown its body"
    );

    let added = tokio::time::timeout(SOON, live.next()).await.expect("an event comes").unwrap().unwrap();
    // The conversation is carried on without a line of the handler's code.
    let msg = added.msg();
    assert_eq!(msg.metadata.causation, Some(sent.id));
    assert_eq!(msg.metadata.correlation, sent.id);
    assert_eq!(msg.metadata.owner.as_str(), "ada");
    assert_eq!(added.id(), outcome.events[0].id);
    assert_eq!(added.event().title, "Annual report");
    // The message stayed small: the file is a link, and its bytes come by it.
    assert!(msg.to_cbor().len() < 1_000, "{}", msg.to_cbor().len());
    let cid = *added.event().file.link().expect("300 kB are over the threshold");
    let bytes = indexer.get(&cid).await.unwrap().into_bytes(1 << 20).await.unwrap();
    assert_eq!(bytes.as_ref(), vec![7; 300_000]);

    // Whoever comes back later with the id gets the same outcome, also after a restart of everything.
    serving.stop().await.unwrap();
    let mut node = node;
    node.kill().await;
    node.up().await;
    let desk = node.connect("desk").await;
    let again = desk.outcome::<AddDocument>(sent.id).await.unwrap();
    assert_eq!(again.end, End::Done);
    assert_eq!(again.events[0].id, outcome.events[0].id);
    assert_eq!(again.events[0].position, outcome.events[0].position);
    assert_eq!(node.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_instances_share_the_commands_and_each_is_handled_once() {
    const COMMANDS: u64 = 300;
    const INSTANCES: usize = 3;
    let node = TestNode::start().await;
    let handled: Arc<Mutex<BTreeMap<u64, u32>>> = Arc::default();
    let mut running = Vec::new();
    let shares: Arc<Vec<AtomicU64>> = Arc::new((0..INSTANCES).map(|_| AtomicU64::new(0)).collect());
    for instance in 0..INSTANCES {
        let (handled, shares) = (handled.clone(), shares.clone());
        let service = node.connect("lender").await.handle(move |lend: Lend, cx: CommandContext| {
            *handled.lock().unwrap().entry(lend.n).or_default() += 1;
            shares[instance].fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Failure>(cx.new_entity("loan").emit(Lent { n: lend.n })) }
        });
        running.push(service.start().await.unwrap());
    }
    let evil = node.connect("evil").await;
    let sends = (0..COMMANDS).map(|n| {
        let evil = evil.clone();
        async move { evil.send(Lend { n }).owner("ada").await.unwrap().outcome().await.unwrap() }
    });
    let outcomes = futures::future::join_all(sends).await;
    assert!(outcomes.iter().all(|o| o.end == End::Done && o.events.len() == 1), "{outcomes:?}");
    let handled = handled.lock().unwrap();
    assert_eq!(handled.len() as u64, COMMANDS);
    assert!(handled.values().all(|times| *times == 1), "{handled:?}");
    assert!(shares.iter().all(|share| share.load(Ordering::SeqCst) > 0), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_retries_rejects_and_may_even_panic() {
    let node = TestNode::start().await;
    let tries: Arc<AtomicU64> = Arc::default();
    let counted = tries.clone();
    let running = node
        .connect("lender")
        .await
        .handle(move |lend: Lend, cx: CommandContext| {
            let tries = counted.clone();
            async move {
                match (lend.n, tries.fetch_add(1, Ordering::SeqCst)) {
                    (1, 0) => Err(Failure::retry(Duration::from_millis(50)).because("not yet")),
                    (2, 0) => panic!("a mistake of the handler"),
                    (3, _) => Err(Failure::reject("nothing to lend")),
                    _ => Ok(cx.new_entity("loan").emit(Lent { n: lend.n })),
                }
            }
        })
        .start()
        .await
        .unwrap();
    let evil = node.connect("evil").await;
    for (n, wanted, wanted_tries) in
        [(1, End::Done, 2), (2, End::Done, 2), (3, End::Rejected("nothing to lend".into()), 1)]
    {
        tries.store(0, Ordering::SeqCst);
        let outcome = evil.send(Lend { n }).owner("ada").await.unwrap().outcome().await.unwrap();
        assert_eq!(outcome.end, wanted);
        assert_eq!(tries.load(Ordering::SeqCst), wanted_tries, "of command {n}");
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_definition_or_a_schema_forbids_is_refused_with_the_field() {
    let node = TestNode::start().await;
    let desk = node.connect("desk").await;
    let empty =
        desk.send(AddDocument { title: String::new(), file: Content::from(vec![1]) }).owner("ada").await;
    let error = empty.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!error.may_have_happened());
    assert_eq!(error.problems().iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["/title"]);
    let indexer = node.connect("indexer").await;
    let denied = indexer.send(Ping { n: 1 }).owner("ada").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(denied.message().contains("indexer may not send documents.Ping"), "{denied}");
    let denied = indexer.ask(FindDocuments { words: "x".into() }).owner("ada").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert_eq!(indexer.watch::<Lent>().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(indexer.handle(add).start().await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_or_fails_by_its_deadline() {
    let node = TestNode::start().await;
    let desk = node.connect("desk").await;
    let ask = |words: &str| desk.ask(FindDocuments { words: words.into() }).owner("ada");
    let nobody = ask("x").await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Unavailable, "{nobody}");

    let running = node
        .connect("archive")
        .await
        .answer(|find: FindDocuments, cx: QueryContext| async move {
            assert_eq!(cx.sender().map(|s| s.as_str()), Some("desk"));
            assert!(cx.deadline().is_some(), "the deadline travels");
            match find.words.as_str() {
                "never" => std::future::pending().await,
                "no" => Err(Failure::reject("no such word")),
                words => Ok(Documents { titles: vec![words.to_owned()] }),
            }
        })
        .start()
        .await
        .unwrap();
    let found = wait_until("an answer", SOON, async || ask("report").await).await;
    assert_eq!(found, Documents { titles: vec!["report".into()] });
    assert_eq!(ask("no").await.unwrap_err().kind(), ErrorKind::Rejected);
    let late = ask("never").within(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    // Many at once, each gets its own.
    let all = futures::future::join_all((0..500).map(|n| ask(&format!("w{n}")).into_future())).await;
    for (n, found) in all.into_iter().enumerate() {
        assert_eq!(found.unwrap().titles, [format!("w{n}")]);
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_appended_where_they_are_expected_and_watched_from_anywhere() {
    let node = TestNode::start().await;
    let (archive, indexer) = (node.connect("archive").await, node.connect("indexer").await);
    let retitle =
        |title: &str| archive.publish(DocumentRetitled { title: title.into() }).entity("d1").owner("ada");
    let first = retitle("one").expect(Expect::Absent).await.unwrap();
    let refused = retitle("two").expect(Expect::Absent).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(refused.position(), Some(&first.position));
    let second = retitle("two").expect(Expect::At(first.position)).await.unwrap();
    let stale = retitle("three").expect(Expect::At(first.position)).await.unwrap_err();
    assert_eq!((stale.kind(), stale.position()), (ErrorKind::Conflict, Some(&second.position)));
    for n in 0..250 {
        archive
            .publish(DocumentRetitled { title: format!("t{n}") })
            .entity(format!("e{n}"))
            .owner("ada")
            .await
            .unwrap();
    }

    let titles = async |from: WatchFrom, count: usize| {
        let mut watch = indexer.watch::<DocumentRetitled>().from(from).await.unwrap();
        let mut titles = Vec::new();
        while titles.len() < count {
            let next = tokio::time::timeout(SOON, watch.next()).await.expect("an event comes");
            titles.push(next.unwrap().unwrap().into_event().title);
        }
        titles
    };
    let all = titles(WatchFrom::Start, 252).await;
    assert_eq!(all[..3], ["one", "two", "t0"]);
    assert_eq!(all[251], "t249");
    assert_eq!(titles(WatchFrom::Position(second.position), 250).await, all[2..]);
    // History and then live, without a gap or a double.
    let mut watch = indexer.watch::<DocumentRetitled>().from(WatchFrom::Start).entity("d1").await.unwrap();
    for wanted in ["one", "two"] {
        assert_eq!(watch.next().await.unwrap().unwrap().event().title, wanted);
    }
    retitle("three").await.unwrap();
    let next = tokio::time::timeout(SOON, watch.next()).await.expect("a live event comes").unwrap().unwrap();
    assert_eq!(next.event().title, "three");
}

/// What a writer that came first knows: where it expected the entity, and where it put its event.
type Won = (Position, Position);

/// Appends `each` events to an entity, each where the last one is, and returns what it won and how often it did not.
async fn append_at_the_end(archive: Comms, entity: String, from: Position, each: usize) -> (Vec<Won>, usize) {
    let (mut at, mut won, mut conflicts) = (from, Vec::new(), 0);
    while won.len() < each {
        let append = archive
            .publish(DocumentRetitled { title: "x".into() })
            .entity(&entity)
            .owner("ada")
            .expect(Expect::At(at))
            .await;
        match append {
            Ok(appended) => {
                won.push((at, appended.position));
                at = appended.position;
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                conflicts += 1;
                at = *error.position().expect("the actual one");
            }
            Err(error) => panic!("{error}"),
        }
    }
    (won, conflicts)
}

/// Every event was put where its writer knew of all before it: the history is a chain from `first`, as long as it
/// should be, and it is what stands in the log.
async fn assert_chain(node: &TestNode, entity: &str, first: Position, mut won: Vec<Won>) {
    won.sort_unstable_by_key(|(_, got)| got.sequence());
    let mut last = first;
    for (expected, got) in &won {
        assert_eq!(*expected, last, "the history of {entity} forks: {won:?}");
        last = *got;
    }
    let wanted = std::iter::once(first).chain(won.iter().map(|(_, got)| *got));
    let indexer = node.connect("indexer").await;
    let from = WatchFrom::Start;
    let mut watch = indexer.watch::<DocumentRetitled>().from(from).entity(entity).await.unwrap();
    for position in wanted {
        let next = tokio::time::timeout(SOON, watch.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{entity}: the event at {position} is missing"));
        assert_eq!(next.unwrap().unwrap().position(), position, "of {entity}");
    }
}

async fn begin(archive: &Comms, entity: &str) -> Position {
    let first = DocumentRetitled { title: "0".into() };
    archive.publish(first).entity(entity).owner("ada").expect(Expect::Absent).await.unwrap().position
}

#[tokio::test(flavor = "multi_thread")]
async fn one_history_per_entity_is_never_forked_by_concurrent_writers() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let first = begin(&archive, "hot").await;
    let writers = (0..WRITERS).map(|_| append_at_the_end(archive.clone(), "hot".into(), first, EACH));
    let (won, conflicts): (Vec<_>, Vec<_>) = futures::future::join_all(writers).await.into_iter().unzip();
    let won = won.concat();
    assert_eq!(won.len(), WRITERS * EACH);
    assert!(conflicts.iter().sum::<usize>() > 0, "no writer met another");
    assert_chain(&node, "hot", first, won).await;
    assert_eq!(
        node.stored("EVENT").await.last,
        (WRITERS * EACH + 1) as u64,
        "what met a conflict is not stored"
    );
}

/// So many at once that the node stores them in batches: some fight over an entity, others have one of their own.
#[tokio::test(flavor = "multi_thread")]
async fn nor_is_any_of_many_histories_when_they_are_stored_in_batches() {
    const ALONE: usize = 240;
    const HOT: usize = 6;
    const AT_EACH_HOT: usize = 10;
    const EACH: usize = 5;
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let entities: Vec<(String, usize)> = (0..ALONE)
        .map(|n| (format!("alone-{n}"), 1))
        .chain((0..HOT).map(|n| (format!("hot-{n}"), AT_EACH_HOT)))
        .collect();
    let firsts = entities.iter().map(|(entity, _)| begin(&archive, entity));
    let firsts = futures::future::join_all(firsts).await;
    let began = entities.iter().zip(firsts);
    let histories = began.map(|((entity, writers), first)| {
        let archive = archive.clone();
        async move {
            let writers =
                (0..*writers).map(|_| append_at_the_end(archive.clone(), entity.clone(), first, EACH));
            (entity, first, futures::future::join_all(writers).await)
        }
    });
    let (mut stored, mut conflicts) = (entities.len(), 0);
    for (entity, first, writers) in futures::future::join_all(histories).await {
        let met: usize = writers.iter().map(|(_, conflicts)| conflicts).sum();
        let won: Vec<Won> = writers.into_iter().flat_map(|(won, _)| won).collect();
        stored += won.len();
        conflicts += met;
        if entity.starts_with("hot") {
            assert_chain(&node, entity, first, won).await;
        } else {
            assert_eq!(met, 0, "{entity} has one writer, who met a conflict");
            assert!(won.first().is_some_and(|(expected, _)| *expected == first));
            assert!(won.windows(2).all(|pair| pair[0].1 == pair[1].0), "{entity}: {won:?}");
        }
    }
    assert!(conflicts > 0, "no writer met another");
    assert_eq!(node.stored("EVENT").await.last, stored as u64, "what met a conflict is not stored");
    assert!(batches(&node).await > 0, "no event was stored in a batch");
}

/// Events that the log holds as part of a batch.
async fn batches(node: &TestNode) -> usize {
    let stream = format!("EVENT_{}", node.facts()["node"].as_str().unwrap());
    let stream = node.jetstream().await.get_stream(&stream).await.unwrap();
    let mut found = 0;
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        found += usize::from(message.headers.get("Nats-Batch-Id").is_some());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_commands_arrive_in_order_and_none_is_lost_on_a_calm_line() {
    const PINGS: u64 = 20_000;
    let node = TestNode::start().await;
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let heard = seen.clone();
    let running = node
        .connect("archive")
        .await
        .at_once_in_order(move |ping: Ping| heard.lock().unwrap().push(ping.n))
        .await;
    let desk = node.connect("desk").await;
    for n in 0..PINGS {
        desk.send(Ping { n }).owner("ada").await.unwrap();
    }
    wait_until("all direct commands", SOON, async || {
        let count = seen.lock().unwrap().len() as u64;
        if count == PINGS { Ok(()) } else { Err(count) }
    })
    .await;
    assert!(seen.lock().unwrap().iter().copied().eq(0..PINGS), "order of one sender's commands");
    drop(running);
}

trait InOrder {
    async fn at_once_in_order(self, each: impl Fn(Ping) + Send + Sync + 'static) -> comms::Running;
}

impl InOrder for comms::Comms {
    async fn at_once_in_order(self, each: impl Fn(Ping) + Send + Sync + 'static) -> comms::Running {
        let each = Arc::new(each);
        self.handle(move |ping: Ping, _: CommandContext| {
            each(ping);
            async { Ok::<(), Failure>(()) }
        })
        .at_once(1)
        .start()
        .await
        .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_command_may_cause_events_of_several_types_of_one_entity() {
    let node = TestNode::start().await;
    let (archive, desk, indexer) =
        (node.connect("archive").await, node.connect("desk").await, node.connect("indexer").await);
    let running = archive
        .handle(|ping: Ping, cx: CommandContext| async move {
            let title = |step: u64| (ping.n * 10 + step).to_string();
            let added = |step: u64| DocumentAdded { title: title(step), file: Content::from(vec![1]) };
            let retitled = |step: u64| DocumentRetitled { title: title(step) };
            Ok::<_, Failure>(
                cx.entity("d1")
                    .expect(Expect::Absent)
                    .emit(added(0))
                    .and(cx.entity("d1").emit_all([retitled(1), retitled(2)]))
                    .and(cx.entity("d2").emit(retitled(3)))
                    .and(cx.entity("d1").emit(added(4))),
            )
        })
        .start()
        .await
        .unwrap();
    desk.send(Ping { n: 1 }).owner("ada").await.unwrap();

    let types = ["documents.DocumentAdded", "documents.DocumentRetitled"].map(|name| name.parse().unwrap());
    let mut watch = indexer.watch_types(types).from(WatchFrom::Start).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let event = tokio::time::timeout(SOON, watch.next()).await.expect("an event comes").unwrap().unwrap();
        let comms_msg::Body::Inline(body) = event.event() else {
            panic!("a small body stays in its message")
        };
        // Both types have a title.
        let title = body.decode::<DocumentRetitled>().unwrap().title;
        seen.push((event.entity().to_string(), event.type_name().to_string(), title));
    }
    running.stop().await.unwrap();
    let wanted = [
        ("d1", "documents.DocumentAdded", "10"),
        ("d1", "documents.DocumentRetitled", "11"),
        ("d1", "documents.DocumentRetitled", "12"),
        ("d1", "documents.DocumentAdded", "14"),
        ("d2", "documents.DocumentRetitled", "13"),
    ]
    .map(|(entity, type_name, title)| (entity.to_owned(), type_name.to_owned(), title.to_owned()));
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn retitling_a_document_goes_on_in_its_conversation() {
    let node = TestNode::start().await;
    let running = node
        .connect("archive")
        .await
        .handle(|retitle: RetitleDocument, cx: CommandContext| async move {
            let document = cx.entity(&retitle.document);
            Ok::<_, Failure>(document.emit_all([
                DocumentRetitled { title: format!("{} (1)", retitle.title) },
                DocumentRetitled { title: format!("{} (2)", retitle.title) },
            ]))
        })
        .start()
        .await
        .unwrap();
    let desk = node.connect("desk").await;
    let sent =
        desk.send(RetitleDocument { document: "d1".into(), title: "new".into() }).owner("ada").await.unwrap();
    let outcome = sent.outcome().await.unwrap();
    assert_eq!(outcome.end, End::Done);
    let positions: Vec<u64> = outcome.events.iter().map(|e| e.position.sequence()).collect();
    assert_eq!(positions, [1, 2], "both events of one commit, next to each other");
    running.stop().await.unwrap();
}
