//! What the services of the demo say to each other.
//!
//! `desk` sends a command with a document in it; `archive` handles it and answers with an event that carries the link;
//! `indexer`, which only listens, gets the event, fetches the document and compares every byte; `visitor`, which has
//! nothing to do with documents, is told nothing. Each is a user of its own with no more rights than the definition
//! gives it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use comms::{
    Caused, Cid, CommandContext, Comms, Content, ErrorKind, EventContext, Failure as Unhandled, MsgId,
    Recorded, Running, Sent, ServiceName,
};
use comms_msg::Subject;
use comms_node::folder::FOLDER;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Document;
use super::compare::{Same, compare};
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, bytes, milliseconds, span};

/// How long something that is on its way may take on one machine.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// One thing of each kind is waited for; what a handler repeats after a redelivery is the same again.
const SEEN_MAX: usize = 1;
/// Up to this size the document is in the command that is sent, and leaves it on the way; a larger one is put first.
const IN_COMMAND_BYTES_MAX: u64 = 32 << 20;
/// Who answers for the command.
const OWNER: &str = "ada";

#[derive(Serialize, Deserialize)]
struct AddDocument {
    title: String,
    file: Content,
}
comms::command!(AddDocument = "documents.AddDocument");

#[derive(Serialize, Deserialize)]
struct DocumentAdded {
    title: String,
    file: Content,
}
comms::event!(DocumentAdded = "documents.DocumentAdded");

/// The command, as `archive` got it.
#[derive(Debug)]
struct Handled {
    at: Instant,
    id: MsgId,
    sender: Option<ServiceName>,
}

/// The event, as `indexer` got it.
#[derive(Debug)]
struct Heard {
    at: Instant,
    id: MsgId,
    bytes: usize,
    link: Option<Cid>,
}

/// The document, as `indexer` fetched it.
#[derive(Debug)]
struct Fetched {
    took: Duration,
    same: Result<Same, String>,
}

/// Plays the scene against the node in `home`.
pub(super) async fn play(home: &Path, document: &Document, output: Output) -> Result<(), Failure> {
    let comms = home.join(FOLDER);
    let (handled, mut was_handled) = mpsc::channel(SEEN_MAX);
    let (heard, mut was_heard) = mpsc::channel(SEEN_MAX);
    let (fetched, mut was_fetched) = mpsc::channel(SEEN_MAX);
    let archive = archive(&connect(&comms, "archive").await?, handled).await?;
    let indexer = indexer(&connect(&comms, "indexer").await?, &document.path, heard, fetched).await?;
    let desk = connect(&comms, "desk").await?;
    let visitor = connect(&comms, "visitor").await?;

    let start = Instant::now();
    let file = content(&desk, document).await?;
    let sent = desk.send(AddDocument { title: "Annual report".into(), file }).owner(OWNER).await?;
    say_sent(&desk, &sent, document, start.elapsed(), output)?;
    let outcome = sent.outcome().await?.done()?;
    let known = start.elapsed();

    let command = arrived(&mut was_handled, "archive did not get the command").await?;
    say_handled(&command, command.at - start, output)?;
    let [event] = outcome.events.as_slice() else {
        return Err(Failure::failed(format!("the command caused {} events, not one", outcome.events.len())));
    };
    say_kept(&desk, event, output)?;
    let seen = arrived(&mut was_heard, "indexer did not hear of the document").await?;
    let cid = say_heard(&seen, event, seen.at - start, output)?;
    // Reading has a bound of its own: content that does not move for long is an error.
    let fetched =
        was_fetched.recv().await.ok_or_else(|| Failure::failed("indexer ended before it was done"))?;
    say_fetched(&fetched, cid, document, output)?;
    deny(&visitor, cid, output).await?;
    let row = Row::new("done")
        .tone(Tone::Good)
        .cell("desk knows the outcome: done, one event caused")
        .cell(format!("{} after it began", span(known)));
    let ended =
        json::Ended { id: sent.id.to_string(), reason: None, tries: outcome.tries, ms: milliseconds(known) };
    output.say(&json::Demo::Done(ended), &row)?;

    archive.stop().await?;
    indexer.stop().await?;
    Ok(())
}

