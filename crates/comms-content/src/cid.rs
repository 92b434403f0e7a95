//! [`Cid`]: the address of content, computed from the content.
//!
//! A thin shell around the `cid` crate that adds strictness (nothing after the CID, no second spelling of the same
//! CID) and makes those CIDs that this project makes: version 1, SHA-256. It reads CIDs of any kind. It says nothing
//! about where the content is.

use std::fmt;
use std::str::FromStr;

use multihash::Multihash;
use serde::{Deserialize, Serialize};

use crate::hash::{DIGEST_BYTES, sha256};
use crate::{Error, Result};

/// The codec of plain bytes.
pub const RAW: u64 = 0x55;
/// The codec of UnixFS nodes.
pub const DAG_PB: u64 = 0x70;
/// The codec of message bodies.
pub const DAG_CBOR: u64 = 0x71;

/// The hash function that every CID made here uses.
pub(crate) const SHA2_256: u64 = 0x12;
/// The "hash function" whose digest is the content itself.
const IDENTITY: u64 = 0x00;

/// How every CID made here begins in bytes, but for the codec between: version 1, and SHA-256 of 32 bytes.
const VERSION_1: u8 = 1;
const MULTIHASH_HEAD: [u8; 2] = [0x12, 0x20];

/// A content identifier.
///
/// Ordered and hashed by version, codec and multihash. Displayed in base32 (version 1) or base58 (version 0); parsed from any
/// multibase. Through serde it is an IPLD link, which only IPLD formats understand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cid(cid::Cid);

impl Cid {
    /// The CID of these bytes under this codec: version 1, SHA-256.
    pub fn of(codec: u64, data: &[u8]) -> Self {
        Self::from_sha256(codec, &sha256(data))
    }

    /// The CID of these plain bytes.
    pub fn raw(data: &[u8]) -> Self {
        Self::of(RAW, data)
    }

    /// The CID of this DAG-CBOR block.
    pub fn dag_cbor(data: &[u8]) -> Self {
        Self::of(DAG_CBOR, data)
    }

    /// The CID, version 1, of content whose SHA-256 is already known.
    pub fn from_sha256(codec: u64, digest: &[u8; DIGEST_BYTES]) -> Self {
        let hash = Multihash::wrap(SHA2_256, digest).expect("32 bytes fit a multihash of 64");
        Self(cid::Cid::new_v1(codec, hash))
    }

    /// Reads a CID in bytes, and nothing but the CID.
    ///
    /// # Errors
    /// [`Error::Cid`]; also for a spelling that [`Cid::to_bytes`] would not give back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        // A CID as they are made here, without the detour over streams.
        if let [VERSION_1, codec @ 0..0x80, rest @ ..] = bytes
            && let Some((head, digest)) = rest.split_first_chunk::<2>()
            && *head == MULTIHASH_HEAD
            && let Ok(digest) = digest.try_into()
        {
            return Ok(Self::from_sha256(u64::from(*codec), digest));
        }
        let (cid, read) = Self::read(bytes)?;
        if read == bytes.len() { Ok(cid) } else { Err(malformed("bytes after its end")) }
    }

    /// Reads the CID that these bytes begin with, and says how long it is.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut rest = bytes;
        let cid =
            cid::Cid::read_bytes(&mut rest).map_err(|_| malformed("its bytes are not those of a CID"))?;
        let read = bytes.len() - rest.len();
        // A varint can be longer than need be, or carry bits beyond the 64 that count: second spellings, both.
        let cid = Self(cid);
        if cid.encoded_len() == read && cid.to_bytes() == bytes[..read] {
            Ok((cid, read))
        } else {
            Err(malformed("not its one spelling"))
        }
    }

    /// The bytes of the CID.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.write(&mut bytes);
        bytes
    }

    /// Appends the bytes of the CID.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.plain() {
            Some((codec, digest)) => {
                out.extend_from_slice(&[VERSION_1, codec, MULTIHASH_HEAD[0], MULTIHASH_HEAD[1]]);
                out.extend_from_slice(digest);
            }
            None => {
                self.0.write_bytes(out).expect("a vector takes every byte");
            }
        }
    }

    /// How many bytes [`Cid::to_bytes`] has.
    pub fn encoded_len(&self) -> usize {
        match self.plain() {
            Some((_, digest)) => 4 + digest.len(),
            None => self.0.encoded_len(),
        }
    }

    /// Codec and digest, if this is a CID as they are made here: one byte of codec, SHA-256.
    fn plain(&self) -> Option<(u8, &[u8; DIGEST_BYTES])> {
        let codec = u8::try_from(self.0.codec()).ok().filter(|codec| *codec < 0x80)?;
        let digest = self.0.hash().digest().try_into().ok()?;
        let plain = self.0.version() == cid::Version::V1 && self.0.hash().code() == SHA2_256;
        plain.then_some((codec, digest))
    }

    /// What the bytes are encoded as: [`RAW`], [`DAG_PB`], [`DAG_CBOR`] or another of the multicodec table.
    pub fn codec(&self) -> u64 {
        self.0.codec()
    }

    /// The same content under another codec, version 1. With one fixed codec this is the key to keep blocks by, so
    /// that all CIDs of the same bytes meet.
    #[must_use]
    pub fn with_codec(&self, codec: u64) -> Self {
        Self(cid::Cid::new_v1(codec, *self.0.hash()))
    }

    /// The multicodec code of the hash function.
    pub fn hash_code(&self) -> u64 {
        self.0.hash().code()
    }

    /// The digest alone.
    pub fn digest(&self) -> &[u8] {
        self.0.hash().digest()
    }

    /// The multihash: hash function, length and digest.
    pub fn multihash(&self) -> Vec<u8> {
        self.0.hash().to_bytes()
    }

    /// The content itself, if the CID carries it in place of a digest. Such content is never stored.
    pub fn inline(&self) -> Option<&[u8]> {
        (self.hash_code() == IDENTITY).then(|| self.digest())
    }

    /// Whether these bytes are what the CID names.
    ///
    /// # Errors
    /// [`Error::Hash`] if the hash function is none that can be computed here; [`Error::Mismatch`] if they are not.
    pub fn verify(&self, data: &[u8]) -> Result<()> {
        let matches = match self.hash_code() {
            SHA2_256 => sha256(data) == *self.digest(),
            IDENTITY => data == self.digest(),
            code => return Err(Error::Hash { code }),
        };
        if matches { Ok(()) } else { Err(Error::Mismatch { cid: *self }) }
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({})", self.0)
    }
}

impl FromStr for Cid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(malformed("too long"));
        }
        let plain_base58 = text.len() == V0_TEXT_BYTES && text.starts_with("Qm");
        let bytes = if plain_base58 {
            cid::Cid::try_from(text).map(|cid| cid.to_bytes())
        } else {
            cid::multibase::decode(text).map(|(_, bytes)| bytes).map_err(cid::Error::from)
        };
        let bytes = bytes.map_err(|_| malformed("its text is not base32, base58 or another multibase"))?;
        let cid = Self::from_bytes(&bytes)?;
        // Version 0 is written without a multibase prefix only; with one it would have a second text.
        if (cid.0.version() == cid::Version::V0) != plain_base58 {
            return Err(malformed("version 0 has no multibase prefix"));
        }
        Ok(cid)
    }
}

/// The length of every CID of version 0 in text.
const V0_TEXT_BYTES: usize = 46;
/// The longest CID in base 2, the longest base.
const TEXT_BYTES_MAX: usize = 1 + 8 * crate::limits::CID_BYTES_MAX;

fn malformed(reason: &str) -> Error {
    Error::Cid { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
