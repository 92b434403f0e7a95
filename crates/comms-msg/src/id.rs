//! Ids of messages. Randomness and time come in as arguments; this file only lays out bits.

use std::fmt;

use ring::digest::{Context, SHA256};
use uuid::Uuid;

use crate::text::text_form;
use crate::{Error, MsgKey, Result, ServiceName, Timestamp};

/// The id of a message: a UUID, in text always lower case with hyphens. Version 7 where we made it, so that
/// ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(Uuid);

const TIME_MS_MAX: u64 = (1 << 48) - 1;
const DERIVE_SEPARATOR: &[u8] = b"comms-msg derive 2\0";

impl MsgId {
    /// The smallest step of the `random` argument of [`MsgId::v7`] that gives another id: a UUID v7 has
    /// room for 74 of its 128 bits, and takes the highest.
    pub const RANDOM_STEP: u128 = 1 << 54;

    /// A UUID v7 of a time and 128 random bits, of which the highest 74 are used.
    ///
    /// Order is kept: for increasing `(unix_ms, random)` ids never decrease, and they increase where `unix_ms`
    /// does or `random` grows by at least [`MsgId::RANDOM_STEP`]. This ends with the 48 bits of time in the year
    /// 10889; later times count as the last of them.
    pub fn v7(unix_ms: u64, random: u128) -> MsgId {
        let time = u128::from(unix_ms.min(TIME_MS_MAX)) << 80;
        let high = (random >> 116) << 64;
        let low = (random >> 54) & ((1 << 62) - 1);
        MsgId(Uuid::from_u128(time | VERSION_7 | high | VARIANT | low))
    }

    /// The id of the `ordinal`-th message (from 0) that `handler` makes because of `cause`, for a command the events
    /// of its commit: the same on every redelivery, so that a repeat is recognised.
    ///
    /// The exact formula, for other implementations:
    /// ```text
    /// digest = SHA-256( "comms-msg derive 2" 0x00        (ASCII, 19 bytes with the zero)
    ///                   || cause                         (the 32 bytes of its [`MsgKey`])
    ///                   || ordinal                       (4 bytes, big endian)
    ///                   || handler )                     (its UTF-8 text)
    /// id[0..6]  = cause[0..6]                            (so the id sorts with its cause)
    /// id[6..16] = digest[0..10]
    /// id[6]     = 0x70 | (id[6] & 0x0f)                  (version 7)
    /// id[8]     = 0x80 | (id[8] & 0x3f)                  (variant)
    /// ```
    pub fn derive(cause: &MsgKey, handler: &ServiceName, ordinal: u32) -> MsgId {
        let mut context = Context::new(&SHA256);
        context.update(DERIVE_SEPARATOR);
        context.update(cause.as_bytes());
        context.update(&ordinal.to_be_bytes());
        context.update(handler.as_str().as_bytes());
        let digest = context.finish();

        let mut id = [0; 16];
        id[..6].copy_from_slice(&cause.as_bytes()[..6]);
        id[6..].copy_from_slice(&digest.as_ref()[..10]);
        id[6] = 0x70 | (id[6] & 0x0f);
        id[8] = 0x80 | (id[8] & 0x3f);
        MsgId(Uuid::from_bytes(id))
    }

    /// Any UUID: foreign senders choose their own.
    pub fn from_uuid(uuid: Uuid) -> MsgId {
        MsgId(uuid)
    }

    /// As a UUID.
    pub fn uuid(&self) -> Uuid {
        self.0
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The time inside, if the id is a version 7.
    pub fn time(&self) -> Option<Timestamp> {
        (self.0.get_version_num() == 7)
            .then(|| Timestamp::from_unix_ms((self.0.as_u128() >> 80).try_into().unwrap_or(u64::MAX)))
    }

    /// Any common spelling of a UUID (upper case, braces, without hyphens): for drafts of foreign clients.
    pub fn parse_lenient(text: &str) -> Result<MsgId> {
        Uuid::try_parse(text).map(MsgId).map_err(|_| Error::invalid(text, EXPECTED))
    }

    /// Writes the 36 characters of the text form.
    pub(crate) fn write_text<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        self.0.as_hyphenated().encode_lower(buffer)
    }

    pub(crate) fn parse_text(text: &str) -> Result<MsgId> {
        let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
        match Uuid::try_parse_ascii(text.as_bytes()) {
            Ok(uuid) if canonical => Ok(MsgId(uuid)),
            _ => Err(Error::invalid(text, EXPECTED)),
        }
    }
}

const VERSION_7: u128 = 0x7 << 76;
const VARIANT: u128 = 0b10 << 62;
const EXPECTED: &str = "a UUID in lower case with hyphens, such as 0199c0de-0000-7000-8000-000000000001";

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.write_text(&mut [0; 36]))
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(MsgId, "a UUID as text");
