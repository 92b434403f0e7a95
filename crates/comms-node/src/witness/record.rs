//! What is witnessed of one stored message: 48 bytes that check themselves. Pure.
//!
//! | bytes | what |
//! |---|---|
//! | 0..12 | SHA-256 of subject, a zero byte and payload, cut off |
//! | 12..28 | the id of the message; of an ending, the id of its command; zeros where there is none |
//! | 28..34 | when it was acknowledged, ms since the epoch |
//! | 34..38 | CRC-32 of the name of its type |
//! | 38..42 | CRC-32 of its entity |
//! | 42 | hours after which the server drops it; 0 is never |
//! | 43 | what it is, and what became of it |
//! | 44..48 | CRC-32 of all that and of the sequence, so that no record counts in another's place |
//!
//! Numbers are little-endian. What was never written is all zeros, which no record is.

use ring::digest::{Context, SHA256};

/// Length of a record.
pub(crate) const RECORD_BYTES: usize = 48;
const CHECKED_BYTES: usize = RECORD_BYTES - 4;
const DIGEST_BYTES: usize = 12;
const ID_BYTES: usize = 16;
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// What a message is, by its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Event,
    Command,
    /// How a command ended that caused no event.
    Ending,
    /// A subject of no known form.
    Other,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It stands in the stream.
    Present,
    /// A command whose end is stored; it may leave the queue at any time.
    Settled,
    /// It may be absent: it expired, or was gone when the ledger was made.
    Gone,
    /// It was lost, and the operator went on without it.
    Lost,
}

/// What is witnessed of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) digest: [u8; DIGEST_BYTES],
    pub(crate) id: [u8; ID_BYTES],
    pub(crate) time_ms: u64,
    pub(crate) type_hash: u32,
    pub(crate) entity_hash: u32,
    pub(crate) ttl_hours: u8,
    pub(crate) kind: Kind,
    pub(crate) state: State,
}

/// One place of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing was written there.
    Blank,
    /// What stands there is not what was written.
    Damaged,
    Written(Record),
}

impl Record {
    /// What there is to witness of a message that was stored at `time_ms`.
    pub(crate) fn of(subject: &str, payload: &[u8], ttl_s: Option<u64>, time_ms: u64) -> Record {
        let parts = Parts::of(subject);
        Record {
            digest: digest(subject, payload),
            id: match parts.kind {
                Kind::Ending => parts.last.parse().map_or([0; ID_BYTES], uuid::Uuid::into_bytes),
                Kind::Event | Kind::Command | Kind::Other => id_of(payload),
            },
            time_ms,
            type_hash: type_hash(parts.context, parts.name),
            entity_hash: parts.entity.map_or(0, entity_hash),
            ttl_hours: ttl_s.map_or(0, |s| u8::try_from((s / 3_600).max(1)).unwrap_or(u8::MAX)),
            kind: parts.kind,
            state: State::Present,
        }
    }

    /// A record that says nothing but what became of its message.
    pub(crate) fn bare(state: State, time_ms: u64) -> Record {
        Record {
            digest: [0; DIGEST_BYTES],
            id: [0; ID_BYTES],
            time_ms,
            type_hash: 0,
            entity_hash: 0,
            ttl_hours: 0,
            kind: Kind::Other,
            state,
        }
    }

    /// Whether that message is the one that was witnessed.
    pub(crate) fn is_of(&self, subject: &str, payload: &[u8]) -> bool {
        self.digest == digest(subject, payload)
    }

    /// Whether the stream must hold the message at `now_ms`.
    pub(crate) fn must_be_there(&self, now_ms: u64) -> bool {
        let expired =
            self.ttl_hours > 0 && self.time_ms.saturating_add(u64::from(self.ttl_hours) * HOUR_MS) <= now_ms;
        self.state == State::Present && !expired
    }

    /// Whether the stream holds the message until somebody says otherwise: what a count of messages can be held
    /// against.
    pub(crate) fn is_lasting(&self) -> bool {
        self.state == State::Present && self.ttl_hours == 0
    }

