//! [`Source`]: where the bytes of a put come from.

use std::fmt;
use std::io;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

/// Bytes taken from a reader at once: large enough that a system call costs nothing beside it.
const READ_BYTES: usize = 256 * 1024;
/// Bytes in memory are handed over in pieces of this size, so that progress can be seen.
const PIECE_BYTES: usize = 1024 * 1024;

/// The bytes to put: all of them, a reader, or a stream.
pub struct Source {
    pub(super) bytes: Option<u64>,
    pub(super) pieces: BoxStream<'static, io::Result<Bytes>>,
}

impl Source {
    /// What a reader gives until its end.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::stream(ReaderStream::with_capacity(reader, READ_BYTES))
    }

    /// What a stream gives until its end. An error in it ends the put, of which nothing remains.
    pub fn stream(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self { bytes: None, pieces: pieces.boxed() }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        let pieces = stream::unfold(bytes, |mut rest| async move {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            (!piece.is_empty()).then_some((Ok(piece), rest))
        });
        Self { bytes: Some(length), pieces: pieces.boxed() }
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Source {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<tokio::fs::File> for Source {
    fn from(file: tokio::fs::File) -> Self {
        Self::reader(file)
    }
}
