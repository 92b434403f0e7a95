//! Every bound of this crate, with its reason.

use comms_content::limits::CHUNK_BYTES;

/// Blocks being written at once, over all callers. Each holds one block in memory and one blocking thread that
/// waits for the disk; more writers than this do not make a disk faster.
pub const BLOCK_WRITES_MAX: usize = 16;

/// Blocks being read and verified at once, over all callers; each holds one block in memory.
pub const BLOCK_READS_MAX: usize = 32;

/// Blocks of one file being written at once: enough to keep a disk busy while the next chunk is hashed, few
/// enough that one upload leaves room for others.
pub const FILE_WRITES_MAX: usize = 4;

/// Bytes collected before they are handed to a thread that hashes: whole chunks of the profile, so that no
/// leaf is put together twice, and so that the hand-over (some microseconds) disappears beside the hash.
pub const HASH_BATCH_BYTES: usize = CHUNK_BYTES;

/// Contents whose grants are kept in memory. About 200 bytes each with a few grants: some 13 MiB.
pub const GRANTS_CACHED_MAX: usize = 65_536;

/// Grants of one content. Bounded by services and types of the domain; a folder with more is not ours.
pub const GRANTS_PER_CONTENT_MAX: usize = 4096;
