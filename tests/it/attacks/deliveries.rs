//! Deliveries of commands: who they were not made to reaches none, and who they were made to ends them at the door alone.

use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use futures::StreamExt;
use serde_json::json;

use super::Attacker;
use crate::vocabulary::AddDocument;

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_cannot_be_steered_onto_another_consumer() {
    let node = TestNode::start().await;
    let mut evil = Attacker::of(&node, "evil").await;
    let facts = node.facts();
    let name = facts["node"].as_str().unwrap();
    let reply = format!("$JS.ACK.COMMAND_{name}.archive-0.1.1.1.1.0");
    evil.client.publish_with_reply("library.door.hello.evil", reply.clone(), "{}".into()).await.unwrap();
    evil.complaint("publish", &reply).await;
}

/// Not even with the real name of the consumer, which is not to be guessed: the broker knows who it belongs to.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_real_name_is_known_is_out_of_reach() {
    let node = TestNode::start().await;
    let facts = node.facts();
    let name = facts["node"].as_str().unwrap();
    let archive = Attacker::of(&node, "archive").await;
    let listening = archive.ask("library.door.listen.archive", json!({})).await;
    let (_, token) = listening["ok"]["commands"]["subject"].as_str().unwrap().split_once("command-").unwrap();
    let (stream, consumer) = (format!("COMMAND_{name}"), format!("archive-{token}"));
    let jetstream = node.jetstream().await;
    let state = async || {
        let stream = jetstream.get_stream_no_info(&stream).await.unwrap();
        let info = stream.consumer_info(&consumer).await.expect("this is its real name");
        (info.ack_floor.stream_sequence, info.num_ack_pending, info.num_pending, info.config.name)
    };
    // A command waits there, and was delivered to nobody.
    let desk = node.connect("desk").await;
    let add = || AddDocument { title: "x".into(), file: comms::Content::from(vec![1]) };
    desk.send(add()).owner("ada").await.unwrap();
    let before = state().await;
    let mut evil = Attacker::of(&node, "evil").await;
    for subject in [
        format!("$JS.ACK.{stream}.{consumer}.1.1.1.1.0"),
        format!("$JS.ACK._.ACCOUNT.{stream}.{consumer}.1.1.1.1.0.x"),
        format!("$JS.ACK.{name}.ACCOUNT.{stream}.{consumer}.1.1.1.1.0.x"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}.library.command.>"),
        format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.PAUSE.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.RESET.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.UNPIN.{stream}.{consumer}"),
        format!("$JS.FC.{stream}.{consumer}.1.1"),
    ] {
        evil.publish_refused(&subject).await;
    }
    let deliveries = listening["ok"]["commands"]["subject"].as_str().unwrap();
    evil.publish_refused(deliveries).await;
    evil.subscribe_refused(deliveries, None).await;
    evil.subscribe_refused(deliveries, Some("archive")).await;
    assert_eq!(state().await, before, "the consumer was reached");
    // Who owns it is told of the command now.
    let handled =
        node.connect("archive").await.handle(|_: AddDocument, _| async { Ok::<(), comms::Failure>(()) });
    let handled = handled.start().await.unwrap();
    desk.send(add()).owner("ada").await.unwrap().outcome().await.unwrap();
    wait_until("the command that waited", SOON, async || match state().await {
        (2, 0, 0, _) => Ok(()),
        other => Err(other),
    })
    .await;
    handled.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_answers_only_for_what_was_delivered_to_it() {
    let node = TestNode::start().await;
    let facts = node.facts();
    let name = facts["node"].as_str().unwrap();
    let lender = Attacker::of(&node, "lender").await;
    for delivery in [
        format!("$JS.ACK.COMMAND_{name}.archive-0.1.1.1.1.0"),
        format!("$JS.ACK.COMMAND_{name}.lender-0.1.1.1.1.0"),
        "library.event.lending.x.Lent".to_owned(),
        String::new(),
    ] {
        let commit = json!({ "command": "0190a000-0000-7000-8000-000000000000", "delivery": delivery, "completion": "done", "events": [] });
        let answer = lender.ask("library.door.commit.lending.Lend.lender", commit).await;
        assert_eq!(answer["error"]["kind"], "denied", "{answer}");
    }
}

/// An acknowledgement of any kind would take the command out of its queue, or keep it there, without an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_cannot_make_its_command_vanish() {
    let node = TestNode::start().await;
    let evil = Attacker::of(&node, "evil").await;
    let mut lender = Attacker::of(&node, "lender").await;
    let (command, delivery) = delivered_lend(&evil, &lender).await;
    for payload in ["+TERM", "+ACK", "+NXT", "", "+WPI", "-NAK"] {
        lender.client.publish(delivery.clone(), payload.into()).await.unwrap();
        lender.complaint("publish", &delivery).await;
    }
    // It is still there: the lender may end it, at the door.
    assert_eq!(node.stored("COMMAND").await.messages, 1);
    let door = "library.door.commit.lending.Lend.lender";
    for completion in ["check", "working"] {
        let commit = json!({ "command": command, "delivery": delivery, "completion": completion });
        let open = lender.ask(door, commit).await;
        assert_eq!(open["ok"]["already"], false, "{open}");
    }
    let commit = json!({ "command": command, "delivery": delivery, "completion": "done" });
    let done = lender.ask(door, commit).await;
    assert!(done["ok"].is_object(), "{done}");
    let ask = json!({ "command": command });
    let outcome = evil.ask("library.door.outcome.lending.Lend.evil", ask).await;
    assert_eq!(outcome["ok"]["state"], "done", "{outcome}");
}

/// Has `evil` send a command; returns its id, and the reply subject with which `lender` answers for it.
pub(super) async fn delivered_lend(evil: &Attacker, lender: &Attacker) -> (String, String) {
    let listening = lender.ask("library.door.listen.lender", json!({})).await;
    let subject = listening["ok"]["commands"]["subject"].as_str().unwrap().to_owned();
    let mut deliveries = lender.client.queue_subscribe(subject, "lender".into()).await.unwrap();
    // An answer behind it on the same connection: the subscription is in force.
    lender.ask("library.door.hello.lender", json!({})).await;
    let id = "0190a000-0000-7000-8000-000000000001";
    let lend = json!({ "id": id, "metadata": { "owner": "ada" },
        "content": { "command": "lending.Lend", "body": { "n": 1 } } });
    let sent = evil.ask("library.door.command.lending.Lend.evil", lend).await;
    assert!(sent["ok"].is_object(), "{sent}");
    let delivered = tokio::time::timeout(SOON, deliveries.next()).await.expect("the command is delivered");
    (id.to_owned(), delivered.unwrap().reply.expect("it can be answered for").to_string())
}
