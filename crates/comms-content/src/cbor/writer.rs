//! [`Writer`]: appends canonical DAG-CBOR items to a vector.

use crate::cbor::{LINK_PREFIX, LINK_TAG, Problem, first, major};
use crate::{Cid, Error, Result};

/// Writes items one after the other.
///
/// It is for the caller to write as many items as it announced, and keys in [`key_order`](crate::cbor::key_order);
/// nothing is checked, since shapes are fixed in the code that writes. Every single item is canonical.
#[derive(Debug)]
pub struct Writer<'v> {
    out: &'v mut Vec<u8>,
}

impl<'v> Writer<'v> {
    /// Appends to this vector.
    #[inline]
    pub fn new(out: &'v mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Begins a map of that many pairs.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        self.head(major::MAP, pairs as u64);
    }

    /// Begins an array of that many items.
    #[inline]
    pub fn array(&mut self, items: usize) {
        self.head(major::ARRAY, items as u64);
    }

    /// Writes text; also the key of a pair.
    #[inline]
    pub fn text(&mut self, text: &str) {
        self.head(major::TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes a byte string.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(major::BYTES, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Writes an integer of zero or more.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        self.head(major::UNSIGNED, value);
    }

    /// Writes an integer.
    #[inline]
    pub fn signed(&mut self, value: i64) {
        if value < 0 {
            // Minus one minus the value, which is what stands in the item, is the complement in two's complement.
            self.head(major::NEGATIVE, !value.cast_unsigned());
        } else {
            self.head(major::UNSIGNED, value.cast_unsigned());
        }
    }

    /// Writes a float; negative zero as zero.
    ///
    /// # Errors
    /// [`Error::Cbor`] with [`Problem::NotFinite`]; nothing is written then.
    #[inline]
    pub fn float(&mut self, value: f64) -> Result<()> {
        if !value.is_finite() {
            return Err(Error::Cbor { at: self.out.len(), problem: Problem::NotFinite });
        }
        let value = if value == 0.0 { 0.0 } else { value };
        self.out.push(first::FLOAT);
        self.out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    /// Writes true or false.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { first::TRUE } else { first::FALSE });
    }

    /// Writes null.
    #[inline]
    pub fn null(&mut self) {
        self.out.push(first::NULL);
    }

    /// Writes a link.
    #[inline]
    pub fn link(&mut self, cid: &Cid) {
        self.head(major::TAG, u64::from(LINK_TAG));
        self.head(major::BYTES, 1 + cid.encoded_len() as u64);
        self.out.push(LINK_PREFIX);
        cid.write(self.out);
    }

    /// Copies an item that is already encoded, such as a [`Node`](crate::Node)'s bytes.
    #[inline]
    pub fn item(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    #[inline]
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        if value < 24 {
            self.out.push(major | value as u8);
        } else if value <= 0xff {
            self.out.extend_from_slice(&[major | 24, value as u8]);
        } else {
            self.long_head(major, value);
        }
    }

    fn long_head(&mut self, major: u8, value: u64) {
        if let Ok(value) = u16::try_from(value) {
            self.out.push(major | 25);
            self.out.extend_from_slice(&value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.out.push(major | 26);
            self.out.extend_from_slice(&value.to_be_bytes());
        } else {
            self.out.push(major | 27);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }
}
