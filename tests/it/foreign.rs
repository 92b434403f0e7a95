//! Who does not use the library: the domain that `comms new` writes, with its service in Python, and a shell script.
//! Nothing here is special to the tests: the files are those that a newcomer gets.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use comms::{CommandContext, Commit, Content, Failure, WatchFrom};
use comms_tests::wait::SOON;
use comms_tests::{Process, TestNode, binary, tools};
use serde_json::Value;
use tempfile::TempDir;

use crate::vocabulary::{AddDocument, DocumentAdded};

/// A new domain, with its node.
struct Newcomer {
    // Stops before the folder goes.
    node: TestNode,
    folder: PathBuf,
    _place: TempDir,
}

fn new_domain() -> (TempDir, PathBuf) {
    let place = TempDir::with_prefix("comms-new-").unwrap();
    let made =
        Command::new(binary::comms()).args(["new", "library"]).current_dir(place.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let folder = place.path().join("library");
    (place, folder)
}

impl Newcomer {
    async fn start() -> Newcomer {
        let (place, folder) = new_domain();
        Newcomer { node: TestNode::start_in(&folder).await, folder, _place: place }
    }

    /// One of its scripts in Python, which finds the node from its working folder upwards.
    fn python(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tools::python());
        command.arg("-B").arg(self.folder.join("services/python").join(script)).args(arguments);
        command.current_dir(&self.folder).env("PYTHONUNBUFFERED", "1").env_remove("COMMS_CREDENTIALS");
        command
    }

    /// Runs one of its scripts and returns whether it ended well, and what it said.
    fn run_python(&self, script: &str, arguments: &[&str]) -> (bool, String) {
        let ran = self.python(script, arguments).stdin(Stdio::null()).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    }
}

