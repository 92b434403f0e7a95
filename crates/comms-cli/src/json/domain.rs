//! What `domain check`, `show`, `explain`, `plan`, `apply` and `accounts` print.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// `comms domain check`: one line per problem or note, then one that counts the problems.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainCheck {
    /// Something that is wrong.
    Problem(Mistake),
    /// Something that is right and does not do what it seems to.
    Note(Mistake),
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

/// `comms domain show`: one line per type, per service and per bound.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainShow {
    /// A type.
    Type(ShownType),
    /// A service.
    Service(ShownService),
    /// A bound of what all services share on a node.
    Limit(ShownLimit),
}

/// A bound of `[limits]`, as it is in force.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ShownLimit {
    /// Its key.
    pub(crate) limit: String,
    /// What is counted.
    pub(crate) what: String,
    /// How much there is for all services together.
    pub(crate) total: u64,
    /// What is always there for each of them, and nobody else can take.
    pub(crate) own: u64,
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
    /// Whom it may name as owner; empty for anybody.
    pub(crate) owners: Vec<String>,
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
    /// What speaks against it: another name of the domain, an older version, stored subjects that the definition would no
    /// longer name.
    pub(crate) refused: Vec<String>,
    /// What must be confirmed with `--yes`: who could not change the definition any more, which schemas narrow under the same version, whose place in the log is forgotten.
    pub(crate) warnings: Vec<String>,
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
    /// Fields that the schema names as bytes, by path; null without a schema. Bytes that are allowed elsewhere leave too.
    pub(crate) byte_fields: Option<Vec<String>>,
    /// A byte field of more bytes than this becomes a link.
    pub(crate) threshold: u64,
    /// How long a sender or asker waits.
    pub(crate) deadline_ms: Option<u64>,
    /// The bounds of `[limits]` that its messages run into, by key, as they are in force.
    pub(crate) limits: BTreeMap<String, u64>,
}

/// One subject and what it is for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Route {
    /// What happens there.
    pub(crate) what: String,
    /// The subject.
    pub(crate) subject: String,
}
