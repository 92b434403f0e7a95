//! What it means when nats-server does not store a message: one kind for each thing that can be done about it.

use async_nats::jetstream::ErrorCode;

/// A wrong last sequence, in both forms the server has for it: with the actual one in its text, and without.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10_071, 10_164];
/// A stream that cannot be loaded, with a reason.
const STREAM_OFFLINE_REASON: u64 = 10_194;
/// What the server says where a bound of the stream itself is reached.
const STREAM_BOUNDS: [&str; 3] =
    ["maximum bytes exceeded", "maximum messages exceeded", "maximum messages per subject"];

/// What a refusal of the server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerRefusal {
    /// Somebody else wrote where this expects nobody to have written.
    Conflict,
    /// One message of the batch is stored already.
    ContainsDuplicate,
    /// A bound of what may be stored is reached: somebody must make room.
    Full,
    /// The message is larger than the stream takes.
    TooLarge,
    /// It passes: the server is starting, or busy with other batches. Try again.
    NotNow,
    /// The stream is not there, or not as the node made it: somebody must look at the store.
    NoStream,
    /// Anything else: this commit is refused as it is.
    Refused,
}

impl ServerRefusal {
    /// What the server means by this code and text.
    pub(super) fn of(code: ErrorCode, text: &str) -> ServerRefusal {
        match code {
            ErrorCode(code) if WRONG_LAST_SEQUENCE.contains(&code) => ServerRefusal::Conflict,
            ErrorCode::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE => ServerRefusal::ContainsDuplicate,
            ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES => ServerRefusal::Full,
            ErrorCode::STREAM_STORE_FAILED if STREAM_BOUNDS.iter().any(|bound| text.contains(bound)) => {
                ServerRefusal::Full
            }
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
                ServerRefusal::TooLarge
            }
            ErrorCode::STREAM_NOT_FOUND
            | ErrorCode::STREAM_NOT_MATCH
            | ErrorCode::STREAM_MISMATCH
            | ErrorCode::STREAM_SEALED
            | ErrorCode::STREAM_OFFLINE
            | ErrorCode(STREAM_OFFLINE_REASON)
            | ErrorCode::NO_LIMITS => ServerRefusal::NoStream,
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT
            | ErrorCode::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY
            | ErrorCode::CLUSTER_NOT_AVAILABLE
            | ErrorCode::CLUSTER_NOT_LEADER
            | ErrorCode::JETSTREAM_NOT_ENABLED
            | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
            | ErrorCode::STREAM_TOO_MANY_REQUESTS
            | ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH
            | ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT => ServerRefusal::NotNow,
            _ => ServerRefusal::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes and texts of nats-server 2.15, by what can be done about them.
    #[test]
    fn each_refusal_has_its_kind() {
        use ServerRefusal::*;
        for (code, text, kind) in [
            (10_071, "wrong last sequence: 3", Conflict),
            (10_164, "wrong last sequence", Conflict),
            (10_201, "atomic publish contains duplicate message id", ContainsDuplicate),
            (10_002, "resource limits exceeded for account", Full),
            (10_023, "insufficient resources", Full),
            (10_028, "insufficient memory resources available", Full),
            (10_047, "insufficient storage resources available", Full),
            (10_077, "maximum bytes exceeded", Full),
            (10_077, "maximum messages exceeded", Full),
            (10_077, "maximum messages per subject exceeded", Full),
            (10_077, "raft: not leader", NotNow),
            (10_054, "message size exceeds maximum allowed", TooLarge),
            (10_097, "header size exceeds maximum allowed of 64k", TooLarge),
            (10_059, "stream not found", NoStream),
            (10_060, "expected stream does not match", NoStream),
            (10_109, "invalid operation on sealed stream", NoStream),
            (10_118, "stream is offline", NoStream),
            (10_194, "stream is offline: unsupported", NoStream),
            (10_120, "no JetStream default or applicable tiered limit present", NoStream),
            (10_008, "JetStream system temporarily unavailable", NotNow),
            (10_009, "JetStream cluster can not handle request", NotNow),
            (10_039, "JetStream not enabled for account", NotNow),
            (10_076, "JetStream not enabled", NotNow),
            (10_158, "duplicate message id is in process", NotNow),
            (10_163, "expected last sequence per subject temporarily unavailable", NotNow),
            (10_167, "too many requests", NotNow),
            (10_176, "atomic publish batch is incomplete", NotNow),
            (10_210, "atomic publish too many inflight", NotNow),
            (10_165, "message TTL is not valid", Refused),
            (10_003, "bad request", Refused),
        ] {
            assert_eq!(ServerRefusal::of(ErrorCode(code), text), kind, "{code} {text}");
        }
    }
}
