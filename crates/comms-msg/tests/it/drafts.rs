//! Drafts: what a foreign client may leave out, and what it may not.

use bytes::Bytes;
use comms_msg::{Defaults, Draft, Form, Kind, Msg, Owner, ServiceName, Timestamp, TypeName};

use crate::golden;

fn defaults(kind: Kind, type_name: &str) -> Defaults {
    let sender = ServiceName::new("desk").unwrap();
    Defaults::new(golden::id(1), Timestamp::from_unix_ms(5), sender, kind, TypeName::new(type_name).unwrap())
}

fn read(json: &str) -> Draft {
    Draft::read(&Bytes::copy_from_slice(json.as_bytes())).unwrap()
}

#[test]
fn an_owner_is_all_that_a_command_needs() {
    let draft = read(r#" {"metadata": {"owner": "ada"}} "#);
    let (msg, filled) = draft.complete(defaults(Kind::Command, "documents.AddDocument")).unwrap();
    assert_eq!(
        filled.fields,
        [
            "/id",
            "/content/command",
            "/content/v",
            "/content/body",
            "/metadata/time",
            "/metadata/sender",
            "/metadata/correlation",
        ]
    );
    assert!(!filled.retry_safe());
    assert_eq!(msg.metadata.correlation, msg.id);
    assert_eq!(Msg::from_cbor(&msg.to_wire().unwrap()).unwrap(), msg);
}

#[test]
fn the_words_of_a_foreign_client() {
    let draft = read(
        r#"{"metadata": {"owner": "ada", "time": "2026-11-21T11:00:00+01:00"},
            "id": "0199C0DE00007000800000000000ABCD",
            "content": {"command": "documents.AddDocument", "body": {"title": "Annual report"}}}"#,
    );
    let (msg, filled) = draft.complete(defaults(Kind::Command, "documents.AddDocument")).unwrap();
    assert_eq!(msg.id.to_string(), "0199c0de-0000-7000-8000-00000000abcd");
    assert_eq!(msg.metadata.time.to_string(), "2026-11-21T10:00:00.000Z");
    assert!(filled.retry_safe());
    assert_eq!(filled.fields, ["/content/v", "/metadata/sender", "/metadata/correlation"]);
}

#[test]
fn what_is_handed_to_a_door_leaves_its_time_to_it() {
    for golden in golden::messages() {
        let Some(content) = &golden.msg.content else { continue };
        let defaults = Defaults {
            now: golden.msg.metadata.time,
            sender: golden.msg.metadata.sender.clone().unwrap_or_else(|| ServiceName::new("desk").unwrap()),
            ..defaults(content.kind(), content.type_name().as_ref())
        };
        let (msg, filled) = Draft::read(&golden.msg.to_door().unwrap()).unwrap().complete(defaults).unwrap();
        assert!(filled.fields.contains(&"/metadata/time") && filled.retry_safe(), "{filled:?}");
        assert_eq!((msg.id, msg.metadata.time), (golden.msg.id, golden.msg.metadata.time));
        assert_eq!(msg.content, golden.msg.content);
    }
}

