//! What `bench` prints.

use schemars::JsonSchema;
use serde::Serialize;

/// `comms bench`: one line per row and peer. Higher is better everywhere.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Bench {
    /// The row.
    pub(crate) row: String,
    /// What is counted, such as `messages/s`.
    pub(crate) unit: String,
    /// The median of ours.
    pub(crate) ours: f64,
    /// The median of the peer.
    pub(crate) peer: f64,
    /// What ours is compared with.
    pub(crate) peer_name: String,
    /// The median of the runs' ratios.
    pub(crate) ratio: f64,
    /// Every run, in order.
    pub(crate) runs: Vec<BenchRun>,
}

/// Ours and the peer, measured one after the other.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BenchRun {
    /// Ours, in the row's unit.
    pub(crate) ours: f64,
    /// The peer, in the row's unit.
    pub(crate) peer: f64,
    /// Ours divided by the peer.
    pub(crate) ratio: f64,
}
