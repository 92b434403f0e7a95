//! What travels as one payload: a message, or several of one subject in a frame, in either form. When a frame
//! leaves is decided by whoever has the connection.

use bytes::{Buf, Bytes};
use comms_content::cbor::{Kind, Reader, Writer};

use crate::error::{at, content_error};
use crate::form::Form;
use crate::limits::{FRAME_BYTES_MAX, FRAME_MSGS_MAX, MSG_BYTES_MAX};
use crate::msg::decode;
use crate::{Error, Msg, Result, View};

/// Reads a payload: one CBOR map or JSON object, or an array of up to [`FRAME_MSGS_MAX`] of them in at
/// most [`FRAME_BYTES_MAX`].
///
/// The messages are read one by one while iterating, without copying their bodies; one that is refused does not
/// hide those after it, as far as its end can be found.
pub fn read(payload: &Bytes) -> Result<Msgs> {
    let items = split_items(payload)?;
    Ok(Msgs {
        rest: items.bytes,
        current: Bytes::new(),
        remaining: items.count,
        index: items.is_frame.then_some(0),
    })
}

/// Splits a payload into its messages or drafts, each as canonical DAG-CBOR, without reading them. More than
/// `max` are refused.
pub fn split(payload: &Bytes, max: usize) -> Result<Vec<Bytes>> {
    let items = split_items(payload)?;
    if items.count > max {
        return Err(Error::too_large(items.count, max, "messages"));
    }
    let mut parts = Vec::with_capacity(items.count);
    let mut reader = Reader::new(&items.bytes);
    for index in 0..items.count {
        let start = reader.position();
        at(&items.place(index), reader.item().map_err(content_error))?;
        parts.push(items.bytes.slice(start..reader.position()));
    }
    reader.finish().map_err(content_error)?;
    Ok(parts)
}

/// The items of a payload, one after the other as DAG-CBOR, not yet checked.
struct Items {
    bytes: Bytes,
    count: usize,
    is_frame: bool,
}

impl Items {
    fn place(&self, index: usize) -> String {
        if self.is_frame { format!("/{index}") } else { String::new() }
    }
}

fn split_items(payload: &Bytes) -> Result<Items> {
    if payload.len() > MSG_BYTES_MAX {
        return Err(Error::too_large(payload.len(), MSG_BYTES_MAX, "bytes"));
    }
    let mut bytes = match Form::of(payload) {
        Form::Cbor => payload.clone(),
        Form::Json => Form::Json.read(payload)?.into_bytes(),
    };
    let mut reader = Reader::new(&bytes);
    match reader.kind().map_err(content_error)? {
        Kind::Map => Ok(Items { bytes, count: 1, is_frame: false }),
        Kind::Array => {
            let count = reader.array().map_err(content_error)?;
            if count == 0 {
                return Err(Error::malformed("an empty array", "at least one message"));
            }
            if count > FRAME_MSGS_MAX {
                return Err(Error::too_large(count, FRAME_MSGS_MAX, "messages"));
            }
            if payload.len() > FRAME_BYTES_MAX {
                return Err(Error::too_large(payload.len(), FRAME_BYTES_MAX, "bytes in a frame"));
            }
            let head = reader.position();
            bytes.advance(head);
            Ok(Items { bytes, count, is_frame: true })
        }
        other => Err(Error::malformed(other.to_string(), "a message, or an array of messages")),
    }
}

/// The messages of one payload, in order.
#[derive(Clone, Debug)]
pub struct Msgs {
    rest: Bytes,
    /// The bytes from the message on that was read last.
    current: Bytes,
    remaining: usize,
    /// Which message of a frame is next.
    index: Option<usize>,
}

impl Msgs {
    /// The next message where it stands, checked like any other: for whoever may let it by.
    pub fn next_view(&mut self) -> Option<Result<View<'_>>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let index = self.index;
        if let Some(index) = &mut self.index {
            *index += 1;
        }
        self.current = self.rest.clone();
        let read = match decode::first(&self.current) {
            Ok((draft, length)) => {
                self.rest.advance(length);
                View::whole(draft)
            }
            Err(error) => {
                // To the message after it, or to the end if the bytes are not even DAG-CBOR.
                match Reader::new(&self.current).item() {
                    Ok(refused) => self.rest.advance(refused.len()),
                    Err(_) => {
                        self.remaining = 0;
                        self.rest.clear();
                    }
                }
                Err(error)
            }
        };
        let read = match read {
            Ok(_) if self.remaining == 0 && !self.rest.is_empty() => Err(Error::malformed(
                format!("{} bytes after the end", self.rest.len()),
                "nothing after the last message",
            )),
            read => read,
        };
        Some(match index {
            None => read,
            Some(index) => read.map_err(|error| error.within(&format!("/{index}"))),
        })
    }
}

impl Iterator for Msgs {
    type Item = Result<Msg>;

    fn next(&mut self) -> Option<Result<Msg>> {
        self.next_view().map(|view| view.map(Msg::from))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining.min(1), Some(self.remaining))
    }
}

/// Several messages of one subject that leave as one payload. One alone leaves as itself.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Room for the head of the array, then the messages.
    bytes: Vec<u8>,
    count: usize,
}

/// The head of an array of up to [`FRAME_MSGS_MAX`] items has at most two bytes.
const HEAD_BYTES_MAX: usize = 2;

impl Frame {
    /// An empty frame.
    pub fn new() -> Frame {
        Frame { bytes: vec![0; HEAD_BYTES_MAX], count: 0 }
    }

    /// Adds a message if it fits, and says whether it did. What does not fit an empty frame travels alone,
    /// as [`Msg::to_wire`] gives it.
    pub fn push(&mut self, msg: &Msg) -> bool {
        if self.count == FRAME_MSGS_MAX {
            return false;
        }
        let before = self.bytes.len();
        msg.write_cbor(&mut self.bytes);
        self.keep_from(before)
    }

    /// Adds a message that is already encoded, as [`Frame::push`] does.
    pub fn push_encoded(&mut self, msg: &[u8]) -> bool {
        if self.count == FRAME_MSGS_MAX {
            return false;
        }
        let before = self.bytes.len();
        self.bytes.extend_from_slice(msg);
        self.keep_from(before)
    }

    /// How many messages it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The payload, which is empty only if the frame is.
    pub fn finish(mut self) -> Bytes {
        let start = match self.count {
            0 | 1 => HEAD_BYTES_MAX,
            count => {
                let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
                Writer::new(&mut head).array(count);
                let start = HEAD_BYTES_MAX - head.len();
                self.bytes[start..HEAD_BYTES_MAX].copy_from_slice(&head);
                start
            }
        };
        let mut bytes = Bytes::from(self.bytes);
        bytes.advance(start);
        bytes
    }

    fn keep_from(&mut self, before: usize) -> bool {
        let fits = self.bytes.len() <= FRAME_BYTES_MAX;
        if fits {
            self.count += 1;
        } else {
            self.bytes.truncate(before);
        }
        fits
    }
}

impl Default for Frame {
    fn default() -> Frame {
        Frame::new()
    }
}
