//! `comms up`: the node of the domain in this folder, until it is told to stop.
//!
//! What a node is and how it starts and stops is the node's business; here it is started, spoken for, and stopped by
//! signals: the first in order, the second at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use comms_domain::Domain;
use comms_msg::Kind;
use comms_node::address::beside_other_nodes;
use comms_node::guard::Guard;
use comms_node::probe::{Findings, Verdict};
use comms_node::{Nats, Node, Options, Summary};

use crate::args;
use crate::definition;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{self, Output, Row, Tone, count, milliseconds, span};
use crate::settings::Settings;
use crate::signals::Signals;

/// What leafs reach, in words.
const LEAFS: &str = "nats-server, for leafs,";

/// A supervisor may signal a process and its group: what comes so soon after the first signal is the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Carries out `comms up`.
pub(crate) async fn up(up: args::Up, output: Output) -> Result<(), Failure> {
    let start = Instant::now();
    let home = definition::home(&definition::here()?);
    // What is wrong with a flag is wrong everywhere.
    let mut settings = Settings::load(&up, home.as_deref().ok())?;
    let home = home?;
    if up.show_config {
        return show(&settings, output);
    }
    let moved = move_aside(&mut settings, &home);
    let mut signals = Signals::take()?;
    let options = Options { accept_loss: up.accept_loss, ..options(&settings, &home)? };
    if let Nats::External { url } = &options.nats {
        wait(url, &home, output)?;
    }
    let mut findings = options.findings.subscribe();
    let starting = Node::start(options);
    tokio::pin!(starting);
    let node = loop {
        tokio::select! {
            node = &mut starting => break node?,
            Ok(()) = findings.changed() => probed(findings.borrow_and_update().as_ref(), output)?,
            () = signals.next() => return Err(Failure::failed("stopped before it was ready")),
        }
    };
    let listen = settings.nats.is_none().then_some(settings.listen.address);
    let open = [(listen, "nats-server", "--listen"), (node.summary().leafs, LEAFS, "--leaf-listen")];
    let open = open.into_iter().filter_map(|(at, what, flag)| open_to_others(at?, what, flag)).collect();
    let warnings: Vec<String> = [moved, node.summary().warnings.clone(), open].concat();
    // Whatever could not be printed: from here on the node is ended in order.
    let said = output
        .json(&json::Up::Ready(json::Ready {
            warnings: warnings.clone(),
            listen: listen.map(|at| at.to_string()),
            ..ready(node.summary(), start)
        }))
        .and_then(|()| describe(node.summary(), listen, &warnings, &home, start, output));
    let why = match said {
        Err(failure) => Why::Unheard(failure),
        Ok(()) if output::is_closed() => Why::Closed,
        Ok(()) => tokio::select! {
            failure = node.failed() => Why::Failed(
                Failure::failed(format!("the node cannot go on without its {}", failure.name))
                    .mend(format!("because: {}", failure.why))
                    .mend("What was acknowledged is kept. Start it again with: comms up"),
            ),
            () = output::closed() => Why::Closed,
            () = signals.next() => Why::Told,
        },
    };
    let (forced, took) = stop(node, &mut signals).await?;
    match why {
        Why::Told => {}
        Why::Closed => {
            return Err(Failure::failed("standard output was closed; the node has stopped in order")
                .mend("To let it run without a reader: comms up > FILE, or > /dev/null"));
        }
        Why::Failed(failure) | Why::Unheard(failure) => return Err(failure),
    }
    let stopped = json::Stopped { forced: forced.clone(), ms: milliseconds(took) };
    let row = Row::new("stopped").cell(format!("in {}", span(took)));
    let row = match forced.is_empty() {
        true => row.cell("in order"),
        false => row.tone(Tone::Warn).cell(format!("did not end in time: {}", forced.join(", "))),
    };
    output.say(&json::Up::Stopped(stopped), &row)
}

