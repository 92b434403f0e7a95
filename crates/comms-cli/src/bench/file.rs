//! The content of `put_1g` and `get_1g`, and the plain files that they are measured beside.
//!
//! The content is random and different in every mebibyte, and cheap to make: one random mebibyte, with its place and a
//! number of its own written over its first bytes. So nobody can keep two parts of it as one, and whoever reads it can
//! compare every byte.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use comms_content::Cid;

use super::load::rate;
use crate::failure::Failure;

/// Bytes of the content.
pub(super) const CONTENT_BYTES: u64 = 1 << 30;
/// Bytes moved at a time: one block of content.
pub(super) const PIECE_BYTES: usize = 1 << 20;
/// Pieces of the content.
const PIECES: u64 = CONTENT_BYTES / PIECE_BYTES as u64;
/// The place of a piece, and the number of its content.
const STAMP_BYTES: usize = 16;

/// Content of 1 GiB.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    base: Arc<[u8]>,
    number: u64,
}

impl Pattern {
    /// Content that nobody has.
    pub(super) fn random() -> Pattern {
        let mut base = vec![0; PIECE_BYTES];
        for part in base.chunks_mut(8) {
            part.copy_from_slice(&rand::random::<u64>().to_le_bytes()[..part.len()]);
        }
        Pattern { base: base.into(), number: rand::random() }
    }

    /// The next content of the same kind, which shares no piece with this one.
    pub(super) fn next(&self) -> Pattern {
        Pattern { base: Arc::clone(&self.base), number: self.number.wrapping_add(1) }
    }

    fn stamp(&self, piece: u64) -> [u8; STAMP_BYTES] {
        (u128::from(self.number) << 64 | u128::from(piece)).to_le_bytes()
    }

    /// Its pieces, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Bytes> + use<> {
        let pattern = self.clone();
        (0..PIECES).map(move |piece| {
            let mut bytes = pattern.base.to_vec();
            bytes[..STAMP_BYTES].copy_from_slice(&pattern.stamp(piece));
            bytes.into()
        })
    }

    /// Whether these bytes stand at `offset`.
    pub(super) fn is_at(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let within = usize::try_from(offset % PIECE_BYTES as u64).unwrap_or_default();
            let stamp = self.stamp(offset / PIECE_BYTES as u64);
            let expected: &[u8] = if within < STAMP_BYTES { &stamp[within..] } else { &self.base[within..] };
            let length = expected.len().min(bytes.len());
            let (here, rest) = bytes.split_at(length);
            if *here != expected[..length] {
                return false;
            }
            (bytes, offset) = (rest, offset + length as u64);
        }
        true
    }
}

/// Writes a file and syncs it, with or without hashing each mebibyte on the way; MiB per second.
pub(super) fn write(path: &Path, pattern: &Pattern, hashed: bool) -> Result<f64, Failure> {
    let begin = Instant::now();
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        for piece in pattern.pieces() {
            if hashed {
                std::hint::black_box(Cid::raw(&piece));
            }
            file.write_all(&piece)?;
        }
        file.sync_all()
    };
    write()
        .map_err(|error| Failure::failed(format!("{} cannot be written", path.display())).because(&error))?;
    Ok(mebibytes(begin.elapsed()))
}

/// Reads the file, compares every byte, with or without hashing each mebibyte on the way; MiB per second.
pub(super) fn read(path: &Path, pattern: &Pattern, hashed: bool) -> Result<f64, Failure> {
    let cannot =
        |error: &io::Error| Failure::failed(format!("{} cannot be read", path.display())).because(error);
    let begin = Instant::now();
    let mut file = File::open(path).map_err(|error| cannot(&error))?;
    let mut piece = vec![0; PIECE_BYTES];
    for number in 0..PIECES {
        file.read_exact(&mut piece).map_err(|error| cannot(&error))?;
        if hashed {
            std::hint::black_box(Cid::raw(&piece));
        }
        if !pattern.is_at(number * PIECE_BYTES as u64, &piece) {
            return Err(Failure::failed(format!("{} does not hold what was written", path.display())));
        }
    }
    Ok(mebibytes(begin.elapsed()))
}

/// The whole content in that time, in MiB per second.
pub(super) fn mebibytes(time: Duration) -> f64 {
    rate(CONTENT_BYTES >> 20, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_pattern_is_compared() {
        let pattern = Pattern::random();
        let pieces: Vec<Bytes> = pattern.pieces().take(2).collect();
        let both = pieces.concat();
        assert_ne!(pieces[0], pieces[1]);
        assert!(pattern.is_at(0, &both));
        assert!(pattern.is_at(7, &both[7..PIECE_BYTES + 3]));
        assert!(!pattern.next().is_at(0, &both));
        for wrong in [0, STAMP_BYTES, PIECE_BYTES - 1, PIECE_BYTES] {
            let mut both = both.clone();
            both[wrong] ^= 1;
            assert!(!pattern.is_at(0, &both), "{wrong}");
        }
    }
}
