//! What the clients of nats-server leave unread, and how many connections and subscriptions each of them holds.
//!
//! nats-server bounds what waits for one connection and what one subscribes to, and neither how many connections one user
//! has nor what all of them come to. So the node looks from time to time, over the system account, and has those cut that
//! are beyond a bound. Connections and subscriptions are shared as all of `[limits]` is: a part for each service, over all
//! its programs, and the other half for whoever comes first; where that is used up, who holds most beyond its part loses
//! its newest connections, or those with most subscriptions. Where too much waits unread, it is those of the user for whom
//! most does. Who is cut connects again and goes on where it was; what is stored is delivered again. The node's own
//! connections are never cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use comms_domain::{Account, Bound, Domain, Parts};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::administration::Administration;
use crate::connections::Connections;
use crate::files::Files;
use crate::keys::Keys;

/// What may wait for all connections together: six listeners that read a history of large messages at once, or what a
/// machine of 1 GiB can spare.
const UNREAD_MAX: u64 = 256 << 20;
/// Pause between two looks: long while nobody leaves more than a message unread, short from then on. What can be filled in
/// it is bounded by what the server can send.
const LOOK_FAR: Duration = Duration::from_millis(500);
const LOOK_NEAR: Duration = Duration::from_millis(100);
/// What may wait for all connections together without a closer look.
const NEAR_BYTES: u64 = 8 << 20;
/// The part of the common subscriptions that may be in use without a closer look: what a program on this machine adds in
/// the longer pause (some hundred thousand) is many times what one that means well has.
const NEAR_PART: u64 = 4;
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Connections in one answer, which must fit one message.
const PAGE: usize = 1_024;
/// Pages in one look: as many as there may be connections.
const PAGES_MAX: usize = 8;

/// One connection as the server tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Connection {
    cid: u64,
    #[serde(default)]
    pending_bytes: u64,
    #[serde(default)]
    subscriptions: u64,
    /// The public nkey.
    #[serde(default)]
    authorized_user: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Page>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    connections: Vec<Connection>,
}

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Surplus {
    /// Its user has so many connections.
    Connections(u64),
    /// Its user has so many subscriptions.
    Subscriptions(u64),
    /// So much waits for all, and most of it for its user.
    Unread(u64),
}

/// How connections and subscriptions are divided among the users.
#[derive(Debug, Clone, Copy)]
struct Shared {
    connections: Parts,
    subscriptions: Parts,
}

impl Shared {
    /// As a definition says, and as far as a server of the node's own can have so many connections.
    fn of(domain: &Domain, files: Option<Files>) -> Shared {
        let (bound, services) = (Bound::NatsConnections, domain.sharers(Bound::NatsConnections));
        let connections = files.map_or(domain.limits.of(bound), |files| files.nats_connections(domain));
        Shared {
            connections: Parts::of(connections, services, bound.least()),
            subscriptions: domain.parts(Bound::Subscriptions),
        }
    }
}

/// The connections of each user that are left, those that are cut first at the end.
type Users<'a> = BTreeMap<&'a str, Vec<&'a Connection>>;

/// Takes from who holds most beyond its own part until what is beyond all of them fits into what is common.
fn trim<'a>(
    users: &mut Users<'a>,
    parts: Parts,
    weight: fn(&Connection) -> u64,
) -> Vec<(&'a Connection, u64)> {
    let weigh = |held: &Vec<&Connection>| held.iter().fold(0u64, |sum, one| sum.saturating_add(weight(one)));
    let before: BTreeMap<&str, u64> = users.iter().map(|(user, held)| (*user, weigh(held))).collect();
    let mut now = before.clone();
    let mut cut = Vec::new();
    let mut beyond = now.values().fold(0u64, |sum, held| sum.saturating_add(parts.beyond(*held)));
    while beyond > parts.common {
        let Some((user, held)) = now.iter_mut().max_by_key(|(_, held)| parts.beyond(**held)) else { break };
        let Some(last) = users.get_mut(user).and_then(Vec::pop) else { break };
        let left = held.saturating_sub(weight(last));
        beyond = beyond.saturating_sub(parts.beyond(*held) - parts.beyond(left));
        *held = left;
        cut.push((last, before[user]));
    }
    cut
}