async fn connect(comms: &Path, name: &str) -> Result<Comms, Failure> {
    Ok(Comms::options().folder(comms).connect(name).await?)
}

async fn archive(comms: &Comms, handled: mpsc::Sender<Handled>) -> Result<Running, Failure> {
    let handle = move |add: AddDocument, cx: CommandContext| {
        // A redelivery finds the place taken, and what it would say has been said.
        let _ = handled.try_send(Handled { at: Instant::now(), id: cx.id(), sender: cx.sender().cloned() });
        let document = cx.new_entity("document");
        async move { Ok(document.emit(DocumentAdded { title: add.title, file: add.file })) }
    };
    Ok(comms.handle(handle).start().await?)
}

async fn indexer(
    comms: &Comms,
    original: &Path,
    heard: mpsc::Sender<Heard>,
    fetched: mpsc::Sender<Fetched>,
) -> Result<Running, Failure> {
    let original = original.to_owned();
    let listen = move |event: Recorded<DocumentAdded>, cx: EventContext| {
        let (at, size) = (Instant::now(), event.msg().to_cbor().len());
        let _ = heard.try_send(Heard { at, id: event.id(), bytes: size, link: event.file.link().copied() });
        let (fetched, original) = (fetched.clone(), original.clone());
        async move {
            let same = fetch(&event, &cx, original).await;
            let _ = fetched.try_send(Fetched { took: at.elapsed(), same });
            Ok::<(), Unhandled>(())
        }
    };
    Ok(comms.listen(listen).start().await?)
}

async fn fetch(event: &DocumentAdded, cx: &EventContext, original: PathBuf) -> Result<Same, String> {
    let document = cx.open(&event.file).await.map_err(|error| error.to_string())?;
    compare(document, &original).await
}

/// The document as a field of the command: its bytes, or a link if it is too large to hold in memory.
async fn content(desk: &Comms, document: &Document) -> Result<Content, Failure> {
    if document.bytes <= IN_COMMAND_BYTES_MAX {
        return Ok(Content::from_path(&document.path).await?);
    }
    let file = tokio::fs::File::open(&document.path).await;
    let file = file.map_err(|error| crate::content::unreadable(&document.path, &error))?;
    Ok(desk.put(file).await?.cid.into())
}

async fn arrived<T>(from: &mut mpsc::Receiver<T>, otherwise: &str) -> Result<T, Failure> {
    let seen = timeout(ARRIVES_WITHIN, from.recv()).await.ok().flatten();
    seen.ok_or_else(|| Failure::failed(format!("{otherwise} within {}", span(ARRIVES_WITHIN))))
}

fn say_sent(
    desk: &Comms,
    sent: &Sent,
    document: &Document,
    took: Duration,
    output: Output,
) -> Result<(), Failure> {
    let subject = Subject::Command {
        domain: desk.domain().clone(),
        type_name: "documents.AddDocument".parse().expect("it is the name of a type"),
        sender: desk.service().clone(),
    };
    let said = json::DemoSent {
        service: desk.service().to_string(),
        id: sent.id.to_string(),
        subject: subject.to_string(),
        position: sent.position.to_string(),
        bytes: sent.bytes as u64,
        ms: milliseconds(took),
    };
    let row = Row::new("sent")
        .cell("desk sent a command with the document in it; both are on disk")
        .cell(span(took))
        .detail("subject", said.subject.clone())
        .detail("sender", said.service.clone())
        .detail("id", said.id.clone())
        .detail("sizes", format!("message {}, document {}", bytes(said.bytes), bytes(document.bytes)));
    output.say(&json::Demo::Sent(said), &row)
}

