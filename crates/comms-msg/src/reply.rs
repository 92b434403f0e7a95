//! The answer to a query: the value asked for, or why there is none. What a query means is between its asker
//! and its answerer.

use bytes::Bytes;
use comms_content::Node;
use comms_content::cbor::{Kind, Reader};

use crate::door::Refusal;
use crate::error::{at, content_error, pointer};
use crate::form::Form;
use crate::limits::{FRAME_MSGS_MAX, MSG_BYTES_MAX};
use crate::msg::{decode, encode};
use crate::{Error, MsgId, Result};

/// The answer to one query: `{"to": …, "ok": value}` or `{"to": …, "error": Refusal}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The query.
    pub to: MsgId,
    /// The value asked for, or why there is none.
    pub answer: Result<Node, Refusal>,
}

impl Reply {
    /// The payload, in the form that the query had.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a value that is no message's body either: too many bytes, too deep.
    pub fn to_wire(&self, form: Form) -> Result<Bytes> {
        let mut out = Vec::new();
        self.write_cbor(&mut out)?;
        match form {
            Form::Cbor => Ok(out.into()),
            Form::Json => form.write(&Node::from_cbor(out.into()).map_err(content_error)?),
        }
    }

    /// Appends the canonical DAG-CBOR; for several replies in one array.
    ///
    /// # Errors
    /// As [`Reply::to_wire`]; nothing is appended then.
    pub fn write_cbor(&self, out: &mut Vec<u8>) -> Result<()> {
        if let Ok(value) = &self.answer {
            at("/ok", decode::check_depth(value))?;
        }
        let start = out.len();
        out.push(0xa2);
        match &self.answer {
            Ok(value) => {
                out.extend_from_slice(b"\x62ok");
                out.extend_from_slice(value.as_bytes());
                out.extend_from_slice(b"\x62to");
                encode::write_id(self.to, out);
            }
            Err(refusal) => {
                out.extend_from_slice(b"\x62to");
                encode::write_id(self.to, out);
                out.extend_from_slice(b"\x65error");
                let refusal = Node::encode(refusal).expect("a refusal is texts and flags, which have a form");
                out.extend_from_slice(refusal.as_bytes());
            }
        }
        let size = out.len() - start;
        if size > MSG_BYTES_MAX {
            out.truncate(start);
            return Err(Error::too_large(size, MSG_BYTES_MAX, "bytes"));
        }
        Ok(())
    }

    /// Reads one reply, or an array of 1 to [`FRAME_MSGS_MAX`], in either form, without copying the values.
    pub fn read(payload: &Bytes) -> Result<Vec<Reply>> {
        if payload.len() > MSG_BYTES_MAX {
            return Err(Error::too_large(payload.len(), MSG_BYTES_MAX, "bytes"));
        }
        let bytes = match Form::of(payload) {
            Form::Cbor => payload.clone(),
            Form::Json => Form::Json.read(payload)?.into_bytes(),
        };
        let mut reader = Reader::new(&bytes);
        let replies = match reader.kind().map_err(content_error)? {
            Kind::Array => {
                let count = reader.array().map_err(content_error)?;
                if count == 0 {
                    return Err(Error::malformed("an array of no replies", "at least one"));
                }
                if count > FRAME_MSGS_MAX {
                    return Err(Error::too_large(count, FRAME_MSGS_MAX, "replies"));
                }
                (0..count)
                    .map(|index| {
                        read_one(&mut reader, &bytes).map_err(|error| error.within(&format!("/{index}")))
                    })
                    .collect::<Result<_>>()?
            }
            _ => vec![read_one(&mut reader, &bytes)?],
        };
        reader.finish().map_err(content_error)?;
        Ok(replies)
    }
}

fn read_one(reader: &mut Reader<'_>, whole: &Bytes) -> Result<Reply> {
    let (mut to, mut answer) = (None, None);
    let mut map = reader.map().map_err(content_error)?;
    while let Some(key) = reader.key(&mut map).map_err(content_error)? {
        match key {
            "to" => to = Some(at("/to", reader.text().map_err(content_error).and_then(MsgId::parse_text))?),
            "ok" | "error" if answer.is_some() => {
                return Err(Error::malformed("ok and error", "one of ok, error"));
            }
            "ok" => {
                let value = at("/ok", Node::read(reader, whole).map_err(content_error))?;
                at("/ok", decode::check_depth(&value))?;
                answer = Some(Ok(value));
            }
            "error" => {
                let node = Node::read(reader, whole).and_then(|node| node.decode::<Refusal>());
                answer = Some(Err(at("/error", node.map_err(content_error))?));
            }
            unknown => {
                return Err(Error::UnknownKey { at: pointer(unknown), expected: "to, ok, error".to_owned() });
            }
        }
    }
    Ok(Reply {
        to: to.ok_or_else(|| Error::missing("/to", "the id of the query"))?,
        answer: answer.ok_or_else(|| Error::malformed("neither ok nor error", "one of ok, error"))?,
    })
}
