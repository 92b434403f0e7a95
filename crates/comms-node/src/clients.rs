//! What the clients of nats-server leave unread, and how many connections each of them holds.
//!
//! nats-server bounds what waits for one connection, and neither how many connections one user has nor what waits for all
//! of them. So the node looks from time to time, over the system account, and has those cut that are beyond a bound:
//! of one user the newest that are too many, and where too much waits altogether those of the user for whom most does. Who is cut connects again and goes on where
//! it was; what is stored is delivered again. The node's own connections are never cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use comms_domain::Account;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::administration::Administration;
use crate::connections::Connections;
use crate::keys::Keys;

/// Connections of one user at once: two hundred processes of one service, or a tool that is started again and again.
const CONNECTIONS_OF_ONE_MAX: usize = 256;
/// What may wait for all connections together: six listeners that read a history of large messages at once, or what a
/// machine of 1 GiB can spare.
const UNREAD_MAX: u64 = 256 << 20;
/// Pause between two looks: long while nobody leaves more than a message unread, short from then on. What can be filled in
/// it is bounded by what the server can send.
const LOOK_FAR: Duration = Duration::from_millis(500);
const LOOK_NEAR: Duration = Duration::from_millis(100);
/// What may wait for all connections together without a closer look.
const NEAR_BYTES: u64 = 8 << 20;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surplus {
    /// Its user has too many.
    Connections(usize),
    /// So much waits for all, and most of it for its user.
    Unread(u64),
}

/// Which connections are beyond a bound, each once; none of the user `own`. Pure.
fn surplus(connections: &[Connection], own: &str) -> Vec<(Connection, Surplus)> {
    let mut users: BTreeMap<&str, Vec<&Connection>> = BTreeMap::new();
    for one in connections.iter().filter(|one| one.authorized_user != own) {
        users.entry(&one.authorized_user).or_default().push(one);
    }
    let mut cut = Vec::new();
    for held in users.values_mut() {
        held.sort_by_key(|one| one.cid);
        let count = held.len();
        let many = held.split_off(count.min(CONNECTIONS_OF_ONE_MAX));
        cut.extend(many.into_iter().map(|one| (one.clone(), Surplus::Connections(count))));
        held.sort_by_key(|one| one.pending_bytes);
    }
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
        let cut = surplus(&all, &self.own);
        self.tell(&cut);
        for (one, _) in &cut {
            // One that is gone by now needs no cut.
            let _ = self.ask("KICK", json!({ "cid": one.cid }).to_string().into()).await;
        }
        let is_near = sum(&all.iter().collect::<Vec<_>>()) > NEAR_BYTES;
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

    /// Says who is cut and why, once for each user.
    fn tell(&self, cut: &[(Connection, Surplus)]) {
        if cut.is_empty() {
            return;
        }
        let in_force = self.administration.current.get();
        let keys = Keys::load_or_make(self.administration.held.folder(), &in_force.layout).ok();
        let users: BTreeMap<&str, Surplus> =
            cut.iter().map(|(one, why)| (one.authorized_user.as_str(), *why)).collect();
        for (user, why) in users {
            let name = keys.as_ref().and_then(|keys| keys.name(user)).unwrap_or("a stranger");
            let connections = cut.iter().filter(|(one, _)| one.authorized_user == user).count();
            match why {
                Surplus::Connections(held) => tracing::warn!(
                    service = name,
                    connections,
                    held,
                    max = CONNECTIONS_OF_ONE_MAX,
                    "connections are cut: it holds too many"
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

    fn connection(cid: u64, user: &str, pending_bytes: u64) -> Connection {
        Connection { cid, pending_bytes, authorized_user: user.to_owned() }
    }

    fn cut(connections: &[Connection]) -> Vec<u64> {
        surplus(connections, "node").into_iter().map(|(one, _)| one.cid).collect()
    }

    #[test]
    fn who_reads_is_left_alone() {
        let busy: Vec<Connection> = (0..100).map(|cid| connection(cid, &format!("u{cid}"), MIB)).collect();
        assert_eq!(cut(&busy), [0; 0]);
    }

    #[test]
    fn of_one_user_the_newest_are_too_many() {
        let many: Vec<Connection> = (2..300).rev().map(|cid| connection(cid, "u", 0)).collect();
        assert_eq!(cut(&many), (258..300).collect::<Vec<u64>>());
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
        assert_eq!(cut(&[connection(1, "node", 1 << 40)]), [0; 0]);
    }

    proptest! {
        /// Whatever is held: nobody is cut twice, the node never, and what remains is within the bounds.
        #[test]
        fn what_remains_is_bounded(held in prop::collection::vec((0u8..4, 0u64..(1 << 30)), 0..600)) {
            let all: Vec<Connection> = (1..).zip(held).map(|(cid, (user, pending))| {
                connection(cid, &format!("u{user}"), pending)
            }).collect();
            let cut: Vec<u64> = surplus(&all, "u0").into_iter().map(|(one, _)| one.cid).collect();
            let once: BTreeSet<u64> = cut.iter().copied().collect();
            prop_assert_eq!(once.len(), cut.len());
            let own = |one: &&Connection| one.authorized_user == "u0";
            prop_assert!(all.iter().filter(own).all(|one| !once.contains(&one.cid)));
            let left = || all.iter().filter(|one| !own(one) && !once.contains(&one.cid));
            prop_assert!(left().map(|one| one.pending_bytes).sum::<u64>() <= UNREAD_MAX);
            for user in 1..4 {
                let of = || left().filter(|one| one.authorized_user == format!("u{user}"));
                prop_assert!(of().count() <= CONNECTIONS_OF_ONE_MAX);
            }
        }
    }
}
