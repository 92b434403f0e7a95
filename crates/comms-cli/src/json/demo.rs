//! What `demo` prints.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Ended, Ready};

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
