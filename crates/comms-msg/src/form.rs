//! The two forms in which the same data travels: canonical DAG-CBOR, and DAG-JSON for people and foreign
//! clients. Not what the data says; see [`Msg`](crate::Msg) and [`door`](crate::door).

use std::borrow::Cow;

use bytes::Bytes;
use comms_content::Node;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::door::{Answer, Refusal, RefusalKind};
use crate::error::content_error;
use crate::limits::DOOR_BYTES_MAX;
use crate::{Error, Result};

/// How bytes are to be read, and how they are to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Canonical DAG-CBOR.
    Cbor,
    /// DAG-JSON; in any order of keys and with any white space.
    Json,
}

impl Form {
    /// The form of a payload, told by its first byte: no canonical CBOR map or array begins like JSON.
    ///
    /// Nothing at all counts as JSON, so that the answer is readable to whoever typed it.
    pub fn of(payload: &[u8]) -> Form {
        match payload.first() {
            None | Some(b'{' | b'[' | b' ' | b'\t' | b'\n' | b'\r') => Form::Json,
            Some(_) => Form::Cbor,
        }
    }

    /// Reads a payload of this form as one item of data, checked: canonical if CBOR, bounded in size and
    /// depth, without duplicate keys. An empty payload is an empty map.
    pub fn read(self, payload: &Bytes) -> Result<Node> {
        if payload.len() > DOOR_BYTES_MAX {
            return Err(Error::too_large(payload.len(), DOOR_BYTES_MAX, "bytes"));
        }
        let node = match self {
            Form::Cbor => Node::from_cbor(payload.clone()),
            Form::Json if payload.is_empty() => Node::from_json(b"{}"),
            Form::Json => Node::from_json(payload),
        };
        node.map_err(content_error)
    }

    /// Reads a payload of this form as a value of a door.
    pub fn decode<T: DeserializeOwned>(self, payload: &Bytes) -> Result<T> {
        self.read(payload)?.decode().map_err(content_error)
    }

    /// Writes a value of a door in this form.
    pub fn encode<T: Serialize>(self, value: &T) -> Result<Bytes> {
        let node = Node::encode(value).map_err(content_error)?;
        Ok(self.write(&node))
    }

    /// Writes `{"ok": value}` in this form; should the value not be writable, a refusal that says so.
    pub fn ok<T: Serialize>(self, value: &T) -> Bytes {
        self.encode(&Answer::<&T>::Ok(value)).unwrap_or_else(|error| {
            let what = format!("the answer cannot be written: {error}");
            self.refusal(&Refusal::new(RefusalKind::Internal, what).perhaps_done())
        })
    }

    /// Writes `{"error": refusal}` in this form.
    pub fn refusal(self, refusal: &Refusal) -> Bytes {
        let answer: Answer<(), Cow<'_, Refusal>> = Answer::Error(Cow::Borrowed(refusal));
        self.encode(&answer).expect("a refusal is texts and flags, which both forms can write")
    }

    pub(crate) fn write(self, node: &Node) -> Bytes {
        match self {
            Form::Cbor => node.as_bytes().clone(),
            Form::Json => Bytes::from(node.to_json()),
        }
    }
}
