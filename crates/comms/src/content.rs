//! Content: putting bytes of any length, and getting them back by CID, over the node's HTTP.
//!
//! Bytes never travel on the connection that carries messages. What comes back is verified block by block
//! against the CID before a byte of it is handed on, in constant memory; the node is not trusted to have done
//! so.
//!
//! [`Client`] works without a connection to NATS.

mod client;
mod field;
mod http;
mod reader;
mod source;
mod verifier;

pub use client::{Client, Put};
pub use field::Content;
pub(crate) use http::{Http, body};
pub use reader::Reader;
pub use source::Source;
