//! A node under test: the real binary in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::wait::{SOON, wait_until};
use crate::{binary, fixture, port};

/// How often a bare connection looks for a server that went away.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Messages that are there now.
    pub messages: u64,
    /// Sequence of the last one ever stored: how many were, since the stream was made.
    pub last: u64,
}

/// A running `comms up`.
#[derive(Debug)]
pub struct TestNode {
    folder: Option<TempDir>,
    path: PathBuf,
    listen: String,
    arguments: Vec<String>,
    files: Option<String>,
    child: Option<Child>,
    output: Arc<Mutex<Vec<String>>>,
}

impl TestNode {
    /// Starts a node of the fixture domain and returns when it is ready.
    pub async fn start() -> TestNode {
        TestNode::start_with(fixture::DOMAIN, &[]).await
    }

    /// Starts a node of another definition, with further arguments of `comms up`.
    pub async fn start_with(definition: &str, arguments: &[&str]) -> TestNode {
        let folder = TempDir::with_prefix("comms-test-").expect("a temporary folder can be made");
        fixture::write_definition(folder.path(), definition);
        let mut node = TestNode::at(folder.path(), arguments);
        node.folder = Some(folder);
        node.up().await;
        node
    }

    /// Starts a node in a folder that somebody else made and removes.
    pub async fn start_in(folder: &Path) -> TestNode {
        let mut node = TestNode::at(folder, &[]);
        node.up().await;
        node
    }

    /// A node in a folder that somebody else made and removes, with arguments of `comms up`; not started yet.
    pub fn at(folder: &Path, arguments: &[&str]) -> TestNode {
        TestNode {
            path: folder.to_owned(),
            folder: None,
            listen: listen(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            files: None,
            child: None,
            output: Arc::default(),
        }
    }

    /// Starts the binary and waits until it is ready, or has ended: then how, with everything that it printed.
    pub async fn try_up(&mut self) -> Result<(), (ExitStatus, String)> {
        self.launch();
        let ended = wait_until("the node to be ready or to end", Duration::from_secs(60), async || {
            if self.output().lines().any(|line| line.starts_with("ready")) {
                return Ok(None);
            }
            match self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                Some(status) => Ok(Some(status)),
                None => Err(self.output()),
            }
        })
        .await;
        let Some(status) = ended else { return Ok(()) };
        self.child = None;
        // Its last words may still be on their way through the pipe.
        let said = wait_until("the last words of the node", SOON, async || {
            let said = self.output();
            if said.contains("error: ") { Ok(said) } else { Err(said) }
        });
        Err((status, said.await))
    }

    /// Starts the binary again in the same folder, after [`kill`](Self::kill) or [`stop`](Self::stop), with its
    /// nats-server where it was, so that clients of the former life find it.
    pub async fn up(&mut self) {
        self.launch();
        self.wait_ready().await;
    }

