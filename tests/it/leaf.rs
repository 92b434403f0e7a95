//! Two nodes, a hub and a leaf, with a handler on each side: nothing is stored, handled, run or heard twice, and a leaf
//! alone keeps working and catches up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::{CommandContext, Comms, End, EventContext, Failure, QueryContext, Recorded, Running};
use comms_tests::{Stored, TestNode, fixture, wait_until};

use crate::vocabulary::{Documents, FindDocuments, Lend, Lent};

/// How long sourcing may take to resume after one side was away: 5.5 s were measured.
const RESUMED: Duration = Duration::from_secs(60);

/// How often each loan was handled and heard, on one side.
#[derive(Debug, Default)]
struct Tally {
    handled: BTreeMap<u64, u32>,
    heard: BTreeMap<u64, u32>,
    asked: BTreeMap<String, u32>,
}

/// One node with the services that play on it.
struct Side {
    node: TestNode,
    tally: Arc<Mutex<Tally>>,
    _running: Vec<Running>,
}

impl Side {
    async fn with(node: TestNode) -> Side {
        let tally: Arc<Mutex<Tally>> = Arc::default();
        let mut running = Vec::new();
        let handled = tally.clone();
        let lender = node.connect("lender").await.handle(move |lend: Lend, cx: CommandContext| {
            *handled.lock().unwrap().handled.entry(lend.n).or_default() += 1;
            async move { Ok::<_, Failure>(cx.new_entity("loan").emit(Lent { n: lend.n })) }
        });
        running.push(lender.start().await.unwrap());
        let heard = tally.clone();
        let reader = node.connect("reader").await.listen(move |lent: Recorded<Lent>, _: EventContext| {
            *heard.lock().unwrap().heard.entry(lent.event().n).or_default() += 1;
            async { Ok(()) }
        });
        running.push(reader.start().await.unwrap());
        let asked = tally.clone();
        let archive = node.connect("archive").await.answer(move |find: FindDocuments, _: QueryContext| {
            *asked.lock().unwrap().asked.entry(find.words.clone()).or_default() += 1;
            async { Ok(Documents { titles: vec![find.words] }) }
        });
        running.push(archive.start().await.unwrap());
        Side { node, tally, _running: running }
    }

    async fn lend(&self, from: &Comms, n: u64) {
        let outcome = from.send(Lend { n }).owner("ada").await.unwrap().outcome().await.unwrap();
        assert_eq!(outcome.end, End::Done);
    }

    /// What its streams have stored since they were made: commands, and events of its own and of the other side. Every
    /// loan is one command, one event, and nothing else.
    async fn has_stored(&self, commands: u64, own: u64, foreign: u64) {
        let [command, event, others] =
            ["COMMAND", "EVENT", "FOREIGN"].map(async |stream| self.node.stored(stream).await);
        assert_eq!(command.await, Stored { messages: 0, last: commands }, "commands of its own");
        assert_eq!(event.await, Stored { messages: own, last: own }, "events of its own");
        assert_eq!(others.await, Stored { messages: foreign, last: foreign }, "events of the other side");
    }

    async fn hears(&self, wanted: &[u64]) {
        wait_until("the events of both sides", RESUMED, async || {
            let tally = self.tally.lock().unwrap();
            if tally.heard.keys().eq(wanted) {
                Ok(())
            } else {
                Err(format!("{:?}\n{}", tally.heard, self.node.logs()))
            }
        })
        .await;
        let tally = self.tally.lock().unwrap();
        assert!(tally.heard.values().all(|times| *times == 1), "{:?}", tally.heard);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_twice_between_a_hub_and_a_leaf_and_a_leaf_alone_goes_on() {
    let listen = format!("127.0.0.1:{}", comms_tests::port::lasting());
    let hub = TestNode::start_with(
        fixture::DOMAIN,
        &["--name", "hub", "--leaf-listen", &listen, "--leaf", "leafa"],
    )
    .await;
    let key = hub.comms_folder().join("node/domain.leaf-leafa.nk");
    let url = format!("nats-leaf://{listen}");
    let leaf = TestNode::start_with(
        fixture::DOMAIN,
        &["--name", "leafa", "--join", &url, "--join-key", &key.to_string_lossy(), "--hub", "hub"],
    )
    .await;
    let (mut hub, leaf) = (Side::with(hub).await, Side::with(leaf).await);
    let (at_hub, at_leaf) = (hub.node.connect("evil").await, leaf.node.connect("evil").await);

    hub.lend(&at_hub, 1).await;
    leaf.lend(&at_leaf, 2).await;
    for (side, asker, words) in [(&hub, &at_hub, "hub"), (&leaf, &at_leaf, "leaf")] {
        let found = asker.ask(FindDocuments { words: words.into() }).owner("ada").await.unwrap();
        assert_eq!(found.titles, [words]);
        assert_eq!(
            side.tally.lock().unwrap().asked,
            BTreeMap::from([(words.to_owned(), 1)]),
            "queries stay on their side"
        );
    }
    hub.hears(&[1, 2]).await;
    leaf.hears(&[1, 2]).await;

    // A leaf alone keeps working, and both sides catch up.
    hub.node.kill().await;
    leaf.lend(&at_leaf, 3).await;
    hub.node.up().await;
    let at_hub = hub.node.connect("evil").await;
    hub.lend(&at_hub, 4).await;
    hub.hears(&[1, 2, 3, 4]).await;
    leaf.hears(&[1, 2, 3, 4]).await;

    // What comes last on each side comes behind everything else, so a late double would be seen.
    hub.lend(&at_hub, 5).await;
    leaf.lend(&at_leaf, 6).await;
    hub.hears(&[1, 2, 3, 4, 5, 6]).await;
    leaf.hears(&[1, 2, 3, 4, 5, 6]).await;
    let tallies = |side: &Side| {
        let tally = side.tally.lock().unwrap();
        (tally.handled.clone(), tally.asked.clone())
    };
    let once = |n: [u64; 3]| BTreeMap::from(n.map(|n| (n, 1)));
    let asked = |words: &str| BTreeMap::from([(words.to_owned(), 1)]);
    assert_eq!(tallies(&hub), (once([1, 4, 5]), asked("hub")));
    assert_eq!(tallies(&leaf), (once([2, 3, 6]), asked("leaf")));
    hub.has_stored(3, 3, 3).await;
    leaf.has_stored(3, 3, 3).await;
}
