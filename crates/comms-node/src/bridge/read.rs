//! Reads a part of a stream by one direct get, bounded in messages and bytes.

use std::time::Duration;

use async_nats::{Client, HeaderValue};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::json;

/// How long one message of the answer may take to come.
const NEXT_WAIT: Duration = Duration::from_secs(5);

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
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|e| e.to_string())?;
    let request = json!({ "batch": messages, "max_bytes": bytes, "seq": first, "next_by_subj": subject });
    client
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.to_string().into())
        .await
        .map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    loop {
        let message = tokio::time::timeout(NEXT_WAIT, answers.next())
            .await
            .map_err(|_| format!("no answer for {} s", NEXT_WAIT.as_secs()))?
            .ok_or("the connection closed")?;
        match message.status.map(|status| status.as_u16()) {
            None => {}
            // 204 ends an answer, 404 says that there is nothing to answer with.
            Some(204 | 404) => return Ok(found),
            Some(status) => {
                let text = message.description.as_deref().unwrap_or_default();
                return Err(format!("the server answered {status} {text}"));
            }
        }
        let header = |name: &str| {
            let value = message.headers.as_ref()?.get(name).map(HeaderValue::as_str)?;
            Some(value.to_owned())
        };
        let sequence = header("Nats-Sequence").and_then(|text| text.parse().ok());
        let (Some(sequence), Some(subject)) = (sequence, header("Nats-Subject")) else {
            return Err("an answer without its place".to_owned());
        };
        let (key, source) = (header("Nats-Msg-Id"), header("Nats-Stream-Source"));
        found.push(Found { sequence, subject, key, source, payload: message.payload });
    }
}
