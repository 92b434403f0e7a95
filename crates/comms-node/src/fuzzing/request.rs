//! One request out of choices: who asks, at which door, in which form, and what. Mostly a message as it should be with some
//! of its parts changed; sometimes bytes that are none, or what was asked before.

use bytes::Bytes;
use comms_content::Node;
use comms_msg::{DomainContent, Door, MsgId, MsgKey, ServiceName, TypeName};
use serde_json::{Value, json};

use super::choices::Choices;
use super::message::{SHORTER, body, hop, id, message, metadata, position, sized, sized_to, time, version};
use super::model::Model;
use super::scene::{Scene, handler};

/// Who may ask, and what there is: with what is not in the domain last.
pub(super) const SENDERS: [&str; 7] = ["shop", "mill", "yard", "eye", "dev", "operator", "nobody"];
pub(super) const COMMANDS: [&str; 4] = ["parts.Order", "parts.Scrap", "parts.Ping", "parts.None"];
const EVENTS: [&str; 4] = ["parts.Made", "parts.Moved", "comms.LossAccepted", "parts.Order"];
const ENTITIES: [&str; 5] = ["p1", "p2", "p3", "*", "a.b"];

/// One request.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) sender: ServiceName,
    pub(super) door: Door,
    pub(super) payload: Bytes,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let payload = match Node::from_cbor(self.payload.clone()) {
            Ok(node) => node.to_json(),
            Err(_) => String::from_utf8_lossy(&self.payload).into_owned(),
        };
        let payload: String = payload.chars().take(700).collect();
        write!(f, "[{} at {:?}: {payload}]", self.sender, self.door)
    }
}

/// What a request may refer to.
pub(super) struct Known<'a> {
    pub(super) scene: &'a Scene,
    pub(super) model: &'a Model,
    pub(super) history: &'a [Request],
}

/// Makes one.
pub(super) fn make(choices: &mut Choices<'_>, known: &Known<'_>) -> Request {
    let mut request = match choices.below(20) {
        0..=4 => command(choices, known),
        5..=8 => events(choices, known),
        9..=14 => commit(choices, known),
        15 => outcome(choices, known),
        16 => watch(choices, known),
        17 => raw(choices),
        _ if known.history.is_empty() => command(choices, known),
        // Said before: as it was, or by another, or elsewhere.
        _ => {
            let mut request = choices.pick(known.history).clone();
            if choices.once_in(4) {
                request.sender = name(choices.pick(&SENDERS));
            }
            if choices.once_in(4) {
                request.door = door(choices);
            }
            request
        }
    };
    if choices.once_in(12) {
        request.payload = damaged(choices, &request.payload);
    }
    request
}

fn command(choices: &mut Choices<'_>, known: &Known<'_>) -> Request {
    let type_name = *usually(choices, &COMMANDS);
    let sender = match choices.below(8) {
        0 => choices.pick(&SENDERS),
        1 | 2 if type_name == "parts.Order" => "yard",
        _ => "shop",
    };
    let mut message = message(choices, known, "command", type_name, sender);
    message["content"]["v"] = version(choices, type_name);
    let payload = sized(choices, message);
    Request {
        sender: name(sender),
        door: Door::Command(typed(type_name)),
        payload: written(choices, &payload),
    }
}

fn events(choices: &mut Choices<'_>, known: &Known<'_>) -> Request {
    let type_name = *usually(choices, &EVENTS);
    let sender = if choices.once_in(8) { *choices.pick(&SENDERS) } else { "mill" };
    let entity = *usually(choices, &ENTITIES);
    let one = |choices: &mut Choices<'_>| {
        let mut message = message(choices, known, "event", type_name, sender);
        message["content"]["v"] = version(choices, type_name);
        message["content"]["entity"] = json!(if choices.once_in(16) { "p4" } else { entity });
        foresee(choices, known, sender, &mut message);
        message
    };
    let payload = if choices.below(3) > 0 {
        let message = one(choices);
        sized(choices, message)
    } else {
        let count = if choices.once_in(16) { 101 } else { choices.below(5) };
        Value::Array((0..count).map(|_| one(choices)).collect())
    };
    Request { sender: name(sender), door: Door::Event(typed(type_name)), payload: written(choices, &payload) }
}

