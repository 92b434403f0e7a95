//! The JSON Schema of `domain.toml`, for editors.
//!
//! It says which keys there are and what they look like. It cannot say what belongs together; that is what
//! [`crate::Domain::parse`] checks. A test compares the two, and the text with `schemas/domain.schema.json`.

use std::collections::BTreeMap;

use comms_msg::limits::OWNER_BYTES_MAX;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::bound::Bound;
use crate::limits::{COPIES_MAX, OWNERS_MAX, VERSION_MAX};

/// The schema as one JSON value.
pub fn domain_schema() -> Value {
    let mut schema = schemars::schema_for!(DomainFile);
    // Only the name has no default. TOML has no null, so that `Option` would say too much.
    schema.insert("required".to_owned(), json!(["name"]));
    if let Some(Value::Object(sections)) = schema.get_mut("$defs") {
        for section in sections.values_mut().filter_map(Value::as_object_mut) {
            section.remove("required");
        }
    }
    crate::schema::sorted(schema.as_value())
}

/// What may be said in a domain, by whom, and what becomes of it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "domain.toml")]
#[expect(dead_code, reason = "only its schema is used: reading reports places, which deriving cannot")]
struct DomainFile {
    /// The name of the domain: the first token of every subject.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,62}$"))]
    name: String,
    /// Counted by the author.
    #[schemars(range(min = 1, max = VERSION_MAX))]
    version: u32,
    /// What leaves messages, and how often it is kept.
    content: ContentSection,
    /// How much there is of what all services share on a node: half of each is divided equally among them, the other half
    /// is for whoever comes first.
    limits: LimitsSection,
    /// Something is to be done. Keyed by type: "documents.AddDocument".
    #[schemars(schema_with = "by_type::<CommandSection>")]
    command: BTreeMap<String, CommandSection>,
    /// Something is to be known. Keyed by type.
    #[schemars(schema_with = "by_type::<QuerySection>")]
    query: BTreeMap<String, QuerySection>,
    /// Something has happened. Keyed by type.
    #[schemars(schema_with = "by_type::<EventSection>")]
    event: BTreeMap<String, EventSection>,
    /// Who does what. Keyed by name; `dev`, `operator` and `node` are reserved.
    #[schemars(schema_with = "by_service")]
    service: BTreeMap<String, ServiceSection>,
    /// The built-in user of a person on this machine. Sends, asks and observes everything unless it says otherwise.
    dev: ServiceSection,
    /// The built-in user that changes the definition.
    operator: ServiceSection,
}

/// What leaves messages, and how often it is kept.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "content")]
#[expect(dead_code, reason = "only its schema is used")]
struct ContentSection {
    /// A byte field larger than this leaves its message and becomes a CID. Default "64 KiB".
    #[schemars(schema_with = "size")]
    threshold: String,
    /// Copies wanted of every object. Default 1.
    #[schemars(range(min = 1, max = COPIES_MAX))]
    copies: u8,
}

/// How much there is of what all services share on a node. Half of each is divided equally among the services, the other
/// half is for whoever comes first.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "limits")]
#[expect(dead_code, reason = "only its schema is used")]
struct LimitsSection {
    /// Requests that arrived at the doors and are not answered. Default 16384.
    #[schemars(range(min = *Bound::Requests.range().start(), max = *Bound::Requests.range().end()))]
    requests: u64,
    /// Bytes of those requests. Default "256 MiB".
    #[schemars(schema_with = "size")]
    request_bytes: String,
    /// Durable commands that wait for their handler's answer. Default 500000.
    #[schemars(range(min = *Bound::Commands.range().start(), max = *Bound::Commands.range().end()))]
    commands: u64,
    /// Questions for outcomes that wait for a command to end. Default 16384.
    #[schemars(range(min = *Bound::Outcomes.range().start(), max = *Bound::Outcomes.range().end()))]
    outcomes: u64,
    /// Watches of the log. Default 512.
    #[schemars(range(min = *Bound::Watches.range().start(), max = *Bound::Watches.range().end()))]
    watches: u64,
    /// Uploads at once. Default 32.
    #[schemars(range(min = *Bound::Uploads.range().start(), max = *Bound::Uploads.range().end()))]
    uploads: u64,
    /// Downloads at once. Default 64.
    #[schemars(range(min = *Bound::Downloads.range().start(), max = *Bound::Downloads.range().end()))]
    downloads: u64,
    /// Connections to HTTP. Default 512.
    #[schemars(range(min = *Bound::Connections.range().start(), max = *Bound::Connections.range().end()))]
    connections: u64,
    /// Connections of services to nats-server, counted over all programs under a service's name. Those of who holds most
    /// beyond its part are cut, the newest first. Default 2048.
    #[schemars(range(min = *Bound::NatsConnections.range().start(), max = *Bound::NatsConnections.range().end()))]
    nats_connections: u64,
    /// Subscriptions of services at nats-server, counted over all connections of a service. Connections of who holds most
    /// beyond its part are cut, those with most subscriptions first. Default 262144.
    #[schemars(range(min = *Bound::Subscriptions.range().start(), max = *Bound::Subscriptions.range().end()))]
    subscriptions: u64,
}

