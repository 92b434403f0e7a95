//! DAG-PB: links and some bytes, the outer encoding of a file's inner nodes.
//!
//! A subset of protobuf with one byte form for each node. Written by hand because both directions are short, and because file links have
//! to carry an empty name, which the encoders of the ecosystem write and general ones leave out: without it
//! every CID of a file of several blocks is another.

use unsigned_varint::{decode, encode};

use crate::Cid;
use crate::limits::FILE_LINKS_MAX;
use crate::unixfs::Problem;

/// First bytes of fields: number and wire type.
const NODE_DATA: u64 = 0x0a;
const NODE_LINK: u64 = 0x12;
const LINK_HASH: u64 = 0x0a;
const LINK_NAME: u64 = 0x12;
const LINK_TSIZE: u64 = 0x18;

/// A node as it stands in a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PbNode<'a> {
    pub(crate) links: Vec<PbLink<'a>>,
    pub(crate) data: Option<&'a [u8]>,
}

/// A link of a node. Its size of the whole tree below is a hint that nobody can check, and is not kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PbLink<'a> {
    pub(crate) cid: Cid,
    pub(crate) name: &'a [u8],
}

/// Appends a file's link: an empty name, and the size of the tree below it.
pub(crate) fn write_link(out: &mut Vec<u8>, cid: &Cid, tree_bytes: u64) {
    let hash = cid.encoded_len();
    let mut size = encode::u64_buffer();
    let size = encode::u64(tree_bytes, &mut size);
    write_varint(out, NODE_LINK);
    write_varint(out, (1 + varint_len(hash as u64) + hash + 2 + 1 + size.len()) as u64);
    write_varint(out, LINK_HASH);
    write_varint(out, hash as u64);
    cid.write(out);
    write_varint(out, LINK_NAME);
    write_varint(out, 0);
    write_varint(out, LINK_TSIZE);
    out.extend_from_slice(size);
}

/// Appends the data of a node, after its links.
pub(crate) fn write_data(out: &mut Vec<u8>, data: &[u8]) {
    write_varint(out, NODE_DATA);
    write_varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// Reads a node strictly. Data may stand before the links, as the specification allows readers to accept, but not among
/// them.
pub(crate) fn read(block: &[u8]) -> Result<PbNode<'_>, Problem> {
    let mut fields = Fields(block);
    let mut node = PbNode::default();
    let mut data_ended_links = false;
    while let Some(key) = fields.key()? {
        match key {
            NODE_LINK => {
                if data_ended_links {
                    return Err(Problem::DagPb("data among links"));
                }
                if node.links.len() == FILE_LINKS_MAX {
                    return Err(Problem::Width);
                }
                node.links.push(read_link(fields.bytes()?)?);
            }
            NODE_DATA => {
                if node.data.is_some() {
                    return Err(Problem::DagPb("data twice"));
                }
                node.data = Some(fields.bytes()?);
                data_ended_links = !node.links.is_empty();
            }
            _ => return Err(Problem::DagPb("unknown field")),
        }
    }
    Ok(node)
}

fn read_link(bytes: &[u8]) -> Result<PbLink<'_>, Problem> {
    let mut fields = Fields(bytes);
    if fields.key()? != Some(LINK_HASH) {
        return Err(Problem::DagPb("link without a hash"));
    }
    let cid = Cid::from_bytes(fields.bytes()?).map_err(|_| Problem::DagPb("hash is not a CID"))?;
    let mut name: &[u8] = &[];
    let mut key = fields.key()?;
    if key == Some(LINK_NAME) {
        name = fields.bytes()?;
        key = fields.key()?;
    }
    if key == Some(LINK_TSIZE) {
        fields.varint()?;
        key = fields.key()?;
    }
    match key {
        None => Ok(PbLink { cid, name }),
        Some(_) => Err(Problem::DagPb("link fields unknown, twice or out of order")),
    }
}

/// The fields of a protobuf message, one after the other. For UnixFS too.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The first byte of the next field: its number and wire type. `None` at the end.
    pub(crate) fn key(&mut self) -> Result<Option<u64>, Problem> {
        if self.0.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Problem> {
        let (value, rest) = decode::u64(self.0).map_err(|_| Problem::DagPb("not a varint"))?;
        self.0 = rest;
        Ok(value)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.varint()?;
        let split = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let Some((bytes, rest)) = split else { return Err(Problem::DagPb("a field longer than the block")) };
        self.0 = rest;
        Ok(bytes)
    }
}

pub(crate) fn write_varint(out: &mut Vec<u8>, value: u64) {
    let mut buffer = encode::u64_buffer();
    out.extend_from_slice(encode::u64(value, &mut buffer));
}

fn varint_len(value: u64) -> usize {
    encode::u64(value, &mut encode::u64_buffer()).len()
}

#[cfg(test)]
mod tests;
