//! A node and services as processes of their own, in the folder of a new domain.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::binary::command;
use crate::new::library;
use crate::shapes;

/// How long a process may take to say what it is waited for, on a machine that is busy with other tests.
const SAYS_WITHIN: Duration = Duration::from_secs(60);

/// A process that ends with the test.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// Starts it; its standard output is read line by line.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that it says.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(SAYS_WITHIN).expect("the process says something in time")
    }

    /// The next line that has this in it.
    pub(crate) fn line_with(&self, word: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(word) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end and returns its exit code and what it still said.
    pub(crate) fn end(&mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(out: ChildStdout) -> mpsc::Receiver<String> {
    // A process that says more than this before it is listened to waits.
    let (sender, lines) = mpsc::sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(out.take(1 << 26)).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// A running node in the folder of a new domain.
#[derive(Debug)]
pub(crate) struct Running {
    // Stops before the folder goes.
    pub(crate) node: Process,
    pub(crate) folder: PathBuf,
    _place: tempfile::TempDir,
}

/// Starts a node on free ports, and takes the key of the user `dev` away, which is for what a person types: a run that
/// leaves `--as` out fails.
pub(crate) fn up() -> Running {
    let (place, folder) = library();
    let node = start(&folder);
    let ready: Value = serde_json::from_str(&node.line()).unwrap();
    shapes::assert_fits("up", &ready);
    assert_eq!(ready["ready"]["domain"], "library");
    std::fs::remove_file(folder.join(".comms/credentials/dev.nk")).unwrap();
    Running { node, folder, _place: place }
}

/// Starts a node in a folder, whatever becomes of it.
pub(crate) fn start(folder: &Path) -> Process {
    Process::start(command(folder, &["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json"]))
}

/// The service of the new domain in Rust, listening.
pub(crate) fn archive(folder: &Path) -> Process {
    // Examples are built with the tests of their package, next to its binary.
    let binary = Path::new(env!("CARGO_BIN_EXE_comms")).with_file_name("examples").join("archive");
    let mut command = Command::new(binary);
    command.current_dir(folder.join("services/rust")).env("NO_COLOR", "1");
    let archive = Process::start(command);
    archive.line_with("ready");
    archive
}

/// A script of the new domain in Python, where a Python with nats-py is named by `COMMS_PYTHON`.
pub(crate) fn python(folder: &Path, arguments: &[&str]) -> Option<Command> {
    let python = std::env::var_os("COMMS_PYTHON").unwrap_or_else(|| "python3".into());
    let has = Command::new(&python).args(["-c", "import nats, nkeys"]).output();
    if !has.is_ok_and(|has| has.status.success()) {
        skipped("no nats-py[nkeys]; name a Python that has it with COMMS_PYTHON");
        return None;
    }
    let mut command = Command::new(python);
    command.current_dir(folder).env("PYTHONUNBUFFERED", "1").arg("-B").args(arguments);
    Some(command)
}

/// Says that a part of a test did not run, so that whoever needs all of it can see.
#[expect(clippy::print_stdout, reason = "it is for the log of the test run")]
fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}
