//! `docker-compose.yml` without Docker: the commands it names, with the files and volumes it mounts where they are
//! mounted, as processes on loopback. Addresses and the roots of paths are replaced; everything else is what containers
//! would run. This is also the test of `comms up --nats`: a server that exists, and doors that wait until it enforces
//! what the definition says.

mod yaml;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use comms::{CommandContext, Commit, Comms, Failure, WatchFrom};
use comms_tests::wait::SOON;
use comms_tests::{Process, binary, tools};
use serde_json::Value;
use tempfile::TempDir;

use crate::vocabulary::{AddDocument, DocumentAdded};

/// Everything that compose would make of the file, below one folder.
struct Composed {
    file: Value,
    text: String,
    place: TempDir,
}

impl Composed {
    fn new() -> Composed {
        let text = std::fs::read_to_string(binary::checkout().join("docker-compose.yml")).unwrap();
        let place = TempDir::with_prefix("comms-compose-").unwrap();
        let made = Command::new(binary::comms())
            .args(["new", "library"])
            .current_dir(place.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Composed { file: yaml::read(&text), text, place }
    }

    fn service(&self, name: &str) -> &Value {
        let service = &self.file["services"][name];
        assert!(service.is_object(), "docker-compose.yml has no service {name}");
        service
    }

    /// The root of a service's container, with its mounts in place.
    fn root(&self, name: &str) -> PathBuf {
        let root = self.place.path().join("containers").join(name);
        for mount in strings(&self.service(name)["volumes"]) {
            // The default of a variable has a colon of its own.
            let mount = mount.replace("${COMMS_DOMAIN:-./library}", "./library");
            let mut parts = mount.split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().expect("a mount has a target"));
            let source = match source {
                "./library" => self.place.path().join("library"),
                "./nats-server.conf" => binary::checkout().join("nats-server.conf"),
                volume => {
                    assert!(
                        self.file["volumes"].as_object().unwrap().contains_key(volume),
                        "no volume {volume}"
                    );
                    // Where the domain mounts them, they are folders and no links, as in a container.
                    let folder = self.place.path().join(match volume {
                        "comms" => "library/.comms",
                        "accounts" => "library/.comms/nats",
                        _ => "volumes/jetstream",
                    });
                    std::fs::create_dir_all(&folder).unwrap();
                    folder
                }
            };
            let target = inside(&root, target);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            if !target.exists() {
                std::os::unix::fs::symlink(&source, &target).unwrap();
            }
            assert!(target.exists(), "{}", target.display());
        }
        root
    }

    /// What the container of a service runs; `nats` is where its server is found from here.
    fn command(&self, name: &str, program: &Path, nats: &str) -> Command {
        let (service, root) = (self.service(name), self.root(name));
        let mut command = Command::new(program);
        for argument in strings(&service["command"]) {
            let argument = argument.replace("nats://nats:4222", nats);
            if argument.starts_with('/') {
                command.arg(inside(&root, &argument))
            } else {
                command.arg(argument)
            };
        }
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let (value, path) = (value.as_str().unwrap(), inside(&root, value.as_str().unwrap()));
            if value.starts_with('/') {
                command.env(variable, path)
            } else {
                command.env(variable, value)
            };
        }
        command.env_remove("COMMS_CREDENTIALS").stdin(Stdio::null());
        if let Some(folder) = self.work_folder(name) {
            command.current_dir(folder);
        }
        command
    }

    /// Where the image of a service starts its command, for those that are built from the Dockerfile.
    fn work_folder(&self, name: &str) -> Option<PathBuf> {
        let dockerfile = std::fs::read_to_string(binary::checkout().join("Dockerfile")).unwrap();
        let is_built = self.service(name)["build"] == ".";
        let folder = dockerfile.lines().filter_map(|line| line.strip_prefix("WORKDIR ")).next_back();
        is_built.then(|| inside(&self.root(name), folder.expect("the Dockerfile names a working folder")))
    }

    /// Starts nats-server as the file says, on a free port, and returns it with its address.
    async fn nats(&self) -> (Process, String) {
        let mut command = self.command("nats", &tools::nats_server(), "");
        // nats-server.conf says that these win over what stands in it.
        command.args(["-a", "127.0.0.1", "-p", "-1"]);
        let mut nats = Process::start(command);
        let line = nats.line_with("Listening for client connections on ").await;
        nats.line_with("Server is ready").await;
        let url = format!("nats://{}", line.rsplit(' ').next().unwrap());
        (nats, url)
    }

    fn node(&self, nats: &str) -> Process {
        let mut command = self.command("node", binary::comms(), nats);
        command.args(["--http", "127.0.0.1:0"]);
        Process::start(command)
    }

    fn accounts(&self) {
        let done = self.command("accounts", binary::comms(), "").output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// Where credentials and `node.json` lie, as the containers of services would have it mounted.
    fn credentials(&self) -> PathBuf {
        self.place.path().join("library/.comms")
    }

    async fn connect(&self, service: &str) -> Comms {
        Comms::options().folder(self.credentials()).connect(service).await.unwrap()
    }
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a text").to_owned()).collect()
}