/// Why a node is ended.
enum Why {
    /// By a signal.
    Told,
    /// Nobody reads what it says any more.
    Closed,
    /// What it says cannot be written.
    Unheard(Failure),
    /// A part of it ended.
    Failed(Failure),
}

/// Ends the node in order; a second signal ends it at once. What was ended by force, and how long it took.
async fn stop(node: Node, signals: &mut Signals) -> Result<(Vec<String>, Duration), Failure> {
    let stop = Instant::now();
    let stopping = node.shutdown();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            forced = &mut stopping => return Ok((forced, stop.elapsed())),
            () = signals.next() => if stop.elapsed() > SAME_SIGNAL {
                return Err(Failure::failed("stopped at once, on the second signal"));
            },
        }
    }
}

/// Two domains on one machine need no flags: an address that nobody asked for, and another node has, is left to it.
fn move_aside(settings: &mut Settings, home: &Path) -> Vec<String> {
    let mut said = Vec::new();
    for (listen, flag) in [(&mut settings.listen, "--listen"), (&mut settings.http, "--http")] {
        if !listen.is_default || (flag == "--listen" && settings.nats.is_some()) {
            continue;
        }
        let wanted = listen.address;
        let (address, other) = beside_other_nodes(wanted, home);
        if let Some(other) = other {
            listen.address = address;
            let port = match address.port() {
                0 => "any free port".to_owned(),
                port => port.to_string(),
            };
            said.push(format!(
                "port     {} has {other}; this node takes {port}. To choose: {flag}",
                wanted.port()
            ));
        }
    }
    said
}

/// What is in force, instead of a start.
fn show(settings: &Settings, output: Output) -> Result<(), Failure> {
    settings.all.iter().try_for_each(|setting| {
        let said = json::Setting {
            name: setting.name.to_owned(),
            value: setting.value.clone(),
            from: setting.from.clone(),
        };
        let row = Row::new(setting.name).cell(setting.value.clone()).cell(setting.from.clone());
        output.say(&json::Up::Setting(said), &row)
    })
}

fn options(settings: &Settings, home: &Path) -> Result<Options, Failure> {
    let guard = Guard::this_executable().map_err(|error| {
        Failure::new(Exit::Failed, "this program cannot find its own file").because(&error)
    })?;
    let mut options = Options::new(home, guard);
    options.nats = settings.server();
    options.http = settings.http.address;
    options.name = settings.name.clone();
    options.bridge = settings.bridge.clone();
    options.room = settings.room;
    Ok(options)
}

/// A server that exists is waited for: its owner has to include the accounts first.
fn wait(url: &str, home: &Path, output: Output) -> Result<(), Failure> {
    let accounts = home.join(".comms/nats/accounts.conf").display().to_string();
    let row = Row::new("accounts").tone(Tone::Warn).cell(accounts.clone());
    let row = row.cell(format!(
        "include this file in the configuration of {url} and reload it; the doors open when it is in force"
    ));
    output.say(&json::Up::Waiting(json::Waiting { nats: url.to_owned(), accounts }), &row)
}

/// What keeps the doors shut, each thing with its mend.
fn probed(findings: Option<&Findings>, output: Output) -> Result<(), Failure> {
    let open =
        findings.into_iter().flat_map(Findings::iter).filter(|finding| finding.verdict == Verdict::Open);
    for finding in open {
        let row = Row::new("shut").tone(Tone::Warn).cell(finding.what.clone());
        output.row(&finding.mend.iter().fold(row, |row, mend| row.cell(mend.clone())))?;
    }
    Ok(())
}

pub(crate) fn ready(summary: &Summary, start: Instant) -> json::Ready {
    json::Ready {
        domain: summary.domain.name.to_string(),
        node: summary.node.clone(),
        nats: summary.nats.clone(),
        http: summary.http.clone(),
        listen: None,
        leaf_listen: summary.leafs.map(|at| at.to_string()),
        is_syncing: summary.is_syncing,
        warnings: summary.warnings.clone(),
        ms: milliseconds(start.elapsed()),
    }
}

