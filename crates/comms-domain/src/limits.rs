//! Every bound of a definition, with its reason. What a message may be is bounded in `comms-msg`.

use std::time::Duration;

/// `domain.toml` at most. A domain of a thousand types is about a tenth of it.
pub const DEFINITION_BYTES_MAX: usize = 1 << 20;
/// One schema file at most. It is compiled into memory several times its size.
pub const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// Commands, queries and events together. Each costs a few permissions per service on the server.
pub const TYPES_MAX: usize = 4096;
/// Services, without `dev` and `operator`. Each is a user of nats-server and two consumers at most.
pub const SERVICES_MAX: usize = 1024;
/// Owners that one service may be bound to. People come and go more often than definitions: many more belong behind a
/// service that knows them.
pub const OWNERS_MAX: usize = 1024;
/// Problems reported at once: more than a person mends in one go.
pub const PROBLEMS_MAX: usize = 200;
/// Problems of one body reported at once: the answer must stay far below one message.
pub const FIELD_PROBLEMS_MAX: usize = 32;
/// Characters of somebody else's text that are repeated in a problem.
pub const ECHO_CHARS_MAX: usize = 80;
/// Different shapes a schema may give to the places of a body, and what walking it may cost.
pub const SHAPES_MAX: usize = 4096;
/// How deep in a body a schema may speak of a place of its own: each step is one of the stack, and bodies are not nested
/// as deep.
pub const SHAPES_DEPTH_MAX: usize = 256;
/// Steps from the root of a schema file to its deepest part.
pub const SCHEMA_DEPTH_MAX: usize = 64;
/// Places of a body times the parts of its schema that look at each: about a second of checking.
pub const CHECKS_MAX: u64 = 1 << 24;
/// Byte fields of one type that [`crate::Schema::byte_fields`] lists.
pub const BYTE_FIELDS_MAX: usize = 64;

/// A byte field over this leaves its message, unless `[content] threshold` says otherwise.
pub const THRESHOLD_BYTES_DEFAULT: u64 = 64 << 10;
/// Below this a link is hardly smaller than the bytes it replaces.
pub const THRESHOLD_BYTES_MIN: u64 = 1 << 10;
/// Above this two fields would not fit one message (1 MiB).
pub const THRESHOLD_BYTES_MAX: u64 = 512 << 10;
/// One machine keeps one copy; more has to be wished for.
pub const COPIES_DEFAULT: u8 = 1;
/// More copies than this cost more in repair than they add in safety.
pub const COPIES_MAX: u8 = 16;

/// How long an asker waits for its answer when the query says nothing: a person's patience.
pub const QUERY_DEADLINE_DEFAULT: Duration = Duration::from_secs(5);
/// How long a sender waits for the outcome of a command when the command says nothing.
pub const COMMAND_DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// A deadline below this is over before the message has crossed a loopback connection.
pub const DEADLINE_MIN: Duration = Duration::from_millis(1);
/// Outcomes are kept for a day, so nobody can wait longer.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Versions of the definition and of schemas.
pub const VERSION_MAX: u32 = 1_000_000;

/// Time a handler has for one message before the server gives it to another instance.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages given to a service and not yet acknowledged: what one service holds in memory at most.
pub const ACK_PENDING_MAX: i64 = 1024;
/// How long the server recognises a repeated `Nats-Msg-Id`. Beyond it the node's index does.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// What one stored message may be: the wire limit of a message and room for the headers the server reads.
pub const STORED_BYTES_MAX: i32 = (1 << 20) + (16 << 10);
/// What nats-server accepts in one message: a content block of 2 MiB never travels here, a frame does.
pub const PAYLOAD_BYTES_MAX: u64 = 2 << 20;
/// Consumers of one stream: one for each service that may be, one for each other node, all watches of `[limits]`, and as
/// many again for those that end while others begin. Whatever a definition gains, its listeners find room.
pub const CONSUMERS_MAX: i32 = 16_384;
/// Bits of an unguessable name.
pub const TOKEN_BYTES: usize = 16;
/// Subscriptions of one leaf on its hub: the talk of a bridge needs six, and each costs the hub's server memory.
pub const LEAF_SUBSCRIPTIONS_MAX: u32 = 256;
/// Nodes that one node knows. Each is a connection and two tasks of a hub.
pub const PEERS_MAX: usize = 256;