/// One command.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "command")]
#[expect(dead_code, reason = "only its schema is used")]
struct CommandSection {
    /// Kept until handled, or handed to who listens now. Default "durable".
    delivery: DeliveryWord,
    /// Version of its schema. Default 1.
    #[schemars(range(min = 1, max = VERSION_MAX))]
    version: u32,
    /// How long a sender waits for the outcome. Default "30 s".
    #[schemars(schema_with = "time")]
    deadline: String,
}

/// Whether a command is kept.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", rename = "delivery")]
#[expect(dead_code, reason = "only its schema is used")]
enum DeliveryWord {
    /// Kept until handled, by exactly one service.
    Durable,
    /// Nobody keeps it.
    Direct,
}

/// One query.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "query")]
#[expect(dead_code, reason = "only its schema is used")]
struct QuerySection {
    /// Version of its schema. Default 1.
    #[schemars(range(min = 1, max = VERSION_MAX))]
    version: u32,
    /// How long an asker waits for the answer. Default "5 s".
    #[schemars(schema_with = "time")]
    deadline: String,
}

/// One event.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "event")]
#[expect(dead_code, reason = "only its schema is used")]
struct EventSection {
    /// Version of its schema. Default 1.
    #[schemars(range(min = 1, max = VERSION_MAX))]
    version: u32,
    /// The kind of thing it happens to, each of which has one history. Default: the context.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,62}$"))]
    entity: String,
}

/// What one service does and may do.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "service")]
#[expect(dead_code, reason = "only its schema is used")]
struct ServiceSection {
    /// Commands it receives.
    #[schemars(schema_with = "types")]
    handles: Vec<String>,
    /// Queries it answers.
    #[schemars(schema_with = "types")]
    answers: Vec<String>,
    /// Events it may append.
    #[schemars(schema_with = "types")]
    emits: Vec<String>,
    /// Commands it may send.
    #[schemars(schema_with = "types")]
    sends: Vec<String>,
    /// Queries it may ask.
    #[schemars(schema_with = "types")]
    asks: Vec<String>,
    /// Events it may read, with what they carry.
    #[schemars(schema_with = "types")]
    observes: Vec<String>,
    /// Rights that no type gives.
    rights: Vec<RightWord>,
    /// Whom it may name as the owner of durable commands and events. Anybody, if the key is left out.
    #[schemars(schema_with = "owners")]
    owners: Vec<String>,
}

/// A right that follows from no type.
#[derive(JsonSchema)]
#[schemars(rename = "right")]
#[expect(dead_code, reason = "only its schema is used")]
enum RightWord {
    /// Read any content by its CID.
    #[schemars(rename = "content.read")]
    ContentRead,
    /// Change the definition of the running domain.
    #[schemars(rename = "domain.apply")]
    DomainApply,
    /// Read the definition of the running domain.
    #[schemars(rename = "domain.read")]
    DomainRead,
}

/// A type with its context.
const TYPE_PATTERN: &str = "^[a-z][a-z0-9_-]{0,62}\\.[A-Z][A-Za-z0-9]{0,62}$";

fn by_type<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let section = generator.subschema_for::<T>();
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": TYPE_PATTERN },
        "additionalProperties": section
    })
}

fn by_service(generator: &mut SchemaGenerator) -> Schema {
    let section = generator.subschema_for::<ServiceSection>();
    json_schema!({
        "type": "object",
        "propertyNames": {
            "pattern": "^[a-z][a-z0-9_-]{0,62}$",
            "not": { "enum": ["dev", "operator", "node"] }
        },
        "additionalProperties": section
    })
}

fn types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "uniqueItems": true,
        "items": { "anyOf": [{ "type": "string", "pattern": TYPE_PATTERN }, { "const": "*" }] }
    })
}

fn owners(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": OWNERS_MAX,
        "uniqueItems": true,
        "items": { "type": "string", "minLength": 1, "maxLength": OWNER_BYTES_MAX }
    })
}

fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "string", "pattern": "^[0-9]+ ?([Kk]i?[Bb]|[Mm]i?[Bb]|[Bb])$" },
            { "type": "integer", "minimum": 0 }
        ]
    })
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(ms|s|min|h)$" })
}
