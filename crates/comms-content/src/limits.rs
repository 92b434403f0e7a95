//! Every bound of this crate, each with its reason. What is not here has no bound of its own: it is in proportion
//! to bytes that the caller already holds.

/// The largest block that is made, taken or given away: what other IPFS nodes accept over the wire.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How deep arrays and maps may nest. A reader recurses once per level, so this bounds its stack; people's
/// data nests a dozen levels at most.
pub const DEPTH_MAX: usize = 64;

/// The longest CID in bytes: version, codec and hash code of up to nine bytes each, one length byte, and the
/// longest digest that [`Cid`](crate::Cid) can hold.
pub const CID_BYTES_MAX: usize = 3 * 9 + 1 + 64;

/// Byte strings that may leave one body for links of their own. Each becomes a file that is uploaded and granted
/// one by one; a body with more of them wants to be a list of links in the first place.
pub const FIELDS_MAX: usize = 1024;

/// The longest path that is kept for a byte string; a longer one is cut. Paths are for people, and the path of every field
/// of a hostile body, each as long as the body, would be its square.
pub const PATH_BYTES_MAX: usize = 1024;

/// Bytes in a leaf of a file, by the profile `unixfs-v1-2025`.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// Links in an inner node of a file, by the profile `unixfs-v1-2025`.
pub const WIDTH: usize = 1024;

/// How deep a file's tree may be when it is read. Five levels of the profile hold more than 2^64 bytes; the rest is
/// room for narrow trees by other writers.
pub const FILE_DEPTH_MAX: usize = 32;

/// Links that wait at one time while a file is read, over all levels of its tree: about 7 MiB. A tree of the
/// profile has at most five levels of 1024.
pub const FILE_LINKS_MAX: usize = 64 * 1024;

/// The largest header of a CAR. Ours have one root; others list their pins.
pub const CAR_HEADER_BYTES_MAX: usize = 1024 * 1024;
