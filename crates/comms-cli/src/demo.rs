//! `comms demo`: the scene that the project exists for, on a node of its own, from its start to its end.
//!
//! A folder, a domain and a node are made as a user would make them; what the services say to each other is in
//! `demo/scene.rs`. Afterwards nothing is left: no process, no folder. Every figure that is printed was measured in
//! this run.

mod compare;
mod scene;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use comms_msg::DomainName;
use comms_node::guard::Guard;
use comms_node::{Nats, Node, Options};
use tempfile::TempDir;

use crate::args;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::new;
use crate::output::{Output, Row, Tone, bytes, span};
use crate::sample_pdf;
use crate::signals::Signals;
use crate::up;

/// The domain of the demo, as `comms new library` makes it.
const NAME: &str = "library";
/// One service more: it has nothing to do with documents, and so may not read them.
const VISITOR: &str = "\n[service.visitor]\nasks = [\"documents.FindDocuments\"]\n";

/// Carries out `comms demo`.
pub(crate) async fn demo(demo: &args::Demo, output: Output) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let place = Place::make(demo.keep.as_deref())?;
    let document = document(demo, place.path(), output)?;
    let start = Instant::now();
    let node = tokio::select! {
        node = Node::start(options(place.path())?) => node?,
        () = signals.next() => return Err(stopped()),
    };
    let ready = up::ready(node.summary(), start);
    let version = node.summary().nats_version.as_deref().unwrap_or_default();
    let writes = if ready.is_syncing { "synced" } else { "not synced" };
    let row = Row::new("node")
        .cell("a node of its own is up, with the accounts of the domain")
        .cell(span(start.elapsed()))
        .detail(
            "nats",
            format!("{}, nats-server {version}, writes {writes} before they are acknowledged", ready.nats),
        )
        .detail("http", ready.http.clone());
    output.say(&json::Demo::Node(ready), &row)?;

    let played = tokio::select! {
        played = scene::play(place.path(), &document, output) => played,
        failure = node.failed() => Err(Failure::failed(format!("the node's {} ended: {}", failure.name, failure.why))),
        () = signals.next() => Err(stopped()),
    };
    let forced = node.shutdown().await;
    let left = place.leave();
    played?;
    if !forced.is_empty() {
        return Err(Failure::failed(format!("these did not end in time: {}", forced.join(", "))));
    }
    left?;
    next(demo, output)
}

fn stopped() -> Failure {
    Failure::failed("stopped before the end; nothing of the demo is left")
}

/// Where the demo happens.
enum Place {
    /// Goes away with the demo.
    Passing(TempDir),
    /// Was asked to stay.
    Kept(PathBuf),
}

impl Place {
    fn make(keep: Option<&Path>) -> Result<Self, Failure> {
        let place =
            match keep {
                Some(dir) => {
                    new::make_empty(dir)?;
                    Self::Kept(dir.to_owned())
                }
                None => Self::Passing(tempfile::Builder::new().prefix("comms-demo-").tempdir().map_err(
                    |error| Failure::failed("no folder can be made for the demo").because(&error),
                )?),
            };
        let name: DomainName = NAME.parse().expect("it is a name");
        new::write(place.path(), &name)?;
        let file = place.path().join(comms_node::definition::DOMAIN_TOML);
        let added = fs::read_to_string(&file).and_then(|text| fs::write(&file, text + VISITOR));
        added.map_err(|error| {
            Failure::failed(format!("{} cannot be written", file.display())).because(&error)
        })?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Passing(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    fn leave(self) -> Result<(), Failure> {
        match self {
            Self::Passing(dir) => {
                let path = dir.path().to_owned();
                dir.close().map_err(|error| {
                    Failure::failed(format!("{} cannot be removed", path.display())).because(&error)
                })
            }
            Self::Kept(_) => Ok(()),
        }
    }
}

/// The document of the scene.
#[derive(Debug)]
struct Document {
    path: PathBuf,
    bytes: u64,
}

fn document(demo: &args::Demo, place: &Path, output: Output) -> Result<Document, Failure> {
    let path = demo.file.clone().unwrap_or_else(|| place.join(new::DOCUMENT));
    let meta = fs::metadata(&path).map_err(|error| crate::content::unreadable(&path, &error))?;
    if !meta.is_file() {
        return Err(Failure::new(Exit::Usage, format!("{} is not a file", path.display())));
    }
    let pages = demo.file.is_none().then_some(sample_pdf::PAGES);
    let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let said = json::DemoDocument { file: path.display().to_string(), bytes: meta.len(), pages };
    let mut row = Row::new("document").cell(shown);
    if let Some(pages) = pages {
        row = row.cell(format!("{pages} pages"));
    }
    output.say(&json::Demo::Document(said), &row.cell(bytes(meta.len())))?;
    Ok(Document { path, bytes: meta.len() })
}

fn options(home: &Path) -> Result<Options, Failure> {
    let guard = Guard::this_executable()
        .map_err(|error| Failure::failed("this program cannot find its own file").because(&error))?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut options = Options::new(home, guard);
    (options.nats, options.http) = (Nats::Managed(any), any);
    Ok(options)
}

fn next(demo: &args::Demo, output: Output) -> Result<(), Failure> {
    let row = |label: &str, what: &str, why: &str| {
        output.row(&Row::new(label).tone(Tone::Good).cell(what).cell(why))
    };
    let comms = program();
    match &demo.keep {
        Some(dir) => {
            row("next", &format!("cd {} && {comms} up", dir.display()), "the same domain, to go on with")?
        }
        None => {
            row("next", &format!("{comms} new library && cd library && {comms} up"), "a domain of your own")?
        }
    }
    if demo.file.is_none() {
        row("or", &format!("{comms} demo --file FILE"), "the same with a document of yours")?;
    }
    Ok(())
}

/// How this program is called from any folder: by its name where `PATH` has it, else by its path.
fn program() -> String {
    let name = env!("CARGO_BIN_NAME");
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
        return name.to_owned();
    }
    std::env::current_exe().map_or_else(|_| name.to_owned(), |path| path.display().to_string())
}
