//! One message out of choices: as it should be, with some of its parts left out, at their edges, or wrong.

use comms_content::Node;
use comms_msg::MsgId;
use comms_msg::limits::MSG_BYTES_MAX;
use serde_json::{Map, Value, json};

use super::choices::Choices;
use super::request::{COMMANDS, Known, SENDERS};

/// How much shorter than the largest message one is at the edge: what is filled in by doors and log is among these.
pub(super) const SHORTER: [usize; 8] = [0, 1, 40, 80, 120, 160, 240, 400];

pub(super) fn message(
    choices: &mut Choices<'_>,
    known: &Known<'_>,
    kind: &str,
    type_name: &str,
    sender: &str,
) -> Value {
    let mut message = json!({ "metadata": metadata(choices, known, sender), "content": {} });
    if choices.below(5) > 0 {
        message["id"] = id(choices, known);
    }
    match choices.below(16) {
        0 => {}
        1 => {
            message["content"][*choices.pick(&["command", "query", "event"])] = json!(choices.pick(&COMMANDS))
        }
        _ => message["content"][kind] = json!(type_name),
    }
    let link = |cid: &comms_content::Cid| json!({ "/": cid.to_string() });
    match choices.below(16) {
        0 => {}
        1 => message["content"]["link"] = link(choices.pick(&known.scene.contents)),
        2 if choices.once_in(4) => {
            message["content"]["sealed"] = json!({ "key": "k", "link": link(&known.scene.contents[0]) });
        }
        _ => message["content"]["body"] = body(choices, known),
    }
    if choices.once_in(16) {
        message["content"]["previous"] = link(choices.pick(&known.scene.contents));
    }
    if choices.once_in(3) {
        message["hop"] = hop(choices, known);
    }
    message
}

pub(super) fn metadata(choices: &mut Choices<'_>, known: &Known<'_>, sender: &str) -> Value {
    let mut metadata = Map::new();
    match choices.below(16) {
        0 => {}
        1 => drop(metadata.insert("owner".to_owned(), json!("eve"))),
        _ => drop(metadata.insert("owner".to_owned(), json!(choices.pick(&["ada", "bob"])))),
    }
    let mut sometimes = |key: &str, make: &mut dyn FnMut(&mut Choices<'_>) -> Value| {
        if choices.once_in(6) {
            metadata.insert(key.to_owned(), make(choices));
        }
    };
    sometimes("v", &mut |choices| json!(if choices.once_in(4) { choices.number() } else { 1 }));
    sometimes("time", &mut time);
    sometimes("sender", &mut |choices| {
        json!(if choices.once_in(4) { *choices.pick(&SENDERS) } else { sender })
    });
    sometimes("correlation", &mut |choices| id(choices, known));
    sometimes("causation", &mut |choices| id(choices, known));
    sometimes("user", &mut |choices| {
        let pairs = (0..choices.below(34)).map(|n| (format!("key{n}"), json!("value")));
        Value::Object(pairs.collect())
    });
    Value::Object(metadata)
}

pub(super) fn hop(choices: &mut Choices<'_>, known: &Known<'_>) -> Value {
    let mut hop = Map::new();
    if choices.below(4) > 0 {
        let expect = match choices.below(4) {
            0 => "absent".to_owned(),
            1 => "any".to_owned(),
            _ => position(choices, known),
        };
        hop.insert("expect".to_owned(), json!(expect));
    }
    if choices.once_in(4) {
        hop.insert("deadline".to_owned(), time(choices));
    }
    if choices.once_in(4) {
        hop.insert("commit".to_owned(), json!([choices.number(), choices.number()]));
    }
    if choices.once_in(4) {
        let (at, cid) = (choices.number(), json!({ "/": known.scene.contents[0].to_string() }));
        let (type_name, sender) = (*choices.pick(&COMMANDS), *choices.pick(&SENDERS));
        let command = json!({ "at": at, "cid": cid, "time": "2026-01-01T00:00:00.000Z", "type": type_name, "sender": sender });
        hop.insert("command".to_owned(), command);
    }
    Value::Object(hop)
}

