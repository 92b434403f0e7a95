//! The shape of every object that `--json` prints, one definition per command.
//!
//! Programs read these: a field is added, never renamed or given another meaning. Ids, CIDs, positions and times
//! are text as everywhere else; sizes are bytes, times are milliseconds. `schemas/cli.schema.json` is made from
//! this file, and a test keeps the two the same. A command that prints several kinds of lines names the kind
//! in the one key of each object, as doors do with `ok` and `error`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// One place that is wrong.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// Where in the body, as a JSON Pointer.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) problem: String,
}

/// What stands on standard error when something is wrong, whatever the command.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Error {
    /// What went wrong.
    Error(Failed),
}

/// Why a command did not do what it was asked to do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// The number the process ends with.
    pub(crate) exit: u8,
    /// What and where, in one line.
    pub(crate) message: String,
    /// The places that are wrong.
    pub(crate) problems: Vec<Problem>,
    /// What would be right, and the errors behind it.
    pub(crate) lines: Vec<String>,
}

/// `comms version`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Version {
    /// The version of this program.
    pub(crate) version: String,
}

/// `comms new`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct New {
    /// The folder, as it was named.
    pub(crate) folder: String,
    /// The domain's name.
    pub(crate) domain: String,
    /// What was written, relative to the folder.
    pub(crate) files: Vec<String>,
}

/// `comms domain check`: one line per problem, then one that counts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainCheck {
    /// Something that is wrong.
    Problem(Mistake),
    /// The end.
    Checked(Checked),
}

/// One mistake in a definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Mistake {
    /// `domain.toml`, or a schema below `schemas`.
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Characters, counted from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What would be right.
    pub(crate) mend: String,
}

/// What a definition is, as a whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Checked {
    /// The domain's name, if the definition can be used.
    pub(crate) domain: Option<String>,
    /// Its version.
    pub(crate) version: Option<u32>,
    /// The digest of the whole definition.
    pub(crate) digest: Option<String>,
    /// How many problems there are.
    pub(crate) problems: usize,
}

/// `comms domain show`: one line per type and per service.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainShow {
    /// A type.
    Type(ShownType),
    /// A service.
    Service(ShownService),
}

/// A type of message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ShownType {
    /// Its name: context.Type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// `command`, `query` or `event`.
    pub(crate) kind: String,
    /// `durable` or `direct`, for commands.
    pub(crate) delivery: Option<String>,
    /// The kind of thing it happens to, for events.
    pub(crate) entity: Option<String>,
    /// Who waits for it at most so long, for commands and queries.
    pub(crate) deadline_ms: Option<u64>,
    /// Services that it comes from, without `dev` and `operator`.
    pub(crate) from: Vec<String>,
    /// Services that it goes to, without `dev` and `operator`.
    pub(crate) to: Vec<String>,
}

/// A service.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ShownService {
    /// Its name.
    pub(crate) service: String,
    /// Commands it handles.
    pub(crate) handles: Vec<String>,
    /// Queries it answers.
    pub(crate) answers: Vec<String>,
    /// Events it emits.
    pub(crate) emits: Vec<String>,
    /// Commands it sends.
    pub(crate) sends: Vec<String>,
    /// Queries it asks.
    pub(crate) asks: Vec<String>,
    /// Events it observes.
    pub(crate) observes: Vec<String>,
    /// Rights that follow from no type.
    pub(crate) rights: Vec<String>,
}

/// `comms up`: one line when everything listens, one when it has stopped.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Up {
    /// A nats-server that exists must include the accounts before the node can go on.
    Waiting(Waiting),
    /// Everything listens.
    Ready(Ready),
    /// It has stopped.
    Stopped(Stopped),
}

/// What a nats-server that exists has to include.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Waiting {
    /// The server.
    pub(crate) nats: String,
    /// The file to include.
    pub(crate) accounts: String,
}

