//! Reads a stream from its start by direct gets, a thousand messages an answer. A work queue can be read no other way
//! without taking its messages, since its consumers are its handlers.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::Error;

/// Messages in one answer; the server's limit for a batched direct get is 1,024.
const BATCH: usize = 1_000;
/// How long one message of an answer may take to come.
const NEXT_WAIT: Duration = Duration::from_secs(10);

/// Calls `each` with sequence and payload of every message of `stream` that stands there now, in order.
pub(crate) async fn read_all(
    client: &async_nats::Client,
    stream: &str,
    mut each: impl FnMut(u64, &Bytes),
) -> Result<(), Error> {
    let failed = |reason: String| Error::Recovery { what: stream.to_owned(), reason };
    let mut from = 1;
    loop {
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|e| failed(e.to_string()))?;
        let request = serde_json::json!({ "seq": from, "batch": BATCH, "next_by_subj": ">" }).to_string();
        client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.into())
            .await
            .map_err(|e| failed(e.to_string()))?;
        let mut received = 0;
        loop {
            let message = tokio::time::timeout(NEXT_WAIT, answers.next())
                .await
                .map_err(|_| failed(format!("no answer for {} s", NEXT_WAIT.as_secs())))?
                .ok_or_else(|| failed("the connection closed".to_owned()))?;
            match message.status.map(|status| status.as_u16()) {
                None => {
                    let sequence = message
                        .headers
                        .as_ref()
                        .and_then(|headers| headers.get("Nats-Sequence"))
                        .and_then(|value| value.as_str().parse::<u64>().ok())
                        .ok_or_else(|| failed("an answer without its sequence".to_owned()))?;
                    each(sequence, &message.payload);
                    from = sequence + 1;
                    received += 1;
                }
                // 204 ends an answer, 404 says there was nothing to answer with.
                Some(204) => break,
                Some(404) => return Ok(()),
                Some(status) => {
                    let text = message.description.as_deref().unwrap_or_default();
                    return Err(failed(format!("the server answered {status} {text}")));
                }
            }
        }
        if received < BATCH {
            return Ok(());
        }
    }
}
