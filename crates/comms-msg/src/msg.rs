//! The message: what it is, and its two forms. Who may send it, and where to, is not decided here.

pub(crate) mod decode;
pub(crate) mod encode;
mod nested;

use bytes::Bytes;
use comms_content::{Cid, Node};

use crate::error::{at, content_error};
use crate::limits::MSG_BYTES_MAX;
use crate::{Body, DomainContent, Draft, Error, Form, Hop, Metadata, MsgId, Result, View};

/// A message: an IPLD node of id, metadata and content, with `hop` beside it.
///
/// Its bytes are canonical: one message has one encoding, and so one CID, in whatever form it travelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Msg {
    /// Its id.
    pub id: MsgId,
    /// Who, when, in which conversation.
    pub metadata: Metadata,
    /// What it carries, if anything.
    pub content: Option<DomainContent>,
    /// What hops may change; never part of the CID.
    pub hop: Hop,
}

impl Msg {
    /// The canonical DAG-CBOR, with `hop`. Not checked against the size of a message: what leaves the
    /// process goes through [`Msg::to_wire`].
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(encode::size_hint(self));
        self.write_cbor(&mut out);
        out
    }

    /// Appends what [`Msg::to_cbor`] gives.
    pub fn write_cbor(&self, out: &mut Vec<u8>) {
        encode::Parts::of(self).write(out);
    }

    /// The canonical DAG-CBOR, checked as every reader will check it: size of the message, depth of its body.
    pub fn to_wire(&self) -> Result<Bytes> {
        check_depth(self.content.as_ref().map(DomainContent::body))?;
        let bytes = self.to_cbor();
        if bytes.len() > MSG_BYTES_MAX {
            return Err(Error::too_large(bytes.len(), MSG_BYTES_MAX, "bytes"));
        }
        Ok(bytes.into())
    }

    /// What is handed to the node for keeping: the same without its time, which the node fills in when it gets it. So what
    /// is said again later, under the same id, is the same message. Checked as by [`Msg::to_wire`].
    pub fn to_door(&self) -> Result<Bytes> {
        check_depth(self.content.as_ref().map(DomainContent::body))?;
        let mut out = Vec::with_capacity(encode::size_hint(self));
        encode::Parts { time: None, ..encode::Parts::of(self) }.write(&mut out);
        if out.len() > MSG_BYTES_MAX {
            return Err(Error::too_large(out.len(), MSG_BYTES_MAX, "bytes"));
        }
        Ok(out.into())
    }

    /// Reads exactly what [`Msg::to_cbor`] writes, without copying the body; whatever else is refused.
    pub fn from_cbor(bytes: &Bytes) -> Result<Msg> {
        if bytes.len() > MSG_BYTES_MAX {
            return Err(Error::too_large(bytes.len(), MSG_BYTES_MAX, "bytes"));
        }
        View::whole(decode::whole(bytes, decode::Leniency::Strict)?).map(Msg::from)
    }

    /// Like [`Msg::from_cbor`], for bytes that are not shared: copies them once.
    pub fn from_slice(bytes: &[u8]) -> Result<Msg> {
        Msg::from_cbor(&Bytes::copy_from_slice(bytes))
    }

    /// The DAG-JSON, with `hop`.
    ///
    /// # Errors
    /// As [`Msg::to_wire`].
    pub fn to_json(&self) -> Result<String> {
        Ok(self.to_node()?.to_json())
    }

    /// Reads DAG-JSON: keys in any order, any white space, otherwise as strict as [`Msg::from_cbor`].
    pub fn from_json(text: &[u8]) -> Result<Msg> {
        Msg::from_node(&Form::Json.read(&Bytes::copy_from_slice(text))?)
    }

    /// The message as one node of data: what nests in answers of doors.
    ///
    /// # Errors
    /// As [`Msg::to_wire`].
    pub fn to_node(&self) -> Result<Node> {
        Node::from_cbor(self.to_wire()?).map_err(content_error)
    }

    /// Reads a node of data.
    pub fn from_node(node: &Node) -> Result<Msg> {
        Msg::from_cbor(node.as_bytes())
    }

    /// The CID of the message: of the canonical bytes without `hop`.
    pub fn cid(&self) -> Cid {
        let mut out = Vec::with_capacity(encode::size_hint(self));
        encode::Parts { hop: None, ..encode::Parts::of(self) }.write(&mut out);
        Cid::dag_cbor(&out)
    }

    /// [`Msg::to_cbor`] and [`Msg::cid`] of one encoding: what is stored, and what it is called.
    pub fn encoded(&self) -> Encoded {
        let mut bytes = Vec::with_capacity(encode::size_hint(self));
        let hop = encode::Parts::of(self).write(&mut bytes);
        let cid = if hop.is_empty() {
            Cid::dag_cbor(&bytes)
        } else {
            let mut hashed = Vec::with_capacity(bytes.len());
            hashed.extend_from_slice(&bytes[..hop.start]);
            hashed.extend_from_slice(&bytes[hop.end..]);
            // The head of a map of a few pairs is one byte, which counts them.
            hashed[0] -= 1;
            Cid::dag_cbor(&hashed)
        };
        Encoded { bytes: bytes.into(), cid }
    }

    /// Everything the message links to, each once: links in its body, or its linked or sealed body. Not the
    /// event before it, which is a message and not content.
    pub fn links(&self) -> Vec<Cid> {
        match self.content.as_ref().map(DomainContent::body) {
            Some(Body::Inline(node)) => node.links(),
            Some(Body::Link(cid)) => vec![*cid],
            Some(Body::Sealed(sealed)) => vec![sealed.link],
            None => Vec::new(),
        }
    }
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The canonical DAG-CBOR, with `hop`.
    pub bytes: Bytes,
    /// The CID of the message, which does not cover `hop`.
    pub cid: Cid,
}

impl From<Msg> for Draft {
    fn from(msg: Msg) -> Draft {
        Draft::of(msg)
    }
}

/// Refuses a body that would nest too deep inside a door's answer.
pub(crate) fn check_depth(body: Option<&Body>) -> Result<()> {
    match body {
        Some(Body::Inline(node)) => at("/content/body", decode::check_depth(node)),
        Some(Body::Link(_) | Body::Sealed(_)) | None => Ok(()),
    }
}