#[test]
fn what_contradicts_is_refused() {
    for (json, reason, at) in [
        (r#"{"content": {"body": {}}}"#, "missing", "/metadata/owner"),
        (r#""#, "missing", "/metadata/owner"),
        (r#"{"metadata": {"owner": "ada", "sender": "eve"}}"#, "mismatch", "/metadata/sender"),
        (r#"{"metadata": {"owner": "ada"}, "content": {"event": "a.B"}}"#, "mismatch", "/content/event"),
        (r#"{"metadata": {"owner": "ada"}, "content": {"command": "a.C"}}"#, "mismatch", "/content/command"),
        (r#"{"metadata": {"owner": "ada"}, "content": {"entity": "e"}}"#, "unknown_key", "/content/entity"),
    ] {
        let error = read(json).complete(defaults(Kind::Command, "a.B")).unwrap_err();
        assert_eq!((error.reason(), error.at()), (reason, at), "{json}: {error}");
    }
    let error = read(r#"{"metadata": {"owner": "ada"}}"#).complete(defaults(Kind::Event, "a.B")).unwrap_err();
    assert_eq!((error.reason(), error.at()), ("missing", "/content/entity"));
}

#[test]
fn a_draft_is_strict_about_what_is_there() {
    for (json, at) in [
        (r#"{"metadata": {"ownr": "ada"}}"#, "/metadata/ownr"),
        (r#"{"metadata": {"v": 2}}"#, "/metadata/v"),
        (r#"{"metadata": {"time": "yesterday"}}"#, "/metadata/time"),
        (r#"{"id": "1"}"#, "/id"),
        (r#"{"content": {"body": 1, "link": {"/": "bafkqaaa"}}}"#, "/content/link"),
        (r#"{"content": {"command": "a.B", "query": "a.B"}}"#, "/content/command"),
        (r#"{"extra": 1}"#, "/extra"),
        (r#"[]"#, ""),
        (r#"nonsense"#, ""),
    ] {
        let error = Draft::read(&Bytes::copy_from_slice(json.as_bytes())).unwrap_err();
        assert_eq!(error.at(), at, "{json}: {error}");
    }
}

#[test]
fn what_a_command_causes_inherits_from_it() {
    let command = golden::by_name("command-pairs");
    let archive = ServiceName::new("archive").unwrap();
    let now = Timestamp::from_unix_ms(7);
    let caused = || Defaults::caused(golden::id(9), now, archive.clone(), command.id, &command.metadata);
    let draft = read(r#"{"content": {"event": "documents.DocumentAdded", "entity": "r1"}}"#);
    let (event, filled) = draft.complete(caused()).unwrap();
    assert_eq!(event.metadata.owner, command.metadata.owner);
    assert_eq!(event.metadata.correlation, command.metadata.correlation);
    assert_eq!(event.metadata.causation, Some(command.id));
    assert!(event.metadata.user.is_empty());
    assert!(filled.fields.contains(&"/metadata/owner") && filled.fields.contains(&"/metadata/causation"));
    assert_eq!(event.metadata, {
        let mut m = command.metadata.caused(command.id, now);
        m.sender = Some(archive.clone());
        m
    });

    let error = read(r#"{"content": {"entity": "r1"}}"#).complete(caused()).unwrap_err();
    assert_eq!((error.reason(), error.at()), ("missing", "/content/event"));
    let own = read(r#"{"metadata": {"owner": "bob"}, "content": {"event": "a.B", "entity": "r1"}}"#);
    assert_eq!(own.complete(caused()).unwrap().0.metadata.owner, Owner::new("bob").unwrap());
}

#[test]
fn a_whole_message_needs_nothing() {
    for golden in golden::messages() {
        let draft = Draft::from(golden.msg.clone());
        let node = draft.to_node().unwrap();
        assert_eq!(*node.as_bytes(), golden.msg.to_cbor());
        for form in [Form::Cbor, Form::Json] {
            let bytes = form.encode(&draft).unwrap();
            assert_eq!(Draft::read(&bytes).unwrap(), draft, "{}", golden.name);
        }
        let Some(content) = &golden.msg.content else { continue };
        let sender = golden.msg.metadata.sender.clone().unwrap();
        let mut with = defaults(content.kind(), content.type_name().as_str());
        with.sender = sender;
        let (msg, filled) = draft.complete(with).unwrap();
        assert_eq!(msg, golden.msg);
        assert!(filled.fields.is_empty() && filled.retry_safe());
    }
}

#[test]
fn completions_of_a_frame_are_told_once() {
    let (_, mut filled) =
        read(r#"{"metadata": {"owner": "a"}}"#).complete(defaults(Kind::Query, "a.B")).unwrap();
    let before = filled.clone();
    filled.merge(before.clone());
    assert_eq!(filled, before);
}
