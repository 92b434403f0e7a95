//! How many files a process may hold open, sockets among them, and what follows for its bounds.
//!
//! A node needs a file for each connection to its HTTP, for each upload and download, and some of its own; nats-server one
//! for each connection. Where the system gives fewer than `[limits]` needs, who has no token has fewer places, and after
//! that all connections together: what is not accepted yet waits in the system's queue.

use comms_domain::{Bound, Domain};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::gateway::limits::{SOCKETS_MAX, STRANGERS_MAX};

/// What a node holds open itself: its log, index, ledgers and locks, listeners, pipes, and what a runtime needs.
const OWN_FILES: u64 = 64;
/// What nats-server holds open itself: the files of its streams and consumers while they are written, and the connections of
/// the node that are not one for each service.
const SERVER_FILES: u64 = 128;
/// Sockets that there are in any case, so that somebody is answered while somebody else looks what is wrong.
const SOCKETS_MIN: u64 = 16;
/// The part of the sockets that is left to strangers at least: the library too is one until its head was read.
const STRANGERS_PART: u64 = 4;

/// So many as the system lets any process of this user have by itself (the hard limit), and no fewer: the soft one is for
/// programs of a time in which a file of a higher number could not be waited for. What is started by this process has the
/// same.
pub fn open_as_many_as_possible() {
    let limit = getrlimit(Resource::Nofile);
    // Where the system has another limit beside this one, as many as before will have to do: `up` warns of too few.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// What one process may hold open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files(u64);

/// Sockets of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sockets {
    /// All at once.
    pub(crate) all: usize,
    /// Those of connections that have not shown a token.
    pub(crate) strangers: usize,
}

impl Files {
    /// Of this process, and those that it starts.
    pub(crate) fn of_this_process() -> Files {
        Files(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// What is needed beside the sockets of the gateway: a connection to nats-server for each service is the node's.
    fn beside(domain: &Domain) -> u64 {
        let open = [Bound::Uploads, Bound::Downloads].map(|bound| domain.limits.of(bound));
        OWN_FILES + domain.services.len() as u64 + open.iter().sum::<u64>()
    }

    /// How many sockets the gateway may have.
    pub(crate) fn sockets(self, domain: &Domain) -> Sockets {
        let room = self.0.saturating_sub(Files::beside(domain)).max(SOCKETS_MIN);
        let left = room.saturating_sub(domain.limits.of(Bound::Connections)).max(room / STRANGERS_PART);
        let within = |count: u64, max: usize| usize::try_from(count).unwrap_or(max).min(max);
        Sockets { all: within(room, SOCKETS_MAX), strangers: within(left, STRANGERS_MAX) }
    }

    /// How many connections of services a nats-server that was started by this process can have of those that it may.
    pub(crate) fn nats_connections(self, domain: &Domain) -> u64 {
        let room = self.0.saturating_sub(SERVER_FILES + domain.services.len() as u64).max(SOCKETS_MIN);
        room.min(domain.limits.of(Bound::NatsConnections))
    }

    /// What is fewer than `[limits]` says, in words for who runs the node.
    pub(crate) fn warning(self, domain: &Domain, is_managed: bool) -> Option<String> {
        let limits = |bound| domain.limits.of(bound);
        let wanted = Files::beside(domain) + limits(Bound::Connections) + STRANGERS_MAX as u64;
        let by_server = SERVER_FILES + domain.services.len() as u64 + limits(Bound::NatsConnections);
        let wanted = if is_managed { wanted.max(by_server) } else { wanted };
        if self.0 >= wanted {
            return None;
        }
        let Sockets { all, strangers } = self.sockets(domain);
        let mut less = format!("HTTP has {all} connections, {strangers} of them without a token");
        let nats = self.nats_connections(domain);
        if is_managed && nats < limits(Bound::NatsConnections) {
            less += &format!(
                "; nats-server has {nats} of services instead of {}",
                limits(Bound::NatsConnections)
            );
        }
        Some(format!(
            "files    this system lets a process open {}, and [limits] needs {wanted}: {less}. Raise the hard limit (ulimit -Hn; LimitNOFILE of systemd)",
            self.0
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{LIBRARY, domain};

    #[test]
    fn what_programs_may_have_by_default_is_enough_for_http() {
        let domain = domain(LIBRARY);
        let sockets = Files(1_024).sockets(&domain);
        assert_eq!(sockets.strangers, STRANGERS_MAX);
        assert_eq!(Files(u64::MAX).sockets(&domain), Sockets { all: SOCKETS_MAX, strangers: STRANGERS_MAX });
        assert_eq!(Files(4_096).warning(&domain, true), None);
        assert_eq!(Files(1_024).warning(&domain, false), None);
        let told = Files(1_024).warning(&domain, true).unwrap();
        assert!(told.contains("open 1024") && told.contains("needs 2181"), "{told}");
        assert!(told.contains("nats-server has 891 of services instead of 2048"), "{told}");
        let told = Files(256).warning(&domain, false).unwrap();
        assert!(told.contains("HTTP has 91 connections, 22 of them without a token"), "{told}");
    }

    proptest! {
        /// Whatever there is: nobody has none, and together they take no more than there is where that is enough for the
        /// node itself.
        #[test]
        fn places_are_within_what_there_is(files in any::<u64>()) {
            let domain = domain(LIBRARY);
            let sockets = Files(files).sockets(&domain);
            prop_assert!(sockets.strangers > 0 && sockets.strangers < sockets.all);
            let used = sockets.all as u64 + Files::beside(&domain);
            prop_assert!(used <= files.max(SOCKETS_MIN + Files::beside(&domain)));
        }
    }
}
