//! A running node: everything it is made of, started in order and stopped in order.
//!
//! Started: folder, definition, keys; nats-server; connections; streams and consumers; content; the log, read back;
//! then doors and gateway, and at last the file by which clients find it. Stopped the other way round: clients no longer
//! find it; doors and gateway take nothing new and end what they have; the log writes what it took; connections close;
//! nats-server ends.

mod managed;
mod told;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::jetstream;
use comms_domain::{Bound, Change, Changes, Domain, Layout, NodeId, Role, nats_conf};
use comms_store::{Blocks, Grants};
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use self::managed::manage;
use self::told::{admin, who};
use crate::access::Access;
use crate::administration::{Administration, ServerConfiguration};
use crate::bearers::Bearers;
use crate::clients::Clients;
use crate::condition::Condition;
use crate::connections::Connections;
use crate::current::{Current, InForce};
use crate::definition::{DOMAIN_TOML, Sources};
use crate::door::{Counts, Doors, Tallies, Transport, Watches};
use crate::facts::Facts;
use crate::files::Files;
use crate::folder::{Folder, Held, NodeFile};
use crate::gateway::{self, Gateway};
use crate::health::Health;
use crate::identity::Named;
use crate::keys::Keys;
use crate::log::{EventLog, LogNames};
use crate::options::{Bridge, Nats, Options};
use crate::room::Room;
use crate::server::{Ending, Managed, Place, end_leftover};
use crate::tasks::{TaskFailure, Tasks};
use crate::witness::{Comparing, Names, Witness, look_before, record_loss};
use crate::{Error, Socket, address, bridge, external, identity, notice, provision, stored};

/// A running node.
#[derive(Debug)]
pub struct Node {
    administration: Arc<Administration>,
    server: Option<Arc<Managed>>,
    connections: Connections,
    condition: Condition,
    /// Doors and gateway, what takes from outside, and the probe that goes the same way.
    front: Tasks,
    /// The writers of the log: what must end after the front.
    back: Tasks,
    grace: Duration,
    summary: Summary,
}

/// What a person wants to know of a node that has started.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The definition in force.
    pub domain: Arc<Domain>,
    /// The node's name.
    pub node: String,
    /// Where nats-server listens.
    pub nats: String,
    /// Its version; none where it does not tell.
    pub nats_version: Option<String>,
    /// Whether it says that it syncs before it acknowledges. A server that cannot be asked counts as one that does not.
    pub is_syncing: bool,
    /// Whether the server is the node's own.
    pub is_managed: bool,
    /// Where leafs join, if they may: an address that its nats-server listens on.
    pub leafs: Option<SocketAddr>,
    /// Where the node's own HTTP listens.
    pub http: String,
    /// The folder of its files.
    pub folder: std::path::PathBuf,
    /// What this setup cannot promise, in words.
    pub warnings: Vec<String>,
}

impl Node {
    /// Starts a node and returns when it serves: everything is bound, and clients find it.
    ///
    /// # Errors
    /// What keeps it from serving. Nothing of it runs then.
    pub async fn start(options: Options) -> Result<Node, Error> {
        let folder = Folder::beside(&options.folder)?;
        let sources = Sources::read(&folder.home().join(DOMAIN_TOML))?;
        let domain = sources.parse()?;
        let held = folder.hold()?;
        let former = former(&folder)?;
        if let Some(former) = &former {
            let why = Change::between(former, &domain).forbidden();
            if !why.is_empty() {
                return Err(Error::Forbidden { why });
            }
        }
        let named = identity::name(&folder, options.name.as_ref())?;
        let warned = named_by_its_log(&folder, &named);
        // Where there was something before, the name is written when that is what it was.
        if former.is_none() && !named.is_found {
            held.keep_name(&named.name)?;
        }
        let (name, secret) = (named.name, held.secret()?);
        let id = NodeId { name, secret: *secret.bytes(), role: role(&options.bridge) };
        let layout = Layout::of(&domain, &id);
        let keys = Keys::load_or_make(&folder, &layout)?;
        let listener = gateway::bind(options.http);
        let listener = listener.map_err(|source| address::taken(Socket::Http, options.http, source))?;
        let http =
            listener.local_addr().map_err(|source| address::taken(Socket::Http, options.http, source))?;
        let http = format!("http://{http}");
        let (server, configure, found) = match &options.nats {
            Nats::Managed(listen) => {
                end_leftover(&Place::new(folder.nats())).await?;
                if !options.accept_loss {
                    look_before_start(&folder, &layout, former.as_ref(), &domain).await?;
                }
                let (server, configure) = manage(&folder, &id, &layout, &keys, *listen, &options).await?;
                (Some(Arc::new(server)), configure, Vec::new())
            }
            Nats::External { url } => {
                external::prepare(&folder, &layout, &keys)?;
                let found =
                    external::wait_until_enforced(url, &domain, &layout, &keys, &options.findings).await;
                (None, ServerConfiguration(nats_conf::ServerOptions::new("", options.http, "")), found)
            }
        };
        let started = Self::serve(
            &options,
            &folder,
            held,
            id,
            layout,
            keys,
            domain,
            &sources,
            listener,
            http,
            server.clone(),
            configure,
        )
        .await
        .map(|mut node| {
            node.summary.warnings.extend(warned.into_iter().chain(found));
            node
        });
        if started.is_err()
            && let Some(server) = server
        {
            server.stop(options.grace).await;
        }
        started
    }

