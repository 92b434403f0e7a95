//! UnixFS: what the inner nodes of a file say about it, in the data of a DAG-PB node.
//!
//! Written is only what the profile needs: file nodes without bytes of their own. Read is every file that an IPFS
//! implementation makes, with bytes in its leaves or in any node, but nothing else: directories, symbolic links and shards are
//! recognised and refused.

use bytes::Bytes;

use crate::dagpb::{self, Fields};
use crate::limits::FILE_LINKS_MAX;
use crate::{Cid, DAG_PB, Error, Result};

/// Why a block is not a sound part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not DAG-PB, in the strict sense of its specification.
    #[error("not canonical DAG-PB: {0}")]
    DagPb(&'static str),
    /// The data of the node is not that of UnixFS.
    #[error("not UnixFS: {0}")]
    UnixFs(&'static str),
    /// A directory, a symbolic link or metadata; or a codec that no file has.
    #[error("not a file")]
    NotAFile,
    /// It contradicts itself or the node above it about how many bytes there are.
    #[error("sizes that do not agree")]
    Sizes,
    /// A link with a name, or to no bytes at all.
    #[error("a link that no file has")]
    Link,
    /// Deeper than [`FILE_DEPTH_MAX`](crate::limits::FILE_DEPTH_MAX).
    #[error("the tree is too deep")]
    Depth,
    /// More links at one time than [`FILE_LINKS_MAX`].
    #[error("the tree is too wide")]
    Width,
}

/// First bytes of fields: number and wire type.
const TYPE: u64 = 0x08;
const DATA: u64 = 0x12;
const FILE_SIZE: u64 = 0x18;
const BLOCK_SIZE: u64 = 0x20;
const BLOCK_SIZES_PACKED: u64 = 0x22;
const MODE: u64 = 0x38;
const MTIME: u64 = 0x42;

const TYPE_RAW: u64 = 0;
const TYPE_FILE: u64 = 2;
/// The last type that there is: a shard of a directory.
const TYPE_LAST: u64 = 5;

/// A part of a file, below which is a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) cid: Cid,
    /// Bytes of the file in it.
    pub(crate) bytes: u64,
    /// Bytes of all blocks of its tree.
    pub(crate) tree_bytes: u64,
}

/// Encodes the inner node of a file over these parts; says also how many bytes of the file it holds.
pub(crate) fn write(parts: &[Part]) -> (Vec<u8>, u64) {
    let bytes = parts.iter().map(|part| part.bytes).sum();
    let mut data = Vec::with_capacity(8 + parts.len() * 5);
    for (key, value) in [(TYPE, TYPE_FILE), (FILE_SIZE, bytes)] {
        dagpb::write_varint(&mut data, key);
        dagpb::write_varint(&mut data, value);
    }
    let mut node = Vec::with_capacity(8 + parts.len() * 56);
    for part in parts {
        dagpb::write_link(&mut node, &part.cid, part.tree_bytes);
        dagpb::write_varint(&mut data, BLOCK_SIZE);
        dagpb::write_varint(&mut data, part.bytes);
    }
    dagpb::write_data(&mut node, &data);
    (node, bytes)
}

/// A node of a file as it stands in a block: some bytes, then some parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileNode {
    pub(crate) data: Bytes,
    pub(crate) parts: Vec<(Cid, u64)>,
    /// Bytes of the file below this node: those of `data` and of all parts.
    pub(crate) bytes: u64,
}

impl FileNode {
    /// Reads a block of a file.
    ///
    /// # Errors
    /// [`Error::File`] if it is none, or does not agree with itself.
    pub(crate) fn read(cid: &Cid, block: &Bytes) -> Result<Self> {
        read(cid, block).map_err(|problem| Error::File { cid: *cid, problem })
    }
}

fn read(cid: &Cid, block: &Bytes) -> Result<FileNode, Problem> {
    if cid.codec() == crate::RAW {
        return Ok(FileNode { data: block.clone(), parts: Vec::new(), bytes: block.len() as u64 });
    }
    if cid.codec() != DAG_PB {
        return Err(Problem::NotAFile);
    }
    let node = dagpb::read(block)?;
    let data = read_data(node.data.ok_or(Problem::UnixFs("no data"))?)?;
    if data.sizes.len() != node.links.len() {
        return Err(Problem::Sizes);
    }
    let mut bytes = data.bytes.len() as u64;
    let mut parts = Vec::with_capacity(node.links.len());
    for (link, size) in node.links.iter().zip(data.sizes) {
        // A part of no bytes would make work without end possible: trees of them cost nothing to name.
        if !link.name.is_empty() || size == 0 {
            return Err(Problem::Link);
        }
        bytes = bytes.checked_add(size).ok_or(Problem::Sizes)?;
        parts.push((link.cid, size));
    }
    if data.file_size.is_some_and(|size| size != bytes) {
        return Err(Problem::Sizes);
    }
    Ok(FileNode { data: block.slice_ref(data.bytes), parts, bytes })
}

struct Data<'a> {
    bytes: &'a [u8],
    file_size: Option<u64>,
    sizes: Vec<u64>,
}

fn read_data(data: &[u8]) -> Result<Data<'_>, Problem> {
    let mut fields = Fields(data);
    if fields.key()? != Some(TYPE) {
        return Err(Problem::UnixFs("no type"));
    }
    match fields.varint()? {
        TYPE_RAW | TYPE_FILE => {}
        0..=TYPE_LAST => return Err(Problem::NotAFile),
        _ => return Err(Problem::UnixFs("unknown type")),
    }
    let (mut bytes, mut file_size, mut sizes) = (None, None, Vec::new());
    while let Some(key) = fields.key()? {
        match key {
            DATA if bytes.is_none() => bytes = Some(fields.bytes()?),
            FILE_SIZE if file_size.is_none() => file_size = Some(fields.varint()?),
            BLOCK_SIZE => push_size(&mut sizes, fields.varint()?)?,
            // Protobuf readers have to accept repeated numbers in both forms.
            BLOCK_SIZES_PACKED => {
                let mut packed = Fields(fields.bytes()?);
                while !packed.0.is_empty() {
                    push_size(&mut sizes, packed.varint()?)?;
                }
            }
            // Permissions and time change the CID, but not the bytes.
            MODE => drop(fields.varint()?),
            MTIME => drop(fields.bytes()?),
            DATA | FILE_SIZE => return Err(Problem::UnixFs("a field twice")),
            _ => return Err(Problem::UnixFs("unknown field")),
        }
    }
    Ok(Data { bytes: bytes.unwrap_or_default(), file_size, sizes })
}

fn push_size(sizes: &mut Vec<u64>, size: u64) -> Result<(), Problem> {
    if sizes.len() == FILE_LINKS_MAX {
        return Err(Problem::Width);
    }
    sizes.push(size);
    Ok(())
}

#[cfg(test)]
mod tests;
