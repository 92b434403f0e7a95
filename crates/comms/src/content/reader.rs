//! [`Reader`]: the bytes of a content while they arrive, every one of them verified.
//!
//! A task behind it takes from the connection and verifies a little ahead of who reads, and no more: when
//! nobody reads, the connection fills and the node waits. It ends with the reader.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::http;
use super::verifier::Verifier;
use crate::error::{Error, ErrorKind, Result};

/// Bytes collected before they are handed to a thread that hashes: one block, some milliseconds of work.
const BATCH_BYTES: usize = 1024 * 1024;
/// Pieces collected before they are handed over, however small.
const BATCH_PIECES: usize = 1024;
/// Verified pieces that wait for who reads: a piece is at most one block.
const PIECES_WAITING_MAX: usize = 2;
/// How long the node may send nothing. It reads a block from its disk meanwhile, and no more.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The bytes of a content. Ends with an error where the content is damaged, missing or cut; what was read until
/// then is right.
pub struct Reader {
    pieces: mpsc::Receiver<Result<Piece>>,
    current: Bytes,
    ended: bool,
    _task: Option<AbortOnDropHandle<()>>,
}

enum Piece {
    Bytes(Bytes),
    End,
}

impl Reader {
    /// The bytes that a response proves.
    pub(super) fn verified(response: reqwest::Response, verifier: Verifier) -> Self {
        let (outlet, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let task = tokio::spawn(async move {
            let end = verify(response, verifier, &outlet).await.map(|()| Piece::End);
            // Who stopped reading wants no end either.
            let _ = outlet.send(end).await;
        });
        Self { pieces, current: Bytes::new(), ended: false, _task: Some(AbortOnDropHandle::new(task)) }
    }

    /// The next bytes; none after the last.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for bytes that are not those of the CID, [`ErrorKind::Unavailable`] if the node
    /// broke off, [`ErrorKind::Timeout`] if it sent nothing for half a minute.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All bytes from here on, if they are at most `max`.
    ///
    /// # Errors
    /// As [`Reader::next`], and [`ErrorKind::TooLarge`].
    pub async fn into_bytes(mut self, max: usize) -> Result<Bytes> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return within(first, max) };
        let mut all = BytesMut::with_capacity((first.len() + second.len()).min(max));
        let mut piece = Some(first);
        let mut then = Some(second);
        while let Some(bytes) = piece {
            if all.len() + bytes.len() > max {
                return Err(too_large(max));
            }
            all.extend_from_slice(&bytes);
            piece = match then.take() {
                Some(bytes) => Some(bytes),
                None => self.next().await?,
            };
        }
        Ok(all.freeze())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if !self.current.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.current))));
        }
        while !self.ended {
            match ready!(self.pieces.poll_recv(cx)) {
                Some(Ok(Piece::Bytes(bytes))) if bytes.is_empty() => {}
                Some(Ok(Piece::Bytes(bytes))) => return Poll::Ready(Ok(Some(bytes))),
                Some(Ok(Piece::End)) => self.ended = true,
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Err(error));
                }
                None => {
                    self.ended = true;
                    let message = "the task that reads content ended early";
                    return Poll::Ready(Err(Error::new(ErrorKind::Internal, message)));
                }
            }
        }
        Poll::Ready(Ok(None))
    }
}

/// Bytes that are here already.
impl From<Bytes> for Reader {
    fn from(bytes: Bytes) -> Self {
        let (_, pieces) = mpsc::channel(1);
        Self { pieces, current: bytes, ended: true, _task: None }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.current.is_empty() {
            match ready!(self.poll_next(cx)) {
                Ok(Some(bytes)) => self.current = bytes,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let length = self.current.len().min(into.remaining());
        into.put_slice(&self.current[..length]);
        self.current.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Moves the response through the verifier into the outlet.
async fn verify(
    mut response: reqwest::Response,
    mut verifier: Verifier,
    outlet: &mpsc::Sender<Result<Piece>>,
) -> Result<()> {
    loop {
        let (batch, last) = collect(&mut response).await?;
        let work = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let fed = batch.into_iter().try_for_each(|data| verifier.feed(data, &mut out));
            (verifier, out, fed)
        });
        let (rest, out, fed) = work.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "content could not be verified").because(error)
        })?;
        verifier = rest;
        // What was proved before something went wrong is right, and is handed on.
        for bytes in out {
            if outlet.send(Ok(Piece::Bytes(bytes))).await.is_err() {
                return Ok(());
            }
        }
        fed?;
        if last {
            return verifier.finish();
        }
    }
}

/// Takes from the response until there is work enough for a thread; whether that was the last of it.
async fn collect(response: &mut reqwest::Response) -> Result<(Vec<Bytes>, bool)> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES && batch.len() < BATCH_PIECES {
        let chunk = tokio::time::timeout(SILENCE_MAX, response.chunk()).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, format!("the node sent nothing for {} s", SILENCE_MAX.as_secs()))
        })?;
        match chunk {
            Ok(Some(piece)) => {
                bytes += piece.len();
                batch.push(piece);
            }
            Ok(None) => return Ok((batch, true)),
            // What came before the break may hold whole blocks; the verifier then says that the end is missing.
            Err(_) if !batch.is_empty() => return Ok((batch, true)),
            Err(error) => return Err(http::broken(error)),
        }
    }
    Ok((batch, false))
}

fn within(bytes: Bytes, max: usize) -> Result<Bytes> {
    if bytes.len() <= max { Ok(bytes) } else { Err(too_large(max)) }
}

fn too_large(max: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("the content has more than the {max} bytes asked for: read it as a stream"),
    )
}

fn io_error(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::Malformed => io::ErrorKind::InvalidData,
        ErrorKind::NotFound => io::ErrorKind::NotFound,
        ErrorKind::Timeout => io::ErrorKind::TimedOut,
        ErrorKind::Unavailable => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
