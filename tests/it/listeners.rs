//! Listeners: who waits for those that fail, what is let go, and what they say on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::{
    CommandContext, Commit, Comms, Content, ErrorKind, EventContext, Failure, MsgId, Published, QueryContext,
    Recorded, Running,
};
use comms_tests::fixture::DOMAIN;
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{
    DocumentAdded, DocumentRetitled, Documents, FindDocuments, Lend, Lent, RetitleDocument,
};

/// More than a process listens to at the same time.
const FAILING: usize = 70;
/// Longer than any test: who is tried again after it was given back and not because its time had come.
const LATER: Duration = Duration::from_secs(3_600);

/// What was heard of each entity, in order.
type Heard = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Listens; entities whose name begins with `fails` ask for later.
async fn listen(comms: Comms, fails: &'static str, heard: &Heard) -> Running {
    let heard = Arc::clone(heard);
    comms
        .listen(move |event: Recorded<DocumentRetitled>, _: EventContext| {
            let entity = event.entity().to_string();
            let fail = entity.starts_with(fails);
            heard.lock().unwrap().entry(entity).or_default().push(event.title.clone());
            async move { if fail { Err(Failure::retry(LATER)) } else { Ok(()) } }
        })
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_that_fail_keep_nobody_else_waiting_and_are_given_back_when_the_service_stops() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let publish = async |entity: &str, title: &str| {
        archive.publish(DocumentRetitled { title: title.into() }).entity(entity).owner("ada").await.unwrap();
    };
    let heard = Heard::default();
    let running = listen(node.connect("indexer").await, "bad", &heard).await;
    let bad = |n: usize| format!("bad-{n}");
    for n in 0..FAILING {
        publish(&bad(n), "first").await;
        publish(&bad(n), "second").await;
    }
    publish("good", "first").await;
    wait_until("the entity that does not fail", SOON, async || {
        let heard = heard.lock().unwrap();
        if heard.contains_key("good") { Ok(()) } else { Err(heard.len()) }
    })
    .await;
    wait_until("one try of each entity that fails", SOON, async || {
        let heard = heard.lock().unwrap();
        if heard.len() == FAILING + 1 { Ok(()) } else { Err(heard.len()) }
    })
    .await;
    assert!(heard.lock().unwrap().values().all(|titles| *titles == ["first"]), "{heard:?}");
    tokio::time::timeout(SOON, running.stop()).await.expect("no pause is waited for").unwrap();

    // Another instance gets them at once, without waiting for a lease to end, and in order.
    let heard = Heard::default();
    let running = listen(node.connect("indexer").await, "none", &heard).await;
    wait_until("what was given back", SOON, async || {
        let heard = heard.lock().unwrap();
        let events: usize = heard.values().map(Vec::len).sum();
        if events == 2 * FAILING { Ok(()) } else { Err(events) }
    })
    .await;
    assert!(heard.lock().unwrap().values().all(|titles| *titles == ["first", "second"]), "{heard:?}");
    running.stop().await.unwrap();
}

/// What a title can be for a program that knows only some.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Good,
    Bad,
}

/// The same event for that program.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Worded {
    title: Word,
}
comms::event!(Worded = "documents.DocumentRetitled");

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_rejected_or_does_not_decode_is_let_go_and_the_next_of_its_entity_heard() {
    let node = TestNode::start().await;
    let (archive, indexer) = (node.connect("archive").await, node.connect("indexer").await);
    let publish = async |title: &str| {
        archive.publish(DocumentRetitled { title: title.into() }).entity("d1").owner("ada").await.unwrap();
    };
    let heard: Arc<Mutex<Vec<Word>>> = Arc::default();
    let start = async || {
        let heard = Arc::clone(&heard);
        let listening = indexer.listen(move |event: Recorded<Worded>, _: EventContext| {
            let word = event.title;
            heard.lock().unwrap().push(word);
            async move {
                match word {
                    Word::Good => Ok(()),
                    Word::Bad => Err(Failure::reject("a bad word")),
                }
            }
        });
        listening.start().await.unwrap()
    };
    let wait = async |words: &[Word]| {
        wait_until("what is heard", SOON, async || {
            let heard = heard.lock().unwrap().clone();
            if heard == words { Ok(()) } else { Err(heard) }
        })
        .await;
    };

    let running = start().await;
    for title in ["unheard of", "bad", "good"] {
        publish(title).await;
    }
    wait(&[Word::Bad, Word::Good]).await;
    let rejected = indexer.dropped().into_iter().find(|(reason, _)| *reason == "rejected");
    assert_eq!(rejected, Some(("rejected", 2)));
    running.stop().await.unwrap();

    // They were acknowledged: whoever listens next hears what comes next.
    let running = start().await;
    publish("good").await;
    wait(&[Word::Bad, Word::Good, Word::Good]).await;
    running.stop().await.unwrap();
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    n: u64,
}
comms::event!(Noted = "lending.Noted");

