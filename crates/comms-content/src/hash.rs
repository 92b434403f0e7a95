//! SHA-256, the one hash function that content is addressed by here. The library picks the instructions of the
//! machine, and there is no other caller of it in this crate.

use ring::digest::{SHA256, digest};

/// The length of a SHA-256 digest.
pub(crate) const DIGEST_BYTES: usize = 32;

/// SHA-256 of the bytes.
pub(crate) fn sha256(data: &[u8]) -> [u8; DIGEST_BYTES] {
    digest(&SHA256, data).as_ref().try_into().expect("a SHA-256 digest has 32 bytes")
}
