//! The nats-server that this node starts, keeps running and ends.
//!
//! [`Managed::start`] returns when the server answers as the one that was configured: the node's user of the system
//! account has connected and the server has told its configuration's digest. From then on a server that dies is
//! started again, with growing pauses, on the same port; [`Managed::state`] shows what is going on. One that runs and
//! stores nothing, or answers nothing, is ended for that by `Managed::restart`. It ends with [`Managed::stop`], when the
//! value is dropped, or with the node ([`crate::guard`]).
//!
//! The thread that starts the server also awaits it, because the kernel counts that thread as its parent. It is the
//! one thing of the node that is not spawned through [`crate::tasks`].

mod binary;
mod leash;
mod leftover;
mod place;
mod supervisor;
#[cfg(test)]
mod tests;
mod vouch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use comms_domain::Account;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::connections;
use crate::facts::Facts;
use crate::guard::Guard;
use crate::keys::Keys;
use crate::pace::Pace;
use crate::{Error, Socket, address, folder};

pub use self::binary::{Binary, INSTALL, VERSION_MIN, Version};
pub(crate) use self::leash::{Leash, Order};
pub use self::place::Place;
use self::supervisor::{Launch, Supervisor};
pub(crate) use self::vouch::Vouch;

/// How long a server may take to come up: it reads its whole store first, which is slow when the store is large.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a server may take to read a new configuration; it does so in milliseconds.
const RELOAD_WITHIN: Duration = Duration::from_secs(5);
/// What the server logs when it read a new configuration and cannot take it.
const RELOAD_FAILED: &str = "Failed to reload server configuration";
/// How long a server may take to end before it is started again; one whose disk fails may never do so by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// The same for one that answers nothing: it will hardly hear the signal.
const HUNG_ENDS_WITHIN: Duration = Duration::from_secs(1);
/// How long the system may take to end a process that was killed; longer, and its disk hangs.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// One try to connect while the server comes up. On loopback it takes milliseconds or fails at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long the server may take for a word. On loopback it takes a fraction of a millisecond.
const WORD_WITHIN: Duration = Duration::from_secs(2);
/// How often a server that lets the node in is asked about itself before its answer counts as wrong.
const FACTS_TRIES: u32 = 3;

/// What to start.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// The program.
    pub binary: Binary,
    /// How it is bound to the life of this node.
    pub guard: Guard,
    /// Where its files are. One server at a time.
    pub place: Place,
    /// Its configuration: [`comms_domain::nats_conf::server`] with [`Place::options`].
    pub configuration: String,
    /// The address in that configuration. With port 0 the system chooses a port, which is kept as long as the
    /// [`Managed`] lives.
    pub listen: SocketAddr,
    /// The address for leafs in that configuration, if there is one.
    pub leaf_listen: Option<SocketAddr>,
    /// How long it may take to come up.
    pub ready_within: Duration,
}

/// What the server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not started yet.
    Starting,
    /// The process runs. Clients reconnect when it listens.
    Running {
        /// Its process.
        pid: u32,
        /// How often it had to be started again.
        restarts: u32,
    },
    /// It ended by itself and will be started again.
    Down {
        /// How it ended.
        why: String,
        /// How often it had to be started again.
        restarts: u32,
        /// The pause before the next start.
        again_in: Duration,
    },
    /// It was stopped and stays so.
    Stopped,
}

/// The digest of a configuration, as nats-server computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest(pub String);

/// How a server that runs is to be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// It answers, and stores nothing.
    InOrder,
    /// It answers nothing.
    Hung,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, after it was asked to.
    Orderly,
    /// It did not end within its grace period and was killed. What it acknowledged is on the disk.
    Killed,
}

/// A running nats-server. Dropping it kills the server; [`Managed::stop`] is the orderly way.
#[derive(Debug)]
pub struct Managed {
    spec: ServerSpec,
    port: u16,
    system: async_nats::Client,
    supervisor: Supervisor,
    /// The configuration in force. Held while it is being replaced.
    configuration: Mutex<String>,
}

/// Ends the nats-server that a node which is dead left behind in that place.
pub(crate) async fn end_leftover(place: &Place) -> Result<(), Error> {
    leftover::end(place).await
}

