//! Content on a terminal: text that it merely shows, and nothing that it obeys.

use crate::output::is_hidden;

/// What a terminal is shown, piece by piece: whether it merely shows it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The beginning of a character whose end is in the next piece.
    open: Vec<u8>,
}

impl Shown {
    /// Whether what was shown and this are text, of which the end is the last piece.
    pub(super) fn is_text(&mut self, piece: &[u8], is_end: bool) -> bool {
        self.open.extend_from_slice(piece);
        let (valid, is_cut) = match str::from_utf8(&self.open) {
            Ok(text) => (text.len(), false),
            Err(error) if error.error_len().is_some() => return false,
            Err(error) => (error.valid_up_to(), true),
        };
        let mut text = str::from_utf8(&self.open[..valid]).expect("it was found valid");
        if !is_end {
            // What follows it decides.
            text = text.strip_suffix('\r').unwrap_or(text);
        }
        let merely_shows = |(at, c): (usize, char)| match c {
            '\t' | '\n' => true,
            // Alone it would write over what stands there.
            '\r' => text.as_bytes().get(at + 1).is_none_or(|&next| next == b'\n'),
            c => !is_hidden(c),
        };
        let is_text = text.char_indices().all(merely_shows) && !(is_end && is_cut);
        let done = text.len();
        self.open.drain(..done);
        is_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_text(pieces: &[&[u8]]) -> bool {
        let mut shown = Shown::default();
        pieces.iter().all(|piece| shown.is_text(piece, false)) && shown.is_text(b"", true)
    }

    #[test]
    fn only_what_a_terminal_merely_shows_is_text() {
        assert!(is_text(&["Grüße\n\t1 2 3\r\n".as_bytes()]));
        assert!(is_text(&[b"Gr\xc3", b"\xbc\xc3", b"\x9fe \xe4\xb8", b"\x96\r", b"\n"]));
        for piece in [
            &b"%PDF\0"[..],
            b"\x1b[31m",
            b"\x07",
            b"\x7f",
            b"a\rb",
            b"\xc2\x9b2K",
            b"\x9b2K",
            "\u{202e}x".as_bytes(),
            b"\xff",
            b"Gr\xc3",
        ] {
            assert!(!is_text(&[piece]), "{piece:?}");
        }
        assert!(!is_text(&[b"\xc2", b"\x9b2K"]));
        assert!(!is_text(&[b"a\r", b"b"]));
    }
}
