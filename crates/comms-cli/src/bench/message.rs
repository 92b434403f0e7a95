//! The domain that is measured: its messages, what is said with each of them, and how many bytes that is.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use comms::{EntityId, MsgId, Node, Owner, ServiceName, Timestamp};
use comms_domain::Domain;
use comms_msg::{Body, Command, DomainContent, Event, Form, Hop, Metadata, Msg, Query, Reply, UserPairs};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// `domain.toml`.
pub(super) const DEFINITION: &str = r#"name = "bench"

[command."bench.Tell"]
delivery = "direct"

[command."bench.Keep"]
delivery = "durable"
deadline = "60 s"

[query."bench.Find"]
deadline = "30 s"

[event."bench.Noted"]
entity = "note"

[service.sender]
sends = ["bench.Tell", "bench.Keep"]
asks = ["bench.Find"]
emits = ["bench.Noted"]

[service.keeper]
handles = ["bench.Tell", "bench.Keep"]
answers = ["bench.Find"]

[service.reader]
observes = ["bench.Noted"]
"#;
/// The types, each with [`SCHEMA`], which the doors hold every command and event against.
pub(super) const TYPES: [&str; 4] = ["Tell", "Keep", "Find", "Noted"];
/// Their one schema.
pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["number", "text"],
  "properties": {
    "number": { "type": "integer", "minimum": 0 },
    "text": { "type": "string", "maxLength": 200 }
  }
}
"#;
/// Who sends, asks and publishes.
pub(super) const SENDER: &str = "sender";
/// Who handles and answers.
pub(super) const KEEPER: &str = "keeper";
/// Who reads back what was appended.
pub(super) const READER: &str = "reader";

const OWNER: &str = "user-7f3a9c";
const PAIRS: [(&str, &str); 3] =
    [("tenant", "north-4"), ("channel", "web"), ("trace", "4bf92f3577b34da6a3ce929d0e0e4736")];
const TEXT: &str = "moved from shelf 12 to shelf 31";
/// Numbers begin where all of them have as many bytes in CBOR.
const NUMBER_FIRST: u64 = 1 << 32;

/// A direct command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tell {
    pub(super) number: u64,
    pub(super) text: String,
}
comms::command!(Tell = "bench.Tell", direct);

/// A durable command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Keep {
    pub(super) number: u64,
    pub(super) text: String,
}
comms::command!(Keep = "bench.Keep");

/// A query.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Find {
    pub(super) number: u64,
    pub(super) text: String,
}
comms::query!(Find = "bench.Find" -> Found);

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) text: String,
}

/// An event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) number: u64,
    pub(super) text: String,
}
comms::event!(Noted = "bench.Noted");

macro_rules! numbered {
    ($($message:ident),*) => {$(
        impl $message {
            /// The message with this number.
            pub(super) fn new(number: u64) -> Self {
                Self { number: NUMBER_FIRST + number, text: TEXT.to_owned() }
            }
        }
    )*};
}
numbered!(Tell, Keep, Find, Found, Noted);

/// Says owner, conversation and pairs of a message that is being built.
macro_rules! labelled {
    ($builder:expr) => {{
        let [first, second, third] = $crate::bench::message::pairs();
        $builder
            .owner($crate::bench::message::owner())
            .correlation($crate::bench::message::fresh_id())
            .pair(first.0, first.1)
            .pair(second.0, second.1)
            .pair(third.0, third.1)
    }};
}
pub(super) use labelled;

pub(super) fn owner() -> &'static str {
    OWNER
}

pub(super) fn pairs() -> [(&'static str, &'static str); 3] {
    PAIRS
}

/// An id that nobody has.
pub(super) fn fresh_id() -> MsgId {
    MsgId::v7(now_ms(), rand::random())
}

/// The entity that the event with this number happens to; all have as many bytes.
pub(super) fn entity(number: u64) -> String {
    format!("note-{:04}", number % ENTITIES)
}

/// Entities that events happen to.
pub(super) const ENTITIES: u64 = 1000;

