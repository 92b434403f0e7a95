//! What a message is known by: its kind, its sender, its type and its id together.
//!
//! An id alone names nothing: senders choose their ids, and who can foretell another's id must not be able to take it
//! first. So whatever remembers messages remembers them by this.

use std::fmt;

use ring::digest::{Context, SHA256};

use crate::{Kind, MsgId, ServiceName, TypeName};

/// The key of a message, 32 bytes: the id, so that keys of ids with a time in them sort by it, and half a digest of the rest.
///
/// The exact formula, for other implementations:
/// ```text
/// digest  = SHA-256( "comms-msg key 1" 0x00              (ASCII, 16 bytes with the zero)
///                    || kind || 0x00                     ("command", "query" or "event")
///                    || sender || 0x00 || type )         (their UTF-8 text)
/// key     = id (16 bytes) || digest[0..16]
/// ```
///
/// Two messages with one key are one message, or somebody broke SHA-256 to 128 bits against messages of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgKey([u8; 32]);

const SEPARATOR: &[u8] = b"comms-msg key 1\0";

impl MsgKey {
    /// The key of that message.
    pub fn new(kind: Kind, sender: &ServiceName, type_name: &TypeName, id: MsgId) -> MsgKey {
        let mut context = Context::new(&SHA256);
        context.update(SEPARATOR);
        context.update(kind.as_str().as_bytes());
        context.update(&[0]);
        context.update(sender.as_str().as_bytes());
        context.update(&[0]);
        context.update(type_name.as_str().as_bytes());
        let mut key = [0; 32];
        key[..16].copy_from_slice(id.as_bytes());
        key[16..].copy_from_slice(&context.finish().as_ref()[..16]);
        MsgKey(key)
    }

    /// The id of the message.
    pub fn id(&self) -> MsgId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        MsgId::from_uuid(uuid::Uuid::from_bytes(id))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key as its bytes were kept.
    pub fn from_bytes(bytes: [u8; 32]) -> MsgKey {
        MsgKey(bytes)
    }
}

impl fmt::Display for MsgKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MsgKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
