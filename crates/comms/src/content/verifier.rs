//! Trust nobody who sends blocks: a CAR in, verified bytes of one file out.
//!
//! Pure. The sender must send exactly the blocks that the file needs, in the order it needs them (DFS,
//! duplicates included), so nothing has to be remembered. Anything else ends it before a byte is handed on that
//! does not belong to the CID asked for.

use bytes::Bytes;
use comms_content::car::{self, Event};
use comms_content::{Block, Cid, Exporter, Step};

use crate::error::{Error, ErrorKind, Result};

/// Checks one stream.
#[derive(Debug)]
pub(super) struct Verifier {
    car: car::Reader,
    exporter: Exporter,
    root: Cid,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Header,
    Block(Cid),
    End,
}

impl Verifier {
    pub(super) fn new(root: Cid, range: Option<std::ops::Range<u64>>) -> Self {
        Self { car: car::Reader::new(), exporter: Exporter::new(root, range), root, next: Next::Header }
    }

    /// Takes some of the stream, and appends the bytes of the file that are certain by now.
    pub(super) fn feed(&mut self, data: Bytes, out: &mut Vec<Bytes>) -> Result<()> {
        self.car.push(data);
        while let Some(event) = self.car.event() {
            match event.map_err(unsound)? {
                Event::Header(roots) => self.header(&roots)?,
                Event::Block(block) => self.block(block)?,
            }
            self.drain(out)?;
        }
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish(self) -> Result<()> {
        match self.next {
            Next::End => self.car.finish().map_err(unsound),
            Next::Header | Next::Block(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} broke off before its end: the node found a block missing or damaged, or stopped",
                    self.root
                ),
            )),
        }
    }

    fn header(&self, roots: &[Cid]) -> Result<()> {
        if roots == [self.root] { Ok(()) } else { Err(self.wrong("another content")) }
    }

    fn block(&mut self, block: Block) -> Result<()> {
        if self.next != Next::Block(*block.cid()) {
            return Err(self.wrong("a block that does not come next"));
        }
        self.exporter.give(block).map_err(unsound)
    }

    /// Runs until a block is needed that has not come.
    fn drain(&mut self, out: &mut Vec<Bytes>) -> Result<()> {
        loop {
            match self.exporter.step().map_err(unsound)? {
                Step::Bytes(bytes) => out.push(bytes),
                Step::Want(cid) => {
                    self.next = Next::Block(cid);
                    return Ok(());
                }
                Step::Done => {
                    self.next = Next::End;
                    return Ok(());
                }
            }
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(ErrorKind::Malformed, format!("the node sent {what} instead of {}", self.root))
    }
}

fn unsound(error: comms_content::Error) -> Error {
    Error::new(ErrorKind::Malformed, "what the node sent is not the content asked for").because(error)
}

#[cfg(test)]
mod tests {
    use comms_content::{Importer, RAW};

    use super::*;

    /// Three blocks: a root, a whole leaf and a leaf of five bytes.
    const LENGTH: usize = 1024 * 1024 + 5;

    struct Sent {
        root: Cid,
        data: Bytes,
        sections: Vec<Vec<u8>>,
    }

    impl Sent {
        fn new() -> Self {
            let data: Bytes = (0..LENGTH).map(|at| (at * 7 + at / 255) as u8).collect::<Vec<_>>().into();
            let mut blocks = Vec::new();
            let mut importer = Importer::new();
            importer.push(data.clone(), &mut blocks);
            let root = importer.finish(&mut blocks).cid;
            blocks.sort_by_key(|block| *block.cid() != root);
            let sections = std::iter::once(car::write_header(&root).to_vec())
                .chain(blocks.iter().map(section))
                .collect();
            Self { root, data, sections }
        }

        fn car(&self) -> Vec<u8> {
            self.sections.concat()
        }
    }

    fn section(block: &Block) -> Vec<u8> {
        let (prefix, data) = car::write_block(block);
        [&prefix[..], &data].concat()
    }

    /// What comes out of a stream that arrives in pieces, and how it ends.
    fn verify(root: Cid, car: &[u8], piece: usize) -> (Vec<u8>, Result<()>) {
        let mut verifier = Verifier::new(root, None);
        let mut out = Vec::new();
        let fed =
            car.chunks(piece).try_for_each(|data| verifier.feed(Bytes::copy_from_slice(data), &mut out));
        (out.concat(), fed.and_then(|()| verifier.finish()))
    }

    #[test]
    fn what_was_put_comes_out() {
        let sent = Sent::new();
        for piece in [9_973, LENGTH, 2 * LENGTH] {
            let (bytes, end) = verify(sent.root, &sent.car(), piece);
            end.unwrap();
            assert!(bytes == sent.data);
        }
    }

    #[test]
    fn no_flipped_bit_is_handed_on() {
        let sent = Sent::new();
        let car = sent.car();
        let edges = car.len() - 60..car.len();
        for at in (0..240).chain((240..car.len()).step_by(65_521)).chain(edges) {
            let mut flipped = car.clone();
            flipped[at] ^= 1 << (at % 8);
            let (bytes, end) = verify(sent.root, &flipped, 65_536);
            assert!(end.is_err(), "bit {} of byte {at}", at % 8);
            assert!(sent.data.starts_with(&bytes), "bit {} of byte {at}", at % 8);
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error_wherever_it_ends() {
        let sent = Sent::new();
        let car = sent.car();
        for length in (0..300).chain((300..car.len()).step_by(100_003)).chain([car.len() - 1]) {
            let (bytes, end) = verify(sent.root, &car[..length], 65_536);
            assert!(end.is_err(), "{length}");
            assert!(sent.data.starts_with(&bytes), "{length}");
        }
    }

    #[test]
    fn blocks_that_were_not_needed_now_end_it() {
        let sent = Sent::new();
        let [header, root, first, last] = &sent.sections[..] else { panic!("four sections") };
        let other = section(&Block::new(RAW, Bytes::from_static(b"other")).unwrap());
        for order in [
            vec![header, root, last, first],
            vec![header, first, last],
            vec![header, root, &other, first, last],
            vec![header, root, root, first, last],
            vec![header, root, first, last, &other],
            vec![header, root, first, last, last],
            vec![root, first, last],
            vec![header, header, root, first, last],
        ] {
            let car = order.into_iter().flatten().copied().collect::<Vec<_>>();
            let (bytes, end) = verify(sent.root, &car, 65_536);
            assert_eq!(end.unwrap_err().kind(), ErrorKind::Malformed);
            assert!(sent.data.starts_with(&bytes));
        }
    }

    #[test]
    fn another_root_is_not_what_was_asked_for() {
        let sent = Sent::new();
        let (bytes, end) = verify(Cid::raw(b"asked for"), &sent.car(), LENGTH);
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Malformed);
        assert!(bytes.is_empty());
    }
}
