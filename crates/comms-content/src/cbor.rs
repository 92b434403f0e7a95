//! Canonical DAG-CBOR, item by item: [`Writer`] and [`Reader`].
//!
//! For those who know the shape of what they write and read, and want neither an intermediate tree nor an allocation per
//! field. The writer appends to a vector; the reader hands out slices of its input. Whoever has a Rust type with
//! serde, or no type at all, uses [`Node`](crate::Node).
//!
//! Canonical means: one byte string for each value. Shortest integers and lengths; map keys are text, shorter ones
//! first, then by bytes, none twice; floats of 64 bits, finite, no negative zero; no tag but 42 (a link); nothing of
//! indefinite length. Narrower than DAG-CBOR itself on two points, so that every value has a DAG-JSON form
//! too: integers are within `i64` or `u64`, and no key is `/`.

mod problem;
mod reader;
mod writer;

use std::cmp::Ordering;

pub(crate) use problem::RESERVED;
pub use problem::{Kind, Problem};
pub use reader::{Map, Reader};
pub use writer::Writer;

/// The order of keys in a map: shorter ones first, then by bytes.
#[inline]
pub fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// Major types, the upper three bits of an item's first byte.
mod major {
    pub(super) const UNSIGNED: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const TAG: u8 = 6;
}

/// Whole first bytes of items that have only one form.
mod first {
    pub(super) const FALSE: u8 = 0xf4;
    pub(super) const TRUE: u8 = 0xf5;
    pub(super) const NULL: u8 = 0xf6;
    pub(super) const FLOAT: u8 = 0xfb;
}

/// The tag of a link, and the byte before the CID in it (the multibase prefix of "no base at all").
const LINK_TAG: u8 = 42;
const LINK_PREFIX: u8 = 0;

/// The one key that no map may have: DAG-JSON spells links and bytes with it.
pub(crate) const RESERVED_KEY: &str = "/";

#[cfg(test)]
mod tests;