/// What listening beyond this machine means.
fn open_to_others(listen: SocketAddr, what: &str, flag: &str) -> Option<String> {
    if listen.ip().to_canonical().is_loopback() {
        return None;
    }
    let whose = if listen.ip().is_unspecified() {
        "every address of this machine"
    } else {
        "an address of this machine"
    };
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port()));
    Some(format!(
        "open     {what} listens on {whose}: other machines reach it, and what travels is not encrypted. Only here: {flag} {here}"
    ))
}

fn describe(
    summary: &Summary,
    listen: Option<SocketAddr>,
    warnings: &[String],
    home: &Path,
    start: Instant,
    output: Output,
) -> Result<(), Failure> {
    let files = |path: &Path| path.strip_prefix(home).unwrap_or(path).display().to_string();
    let domain = &summary.domain;
    let parts = format!("domain v{}, {}, {}", domain.version, contexts(domain), services(domain));
    output.row(&Row::new(domain.name.to_string()).cell(parts).cell("domain.toml"))?;
    let version = summary.nats_version.as_deref().unwrap_or("version not told");
    let writes = if summary.is_syncing { "synced writes" } else { "writes not synced" };
    let mut at = address(&summary.nats).to_owned();
    if let Some(listen) = listen.filter(|listen| listen.ip().is_unspecified()) {
        let port = at.rsplit(':').next().unwrap_or_default().to_owned();
        at = format!(
            "{} (all addresses; here {at})",
            SocketAddr::new(listen.ip(), port.parse().unwrap_or(listen.port()))
        );
    }
    let mut nats = Row::new("nats").cell(at).cell(format!("{version}, {writes}"));
    if summary.is_managed {
        nats = nats.cell(files(&summary.folder.join("nats")));
    }
    output.row(&nats)?;
    if let Some(leafs) = summary.leafs {
        let of = if leafs.ip().is_unspecified() { " (all addresses)" } else { "" };
        output.row(
            &Row::new("leafs").cell(format!("{leafs}{of}")).cell("other nodes of the domain join here"),
        )?;
    }
    let http =
        Row::new("http").cell(address(&summary.http)).cell("content in and out, changes of the definition");
    output.row(&http.cell(files(&summary.folder.join("content"))))?;
    for warning in warnings {
        let (label, text) = warning.split_once(' ').unwrap_or(("note", warning));
        output.row(&Row::new(label).tone(Tone::Warn).cell(text.trim_start()))?;
    }
    output.text(&format!("ready in {}. Ctrl-C stops it in order.", span(start.elapsed())))
}

/// An address as people type it.
fn address(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, address)| address)
}

fn contexts(domain: &Domain) -> String {
    let names = Kind::ALL.into_iter().flat_map(|kind| domain.types(kind));
    let contexts: std::collections::BTreeSet<&str> = names.map(comms_msg::TypeName::context).collect();
    count(contexts.len(), "context")
}

fn services(domain: &Domain) -> String {
    count(domain.services.keys().filter(|name| !name.is_built_in()).count(), "service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_beyond_this_machine_says_so() {
        let open = |at: &str| open_to_others(at.parse().unwrap(), LEAFS, "--leaf-listen");
        assert_eq!(open("127.0.0.1:7422"), None);
        assert_eq!(open("[::1]:7422"), None);
        for (at, whose) in [("0.0.0.0:7422", "every address"), ("192.168.1.2:7422", "an address")] {
            let said = open(at).unwrap();
            let begins = format!("open     nats-server, for leafs, listens on {whose} of this machine: ");
            assert!(said.starts_with(&begins), "{said}");
            assert!(said.ends_with("Only here: --leaf-listen 127.0.0.1:7422"), "{said}");
        }
    }
}