    #[expect(clippy::too_many_arguments, reason = "what `start` made, in the order it was made")]
    async fn serve(
        options: &Options,
        folder: &Folder,
        held: Held,
        id: NodeId,
        layout: Layout,
        keys: Keys,
        domain: Domain,
        sources: &Sources,
        listener: TcpListener,
        http: String,
        server: Option<Arc<Managed>>,
        configure: ServerConfiguration,
    ) -> Result<Node, Error> {
        let nats = match (&server, &options.nats) {
            (Some(server), _) => server.url(),
            (None, Nats::External { url }) => url.clone(),
            (None, Nats::Managed(listen)) => format!("nats://{listen}"),
        };
        let connections = match &server {
            Some(server) => Connections::open_own(nats.clone(), &keys, &server.vouch()).await?,
            None => Connections::open(std::slice::from_ref(&nats), &keys).await?,
        };
        let jetstream = jetstream::new(connections.domain.clone());
        let bearers = Bearers::begin(&held, &layout)?;
        let former = former(folder)?;
        let is_applied = former.is_some();
        let current = Current::new(InForce {
            domain: former.unwrap_or_else(|| domain.clone()),
            layout: layout.clone(),
            tokens: bearers.admitted(),
        });
        let comparing = Comparing {
            folder,
            client: &connections.domain,
            layout: &layout,
            names: Names::of([&current.get().domain, &domain]),
            is_applied,
            accept_loss: options.accept_loss,
        };
        let compared = comparing.run().await?;
        let administration = Arc::new(Administration {
            held,
            id: id.clone(),
            current: current.clone(),
            bearers: Mutex::new(bearers),
            jetstream: jetstream.clone(),
            server: server.clone(),
            configure,
            doors: OnceLock::new(),
            announced: Mutex::new(None),
        });
        let change = Change::between(&current.get().domain, &domain);
        let mut orphans = administration.orphaned(&change).await?;
        if !is_applied {
            orphans.extend(stored::against(&jetstream, &domain, &layout, &compared).await?);
        }
        if !orphans.is_empty() {
            return Err(Error::Orphans { found: orphans });
        }
        administration.held.keep_name(&id.name)?;
        provision::apply(&jetstream, &layout, compared.known()).await?;
        let witness = compared.settle().await?;
        let tokens = administration.bearers.lock().await.admitted();
        current.replace(InForce { domain: domain.clone(), layout, tokens });
        sources.keep(&administration.held)?;
        let (blocks, access) = content(&folder.content())?;
        let names = LogNames {
            domain: domain.name.to_string(),
            event_stream: format!("EVENT_{}", id.name),
            command_stream: format!("COMMAND_{}", id.name),
            foreign_stream: (!id.peers().is_empty()).then(|| format!("FOREIGN_{}", id.name)),
            index: folder.log().join("index.redb"),
            waiting: waiting(&domain),
        };
        let room = Room::new(options.room, disks(folder, server.is_some()));
        let condition = Condition::new(room.clone());
        let (log, writers, confirmed) =
            EventLog::open(connections.domain.clone(), names, condition.clone(), witness.clone()).await?;
        let back = Tasks::new();
        let stop = back.token();
        back.essential("watch over the disks", room.watch(stop).map(Ok::<(), Infallible>));
        for (name, writer) in ["event log", "command queue"].into_iter().zip(writers) {
            let stop = back.token();
            back.essential(name, writer.run(stop).map(Ok::<(), Infallible>));
        }
        let stop = back.token();
        let watching = witness.clone().watch(connections.domain.clone(), current.clone(), stop);
        back.essential("witness", watching.map(Ok::<(), Infallible>));
        if let Some(loss) = witness.accepted()? {
            record_loss(&log, id.name.as_str(), &loss).await?;
            witness.recorded()?;
        }
        let doors = Arc::new(Doors {
            current: current.clone(),
            log,
            watches: Watches::new(current.shares(Bound::Watches).clone()),
            tallies: Tallies::new(domain.services.len()),
            access: access.clone(),
            blocks: blocks.clone(),
            condition: condition.clone(),
            node: id.name.to_string(),
            http: http.clone(),
            counts: Counts::default(),
        });
        let stop = back.token();
        let hearing = doors.clone().hear(confirmed, stop);
        back.essential("settled commands", hearing.map(Ok::<(), Infallible>));
        let transport = Transport::open(doors.clone(), &connections).await?;
        let front = Tasks::new();
        if let Some(foreign) = doors.log.foreign.clone() {
            let parts = bridge::Parts {
                id: &id,
                keys: &keys,
                url: &nats,
                vouch: server.as_ref().map(|server| server.vouch()),
                domain: connections.domain.clone(),
                current: current.clone(),
                own: doors.log.incarnation().to_owned(),
                foreign,
                checkpoint: folder.node().join("foreign.json"),
            };
            bridge::start(parts, &front).await?;
        }
        administration.doors.set((doors, transport.entrances())).expect("the doors are opened once");
        let stop = front.token();
        let serving = connections.reading().spawn(transport.serve(tokio::runtime::Handle::current(), stop));
        front.essential("doors", AbortOnDropHandle::new(serving));
        let stop = front.token();
        let who = who(&domain, &id, &nats, server.clone());
        let admin = admin(&administration, &connections, condition.clone(), who, witness.clone());
        let local = administration.held.listen()?;
        front.essential(
            "gateway",
            Gateway::serve(current.clone(), access, blocks, admin, listener, local, async move {
                stop.cancelled().await
            }),
        );
        if let Some(clients) = Clients::new(&connections, &keys, administration.clone()) {
            let stop = front.token();
            front.essential("watch over clients", clients.watch(stop).map(Ok::<(), Infallible>));
        }
        let stop = front.token();
        let notices = notice::tell(witness.clone(), current.clone(), connections.services.clone(), stop);
        front.essential("notices of a loss", notices.map(Ok::<(), Infallible>));
        let health = Health::new(connections.clone(), current, condition.clone(), server.clone());
        let stop = front.token();
        front.essential("probe", health.watch(stop).map(Ok::<(), Infallible>));
        let file = NodeFile {
            domain: domain.name.to_string(),
            node: id.name.to_string(),
            pid: std::process::id(),
            nats: nats.clone(),
            http: http.clone(),
            definition: domain.digest(),
        };
        let facts = match &connections.sys {
            Some(system) => Facts::ask(system).await.ok(),
            None => None,
        };
        let summary = Summary {
            node: id.name.to_string(),
            nats,
            nats_version: facts.as_ref().map(|f| f.version.clone()),
            is_syncing: facts.as_ref().is_some_and(|f| f.is_syncing),
            is_managed: server.is_some(),
            leafs: server.as_ref().and_then(|server| server.leafs()),
            http,
            folder: folder.root().to_owned(),
            warnings: warnings(&domain, facts.as_ref(), &change, &witness)
                .into_iter()
                .chain(Files::of_this_process().warning(&domain, server.is_some()))
                .collect(),
            domain: Arc::new(domain),
        };
        let grace = options.grace;
        let node = Node { administration, server, connections, condition, front, back, grace, summary };
        // All of it serves by now. Dropping the parts would not end what they have in hand.
        if let Err(error) = node.announce(file).await {
            node.shutdown().await;
            return Err(error);
        }
        Ok(node)
    }

