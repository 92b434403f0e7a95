//! Strategies for any message there can be.

use comms_content::{Cid, Node};
use comms_msg::{
    Body, Command, CommandRef, CommitPlace, DeliverToken, DomainContent, DomainName, Door, EntityId, Event,
    Expect, Hop, HopText, Metadata, Msg, MsgId, Owner, Position, Query, SealKey, Sealed, ServiceName,
    Subject, Timestamp, TypeName, UserPairs,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) fn msg() -> impl Strategy<Value = Msg> {
    (id(), metadata(), option::of(content()), hop()).prop_map(|(id, metadata, content, hop)| Msg {
        id,
        metadata,
        content,
        hop,
    })
}

pub(crate) fn subject() -> impl Strategy<Value = Subject> {
    let domain = || "[a-z][a-z0-9_-]{0,62}".prop_map(|text| DomainName::new(&text).unwrap());
    prop_oneof![
        (domain(), type_name(), service()).prop_map(|(domain, type_name, sender)| Subject::Command {
            domain,
            type_name,
            sender
        }),
        (domain(), type_name(), service()).prop_map(|(domain, type_name, sender)| Subject::Query {
            domain,
            type_name,
            sender
        }),
        (domain(), type_name(), service()).prop_map(|(domain, type_name, sender)| Subject::CommandFrames {
            domain,
            type_name,
            sender
        }),
        (domain(), type_name(), service()).prop_map(|(domain, type_name, sender)| Subject::QueryFrames {
            domain,
            type_name,
            sender
        }),
        (domain(), entity(), type_name()).prop_map(|(domain, entity, type_name)| Subject::Event {
            domain,
            entity,
            type_name
        }),
        (domain(), entity(), type_name()).prop_map(|(domain, entity, type_name)| Subject::Live {
            domain,
            entity,
            type_name
        }),
        (domain(), type_name(), service(), id()).prop_map(|(domain, type_name, sender, command)| {
            Subject::Outcome { domain, type_name, sender, command }
        }),
        (domain(), service(), "[A-Za-z0-9_-]{1,128}").prop_map(|(domain, service, token)| {
            Subject::Deliver { domain, service, token: DeliverToken::new(&token).unwrap() }
        }),
        (domain(), door(), service()).prop_map(|(domain, door, sender)| Subject::Door {
            domain,
            door,
            sender
        }),
    ]
}

fn door() -> impl Strategy<Value = Door> {
    prop_oneof![
        type_name().prop_map(Door::Command),
        type_name().prop_map(Door::Event),
        type_name().prop_map(Door::Commit),
        type_name().prop_map(Door::Outcome),
        Just(Door::Hello),
        Just(Door::Listen),
        Just(Door::Watch),
        Just(Door::Tally),
    ]
}

fn id() -> impl Strategy<Value = MsgId> {
    any::<u128>().prop_map(|bits| MsgId::from_uuid(uuid::Uuid::from_u128(bits)))
}

fn service() -> impl Strategy<Value = ServiceName> {
    "[a-z][a-z0-9_-]{0,62}".prop_filter_map("node is no service", |text| ServiceName::new(&text).ok())
}

fn type_name() -> impl Strategy<Value = TypeName> {
    ("[a-z][a-z0-9_-]{0,62}", "[A-Z][A-Za-z0-9]{0,62}")
        .prop_map(|(context, name)| TypeName::of(&context, &name).unwrap())
}

fn entity() -> impl Strategy<Value = EntityId> {
    "[A-Za-z0-9_=-]{1,128}".prop_map(|text| EntityId::new(&text).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..=Timestamp::MAX.unix_ms()).prop_map(Timestamp::from_unix_ms)
}

fn cid() -> impl Strategy<Value = Cid> {
    (any::<bool>(), any::<[u8; 4]>())
        .prop_map(|(raw, data)| if raw { Cid::raw(&data) } else { Cid::dag_cbor(&data) })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let owner = "\\PC{1,20}".prop_map(|text| Owner::new(&text).unwrap());
    let user = btree_map("\\PC{1,16}", any::<String>(), 0..8)
        .prop_filter_map("pairs within their bounds", |pairs| UserPairs::new(pairs).ok());
    (owner, time(), option::of(service()), id(), option::of(id()), user).prop_map(
        |(owner, time, sender, correlation, causation, user)| Metadata {
            owner,
            time,
            sender,
            correlation,
            causation,
            user,
        },
    )
}

fn hop() -> impl Strategy<Value = Hop> {
    let text = || option::of("\\PC{1,40}".prop_map(|text| HopText::new(&text).unwrap()));
    let commit = (1u32..=100).prop_flat_map(|count| (0..count, Just(count)));
    let expect = prop_oneof![
        Just(Expect::Any),
        Just(Expect::Absent),
        ("[a-z0-9]{8}", 0..=u64::MAX >> 1).prop_map(|(log, at)| Expect::At(Position::new(&log, at).unwrap())),
    ];
    let command = (any::<u64>(), cid(), time(), type_name(), service()).prop_map(
        |(sequence, cid, time, type_name, sender)| {
            Box::new(CommandRef { sequence, cid, time, type_name, sender })
        },
    );
    (text(), text(), option::of(commit), option::of(command), expect, option::of(time())).prop_map(
        |(reply, trace, commit, command, expect, deadline)| Hop {
            reply,
            trace,
            commit: commit.map(|(ordinal, count)| CommitPlace::new(ordinal, count).unwrap()),
            command,
            expect,
            deadline,
        },
    )
}

fn content() -> impl Strategy<Value = DomainContent> {
    let rest = (entity(), option::of(cid()));
    (0..3, type_name(), any::<u32>(), body(), rest).prop_map(
        |(kind, type_name, version, body, (entity, previous))| match kind {
            0 => DomainContent::Command(Command { type_name, version, body }),
            1 => DomainContent::Query(Query { type_name, version, body }),
            _ => DomainContent::Event(Event { type_name, version, entity, previous, body }),
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        4 => value().prop_map(|value| Body::Inline(Node::from_value(&value).unwrap())),
        1 => cid().prop_map(Body::Link),
        1 => ("\\PC{1,20}", cid()).prop_map(|(key, link)| {
            Body::Sealed(Sealed { key: SealKey::new(&key).unwrap(), link })
        }),
    ]
}

/// Any value in the shape of DAG-JSON.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[A-Za-z0-9+/]{4}".prop_map(|text| json!({"/": {"bytes": text}})),
        cid().prop_map(|cid| json!({"/": cid.to_string()})),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let key = any::<String>().prop_filter("a reserved key", |key| key != "/");
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(key, inner, 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}
