//! What can be read and is not what the door is for: wrong kinds, other people's names, unknown types, too many of
//! something.

use comms_msg::door::RefusalKind::{Denied, Invalid, Malformed, NotFound, TooLarge, Unknown};
use serde_json::{Value, json};

use super::Siege;

/// An id that nothing has.
const NOBODYS: &str = "0190a000-0000-7000-8000-000000000000";

/// `base` with `value` at a JSON pointer, whose parents are there.
fn with(base: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = base.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let parent =
        changed.pointer_mut(parent).expect("the parent is there").as_object_mut().expect("it is an object");
    parent.insert(key.to_owned(), value);
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_lies_is_refused_with_the_field() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    let pairs =
        |count: usize| (0..count).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    let command = json!({ "id": NOBODYS, "hop": {}, "metadata": { "owner": "ada" }, "content": { "command": "lending.Lend", "body": { "n": 1 } } });
    let event = json!({ "id": NOBODYS, "hop": {}, "metadata": { "owner": "ada" },
        "content": { "event": "lending.Noted", "entity": "n1", "body": {} } });
    for (door, base) in [("command.lending.Lend", &command), ("event.lending.Noted", &event)] {
        for (pointer, value, kind) in [
            ("/id", json!("17"), Invalid),
            ("/id", json!(17), Malformed),
            ("/sender", json!("desk"), Invalid),
            ("/metadata", json!([]), Malformed),
            ("/metadata/v", json!(2), Invalid),
            ("/metadata/sender", json!("desk"), Invalid),
            ("/metadata/sender", json!("desk.evil"), Invalid),
            ("/metadata/owner", json!(""), Invalid),
            ("/metadata/owner", json!("a\u{0}b"), Invalid),
            ("/metadata/owner", json!("o".repeat(129)), Invalid),
            ("/metadata/owner", json!("o".repeat(500_000)), Invalid),
            ("/metadata/time", json!("yesterday"), Invalid),
            ("/metadata/correlation", json!("x"), Invalid),
            ("/metadata/causation", json!(null), Malformed),
            ("/metadata/admin", json!(true), Invalid),
            ("/metadata/user", json!(pairs(33)), TooLarge),
            ("/metadata/user", json!(pairs(10_000)), TooLarge),
            ("/metadata/user", json!({ "k": "v".repeat(1_025) }), TooLarge),
            ("/metadata/user", json!({ "k".repeat(65): "v" }), Invalid),
            ("/metadata/user", json!({ "k": 1 }), Malformed),
            ("/content", json!("lending.Lend"), Malformed),
            ("/content/v", json!(2), Invalid),
            ("/content/v", json!(-1), Malformed),
            ("/content/v", json!(1u64 << 40), Invalid),
            ("/content/bodies", json!({}), Invalid),
            ("/content/link", json!({ "/": "bafkqaaa" }), Malformed),
            ("/content/sealed", json!({ "key": "k" }), Malformed),
            ("/hop/expect", json!("tomorrow"), Invalid),
            ("/hop/expect", json!("-1@k3f9x2aa"), Invalid),
            ("/hop/commit", json!([5, 2]), Invalid),
            ("/hop/commit", json!([0, 1, 2]), Malformed),
            ("/hop/reply", json!("r".repeat(513)), Invalid),
            ("/hop/admin", json!(true), Invalid),
        ] {
            let names = if pointer == "/content/v" && value == json!(2) { "version 1" } else { pointer };
            evil.must(door, with(base, pointer, value), kind, names).await;
        }
        let mut ownerless = base.clone();
        ownerless["metadata"] = json!({});
        evil.must(door, ownerless, Invalid, "/metadata/owner").await;
        // A type, a kind, and two of them.
        for (kind, name) in [
            ("command", "documents.AddDocument"),
            ("event", "lending.Lent"),
            ("query", "documents.FindDocuments"),
        ] {
            let mut other = base.clone();
            other["content"] = json!({ kind: name, "entity": "n1", "body": {} });
            evil.must(door, other, Invalid, &format!("/content/{kind}")).await;
            let mut two = base.clone();
            two["content"].as_object_mut().unwrap().insert(kind.to_owned(), json!(name));
            let refusal = evil.refused(door, two.to_string()).await;
            assert!([Malformed, Invalid].contains(&refusal.kind), "{refusal}");
        }
    }
    evil.must(
        "command.lending.Lend",
        with(&command, "/content/entity", json!("n1")),
        Invalid,
        "/content/entity",
    )
    .await;
    evil.must("command.lending.Lend", json!([command, command]), Malformed, "").await;

    for entity in ["", "a.b", "*", ">", "a b", "a\u{0}", "ä", &"e".repeat(129)] {
        evil.must(
            "event.lending.Noted",
            with(&event, "/content/entity", json!(entity)),
            Invalid,
            "/content/entity",
        )
        .await;
    }
    let mut nameless = event.clone();
    nameless["content"].as_object_mut().unwrap().remove("entity");
    evil.must("event.lending.Noted", nameless, Invalid, "/content/entity").await;
    evil.must("event.lending.Noted", with(&event, "/hop/expect", json!("1@aaaaaaaa")), Invalid, "aaaaaaaa")
        .await;
    evil.must("event.lending.Noted", json!([]), Malformed, "empty").await;
    evil.must("event.lending.Noted", json!(vec![&event; 101]), TooLarge, "100").await;
    let large = with(&event, "/content/body", json!({ "text": "x".repeat(40_000) }));
    evil.must("event.lending.Noted", json!([large, large]), TooLarge, "65536").await;
    let other = with(&event, "/content/entity", json!("n2"));
    evil.must("event.lending.Noted", json!([event, other]), Invalid, "one entity").await;
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_makes_no_sense_is_refused() {
    let siege = Siege::begin().await;
    let (evil, lender) = (siege.attacker("evil").await, siege.attacker("lender").await);
    for door in ["hello", "listen"] {
        evil.must(door, json!({ "as": "operator" }), Malformed, "as").await;
    }

    let watch = |types: &[&str]| json!({ "types": types });
    evil.must("watch", json!({}), Malformed, "types").await;
    evil.must("watch", watch(&[]), Invalid, "/types").await;
    evil.must("watch", watch(&["lending.Noted"; 65]), Malformed, "64").await;
    evil.must("watch", watch(&["lending.Notd"]), Unknown, "did you mean lending.Noted?").await;
    evil.must("watch", watch(&["lending.Lend"]), Unknown, "no event lending.Lend").await;
    evil.must("watch", watch(&["documents.FindDocuments"]), Unknown, "no event").await;
    evil.must("watch", watch(&["lending.Noted", "lending.Lent"]), Denied, "lending.Lent").await;
    for (field, value) in [
        ("types", json!("lending.Noted")),
        ("types", json!(["lending.*"])),
        ("types", json!(["lending.Noted\u{0}"])),
        ("types", json!([">"])),
        ("entity", json!("*")),
        ("entity", json!("a.>")),
        ("from", json!("yesterday")),
        ("from", json!({ "position": "x" })),
        ("from", json!({ "time": "x" })),
        ("from", json!({ "start": 1, "new": 2 })),
        ("as", json!("lender")),
    ] {
        evil.must("watch", with(&watch(&["lending.Noted"]), &format!("/{field}"), value), Malformed, "")
            .await;
    }
    let elsewhere = with(&watch(&["lending.Noted"]), "/from", json!({ "position": "17@aaaaaaaa" }));
    evil.must("watch", elsewhere, NotFound, "aaaaaaaa").await;

    let ask = json!({ "command": NOBODYS, "wait_ms": 10_000 });
    evil.must("outcome.lending.Lend", ask.clone(), NotFound, NOBODYS).await;
    for (field, value) in [
        ("command", json!("x")),
        ("command", json!(NOBODYS.to_owned() + "0")),
        ("wait_ms", json!(-1)),
        ("wait_ms", json!(0.5)),
        ("wait_ms", json!("1 s")),
        ("waitms", json!(1)),
    ] {
        evil.must("outcome.lending.Lend", with(&ask, &format!("/{field}"), value), Malformed, "").await;
    }

    let commit = json!({ "command": NOBODYS, "delivery": "x", "completion": "done" });
    for delivery in [
        "",
        "x",
        "$JS.ACK",
        "$JS.ACK.COMMAND_x.y.1.1.1.1.0",
        "library.door.hello.lender",
        &"$JS.ACK.".repeat(10_000),
    ] {
        lender
            .must("commit.lending.Lend", with(&commit, "/delivery", json!(delivery)), Denied, "/delivery")
            .await;
    }
    for (field, value) in [
        ("completion", json!("perhaps")),
        ("completion", json!({})),
        ("completion", json!({ "retry": {} })),
        ("completion", json!({ "retry": { "after_ms": -1, "reason": "" } })),
        ("completion", json!({ "reject": { "reason": 5 } })),
        ("completion", json!({ "done": {}, "dead": { "reason": "" } })),
        ("events", json!({})),
        ("events", json!(vec![json!({}); 101])),
        ("events", json!([{ "id": 5 }])),
        ("force", json!(true)),
    ] {
        lender.must("commit.lending.Lend", with(&commit, &format!("/{field}"), value), Malformed, "").await;
    }
    siege.end().await;
}

/// The broker lets nobody speak at doors that the definition does not give him. What comes through nevertheless, as in
/// the moment of a change of the definition, is refused by the doors themselves, or heard by nobody where it is no service's.
#[tokio::test(flavor = "multi_thread")]
async fn doors_that_do_not_exist_or_are_not_ones_own_answer_so() {
    let siege = Siege::begin().await;
    let desk = siege.with_the_nodes_key("desk").await;
    let draft = json!({ "metadata": { "owner": "ada" } });
    for (door, kind, names) in [
        ("command.documents.AddDocumnt", Unknown, "did you mean documents.AddDocument?"),
        ("command.document.AddDocument", Unknown, "did you mean documents.AddDocument?"),
        ("command.zoo.Feed", Unknown, "no command zoo.Feed"),
        ("command.documents.DocumentAdded", Unknown, "no command documents.DocumentAdded"),
        ("command.documents.FindDocuments", Unknown, "no command documents.FindDocuments"),
        ("command.lending.Lend", Denied, "domain.toml lists: evil"),
        ("command.documents.Ping", Invalid, "delivered directly"),
        ("event.documents.AddDocument", Unknown, "no event documents.AddDocument"),
        ("event.documents.DocumentAded", Unknown, "did you mean documents.DocumentAdded?"),
        ("event.documents.DocumentAdded", Denied, "archive"),
        ("outcome.documents.AddDocumnt", Unknown, "did you mean documents.AddDocument?"),
        ("outcome.lending.Lend", Denied, "evil"),
        ("commit.documents.AddDocument", Denied, "archive"),
        ("commit.zoo.Feed", Denied, "zoo.Feed"),
        ("goodbye", Malformed, "goodbye"),
        ("command", Malformed, "command"),
        ("command.Documents.AddDocument", Malformed, "Documents"),
        ("command.documents.addDocument", Malformed, "addDocument"),
    ] {
        let body = match door.split('.').next() {
            Some("outcome") => json!({ "command": NOBODYS, "wait_ms": 0 }),
            Some("commit") => json!({ "command": NOBODYS, "delivery": "x", "completion": "done" }),
            _ => draft.clone(),
        };
        desk.must(door, body, kind, names).await;
    }
    for door in ["hello.hello", "command.documents", "command.documents.AddDocument.x"] {
        desk.finds_nobody(door).await;
    }
    for sender in ["nobody", "node", "Desk", "desk*"] {
        let stranger = siege.with_the_nodes_key(sender).await;
        for door in ["hello", "listen", "command.lending.Lend"] {
            stranger.finds_nobody(door).await;
        }
    }
    siege.end().await;
}