/// Where a node listens.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Ready {
    /// The domain's name.
    pub(crate) domain: String,
    /// The node's name.
    pub(crate) node: String,
    /// Where messages go.
    pub(crate) nats: String,
    /// Where content is put and fetched.
    pub(crate) http: String,
    /// Whether nats-server says that it syncs before it acknowledges.
    pub(crate) is_syncing: bool,
    /// What this setup cannot promise.
    pub(crate) warnings: Vec<String>,
    /// From the start of the command until everything listened.
    pub(crate) ms: f64,
}

/// How a node ended.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Stopped {
    /// What did not end in time and was ended by force.
    pub(crate) forced: Vec<String>,
    /// From the signal until everything was stopped.
    pub(crate) ms: f64,
}

/// `comms send`: `sent`, then `caused` for each event, then one line that says how it ended.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Send {
    /// A durable command is kept, a direct one has left.
    Sent(Sent),
    /// An event that the command caused.
    Caused(Caused),
    /// Handled.
    Done(Ended),
    /// Refused by its handler, for good.
    Rejected(Ended),
    /// Given up after too many tries, and kept among the dead letters.
    Dead(Ended),
    /// No outcome in the time that was waited; the command is kept and will be handled.
    Pending(Ended),
}

/// A command that was sent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Sent {
    /// Its id.
    pub(crate) id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Its subject.
    pub(crate) subject: String,
    /// Its message CID, if it is kept.
    pub(crate) cid: Option<String>,
    /// Where it is kept, if it is.
    pub(crate) position: Option<String>,
    /// Bytes of the message.
    pub(crate) bytes: u64,
    /// Fields that left the message.
    pub(crate) offloaded: Vec<Offloaded>,
    /// Whether sending it again with the same id and bytes is safe.
    pub(crate) retry_safe: bool,
    /// From the beginning until it was acknowledged, without what was offloaded before.
    pub(crate) ms: f64,
}

/// A field that left its message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Offloaded {
    /// Where in the body, as a JSON Pointer.
    pub(crate) path: String,
    /// The CID that took its place.
    pub(crate) cid: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// How long putting it took, where it was put by itself.
    pub(crate) ms: Option<f64>,
}

/// An event that a command caused.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Caused {
    /// Its id.
    pub(crate) id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Whose history it is in.
    pub(crate) entity: String,
    /// Where in the log.
    pub(crate) position: String,
    /// Its message CID.
    pub(crate) cid: String,
    /// From sending the command until it was known here.
    pub(crate) ms: f64,
}

/// How a command ended.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Ended {
    /// The command's id.
    pub(crate) id: String,
    /// Why, where there is a reason.
    pub(crate) reason: Option<String>,
    /// How often it was delivered, as far as known.
    pub(crate) tries: u32,
    /// From sending the command until it was known here.
    pub(crate) ms: f64,
}

/// `comms ask`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Answered {
    /// The query's id.
    pub(crate) id: String,
    /// The query's type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// What came back, as DAG-JSON.
    pub(crate) answer: Value,
    /// From asking until the answer was here.
    pub(crate) ms: f64,
}

/// `comms publish`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Published {
    /// The event's id.
    pub(crate) id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Whose history it is in.
    pub(crate) entity: String,
    /// Where in the log.
    pub(crate) position: String,
    /// Its message CID.
    pub(crate) cid: String,
    /// Bytes of the message.
    pub(crate) bytes: u64,
    /// Fields that left the message.
    pub(crate) offloaded: Vec<Offloaded>,
    /// From the beginning until it was on disk, without what was offloaded before.
    pub(crate) ms: f64,
}

/// `comms watch`: one line per event.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Watched {
    /// Its id.
    pub(crate) id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Whose history it is in.
    pub(crate) entity: String,
    /// Where in the log; `watch --from` goes on after it.
    pub(crate) position: String,
    /// Its message CID.
    pub(crate) cid: String,
    /// When it was made.
    pub(crate) time: String,
    /// Who answers for it.
    pub(crate) owner: String,
    /// The service that emitted it.
    pub(crate) sender: Option<String>,
    /// The conversation it belongs to.
    pub(crate) correlation: String,
    /// The message that caused it.
    pub(crate) causation: Option<String>,
    /// The user's own pairs.
    pub(crate) user: BTreeMap<String, String>,
    /// What it says, as DAG-JSON. A body that is kept elsewhere as a whole is a link.
    pub(crate) body: Value,
}

