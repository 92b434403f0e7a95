//! [`Node`]: one structured value, such as the body of a message.

mod unfit;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use ipld_core::ipld::Ipld;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cbor::{Kind, Reader, Writer};
use crate::limits::{FIELDS_MAX, PATH_BYTES_MAX};
use crate::{Block, Cid, DAG_CBOR, Error, Result, json};

/// Room for an encoded value at first: a small body fits, and is not moved while it grows.
const ENCODED_BYTES_FIRST: usize = 256;

/// One value in canonical DAG-CBOR. Whoever holds a node knows that its bytes are valid: it can only be made by
/// reading them strictly or by encoding a value.
///
/// Two nodes are equal if and only if they are the same value. Cloning is cheap. Through serde a node is the value itself, for
/// IPLD formats; with others it has to pass through [`Node::to_value`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Node(Bytes);

impl Node {
    /// Checks that the bytes are one item of canonical DAG-CBOR and nothing else.
    ///
    /// # Errors
    /// [`Error::Cbor`], for everything that [`cbor`](crate::cbor) does not call canonical.
    pub fn from_cbor(bytes: Bytes) -> Result<Self> {
        let mut reader = Reader::new(&bytes);
        reader.item()?;
        reader.finish()?;
        Ok(Self(bytes))
    }

    /// Reads the next item of a larger message as a node, without copying it.
    ///
    /// The reader must read `whole`, from its beginning.
    ///
    /// # Errors
    /// [`Error::Cbor`], as for [`Node::from_cbor`].
    pub fn read(reader: &mut Reader<'_>, whole: &Bytes) -> Result<Self> {
        let start = reader.position();
        let item = reader.item()?;
        let bytes = whole.slice(start..reader.position());
        debug_assert_eq!(bytes, item, "the reader reads another message");
        Ok(Self(bytes))
    }

    /// Reads DAG-JSON: keys in any order, with any white space.
    ///
    /// # Errors
    /// [`Error::Json`].
    pub fn from_json(text: &[u8]) -> Result<Self> {
        json::read(text).map(|cbor| Self(cbor.into()))
    }

    /// Takes a value in the shape of DAG-JSON.
    ///
    /// # Errors
    /// [`Error::Json`], as if it were text.
    pub fn from_value(value: &serde_json::Value) -> Result<Self> {
        let text = serde_json::to_vec(value).map_err(|error| Error::Model { reason: error.to_string() })?;
        Self::from_json(&text)
    }

    /// Takes a value of the IPLD data model.
    ///
    /// # Errors
    /// As for [`Node::encode`].
    pub fn from_ipld(value: &Ipld) -> Result<Self> {
        Self::encode(value)
    }

    /// Encodes a value of a type of one's own.
    ///
    /// # Errors
    /// [`Error::Model`] if it has no DAG-CBOR form, such as a float that is not finite; [`Error::Cbor`] if it is
    /// outside of what [`cbor`](crate::cbor) allows, such as one that nests too deep.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let mut bytes = Vec::with_capacity(ENCODED_BYTES_FIRST);
        serde_ipld_dagcbor::to_writer(&mut bytes, &value)
            .map_err(|error| Error::Model { reason: unfit::encoding(&error) })?;
        Self::from_cbor(bytes.into())
    }

    /// Decodes into a type of one's own.
    ///
    /// # Errors
    /// [`Error::Model`] if the value does not fit the type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_ipld_dagcbor::from_slice(&self.0)
            .map_err(|error| Error::Model { reason: unfit::unfit::<T>(self, &error) })
    }

    /// The value in the IPLD data model.
    pub fn to_ipld(&self) -> Ipld {
        self.decode().expect("every node is a value of the data model")
    }

    /// The value as DAG-JSON: keys in order, without white space.
    pub fn to_json(&self) -> String {
        json::write(&self.0)
    }

    /// The value in the shape of DAG-JSON.
    pub fn to_value(&self) -> serde_json::Value {
        json::value(&self.0)
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The encoding.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The CID of the encoding.
    pub fn cid(&self) -> Cid {
        Cid::dag_cbor(&self.0)
    }

    /// The encoding as a block.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn to_block(&self) -> Result<Block> {
        Block::new(DAG_CBOR, self.0.clone())
    }

    /// All links in the value, each once, in the order of their first appearance. All of them: access is decided by this
    /// list, so it is bounded by the size of the node alone.
    pub fn links(&self) -> Vec<Cid> {
        let mut links = Vec::new();
        let mut seen = HashSet::new();
        visit(&self.0, &mut |item| {
            if let Item::Link(cid) = item
                && seen.insert(cid)
            {
                links.push(cid);
            }
        });
        links
    }

    /// The byte strings of more than `threshold` bytes, in order: the first step of replacing them by links.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if there are more than [`FIELDS_MAX`].
    pub fn bytes_over(&self, threshold: usize) -> Result<Vec<BytesField>> {
        let mut fields = Vec::new();
        let mut count = 0;
        visit(&self.0, &mut |item| {
            if let Item::Bytes { path, item, data } = item
                && data.len() > threshold
            {
                count += 1;
                if count <= FIELDS_MAX {
                    fields.push(BytesField { path: path.text(), item, data });
                }
            }
        });
        if count > FIELDS_MAX {
            let (amount, max) = (count as u64, FIELDS_MAX as u64);
            return Err(Error::TooLarge { what: "byte strings over the threshold", amount, max });
        }
        Ok(fields)
    }

    /// The content of a byte string, without copying it.
    ///
    /// # Panics
    /// If the field is that of a longer node.
    pub fn bytes_of(&self, field: &BytesField) -> Bytes {
        self.0.slice(field.data.clone())
    }

    /// The same value with links in place of byte strings: the second step. The fields are those that
    /// [`Node::bytes_over`] gave for this node, or some of them, in order.
    ///
    /// # Errors
    /// [`Error::Model`] if a field is not one of this node's byte strings, or they are out of order.
    pub fn with_links(&self, fields: &[(BytesField, Cid)]) -> Result<Self> {
        let mut out = Vec::with_capacity(self.0.len());
        let mut copied = 0;
        let mut wanted = fields.iter().peekable();
        visit(&self.0, &mut |found| {
            if let Item::Bytes { item, data, .. } = found
                && let Some((_, cid)) = wanted.next_if(|(field, _)| field.item == item && field.data == data)
            {
                out.extend_from_slice(&self.0[copied..item.start]);
                Writer::new(&mut out).link(cid);
                copied = item.end;
            }
        });
        if let Some((field, _)) = wanted.next() {
            return Err(Error::Model {
                reason: format!("{} is not the next byte string of the node", field.path),
            });
        }
        out.extend_from_slice(&self.0[copied..]);
        Ok(Self(out.into()))
    }
}

