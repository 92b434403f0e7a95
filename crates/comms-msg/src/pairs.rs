//! The user's key/value pairs. For routing and tracing; data belongs into the body.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use comms_content::cbor::{Reader, Writer, key_order};

use crate::error::{at, content_error, pointer};
use crate::limits::{PAIR_KEY_BYTES_MAX, PAIR_VALUE_BYTES_MAX, PAIRS_MAX};
use crate::{Error, Result};

/// Heads of a key and of a value, at their longest: lengths up to 64 and up to 1024.
const PAIR_HEADS_BYTES_MAX: usize = 2 + 3;
const IS_TEXT: &str = "the pairs were read or written as text";

/// At most 32 pairs of text, each key once. Kept as the canonical bytes they travel in, so that a message is
/// read and passed on without an allocation per pair; looking one up walks them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserPairs {
    /// Key, value, key, value, … in canonical order, as DAG-CBOR text; without the head of the map.
    items: Bytes,
    count: usize,
}

impl UserPairs {
    /// Takes keys of 1 to 64 bytes, except `/`, and values of at most 1024 bytes; a later pair replaces an
    /// earlier one with the same key.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<UserPairs> {
        let mut list: Vec<(K, V)> = Vec::new();
        for (key, value) in pairs {
            check(key.as_ref(), value.as_ref())?;
            match list.binary_search_by(|(other, _)| key_order(other.as_ref(), key.as_ref())) {
                Ok(place) => list[place] = (key, value),
                Err(_) if list.len() == PAIRS_MAX => return Err(too_many(PAIRS_MAX + 1)),
                Err(place) => list.insert(place, (key, value)),
            }
        }
        let mut items = Vec::new();
        let mut writer = Writer::new(&mut items);
        for (key, value) in &list {
            writer.text(key.as_ref());
            writer.text(value.as_ref());
        }
        Ok(UserPairs { items: items.into(), count: list.len() })
    }

    /// Adds a pair, or replaces the value of its key. Adding many at once is cheaper with
    /// [`UserPairs::new`].
    pub fn insert(&mut self, key: &str, value: &str) -> Result<()> {
        check(key, value)?;
        let (place, replaces) = self.place(key);
        if !replaces && self.count == PAIRS_MAX {
            return Err(too_many(PAIRS_MAX + 1));
        }
        let mut items = Vec::with_capacity(self.items.len() + key.len() + value.len() + PAIR_HEADS_BYTES_MAX);
        items.extend_from_slice(&self.items[..place.start]);
        let mut writer = Writer::new(&mut items);
        writer.text(key);
        writer.text(value);
        items.extend_from_slice(&self.items[place.end..]);
        self.items = items.into();
        self.count += usize::from(!replaces);
        Ok(())
    }

    /// Where the pair of this key stands, or would stand, and whether it is there.
    fn place(&self, key: &str) -> (Range<usize>, bool) {
        let mut reader = Reader::new(&self.items);
        for _ in 0..self.count {
            let start = reader.position();
            let mut text = || reader.text().expect(IS_TEXT);
            let order = key_order(text(), key);
            text();
            match order {
                Ordering::Less => {}
                Ordering::Equal => return (start..reader.position(), true),
                Ordering::Greater => return (start..start, false),
            }
        }
        (self.items.len()..self.items.len(), false)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(other, value)| (other == key).then_some(value))
    }

    /// All pairs, in canonical order: shorter keys first, then by bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut reader = Reader::new(&self.items);
        (0..self.count).map(move |_| {
            let mut text = || reader.text().expect(IS_TEXT);
            (text(), text())
        })
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the pairs in a message.
    pub(crate) fn encoded_len(&self) -> usize {
        self.items.len()
    }

    /// Writes the map.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.map(self.count);
        writer.item(&self.items);
    }

    /// Reads the map, of a reader over `whole`, without copying it.
    pub(crate) fn read(reader: &mut Reader<'_>, whole: &Bytes) -> Result<UserPairs> {
        let mut map = reader.map().map_err(content_error)?;
        let count = map.remaining();
        if count > PAIRS_MAX {
            return Err(too_many(count));
        }
        let start = reader.position();
        while let Some(key) = reader.key(&mut map).map_err(content_error)? {
            let value = reader.text().map_err(|error| content_error(error).within(&pointer(key)))?;
            check(key, value)?;
        }
        Ok(UserPairs { items: whole.slice(start..reader.position()), count })
    }
}

fn check(key: &str, value: &str) -> Result<()> {
    // DAG-JSON spells links and bytes with the key `/`.
    if key.is_empty() || key.len() > PAIR_KEY_BYTES_MAX || key == "/" {
        return Err(Error::invalid(key, "a key of 1 to 64 bytes, other than /"));
    }
    if value.len() > PAIR_VALUE_BYTES_MAX {
        return at(&pointer(key), Err(Error::too_large(value.len(), PAIR_VALUE_BYTES_MAX, "bytes")));
    }
    Ok(())
}

fn too_many(count: usize) -> Error {
    Error::too_large(count, PAIRS_MAX, "pairs")
}

impl fmt::Debug for UserPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
