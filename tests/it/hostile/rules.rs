//! Rules of a domain hold for whoever sends, in whatever form: what a body is, what its schema says, and what leaves a
//! message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use comms::{TypeName, WatchFrom};
use comms_content::Node;
use comms_msg::Body;
use comms_msg::door::RefusalKind::{Invalid, Malformed, TooLarge};
use comms_msg::door::{Answer, Appended, Form};
use comms_tests::wait::SOON;
use serde_json::{Value, json};

use super::{Attacker, Siege};

/// A byte field of this many bytes is over the threshold of the domain.
const LARGE: usize = 100_000;

fn event(body: &Value) -> Value {
    json!({ "metadata": { "owner": "ada" },
        "content": { "event": "lending.Noted", "entity": "n1", "body": body } })
}

fn bytes_of(size: usize) -> Value {
    json!({ "/": { "bytes": STANDARD.encode(vec![7; size]) } })
}

impl Attacker {
    /// The refusals of the same message in its two forms.
    async fn refused_in_both_forms(&self, door: &str, message: &Value) -> [comms_msg::door::Refusal; 2] {
        let cbor = Node::from_value(message).expect("it has a form in CBOR").into_bytes();
        [self.refused(door, message.to_string()).await, self.refused(door, cbor).await]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_an_object_with_and_without_a_schema() {
    let siege = Siege::begin().await;
    let (evil, desk) = (siege.attacker("evil").await, siege.attacker("desk").await);
    for body in [json!(null), json!(3), json!("x"), json!([1]), json!(true), bytes_of(3)] {
        let command = |name: &str| json!({ "metadata": { "owner": "ada" }, "content": { "command": name, "body": body } });
        for (sender, door, message) in [
            (&evil, "event.lending.Noted", event(&body)),
            (&evil, "command.lending.Lend", command("lending.Lend")),
            (&desk, "command.documents.RetitleDocument", command("documents.RetitleDocument")),
        ] {
            for refusal in sender.refused_in_both_forms(door, &message).await {
                assert_eq!(refusal.kind, Invalid, "{door} {body}: {refusal}");
                assert!(refusal.to_string().contains("an object is expected"), "{door} {body}: {refusal}");
            }
        }
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserved_key_and_a_byte_order_mark_are_named() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    let body = json!({ "paths": { "/": { "get": 1 }, "/users": 2 } });
    let json = evil.refused("event.lending.Noted", event(&body).to_string()).await;
    // {"content": {"body": {"/": 1}}}, as canonical as such a thing can be.
    let cbor = evil.refused("event.lending.Noted", &b"\xa1\x67content\xa1\x64body\xa1\x61/\x01"[..]).await;
    for refusal in [json, cbor] {
        assert_eq!(refusal.kind, Malformed, "{refusal}");
        assert!(refusal.message.contains("the key `/` is reserved for links and bytes"), "{refusal}");
        assert!(!refusal.message.contains("canonical"), "{refusal}");
    }
    let marked = format!("\u{feff}{}", event(&json!({})));
    let refusal = evil.refused("event.lending.Noted", marked).await;
    assert!(refusal.message.contains("byte order mark"), "{refusal}");
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_byte_field_leaves_the_message_whoever_sends_it() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    let library = siege.node.connect("evil").await;
    let small = bytes_of(10);
    let message = event(&json!({ "a/b": bytes_of(LARGE), "small": small, "list": [bytes_of(LARGE + 1)] }));
    let mut told = Vec::new();
    for payload in [message.to_string().into(), Node::from_value(&message).unwrap().into_bytes()] {
        let subject = "library.door.event.lending.Noted.evil";
        let inbox = format!("_INBOX.evil.{:032x}", rand::random::<u128>());
        let form = Form::of(&payload);
        let request = async_nats::Request::new().payload(payload).inbox(inbox).timeout(Some(SOON));
        let reply = evil.client.send_request(subject.to_owned(), request).await.unwrap();
        let Answer::Ok(appended) = form.decode::<Answer<Appended>>(&reply.payload).unwrap() else {
            panic!("a large field was refused");
        };
        for place in ["/content/body/a~1b", "/content/body/list/0"] {
            assert!(appended.filled.iter().any(|filled| filled == place), "{:?}", appended.filled);
        }
        told.push(appended.events[0].cid);
    }
    let put = library.put(vec![7; LARGE]).await.unwrap().cid;
    let other = library.put(vec![7; LARGE + 1]).await.unwrap().cid;
    let noted: TypeName = "lending.Noted".parse().unwrap();
    let mut heard = library.raw().watch([noted]).entity("n1").from(WatchFrom::Start).await.unwrap();
    for cid in told {
        let event = tokio::time::timeout(SOON, heard.next()).await.expect("it comes").unwrap().unwrap();
        assert_eq!(event.msg().cid(), cid, "what is told is what is stored");
        let Some(Body::Inline(body)) = event.msg().content.as_ref().map(|content| content.body()) else {
            panic!("the body is in the message");
        };
        let expected = json!({ "a/b": { "/": put.to_string() },
            "small": { "/": { "bytes": "BwcHBwcHBwcHBw" } }, "list": [{ "/": other.to_string() }] });
        assert_eq!(body.to_value(), expected);
        let bytes = library.get(&put).await.unwrap().into_bytes(1 << 20).await.unwrap();
        assert_eq!(bytes, vec![7; LARGE]);
    }
    siege.end().await;
}

/// Where a threshold is low, one message can hold more fields than a door puts.
#[tokio::test(flavor = "multi_thread")]
async fn more_large_fields_than_a_door_puts_are_refused_with_what_to_do() {
    let definition = comms_tests::fixture::DOMAIN.replace("\"64 KiB\"", "\"1 KiB\"");
    let node = comms_tests::TestNode::start_with(&definition, &[]).await;
    let evil = Attacker { client: node.raw("evil").await.0, service: "evil".to_owned() };
    let fields = |count: usize| event(&json!({ "list": vec![bytes_of(1_025); count] }));
    evil.must("event.lending.Noted", fields(65), TooLarge, "POST /content").await;
    assert!(matches!(evil.ask("event.lending.Noted", fields(64).to_string()).await, Answer::Ok(_)));
    // At the threshold a field stays.
    let answer = evil.ask("event.lending.Noted", event(&json!({ "a": bytes_of(1_024) })).to_string()).await;
    assert!(matches!(answer, Answer::Ok(_)));
}