/// `comms put`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Put {
    /// The CID.
    pub(crate) cid: String,
    /// Bytes of the content.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) ms: f64,
}

/// `comms get -o FILE`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Got {
    /// The CID.
    pub(crate) cid: String,
    /// Bytes of the content, every one of them verified.
    pub(crate) bytes: u64,
    /// The file that was written.
    pub(crate) file: String,
    /// How long it took.
    pub(crate) ms: f64,
}

/// `comms demo`: one line per step, in this order; `denied` is left out where the document stays in its message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Demo {
    /// The document that will be sent.
    Document(DemoDocument),
    /// A node of the demo's own is up.
    Node(Ready),
    /// A service sent a command with the document, and it is on disk.
    Sent(DemoSent),
    /// Another handled it.
    Handled(DemoHandled),
    /// Its event is in the log.
    Kept(DemoKept),
    /// A third, which only listens, got the event.
    Heard(DemoHeard),
    /// It fetched the document, and every byte is right.
    Fetched(DemoFetched),
    /// A fourth, which has nothing to do with documents, was told nothing.
    Denied(DemoDenied),
    /// The first knows the outcome.
    Done(Ended),
}

/// The document of the demo.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoDocument {
    /// The file.
    pub(crate) file: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// How many pages it has, if it was made for the demo.
    pub(crate) pages: Option<u32>,
}

/// The command of the demo.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoSent {
    /// The service that sent it.
    pub(crate) service: String,
    /// Its id.
    pub(crate) id: String,
    /// Its subject.
    pub(crate) subject: String,
    /// Where it is kept.
    pub(crate) position: String,
    /// Bytes of the message, without the document, which left it.
    pub(crate) bytes: u64,
    /// From reading the document until the command was acknowledged.
    pub(crate) ms: f64,
}

/// The command of the demo, as its handler got it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoHandled {
    /// The service that handled it.
    pub(crate) service: String,
    /// The command's id.
    pub(crate) id: String,
    /// The service that sent it, as the handler was told.
    pub(crate) sender: String,
    /// From reading the document until the handler began.
    pub(crate) ms: f64,
}

/// The event of the demo, as it is kept.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoKept {
    /// Its id.
    pub(crate) id: String,
    /// Its subject.
    pub(crate) subject: String,
    /// Where in the log.
    pub(crate) position: String,
    /// Its message CID.
    pub(crate) cid: String,
}

/// The event of the demo, as a listener got it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoHeard {
    /// The service that listens.
    pub(crate) service: String,
    /// The event's id.
    pub(crate) id: String,
    /// Bytes of the message.
    pub(crate) bytes: u64,
    /// The CID in the document's place.
    pub(crate) link: Option<String>,
    /// From reading the document until the listener had the event.
    pub(crate) ms: f64,
}

/// The document of the demo, as a listener fetched it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoFetched {
    /// The service that fetched it.
    pub(crate) service: String,
    /// By this CID.
    pub(crate) cid: Option<String>,
    /// Bytes that were compared, one by one.
    pub(crate) bytes: u64,
    /// Their SHA-256.
    pub(crate) sha256: String,
    /// From the event until the last byte was compared.
    pub(crate) ms: f64,
}

/// A service that was told nothing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DemoDenied {
    /// The service.
    pub(crate) service: String,
    /// What it asked for.
    pub(crate) cid: String,
    /// What it was answered.
    pub(crate) answer: String,
}

/// `comms domain accounts`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Accounts {
    /// The file that was written.
    pub(crate) file: String,
    /// How many users it has.
    pub(crate) users: usize,
}

/// `comms domain plan`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Plan {
    /// What would change, for people: `+` added, `-` removed, `~` changed.
    pub(crate) changes: Vec<String>,
    /// What speaks against it: stored subjects that the definition would no longer name.
    pub(crate) refused: Vec<String>,
    /// The digest of the definition that was planned.
    pub(crate) digest: String,
}

