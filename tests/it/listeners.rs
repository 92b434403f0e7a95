//! Listeners that fail: who waits for them, and who does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::{Comms, EventContext, Failure, Recorded, Running};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};

use crate::vocabulary::DocumentRetitled;

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
