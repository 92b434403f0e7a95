//! Why a node cannot start or go on. Each kind tells the operator what to do.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use comms_domain::Problems;

use crate::server::{INSTALL, VERSION_MIN};
use crate::witness::Loss;

/// A failure of the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stream that should exist cannot be opened.
    #[error(
        "the stream {name} cannot be opened; is its JetStream store whole?\n  Where the cause is a consumer, move its folder \
         (.comms/nats/store/jetstream/DOMAIN/streams/{name}/obs/CONSUMER) away: it is made again, and its service hears its \
         history again."
    )]
    Stream {
        /// The stream.
        name: String,
        /// What the server said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was acknowledged is not in the streams any more. The node changed nothing of them.
    #[error("acknowledged messages are lost\n{loss}")]
    Lost {
        /// What is lost.
        loss: Box<Loss>,
        /// Whether that was seen before nats-server started. One that starts cuts damaged blocks off.
        is_untouched: bool,
    },
    /// A stream that is known is not there. It is never made anew by itself, since it would hand out positions again.
    #[error("the stream {name} is gone; stop the node and start it again to hear what is lost")]
    StreamGone {
        /// The stream.
        name: String,
    },
    /// Another node holds the folder.
    #[error("{} is in use by another node{}; stop that one first", folder.display(), Holder(*holder))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process that holds it, where it can be told.
        holder: Option<u32>,
    },
    /// A file or folder of the node cannot be used.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else may have put it there. Nothing was started.
    #[error("{} cannot be trusted, and nothing was started\n  {doubt}", path.display())]
    Planted {
        /// What.
        path: PathBuf,
        /// Why, and what would be right.
        doubt: comms::trust::Doubt,
    },
    /// Something else stands where the node has a file of its own. Nothing was started.
    #[error("{} is {is}, and a node has {expected} there; nothing was started\n  move it away: the node makes its own", path.display())]
    Misplaced {
        /// What.
        path: PathBuf,
        /// What it is.
        is: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A path that no configuration can name.
    #[error("{} has a name that is not UTF-8, and nats-server's configuration could not name it\n  move the domain to another folder", path.display())]
    NotText {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the node holds something else than it should. It is never replaced by itself.
    #[error("{} does not hold {expected}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The folder belongs to a node of another name.
    #[error("this folder belongs to the node {kept}, whose log it holds; it cannot become {given}")]
    NameKept {
        /// The name of the node whose folder it is.
        kept: String,
        /// The name asked for.
        given: String,
    },
    /// Nobody can tell which node's folder it is. Nothing was started.
    #[error(
        "{} of the node{} {}; nothing was started\n  write {} into {}, and start again",
        written.as_ref().map_or(String::from("there are logs"), |name| {
            format!("{} says {name}, and the log that lies here is", path.display())
        }),
        if logs.len() > 1 { "s" } else { "" }, logs.join(", "), logs.join(" or "), path.display()
    )]
    NameUnclear {
        /// The file of its name.
        path: PathBuf,
        /// The name in it; none where there is no such file.
        written: Option<String>,
        /// The nodes whose log lies there.
        logs: Vec<String>,
    },
    /// The definition has mistakes.
    #[error("the definition has mistakes\n{0}")]
    Definition(Problems),
    /// There is no nats-server that can be used.
    #[error(
        "no nats-server {}.{} or newer{}\n  install one:  {INSTALL}\n  or name it:   COMMS_NATS_SERVER=/path/to/nats-server",
        VERSION_MIN.0, VERSION_MIN.1, Looked(looked)
    )]
    NoServer {
        /// What was looked at, and why it does not do.
        looked: Vec<String>,
    },
    /// nats-server does not start, or does not answer as the server that was started.
    #[error("nats-server did not come up: {why}{}", Indented(log))]
    Server {
        /// What happened.
        why: String,
        /// The last lines of what it logged.
        log: String,
    },
    /// nats-server refuses a configuration; the old one is still in force.
    #[error("nats-server refuses the new configuration, the old one stays in force{}", Indented(log))]
    ConfigurationRefused {
        /// What it said.
        log: String,
    },
    /// nats-server was told to read a new configuration and does not say that it did; the old file is back in place.
    #[error("nats-server did not take the new configuration within {} s{}", within.as_secs(), Indented(log))]
    ConfigurationUnconfirmed {
        /// How long it was waited for.
        within: Duration,
        /// The last lines of what it logged.
        log: String,
    },
    /// No connection to nats-server for one of the node's users.
    #[error("cannot connect to {url} as the node in {account}")]
    Connect {
        /// The account.
        account: &'static str,
        /// The server.
        url: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// nats-server does not do what the node asks of it.
    #[error("cannot {doing}")]
    Request {
        /// What was asked.
        doing: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What exists on the server differs from what is wanted in a way that no update may mend.
    #[error("{what} exists and is different: {difference}")]
    Unchangeable {
        /// The stream.
        what: String,
        /// In what it differs.
        difference: String,
    },
    /// An address that should be bound is not to be had.
    #[error("{socket} cannot listen on {address}{}", HeldBy(holder.as_ref()))]
    Listen {
        /// What should listen.
        socket: Socket,
        /// Where.
        address: SocketAddr,
        /// Who listens there, where it can be told.
        holder: Option<crate::address::Holder>,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The definition must not follow the one that was in force last.
    #[error("this definition cannot follow the one that was in force; nothing was started\n  {}", why.join("\n  "))]
    Forbidden {
        /// What speaks against it.
        why: Vec<String>,
    },
    /// The definition no longer names what is stored.
    #[error("the definition would orphan what is stored; nothing was changed\n  {}", found.join("\n  "))]
    Orphans {
        /// What is stored, and why it would be orphaned.
        found: Vec<String>,
    },
    /// What is remembered of the log could not be read back.
    #[error("the log {what} cannot be read back: {reason}")]
    Recovery {
        /// The stream.
        what: String,
        /// What happened.
        reason: String,
    },
}

/// What listens for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// nats-server, for clients.
    NatsServer,
    /// nats-server, for leafs.
    Leafs,
    /// The node's own HTTP.
    Http,
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NatsServer => "nats-server",
            Self::Leafs => "nats-server, for leafs,",
            Self::Http => "the node's HTTP",
        })
    }
}

struct HeldBy<'a>(Option<&'a crate::address::Holder>);

impl fmt::Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |holder| write!(f, ": {holder} does"))
    }
}

/// The holder of a folder, where it is known.
struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

struct Looked<'a>(&'a [String]);

impl fmt::Display for Looked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|place| write!(f, "\n  looked at:    {place}"))
    }
}

/// Lines of a log, under a message.
struct Indented<'a>(&'a str);

impl fmt::Display for Indented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
