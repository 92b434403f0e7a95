//! Every bound of the gateway, with its reason.

use std::time::Duration;

use super::progress::Pace;
use crate::share::Limit;

/// Bytes in one put. Larger than any document, film or disk image that one file should be; small enough that a
/// runaway writer does not fill a disk unnoticed.
pub(super) const PUT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Uploads at once. Each holds about 8 MiB (a batch being hashed and blocks on their way to the disk).
pub(super) const UPLOADS_MAX: u64 = 32;
/// Two, so that one that is slow does not stop the next of the same service.
pub(super) const UPLOADS: Limit = Limit { what: "uploads", key: "limits.uploads", least: 2 };
/// Downloads at once. Each holds about 5 MiB (blocks read ahead of the socket).
pub(super) const DOWNLOADS_MAX: u64 = 64;
pub(super) const DOWNLOADS: Limit = Limit { what: "downloads", key: "limits.downloads", least: 2 };
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
/// Connections at once that have shown an accepted token: some for each service of a large domain, and transfers beside
/// them.
pub(super) const CONNECTIONS_MAX: u64 = 512;
pub(super) const CONNECTIONS: Limit = Limit { what: "connections", key: "limits.connections", least: 2 };
/// Connections at once that have not: each may hold a head of at most 400 KiB.
pub(super) const STRANGERS_MAX: usize = 256;
/// How long a connection without a head is spared when others want its place: a hundred times what a client on this
/// machine needs to send one.
pub(super) const LOBBY_SPARED: Duration = Duration::from_millis(50);
/// Sockets at once: all of the above, and those that are being closed. Below the 1,024 files that a process may have open
/// by default, with room for files of blocks.
pub(super) const SOCKETS_MAX: usize = 896;
/// Connections that the system holds until they are accepted: a flood of them is shed in the lobby, and not here, where
/// it would cost an honest client a second.
pub(super) const ACCEPT_QUEUE_MAX: u32 = 4096;
/// How long a head may take from its first byte on, and how long a stranger may rest.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection of a service may rest between requests: longer than clients keep theirs, which the library does
/// for 30 s, so that none is closed under a request.
pub(super) const REST_MAX: Duration = Duration::from_secs(60);
