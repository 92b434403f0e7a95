//! [`Block`]: bytes together with the CID that they really have.

use bytes::Bytes;

use crate::limits::BLOCK_BYTES_MAX;
use crate::{Cid, Error, Result};

/// Some bytes and their CID. Whoever holds a block knows that the two belong together: there is no way to make one
/// that does not hash the bytes.
///
/// Cloning is cheap. The bytes may be a slice of a larger buffer, which then lives as long as the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

impl Block {
    /// Names these bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over [`BLOCK_BYTES_MAX`].
    pub fn new(codec: u64, data: Bytes) -> Result<Self> {
        check_size(&data)?;
        Ok(Self { cid: Cid::of(codec, &data), data })
    }

    /// Takes bytes that are said to be those of the CID, and checks that they are.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if they are not, [`Error::Hash`] if that cannot be told, [`Error::TooLarge`] over
    /// [`BLOCK_BYTES_MAX`].
    pub fn verified(cid: Cid, data: Bytes) -> Result<Self> {
        check_size(&data)?;
        cid.verify(&data)?;
        Ok(Self { cid, data })
    }

    /// The CID.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The CID and the bytes.
    pub fn into_parts(self) -> (Cid, Bytes) {
        (self.cid, self.data)
    }
}

fn check_size(data: &Bytes) -> Result<()> {
    if data.len() <= BLOCK_BYTES_MAX {
        return Ok(());
    }
    Err(Error::TooLarge { what: "bytes in a block", amount: data.len() as u64, max: BLOCK_BYTES_MAX as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RAW;

    #[test]
    fn a_block_is_its_bytes() {
        let block = Block::new(RAW, Bytes::from_static(b"a")).unwrap();
        assert_eq!(Block::verified(*block.cid(), block.data().clone()).unwrap(), block);
        let error = Block::verified(*block.cid(), Bytes::from_static(b"b")).unwrap_err();
        assert_eq!(error, Error::Mismatch { cid: *block.cid() });
        assert_eq!(block.clone().into_parts(), (Cid::raw(b"a"), Bytes::from_static(b"a")));
    }

    #[test]
    fn a_block_has_a_largest_size() {
        let largest = Bytes::from(vec![0; BLOCK_BYTES_MAX]);
        let block = Block::new(RAW, largest).unwrap();
        let larger = Bytes::from(vec![0; BLOCK_BYTES_MAX + 1]);
        assert!(matches!(Block::new(RAW, larger.clone()), Err(Error::TooLarge { .. })));
        assert!(matches!(Block::verified(*block.cid(), larger), Err(Error::TooLarge { .. })));
    }
}
