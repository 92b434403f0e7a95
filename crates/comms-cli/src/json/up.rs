//! What `up` prints.

use schemars::JsonSchema;
use serde::Serialize;

/// `comms up`: one line when everything listens, one when it has stopped.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Up {
    /// A value that is in force, with `--show-config`.
    Setting(Setting),
    /// A nats-server that exists must include the accounts before the node can go on.
    Waiting(Waiting),
    /// Everything listens.
    Ready(Ready),
    /// It has stopped.
    Stopped(Stopped),
}

/// A value that a node would be started with.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Setting {
    /// Its key in `comms.toml`.
    pub(crate) name: String,
    /// The value; several have commas between them.
    pub(crate) value: String,
    /// Where it is from: a flag, a variable, the path of the file, or `default`.
    pub(crate) from: String,
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
    /// What its nats-server listens on, if it is the node's own: `0.0.0.0` are all addresses of this machine.
    pub(crate) listen: Option<String>,
    /// Where leafs join, if they may.
    pub(crate) leaf_listen: Option<String>,
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
