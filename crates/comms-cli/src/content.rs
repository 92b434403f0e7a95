//! `comms put` and `comms get`: content in and out, in constant memory.
//!
//! Every byte is verified before it is written; where it is written is the business of [`target`]. Which CID content has
//! and who may read it is for the node to say.

mod shown;
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
use crate::output::{Output, Row, Tone, bytes, milliseconds, span};
use crate::session;
use crate::signals::Signals;
use shown::Shown;
use target::{PIECE_BYTES, Target};

/// Carries out `comms put`.
pub(crate) async fn put(put: &args::Put, global: &Global, output: Output) -> Result<(), Failure> {
    let source = open(&put.file).await?;
    let comms = session::connect(global).await?;
    let start = Instant::now();
    let put = comms.put(source).await?;
    let took = start.elapsed();
    let object = json::Put { cid: put.cid.to_string(), bytes: put.size, ms: milliseconds(took) };
    let printed = if output.is_terminal() || output.is_json() {
        let row = Row::new("put").tone(Tone::Good).cell(put.cid.to_string());
        output.say(&object, &row.cell(format!("{}, {}", bytes(put.size), span(took))))
    } else {
        // In a pipe the CID is what the next program wants.
        output.text(&object.cid)
    };
    printed.map_err(|unheard| unheard.mend(format!("The content is kept: {}", object.cid)))
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
    let row = row.cell(format!("{}, {}, every byte verified", bytes(size), span(took)));
    output.say(&object, &row).map_err(|unheard| unheard.mend(format!("{} is written.", object.file)))
}

async fn to_standard_output(mut reader: Reader, cid: &Cid, output: Output) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut piece = vec![0; PIECE_BYTES];
    let mut shown = Shown::default();
    loop {
        let count = reader.read(&mut piece).await.map_err(broken)?;
        let is_text = !output.is_terminal() || shown.is_text(&piece[..count], count == 0);
        if !is_text {
            return Err(not_text(&cid.to_string(), "standard output"));
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

/// A terminal would obey a part of it.
fn not_text(cid: &str, terminal: &str) -> Failure {
    Failure::usage(format!("{cid} is not text, and {terminal} is a terminal"))
        .mend(format!("comms get {cid} -o FILE, or send it into a pipe"))
}

/// What was read until the error is right, and not the whole.
fn broken(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<comms::Error>()) {
        Some(inner) => Failure::failed("the content ends too early").because(inner),
        None => Failure::failed("the content ends too early").because(&error),
    }
}