/// Where a byte string is in a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytesField {
    path: String,
    item: Range<usize>,
    data: Range<usize>,
}

impl BytesField {
    /// Where it is in the value: a JSON pointer, such as `/pages/0/scan`. Cut after
    /// [`PATH_BYTES_MAX`] bytes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where its content is in the encoding of the node.
    pub fn range(&self) -> Range<usize> {
        self.data.clone()
    }
}

/// One step from a value to a part of it.
#[derive(Clone, Copy)]
enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

/// The way from the root to an item, innermost last.
struct Path<'a, 'p> {
    parent: Option<&'p Path<'a, 'p>>,
    segment: Option<Segment<'a>>,
}

impl Path<'_, '_> {
    /// The path as a JSON pointer (RFC 6901), cut at its bound.
    fn text(&self) -> String {
        let mut text = self.parent.map(Path::text).unwrap_or_default();
        match self.segment {
            Some(Segment::Key(key)) => {
                text.push('/');
                for character in key.chars() {
                    if text.len() >= PATH_BYTES_MAX {
                        break;
                    }
                    match character {
                        '~' => text.push_str("~0"),
                        '/' => text.push_str("~1"),
                        other => text.push(other),
                    }
                }
            }
            Some(Segment::Index(index)) => text.push_str(&format!("/{index}")),
            None => {}
        }
        text.truncate(text.floor_char_boundary(PATH_BYTES_MAX));
        text
    }
}

/// What a visit of a node shows.
enum Item<'a, 'p, 'r> {
    Link(Cid),
    Bytes { path: &'r Path<'a, 'p>, item: Range<usize>, data: Range<usize> },
}

/// Shows every link and every byte string of a node, in order.
fn visit(node: &[u8], show: &mut dyn FnMut(Item<'_, '_, '_>)) {
    let mut reader = Reader::new(node);
    let root = Path { parent: None, segment: None };
    visit_item(&mut reader, &root, show).expect("a node is read when it is made");
}

fn visit_item<'a>(
    reader: &mut Reader<'a>,
    path: &Path<'a, '_>,
    show: &mut dyn FnMut(Item<'_, '_, '_>),
) -> Result<()> {
    match reader.kind()? {
        Kind::Link => show(Item::Link(reader.link()?)),
        Kind::Bytes => {
            let start = reader.position();
            let length = reader.bytes()?.len();
            let end = reader.position();
            show(Item::Bytes { path, item: start..end, data: end - length..end });
        }
        Kind::Array => {
            for index in 0..reader.array()? {
                let path = Path { parent: Some(path), segment: Some(Segment::Index(index)) };
                visit_item(reader, &path, show)?;
            }
        }
        Kind::Map => {
            let mut map = reader.map()?;
            while let Some(key) = reader.key(&mut map)? {
                let path = Path { parent: Some(path), segment: Some(Segment::Key(key)) };
                visit_item(reader, &path, show)?;
            }
        }
        Kind::Unsigned | Kind::Negative | Kind::Text | Kind::Bool | Kind::Null | Kind::Float => {
            reader.item()?;
        }
    }
    Ok(())
}

impl fmt::Debug for Node {
    /// Only the size: a body may hold what must not appear in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} bytes)", self.0.len())
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_ipld().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_ipld(&Ipld::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
