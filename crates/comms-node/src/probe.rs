//! Whether a nats-server that the node did not configure enforces what the definition says, found out by trying.
//!
//! A node opens its doors only after that: on a server with one account for all, or with users of somebody's own
//! making, everybody could forge events. So strangers are tried, every generated user tries what it must not do, and
//! it is looked at what crosses between the accounts. What is tried leaves no trace even where nothing stops it: a
//! message that a stream might store names a stream that does not exist, which every stream refuses, and a request
//! asks for nothing that changes anything.
//!
//! A probe shows what is refused now. It cannot show what somebody adds to the server later, or other users that
//! somebody put into these accounts.

mod crossing;
mod intruder;

use std::fmt;
use std::time::Duration;

use comms_domain::{Account, Domain, Layout};
use futures::{StreamExt as _, stream};
use tokio::time::sleep;

use crate::Error;
use crate::connections::{self, Connections};
use crate::facts::Facts;
use crate::keys::{Keys, NODE};
use crate::pace::Pace;
use crate::secret::SecretText;
use crate::server::{VERSION_MIN, Version};

/// Users that try at once. Each is a connection for a moment.
const USERS_AT_ONCE: usize = 8;
/// How long the server may take to refuse or to deliver; it takes milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The pauses between two probes of a server that does not enforce yet: short for an operator who is about to reload
/// it, longest for one who went home; each probe is a few refusals in that server's log.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
const AGAIN_LONGEST: Duration = Duration::from_secs(8);
/// A token of subjects that no domain uses: contexts have no capital letters.
const TOKEN: &str = "PROBE";

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is as it must be.
    Holds,
    /// This server cannot promise it. The node works, and says so.
    NotPromised,
    /// It is not as it must be. The doors stay shut.
    Open,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub verdict: Verdict,
    /// What was found, in plain words.
    pub what: String,
    /// What would be right, where something is to be done.
    pub mend: Option<String>,
}

/// Everything that was looked at, worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Whether the doors may open.
    pub fn are_enforced(&self) -> bool {
        self.iter().all(|finding| finding.verdict != Verdict::Open)
    }

    /// The findings, worst first.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Holds => "ok  ",
            Verdict::NotPromised => "warn",
            Verdict::Open => "fail",
        };
        write!(f, "{word}  {}", self.what)?;
        self.mend.iter().try_for_each(|mend| write!(f, "\n      {mend}"))
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl Finding {
    fn holds(what: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Holds, what: what.into(), mend: None }
    }

    fn not_promised(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::NotPromised, what: what.into(), mend: Some(mend.into()) }
    }

    fn open(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Open, what: what.into(), mend: Some(mend.into()) }
    }
}

/// What to do where the server does not know, or does not bind, the generated users.
const INCLUDE: &str = "include the generated accounts in its configuration and reload it";

