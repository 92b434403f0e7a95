//! DAG-JSON: the form of a [`Node`](crate::Node) for people and foreign programs.
//!
//! Read leniently in what JSON leaves open (order of keys, white space, escapes, padding of base64), strictly in what would change or
//! lose a value. Written in its canonical form: keys sorted by bytes, no white space. Both sides go straight
//! between text and DAG-CBOR, with no tree between. The public face of this module is the node's.

mod read;
mod write;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::cbor::RESERVED;

pub(crate) use read::read;
pub(crate) use write::{value, write};

/// Why text is not DAG-JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input ends within a value.
    #[error("the input ends too early")]
    Truncated,
    /// The input goes on after the value.
    #[error("text after the end")]
    Trailing,
    /// Not JSON.
    #[error("not JSON")]
    Syntax,
    /// A byte order mark before the value.
    #[error("begins with a byte order mark; JSON is UTF-8 without one")]
    ByteOrderMark,
    /// An integer outside of both `i64` and `u64`.
    #[error("integer out of range; a number with a decimal point is a float")]
    Range,
    /// A float too large for 64 bits.
    #[error("float out of range")]
    NotFinite,
    /// A control character in text, or an escape that means nothing.
    #[error("not a JSON string")]
    Text,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A key for the second time.
    #[error("key twice")]
    KeyTwice,
    /// A key `/` that spells neither a link nor bytes.
    #[error("{RESERVED}")]
    KeyReserved,
    /// Not a CID in a link.
    #[error("not a link")]
    Link,
    /// Not base64 in bytes.
    #[error("not base64")]
    Base64,
    /// Arrays and objects nested deeper than [`DEPTH_MAX`](crate::limits::DEPTH_MAX).
    #[error("nested too deep")]
    Depth,
}

/// The key in `{"/": {"bytes": "…"}}`.
const BYTES_KEY: &str = "bytes";

/// Written without padding; read with and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
