//! What the commands that talk print: `send`, `ask`, `publish`, `watch`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

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

/// `comms watch`: the line of events that were acknowledged and are missing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Lost {
    /// Which, and what became of them.
    pub(crate) lost: Gap,
}

/// Events that are missing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Gap {
    /// Where they stood.
    pub(crate) positions: Vec<String>,
    /// Whether the operator went on without them.
    pub(crate) accepted: bool,
    /// The same in words.
    pub(crate) message: String,
}

/// `comms watch`, on standard error: what is to be known beside the events.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    /// Everything that was stored when the watch began was printed before this.
    CaughtUp(Place),
    /// There is no connection to the node; the watch goes on when it is back.
    Away(Place),
    /// There is one again.
    Back(Place),
}

/// How far a watch is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Place {
    /// Of the last event that was printed, if there was any.
    pub(crate) position: Option<String>,
}