/// The fixture's domain with rights to talk on about what was heard.
fn talkative() -> String {
    let mut domain = DOMAIN.to_owned();
    for (section, more) in [
        ("[service.archive]\n", "asks = [\"documents.FindDocuments\"]\n"),
        ("[service.desk]\n", "observes = [\"documents.DocumentRetitled\"]\n"),
        (
            "[service.indexer]\n",
            "emits = [\"lending.Noted\"]\nsends = [\"lending.Lend\"]\nasks = [\"documents.FindDocuments\"]\n",
        ),
        (
            "[service.lender]\n",
            "sends = [\"documents.RetitleDocument\"]\nasks = [\"documents.FindDocuments\"]\n",
        ),
    ] {
        assert_eq!(domain.matches(section).count(), 1, "{section}");
        domain = domain.replace(section, &format!("{section}{more}"));
    }
    let observes = "observes = [\"lending.Lent\"]";
    assert!(domain.contains(observes));
    domain.replace(observes, "observes = [\"lending.Lent\", \"lending.Noted\"]")
}

/// What a message says of itself.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    id: MsgId,
    owner: String,
    sender: Option<String>,
    correlation: MsgId,
    causation: Option<MsgId>,
}

/// What was said, by what it was about.
type Conversation = Arc<Mutex<BTreeMap<String, Said>>>;

/// Keeps what any of the contexts says of its message.
macro_rules! keep {
    ($conversation:expr, $about:expr, $cx:expr) => {{
        let said = Said {
            id: $cx.id(),
            owner: $cx.owner().to_string(),
            sender: $cx.sender().map(ToString::to_string),
            correlation: $cx.correlation(),
            causation: $cx.causation(),
        };
        $conversation.lock().unwrap().insert($about.into(), said)
    }};
}

