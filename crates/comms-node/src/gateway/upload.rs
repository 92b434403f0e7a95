//! The body of a request as bytes that come in time and do not exceed a bound.
//!
//! Nothing is read before it is asked for: when the disk is slow the socket fills, and the client waits.

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout};

use super::error::{Error, Result};
use super::limits::BROUGHT_PACE;
use super::progress::Progress;

struct State {
    body: BodyDataStream,
    bytes: u64,
    max: u64,
    progress: Progress,
}

/// The bytes of the body, in the pieces they arrive in.
///
/// A body that says at once that it is too large is refused at once. One that ends before its declared length,
/// or is cut, ends with [`Error::BrokenOff`]; one that comes slower than [`BROUGHT_PACE`] with [`Error::Stalled`].
pub(super) fn pieces(
    headers: &HeaderMap,
    body: Body,
    max: u64,
) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > max) {
        return Err(Error::TooLarge { max });
    }
    let state = State { body: body.into_data_stream(), bytes: 0, max, progress: Progress::new(BROUGHT_PACE) };
    Ok(stream::try_unfold(state, |mut state| async move {
        let begun = Instant::now();
        let piece = timeout(state.progress.left(), state.body.next()).await.map_err(|_| Error::Stalled)?;
        let Some(piece) = piece else { return Ok(None) };
        let piece = piece.map_err(|_| Error::BrokenOff)?;
        state.progress.came(piece.len() as u64, begun.elapsed());
        state.bytes += piece.len() as u64;
        if state.bytes > state.max {
            return Err(Error::TooLarge { max: state.max });
        }
        Ok(Some((piece, state)))
    }))
}

/// The whole body at once, for what is bounded and small.
pub(super) async fn whole(headers: &HeaderMap, body: Body, max: u64) -> Result<Bytes> {
    let whole = pieces(headers, body, max)?
        .try_fold(BytesMut::new(), |mut whole, piece| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        })
        .await?;
    Ok(whole.freeze())
}
