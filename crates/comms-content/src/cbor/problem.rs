//! What can be wrong with DAG-CBOR, and the names of its kinds.

use std::fmt;

/// The kinds of value that DAG-CBOR has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An integer of zero or more.
    Unsigned,
    /// An integer below zero.
    Negative,
    /// A byte string.
    Bytes,
    /// Text.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A link.
    Link,
    /// True or false.
    Bool,
    /// Null.
    Null,
    /// A floating-point number.
    Float,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => "an unsigned integer",
            Self::Negative => "a negative integer",
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Link => "a link",
            Self::Bool => "a boolean",
            Self::Null => "null",
            Self::Float => "a float",
        })
    }
}

/// What is said of the key `/`, in both forms: a link is `{"/": "…"}` in DAG-JSON, and bytes are `{"/": {"bytes": "…"}}`.
pub(crate) const RESERVED: &str =
    "the key `/` is reserved for links and bytes; call the field something else";

/// Why bytes are not canonical DAG-CBOR, or not what the reader expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input ends within an item.
    #[error("the input ends too early")]
    Truncated,
    /// The input goes on after the item.
    #[error("bytes after the end")]
    Trailing,
    /// Another kind of value was expected.
    #[error("{wanted} expected, {found} found")]
    Unexpected {
        /// What was asked for.
        wanted: Kind,
        /// What is there.
        found: Kind,
    },
    /// An integer or a length in more bytes than it needs.
    #[error("not the shortest form")]
    NotShortest,
    /// An item of indefinite length.
    #[error("indefinite length")]
    Indefinite,
    /// A first byte that DAG-CBOR gives no meaning: another tag, another simple value, a short float, a reserved code.
    #[error("unknown kind of item")]
    Unknown,
    /// An integer below the least `i64`.
    #[error("integer out of range")]
    Range,
    /// A float that is not a number or not finite.
    #[error("float is not finite")]
    NotFinite,
    /// Negative zero, which is written as zero.
    #[error("negative zero")]
    NegativeZero,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A tag 42 that does not hold a CID.
    #[error("not a link")]
    Link,
    /// A key after one that it belongs before.
    #[error("map keys out of order")]
    KeyOrder,
    /// A key for the second time.
    #[error("map key twice")]
    KeyTwice,
    /// The key `/`.
    #[error("{RESERVED}")]
    KeyReserved,
    /// Arrays and maps nested deeper than [`DEPTH_MAX`](crate::limits::DEPTH_MAX).
    #[error("nested too deep")]
    Depth,
}
