//! What `put` and `get` print.

use schemars::JsonSchema;
use serde::Serialize;

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
