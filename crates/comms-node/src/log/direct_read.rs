//! Reads a stream by direct gets, a thousand messages an answer. A work queue can be read no other way without taking
//! its messages, since its consumers are its handlers.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use time::format_description::well_known::Rfc3339;

use crate::clock::date;

/// Messages in one answer; the server's limit for a batched direct get is 1,024.
const BATCH: usize = 1_000;
/// How long one message of an answer may take to come.
const NEXT_WAIT: Duration = Duration::from_secs(10);

/// Where a read begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin {
    /// At the first message from this sequence on.
    At(u64),
    /// At the first message stored at or after this time, in milliseconds since the epoch.
    Since(u64),
}

/// One message as it stands in the stream.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) sequence: u64,
    /// What the stream recognises a repeat by.
    pub(crate) key: Option<&'a str>,
    pub(crate) payload: &'a Bytes,
}

/// Calls `each` with every message under `subject` (which may hold wildcards) that stands in `stream` now, in order,
/// until it breaks.
///
/// # Errors
/// What the server said, or that it said nothing.
pub(crate) async fn read(
    client: &async_nats::Client,
    stream: &str,
    subject: &str,
    begin: Begin,
    mut each: impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<(), String> {
    let mut begin = begin;
    loop {
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|e| e.to_string())?;
        let request = request(subject, begin)?;
        client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.into())
            .await
            .map_err(|e| e.to_string())?;
        let mut last = None;
        loop {
            let message = tokio::time::timeout(NEXT_WAIT, answers.next())
                .await
                .map_err(|_| format!("no answer for {} s", NEXT_WAIT.as_secs()))?
                .ok_or("the connection closed")?;
            match message.status.map(|status| status.as_u16()) {
                None => {
                    let header = |name: &str| {
                        let headers = message.headers.as_ref()?;
                        headers.get(name).map(async_nats::HeaderValue::as_str)
                    };
                    let sequence = header("Nats-Sequence")
                        .and_then(|value| value.parse::<u64>().ok())
                        .ok_or("an answer without its sequence")?;
                    let key = header("Nats-Msg-Id");
                    if each(Found { sequence, key, payload: &message.payload }).is_break() {
                        return Ok(());
                    }
                    last = Some(sequence);
                }
                // 204 ends an answer, which can be short of a batch where its bytes are many; 404 says that there
                // was nothing to answer with.
                Some(204) => break,
                Some(404) => return Ok(()),
                Some(status) => {
                    let text = message.description.as_deref().unwrap_or_default();
                    return Err(format!("the server answered {status} {text}"));
                }
            }
        }
        match last {
            Some(sequence) => begin = Begin::At(sequence + 1),
            None => return Ok(()),
        }
    }
}

fn request(subject: &str, begin: Begin) -> Result<String, String> {
    let mut request = serde_json::json!({ "batch": BATCH, "next_by_subj": subject });
    match begin {
        Begin::At(sequence) => request["seq"] = sequence.into(),
        Begin::Since(unix_ms) => {
            request["start_time"] = date(unix_ms).format(&Rfc3339).map_err(|e| e.to_string())?.into();
        }
    }
    Ok(request.to_string())
}
