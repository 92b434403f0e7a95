//! `comms put` and `comms get`: content in and out, in constant memory.
//!
//! Every byte is verified before it is written; where it is written is the business of [`target`]. Which CID content has
//! and who may read it is for the node to say.

mod target;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use comms::{Cid, Reader, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::args::{self, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, bytes, is_hidden, milliseconds, span};
use crate::session;
use crate::signals::Signals;
use target::{PIECE_BYTES, Target};

/// Carries out `comms put`.
pub(crate) async fn put(put: &args::Put, global: &Global, output: Output) -> Result<(), Failure> {
    let source = open(&put.file).await?;
    let comms = session::connect(global).await?;
    let start = Instant::now();
    let put = comms.put(source).await?;
    let took = start.elapsed();
    let object = json::Put { cid: put.cid.to_string(), bytes: put.size, ms: milliseconds(took) };
    if output.is_terminal() || output.is_json() {
        let row = Row::new("put").tone(Tone::Good).cell(put.cid.to_string());
        return output.say(&object, &row.cell(format!("{}, {}", bytes(put.size), span(took))));
    }
    // In a pipe the CID is what the next program wants.
    output.text(&object.cid)
}

/// What is to be put: a file, or standard input for `-`.
pub(crate) async fn open(path: &Path) -> Result<Source, Failure> {
    if path == Path::new("-") {
        return Ok(Source::reader(tokio::io::stdin()));
    }
    Ok(tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?.into())
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read", path.display())).because(error)
}

/// Carries out `comms get`.
pub(crate) async fn get(get: &args::Get, global: &Global, output: Output) -> Result<(), Failure> {
    let cid = parse(&get.cid)?;
    let file = get.output.as_deref().filter(|file| *file != Path::new("-"));
    if file.is_none() && output.is_json() {
        return Err(Failure::usage("--json says what was written, so the content needs a place of its own")
            .mend(format!("comms get {cid} -o FILE --json")));
    }
    let mut signals = Signals::take()?;
    let getting = async {
        let comms = session::connect(global).await?;
        let start = Instant::now();
        let reader = comms.get(&cid).await.map_err(|error| absent(&cid, error))?;
        let Some(file) = file else {
            return to_standard_output(reader, &cid, output).await;
        };
        let target = Target::open(file, &cid.to_string()).await?;
        let size = target.write(reader).await?;
        written(&cid, size, file, start.elapsed(), output)
    };
    tokio::select! {
        got = getting => got,
        // What was gathered goes with this.
        () = signals.next() => Err(Failure::failed("stopped before all of it was written")),
    }
}

fn parse(text: &str) -> Result<Cid, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("{text} is not a CID"))
            .mend("A CID looks like bafybei… or bafkrei…; comms put and comms send print them")
            .because(&error)
    })
}

/// Absent and not allowed look alike on purpose, in every word.
fn absent(cid: &Cid, error: comms::Error) -> Failure {
    match error.kind() {
        comms::ErrorKind::NotFound | comms::ErrorKind::Denied => {
            Failure::new(Exit::NotFound, format!("not here, or not yours to read: {cid}"))
        }
        _ => error.into(),
    }
}

fn written(cid: &Cid, size: u64, file: &Path, took: Duration, output: Output) -> Result<(), Failure> {
    let object = json::Got {
        cid: cid.to_string(),
        bytes: size,
        file: file.display().to_string(),
        ms: milliseconds(took),
    };
    let row = Row::new("got").tone(Tone::Good).cell(object.file.clone());
    output.say(&object, &row.cell(format!("{}, {}, every byte verified", bytes(size), span(took))))
}

async fn to_standard_output(mut reader: Reader, cid: &Cid, output: Output) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut piece = vec![0; PIECE_BYTES];
    let mut shown = Shown::default();
    loop {
        let count = reader.read(&mut piece).await.map_err(broken)?;
        let is_text = !output.is_terminal() || shown.is_text(&piece[..count], count == 0);
        if !is_text {
            return Err(Failure::usage(format!("{cid} is not text, and standard output is a terminal"))
                .mend(format!("comms get {cid} -o FILE, or send it into a pipe")));
        }
        if count == 0 {
            break;
        }
        match out.write_all(&piece[..count]).await {
            // Its reader has what it wanted, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(Failure::output)?,
        }
    }
    match out.flush().await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::output),
    }
}

/// What a terminal is shown, piece by piece: whether it merely shows it.
#[derive(Debug, Default)]
struct Shown {
    /// The beginning of a character whose end is in the next piece.
    open: Vec<u8>,
}

impl Shown {
    fn is_text(&mut self, piece: &[u8], is_end: bool) -> bool {
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

/// What was read until the error is right, and not the whole.
fn broken(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<comms::Error>()) {
        Some(inner) => Failure::failed("the content ends too early").because(inner),
        None => Failure::failed("the content ends too early").because(&error),
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
