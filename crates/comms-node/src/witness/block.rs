//! A block of nats-server's store as bytes: which messages it holds that nats-server can read. Pure.
//!
//! The format of `filestore.go`, nats-server 2.10 to 2.15. A block is a row of records:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the record; the highest bit says that the message has headers |
//! | 8 | sequence; the highest bit: erased; the one below: a mark of a deleted message |
//! | 8 | time |
//! | 2 | length of the subject, which follows |
//! | 4 | length of the headers, which follow; not there without any |
//! | … | payload |
//! | 8 | HighwayHash-64 of sequence, time, subject, headers and payload, under a key of stream and block |
//!
//! Numbers are little-endian. A block that is compressed begins with `cmp`; the node never asks for that.

use highway::{HighwayHash as _, HighwayHasher, Key};

const HEAD_BYTES: usize = 22;
const SUM_BYTES: usize = 8;
const HAS_HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const DELETED: u64 = 1 << 62;
/// nats-server takes no longer record for one.
const RECORD_BYTES_MAX: usize = 32 << 20;
const COMPRESSED: &[u8] = b"cmp";

/// One message as it stands in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) sequence: u64,
    pub(super) subject: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// Whether a block is written in another way than is known here.
pub(super) fn is_foreign(bytes: &[u8]) -> bool {
    bytes.starts_with(COMPRESSED)
}

/// The sequence at the head of a block, whether or not it can be read.
pub(super) fn first(bytes: &[u8]) -> Option<u64> {
    let sequence = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
    Some(sequence & !(ERASED | DELETED)).filter(|sequence| *sequence > 0)
}

/// Calls `each` with every message in the block that proves itself. True if there is nothing but such.
///
/// Behind a record that does not prove itself it goes on where that one says that it ends: where that is so, the next
/// one proves itself.
pub(super) fn messages(stream: &str, block: u64, bytes: &[u8], mut each: impl FnMut(Stored<'_>)) -> bool {
    let key = key(stream, block);
    let (mut rest, mut is_whole, mut summed) = (bytes, true, Vec::new());
    while !rest.is_empty() {
        let Some(record) = Record::of(rest) else { return false };
        if record.proves_itself(key, &mut summed) {
            if record.stored.sequence & (ERASED | DELETED) == 0 && record.stored.sequence > 0 {
                each(record.stored);
            }
        } else {
            is_whole = false;
        }
        rest = &rest[record.length..];
    }
    is_whole
}

struct Record<'a> {
    length: usize,
    /// Sequence and time.
    head: &'a [u8],
    headers: &'a [u8],
    sum: &'a [u8],
    stored: Stored<'a>,
}

impl<'a> Record<'a> {
    /// `None` where the lengths do not fit.
    fn of(bytes: &'a [u8]) -> Option<Record<'a>> {
        let head = bytes.get(..HEAD_BYTES)?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let length = usize::try_from(number(0) & !HAS_HEADERS).ok()?;
        if length > RECORD_BYTES_MAX {
            return None;
        }
        let (data, sum) = bytes.get(HEAD_BYTES..length)?.split_last_chunk::<SUM_BYTES>()?;
        let (subject, data) = data.split_at_checked(usize::from(u16::from_le_bytes([head[20], head[21]])))?;
        let (headers, payload) = match number(0) & HAS_HEADERS {
            0 => (&data[..0], data),
            _ => {
                let (length, data) = data.split_first_chunk::<4>()?;
                // One that is too long is found out by the sum.
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                data.split_at_checked(length).unwrap_or((data, &[]))
            }
        };
        let sequence = u64::from_le_bytes(head[4..12].try_into().ok()?);
        let stored = Stored { sequence, subject, payload };
        Some(Record { length, head: &head[4..20], headers, sum, stored })
    }

    /// `summed` is for what is summed up, in one piece: that is faster than piece by piece.
    fn proves_itself(&self, key: Key, summed: &mut Vec<u8>) -> bool {
        summed.clear();
        [self.head, self.stored.subject, self.headers, self.stored.payload]
            .iter()
            .for_each(|part| summed.extend_from_slice(part));
        self.sum == HighwayHasher::new(key).hash64(summed).to_le_bytes()
    }
}

fn key(stream: &str, block: u64) -> Key {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{stream}-{block}").as_bytes());
    let mut key = [0; 4];
    for (word, bytes) in key.iter_mut().zip(digest.as_ref().as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as nats-server writes it.
    fn record(sequence: u64, subject: &str, headers: &str, payload: &[u8]) -> Vec<u8> {
        let extra = if headers.is_empty() { 0 } else { 4 + headers.len() };
        let length = HEAD_BYTES + subject.len() + extra + payload.len() + SUM_BYTES;
        let flag = if headers.is_empty() { 0 } else { HAS_HEADERS };
        let mut bytes = (u32::try_from(length).unwrap() | flag).to_le_bytes().to_vec();
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(1_795_255_334_000_000_000_u64.to_le_bytes());
        bytes.extend(u16::try_from(subject.len()).unwrap().to_le_bytes());
        let head = bytes[4..20].to_vec();
        bytes.extend(subject.as_bytes());
        if !headers.is_empty() {
            bytes.extend(u32::try_from(headers.len()).unwrap().to_le_bytes());
        }
        bytes.extend(headers.as_bytes());
        bytes.extend(payload);
        let mut hasher = HighwayHasher::new(key("EVENT_n", 3));
        [&head, subject.as_bytes(), headers.as_bytes(), payload].iter().for_each(|part| hasher.append(part));
        bytes.extend(hasher.finalize64().to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<u64>, bool) {
        let mut found = Vec::new();
        let is_whole = messages("EVENT_n", 3, bytes, |stored| found.push(stored.sequence));
        (found, is_whole)
    }

    #[test]
    fn what_a_block_holds_and_what_any_flipped_bit_takes() {
        let records = [
            record(7, "a.event.b", "", b"one"),
            record(8, "a.event.b", "NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n", b"two"),
            record(9 | ERASED, "", "", b"gone"),
            record(5 | DELETED, "", "", b""),
            record(10, "a", "", b""),
        ];
        let whole = records.concat();
        assert_eq!(read(&whole), (vec![7, 8, 10], true));
        assert_eq!((first(&whole), is_foreign(&whole)), (Some(7), false));
        let mut end = 0;
        for record in &records {
            end += record.len();
            assert!(read(&whole[..end]).1 && !read(&whole[..end - 1]).1);
        }
        // The length of the headers is the only thing that is not summed up, so that a flip there is not seen here.
        let headers_length = 42 + HEAD_BYTES + 9..42 + HEAD_BYTES + 13;
        for at in (0..whole.len()).filter(|at| !headers_length.contains(at)) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            let (found, is_whole) = read(&flipped);
            // Where a length is flipped, the rest cannot be told; everywhere else only the message is gone.
            assert!(!is_whole && found.len() <= 3 && found.iter().all(|n| [7, 8, 10].contains(n)), "{at}");
        }
        assert!(read(&[]).1 && !read(&[0; 22]).1 && first(&[0; 5]).is_none());
        assert!(is_foreign(b"cmp\x01"));
    }
}
