//! What one nats-server of a domain may take of its machine. Each bound is set on purpose: what the server would choose by
//! itself depends on what was free when it started, or is meant for a machine that does nothing else.

use std::fmt::Write as _;

use crate::limits::PAYLOAD_BYTES_MAX;

/// What all streams may take on disk where nobody said less: as good as no bound. The node itself watches the disk
/// and refuses what is new long before it is full; a bound that the server draws from the free space would shrink
/// with the log, and a log larger than it takes no write at all.
pub const FILE_BYTES_DEFAULT: u64 = 1 << 60;
/// What an operator may bound the log to at least: less than a few largest batches leaves no room to end commands.
pub const LOG_BYTES_MIN: u64 = 32 << 20;
/// Streams in memory: none of ours is, but the server asks for a bound.
pub const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// Bytes that wait for one connection. The server gives a listener up to 32 MiB before it waits for a sign that they were
/// read, so less would cut listeners that read; four of the largest messages beside that. A connection that is further
/// behind is cut, and its client comes back and goes on where it was.
pub const UNREAD_BYTES_MAX: u64 = (32 << 20) + 4 * PAYLOAD_BYTES_MAX;
/// Connections at once: several of each service of the largest domain. What they may leave unread together is
/// bounded by the node, which ends those that hold most.
pub const CONNECTIONS_MAX: u32 = 8_192;
/// Subscriptions of one connection: each type of the largest domain twice, once to handle and once to watch.
pub const SUBSCRIPTIONS_MAX: u32 = 8_192;
/// Bytes of one protocol line: the longest subject and reply subject that `comms-msg` allows, and their numbers.
pub const CONTROL_LINE_BYTES_MAX: u32 = 4_096;
/// How long a write to a connection may be stuck before the connection is cut.
pub const WRITE_SECONDS_MAX: u32 = 10;
/// How often a silent connection is asked whether it is there, and how many questions it may leave unanswered: a machine
/// that vanished holds its place for a minute and a half, not for six minutes.
pub const PING_SECONDS: u32 = 30;
/// See [`PING_SECONDS`].
pub const PINGS_UNANSWERED_MAX: u32 = 2;
/// How long a server that is asked to hand over (SIGUSR2) takes for it; the shortest time it accepts.
pub const LAME_DUCK_SECONDS: u32 = 30;
/// How long it waits before it begins; clients are told at once.
pub const LAME_DUCK_GRACE_SECONDS: u32 = 2;
/// Closed connections that are remembered for who asks: enough to see a reconnecting one, little memory.
pub const CLOSED_REMEMBERED_MAX: u32 = 256;
/// What waits to enter one stream. The node has less in flight; more is somebody who must not write there.
pub const INGEST_BYTES_MAX: u64 = 64 << 20;
/// See [`INGEST_BYTES_MAX`].
pub const INGEST_MESSAGES_MAX: u32 = 20_000;

/// The bounds of one server that an operator may want to be others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// What all streams may take on disk.
    pub file_bytes_max: u64,
    /// Connections at once.
    pub connections_max: u32,
    /// Bytes that wait for one connection that does not read.
    pub unread_bytes_max: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: FILE_BYTES_DEFAULT,
            connections_max: CONNECTIONS_MAX,
            unread_bytes_max: UNREAD_BYTES_MAX,
        }
    }
}

impl ServerLimits {
    /// The bounds that stand outside of every block of the configuration.
    pub(super) fn write(&self, out: &mut String) {
        let Self { connections_max, unread_bytes_max, .. } = self;
        let lines = [
            ("max_payload", PAYLOAD_BYTES_MAX.to_string()),
            ("max_pending", unread_bytes_max.to_string()),
            ("max_connections", connections_max.to_string()),
            ("max_subscriptions", SUBSCRIPTIONS_MAX.to_string()),
            ("max_control_line", CONTROL_LINE_BYTES_MAX.to_string()),
            ("max_closed_clients", CLOSED_REMEMBERED_MAX.to_string()),
            ("write_deadline", format!("\"{WRITE_SECONDS_MAX}s\"")),
            ("ping_interval", format!("\"{PING_SECONDS}s\"")),
            ("ping_max", PINGS_UNANSWERED_MAX.to_string()),
            ("lame_duck_duration", format!("\"{LAME_DUCK_SECONDS}s\"")),
            ("lame_duck_grace_period", format!("\"{LAME_DUCK_GRACE_SECONDS}s\"")),
        ];
        for (key, value) in lines {
            writeln!(out, "{key}: {value}").expect("a String takes every write");
        }
    }

    /// The bounds of the streams, inside of the block `jetstream`.
    pub(super) fn write_jetstream(&self, out: &mut String) {
        let lines = [
            ("max_memory_store", MEMORY_BYTES_MAX),
            ("max_file_store", self.file_bytes_max),
            ("max_buffered_size", INGEST_BYTES_MAX),
            ("max_buffered_msgs", u64::from(INGEST_MESSAGES_MAX)),
        ];
        for (key, value) in lines {
            writeln!(out, "  {key}: {value}").expect("a String takes every write");
        }
    }
}
