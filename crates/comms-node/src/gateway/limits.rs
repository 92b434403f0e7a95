//! Every bound of the gateway, with its reason.

use std::time::Duration;

use super::progress::Pace;

/// Bytes in one put. Larger than any document, film or disk image that one file should be; small enough that a
/// runaway writer does not fill a disk unnoticed.
pub(super) const PUT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// What an upload must bring while it is waited for: less than any disk or pipe gives, more than a byte now and then.
pub(super) const BROUGHT_PACE: Pace = Pace { bytes: 16 * 1024, within: Duration::from_secs(30) };
/// What a client must take of an answer while it is waited for.
pub(super) const TAKEN_PACE: Pace = Pace { bytes: 64 * 1024, within: Duration::from_secs(30) };
/// Bytes of a refused request that are read and thrown away, so that its sender hears why: a second's work on loopback.
pub(super) const UNREAD_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How long a refused request is read for, and how long it may bring nothing: what is not on its way now needs no
/// reader.
pub(super) const UNREAD_WAIT_MAX: Duration = Duration::from_secs(3);
pub(super) const UNREAD_PAUSE_MAX: Duration = Duration::from_millis(200);
/// Pieces that wait for the socket: one while another is being written.
pub(super) const READ_AHEAD_PIECES: usize = 2;
/// A definition with all its schemas, as JSON.
pub(super) const DEFINITION_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Connections at once that have not shown an accepted token: each may hold a head of at most 400 KiB. Those that have are
/// bounded by `[limits]` of the definition. Where few files may be open there are fewer (`files.rs`).
pub(crate) const STRANGERS_MAX: usize = 256;
/// How long a connection without a head is spared when others want its place: a hundred times what a client on this
/// machine needs to send one.
pub(super) const LOBBY_SPARED: Duration = Duration::from_millis(50);
/// Sockets at once: those, as many others as `[limits]` may say, and what is being closed. Below the 1,024 files that a
/// process may have open by default, with room for files of blocks.
pub(crate) const SOCKETS_MAX: usize = 896;
/// Connections that the system holds until they are accepted: a flood of them is shed in the lobby, and not here, where
/// it would cost an honest client a second.
pub(super) const ACCEPT_QUEUE_MAX: u32 = 4096;
/// How long a head may take from its first byte on, and how long a stranger may rest.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection of a service may rest between requests: longer than clients keep theirs, which the library does
/// for 30 s, so that none is closed under a request.
pub(super) const REST_MAX: Duration = Duration::from_secs(60);
