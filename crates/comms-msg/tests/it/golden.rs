//! The golden messages: fixed values from which `schemas/vectors/msg.json` is made.

use comms_content::{Cid, Node};
use comms_msg::{
    Body, Command, CommandRef, CommitPlace, DomainContent, EntityId, Event, Expect, Hop, HopText, Kind,
    Metadata, Msg, MsgId, MsgKey, Owner, Position, Query, SealKey, Sealed, ServiceName, Timestamp, TypeName,
    UserPairs,
};

pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) msg: Msg,
}

pub(crate) fn by_name(name: &str) -> Msg {
    messages().into_iter().find(|golden| golden.name == name).expect("the name of a golden message").msg
}

pub(crate) fn messages() -> Vec<Golden> {
    let golden = |name, about, msg| Golden { name, about, msg };
    vec![
        golden("command", "a command at the root of a conversation, without pairs", command()),
        golden(
            "command-pairs",
            "a command with user pairs, a cause, and everything that hop can have",
            pairs(),
        ),
        golden("query", "a query with an empty body", query()),
        golden("event", "an event that a command caused, with its place in the commit in hop", event()),
        golden("event-previous", "an event with the CID of the entity's event before it", previous()),
        golden("link", "a command whose whole body is a block", linked()),
        golden("sealed", "an event whose body is encrypted", sealed()),
        golden("unicode", "an owner and pairs beyond ASCII", unicode()),
        golden("values", "every kind of value in a body", values()),
        golden("no-content", "a message that carries nothing", bare(9)),
    ]
}

const TIME_MS: u64 = 1_795_255_200_123;

pub(crate) fn id(number: u8) -> MsgId {
    MsgId::v7(TIME_MS, u128::from(number) << 120 | 0x0123_4567_89ab_cdef << 56)
}

fn bare(number: u8) -> Msg {
    let metadata = Metadata {
        sender: Some(ServiceName::new("desk").unwrap()),
        ..Metadata::root(id(number), Owner::new("ada").unwrap(), Timestamp::from_unix_ms(TIME_MS))
    };
    Msg { id: id(number), metadata, content: None, hop: Hop::default() }
}

fn json(text: &str) -> Body {
    Body::Inline(Node::from_json(text.as_bytes()).unwrap())
}

fn file() -> Cid {
    Cid::raw(b"the bytes of a file")
}

fn add(body: Body) -> Option<DomainContent> {
    let type_name = TypeName::new("documents.AddDocument").unwrap();
    Some(DomainContent::Command(Command { type_name, version: 1, body }))
}

fn added(body: Body, previous: Option<Cid>) -> Option<DomainContent> {
    let type_name = TypeName::new("documents.DocumentAdded").unwrap();
    let entity = EntityId::new("report-7f3a").unwrap();
    Some(DomainContent::Event(Event { type_name, version: 2, entity, previous, body }))
}

fn command() -> Msg {
    let body = json(&format!(r#"{{"title": "Annual report", "file": {{"/": "{}"}}}}"#, file()));
    Msg { content: add(body), ..bare(1) }
}

fn pairs() -> Msg {
    let mut msg = Msg { content: add(json(r#"{"title": "Annual report"}"#)), ..bare(2) };
    msg.metadata.correlation = id(1);
    msg.metadata.causation = Some(id(1));
    msg.metadata.user =
        UserPairs::new([("region", "north"), ("a", ""), ("client", "desk/1.4"), ("b", "2")]).unwrap();
    msg.hop = Hop {
        reply: Some(HopText::new("_INBOX.desk.0123456789abcdef").unwrap()),
        trace: Some(HopText::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap()),
        commit: Some(CommitPlace::new(1, 3).unwrap()),
        command: None,
        expect: Expect::At(Position::new("k3f9x2aa", 17).unwrap()),
        deadline: Some(Timestamp::from_unix_ms(TIME_MS + 2_000)),
    };
    msg
}

fn query() -> Msg {
    let type_name = TypeName::new("documents.FindDocuments").unwrap();
    let mut msg = bare(3);
    msg.content = Some(DomainContent::Query(Query { type_name, version: 1, body: json("{}") }));
    msg.hop.deadline = Some(Timestamp::from_unix_ms(TIME_MS + 500));
    msg
}

fn event() -> Msg {
    let mut msg =
        Msg { content: added(json(r#"{"title": "Annual report", "pages": 112}"#), None), ..bare(4) };
    let archive = ServiceName::new("archive").unwrap();
    let command = MsgKey::new(
        Kind::Command,
        &ServiceName::new("desk").unwrap(),
        &TypeName::new("documents.AddDocument").unwrap(),
        id(1),
    );
    msg.id = MsgId::derive(&command, &archive, 0);
    msg.metadata.sender = Some(archive);
    msg.metadata.correlation = id(1);
    msg.metadata.causation = Some(id(1));
    msg.hop.commit = Some(CommitPlace::new(0, 1).unwrap());
    msg.hop.command = Some(Box::new(CommandRef {
        sequence: 7,
        cid: bare(1).cid(),
        time: Timestamp::from_unix_ms(TIME_MS - 90_000_000),
        type_name: TypeName::new("documents.AddDocument").unwrap(),
        sender: ServiceName::new("desk").unwrap(),
    }));
    msg.hop.expect = Expect::Absent;
    msg
}

fn previous() -> Msg {
    let mut msg =
        Msg { content: added(json(r#"{"title": "Annual report, mended"}"#), Some(event().cid())), ..event() };
    msg.id = id(5);
    msg.metadata.user = UserPairs::new([("reason", "typo")]).unwrap();
    msg.hop = Hop::default();
    msg
}

fn linked() -> Msg {
    Msg { content: add(Body::Link(Cid::dag_cbor(&[0xa0]))), ..bare(6) }
}

fn sealed() -> Msg {
    let sealed = Sealed { key: SealKey::new("person/4711").unwrap(), link: Cid::raw(b"encrypted") };
    Msg { content: added(Body::Sealed(sealed), None), ..bare(7) }
}

fn unicode() -> Msg {
    let mut msg = Msg {
        content: add(json(r#"{"title": "Ærøskøbing \u2014 東京 \ud83d\udcda", "ключ": "ü"}"#)),
        ..bare(8)
    };
    msg.metadata.owner = Owner::new("Ærøskøbing/東京📚").unwrap();
    msg.metadata.user = UserPairs::new([("straße", "groß"), ("東", "京")]).unwrap();
    msg
}

fn values() -> Msg {
    let text = format!(
        r#"{{
            "null": null, "true": true, "false": false,
            "zero": 0, "small": 23, "byte": 24, "two bytes": 256, "four bytes": 65536, "eight bytes": 4294967296,
            "least": -9223372036854775808, "greatest": 18446744073709551615, "minus one": -1,
            "float": 1.5, "whole float": 2.0, "tiny": 5e-324, "huge": 1.7976931348623157e308,
            "text": "quote \" backslash \\ line \n", "empty": "",
            "bytes": {{"/": {{"bytes": "AAEC/w"}}}}, "no bytes": {{"/": {{"bytes": ""}}}},
            "link": {{"/": "{}"}},
            "list": [1, [], [{{"b": 1, "aa": 2, "a": 3}}]], "map": {{}}
        }}"#,
        file()
    );
    Msg { content: add(json(&text)), ..bare(10) }
}
