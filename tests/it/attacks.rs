//! The attack table: what a service with its own valid key tries beyond its rights, on a real server with generated
//! users, and what becomes of it. The broker refuses most; what it cannot see (reply subjects, what a message says)
//! the doors and the library refuse.

mod deliveries;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use comms_content::{Cid, DAG_CBOR, RAW};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::deliveries::delivered_lend;
use crate::vocabulary::Ping;

/// A subject on which nothing may ever arrive is watched until this much later than the attack's own traces.
const QUIET: Duration = Duration::from_millis(300);

/// An attacker's connection.
struct Attacker {
    client: Client,
    complaints: mpsc::Receiver<String>,
}

impl Attacker {
    async fn of(node: &TestNode, service: &str) -> Attacker {
        let (client, complaints) = node.raw(service).await;
        Attacker { client, complaints }
    }

    /// Publishes and returns when the server has refused it.
    async fn publish_refused(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), Bytes::from_static(b"{}")).await.unwrap();
        self.complaint("publish", subject).await;
    }

    /// Subscribes and returns when the server has refused it.
    async fn subscribe_refused(&mut self, subject: &str, queue: Option<&str>) {
        let subscriber = match queue {
            Some(queue) => self.client.queue_subscribe(subject.to_owned(), queue.to_owned()).await,
            None => self.client.subscribe(subject.to_owned()).await,
        };
        self.complaint("subscription", subject).await;
        drop(subscriber);
    }

    async fn complaint(&mut self, verb: &str, subject: &str) {
        let subject = subject.to_lowercase();
        let mut seen = Vec::new();
        let found = tokio::time::timeout(SOON, async {
            while let Some(complaint) = self.complaints.recv().await {
                let text = complaint.to_lowercase();
                if text.contains("permissions violation") && text.contains(verb) && text.contains(&subject) {
                    return true;
                }
                seen.push(complaint);
            }
            false
        })
        .await;
        assert_eq!(found, Ok(true), "the server let {verb} {subject} pass; it complained of {seen:?}");
    }

    async fn ask(&self, subject: &str, body: Value) -> Value {
        let reply = self.client.request(subject.to_owned(), body.to_string().into()).await;
        let reply = reply.unwrap_or_else(|e| panic!("no answer at {subject}: {e}"));
        serde_json::from_slice(&reply.payload).expect("a JSON request is answered in JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_outside_the_definition_is_refused_by_the_broker() {
    let node = TestNode::start().await;
    let facts = node.facts();
    let name = facts["node"].as_str().unwrap();
    let mut evil = Attacker::of(&node, "evil").await;
    for subject in [
        // Stored subjects and their live twins.
        "library.event.lending.x.Lent".to_owned(),
        "library.live.event.lending.x.Lent".to_owned(),
        "library.outcome.lending.Lend.desk.0190a000-0000-7000-8000-000000000000".to_owned(),
        // Durable and direct commands and queries of others, and with the token of another sender.
        "library.command.documents.AddDocument.evil".to_owned(),
        "library.command.documents.Ping.desk".to_owned(),
        "library.query.documents.FindDocuments.desk".to_owned(),
        // Doors it has no right to, or under another name.
        "library.door.command.documents.AddDocument.evil".to_owned(),
        "library.door.command.lending.Lend.desk".to_owned(),
        "library.door.event.documents.DocumentAdded.evil".to_owned(),
        "library.door.event.lending.Noted.lender".to_owned(),
        "library.door.tally.indexer".to_owned(),
        "library.door.commit.lending.Lend.evil".to_owned(),
        "library.door.outcome.documents.AddDocument.evil".to_owned(),
        "library.door.hello.desk".to_owned(),
        "library.deliver.archive.x".to_owned(),
        // Another's inbox.
        "_INBOX.desk.x".to_owned(),
        // JetStream: pulling, acknowledging, redefining, creating, purging, deleting, reading.
        format!("$JS.API.CONSUMER.MSG.NEXT.COMMAND_{name}.c"),
        format!("$JS.ACK.COMMAND_{name}.c.1.1.1.1.0"),
        format!("$JS.API.CONSUMER.CREATE.COMMAND_{name}.c"),
        format!("$JS.API.CONSUMER.DURABLE.CREATE.COMMAND_{name}.c"),
        format!("$JS.API.CONSUMER.DELETE.COMMAND_{name}.c"),
        "$JS.API.STREAM.CREATE.MINE".to_owned(),
        format!("$JS.API.STREAM.UPDATE.EVENT_{name}"),
        format!("$JS.API.STREAM.PURGE.EVENT_{name}"),
        format!("$JS.API.STREAM.DELETE.EVENT_{name}"),
        format!("$JS.API.STREAM.MSG.GET.EVENT_{name}"),
        format!("$JS.API.DIRECT.GET.EVENT_{name}"),
        "$JS.API.INFO".to_owned(),
        // System, key/value and object subjects.
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SYS.REQ.USER.INFO.X".to_owned(),
        "$KV.bucket.key".to_owned(),
        "$O.bucket.C.x".to_owned(),
    ] {
        evil.publish_refused(&subject).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_and_queueing_outside_the_definition_is_refused_by_the_broker() {
    let node = TestNode::start().await;
    let mut evil = Attacker::of(&node, "evil").await;
    for (subject, queue) in [
        (">", None),
        ("*.>", None),
        ("_INBOX.>", None),
        ("_INBOX.desk.>", None),
        ("library.>", None),
        ("library.door.>", Some("door")),
        ("library.door.command.documents.AddDocument.*", None),
        ("library.query.documents.FindDocuments.*", Some("archive")),
        ("library.command.documents.Ping.*", Some("archive")),
        ("library.command.documents.Ping.*", None),
        ("library.deliver.archive.>", Some("archive")),
        ("library.deliver.>", None),
        ("library.live.event.documents.*.DocumentAdded", None),
        ("library.live.>", None),
        ("library.event.>", None),
        ("$JS.>", None),
        ("$JS.ACK.>", None),
        ("$JS.EVENT.ADVISORY.>", None),
        ("$SYS.>", None),
        ("$SRV.>", None),
    ] {
        evil.subscribe_refused(subject, queue).await;
    }
    // A handler hears commands only in its own queue group: a plain subscription would be a second copy.
    let mut archive = Attacker::of(&node, "archive").await;
    archive.subscribe_refused("library.command.documents.Ping.*", None).await;
    archive.subscribe_refused("library.command.documents.Ping.*", Some("other")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_without_or_with_wrong_credentials_is_refused() {
    let node = TestNode::start().await;
    let refused = |result: Result<Client, async_nats::ConnectError>| {
        let error = result.err().map(|e| e.to_string().to_lowercase());
        assert!(error.as_ref().is_some_and(|e| e.contains("authorization")), "{error:?}");
    };
    refused(async_nats::connect(node.nats_url()).await);
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    refused(async_nats::ConnectOptions::with_nkey(stranger).connect(node.nats_url()).await);
    refused(
        async_nats::ConnectOptions::with_user_and_password("dev".into(), "".into())
            .connect(node.nats_url())
            .await,
    );
}

/// The doors answer into the sender's inbox only; a reply subject anywhere else would make the node speak for the
/// attacker on subjects that only the node, or another service, may use.
#[tokio::test(flavor = "multi_thread")]
async fn a_door_answers_into_its_senders_inbox_and_nowhere_else() {
    let node = TestNode::start().await;
    let evil = Attacker::of(&node, "evil").await;
    let (reader, _) = node.raw("reader").await;
    let (archive, _) = node.raw("archive").await;
    let (desk, _) = node.raw("desk").await;
    let mut live = reader.subscribe("library.live.event.lending.*.Lent").await.unwrap();
    let mut handled =
        archive.queue_subscribe("library.command.documents.Ping.*", "archive".into()).await.unwrap();
    let mut asked =
        archive.queue_subscribe("library.query.documents.FindDocuments.*", "archive".into()).await.unwrap();
    let mut inbox = desk.subscribe("_INBOX.desk.guess").await.unwrap();
    for (client, name) in [(&reader, "reader"), (&archive, "archive"), (&desk, "desk")] {
        // An answer behind it on the same connection: the subscription is in force.
        client.request(format!("library.door.hello.{name}"), "{}".into()).await.unwrap();
    }
    let body =
        json!({ "metadata": { "owner": "evil" }, "content": { "command": "lending.Lend", "body": {} } });
    for reply in [
        "library.live.event.lending.x.Lent",
        "library.event.lending.x.Lent",
        "library.command.documents.Ping.desk",
        "library.query.documents.FindDocuments.desk",
        "_INBOX.desk.guess",
        "_INBOX.evil2.x",
        "library.door.command.documents.AddDocument.desk",
    ] {
        for door in
            ["library.door.command.lending.Lend.evil", "library.door.hello.evil", "library.door.watch.evil"]
        {
            evil.client.publish_with_reply(door, reply, body.to_string().into()).await.unwrap();
        }
    }
    // The doors have seen all of the above when they answer this.
    evil.ask("library.door.hello.evil", json!({})).await;
    for (what, subscriber) in [
        ("a live event", &mut live),
        ("a direct command", &mut handled),
        ("a query", &mut asked),
        ("an inbox", &mut inbox),
    ] {
        let heard = tokio::time::timeout(QUIET, subscriber.next()).await;
        assert!(heard.is_err(), "{what} was forged by a reply subject: {heard:?}");
    }
}

/// A responder may publish into inboxes only, so a query's reply subject cannot make it speak elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_answers_anything_can_only_reach_inboxes() {
    let node = TestNode::start().await;
    let evil = Attacker::of(&node, "evil").await;
    let mut archive = Attacker::of(&node, "archive").await;
    let mut queries = archive
        .client
        .queue_subscribe("library.query.documents.FindDocuments.*", "archive".into())
        .await
        .unwrap();
    // An answer behind it on the same connection: the subscription is in force.
    archive.ask("library.door.hello.archive", json!({})).await;
    for reply in [
        "library.live.event.documents.x.DocumentAdded",
        "library.command.documents.Ping.desk",
        "library.event.documents.x.DocumentAdded",
    ] {
        evil.client
            .publish_with_reply("library.query.documents.FindDocuments.evil", reply, "{}".into())
            .await
            .unwrap();
        let query = tokio::time::timeout(SOON, queries.next()).await.expect("the query arrives").unwrap();
        archive.client.publish(query.reply.unwrap(), "forged".into()).await.unwrap();
        archive.complaint("publish", reply).await;
    }
}

/// The reply tokens of many clients are a sequence: who is asked twice knows the next one. So where doors answer, nobody
/// who answers queries may write.
#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_a_reply_token_cannot_answer_for_a_door() {
    let node = TestNode::start().await;
    let mut archive = Attacker::of(&node, "archive").await;
    for subject in
        ["_INBOX.desk.x", "_INBOX.desk.x.1", "_INBOX.desk.door.x", "_INBOX.desk.ask", "_INBOX.ask.x"]
    {
        archive.publish_refused(subject).await;
    }
    // A client of other people's making: its whole inbox begins alike, and one part of it is for queries.
    let (desk, _) = node.raw("desk").await;
    let mut queries = archive
        .client
        .queue_subscribe("library.query.documents.FindDocuments.*", "archive".into())
        .await
        .unwrap();
    // An answer behind it on the same connection: the subscription is in force.
    archive.ask("library.door.hello.archive", json!({})).await;
    let mut answers = desk.subscribe("_INBOX.desk.ask.1").await.unwrap();
    let query = "library.query.documents.FindDocuments.desk";
    desk.publish_with_reply(query, "_INBOX.desk.ask.1", "{}".into()).await.unwrap();
    let asked = tokio::time::timeout(SOON, queries.next()).await.expect("the query arrives").unwrap();
    archive.client.publish(asked.reply.unwrap(), "answered".into()).await.unwrap();
    let answer = tokio::time::timeout(SOON, answers.next()).await.expect("the answer arrives").unwrap();
    assert_eq!(answer.payload, "answered");
    // What a door says there would prove nothing, so it does nothing.
    let request = async_nats::Request::new().payload("{}".into()).inbox("_INBOX.desk.ask.2".into());
    let refused = desk.send_request("library.door.hello.desk", request).await.unwrap();
    let refused: Value = serde_json::from_slice(&refused.payload).unwrap();
    assert!(refused["error"]["message"].as_str().unwrap().contains("services may write"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_names_no_owner_but_those_of_the_definition() {
    let definition =
        comms_tests::fixture::DOMAIN.replace("[service.evil]", "[service.evil]\nowners = [\"eve\"]");
    let node = TestNode::start_with(&definition, &[]).await;
    let evil = Attacker::of(&node, "evil").await;
    let command = |owner: &str| json!({ "metadata": { "owner": owner }, "content": { "command": "lending.Lend", "body": {} } });
    let event = |owner: &str| json!({ "metadata": { "owner": owner }, "content": { "event": "lending.Noted", "entity": "n1", "body": {} } });
    for owner in ["ada", "Eve", "eve "] {
        for (door, message) in
            [("command.lending.Lend", command(owner)), ("event.lending.Noted", event(owner))]
        {
            let refused = evil.ask(&format!("library.door.{door}.evil"), message).await;
            assert_eq!(refused["error"]["kind"], "denied", "{refused}");
            assert!(
                refused["error"]["message"].as_str().unwrap().contains("domain.toml lists: eve"),
                "{refused}"
            );
        }
    }
    for (door, message) in [("command.lending.Lend", command("eve")), ("event.lending.Noted", event("eve"))] {
        let taken = evil.ask(&format!("library.door.{door}.evil"), message).await;
        assert!(taken["ok"].is_object(), "{taken}");
    }
    assert_eq!(
        (node.stored("COMMAND").await.last, node.stored("EVENT").await.last),
        (1, 1),
        "and nothing else"
    );
}

/// A message of a kind (`event`, `command`), with a link in its body or instead of it.
fn linking(kind: &str, type_name: &str, cid: &str, is_whole: bool) -> Value {
    let mut content = json!({ kind: type_name });
    if kind == "event" {
        content["entity"] = "n1".into();
    }
    let link = json!({ "/": cid });
    if is_whole {
        content["link"] = link;
    } else {
        content["body"] = json!({ "about": [{ "deep": link }] });
    }
    json!({ "content": content })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_link_is_refused_like_an_absent_one_at_every_door() {
    let node = TestNode::start().await;
    let desk = node.connect("desk").await;
    // A body by itself, so that it can be linked both in place of a body and within one.
    let secret = desk.put(&b"\xa1\x61n\x01"[..]).await.unwrap().cid;
    let absent: Cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e".parse().unwrap();
    let evil = Attacker::of(&node, "evil").await;
    let lender = Attacker::of(&node, "lender").await;
    let (command, delivery) = delivered_lend(&evil, &lender).await;
    let stored = async || (node.stored("EVENT").await, node.stored("COMMAND").await);
    let before = stored().await;

    let owned = |mut msg: Value| {
        msg["metadata"] = json!({ "owner": "evil" });
        msg
    };
    let commit = |event: Value| json!({ "command": command, "delivery": delivery, "completion": "done", "events": [event] });
    for is_whole in [false, true] {
        // In place of a body stands a block of DAG-CBOR; any other codec is refused as such.
        let codec = if is_whole { DAG_CBOR } else { RAW };
        let [secret, absent] = [secret, absent].map(|cid| cid.with_codec(codec).to_string());
        let messages = |cid: &str| {
            [
                owned(linking("event", "lending.Noted", cid, is_whole)),
                owned(linking("command", "lending.Lend", cid, is_whole)),
                commit(linking("event", "lending.Lent", cid, is_whole)),
            ]
        };
        let doors = [
            (&evil, "library.door.event.lending.Noted.evil"),
            (&evil, "library.door.command.lending.Lend.evil"),
            (&lender, "library.door.commit.lending.Lend.lender"),
        ];
        let both = messages(&secret).into_iter().zip(messages(&absent));
        for ((attacker, door), (foreign, missing)) in doors.into_iter().zip(both) {
            let foreign = attacker.ask(door, foreign).await;
            let missing = attacker.ask(door, missing).await;
            assert_eq!(foreign["error"]["kind"], "not_found", "{door}, whole: {is_whole}: {foreign}");
            let text = |answer: &Value, cid: &str| answer["error"].to_string().replace(cid, "CID");
            assert_eq!(text(&foreign, &secret), text(&missing, &absent), "{door}");
        }
    }
    assert_eq!(stored().await, before, "what was refused was stored");
    // And the attempts opened nothing.
    for service in ["evil", "lender", "reader"] {
        assert_eq!(reqwest_get(&node, service, &secret.to_string()).await, 404, "{service}");
    }
    // With a link of its own the same commit is taken.
    let own = node.connect("lender").await.put(&b"my own"[..]).await.unwrap().cid.to_string();
    let taken = commit(linking("event", "lending.Lent", &own, false));
    let taken = lender.ask("library.door.commit.lending.Lend.lender", taken).await;
    assert!(taken["ok"].is_object(), "{taken}");
}

async fn reqwest_get(node: &TestNode, service: &str, cid: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/content/{cid}", node.http_url());
    client.get(url).bearer_auth(node.token(service)).send().await.unwrap().status().as_u16()
}

/// Only the README's commands use the built-in user `dev`: everything else shows least privilege.
#[test]
fn dev_appears_in_the_readmes_commands_only() {
    let checkout = comms_tests::binary::checkout();
    // Who looks for the name, or takes the key away.
    let may = ["it/attacks.rs", "cli/new.rs", "cli/node.rs"];
    let mut found = Vec::new();
    for folder in
        ["tests/it", "tests/interop", "crates/comms-cli/tests", "crates/comms-cli/templates/services"]
    {
        assert!(checkout.join(folder).is_dir(), "{folder} is not where it is looked for");
        visit(&checkout.join(folder), &mut |path, text| {
            let needles = [
                concat!("\"", "dev\""),
                concat!("dev", ".nk"),
                concat!("--as ", "dev"),
                concat!("_INBOX.", "dev"),
            ];
            if !may.iter().any(|file| path.ends_with(file)) && needles.iter().any(|n| text.contains(n)) {
                found.push(path.display().to_string());
            }
        });
    }
    assert!(found.is_empty(), "these use the dev user: {found:?}");
}

fn visit(folder: &std::path::Path, each: &mut dyn FnMut(&std::path::Path, &str)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, each);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            each(&path, &text);
        }
    }
}

/// What a sender with the right to the subject can put there by itself. What it can make the broker put there:
/// `steered.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_of_its_subject_is_dropped_by_the_handler() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let handled: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
    let seen = handled.clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let ended = stop.clone();
    let serving = tokio::spawn(async move {
        archive
            .handle(move |ping: Ping, _| {
                seen.lock().unwrap().insert(ping.n);
                async { Ok::<(), comms::Failure>(()) }
            })
            .run_until(async move { ended.cancelled().await })
            .await
    });
    let (desk, _) = node.raw("desk").await;
    let ping = |n: u64| {
        json!({ "id": format!("0190a000-0000-7000-8000-{n:012}"),
            "metadata": { "v": 1, "owner": "ada", "sender": "desk", "time": "2026-11-21T10:00:00.000Z", "correlation": format!("0190a000-0000-7000-8000-{n:012}") },
            "content": { "command": "documents.Ping", "v": 1, "body": { "n": n } } })
    };
    wait_until("the handler to serve", SOON, async || {
        desk.publish("library.command.documents.Ping.desk", ping(1).to_string().into()).await.unwrap();
        if handled.lock().unwrap().contains(&1) { Ok(()) } else { Err("no ping was handled") }
    })
    .await;
    // Everything else that can arrive on a subject of its own: empty, no message, another type, another sender, an event.
    let mut other_type = ping(2);
    other_type["content"]["command"] = "documents.AddDocument".into();
    let mut other_sender = ping(3);
    other_sender["metadata"]["sender"] = "archive".into();
    let event = json!({ "id": "0190a000-0000-7000-8000-000000000009", "metadata": ping(9)["metadata"],
        "content": { "event": "documents.DocumentAdded", "v": 1, "entity": "x", "body": {} } });
    for payload in [
        String::new(),
        "{}".into(),
        "null".into(),
        "\u{1}".into(),
        other_type.to_string(),
        other_sender.to_string(),
        event.to_string(),
    ] {
        desk.publish("library.command.documents.Ping.desk", payload.into()).await.unwrap();
    }
    let mut status = async_nats::HeaderMap::new();
    status.insert("X", "1");
    desk.publish_with_headers("library.command.documents.Ping.desk", status, Bytes::new()).await.unwrap();
    desk.publish("library.command.documents.Ping.desk", ping(4).to_string().into()).await.unwrap();
    wait_until("the honest command behind them", SOON, async || {
        if handled.lock().unwrap().contains(&4) { Ok(()) } else { Err("it was not handled") }
    })
    .await;
    assert_eq!(
        *handled.lock().unwrap(),
        BTreeSet::from([1, 4]),
        "a handler ran for a message that is not its own"
    );
    stop.cancel();
    serving.await.unwrap().unwrap();
}
