//! The two forms in which the same data travels: canonical DAG-CBOR, and DAG-JSON for people and foreign
//! clients. Not what the data says; see [`Msg`](crate::Msg) and [`door`](crate::door).

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
    /// The form of a payload, told by its first byte: no canonical CBOR map or array begins like JSON, nor like a byte
    /// order mark.
    ///
    /// Nothing at all counts as JSON, so that the answer is readable to whoever typed it.
    pub fn of(payload: &[u8]) -> Form {
        match payload.first() {
            None
            | Some(
                b'{'
                | b'['
                | b' '
                | b'\t'
                | b'\n'
                | b'\r'
                | b'"'
                | b'-'
                | b'0'..=b'9'
                | b't'
                | b'f'
                | b'n'
                | 0xef,
            ) => Form::Json,
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
    ///
    /// # Errors
    /// If the value has no such form, nests too deep, or would be larger than [`DOOR_BYTES_MAX`].
    pub fn encode<T: Serialize>(self, value: &T) -> Result<Bytes> {
        self.write(&Node::encode(value).map_err(content_error)?)
    }

    /// Writes `{"ok": value}` in this form; should the value not be writable, a refusal that says so, and that
    /// what was asked for may have happened.
    pub fn ok<T: Serialize>(self, value: &T) -> Bytes {
        self.encode(&Answer::<&T>::Ok(value)).unwrap_or_else(|error| {
            let kind = match error {
                Error::TooLarge { .. } => RefusalKind::TooLarge,
                _ => RefusalKind::Internal,
            };
            let what = format!("the answer cannot be written: {error}");
            self.refusal(&Refusal::new(kind, what).perhaps_done())
        })
    }

    /// Writes `{"error": refusal}` in this form. Of a refusal too large for a payload only the kind is told.
    pub fn refusal(self, refusal: &Refusal) -> Bytes {
        self.encode(&Answer::<(), &Refusal>::Error(refusal)).unwrap_or_else(|_| {
            let mut short = Refusal::new(refusal.kind, "the reason is too long to be told");
            short.may_have_happened = refusal.may_have_happened;
            short.position = refusal.position;
            self.encode(&Answer::<(), &Refusal>::Error(&short))
                .expect("a short refusal of texts and flags has both forms")
        })
    }

    /// Writes data in this form, if it is not larger than a payload may be.
    pub(crate) fn write(self, node: &Node) -> Result<Bytes> {
        let bytes = match self {
            Form::Cbor => node.as_bytes().clone(),
            Form::Json => Bytes::from(node.to_json()),
        };
        if bytes.len() <= DOOR_BYTES_MAX {
            Ok(bytes)
        } else {
            Err(Error::too_large(bytes.len(), DOOR_BYTES_MAX, "bytes"))
        }
    }
}