fn say_handled(handled: &Handled, after: Duration, output: Output) -> Result<(), Failure> {
    let sender = handled.sender.as_ref().map(ToString::to_string).unwrap_or_default();
    let row = Row::new("handled")
        .cell(format!("archive got it from {sender} and answered with an event"))
        .cell(format!("{} after desk began", span(after)));
    let said = json::DemoHandled {
        service: "archive".into(),
        id: handled.id.to_string(),
        sender,
        ms: milliseconds(after),
    };
    output.say(&json::Demo::Handled(said), &row)
}

fn say_kept(desk: &Comms, event: &Caused, output: Output) -> Result<(), Failure> {
    let subject = Subject::Event {
        domain: desk.domain().clone(),
        entity: event.entity.clone(),
        type_name: event.type_name.clone(),
    };
    let said = json::DemoKept {
        id: event.id.to_string(),
        subject: subject.to_string(),
        position: event.position.to_string(),
        cid: event.cid.to_string(),
    };
    let row = Row::new("kept")
        .cell("the event is in the log, and so is the command's outcome")
        .detail("subject", said.subject.clone())
        .detail("sender", "archive")
        .detail("id", said.id.clone())
        .detail("position", said.position.clone());
    output.say(&json::Demo::Kept(said), &row)
}

fn say_heard(heard: &Heard, kept: &Caused, after: Duration, output: Output) -> Result<Option<Cid>, Failure> {
    if heard.id != kept.id {
        return Err(Failure::failed(format!("indexer heard {}, and the log has {}", heard.id, kept.id)));
    }
    let said = json::DemoHeard {
        service: "indexer".into(),
        id: heard.id.to_string(),
        bytes: heard.bytes as u64,
        link: heard.link.map(|cid| cid.to_string()),
        ms: milliseconds(after),
    };
    let row = Row::new("heard")
        .cell("indexer, which only listens, got the small event")
        .cell(format!("{} after desk began", span(after)))
        .detail("size", format!("message {}", bytes(said.bytes)));
    let row = match &said.link {
        Some(cid) => row.detail("document", format!("{cid}, as IPFS names it")),
        None => row.detail("document", "small enough to be still in it"),
    };
    output.say(&json::Demo::Heard(said), &row)?;
    Ok(heard.link)
}

fn say_fetched(
    fetched: &Fetched,
    cid: Option<Cid>,
    document: &Document,
    output: Output,
) -> Result<(), Failure> {
    let same = match &fetched.same {
        Ok(same) if same.bytes == document.bytes => same,
        Ok(same) => {
            let message =
                format!("the document has {} bytes, and {} were compared", document.bytes, same.bytes);
            return Err(Failure::failed(message));
        }
        Err(difference) => {
            return Err(Failure::failed("what indexer fetched is not the document").mend(difference.clone()));
        }
    };
    let said = json::DemoFetched {
        service: "indexer".into(),
        cid: cid.map(|cid| cid.to_string()),
        bytes: same.bytes,
        sha256: same.sha256.clone(),
        ms: milliseconds(fetched.took),
    };
    let how =
        if cid.is_some() { "fetched the document by its CID" } else { "has the document from the event" };
    let row = Row::new("fetched")
        .tone(Tone::Good)
        .cell(format!("indexer {how} and compared it: every byte is right"))
        .cell(span(fetched.took))
        .detail("size", format!("{} bytes", same.bytes))
        .detail("sha256", same.sha256.clone());
    output.say(&json::Demo::Fetched(said), &row)
}

/// Who may read nothing that carries the document is answered as if it were not there.
async fn deny(visitor: &Comms, cid: Option<Cid>, output: Output) -> Result<(), Failure> {
    let Some(cid) = cid else {
        return Ok(());
    };
    match visitor.get(&cid).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::failed("visitor was given a document that is not for it")),
    }
    let answer = "not here, or not yours to read";
    let row = Row::new("denied")
        .cell("visitor, which has nothing to do with documents, asked for it too")
        .detail("answer", format!("{answer}: {cid}"));
    let said = json::DemoDenied { service: "visitor".into(), cid: cid.to_string(), answer: answer.into() };
    output.say(&json::Demo::Denied(said), &row)
}