fn find(words: &str) -> FindDocuments {
    FindDocuments { words: words.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_handlers_publish_send_and_ask_carries_owner_conversation_and_cause_on() {
    let node = TestNode::start_with(&talkative(), &[]).await;
    let said = Conversation::default();

    let kept = Arc::clone(&said);
    let retitled = Arc::clone(&said);
    let archive = node.connect("archive").await;
    let archive_runs = archive
        .answer(move |query: FindDocuments, cx: QueryContext| {
            keep!(kept, format!("find {}", query.words), cx);
            async move {
                if query.words == "listener" {
                    cx.ask(find("query")).await?;
                }
                Ok(Documents { titles: Vec::new() })
            }
        })
        .handle(move |_: RetitleDocument, cx: CommandContext| {
            keep!(retitled, "retitle", cx);
            async { Ok::<_, Failure>(Commit::none()) }
        })
        .start()
        .await
        .unwrap();

    let kept = Arc::clone(&said);
    let lender_runs = node
        .connect("lender")
        .await
        .handle(move |lend: Lend, cx: CommandContext| {
            keep!(kept, "lend", cx);
            async move {
                cx.ask(find("command")).await?;
                cx.send(RetitleDocument { document: "d2".into(), title: "lent".into() }).await?;
                Ok::<_, Failure>(cx.new_entity("loan").emit(Lent { n: lend.n }))
            }
        })
        .start()
        .await
        .unwrap();

    let kept = Arc::clone(&said);
    let published: Arc<Mutex<Vec<Published>>> = Arc::default();
    let again = Arc::clone(&published);
    let indexer_runs = node
        .connect("indexer")
        .await
        .listen(move |_: Recorded<DocumentRetitled>, cx: EventContext| {
            keep!(kept, "heard", cx);
            let again = Arc::clone(&again);
            async move {
                let noted = cx.publish(Noted { n: 7 }).entity("note-1").await?;
                cx.send(Lend { n: 8 }).await?;
                cx.ask(find("listener")).await?;
                let mut published = again.lock().unwrap();
                published.push(noted);
                if published.len() == 1 { Err(Failure::retry(Duration::ZERO)) } else { Ok(()) }
            }
        })
        .start()
        .await
        .unwrap();

    let reader = node.connect("reader").await;
    let (mut noted, mut lent) =
        (reader.watch::<Noted>().await.unwrap(), reader.watch::<Lent>().await.unwrap());
    let correlation: MsgId = MsgId::parse_lenient("0190163d-8694-739b-aea5-966c26f8ad91").unwrap();
    let root = archive
        .publish(DocumentRetitled { title: "first".into() })
        .entity("d1")
        .owner("grace")
        .correlation(correlation)
        .await
        .unwrap();
    wait_until("the whole conversation", SOON, async || {
        let (said, tries) = (said.lock().unwrap().clone(), published.lock().unwrap().len());
        if said.len() == 6 && tries == 2 { Ok(()) } else { Err((said, tries)) }
    })
    .await;
    let noted = tokio::time::timeout(SOON, noted.next()).await.expect("an event comes").unwrap().unwrap();
    let lent = tokio::time::timeout(SOON, lent.next()).await.expect("an event comes").unwrap().unwrap();

    let mut said = said.lock().unwrap().clone();
    for (about, event) in [("noted", noted.msg()), ("lent", lent.msg())] {
        let metadata = &event.metadata;
        let event = Said {
            id: event.id,
            owner: metadata.owner.to_string(),
            sender: metadata.sender.as_ref().map(ToString::to_string),
            correlation: metadata.correlation,
            causation: metadata.causation,
        };
        said.insert(about.into(), event);
    }
    assert_eq!(said["heard"].id, root.id);
    for (about, sender, cause) in [
        ("noted", "indexer", "heard"),
        ("lend", "indexer", "heard"),
        ("find listener", "indexer", "heard"),
        ("find query", "archive", "find listener"),
        ("find command", "lender", "lend"),
        ("retitle", "lender", "lend"),
        ("lent", "lender", "lend"),
    ] {
        let Said { owner, sender: by, correlation: in_, causation, .. } = &said[about];
        assert_eq!((owner.as_str(), by.as_deref(), *in_), ("grace", Some(sender), correlation), "{about}");
        assert_eq!(*causation, Some(said[cause].id), "{about}");
    }
    // The listener ran twice and published once.
    let published = published.lock().unwrap().clone();
    assert_eq!((published[0].id, published[0].position), (published[1].id, published[1].position));
    assert_eq!((noted.id(), noted.position()), (published[0].id, published[0].position));

    for running in [indexer_runs, lender_runs, archive_runs] {
        running.stop().await.unwrap();
    }
}

/// Events of one command, each of 40 KB: together more than an answer tells whole.
const LONG: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_too_large_for_its_events_says_so_and_one_that_is_not_allowed_too() {
    let node = TestNode::start_with(&talkative(), &[]).await;
    let (archive, desk) = (node.connect("archive").await, node.connect("desk").await);
    let running = archive
        .handle(|retitle: RetitleDocument, cx: CommandContext| async move {
            let long = |_| DocumentRetitled { title: retitle.title.repeat(40_000) };
            let added = DocumentAdded { title: retitle.title.clone(), file: Content::from(vec![1]) };
            Ok::<_, Failure>(cx.entity("d1").emit_all((0..LONG).map(long)).and(cx.entity("d1").emit(added)))
        })
        .start()
        .await
        .unwrap();
    let sent =
        desk.send(RetitleDocument { document: "d1".into(), title: "x".into() }).owner("ada").await.unwrap();
    let outcome = sent.outcome().await.unwrap().done().unwrap();
    let [first, .., last, hidden] = outcome.events.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(first.decode::<DocumentRetitled>().await.unwrap().title.len(), 40_000);
    let large = last.decode::<DocumentRetitled>().await.unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge);
    assert_eq!(
        large.message(),
        format!(
            "the outcome is too large to hold this documents.DocumentRetitled; watch d1 from before its position {}",
            last.position
        )
    );
    let denied = hidden.decode::<DocumentAdded>().await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(denied.message().starts_with("desk may not observe documents.DocumentAdded"), "{denied}");
    running.stop().await.unwrap();
}
