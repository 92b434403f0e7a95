//! CAR, version 1: blocks one after the other in a stream, each after its CID.
//!
//! Whoever writes one sends [`write_header`] and then [`write_block`] for each block; whoever reads one pushes what
//! arrives into a [`Reader`] and takes out what is complete. A stream that ends early looks complete to everyone but the reader's
//! [`Reader::finish`] and whoever follows the links from the root.

use bytes::{Bytes, BytesMut};
use unsigned_varint::{decode, encode};

use crate::cbor::{self, Writer};
use crate::limits::{BLOCK_BYTES_MAX, CAR_HEADER_BYTES_MAX, CID_BYTES_MAX};
use crate::{Block, Cid, Error, Result};

/// Why bytes are not a CAR, version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The stream ends within the header or a section.
    #[error("it ends too early")]
    Truncated,
    /// A length that is not a varint, or is zero.
    #[error("not the length of a section")]
    Length,
    /// A header that is not the map that it should be.
    #[error("not a header")]
    Header,
    /// Another version of the format.
    #[error("not version 1")]
    Version,
    /// A section that does not begin with a CID.
    #[error("a section without a CID")]
    Cid,
}

const VERSION: u64 = 1;
const KEY_ROOTS: &str = "roots";
const KEY_VERSION: &str = "version";

/// The header of a CAR with this one root.
pub fn write_header(root: &Cid) -> Vec<u8> {
    let mut header = Vec::with_capacity(64);
    let mut writer = Writer::new(&mut header);
    writer.map(2);
    writer.text(KEY_ROOTS);
    writer.array(1);
    writer.link(root);
    writer.text(KEY_VERSION);
    writer.unsigned(VERSION);
    let mut car = Vec::with_capacity(header.len() + 2);
    write_length(&mut car, header.len());
    car.extend_from_slice(&header);
    car
}

/// A block in a CAR: what stands before its bytes, and its bytes.
pub fn write_block(block: &Block) -> (Vec<u8>, Bytes) {
    let cid = block.cid();
    let mut before = Vec::with_capacity(4 + cid.encoded_len());
    write_length(&mut before, cid.encoded_len() + block.data().len());
    cid.write(&mut before);
    (before, block.data().clone())
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(encode::usize(length, &mut encode::usize_buffer()));
}

/// What a reader finds: the header first, then blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The roots. Nothing says that they come, or come first.
    Header(Vec<Cid>),
    /// A block. That its bytes are those of its CID has been verified; that it belongs to a root has not.
    Block(Block),
}

/// Reads a CAR while it arrives.
///
/// Holds what has been pushed and not yet been taken out. After an error there is only that error.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// Bytes of the stream before the buffer.
    at: u64,
    header_read: bool,
    failed: Option<Error>,
}

impl Reader {
    /// Begins a CAR.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream. Take out what is complete before pushing more: nothing else bounds what is held.
    pub fn push(&mut self, data: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if self.buffer.is_empty() {
            match data.try_into_mut() {
                Ok(data) => self.buffer = data,
                Err(data) => self.buffer.extend_from_slice(&data),
            }
        } else {
            self.buffer.extend_from_slice(&data);
        }
    }

    /// The next thing that is complete; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::Car`], [`Error::TooLarge`], and those of [`Block::verified`]; for ever then.
    pub fn event(&mut self) -> Option<Result<Event>> {
        if let Some(error) = &self.failed {
            return Some(Err(error.clone()));
        }
        let event = self.read().transpose()?;
        if let Err(error) = &event {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        Some(event)
    }

    /// Ends the stream. Everything complete must have been taken out.
    ///
    /// # Errors
    /// [`Error::Car`] if the stream ended within the header or a section, and the error that reading ended with.
    pub fn finish(self) -> Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None if self.header_read && self.buffer.is_empty() => Ok(()),
            None => Err(Error::Car { at: self.at, problem: Problem::Truncated }),
        }
    }

    fn read(&mut self) -> Result<Option<Event>> {
        let (what, max) = if self.header_read {
            ("bytes in a section of a CAR", BLOCK_BYTES_MAX + CID_BYTES_MAX)
        } else {
            ("bytes in the header of a CAR", CAR_HEADER_BYTES_MAX)
        };
        let at = self.at;
        let error = |problem| Error::Car { at, problem };
        let (length, prefix) = match decode::u64(&self.buffer) {
            Ok((0, _)) => return Err(error(Problem::Length)),
            Ok((length, rest)) => (length, self.buffer.len() - rest.len()),
            Err(decode::Error::Insufficient) => return Ok(None),
            Err(_) => return Err(error(Problem::Length)),
        };
        let length = match usize::try_from(length) {
            Ok(length) if length <= max => length,
            _ => return Err(Error::TooLarge { what, amount: length, max: max as u64 }),
        };
        if self.buffer.len() - prefix < length {
            return Ok(None);
        }
        let mut section = self.buffer.split_to(prefix + length).freeze().split_off(prefix);
        self.at += (prefix + length) as u64;
        if !self.header_read {
            self.header_read = true;
            return read_header(&section).map(|roots| Some(Event::Header(roots))).map_err(error);
        }
        let (cid, cid_bytes) = Cid::read(&section).map_err(|_| error(Problem::Cid))?;
        let data = section.split_off(cid_bytes);
        Block::verified(cid, data).map(|block| Some(Event::Block(block)))
    }
}

fn read_header(header: &[u8]) -> Result<Vec<Cid>, Problem> {
    let (roots, version) = read_header_map(header).map_err(|_| Problem::Header)?;
    match (roots, version) {
        (_, Some(version)) if version != VERSION => Err(Problem::Version),
        (Some(roots), Some(_)) => Ok(roots),
        _ => Err(Problem::Header),
    }
}

/// What the header says of roots and version, if it is a map that says nothing else.
fn read_header_map(header: &[u8]) -> Result<(Option<Vec<Cid>>, Option<u64>)> {
    let mut reader = cbor::Reader::new(header);
    let (mut roots, mut version) = (None, None);
    let mut map = reader.map()?;
    while let Some(key) = reader.key(&mut map)? {
        match key {
            KEY_ROOTS => {
                let list = (0..reader.array()?).map(|_| reader.link());
                roots = Some(list.collect::<Result<Vec<_>>>()?);
            }
            KEY_VERSION => version = Some(reader.unsigned()?),
            _ => return Err(Error::Car { at: 0, problem: Problem::Header }),
        }
    }
    reader.finish()?;
    Ok((roots, version))
}

#[cfg(test)]
mod tests;
