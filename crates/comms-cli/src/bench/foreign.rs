//! The `nats` program as a peer: `nats bench`, on the peers' server, with payloads as large as our messages.
//!
//! A program that is started here is ended here: when its figure is known, when nobody waits for it any more, and on
//! Linux by the kernel when this process dies.

use std::env;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use comms_node::guard;
use tokio::sync::oneshot;

use super::peers::{Peers, USER};
use crate::failure::Failure;

const PROGRAM: &str = "nats";
/// What the program may print: a few lines.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// The program.
#[derive(Debug, Clone)]
pub(super) struct Cli {
    program: PathBuf,
}

impl Cli {
    /// Looks on PATH, then in `.tools/bin` of the working folder and of every folder above it.
    pub(super) fn find() -> Option<Cli> {
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|folder| folder.join(PROGRAM));
        let here = env::current_dir().unwrap_or_default();
        let tools = here.ancestors().map(|folder| folder.join(".tools/bin").join(PROGRAM));
        on_path.chain(tools).find(|program| program.is_file()).map(|program| Cli { program })
    }

    /// `nats bench sub` and `nats bench pub`: messages that arrived, per second.
    pub(super) async fn publish(&self, peers: &Peers, messages: u64, bytes: usize) -> Result<f64, Failure> {
        const SUBJECT: &str = "foreign.direct";
        let subscriber = self.start(peers, &["sub", SUBJECT], messages, bytes)?;
        peers.subscribed(SUBJECT).await?;
        let publisher = self.start(peers, &["pub", SUBJECT], messages, bytes)?;
        publisher.rate().await?;
        subscriber.rate().await
    }

    /// `nats bench service serve` and `request`: requests of that many bytes, each answered with two, per second.
    pub(super) async fn request(&self, peers: &Peers, messages: u64, bytes: usize) -> Result<f64, Failure> {
        const SUBJECT: &str = "foreign.query";
        let _server = self.start(peers, &["service", "serve", SUBJECT], messages, bytes)?;
        peers.subscribed(SUBJECT).await?;
        self.start(peers, &["service", "request", SUBJECT], messages, bytes)?.rate().await
    }

    fn start(&self, peers: &Peers, what: &[&str], messages: u64, bytes: usize) -> Result<Running, Failure> {
        let mut arguments: Vec<OsString> = ["bench"].iter().chain(what).map(OsString::from).collect();
        let (messages, size) = (messages.to_string(), bytes.to_string());
        let flags = ["--msgs", &messages, "--size", &size, "--no-progress", "--no-context"];
        arguments.extend(flags.iter().map(OsString::from));
        let mut command = self.command(&arguments);
        // The password stands in the environment, where other users of the machine do not see it.
        command
            .env("NATS_URL", peers.url())
            .env("NATS_USER", USER)
            .env("NATS_PASSWORD", peers.password())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Running::start(command)
    }

    /// The program, on Linux by way of the guard that binds its life to this process.
    fn command(&self, arguments: &[OsString]) -> Command {
        if cfg!(target_os = "linux") {
            let mut command = Command::new("/proc/self/exe");
            command.arg(guard::SUBCOMMAND).arg(std::process::id().to_string()).arg("become");
            command.arg(&self.program).args(arguments);
            command
        } else {
            let mut command = Command::new(&self.program);
            command.args(arguments);
            command
        }
    }
}

/// A run of the program. Dropping it ends the program.
#[derive(Debug)]
struct Running {
    child: Arc<Mutex<Child>>,
    output: Option<oneshot::Receiver<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// The thread that starts the program reads it to its end: the kernel counts that thread as the parent.
    fn start(mut command: Command) -> Result<Running, Failure> {
        let (started, child) = mpsc::channel();
        let (sender, output) = oneshot::channel();
        let thread = std::thread::Builder::new().name("nats bench".into()).spawn(move || {
            let child = command.spawn().map(|mut child| (child.stdout.take(), Arc::new(Mutex::new(child))));
            let (stdout, child) = match child {
                Ok(parts) => parts,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(Arc::clone(&child))).is_err() {
                return;
            }
            let mut text = String::new();
            if let Some(stdout) = stdout {
                // Output that cannot be read has no figure in it, which is said below.
                let _ = stdout.take(OUTPUT_BYTES_MAX).read_to_string(&mut text);
            }
            // One that has said everything has nothing left to do, whether it has ended or not.
            let mut child = lock(&child);
            let _ = child.kill();
            let _ = child.wait();
            let _ = sender.send(text);
        });
        let thread = thread.map_err(|error| Failure::failed("no thread for nats bench").because(&error))?;
        match child.recv() {
            Ok(Ok(child)) => Ok(Running { child, output: Some(output), thread: Some(thread) }),
            Ok(Err(error)) => Err(Failure::failed("nats bench cannot be started").because(&error)),
            Err(_) => Err(Failure::failed("nats bench cannot be started")),
        }
    }

    /// The figure that it prints at its end.
    async fn rate(mut self) -> Result<f64, Failure> {
        let output = self.output.take().expect("asked once, since it takes the run");
        let text = output.await.unwrap_or_default();
        figure(&text).ok_or_else(|| {
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            Failure::failed("nats bench printed no figure").mend(format!("it said: {last}"))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and need not be.
        let _ = lock(&self.child).kill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The figure in `NATS Core NATS subscriber stats: 509,266 msgs/sec ~ …`.
fn figure(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(" stats: "))?;
    let (_, rest) = line.split_once(" stats: ")?;
    let (digits, _) = rest.split_once(" msgs/sec")?;
    digits.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found() {
        let text =
            "11:13:43 [1] Starting\n\nNATS Core NATS subscriber stats: 509,266 msgs/sec ~ 160 MiB/sec\n";
        assert_eq!(figure(text), Some(509_266.0));
        assert_eq!(figure("nats: error: no servers available"), None);
    }
}