async fn keep(add: AddDocument, cx: CommandContext) -> Result<Commit, Failure> {
    Ok(cx.new_entity("document").emit(DocumentAdded { title: add.title, file: add.file }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_python_handles_what_rust_sends_and_rust_hears_its_event() {
    let newcomer = Newcomer::start().await;
    let mut archive = Process::start(newcomer.python("archive.py", &[]));
    archive.line_with("listening as archive").await;
    let (desk, indexer) = (newcomer.node.connect("desk").await, newcomer.node.connect("indexer").await);
    let mut heard = indexer.watch::<DocumentAdded>().await.unwrap();
    for (title, size) in [("small", 100), ("large", 300_000), ("empty", 0), ("über\u{2028}groß \"", 1)] {
        let file = Content::from(vec![7; size]);
        let sent = desk.send(AddDocument { title: title.into(), file }).owner("ada").await.unwrap();
        let outcome = sent.outcome().await.unwrap().done().unwrap();
        let added =
            tokio::time::timeout(SOON, heard.next()).await.expect("the event comes").unwrap().unwrap();
        assert_eq!(added.id(), outcome.events[0].id);
        assert_eq!(added.event().title, title);
        let msg = added.msg();
        assert_eq!(msg.metadata.causation, Some(sent.id), "carried on by Python");
        assert_eq!(msg.metadata.correlation, sent.id);
        assert_eq!(msg.metadata.owner.as_str(), "ada");
        assert_eq!(msg.metadata.sender.as_ref().map(|sender| sender.as_str()), Some("archive"));
        let bytes = indexer.open(&added.event().file).await.unwrap().into_bytes(1 << 20).await.unwrap();
        assert!(bytes == vec![7; size], "the bytes of {title}");
    }
    archive.signal("TERM");
    assert!(archive.end().await.success(), "{}", archive.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_in_python_sends_what_rust_handles_and_is_told_what_is_wrong() {
    let newcomer = Newcomer::start().await;
    let serving = newcomer.node.connect("archive").await.handle(keep).start().await.unwrap();
    let (is_well, said) = newcomer.run_python("send.py", &["From Python", "report.pdf"]);
    assert!(is_well && said.contains("documents.DocumentAdded") && said.contains("done"), "{said}");
    let indexer = newcomer.node.connect("indexer").await;
    let mut heard = indexer.watch::<DocumentAdded>().from(WatchFrom::Start).await.unwrap();
    let added = tokio::time::timeout(SOON, heard.next()).await.expect("the event comes").unwrap().unwrap();
    assert_eq!(added.event().title, "From Python");
    let cid = added.event().file.link().expect("the report is larger than a message");
    let report = std::fs::read(newcomer.folder.join("report.pdf")).unwrap();
    assert!(indexer.get(cid).await.unwrap().into_bytes(1 << 26).await.unwrap() == report, "every byte");
    let (is_well, said) = newcomer.run_python("send.py", &["", "report.pdf"]);
    assert!(!is_well && said.contains("/title"), "the field is named: {said}");
    serving.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_script_needs_nothing_but_the_binary() {
    let newcomer = Newcomer::start().await;
    let serving = newcomer.node.connect("archive").await.handle(keep).start().await.unwrap();
    // No `nats`, nor anything else, is to be found.
    let path = newcomer.folder.join("bin");
    std::fs::create_dir(&path).unwrap();
    std::os::unix::fs::symlink(binary::comms(), path.join("comms")).unwrap();
    let script = r#"
        set -eu
        for title in one two three; do
            comms send documents.AddDocument title="$title" file=@report.pdf --owner ada --as desk
        done
        comms send documents.AddDocument titel=four --owner ada --as desk && exit 100
        [ $? = 3 ] || exit 101
        printf 'from a pipe' | comms send documents.AddDocument title=five file=- --owner ada --as desk --json --no-wait
    "#;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).current_dir(&newcomer.folder).stdin(Stdio::null());
    let ran = shell.env_clear().env("PATH", &path).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stdout).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(last.is_object(), "{said}");

    let indexer = newcomer.node.connect("indexer").await;
    let mut heard = indexer.watch::<DocumentAdded>().from(WatchFrom::Start).await.unwrap();
    for title in ["one", "two", "three", "five"] {
        let added =
            tokio::time::timeout(SOON, heard.next()).await.expect("the event comes").unwrap().unwrap();
        assert_eq!(added.event().title, title);
    }
    serving.stop().await.unwrap();
}

#[test]
fn python_computes_the_golden_vectors() {
    let (_place, folder) = new_domain();
    let mut check = Command::new(tools::python());
    check.arg("-B").arg(folder.join("services/python/check_vectors.py"));
    let checked = check.arg(binary::checkout().join("schemas/vectors/msg.json")).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

/// To build the service in Rust as a newcomer does takes minutes. The same file is an example of the CLI's package, so
/// it is compiled with everything else; what is left to show is that it is the same, and can find what it uses.
#[test]
fn the_service_in_rust_is_the_example_that_is_compiled_here() {
    let (_place, folder) = new_domain();
    let ours = metadata(&binary::checkout().join("Cargo.toml"));
    let cli = package(&ours, "comms-cli");
    let targets = cli["targets"].as_array().unwrap();
    let example = targets.iter().find(|target| target["kind"][0] == "example" && target["name"] == "archive");
    let compiled = std::fs::read_to_string(example.unwrap()["src_path"].as_str().unwrap()).unwrap();
    let service = folder.join("services/rust");
    assert_eq!(std::fs::read_to_string(service.join("src/main.rs")).unwrap(), compiled);

    let theirs = metadata(&service.join("Cargo.toml"));
    let theirs = package(&theirs, "archive");
    assert_eq!(theirs["edition"], cli["edition"]);
    for dependency in theirs["dependencies"].as_array().unwrap() {
        let name = dependency["name"].as_str().unwrap();
        let same = cli["dependencies"].as_array().unwrap().iter().find(|ours| ours["name"] == name);
        let same = same.unwrap_or_else(|| panic!("{name} is not what the example is compiled with"));
        let version =
            |dependency: &Value| dependency["req"].as_str().unwrap().trim_start_matches('^').to_owned();
        assert!(version(same).starts_with(&version(dependency)), "{name}: {dependency} is not {same}");
        for feature in dependency["features"].as_array().unwrap() {
            assert!(
                same["features"].as_array().unwrap().contains(feature),
                "{name} is compiled here without {feature}"
            );
        }
    }
    let names: Vec<&str> = theirs["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect();
    for line in compiled.lines().filter_map(|line| line.strip_prefix("use ")) {
        let root = line.split("::").next().unwrap().replace('_', "-");
        assert!(root == "std" || names.contains(&root.as_str()), "{root} is used and not named");
    }
}

fn metadata(manifest: &Path) -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn package<'a>(metadata: &'a Value, name: &str) -> &'a Value {
    metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap()
}
