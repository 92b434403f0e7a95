//! A small domain, its layout and a folder, for the tests of this crate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use comms_domain::{Domain, Layout, NodeId, nats_conf};

use crate::current::InForce;
use crate::folder::{Folder, Held};
use crate::gateway::Tokens;
use crate::guard::{Guard, Manner};
use crate::keys::Keys;
use crate::pace::Pace;
use crate::server::{Binary, Managed, Place, READY_WITHIN, ServerSpec};

pub(crate) const LIBRARY: &str = r#"
name = "library"

[command."documents.AddDocument"]
delivery = "durable"

[command."documents.Ping"]
delivery = "direct"

[query."documents.FindDocuments"]
deadline = "2 s"

[event."documents.DocumentAdded"]
entity = "document"

[service.archive]
handles = ["documents.AddDocument", "documents.Ping"]
answers = ["documents.FindDocuments"]
emits = ["documents.DocumentAdded"]

[service.desk]
sends = ["documents.AddDocument", "documents.Ping"]
asks = ["documents.FindDocuments"]

[service.indexer]
observes = ["documents.DocumentAdded"]
"#;

/// A folder that is held, and what the domain above needs there.
pub(crate) struct Fixture {
    held: Held,
    layout: Layout,
    id: NodeId,
    _home: Option<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let home = tempfile::tempdir().unwrap();
        let fixture = Fixture::at(home.path());
        Fixture { _home: Some(home), ..fixture }
    }

    /// In a folder of somebody else's.
    pub(crate) fn at(home: &Path) -> Fixture {
        let held = Folder::beside(home).unwrap().hold().unwrap();
        let (name, secret) = held.identity(None).unwrap();
        let id = NodeId::standalone(name, *secret.bytes());
        let layout = Layout::of(&domain(LIBRARY), &id);
        Fixture { held, layout, id, _home: None }
    }

    pub(crate) fn folder(&self) -> &Folder {
        self.held.folder()
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What another definition needs in the same folder.
    pub(crate) fn layout_of(&self, toml: &str) -> Layout {
        Layout::of(&domain(toml), &self.id)
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::load_or_make(self.folder(), &self.layout).unwrap()
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.folder().nats())
    }

    pub(crate) fn configuration(&self, layout: &Layout) -> String {
        let keys = Keys::load_or_make(self.folder(), layout).unwrap();
        let options = self.place().options(layout.node.as_str(), any_port());
        nats_conf::server(layout, &keys.public(), &options).unwrap()
    }

    /// A server on a free port, in this folder.
    pub(crate) fn spec(&self) -> ServerSpec {
        ServerSpec {
            binary: binary(),
            guard: guard(),
            place: self.place(),
            configuration: self.configuration(&self.layout),
            listen: any_port(),
            leaf_listen: None,
            ready_within: READY_WITHIN,
        }
    }

    pub(crate) async fn serve(&self) -> Managed {
        Managed::start(self.spec(), &self.keys()).await.unwrap()
    }
}

/// A definition in force whose services have no tokens.
pub(crate) fn in_force(domain: Domain) -> InForce {
    let id = NodeId { name: "n1".parse().unwrap(), secret: [7; 32], role: comms_domain::Role::Standalone };
    InForce { layout: Layout::of(&domain, &id), domain, tokens: Tokens::default() }
}

pub(crate) fn domain(toml: &str) -> Arc<Domain> {
    Arc::new(Domain::parse("domain.toml", toml, &BTreeMap::new()).unwrap())
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// As users find it; without one the tests fail with the line that installs it.
pub(crate) fn binary() -> Binary {
    match Binary::find(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(binary) => binary,
        Err(error) => panic!("{error}"),
    }
}

/// Polls until `is_so`, at most for as long as anything here may take.
pub(crate) async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut pace = Pace::default();
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(pace.next_pause()).await;
    }
}

/// Runs a program of these tests: this executable again, restricted to the test of that name, which finds behind a mark
/// what it is to do. Behind `--` nothing is an option of the test runner.
const ALONE: [&str; 4] = ["--exact", "--test-threads=1", "--nocapture", "--"];
const MARK: &str = "program-of-tests";

fn this_executable() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// What follows the mark; none when this is an ordinary run of the tests.
fn program_arguments() -> Option<impl Iterator<Item = std::ffi::OsString>> {
    let mut args = std::env::args_os().skip_while(|arg| arg != MARK);
    args.next().map(|_| args)
}

pub(crate) fn guard() -> Guard {
    let args = ["fixture::guard_of_tests"].into_iter().chain(ALONE).chain([MARK]);
    Guard::new(this_executable(), args)
}

/// The guard's `main` in tests. In an ordinary run it has nothing to do.
#[test]
fn guard_of_tests() -> ExitCode {
    program_arguments().map_or(ExitCode::SUCCESS, crate::guard::run)
}

/// Starts a process that runs a server in `home` and waits to be killed.
pub(crate) fn node(home: &Path, manner: Manner) -> Child {
    let mut command = Command::new(this_executable());
    command.arg("fixture::node_of_tests").args(ALONE).arg(MARK).arg(home);
    command.arg(if manner == Manner::Stay { "stay" } else { "become" });
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

/// That process. In an ordinary run it has nothing to do.
#[tokio::test]
async fn node_of_tests() {
    if let Some(mut args) = program_arguments() {
        let fixture = Fixture::at(Path::new(&args.next().unwrap()));
        let mut spec = fixture.spec();
        if args.next().unwrap() == "stay" {
            spec.guard.manner = Manner::Stay;
        }
        let _server = Managed::start(spec, &fixture.keys()).await.unwrap();
        std::fs::write(fixture.folder().root().join("ready"), "").unwrap();
        std::future::pending::<()>().await;
    }
}