    /// Tells clients where the node is.
    async fn announce(&self, file: NodeFile) -> Result<(), Error> {
        let mut announced = self.administration.announced.lock().await;
        self.administration.held.announce(&file)?;
        *announced = Some(file);
        Ok(())
    }

    /// What there is to know of the node as it started.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What is wrong with the node now, in words; none while all is well.
    pub fn ill(&self) -> Option<String> {
        self.condition.ill()
    }

    /// Returns when something the node cannot do without has ended.
    pub async fn failed(&self) -> TaskFailure {
        tokio::select! {
            failure = self.front.failed() => failure,
            failure = self.back.failed() => failure,
        }
    }

    /// Stops in order and returns the names of what had to be ended by force.
    pub async fn shutdown(self) -> Vec<String> {
        if let Err(error) = self.administration.held.withdraw() {
            tracing::warn!(%error, "clients may still look for this node");
        }
        let mut forced = self.front.stop(self.grace).await;
        forced.extend(self.back.stop(self.grace).await);
        let held = &self.administration.held;
        if let Err(error) = Bearers::end(held).and(held.unlisten()) {
            tracing::warn!(%error, "tokens or a socket that open nothing any more are left behind");
        }
        self.connections.close().await;
        // Others may still hold it: a connection to the gateway that had to be ended by force, for one.
        if let Some(server) = self.server
            && server.stop(self.grace).await == Ending::Killed
        {
            forced.push("nats-server".to_owned());
        }
        forced
    }
}

