//! Several CBOR items as one: the payload that a line of waiting messages leaves as.
//!
//! One item travels as itself, several as a CBOR array. Items are written straight into the payload; the array's
//! header goes into room kept free before them, so nothing is copied when the frame is closed. Pure.

use bytes::Bytes;

use crate::limits::{FRAME_BYTES_MAX, FRAME_MESSAGES_MAX};

/// The array headers used here have one byte (up to 23 items) or two (up to 255).
const HEADER_ROOM: usize = 2;
const ARRAY_SHORT_MAX: usize = 23;
const ARRAY: u8 = 0x80;
const ARRAY_WITH_LENGTH_BYTE: u8 = 0x98;

/// Items that will leave together.
#[derive(Debug)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    /// Where each item ends, so that the items can be told apart again.
    ends: Vec<usize>,
}

/// A payload: one item, or several in an array.
#[derive(Debug)]
pub(crate) struct Items {
    payload: Bytes,
    /// Where the first item begins.
    start: usize,
    ends: Vec<usize>,
}

impl Items {
    /// All of it.
    pub(crate) fn payload(&self) -> Bytes {
        self.payload.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all of it.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Each item as a payload of its own.
    pub(crate) fn each(&self) -> impl Iterator<Item = Bytes> {
        let starts = std::iter::once(self.start).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.payload.slice(start..end))
    }
}

impl Frame {
    pub(crate) fn new() -> Self {
        Self::with_capacity(HEADER_ROOM)
    }

    fn with_capacity(bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(bytes);
        bytes.resize(HEADER_ROOM, 0);
        Self { bytes, ends: Vec::new() }
    }

    /// Takes what was written and starts anew, with as much room at first as that took: a busy line stays busy.
    pub(crate) fn take(&mut self) -> Self {
        let mut next = Self::with_capacity(self.bytes.len());
        next.ends.reserve(self.ends.len());
        std::mem::replace(self, next)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether no further item may be written.
    pub(crate) fn is_full(&self) -> bool {
        self.ends.len() == FRAME_MESSAGES_MAX || self.bytes.len() >= FRAME_BYTES_MAX
    }

    /// Writes one item, which may be any size; where it does not fit beside those before it, the frame of those
    /// is returned and this one starts anew with the item.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Frame> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if !self.ends.is_empty() && self.bytes.len() > FRAME_BYTES_MAX {
            let mut next =
                Vec::with_capacity((HEADER_ROOM + self.bytes.len() - start).max(FRAME_BYTES_MAX / 8));
            next.resize(HEADER_ROOM, 0);
            next.extend_from_slice(&self.bytes[start..]);
            self.bytes.truncate(start);
            let ends = vec![next.len()];
            let full = std::mem::replace(self, Frame { bytes: next, ends });
            return Some(full);
        }
        self.ends.push(self.bytes.len());
        None
    }

    /// The payload.
    pub(crate) fn finish(mut self) -> Items {
        let skip = match self.ends.len() {
            0 | 1 => HEADER_ROOM,
            items @ 2..=ARRAY_SHORT_MAX => {
                self.bytes[1] = ARRAY | u8::try_from(items).expect("at most 23");
                1
            }
            items => {
                self.bytes[0] = ARRAY_WITH_LENGTH_BYTE;
                self.bytes[1] = u8::try_from(items).expect("at most FRAME_MESSAGES_MAX, which is below 256");
                0
            }
        };
        self.ends.iter_mut().for_each(|end| *end -= skip);
        Items { payload: Bytes::from(self.bytes).slice(skip..), start: HEADER_ROOM - skip, ends: self.ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(items: usize) -> Vec<u8> {
        let mut frame = Frame::new();
        for _ in 0..items {
            assert!(frame.push(|out| out.push(0x01)).is_none());
        }
        frame.finish().payload().to_vec()
    }

    #[test]
    fn items_can_be_told_apart_again() {
        for count in [1, 2, 23, 24, 100_u8] {
            let mut frame = Frame::new();
            for item in 0..count {
                assert!(
                    frame.push(|out| out.extend_from_slice(&vec![item; 1 + usize::from(item)])).is_none()
                );
            }
            let items = frame.finish();
            assert_eq!(items.len(), usize::from(count));
            for (number, item) in items.each().enumerate() {
                assert_eq!(item.as_ref(), vec![u8::try_from(number).expect("few"); number + 1]);
            }
        }
    }

    #[test]
    fn one_item_travels_as_itself() {
        assert_eq!(frame_of(1), [0x01]);
    }

    #[test]
    fn array_headers_are_as_short_as_they_can_be() {
        assert_eq!(frame_of(2), [0x82, 1, 1]);
        assert_eq!(frame_of(23)[..2], [0x97, 1]);
        assert_eq!(frame_of(24)[..3], [0x98, 24, 1]);
        assert_eq!(frame_of(100)[..3], [0x98, 100, 1]);
    }

    #[test]
    fn full_at_the_most_messages() {
        let mut frame = Frame::new();
        for _ in 0..FRAME_MESSAGES_MAX {
            assert!(!frame.is_full());
            assert!(frame.push(|out| out.push(0x01)).is_none());
        }
        assert!(frame.is_full());
    }

    #[test]
    fn an_item_that_does_not_fit_starts_the_next_frame() {
        let large = vec![0x02; FRAME_BYTES_MAX / 2];
        let mut frame = Frame::new();
        assert!(frame.push(|out| out.push(0x01)).is_none());
        assert!(frame.push(|out| out.extend_from_slice(&large)).is_none());
        let full = frame.push(|out| out.extend_from_slice(&large)).expect("two halves and one do not fit");
        let full = full.finish().payload();
        assert!(full.len() <= FRAME_BYTES_MAX);
        assert_eq!(full[..2], [0x82, 0x01]);
        assert_eq!(frame.finish().payload(), large);
    }

    #[test]
    fn an_item_larger_than_a_frame_travels_alone() {
        let huge = vec![0x02; FRAME_BYTES_MAX * 2];
        let mut frame = Frame::new();
        assert!(frame.push(|out| out.extend_from_slice(&huge)).is_none());
        assert!(frame.is_full());
        assert_eq!(frame.finish().payload(), huge);
    }
}