/// Which connections are beyond a bound, each once; none of the user `own`. Pure.
fn surplus(connections: &[Connection], own: &str, shared: &Shared) -> Vec<(Connection, Surplus)> {
    let mut users: Users<'_> = BTreeMap::new();
    for one in connections.iter().filter(|one| one.authorized_user != own) {
        users.entry(&one.authorized_user).or_default().push(one);
    }
    let mut cut = Vec::new();
    users.values_mut().for_each(|held| held.sort_by_key(|one| one.cid));
    for (one, held) in trim(&mut users, shared.connections, |_| 1) {
        cut.push((one.clone(), Surplus::Connections(held)));
    }
    users.values_mut().for_each(|held| held.sort_by_key(|one| one.subscriptions));
    for (one, held) in trim(&mut users, shared.subscriptions, |one| one.subscriptions) {
        cut.push((one.clone(), Surplus::Subscriptions(held)));
    }
    users.values_mut().for_each(|held| held.sort_by_key(|one| one.pending_bytes));
    let mut unread: BTreeMap<&str, u64> = users.iter().map(|(user, held)| (*user, sum(held))).collect();
    let all = unread.values().fold(0u64, |all, of_one| all.saturating_add(*of_one));
    let mut left = all;
    // Once it is too much, it is made half of that, so that it is not too much again at the next look.
    while all > UNREAD_MAX && left > UNREAD_MAX / 2 {
        let Some((user, of_one)) = unread.iter_mut().max_by_key(|(_, of_one)| **of_one) else { break };
        let Some(most) = users.get_mut(user).and_then(Vec::pop) else { break };
        *of_one = of_one.saturating_sub(most.pending_bytes);
        left = left.saturating_sub(most.pending_bytes);
        cut.push((most.clone(), Surplus::Unread(all)));
    }
    cut
}

/// What waits for these.
fn sum(held: &[&Connection]) -> u64 {
    held.iter().fold(0, |sum, one| sum.saturating_add(one.pending_bytes))
}

/// Looks after the clients of one server.
pub(crate) struct Clients {
    system: Client,
    /// The public key of the node's own user.
    own: String,
    administration: Arc<Administration>,
}

impl Clients {
    /// Of the server of these connections; none where the node may not ask it.
    pub(crate) fn new(
        connections: &Connections,
        keys: &Keys,
        administration: Arc<Administration>,
    ) -> Option<Clients> {
        let system = connections.sys.clone()?;
        let own = keys.own_public(Account::Services).to_owned();
        Some(Clients { system, own, administration })
    }

