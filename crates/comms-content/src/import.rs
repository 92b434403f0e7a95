//! [`Importer`]: the bytes of a file in, the blocks of its tree out.
//!
//! The tree is that of the profile `unixfs-v1-2025`: raw leaves of [`CHUNK_BYTES`], nodes of [`WIDTH`] links, all leaves at the same
//! depth; a file of one leaf is that leaf. So the CID is the one that any other implementation of
//! the profile computes. Directories are not part of this.

use bytes::{Bytes, BytesMut};

use crate::limits::{CHUNK_BYTES, WIDTH};
use crate::unixfs::{self, Part};
use crate::{Block, Cid, DAG_PB, RAW};

/// A file as it was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// The root of the tree.
    pub cid: Cid,
    /// Bytes of the file.
    pub size: u64,
    /// Blocks of the tree; one that occurs twice counts twice.
    pub blocks: u64,
    /// Bytes of all those blocks together.
    pub dag_bytes: u64,
}

/// Cuts and names a file while it arrives.
///
/// Blocks come out as soon as they are complete, children before parents, the root last. Held back are at most one
/// unfinished leaf, and of each level of the tree the names of up to [`WIDTH`] parts: memory is in proportion to
/// depth times width, whatever the size of the file.
#[derive(Debug)]
pub struct Importer {
    chunk_bytes: usize,
    /// The beginning of the next leaf.
    rest: BytesMut,
    tree: Tree,
}

impl Default for Importer {
    fn default() -> Self {
        Self::new()
    }
}

impl Importer {
    /// Begins a file.
    pub fn new() -> Self {
        Self::sized(CHUNK_BYTES, WIDTH)
    }

    /// The same tree with other measures, so that tests reach its thresholds with few bytes.
    pub(crate) fn sized(chunk_bytes: usize, width: usize) -> Self {
        Self { chunk_bytes, rest: BytesMut::new(), tree: Tree { width, levels: Vec::new(), blocks: 0 } }
    }

    /// Takes the next bytes of the file, and appends the blocks that are complete by now.
    ///
    /// A leaf that lies within `data` is not copied, and keeps it alive. All leaves of one call are hashed together, so
    /// that many megabytes at a time are better than one.
    pub fn push(&mut self, mut data: Bytes, out: &mut Vec<Block>) {
        let mut leaves = Vec::with_capacity((self.rest.len() + data.len()) / self.chunk_bytes);
        if !self.rest.is_empty() {
            let missing = self.chunk_bytes - self.rest.len();
            self.rest.extend_from_slice(&data.split_to(missing.min(data.len())));
            if self.rest.len() == self.chunk_bytes {
                leaves.push(self.rest.split().freeze());
            }
        }
        while data.len() >= self.chunk_bytes {
            leaves.push(data.split_to(self.chunk_bytes));
        }
        self.rest.extend_from_slice(&data);
        self.tree.leaves(leaves, out);
    }

    /// Ends the file, and appends the remaining blocks, the root last.
    pub fn finish(mut self, out: &mut Vec<Block>) -> File {
        // Of an empty file the one leaf is empty.
        if !self.rest.is_empty() || self.tree.levels.is_empty() {
            self.tree.leaves(vec![self.rest.freeze()], out);
        }
        let root = self.tree.close(out);
        File { cid: root.cid, size: root.bytes, blocks: self.tree.blocks, dag_bytes: root.tree_bytes }
    }
}

/// The right edge of a balanced tree: on each level the parts that have no parent yet.
///
/// A level is made when its first part comes, and emptied into a node only when another part comes after the last
/// that fits; so there is always something on each level.
#[derive(Debug)]
struct Tree {
    width: usize,
    levels: Vec<Vec<Part>>,
    blocks: u64,
}

impl Tree {
    fn leaves(&mut self, leaves: Vec<Bytes>, out: &mut Vec<Block>) {
        for leaf in leaves {
            let bytes = leaf.len() as u64;
            let block = Block::new(RAW, leaf).expect("a leaf is smaller than a block may be");
            self.add(0, Part { cid: *block.cid(), bytes, tree_bytes: bytes }, block, out);
        }
    }

    /// Puts out the block of a part, and the part onto its level.
    fn add(&mut self, level: usize, part: Part, block: Block, out: &mut Vec<Block>) {
        self.blocks += 1;
        out.push(block);
        if level == self.levels.len() {
            self.levels.push(Vec::new());
        } else if self.levels[level].len() == self.width {
            self.raise(level, out);
        }
        self.levels[level].push(part);
    }

    /// Empties a level into a node on the level above.
    fn raise(&mut self, level: usize, out: &mut Vec<Block>) {
        let (node, bytes) = unixfs::write(&self.levels[level]);
        let below: u64 = self.levels[level].iter().map(|part| part.tree_bytes).sum();
        self.levels[level].clear();
        let tree_bytes = below + node.len() as u64;
        let block =
            Block::new(DAG_PB, node.into()).expect("a node of so many links is smaller than a block may be");
        self.add(level + 1, Part { cid: *block.cid(), bytes, tree_bytes }, block, out);
    }

    /// Raises everything to one root.
    fn close(&mut self, out: &mut Vec<Block>) -> Part {
        let mut level = 0;
        loop {
            if let ([root], true) = (self.levels[level].as_slice(), level + 1 == self.levels.len()) {
                return *root;
            }
            self.raise(level, out);
            level += 1;
        }
    }
}

#[cfg(test)]
mod tests;
