//! [`Reader`]: takes canonical DAG-CBOR apart, item by item, without copying.

use crate::cbor::{Kind, LINK_PREFIX, LINK_TAG, Problem, RESERVED_KEY, first, major};
use crate::limits::DEPTH_MAX;
use crate::{Cid, Error, Result};

/// Reads items one after the other from a slice.
///
/// Strict: whatever is not canonical is an error, at the item where it shows. A length that the input cannot
/// hold is an error at once, so nobody allocates by it. After an error the position is unspecified.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

/// A map while its pairs are read.
#[derive(Debug)]
pub struct Map<'a> {
    remaining: usize,
    previous: Option<&'a [u8]>,
}

impl Map<'_> {
    /// How many pairs are still to be read.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.remaining
    }
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of the slice.
    #[inline]
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// How many bytes have been read.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at == self.input.len()
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Problem::Trailing`] if not everything has been read.
    #[inline]
    pub fn finish(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.error(Problem::Trailing)) }
    }

    /// What kind of item is next. It is not read, and may yet turn out malformed.
    ///
    /// # Errors
    /// At the end of the input, and for a first byte that DAG-CBOR does not have.
    #[inline]
    pub fn kind(&self) -> Result<Kind> {
        let first = self.peek()?;
        Ok(match first >> 5 {
            major::UNSIGNED => Kind::Unsigned,
            major::NEGATIVE => Kind::Negative,
            major::BYTES => Kind::Bytes,
            major::TEXT => Kind::Text,
            major::ARRAY => Kind::Array,
            major::MAP => Kind::Map,
            major::TAG => Kind::Link,
            _ => match first {
                first::FALSE | first::TRUE => Kind::Bool,
                first::NULL => Kind::Null,
                first::FLOAT => Kind::Float,
                _ => return Err(self.error(Problem::Unknown)),
            },
        })
    }

    /// Reads the head of a map; then come its pairs, each by [`Reader::key`] and the value after it.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn map(&mut self) -> Result<Map<'a>> {
        let pairs = self.length(major::MAP, Kind::Map, 2)?;
        Ok(Map { remaining: pairs, previous: None })
    }

    /// Reads the next key of a map, or `None` after the last pair.
    ///
    /// # Errors
    /// Also [`Problem::KeyOrder`], [`Problem::KeyTwice`] and [`Problem::KeyReserved`].
    #[inline]
    pub fn key(&mut self, map: &mut Map<'a>) -> Result<Option<&'a str>> {
        let at = self.at;
        match self.key_bytes(map)? {
            Some(key) => utf8(at, key).map(Some),
            None => Ok(None),
        }
    }

    /// As [`Reader::key`], but without checking that the key is UTF-8, which takes longer than to read it: for whoever
    /// compares it with keys that are.
    ///
    /// # Errors
    /// As for [`Reader::key`].
    #[inline]
    pub fn key_bytes(&mut self, map: &mut Map<'a>) -> Result<Option<&'a [u8]>> {
        let Some(remaining) = map.remaining.checked_sub(1) else { return Ok(None) };
        let at = self.at;
        let key = self.text_bytes()?;
        if let Some(previous) = map.previous
            && (previous.len(), previous) >= (key.len(), key)
        {
            let problem = if previous == key { Problem::KeyTwice } else { Problem::KeyOrder };
            return Err(Error::Cbor { at, problem });
        }
        if key == RESERVED_KEY.as_bytes() {
            return Err(Error::Cbor { at, problem: Problem::KeyReserved });
        }
        map.remaining = remaining;
        map.previous = Some(key);
        Ok(Some(key))
    }

    /// Reads the head of an array: how many items follow.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn array(&mut self) -> Result<usize> {
        self.length(major::ARRAY, Kind::Array, 1)
    }

    /// Reads text.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str> {
        let at = self.at;
        utf8(at, self.text_bytes()?)
    }

    /// Reads a byte string.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length(major::BYTES, Kind::Bytes, 1)?;
        Ok(self.take(length))
    }

    /// Reads an integer of zero or more.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64> {
        self.head(major::UNSIGNED, Kind::Unsigned)
    }

    /// Reads an integer that fits an `i64`.
    ///
    /// # Errors
    /// Also [`Problem::Range`] if it does not fit.
    #[inline]
    pub fn signed(&mut self) -> Result<i64> {
        let at = self.at;
        let negative = self.kind()? == Kind::Negative;
        let value = if negative { self.head(major::NEGATIVE, Kind::Negative)? } else { self.unsigned()? };
        let value = i64::try_from(value).map_err(|_| Error::Cbor { at, problem: Problem::Range })?;
        Ok(if negative { !value } else { value })
    }

    /// Reads a float.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn float(&mut self) -> Result<f64> {
        self.single(Kind::Float)?;
        let Some((bytes, _)) = self.input[self.at + 1..].split_first_chunk::<8>() else {
            return Err(self.error(Problem::Truncated));
        };
        let value = f64::from_be_bytes(*bytes);
        if !value.is_finite() {
            return Err(self.error(Problem::NotFinite));
        }
        if value == 0.0 && value.is_sign_negative() {
            return Err(self.error(Problem::NegativeZero));
        }
        self.at += 9;
        Ok(value)
    }

    /// Reads true or false.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        let first = self.single(Kind::Bool)?;
        self.at += 1;
        Ok(first == first::TRUE)
    }

    /// Reads null.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn null(&mut self) -> Result<()> {
        self.single(Kind::Null)?;
        self.at += 1;
        Ok(())
    }

    /// Reads a link.
    ///
    /// # Errors
    /// As for every item: another kind, or malformed.
    #[inline]
    pub fn link(&mut self) -> Result<Cid> {
        let at = self.at;
        if self.head(major::TAG, Kind::Link)? != u64::from(LINK_TAG) {
            return Err(Error::Cbor { at, problem: Problem::Unknown });
        }
        let [LINK_PREFIX, cid @ ..] = self.bytes()? else {
            return Err(Error::Cbor { at, problem: Problem::Link });
        };
        Cid::from_bytes(cid).map_err(|_| Error::Cbor { at, problem: Problem::Link })
    }

    /// Reads a whole item, checks everything in it, and hands out its encoding.
    ///
    /// # Errors
    /// Also [`Problem::Depth`] if it nests deeper than [`DEPTH_MAX`].
    pub fn item(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        self.skip(DEPTH_MAX)?;
        Ok(&self.input[start..self.at])
    }

    /// Reads an item of which `depth` more levels may nest.
    fn skip(&mut self, depth: usize) -> Result<()> {
        match self.kind()? {
            Kind::Unsigned => self.unsigned().map(drop),
            Kind::Negative => self.signed().map(drop),
            Kind::Bytes => self.bytes().map(drop),
            Kind::Text => {
                let at = self.at;
                check_utf8(at, self.text_bytes()?)
            }
            Kind::Link => self.link().map(drop),
            Kind::Bool => self.bool().map(drop),
            Kind::Null => self.null(),
            Kind::Float => self.float().map(drop),
            Kind::Array => {
                let Some(depth) = depth.checked_sub(1) else { return Err(self.error(Problem::Depth)) };
                for _ in 0..self.array()? {
                    self.skip(depth)?;
                }
                Ok(())
            }
            Kind::Map => {
                let Some(depth) = depth.checked_sub(1) else { return Err(self.error(Problem::Depth)) };
                let mut map = self.map()?;
                loop {
                    let at = self.at;
                    let Some(key) = self.key_bytes(&mut map)? else { return Ok(()) };
                    check_utf8(at, key)?;
                    self.skip(depth)?;
                }
            }
        }
    }

    /// Reads text, of which nobody has said yet that it is text.
    #[inline]
    fn text_bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length(major::TEXT, Kind::Text, 1)?;
        Ok(self.take(length))
    }

    /// Checks that the next item is of this kind, one whose first byte says everything.
    #[inline]
    fn single(&self, wanted: Kind) -> Result<u8> {
        match self.kind()? {
            found if found == wanted => self.peek(),
            found => Err(self.error(Problem::Unexpected { wanted, found })),
        }
    }

    /// Reads the head of something that is at least `least` bytes for each of its parts.
    #[inline]
    fn length(&mut self, major: u8, wanted: Kind, least: usize) -> Result<usize> {
        let length = self.head(major, wanted)?;
        let room = (self.input.len() - self.at) / least;
        match usize::try_from(length) {
            Ok(length) if length <= room => Ok(length),
            _ => Err(self.error(Problem::Truncated)),
        }
    }

    #[inline]
    fn head(&mut self, major: u8, wanted: Kind) -> Result<u64> {
        let first = self.peek()?;
        if first >> 5 != major {
            return Err(self.unexpected(wanted));
        }
        let info = first & 0x1f;
        if info < 24 {
            self.at += 1;
            return Ok(u64::from(info));
        }
        self.long_head(info)
    }

    #[inline]
    fn long_head(&mut self, info: u8) -> Result<u64> {
        let rest = &self.input[self.at + 1..];
        let (value, least, size) = match info {
            24 => (rest.first().map(|byte| u64::from(*byte)), 24, 1),
            25 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 1 << 8, 2),
            26 => (rest.first_chunk().map(|bytes| u64::from(u32::from_be_bytes(*bytes))), 1 << 16, 4),
            27 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 1 << 32, 8),
            31 => return Err(self.error(Problem::Indefinite)),
            _ => return Err(self.error(Problem::Unknown)),
        };
        let Some(value) = value else { return Err(self.error(Problem::Truncated)) };
        if value < least {
            return Err(self.error(Problem::NotShortest));
        }
        self.at += 1 + size;
        Ok(value)
    }

    /// The next so many bytes, of which [`Reader::length`] has said that they are there.
    #[inline]
    fn take(&mut self, length: usize) -> &'a [u8] {
        let bytes = &self.input[self.at..self.at + length];
        self.at += length;
        bytes
    }

    #[inline]
    fn peek(&self) -> Result<u8> {
        match self.input.get(self.at) {
            Some(first) => Ok(*first),
            None => Err(self.error(Problem::Truncated)),
        }
    }

    #[cold]
    fn unexpected(&self, wanted: Kind) -> Error {
        match self.kind() {
            Ok(found) => self.error(Problem::Unexpected { wanted, found }),
            Err(error) => error,
        }
    }

    #[cold]
    fn error(&self, problem: Problem) -> Error {
        Error::Cbor { at: self.at, problem }
    }
}

/// The text that these bytes are; `at` is where the item began.
#[inline]
fn utf8(at: usize, bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::Cbor { at, problem: Problem::Utf8 })
}

/// Checks that the bytes are text. Most text is ASCII, which is told faster.
#[inline]
fn check_utf8(at: usize, bytes: &[u8]) -> Result<()> {
    if bytes.is_ascii() { Ok(()) } else { utf8(at, bytes).map(drop) }
}
