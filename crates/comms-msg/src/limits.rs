//! Every bound of a message, with its reason. Nothing else.

/// Bytes of a name token (domain, service, context, type): the length of a DNS label, so that a name can
/// become one.
pub const NAME_BYTES_MAX: usize = 63;

/// Bytes of an entity id: room for a UUID, a hash or a readable slug, while thousands of subjects that
/// carry one stay small in the server's memory.
pub const ENTITY_BYTES_MAX: usize = 128;

/// Bytes of a delivery token, which is a service's purpose and 128 bits as hex.
pub const DELIVER_TOKEN_BYTES_MAX: usize = 128;

/// Bytes of an owner: an opaque id, never a document about a person.
pub const OWNER_BYTES_MAX: usize = 128;

/// Key/value pairs of a message: they are for routing and tracing, the body is for data.
pub const PAIRS_MAX: usize = 32;

/// Bytes of the key of a pair.
pub const PAIR_KEY_BYTES_MAX: usize = 64;

/// Bytes of the value of a pair.
pub const PAIR_VALUE_BYTES_MAX: usize = 1024;

/// Bytes of a text in `hop` (reply subject, trace): a reply subject of Comms has below 200, a W3C
/// `traceparent` with its state fits too.
pub const HOP_TEXT_BYTES_MAX: usize = 512;

/// Bytes of the name of a sealing key.
pub const SEAL_KEY_BYTES_MAX: usize = 256;

/// Bytes of one message: the `max_payload` that nats-server has unless told otherwise.
pub const MSG_BYTES_MAX: usize = 1_048_576;

/// Levels of arrays and maps around a body in the deepest thing that nests messages (an outcome with its
/// events: answer, outcome, events, event, message, content), and two more.
pub const ENVELOPE_DEPTH_MAX: usize = 8;

/// Levels of arrays and maps in a body: what is left of the levels that a reader takes.
pub const BODY_DEPTH_MAX: usize = comms_content::limits::DEPTH_MAX - ENVELOPE_DEPTH_MAX;

/// Messages of one frame: more gain nothing, since the cost per packet is already spread.
pub const FRAME_MSGS_MAX: usize = 100;

/// Bytes of one frame: a frame must not hold up the line for other subjects of the connection.
pub const FRAME_BYTES_MAX: usize = 65_536;

/// Events of one commit: what fits a frame, since a commit arrives as one.
pub const COMMIT_EVENTS_MAX: usize = FRAME_MSGS_MAX;

/// Bytes of a request to a door or of its answer: the same limit of nats-server as for a message.
pub const DOOR_BYTES_MAX: usize = MSG_BYTES_MAX;

/// Types that one `watch` may name: each becomes a filter of a consumer, and the server walks them all.
pub const WATCH_TYPES_MAX: usize = 64;

/// Events of which one `tally` says that they were got: some 10 KiB, and a reader asks some hundred times a second at most.
pub const TALLY_GOT_MAX: usize = 2_048;

/// Sequences that one answer of `tally` names: each costs the node a read of its own.
pub const TALLY_MISSING_MAX: usize = 64;

/// Milliseconds that one `door.outcome` request may wait: below the request deadline of every client, so
/// that "nothing yet" arrives as an answer and not as a timeout.
pub const OUTCOME_WAIT_MS_MAX: u64 = 30_000;

/// Field problems that one refusal lists: enough to mend a form, bounded for hostile bodies.
pub const PROBLEMS_MAX: usize = 64;

/// Bytes of input that an error quotes: enough to recognise it, too few to flood a log.
pub const QUOTE_BYTES_MAX: usize = 80;

/// Characters of the log part of a position (the incarnation of a stream).
pub const LOG_BYTES: usize = 8;

/// The wire version that is written, and the only one that is read.
pub const WIRE_VERSION: u32 = 1;