/// What of a message its door fills in, and its peers store: the key `time`, and the time as text, in DAG-CBOR.
const TIME_BYTES: usize = 5 + 2 + 24;

/// Fails where a message that is handed to a door is not as large as what its peers store, but for its time.
pub(super) fn as_large_when_stored(bytes: usize, peers: usize) -> Result<(), Failure> {
    as_large(bytes + TIME_BYTES, peers)
}

/// Fails where a message has other bytes on the wire than its peers have.
pub(super) fn as_large(bytes: usize, peers: usize) -> Result<(), Failure> {
    if bytes == peers {
        return Ok(());
    }
    Err(Failure::failed(format!("a message has {bytes} bytes, not {peers} as its peers")))
}

/// Bytes of each message on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) tell: usize,
    pub(super) keep: usize,
    pub(super) find: usize,
    pub(super) found: usize,
    pub(super) noted: usize,
}

impl Sizes {
    /// Makes one message of each type as the library makes them.
    pub(super) fn measure() -> Result<Sizes, Failure> {
        let command = |type_name: &str, body| -> Result<_, comms_msg::Error> {
            Ok(DomainContent::Command(Command { type_name: type_name.parse()?, version: 1, body }))
        };
        let sizes = || -> Result<Sizes, comms_msg::Error> {
            let find = Query { type_name: "bench.Find".parse()?, version: 1, body: body(&Find::new(0)) };
            let noted = Event {
                type_name: "bench.Noted".parse()?,
                version: 1,
                entity: EntityId::new(&entity(0))?,
                previous: None,
                body: body(&Noted::new(0)),
            };
            let deadline = Hop { deadline: Some(Timestamp::from_unix_ms(now_ms())), ..Hop::default() };
            let found = Reply { to: fresh_id(), answer: Ok(node(&Found::new(0))) };
            Ok(Sizes {
                tell: size(command("bench.Tell", body(&Tell::new(0)))?, Hop::default())?,
                keep: size(command("bench.Keep", body(&Keep::new(0)))?, Hop::default())?,
                find: size(DomainContent::Query(find), deadline)?,
                found: found.to_wire(Form::Cbor)?.len(),
                noted: size(DomainContent::Event(noted), Hop::default())?,
            })
        };
        sizes().map_err(|error| Failure::failed("the messages to measure cannot be made").because(&error))
    }
}

/// The domain, as the node reads it.
pub(super) fn domain() -> Result<Domain, comms_domain::Problems> {
    let schemas = TYPES.map(|name| (format!("bench/{name}.json"), SCHEMA.to_owned())).into();
    Domain::parse("domain.toml", DEFINITION, &schemas)
}

/// A durable command as the library sends it.
pub(super) fn kept(number: u64) -> Result<Bytes, comms_msg::Error> {
    let body = body(&Keep::new(number));
    let content = Command { type_name: "bench.Keep".parse()?, version: 1, body };
    msg(DomainContent::Command(content), Hop::default())?.to_wire()
}

fn size(content: DomainContent, hop: Hop) -> Result<usize, comms_msg::Error> {
    Ok(msg(content, hop)?.to_wire()?.len())
}

fn msg(content: DomainContent, hop: Hop) -> Result<Msg, comms_msg::Error> {
    let metadata = Metadata {
        owner: Owner::new(OWNER)?,
        time: Timestamp::from_unix_ms(now_ms()),
        sender: Some(SENDER.parse::<ServiceName>()?),
        correlation: fresh_id(),
        causation: None,
        user: UserPairs::new(PAIRS)?,
    };
    Ok(Msg { id: fresh_id(), metadata, content: Some(content), hop })
}

fn body(message: &impl Serialize) -> Body {
    Body::Inline(node(message))
}

fn node(message: &impl Serialize) -> Node {
    Node::encode(message).expect("a number and a text are DAG-CBOR")
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_one() {
        domain().unwrap();
    }

    #[test]
    fn every_number_has_as_many_bytes() {
        let bytes = |number| node(&Tell::new(number)).as_bytes().len();
        assert_eq!(bytes(0), bytes(u64::from(u32::MAX) * 1000));
    }
}
