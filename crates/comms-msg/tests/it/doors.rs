//! What doors say: the shapes that other languages rely on, and what is refused.

use std::fmt::Debug;

use bytes::Bytes;
use comms_content::Cid;
use comms_msg::door::{
    Accepted, Answer, Appended, AppendedEvent, Arrival, CommandInfo, Commit, Committed, Completion, Delivery,
    FieldProblem, Form, Hello, HelloAsk, ListenAsk, Listening, Outcome, OutcomeAsk, OutcomeEvent,
    OutcomeState, QueryInfo, Refusal, RefusalKind, Tally, TallyAsk, WatchAsk, WatchFrom, Watching,
};
use comms_msg::{Draft, EntityId, Error, Msg, Position, ServiceName, Timestamp, TypeName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::golden;

fn type_name(text: &str) -> TypeName {
    TypeName::new(text).unwrap()
}

fn position() -> Position {
    Position::new("k3f9x2aa", 17).unwrap()
}

/// Checks the JSON shape, and that both forms give the value back.
fn shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, expected: Value) {
    let json = Form::Json.encode(value).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
    if expected.is_object() {
        assert_eq!(Form::of(&json), Form::Json);
    }
    assert_eq!(Form::Json.decode::<T>(&json).unwrap(), *value);
    let cbor = Form::Cbor.encode(value).unwrap();
    assert_eq!(Form::Cbor.decode::<T>(&cbor).unwrap(), *value);
}

#[test]
fn hello() {
    shape(&HelloAsk {}, json!({}));
    shape(
        &Hello {
            domain: "library".parse().unwrap(),
            version: 1,
            node: "one".into(),
            service: ServiceName::new("desk").unwrap(),
            threshold: 65_536,
            log: "k3f9x2aa".into(),
            http: "http://127.0.0.1:7180".into(),
            sends: vec![CommandInfo {
                type_name: type_name("documents.AddDocument"),
                delivery: Delivery::Durable,
                deadline_ms: 5000,
            }],
            asks: vec![type_name("documents.FindDocuments")],
            handles: vec![],
            answers: vec![],
            emits: vec![],
            observes: vec![type_name("documents.DocumentAdded")],
            queries: vec![QueryInfo { type_name: type_name("documents.FindDocuments"), deadline_ms: 2000 }],
        },
        json!({
            "domain": "library", "version": 1, "node": "one", "service": "desk", "threshold": 65536,
            "log": "k3f9x2aa", "http": "http://127.0.0.1:7180",
            "sends": [{"type": "documents.AddDocument", "delivery": "durable", "deadline_ms": 5000}],
            "asks": ["documents.FindDocuments"], "handles": [], "answers": [], "emits": [],
            "observes": ["documents.DocumentAdded"],
            "queries": [{"type": "documents.FindDocuments", "deadline_ms": 2000}],
        }),
    );
}

#[test]
fn keeping() {
    let cid = Cid::raw(b"x");
    shape(
        &Accepted {
            id: golden::id(1),
            cid,
            position: position(),
            filled: vec!["/id".into()],
            retry_safe: false,
            note: None,
        },
        json!({
            "id": golden::id(1).to_string(), "cid": {"/": cid.to_string()}, "position": "17@k3f9x2aa",
            "filled": ["/id"], "retry_safe": false,
        }),
    );
    let event = AppendedEvent {
        id: golden::id(1),
        type_name: type_name("documents.DocumentAdded"),
        entity: EntityId::new("r1").unwrap(),
        position: position(),
        cid,
    };
    let event_json = json!({
        "id": golden::id(1).to_string(), "type": "documents.DocumentAdded", "entity": "r1",
        "position": "17@k3f9x2aa", "cid": {"/": cid.to_string()},
    });
    shape(
        &Appended { events: vec![event.clone()], filled: vec![], retry_safe: true },
        json!({ "events": [event_json], "filled": [], "retry_safe": true }),
    );
    shape(
        &Committed { already: true, failed: 2, events: vec![event.clone()], filled: vec![] },
        json!({ "already": true, "failed": 2, "events": [event_json] }),
    );
    let filled = vec!["/events/0/content/body/f".to_owned()];
    shape(
        &Committed { already: false, failed: 0, events: vec![event], filled: filled.clone() },
        json!({ "already": false, "failed": 0, "events": [event_json], "filled": filled }),
    );
}

