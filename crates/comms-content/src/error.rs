//! What can be wrong with content, by meaning. Nothing here is about disks or networks: this crate touches neither.

use std::fmt;

use crate::{Cid, car, cbor, json, unixfs};

/// Why bytes are not the content they are said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Text or bytes that are not a CID.
    #[error("not a CID: {reason}")]
    Cid {
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes that are not canonical DAG-CBOR.
    #[error("{}", words("not canonical DAG-CBOR", *at, problem, *problem == cbor::Problem::KeyReserved))]
    Cbor {
        /// Offset into what was read.
        at: usize,
        /// What is wrong there.
        problem: cbor::Problem,
    },
    /// Text that is not DAG-JSON.
    #[error("{}", words("not DAG-JSON", *at, problem, *problem == json::Problem::KeyReserved))]
    Json {
        /// Offset into what was read.
        at: usize,
        /// What is wrong there.
        problem: json::Problem,
    },
    /// A well-formed value that is not of the type asked for, or a value of a type that has no DAG-CBOR form.
    #[error("value and type do not fit: {reason}")]
    Model {
        /// What does not fit.
        reason: String,
    },
    /// The bytes do not hash to the CID.
    #[error("the bytes are not those of {cid}")]
    Mismatch {
        /// What they were said to be.
        cid: Cid,
    },
    /// A hash function that this crate cannot compute, so that nothing can be verified against it.
    #[error("cannot verify hash function {code:#x}")]
    Hash {
        /// The multicodec code of the function.
        code: u64,
    },
    /// More bytes, links or fields than allowed.
    #[error("{what}: {amount} is over the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        amount: u64,
        /// How large it may be.
        max: u64,
    },
    /// A block that is not a sound part of a file.
    #[error("block {cid} is not a sound part of a file: {problem}")]
    File {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        problem: unixfs::Problem,
    },
    /// A block was given that was not asked for.
    #[error("block {cid} was not asked for")]
    Unwanted {
        /// The block.
        cid: Cid,
    },
    /// Bytes that are not a CAR, version 1.
    #[error("not a CAR at byte {at}: {problem}")]
    Car {
        /// Offset into the stream.
        at: u64,
        /// What is wrong there.
        problem: car::Problem,
    },
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong at a byte. A value with the reserved key may be spelled without a fault, and is none all the same: that
/// is said in the same words in both forms.
fn words(form: &str, at: usize, problem: impl fmt::Display, is_reserved: bool) -> String {
    if is_reserved { format!("at byte {at} {problem}") } else { format!("{form} at byte {at}: {problem}") }
}