    pub(crate) fn encode(&self, sequence: u64) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..12].copy_from_slice(&self.digest);
        bytes[12..28].copy_from_slice(&self.id);
        bytes[28..34].copy_from_slice(&self.time_ms.to_le_bytes()[..6]);
        bytes[34..38].copy_from_slice(&self.type_hash.to_le_bytes());
        bytes[38..42].copy_from_slice(&self.entity_hash.to_le_bytes());
        bytes[42] = self.ttl_hours;
        bytes[43] = self.kind.bits() | self.state.bits();
        let crc = check(&bytes[..CHECKED_BYTES], sequence);
        bytes[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

impl Slot {
    /// What was written there.
    pub(crate) fn record(self) -> Option<Record> {
        match self {
            Slot::Written(record) => Some(record),
            Slot::Blank | Slot::Damaged => None,
        }
    }

    /// Reads what stands at the place of `sequence`.
    pub(crate) fn decode(bytes: &[u8; RECORD_BYTES], sequence: u64) -> Slot {
        if bytes.iter().all(|byte| *byte == 0) {
            return Slot::Blank;
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if number(CHECKED_BYTES) != check(&bytes[..CHECKED_BYTES], sequence) {
            return Slot::Damaged;
        }
        let (Some(kind), Some(state)) = (Kind::of(bytes[43]), State::of(bytes[43])) else {
            return Slot::Damaged;
        };
        let mut record = Record::bare(state, 0);
        record.digest.copy_from_slice(&bytes[..12]);
        record.id.copy_from_slice(&bytes[12..28]);
        let mut time = [0; 8];
        time[..6].copy_from_slice(&bytes[28..34]);
        record.time_ms = u64::from_le_bytes(time);
        record.type_hash = number(34);
        record.entity_hash = number(38);
        record.ttl_hours = bytes[42];
        record.kind = kind;
        Slot::Written(record)
    }
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Event, Kind::Command, Kind::Ending, Kind::Other];

    /// In the upper half of the byte, counted from 1.
    fn bits(self) -> u8 {
        match self {
            Kind::Event => 0x10,
            Kind::Command => 0x20,
            Kind::Ending => 0x30,
            Kind::Other => 0x40,
        }
    }

    fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.bits() == byte & 0xf0)
    }

    /// One of it, for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Command => "command",
            Kind::Ending => "ending of a command",
            Kind::Other => "message",
        }
    }
}

impl State {
    const ALL: [State; 4] = [State::Present, State::Settled, State::Gone, State::Lost];

    /// In the lower half of the byte, counted from 1.
    fn bits(self) -> u8 {
        match self {
            State::Present => 1,
            State::Settled => 2,
            State::Gone => 3,
            State::Lost => 4,
        }
    }

    fn of(byte: u8) -> Option<State> {
        State::ALL.into_iter().find(|state| state.bits() == byte & 0x0f)
    }
}

/// The name of a type as a ledger has it.
pub(crate) fn type_hash(context: &str, name: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(context.as_bytes());
    hasher.update(b".");
    hasher.update(name.as_bytes());
    hasher.finalize()
}

/// An entity as a ledger has it. Two entities may share one.
pub(crate) fn entity_hash(entity: &str) -> u32 {
    crc32fast::hash(entity.as_bytes())
}

/// The tokens of a stored subject that a record is about.
struct Parts<'a> {
    kind: Kind,
    context: &'a str,
    name: &'a str,
    entity: Option<&'a str>,
    last: &'a str,
}