/// The commands that may wait, and how many services may send some.
pub(crate) fn waiting(domain: &Domain) -> (u64, usize) {
    (domain.limits.of(Bound::Commands), domain.sharers(Bound::Commands))
}

/// The definition that was in force last; none in a new folder.
fn former(folder: &Folder) -> Result<Option<Domain>, Error> {
    Sources::applied(folder)?.map(|applied| applied.parse()).transpose()
}

/// What is said where the log told the node its name.
fn named_by_its_log(folder: &Folder, named: &Named) -> Option<String> {
    let (name, path) = (&named.name, folder.name_file());
    named.is_found.then(|| {
        tracing::warn!(%name, path = %path.display(), "the name of this node is gone; it is the one of the log that lies here");
        format!("name     {} is gone: this node is {name}, whose log lies here", path.display())
    })
}

/// Looks at the store while no nats-server uses it.
async fn look_before_start(
    folder: &Folder,
    layout: &Layout,
    former: Option<&Domain>,
    domain: &Domain,
) -> Result<(), Error> {
    let (folder, layout) = (folder.clone(), layout.clone());
    let names = Names::of(former.into_iter().chain([domain]));
    let looked = tokio::task::spawn_blocking(move || look_before(&folder, &layout, &names));
    looked.await.map_err(|source| Error::Request {
        doing: "look at the store before nats-server starts".to_owned(),
        source: Box::new(source),
    })?
}

fn role(bridge: &Bridge) -> Role {
    match bridge {
        Bridge::None => Role::Standalone,
        Bridge::Hub { leafs, .. } => Role::Hub { leafs: leafs.clone() },
        Bridge::Leaf { hub, siblings, .. } => Role::Leaf { hub: hub.clone(), siblings: siblings.clone() },
    }
}

fn content(folder: &Path) -> Result<(Blocks, Arc<Access>), Error> {
    let opened = |e: comms_store::Error| Error::Request {
        doing: format!("open the content in {}", folder.display()),
        source: Box::new(e),
    };
    let blocks = Blocks::open(&folder.join("blocks")).map_err(opened)?;
    let grants = Grants::open(&folder.join("grants")).map_err(opened)?;
    Ok((blocks.clone(), Arc::new(Access::new(blocks, grants))))
}

/// The folders whose disks can run full, each with what is there. Where somebody else's server keeps its streams is not known.
/// Ledgers count where they have a disk of their own; else they would be told in place of what else is there.
fn disks(folder: &Folder, is_managed: bool) -> Vec<(PathBuf, &'static str)> {
    let disk = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let log = is_managed.then(|| (folder.nats(), "the event log"));
    let mut disks: Vec<_> = log.into_iter().chain([(folder.content(), "content")]).collect();
    if !disks.iter().any(|(path, _)| disk(path) == disk(&folder.log())) {
        disks.push((folder.log(), "the ledgers"));
    }
    disks
}

/// What this setup cannot promise. Of a server that exists the probe says more.
fn warnings(domain: &Domain, facts: Option<&Facts>, change: &Changes, witness: &Witness) -> Vec<String> {
    let mut warnings: Vec<String> =
        change.warnings().into_iter().map(|warning| format!("change   {warning}")).collect();
    warnings.extend(witness.told().iter().map(|told| format!("ledger   {told}")));
    if domain.content.copies > 1 {
        warnings.push(format!(
            "copies   {} wanted, 1 possible: this is one machine. Nothing survives the loss of its disk.",
            domain.content.copies
        ));
    }
    if facts.is_some_and(|facts| !facts.is_syncing) {
        warnings.push(
            "writes   nats-server acknowledges before it syncs: a power failure can lose what was acknowledged; set sync_interval: always"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests;