/// Tries the server at `urls`, before anything else is done there. Takes a moment where all is well, and at most a few
/// seconds per eight users where it is not.
pub async fn run(urls: &[String], domain: &Domain, layout: &Layout, keys: &Keys) -> Findings {
    let mut found = strangers(urls).await;
    match Connections::open(urls, keys).await {
        Err(error) if connections::is_refusal(&error) => {
            found.push(Finding::open("the server does not let the node in", INCLUDE));
        }
        Err(error) => {
            let mend = "it must be running and reachable from here";
            found.push(Finding::open(format!("{}: {}", error, cause(&error)), mend));
        }
        Ok(connections) => {
            let d = domain.name.as_str();
            let services =
                layout.users.iter().filter(|user| user.account == Account::Services && user.name != NODE);
            let tried = services.map(|user| intruder::tries(urls, d, layout, keys, user));
            found.extend(stream::iter(tried).buffered(USERS_AT_ONCE).concat().await);
            found.extend(crossing::look(&connections, d, layout).await);
            found.extend(promises(&connections).await);
            connections.close().await;
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    Findings(found)
}

/// Tries again and again until the doors may open. `tell` hears what was found whenever it differs from what it heard
/// before. Waits as long as the operator takes; whoever has enough of waiting drops the future.
pub async fn until_enforced(
    urls: &[String],
    domain: &Domain,
    layout: &Layout,
    keys: &Keys,
    mut tell: impl FnMut(&Findings),
) -> Findings {
    let mut pace = Pace::new(AGAIN_FIRST, AGAIN_LONGEST);
    let mut told = None;
    loop {
        let findings = run(urls, domain, layout, keys).await;
        if told.as_ref() != Some(&findings) {
            tell(&findings);
        }
        if findings.are_enforced() {
            return findings;
        }
        told = Some(findings);
        sleep(pace.next_pause()).await;
    }
}

/// Whether somebody without credentials, or with unknown ones, is let in.
async fn strangers(urls: &[String]) -> Vec<Finding> {
    let unknown = nkeys::KeyPair::new_user().seed().map(SecretText::new);
    let with_unknown = unknown.ok().map(|seed| connections::options(&seed, "_INBOX.stranger", "probe"));
    let tries = [
        ("without credentials", Some(async_nats::ConnectOptions::new())),
        ("with an unknown key", with_unknown),
    ];
    let mut found = Vec::new();
    for (how, options) in tries.into_iter().filter_map(|(how, options)| Some((how, options?))) {
        found.push(match connections::connect_to(urls, Account::Services, options).await {
            Ok(_) => Finding::open(
                format!("a connection {how} is let in"),
                "remove `no_auth_user` from its configuration, and give every user a key",
            ),
            Err(error) if connections::is_refusal(&error) => {
                Finding::holds(format!("a connection {how} is refused"))
            }
            Err(error) => Finding::open(
                format!("whether a connection {how} is refused cannot be told: {}", cause(&error)),
                "it must be running and reachable from here",
            ),
        });
    }
    found
}

/// What a server that is not the node's own cannot promise, or does not.
async fn promises(connections: &Connections) -> Vec<Finding> {
    let mut found = vec![Finding::not_promised(
        "the node cannot start this server again when it ends",
        "let whatever started it watch over it",
    )];
    let facts = match &connections.sys {
        Some(system) => Facts::ask(system).await.ok(),
        None => None,
    };
    let Some(facts) = facts else {
        found.push(Finding::not_promised(
            "it cannot be asked whether an acknowledged write is on the disk, which counts as no; nor for a monitor port",
            "let the node's key into its system account, and set `sync_interval: always`",
        ));
        return found;
    };
    let version = Version::parse(&facts.version);
    found.push(match version.is_some_and(Version::is_enough) {
        true => Finding::holds(format!("nats-server {}", facts.version)),
        false => Finding::open(
            format!("nats-server {} is too old", facts.version),
            format!("update it to {}.{} or newer", VERSION_MIN.0, VERSION_MIN.1),
        ),
    });
    found.push(match facts.is_syncing {
        true => Finding::holds("an acknowledged write is on the disk"),
        false => Finding::not_promised(
            "an acknowledged write is not yet on the disk: a power failure can take the last two minutes",
            "set `sync_interval: always` in its `jetstream` block and restart it",
        ),
    });
    if facts.is_clustered {
        found.push(Finding::not_promised(
            "it is one of several servers; only this one was asked",
            "give all of them the same accounts and `sync_interval: always`",
        ));
    }
    if facts.open_monitor_port {
        found.push(Finding::not_promised(
            "its monitor port shows names that must not be guessed to whoever can reach it",
            "remove `http` from its configuration, or keep that port from other users of the machine",
        ));
    }
    if facts.open_websocket {
        found.push(Finding::not_promised(
            "its websocket takes connections from pages of any origin",
            "set `same_origin` or `allowed_origins` in its `websocket` block",
        ));
    }
    found
}

/// The innermost reason.
fn cause(error: &Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
