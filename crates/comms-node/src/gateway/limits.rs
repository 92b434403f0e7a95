//! Every bound of the gateway, with its reason.

use std::time::Duration;

/// Bytes in one put. Larger than any document, film or disk image that one file should be; small enough that a
/// runaway writer does not fill a disk unnoticed.
pub(super) const PUT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Uploads at once. Each holds about 8 MiB (a batch being hashed and blocks on their way to the disk).
pub(super) const UPLOADS_MAX: usize = 16;
/// Downloads at once. Each holds about 5 MiB (blocks read ahead of the socket).
pub(super) const DOWNLOADS_MAX: usize = 64;
/// How long an upload may bring nothing before its place is given to somebody else.
pub(super) const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a reader may take nothing before its place is given to somebody else.
pub(super) const DOWNLOAD_IDLE_MAX: Duration = Duration::from_secs(60);
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
/// Connections at once: some for each service of a large domain, and transfers beside them.
pub(super) const CONNECTIONS_MAX: usize = 512;
/// How long nothing may happen on a connection before it is closed; longer than every wait of a request.
pub(super) const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(120);
/// Pause after the system refuses a connection (no file descriptors), so that the loop does not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
