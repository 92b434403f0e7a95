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
const BATCH_BYTES: u64 = 4 << 20;
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
    /// Where nats-server brought it from, if it did.
    pub(crate) fn source(&self) -> Option<&str> {
        self.headers.get("Nats-Stream-Source").map(async_nats::HeaderValue::as_str)
    }

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

/// How one answer ended.
enum Page {
    /// With this message; more may stand behind it.
    Until(u64),
    /// There is nothing.
    Nothing,
    /// `each` had enough.
    Enough,
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
        let bounds = Bounds { messages: BATCH, bytes: BATCH_BYTES };
        match page(client, stream, subject, from, bounds, &mut each).await? {
            Page::Until(sequence) => from = sequence.saturating_add(1),
            Page::Nothing | Page::Enough => return Ok(()),
        }
    }
}

/// How much one answer may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    /// There is one message in an answer, however large it is.
    pub(crate) bytes: u64,
}

/// Calls `each` with the messages of one answer: those under `subject` from `from` on, within `bounds`.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_some(
    client: &async_nats::Client,
    stream: &str,
    subject: &str,
    from: u64,
    bounds: Bounds,
    mut each: impl FnMut(Found<'_>),
) -> Result<(), String> {
    let each = |found: Found<'_>| {
        each(found);
        ControlFlow::Continue(())
    };
    page(client, stream, subject, from, bounds, each).await.map(drop)
}

async fn page(
    client: &async_nats::Client,
    stream: &str,
    subject: &str,
    from: u64,
    bounds: Bounds,
    mut each: impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<Page, String> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|e| e.to_string())?;
    let Bounds { messages, bytes } = bounds;
    let request =
        serde_json::json!({ "batch": messages, "max_bytes": bytes, "next_by_subj": subject, "seq": from });
    client
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.to_string().into())
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
                let found = found(&message)?;
                last = Some(found.sequence);
                if each(found).is_break() {
                    return Ok(Page::Enough);
                }
            }
            // 204 ends an answer, which can be short of a batch where its bytes are many; 404 says that there was
            // nothing to answer with.
            Some(204) => return Ok(last.map_or(Page::Nothing, Page::Until)),
            Some(404) => return Ok(Page::Nothing),
            Some(status) => {
                let text = message.description.as_deref().unwrap_or_default();
                return Err(format!("the server answered {status} {text}"));
            }
        }
    }
}

fn found(message: &async_nats::Message) -> Result<Found<'_>, &'static str> {
    let headers = message.headers.as_ref().ok_or("an answer without headers")?;
    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    let sequence = header("Nats-Sequence")
        .and_then(|value| value.parse::<u64>().ok())
        .ok_or("an answer without its sequence")?;
    let subject = header("Nats-Subject").ok_or("an answer without its subject")?;
    Ok(Found { sequence, subject, key: header("Nats-Msg-Id"), payload: &message.payload, headers })
}
