//! A body indexed once: its items in the order of its DAG-CBOR, each with where it ends, so that whoever checks it
//! steps over a part without reading it, and nothing of it is copied.

use comms_content::Node;
use comms_content::cbor::{Kind, Reader, Writer};
use serde_json::{Number, Value};

/// Members of a map from which on their keys are searched and not compared one after the other.
const MEMBERS_SCANNED_MAX: usize = 8;

/// Bytes of a body per item, as a first guess: a short key and a short value.
const ITEM_BYTES: usize = 12;

/// The items of a body.
pub(super) struct Outline<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry<'a>>,
    /// The members of each large map, one map after the other, in the order of their keys.
    members: Vec<usize>,
    numbers: bool,
}

/// One item.
struct Entry<'a> {
    /// Its key, for a member of a map.
    key: &'a str,
    item: Item<'a>,
    /// Where its encoding begins.
    at: usize,
    /// The entry after it and everything in it.
    next: usize,
}

/// What an item is.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(&'a str),
    Bytes,
    Link,
    Array {
        len: usize,
    },
    Map {
        len: usize,
        /// Where its members begin in [`Outline::members`], if there are many.
        members: Option<usize>,
    },
}

/// A number that has to be written differently.
pub(super) struct Correction {
    pub(super) entry: usize,
    pub(super) number: Number,
}

impl<'a> Outline<'a> {
    /// Indexes a body.
    pub(super) fn of(body: &'a Node) -> Self {
        let bytes = body.as_bytes();
        let entries = Vec::with_capacity(bytes.len() / ITEM_BYTES + 1);
        let mut outline = Self { bytes, entries, members: Vec::new(), numbers: false };
        outline.read(&mut Reader::new(bytes), "").expect("a node is read when it is made");
        outline
    }

    fn read(&mut self, reader: &mut Reader<'a>, key: &'a str) -> comms_content::Result<()> {
        let (entry, at) = (self.entries.len(), reader.position());
        self.entries.push(Entry { key, item: Item::Null, at, next: 0 });
        let item = match reader.kind()? {
            Kind::Null => reader.null().map(|()| Item::Null)?,
            Kind::Bool => Item::Bool(reader.bool()?),
            Kind::Text => Item::Text(reader.text()?),
            Kind::Bytes => reader.bytes().map(|_| Item::Bytes)?,
            Kind::Link => reader.link().map(|_| Item::Link)?,
            Kind::Unsigned => self.number(Item::Unsigned(reader.unsigned()?)),
            Kind::Negative => self.number(Item::Negative(reader.signed()?)),
            Kind::Float => self.number(Item::Float(reader.float()?)),
            Kind::Array => {
                let len = reader.array()?;
                for _ in 0..len {
                    self.read(reader, "")?;
                }
                Item::Array { len }
            }
            Kind::Map => {
                let mut map = reader.map()?;
                let len = map.remaining();
                while let Some(key) = reader.key(&mut map)? {
                    self.read(reader, key)?;
                }
                Item::Map { len, members: self.index(entry, len) }
            }
        };
        let next = self.entries.len();
        self.entries[entry].item = item;
        self.entries[entry].next = next;
        Ok(())
    }

    fn number(&mut self, item: Item<'a>) -> Item<'a> {
        self.numbers = true;
        item
    }

    fn index(&mut self, map: usize, len: usize) -> Option<usize> {
        if len <= MEMBERS_SCANNED_MAX {
            return None;
        }
        let start = self.members.len();
        let mut member = map + 1;
        for _ in 0..len {
            self.members.push(member);
            member = self.entries[member].next;
        }
        Some(start)
    }

    /// Whether there is any number in it.
    pub(super) fn has_numbers(&self) -> bool {
        self.numbers
    }

    pub(super) fn item(&self, entry: usize) -> Item<'a> {
        self.entries[entry].item
    }

    /// The entries directly in an array or a map, with their keys.
    pub(super) fn parts(&self, entry: usize) -> impl Iterator<Item = (&'a str, usize)> + '_ {
        let end = self.entries[entry].next;
        let mut next = entry + 1;
        std::iter::from_fn(move || {
            let part = (next < end).then(|| (self.entries[next].key, next))?;
            next = self.entries[next].next;
            Some(part)
        })
    }

    /// The entry after this one and everything in it, with its key; `None` where `end` is reached.
    pub(super) fn part(&self, entry: usize, end: usize) -> Option<(&'a str, usize)> {
        (entry < end).then(|| (self.entries[entry].key, self.entries[entry].next))
    }

    /// Where the parts of an entry end.
    pub(super) fn end(&self, entry: usize) -> usize {
        self.entries[entry].next
    }

    /// The member of a map that has this key.
    pub(super) fn member(&self, map: usize, key: &str) -> Option<usize> {
        match self.entries[map].item {
            Item::Map { len, members: Some(start) } => {
                let members = &self.members[start..start + len];
                // The order of canonical DAG-CBOR: the shorter key first, then by bytes.
                let order = |entry: &usize| {
                    let known = self.entries[*entry].key;
                    known.len().cmp(&key.len()).then_with(|| known.as_bytes().cmp(key.as_bytes()))
                };
                members.binary_search_by(order).ok().map(|found| members[found])
            }
            _ => self.parts(map).find(|(known, _)| *known == key).map(|(_, entry)| entry),
        }
    }

    /// A number as JSON has it.
    pub(super) fn number_of(&self, entry: usize) -> Option<Number> {
        match self.entries[entry].item {
            Item::Unsigned(value) => Some(value.into()),
            Item::Negative(value) => Some(value.into()),
            Item::Float(value) => Number::from_f64(value),
            _ => None,
        }
    }

    /// The part as a tree, in the shape of DAG-JSON.
    pub(super) fn value(&self, entry: usize) -> Value {
        let item = Reader::new(&self.bytes[self.entries[entry].at..]).item();
        let item = item.expect("a node is read when it is made").to_vec();
        Node::from_cbor(item.into()).expect("a part of a node is a node").to_value()
    }

    /// What tells one entry from another while the outline lives.
    pub(super) fn address(&self, entry: usize) -> usize {
        std::ptr::from_ref(&self.entries[entry]) as usize
    }

    /// The body with these numbers, which are in the order of their entries.
    pub(super) fn corrected(&self, corrections: &[Correction]) -> Node {
        let mut out = Vec::with_capacity(self.bytes.len() + corrections.len() * size_of::<u64>());
        let mut copied = 0;
        for Correction { entry, number } in corrections {
            let at = self.entries[*entry].at;
            let old = Reader::new(&self.bytes[at..]).item().expect("a node is read when it is made");
            out.extend_from_slice(&self.bytes[copied..at]);
            copied = at + old.len();
            let mut writer = Writer::new(&mut out);
            match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(unsigned), _, _) => writer.unsigned(unsigned),
                (None, Some(signed), _) => writer.signed(signed),
                (None, None, float) => {
                    writer.float(float.unwrap_or_default()).expect("numbers of JSON are finite");
                }
            }
        }
        out.extend_from_slice(&self.bytes[copied..]);
        Node::from_cbor(out.into()).expect("one number in place of another")
    }
}
