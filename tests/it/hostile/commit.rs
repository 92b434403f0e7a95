//! A handler that was given a command and answers with what it must not. Its last answer is honest and counts, once.

use comms_msg::door::Answer;
use comms_msg::door::RefusalKind::{Denied, Invalid, NotFound, Unknown};
use comms_tests::wait::SOON;
use futures::StreamExt;
use serde_json::{Value, json};

use super::Siege;

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_can_store_only_what_follows_from_its_command() {
    let siege = Siege::begin().await;
    let (lender, evil) = (siege.attacker("lender").await, siege.attacker("evil").await);
    let request = lender.client.request("library.door.listen.lender", "{}".into()).await.unwrap();
    let listening: Value = serde_json::from_slice(&request.payload).unwrap();
    let commands = &listening["ok"]["commands"];
    let (subject, queue) = (commands["subject"].as_str().unwrap(), commands["queue"].as_str().unwrap());
    let mut deliveries = lender.client.queue_subscribe(subject.to_owned(), queue.to_owned()).await.unwrap();
    lender.client.flush().await.unwrap();
    let id = "0190a000-0000-7000-8000-000000000001";
    let lend = json!({ "id": id, "metadata": { "owner": "ada" }, "content": { "command": "lending.Lend", "body": { "n": 1 } } });
    assert!(matches!(evil.ask("command.lending.Lend", lend.to_string()).await, Answer::Ok(_)));
    let delivered =
        tokio::time::timeout(SOON, deliveries.next()).await.expect("the command is delivered").unwrap();
    let delivery = delivered.reply.expect("it can be answered for").to_string();

    let other = "0190a000-0000-7000-8000-00000000000f";
    let commit = |events: Value| json!({ "command": id, "delivery": delivery, "completion": "done", "events": events });
    let lent = |more: Value| {
        let mut event = json!({ "content": { "event": "lending.Lent", "entity": "l1", "body": { "n": 1 } } });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        commit(json!([{ "content": event["content"] }, event]))
    };
    let typed = |content: Value| commit(json!([{ "content": content }]));
    for (answer, kind, names) in [
        (typed(json!({ "event": "lending.Lnt", "entity": "l1" })), Unknown, "did you mean lending.Lent?"),
        (typed(json!({ "event": "lending.Lend", "entity": "l1" })), Unknown, "/events/0"),
        (
            typed(json!({ "event": "documents.DocumentAdded", "entity": "l1" })),
            Denied,
            "documents.DocumentAdded",
        ),
        (typed(json!({ "event": "lending.Lent" })), Invalid, "/events/0/content/entity"),
        (typed(json!({ "command": "lending.Lend" })), Invalid, "/events/0"),
        (typed(json!({ "entity": "l1" })), Invalid, "/events/0"),
        (lent(json!({ "id": other })), Invalid, "/events/1"),
        (lent(json!({ "metadata": { "causation": other } })), Invalid, "/events/1"),
        (lent(json!({ "metadata": { "correlation": other } })), Invalid, "/events/1"),
        (lent(json!({ "metadata": { "sender": "desk" } })), Invalid, "/events/1/metadata/sender"),
        (lent(json!({ "hop": { "expect": "1@aaaaaaaa" } })), Invalid, "aaaaaaaa"),
    ] {
        lender.must("commit.lending.Lend", answer, kind, names).await;
    }
    let mut foreign = commit(json!([]));
    foreign["command"] = json!(other);
    lender.must("commit.lending.Lend", foreign, NotFound, other).await;

    // 90,000 bytes, which leave the event; only the answer that stored it names them.
    let body = json!({ "n": 1, "f": { "/": { "bytes": "A".repeat(120_000) } } });
    let good = commit(json!([{ "content": { "event": "lending.Lent", "entity": "l1", "body": body } }]));
    for round in 0..3 {
        let door = "library.door.commit.lending.Lend.lender";
        let answer = lender.client.request(door, good.to_string().into()).await.unwrap();
        let committed: Value = serde_json::from_slice(&answer.payload).unwrap();
        let filled = (round == 0).then(|| json!(["/events/0/content/body/f"]));
        assert_eq!(committed["ok"].get("filled"), filled.as_ref(), "{committed}");
    }
    let ask = json!({ "command": id, "wait_ms": 1_000 });
    let outcome =
        evil.client.request("library.door.outcome.lending.Lend.evil", ask.to_string().into()).await.unwrap();
    let outcome: Value = serde_json::from_slice(&outcome.payload).unwrap();
    assert_eq!(outcome["ok"]["state"], "done", "{outcome}");
    assert_eq!(outcome["ok"]["events"].as_array().unwrap().len(), 1, "stored once: {outcome}");
    assert_eq!(outcome["ok"]["events"][0]["position"].as_str().unwrap().split('@').count(), 2);
    siege.end().await;
}