/// What a handler would say of a command at the commit door, said beforehand at another.
fn foresee(choices: &mut Choices<'_>, known: &Known<'_>, sender: &str, message: &mut Value) {
    let commands: Vec<_> = known.model.commands.values().collect();
    if commands.is_empty() || !choices.once_in(6) {
        return;
    }
    let command = *choices.pick(&commands);
    let (Some(by), Some(content)) = (&command.metadata.sender, &command.content) else { return };
    let key = MsgKey::new(content.kind(), by, content.type_name(), command.id);
    message["id"] = json!(MsgId::derive(&key, &name(sender), 0));
    message["metadata"]["causation"] = json!(command.id);
    message["metadata"]["correlation"] = json!(command.metadata.correlation);
    message["metadata"]["owner"] = json!(command.metadata.owner);
    if choices.below(4) > 0 {
        message["content"]["body"] = json!({ "part": "bolt" });
    }
}

fn commit(choices: &mut Choices<'_>, known: &Known<'_>) -> Request {
    let waiting: Vec<_> = known.model.commands.iter().collect();
    let (sequence, id, type_name) = match waiting.is_empty() || choices.once_in(12) {
        true => (choices.number(), id(choices, known), *choices.pick(&COMMANDS)),
        false => {
            let (sequence, command) = *choices.pick(&waiting);
            let type_name = command.content.as_ref().map(DomainContent::type_name);
            let known = type_name.and_then(|name| COMMANDS.iter().find(|known| **known == name.as_str()));
            (*sequence, json!(command.id), known.copied().unwrap_or(COMMANDS[0]))
        }
    };
    let sender = match handler(&typed(type_name)) {
        Some(handler) if !choices.once_in(12) => handler.to_string(),
        _ => (*choices.pick(&SENDERS)).to_owned(),
    };
    let delivery = delivery(choices, known, sequence, &sender);
    let reason = if choices.once_in(8) { "é".repeat(5_000) } else { "no".to_owned() };
    let completion = match choices.below(12) {
        0 => json!("check"),
        1 => json!("working"),
        2 => json!({ "retry": { "after_ms": choices.number(), "reason": reason } }),
        3 => json!({ "retry": { "after_ms": choices.number(), "reason": reason, "asked": true } }),
        4 => json!({ "reject": { "reason": reason } }),
        5 => json!({ "dead": { "reason": reason } }),
        _ => json!("done"),
    };
    let count = match choices.below(8) {
        0 => 0,
        1 if choices.once_in(8) => 100,
        1 => 4,
        2 | 3 => 2,
        _ => 1,
    };
    let events = (0..count).map(|_| caused(choices, known)).collect();
    let mut commit = json!({ "command": id, "delivery": delivery, "completion": completion, "events": Value::Array(events) });
    if choices.once_in(48) {
        // A dead letter and an event that ends a command hold more than what was sent.
        commit["events"] =
            Value::Array(vec![sized_to(caused(choices, known), *choices.pick(&SHORTER) + 300)]);
    }
    Request {
        sender: name(&sender),
        door: Door::Commit(typed(type_name)),
        payload: written(choices, &commit),
    }
}

fn delivery(choices: &mut Choices<'_>, known: &Known<'_>, sequence: u64, sender: &str) -> String {
    if choices.once_in(24) {
        return String::from_utf8_lossy(choices.bytes(16)).into_owned();
    }
    let of = if choices.once_in(16) { *choices.pick(&SENDERS) } else { sender };
    let consumer = known.scene.delivers_to(&name(of)).unwrap_or_else(|| "c".to_owned());
    let sequence = if choices.once_in(10) { choices.number() } else { sequence };
    let tries = if choices.once_in(4) { choices.number() } else { 1 };
    let rest = format!("COMMAND_n1.{consumer}.{tries}.{sequence}.{sequence}.1795255334.0");
    if choices.once_in(8) { format!("$JS.ACK.dom.hash.{rest}.r4nd") } else { format!("$JS.ACK.{rest}") }
}

/// An event as a handler says that a command caused it.
fn caused(choices: &mut Choices<'_>, known: &Known<'_>) -> Value {
    let type_name = *usually(choices, &["parts.Moved", "parts.Made", "parts.Order", "parts.None"]);
    let mut event = json!({ "content": { "event": type_name, "entity": *usually(choices, &ENTITIES) } });
    event["content"]["v"] = version(choices, type_name);
    event["content"]["body"] = body(choices, known);
    if choices.once_in(6) {
        event["hop"] = hop(choices, known);
    }
    if choices.once_in(16) {
        event["id"] = id(choices, known);
    }
    if choices.once_in(16) {
        event["metadata"] = metadata(choices, known, "mill");
    }
    event
}

