//! [`Exporter`]: the blocks of a file's tree in, its bytes out.
//!
//! Reads what the importer here makes, and every other file of IPFS. The tree may come from a stranger: that blocks are what their
//! CIDs say is certain (a [`Block`] is no other way), all else is checked here. No cycle is possible among
//! hashes, and no part has zero bytes, so every block that is asked for leads to bytes; depth and width are bounded; and no
//! byte is handed on from a block whose size is not the one that the node above it told.

use std::ops::Range;

use bytes::Bytes;

use crate::limits::{FILE_DEPTH_MAX, FILE_LINKS_MAX};
use crate::unixfs::{FileNode, Problem};
use crate::{Block, Cid, DAG_PB, Error, RAW, Result};

/// What an exporter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Give the block of this CID.
    Want(Cid),
    /// The next bytes of the file.
    Bytes(Bytes),
    /// There is no more.
    Done,
}

/// Reads a file, or a range of it, in order.
///
/// Ask with [`Exporter::step`]; when it wants a block, [`Exporter::give`] it and ask again. Parts outside of the range
/// are not asked for, so what they are is not checked either.
#[derive(Debug)]
pub struct Exporter {
    range: Range<u64>,
    /// Parts that are still to come, the next one last.
    parts: Vec<Pending>,
    /// The part whose block has been asked for.
    wanted: Option<Pending>,
    /// Bytes to hand on, before anything else.
    ready: Option<Bytes>,
    /// Bytes of the file before the next part.
    position: u64,
    size: Option<u64>,
    failed: Option<Error>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    cid: Cid,
    /// What the node above says; nothing is above the root.
    bytes: Option<u64>,
    depth: usize,
}

impl Exporter {
    /// Begins to read. Of a range only that is read which the file has.
    pub fn new(root: Cid, range: Option<Range<u64>>) -> Self {
        Self {
            range: range.unwrap_or(0..u64::MAX),
            parts: vec![Pending { cid: root, bytes: None, depth: 0 }],
            wanted: None,
            ready: None,
            position: 0,
            size: None,
            failed: None,
        }
    }

    /// Bytes of the whole file, whatever the range. Known once the root has been given.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// What is next: bytes, a block that is needed for them, or nothing.
    ///
    /// # Errors
    /// [`Error::File`] if the tree is not that of a file; for ever then.
    pub fn step(&mut self) -> Result<Step> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.advance();
        if let Err(error) = &step {
            self.failed = Some(error.clone());
        }
        step
    }

    /// Gives the block that was wanted.
    ///
    /// # Errors
    /// [`Error::Unwanted`] for another block, which changes nothing; [`Error::File`] as for [`Exporter::step`].
    pub fn give(&mut self, block: Block) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(part) = self.wanted.take_if(|wanted| wanted.cid == *block.cid()) else {
            return Err(Error::Unwanted { cid: *block.cid() });
        };
        self.open(part, block.data()).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn advance(&mut self) -> Result<Step> {
        loop {
            if let Some(bytes) = self.ready.take() {
                return Ok(Step::Bytes(bytes));
            }
            if let Some(wanted) = &self.wanted {
                return Ok(Step::Want(wanted.cid));
            }
            // The root is read in any case: whether there is a file, and how long it is.
            if self.size.is_some() && (self.range.is_empty() || self.position >= self.range.end) {
                return Ok(Step::Done);
            }
            let Some(part) = self.parts.pop() else { return Ok(Step::Done) };
            match part.bytes {
                Some(bytes) if self.position + bytes <= self.range.start => self.position += bytes,
                _ if !matches!(part.cid.codec(), RAW | DAG_PB) => {
                    return Err(Error::File { cid: part.cid, problem: Problem::NotAFile });
                }
                _ => match part.cid.inline() {
                    Some(data) => self.open(part, &Bytes::copy_from_slice(data))?,
                    None => self.wanted = Some(part),
                },
            }
        }
    }

    fn open(&mut self, part: Pending, block: &Bytes) -> Result<()> {
        let problem = |problem| Err(Error::File { cid: part.cid, problem });
        let node = FileNode::read(&part.cid, block)?;
        if part.bytes.is_some_and(|bytes| bytes != node.bytes) {
            return problem(Problem::Sizes);
        }
        if part.depth == FILE_DEPTH_MAX && !node.parts.is_empty() {
            return problem(Problem::Depth);
        }
        if self.parts.len() + node.parts.len() > FILE_LINKS_MAX {
            return problem(Problem::Width);
        }
        self.size.get_or_insert(node.bytes);
        self.hand_on(node.data);
        let below = node.parts.into_iter().rev();
        self.parts.extend(below.map(|(cid, bytes)| Pending {
            cid,
            bytes: Some(bytes),
            depth: part.depth + 1,
        }));
        Ok(())
    }

    /// Keeps ready those of the next bytes of the file that are in the range.
    fn hand_on(&mut self, data: Bytes) {
        let length = data.len() as u64;
        // Both ends are at most the length of a block, which is an index.
        let start = self.range.start.saturating_sub(self.position).min(length) as usize;
        let end = self.range.end.saturating_sub(self.position).min(length) as usize;
        if start < end {
            self.ready = Some(data.slice(start..end));
        }
        self.position += length;
    }
}

#[cfg(test)]
mod tests;
