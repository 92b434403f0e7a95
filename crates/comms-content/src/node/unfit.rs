//! Why a value does not fit a type of one's own, in words: the field, and what is expected there.

use std::convert::Infallible;

use ipld_core::ipld::Ipld;
use serde::de::DeserializeOwned;
use serde_ipld_dagcbor::{DecodeError, EncodeError};

use super::Node;

/// Fields that are looked at one by one for the one that does not fit. Each costs a decoding of the whole.
const FIELDS_TRIED_MAX: usize = 64;
/// A larger value is not looked into.
const BYTES_TRIED_MAX: usize = 64 << 10;

/// What is wrong with `node` as a `T`, whose decoding gave this error.
pub(super) fn unfit<T: DeserializeOwned>(node: &Node, error: &DecodeError<Infallible>) -> String {
    let said = decoding(error);
    let field = if said.contains('`') { None } else { field::<T>(node, &said) };
    field.map_or(said.clone(), |field| format!("field `{field}`: {said}"))
}

/// The field without which it is another error, or none.
fn field<T: DeserializeOwned>(node: &Node, said: &str) -> Option<String> {
    if node.as_bytes().len() > BYTES_TRIED_MAX {
        return None;
    }
    let Ipld::Map(members) = node.to_ipld() else { return None };
    members.keys().take(FIELDS_TRIED_MAX).find_map(|name| {
        let mut others = members.clone();
        others.remove(name);
        let others = Node::from_ipld(&Ipld::Map(others)).ok()?;
        let again = serde_ipld_dagcbor::from_slice::<T>(others.as_bytes()).map_err(|error| decoding(&error));
        again.err().is_none_or(|other| other != said).then(|| name.clone())
    })
}

/// The error of a decoder in words. What its variants are called is nobody's business.
fn decoding(error: &DecodeError<Infallible>) -> String {
    match error {
        DecodeError::Msg(said) => said.clone(),
        DecodeError::Mismatch { name, found } | DecodeError::Unsupported { name, found } => {
            format!("{name} is expected, and there is {}", kind(*found))
        }
        DecodeError::CastOverflow { name } | DecodeError::LengthOverflow { name, .. } => {
            format!("the number is too large for {name}")
        }
        DecodeError::ArithmeticOverflow { name, .. } => format!("the number is too large for {name}"),
        DecodeError::LengthMismatch { name, expect, value } => {
            format!("{name} of {expect} entries is expected, and there are {value}")
        }
        DecodeError::RequireUtf8 { name } | DecodeError::RequireBorrowed { name } => {
            format!("{name} is expected as text")
        }
        DecodeError::DepthOverflow { .. } => "it is nested too deeply".to_owned(),
        _ => "it ends too early, or too late".to_owned(),
    }
}

/// What begins with this byte in CBOR (RFC 8949, section 3).
fn kind(first: u8) -> &'static str {
    match first >> 5 {
        0 | 1 => "a whole number",
        2 => "bytes",
        3 => "text",
        4 => "a list",
        5 => "an object",
        6 => "a link",
        _ => match first & 0x1f {
            20 | 21 => "true or false",
            22 => "null",
            _ => "a number with a fraction",
        },
    }
}

/// The error of an encoder in words.
pub(super) fn encoding<E>(error: &EncodeError<E>) -> String {
    match error {
        EncodeError::Msg(said) => said.clone(),
        EncodeError::Write(_) => "there is no room for it".to_owned(),
    }
}
