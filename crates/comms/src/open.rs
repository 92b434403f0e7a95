//! Content that a message carries, opened: bytes that are here, or a verified stream of those that are not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use crate::content::Reader;
use crate::error::{Error, ErrorKind, Result};

/// The bytes of a field that may be large, in order, as an `AsyncRead`.
#[derive(Debug)]
pub struct Opened(Where);

#[derive(Debug)]
enum Where {
    Here(Bytes),
    There(Box<Reader>),
}

impl Opened {
    pub(crate) fn here(bytes: Bytes) -> Self {
        Self(Where::Here(bytes))
    }

    pub(crate) fn there(reader: Reader) -> Self {
        Self(Where::There(Box::new(reader)))
    }

    /// All bytes from here on, if they are at most `max`.
    pub async fn into_bytes(self, max: usize) -> Result<Bytes> {
        match self.0 {
            Where::Here(bytes) if bytes.len() <= max => Ok(bytes),
            Where::Here(bytes) => {
                let message = format!("the content has {} bytes; at most {max} were wanted", bytes.len());
                Err(Error::new(ErrorKind::TooLarge, message))
            }
            Where::There(reader) => reader.into_bytes(max).await,
        }
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Where::Here(bytes) => {
                let count = bytes.len().min(out.remaining());
                out.put_slice(&bytes[..count]);
                bytes.advance(count);
                Poll::Ready(Ok(()))
            }
            Where::There(reader) => Pin::new(&mut **reader).poll_read(cx, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn bytes_that_are_here_are_read_in_any_pieces() {
        let mut opened = Opened::here(Bytes::from_static(b"0123456789"));
        let mut first = [0; 3];
        opened.read_exact(&mut first).await.expect("read");
        let mut rest = Vec::new();
        opened.read_to_end(&mut rest).await.expect("read");
        assert_eq!((&first[..], &rest[..]), (&b"012"[..], &b"3456789"[..]));
    }

    #[tokio::test]
    async fn no_more_than_wanted() {
        let opened = Opened::here(Bytes::from_static(b"0123456789"));
        assert_eq!(opened.into_bytes(9).await.expect_err("ten").kind(), ErrorKind::TooLarge);
    }
}
