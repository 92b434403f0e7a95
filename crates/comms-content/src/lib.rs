//! Bytes to blocks to CIDs and back.
//!
//! What this crate is for: the address of content ([`Cid`]), content in addressed pieces ([`Block`]), files as trees of blocks
//! that every IPFS implementation computes alike ([`Importer`], [`Exporter`]), streams of blocks ([`car`]), and
//! structured values in their one canonical form ([`Node`], [`cbor`]).
//!
//! What it is not for: it opens no file and no connection, has no clock and no randomness, and does not know what a
//! message is. Everything is push or pull by the caller, who brings the bytes; every decoder takes any bytes without
//! panicking, and with memory in proportion to what it was given.
//!
//! Files follow the profile `unixfs-v1-2025` of IPIP-499 (version 1 CIDs, SHA-256, raw leaves of 1 MiB, 1024 links per node,
//! balanced). Directories are not part of it yet.

mod block;
pub mod car;
pub mod cbor;
mod cid;
mod dagpb;
mod error;
mod export;
mod hash;
mod import;
pub mod json;
pub mod limits;
mod node;
pub mod unixfs;
#[cfg(test)]
mod vectors;

pub use block::Block;
pub use cid::{Cid, DAG_CBOR, DAG_PB, RAW};
pub use error::{Error, Result};
pub use export::{Exporter, Step};
pub use import::{File, Importer};
pub use limits::BLOCK_BYTES_MAX;
pub use node::{BytesField, Node};
