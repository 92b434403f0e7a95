//! What can go wrong, by what it means for the caller.

use std::io;

use comms_content::Cid;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes could not be kept or given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block is not here.
    #[error("block {cid} is not in this store")]
    Missing {
        /// What was asked for.
        cid: Cid,
    },
    /// What is on disk is not what its name says. It is not served; the next put of the same bytes heals it.
    #[error("block {cid} is damaged on disk")]
    Corrupt {
        /// What was asked for.
        cid: Cid,
    },
    /// More than may be kept in one block, or recorded for one content.
    #[error("{what} has {actual}, more than the {max} allowed")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
        /// How much there is.
        actual: u64,
        /// How much there may be.
        max: u64,
    },
    /// No space left on the disk, or none left for this user.
    #[error("no space left on the disk of the store")]
    Full {
        /// What the disk said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk failed, or does not let us.
    #[error("the store could not {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the disk said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes cannot be made into blocks.
    #[error("the content does not fit its form")]
    Content(#[from] comms_content::Error),
}

impl Error {
    /// Sorts what a disk says by what it means.
    pub(crate) fn io(what: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let full = is_full(&source);
        let source = Box::new(source);
        if full { Self::Full { source } } else { Self::Io { what, source } }
    }
}

/// Whether somewhere down the chain a disk says that it is full. `object_store` has no kind of its own for it.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_below_other_errors() {
        let below = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        };
        assert!(matches!(Error::io("write a block", below), Error::Full { .. }));
        let other = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(matches!(Error::io("write a block", other), Error::Io { .. }));
    }
}
