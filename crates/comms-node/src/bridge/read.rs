//! Reads a part of a stream, bounded in messages and bytes, to be held.

use async_nats::Client;
use bytes::Bytes;

use crate::log::direct_read::{self, Bounds};

/// One message as it stands in the stream.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) subject: String,
    /// Its id for the stream.
    pub(super) key: Option<String>,
    /// Where nats-server brought it from, if it did.
    pub(super) source: Option<String>,
    pub(super) payload: Bytes,
}

/// The messages under `subject` of `stream` behind `after`, in order: at most `messages`, and no more once there are
/// `bytes`. None if there are none yet.
///
/// # Errors
/// What the server said, or that it said nothing.
pub(super) async fn behind(
    client: &Client,
    stream: &str,
    subject: &str,
    after: u64,
    messages: usize,
    bytes: u64,
) -> Result<Vec<Found>, String> {
    let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    direct_read::read_some(client, stream, subject, first, Bounds { messages, bytes }, |found| {
        all.push(Found {
            sequence: found.sequence,
            subject: found.subject.to_owned(),
            key: found.key.map(str::to_owned),
            source: found.source().map(str::to_owned),
            payload: found.payload.clone(),
        });
    })
    .await?;
    Ok(all)
}
