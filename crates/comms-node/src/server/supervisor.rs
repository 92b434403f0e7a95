//! The thread that starts the server, awaits it, and starts it again.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::leash::{Leash, Order};
use super::place::Place;
use super::{Ending, KILLED_WITHIN, State, Stop};
use crate::Error;
use crate::folder::file_error;
use crate::guard::Guard;
use crate::pace::Pace;

/// The first pause before a server is started again, and the longest. The first is short because most ends are
/// somebody's kill; the longest bounds what a server that cannot run costs.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// A server that ran this long has recovered: the next pause is the first again.
const RECOVERED_AFTER: Duration = Duration::from_secs(30);

/// What is started again and again.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) binary: PathBuf,
    pub(super) guard: Guard,
    pub(super) place: Place,
}

/// Handle to the thread.
#[derive(Debug)]
pub(super) struct Supervisor {
    state: watch::Receiver<State>,
    shared: Arc<Shared>,
    /// Taken by the first to stop it. Dropping the sender is what tells the thread.
    stop: Mutex<Option<Stop>>,
}

#[derive(Debug)]
struct Shared {
    launch: Launch,
    leash: Leash,
    /// 0 until the port is known and to be kept.
    port: AtomicU16,
    /// Where the log began for the server that runs now.
    log_from: AtomicU64,
}

impl Supervisor {
    pub(super) fn start(launch: Launch) -> Result<Supervisor, Error> {
        let shared = Arc::new(Shared {
            launch,
            leash: Leash::default(),
            port: AtomicU16::new(0),
            log_from: AtomicU64::new(0),
        });
        let (sender, state) = watch::channel(State::Starting);
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("nats-server".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.supervise(&sender, &stopped)
            })
            .map_err(|source| Error::Server {
                why: format!("no thread for it: {source}"),
                log: String::new(),
            })?;
        Ok(Supervisor { state, shared, stop: Mutex::new(Some((stop, thread))) })
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The port on which the server is started again.
    pub(super) fn keep_port(&self, port: u16) {
        self.shared.port.store(port, Ordering::Relaxed);
    }

    pub(super) fn log_from(&self) -> u64 {
        self.shared.log_from.load(Ordering::Relaxed)
    }

    /// Tells the server, if it runs.
    pub(super) fn order(&self, order: Order) -> bool {
        self.shared.leash.order(order)
    }

    /// Ends the server and the thread.
    pub(super) async fn stop(&self, grace: Duration) -> Ending {
        let Some((stop, thread)) = self.take_stop() else { return Ending::Orderly };
        drop(stop);
        self.order(Order::End);
        let mut state = self.state.clone();
        let mut ending = Ending::Orderly;
        // An error says that the thread has ended, which is what is waited for.
        if timeout(grace, state.wait_for(|state| *state == State::Stopped)).await.is_err() {
            ending = Ending::Killed;
            self.order(Order::Kill);
            if timeout(KILLED_WITHIN, state.wait_for(|state| *state == State::Stopped)).await.is_err() {
                tracing::error!("nats-server was killed and has not ended; the system still holds it");
                return ending;
            }
        }
        if thread.join().is_err() {
            tracing::error!("the thread of nats-server panicked");
        }
        ending
    }

    fn take_stop(&self) -> Option<Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some((stop, _)) = self.take_stop() {
            drop(stop);
            self.order(Order::Kill);
        }
    }
}

impl Shared {
    fn supervise(&self, state: &watch::Sender<State>, stop: &mpsc::Receiver<()>) {
        let mut restarts = 0;
        let mut pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
        while !is_stopped(stop) {
            let started = Instant::now();
            let why = match self.spawn() {
                Ok(mut child) => {
                    self.leash.hold(&mut child);
                    // A stop that came before there was something to stop.
                    if is_stopped(stop) {
                        self.leash.order(Order::End);
                    }
                    state.send_replace(State::Running { pid: child.id(), restarts });
                    match self.leash.wait(&mut child) {
                        Ok(status) => how_it_ended(status),
                        Err(error) => format!("it cannot be awaited: {error}"),
                    }
                }
                Err(why) => why,
            };
            if is_stopped(stop) {
                break;
            }
            if started.elapsed() >= RECOVERED_AFTER {
                pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
            }
            let again_in = pace.next_pause();
            tracing::warn!(why, restarts, ?again_in, "nats-server ended and is started again");
            restarts += 1;
            state.send_replace(State::Down { why, restarts, again_in });
            if stop.recv_timeout(again_in) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        self.launch.place.forget_pid();
        state.send_replace(State::Stopped);
    }

    fn spawn(&self) -> Result<Child, String> {
        let Launch { binary, guard, place } = &self.launch;
        place.forget_ports().map_err(|error| chain(&error))?;
        self.log_from.store(place.log_length(), Ordering::Relaxed);
        let output = || {
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(place.output())
                .map_err(|source| chain(&file_error("open", &place.output(), source)))
        };
        let stdout = output()?;
        stdout.set_len(0).map_err(|source| chain(&file_error("empty", &place.output(), source)))?;
        let mut command = guard.command(binary.as_os_str());
        command.arg("--config").arg(place.configuration());
        let port = self.port.load(Ordering::Relaxed);
        if port != 0 {
            // Stronger than the configuration, which may leave the choice to the system.
            command.arg("--port").arg(port.to_string());
        }
        // A group of its own: Ctrl-C in a terminal reaches the node, which ends the server when its turn comes.
        command.current_dir(place.folder()).process_group(0).stdout(stdout).stderr(output()?);
        command.spawn().map_err(|error| format!("{} cannot be started: {error}", guard.program.display()))
    }
}

fn is_stopped(stop: &mpsc::Receiver<()>) -> bool {
    stop.try_recv() == Err(TryRecvError::Disconnected)
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => String::from("it ended"),
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
