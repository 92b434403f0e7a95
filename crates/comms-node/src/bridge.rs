//! The bridge between this node and others: events of each reach the listeners of all, once and in order.
//!
//! Nodes meet in an account of their own, where there is nothing but their talk (`comms_domain`'s `layout/bridge.rs`); a leaf
//! has no right on anything else of its hub's server, and the server itself carries out nothing that is said there. Each
//! node **asks** the other for what was logged behind a place (`take.rs`), **answers** from its own streams (`give.rs`), holds
//! each event against the definition (`admit.rs`), and **stores** it in `FOREIGN_{node}`, which nobody else writes
//! (`foreign.rs`). What a hub got from one leaf it gives to the others. Commands, queries and content stay on their node.

mod admit;
mod foreign;
mod give;
mod places;
mod read;
mod refusals;
mod take;
mod talk;
mod wire;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use async_nats::{Client, Event};
use comms_domain::{Account, NodeId, NodeName, Role, node_user};
use comms_msg::DomainName;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::admit::Expected;
use self::foreign::{At, Foreign};
use self::give::Giver;
use self::refusals::Refusals;
use self::take::Taker;
use self::wire::Feed;
use crate::Error;
use crate::connections::{connect_to, lasting};
use crate::current::Current;
use crate::keys::Keys;
use crate::server::Vouch;
use crate::tasks::Tasks;

/// Messages of one subscription that wait for the node: a peer that floods is dropped beyond, at 2 MiB each at most.
const WAITING_MAX: usize = 8;

/// What a bridge is made of.
pub(crate) struct Parts<'a> {
    pub(crate) id: &'a NodeId,
    pub(crate) keys: &'a Keys,
    /// Where the node's own nats-server listens.
    pub(crate) url: &'a str,
    /// By which the server proves to be the node's own.
    pub(crate) vouch: Option<Vouch>,
    /// The node's user in DOMAIN.
    pub(crate) domain: Client,
    pub(crate) current: Current,
    /// The incarnation of the node's own events.
    pub(crate) own: String,
    /// The incarnation of its stream of foreign events.
    pub(crate) foreign: String,
    /// The file beside the stream of foreign events.
    pub(crate) checkpoint: PathBuf,
}

/// Starts the bridge of a node that has peers. Returns when it is known how far each of them is stored.
pub(crate) async fn start(parts: Parts<'_>, tasks: &Tasks) -> Result<(), Error> {
    let Parts { id, keys, url, vouch, domain, current, own, foreign: incarnation, checkpoint } = parts;
    let name = current.get().domain.name.clone();
    let stream = format!("FOREIGN_{}", id.name);
    let at = At {
        client: domain.clone(),
        stream: stream.clone(),
        filter: format!("{name}.event.>"),
        incarnation: incarnation.clone(),
        checkpoint,
    };
    let (foreign, writer) = Foreign::open(at).await.map_err(|reason| Error::Request {
        doing: format!("read back the stream {stream}"),
        source: reason.into(),
    })?;
    let stop = tasks.token();
    tasks.essential("foreign events", writer.run(stop).map(Ok::<(), Infallible>));
    let (told, news) = watch::channel(0);
    spawn_news(domain.clone(), &name, told, tasks);
    for peer in id.neighbours() {
        let client = connect(url, vouch.as_ref(), keys, peer).await?;
        let take = |feed| Taker {
            client: client.clone(),
            domain: name.clone(),
            me: id.name.clone(),
            expected: Expected { peer: peer.clone(), feed, siblings: siblings(id) },
            current: current.clone(),
            foreign: foreign.clone(),
            refusals: Arc::new(Refusals::of(peer.as_str())),
        };
        let give = |feed, (stream, incarnation): (&str, &str)| Giver {
            client: client.clone(),
            log: domain.clone(),
            domain: name.clone(),
            me: id.name.clone(),
            peer: peer.clone(),
            feed,
            stream: stream.to_owned(),
            incarnation: incarnation.to_owned(),
            news: news.clone(),
            refusals: Arc::new(Refusals::of(peer.as_str())),
        };
        let own_stream = format!("EVENT_{}", id.name);
        spawn(tasks, format!("events of {peer}"), take(Feed::Own), Taker::run);
        spawn(tasks, format!("events for {peer}"), give(Feed::Own, (&own_stream, &own)), Giver::run);
        if let Role::Hub { .. } = id.role {
            let others = give(Feed::Others, (&stream, &incarnation));
            spawn(tasks, format!("events of others for {peer}"), others, Giver::run);
        }
        if !siblings(id).is_empty() {
            spawn(tasks, format!("events of others by {peer}"), take(Feed::Others), Taker::run);
        }
    }
    Ok(())
}

/// The nodes whose events come through another.
fn siblings(id: &NodeId) -> Vec<NodeName> {
    let neighbours = id.neighbours();
    id.peers().into_iter().filter(|peer| !neighbours.contains(peer)).cloned().collect()
}

/// Connects as the user that speaks with `peer`. A connection for each: who floods one holds up nobody else.
async fn connect(url: &str, vouch: Option<&Vouch>, keys: &Keys, peer: &NodeName) -> Result<Client, Error> {
    let user = node_user(peer);
    let seed = keys.seed(Account::Leafs, &user).expect("the layout has a user for each neighbour");
    let shown = peer.to_string();
    // Nothing is ever requested here, so no inbox is used, and none is allowed.
    let options = lasting(seed, &format!("bridge to {peer}"), vouch)?
        .subscription_capacity(WAITING_MAX)
        .event_callback(move |event| {
            match event {
                // What a peer says too fast is dropped; it says so for every message.
                Event::SlowConsumer(_) => {}
                event => tracing::debug!(peer = shown, %event, "bridge"),
            }
            std::future::ready(())
        });
    connect_to(&[url.to_owned()], Account::Leafs, options).await
}

/// Tells those who hold an ask that something was stored: stored events are published again.
fn spawn_news(client: Client, domain: &DomainName, told: watch::Sender<u64>, tasks: &Tasks) {
    let (stop, told) = (tasks.token(), Arc::new(told));
    let subject = format!("{domain}.live.event.>");
    tasks.restarting("news of events", move || {
        let (client, subject, stop, told) = (client.clone(), subject.clone(), stop.clone(), told.clone());
        async move {
            let mut stored = client.subscribe(subject).await?;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    event = stored.next() => match event {
                        Some(_) => told.send_modify(|count| *count = count.wrapping_add(1)),
                        None => return Ok::<(), async_nats::SubscribeError>(()),
                    },
                }
            }
        }
    });
}

/// Runs one side of a talk, again whenever it ends.
fn spawn<T, F>(tasks: &Tasks, name: String, side: T, run: impl Fn(T, CancellationToken) -> F + Send + 'static)
where
    T: Clone + Send + 'static,
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let stop = tasks.token();
    tasks.restarting(name, move || run(side.clone(), stop.clone()));
}