impl<'a> Parts<'a> {
    /// `{domain}.event.{context}.{entity}.{Type}`, `{domain}.command.{context}.{Type}.{sender}` or
    /// `{domain}.outcome.{context}.{Type}.….{command}`. Not the parser of subjects, which allocates: this runs at
    /// every append.
    fn of(subject: &'a str) -> Parts<'a> {
        let mut tokens = subject.split('.');
        let mut next = || tokens.next().unwrap_or_default();
        let (_, word, context, third, last) = (next(), next(), next(), next(), next());
        match word {
            "event" => Parts { kind: Kind::Event, context, name: last, entity: Some(third), last },
            "command" => Parts { kind: Kind::Command, context, name: third, entity: None, last },
            "outcome" => {
                let last = subject.rsplit('.').next().unwrap_or_default();
                Parts { kind: Kind::Ending, context, name: third, entity: None, last }
            }
            _ => Parts { kind: Kind::Other, context, name: third, entity: None, last },
        }
    }
}

fn digest(subject: &str, payload: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(subject.as_bytes());
    context.update(&[0]);
    context.update(payload);
    let mut cut = [0; DIGEST_BYTES];
    cut.copy_from_slice(&context.finish().as_ref()[..DIGEST_BYTES]);
    cut
}

/// The id in the canonical bytes of a message: the first key of its map, since the shortest. Zeros where the payload
/// is nothing of the kind.
fn id_of(payload: &[u8]) -> [u8; ID_BYTES] {
    const UUID_CHARS: usize = 36;
    let id = payload
        .get(1..)
        .and_then(|rest| rest.strip_prefix(b"\x62id\x78\x24"))
        .and_then(|rest| std::str::from_utf8(rest.get(..UUID_CHARS)?).ok())
        .and_then(|text| text.parse::<uuid::Uuid>().ok());
    id.map_or([0; ID_BYTES], uuid::Uuid::into_bytes)
}

fn check(bytes: &[u8], sequence: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes);
    hasher.update(&sequence.to_le_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use comms_msg::{Metadata, Msg, MsgId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn event() -> Record {
        Record::of("library.event.documents.d-1.DocumentAdded", b"payload", None, 1_795_255_334_123)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_any_change_shows(
            subject in "[a-z]{1,9}\\.(event|command|outcome|other)\\.[a-z]{1,9}\\.[a-z]{1,9}\\.[A-Za-z]{1,9}",
            payload in prop::collection::vec(any::<u8>(), 0..64),
            ttl_s in prop::option::of(0u64..2_000_000),
            time_ms in 0u64..(1 << 48),
            sequence in 1u64..,
            state in 0usize..4,
            at in 0usize..RECORD_BYTES,
            bit in 0u32..8,
        ) {
            let record = Record { state: State::ALL[state], ..Record::of(&subject, &payload, ttl_s, time_ms) };
            let mut bytes = record.encode(sequence);
            prop_assert_eq!(Slot::decode(&bytes, sequence), Slot::Written(record));
            prop_assert_eq!(Slot::decode(&bytes, sequence.wrapping_add(1)), Slot::Damaged);
            prop_assert!(record.is_of(&subject, &payload));
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Slot::decode(&bytes, sequence), Slot::Damaged);
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Slot::decode(&[0; RECORD_BYTES], 1), Slot::Blank);
    }

    #[test]
    fn the_parts_of_each_subject() {
        assert_eq!((event().kind, event().type_hash), (Kind::Event, type_hash("documents", "DocumentAdded")));
        assert_eq!(event().entity_hash, entity_hash("d-1"));
        let command = Record::of("library.command.documents.AddDocument.desk", b"", None, 1);
        assert_eq!((command.kind, command.type_hash), (Kind::Command, type_hash("documents", "AddDocument")));
        let id = MsgId::v7(1_795_255_334_123, 7);
        let ending =
            Record::of(&format!("library.outcome.documents.AddDocument.desk.{id}"), b"", Some(259_200), 1);
        assert_eq!((ending.kind, ending.type_hash), (Kind::Ending, type_hash("documents", "AddDocument")));
        assert_eq!(uuid::Uuid::from_bytes(ending.id).to_string(), id.to_string());
        assert_eq!(ending.ttl_hours, 72);
    }

    #[test]
    fn the_id_of_a_stored_message_is_found_without_reading_it() {
        let id = MsgId::v7(1_795_255_334_123, 7);
        let time = Timestamp::from_unix_ms(1_795_255_334_123);
        let metadata = Metadata::root(id, "ada".parse().unwrap(), time);
        let msg = Msg { id, metadata, content: None, hop: comms_msg::Hop::default() };
        let record = Record::of("library.event.documents.d.DocumentAdded", &msg.to_cbor(), None, 1);
        assert_eq!(uuid::Uuid::from_bytes(record.id).to_string(), id.to_string());
        for rubbish in [&b""[..], b"\xa3\x62id\x78\x24short", &[0xa3; 60]] {
            assert_eq!(Record::of("a.event.b.c.D", rubbish, None, 1).id, [0; ID_BYTES]);
        }
    }

    #[test]
    fn what_expires_may_be_gone_when_its_time_is_over_and_not_before() {
        let ending = Record { ttl_hours: 72, ..event() };
        let end = ending.time_ms + 72 * HOUR_MS;
        assert!(ending.must_be_there(end - 1) && !ending.must_be_there(end));
        assert!(!ending.is_lasting() && event().is_lasting());
        assert!(event().must_be_there(u64::MAX));
        assert!(!Record { state: State::Settled, ..event() }.must_be_there(0));
    }
}
