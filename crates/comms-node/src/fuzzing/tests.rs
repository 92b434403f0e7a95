//! Requests of seeds, in every run of the tests, and by name the kinds of which these found one. More seeds:
//! `COMMS_SEEDS=20000`; one again: `COMMS_SEED=…`.

use std::collections::BTreeSet;

use comms_msg::door::RefusalKind;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::*;
use crate::fuzzing::request::{name, typed};

/// Bytes of one input.
const INPUT_BYTES: usize = 1_024;
/// An id, in the order of their numbers.
fn id(n: u64) -> String {
    comms_msg::MsgId::v7(1_800_000_000_000 + n, 1).to_string()
}

fn number(key: &str) -> Option<u64> {
    std::env::var(key).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_is_asked_at_the_doors_what_is_told_is_stored() {
    let seeds = match number("COMMS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("COMMS_SEEDS").unwrap_or(200),
    };
    let mut sum = Tally::default();
    let mut broken = BTreeSet::new();
    for seed in seeds {
        let mut input = vec![0; INPUT_BYTES];
        SmallRng::seed_from_u64(seed).fill(&mut input[..]);
        match std::panic::catch_unwind(|| run(&input)) {
            Ok(tally) => {
                sum.requests += tally.requests;
                sum.granted += tally.granted;
                sum.stored += tally.stored;
            }
            Err(_) => {
                eprintln!("COMMS_SEED={seed}: see above");
                broken.insert(seed);
            }
        }
    }
    assert!(broken.is_empty(), "seeds: {broken:?}");
    // Requests that are all refused would show nothing.
    let is_enough = sum.requests > 2_000 && sum.granted > sum.requests / 5 && sum.stored > 300;
    assert!(number("COMMS_SEED").is_some() || is_enough, "{sum:?}");
}

fn request(sender: &str, door: Door, payload: &Value) -> Request {
    Request { sender: name(sender), door, payload: payload.to_string().into() }
}

fn scrap(id: Option<u64>) -> Request {
    let mut command = json!({ "metadata": { "owner": "ada" }, "content": { "body": { "part": "bolt" } } });
    if let Some(n) = id {
        command["id"] = json!(self::id(n));
    }
    request("shop", Door::Command(typed("parts.Scrap")), &command)
}

fn moved(body: &Value) -> Value {
    json!({ "content": { "event": "parts.Moved", "entity": "p1", "body": body } })
}

impl World {
    /// The answer to what is judged, and waits for nothing.
    async fn hears(&mut self, request: &Request) -> Result<Answer, Refusal> {
        self.ask(request, Judged::Heard).await.expect("it waits for nothing")
    }

    async fn keeps(&mut self, request: &Request) {
        self.hears(request).await.unwrap_or_else(|refusal| panic!("{request:?}: {refusal}"));
    }

    /// `handler` answers for the command with the id `n` that stands at `sequence`.
    fn done(&self, handler: &str, type_name: &str, n: u64, sequence: u64, events: Value) -> Request {
        let consumer = self.scene.delivers_to(&name(handler)).unwrap();
        let delivery = format!("$JS.ACK.COMMAND_n1.{consumer}.1.{sequence}.1.1795255334.0");
        let commit =
            json!({ "command": id(n), "delivery": delivery, "completion": "done", "events": events });
        request(handler, Door::Commit(typed(type_name)), &commit)
    }
}

fn outcome(n: u64, wait_ms: u64) -> Request {
    request("shop", Door::Outcome(typed("parts.Scrap")), &json!({ "command": id(n), "wait_ms": wait_ms }))
}

/// What is filled in counts: a message that nobody can read is not taken, at whatever door it comes.
#[tokio::test]
async fn what_is_too_large_with_what_is_filled_in_is_refused() {
    let mut world = World::open().await;
    world.keeps(&scrap(Some(1))).await;
    for shorter in [0, 40, 80, 120, 160, 200, 300, 400, 600, 1_000] {
        let sized = |message: &Value| message::sized_to(message.clone(), shorter);
        let command = json!({ "metadata": { "owner": "ada" }, "content": { "body": {} } });
        let event = json!({ "metadata": { "owner": "ada" }, "content": { "entity": "p1", "body": {} } });
        for (sender, door, message) in [
            ("shop", Door::Command(typed("parts.Scrap")), &command),
            ("mill", Door::Event(typed("parts.Moved")), &event),
        ] {
            let cbor = comms_content::Node::from_value(&sized(message)).unwrap().into_bytes();
            let answer = world.hears(&Request { payload: cbor, ..request(sender, door, &json!(null)) }).await;
            match answer {
                Ok(_) => assert!(shorter >= 160, "{shorter}"),
                Err(refusal) => assert_eq!(refusal.kind, RefusalKind::TooLarge, "{shorter}: {refusal}"),
            }
        }
        // Its commit is around the event already, and the command that it ends is filled in.
        let done = world.done("yard", "parts.Scrap", 1, 1, json!([sized(&moved(&json!({})))]));
        let cbor = comms_content::Node::from_json(&done.payload).unwrap().into_bytes();
        if let Err(refusal) = world.hears(&Request { payload: cbor, ..done }).await {
            assert_eq!(refusal.kind, RefusalKind::TooLarge, "{shorter}: {refusal}");
        }
    }
}

/// The log is read back by what its first event says of a command: nobody else's words are taken for it.
#[tokio::test]
async fn an_event_of_a_commit_says_nothing_of_other_commands() {
    let mut world = World::open().await;
    world.keeps(&scrap(Some(1))).await;
    let link = json!({ "/": world.scene.contents[0].to_string() });
    let forged = json!({ "at": 7, "cid": link, "time": "2026-01-01T00:00:00.000Z", "type": "parts.Order", "sender": "yard" });
    let mut events = [moved(&json!({})), moved(&json!({}))];
    for event in &mut events {
        event["hop"] = json!({ "command": forged, "commit": [0, 1] });
    }
    let done = world.done("yard", "parts.Scrap", 1, 1, json!(events));
    world.keeps(&done).await;
    // The command that was named has the same id, and never was.
    let order = request("yard", Door::Outcome(typed("parts.Order")), &json!({ "command": id(1) }));
    assert_eq!(world.hears(&order).await.unwrap_err().kind, RefusalKind::NotFound);
}

/// A place in the queue says nothing of who handles what stood there.
#[tokio::test]
async fn who_answers_for_a_command_of_others_that_is_gone_hears_nothing_of_it() {
    let mut world = World::open().await;
    world.keeps(&scrap(Some(1))).await;
    let done = world.done("yard", "parts.Scrap", 1, 1, json!([moved(&json!({}))]));
    world.keeps(&done).await;
    let other = world.done("mill", "parts.Order", 1, 1, json!([]));
    assert_eq!(world.hears(&other).await.unwrap_err().kind, RefusalKind::NotFound);
    world.keeps(&done).await;
}

/// What a handler says elsewhere under the id of what it is going to say ends nothing: the command stays.
#[tokio::test]
async fn an_event_of_another_door_ends_no_command() {
    let mut world = World::open().await;
    world.keeps(&scrap(Some(1))).await;
    let key = comms_msg::MsgKey::new(
        comms_msg::Kind::Command,
        &name("shop"),
        &typed("parts.Scrap"),
        id(1).parse().unwrap(),
    );
    let mut before = moved(&json!({}));
    before["id"] = json!(comms_msg::MsgId::derive(&key, &name("yard"), 0));
    before["metadata"] = json!({ "owner": "ada", "causation": id(1), "correlation": id(1) });
    let command = json!({
        "id": id(1), "metadata": { "owner": "ada", "correlation": id(1) }, "content": { "body": { "part": "bolt" } },
    });
    world.keeps(&request("shop", Door::Command(typed("parts.Scrap")), &command)).await;
    world.keeps(&request("yard", Door::Event(typed("parts.Moved")), &before)).await;
    let done = world.done("yard", "parts.Scrap", 1, 1, json!([moved(&json!({}))]));
    assert_eq!(world.hears(&done).await.unwrap_err().kind, RefusalKind::Invalid);
    world.keeps(&world.done("yard", "parts.Scrap", 1, 1, json!([]))).await;
    world.keeps(&outcome(1, 0)).await;
}

/// A message of a commit may be stored although the one before it is drawn anew.
#[tokio::test]
async fn what_is_said_again_beside_something_new_is_stored_once() {
    let mut world = World::open().await;
    let event = |n: Option<u64>| {
        let mut event = moved(&json!({}));
        event["metadata"] = json!({ "owner": "ada" });
        if let Some(n) = n {
            event["id"] = json!(id(n));
        }
        event
    };
    for (first, expect) in [(None, "any"), (Some(7), "any"), (None, "absent")] {
        let n = world.model.events.len() as u64 + 1;
        let mut events = json!([event(first), event(Some(n))]);
        events[0]["hop"] = json!({ "expect": expect });
        let both = request("mill", Door::Event(typed("parts.Moved")), &events);
        world.scene.lose_answers(true);
        let lost = world.ask(&both, Judged::Lost).await;
        assert!(matches!(lost, Some(Err(_))), "{lost:?}");
        world.scene.lose_answers(false);
        // Each time with another first one, but for the one that has an id.
        if first.is_none() && expect == "any" {
            assert_eq!(world.hears(&both).await.unwrap_err().kind, RefusalKind::Invalid);
        } else if first.is_some() {
            world.keeps(&both).await;
        } else {
            assert_eq!(world.hears(&both).await.unwrap_err().kind, RefusalKind::Conflict);
        }
    }
}

/// Whether a command is kept is looked for before its sender is told that it never was.
#[tokio::test]
async fn a_command_whose_answer_was_lost_has_an_outcome() {
    let mut world = World::open().await;
    world.scene.lose_answers(true);
    let lost = world.ask(&scrap(Some(1)), Judged::Lost).await;
    assert!(matches!(lost, Some(Err(_))), "{lost:?}");
    world.scene.lose_answers(false);
    let Ok(Answer::Outcome(outcome)) = world.hears(&outcome(1, 0)).await else { panic!("no outcome") };
    assert_eq!(outcome.state, OutcomeState::Pending);
}

/// Who waits for a command hears of its end however that becomes known.
#[tokio::test]
async fn who_waits_hears_of_an_end_that_was_found() {
    let mut world = World::open().await;
    world.keeps(&scrap(Some(1))).await;
    let waits = world.ask(&outcome(1, 25_000), Judged::Heard).await;
    assert!(waits.is_none(), "{waits:?}");
    let done = world.done("yard", "parts.Scrap", 1, 1, json!([moved(&json!({}))]));
    world.scene.lose_answers(true);
    let lost = world.ask(&done, Judged::Lost).await;
    assert!(matches!(lost, Some(Err(_))), "{lost:?}");
    world.scene.lose_answers(false);
    world.scene.keep_up().await;
    world.end().await;
}

/// A type that is named twice is watched once.
#[tokio::test]
async fn a_watch_may_name_a_type_twice() {
    let mut world = World::open().await;
    let ask = json!({ "types": ["parts.Made", "parts.Moved", "parts.Made"], "from": "start" });
    world.keeps(&request("yard", Door::Watch, &ask)).await;
}