    /// Takes other arguments of `comms up` from the next start on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
    }

    /// Has a shell say this about open files before it becomes the node, from the next start on: `ulimit -Sn 256`.
    pub fn set_files(&mut self, limits: &str) {
        self.files = Some(limits.to_owned());
    }

    /// Starts the binary without waiting for it.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "one process per test node");
        self.output.lock().expect("no panic holds it").clear();
        let mut command = match &self.files {
            None => Command::new(binary::comms()),
            Some(limits) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]).arg(binary::comms());
                shell
            }
        };
        command
            .args(["up", "--listen", &self.listen, "--http", "127.0.0.1:0"])
            .args(&self.arguments)
            .current_dir(&self.path)
            .env_remove("COMMS_CREDENTIALS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the comms binary starts");
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("stdout is piped")),
            Box::new(child.stderr.take().expect("stderr is piped")),
        ];
        for stream in streams {
            let output = Arc::clone(&self.output);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    output.lock().expect("no panic holds it").push(line);
                }
            });
        }
        self.child = Some(child);
    }

    /// Waits until the node says it is ready. Then takes the key of the user `dev` away, which is for what a person
    /// types: a test that speaks as `dev`, by name or by leaving out `--as`, fails.
    pub async fn wait_ready(&mut self) {
        wait_until("the node to be ready", SOON, async || {
            let output = self.output();
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                panic!("comms up ended with {status}:\n{output}");
            }
            if output.lines().any(|line| line.starts_with("ready")) { Ok(()) } else { Err(output) }
        })
        .await;
        std::fs::remove_file(self.comms_folder().join("credentials/dev.nk"))
            .expect("a ready node has written the key of dev");
    }

    /// What the process printed so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("no panic holds it").join("\n")
    }

    /// The folder with `domain.toml` and `.comms`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `.comms` of this node.
    pub fn comms_folder(&self) -> PathBuf {
        self.path.join(".comms")
    }

    /// What `.comms/node.json` says.
    pub fn facts(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.comms_folder().join("node.json"))
            .expect("a ready node has written it");
        serde_json::from_str(&text).expect("node.json is JSON")
    }

    /// Where its nats-server listens.
    pub fn nats_url(&self) -> String {
        self.facts()["nats"].as_str().expect("node.json names the server").to_owned()
    }

    /// Where its gateway listens.
    pub fn http_url(&self) -> String {
        self.facts()["http"].as_str().expect("node.json names the gateway").to_owned()
    }

    /// What `GET /health` says: the status, and the text of the answer.
    pub async fn health(&self) -> (u16, String) {
        let answer = reqwest::get(format!("{}/health", self.http_url())).await;
        let answer = answer.unwrap_or_else(|e| panic!("the gateway does not answer: {e}\n{}", self.logs()));
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap_or_default())
    }

    /// Waits until `GET /health` answers with that status and these words in its text.
    pub async fn wait_health(&self, status: u16, words: &str, bound: Duration) {
        wait_until(&format!("health {status} with {words:?}"), bound, async || {
            let (is, text) = self.health().await;
            if is == status && text.contains(words) { Ok(()) } else { Err(format!("{is} {text}")) }
        })
        .await;
    }

    /// Process id of the node.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// Process id of its nats-server.
    pub fn nats_pid(&self) -> u32 {
        let text =
            std::fs::read_to_string(self.comms_folder().join("nats/nats-server.pid")).expect("a pid file");
        text.trim().parse().expect("a pid")
    }

    /// Connects as a service of the domain.
    pub async fn connect(&self, service: &str) -> comms::Comms {
        comms::Comms::options()
            .folder(self.comms_folder())
            .connect(service)
            .await
            .unwrap_or_else(|e| panic!("{service} cannot connect: {e}\n{}", self.logs()))
    }

    /// A bare NATS connection with the credentials of a service: what an attacker with its key has. What the server
    /// complains of arrives at the receiver.
    pub async fn raw(&self, service: &str) -> (async_nats::Client, mpsc::Receiver<String>) {
        let (sender, complaints) = mpsc::channel(1_024);
        let client = async_nats::ConnectOptions::with_nkey(self.seed(service))
            .custom_inbox_prefix(format!("_INBOX.{service}"))
            .reconnect_delay_callback(|attempt| if attempt <= 1 { Duration::ZERO } else { RECONNECT_PAUSE })
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    if let async_nats::Event::ServerError(error) = event {
                        // A full channel loses complaints of a test that does not read them.
                        let _ = sender.try_send(error.to_string());
                    }
                }
            })
            .connect(self.nats_url())
            .await
            .unwrap_or_else(|e| panic!("{service} cannot connect: {e}\n{}", self.logs()));
        (client, complaints)
    }

    /// The streams as the node itself sees them: a look that no service has.
    pub async fn jetstream(&self) -> jetstream::Context {
        let seed = std::fs::read_to_string(self.comms_folder().join("node/domain.node.nk"));
        let seed = seed.expect("a ready node has a key").trim().to_owned();
        let connected = async_nats::ConnectOptions::with_nkey(seed).connect(self.nats_url()).await;
        jetstream::new(connected.unwrap_or_else(|e| panic!("the node cannot connect: {e}\n{}", self.logs())))
    }

    /// What one of its streams holds: `stored("EVENT")`.
    pub async fn stored(&self, stream: &str) -> Stored {
        let facts = self.facts();
        let name = format!("{stream}_{}", facts["node"].as_str().expect("node.json names the node"));
        let found = self.jetstream().await.get_stream(&name).await;
        let found = found.unwrap_or_else(|e| panic!("no stream {name}: {e}\n{}", self.logs()));
        let state = &found.cached_info().state;
        Stored { messages: state.messages, last: state.last_sequence }
    }

    /// The nkey seed of a service.
    pub fn seed(&self, service: &str) -> String {
        let file = self.comms_folder().join("credentials").join(format!("{service}.nk"));
        std::fs::read_to_string(file).expect("a seed file").trim().to_owned()
    }

    /// The bearer token of a service.
    pub fn token(&self, service: &str) -> String {
        let file = self.comms_folder().join("credentials").join(format!("{service}.token"));
        std::fs::read_to_string(file).expect("a token file").trim().to_owned()
    }

    /// Runs the binary in this node's folder and returns (exit code, stdout, stderr).
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(binary::comms())
            .args(arguments)
            .current_dir(&self.path)
            .env_remove("COMMS_CREDENTIALS")
            .stdin(Stdio::null())
            .output()
            .expect("the comms binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// Kills the node as a crash would (SIGKILL), and waits until its nats-server is gone too.
    pub async fn kill(&mut self) {
        let nats = self.nats_pid();
        let mut child = self.child.take().expect("the node runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
        wait_until(
            "nats-server to end with its node",
            SOON,
            async || if alive(nats) { Err(nats) } else { Ok(()) },
        )
        .await;
    }

    /// Asks the node to stop (SIGTERM) and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the node runs");
        signal(child.id(), "TERM");
        wait_until("the node to stop", Duration::from_secs(30), async || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}\n{}", self.output())),
        })
        .await
    }

    /// What node and server wrote, for failures.
    pub fn logs(&self) -> String {
        let log =
            std::fs::read_to_string(self.comms_folder().join("nats/nats-server.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        format!("--- node\n{}\n--- nats-server (last first)\n{}", self.output(), tail.join("\n"))
    }
}

fn listen() -> String {
    format!("127.0.0.1:{}", port::lasting())
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            if let Some(folder) = self.folder.take() {
                eprintln!("the folder of the failed node is kept: {}", folder.keep().display());
            }
        }
    }
}

/// Whether a process of that id runs (and is no zombie).
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// Sends a signal by name to one process.
pub fn signal(pid: u32, name: &str) {
    let status =
        Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -{name} {pid}");
}

/// Kills one process (SIGKILL) by a single system call, so that nothing comes between the decision and the kill.
pub fn kill_now(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
}
