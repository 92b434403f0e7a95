//! The bounds of `[limits]`: what all services of a domain share on one node, each with its reason.
//!
//! The node divides half of each equally among the services, so that nobody can take it from another; the other half is
//! for whoever comes first. What the node itself needs is kept beside them.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::words;

/// Something of which a node has only so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Requests that arrived at the doors and are not answered.
    Requests,
    /// Bytes of those requests: what a flood may cost in memory.
    RequestBytes,
    /// Durable commands that wait for their handler's answer.
    Commands,
    /// Questions for outcomes that wait for a command to end.
    Outcomes,
    /// Watches of the log. nats-server looks at each of them for every event.
    Watches,
    /// Uploads at once: each holds some MiB of what it hashes.
    Uploads,
    /// Downloads at once.
    Downloads,
    /// Connections to HTTP.
    Connections,
    /// Connections of services to nats-server.
    NatsConnections,
    /// Subscriptions of all those connections.
    Subscriptions,
}

/// What is fixed about a bound.
struct Facts {
    key: &'static str,
    what: &'static str,
    default: u64,
    min: u64,
    max: u64,
    least: u64,
}

const MIB: u64 = 1 << 20;

impl Bound {
    /// Every bound, in the order of the file.
    pub const ALL: [Bound; 10] = [
        Bound::Requests,
        Bound::RequestBytes,
        Bound::Commands,
        Bound::Outcomes,
        Bound::Watches,
        Bound::Uploads,
        Bound::Downloads,
        Bound::Connections,
        Bound::NatsConnections,
        Bound::Subscriptions,
    ];

    fn facts(self) -> Facts {
        let facts = |key, what, default, min, max| Facts { key, what, default, min, max, least: 1 };
        match self {
            // A request in hand takes some KiB beside its bytes.
            Bound::Requests => facts("limits.requests", "requests in hand", 16_384, 64, 131_072),
            // The least is one request of the largest size.
            Bound::RequestBytes => Facts {
                least: MIB,
                ..facts("limits.request_bytes", "bytes of requests in hand", 256 * MIB, 8 * MIB, 4_096 * MIB)
            },
            // One takes about 500 bytes of memory, and as much time at a start as it takes to read it back.
            Bound::Commands => facts("limits.commands", "waiting commands", 500_000, 1_000, 2_000_000),
            // Some 4 KiB each.
            Bound::Outcomes => {
                facts("limits.outcomes", "questions for outcomes that wait", 16_384, 64, 131_072)
            }
            // nats-server gives a stream so many consumers as it is told; listeners have theirs beside these.
            Bound::Watches => facts("limits.watches", "watches", 512, 2, 4_096),
            // Two of each at least, so that one that is slow does not stop the next of the same service.
            Bound::Uploads => Facts { least: 2, ..facts("limits.uploads", "uploads", 32, 2, 256) },
            Bound::Downloads => Facts { least: 2, ..facts("limits.downloads", "downloads", 64, 2, 512) },
            // Below what a process may hold open by default (1024), with room for strangers and for files of blocks.
            Bound::Connections => {
                Facts { least: 2, ..facts("limits.connections", "HTTP connections", 512, 16, 640) }
            }
            // Some 40 KiB of nats-server's memory each. The most leaves the node its own, one for each service, of all that the
            // server takes (8,192).
            Bound::NatsConnections => Facts {
                least: 4,
                ..facts("limits.nats_connections", "connections to nats-server", 2_048, 64, 6_000)
            },
            // nats-server takes about 900 bytes of memory for each. The least of one service is what a program needs that
            // takes part in hundreds of types.
            Bound::Subscriptions => Facts {
                least: 512,
                ..facts("limits.subscriptions", "subscriptions", 262_144, 8_192, 1 << 20)
            },
        }
    }

    /// Its key, as a problem names it: `limits.requests`.
    pub fn path(self) -> &'static str {
        self.facts().key
    }

    /// Its key in `[limits]`.
    pub fn key(self) -> &'static str {
        self.path().strip_prefix("limits.").expect("all keys stand in this section")
    }

    /// What is counted, as in "16 *uploads*".
    pub fn what(self) -> &'static str {
        self.facts().what
    }

    /// What it is where the definition says nothing.
    pub fn default_value(self) -> u64 {
        self.facts().default
    }

    /// What the definition may say.
    pub fn range(self) -> std::ops::RangeInclusive<u64> {
        let Facts { min, max, .. } = self.facts();
        min..=max
    }

    /// What each service has at least, however many there are.
    pub fn least(self) -> u64 {
        self.facts().least
    }

    /// So much of it, as people write it.
    pub fn amount(self, value: u64) -> String {
        if self.is_bytes() { words::bytes(value) } else { value.to_string() }
    }

    /// Whether bytes are counted.
    pub fn is_bytes(self) -> bool {
        self == Bound::RequestBytes
    }
}

/// How a bound is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// What is always there for each service, and nobody else can take.
    pub own: u64,
    /// What goes to whoever comes first.
    pub common: u64,
}

impl Parts {
    /// Of `total` among so many services, each of which has `least` at least.
    pub fn of(total: u64, services: usize, least: u64) -> Parts {
        let services = u64::try_from(services.max(1)).unwrap_or(u64::MAX);
        let kept = total / 2;
        Parts { own: (kept / services).max(least), common: total - kept }
    }

    /// What of `held` is more than one's own part.
    pub fn beyond(&self, held: u64) -> u64 {
        held.saturating_sub(self.own)
    }
}

/// How much there is of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds([u64; Bound::ALL.len()]);

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds(Bound::ALL.map(Bound::default_value))
    }
}

impl Bounds {
    /// How much of `bound` there is for all services together.
    pub fn of(&self, bound: Bound) -> u64 {
        self.0[bound as usize]
    }

    pub(crate) fn set(&mut self, bound: Bound, value: u64) {
        self.0[bound as usize] = value;
    }
}

impl Serialize for Bounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for bound in Bound::ALL {
            map.serialize_entry(bound.key(), &self.of(bound))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_has_a_place_of_its_own_and_a_default_that_may_be_said() {
        let mut bounds = Bounds::default();
        for (n, bound) in (1u64..).zip(Bound::ALL) {
            assert!(bound.range().contains(&bound.default_value()), "{bound:?}");
            assert!(bound.least() <= *bound.range().start(), "{bound:?}");
            bounds.set(bound, n);
        }
        assert_eq!(Bound::ALL.map(|bound| bounds.of(bound)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}
