//! What `up` prints.

use schemars::JsonSchema;
use serde::Serialize;

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
