//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Messages in one frame at most: what readers accept (the wire form's own limit).
pub(crate) const FRAME_MESSAGES_MAX: usize = 100;
/// Bytes in one frame at most: what readers accept; also one write of the connection.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Full frames that wait for the connection on one subject: 4 MiB, some milliseconds of a fast line. Who sends
/// more waits.
pub(crate) const FRAMES_WAITING_MAX: usize = 64;
/// How long it is taken for known that nobody reads frames of a type: long beside what asking costs, short beside what
/// single messages cost a busy sender.
pub(crate) const FRAMES_ASKED_AFTER: Duration = Duration::from_secs(1);
/// Types about which it is to be asked who reads frames; more are asked about in a next round.
pub(crate) const FRAMES_QUESTIONS_MAX: usize = 64;

/// Commands that the connection's own queue takes before senders wait. Large, since a frame, a door request and
/// an acknowledgement are one each.
pub(crate) const CLIENT_QUEUE: usize = 8 * 1024;
/// Messages that wait in one subscription. The broker knows no back-pressure on what is not stored, so this is
/// how long a handler may pause (65 536 single messages) before direct messages are lost, and counted.
pub(crate) const SUBSCRIPTION_QUEUE: usize = 64 * 1024;

/// Requests of one connection that wait for an answer: beyond it, askers wait for their turn.
pub(crate) const IN_FLIGHT_MAX: usize = 16 * 1024;

/// How long a connection attempt may take.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the first connection may take altogether, with what the node says before and after it.
pub(crate) const VOUCHED_WITHIN: Duration = Duration::from_secs(15);
/// The longest pause between two attempts to reconnect.
pub(crate) const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a door may take for one answer before the request is repeated with the same id: a door answers
/// after a synced write, some milliseconds; a server that restarts takes a second.
pub(crate) const DOOR_ATTEMPT: Duration = Duration::from_secs(5);
/// How long a request to a door is repeated altogether, if the caller names no time.
pub(crate) const DOOR_WITHIN: Duration = Duration::from_secs(15);
/// The first and the longest pause between two attempts at a door.
pub(crate) const DOOR_PAUSE_MIN: Duration = Duration::from_millis(20);
/// See [`DOOR_PAUSE_MIN`].
pub(crate) const DOOR_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long one poll for an outcome waits at the node: short enough that a lost answer costs little.
pub(crate) const OUTCOME_POLL: Duration = Duration::from_secs(5);
/// How long a direct command waits for room in its line before the sender is told that nothing leaves.
pub(crate) const DIRECT_WITHIN: Duration = Duration::from_secs(10);

/// Durable commands handled at the same time by one process, unless it says otherwise.
pub(crate) const COMMANDS_AT_ONCE: usize = 64;
/// Direct commands of one type under way at the same time; those that are ready at once do not count.
pub(crate) const DIRECT_AT_ONCE: usize = 1024;
/// Frames of queries of one type answered at the same time.
pub(crate) const QUERY_FRAMES_AT_ONCE: usize = 1024;
/// Entities whose events are listened to at the same time by one process.
pub(crate) const ENTITIES_AT_ONCE: usize = 64;

/// How often a command is tried whose handler fails or panics, before it becomes a dead letter.
pub(crate) const TRIES_MAX: u32 = 5;
/// How often a command may be delivered, whatever its handler says and whatever failed: it bounds retries that a handler
/// asks for, and commands that take the process down with them.
pub(crate) const DELIVERIES_MAX: u32 = 1000;
/// The pause before a failed command is tried again, doubled each time up to [`RETRY_PAUSE_MAX`].
pub(crate) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(200);
/// See [`RETRY_PAUSE_MIN`].
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest pause that a listener can ask for: as long as the node lets a command's handler ask for.
pub(crate) const PARKED_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a message of a type that this process does not handle is left to other instances.
pub(crate) const UNHANDLED_PAUSE: Duration = Duration::from_secs(30);

/// Events in one commit at most: the node's own limit.
pub(crate) const COMMIT_EVENTS_MAX: usize = 100;
/// Uploads of one message's fields at the same time.
pub(crate) const UPLOADS_AT_ONCE: usize = 4;

/// Contents remembered as shared with a type: about 300 KiB.
pub(crate) const SHARED_REMEMBERED_MAX: usize = 4096;

/// Events that wait for the reader of a watch.
pub(crate) const WATCH_BUFFER: usize = 256;
/// How long nothing comes before a watch that has not caught up asks whether this was all: the server delivers thousands of
/// events in that time, unless it cannot.
pub(crate) const WATCH_QUIET: Duration = Duration::from_secs(1);
/// How long a watch over the log may hear nothing, not even a heartbeat, before it opens its consumer anew.
/// The node's consumers beat every five seconds or faster.
pub(crate) const WATCH_SILENCE_MAX: Duration = Duration::from_secs(16);

/// How long `run` waits, once stopped, for handlers that are under way.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(25);

/// How long a commit is offered to the door before the intake looks whether it is to stop; then it is offered again.
pub(crate) const COMMIT_WITHIN: Duration = Duration::from_secs(10);