fn outcome(choices: &mut Choices<'_>, known: &Known<'_>) -> Request {
    let commands: Vec<_> = known.model.commands.values().collect();
    let wait_ms = choices.number();
    let (command, type_name, sender) = if commands.is_empty() || choices.once_in(6) {
        (id(choices, known), typed(choices.pick(&COMMANDS)), name(choices.pick(&SENDERS)))
    } else {
        let command = *choices.pick(&commands);
        let type_name = command.content.as_ref().map(|content| content.type_name().clone());
        let sender = command.metadata.sender.clone();
        (
            json!(command.id),
            type_name.unwrap_or_else(|| typed(COMMANDS[0])),
            sender.unwrap_or_else(|| name("shop")),
        )
    };
    let sender = if choices.once_in(8) { name(choices.pick(&SENDERS)) } else { sender };
    let payload = json!({ "command": command, "wait_ms": wait_ms });
    Request { sender, door: Door::Outcome(type_name), payload: written(choices, &payload) }
}

fn watch(choices: &mut Choices<'_>, known: &Known<'_>) -> Request {
    let sender = name(choices.pick(&["yard", "shop", "eye", "operator", "nobody"]));
    if choices.once_in(4) {
        let door = if choices.below(2) == 0 { Door::Hello } else { Door::Listen };
        return Request { sender, door, payload: written(choices, &json!({})) };
    }
    let count = if choices.once_in(16) { 65 } else { 1 + choices.below(3) };
    let types: Vec<&str> = (0..count).map(|_| *usually(choices, &EVENTS)).collect();
    let from = match choices.below(4) {
        0 => json!("start"),
        1 => json!({ "time": time(choices) }),
        _ => json!({ "position": position(choices, known) }),
    };
    let (door, mut ask) = if choices.once_in(3) {
        let got: Vec<usize> = (1..=choices.below(4)).collect();
        let until = choices.below(64);
        (
            Door::Tally,
            json!({ "types": types, "after": position(choices, known), "until": until, "got": got }),
        )
    } else {
        (Door::Watch, json!({ "types": types, "from": from }))
    };
    if choices.below(2) == 0 {
        ask["entity"] = json!(*usually(choices, &ENTITIES));
    }
    Request { sender, door, payload: written(choices, &ask) }
}

fn raw(choices: &mut Choices<'_>) -> Request {
    let payload = Bytes::copy_from_slice(choices.bytes(64));
    Request { sender: name(choices.pick(&SENDERS)), door: door(choices), payload }
}

fn door(choices: &mut Choices<'_>) -> Door {
    match choices.below(8) {
        0 => Door::Command(typed(choices.pick(&COMMANDS))),
        1 => Door::Event(typed(choices.pick(&EVENTS))),
        2 => Door::Commit(typed(choices.pick(&COMMANDS))),
        3 => Door::Outcome(typed(choices.pick(&COMMANDS))),
        4 => Door::Hello,
        5 => Door::Listen,
        6 => Door::Tally,
        _ => Door::Watch,
    }
}

/// In one form or the other, where it has both.
fn written(choices: &mut Choices<'_>, value: &Value) -> Bytes {
    let text = value.to_string();
    match choices.below(2) {
        0 => Node::from_json(text.as_bytes()).map_or(text.into(), Node::into_bytes),
        _ => text.into(),
    }
}

fn damaged(choices: &mut Choices<'_>, payload: &Bytes) -> Bytes {
    let mut bytes = payload.to_vec();
    if bytes.is_empty() {
        return payload.clone();
    }
    let at = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
    let at = at % bytes.len();
    match choices.below(3) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << choices.below(8),
        _ => bytes[at] = choices.byte(),
    }
    bytes.into()
}

/// Mostly one of the first two.
fn usually<'a, T>(choices: &mut Choices<'_>, from: &'a [T]) -> &'a T {
    if choices.once_in(12) { choices.pick(from) } else { &from[choices.below(2)] }
}

pub(super) fn name(text: impl AsRef<str>) -> ServiceName {
    text.as_ref().parse().expect("names of services are written here")
}

pub(super) fn typed(text: impl AsRef<str>) -> TypeName {
    text.as_ref().parse().expect("names of types are written here")
}
