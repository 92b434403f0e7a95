//! `comms put` and `comms get`: content in and out, in constant memory.
//!
//! A file appears under its name only when every byte of it is there and verified. Which CID content has and
//! who may read it is for the node to say.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use comms::{Cid, Reader, Source};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::args::{self, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, bytes, milliseconds, span};
use crate::session;

/// Bytes moved at a time.
const PIECE_BYTES: usize = 256 << 10;
/// What a new file may be used for, before the process's own mask: as for any program that writes one.
const FILE_MODE: u32 = 0o666;

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
    if get.output.is_none() && output.is_json() {
        return Err(Failure::usage("--json says what was written, so the content needs a place of its own")
            .mend(format!("comms get {cid} -o FILE --json")));
    }
    let comms = session::connect(global).await?;
    let start = Instant::now();
    let reader = comms.get(&cid).await.map_err(|error| absent(&cid, error))?;
    match &get.output {
        Some(file) => {
            let size = tokio::select! {
                size = to_file(reader, file) => size?,
                signal = tokio::signal::ctrl_c() => {
                    let cause = signal.err().unwrap_or_else(|| io::ErrorKind::Interrupted.into());
                    return Err(Failure::failed(format!("stopped; {} was not written", file.display())).because(&cause));
                }
            };
            written(&cid, size, file, start.elapsed(), output)
        }
        None => to_standard_output(reader, &cid, output).await,
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

/// Writes beside the file, and gives it its name when everything is there.
async fn to_file(mut reader: Reader, file: &Path) -> Result<u64, Failure> {
    let unwritable =
        |error: &io::Error| Failure::failed(format!("{} cannot be written", file.display())).because(error);
    if file.is_dir() {
        return Err(Failure::usage(format!("{} is a folder", file.display())).mend("Name a file: -o FILE"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = new_file(folder).map_err(|error| unwritable(&error))?;
    let mut out = tokio::fs::File::from_std(part.reopen().map_err(|error| unwritable(&error))?);
    let mut size = 0;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = reader.read(&mut piece).await.map_err(broken)?;
        if count == 0 {
            break;
        }
        out.write_all(&piece[..count]).await.map_err(|error| unwritable(&error))?;
        size += count as u64;
    }
    out.flush().await.map_err(|error| unwritable(&error))?;
    part.persist(file).map_err(|error| unwritable(&error.error))?;
    Ok(size)
}

fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".comms-get-")
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder)
}

async fn to_standard_output(mut reader: Reader, cid: &Cid, output: Output) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = reader.read(&mut piece).await.map_err(broken)?;
        if count == 0 {
            break;
        }
        if output.is_terminal() && !is_text(&piece[..count]) {
            return Err(Failure::usage(format!("{cid} is not text, and standard output is a terminal"))
                .mend(format!("comms get {cid} -o FILE, or send it into a pipe")));
        }
        out.write_all(&piece[..count]).await.map_err(Failure::output)?;
    }
    out.flush().await.map_err(Failure::output)
}

/// Whether a terminal shows it and does nothing else.
fn is_text(piece: &[u8]) -> bool {
    piece.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
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

    #[test]
    fn only_what_a_terminal_merely_shows_is_text() {
        assert!(is_text("Grüße\n\t1 2 3\r\n".as_bytes()));
        for piece in [&b"%PDF\0"[..], b"\x1b[31m", b"\x07", b"\x7f"] {
            assert!(!is_text(piece), "{piece:?}");
        }
    }
}
