//! Blocks on a local disk, and the records of who may read them.
//!
//! [`Blocks`] keeps blocks by multihash, durable before it answers and verified at every read. [`Grants`] keeps
//! why somebody may read a content: who put it, and which types of messages carry it. Neither knows the
//! domain: whoever asks on behalf of a service decides with both in hand.
//!
//! What is put is [`Staged`] first, and in the store when somebody answers for it.
//!
//! Both read through `object_store`, and grants are written through it with its syncing on. What that leaves to the
//! caller, the entries of folders it did not create itself, is done by `folder`.

mod blocks;
mod cache;
mod error;
mod file;
mod folder;
mod grants;
pub mod limits;
mod staged;
mod staging;

pub use blocks::Blocks;
pub use error::{Error, Result};
pub use folder::make_folder;
pub use grants::{Grant, Grants};
pub use staged::Staged;