async fn keep(add: AddDocument, cx: CommandContext) -> Result<Commit, Failure> {
    Ok(cx.new_entity("document").emit(DocumentAdded { title: add.title, file: add.file }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_file_gives_a_domain_that_works() {
    let composed = Composed::new();
    // In the order of `depends_on`: the accounts end well, the server is healthy, then the node.
    assert_eq!(
        composed.service("nats")["depends_on"]["accounts"]["condition"],
        "service_completed_successfully"
    );
    assert_eq!(composed.service("node")["depends_on"]["nats"]["condition"], "service_healthy");
    composed.accounts();
    let shared =
        strings(&serde_json::to_value(files(&composed.place.path().join("library/.comms/nats"))).unwrap());
    assert_eq!(shared, ["accounts.conf"], "the server gets no seed and no token");
    let (mut nats, url) = composed.nats().await;
    let mut node = composed.node(&url);
    node.line_with("ready in").await;

    // The node's health check, at the port that was free.
    let facts: Value =
        serde_json::from_str(&std::fs::read_to_string(composed.credentials().join("node.json")).unwrap())
            .unwrap();
    let port = facts["http"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let check = strings(&composed.service("node")["healthcheck"]["test"]);
    assert_eq!(check[0], "CMD");
    let check: Vec<String> = check[1..].iter().map(|word| word.replace("7180", &port)).collect();
    let healthy = Command::new(&check[0]).args(&check[1..]).output().unwrap();
    assert!(healthy.status.success(), "{healthy:?}");

    // The command that the file shows, as a shell in the node's container would run it.
    let shown =
        composed.text.lines().find_map(|line| line.strip_prefix("#     docker compose exec node comms "));
    let serving = composed.connect("archive").await.handle(keep).start().await.unwrap();
    let mut send = Command::new(binary::comms());
    send.args(shown.expect("the file shows how to send").split(' '))
        .current_dir(composed.work_folder("node").unwrap());
    let sent = send.env_remove("COMMS_CREDENTIALS").output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let indexer = composed.connect("indexer").await;
    let mut heard = indexer.watch::<DocumentAdded>().from(WatchFrom::Start).await.unwrap();
    let added = tokio::time::timeout(SOON, heard.next()).await.expect("the event comes").unwrap().unwrap();
    let report = std::fs::read(composed.place.path().join("library/report.pdf")).unwrap();
    let kept = indexer.open(&added.event().file).await.unwrap().into_bytes(1 << 26).await.unwrap();
    assert!(kept == report, "every byte");
    serving.stop().await.unwrap();

    // As `docker compose down` and `up` again: what was kept is there.
    node.signal("TERM");
    assert!(node.end().await.success(), "{}", node.output());
    nats.signal("TERM");
    nats.end().await;
    composed.accounts();
    let (_nats, url) = composed.nats().await;
    let mut node = composed.node(&url);
    node.line_with("ready in").await;
    let indexer = composed.connect("indexer").await;
    let mut heard = indexer.watch::<DocumentAdded>().from(WatchFrom::Start).await.unwrap();
    let again = tokio::time::timeout(SOON, heard.next()).await.expect("the event is kept").unwrap().unwrap();
    assert_eq!(again.id(), added.id());
    node.signal("TERM");
    assert!(node.end().await.success(), "{}", node.output());
}

/// The server runs with the mounted file, but its operator has not included the accounts of this domain yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_doors_stay_shut_until_the_server_enforces_the_definition() {
    let composed = Composed::new();
    composed.accounts();
    let accounts = composed.place.path().join("library/.comms/nats/accounts.conf");
    let generated = std::fs::read_to_string(&accounts).unwrap();
    std::fs::write(&accounts, "").unwrap();
    let (nats, url) = composed.nats().await;
    let mut node = composed.node(&url);
    // It says what is wrong and what to do, and is found by nobody.
    node.line_with("without credentials is let in").await;
    let said = node.output();
    assert!(said.contains("accounts.conf") && !said.contains("ready in"), "{said}");
    assert!(!composed.credentials().join("node.json").exists());
    let early = Comms::options().folder(composed.credentials()).connect("desk").await;
    assert!(early.is_err(), "nobody can connect to a node that has not opened its doors");
    // The operator includes them and reloads the server, as nats-server.conf says. The node wrote the file meanwhile.
    assert_eq!(
        std::fs::read_to_string(&accounts).unwrap(),
        generated,
        "what the node wrote is what was to be included"
    );
    nats.signal("HUP");
    node.line_with("ready in").await;
    composed.connect("desk").await;
    node.signal("TERM");
    assert!(node.end().await.success(), "{}", node.output());
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    entries.collect()
}
