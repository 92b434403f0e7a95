//! Reads a stream by direct gets, a thousand messages an answer. A work queue can be read no other way without taking
//! its messages, since its consumers are its handlers.

use std::ops::ControlFlow;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::StreamExt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Messages in one answer; the server's limit for a batched direct get is 1,024.
const BATCH: usize = 1_000;
/// Bytes of one answer. The server would fill it to what may wait for one connection at all, and then cut that.
const BATCH_BYTES: usize = 4 << 20;
/// How long one message of an answer may take to come.
const NEXT_WAIT: Duration = Duration::from_secs(10);

/// One message as it stands in the stream.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) sequence: u64,
    pub(crate) subject: &'a str,
    /// What the stream recognises a repeat by.
    pub(crate) key: Option<&'a str>,
    pub(crate) payload: &'a Bytes,
    pub(super) headers: &'a HeaderMap,
}

impl Found<'_> {
    /// When it was stored, in milliseconds since the epoch; 0 where the server does not tell.
    pub(crate) fn time_ms(&self) -> u64 {
        let text = self.headers.get("Nats-Time-Stamp").map(async_nats::HeaderValue::as_str);
        let time = text.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        time.map_or(0, |time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
    }

    /// After how many seconds the server drops it; none where it stays.
    pub(crate) fn ttl_s(&self) -> Option<u64> {
        self.headers.get("Nats-TTL")?.as_str().strip_suffix('s')?.parse().ok()
    }
}

/// Calls `each` with every message under `subject` (which may hold wildcards) that stands in `stream` now, from sequence
/// `from` on, in order, until it breaks.
///
/// # Errors
/// What the server said, or that it said nothing.
pub(crate) async fn read(
    client: &async_nats::Client,
    stream: &str,
    subject: &str,
    from: u64,
    mut each: impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<(), String> {
    let mut from = from;
    loop {
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|e| e.to_string())?;
        let request = request(subject, from);
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
                    let headers = message.headers.as_ref().ok_or("an answer without headers")?;
                    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
                    let sequence = header("Nats-Sequence")
                        .and_then(|value| value.parse::<u64>().ok())
                        .ok_or("an answer without its sequence")?;
                    let subject = header("Nats-Subject").ok_or("an answer without its subject")?;
                    let key = header("Nats-Msg-Id");
                    if each(Found { sequence, subject, key, payload: &message.payload, headers }).is_break() {
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
            Some(sequence) => from = sequence.saturating_add(1),
            None => return Ok(()),
        }
    }
}

fn request(subject: &str, from: u64) -> String {
    serde_json::json!({ "batch": BATCH, "max_bytes": BATCH_BYTES, "next_by_subj": subject, "seq": from })
        .to_string()
}