/// `comms domain apply`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Applied {
    /// What has changed, for people: `+` added, `-` removed, `~` changed.
    pub(crate) changes: Vec<String>,
    /// The digest of the definition that is in force.
    pub(crate) digest: String,
}

/// `comms domain explain`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Explained {
    /// The type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// `command`, `query` or `event`.
    pub(crate) kind: String,
    /// Its schema version.
    pub(crate) version: u32,
    /// `durable` or `direct`, for commands.
    pub(crate) delivery: Option<String>,
    /// The kind of thing it happens to, for events.
    pub(crate) entity: Option<String>,
    /// Where it travels; `{…}` stands for one token.
    pub(crate) subjects: Vec<Route>,
    /// The stream that keeps it; `{node}` stands for the name of a node.
    pub(crate) stream: Option<String>,
    /// Services that may send it.
    pub(crate) sends: Vec<String>,
    /// Services that may ask it.
    pub(crate) asks: Vec<String>,
    /// Services that handle it.
    pub(crate) handles: Vec<String>,
    /// Services that answer it.
    pub(crate) answers: Vec<String>,
    /// Services that may append it.
    pub(crate) emits: Vec<String>,
    /// Services that may read it.
    pub(crate) observes: Vec<String>,
    /// Events that handling it may cause.
    pub(crate) causes: Vec<String>,
    /// Commands whose handlers may append it.
    pub(crate) caused_by: Vec<String>,
    /// The schema file, if there is one.
    pub(crate) schema: Option<String>,
    /// Byte fields by path; null without a schema, when every byte field counts.
    pub(crate) byte_fields: Option<Vec<String>>,
    /// A byte field of more bytes than this becomes a link.
    pub(crate) threshold: u64,
    /// How long a sender or asker waits.
    pub(crate) deadline_ms: Option<u64>,
}

/// One subject and what it is for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Route {
    /// What happens there.
    pub(crate) what: String,
    /// The subject.
    pub(crate) subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::SchemaGenerator;
    use schemars::generate::SchemaSettings;

    /// All shapes in one document, `$defs` by command.
    fn document() -> Value {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let mut commands = serde_json::Map::new();
        let mut define = |command: &str, shape: fn(&mut SchemaGenerator) -> schemars::Schema| {
            commands.insert(command.to_owned(), shape(&mut generator).to_value());
        };
        define("version", SchemaGenerator::subschema_for::<Version>);
        define("new", SchemaGenerator::subschema_for::<New>);
        define("up", SchemaGenerator::subschema_for::<Up>);
        define("send", SchemaGenerator::subschema_for::<Send>);
        define("ask", SchemaGenerator::subschema_for::<Answered>);
        define("publish", SchemaGenerator::subschema_for::<Published>);
        define("watch", SchemaGenerator::subschema_for::<Watched>);
        define("put", SchemaGenerator::subschema_for::<Put>);
        define("get", SchemaGenerator::subschema_for::<Got>);
        define("domain-check", SchemaGenerator::subschema_for::<DomainCheck>);
        define("domain-show", SchemaGenerator::subschema_for::<DomainShow>);
        define("demo", SchemaGenerator::subschema_for::<Demo>);
        define("domain-accounts", SchemaGenerator::subschema_for::<Accounts>);
        define("domain-plan", SchemaGenerator::subschema_for::<Plan>);
        define("domain-apply", SchemaGenerator::subschema_for::<Applied>);
        define("domain-explain", SchemaGenerator::subschema_for::<Explained>);
        define("error", SchemaGenerator::subschema_for::<Error>);
        commands.extend(generator.take_definitions(true));
        serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "What comms --json prints",
            "description": "One object per line. The definition named like a command (domain-check for domain check) is the shape of each of its lines; error is what stands on standard error.",
            "$defs": commands,
        })
    }

    #[test]
    fn the_schema_on_disk_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/cli.schema.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == text,
            "schemas/cli.schema.json is not what the code says; run: UPDATE_SCHEMAS=1 cargo test -p comms-cli"
        );
    }
}
