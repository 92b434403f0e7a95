//! `comms up`: the node of the domain in this folder, until it is told to stop.
//!
//! What a node is and how it starts and stops is the node's business; here it is started, spoken for, and stopped by
//! signals: the first in order, the second at once.

use std::path::Path;
use std::time::{Duration, Instant};

use comms_domain::Domain;
use comms_msg::Kind;
use comms_node::guard::Guard;
use comms_node::probe::{Findings, Verdict};
use comms_node::{Bridge, Nats, Node, Options, Summary};

use crate::args;
use crate::definition;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, count, milliseconds, span};
use crate::signals::Signals;

/// A supervisor may signal a process and its group: what comes so soon after the first signal is the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Carries out `comms up`.
pub(crate) async fn up(up: args::Up, output: Output) -> Result<(), Failure> {
    let start = Instant::now();
    let home = definition::home(&definition::here()?)?;
    let mut signals = Signals::take()?;
    let options = options(up, &home)?;
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
    let ready = ready(node.summary(), start);
    output.json(&json::Up::Ready(ready))?;
    describe(node.summary(), &home, start, output)?;
    let failure = tokio::select! {
        failure = node.failed() => Some(failure),
        () = signals.next() => None,
    };
    let stop = Instant::now();
    let stopping = node.shutdown();
    tokio::pin!(stopping);
    let forced = loop {
        tokio::select! {
            forced = &mut stopping => break forced,
            () = signals.next() => if stop.elapsed() > SAME_SIGNAL {
                return Err(Failure::failed("stopped at once, on the second signal"));
            },
        }
    };
    if let Some(failure) = failure {
        return Err(Failure::failed(format!("the node cannot go on without its {}", failure.name))
            .mend(format!("because: {}", failure.why))
            .mend("What was acknowledged is kept. Start it again with: comms up"));
    }
    let stopped = json::Stopped { forced: forced.clone(), ms: milliseconds(stop.elapsed()) };
    let row = Row::new("stopped").cell(format!("in {}", span(stop.elapsed())));
    if forced.is_empty() {
        return output.say(&json::Up::Stopped(stopped), &row.cell("in order"));
    }
    let row = row.tone(Tone::Warn).cell(format!("did not end in time: {}", forced.join(", ")));
    output.say(&json::Up::Stopped(stopped), &row)
}

fn options(up: args::Up, home: &Path) -> Result<Options, Failure> {
    let guard = Guard::this_executable().map_err(|error| {
        Failure::new(Exit::Failed, "this program cannot find its own file").because(&error)
    })?;
    let mut options = Options::new(home, guard);
    options.nats = match up.nats {
        Some(url) => Nats::External { url },
        None => Nats::Managed(up.listen),
    };
    options.http = up.http;
    options.name = up.name;
    options.bridge = match (up.leaf_listen, up.join, up.hub, up.join_key) {
        (Some(listen), ..) => Bridge::Hub { listen, leafs: up.leafs },
        (None, Some(url), Some(hub), Some(seed_file)) => {
            Bridge::Leaf { hub, url, seed_file, siblings: up.siblings }
        }
        _ => Bridge::None,
    };
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
        is_syncing: summary.is_syncing,
        warnings: summary.warnings.clone(),
        ms: milliseconds(start.elapsed()),
    }
}

fn describe(summary: &Summary, home: &Path, start: Instant, output: Output) -> Result<(), Failure> {
    let files = |path: &Path| path.strip_prefix(home).unwrap_or(path).display().to_string();
    let domain = &summary.domain;
    let parts = format!("domain v{}, {}, {}", domain.version, contexts(domain), services(domain));
    output.row(&Row::new(domain.name.to_string()).cell(parts).cell("domain.toml"))?;
    let version = summary.nats_version.as_deref().unwrap_or("version not told");
    let writes = if summary.is_syncing { "synced writes" } else { "writes not synced" };
    let mut nats = Row::new("nats").cell(address(&summary.nats)).cell(format!("{version}, {writes}"));
    if summary.is_managed {
        nats = nats.cell(files(&summary.folder.join("nats")));
    }
    output.row(&nats)?;
    let http =
        Row::new("http").cell(address(&summary.http)).cell("content in and out, changes of the definition");
    output.row(&http.cell(files(&summary.folder.join("content"))))?;
    for warning in &summary.warnings {
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
    count(domain.services.keys().filter(|name| !domain::is_built_in(name)).count(), "service")
}