impl Managed {
    /// Starts the server and waits until it answers as the node's system user.
    ///
    /// A server that a dead node left behind in the same place is ended first. Nothing runs when this fails; the
    /// error carries the last lines of the server's log.
    pub async fn start(spec: ServerSpec, keys: &Keys) -> Result<Managed, Error> {
        folder::make_private(spec.place.folder())?;
        leftover::end(&spec.place).await?;
        // The server would say it too, with a dozen lines of its log.
        address::check(Socket::NatsServer, spec.listen)?;
        if let Some(listen) = spec.leaf_listen {
            address::check(Socket::Leafs, listen)?;
        }
        spec.place.write_configuration(&spec.configuration)?;
        let supervisor = Supervisor::start(Launch {
            binary: spec.binary.path.clone(),
            guard: spec.guard.clone(),
            place: spec.place.clone(),
        })?;
        match ready(&spec, &supervisor, keys).await {
            Ok((port, system)) => {
                supervisor.keep_port(port);
                let configuration = Mutex::new(spec.configuration.clone());
                Ok(Managed { spec, port, system, supervisor, configuration })
            }
            Err(error) => {
                supervisor.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }

    /// Where clients on this machine connect.
    pub fn url(&self) -> String {
        url(self.spec.listen, self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens for leafs, if it does.
    pub fn leafs(&self) -> Option<SocketAddr> {
        self.spec.leaf_listen
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        match *self.supervisor.state().borrow() {
            State::Running { pid, .. } => Some(pid),
            State::Starting | State::Down { .. } | State::Stopped => None,
        }
    }

    /// What it is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.supervisor.state()
    }

    /// Who knows whether it holds its port.
    pub(crate) fn vouch(&self) -> Vouch {
        vouch(&self.spec, &self.supervisor)
    }

    /// Which start of it holds the port, after it has answered a word of the node; none while none does.
    pub(crate) async fn holds_port(&self) -> Option<u32> {
        let vouch = self.vouch();
        let before = vouch.start()?;
        // The shortest thing that the server answers itself.
        let word = self.system.request("$SYS.REQ.USER.INFO", Vec::new().into());
        timeout(WORD_WITHIN, word).await.ok()?.ok()?;
        (vouch.start() == Some(before)).then_some(before)
    }

    /// A connection as the node's user of the system account, which comes back after every restart.
    pub fn system(&self) -> &async_nats::Client {
        &self.system
    }

    /// What the server says of itself.
    pub async fn facts(&self) -> Result<Facts, Error> {
        Facts::ask(&self.system).await
    }

    /// Puts a new configuration in force without disconnecting anyone whose rights allow what they do.
    ///
    /// A configuration that the server refuses changes nothing. When this returns well, the server has said that it
    /// runs on this very configuration, and its rights bind every connection. Two calls wait for each other.
    pub async fn reload(&self, configuration: &str) -> Result<Digest, Error> {
        let mut in_force = self.configuration.lock().await;
        let digest = self.check(configuration).await?;
        // A server that is down right now says nothing, and whatever it says later is news.
        let loaded_before = self.facts().await.ok().map(|facts| facts.loaded);
        let log_from = self.spec.place.log_length();
        self.spec.place.write_configuration(configuration)?;
        // A server that is down right now reads the file when it is started again.
        self.supervisor.order(Order::Reload);
        let failure = match self.runs_on(&digest, loaded_before.as_deref(), log_from).await {
            Reload::Done => {
                in_force.clear();
                in_force.push_str(configuration);
                return Ok(digest);
            }
            Reload::Refused(log) => Error::ConfigurationRefused { log },
            Reload::Silent(log) => Error::ConfigurationUnconfirmed { within: RELOAD_WITHIN, log },
        };
        self.spec.place.write_configuration(&in_force)?;
        self.supervisor.order(Order::Reload);
        Err(failure)
    }

    /// Has the server ended, and returns when the supervisor has started it again. What it acknowledged is on the disk
    /// either way.
    pub(crate) async fn restart(&self, manner: Restart) {
        let mut state = self.supervisor.state();
        let before = state.borrow_and_update().clone();
        // One that is down is on its way already.
        if matches!(before, State::Running { .. }) {
            self.supervisor.order(Order::End);
            let ends_within = match manner {
                Restart::InOrder => ENDS_WITHIN,
                Restart::Hung => HUNG_ENDS_WITHIN,
            };
            if timeout(ends_within, state.wait_for(|now| *now != before)).await.is_err() {
                tracing::error!("nats-server does not end within {} s and is killed", ends_within.as_secs());
                self.supervisor.order(Order::Kill);
            }
        }
        // An error says that the supervisor has ended, and with it this.
        let _ = state
            .wait_for(|now| *now != before && matches!(now, State::Running { .. } | State::Stopped))
            .await;
    }

    /// Ends the server: it is asked to, and killed when it has not ended within `grace`. Again, nothing happens.
    pub async fn stop(&self, grace: Duration) -> Ending {
        // Nobody is to be told about the end of a connection that ends on purpose.
        if let Err(error) = self.system.drain().await {
            tracing::debug!(%error, "the system connection was gone already");
        }
        self.supervisor.stop(grace).await
    }

    /// Lets the server read a configuration without using it, and tells its digest.
    async fn check(&self, configuration: &str) -> Result<Digest, Error> {
        let candidate = self.spec.place.write_candidate(configuration)?;
        let binary = self.spec.binary.clone();
        let checked = tokio::task::spawn_blocking(move || binary.check(&candidate)).await;
        match checked.expect("a check does not panic") {
            Ok(digest) => Ok(Digest(digest)),
            Err(log) => Err(Error::ConfigurationRefused { log }),
        }
    }

    /// Waits until the server has put that configuration in force: it shows the digest first, then binds connected
    /// clients to their new rights, and changes the time of loading last.
    async fn runs_on(&self, digest: &Digest, loaded_before: Option<&str>, log_from: u64) -> Reload {
        let deadline = Instant::now() + RELOAD_WITHIN;
        let mut pace = Pace::default();
        loop {
            if let Ok(facts) = self.facts().await
                && facts.configuration.as_ref() == Some(&digest.0)
                && loaded_before != Some(facts.loaded.as_str())
            {
                return Reload::Done;
            }
            let log = self.spec.place.log_tail(log_from);
            // The digest decides; this line only spares the wait for one that will not come.
            if log.contains(RELOAD_FAILED) {
                return Reload::Refused(log);
            }
            if Instant::now() >= deadline {
                return Reload::Silent(log);
            }
            sleep(pace.next_pause()).await;
        }
    }
}

/// How a reload ended.
enum Reload {
    Done,
    /// The server says that it cannot: some things change with a restart only.
    Refused(String),
    /// It says nothing.
    Silent(String),
}

fn vouch(spec: &ServerSpec, supervisor: &Supervisor) -> Vouch {
    Vouch { state: supervisor.state(), place: spec.place.clone() }
}

/// Waits until the server that was just started answers, and tells its port.
async fn ready(
    spec: &ServerSpec,
    supervisor: &Supervisor,
    keys: &Keys,
) -> Result<(u16, async_nats::Client), Error> {
    let failed = |why: String| Error::Server { why, log: spec.place.log_tail(supervisor.log_from()) };
    let mut state = supervisor.state();
    let ended = async {
        let ended = state.wait_for(|state| matches!(state, State::Down { .. } | State::Stopped)).await;
        match ended.as_deref() {
            Ok(State::Down { why, .. }) => why.clone(),
            _ => String::from("it was stopped"),
        }
    };
    let answering = timeout(spec.ready_within, answers(spec, supervisor, keys));
    tokio::select! {
        why = ended => Err(failed(why)),
        answer = answering => match answer {
            Ok(answer) => answer,
            Err(_) => Err(failed(format!("it did not answer within {} s", spec.ready_within.as_secs()))),
        },
    }
}

async fn answers(
    spec: &ServerSpec,
    supervisor: &Supervisor,
    keys: &Keys,
) -> Result<(u16, async_nats::Client), Error> {
    // Not before: until then the file of ports may be that of an earlier server.
    let mut state = supervisor.state();
    let _ = state.wait_for(|state| matches!(state, State::Running { .. })).await;
    let mut pace = Pace::default();
    let port = loop {
        if let Some(port) = spec.place.port() {
            break port;
        }
        sleep(pace.next_pause()).await;
    };
    let url = url(spec.listen, port);
    let system = loop {
        let connecting =
            connections::connect(&url, Account::Sys, keys.own(Account::Sys), vouch(spec, supervisor));
        if let Ok(Ok(system)) = timeout(CONNECT_WITHIN, connecting).await {
            break system;
        }
        sleep(pace.next_pause()).await;
    };
    let mut tries = 1;
    while let Err(error) = Facts::ask(&system).await {
        if tries == FACTS_TRIES {
            return Err(error);
        }
        tries += 1;
        sleep(pace.next_pause()).await;
    }
    Ok((port, system))
}

/// Where a server that listens on `listen` is reached from this machine.
fn url(listen: SocketAddr, port: u16) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) | IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    format!("nats://{}", SocketAddr::new(ip, port))
}

/// What ends the supervisor's thread, and how long to wait for it. See [`Supervisor::stop`].
type Stop = (mpsc::Sender<()>, JoinHandle<()>);