#[test]
fn commits_nest_messages_as_plain_objects() {
    let msg = golden::by_name("event");
    let id = golden::id(1);
    let commit = Commit {
        command: id,
        delivery: "$JS.ACK.x".into(),
        completion: Completion::Done,
        events: vec![msg.clone().into()],
    };
    let nested: Value = serde_json::from_str(&msg.to_json().unwrap()).unwrap();
    shape(
        &commit,
        json!({ "command": id.to_string(), "delivery": "$JS.ACK.x", "completion": "done", "events": [nested] }),
    );
    for (completion, expected) in [
        (Completion::Check, json!("check")),
        (Completion::Working, json!("working")),
        (
            Completion::Retry { after_ms: 5, reason: "disk".into(), asked: true },
            json!({"retry": {"after_ms": 5, "reason": "disk", "asked": true}}),
        ),
        (Completion::Reject { reason: "no".into() }, json!({"reject": {"reason": "no"}})),
        (Completion::Dead { reason: "no".into() }, json!({"dead": {"reason": "no"}})),
    ] {
        shape(&completion, expected);
    }
    let foreign = format!(
        r#"{{"command": "{id}", "delivery": "$JS.ACK.x", "completion": "done",
            "events": [{{"content": {{"event": "documents.DocumentAdded", "entity": "r1", "body": {{"n": 1}}}}}}]}}"#
    );
    let read: Commit = Form::Json.decode(&foreign.into()).unwrap();
    assert_eq!(read.events[0].content.as_ref().unwrap().entity.as_ref().unwrap(), &"r1");
    let short: Commit = Form::Json
        .decode(&format!(r#"{{"command":"{id}","delivery":"d","completion":"check"}}"#).into())
        .unwrap();
    assert_eq!(short.events, Vec::<Draft>::new());
}

#[test]
fn outcomes_nest_messages_with_the_same_bytes() {
    shape(
        &OutcomeAsk { command: golden::id(1), wait_ms: 7 },
        json!({"command": golden::id(1).to_string(), "wait_ms": 7}),
    );
    for golden in golden::messages() {
        let msg = golden.msg;
        let event = OutcomeEvent {
            id: msg.id,
            type_name: type_name("documents.DocumentAdded"),
            entity: EntityId::new("r1").unwrap(),
            position: position(),
            cid: msg.cid(),
            msg: Some(msg.clone()),
        };
        let outcome = Outcome { state: OutcomeState::Done, reason: None, tries: 1, events: vec![event] };
        for form in [Form::Cbor, Form::Json] {
            let bytes = form.ok(&outcome);
            let read = form.decode::<Answer<Outcome>>(&bytes).unwrap().into_result().unwrap();
            assert_eq!(read, outcome);
            assert_eq!(read.events[0].msg.as_ref().map(Msg::to_cbor), Some(msg.to_cbor()));
        }
    }
    shape(
        &Outcome { state: OutcomeState::Rejected, reason: Some("no".into()), tries: 2, events: vec![] },
        json!({"state": "rejected", "reason": "no", "tries": 2, "events": []}),
    );
}

#[test]
fn watching() {
    shape(&ListenAsk {}, json!({}));
    let arrival =
        Arrival { subject: "s".into(), queue: "desk".into(), ack_wait_ms: 30_000, max_ack_pending: 1024 };
    let arrival_json =
        json!({"subject": "s", "queue": "desk", "ack_wait_ms": 30000, "max_ack_pending": 1024});
    shape(
        &Listening {
            commands: Some(arrival.clone()),
            events: None,
            foreign: Some(arrival),
            foreign_log: None,
            notices: Some("n".into()),
        },
        json!({"commands": arrival_json, "foreign": arrival_json, "notices": "n"}),
    );
    shape(
        &Watching {
            subject: "s".into(),
            log: "k3f9x2aa".into(),
            consumer: "c".into(),
            waiting: Some(3),
            after: Some(0),
            until: Some(9),
        },
        json!({"subject": "s", "log": "k3f9x2aa", "consumer": "c", "waiting": 3, "after": 0, "until": 9}),
    );
    for (from, expected) in [
        (WatchFrom::Start, json!("start")),
        (WatchFrom::New, json!("new")),
        (WatchFrom::Position(position()), json!({"position": "17@k3f9x2aa"})),
        (WatchFrom::Time(Timestamp::from_unix_ms(0)), json!({"time": "1970-01-01T00:00:00.000Z"})),
    ] {
        shape(
            &WatchAsk { types: vec![type_name("a.B")], entity: None, from },
            json!({"types": ["a.B"], "from": expected}),
        );
    }
    let ask: WatchAsk = Form::Json.decode(&r#"{"types": ["a.B"]}"#.into()).unwrap();
    assert_eq!(ask.from, WatchFrom::New);
}

#[test]
fn tallies() {
    shape(
        &TallyAsk {
            types: vec![type_name("a.B")],
            entity: None,
            after: position(),
            until: 30,
            got: vec![1, 4],
        },
        json!({"types": ["a.B"], "after": "17@k3f9x2aa", "until": 30, "got": [1, 4]}),
    );
    shape(
        &Tally { through: 25, missing: vec![19], accepted: vec![20], present: Some(26) },
        json!({"through": 25, "missing": [19], "accepted": [20], "present": 26}),
    );
    let tally: Tally = Form::Json.decode(&r#"{"through": 30}"#.into()).unwrap();
    assert_eq!(tally, Tally { through: 30, ..Tally::default() });
    let got = |count: usize| {
        let got = (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        format!(r#"{{"types": ["a.B"], "after": "0@k3f9x2aa", "until": 9, "got": [{got}]}}"#)
    };
    Form::Json.decode::<TallyAsk>(&got(2_048).into()).unwrap();
    assert!(Form::Json.decode::<TallyAsk>(&got(2_049).into()).is_err());
}

#[test]
fn answers_and_refusals() {
    shape(&Answer::<u8>::Ok(7), json!({"ok": 7}));
    let refusal = Refusal::new(RefusalKind::Conflict, "moved on").at_position(position()).perhaps_done();
    shape(
        &Answer::<u8>::Error(refusal.clone()),
        json!({"error": {"kind": "conflict", "message": "moved on", "problems": [], "may_have_happened": true,
            "position": "17@k3f9x2aa"}}),
    );
    assert_eq!(refusal.to_string(), "conflict: moved on; it is at 17@k3f9x2aa (it may have happened)");
    for form in [Form::Cbor, Form::Json] {
        assert_eq!(
            form.decode::<Answer<u8>>(&form.refusal(&refusal)).unwrap(),
            Answer::Error(refusal.clone())
        );
    }
    let unwritable = Form::Json.decode::<Answer<u8>>(&Form::Json.ok(&f64::NAN)).unwrap();
    assert!(matches!(unwritable, Answer::Error(Refusal { kind: RefusalKind::Internal, .. })));
    let huge = "x".repeat(1_100_000);
    let answer = Form::Json.decode::<Answer<u8>>(&Form::Json.ok(&huge)).unwrap();
    assert!(matches!(
        answer,
        Answer::Error(Refusal { kind: RefusalKind::TooLarge, may_have_happened: true, .. })
    ));
    let refusal = Refusal::new(RefusalKind::Denied, huge);
    let answer = Form::Cbor.decode::<Answer<u8>>(&Form::Cbor.refusal(&refusal)).unwrap();
    assert!(matches!(answer, Answer::Error(Refusal { kind: RefusalKind::Denied, .. })));
    for kind in [
        RefusalKind::Malformed,
        RefusalKind::Unknown,
        RefusalKind::Denied,
        RefusalKind::Invalid,
        RefusalKind::Conflict,
        RefusalKind::TooLarge,
        RefusalKind::Busy,
        RefusalKind::Unavailable,
        RefusalKind::Full,
        RefusalKind::Lost,
        RefusalKind::NotFound,
        RefusalKind::Rejected,
        RefusalKind::Internal,
    ] {
        shape(&kind, json!(kind.word()));
    }
    let newer: Answer<Committed> =
        Form::Json.decode(&r#"{"ok": {"already": false, "events": [], "new": 1}}"#.into()).unwrap();
    assert_eq!(newer, Answer::Ok(Committed { already: false, failed: 0, events: vec![], filled: vec![] }));
}

#[test]
fn a_refusal_of_a_part_names_the_part() {
    let problem = FieldProblem { path: "/title".into(), problem: "missing".into() };
    let refusal =
        Refusal::new(RefusalKind::Invalid, "does not fit").with_problems([problem]).below("/events/2");
    assert_eq!(refusal.problems[0].path, "/events/2/title");
    assert_eq!(refusal.to_string(), "invalid: does not fit; /events/2/title missing");
    assert_eq!(Refusal::new(RefusalKind::Denied, "no").below("/events/0").message, "/events/0: no");

    let error = Draft::read(&r#"{"metadata": {"owner": ""}}"#.into()).unwrap_err();
    let refusal = Refusal::from(&error);
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    assert_eq!(refusal.problems[0].path, "/metadata/owner");
    assert!(refusal.problems[0].problem.contains("1 to 128 bytes"), "{refusal}");
    assert_eq!(Refusal::from(Draft::read(&"7".into()).unwrap_err()).kind, RefusalKind::Malformed);
}

#[test]
fn requests_with_unknown_keys_or_too_much_are_refused() {
    let id = golden::id(1);
    fn refused<T: DeserializeOwned>(json: &str) -> String {
        let error = Form::Json.decode::<T>(&Bytes::copy_from_slice(json.as_bytes())).err().unwrap();
        assert!(matches!(error, Error::Malformed { .. } | Error::TooLarge { .. }), "{error}");
        error.to_string()
    }
    refused::<HelloAsk>(r#"{"x": 1}"#);
    refused::<ListenAsk>(r#"{"x": 1}"#);
    refused::<OutcomeAsk>(&format!(r#"{{"command": "{id}", "wait": 1}}"#));
    refused::<OutcomeAsk>(r#"{"command": "7"}"#);
    refused::<WatchAsk>(r#"{"types": ["a.B"], "since": "start"}"#);
    refused::<WatchAsk>(r#"{"types": ["a.B"], "from": "yesterday"}"#);
    refused::<Commit>(&format!(r#"{{"command": "{id}", "delivery": "d", "completion": "don"}}"#));
    let message = refused::<Commit>(&format!(
        r#"{{"command": "{id}", "delivery": "d", "completion": "done", "events": [{{"metadata": {{"owner": ""}}}}]}}"#
    ));
    assert!(message.contains("/metadata/owner"), "{message}");
    let many = |count: usize| format!(r#"{{"types": [{}]}}"#, vec!["\"a.B\""; count].join(","));
    Form::Json.decode::<WatchAsk>(&many(64).into()).unwrap();
    assert!(refused::<WatchAsk>(&many(65)).contains("at most 64"));
    let events = |count: usize| {
        format!(
            r#"{{"command": "{id}", "delivery": "d", "completion": "done", "events": [{}]}}"#,
            vec!["{}"; count].join(",")
        )
    };
    Form::Json.decode::<Commit>(&events(100).into()).unwrap();
    assert!(refused::<Commit>(&events(101)).contains("at most 100"));
    refused::<Commit>(&format!("{}{}", "[".repeat(1000), "]".repeat(1000)));
    refused::<HelloAsk>(&" ".repeat(1_048_577));
    assert_eq!(Form::of(b""), Form::Json);
    Form::Json.decode::<HelloAsk>(&Bytes::new()).unwrap();
}
