//! The shape of every object that `--json` prints, one definition per command.
//!
//! Programs read these: a field is added, never renamed or given another meaning. Ids, CIDs, positions and times
//! are text as everywhere else; sizes are bytes, times are milliseconds. `schemas/cli.schema.json` is made from
//! this file, and a test keeps the two the same. A command that prints several kinds of lines names the kind
//! in the one key of each object, as doors do with `ok` and `error`.

mod bench;
mod content;
mod demo;
mod domain;
mod message;
mod up;

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use self::bench::{Bench, BenchRun};
pub(crate) use self::content::{Got, Put};
pub(crate) use self::demo::{
    Demo, DemoDenied, DemoDocument, DemoFetched, DemoHandled, DemoHeard, DemoKept, DemoSent,
};
pub(crate) use self::domain::{
    Accounts, Applied, Checked, DomainCheck, DomainShow, Explained, Mistake, Plan, Route, ShownLimit,
    ShownService, ShownType,
};
pub(crate) use self::message::{
    Answered, Caused, Ended, Gap, Lost, Note, Offloaded, Place, Published, Send, Sent, Watched,
};
pub(crate) use self::up::{Ready, Setting, Stopped, Up, Waiting};

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

/// One place that is wrong.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// Where in the body, as a JSON Pointer.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) problem: String,
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
        define("watch-lost", SchemaGenerator::subschema_for::<Lost>);
        define("watch-note", SchemaGenerator::subschema_for::<Note>);
        define("put", SchemaGenerator::subschema_for::<Put>);
        define("get", SchemaGenerator::subschema_for::<Got>);
        define("bench", SchemaGenerator::subschema_for::<Bench>);
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
            "description": "One object per line. The definition named like a command (domain-check for domain check) is the shape of each of its lines; error and watch-note are what stands on standard error.",
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
