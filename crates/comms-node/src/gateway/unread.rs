//! What a refused request still brings is read and thrown away before the refusal is sent.
//!
//! A connection that is closed with bytes unread is reset, and the reset overtakes the answer: the client would hear
//! of a broken connection and not why (RFC 9112, section 9.6). Bounded: who goes on longer is cut off.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::stream::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

use super::limits::{UNREAD_BYTES_MAX, UNREAD_PAUSE_MAX, UNREAD_WAIT_MAX};

/// The body of a request, which a handler may drop and this module still reads.
#[derive(Clone)]
struct Shared(Arc<Mutex<Unread>>);

struct Unread {
    body: BodyDataStream,
    is_begun: bool,
}

impl Stream for Shared {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unread.is_begun = true;
        unread.body.poll_next_unpin(cx)
    }
}

/// Answers when the request was read, or nobody can be expected to read more of it.
pub(super) async fn discard(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let waits_for_word = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let body = Shared(Arc::new(Mutex::new(Unread { body: body.into_data_stream(), is_begun: false })));
    let response = next.run(Request::from_parts(parts, Body::from_stream(body.clone()))).await;
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    // Who waits for the word to go on (`Expect: 100-continue`) has sent nothing, and would by the first read.
    let is_begun = body.0.lock().unwrap_or_else(PoisonError::into_inner).is_begun;
    if is_refused && (is_begun || !waits_for_word) {
        read_away(body).await;
    }
    response
}

async fn read_away(mut body: Shared) {
    let (end, mut bytes) = (Instant::now() + UNREAD_WAIT_MAX, 0);
    while bytes < UNREAD_BYTES_MAX {
        let pause = UNREAD_PAUSE_MAX.min(end.saturating_duration_since(Instant::now()));
        match timeout(pause, body.next()).await {
            Ok(Some(Ok(piece))) if pause > Duration::ZERO => bytes += piece.len() as u64,
            _ => return,
        }
    }
}