pub(super) fn body(choices: &mut Choices<'_>, known: &Known<'_>) -> Value {
    let mut body = json!({ "part": "bolt" });
    match choices.below(24) {
        0 => drop(body.as_object_mut().map(|body| body.remove("part"))),
        1 => body["part"] = json!("x".repeat(choices.below(80))),
        2 => body["count"] = json!(choices.number()),
        3 => body["count"] = json!(1.5e300),
        4 => body["weight"] = json!(choices.number()),
        5 => body["weight"] = json!(-0.0),
        // Over the threshold, and at it.
        6 => body["drawing"] = bytes(1_022 + choices.below(5)),
        7 => body["more"] = Value::Array((0..choices.below(80)).map(|_| bytes(1_500)).collect()),
        8 => body["plan"] = json!({ "/": choices.pick(&known.scene.contents).to_string() }),
        9 => {
            let links = known.scene.contents.iter().take(3).cycle();
            let count = if choices.once_in(8) { 1_001 } else { choices.below(40) };
            body["more"] = links.take(count).map(|cid| json!({ "/": cid.to_string() })).collect();
        }
        10 => {
            let depth = if choices.below(2) == 0 { choices.below(64) } else { 100 + choices.below(40) };
            body["more"] = (0..depth).fold(json!(1), |inner, _| json!([inner]));
        }
        11 => body["tags"] = Value::Array(vec![json!("t"); choices.below(256) * 8]),
        12 => body["unknown"] = json!(choices.number()),
        13 => body = json!(choices.number()),
        _ => {}
    }
    body
}

/// Bytes as DAG-JSON has them.
fn bytes(count: usize) -> Value {
    use base64::Engine as _;
    json!({ "/": { "bytes": base64::engine::general_purpose::STANDARD_NO_PAD.encode(vec![7; count]) } })
}

/// An id: of a message that is known, new, or of a kind that nobody draws.
pub(super) fn id(choices: &mut Choices<'_>, known: &Known<'_>) -> Value {
    let mut ids = known.model.commands.values().chain(known.model.events.values()).map(|msg| msg.id);
    match choices.below(12) {
        0 => json!("00000000-0000-0000-0000-000000000000"),
        1 => json!("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        2 => json!("3F2504E0-4F89-41D3-9A0C-0305E82C3301"),
        3 => json!(MsgId::v7(choices.number(), 7)),
        4 => json!("no id"),
        5 | 6 => json!(ids.nth(choices.below(16))),
        _ => json!(MsgId::v7(1_800_000_000_000 + u64::from(choices.byte() % 16), 1)),
    }
}

pub(super) fn time(choices: &mut Choices<'_>) -> Value {
    json!(choices.pick(&[
        "2026-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "2026-01-01T00:00:00+23:59",
        "1969-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.999-23:59",
        "never",
    ]))
}

pub(super) fn position(choices: &mut Choices<'_>, known: &Known<'_>) -> String {
    let [log, queue] = known.scene.incarnations();
    let log = match choices.below(16) {
        0 => queue,
        1 => "abcdefgh".to_owned(),
        _ => log,
    };
    let last = known.model.events.keys().next_back().copied().unwrap_or(0);
    let sequence = if choices.below(2) == 0 { last } else { choices.number() };
    format!("{sequence}@{log}")
}

pub(super) fn version(choices: &mut Choices<'_>, type_name: &str) -> Value {
    match (choices.once_in(16), type_name) {
        (true, _) => json!(choices.number()),
        (_, "parts.Order") => json!(2),
        (_, "parts.Made") => json!(3),
        _ => json!(1),
    }
}

/// One in many is as large as a message may be, or a little less.
pub(super) fn sized(choices: &mut Choices<'_>, message: Value) -> Value {
    if choices.once_in(64) { sized_to(message, *choices.pick(&SHORTER)) } else { message }
}

pub(super) fn sized_to(mut message: Value, shorter: usize) -> Value {
    if let Some(body) = message["content"].get_mut("body").and_then(Value::as_object_mut) {
        body.insert("note".to_owned(), json!(""));
    }
    let Ok(node) = Node::from_json(message.to_string().as_bytes()) else { return message };
    // The length of a text of this size has four bytes more than that of none.
    let room = (MSG_BYTES_MAX - shorter).saturating_sub(node.as_bytes().len() + 4);
    if let Some(body) = message["content"].get_mut("body").and_then(Value::as_object_mut) {
        body.insert("note".to_owned(), json!("n".repeat(room)));
    }
    message
}