    /// Looks again and again, until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    async fn look(&self) {
        // A server that does not answer is found out by the probe.
        let all = self.all().await.unwrap_or_default();
        let files = self.administration.server.is_some().then(Files::of_this_process);
        let shared = Shared::of(&self.administration.current.get().domain, files);
        let cut = surplus(&all, &self.own, &shared);
        self.tell(&cut, &shared);
        for (one, _) in &cut {
            // One that is gone by now needs no cut.
            let _ = self.ask("KICK", json!({ "cid": one.cid }).to_string().into()).await;
        }
        let subscribed = all.iter().fold(0u64, |sum, one| sum.saturating_add(one.subscriptions));
        let is_near = sum(&all.iter().collect::<Vec<_>>()) > NEAR_BYTES
            || subscribed > shared.subscriptions.common / NEAR_PART;
        sleep(if is_near { LOOK_NEAR } else { LOOK_FAR }).await;
    }

    async fn all(&self) -> Option<Vec<Connection>> {
        let mut all = Vec::new();
        for page in 0..PAGES_MAX {
            // Of this account alone: on a server of somebody else's there are others.
            let account = Account::Services.as_str();
            let ask = json!({ "auth": true, "acc": account, "limit": PAGE, "offset": page * PAGE });
            let answer = self.ask("CONNZ", ask.to_string().into()).await?;
            let Page { total, connections } = serde_json::from_slice::<Answer>(&answer).ok()?.data?;
            let is_last = connections.is_empty() || (page + 1) * PAGE >= total;
            all.extend(connections);
            if is_last {
                break;
            }
        }
        Some(all)
    }

    async fn ask(&self, what: &str, payload: Bytes) -> Option<Bytes> {
        let subject = format!("$SYS.REQ.SERVER.{}.{what}", self.system.server_info().server_id);
        let asked = timeout(ANSWER_WITHIN, self.system.request(subject, payload)).await;
        asked.ok()?.ok().map(|message| message.payload)
    }

    /// Says who is cut and why, once for each user and reason.
    fn tell(&self, cut: &[(Connection, Surplus)], shared: &Shared) {
        if cut.is_empty() {
            return;
        }
        let in_force = self.administration.current.get();
        let keys = Keys::load_or_make(self.administration.held.folder(), &in_force.layout).ok();
        let users: BTreeSet<(&str, Surplus)> =
            cut.iter().map(|(one, why)| (one.authorized_user.as_str(), *why)).collect();
        for (user, why) in users {
            let name = keys.as_ref().and_then(|keys| keys.name(user)).unwrap_or("a stranger");
            let is_it = |(one, other): &&(Connection, Surplus)| one.authorized_user == user && *other == why;
            let connections = cut.iter().filter(is_it).count();
            match why {
                Surplus::Connections(held) => tracing::warn!(
                    service = name,
                    connections,
                    held,
                    own = shared.connections.own,
                    limit = Bound::NatsConnections.path(),
                    "connections are cut: it holds more connections than its share"
                ),
                Surplus::Subscriptions(held) => tracing::warn!(
                    service = name,
                    connections,
                    held,
                    own = shared.subscriptions.own,
                    limit = Bound::Subscriptions.path(),
                    "connections are cut: they hold more subscriptions than its share"
                ),
                Surplus::Unread(bytes) => tracing::warn!(
                    service = name,
                    connections,
                    bytes,
                    "connections are cut: too much waits for clients that do not read"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const SHARED: Shared = Shared {
        connections: Parts { own: 56, common: 200 },
        subscriptions: Parts { own: 1_000, common: 5_000 },
    };

    fn connection(cid: u64, user: &str, pending_bytes: u64) -> Connection {
        Connection { cid, pending_bytes, subscriptions: 0, authorized_user: user.to_owned() }
    }

    fn subscribed(cid: u64, user: &str, subscriptions: u64) -> Connection {
        Connection { subscriptions, ..connection(cid, user, 0) }
    }

    fn cut(connections: &[Connection]) -> Vec<u64> {
        surplus(connections, "node", &SHARED).into_iter().map(|(one, _)| one.cid).collect()
    }

    #[test]
    fn who_reads_is_left_alone() {
        let busy: Vec<Connection> = (0..100).map(|cid| connection(cid, &format!("u{cid}"), MIB)).collect();
        assert_eq!(cut(&busy), [0; 0]);
    }

    #[test]
    fn of_who_holds_most_connections_the_newest_are_too_many() {
        let mut many: Vec<Connection> = (2..300).rev().map(|cid| connection(cid, "u", 0)).collect();
        assert_eq!(cut(&many), (258..300).rev().collect::<Vec<u64>>(), "its part and what is common");
        many.extend((300..356).map(|cid| connection(cid, "v", 0)));
        assert_eq!(cut(&many).iter().filter(|cid| **cid >= 300).count(), 0, "nobody loses its own part");
        many.extend((356..366).map(|cid| connection(cid, "v", 0)));
        assert_eq!(cut(&many).iter().filter(|cid| **cid >= 300).count(), 0, "nor who holds less");
        assert_eq!(cut(&many).len(), 52);
    }

    #[test]
    fn of_who_subscribes_most_the_connections_with_most_of_it_are_cut() {
        let mut all: Vec<Connection> = (1..=6).map(|cid| subscribed(cid, "u", 1_000)).collect();
        assert_eq!(cut(&all), [0; 0], "its part and what is common");
        all.push(subscribed(7, "u", 1));
        assert_eq!(cut(&all), [6], "not the small one");
        all.push(subscribed(8, "v", 1_000));
        assert_eq!(cut(&all), [6], "nobody loses its own part");
        all.push(subscribed(9, "v", 900));
        assert_eq!(cut(&all), [6], "the common part is enough for the rest");
    }

    #[test]
    fn where_too_much_waits_it_is_taken_from_who_holds_most() {
        let hoarder: Vec<Connection> = (2..32).map(|cid| connection(cid, "u", 8 * MIB - cid)).collect();
        assert_eq!(cut(&hoarder), [0; 0], "240 MiB are within the bound");
        let mut all = hoarder;
        all.extend((32..35).map(|cid| connection(cid, "v", 10 * MIB)));
        let cut = cut(&all);
        assert!(cut.iter().all(|cid| *cid < 32), "not of who holds little: {cut:?}");
        let left: u64 = all.iter().filter(|one| !cut.contains(&one.cid)).map(|one| one.pending_bytes).sum();
        assert!(left <= UNREAD_MAX / 2 && left > UNREAD_MAX / 2 - 8 * MIB, "{left}");
    }

    #[test]
    fn the_node_is_never_cut() {
        let own = Connection { subscriptions: 1 << 40, ..connection(1, "node", 1 << 40) };
        assert_eq!(cut(&[own]), [0; 0]);
    }

    proptest! {
        /// Whatever is held: nobody is cut twice, the node never, nobody loses what is its own part, and what remains is
        /// within the bounds.
        #[test]
        fn what_remains_is_bounded(held in prop::collection::vec((0u8..4, 0u64..(1 << 30), 0u64..300), 0..600)) {
            let all: Vec<Connection> = (1..).zip(held).map(|(cid, (user, pending_bytes, subscriptions))| {
                Connection { cid, pending_bytes, subscriptions, authorized_user: format!("u{user}") }
            }).collect();
            let cut: Vec<(Connection, Surplus)> = surplus(&all, "u0", &SHARED);
            let once: BTreeSet<u64> = cut.iter().map(|(one, _)| one.cid).collect();
            prop_assert_eq!(once.len(), cut.len());
            let own = |one: &&Connection| one.authorized_user == "u0";
            prop_assert!(all.iter().filter(own).all(|one| !once.contains(&one.cid)));
            let left = || all.iter().filter(|one| !own(one) && !once.contains(&one.cid));
            prop_assert!(left().map(|one| one.pending_bytes).sum::<u64>() <= UNREAD_MAX);
            let (mut connections, mut subscriptions) = (0, 0);
            for user in (1..4).map(|user| format!("u{user}")) {
                let left: Vec<&Connection> = left().filter(|one| one.authorized_user == user).collect();
                connections += SHARED.connections.beyond(left.len() as u64);
                subscriptions += SHARED.subscriptions.beyond(left.iter().map(|one| one.subscriptions).sum());
                let lost = cut.iter().filter(|(one, _)| one.authorized_user == user);
                let held = |one: &Connection| all.iter().filter(|o| o.authorized_user == one.authorized_user).count();
                for (one, why) in lost {
                    match why {
                        Surplus::Connections(count) => {
                            prop_assert_eq!(*count, held(one) as u64);
                            prop_assert!(*count > SHARED.connections.own);
                        }
                        Surplus::Subscriptions(count) => prop_assert!(*count > SHARED.subscriptions.own),
                        Surplus::Unread(all) => prop_assert!(*all > UNREAD_MAX),
                    }
                }
            }
            prop_assert!(connections <= SHARED.connections.common);
            prop_assert!(subscriptions <= SHARED.subscriptions.common);
        }
    }
}
